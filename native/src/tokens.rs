//! Text to token ids with the Hugging Face `tokenizers` library, so that ids equal those of the Python side.
//!
//! No special tokens are added, and those that stand in a document's text (`<|im_end|>`) are encoded as ordinary text: a
//! document cannot end its own turn. It does not render templates and does not cut. Called by prepare, one clone a thread.

use std::ops::Range;
use std::path::Path;

use tokenizers::{PostProcessorWrapper, Tokenizer};

use crate::error::{Error, Result};
use crate::request::TokenSpan;

/// Above this many bytes a text is encoded in pieces when only its offsets are wanted: the library needs some 100 bytes
/// of memory per token while it works.
const PIECE_BYTES: usize = 256 * 1024;

/// A clone has its own cache: threads that share one tokenizer wait for each other (huggingface/tokenizers#1900).
#[derive(Clone)]
pub struct Encoder {
    tokenizer: Tokenizer,
}

/// Ids, and for each the range of bytes of the text it stands for. Several tokens of one character share its range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    pub ids: Vec<u32>,
    pub byte_offsets: Vec<(usize, usize)>,
}

impl Encoder {
    /// `path`: a `tokenizer.json`.
    pub fn open(path: &Path) -> Result<Encoder> {
        let mut tokenizer = Tokenizer::from_file(path).map_err(|error| {
            Error::config(
                format!("tokenizer {}: {error}", path.display()),
                "choose a model folder with a valid tokenizer.json",
            )
        })?;
        // Cutting and padding are decided by chunk and engine; a post-processor only adds special tokens or trims offsets.
        tokenizer
            .with_truncation(None)
            .map_err(|error| broken(&error))?
            .with_padding(None)
            .with_post_processor(None::<PostProcessorWrapper>);
        tokenizer.set_encode_special_tokens(true);
        Ok(Encoder { tokenizer })
    }

    /// Ids alone: the fast way.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| broken(&error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids, and which of them stand for some of `bytes` of the text.
    pub fn encode_locating(
        &self,
        text: &str,
        bytes: &Range<usize>,
    ) -> Result<(Vec<u32>, TokenSpan)> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| broken(&error))?;
        let offsets = encoding.get_offsets();
        let inside = |(from, to): &(usize, usize)| *from < bytes.end && *to > bytes.start;
        let first = offsets.iter().position(inside).unwrap_or(0);
        let end = offsets
            .iter()
            .rposition(inside)
            .map_or(first, |last| last + 1);
        let small =
            |count: usize| u32::try_from(count).map_err(|_| broken(&"over 2^32 tokens".into()));
        let span = TokenSpan {
            first: small(first)?,
            count: small(end - first)?,
        };
        Ok((encoding.get_ids().to_vec(), span))
    }

    /// Ids with offsets, for cutting. Long texts are encoded in pieces that end at a line whose next one begins with a
    /// letter or digit, where tokenizers of the byte-level kind never join; others may differ there by a token.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Encoding> {
        let mut all = Encoding::default();
        let mut start = 0;
        while start < text.len() {
            let end = piece_end(text, start);
            let encoding = self
                .tokenizer
                .encode(&text[start..end], false)
                .map_err(|error| broken(&error))?;
            all.ids.extend_from_slice(encoding.get_ids());
            all.byte_offsets.extend(
                encoding
                    .get_offsets()
                    .iter()
                    .map(|(from, to)| (start + from, start + to)),
            );
            start = end;
        }
        Ok(all)
    }
}

fn broken(error: &tokenizers::Error) -> Error {
    Error::config(
        format!("tokenizer: {error}"),
        "choose a model folder with a valid tokenizer.json",
    )
}

fn piece_end(text: &str, start: usize) -> usize {
    if text.len() - start <= PIECE_BYTES {
        return text.len();
    }
    let bytes = text.as_bytes();
    let last = start + PIECE_BYTES;
    let fits = |end: &usize| bytes[end - 1] == b'\n' && bytes[*end].is_ascii_alphanumeric();
    if let Some(end) = (start + PIECE_BYTES / 2..last).rev().find(fits) {
        return end;
    }
    let mut end = last;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    end
}
