//! One line of results.jsonl, from the journal's records of one input. docs/results.md is the format's page.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use crate::document::{Digest, InputKey, Ordinal, input_key};
use crate::error::Result;
use crate::journal::record::{Part, ReadTime, ResultRecord, Timings};
use crate::journal::{InputStatus, Loaded, ResultReader, RunState, Verdict};
use crate::request::WorkId;

use super::{Counts, unaccounted};

/// Results that have just become durable, so that they need not be read back.
pub type Fresh = HashMap<WorkId, ResultRecord>;

/// Where lines come from.
pub struct Source<'a> {
    pub state: &'a RunState,
    reader: &'a ResultReader,
    fresh: Option<&'a Fresh>,
}

#[derive(Serialize)]
struct Line<'a> {
    input_id: String,
    source: &'a str,
    doc_id: Option<Digest>,
    status: InputStatus,
    reason: String,
    output: Option<&'a str>,
    parts: Vec<PartLine<'a>>,
    attempts: u32,
    duplicate_of: Option<String>,
    reused_from: Option<&'a str>,
    coverage: Coverage,
    timings: Timings,
    reader: Option<&'a str>,
    unread: Option<&'a str>,
    read: Option<ReadTime>,
}

#[derive(Serialize)]
struct PartLine<'a> {
    work_id: WorkId,
    span: [u64; 2],
    places: Option<&'a [String; 2]>,
    output: &'a str,
    finish_reason: &'a str,
    tokens_in: u32,
    tokens_out: u32,
    made: Option<PartMade>,
}

/// When and where a part was made; None where another run or no worker made it.
#[derive(Serialize)]
struct PartMade {
    worker: u32,
    ended_unix_ms: u64,
    #[serde(flatten)]
    timings: Timings,
}

#[derive(Serialize)]
struct Coverage {
    text_bytes: u64,
    covered_bytes: u64,
}

/// A result on its way into a line, and the run it was taken over from.
struct Held<'a> {
    record: Cow<'a, ResultRecord>,
    run: Option<String>,
}

impl<'a> Source<'a> {
    pub fn new(state: &'a RunState, reader: &'a ResultReader) -> Source<'a> {
        Source {
            state,
            reader,
            fresh: None,
        }
    }

    #[must_use]
    pub fn with(self, fresh: &'a Fresh) -> Source<'a> {
        Source {
            fresh: Some(fresh),
            ..self
        }
    }

    /// The line of one finished input, its end, and its share of the counts.
    pub(super) fn line(
        &self,
        ordinal: Ordinal,
        counts: &mut Counts,
    ) -> Result<(Vec<u8>, InputStatus)> {
        let nowhere = || unaccounted(Path::new("journal"), format!("input {ordinal:?}"));
        let offset = self.state.offset(ordinal).ok_or_else(nowhere)?;
        let input = self.reader.input(offset)?;
        let verdict = self.state.verdict(&input).ok_or_else(nowhere)?;
        let parts = self.state.parts(&input);
        let mut held = Vec::with_capacity(parts.len() + 1);
        for part in parts {
            held.push(self.load(&part.work_id)?);
        }
        let reason = verdict
            .cause
            .reason(|work_id| self.reason(work_id, &held))?;
        let final_at = self.final_at(&verdict, &mut held)?;
        let line = Line {
            input_id: input_id(&input.source, input.doc_id.as_ref()),
            source: &input.source,
            doc_id: input.doc_id,
            status: verdict.status,
            reason,
            output: final_at.map(|index| held[index].record.output.as_str()),
            parts: parts.iter().zip(&held).map(part_line).collect(),
            attempts: held
                .iter()
                .map(|held| held.record.attempts)
                .max()
                .unwrap_or(0),
            duplicate_of: self.original(ordinal, parts.first().map(|part| &part.work_id))?,
            reused_from: reused_from(&held),
            coverage: Coverage {
                text_bytes: input.text_bytes,
                covered_bytes: input.covered_bytes,
            },
            timings: total(&held),
            reader: input.reader.as_deref(),
            unread: input.unread.as_deref(),
            read: input.read,
        };
        counts.add(&line);
        let mut bytes = serde_json::to_vec(&line)
            .map_err(|error| unaccounted(Path::new(&input.source), error.to_string()))?;
        bytes.push(b'\n');
        Ok((bytes, verdict.status))
    }

    fn load(&self, work_id: &WorkId) -> Result<Held<'a>> {
        if let Some(record) = self.fresh.and_then(|fresh| fresh.get(work_id)) {
            return Ok(Held {
                record: Cow::Borrowed(record),
                run: None,
            });
        }
        let found = self.state.result(work_id).ok_or_else(|| {
            unaccounted(Path::new("journal"), format!("no result of {work_id:?}"))
        })?;
        let Loaded { record, run } = self.reader.result(work_id, found)?;
        Ok(Held {
            record: Cow::Owned(record),
            run,
        })
    }

    fn reason(&self, work_id: &WorkId, held: &[Held<'_>]) -> Result<String> {
        let is_it = |held: &&Held<'_>| held.record.work_id == *work_id;
        match held.iter().find(is_it) {
            Some(held) => Ok(held.record.reason.clone()),
            None => Ok(self.load(work_id)?.record.reason.clone()),
        }
    }

    /// Where the text stands that is the input's output; a reduce step's is loaded behind the parts.
    fn final_at(&self, verdict: &Verdict, held: &mut Vec<Held<'a>>) -> Result<Option<usize>> {
        let Some(work_id) = &verdict.final_work else {
            return Ok(None);
        };
        let is_it = |held: &Held<'_>| held.record.work_id == *work_id;
        if let Some(index) = held.iter().position(is_it) {
            return Ok(Some(index));
        }
        held.push(self.load(work_id)?);
        Ok(Some(held.len() - 1))
    }

    /// The first input with the same first part, when that is another one.
    fn original(&self, ordinal: Ordinal, first_part: Option<&WorkId>) -> Result<Option<String>> {
        let first = first_part.and_then(|work_id| self.state.first_user(work_id));
        let first = first.filter(|first| *first != ordinal);
        let Some(offset) = first.and_then(|first| self.state.offset(first)) else {
            return Ok(None);
        };
        let first = self.reader.input(offset)?;
        Ok(Some(input_id(&first.source, first.doc_id.as_ref())))
    }
}

