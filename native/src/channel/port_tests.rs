//! Behaviour of both ends over real shared memory, in one process; the kills are in tests/channel.

use super::super::memory::token_bytes;
use super::*;
use crate::request::{CompletionStatus, FinishReason, TokenSpan};
use proptest::prelude::*;

fn settings() -> ChannelSettings {
    ChannelSettings {
        ipc_budget_bytes: 1 << 20,
        segment_bytes: 256 << 10,
        output_slot_bytes: 1000,
        ring_entries: 8,
        spin_us: 0,
        checksums: true,
    }
}

fn pair(credits: u32) -> (DocumentArena, RunnerPort, WorkerPort) {
    let mut arena = DocumentArena::new(&settings()).unwrap();
    let (port, ends) = RunnerPort::open(&settings(), credits, &mut arena).unwrap();
    let worker = WorkerPort::attach(&ends.channel, ends.control, &ends.documents, 5).unwrap();
    (arena, port, worker)
}

fn request(handle: u64, token_ids: &[u32]) -> Submit<'_> {
    Submit {
        handle,
        token_ids,
        max_tokens: 7,
        source: TokenSpan {
            first: 0,
            count: u32::try_from(token_ids.len()).unwrap(),
        },
    }
}

fn answer(lease: &SubmitLine, output: &str, reason: &str) -> CompleteLine {
    CompleteLine {
        handle: lease.handle,
        generation: lease.generation,
        slot: lease.slot,
        output_bytes: u32::try_from(output.len()).unwrap(),
        reason_bytes: u32::try_from(reason.len()).unwrap(),
        tokens_in: lease.token_count,
        ..CompleteLine::default()
    }
}

fn one_lease(
    arena: &mut DocumentArena,
    port: &mut RunnerPort,
    worker: &mut WorkerPort,
) -> SubmitLine {
    assert_eq!(port.submit(arena, &[request(1, &[1, 2, 3])]).unwrap(), 1);
    let mut lines = [SubmitLine::default(); 4];
    assert_eq!(worker.receive(&mut lines, 0).unwrap(), 1);
    lines[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn token_ids_and_answers_survive_the_round_trip(
        documents in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..3000), ".{0,200}", ".{0,40}"), 1..30),
    ) {
        let (mut arena, mut port, mut worker) = pair(4);
        let mut waiting: Vec<u64> = (0..documents.len() as u64).rev().collect();
        let mut done = vec![0; documents.len()];
        while done.contains(&0) {
            while let Some(handle) = waiting.last().copied() {
                let tokens = &documents[usize::try_from(handle).unwrap()].0;
                if port.submit(&mut arena, &[request(handle, tokens)]).unwrap() == 0 {
                    break;
                }
                waiting.pop();
            }
            let mut lines = [SubmitLine::default(); 3];
            let count = worker.receive(&mut lines, 0).unwrap();
            for lease in &lines[..count] {
                let (tokens, output, reason) = &documents[usize::try_from(lease.handle).unwrap()];
                prop_assert_eq!(worker.read_tokens(lease).unwrap(), token_bytes(tokens));
                prop_assert_eq!(lease.max_tokens, 7);
                worker.write_output(lease, format!("{output}{reason}").as_bytes()).unwrap();
                let line = CompleteLine { status: 1, finish_reason: 2, repairs: 3, ..answer(lease, output, reason) };
                worker.complete(&[line]).unwrap();
            }
            worker.publish();
            let mut out = Vec::new();
            port.drain(&mut arena, &mut out).unwrap();
            for (handle, completion) in out {
                let index = usize::try_from(handle).unwrap();
                done[index] += 1;
                prop_assert_eq!(&completion.output, &documents[index].1);
                prop_assert_eq!(&completion.reason, &documents[index].2);
                prop_assert_eq!(completion.status, CompletionStatus::Failed);
                prop_assert_eq!(completion.finish_reason, FinishReason::Length);
                prop_assert_eq!(completion.repairs, 3);
            }
        }
        prop_assert!(done.iter().all(|count| *count == 1));
        prop_assert_eq!((port.outstanding(), arena.bytes_in_use()), (0, 0));
    }

    #[test]
    fn arbitrary_bytes_from_a_worker_are_an_error_or_ignored_and_never_a_panic(
        words in prop::collection::vec((0usize..600, any::<u64>()), 1..40),
    ) {
        let (mut arena, mut port, mut worker) = pair(4);
        one_lease(&mut arena, &mut port, &mut worker);
        let limit = (port.layout.slot(4)) / 8;
        for (index, value) in words {
            port.region.words(0, limit)[index % limit].store(value, Relaxed);
        }
        let mut out = Vec::new();
        let _ = port.drain(&mut arena, &mut out);
        let _ = port.submit(&mut arena, &[request(2, &[9])]);
        let _ = port.progress();
        let left = port.close(&mut arena);
        prop_assert!(left.len() <= 2);
        prop_assert_eq!(arena.bytes_in_use(), 0);
    }
}

