//! A zip archive as the parts of one document: found by name, inflated one at a time under limits.
//!
//! Two parts of one name are damage, not a choice. Names are looked up and never become paths. Reading is `archive/zip`.

use std::collections::HashMap;

use super::{OfficeLimits, Outcome, Problem};
use crate::extract::archive::zip::{Directory, Entry, Store, content};
use crate::extract::archive::{Budget, Trouble};

pub struct Container<'a, S: Store + ?Sized = [u8]> {
    store: &'a S,
    entries: HashMap<String, Part>,
    budget: Budget,
}

#[derive(Clone, Copy)]
struct Part {
    entry: Entry,
    twice: bool,
}

impl<'a, S: Store + ?Sized> Container<'a, S> {
    pub fn open(store: &'a S, limits: &OfficeLimits) -> Outcome<Container<'a, S>> {
        let directory = Directory::find(store).map_err(|trouble| of_trouble("zip", trouble))?;
        let limit = limits.zip_entries as u64;
        if directory.count > limit {
            return Err(Problem::limit("max_zip_entries", directory.count, limit));
        }
        let mut entries = HashMap::new();
        for read in directory.entries(store) {
            let (name, entry) = read.map_err(|trouble| of_trouble("zip", trouble))?;
            let key = key_of(&String::from_utf8_lossy(&name));
            let twice = entries.contains_key(&key);
            entries.insert(key, Part { entry, twice });
        }
        let budget = Budget::new(
            ("max_zip_entry_bytes", limits.zip_entry_bytes),
            limits.zip_total_bytes,
            limits.inflate_ratio,
        );
        Ok(Container {
            store,
            entries,
            budget,
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(&key_of(name))
    }

    /// The content of an entry, or None when there is no such entry.
    pub fn read(&mut self, name: &str) -> Outcome<Option<Vec<u8>>> {
        let Some(part) = self.entries.get(&key_of(name)) else {
            return Ok(None);
        };
        if part.twice {
            return Err(Problem::damaged(name, "two entries of this name"));
        }
        let content = content(self.store, &part.entry, &mut self.budget);
        content
            .map(Some)
            .map_err(|trouble| of_trouble(name, trouble))
    }

    /// The content of an entry without which the file is none of its kind.
    pub fn need(&mut self, name: &str) -> Outcome<Vec<u8>> {
        self.read(name)?
            .ok_or_else(|| Problem::damaged(name, "missing"))
    }
}

fn of_trouble(place: &str, trouble: Trouble) -> Problem {
    match trouble {
        Trouble::Damaged(detail) => Problem::damaged(place, detail),
        Trouble::Limit(reason) => Problem::Limit(reason),
        Trouble::Encrypted => Problem::Encrypted,
        Trouble::Method(method) => Problem::Unsupported(format!("zip compression method {method}")),
        Trouble::Unreadable(cause) => Problem::damaged(place, cause),
    }
}

/// Part names differ neither in ASCII case nor, from careless writers, in the slash.
fn key_of(name: &str) -> String {
    name.trim_start_matches('/')
        .replace('\\', "/")
        .to_ascii_lowercase()
}
