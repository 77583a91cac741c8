//! Files against a supervisor and extract workers that are threads of the test: what a file is owed when one dies, hangs,
//! lies or cannot be had.

use crossbeam_channel::{Receiver, unbounded};
use std::thread;

use super::*;
use crate::channel::conversion::ConversionWorker;
use crate::dispatch::tests::settings;
use crate::extract::convert::Format;

/// What a worker does with its n-th file, over all processes of its seat.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Answers with the file's own bytes as text.
    Echo,
    /// Is gone, and the supervisor says so with these words.
    Die(&'static str),
    /// Answers nothing until its end is closed.
    Hang,
    /// Claims more text than there is room for.
    Lie,
    /// Answers with a document outside the text.
    Outside,
    /// Says that the second reader begins, then ends with this cause; without a second reader it echoes.
    Second(&'static str),
    /// Says the same and hangs.
    SecondHangs,
    /// Tells of pages without end and never answers.
    Babble,
    /// No process can be made.
    NoProcess,
}

/// Plays the acts in order; the number of processes that were started.
fn supervise(
    shared: Arc<Converters>,
    notices: Receiver<Notice>,
    acts: Vec<Act>,
) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let (mut started, mut acts) = (0, acts.into_iter());
        for notice in notices {
            match notice {
                Notice::ConverterWanted { seat } => {
                    started += 1;
                    let ends = shared.attach(seat).expect("asked for");
                    let worker = ConversionWorker::attach(&ends.input, &ends.output, ends.control);
                    match play(worker.expect("mapped"), &mut acts) {
                        Act::Die(cause) | Act::Second(cause) => shared.died(seat, cause.to_owned()),
                        Act::NoProcess => shared.cannot_start(seat, "no such program".to_owned()),
                        // The thread gives up, and says so.
                        Act::Hang | Act::Lie | Act::Outside | Act::Babble | Act::SecondHangs => {}
                        Act::Echo => return started,
                    }
                }
                Notice::ConverterGivenUp { seat } => shared.died(seat, "signal 9".to_owned()),
                Notice::Finished => return started,
                other => panic!("{other:?}"),
            }
        }
        started
    })
}

