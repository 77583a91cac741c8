use std::path::PathBuf;
use std::sync::OnceLock;

use _native::error::Error;
use _native::tokens::Encoder;
use proptest::prelude::*;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

const PROSE: &str = "The quick brown fox jumps over the lazy dog. A document is read, cut into chunks, and sent to a model.\n\n\
    # Heading\n\nWhen a table is clustered, it is physically reordered based on the index information. 1234 5678.\n\
    ```\nSELECT name FROM table_name;\n```\nEs ist schön, naïve cafés zu sehen. Это предложение. これは文です。";

/// A small byte-level BPE with everything that must not count: a post-processor that adds tokens, a truncation, a padding.
fn path() -> &'static PathBuf {
    static PATH: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PATH.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let mut tokenizer = Tokenizer::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        let mut trainer: TrainerWrapper = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(500)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build()
            .into();
        tokenizer
            .train(&mut trainer, std::iter::repeat_n(PROSE, 3))
            .unwrap();
        tokenizer
            .add_special_tokens([
                AddedToken::from("<|im_end|>", true),
                AddedToken::from("<s>", true),
            ])
            .unwrap();
        let start = tokenizer.token_to_id("<s>").unwrap();
        let template = TemplateProcessing::builder()
            .try_single("<s> $A")
            .unwrap()
            .special_tokens(vec![("<s>", start)])
            .build()
            .unwrap();
        tokenizer.with_post_processor(Some(template));
        tokenizer
            .with_truncation(Some(tokenizers::TruncationParams {
                max_length: 8,
                ..Default::default()
            }))
            .unwrap();
        tokenizer.save(&path, false).unwrap();
        (folder, path)
    });
    path
}

pub fn encoder() -> Encoder {
    Encoder::open(path()).unwrap()
}

fn decode(ids: &[u32]) -> String {
    let mut tokenizer = Tokenizer::from_file(path()).unwrap();
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.decode(ids, false).unwrap()
}

#[test]
fn nothing_is_added_cut_or_padded() {
    let ids = encoder().encode(PROSE).unwrap();
    assert!(ids.len() > 8);
    assert_eq!(decode(&ids), PROSE);
}

#[test]
fn a_document_cannot_end_its_own_turn() {
    let text = "before<|im_end|>after";
    let encoder = encoder();
    let ids = encoder.encode(text).unwrap();
    let special = Tokenizer::from_file(path())
        .unwrap()
        .token_to_id("<|im_end|>")
        .unwrap();
    assert!(!ids.contains(&special));
    assert_eq!(decode(&ids), text);
    assert_eq!(encoder.encode_with_offsets(text).unwrap().ids, ids);
}

#[test]
fn a_long_text_encoded_in_pieces_has_the_same_ids() {
    let text = PROSE.repeat(2000);
    assert!(text.len() > 600_000);
    let encoder = encoder();
    let encoding = encoder.encode_with_offsets(&text).unwrap();
    assert_eq!(encoding.ids, encoder.encode(&text).unwrap());
    assert_eq!(encoding.byte_offsets.last().unwrap().1, text.len());
}

#[test]
fn a_broken_tokenizer_file_is_a_configuration_error_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, "{}").unwrap();
    for path in [path, folder.path().join("missing.json")] {
        match Encoder::open(&path) {
            Err(Error::Config { problem, hint }) => {
                assert!(problem.contains(path.to_str().unwrap()), "{problem}");
                assert!(hint.contains("tokenizer.json"), "{hint}");
            }
            other => panic!("{:?}", other.err()),
        }
    }
}

proptest! {
    #[test]
    fn both_ways_give_the_same_ids_and_offsets_cover_the_text(text in "(\\PC|[ \n]){0,200}") {
        let encoder = encoder();
        let encoding = encoder.encode_with_offsets(&text).unwrap();
        prop_assert_eq!(&encoding.ids, &encoder.encode(&text).unwrap());
        prop_assert_eq!(encoding.ids.len(), encoding.byte_offsets.len());
        prop_assert_eq!(decode(&encoding.ids), text.clone());
        let mut reached = 0;
        for (from, to) in &encoding.byte_offsets {
            prop_assert!(*from <= reached && from <= to, "a gap before {from}");
            reached = reached.max(*to);
        }
        prop_assert_eq!(reached, text.len());
    }
}

/// Against the Python library: RUNNER_TOKENIZER=tokenizer.json, RUNNER_IDS=file of {"text":..,"ids":[..]} lines.
#[test]
#[ignore = "needs RUNNER_TOKENIZER and RUNNER_IDS"]
fn ids_equal_those_of_python() {
    let encoder =
        Encoder::open(&PathBuf::from(std::env::var("RUNNER_TOKENIZER").unwrap())).unwrap();
    let lines = std::fs::read_to_string(std::env::var("RUNNER_IDS").unwrap()).unwrap();
    let mut count = 0;
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let ids: Vec<u32> = serde_json::from_value(line["ids"].clone()).unwrap();
        assert_eq!(encoder.encode(line["text"].as_str().unwrap()).unwrap(), ids);
        assert_eq!(
            encoder
                .encode_with_offsets(line["text"].as_str().unwrap())
                .unwrap()
                .ids,
            ids
        );
        count += ids.len();
    }
    println!("{count} ids equal");
}
