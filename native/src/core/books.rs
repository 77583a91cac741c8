//! The run's books: journal, state, published lines and index, kept in step. A record counts once it is durable.
//!
//! What dispatch asks of finished work (`Ledger`) is answered here. Owned by the dispatcher thread alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;

use crate::dispatch::{Ledger, Ticket};
use crate::document::{Digest, Ordinal};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::journal::record::{Input, Record, ResultStatus, Reused};
use crate::journal::{
    Ack, FILE_NAME, InputStatus, Journal, NewLife, ResultReader, RunState, Suspicion,
};
use crate::prepare::Plan;
use crate::publish::{Counts, Publisher};
use crate::request::WorkId;
use crate::scheduler::Care;
use crate::settings::{Reuse, Settings};

use super::Opened;
use super::mailbox::Post;

type InputKey = (String, Option<Digest>);

pub struct Books {
    journal: Journal,
    state: RunState,
    reader: ResultReader,
    publisher: Publisher,
    index: Option<Index>,
    plan_key: Digest,
    /// Appended and not yet durable, in order, with what the acknowledgement is for.
    on_the_way: VecDeque<(Record, Option<Ticket>)>,
    /// Inputs that an earlier life of this run has logged.
    logged: HashMap<InputKey, Ordinal>,
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
        let (journal, mut state) = Journal::open_waking(&path, settings.durability, life, wake)?;
        let reader = ResultReader::open(outputs, &path)?;
        // Work whose earlier result is gone meanwhile is outstanding again: it runs here.
        let _lost = reader.resolve(&mut state);
        let publisher = Publisher::open(folder, &state, &reader)?;
        let index = match settings.reuse {
            Reuse::Finished => Some(Index::open(Path::new(&settings.index_path))?.0),
            Reuse::Never => None,
        };
        let logged = state
            .inputs()
            .map(|input| ((input.source.clone(), input.doc_id), input.ordinal))
            .collect();
        Ok(Books {
            journal,
            state,
            reader,
            publisher,
            index,
            plan_key: plan.plan_key,
            on_the_way: VecDeque::new(),
            logged,
        })
    }

    pub fn opened(&self) -> Opened {
        let finished = self.logged.len() - self.state.unfinished().count();
        Opened {
            incarnation: self.journal.incarnation(),
            inputs_logged: self.logged.len() as u64,
            inputs_finished: finished as u64,
        }
    }

    /// Inputs of earlier lives without an answer, and the first file number that no life has used.
    pub fn unfinished(&self) -> (Vec<Ordinal>, u32) {
        let last = self.state.inputs().map(|input| input.ordinal.file).max();
        let free_file = last.map_or(0, |file| file + 1);
        let unfinished = self.state.unfinished().map(|input| input.ordinal);
        (unfinished.collect(), free_file)
    }

    /// How the finished inputs of earlier lives ended.
    pub fn finished(&self) -> impl Iterator<Item = InputStatus> + '_ {
        let verdicts = self
            .state
            .inputs()
            .map(|input| self.state.verdict(input.ordinal));
        verdicts.flatten().map(|verdict| verdict.status)
    }

    pub fn finished_inputs(&self) -> HashSet<InputKey> {
        let done = |ordinal: &Ordinal| self.state.verdict(*ordinal).is_some();
        let keys = self.logged.iter().filter(|(_, ordinal)| done(ordinal));
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// # Errors
    /// `Storage` after the first storage error.
    pub fn append(&mut self, record: Record, ticket: Option<Ticket>, urgent: bool) -> Result<()> {
        // Every record carries a ticket for the writer, so that acknowledgements come one for one and in order.
        self.journal.append(&record, Some(0))?;
        self.on_the_way.push_back((record, ticket));
        if urgent {
            self.journal.flush_now()?;
        }
        Ok(())
    }

    /// Folds in what has become durable; the tickets of it, in order.
    ///
    /// # Errors
    /// The storage error that stopped the writer.
    pub fn acknowledged(&mut self) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::new();
        while let Ok(ack) = self.journal.acks().try_recv() {
            let (offset, crc) = match ack {
                Ack::Durable { offset, crc, .. } => (offset, crc),
                Ack::Failed(error) => return Err(error),
            };
            let Some((record, ticket)) = self.on_the_way.pop_front() else {
                return Err(Error::Channel(
                    "an acknowledgement for no record; this is a bug".into(),
                ));
            };
            let reused = matches!(record, Record::Reused(_));
            self.state.apply(record, offset, crc);
            if reused && let Some((_, error)) = self.reader.resolve(&mut self.state).pop() {
                return Err(error);
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
        self.publisher
            .finish_input(&self.state, &self.reader, ordinal)
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
        let counts = if finished {
            Some(self.publisher.finish(&self.state, &self.reader)?)
        } else {
            None
        };
        self.journal.close(unix_ms)?;
        if self.index.take().is_some() {
            // Opening it again takes this run in, so that the next start finds nothing left to read.
            Index::open(index_path)?;
        }
        Ok(counts)
    }
}

impl Ledger for Books {
    fn finished_here(&self, work_id: &WorkId) -> Option<ResultStatus> {
        self.state.result(work_id).map(|meta| meta.status)
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

    fn logged_input(&self, source: &str, doc_id: Option<&Digest>) -> Option<Input> {
        let ordinal = self.logged.get(&(source.to_owned(), doc_id.copied()))?;
        self.state.input(*ordinal).cloned()
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
        let meta = self.state.result(work_id).ok_or_else(|| {
            Error::Channel(format!("no durable result of {work_id:?}; this is a bug"))
        })?;
        Ok(self.reader.load(meta)?.output)
    }
}
