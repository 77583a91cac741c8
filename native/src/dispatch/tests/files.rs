//! The simulation's files: what they say, and what happens to them between two lives of the runner.

use proptest::prelude::*;

/// What happens to a file while no runner looks; the number picks the file.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Deleted(usize),
    Renamed(usize),
    /// Other words: the second number of them.
    Edited(usize, usize),
}

pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0usize..12).prop_map(Change::Deleted),
        (0usize..12).prop_map(Change::Renamed),
        (0usize..12, 1usize..120).prop_map(|(file, words)| Change::Edited(file, words)),
    ]
}

#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub name: String,
    pub text: String,
}

impl File {
    pub fn is_poison(&self) -> bool {
        self.text.starts_with("poison")
    }
}

pub fn text(words: usize, poison: bool) -> String {
    let word = if poison { "poison " } else { "one " };
    format!("{word}{}", "three ".repeat(words))
}

pub fn apply(change: Change, files: &mut Vec<File>) {
    let count = files.len();
    if count == 0 {
        return;
    }
    match change {
        Change::Deleted(file) => drop(files.remove(file % count)),
        Change::Renamed(file) => files[file % count].name.push('+'),
        Change::Edited(file, words) => {
            let file = &mut files[file % count];
            file.text = text(words, file.is_poison());
        }
    }
}

/// A document is a number of words (several chunks, then a reduce step, when there are many); some carry poison, some are
/// equal.
pub fn documents() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let words = prop_oneof![1usize..120, Just(3usize), Just(100usize)];
    prop::collection::vec((words, prop::bool::weighted(0.1)), 1..12)
}
