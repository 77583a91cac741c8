//! One fuzzing target for each parser of the core, chosen by `RUNNER_FUZZ`; each asserts what its callers rely on.
//!
//! Settings come from `RUNNER_FUZZ_SETTINGS`, a file that tests/fuzz/seeds.py writes with the product's own code. A
//! planted panic (`RUNNER_FUZZ_PLANT`) shows that the lane is red when it must be.

#![no_main]

mod files;
mod packages;
mod records;

use std::sync::LazyLock;

use _native::settings::Settings;
use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// Name, and what is done with the bytes.
const TARGETS: &[(&str, Target)] = &[
    ("text", |bytes| files::extract("a.txt", bytes)),
    ("detect", |bytes| files::extract("a", bytes)),
    ("html", |bytes| files::extract("a.html", bytes)),
    ("json", |bytes| files::extract("a.json", bytes)),
    ("jsonl", |bytes| files::extract("a.jsonl", bytes)),
    ("csv", |bytes| files::extract("a.csv", bytes)),
    ("markdown", |bytes| files::extract("a.md", bytes)),
    ("gz", |bytes| files::extract("a.txt.gz", bytes)),
    ("zip", packages::container),
    ("docx", packages::docx),
    ("xlsx", packages::xlsx),
    ("pptx", packages::pptx),
    ("odt", packages::odt),
    ("ods", packages::ods),
    ("epub", packages::epub),
    ("mail", packages::mail),
    ("mbox", packages::mbox),
    ("journal", records::journal),
    ("frames", records::frames),
    ("answer", records::answer),
    ("template", records::template),
];

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("RUNNER_FUZZ").unwrap_or_default();
    let known = TARGETS.iter().find(|(target, _)| *target == name);
    let Some((_, run)) = known else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("RUNNER_FUZZ={name:?} is none of {}", names.join(" "));
        std::process::exit(2);
    };
    *run
});

static PLANT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("RUNNER_FUZZ_PLANT").ok());

pub static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let path = std::env::var("RUNNER_FUZZ_SETTINGS").expect("RUNNER_FUZZ_SETTINGS names a file");
    let text = std::fs::read_to_string(&path).expect("RUNNER_FUZZ_SETTINGS can be read");
    let mut settings: Settings = serde_json::from_str(&text).expect("settings of this version");
    // Small limits are reached by small files.
    let ingest = &mut settings.ingest;
    ingest.max_text_bytes = 1 << 20;
    ingest.max_zip_entry_bytes = 1 << 20;
    ingest.max_zip_total_bytes = 2 << 20;
    settings
});

fuzz_target!(|bytes: &[u8]| {
    if let Some(plant) = PLANT.as_deref() {
        assert!(
            !bytes.windows(plant.len()).any(|at| at == plant.as_bytes()),
            "planted"
        );
    }
    TARGET(bytes);
});
