//! Inputs that earlier runs and earlier lives have left: unchanged files, and inputs that discovery does not meet again.

use crate::error::Result;
use crate::index::{DISCOVERY_FINISHED, KnownInput};
use crate::journal::record::{Input, InputOutcome, Record, Setting};
use crate::request::WorkId;
use crate::template::Fields;

use super::inputs::failed;
use super::{Dispatch, InputEnd, Ledger, Pending, Ticket};

impl Dispatch {
    /// One input of a file that has not changed since an earlier run answered it.
    ///
    /// # Errors
    /// As `prepared`.
    pub fn known(&mut self, known: KnownInput, ledger: &dyn Ledger, now_ms: u64) -> Result<()> {
        let mut input = known.input;
        let logged = ledger.logged_input(&input.source, input.doc_id.as_ref());
        if let Some(logged) = &logged {
            input.ordinal = logged.ordinal;
            if self.unmet.remove(&logged.ordinal).is_none() {
                return Ok(());
            }
        } else {
            input.ordinal.file += self.free_file;
        }
        let ordinal = input.ordinal;
        self.tally.inputs += 1;
        self.tally.text_bytes += input.text_bytes;
        self.tally.covered_bytes += input.covered_bytes;
        let mut missing = 0;
        if logged.is_none() {
            missing += 1;
            "unchanged".clone_into(&mut input.why);
            self.append(
                Record::Input(input),
                Some(Ticket::InputLogged(ordinal)),
                false,
            );
        }
        for (reused, status) in known.works {
            let work_id = reused.work_id;
            if self.is_done(&work_id, ledger) {
                continue;
            }
            missing += 1;
            if let Some(&handle) = self.handles.get(&work_id) {
                if let Some(work) = self.works.get_mut(&handle) {
                    work.waiting.push(ordinal);
                }
                continue;
            }
            let first = !self.recorded.contains_key(&work_id);
            self.recorded.entry(work_id).or_default().push(ordinal);
            if first {
                self.reused_status.insert(work_id, status);
                let ticket = Ticket::Committed {
                    work_id,
                    handle: None,
                };
                self.append(Record::Reused(reused), Some(ticket), false);
            }
        }
        for step in known.steps {
            missing += 1;
            let ticket = Some(Ticket::InputLogged(ordinal));
            self.append(Record::Reduced(step), ticket, false);
        }
        let mut pending = Pending::rejected(known.status);
        pending.missing = missing;
        self.pending.insert(ordinal, pending);
        self.count_down(ordinal, 0, ledger, now_ms)
    }

    /// Discovery has come to its end: inputs of an earlier life that are gone or changed are closed as failed.
    ///
    /// # Errors
    /// As `prepared`.
    pub fn discovery_done(&mut self, ledger: &dyn Ledger) -> Result<()> {
        self.discovery_done = true;
        let unmet: Vec<Input> = self.unmet.drain().map(|(_, input)| input).collect();
        for input in unmet {
            self.tally.inputs += 1;
            let InputOutcome::Pending { parts, .. } = input.outcome else {
                continue;
            };
            let level: Vec<WorkId> = parts.iter().map(|part| part.work_id).collect();
            let missing: Vec<WorkId> = level
                .iter()
                .filter(|id| !self.is_done(id, ledger) && !self.handles.contains_key(id))
                .copied()
                .collect();
            self.pending.insert(
                input.ordinal,
                Pending {
                    fields: Fields::default(),
                    reduce: false,
                    level,
                    missing: missing.len().max(1),
                    rejected: Some(InputEnd::Failed),
                },
            );
            if missing.is_empty() {
                self.close(input.ordinal, InputEnd::Failed, None);
            }
            for work_id in missing {
                let reason = "source: changed or deleted since the run began".to_owned();
                let record = failed(work_id, reason, Vec::new());
                self.recorded
                    .entry(work_id)
                    .or_default()
                    .push(input.ordinal);
                let ticket = Ticket::Committed {
                    work_id,
                    handle: None,
                };
                self.append(Record::Result(record), Some(ticket), false);
            }
        }
        // Behind every input record: what tells the index that the records of each file are all there.
        let mark = Setting {
            name: DISCOVERY_FINISHED.to_owned(),
            value: true.into(),
            detail: String::new(),
        };
        self.append(Record::Setting(mark), None, false);
        Ok(())
    }
}
