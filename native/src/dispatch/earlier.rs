//! Inputs that earlier runs and earlier lives have left: unchanged files, and inputs that discovery does not meet again.

use crate::document::{Circumstance, Ordinal};
use crate::error::Result;
use crate::index::{DISCOVERY_FINISHED, KnownInput};
use crate::journal::record::{Record, Setting, Vanished};

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
            input.ordinal = *logged;
            if !self.unmet.remove(logged) {
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
            input.read = None;
            self.append(
                Record::Input(input),
                Some(Ticket::InputLogged(ordinal)),
                false,
            );
        }
        for (reused, _) in known.works {
            let work_id = reused.work_id;
            if ledger.finished_here(&work_id).is_some() {
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
                self.reusing.insert(work_id);
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
    pub fn discovery_done(&mut self) {
        self.discovery_done = true;
        let mut vanished: Vec<Ordinal> = self.unmet.drain().collect();
        vanished.sort_unstable();
        for ordinal in vanished {
            self.tally.inputs += 1;
            let reason = Circumstance::Source.reason("changed or deleted since the run began");
            self.pending
                .insert(ordinal, Pending::rejected(InputEnd::Failed));
            let record = Record::Vanished(Vanished { ordinal, reason });
            self.append(record, Some(Ticket::InputLogged(ordinal)), false);
        }
        // Behind every input record: what tells the index that the records of each file are all there.
        let mark = Setting {
            name: DISCOVERY_FINISHED.to_owned(),
            value: true.into(),
            detail: String::new(),
        };
        self.append(Record::Setting(mark), None, false);
    }
}
