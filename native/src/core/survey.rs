//! What a run would have to do, from stamps and the index alone: no document is read, so that "nothing to do" is quick.
//!
//! Reads only; makes no folder. Called before a run's folder exists.

use std::path::Path;

use crate::discover::{Discovered, walk};
use crate::error::Result;
use crate::index::Index;
use crate::prepare::Plan;
use crate::settings::{Reuse, Settings};

/// Counts of files (and of the inputs in unchanged ones).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    pub files: u64,
    /// Files whose every input has its answer in an earlier run, under these settings.
    pub unchanged: u64,
    /// Files that have to be read.
    pub to_do: u64,
    /// Paths that are not read at all: links, sockets, unreadable ones.
    pub rejected: u64,
    /// Inputs in the unchanged files.
    pub inputs_unchanged: u64,
}

impl Survey {
    /// Every file is answered already, and there is at least one.
    #[must_use]
    pub fn nothing_to_do(&self) -> bool {
        self.files > 0 && self.to_do == 0
    }
}

/// # Errors
/// `Config` for an input that does not exist, `Storage` for an index that cannot be used.
pub fn survey(settings: &Settings, plan: &Plan) -> Result<Survey> {
    let mut survey = Survey::default();
    let index_path = Path::new(&settings.index_path);
    let trusted = settings.reuse == Reuse::Finished && !settings.ingest.paranoid;
    // Without an index there is no earlier run: nothing is created just to look.
    let index = if trusted && index_path.exists() {
        Some(Index::open(index_path, Some(Path::new(&settings.run_dir)))?.0)
    } else {
        None
    };
    for found in walk(&settings.ingest)? {
        let source = match found {
            Discovered::File(source) => source,
            Discovered::Rejected(_) => {
                survey.rejected += 1;
                continue;
            }
        };
        survey.files += 1;
        let known = match &index {
            Some(index) => index.unchanged(&source.uri, source.stamp, &plan.plan_key)?,
            None => None,
        };
        match known {
            Some(unchanged) => {
                survey.unchanged += 1;
                survey.inputs_unchanged += unchanged.inputs();
            }
            None => survey.to_do += 1,
        }
    }
    Ok(survey)
}
