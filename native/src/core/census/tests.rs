//! The census on real files: what it counts is what a run then does, whatever the number of threads.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::tests::{core, corpus, run};
use super::super::{Core, Notice};
use super::CensusSettings;
use super::tally::QUANTITIES;
use crate::settings::Settings;

fn options() -> CensusSettings {
    CensusSettings {
        full: false,
        sample: None,
        read_s: 3600.0,
        near: true,
        near_similarity: 0.85,
        near_bytes: 1 << 20,
    }
}

/// Counts to the end.
fn count(mut core: Core, options: CensusSettings) -> Value {
    core.count(options).expect("threads");
    let notices = core.notices(Duration::from_secs(60));
    assert!(matches!(notices[..], [Notice::Finished]), "{notices:?}");
    let counted = core.counted().expect("counted");
    core.close(1).expect("closes");
    serde_json::from_str(&counted).expect("JSON")
}

/// The sum of one quantity over all strata.
fn sum(census: &Value, quantity: &str) -> f64 {
    let at = QUANTITIES
        .iter()
        .position(|name| *name == quantity)
        .expect("a quantity");
    let strata = census["strata"].as_array().expect("strata");
    strata
        .iter()
        .map(|stratum| stratum["sums"][at].as_f64().expect("a number"))
        .sum()
}

fn whole(census: &Value, quantity: &str) -> u64 {
    let text = format!("{}", sum(census, quantity));
    text.parse().expect("a whole number")
}

struct Place {
    _folder: tempfile::TempDir,
    outputs: std::path::PathBuf,
    input: std::path::PathBuf,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (outputs, input) = (folder.path().join("outputs"), folder.path().join("in"));
        Place {
            _folder: folder,
            outputs,
            input,
        }
    }

    fn core(&self, run: &str, change: impl FnOnce(&mut Settings)) -> Core {
        core(&self.outputs, &self.input, run, change)
    }

    fn many(&self, files: usize) {
        fs::create_dir(&self.input).expect("new");
        for file in 0..files {
            let text = format!("one two three {file} ").repeat(1 + file % 40);
            let ending = ["txt", "md", "html"][file % 3];
            fs::write(self.input.join(format!("{file:04}.{ending}")), text).expect("writable");
        }
    }
}

fn check_against_a_run(also: impl Fn(&mut Settings)) {
    let place = Place::new();
    // How many reduce steps follow depends on the answers.
    let change = |settings: &mut Settings| {
        settings.job.reduce_template = None;
        also(settings);
    };
    corpus(&place.input);
    fs::write(
        place.input.join("r.jsonl"),
        "{\"text\":\"one\"}\n\"two one\"\n{}\n\"one two three\"\n\"two one\"\n",
    )
    .expect("writable");
    std::os::unix::fs::symlink("a.txt", place.input.join("z.txt")).expect("a link");
    let census = count(place.core("plan", change), options());
    assert_eq!(census["complete"], true);
    let (results, answered) = run(place.core("run", change));
    let ends = |status: &str| {
        results
            .values()
            .filter(|line| line["status"] == status)
            .count() as u64
    };
    let reasons = census["reasons"].as_array().expect("reasons");
    let linked = reasons
        .iter()
        .filter(|reason| reason["kind"].is_null())
        .count() as u64;
    assert_eq!(whole(&census, "documents"), ends("ok"));
    assert_eq!(whole(&census, "skipped") + linked, ends("skipped"));
    assert_eq!(whole(&census, "failed"), ends("failed"));
    assert_eq!(whole(&census, "requests"), answered as u64);
    let duplicates = results
        .values()
        .filter(|line| !line["duplicate_of"].is_null());
    assert_eq!(whole(&census, "duplicates"), duplicates.count() as u64);
    for (quantity, key) in [
        ("text_bytes", "text_bytes"),
        ("covered_bytes", "covered_bytes"),
    ] {
        let lines = results.values().filter(|line| line["status"] == "ok");
        let published: u64 = lines
            .map(|line| line["coverage"][key].as_u64().expect("a number"))
            .sum();
        assert_eq!(whole(&census, quantity), published, "{quantity}");
    }
}

#[test]
fn what_is_counted_is_what_a_run_then_does() {
    check_against_a_run(|_| ());
}

#[test]
fn what_is_counted_is_what_a_run_then_does_with_the_smallest_documents_alone() {
    check_against_a_run(|settings| settings.job.max_documents = Some(3));
}

#[test]
fn what_is_counted_is_what_a_run_then_does_with_the_first_chunk_alone() {
    check_against_a_run(|settings| settings.job.max_chunks = Some(1));
}

#[test]
fn after_a_run_everything_is_unchanged_and_nothing_is_read() {
    let place = Place::new();
    corpus(&place.input);
    let (results, _) = run(place.core("run", |_| ()));
    let census = count(place.core("plan", |_| ()), options());
    assert_eq!(census["unchanged_files"], results.len());
    assert_eq!(census["unchanged"], json!({"ok": 4, "skipped": 2}));
    assert_eq!(census["strata"], json!([]));
    fs::write(place.input.join("a.txt"), "three three").expect("writable");
    let census = count(place.core("again", |_| ()), options());
    assert_eq!(whole(&census, "documents"), 1);
    assert_eq!(whole(&census, "requests"), 1);
}

