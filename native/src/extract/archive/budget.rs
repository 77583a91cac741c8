//! What may come out of an archive, and why something does not.
//!
//! Counts what was inflated, never what an archive states. Called by all of `archive` and by `office/container`.

use std::io;

use super::Packed;
use crate::discover::io_reason;
use crate::document::{Circumstance, RejectedStatus};
use crate::extract::limit_reason;
use crate::settings::IngestSettings;

/// A ratio counts only past this many inflated bytes: a few kilobytes of one repeated line are no bomb.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Why a member, or the rest of an archive, gives no content.
#[derive(Debug)]
pub enum Trouble {
    Damaged(String),
    /// "limit max_inflate_ratio: 812 over 200".
    Limit(String),
    Encrypted,
    /// A way of packing that is not read.
    Method(u16),
    /// What the system said.
    Unreadable(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Trouble::Damaged("it is cut short".to_owned());
        }
        Trouble::Unreadable(io_reason(&error))
    }
}

impl Trouble {
    pub fn verdict(self, packed: Packed) -> (RejectedStatus, String) {
        let reason = match self {
            Trouble::Damaged(detail) => format!("damaged {}: {detail}", packed.name()),
            Trouble::Limit(reason) => reason,
            Trouble::Encrypted => "encrypted: needs a password".to_owned(),
            Trouble::Method(method) => {
                let reason = format!("unsupported type: zip compression method {method}");
                return (RejectedStatus::Skipped, reason);
            }
            Trouble::Unreadable(cause) => Circumstance::Unreadable.reason(cause),
        };
        (RejectedStatus::Failed, reason)
    }
}

/// What may still come out of an archive.
pub struct Budget {
    /// Name and value of the limit on one member.
    entry: (&'static str, u64),
    total: u64,
    ratio: u64,
    spent: u64,
}

impl Budget {
    pub fn new(entry: (&'static str, u64), total: u64, ratio: u64) -> Budget {
        Budget {
            entry,
            total,
            ratio,
            spent: 0,
        }
    }

    pub fn of(settings: &IngestSettings) -> Budget {
        let entry = if settings.max_file_bytes < settings.max_zip_entry_bytes {
            ("max_file_bytes", settings.max_file_bytes)
        } else {
            ("max_zip_entry_bytes", settings.max_zip_entry_bytes)
        };
        Budget::new(
            entry,
            settings.max_zip_total_bytes,
            settings.max_inflate_ratio,
        )
    }

    /// `made` more bytes of a member that now has `size` and lies packed in `stored`.
    pub fn count(&mut self, made: usize, size: u64, stored: u64) -> Result<(), Trouble> {
        self.entry(size)?;
        self.spend(made)?;
        self.ratio(size, stored)
    }

    pub fn entry(&self, size: u64) -> Result<(), Trouble> {
        let (name, limit) = self.entry;
        over(name, size, limit)
    }

    pub fn spend(&mut self, made: usize) -> Result<(), Trouble> {
        self.spent = self.spent.saturating_add(made as u64);
        over("max_zip_total_bytes", self.spent, self.total)
    }

    /// What a member inflates to in its turn comes out of the archive, too.
    pub fn also(&mut self, content: Vec<u8>) -> Result<Vec<u8>, String> {
        match self.spend(content.len()) {
            Err(Trouble::Limit(reason)) => Err(reason),
            _ => Ok(content),
        }
    }

    pub fn ratio(&self, size: u64, stored: u64) -> Result<(), Trouble> {
        if size <= RATIO_FREE_BYTES {
            return Ok(());
        }
        over(
            "max_inflate_ratio",
            size.div_ceil(stored.max(1)),
            self.ratio,
        )
    }

    pub fn is_spent(&self) -> bool {
        self.spent > self.total
    }
}

pub fn over(name: &str, value: u64, limit: u64) -> Result<(), Trouble> {
    if value > limit {
        return Err(Trouble::Limit(limit_reason(name, value, limit)));
    }
    Ok(())
}
