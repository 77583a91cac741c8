//! The user's turn of one request, and where the document stands in it when answers have to prove their quotes.

use super::Plan;
use crate::error::{Error, Result};
use crate::request::{Request, TokenSpan, WorkId};
use crate::template::Fields;

/// The user's turn as tokens.
pub(super) struct Turn {
    pub ids: Vec<u32>,
    pub source: TokenSpan,
}

impl Plan {
    /// The turn for `text`, a whole document or a chunk.
    pub(super) fn turn(&self, text: &str, fields: &Fields) -> std::result::Result<Turn, String> {
        let turn = self.template.render(text, fields)?;
        if !self.evidence {
            return self.without_source(&turn);
        }
        let text = text.trim();
        // Equal words that stand in front of it, in its title perhaps, are as good.
        let Some(start) = turn.find(text) else {
            return Err(
                "evidence: job.template changes the text, quotes cannot be looked for".into(),
            );
        };
        let located = self
            .encoder
            .encode_locating(&turn, &(start..start + text.len()));
        let (ids, source) = located.map_err(|error| error.to_string())?;
        Ok(Turn { ids, source })
    }

    /// A turn that quotes nothing.
    pub(super) fn without_source(&self, turn: &str) -> std::result::Result<Turn, String> {
        let ids = self
            .encoder
            .encode(turn)
            .map_err(|error| error.to_string())?;
        let source = TokenSpan::default();
        Ok(Turn { ids, source })
    }

    /// The turn between the model's own marks.
    pub(super) fn request(&self, work_id: WorkId, turn: &Turn) -> Request {
        let mut token_ids =
            Vec::with_capacity(self.prefix.len() + turn.ids.len() + self.suffix.len());
        token_ids.extend_from_slice(&self.prefix);
        token_ids.extend_from_slice(&turn.ids);
        token_ids.extend_from_slice(&self.suffix);
        Request {
            work_id,
            token_ids,
            max_tokens: self.max_tokens,
            source: turn.source.behind(self.prefix.len()),
        }
    }

    /// Quotes are looked for in the document as the prompt shows it.
    pub(super) fn check_evidence(&self) -> Result<()> {
        let text = "Some words to Find again: 3.";
        let turn = self.template.render(text, &Fields::default());
        if !self.evidence || turn.is_err() || turn.is_ok_and(|turn| turn.contains(text)) {
            return Ok(()); // a template that needs metadata is checked for each document
        }
        Err(Error::config(
            "job.evidence is true, and job.template changes the document's text: quotes cannot be looked for in it",
            "write {{ document }} without a filter, or job.evidence=false",
        ))
    }
}
