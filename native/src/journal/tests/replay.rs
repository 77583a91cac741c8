//! Replay gives what was written and what a plain model says; and how fast it is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use proptest::prelude::*;

use super::super::planted::{Bug, is_noticed};
use super::super::reader;
use super::super::record::{Reduced, Release, Reused, Setting, Vanished};
use super::*;
use crate::document::input_key;

fn any_record() -> impl Strategy<Value = Record> {
    let id = || (0u32..12).prop_map(work);
    let ids = || proptest::collection::vec(id(), 0..4);
    prop_oneof![
        (0u32..8, ids(), any::<bool>())
            .prop_map(|(number, works, reduce)| input(number, &works, reduce)),
        ids().prop_map(|works| start(&works)),
        (ids(), any::<bool>(), any::<String>()).prop_map(|(work_ids, charged, reason)| {
            Record::Release(Release {
                work_ids,
                charged,
                reason,
            })
        }),
        (id(), any::<String>(), ids())
            .prop_map(|(work_id, output, from)| result(work_id, &output, &from)),
        (id(), any::<u64>(), any::<u32>()).prop_map(|(work_id, offset, crc)| {
            Record::Reused(Reused {
                work_id,
                run: "runs/day/x".into(),
                offset,
                crc,
            })
        }),
        (id(), ids()).prop_map(|(work_id, from)| Record::Reduced(Reduced { work_id, from })),
        (0u32..4).prop_map(|file| Record::Vanished(Vanished {
            ordinal: Ordinal { file, record: 0 },
            reason: "source: gone".into(),
        })),
        (any::<String>(), any::<i64>()).prop_map(|(name, value)| Record::Setting(Setting {
            name,
            value: value.into(),
            detail: String::new()
        })),
    ]
}

/// First result wins, first input wins, a vanished one asks for nothing, and what is left is what has no result: in a few lines, without the state.
fn model(records: &[Record]) -> (HashMap<WorkId, u64>, Vec<WorkId>) {
    let mut results = HashMap::new();
    let mut inputs: Vec<(Ordinal, Vec<WorkId>)> = Vec::new();
    for (place, record) in (0..).zip(records) {
        match record {
            Record::Result(result) => {
                results.entry(result.work_id).or_insert(place);
            }
            Record::Input(input) if inputs.iter().all(|(seen, _)| *seen != input.ordinal) => {
                let InputOutcome::Pending { parts, .. } = &input.outcome else {
                    continue;
                };
                inputs.push((
                    input.ordinal,
                    parts.iter().map(|part| part.work_id).collect(),
                ));
            }
            Record::Vanished(vanished) => {
                for (_, works) in inputs
                    .iter_mut()
                    .filter(|(seen, _)| *seen == vanished.ordinal)
                {
                    works.clear();
                }
            }
            _ => {}
        }
    }
    inputs.sort();
    let mut seen = HashSet::new();
    let outstanding = inputs
        .into_iter()
        .flat_map(|(_, works)| works)
        .filter(|work_id| !results.contains_key(work_id) && seen.insert(*work_id))
        .collect();
    (results, outstanding)
}

fn replay_equals_model(records: &[Record]) {
    let mut state = RunState::default();
    let mut inputs: BTreeMap<Ordinal, &Input> = BTreeMap::new();
    for (place, record) in (0..).zip(records) {
        state.apply(record, place);
        if let Record::Input(input) = record {
            inputs.entry(input.ordinal).or_insert(input);
        }
        // What is noted when it happens is what follows from everything that is known.
        for (ordinal, input) in &inputs {
            let verdict = state.verdict(input).map(|verdict| verdict.status);
            assert_eq!(state.end(*ordinal), verdict, "{ordinal:?}");
        }
    }
    let (results, outstanding) = model(records);
    let found: HashMap<WorkId, u64> = (0..12)
        .map(work)
        .filter_map(|work_id| Some((work_id, state.result(&work_id)?.offset)))
        .collect();
    assert_eq!(found, results);
    assert_eq!(state.result_count(), results.len());
    assert_eq!(state.outstanding(), outstanding);
    let ordinals: Vec<Ordinal> = inputs.keys().copied().collect();
    assert_eq!(state.inputs().collect::<Vec<_>>(), ordinals);
    for (ordinal, input) in inputs {
        let parts = state.parts(input);
        if parts
            .iter()
            .any(|part| !results.contains_key(&part.work_id))
        {
            assert_eq!(state.end(ordinal), None);
        }
    }
}

