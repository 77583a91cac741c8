use super::*;
use crate::document::RejectedStatus;
use crate::journal::Journal;
use crate::journal::record::{InputOutcome, Record, Reduced, ResultStatus, Reused};
use crate::journal::tests::{commit, input, open, result, work};
use crate::request::WorkId;

struct Run {
    folder: PathBuf,
    journal: Journal,
    state: RunState,
    reader: ResultReader,
}

fn run(outputs: &Path, name: &str) -> Run {
    let folder = outputs.join("runs/day").join(name);
    fs::create_dir_all(&folder).expect("made");
    let path = folder.join("journal");
    let (journal, state) = open(&path, "boot");
    let reader = ResultReader::open(outputs, &path).expect("opens");
    Run {
        folder,
        journal,
        state,
        reader,
    }
}

impl Run {
    fn commit(&mut self, records: &[Record]) -> Vec<(u64, u32)> {
        let places = commit(&self.journal, records);
        for (record, (offset, _)) in records.iter().zip(&places) {
            self.state.apply(record, *offset);
        }
        let lost = self.reader.resolve(&mut self.state).expect("readable");
        assert!(lost.is_empty());
        places
    }

    /// As the next life would open it.
    fn publisher(&self) -> Publisher {
        let (_, logged, _) =
            crate::journal::reader::replay_own(self.journal.path()).expect("replays");
        Publisher::open(&self.folder, &self.state, &self.reader, &logged).expect("opens")
    }

    fn source(&self) -> Source<'_> {
        Source::new(&self.state, &self.reader)
    }

    fn verdict(&self, ordinal: Ordinal) -> Option<crate::journal::Verdict> {
        let offset = self.state.offset(ordinal).expect("logged");
        self.state
            .verdict(&self.reader.input(offset).expect("readable"))
    }

    fn lines(&self, name: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.folder.join(name)).expect("readable");
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

fn bad(work_id: WorkId, status: ResultStatus) -> Record {
    let Record::Result(mut record) = result(work_id, "kept text", &[]) else {
        unreachable!()
    };
    record.status = status;
    record.reason = "schema: no".into();
    Record::Result(record)
}

fn skipped(number: u32) -> Record {
    let Record::Input(mut record) = input(number, &[], false) else {
        unreachable!()
    };
    record.outcome = InputOutcome::Rejected {
        status: RejectedStatus::Skipped,
        reason: "unsupported type: pdf".into(),
    };
    Record::Input(record)
}

#[test]
fn every_input_ends_as_one_line_in_input_order_and_the_counts_close() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = run(outputs.path(), "a");
    let mut publisher = run.publisher();
    run.commit(&[
        input(0, &[work(1)], false),
        input(1, &[work(2), work(3)], true),
        skipped(2),
        input(3, &[work(4)], false),
        input(4, &[work(5)], false),
        input(5, &[work(1)], false),
        result(work(5), "five", &[]),
        bad(work(4), ResultStatus::Quarantined),
        result(work(2), "two", &[]),
        result(work(3), "three", &[]),
        result(work(1), "one", &[]),
    ]);
    for file in [4, 3, 2, 5, 0] {
        let ordinal = Ordinal { file, record: 0 };
        publisher
            .finish_input(&run.source(), ordinal)
            .expect("published");
        publisher
            .finish_input(&run.source(), ordinal)
            .expect("once is enough");
    }
    let waiting = Ordinal { file: 1, record: 0 };
    assert!(run.verdict(waiting).is_none());
    assert!(publisher.finish_input(&run.source(), waiting).is_err());
    assert!(run.lines(RESULTS).is_empty(), "not before the turn's end");
    publisher.flush().expect("written");
    assert_eq!(run.lines(RESULTS).len(), 5);
    assert!(run.publisher().finish(&run.state, &run.reader).is_err());
    run.commit(&[result(work(9), "whole", &[work(2), work(3)])]);
    let mut publisher = run.publisher();
    publisher
        .finish_input(&run.source(), waiting)
        .expect("published already when it was opened");
    let counts = publisher
        .finish(&run.state, &run.reader)
        .expect("counts close");
    assert_eq!(
        (
            counts.inputs,
            counts.ok,
            counts.skipped,
            counts.failed,
            counts.quarantined
        ),
        (6, 4, 1, 0, 1)
    );
    let lines = run.lines(RESULTS);
    let sources: Vec<_> = lines
        .iter()
        .map(|line| line["source"].as_str().expect("text"))
        .collect();
    assert_eq!(
        sources,
        (0..6).map(|n| format!("docs/{n}.txt")).collect::<Vec<_>>()
    );
    assert_eq!(lines[1]["output"], "whole");
    assert_eq!(lines[1]["parts"][1]["output"], "three");
    assert_eq!(lines[2]["reason"], "unsupported type: pdf");
    assert_eq!(lines[3]["output"], "kept text");
    assert_eq!(lines[5]["duplicate_of"], lines[0]["input_id"]);
    assert_eq!(run.lines(FAILURES), vec![lines[3].clone()]);
}

