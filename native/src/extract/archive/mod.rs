//! Archives of files, walked like folders: each member an input of its own, read in memory and never written to disk.
//!
//! Zip through its directory, tar as a stream, each in the archive's own order. What a member may be is decided here; what
//! its bytes are is decided by the caller, as for a file. An archive inside an archive is not opened. docs/ingest.md has the
//! rules and reasons. Called by `extract/mod.rs`.

mod budget;
mod names;
pub mod tar;
pub mod zip;

use std::fs::File;
use std::ops::ControlFlow;

use crate::discover::Inside;
use crate::document::RejectedStatus;
use crate::settings::IngestSettings;

use self::budget::over;
pub use self::budget::{Budget, RATIO_FREE_BYTES, Trouble};
use self::names::Taken;
use self::tar::Tape;
use self::zip::{Directory, OnDisk};

/// How an archive of files is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    Zip,
    Tar,
    TarGz,
}

impl Packed {
    /// Its name in reasons.
    pub fn name(self) -> &'static str {
        match self {
            Packed::Zip => "zip",
            Packed::Tar | Packed::TarGz => "tar",
        }
    }
}

/// One entry as the archive states it.
pub struct Member {
    name: Vec<u8>,
    nature: Nature,
}

pub enum Nature {
    File,
    Folder,
    /// A link or a device; holds the reason of its row.
    Irregular(String),
    /// Holds what it is.
    Unsupported(String),
}

/// One thing that the walk has come to: content to read as a file of this name, or a row.
pub enum Found {
    Content {
        name: Vec<u8>,
        shown: String,
        bytes: Vec<u8>,
    },
    /// `shown` is None for the archive itself, or what is left of it.
    Row {
        shown: Option<String>,
        status: RejectedStatus,
        reason: String,
    },
}

/// Gives all members to `sink` until it breaks; the caller adds what members inflate to in their turn.
pub struct Walk<'a> {
    pub settings: &'a IngestSettings,
    pub inside: Inside,
    pub packed: Packed,
    taken: Taken,
    number: u64,
    left_out: u64,
    given: bool,
}

type Sink<'a> = &'a mut dyn FnMut(Found, &mut Budget) -> ControlFlow<()>;