/// Who has a work first, by looking at all of them.
fn first_users_are_first(records: &[Record]) {
    let mut state = RunState::default();
    let mut inputs: BTreeMap<Ordinal, &Input> = BTreeMap::new();
    for (place, record) in (0..).zip(records) {
        state.apply(record, place);
        if let Record::Input(input) = record {
            inputs.entry(input.ordinal).or_insert(input);
        }
    }
    for work_id in (0..12).map(work) {
        let has = |input: &&&Input| {
            let parts = state.parts(input);
            parts.iter().any(|part| part.work_id == work_id)
        };
        let first = inputs.values().find(has).map(|input| input.ordinal);
        assert_eq!(state.first_user(&work_id), first);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn records_come_back_from_the_file_as_they_were(groups in proptest::collection::vec(
        proptest::collection::vec(any_record(), 1..5), 0..6))
    {
        let folder = folder();
        let path = folder.path().join("journal");
        std::fs::write(&path, bytes_of(&groups)).expect("written");
        let mut found = Vec::new();
        reader::scan_records(&path, |record, _, _| { found.push(record); Ok(()) }).expect("no damage");
        prop_assert_eq!(&found[1..], &groups.concat()[..]);
    }

    #[test]
    fn the_state_is_what_a_plain_model_says(records in proptest::collection::vec(any_record(), 0..60)) {
        replay_equals_model(&records);
        first_users_are_first(&records);
    }

    /// Reading a journal gives what applying its records gives.
    #[test]
    fn a_file_is_folded_as_its_records_are(groups in proptest::collection::vec(
        proptest::collection::vec(any_record(), 1..5), 0..12))
    {
        let folder = folder();
        let path = folder.path().join("journal");
        std::fs::write(&path, bytes_of(&groups)).expect("written");
        let mut applied = RunState::default();
        reader::scan_records(&path, |record, offset, _| { applied.apply(&record, offset); Ok(()) }).expect("no damage");
        let (replayed, logged, _) = reader::replay_own(&path).expect("no damage");
        prop_assert_eq!(&replayed, &applied);
        prop_assert_eq!(logged.len(), replayed.input_count());
        for record in groups.concat() {
            let Record::Input(input) = record else { continue };
            let key = input_key(&input.source, input.doc_id.as_ref());
            let row = logged.find(&key).expect("logged");
            prop_assert_eq!(replayed.ordinal(row), input.ordinal);
        }
    }
}

#[test]
fn the_first_of_two_results_wins() {
    let twice = || {
        replay_equals_model(&[
            input(0, &[work(1)], false),
            result(work(1), "first", &[]),
            result(work(1), "second", &[]),
        ]);
    };
    twice();
    assert!(is_noticed(Bug::LastResultWins, twice));
}

/// The journal is read whole at each start, so replay has to be far faster than the shortest life (200 ms between kills).
#[test]
fn replay_of_80_mb_is_measured() {
    let folder = folder();
    let path = folder.path().join("journal");
    let text =
        "A line of a summary with \"quotes\" and\nnew lines, as models write them. ".repeat(54);
    let groups: Vec<Vec<Record>> = (0..625u32)
        .map(|group| {
            (0..32)
                .map(|place| result(work(group * 32 + place), &text, &[]))
                .collect()
        })
        .collect();
    std::fs::write(&path, bytes_of(&groups)).expect("written");
    let size = std::fs::metadata(&path).expect("there").len();
    let begun = Instant::now();
    let scan = reader::scan(&path, |_| Ok(())).expect("no damage");
    let scanned = begun.elapsed();
    let begun = Instant::now();
    let (state, _) = reader::replay(&path).expect("replays");
    let replayed = begun.elapsed();
    assert_eq!(state.result_count(), 20_000);
    #[expect(clippy::cast_precision_loss, reason = "a printed rate")]
    let rate = scan.frames as f64 / replayed.as_secs_f64();
    println!(
        "{size} bytes, {} records: checksums {scanned:?}, replay {replayed:?}, {rate:.0} records/s",
        scan.frames
    );
}
