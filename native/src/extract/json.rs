//! JSON and JSON Lines: one record, one document.
//!
//! A `.json` file is one document as it stands, unless it is an array of objects that all have a text: then each object is
//! one. In `.jsonl` every line is one. A bad line fails alone, with its number. Called by `extract/mod.rs`.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use serde_json::Value;

use crate::document::{Digest, MediaType, RejectedStatus};
use crate::settings::RecordSettings;

use super::{Draft, Job, Sink, limit_reason};

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
    let mut ids = Ids::default();
    let mut record = 0;
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() {
            continue;
        }
        let parsed = parse(line, job.settings.max_json_depth).map_err(|problem| {
            let problem = problem.replacen("at line 1 column", "at column", 1);
            (Digest::of(line.as_bytes()), problem)
        });
        one(
            job,
            record,
            number,
            parsed,
            "line",
            &job.settings.jsonl,
            &mut ids,
            metadata,
            sink,
        )?;
        record += 1;
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
            let mut ids = Ids::default();
            for (index, item) in items.into_iter().enumerate() {
                let record = u32::try_from(index).unwrap_or(u32::MAX);
                one(
                    job,
                    record,
                    index + 1,
                    Ok(item),
                    "item",
                    settings,
                    &mut ids,
                    &metadata,
                    sink,
                )?;
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

#[expect(
    clippy::too_many_arguments,
    reason = "one record's whole context, used at two places"
)]
fn one(
    job: &Job<'_>,
    record: u32,
    number: usize,
    parsed: Result<Value, (Digest, String)>,
    unit: &str,
    settings: &RecordSettings,
    ids: &mut Ids,
    metadata: &BTreeMap<String, String>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let value = match parsed {
        Ok(value) => value,
        Err((doc_id, problem)) => {
            let id = ids.unique(number.to_string(), number);
            let reason = format!("{problem}, {unit} {number}");
            return sink(job.reject_record(
                record,
                Some(&id),
                doc_id,
                RejectedStatus::Failed,
                reason,
            ));
        }
    };
    let doc_id = Digest::of(canonical(&value).as_bytes());
    let id = settings
        .id_field
        .as_deref()
        .and_then(|field| lookup(&value, field))
        .and_then(scalar)
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| number.to_string());
    let id = ids.unique(id, number);
    match text_of(&value, settings) {
        Ok(text) => job.emit(
            Draft {
                record,
                record_id: Some(id),
                doc_id,
                media_type: if unit == "line" {
                    MediaType::Jsonl
                } else {
                    MediaType::Json
                },
                title: title_of(&value),
                text,
                metadata: record_metadata(&value, metadata.clone()),
                reader: None,
                places: Vec::new(),
            },
            sink,
        ),
        Err(problem) => {
            let reason = format!("{problem}, {unit} {number}");
            sink(job.reject_record(record, Some(&id), doc_id, RejectedStatus::Failed, reason))
        }
    }
}

/// Ids of one file, made unique: two inputs never share a uri.
#[derive(Default)]
pub(super) struct Ids(HashSet<String>);

impl Ids {
    pub(super) fn unique(&mut self, id: String, number: usize) -> String {
        let id = if self.0.contains(&id) {
            format!("{id}@{number}")
        } else {
            id
        };
        self.0.insert(id.clone());
        id
    }
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
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical(&fields[key], out);
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