impl<'a> Walk<'a> {
    pub fn new(settings: &'a IngestSettings, inside: Inside, packed: Packed) -> Walk<'a> {
        Walk {
            settings,
            inside,
            packed,
            taken: Taken::default(),
            number: 0,
            left_out: 0,
            given: false,
        }
    }

    pub fn run(mut self, file: &File, size: u64, sink: Sink<'_>) -> ControlFlow<()> {
        let mut budget = Budget::of(self.settings);
        let walked = match self.packed {
            Packed::Zip => self.zip(&OnDisk { file, size }, &mut budget, &mut *sink),
            Packed::Tar => self.tar(Tape::open(file, size, false), &mut budget, &mut *sink),
            Packed::TarGz => self.tar(Tape::open(file, size, true), &mut budget, &mut *sink),
        };
        let (status, reason) = match walked {
            Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
            Ok(ControlFlow::Continue(())) if self.given => return ControlFlow::Continue(()),
            Ok(ControlFlow::Continue(())) => (RejectedStatus::Skipped, self.nothing()),
            Err(trouble) => trouble.verdict(self.packed),
        };
        let shown = self.given.then(String::new);
        sink(
            Found::Row {
                shown,
                status,
                reason,
            },
            &mut budget,
        )
    }

    fn nothing(&self) -> String {
        match self.left_out {
            0 => "no members".to_owned(),
            left => format!("no members ({left} left out by include, exclude and hidden)"),
        }
    }

    fn zip(
        &mut self,
        store: &OnDisk<'_>,
        budget: &mut Budget,
        sink: Sink<'_>,
    ) -> Result<ControlFlow<()>, Trouble> {
        let directory = Directory::find(store)?;
        over(
            "max_zip_entries",
            directory.count,
            self.settings.max_zip_entries as u64,
        )?;
        for read in directory.entries(store) {
            let (name, entry) = read?;
            let member = zip_member(name, &entry);
            let content = &mut |budget: &mut Budget| {
                if budget.is_spent() {
                    budget.spend(0)?;
                }
                zip::content(store, &entry, budget)
            };
            if self.member(member, content, budget, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn tar(
        &mut self,
        mut tape: Tape<'_>,
        budget: &mut Budget,
        sink: Sink<'_>,
    ) -> Result<ControlFlow<()>, Trouble> {
        while let Some(member) = tape.next(budget)? {
            over(
                "max_zip_entries",
                self.number + 1,
                self.settings.max_zip_entries as u64,
            )?;
            let content = &mut |budget: &mut Budget| tape.content(budget);
            if self.member(member, content, budget, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One member: a row, a document or more, or nothing where it is a folder or left out.
    fn member(
        &mut self,
        member: Member,
        content: &mut dyn FnMut(&mut Budget) -> Result<Vec<u8>, Trouble>,
        budget: &mut Budget,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        self.number += 1;
        let Member { name: raw, nature } = member;
        if matches!(nature, Nature::Folder) {
            return ControlFlow::Continue(());
        }
        let name = match names::clean(&raw) {
            Ok(name) => name,
            Err(problem) => {
                let row = (RejectedStatus::Failed, format!("unsafe name: {problem}"));
                return self.row(names::shown(&raw), row, budget, sink);
            }
        };
        if !self.inside.admits(&name) {
            self.left_out += 1;
            return ControlFlow::Continue(());
        }
        let shown = names::shown(&name);
        let row = match nature {
            _ if self.taken.holds(&shown) => (
                RejectedStatus::Failed,
                "duplicate name: an earlier member has it".to_owned(),
            ),
            Nature::Irregular(reason) => (RejectedStatus::Skipped, reason),
            Nature::Unsupported(kind) => {
                (RejectedStatus::Skipped, format!("unsupported type: {kind}"))
            }
            Nature::File | Nature::Folder => match content(budget) {
                Ok(bytes) => {
                    let shown = self.taken.unique(shown, self.number);
                    self.given = true;
                    return sink(Found::Content { name, shown, bytes }, budget);
                }
                Err(trouble) => trouble.verdict(self.packed),
            },
        };
        self.row(shown, row, budget, sink)
    }

    fn row(
        &mut self,
        shown: String,
        (status, reason): (RejectedStatus, String),
        budget: &mut Budget,
        sink: Sink<'_>,
    ) -> ControlFlow<()> {
        self.given = true;
        let shown = Some(self.taken.unique(shown, self.number));
        sink(
            Found::Row {
                shown,
                status,
                reason,
            },
            budget,
        )
    }
}

/// Writers on Unix keep the type of a file in the upper half of its attributes; those on Windows may divide folders by `\`.
fn zip_member(mut name: Vec<u8>, entry: &zip::Entry) -> Member {
    const UNIX: u8 = 3;
    const DOS_AND_WINDOWS: [u8; 3] = [0, 10, 14];
    if DOS_AND_WINDOWS.contains(&entry.host) && !name.contains(&b'/') {
        for byte in &mut name {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
    }
    let kind = if entry.host == UNIX {
        entry.mode & 0o170_000
    } else {
        0
    };
    let nature = match kind {
        0o120_000 => Nature::Irregular("symbolic link".to_owned()),
        0o010_000 => Nature::Irregular("not a regular file: fifo".to_owned()),
        0o020_000 | 0o060_000 => Nature::Irregular("not a regular file: device".to_owned()),
        0o140_000 => Nature::Irregular("not a regular file: socket".to_owned()),
        // One with content is a file whatever its name says: nothing is lost.
        _ if name.ends_with(b"/") && entry.size == 0 => Nature::Folder,
        _ => Nature::File,
    };
    Member { name, nature }
}
