//! From a document to requests: chunk, render, encode, and give each piece of work its identity.
//!
//! Pure but for its tokenizer: no files, no clock. Runs on the extract threads (one clone of the plan each); dispatch uses
//! it for reduce steps. It decides nothing about order or workers.

mod keys;
mod reduce;
mod turn;

use crate::chunk;
use crate::document::{Digest, Document, Ordinal, Rejected, RejectedStatus, Stamp, places_of};
use crate::error::{Error, Result};
use crate::journal::record::ReadTime;
use crate::request::{ChunkRequest, Request, WorkBasis, WorkId, covered};
use crate::settings::Settings;
use crate::template::{Fields, JobTemplate};
use crate::tokens::Encoder;
use turn::Turn;

use self::keys::{basis, bytes_as, plan_key};
pub use self::reduce::ReduceStep;

/// Fewest tokens of text that a request must have room for; below it the configuration cannot be meant.
const SMALLEST_WINDOW: usize = 32;
/// Tokens of a slice can differ from tokens in context by one or two at each end (notes of the ingest study).
const MARGIN: usize = 4;
/// A chunk that comes out too long after rendering is cut again this often, each time a tenth smaller.
const RECUTS: u32 = 4;

/// What a request costs besides its tokens, in the tables of dispatch, scheduler and journal state (counted by structure size).
const REQUEST_BYTES: u64 = 800;

/// Everything that turns documents into requests, fixed for one run.
#[derive(Clone)]
pub struct Plan {
    pub basis: WorkBasis,
    /// What must be equal for an unchanged file not to be read again, and for a run to be resumed.
    pub plan_key: Digest,
    template: JobTemplate,
    encoder: Encoder,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// Most tokens of the user's turn.
    window: usize,
    overlap: usize,
    max_tokens: u32,
    max_chunks: Option<usize>,
    evidence: bool,
}

/// One input, ready for dispatch.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub ordinal: Ordinal,
    pub source: String,
    pub doc_id: Option<Digest>,
    pub stamp: Option<Stamp>,
    pub text_bytes: u64,
    pub covered_bytes: u64,
    pub reader: Option<String>,
    pub unread: Option<String>,
    /// Set by who has a clock.
    pub read: Option<ReadTime>,
    pub work: Planned,
}

#[derive(Debug, Clone)]
pub enum Planned {
    Rejected {
        status: RejectedStatus,
        reason: String,
    },
    Requests {
        /// In chunk order.
        requests: Vec<ChunkRequest>,
        /// For the reduce template.
        fields: Fields,
        reduce: bool,
    },
}

impl Prepared {
    #[must_use]
    pub fn rejected(rejected: Rejected, stamp: Option<Stamp>) -> Prepared {
        Prepared {
            ordinal: rejected.ordinal,
            source: rejected.uri,
            doc_id: rejected.doc_id,
            stamp,
            text_bytes: 0,
            covered_bytes: 0,
            reader: rejected.reader,
            unread: None,
            read: None,
            work: Planned::Rejected {
                status: rejected.status,
                reason: rejected.reason,
            },
        }
    }

    /// Bytes that it keeps in memory until its last commit; what the `rust` pool is charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.work {
            Planned::Rejected { .. } => 0,
            Planned::Requests { requests, .. } => requests
                .iter()
                .map(|chunk| request_bytes(&chunk.request))
                .sum(),
        }
    }
}

/// Bytes that one request is charged in the `rust` pool.
#[must_use]
pub fn request_bytes(request: &Request) -> u64 {
    4 * request.token_ids.len() as u64 + REQUEST_BYTES
}

impl Plan {
    /// Checks templates, tokenizer and the room for text.
    ///
    /// # Errors
    /// `Config`: a template that cannot be used, a tokenizer that cannot be read, no room left for text.
    pub fn new(settings: &Settings) -> Result<Plan> {
        let template = JobTemplate::compile(&settings.job)?;
        let encoder = Encoder::open(std::path::Path::new(&settings.model.tokenizer_path))?;
        let model = &settings.model;
        let fixed = model.prefix_ids.len() + model.suffix_ids.len();
        let wanted = fixed + settings.job.max_tokens as usize;
        let window = (model.max_model_len as usize).saturating_sub(wanted);
        let basis = basis(settings, window);
        let plan = Plan {
            plan_key: plan_key(&basis, settings),
            basis,
            template,
            encoder,
            prefix: model.prefix_ids.clone(),
            suffix: model.suffix_ids.clone(),
            window,
            overlap: settings.ingest.chunk_overlap_tokens as usize,
            max_tokens: settings.job.max_tokens,
            max_chunks: settings.job.max_chunks.map(|most| most as usize),
            evidence: settings.job.evidence,
        };
        plan.check_room(settings)?;
        plan.check_evidence()?;
        Ok(plan)
    }

    fn check_room(&self, settings: &Settings) -> Result<()> {
        // A template that needs metadata cannot be rendered without a document; it is checked for each document then.
        let overhead = match self.template.render("", &Fields::default()) {
            Ok(turn) => self.encoder.encode(&turn)?.len(),
            Err(_) => 0,
        };
        let room = self.window.saturating_sub(overhead + MARGIN);
        if room >= SMALLEST_WINDOW && self.overlap * 2 < room {
            return Ok(());
        }
        Err(Error::config(
            format!(
                "model.max_model_len {} leaves {room} tokens for text: the system prompt takes {}, the template {overhead}, \
                 job.max_tokens {}, and ingest.chunk_overlap_tokens is {}",
                settings.model.max_model_len,
                self.prefix.len() + self.suffix.len(),
                self.max_tokens,
                self.overlap
            ),
            format!(
                "at least {SMALLEST_WINDOW} and twice the overlap are needed: lower job.max_tokens, shorten the prompt, or raise \
                 model.max_model_len"
            ),
        ))
    }