impl Counts {
    fn add(&mut self, line: &Line<'_>) {
        match line.status {
            InputStatus::Ok => self.ok += 1,
            InputStatus::Failed => self.failed += 1,
            InputStatus::Skipped => self.skipped += 1,
            InputStatus::Quarantined => self.quarantined += 1,
        }
        self.reused += u64::from(line.reused_from.is_some());
        self.duplicates += u64::from(line.duplicate_of.is_some());
        self.text_bytes += line.coverage.text_bytes;
        self.covered_bytes += line.coverage.covered_bytes;
    }
}

/// Identity of an input in results.jsonl: 16 hex digits over (uri, `doc_id`).
pub fn input_id(uri: &str, doc_id: Option<&Digest>) -> String {
    let key: InputKey = input_key(uri, doc_id);
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    format!("{:016x}", u64::from_be_bytes(first))
}

fn part_line<'a>((part, held): (&'a Part, &'a Held<'_>)) -> PartLine<'a> {
    let record = &held.record;
    PartLine {
        work_id: part.work_id,
        span: part.span,
        places: part.places.as_ref(),
        output: &record.output,
        finish_reason: &record.finish_reason,
        tokens_in: record.tokens_in,
        tokens_out: record.tokens_out,
        made: record
            .made
            .filter(|_| held.run.is_none())
            .map(|made| PartMade {
                worker: made.worker,
                ended_unix_ms: made.ended_unix_ms,
                timings: record.timings,
            }),
    }
}

/// The run that all of an input's results came from; None when any was made here.
fn reused_from<'a>(held: &'a [Held<'_>]) -> Option<&'a str> {
    let mut last = None;
    for held in held {
        last = Some(held.run.as_deref()?);
    }
    last
}

fn total(held: &[Held<'_>]) -> Timings {
    let mut sum = Timings {
        queued_ms: 0.0,
        prefill_ms: 0.0,
        decode_ms: 0.0,
    };
    for Held { record, .. } in held {
        sum.queued_ms += record.timings.queued_ms;
        sum.prefill_ms += record.timings.prefill_ms;
        sum.decode_ms += record.timings.decode_ms;
    }
    sum
}
