//! The one error type of the Rust core: what failed, on what, and which exit code it maps to.
//!
//! Called by every room. It does not print and knows nothing of Python; `py.rs` holds the one table to exceptions.

use std::io;
use std::path::Path;

/// Everything that can go wrong in the core. `Config` is the user's to cure (exit 2), `Storage` and `CorruptJournal`
/// stop the run (exit 74), `Busy` names the holder (exit 75); the rest are verdicts on one worker or one document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{action} {path}: {source}")]
    Storage {
        action: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path}: damaged at byte {offset}: {detail}")]
    CorruptJournal {
        path: String,
        offset: u64,
        detail: String,
    },
    #[error("{path} is in use by {holder}")]
    Busy { path: String, holder: String },
    #[error("{problem}")]
    Config { problem: String, hint: String },
    #[error("channel: {0}")]
    Channel(String),
    #[error("channel: the other side is gone")]
    PeerGone,
    #[error("confinement: {rule}: {detail}")]
    Confinement { rule: &'static str, detail: String },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: names the action and the path, which `io::Error` alone does not.
    pub fn storage(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.display().to_string();
        move |source| Error::Storage {
            action,
            path,
            source,
        }
    }

    /// For `map_err`: a rule that this system said it has, and then did not take.
    pub fn confinement<E: std::fmt::Display>(rule: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error::Confinement {
            rule,
            detail: error.to_string(),
        }
    }

    pub fn config(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Config {
            problem: problem.into(),
            hint: hint.into(),
        }
    }
}
