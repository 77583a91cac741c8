//! Dispatch, the scheduler and the journal's fold together in a seeded simulation: workers that die of poison, a runner
//! that is killed at any moment, reduce steps, equal bytes at two paths. No thread, no file but a tiny tokenizer.

mod files;
mod pause;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use proptest::prelude::*;

use self::files::{Change, File, apply, change, documents, text};
use super::*;
use crate::document::{Document, MediaType, Origin, Stamp};
use crate::journal::record::{Input, Life, LifeEvent};
use crate::journal::verdict::Cause;
use crate::journal::{InputStatus, RunState, Suspicion, Verdict};
use crate::prepare::Prepared;
use crate::request::{Completion, CompletionStatus, FinishReason};
use crate::settings::Settings;

const SEATS: u32 = 2;

pub fn settings(folder: &std::path::Path) -> Settings {
    let words = ["[UNK]", "poison", "one", "two", "three"];
    let vocab: serde_json::Map<String, serde_json::Value> = words
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), id.into()))
        .collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    let path = folder.join("tokenizer.json");
    std::fs::write(&path, tokenizer.to_string()).expect("a temporary folder can be written");
    serde_json::from_value(serde_json::json!({
        "run_id": "r", "run_dir": "/nowhere", "index_path": "/nowhere/index.sqlite", "durability": "power",
        "reuse": "never", "rust_budget_bytes": 1 << 30,
        "ingest": {
            "inputs": [], "stdin": null, "list": null, "include": [], "exclude": [], "hidden": false, "follow_links": false, "ignore_files": true, "archives": false,
            "paranoid": false, "threads": 1, "max_file_bytes": 1 << 20, "max_text_bytes": 1 << 20,
            "max_inflate_ratio": 100, "max_zip_entries": 100, "max_zip_entry_bytes": 1 << 20,
            "max_zip_total_bytes": 1 << 20, "max_pdf_pages": 9, "max_xml_depth": 100, "max_html_depth": 100,
            "max_json_depth": 100, "second_pdf_reader": null, "jsonl": {"text_field": null, "id_field": null}, "json": {"text_field": null, "id_field": null},
            "csv": {"mode": "row", "text_field": null, "id_field": null}, "chunk_overlap_tokens": 0,
            "isolation": {"cpu_s": 1, "wall_s": 1, "start_s": 20},
        },
        "job": {
            "name": "test", "template": "{{ document }}",
            "reduce_template": "{% for part in parts %}{{ part }} {% endfor %}", "max_tokens": 8,
            "max_documents": null, "max_chunks": null, "decoding": "{}", "schema_hash": null, "evidence": false, "max_attempts": 3,
            "deadline_ms": 1000,
        },
        "model": {
            "tokenizer_path": path, "tokenizer_hash": "t", "weights_hash": "w", "prompt_hash": "p",
            "prefix_ids": [9], "suffix_ids": [8], "max_model_len": 60,
        },
        "schedule": {"max_num_seqs": 2, "credits": 4, "max_num_batched_tokens": null, "order": "input"},
        "channel": {
            "ipc_budget_bytes": 1 << 20, "segment_bytes": 1 << 16, "output_slot_bytes": 4096, "ring_entries": 64,
            "spin_us": 0, "checksums": true,
        },
    }))
    .expect("the settings are complete")
}

/// What is durable, as a ledger; `tail` is what was appended and is not acknowledged yet.
#[derive(Default)]
struct World {
    state: RunState,
    outputs: HashMap<WorkId, String>,
    inputs: BTreeMap<Ordinal, Input>,
    logged: HashMap<(String, Option<Digest>), Ordinal>,
    tail: VecDeque<(Record, Option<Ticket>)>,
    offset: u64,
}

impl World {
    fn store(&mut self, record: &Record) {
        if let Record::Result(result) = record {
            let outputs = &mut self.outputs;
            outputs
                .entry(result.work_id)
                .or_insert(result.output.clone());
        }
        if let Record::Input(input) = record {
            let inputs = &mut self.inputs;
            inputs.entry(input.ordinal).or_insert(input.clone());
        }
        self.offset += 1;
        self.state.apply(record, self.offset);
    }

    fn open_life(&mut self, boot: u32) {
        let life = Life {
            event: LifeEvent::Opened,
            run_id: "r".into(),
            incarnation: self.state.incarnation + 1,
            boot_id: boot.to_string(),
            pid: 1,
            unix_ms: 0,
            plan_key: Digest::of(b"plan"),
        };
        self.store(&Record::Life(life));
        let inputs = self.inputs.values();
        self.logged = inputs
            .map(|input| ((input.source.clone(), input.doc_id), input.ordinal))
            .collect();
    }
}

