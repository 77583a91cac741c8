//! JSON and JSON Lines: one record, one document.
//!
//! A `.json` file is one document as it stands, unless it is an array of objects that all have a text: then each object is
//! one. In `.jsonl` every line is one. A bad line fails alone, with its number. Called by `extract/mod.rs`.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use serde_json::Value;

use crate::document::{Digest, MediaType, Origin, Rejected, RejectedStatus};
use crate::settings::RecordSettings;

use super::{Draft, Extracted, Job, Sink, limit_reason};

/// Looked for in this order where no text field is set.
pub(super) const USUAL_TEXT_FIELDS: [&str; 4] = ["text", "content", "body", "document"];

/// A field longer than this is content and not metadata; it is left out of `metadata.*`.
pub(super) const MAX_METADATA_BYTES: usize = 4096;

pub(super) fn lines(
    job: &Job<'_>,
    text: &str,
    metadata: &BTreeMap<String, String>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let mut records = Records::lines(job, metadata);
    for (index, line) in text.lines().enumerate() {
        records.line(index + 1, line, sink)?;
    }
    ControlFlow::Continue(())
}

pub(super) fn whole(
    job: &Job<'_>,
    id: Digest,
    text: String,
    metadata: BTreeMap<String, String>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let settings = &job.settings.json;
    let value = match parse(&text, job.settings.max_json_depth) {
        Ok(value) => value,
        Err(problem) => return sink(job.rejected(Some(id), RejectedStatus::Failed, problem)),
    };
    match value {
        Value::Array(items) if is_table(&items, settings) => {
            let mut records = Records::items(job, &metadata);
            for (index, item) in items.into_iter().enumerate() {
                records.one(index + 1, Ok(item), sink)?;
            }
            ControlFlow::Continue(())
        }
        Value::Object(_) if settings.text_field.is_some() => match text_of(&value, settings) {
            Ok(found) => {
                let title = title_of(&value);
                let metadata = record_metadata(&value, metadata);
                job.file(id, MediaType::Json, title, found, metadata, sink)
            }
            Err(problem) => sink(job.rejected(Some(id), RejectedStatus::Failed, problem)),
        },
        _ => job.file(id, MediaType::Json, None, text, metadata, sink),
    }
}

/// An array is a table of records if every element is an object, and its text can be found (or is named by the user, who
/// then hears of every element that lacks it).
fn is_table(items: &[Value], settings: &RecordSettings) -> bool {
    !items.is_empty()
        && items.iter().all(Value::is_object)
        && (settings.text_field.is_some()
            || items.iter().all(|item| text_of(item, settings).is_ok()))
}

/// The records of one file, in order: lines of JSON Lines, or items of an array.
pub(super) struct Records<'a> {
    job: &'a Job<'a>,
    /// Of the file: each record has it.
    metadata: &'a BTreeMap<String, String>,
    settings: &'a RecordSettings,
    media_type: MediaType,
    unit: &'static str,
    ids: Ids,
    count: u32,
}