#[test]
fn lines_left_by_an_earlier_life_are_rebuilt_from_the_journal() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = run(outputs.path(), "a");
    run.commit(&[input(0, &[work(1)], false), result(work(1), "one", &[])]);
    fs::write(run.folder.join(RESULTS), b"{\"half a li").expect("written");
    fs::write(run.folder.join("results.jsonl.tmp"), b"old").expect("written");
    drop(run.publisher());
    assert_eq!(run.lines(RESULTS).len(), 1);
    assert!(run.lines(FAILURES).is_empty());
}

/// Two finished inputs, one of them failed, as a killed life leaves them.
fn killed(outputs: &Path) -> Run {
    let mut run = run(outputs, "a");
    run.commit(&[
        input(0, &[work(1)], false),
        input(1, &[work(2)], false),
        result(work(1), "one", &[]),
        bad(work(2), ResultStatus::Failed),
    ]);
    drop(run.publisher());
    run
}

#[test]
fn whole_lines_of_a_killed_life_stay_as_they_are_and_what_is_missing_comes_behind() {
    let outputs = tempfile::tempdir().expect("a folder");
    let run = killed(outputs.path());
    let path = run.folder.join(RESULTS);
    let text = fs::read_to_string(&path).expect("readable");
    let (first, second) = text.split_once('\n').expect("two lines");
    // In the order in which they ended, the last one cut.
    let shown = format!("{second}{}", &first[..20]);
    fs::write(&path, &shown).expect("written");
    drop(run.publisher());
    let after = fs::read_to_string(&path).expect("readable");
    assert_eq!(after, format!("{second}{first}\n"));
    assert_eq!(run.lines(FAILURES).len(), 1);
}

#[test]
fn lines_that_cannot_be_believed_are_rebuilt() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = killed(outputs.path());
    let path = run.folder.join(RESULTS);
    let good = fs::read(&path).expect("readable");
    let failures = fs::read(run.folder.join(FAILURES)).expect("readable");
    let first = good
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .expect("a line");
    let mut holed = good.clone();
    holed[60..70].fill(0);
    let foreign = String::from_utf8_lossy(&good).replace("\"input_id\":\"", "\"input_id\":\"ff");
    let cases = [
        (
            "a line twice",
            [&good[..], first].concat(),
            failures.clone(),
        ),
        ("a hole", holed, failures.clone()),
        ("a foreign id", foreign.into_bytes(), failures.clone()),
        (
            "a line that does not end",
            [&first[..first.len() - 2], b"\n"].concat(),
            failures.clone(),
        ),
        ("a failure without its line", good.clone(), Vec::new()),
        ("a line too many", first.to_vec(), failures.clone()),
    ];
    for (what, results, failed) in cases {
        fs::write(&path, results).expect("written");
        fs::write(run.folder.join(FAILURES), failed).expect("written");
        drop(run.publisher());
        assert_eq!(fs::read(&path).expect("readable"), good, "{what}");
        assert_eq!(
            fs::read(run.folder.join(FAILURES)).expect("readable"),
            failures,
            "{what}"
        );
    }
    fs::remove_file(&path).expect("removed");
    drop(run.publisher());
    assert_eq!(fs::read(&path).expect("readable"), good, "no file");
    // After the machine went down even good-looking lines may be old ones.
    fs::write(&path, [&good[first.len()..], first].concat()).expect("written");
    run.state.rebooted = true;
    drop(run.publisher());
    assert_eq!(fs::read(&path).expect("readable"), good, "another boot");
}

#[test]
fn reused_work_is_shown_from_the_run_it_came_from_and_a_lost_one_is_outstanding_again() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut first = run(outputs.path(), "a");
    let places = first.commit(&[input(0, &[work(1)], false), result(work(1), "one", &[])]);
    let (offset, crc) = places[1];
    let mut second = run(outputs.path(), "b");
    let reused = Reused {
        work_id: work(1),
        run: "runs/day/a".into(),
        offset,
        crc,
    };
    let records = [input(0, &[work(1)], false), Record::Reused(reused.clone())];
    second.commit(&records);
    let counts = second
        .publisher()
        .finish(&second.state, &second.reader)
        .expect("counts close");
    assert_eq!((counts.ok, counts.reused), (1, 1));
    assert_eq!(second.lines(RESULTS)[0]["reused_from"], "runs/day/a");
    assert_eq!(second.lines(RESULTS)[0]["output"], "one");

    let mut state = RunState::default();
    let wrong = Reused {
        crc: crc ^ 1,
        ..reused.clone()
    };
    state.apply(&records[0], 0);
    let places = second.commit(&[Record::Reused(wrong)]);
    state.apply(&Record::Reused(reused), places[0].0);
    let lost = second.reader.resolve(&mut state).expect("readable");
    assert_eq!(lost.len(), 1);
    assert_eq!(state.outstanding(), vec![work(1)]);
}

