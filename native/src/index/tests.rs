use std::fs;

use super::build::DISCOVERY_FINISHED;
use super::*;
use crate::document::Stamp;
use crate::journal::InputStatus;
use crate::journal::record::{Record, Setting};
use crate::journal::tests::{commit, input, open, result, work};

const KEY: Digest = Digest([9; 32]);

fn make_run(outputs: &Path, name: &str, records: &[Record]) -> String {
    let folder = outputs.join("runs/day").join(name);
    fs::create_dir_all(&folder).expect("made");
    let (journal, _) = open(&folder.join("journal"), "boot");
    commit(&journal, records);
    journal.close(2).expect("closes");
    format!("runs/day/{name}")
}

fn record_of(file: u32, record: u32, works: &[WorkId]) -> Record {
    let Record::Input(mut made) = input(file, works, false) else {
        unreachable!()
    };
    made.ordinal.record = record;
    made.source = format!("data#1/{file}.jsonl#{record}");
    Record::Input(made)
}

fn stamp(inode: u64) -> Stamp {
    Stamp {
        size: 10,
        mtime_ns: -5,
        inode,
    }
}

fn discovery_finished() -> Record {
    Record::Setting(Setting {
        name: DISCOVERY_FINISHED.into(),
        value: true.into(),
        detail: String::new(),
    })
}

/// All inputs of an unchanged file.
fn known(index: &Index, uri: &str, stamp: Stamp, key: &Digest) -> Option<Vec<KnownInput>> {
    let unchanged = index.unchanged(uri, stamp, key).expect("reads");
    let known = index.known(uri, stamp, key).expect("reads");
    assert_eq!(unchanged.is_some(), known.is_some());
    let known = known?;
    let mut all = Vec::new();
    let mut last: Option<String> = None;
    loop {
        let page = known.page(last.as_deref()).expect("reads")?;
        let Some(end) = page.last() else {
            assert_eq!(unchanged.map(|ends| ends.inputs()), Some(all.len() as u64));
            return Some(all);
        };
        last = Some(end.input.source.clone());
        all.extend(page);
    }
}

fn opened(outputs: &Path) -> Index {
    let (index, damaged) = Index::open(&outputs.join("index.sqlite"), None).expect("opens");
    assert!(damaged.is_empty(), "{damaged:?}");
    index
}

#[test]
fn an_unchanged_file_is_known_with_pointers_to_all_its_results() {
    let outputs = tempfile::tempdir().expect("a folder");
    let records = [
        input(0, &[work(1), work(2)], true),
        result(work(1), "a", &[]),
        result(work(2), "b", &[]),
        result(work(3), "ab", &[work(1), work(2)]),
        input(1, &[work(4)], false),
    ];
    let folder = make_run(outputs.path(), "a", &records);
    let index = opened(outputs.path());
    let inputs = known(&index, "docs/0.txt", stamp(0), &KEY).expect("known");
    assert_eq!(Record::Input(inputs[0].input.clone()), records[0]);
    assert_eq!(inputs[0].status, InputStatus::Ok);
    let works: Vec<_> = inputs[0]
        .works
        .iter()
        .map(|(reused, _)| reused.work_id)
        .collect();
    assert_eq!(works, [work(1), work(2), work(3)]);
    assert_eq!(inputs[0].steps[0].from, [work(1), work(2)]);
    assert!(
        inputs[0]
            .works
            .iter()
            .all(|(reused, _)| reused.run == folder)
    );
    // Another stamp, another plan, an unfinished input, an unseen file: all have to be read.
    assert_eq!(known(&index, "docs/0.txt", stamp(8), &KEY), None);
    assert_eq!(known(&index, "docs/0.txt", stamp(0), &work(0)), None);
    assert_eq!(known(&index, "docs/1.txt", stamp(1), &KEY), None);
    assert_eq!(known(&index, "docs/2.txt", stamp(2), &KEY), None);
}