    /// Cuts one document into requests; what cannot be cut is rejected with the reason.
    #[must_use]
    pub fn prepare(&self, document: Document, stamp: Option<Stamp>) -> Prepared {
        let text_bytes = document.text.len() as u64;
        let fields = Fields {
            title: document.title.clone().unwrap_or_default(),
            path: document.uri.clone(),
            metadata: document.metadata.clone(),
        };
        let (work, covered_bytes) = match self.requests(&document, &fields) {
            Ok(requests) => {
                let covered = covered(&requests);
                let reduce = self.template.reduces() && requests.len() > 1;
                let work = Planned::Requests {
                    requests,
                    fields,
                    reduce,
                };
                (work, covered)
            }
            Err(reason) => {
                let status = RejectedStatus::Failed;
                (Planned::Rejected { status, reason }, 0)
            }
        };
        Prepared {
            ordinal: document.ordinal,
            source: document.uri,
            doc_id: Some(document.doc_id),
            stamp,
            text_bytes,
            covered_bytes,
            reader: document.origin.reader,
            unread: document.origin.unread,
            read: None,
            work,
        }
    }

    /// Identity of the first request of a document, without encoding it: equal for documents that are one piece of work.
    #[must_use]
    pub fn first_work(&self, document: &Document) -> WorkId {
        let identity = self.identity(&bytes_as(document), &document.uri);
        self.basis.map_id(&identity, 0)
    }

    fn requests(
        &self,
        document: &Document,
        fields: &Fields,
    ) -> std::result::Result<Vec<ChunkRequest>, String> {
        let empty_turn = self.template.render("", fields)?;
        let identity = self.identity(&bytes_as(document), &fields.path);
        match self.short(document, fields, &empty_turn, &identity)? {
            Some(request) => Ok(vec![request]),
            None => self.cut(document, fields, &empty_turn, &identity),
        }
    }

    /// Encodes the text with its offsets and cuts it into chunks that fit with the template around them.
    fn cut(
        &self,
        document: &Document,
        fields: &Fields,
        empty_turn: &str,
        identity: &Digest,
    ) -> std::result::Result<Vec<ChunkRequest>, String> {
        let encode = |text: &str| self.encoder.encode(text).map_err(|error| error.to_string());
        let overhead = encode(empty_turn)?.len();
        let mut budget = self.window.saturating_sub(overhead + MARGIN);
        if budget < SMALLEST_WINDOW {
            return Err(format!(
                "limit: the template takes {overhead} tokens of {} with this document's fields",
                self.window
            ));
        }
        let encoding = self
            .encoder
            .encode_with_offsets(&document.text)
            .map_err(|error| error.to_string())?;
        for _ in 0..RECUTS {
            let chunks = chunk::split(
                &document.text,
                document.media_type,
                &encoding,
                budget,
                self.overlap,
            );
            let most = self.max_chunks.unwrap_or(usize::MAX);
            let mut requests = Vec::with_capacity(chunks.len().min(most));
            for chunk in chunks.into_iter().take(most) {
                let turn = self.turn(&document.text[chunk.span.clone()], fields)?;
                if turn.ids.len() > self.window {
                    break;
                }
                let work_id = self.basis.map_id(identity, chunk.index);
                requests.push(self.of_chunk(document, chunk.span, work_id, &turn));
                if requests.len() == most {
                    return Ok(requests);
                }
            }
            let reached = requests
                .last()
                .is_some_and(|chunk| chunk.span[1] == document.text.len() as u64);
            if reached {
                return Ok(requests);
            }
            budget -= budget / 10;
        }
        Err(format!(
            "limit: no cut of this text fits into {} tokens",
            self.window
        ))
    }

    /// A document that is short enough to be one chunk by its bytes alone is encoded once, in its turn; None for the others.
    /// What comes out is what cutting would have given.
    fn short(
        &self,
        document: &Document,
        fields: &Fields,
        empty_turn: &str,
        identity: &Digest,
    ) -> std::result::Result<Option<ChunkRequest>, String> {
        let budget = self.window.saturating_sub(empty_turn.len() + MARGIN);
        let fits = budget >= SMALLEST_WINDOW && chunk::surely_whole(&document.text, budget);
        if !fits || self.max_chunks == Some(0) {
            return Ok(None);
        }
        let turn = self.turn(&document.text, fields)?;
        let work_id = self.basis.map_id(identity, 0);
        let whole = self.of_chunk(document, 0..document.text.len(), work_id, &turn);
        Ok((turn.ids.len() <= self.window).then_some(whole))
    }

    fn of_chunk(
        &self,
        document: &Document,
        span: std::ops::Range<usize>,
        work_id: WorkId,
        turn: &Turn,
    ) -> ChunkRequest {
        ChunkRequest {
            request: self.request(work_id, turn),
            span: [span.start as u64, span.end as u64],
            places: places_of(&document.origin.places, &span),
        }
    }

    /// Equal bytes at two paths are one piece of work, unless the template names the path.
    fn identity(&self, digest: &Digest, path: &str) -> Digest {
        if self.template.names_path() {
            return Digest::of(format!("{}\0{path}", digest.to_hex()).as_bytes());
        }
        *digest
    }
}

/// Why requests that do not fit the `rust` pool fail.
#[must_use]
pub fn too_large(bytes: u64, cap: u64) -> String {
    format!("{bytes} bytes of requests do not fit memory.rust ({cap} bytes)")
}

#[cfg(test)]
mod tests;