impl<'a> Records<'a> {
    pub(super) fn lines(job: &'a Job<'a>, metadata: &'a BTreeMap<String, String>) -> Records<'a> {
        let settings = &job.settings.jsonl;
        Records {
            job,
            metadata,
            settings,
            media_type: MediaType::Jsonl,
            unit: "line",
            ids: Ids::default(),
            count: 0,
        }
    }

    fn items(job: &'a Job<'a>, metadata: &'a BTreeMap<String, String>) -> Records<'a> {
        Records {
            settings: &job.settings.json,
            media_type: MediaType::Json,
            unit: "item",
            ..Records::lines(job, metadata)
        }
    }

    /// Rows given so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// One line without its end; white space alone is no record.
    pub(super) fn line(&mut self, number: usize, line: &str, sink: Sink<'_>) -> ControlFlow<()> {
        let line = line.trim();
        if line.is_empty() {
            return ControlFlow::Continue(());
        }
        let parsed = parse(line, self.job.settings.max_json_depth).map_err(|problem| {
            let problem = problem.replacen("at line 1 column", "at column", 1);
            (Digest::of(line.as_bytes()), problem)
        });
        self.one(number, parsed, sink)
    }

    /// A record that is not even text, or too long to look at.
    pub(super) fn bad(
        &mut self,
        number: usize,
        doc_id: Option<Digest>,
        problem: &str,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let id = self.name(None, number);
        let reason = format!("{problem}, {} {number}", self.unit);
        let row = self.rejected(Some(&id), doc_id, reason);
        self.give(row, sink)
    }

    /// The row that says why the file ends behind the records before it.
    pub(super) fn rest(&self, reason: String) -> Extracted {
        self.rejected(None, None, reason)
    }

    fn one(
        &mut self,
        number: usize,
        parsed: Result<Value, (Digest, String)>,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        let value = match parsed {
            Ok(value) => value,
            Err((doc_id, problem)) => return self.bad(number, Some(doc_id), &problem, sink),
        };
        let doc_id = Digest::of(canonical(&value).as_bytes());
        let wanted = self.settings.id_field.as_deref();
        let wanted = wanted
            .and_then(|field| lookup(&value, field))
            .and_then(scalar);
        let id = self.name(wanted, number);
        match text_of(&value, self.settings) {
            Ok(text) => {
                let draft = Draft {
                    record: self.count,
                    record_id: Some(id),
                    doc_id,
                    media_type: self.media_type,
                    title: title_of(&value),
                    text,
                    metadata: record_metadata(&value, self.metadata.clone()),
                    origin: Origin::default(),
                };
                let row = self.job.finished(draft);
                self.give(row, sink)
            }
            Err(problem) => {
                let reason = format!("{problem}, {} {number}", self.unit);
                let row = self.rejected(Some(&id), Some(doc_id), reason);
                self.give(row, sink)
            }
        }
    }

    /// Line numbers are different by themselves: only ids of the user's are kept to be compared.
    fn name(&mut self, wanted: Option<String>, number: usize) -> String {
        let id = wanted
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| number.to_string());
        if self.settings.id_field.is_none() {
            return id;
        }
        self.ids.unique(id, number)
    }

    fn give(&mut self, row: Extracted, sink: Sink<'_>) -> ControlFlow<()> {
        let Some(count) = self.count.checked_add(1) else {
            let problem = limit_reason("records", u64::from(u32::MAX) + 1, u64::from(u32::MAX));
            sink(self.rest(problem))?;
            return ControlFlow::Break(());
        };
        self.count = count;
        sink(row)
    }

    fn rejected(&self, id: Option<&str>, doc_id: Option<Digest>, reason: String) -> Extracted {
        Extracted::Rejected(Rejected {
            ordinal: self.job.ordinal(self.count),
            uri: self.job.uri(id),
            doc_id,
            status: RejectedStatus::Failed,
            reason,
            reader: None,
        })
    }
}

/// Ids of one file, made unique: two inputs never share a uri. Of each its hash is kept: should two ids ever share one, the
/// second is named as if it had come twice.
#[derive(Default)]
pub(super) struct Ids(HashSet<u64>);

impl Ids {
    pub(super) fn unique(&mut self, mut id: String, number: usize) -> String {
        while !self.0.insert(hash_of(&id)) {
            id = format!("{id}@{number}");
        }
        id
    }
}

/// The same in every process, so that a resumed run gives the same names.
fn hash_of(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// `serde_json` stops at 128 levels on its own; a higher setting does not lift that.
const PARSER_DEPTH: usize = 127;

fn parse(text: &str, max_depth: usize) -> Result<Value, String> {
    let limit = max_depth.min(PARSER_DEPTH);
    let depth = depth_of(text);
    if depth > limit {
        return Err(limit_reason("max_json_depth", depth as u64, limit as u64));
    }
    serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
}

/// Deepest nesting of brackets outside strings.
fn depth_of(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn text_of(value: &Value, settings: &RecordSettings) -> Result<String, String> {
    if let Some(field) = &settings.text_field {
        return match lookup(value, field) {
            None => Err(format!("text field {field} is missing")),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!(
                "text field {field} is {}, not a string",
                kind(other)
            )),
        };
    }
    if let Value::String(text) = value {
        return Ok(text.clone());
    }
    if !value.is_object() {
        return Err(format!(
            "record is {}, not an object or a string",
            kind(value)
        ));
    }
    USUAL_TEXT_FIELDS
        .iter()
        .find_map(|field| value.get(field).and_then(Value::as_str))
        .map(str::to_owned)
        .ok_or_else(|| format!("no text field (none of {})", USUAL_TEXT_FIELDS.join(", ")))
}

/// A JSON pointer where it begins with a slash, else a key.
fn lookup<'v>(value: &'v Value, field: &str) -> Option<&'v Value> {
    if field.starts_with('/') {
        value.pointer(field)
    } else {
        value.get(field)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn title_of(value: &Value) -> Option<String> {
    let title = value.get("title")?.as_str()?.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn record_metadata(
    value: &Value,
    mut metadata: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if let Value::Object(fields) = value {
        for (key, field) in fields {
            if let Some(text) = scalar(field).filter(|text| text.len() <= MAX_METADATA_BYTES) {
                metadata.insert(key.clone(), text);
            }
        }
    }
    metadata
}

/// Compact JSON with sorted keys: equal records have equal ids whatever their order of keys and their white space.
fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, field)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}
