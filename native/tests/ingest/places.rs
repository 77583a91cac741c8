//! What an extract worker says of a document beside its text: who read it, and where its pages lie.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use _native::document::{MediaType, Place, RejectedStatus, Source, Stamp};
use _native::extract::convert::{Answer, Convert, Part, Request, Unconverted};
use _native::extract::{self, Extracted};

use crate::{document, rejected, settings};

/// Answers every file with the same.
struct Says(Answer, String);

impl Convert for Says {
    fn convert(&mut self, _: &Request, _: &[u8]) -> Result<(Answer, String), Unconverted> {
        Ok((self.0.clone(), self.1.clone()))
    }
}

fn read(parts: Vec<Part>, text: &str) -> Vec<Extracted> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pdf");
    fs::write(&path, "%PDF-1.7").unwrap();
    let stamp = Stamp {
        size: 8,
        mtime_ns: 0,
        inode: 1,
    };
    let source = Source {
        file: 0,
        uri: "a.pdf".to_owned(),
        root: path.as_path().into(),
        path,
        stamp,
    };
    let reader = "test 1".to_owned();
    let mut says = Says(Answer { reader, parts }, text.to_owned());
    let mut all = Vec::new();
    extract::extract(&source, &settings(&[]), &mut says, &mut |one| {
        all.push(one);
        ControlFlow::Continue(())
    });
    all
}

fn part(record_id: Option<&str>, from: usize, to: usize, places: Vec<Place>) -> Part {
    Part::Document {
        record_id: record_id.map(str::to_owned),
        media: MediaType::Text,
        title: None,
        from,
        to,
        metadata: BTreeMap::new(),
        second: false,
        unread: None,
        places,
    }
}

#[test]
fn a_document_keeps_its_reader_and_its_places() {
    let place = |name: &str, from, to| Place {
        name: name.to_owned(),
        from,
        to,
    };
    let places = vec![place("page 1", 0, 3), place("page 2", 5, 8)];
    let all = read(vec![part(None, 0, 8, places.clone())], "one\n\ntwo");
    let found = document(&all[0]);
    assert_eq!(found.origin.reader.as_deref(), Some("test 1"));
    assert_eq!(found.origin.places, places);
    assert_eq!(found.metadata["reader"], "test 1");
}

#[test]
fn a_row_without_a_document_says_who_read_it_too() {
    let damaged = Part::Rejected {
        record_id: Some("2".to_owned()),
        status: RejectedStatus::Failed,
        reason: "damaged: no end".to_owned(),
    };
    let all = read(vec![part(Some("1"), 0, 2, Vec::new()), damaged], "  ");
    for row in &all {
        assert_eq!(rejected(row).reader.as_deref(), Some("test 1"));
    }
    assert_eq!(rejected(&all[0]).reason, "no text");
    assert_eq!(rejected(&all[1]).uri, "a.pdf#2");
}
