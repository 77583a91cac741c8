//! Failing disks and power cuts: an acknowledgement is true whatever happens, and nothing follows a storage error.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use crossbeam_channel::unbounded;
use proptest::prelude::*;

use super::super::planted::{Bug, is_noticed};
use super::super::writer::{Command, Failure, Sink, Writer};
use super::*;

#[derive(Default, Debug)]
struct Disk {
    written: Vec<u8>,
    durable: Vec<u8>,
    calls: usize,
    /// After this many calls the disk fails, writing only so many bytes of the failing write.
    fails_at: Option<(usize, i32, usize)>,
    interrupts: bool,
    cut_fails: bool,
    failed: bool,
}

#[derive(Clone)]
struct TestSink(Arc<Mutex<Disk>>);

impl Disk {
    fn fails(&mut self) -> Option<(io::Error, usize)> {
        self.calls += 1;
        let (at, code, partial) = self.fails_at?;
        if self.calls < at || self.failed {
            return None; // later calls succeed: a disk that works again must not tempt the writer
        }
        self.failed = true;
        Some((io::Error::from_raw_os_error(code), partial))
    }
}

impl Sink for TestSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().expect("one thread");
        if let Some((error, partial)) = disk.fails() {
            let taken = partial.min(bytes.len());
            disk.written.extend_from_slice(&bytes[..taken]);
            return Err(error);
        }
        if disk.interrupts && disk.calls.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let taken = if disk.interrupts {
            bytes.len().div_ceil(2)
        } else {
            bytes.len()
        };
        disk.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().expect("one thread");
        if let Some((error, _)) = disk.fails() {
            return Err(error);
        }
        disk.durable = disk.written.clone();
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.0.lock().expect("one thread");
        if disk.cut_fails {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        disk.written
            .truncate(usize::try_from(length).expect("small"));
        Ok(())
    }

    fn still_there(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Outcome {
    disk: Disk,
    acknowledged: Vec<u64>,
    failures: usize,
    after_failure: usize,
    sticky: bool,
}

/// Runs the writer in this thread over `count` results with a flush after each `flush` of them.
fn write_all(disk: Disk, count: u32, flush: u32) -> Outcome {
    let shared = Arc::new(Mutex::new(disk));
    let (send, acks) = unbounded();
    let failure: Arc<OnceLock<Failure>> = Arc::default();
    let begin = bytes_of(&[]);
    {
        let mut disk = shared.lock().expect("one thread");
        disk.written = begin.clone();
        disk.durable = begin.clone();
    }
    let writer = Writer {
        sink: TestSink(Arc::clone(&shared)),
        path: "journal".into(),
        durability: Durability::Power,
        end: begin.len() as u64,
        acks: send,
        failure: Arc::clone(&failure),
        wake: Box::new(|| ()),
        // All commands wait already: a group would take them all.
        most: flush as usize,
        group: Vec::new(),
        barriers: Vec::new(),
    };
    let (commands, received) = unbounded();
    for number in 0..count {
        let (kind, body) = frame::body_of(&result(work(number), "text", &[])).expect("storable");
        let ticket = Some(u64::from(number));
        commands
            .send(Command::Append { kind, body, ticket })
            .expect("taken");
        if number % flush == flush - 1 {
            commands.send(Command::Flush).expect("taken");
        }
    }
    drop(commands);
    writer.run(&received);
    let mut outcome = Outcome {
        disk: Disk::default(),
        acknowledged: Vec::new(),
        failures: 0,
        after_failure: 0,
        sticky: failure.get().is_some(),
    };
    for ack in acks.try_iter() {
        match ack {
            Ack::Durable { ticket, .. } => {
                outcome.acknowledged.push(ticket);
                outcome.after_failure += outcome.failures;
            }
            Ack::Failed(_) => outcome.failures += 1,
        }
    }
    outcome.disk = std::mem::take(&mut shared.lock().expect("one thread"));
    outcome
}

/// The results that a replay of these bytes finds; panics when they are damaged in the middle.
fn replayed(bytes: &[u8]) -> HashSet<WorkId> {
    let folder = folder();
    let path = folder.path().join("journal");
    std::fs::write(&path, bytes).expect("written");
    works_with_results(&path).into_iter().collect()
}

fn check(outcome: &Outcome) {
    let in_order: Vec<u64> = (0..outcome.acknowledged.len() as u64).collect();
    assert_eq!(
        outcome.acknowledged, in_order,
        "acknowledged in order, none left out"
    );
    assert_eq!(
        outcome.after_failure, 0,
        "nothing is acknowledged after a failure"
    );
    let acknowledged: HashSet<WorkId> = outcome
        .acknowledged
        .iter()
        .map(|ticket| work(u32::try_from(*ticket).expect("small")))
        .collect();
    // kill -9 now, and power loss now.
    assert!(
        acknowledged.is_subset(&replayed(&outcome.disk.written)),
        "lost by a kill"
    );
    assert!(
        acknowledged.is_subset(&replayed(&outcome.disk.durable)),
        "lost by a power cut"
    );
}

fn every_failing_call(flush: u32) {
    for fails_at in 1..14 {
        for (code, partial) in [
            (libc::ENOSPC, 0),
            (libc::ENOSPC, 100),
            (libc::EIO, 1 << 20),
            (libc::EDQUOT, 31),
        ] {
            for cut_fails in [false, true] {
                let disk = Disk {
                    fails_at: Some((fails_at, code, partial)),
                    cut_fails,
                    ..Disk::default()
                };
                let outcome = write_all(disk, 40, flush);
                check(&outcome);
                let failed = outcome.disk.failed;
                assert_eq!(outcome.failures, usize::from(failed), "said exactly once");
                assert_eq!(outcome.sticky, failed);
                if !failed {
                    assert_eq!(outcome.acknowledged.len(), 40);
                }
            }
        }
    }
}

#[test]
fn a_full_or_failing_disk_at_any_call_stops_the_writer_and_no_acknowledgement_is_untrue() {
    for flush in [1, 5, 7] {
        every_failing_call(flush);
    }
    assert!(is_noticed(Bug::WriteAfterFailure, || every_failing_call(5)));
    assert!(is_noticed(Bug::AcknowledgeUnsynced, || every_failing_call(
        5
    )));
}

#[test]
fn interrupted_and_partial_writes_are_finished() {
    let disk = Disk {
        interrupts: true,
        ..Disk::default()
    };
    let outcome = write_all(disk, 40, 3);
    check(&outcome);
    assert_eq!(outcome.acknowledged.len(), 40);
    assert_eq!(replayed(&outcome.disk.durable).len(), 40);
}

#[test]
fn what_waits_is_one_write_and_one_sync_up_to_the_most_of_a_group() {
    for (most, groups) in [(1000, 1), (32, 3)] {
        let outcome = write_all(Disk::default(), 96, most);
        assert_eq!(outcome.disk.calls, 2 * groups);
        assert_eq!(outcome.acknowledged.len(), 96);
    }
}

#[test]
fn a_replaced_folder_that_is_not_noticed_loses_what_was_acknowledged() {
    let folder = folder();
    let path = folder.path().join("journal");
    let write = || {
        let file = std::fs::File::create(&path).expect("made");
        let mut sink = super::super::writer::DiskSink::new(file, &path).expect("examined");
        std::fs::remove_file(&path).expect("removed");
        sink.write(b"lost").expect("the file is still open");
        sink.still_there()
    };
    assert!(write().is_err());
    assert!(is_noticed(
        Bug::IgnoreReplacedFolder,
        std::panic::AssertUnwindSafe(|| {
            assert!(write().is_err());
        })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_acknowledged_survives_any_disk(
        count in 1u32..120, flush in 1u32..50, at in 1usize..30, partial in 0usize..20_000, cut_fails: bool,
    ) {
        let disk = Disk { fails_at: Some((at, libc::EIO, partial)), cut_fails, ..Disk::default() };
        check(&write_all(disk, count, flush));
    }
}
