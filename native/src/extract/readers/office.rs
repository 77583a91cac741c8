//! Office files, books and mail by our own parsers. Called by readers.

use std::ops::ControlFlow;

use crate::document::{MediaType, RejectedStatus};
use crate::extract::convert::{Answer, Part, Request};
use crate::extract::limit_reason;
use crate::extract::office::{self, Converted, Kind, Problem, convert};

use super::{one, placed, rejected};

/// Name and output version of our own parsers.
const OFFICE: &str = "runner office 1";

pub(super) fn office(kind: Kind, request: &Request, file: &[u8]) -> (Answer, String) {
    match convert(kind, file, &request.limits) {
        Ok(found) => {
            let Converted {
                title,
                text,
                metadata,
                spans,
            } = found;
            let places = spans.into_iter().map(|span| (span.name, span.bytes));
            let (text, places) = placed(text, places);
            let part = Part::Document {
                record_id: None,
                media: MediaType::Markdown,
                title,
                from: 0,
                to: text.len(),
                metadata,
                second: false,
                unread: None,
                places,
            };
            (one(OFFICE.to_owned(), part), text)
        }
        Err(problem) => rejected(OFFICE, verdict(&problem)),
    }
}

/// Each message one document, named by its number; the texts stand one behind the other.
pub(super) fn mbox(request: &Request, file: &[u8]) -> (Answer, String) {
    let (mut text, mut parts) = (String::new(), Vec::new());
    office::mbox(file, &request.limits, &mut |message| {
        let record_id = Some((parts.len() + 1).to_string());
        parts.push(match message {
            Ok(found) => {
                let from = text.len();
                text.push_str(&placed(found.text, std::iter::empty()).0);
                Part::Document {
                    record_id,
                    media: MediaType::Markdown,
                    title: found.title,
                    from,
                    to: text.len(),
                    metadata: found.metadata,
                    second: false,
                    unread: None,
                    places: Vec::new(),
                }
            }
            Err(problem) => {
                let (status, reason) = verdict(&problem);
                Part::Rejected {
                    record_id,
                    status,
                    reason,
                }
            }
        });
        if text.len() as u64 > request.limits.text_bytes {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    if text.len() as u64 > request.limits.text_bytes {
        let (length, limit) = (text.len() as u64, request.limits.text_bytes);
        let reason = limit_reason("max_text_bytes", length, limit);
        return rejected(OFFICE, (RejectedStatus::Failed, reason));
    }
    if parts.is_empty() {
        return rejected(OFFICE, (RejectedStatus::Skipped, "no text".to_owned()));
    }
    let reader = OFFICE.to_owned();
    (Answer { reader, parts }, text)
}

fn verdict(problem: &Problem) -> (RejectedStatus, String) {
    match problem {
        Problem::Encrypted => (
            RejectedStatus::Failed,
            "encrypted: needs a password".to_owned(),
        ),
        Problem::Unsupported(_) => (RejectedStatus::Skipped, problem.to_string()),
        Problem::Limit(_) | Problem::Damaged(_) => (RejectedStatus::Failed, problem.to_string()),
    }
}