impl Ledger for World {
    fn finished_here(&self, work_id: &WorkId) -> Option<ResultStatus> {
        self.state.result(work_id).map(|found| found.status)
    }
    fn finished_elsewhere(&self, _: &WorkId) -> Result<Option<(Reused, ResultStatus)>> {
        Ok(None)
    }
    fn history(&self, work_id: &WorkId) -> (u32, Care) {
        let care = match self.state.suspicion(work_id) {
            Suspicion::None => Care::Normal,
            Suspicion::Last => Care::Suspect,
            Suspicion::Alone => Care::Solitary,
        };
        (self.state.attempts(work_id), care)
    }
    fn logged_input(&self, source: &str, doc_id: Option<&Digest>) -> Option<Ordinal> {
        let key = (source.to_owned(), doc_id.copied());
        self.logged.get(&key).copied()
    }
    fn why(&self, _: &str, _: Option<&Digest>) -> Result<String> {
        Ok("new".into())
    }
    fn output(&self, work_id: &WorkId) -> Result<String> {
        Ok(self.outputs[work_id].clone())
    }
}

/// One life of the runner over the documents, driven step by step.
struct Run {
    dispatch: Dispatch,
    coming: VecDeque<Prepared>,
    /// What each worker holds, as it would know it.
    workers: BTreeMap<Seat, Vec<u64>>,
    finished: HashSet<Ordinal>,
    now_ms: u64,
}

impl Run {
    fn new(plan: &Plan, settings: &Settings, files: &[File], world: &World) -> Run {
        let last = world.state.last_file();
        let unfinished = world.state.unfinished();
        let dispatch = Dispatch::new(
            plan.clone(),
            settings,
            unfinished,
            last.map_or(0, |file| file + 1),
        );
        let stamp = Stamp {
            size: 1,
            mtime_ns: 1,
            inode: 1,
        };
        let coming = files.iter().enumerate().map(|(file, File { name, text })| {
            let file = u32::try_from(file).expect("few documents");
            let document = Document {
                ordinal: Ordinal { file, record: 0 },
                uri: name.clone(),
                doc_id: Digest::of(text.as_bytes()),
                media_type: MediaType::Text,
                title: None,
                text: text.clone(),
                metadata: BTreeMap::new(),
                origin: Origin::default(),
            };
            plan.prepare(document, Some(stamp))
        });
        let mut run = Run {
            dispatch,
            coming: coming.collect(),
            workers: BTreeMap::new(),
            finished: HashSet::new(),
            now_ms: 0,
        };
        for seat in 0..SEATS {
            run.start_worker(seat);
        }
        run
    }

    fn start_worker(&mut self, seat: Seat) {
        self.dispatch.worker_ready(seat, 1, self.now_ms);
        self.workers.insert(seat, Vec::new());
    }

    fn holds_poison(&self, seat: Seat) -> bool {
        self.workers[&seat].iter().any(|handle| {
            let request = self
                .dispatch
                .request(*handle)
                .expect("a leased request exists");
            request.token_ids.contains(&1)
        })
    }

    /// Pumps and carries the actions out, as core does.
    fn settle(&mut self, world: &mut World) {
        self.dispatch.pump(self.now_ms);
        for action in self.dispatch.take_actions() {
            match action {
                Action::Append { record, ticket, .. } => world.tail.push_back((*record, ticket)),
                Action::Submit { seat, handles } => {
                    self.workers
                        .get_mut(&seat)
                        .expect("submitted to a live worker")
                        .extend(handles);
                }
                Action::Finish { ordinal, end, .. } => {
                    assert!(
                        self.finished.insert(ordinal),
                        "an input ended twice in one life"
                    );
                    let ended = world.state.end(ordinal);
                    assert_eq!(ended, Some(end), "finished only when durable");
                }
                Action::TakeBytes(_) | Action::FreeBytes(_) => {}
            }
        }
    }

    fn acknowledge(&mut self, world: &mut World) -> bool {
        let Some((record, ticket)) = world.tail.pop_front() else {
            return false;
        };
        world.store(&record);
        if let Some(ticket) = ticket {
            self.dispatch
                .acknowledged(ticket, world, self.now_ms)
                .expect("no storage here");
        }
        true
    }

    fn feed(&mut self, world: &World) -> bool {
        match self.coming.pop_front() {
            Some(prepared) => {
                self.dispatch
                    .prepared(prepared, world, self.now_ms)
                    .expect("no storage here");
                true
            }
            None if !self.dispatch.discovery_is_done() => {
                self.dispatch.discovery_done();
                true
            }
            None => false,
        }
    }

