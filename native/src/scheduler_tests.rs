//! Behaviour of the scheduler, on plain numbers: no clock, no process.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn settings(credits: u32, order: Order) -> ScheduleSettings {
    ScheduleSettings {
        max_num_seqs: credits,
        credits,
        max_num_batched_tokens: None,
        order,
    }
}

fn item(handle: u64, tokens: u32, care: Care) -> Item {
    Item {
        handle,
        tokens,
        care,
    }
}

fn handles(batch: &[Item]) -> Vec<u64> {
    batch.iter().map(|item| item.handle).collect()
}

#[test]
fn input_order_is_kept_and_credits_bound_a_worker() {
    let mut scheduler = Scheduler::new(&settings(4, Order::Input));
    (1..=6).for_each(|n| scheduler.offer(item(n, 10, Care::Normal)));
    scheduler.worker_ready(0, 0);
    let mut seen = Vec::new();
    while let Some((_, batch)) = scheduler.next(0) {
        seen.extend(handles(&batch));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!((scheduler.leased(), scheduler.queued()), (4, 2));
}

#[test]
fn the_worker_that_is_ready_first_leaves_work_for_one_that_is_still_loading() {
    let mut scheduler = Scheduler::new(&ScheduleSettings {
        max_num_seqs: 4,
        ..settings(8, Order::Input)
    });
    (1..=10).for_each(|n| scheduler.offer(item(n, 10, Care::Normal)));
    let drain = |scheduler: &mut Scheduler| {
        let mut held = BTreeMap::<Seat, usize>::new();
        while let Some((seat, batch)) = scheduler.next(0) {
            *held.entry(seat).or_default() += batch.len();
        }
        held
    };
    scheduler.worker_ready(0, 0);
    assert_eq!(drain(&mut scheduler), [(0, 4)].into(), "one batch, not two");
    scheduler.worker_ready(1, 0);
    assert_eq!(drain(&mut scheduler), [(1, 4)].into());
    scheduler.returned(0, 1, 5);
    assert_eq!(
        drain(&mut scheduler),
        [(0, 2)].into(),
        "one that has answered may hold all its credits"
    );
}

#[test]
fn longest_first_and_shortest_first_sort_by_prompt_tokens() {
    for (order, expected) in [
        (Order::LongestFirst, [2, 3, 1]),
        (Order::ShortestFirst, [1, 3, 2]),
    ] {
        let mut scheduler = Scheduler::new(&settings(8, order));
        scheduler.offer(item(1, 5, Care::Normal));
        scheduler.offer(item(2, 50, Care::Normal));
        scheduler.offer(item(3, 20, Care::Normal));
        scheduler.worker_ready(0, 0);
        let (_, batch) = scheduler.next(0).expect("there is work");
        assert_eq!(handles(&batch), expected);
    }
}

#[test]
fn an_isolated_request_runs_alone_in_its_worker_and_after_the_healthy_ones() {
    let mut scheduler = Scheduler::new(&settings(4, Order::Input));
    scheduler.offer(item(1, 10, Care::Isolated));
    scheduler.offer(item(2, 10, Care::Normal));
    scheduler.worker_ready(0, 0);
    assert_eq!(handles(&scheduler.next(0).expect("healthy first").1), [2]);
    assert_eq!(scheduler.next(0), None, "not beside a neighbour");
    scheduler.returned(0, 2, 1);
    assert_eq!(handles(&scheduler.next(1).expect("alone now").1), [1]);
    scheduler.offer(item(3, 10, Care::Normal));
    assert_eq!(scheduler.next(1), None, "nobody joins an isolated request");
}

#[test]
fn a_solitary_request_is_the_only_one_in_flight_at_all() {
    let mut scheduler = Scheduler::new(&settings(4, Order::Input));
    scheduler.offer(item(1, 10, Care::Solitary));
    scheduler.offer(item(2, 10, Care::Solitary));
    scheduler.worker_ready(0, 0);
    scheduler.worker_ready(1, 0);
    let (seat, batch) = scheduler.next(0).expect("one goes");
    assert_eq!(handles(&batch), [1]);
    assert_eq!(scheduler.next(0), None);
    scheduler.returned(seat, 1, 1);
    assert_eq!(handles(&scheduler.next(1).expect("then the other").1), [2]);
}

#[test]
fn a_worker_is_overdue_only_when_it_shows_no_result_for_the_whole_deadline() {
    let mut scheduler = Scheduler::new(&settings(4, Order::Input));
    scheduler.worker_ready(0, 0);
    (1..=2).for_each(|n| scheduler.offer(item(n, 10, Care::Normal)));
    while scheduler.next(0).is_some() {}
    assert!(scheduler.overdue(100, 100).is_empty());
    scheduler.returned(0, 1, 90);
    assert!(scheduler.overdue(150, 100).is_empty(), "a result resets it");
    assert_eq!(scheduler.overdue(191, 100), [(0, 2, 101)]);
}

#[test]
fn the_token_budget_bounds_a_worker_but_one_long_request_always_fits() {
    let mut with_budget = settings(8, Order::Input);
    with_budget.max_num_batched_tokens = Some(100);
    let mut scheduler = Scheduler::new(&with_budget);
    scheduler.offer(item(1, 500, Care::Normal));
    scheduler.offer(item(2, 60, Care::Normal));
    scheduler.worker_ready(0, 0);
    assert_eq!(handles(&scheduler.next(0).expect("too long is run").1), [1]);
    assert_eq!(scheduler.next(0), None);
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u32, u8),
    Ready(u32),
    Gone(u32),
    Next,
    Return(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u32..500, 0u8..4).prop_map(|(tokens, care)| Step::Offer(tokens, care)),
        (0u32..3).prop_map(Step::Ready),
        (0u32..3).prop_map(Step::Gone),
        Just(Step::Next),
        Just(Step::Next),
        any::<u8>().prop_map(Step::Return),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    /// No lease twice, none lost, credits kept, isolation kept: against a plain model of who holds what.
    #[test]
    fn no_request_is_lost_or_leased_twice_whatever_workers_do(steps in steps(), credits in 1u32..6) {
        let mut scheduler = Scheduler::new(&settings(credits, Order::Input));
        let mut held: BTreeMap<u32, BTreeMap<u64, Item>> = BTreeMap::new();
        let mut queued: BTreeSet<u64> = BTreeSet::new();
        let mut done = 0usize;
        let mut next_handle = 0u64;
        for step in steps {
            match step {
                Step::Offer(tokens, care) => {
                    let care = [Care::Normal, Care::Suspect, Care::Isolated, Care::Solitary][care as usize];
                    scheduler.offer(item(next_handle, tokens, care));
                    queued.insert(next_handle);
                    next_handle += 1;
                }
                Step::Ready(seat) => {
                    held.entry(seat).or_insert_with(|| {
                        scheduler.worker_ready(seat, 0);
                        BTreeMap::new()
                    });
                }
                Step::Gone(seat) => {
                    let back = scheduler.worker_gone(seat);
                    let expected = held.remove(&seat).unwrap_or_default();
                    prop_assert_eq!(&back, &expected.keys().copied().collect::<Vec<_>>());
                    for handle in back {
                        scheduler.requeue(expected[&handle]);
                        queued.insert(handle);
                    }
                }
                Step::Next => {
                    if let Some((seat, batch)) = scheduler.next(0) {
                        prop_assert!(!batch.is_empty());
                        for item in batch {
                            prop_assert!(queued.remove(&item.handle), "leased what was not queued");
                            held.get_mut(&seat).expect("a live worker").insert(item.handle, item);
                        }
                    }
                }
                Step::Return(pick) => {
                    let flat: Vec<(u32, u64)> = held.iter().flat_map(|(s, m)| m.keys().map(|h| (*s, *h))).collect();
                    if !flat.is_empty() {
                        let (seat, handle) = flat[pick as usize % flat.len()];
                        scheduler.returned(seat, handle, 0);
                        held.get_mut(&seat).expect("seat").remove(&handle);
                        done += 1;
                    }
                }
            }
            let leased: usize = held.values().map(BTreeMap::len).sum();
            prop_assert_eq!(scheduler.leased(), leased);
            prop_assert_eq!(scheduler.queued(), queued.len());
            prop_assert_eq!(leased + queued.len() + done, usize::try_from(next_handle).unwrap_or(0));
            for leases in held.values() {
                prop_assert!(leases.len() <= credits as usize);
                let careful = leases.values().any(|item| item.care >= Care::Isolated);
                prop_assert!(!careful || leases.len() == 1, "an isolated request has company");
                let solitary = leases.values().any(|item| item.care == Care::Solitary);
                prop_assert!(!solitary || leased == 1, "a solitary request has company");
            }
        }
    }
}
