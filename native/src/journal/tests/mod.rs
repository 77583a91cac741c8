//! What the journal promises, shown by damage, failing disks, random histories and planted bugs.

mod attempt_rule;
mod basics;
mod damage;
mod replay;
mod storage;

use super::record::{
    Input, InputOutcome, Life, LifeEvent, Part, Record, ResultRecord, ResultStatus, Start, Timings,
};
use super::{Ack, Journal, NewLife, RunState, frame, reader};
use crate::document::{Digest, Ordinal, Stamp};
use crate::request::WorkId;
use crate::settings::Durability;
use std::path::Path;

/// A folder in memory where there is one: these tests care for bytes, and a real sync costs milliseconds.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

pub fn life(boot: &str) -> NewLife {
    NewLife {
        run_id: "run".into(),
        boot_id: boot.into(),
        pid: 7,
        unix_ms: 1,
        plan_key: Digest([9; 32]),
    }
}

pub fn work(number: u32) -> WorkId {
    Digest::of(&number.to_le_bytes())
}

pub fn input(number: u32, works: &[WorkId], reduce: bool) -> Record {
    Record::Input(Input {
        ordinal: Ordinal {
            file: number,
            record: 0,
        },
        source: format!("docs/{number}.txt"),
        doc_id: Some(Digest::of(format!("document {number}").as_bytes())),
        stamp: Some(Stamp {
            size: 10,
            mtime_ns: -5,
            inode: u64::from(number),
        }),
        outcome: InputOutcome::Pending {
            parts: works
                .iter()
                .map(|work_id| Part {
                    work_id: *work_id,
                    span: [0, 10],
                    places: None,
                })
                .collect(),
            reduce,
        },
        text_bytes: 10,
        covered_bytes: 10,
        why: "new".into(),
        reader: None,
        unread: None,
        read: None,
    })
}

pub fn start(works: &[WorkId]) -> Record {
    Record::Start(Start {
        work_ids: works.to_vec(),
        worker: 0,
        worker_incarnation: 1,
    })
}

pub fn result(work_id: WorkId, output: &str, reduced_from: &[WorkId]) -> Record {
    Record::Result(ResultRecord {
        work_id,
        status: ResultStatus::Ok,
        output: output.into(),
        reason: String::new(),
        finish_reason: "stop".into(),
        tokens_in: 3,
        tokens_out: 2,
        repairs: 0,
        attempts: 1,
        timings: Timings {
            queued_ms: 0.5,
            prefill_ms: 1.25,
            decode_ms: 2.0,
        },
        reduced_from: reduced_from.to_vec(),
        made: None,
    })
}

/// A journal file made without a disk: a life record, then each group as one write.
pub fn bytes_of(groups: &[Vec<Record>]) -> Vec<u8> {
    let mut bytes = frame::file_header().to_vec();
    let opened = Record::Life(Life {
        event: LifeEvent::Opened,
        run_id: "run".into(),
        incarnation: 1,
        boot_id: "boot".into(),
        pid: 7,
        unix_ms: 1,
        plan_key: Digest([9; 32]),
    });
    push(&mut bytes, 0, &opened);
    for group in groups {
        let begin = bytes.len() as u64;
        for record in group {
            push(&mut bytes, begin, record);
        }
    }
    bytes
}

fn push(bytes: &mut Vec<u8>, group: u64, record: &Record) {
    let (kind, body) = frame::body_of(record).expect("storable");
    frame::push(bytes, kind, group, &body);
}

/// Where each frame begins, and where the last one ends.
pub fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut at = frame::FILE_HEADER;
    let mut found = vec![at];
    while let Some(good) = frame::check(&bytes[at..], at as u64) {
        at = usize::try_from(good.end()).expect("small");
        found.push(at);
    }
    found
}

/// The works of a file that have a result, in order of their ids.
pub fn works_with_results(path: &Path) -> Vec<WorkId> {
    let (state, _) = reader::replay(path).expect("no damage in the middle");
    let mut found = Vec::new();
    let scanned = reader::scan_records(path, |record, _, _| {
        if let Record::Result(result) = record {
            found.push(result.work_id);
        }
        Ok(())
    });
    scanned.expect("no damage in the middle");
    found.sort();
    found.dedup();
    assert!(found.iter().all(|work_id| state.is_done(work_id)));
    assert_eq!(state.result_count(), found.len());
    found
}

pub fn open(path: &Path, boot: &str) -> (Journal, RunState) {
    Journal::open(path, Durability::Process, life(boot)).expect("the journal opens")
}

/// Appends and waits: the places of the records, in order.
pub fn commit(journal: &Journal, records: &[Record]) -> Vec<(u64, u32)> {
    for (ticket, record) in records.iter().enumerate() {
        journal
            .append(record, Some(ticket as u64))
            .expect("append is taken");
    }
    journal.sync().expect("records become durable");
    (0..records.len())
        .map(|expected| match journal.acks().recv() {
            Ok(Ack::Durable {
                ticket,
                offset,
                crc,
            }) => {
                assert_eq!(ticket, expected as u64);
                (offset, crc)
            }
            other => panic!("expected an acknowledgement, got {other:?}"),
        })
        .collect()
}
