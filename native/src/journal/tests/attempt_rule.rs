//! Random histories of kills, worker deaths and machine deaths under a small runner that obeys the rule.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::super::planted::{Bug, is_noticed};
use super::super::record::{Release, ResultStatus};
use super::super::state::RunState;
use super::super::{Suspicion, attempts};
use super::*;

const MAX_ATTEMPTS: u32 = 3;
const BATCH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Healthy,
    KillsItsWorker,
    KillsTheMachine,
}

/// What happens to one batch, unless a document in it has its own way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Finishes,
    RunnerKilledBefore,
    RunnerKilledHalfway,
    Drained,
}

struct World {
    natures: Vec<Nature>,
    state: RunState,
    boots: u32,
    incarnation: u32,
    records: u64,
}

impl World {
    fn new(natures: Vec<Nature>) -> World {
        let mut world = World {
            natures,
            state: RunState::default(),
            boots: 0,
            incarnation: 0,
            records: 0,
        };
        world.begin_life();
        for number in 0..world.natures.len() {
            let number = u32::try_from(number).expect("few");
            world.log(&input(number, &[work(number)], false));
        }
        world
    }

    fn log(&mut self, record: &Record) {
        self.records += 1;
        self.state.apply(record, self.records);
    }

    fn begin_life(&mut self) {
        self.incarnation += 1;
        let opened = Life {
            event: LifeEvent::Opened,
            run_id: "run".into(),
            incarnation: self.incarnation,
            boot_id: format!("boot {}", self.boots),
            pid: 1,
            unix_ms: 1,
            plan_key: Digest([9; 32]),
        };
        self.log(&Record::Life(opened));
    }

    fn nature(&self, work_id: &WorkId) -> Nature {
        let place =
            (0..self.natures.len()).find(|n| work(u32::try_from(*n).expect("few")) == *work_id);
        self.natures[place.expect("known")]
    }

    /// The next batch under the rule: the crowd, then what only runs last, then suspects one at a time.
    fn next_batch(&self) -> Vec<WorkId> {
        let mut waiting = self.state.outstanding();
        waiting.sort_by_key(|work_id| self.state.suspicion(work_id));
        match waiting.first() {
            Some(first) if self.state.suspicion(first) != Suspicion::Alone => waiting
                .iter()
                .filter(|work_id| self.state.suspicion(work_id) != Suspicion::Alone)
                .take(BATCH)
                .copied()
                .collect(),
            other => other.into_iter().copied().collect(),
        }
    }

    fn finish(&mut self, work_id: WorkId, status: ResultStatus) {
        let Record::Result(mut made) = result(work_id, "text", &[]) else {
            unreachable!()
        };
        made.status = status;
        self.log(&Record::Result(made));
    }

    fn step(&mut self, fate: Fate) {
        let batch = self.next_batch();
        let exhausted = |world: &World, id: &WorkId| world.state.attempts(id) >= MAX_ATTEMPTS;
        if let Some(given_up) = batch.iter().find(|id| exhausted(self, id)) {
            self.finish(*given_up, ResultStatus::Quarantined);
            return;
        }
        self.log(&start(&batch));
        let has = |world: &World, nature| batch.iter().any(|id| world.nature(id) == nature);
        if matches!(fate, Fate::RunnerKilledBefore) {
            self.begin_life();
        } else if has(self, Nature::KillsTheMachine) {
            self.boots += 1;
            self.begin_life();
        } else if has(self, Nature::KillsItsWorker) {
            self.log(&Record::Release(Release {
                work_ids: batch,
                charged: true,
                reason: "worker died: signal 11".into(),
            }));
        } else if matches!(fate, Fate::Drained) {
            self.log(&Record::Release(Release {
                work_ids: batch,
                charged: false,
                reason: "drained".into(),
            }));
        } else {
            let whole = matches!(fate, Fate::Finishes);
            let count = if whole { batch.len() } else { batch.len() / 2 };
            for work_id in &batch[..count] {
                self.finish(*work_id, ResultStatus::Ok);
            }
            if !whole {
                self.begin_life();
            }
        }
    }

    fn quarantined(&self) -> HashSet<WorkId> {
        let works = (0..self.natures.len()).map(|n| work(u32::try_from(n).expect("few")));
        let given_up = |id: &WorkId| {
            let found = self.state.result(id);
            found.is_some_and(|found| found.status == ResultStatus::Quarantined)
        };
        works.filter(given_up).collect()
    }
}

