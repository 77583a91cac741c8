//! The requests that join partial answers: as few a level as fit the model.

use super::Plan;
use crate::document::Digest;
use crate::request::{Request, WorkId};
use crate::template::Fields;

/// One reduce request and the parts (by position) that it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReduceStep {
    pub request: Request,
    pub from: std::ops::Range<usize>,
}

impl Plan {
    /// The next level of a reduce: the fewest, evenly sized groups of neighbours whose outputs fit the model together.
    ///
    /// # Errors
    /// The reason in words: two outputs together are longer than the model takes.
    pub fn reduce(
        &self,
        outputs: &[String],
        fields: &Fields,
    ) -> std::result::Result<Vec<ReduceStep>, String> {
        debug_assert!(outputs.len() > 1, "one output needs no reduce step");
        for groups in 1..=outputs.len() / 2 {
            if let Some(steps) = self.reduce_in(groups, outputs, fields)? {
                return Ok(steps);
            }
        }
        Err(format!(
            "limit: two partial outputs do not fit into {} tokens; lower job.max_tokens",
            self.window
        ))
    }

    /// Identity of a reduce that could not be built, so that its failure can be written down.
    #[must_use]
    pub fn failed_reduce_id(&self, outputs: &[String]) -> WorkId {
        let hashes = outputs.iter().map(|output| Digest::of(output.as_bytes()));
        self.basis.reduce_id(&hashes.collect::<Vec<_>>())
    }

    fn reduce_in(
        &self,
        groups: usize,
        outputs: &[String],
        fields: &Fields,
    ) -> std::result::Result<Option<Vec<ReduceStep>>, String> {
        let mut steps = Vec::with_capacity(groups);
        for group in 0..groups {
            let from = outputs.len() * group / groups..outputs.len() * (group + 1) / groups;
            let turn = self
                .template
                .render_reduce(&outputs[from.clone()], fields)?;
            let turn = self.without_source(&turn)?;
            if turn.ids.len() > self.window {
                return Ok(None);
            }
            let outputs = outputs[from.clone()].iter();
            let hashes: Vec<Digest> = outputs
                .map(|output| self.identity(&Digest::of(output.as_bytes()), &fields.path))
                .collect();
            let request = self.request(self.basis.reduce_id(&hashes), &turn);
            steps.push(ReduceStep { request, from });
        }
        Ok(Some(steps))
    }
}
