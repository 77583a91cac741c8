//! The run's books: journal, state, published lines and index, kept in step. A record counts once it is durable.
//!
//! What dispatch asks of finished work (`Ledger`) is answered here. Owned by the dispatcher thread alone.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::dispatch::{Ledger, Ticket};
use crate::document::{Digest, Ordinal, input_key};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::journal::record::{Record, ResultStatus, Reused};
use crate::journal::{
    Ack, FILE_NAME, InputStatus, Journal, Logged, Marks, NewLife, ResultReader, RunState, Suspicion,
};
use crate::prepare::Plan;
use crate::publish::{Counts, Fresh, Publisher, Source};
use crate::request::WorkId;
use crate::scheduler::Care;
use crate::settings::{Reuse, Settings};

use super::Opened;
use super::mailbox::Post;

/// The inputs that earlier lives of this run have logged. Never changes: the extract threads look at it too.
pub struct EarlierLives {
    logged: Logged,
    ended: Marks,
}

impl EarlierLives {
    /// The input has its answer: nothing of it is wanted any more.
    pub fn has_ended(&self, source: &str, doc_id: Option<&Digest>) -> bool {
        // Mostly there is no earlier life: no key is made.
        self.logged.len() > 0
            && self
                .logged
                .find(&input_key(source, doc_id))
                .is_some_and(|row| self.ended.has(row))
    }
}

pub struct Books {
    journal: Journal,
    state: RunState,
    reader: ResultReader,
    publisher: Publisher,
    index: Option<Index>,
    plan_key: Digest,
    /// Appended and not yet durable, in order, with what the acknowledgement is for.
    on_the_way: VecDeque<(Record, Option<Ticket>)>,
    earlier: Arc<EarlierLives>,
    /// Results that have become durable in this turn.
    fresh: Fresh,
    /// A start mark was appended in this turn.
    urgent: bool,
}

impl Books {
    /// # Errors
    /// `Storage`, `CorruptJournal`, `Config` for another plan.
    pub fn open(
        settings: &Settings,
        plan: &Plan,
        outputs: &Path,
        life: NewLife,
        post: Post,
    ) -> Result<Books> {
        let folder = Path::new(&settings.run_dir);
        let path = folder.join(FILE_NAME);
        let wake = Box::new(move || post.ring());
        let (journal, mut state, logged) =
            Journal::open_waking(&path, settings.durability, life, wake)?;
        let reader = ResultReader::open(outputs, &path)?;
        // Work whose earlier result is gone meanwhile is outstanding again: it runs here.
        let _lost = reader.resolve(&mut state)?;
        let publisher = Publisher::open(folder, &state, &reader, &logged)?;
        let index = match settings.reuse {
            Reuse::Finished => Some(Index::open(Path::new(&settings.index_path), Some(folder))?.0),
            Reuse::Never => None,
        };
        let mut ended = Marks::default();
        for (row, end) in (0..).zip(state.ends()) {
            if end.is_some() {
                ended.set(row);
            }
        }
        Ok(Books {
            journal,
            state,
            reader,
            publisher,
            index,
            plan_key: plan.plan_key,
            on_the_way: VecDeque::new(),
            earlier: Arc::new(EarlierLives { logged, ended }),
            fresh: Fresh::new(),
            urgent: false,
        })
    }

    pub fn opened(&self) -> Opened {
        Opened {
            incarnation: self.journal.incarnation(),
            inputs_logged: self.state.input_count() as u64,
            inputs_finished: self.finished().count() as u64,
        }
    }

    /// Inputs of earlier lives without an answer, and the first file number that no life has used.
    pub fn unfinished(&self) -> (Vec<Ordinal>, u32) {
        let free_file = self.state.last_file().map_or(0, |file| file + 1);
        (self.state.unfinished(), free_file)
    }

