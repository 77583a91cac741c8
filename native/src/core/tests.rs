//! The whole core on real files and a real channel; only the worker is a thread of this test, so that no Python is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Core, Life, Notice};
use crate::channel::layout::{CompleteLine, SubmitLine};
use crate::channel::port::ChildEnds;
use crate::channel::worker_port::WorkerPort;
use crate::dispatch::tests::settings;

fn life() -> Life {
    Life {
        boot_id: "boot".into(),
        pid: std::process::id(),
        unix_ms: 0,
    }
}

/// A run folder in `outputs`, over `input`.
pub(super) fn core(
    outputs: &Path,
    input: &Path,
    run: &str,
    change: impl FnOnce(&mut crate::settings::Settings),
) -> Core {
    let folder = outputs.join("runs/2026-01-01").join(run);
    fs::create_dir_all(&folder).expect("writable");
    let mut settings = settings(outputs);
    settings.run_id = run.into();
    settings.run_dir = folder.display().to_string();
    settings.index_path = outputs.join("index.sqlite").display().to_string();
    settings.reuse = crate::settings::Reuse::Finished;
    settings.ingest.inputs = vec![input.display().to_string()];
    change(&mut settings);
    Core::new(settings).expect("valid settings")
}

/// Answers every request with its number of tokens until the runner closes the channel.
fn worker(ends: ChildEnds) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let mut port =
            WorkerPort::attach(&ends.channel, ends.control, &ends.documents, 0).expect("attached");
        let mut answered = 0;
        let mut lines = [SubmitLine::default(); 8];
        while let Ok(count) = port.receive(&mut lines, -1) {
            for line in &lines[..count] {
                let output = format!("{} tokens", line.token_count);
                port.write_output(line, output.as_bytes()).expect("fits");
                let done = CompleteLine {
                    handle: line.handle,
                    generation: line.generation,
                    slot: line.slot,
                    output_bytes: u32::try_from(output.len()).expect("short"),
                    tokens_in: line.token_count,
                    tokens_out: 2,
                    ..CompleteLine::default()
                };
                port.complete(&[done]).expect("room");
                answered += 1;
            }
            port.publish();
        }
        answered
    })
}

/// Runs to the end with one worker; the results by source name, and how many requests the worker has seen.
pub(super) fn run(core: Core) -> (BTreeMap<String, serde_json::Value>, usize) {
    run_with(core, 1)
}

fn run_with(mut core: Core, seats: u32) -> (BTreeMap<String, serde_json::Value>, usize) {
    core.open(life()).expect("a journal");
    core.start().expect("threads");
    let ends: Vec<_> = (0..seats)
        .map(|seat| core.attach(seat).expect("a channel").1)
        .collect();
    let workers: Vec<_> = ends.into_iter().map(worker).collect();
    for seat in 0..seats {
        core.ready(seat).expect("running");
    }
    loop {
        let notices = core.notices(Duration::from_secs(30));
        assert!(!notices.is_empty(), "the run hangs: {:?}", core.counters());
        if notices
            .iter()
            .any(|notice| matches!(notice, Notice::Finished))
        {
            break;
        }
        for notice in notices {
            let broken = matches!(notice, Notice::Stopped(_) | Notice::ChannelBroken { .. });
            assert!(!broken, "{notice:?}");
        }
    }
    let folder = core.settings.run_dir.clone();
    let counts = core.close(1).expect("closes").expect("finished");
    drop(core);
    let text = fs::read_to_string(Path::new(&folder).join("results.jsonl")).expect("published");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let results: BTreeMap<String, serde_json::Value> = lines
        .map(|line| {
            let source = line["source"]
                .as_str()
                .expect("a source")
                .rsplit('/')
                .next()
                .expect("a name");
            (source.to_owned(), line.clone())
        })
        .collect();
    assert_eq!(counts.inputs, results.len() as u64);
    let answered = workers
        .into_iter()
        .map(|worker| worker.join().expect("no panic"));
    (results, answered.sum())
}

