//! One piece of work for a model worker, and the identity that makes finished work findable across runs.
//!
//! Plain data and one pure hash. Made by prepare, moved by the scheduler, named by the journal.

use crate::document::Digest;

/// Raised when the list hashed into a work id changes its order, members or framing.
pub const WORK_ID_VERSION: u32 = 1;

/// Identity of one request: equal ids mean equal bytes into the model with equal decoding.
pub type WorkId = Digest;

/// What makes a work id besides the document: fixed for one run. All fields are hashes in hex or canonical JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkBasis {
    pub ingest_hash: String,
    pub template_hash: String,
    pub weights_hash: String,
    pub decoding: String,
    pub schema_hash: String,
}

impl WorkBasis {
    /// One chunk of one document.
    pub fn map_id(&self, doc_id: &Digest, chunk_index: u32) -> WorkId {
        self.id("map", &[&doc_id.0, &chunk_index.to_le_bytes()])
    }

    /// A reduce step: `parts` are the hashes of its parts' outputs, in order.
    pub fn reduce_id(&self, parts: &[Digest]) -> WorkId {
        let parts: Vec<&[u8]> = parts.iter().map(|digest| digest.0.as_slice()).collect();
        self.id("reduce", &parts)
    }

    /// Everything but the document: equal keys and equal stamps mean that a file need not be read.
    pub fn plan_key(&self) -> Digest {
        self.id("plan", &[])
    }

    /// blake3 over a versioned list, each member length-prefixed so that no two lists share an encoding.
    fn id(&self, kind: &str, members: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&WORK_ID_VERSION.to_le_bytes());
        let fixed = [
            kind,
            &self.ingest_hash,
            &self.template_hash,
            &self.weights_hash,
            &self.decoding,
            &self.schema_hash,
        ];
        for member in fixed
            .iter()
            .map(|text| text.as_bytes())
            .chain(members.iter().copied())
        {
            hasher.update(&(member.len() as u64).to_le_bytes());
            hasher.update(member);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

/// One request, ready to be leased. `token_ids` is prefix + rendered chunk + suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub work_id: WorkId,
    pub token_ids: Vec<u32>,
    pub max_tokens: u32,
    /// Where the document stands in `token_ids`; empty unless the job asks for evidence.
    pub source: TokenSpan,
}

/// `count` tokens from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenSpan {
    pub first: u32,
    pub count: u32,
}

impl TokenSpan {
    /// The same tokens when `tokens` more stand in front of all.
    #[must_use]
    pub fn behind(self, tokens: usize) -> TokenSpan {
        let more = if self.count == 0 { 0 } else { tokens };
        let first = self
            .first
            .saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        TokenSpan { first, ..self }
    }
}

/// The request of one chunk, and where the chunk stands in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRequest {
    pub request: Request,
    /// Bytes of the text.
    pub span: [u64; 2],
    /// Its first and last page, sheet, slide or chapter.
    pub places: Option<[String; 2]>,
}

/// Bytes of text that lie in at least one chunk; overlap counts once.
#[must_use]
pub fn covered(chunks: &[ChunkRequest]) -> u64 {
    let mut end = 0;
    let mut bytes = 0;
    for [from, to] in chunks.iter().map(|chunk| chunk.span) {
        bytes += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    bytes
}

/// What a worker returned for one request; the journal's result record is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub status: CompletionStatus,
    pub output: String,
    /// Empty when ok; begins with a short class ("schema: ...") when failed.
    pub reason: String,
    pub finish_reason: FinishReason,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub repairs: u32,
    /// Monotonic nanoseconds inside the worker: admitted, first token, last token.
    pub admitted_ns: u64,
    pub first_token_ns: u64,
    pub finished_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionStatus {
    Ok,
    Failed,
    /// The worker gives the lease back unfinished (drain, or a neighbour's exception): no attempt charged.
    Released,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    None,
    Stop,
    Length,
}