    /// How the finished inputs of earlier lives ended.
    pub fn finished(&self) -> impl Iterator<Item = InputStatus> + '_ {
        self.state.ends().flatten()
    }

    pub fn earlier(&self) -> Arc<EarlierLives> {
        Arc::clone(&self.earlier)
    }

    /// The questions until `answered` share one look at the index.
    ///
    /// # Errors
    /// `Storage` when the index can't be read.
    pub fn asked(&self) -> Result<()> {
        self.index.as_ref().map_or(Ok(()), Index::reads_begin)
    }

    /// # Errors
    /// As `asked`.
    pub fn answered(&self) -> Result<()> {
        self.index.as_ref().map_or(Ok(()), Index::reads_end)
    }

    /// # Errors
    /// `Storage` after the first storage error.
    pub fn append(&mut self, record: Record, ticket: Option<Ticket>, urgent: bool) -> Result<()> {
        // Every record carries a ticket for the writer, so that acknowledgements come one for one and in order.
        self.journal.append(&record, Some(0))?;
        self.on_the_way.push_back((record, ticket));
        self.urgent |= urgent;
        Ok(())
    }

    /// Folds in what has become durable; the tickets of it, in order.
    ///
    /// # Errors
    /// The storage error that stopped the writer.
    pub fn acknowledged(&mut self) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::new();
        while let Ok(ack) = self.journal.acks().try_recv() {
            let offset = match ack {
                Ack::Durable { offset, .. } => offset,
                Ack::Failed(error) => return Err(error),
            };
            let Some((record, ticket)) = self.on_the_way.pop_front() else {
                return Err(Error::Channel(
                    "an acknowledgement for no record; this is a bug".into(),
                ));
            };
            self.state.apply(&record, offset);
            match record {
                Record::Result(result) => drop(self.fresh.insert(result.work_id, result)),
                Record::Reused(_) => {
                    if let Some((_, error)) = self.reader.resolve(&mut self.state)?.pop() {
                        return Err(error);
                    }
                }
                _ => {}
            }
            tickets.extend(ticket);
        }
        Ok(tickets)
    }

    pub fn all_durable(&self) -> bool {
        self.on_the_way.is_empty()
    }

    /// # Errors
    /// `Storage` or `CorruptJournal`.
    pub fn publish(&mut self, ordinal: Ordinal) -> Result<()> {
        let source = Source::new(&self.state, &self.reader).with(&self.fresh);
        self.publisher.finish_input(&source, ordinal)
    }

    /// The end of a turn: what was published in it is written, and the journal's group if a start mark is in it.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush(&mut self) -> Result<()> {
        if std::mem::take(&mut self.urgent) {
            self.journal.flush_now()?;
        }
        self.fresh.clear();
        self.publisher.flush()
    }

    /// Closes the journal cleanly; with `finished` the results get their final order and the counts are checked.
    ///
    /// # Errors
    /// `Storage`, or `CorruptJournal` when the counts do not close.
    pub fn close(
        mut self,
        finished: bool,
        index_path: &Path,
        unix_ms: u64,
    ) -> Result<Option<Counts>> {
        self.journal.sync()?;
        self.acknowledged()?;
        self.flush()?;
        let counts = if finished {
            Some(self.publisher.finish(&self.state, &self.reader)?)
        } else {
            None
        };
        self.journal.close(unix_ms)?;
        let has_index = self.index.is_some();
        // One state at a time: the index makes its own.
        drop((self.state, self.reader, self.index, self.earlier));
        if has_index {
            // Opening it again takes this run in, so that the next start finds nothing left to read.
            Index::open(index_path, None)?;
        }
        Ok(counts)
    }
}

impl Ledger for Books {
    fn finished_here(&self, work_id: &WorkId) -> Option<ResultStatus> {
        self.state.result(work_id).map(|found| found.status)
    }

    fn finished_elsewhere(&self, work_id: &WorkId) -> Result<Option<(Reused, ResultStatus)>> {
        match &self.index {
            // Looked at before it is taken over: a record that is gone or damaged is simply not finished.
            Some(index) => Ok(index
                .finished(work_id)?
                .filter(|(reused, _)| self.reader.load_reused(reused).is_ok())),
            None => Ok(None),
        }
    }

    fn history(&self, work_id: &WorkId) -> (u32, Care) {
        let care = match self.state.suspicion(work_id) {
            Suspicion::None => Care::Normal,
            Suspicion::Last => Care::Suspect,
            Suspicion::Alone => Care::Solitary,
        };
        (self.state.attempts(work_id), care)
    }

    fn logged_input(&self, source: &str, doc_id: Option<&Digest>) -> Option<Ordinal> {
        let logged = &self.earlier.logged;
        if logged.len() == 0 {
            return None;
        }
        let row = logged.find(&input_key(source, doc_id))?;
        Some(self.state.ordinal(row))
    }

    fn why(&self, source: &str, doc_id: Option<&Digest>) -> Result<String> {
        match (&self.index, doc_id) {
            (Some(index), Some(doc_id)) => {
                let why = index.why(source, doc_id, &self.plan_key)?;
                Ok(why.text().to_owned())
            }
            _ => Ok("new".to_owned()),
        }
    }

    fn output(&self, work_id: &WorkId) -> Result<String> {
        if let Some(result) = self.fresh.get(work_id) {
            return Ok(result.output.clone());
        }
        let found = self.state.result(work_id).ok_or_else(|| {
            Error::Channel(format!("no durable result of {work_id:?}; this is a bug"))
        })?;
        Ok(self.reader.result(work_id, found)?.record.output)
    }
}