pub(super) fn corpus(folder: &Path) {
    fs::create_dir(folder).expect("new");
    fs::write(folder.join("a.txt"), "one two three").expect("writable");
    fs::write(folder.join("b.txt"), "one two three").expect("writable");
    fs::write(folder.join("c.md"), "# Title\n\none two two\n").expect("writable");
    let binary: Vec<u8> = (0..=255).cycle().take(4096).collect();
    fs::write(folder.join("d.bin"), binary).expect("writable");
    fs::write(folder.join("empty.txt"), "").expect("writable");
    fs::write(folder.join("long.txt"), "one two three. ".repeat(60)).expect("writable");
}

#[test]
fn a_folder_becomes_results_and_a_second_run_asks_no_worker() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    corpus(&input);
    let (results, answered) = run(core(&outputs, &input, "first", |_| ()));
    assert_eq!(results.len(), 6);
    assert_eq!(results["a.txt"]["status"], "ok");
    assert_eq!(results["a.txt"]["output"], "5 tokens");
    assert_eq!(results["empty.txt"]["status"], "skipped");
    assert!(
        results["long.txt"]["parts"]
            .as_array()
            .expect("parts")
            .len()
            > 1,
        "it is cut"
    );
    assert_eq!(results["long.txt"]["status"], "ok");
    assert!(answered > 4);

    let second = core(&outputs, &input, "second", |_| ());
    let survey = second.survey().expect("an index");
    assert!(survey.nothing_to_do(), "{survey:?}");
    let (again, asked) = run(second);
    assert_eq!(asked, 0);
    for (name, line) in &results {
        assert_eq!(again[name]["output"], line["output"], "{name}");
        assert_eq!(again[name]["status"], line["status"], "{name}");
    }

    fs::write(input.join("a.txt"), "two two two two").expect("writable");
    let third = core(&outputs, &input, "third", |_| ());
    assert_eq!(third.survey().expect("an index").to_do, 1);
    let (changed, asked) = run(third);
    assert_eq!(asked, 1, "only the changed document");
    assert_eq!(changed["a.txt"]["output"], "6 tokens");
}

#[test]
fn only_the_smallest_documents_run_and_the_rest_says_why_it_was_skipped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    corpus(&input);
    let (results, _) = run(core(&outputs, &input, "few", |settings| {
        settings.job.max_documents = Some(2);
    }));
    let ok: Vec<&String> = results
        .iter()
        .filter(|(_, line)| line["status"] == "ok")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(ok, ["a.txt", "b.txt"]);
    assert!(
        results["long.txt"]["reason"]
            .as_str()
            .expect("text")
            .starts_with("job.max_documents")
    );
}

#[test]
fn a_worker_that_dies_gives_its_leases_back_and_the_next_one_finishes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    corpus(&input);
    let mut core = core(&outputs, &input, "dying", |_| ());
    core.open(life()).expect("a journal");
    core.start().expect("threads");
    let (_, ends) = core.attach(0).expect("a channel");
    core.ready(0).expect("running");
    while core
        .counters()
        .iter()
        .all(|(name, value)| *name != "leased" || *value == 0)
    {
        thread::yield_now();
    }
    drop(ends);
    let toll = core
        .died(0, "worker died: test".into(), true)
        .expect("running");
    assert!(toll.requeued > 0 && toll.quarantined == 0, "{toll:?}");
    let (incarnation, ends) = core.attach(0).expect("a fresh channel");
    assert_eq!(incarnation, 2);
    let worker = worker(ends);
    core.ready(0).expect("running");
    while !core
        .notices(Duration::from_secs(30))
        .iter()
        .any(|notice| matches!(notice, Notice::Finished))
    {}
    let counts = core.close(1).expect("closes").expect("finished");
    assert_eq!((counts.ok, counts.quarantined), (4, 0));
    drop(core);
    worker.join().expect("no panic");
}

#[test]
fn a_drained_run_is_resumed_and_finished_work_is_not_done_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    corpus(&input);
    let mut first = core(&outputs, &input, "resumed", |_| ());
    first.open(life()).expect("a journal");
    first.start().expect("threads");
    first.drain().expect("running");
    while !first
        .notices(Duration::from_secs(30))
        .iter()
        .any(|notice| matches!(notice, Notice::Drained))
    {}
    assert_eq!(first.close(1).expect("closes"), None);
    drop(first);
    let (results, _) = run(core(&outputs, &input, "resumed", |_| ()));
    assert_eq!(results["a.txt"]["status"], "ok");
    assert_eq!(results.len(), 6);
}