#[test]
fn a_file_of_many_records_is_known_only_when_discovery_had_seen_all_of_it() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut records = vec![
        record_of(3, 0, &[work(1)]),
        record_of(3, 1, &[work(2)]),
        result(work(1), "a", &[]),
        result(work(2), "b", &[]),
    ];
    let folder = make_run(outputs.path(), "a", &records);
    let mut index = opened(outputs.path());
    let uri = "data#1/3.jsonl";
    assert_eq!(known(&index, uri, stamp(3), &KEY), None);
    records = vec![discovery_finished()];
    make_run(outputs.path(), "a", &records);
    assert!(index.take_in(&folder).is_ok(), "taken in again");
    let inputs = known(&index, uri, stamp(3), &KEY).expect("known");
    assert_eq!(inputs.len(), 2);
    // The records of another file are not taken for those of a file whose name begins the same.
    assert_eq!(known(&index, "data", stamp(4), &KEY), None);
}

#[test]
fn a_file_of_many_records_is_taken_over_page_by_page_in_the_order_of_their_names() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut records = Vec::new();
    for number in 0..1000 {
        records.push(record_of(3, number, &[work(number)]));
        records.push(result(work(number), "a", &[]));
    }
    records.push(discovery_finished());
    make_run(outputs.path(), "a", &records);
    let index = opened(outputs.path());
    let inputs = known(&index, "data#1/3.jsonl", stamp(3), &KEY).expect("known");
    assert_eq!(inputs.len(), 1000);
    let names: Vec<&String> = inputs.iter().map(|known| &known.input.source).collect();
    assert!(names.is_sorted());
    assert!(
        inputs
            .iter()
            .all(|known| known.works[0].0.work_id == work(known.input.ordinal.record))
    );
}

#[test]
fn the_run_that_asks_is_not_taken_in() {
    let outputs = tempfile::tempdir().expect("a folder");
    let folder = make_run(
        outputs.path(),
        "a",
        &[input(0, &[work(1)], false), result(work(1), "a", &[])],
    );
    let path = outputs.path().join("index.sqlite");
    let (index, _) = Index::open(&path, Some(&outputs.path().join(folder))).expect("opens");
    assert_eq!(known(&index, "docs/0.txt", stamp(0), &KEY), None);
    assert_eq!(index.finished(&work(1)).expect("reads"), None);
    drop(index);
    assert!(known(&opened(outputs.path()), "docs/0.txt", stamp(0), &KEY).is_some());
    let own = outputs.path().join("runs/day/a");
    let (index, _) = Index::open(&path, Some(&own)).expect("opens");
    assert!(known(&index, "docs/0.txt", stamp(0), &KEY).is_some());
    drop(index);
    fs::write(own.join("journal"), "nothing of ours").expect("written");
    let (index, _) = Index::open(&path, Some(&own)).expect("opens");
    assert_eq!(
        known(&index, "docs/0.txt", stamp(0), &KEY),
        None,
        "changed since"
    );
}

#[test]
fn a_run_that_rests_on_one_that_is_gone_is_looked_at_again() {
    let outputs = tempfile::tempdir().expect("a folder");
    let first = make_run(
        outputs.path(),
        "a",
        &[input(0, &[work(1)], false), result(work(1), "a", &[])],
    );
    let (reused, _) = opened(outputs.path())
        .finished(&work(1))
        .expect("reads")
        .expect("finished");
    make_run(
        outputs.path(),
        "b",
        &[input(0, &[work(1)], false), Record::Reused(reused)],
    );
    assert!(known(&opened(outputs.path()), "docs/0.txt", stamp(0), &KEY).is_some());
    fs::remove_dir_all(outputs.path().join(first)).expect("removed");
    assert_eq!(
        known(&opened(outputs.path()), "docs/0.txt", stamp(0), &KEY),
        None
    );
}