/// Any fates, then an end without kills: everything is accounted for, and just the guilty are in quarantine.
fn live(natures: &[Nature], fates: &[Fate]) {
    let mut world = World::new(natures.to_vec());
    let guilty = |world: &World| -> HashSet<WorkId> {
        let all = world.state.inputs().map(|ordinal| work(ordinal.file));
        all.filter(|id| world.nature(id) != Nature::Healthy)
            .collect()
    };
    let nobody_guilty = guilty(&world).is_empty();
    for fate in fates
        .iter()
        .chain(std::iter::repeat_n(&Fate::Finishes, 40 * natures.len()))
    {
        if world.state.outstanding().is_empty() {
            break;
        }
        world.step(*fate);
        for work_id in world.state.outstanding() {
            let attempts = world.state.attempts(&work_id);
            assert!(
                attempts == 0 || !nobody_guilty,
                "a kill of the runner was charged to {work_id:?}"
            );
            assert!(attempts <= MAX_ATTEMPTS);
        }
    }
    assert!(
        world.state.outstanding().is_empty(),
        "the run came to an end"
    );
    assert_eq!(world.quarantined(), guilty(&world));
    assert_eq!(world.state.duplicates, 0);
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Finishes),
        Just(Fate::RunnerKilledBefore),
        Just(Fate::RunnerKilledHalfway),
        Just(Fate::Drained),
    ]
}

fn any_nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        8 => Just(Nature::Healthy),
        1 => Just(Nature::KillsItsWorker),
        1 => Just(Nature::KillsTheMachine),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn just_the_guilty_are_quarantined_whatever_kills_the_runner(
        natures in proptest::collection::vec(any_nature(), 1..20),
        fates in proptest::collection::vec(any_fate(), 0..80),
    ) {
        live(&natures, &fates);
    }
}

#[test]
fn a_healthy_document_is_never_charged_for_the_death_of_the_runner() {
    let story = || live(&[Nature::Healthy; 6], &[Fate::RunnerKilledBefore; 30]);
    story();
    assert!(is_noticed(Bug::ChargeRunnerDeaths, story));
}

fn life_of(
    attempts: &mut attempts::Attempts,
    works: &[WorkId],
    machine_went_down: bool,
) -> HashMap<WorkId, (u32, Suspicion)> {
    attempts.start(works);
    attempts.died(machine_went_down);
    works
        .iter()
        .map(|id| (*id, (attempts.charged(id), attempts.suspicion(id))))
        .collect()
}

#[test]
fn a_machine_death_is_charged_only_to_a_suspect_that_ran_alone() {
    let mut attempts = attempts::Attempts::default();
    let both = [work(1), work(2)];
    let after = life_of(&mut attempts, &both, true);
    assert!(both.iter().all(|id| after[id] == (0, Suspicion::Alone)));
    // Two suspects together, against the rule: nobody can be charged.
    let after = life_of(&mut attempts, &both, true);
    assert!(both.iter().all(|id| after[id].0 == 0));
    // Alone, but the runner died and not the machine.
    let after = life_of(&mut attempts, &both[..1], false);
    assert_eq!(after[&both[0]], (0, Suspicion::Alone));
    let after = life_of(&mut attempts, &both[..1], true);
    assert_eq!(after[&both[0]], (1, Suspicion::Alone));
    attempts.finish(&both[0]);
    assert_eq!(attempts.suspicion(&both[0]), Suspicion::None);
}

#[test]
fn a_suspect_of_a_killed_runner_runs_last_and_a_release_that_was_never_started_charges_nobody() {
    let mut attempts = attempts::Attempts::default();
    let after = life_of(&mut attempts, &[work(1)], false);
    assert_eq!(after[&work(1)], (0, Suspicion::Last));
    attempts.release(&[work(1)], true);
    assert_eq!(attempts.charged(&work(1)), 0);
    attempts.start(&[work(1)]);
    attempts.release(&[work(1)], true);
    assert_eq!(attempts.suspicion(&work(1)), Suspicion::Alone);
    attempts.start(&[work(1)]);
    attempts.closed();
    assert_eq!(attempts.in_flight().count(), 0);
}