#[test]
fn submit_accepts_no_more_than_the_credits_and_the_rest_later() {
    let (mut arena, mut port, mut worker) = pair(2);
    let tokens = [5u32; 10];
    let requests: Vec<Submit> = (0..3).map(|handle| request(handle, &tokens)).collect();
    assert_eq!(port.submit(&mut arena, &requests).unwrap(), 2);
    assert_eq!(port.submit(&mut arena, &requests[2..]).unwrap(), 0);
    let mut lines = [SubmitLine::default(); 4];
    assert_eq!(worker.receive(&mut lines, -1).unwrap(), 2);
    worker.complete(&[answer(&lines[0], "", "")]).unwrap();
    worker.publish();
    port.drain(&mut arena, &mut Vec::new()).unwrap();
    assert_eq!(port.submit(&mut arena, &requests[2..]).unwrap(), 1);
}

#[test]
fn at_the_ipc_cap_submit_accepts_nothing_and_nothing_grows() {
    let (mut arena, mut port, _worker) = pair(8);
    let tokens = vec![1u32; 60_000];
    let mut accepted = 0;
    while port
        .submit(&mut arena, &[request(accepted, &tokens)])
        .unwrap()
        == 1
    {
        accepted += 1;
        assert!(arena.segment_bytes_total() <= 1 << 20);
    }
    assert!((1..8).contains(&accepted));
}

#[test]
fn what_was_published_counts_and_the_rest_comes_back_oldest_first() {
    let (mut arena, mut port, mut worker) = pair(4);
    let requests: Vec<Submit> = (10..14).map(|handle| request(handle, &[1])).collect();
    assert_eq!(port.submit(&mut arena, &requests).unwrap(), 4);
    let mut lines = [SubmitLine::default(); 4];
    assert_eq!(worker.receive(&mut lines, -1).unwrap(), 4);
    worker.complete(&[answer(&lines[2], "", "")]).unwrap();
    worker.publish();
    worker.complete(&[answer(&lines[1], "", "")]).unwrap();
    drop(worker);
    assert!(!port.wake());
    let mut out = Vec::new();
    port.drain(&mut arena, &mut out).unwrap();
    assert_eq!(
        out.iter().map(|(handle, _)| *handle).collect::<Vec<_>>(),
        [12]
    );
    assert_eq!(port.close(&mut arena), [10, 11, 13]);
    assert_eq!(arena.bytes_in_use(), 0);
}

#[test]
fn a_second_completion_of_one_lease_condemns_the_worker() {
    let (mut arena, mut port, mut worker) = pair(4);
    let lease = one_lease(&mut arena, &mut port, &mut worker);
    worker.complete(&[answer(&lease, "", ""); 2]).unwrap();
    worker.publish();
    let mut out = Vec::new();
    assert!(port.drain(&mut arena, &mut out).is_err());
    assert_eq!(out.len(), 1);
}