    /// A healthy worker answers its oldest request; one that holds poison dies instead.
    fn work(&mut self, seat: Seat) -> bool {
        if self.workers[&seat].is_empty() {
            return false;
        }
        if self.holds_poison(seat) {
            self.dispatch
                .worker_gone(seat, "worker died: signal 11", true, self.now_ms);
            self.start_worker(seat);
            return true;
        }
        let handle = self.workers.get_mut(&seat).expect("live").remove(0);
        let request = self.dispatch.request(handle).expect("leased");
        let completion = Completion {
            status: CompletionStatus::Ok,
            output: format!("two {}", request.token_ids.len()),
            reason: String::new(),
            finish_reason: FinishReason::Stop,
            tokens_in: 1,
            tokens_out: 1,
            repairs: 0,
            admitted_ns: 1,
            first_token_ns: 2,
            finished_ns: 3,
        };
        assert!(
            self.dispatch
                .completed(seat, handle, completion, self.now_ms)
        );
        true
    }

    fn finish(&mut self, world: &mut World) {
        for _ in 0..100_000 {
            self.now_ms += 1;
            self.settle(world);
            let mut moved = self.feed(world) | self.acknowledge(world);
            for seat in 0..SEATS {
                self.settle(world);
                moved |= self.work(seat);
            }
            if !moved && world.tail.is_empty() && self.dispatch.is_finished() {
                self.settle(world);
                return;
            }
        }
        panic!("the run does not come to its end");
    }
}

fn has_vanished(verdict: &Verdict) -> bool {
    matches!(&verdict.cause, Cause::Said(reason) if reason.starts_with("source:"))
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Feed,
    Acknowledge,
    Work(u32),
    /// kill -9 of the runner: this many of the unacknowledged records had reached the disk; a new boot id or not. Before
    /// the next life the files may change.
    Kill(usize, bool, Option<Change>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Feed),
        8 => Just(Step::Acknowledge),
        8 => (0..SEATS).prop_map(Step::Work),
        1 => (0usize..4, prop::bool::weighted(0.2), prop::option::of(change()))
            .prop_map(|(kept, boot, change)| Step::Kill(kept, boot, change)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_input_ends_once_and_only_poison_is_quarantined_whoever_is_killed(
        shapes in documents(), steps in prop::collection::vec(step(), 0..200)
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = settings(folder.path());
        let plan = Plan::new(&settings).expect("a valid plan");
        let named = shapes.iter().enumerate();
        let mut files: Vec<File> = named
            .map(|(file, (words, poison))| File { name: format!("document-{file}"), text: text(*words, *poison) })
            .collect();
        let mut world = World::default();
        let mut boot = 0;
        world.open_life(boot);
        let mut run = Run::new(&plan, &settings, &files, &world);
        for step in steps {
            run.now_ms += 1;
            match step {
                Step::Feed => drop(run.feed(&world)),
                Step::Acknowledge => drop(run.acknowledge(&mut world)),
                Step::Work(seat) => drop(run.work(seat)),
                Step::Kill(kept, new_boot, change) => {
                    let kept = world.tail.drain(..).take(kept).map(|(record, _)| record).collect::<Vec<_>>();
                    for record in kept {
                        world.store(&record);
                    }
                    boot += u32::from(new_boot);
                    if let Some(change) = change {
                        apply(change, &mut files);
                    }
                    world.open_life(boot);
                    run = Run::new(&plan, &settings, &files, &world);
                }
            }
            run.settle(&mut world);
        }
        run.finish(&mut world);
        prop_assert_eq!(world.state.duplicates, 0, "a result was computed and committed twice");
        for file in &files {
            let doc_id = Digest::of(file.text.as_bytes());
            let is_it = |input: &&Input| input.source == file.name && input.doc_id == Some(doc_id);
            let input = world.inputs.values().find(is_it).expect("logged");
            let verdict = world.state.verdict(input).expect("ended");
            if has_vanished(&verdict) {
                // It had vanished in an earlier life and was put back: ended then.
                continue;
            }
            let expected = if file.is_poison() { InputStatus::Quarantined } else { InputStatus::Ok };
            prop_assert_eq!(verdict.status, expected, "{}: {:?}", file.name, verdict.cause);
        }
        for input in world.inputs.values() {
            let verdict = world.state.verdict(input).expect("ended");
            prop_assert_ne!(verdict.status, InputStatus::Skipped);
            prop_assert_eq!(verdict.status == InputStatus::Failed, has_vanished(&verdict), "{:?}", verdict.cause);
        }
    }
}