#[test]
fn an_answered_document_under_a_new_name_sends_nothing() {
    let place = Place::new();
    corpus(&place.input);
    run(place.core("run", |_| ()));
    fs::rename(place.input.join("long.txt"), place.input.join("longer.txt")).expect("renamed");
    let census = count(place.core("plan", |_| ()), options());
    assert_eq!(whole(&census, "documents"), 1);
    assert!(whole(&census, "chunks") > 1);
    assert_eq!(whole(&census, "requests"), 0);
}

#[test]
fn a_sample_is_the_same_every_time_and_knows_how_much_there_is() {
    let place = Place::new();
    place.many(300);
    let sample = CensusSettings {
        sample: Some(50),
        ..options()
    };
    let threads = |threads: usize| move |settings: &mut Settings| settings.ingest.threads = threads;
    let census = count(place.core("one", threads(1)), sample);
    assert_eq!(census, count(place.core("four", threads(4)), sample));
    assert_eq!(census["chosen"], 50);
    let strata = census["strata"].as_array().expect("strata");
    let of = |name: &str| -> u64 {
        let numbers = strata.iter().map(|stratum| stratum[name].as_u64());
        numbers.map(|number| number.expect("a number")).sum()
    };
    assert_eq!((of("files"), of("read")), (300, 50));
    let bytes: u64 = fs::read_dir(&place.input)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").metadata().expect("a file").len())
        .sum();
    assert_eq!(of("bytes"), bytes);
    assert!(of("read_bytes") < bytes);
    assert!(
        strata
            .iter()
            .all(|stratum| stratum["read"].as_u64() >= Some(2))
    );
}

#[test]
fn what_takes_too_long_is_sampled_unless_everything_is_asked_for() {
    let place = Place::new();
    place.many(300);
    let hurried = CensusSettings {
        read_s: 0.02,
        ..options()
    };
    let census = count(place.core("hurried", |_| ()), hurried);
    assert!(
        census["chosen"].as_u64() < Some(300),
        "{}",
        census["chosen"]
    );
    let full = CensusSettings {
        full: true,
        ..hurried
    };
    let census = count(place.core("full", |_| ()), full);
    assert_eq!(census["chosen"], Value::Null);
    assert_eq!(whole(&census, "documents"), 300);
}

#[test]
fn of_a_large_file_of_records_all_are_counted_and_some_encoded() {
    let place = Place::new();
    fs::create_dir(&place.input).expect("new");
    let line = |number: usize| {
        format!(
            "\"one two three {number} {}\"\n",
            "two ".repeat(number % 900)
        )
    };
    let lines: String = (0..5_000).map(line).collect();
    fs::write(place.input.join("r.jsonl"), &lines).expect("writable");
    let change = |settings: &mut Settings| {
        settings.ingest.max_file_bytes = 1 << 30;
        settings.model.max_model_len = 200;
    };
    let all = count(place.core("all", change), options());
    let hurried = CensusSettings {
        read_s: 0.02,
        ..options()
    };
    let part = count(place.core("part", change), hurried);
    assert_eq!(part["strata"][0]["partly"], true);
    assert_eq!(all["strata"][0]["partly"], false);
    for quantity in ["documents", "text_bytes", "duplicates", "near_duplicates"] {
        assert_eq!(whole(&part, quantity), whole(&all, quantity), "{quantity}");
    }
    for quantity in ["tokens", "chunks", "requests", "tokens_to_send"] {
        let ratio = sum(&part, quantity) / sum(&all, quantity);
        assert!((ratio - 1.0).abs() < 0.05, "{quantity}: {ratio}");
    }
}

#[test]
fn near_duplicates_do_not_depend_on_the_number_of_threads() {
    let place = Place::new();
    fs::create_dir(&place.input).expect("new");
    for file in 0..120u64 {
        let own = |word: u64| format!("w{} ", crate::similar::mix((file % 40) << 32 | word));
        let text: String = (0..200).map(own).collect();
        let text = format!("{text} copy {file}");
        // Large and small in turn, so that threads come out of order.
        let filler = "<!-- -->".repeat(if file % 7 == 0 { 20_000 } else { 0 });
        fs::write(
            place.input.join(format!("{file:03}.html")),
            format!("<html><body>{filler}<p>{text}"),
        )
        .expect("writable");
    }
    let mut found = Vec::new();
    for threads in [1, 2, 8] {
        let run = format!("threads-{threads}");
        let census = count(
            place.core(&run, |settings| settings.ingest.threads = threads),
            options(),
        );
        assert_eq!(whole(&census, "near_duplicates"), 80);
        let example = &census["near_example"];
        assert!(
            example["source"]
                .as_str()
                .expect("a name")
                .ends_with("040.html"),
            "{example}"
        );
        assert!(
            example["like"]
                .as_str()
                .expect("a name")
                .ends_with("000.html"),
            "{example}"
        );
        found.push(census);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn closing_breaks_a_census_off() {
    let place = Place::new();
    place.many(3000);
    let mut core = place.core("plan", |settings| settings.ingest.threads = 2);
    core.count(options()).expect("threads");
    core.close(1).expect("closes");
    let counted: Value = serde_json::from_str(&core.counted().expect("counted")).expect("JSON");
    assert_eq!(counted["complete"], false);
}

#[test]
fn an_input_that_is_gone_is_said_and_not_counted_as_empty() {
    let place = Place::new();
    let mut core = place.core("plan", |_| ());
    core.count(options()).expect("threads");
    let notices = core.notices(Duration::from_secs(30));
    assert!(
        matches!(&notices[..], [Notice::Stopped(error)] if error.to_string().contains("no such file")),
        "{notices:?}"
    );
}
