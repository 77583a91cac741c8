//! Files as the extract threads read them: signature, inflating, encoding, and the text formats. The name chooses.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use _native::discover::{Discovered, walk};
use _native::extract::convert::{Answer, Convert, Request, Unconverted};
use _native::extract::readers::Readers;
use _native::extract::{self, Extracted};

use crate::SETTINGS;

/// An extract worker without its process; what it answers is read back as the runner would.
struct Here(Readers);

impl Convert for Here {
    fn convert(&mut self, request: &Request, file: &[u8]) -> Result<(Answer, String), Unconverted> {
        let (answer, text) = self
            .0
            .read(request, file, &mut |_| ControlFlow::Continue(()));
        let line = serde_json::to_string(&answer).expect("an answer can be written");
        let read = Answer::read(&line, &text).expect("our own reader answers what can be true");
        assert_eq!(read, answer);
        Ok((answer, text))
    }
}

/// A folder in memory, of this process.
pub fn scratch(name: &str) -> PathBuf {
    let base = ["/dev/shm", "/tmp"].iter().map(PathBuf::from);
    let base = base
        .into_iter()
        .find(|path| path.is_dir())
        .expect("a place for files");
    let folder = base.join(format!("runner-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the file");
    folder.join(name)
}

/// Every file gives a row; texts are within the limit and not blank; rows are in order and named after the file.
pub fn extract(name: &str, bytes: &[u8]) {
    let path = scratch(name);
    fs::write(&path, bytes).expect("the file can be written");
    let mut settings = SETTINGS.ingest.clone();
    settings.inputs = vec![path.to_string_lossy().into_owned()];
    let Some(Discovered::File(source)) = walk(&settings).expect("a walk").next() else {
        panic!("the file is not found");
    };
    let mut last = None;
    let mut converter = Here(Readers::open(None, Err("no second reader here".to_owned())));
    extract::extract(&source, &settings, &mut converter, &mut |one| {
        let (ordinal, uri) = match &one {
            Extracted::Document(document) => {
                let length = document.text.len() as u64;
                assert!(length <= settings.max_text_bytes, "{length} bytes of text");
                assert!(!document.text.trim().is_empty(), "a document without text");
                (document.ordinal, &document.uri)
            }
            Extracted::Rejected(rejected) => {
                assert!(!rejected.reason.trim().is_empty(), "no reason");
                assert!(
                    rejected.reason.len() < 10_000,
                    "a reason of {}",
                    rejected.reason.len()
                );
                (rejected.ordinal, &rejected.uri)
            }
        };
        assert!(uri.starts_with(&source.uri), "{uri}");
        assert!(
            last.is_none_or(|last| last < ordinal),
            "{ordinal:?} after {last:?}"
        );
        last = Some(ordinal);
        ControlFlow::Continue(())
    });
    assert!(last.is_some(), "a file without a row");
}