#[test]
fn a_failed_reduce_step_on_the_way_ends_its_input_as_failed() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = run(outputs.path(), "a");
    let parts: Vec<WorkId> = (0..4).map(work).collect();
    let mut records = vec![input(0, &parts, true)];
    records.extend(parts.iter().map(|part| result(*part, "part", &[])));
    records.push(result(work(10), "left", &parts[..2]));
    run.commit(&records);
    let ordinal = Ordinal { file: 0, record: 0 };
    assert!(run.verdict(ordinal).is_none());
    let Record::Input(input) = records[0].clone() else {
        unreachable!()
    };
    let Record::Result(mut right) = result(work(11), "", &parts[2..]) else {
        unreachable!()
    };
    let mut good = run.state.clone();
    good.apply(&Record::Result(right.clone()), 1);
    good.apply(&result(work(12), "whole", &[work(10), work(11)]), 2);
    let verdict = good.verdict(&input).expect("finished");
    assert_eq!(
        (verdict.status, verdict.final_work),
        (InputStatus::Ok, Some(work(12)))
    );
    right.status = ResultStatus::Failed;
    right.reason = "worker: out of memory".into();
    run.commit(&[Record::Result(right)]);
    let verdict = run.verdict(ordinal).expect("finished");
    assert_eq!(verdict.status, InputStatus::Failed);
    assert_eq!(run.state.end(ordinal), Some(InputStatus::Failed));
    drop(run.publisher());
    assert_eq!(
        run.lines(RESULTS)[0]["reason"],
        "worker: out of memory (reduce step 2 of 2)"
    );
    assert_eq!(run.state.first_user(&work(2)), Some(ordinal));
}

/// A reduce step is named by its parts' outputs, so documents with equal partial answers share it; the second one says so
/// in a record of its own.
#[test]
fn two_documents_with_equal_partial_answers_share_a_reduce_step() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = run(outputs.path(), "a");
    let second = Ordinal { file: 1, record: 0 };
    run.commit(&[
        input(0, &[work(1), work(2)], true),
        input(1, &[work(3), work(4)], true),
        result(work(1), "same", &[]),
        result(work(2), "same", &[]),
        result(work(3), "same", &[]),
        result(work(4), "same", &[]),
        result(work(9), "whole", &[work(1), work(2)]),
    ]);
    assert_eq!(run.verdict(second), None);
    let step = Reduced {
        work_id: work(9),
        from: vec![work(3), work(4)],
    };
    run.commit(&[Record::Reduced(step.clone())]);
    let verdict = run.verdict(second).expect("finished");
    assert_eq!(
        (verdict.final_work, verdict.steps),
        (Some(work(9)), vec![step])
    );
    run.publisher()
        .finish(&run.state, &run.reader)
        .expect("counts close");
    assert_eq!(run.lines(RESULTS)[1]["output"], "whole");
}

#[test]
fn a_line_names_the_reader_and_the_places_of_each_part_and_nulls_where_there_are_none() {
    let outputs = tempfile::tempdir().expect("a folder");
    let mut run = run(outputs.path(), "a");
    let Record::Input(mut book) = input(0, &[work(1), work(2)], false) else {
        unreachable!()
    };
    book.reader = Some("pdfium 149".into());
    book.unread = Some("2 of 30 pages".into());
    if let InputOutcome::Pending { parts, .. } = &mut book.outcome {
        parts[0].places = Some(["page 1".into(), "page 3".into()]);
    }
    run.commit(&[
        Record::Input(book),
        input(1, &[work(3)], false),
        result(work(1), "one", &[]),
        result(work(2), "two", &[]),
        result(work(3), "three", &[]),
    ]);
    run.publisher();
    let lines = run.lines(RESULTS);
    assert_eq!(lines[0]["reader"], "pdfium 149");
    assert_eq!(lines[0]["unread"], "2 of 30 pages");
    assert_eq!(
        lines[0]["parts"][0]["places"],
        serde_json::json!(["page 1", "page 3"])
    );
    let null = serde_json::Value::Null;
    for nothing in [
        &lines[0]["parts"][1]["places"],
        &lines[1]["parts"][0]["places"],
        &lines[1]["reader"],
        &lines[1]["unread"],
    ] {
        assert_eq!(nothing, &null);
    }
}
