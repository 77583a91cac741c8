//! Torn tails are cut, damage in the middle stops hard. Each check is shown red with its bug planted.

use std::fs;

use super::super::planted::{Bug, is_noticed};
use super::super::reader;
use super::*;
use crate::error::Error;

fn sample() -> Vec<Vec<Record>> {
    vec![
        vec![
            input(0, &[work(1), work(2)], false),
            input(1, &[work(3)], false),
        ],
        vec![start(&[work(1), work(2), work(3)])],
        vec![result(work(1), "one", &[])],
        vec![
            result(work(2), "two, a little longer", &[]),
            result(work(3), "three", &[]),
        ],
        vec![result(work(4), "the last", &[])],
    ]
}

/// Opens a copy of the bytes as a run would, adds one record, and opens it again: the ids that have results then.
fn survivors(bytes: &[u8]) -> Vec<WorkId> {
    let folder = folder();
    let path = folder.path().join("journal");
    fs::write(&path, bytes).expect("written");
    let (journal, _) = open(&path, "boot");
    commit(&journal, &[result(work(99), "after", &[])]);
    drop(journal);
    drop(open(&path, "boot"));
    works_with_results(&path)
}

fn results_before(bytes: &[u8], cut: usize) -> Vec<WorkId> {
    let ends = borders(bytes);
    let mut found = vec![work(99)];
    for pair in ends.windows(2).filter(|pair| pair[1] <= cut) {
        let good = frame::check(&bytes[pair[0]..], 0).expect("good");
        if let Ok(Record::Result(result)) = frame::decode(&good) {
            found.push(result.work_id);
        }
    }
    found.sort();
    found
}

