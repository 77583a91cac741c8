//! Mail: one message (eml) or many in a row (mbox), each a document: its subject, its people, its text.
//!
//! Plain text is preferred; a message that has only HTML goes through the HTML converter. Attachments are named in the metadata
//! and not read, a message inside a message neither.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use mail_parser::{Address, Message};

use super::mime::{self, Body};
use super::{Converted, OfficeLimits, Outcome, Problem, epub, one_line};

pub fn mail(bytes: &[u8], limits: &OfficeLimits) -> Outcome<Converted> {
    let (fields, _) = mime::head(bytes)?;
    let fields = fields.ok_or_else(|| Problem::Damaged("mail: no header fields".to_owned()))?;
    let parts = mime::parts(bytes)?;
    let text = text_of(parts.bodies, limits)?;
    if text.is_empty() && parts.encrypted {
        return Err(Problem::Encrypted);
    }
    let mut metadata = people(&fields);
    if !parts.attachments.is_empty() {
        metadata.insert(
            "attachments".to_owned(),
            one_line(&parts.attachments.join(", ")),
        );
    }
    let subject = fields.subject().map(one_line);
    Ok(Converted {
        title: subject.filter(|subject| !subject.is_empty()),
        text,
        metadata,
        spans: Vec::new(),
    })
}

/// Gives each message of a mailbox to `sink`, in order, until it breaks; a message that cannot be read does not stop the others.
pub fn mbox(
    bytes: &[u8],
    limits: &OfficeLimits,
    sink: &mut dyn FnMut(Outcome<Converted>) -> ControlFlow<()>,
) {
    let mut start: Option<usize> = None;
    let mut at = 0;
    let mut blank = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if blank && line.starts_with(b"From ") {
            if let Some(start) = start
                && sink(mail(&unquoted(&bytes[start..at]), limits)).is_break()
            {
                return;
            }
            start = Some(at + line.len());
        }
        at += line.len();
        blank = matches!(line, b"\n" | b"\r\n");
    }
    let last = match start {
        Some(start) => mail(&unquoted(&bytes[start..]), limits),
        None => Err(Problem::Damaged("mbox: no message".to_owned())),
    };
    let _ = sink(last);
}

/// Writers of mailboxes put `>` before a line that would begin a message.
fn unquoted(message: &[u8]) -> Cow<'_, [u8]> {
    let quoted = |line: &[u8]| {
        let rest = line.trim_ascii_start();
        let marks = rest.iter().take_while(|byte| **byte == b'>').count();
        line.len() == rest.len() && marks > 0 && rest[marks..].starts_with(b"From ")
    };
    let lines = || message.split_inclusive(|byte| *byte == b'\n');
    if !lines().any(quoted) {
        return Cow::Borrowed(message);
    }
    let mut plain = Vec::with_capacity(message.len());
    for line in lines() {
        plain.extend_from_slice(&line[usize::from(quoted(line))..]);
    }
    Cow::Owned(plain)
}

fn text_of(bodies: Vec<Body>, limits: &OfficeLimits) -> Outcome<String> {
    let plain: HashSet<usize> = bodies
        .iter()
        .filter(|body| !body.html && !body.text.trim().is_empty())
        .filter_map(|body| body.choice)
        .collect();
    let mut text = String::new();
    for body in bodies {
        if body.html && body.choice.is_some_and(|choice| plain.contains(&choice)) {
            continue;
        }
        let piece = if body.html {
            epub::page("mail", &body.text, limits)?.text
        } else {
            body.text.replace("\r\n", "\n").replace('\r', "\n")
        };
        let piece = piece.trim();
        let size = (text.len() + piece.len()) as u64;
        if size > limits.text_bytes {
            return Err(Problem::limit("max_text_bytes", size, limits.text_bytes));
        }
        if !text.is_empty() && !piece.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(piece);
    }
    Ok(text)
}

fn people(fields: &Message<'_>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    let named = [
        ("from", fields.from()),
        ("to", fields.to()),
        ("cc", fields.cc()),
    ];
    for (name, address) in named {
        let shown = one_line(&address.map(shown).unwrap_or_default());
        if !shown.is_empty() {
            metadata.insert(name.to_owned(), shown);
        }
    }
    if let Some(date) = fields.date() {
        metadata.insert("date".to_owned(), date.to_rfc3339());
    }
    if let Some(id) = fields.message_id() {
        metadata.insert("message_id".to_owned(), one_line(id));
    }
    metadata
}

fn shown(address: &Address<'_>) -> String {
    let people: Vec<String> = address
        .iter()
        .filter_map(|person| match (person.name(), person.address()) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (name, address) => name.or(address).map(str::to_owned),
        })
        .collect();
    people.join(", ")
}