#[test]
fn the_index_says_why_an_input_is_processed_again() {
    let outputs = tempfile::tempdir().expect("a folder");
    make_run(
        outputs.path(),
        "a",
        &[
            input(0, &[work(1)], false),
            input(1, &[work(2)], false),
            result(work(1), "a", &[]),
        ],
    );
    let index = opened(outputs.path());
    let doc = |number: u32| Digest::of(format!("document {number}").as_bytes());
    let why = |uri, doc_id, key| index.why(uri, &doc_id, &key).expect("reads");
    assert_eq!(why("docs/7.txt", doc(7), KEY), Why::New);
    assert_eq!(why("docs/0.txt", doc(7), KEY), Why::DocumentChanged);
    assert_eq!(why("docs/0.txt", doc(0), work(0)), Why::PlanChanged);
    assert_eq!(why("docs/1.txt", doc(1), KEY), Why::NeverFinished);
    assert_eq!(why("docs/0.txt", doc(0), KEY), Why::Finished);
}

#[test]
fn a_missing_damaged_or_other_index_is_rebuilt_from_the_journals() {
    let outputs = tempfile::tempdir().expect("a folder");
    make_run(outputs.path(), "a", &[result(work(1), "a", &[])]);
    let path = outputs.path().join("index.sqlite");
    drop(opened(outputs.path()));
    let sound = fs::read(&path).expect("readable");
    let mut holed = sound.clone();
    holed[4096..].fill(0xAA);
    let mut cases: Vec<Vec<u8>> =
        vec![b"not a database, and longer than a header".repeat(9), holed];
    cases.push(sound[..sound.len() / 2].to_vec());
    cases.push(Vec::new());
    for case in cases {
        fs::write(&path, case).expect("written");
        let index = opened(outputs.path());
        assert!(index.finished(&work(1)).expect("reads").is_some());
    }
    fs::write(&path, &sound).expect("written");
    rusqlite::Connection::open(&path)
        .and_then(|db| db.pragma_update(None, "user_version", 77))
        .expect("another version");
    assert!(
        opened(outputs.path())
            .finished(&work(1))
            .expect("reads")
            .is_some()
    );
    fs::remove_file(&path).expect("removed");
    assert!(
        opened(outputs.path())
            .finished(&work(1))
            .expect("reads")
            .is_some()
    );
}

#[test]
fn removed_runs_are_forgotten_and_damaged_ones_are_named_and_not_trusted() {
    let outputs = tempfile::tempdir().expect("a folder");
    make_run(outputs.path(), "a", &[result(work(1), "a", &[])]);
    make_run(outputs.path(), "b", &[result(work(2), "b", &[])]);
    drop(opened(outputs.path()));
    fs::remove_dir_all(outputs.path().join("runs/day/a")).expect("removed");
    let journal = outputs.path().join("runs/day/b/journal");
    let index = opened(outputs.path());
    assert!(index.finished(&work(1)).expect("reads").is_none());
    assert!(index.finished(&work(2)).expect("reads").is_some());
    drop(index);
    make_run(outputs.path(), "c", &[result(work(3), "c", &[])]);
    let mut bytes = fs::read(&journal).expect("readable");
    bytes[60] ^= 1;
    fs::write(&journal, &bytes).expect("written");
    let (index, damaged) = Index::open(&outputs.path().join("index.sqlite"), None).expect("opens");
    assert!(
        matches!(damaged[..], [Error::CorruptJournal { .. }]),
        "{damaged:?}"
    );
    assert!(index.finished(&work(2)).expect("reads").is_none());
    assert!(index.finished(&work(3)).expect("reads").is_some());
}

#[test]
fn ten_thousand_unchanged_files_are_recognised_quickly() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut records = Vec::new();
    for number in 0..10_000_u32 {
        records.push(input(number, &[work(number)], false));
        records.push(result(work(number), "a summary of some length", &[]));
    }
    make_run(outputs.path(), "a", &records);
    let begun = std::time::Instant::now();
    let first = opened(outputs.path());
    let filled = begun.elapsed();
    drop(first);
    let begun = std::time::Instant::now();
    let index = opened(outputs.path());
    for number in 0..10_000_u32 {
        let uri = format!("docs/{number}.txt");
        assert!(known(&index, &uri, stamp(u64::from(number)), &KEY).is_some());
    }
    println!(
        "10,000 inputs: index filled in {filled:?}, opened and asked in {:?}",
        begun.elapsed()
    );
}