#[test]
fn a_write_past_the_slot_condemns_the_worker() {
    let (mut arena, mut port, mut worker) = pair(4);
    let lease = one_lease(&mut arena, &mut port, &mut worker);
    let canary = port.layout.canary(lease.slot as usize);
    port.region.copy_in(canary, b"x").unwrap();
    worker.complete(&[answer(&lease, "", "")]).unwrap();
    worker.publish();
    let error = port.drain(&mut arena, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("past its end"), "{error}");
}

#[test]
fn a_changed_payload_and_invalid_utf8_condemn_the_worker() {
    for (after, bytes) in [(true, b"abX"), (false, b"a\xff\xfe")] {
        let (mut arena, mut port, mut worker) = pair(4);
        let lease = one_lease(&mut arena, &mut port, &mut worker);
        worker
            .write_output(&lease, if after { b"abc" } else { bytes })
            .unwrap();
        worker.complete(&[answer(&lease, "abc", "")]).unwrap();
        worker.write_output(&lease, bytes).unwrap();
        worker.publish();
        assert!(port.drain(&mut arena, &mut Vec::new()).is_err());
    }
}

#[test]
fn a_drain_request_wakes_the_worker_once_and_stays_visible() {
    let (_arena, port, mut worker) = pair(4);
    port.request_drain();
    let mut lines = [SubmitLine::default(); 4];
    assert_eq!(worker.receive(&mut lines, -1).unwrap(), 0);
    assert!(worker.progress_cell().draining());
    assert_eq!(worker.receive(&mut lines, 1).unwrap(), 0);
}

#[test]
fn the_worker_learns_that_the_runner_is_gone_but_takes_what_was_sent_first() {
    let (mut arena, mut port, mut worker) = pair(4);
    port.submit(&mut arena, &[request(1, &[1])]).unwrap();
    drop(port);
    let mut lines = [SubmitLine::default(); 4];
    assert_eq!(worker.receive(&mut lines, -1).unwrap(), 1);
    assert!(matches!(
        worker.receive(&mut lines, -1),
        Err(Error::PeerGone)
    ));
    assert!(matches!(
        worker.receive(&mut lines, 0),
        Err(Error::PeerGone)
    ));
}

#[test]
fn progress_is_overwritten_and_read_back() {
    let (_arena, port, worker) = pair(4);
    let values = Progress {
        heartbeat_ns: 9,
        prompt_tokens: 1,
        generated_tokens: 2,
        active_rows: 3,
        memory_bytes: 4,
    };
    worker.progress_cell().set(&values);
    assert_eq!(port.progress(), values);
}

#[test]
fn both_ends_sleep_and_wake_without_losing_one_of_ten_thousand() {
    let (mut arena, mut port, mut worker) = pair(4);
    let echo = std::thread::spawn(move || {
        let mut lines = [SubmitLine::default(); 4];
        while let Ok(count) = worker.receive(&mut lines, -1) {
            let answers: Vec<CompleteLine> = lines[..count]
                .iter()
                .map(|lease| answer(lease, "", ""))
                .collect();
            worker.complete(&answers).unwrap();
            worker.publish();
        }
    });
    let (mut next, mut done) = (0u64, 0u64);
    let mut out = Vec::new();
    while done < 10_000 {
        while next < 10_000 && port.submit(&mut arena, &[request(next, &[1, 2])]).unwrap() == 1 {
            next += 1;
        }
        port.drain(&mut arena, &mut out).unwrap();
        done += out.drain(..).count() as u64;
        if done < 10_000 && port.outstanding() > 0 && port.prepare_sleep() {
            // No time-out: a lost wake-up must hang the test, not slow it down.
            port.bell.wait(-1).unwrap();
            assert!(port.wake());
        }
    }
    port.close(&mut arena);
    echo.join().unwrap();
}