/// One process: echoes until an act ends it.
fn play(mut worker: ConversionWorker, acts: &mut impl Iterator<Item = Act>) -> Act {
    let mut act = acts.next().unwrap_or(Act::Echo);
    if matches!(act, Act::NoProcess) {
        return act;
    }
    if worker.say(READY).is_err() {
        return Act::Echo;
    }
    while let Ok(Some(line)) = worker.next_request() {
        let request: Request = serde_json::from_str(&line).expect("a request");
        match act {
            Act::Babble => while worker.say(r#"{"pages":1}"#).is_ok() {},
            Act::Echo => {
                worker.say(r#"{"pages":2}"#).expect("heard");
                worker.say(r#"{"pages":5}"#).expect("heard");
                let text = String::from_utf8(worker.file(request.file_bytes).expect("there"));
                answer(&mut worker, &text.expect("text"), 0);
                act = acts.next().unwrap_or(Act::Echo);
            }
            Act::Outside => answer(&mut worker, "short", 1),
            Act::Lie => {
                let line = format!("{{\"text_bytes\":{},\"answer_bytes\":1}}", usize::MAX);
                worker.say(&line).expect("heard");
            }
            Act::Second(_) | Act::SecondHangs if request.no_second.is_some() => {
                let why = request.no_second.unwrap_or_default();
                answer(&mut worker, &why, 0);
                act = acts.next().unwrap_or(Act::Echo);
            }
            Act::Second(_) | Act::SecondHangs => {
                let line = serde_json::to_string(&Progress::Second).expect("plain data");
                worker.say(&line).expect("heard");
                if let Act::Second(_) = act {
                    return act;
                }
            }
            Act::Hang => {}
            Act::Die(_) | Act::NoProcess => return act,
        }
    }
    act
}

fn answer(worker: &mut ConversionWorker, text: &str, beyond: usize) {
    let part = crate::extract::convert::Part::Document {
        record_id: None,
        media: crate::document::MediaType::Text,
        title: None,
        from: 0,
        to: text.len() + beyond,
        metadata: BTreeMap::new(),
        second: false,
        unread: None,
        places: Vec::new(),
    };
    let answer = Answer {
        reader: "echo".to_owned(),
        parts: vec![part],
    };
    let line = serde_json::to_string(&answer).expect("plain data");
    worker.answer(text, &line).expect("heard");
}

/// What became of `files` files, and how many processes it took.
fn outcomes(acts: Vec<Act>, files: usize) -> (Vec<Outcome>, usize) {
    let (results, started, _) = counted(acts, files);
    (results, started)
}

/// The same, and how many pages the workers told of.
fn counted(acts: Vec<Act>, files: usize) -> (Vec<Outcome>, usize, u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (notify, notices) = unbounded();
    let shared = Arc::new(Converters::new(notify));
    let supervisor = supervise(Arc::clone(&shared), notices, acts);
    let ingest = settings(folder.path()).ingest;
    let pool = Arc::new(Pool::new(1 << 20));
    let counters: Arc<Counters> = Arc::default();
    let mut converter = Converter::new(
        3,
        Arc::clone(&shared),
        pool,
        ingest.clone(),
        Arc::clone(&counters),
    );
    let results = (0..files).map(|number| {
        let file = format!("file {number}");
        let request = Request::new(Format::Pdf, file.len(), &ingest);
        let answered = converter.convert(&request, file.as_bytes());
        answered.map(|(_, text)| text)
    });
    let results = results.collect();
    drop(converter);
    let _gone = shared.notices.send(Notice::Finished);
    let started = supervisor.join().expect("no panic");
    (results, started, counters.pages_read.get())
}

type Outcome = std::result::Result<String, Unconverted>;

fn echoed(number: usize) -> String {
    format!("file {number}")
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Err(Unconverted::Failed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_process_converts_file_after_file() {
    let (results, started) = outcomes(vec![], 3);
    assert_eq!(results, [0, 1, 2].map(|number| Ok(echoed(number))));
    assert_eq!(started, 1);
}

#[test]
fn pages_are_counted_while_files_are_read() {
    assert_eq!(counted(vec![], 3).2, 3 * (2 + 5));
}

#[test]
fn a_file_gets_a_second_process_when_the_first_dies_under_it() {
    for act in [Act::Die("signal 9 (SIGKILL)"), Act::Lie, Act::Outside] {
        let (results, started) = outcomes(vec![Act::Echo, act], 3);
        assert_eq!(
            results,
            [0, 1, 2].map(|number| Ok(echoed(number))),
            "{act:?}"
        );
        assert_eq!(started, 2);
    }
}

#[test]
fn a_file_that_kills_every_process_fails_and_the_next_one_is_converted() {
    let die = Act::Die("signal 11 (SIGSEGV)");
    let (results, started) = outcomes(vec![die, die], 2);
    assert!(reason(&results[0]).starts_with("parser: ") && reason(&results[0]).contains("SIGSEGV"));
    assert_eq!((&results[1], started), (&Ok(echoed(1)), 3));
}

#[test]
fn a_file_over_its_processor_or_wall_time_is_not_tried_twice() {
    let (results, started) = outcomes(vec![Act::Die("signal 24 (SIGXCPU)")], 2);
    assert_eq!(reason(&results[0]), "limit isolation.cpu_s: over 1 s");
    assert_eq!((&results[1], started), (&Ok(echoed(1)), 2));
    for act in [Act::Hang, Act::Babble] {
        let (results, started) = outcomes(vec![act], 2);
        assert_eq!(reason(&results[0]), "limit isolation.wall_s: over 1 s");
        assert_eq!((&results[1], started), (&Ok(echoed(1)), 2), "{act:?}");
    }
}

#[test]
fn a_worker_that_ends_in_its_second_reader_is_asked_again_without_it_and_told_why() {
    let cpu = "limit isolation.cpu_s: over 1 s";
    let wall = "limit isolation.wall_s: over 1 s";
    for (act, why) in [
        (Act::Second("signal 11 (SIGSEGV)"), "signal 11 (SIGSEGV)"),
        (Act::Second("signal 24 (SIGXCPU)"), cpu),
        (Act::SecondHangs, wall),
    ] {
        // The act of the second process is the same: it answers with what it was told.
        let (results, started) = outcomes(vec![act, act], 2);
        assert_eq!(results, [Ok(why.to_owned()), Ok(echoed(1))], "{act:?}");
        assert_eq!(started, 2);
    }
    let die = Act::Die("signal 9");
    let (results, started) = outcomes(vec![die, Act::Second("x"), Act::Echo], 1);
    assert_eq!(
        results,
        [Ok(echoed(0))],
        "neither trouble uses up the other's try"
    );
    assert_eq!(started, 3);
}

#[test]
fn without_a_process_the_file_fails_for_a_reason_that_the_next_run_does_not_take_over() {
    let (results, _) = outcomes(vec![Act::NoProcess], 1);
    assert_eq!(reason(&results[0]), "extractor: no such program");
    assert!(Circumstance::explains(reason(&results[0])));
}

#[test]
fn a_run_that_stops_leaves_the_file_for_the_resume() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (notify, notices) = unbounded();
    let pool = Arc::new(Pool::new(1 << 20));
    let ingest = settings(folder.path()).ingest;
    let shared = Arc::new(Converters::new(notify));
    let counters = Arc::default();
    let mut converter = Converter::new(0, shared, Arc::clone(&pool), ingest.clone(), counters);
    let stopping = thread::spawn(move || {
        let asked = notices.recv().expect("a process is asked for");
        assert!(matches!(asked, Notice::ConverterWanted { seat: 0 }));
        pool.close();
        notices
    });
    let request = Request::new(Format::Pdf, 1, &ingest);
    assert_eq!(converter.convert(&request, b"x"), Err(Unconverted::Stopped));
    let notices = stopping.join().expect("no panic");
    assert_eq!(converter.convert(&request, b"y"), Err(Unconverted::Stopped));
    assert!(notices.is_empty(), "no process is asked for any more");
}