/// `words` words in one request: 4 bytes each in shared memory.
fn words(count: usize) -> String {
    "two ".repeat(count)
}

/// Documents get one segment of 64 KiB: the rest of the pool is the workers' regions.
fn one_segment(settings: &mut crate::settings::Settings) {
    settings.model.max_model_len = 1 << 20;
    settings.channel.segment_bytes = 64 << 10;
    settings.schedule.credits = 1;
    settings.schedule.max_num_seqs = 1;
    settings.channel.ring_entries = 8;
    settings.channel.ipc_budget_bytes = 128 << 10;
}

#[test]
fn a_request_that_can_never_fit_shared_memory_fails_alone_and_the_next_run_tries_it_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    fs::create_dir(&input).expect("new");
    fs::write(input.join("a.txt"), words(10)).expect("writable");
    fs::write(input.join("b.txt"), words(20_000)).expect("writable");
    fs::write(input.join("c.txt"), words(20)).expect("writable");
    let (results, answered) = run(core(&outputs, &input, "small", one_segment));
    assert_eq!(answered, 2);
    assert_eq!(results["a.txt"]["status"], "ok");
    assert_eq!(results["c.txt"]["status"], "ok");
    assert_eq!(results["b.txt"]["status"], "failed");
    let reason = results["b.txt"]["reason"].as_str().expect("text");
    assert!(reason.starts_with("memory: "), "{reason}");

    let (results, answered) = run(core(&outputs, &input, "large", |settings| {
        settings.model.max_model_len = 1 << 20;
        settings.channel.segment_bytes = 512 << 10;
    }));
    assert_eq!((answered, &results["b.txt"]["status"]), (1, &"ok".into()));
}

#[test]
fn workers_that_share_too_little_memory_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    fs::create_dir(&input).expect("new");
    for number in 0..8 {
        let text = words(10_000 + number);
        fs::write(input.join(format!("{number}.txt")), text).expect("writable");
    }
    let small = core(&outputs, &input, "small", |settings| {
        one_segment(settings);
        settings.channel.ipc_budget_bytes = 192 << 10;
    });
    let (results, answered) = run_with(small, 2);
    assert_eq!(answered, 8);
    assert!(results.values().all(|line| line["status"] == "ok"));
}

#[test]
fn a_document_that_did_not_fit_memory_is_tried_again_by_the_next_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    fs::create_dir(&input).expect("new");
    fs::write(input.join("a.txt"), words(10)).expect("writable");
    let too_little = |settings: &mut crate::settings::Settings| settings.rust_budget_bytes = 16;
    let (results, _) = run(core(&outputs, &input, "first", too_little));
    assert_eq!(results["a.txt"]["status"], "failed");
    let second = core(&outputs, &input, "second", |_| ());
    assert_eq!(second.survey().expect("an index").to_do, 1);
    let (results, _) = run(second);
    assert_eq!(results["a.txt"]["status"], "ok");
}

#[test]
fn a_result_of_an_earlier_run_that_has_rotted_is_made_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
    corpus(&input);
    run(core(&outputs, &input, "first", |_| ()));
    // Opened before the damage: what the index knows is what was there then.
    let second = core(&outputs, &input, "second", |_| ());
    let journal = outputs.join("runs/2026-01-01/first/journal");
    let stamp = fs::metadata(&journal)
        .expect("there")
        .modified()
        .expect("a time");
    let mut bytes = fs::read(&journal).expect("readable");
    let at = bytes
        .windows(8)
        .position(|part| part == b"5 tokens")
        .expect("an answer");
    bytes[at] = b'7';
    fs::write(&journal, bytes).expect("writable");
    let file = fs::File::options()
        .write(true)
        .open(&journal)
        .expect("there");
    file.set_modified(stamp).expect("settable");
    let (again, asked) = run(second);
    assert_eq!(again["a.txt"]["output"], "5 tokens");
    assert_eq!(asked, 1, "a.txt and b.txt share their one answer");
}