/// Every length from inside the third last record to the whole file: what was whole is kept, what was cut is gone.
fn every_torn_length(step: usize) {
    let bytes = bytes_of(&sample());
    let ends = borders(&bytes);
    for cut in (ends[ends.len() - 4]..=bytes.len()).step_by(step) {
        assert_eq!(
            survivors(&bytes[..cut]),
            results_before(&bytes, cut),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_three_records_is_cut_and_the_run_goes_on() {
    every_torn_length(1);
    assert!(is_noticed(Bug::KeepTornTail, || every_torn_length(50)));
}

#[test]
fn a_file_torn_inside_its_header_or_its_first_record_starts_afresh() {
    let bytes = bytes_of(&[]);
    for cut in 0..bytes.len() {
        assert_eq!(survivors(&bytes[..cut]), vec![work(99)], "cut at {cut}");
    }
    assert_eq!(survivors(&[0; 300]), vec![work(99)]);
}

fn strange_tails() {
    let bytes = bytes_of(&sample());
    let whole = results_before(&bytes, bytes.len());
    let last = borders(&bytes)[borders(&bytes).len() - 2];
    let mut tails: Vec<Vec<u8>> = [1, 3, 23, 24, 25, 4096, 9000]
        .map(|size| vec![0; size])
        .into();
    tails.push(b"{\"kind\":\"result\"}\n".repeat(40));
    tails.push(frame::MARKER.repeat(50));
    tails.push(bytes[..16].to_vec());
    tails.push([&frame::MARKER[..], &[0xFF; 400]].concat());
    tails.push([&frame::MARKER[..], &[0; 400]].concat());
    for tail in tails {
        assert_eq!(survivors(&[&bytes[..], &tail].concat()), whole);
        // The same after a record that was cut in its middle.
        let torn = [&bytes[..last + 30], &tail].concat();
        assert_eq!(survivors(&torn), results_before(&bytes, last));
    }
}

#[test]
fn a_tail_of_nuls_or_garbage_is_cut() {
    strange_tails();
    assert!(is_noticed(Bug::KeepTornTail, strange_tails));
}

/// One flipped bit anywhere before the last record: a hard stop that names the place; the file is left as it was.
fn every_damaged_byte(step: usize) {
    let bytes = bytes_of(&sample());
    let ends = borders(&bytes);
    let folder = folder();
    let path = folder.path().join("journal");
    let last = ends[ends.len() - 2];
    for at in (0..last).step_by(step) {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).expect("written");
            let expected = ends.iter().rfind(|end| **end <= at).copied().unwrap_or(0);
            match Journal::open(&path, Durability::Process, life("boot")) {
                Err(Error::CorruptJournal { offset, .. }) => assert_eq!(offset, expected as u64),
                Err(other) => panic!("byte {at}: {other}"),
                Ok(_) => panic!("byte {at} bit {bit}: opened"),
            }
            assert_eq!(fs::read(&path).expect("readable"), damaged, "byte {at}");
        }
    }
}

#[test]
fn damage_in_the_middle_stops_hard_at_every_byte_and_writes_nothing() {
    every_damaged_byte(1);
    assert!(is_noticed(Bug::CutDamagedMiddle, || every_damaged_byte(97)));
}

#[test]
fn damage_in_the_last_record_is_a_torn_tail() {
    let bytes = bytes_of(&sample());
    let last = borders(&bytes)[borders(&bytes).len() - 2];
    for at in (last..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert_eq!(
            survivors(&damaged),
            results_before(&bytes, last),
            "byte {at}"
        );
    }
}

#[test]
fn a_record_lost_or_doubled_in_the_middle_is_noticed_or_harmless() {
    let bytes = bytes_of(&sample());
    let ends = borders(&bytes);
    let doubled = [&bytes[..ends[6]], &bytes[ends[5]..]].concat();
    assert_eq!(survivors(&doubled), results_before(&bytes, bytes.len()));
}

/// After a power cut one page of the last group may be missing while a later page of it is there: nothing of that group was
/// acknowledged, so it is a torn tail. The same hole in an earlier group is damage.
#[test]
fn a_page_that_never_reached_the_disk_is_a_torn_tail_only_in_the_last_group() {
    let group = |from: u32| -> Vec<Record> {
        (from..from + 8)
            .map(|number| result(work(number), &"text ".repeat(400), &[]))
            .collect()
    };
    let bytes = bytes_of(&[group(0), group(100)]);
    let ends = borders(&bytes);
    let second = ends[9];
    let hole = |from: usize| {
        let page = from.div_ceil(4096) * 4096;
        let mut holed = bytes.clone();
        holed[page..page + 4096].fill(0);
        (holed, page)
    };
    let (holed, page) = hole(second);
    assert_eq!(survivors(&holed), results_before(&bytes, page));
    let mut first_page = bytes.clone();
    first_page[second..second.div_ceil(4096) * 4096].fill(0);
    assert_eq!(survivors(&first_page), results_before(&bytes, second));

    let folder = folder();
    let path = folder.path().join("journal");
    fs::write(&path, hole(ends[1]).0).expect("written");
    let opened = Journal::open(&path, Durability::Process, life("boot"));
    assert!(matches!(opened, Err(Error::CorruptJournal { .. })));
    // A flipped bit in the last group is no lost page: good records of the group follow, so it stops.
    let mut flipped = bytes.clone();
    flipped[second + 40] ^= 1;
    fs::write(&path, flipped).expect("written");
    let opened = Journal::open(&path, Durability::Process, life("boot"));
    assert!(matches!(opened, Err(Error::CorruptJournal { .. })));
}

#[test]
fn another_format_version_a_newer_record_and_a_foreign_file_are_refused_unchanged() {
    let folder = folder();
    let path = folder.path().join("journal");
    let good = bytes_of(&sample());
    let mut version = good.clone();
    version[8..12].copy_from_slice(&2u32.to_le_bytes());
    let crc = crc32c::crc32c(&version[..12]);
    version[12..16].copy_from_slice(&crc.to_le_bytes());
    let mut unknown = good.clone();
    frame::push(&mut unknown, 200, good.len() as u64, b"{}");
    let mut unreadable = good.clone();
    frame::push(&mut unreadable, 5, good.len() as u64, b"{\"not\":1}");
    let foreign = b"#!/bin/sh\necho this is somebody's file\n".to_vec();
    for (bytes, says) in [
        (version, "format version 2"),
        (unknown, "kind 200"),
        (unreadable, "record kind 5"),
        (foreign, "does not begin like a journal"),
    ] {
        fs::write(&path, &bytes).expect("written");
        let Err(error) = Journal::open(&path, Durability::Process, life("boot")) else {
            panic!("opened: {says}")
        };
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(fs::read(&path).expect("readable"), bytes);
    }
}

#[test]
fn a_reader_of_another_run_sees_what_is_good_and_leaves_the_tail_alone() {
    let folder = folder();
    let path = folder.path().join("journal");
    let bytes = bytes_of(&sample());
    fs::write(&path, &bytes[..bytes.len() - 3]).expect("written");
    let (state, scan) = reader::replay(&path).expect("replays");
    assert_eq!(state.result_count(), 3);
    assert_eq!(
        scan.file_len - scan.good_end,
        (bytes.len() - 3 - borders(&bytes)[7]) as u64
    );
    assert_eq!(
        fs::metadata(&path).expect("there").len(),
        (bytes.len() - 3) as u64
    );
}
