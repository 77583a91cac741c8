//! A process makes itself as harmless as its platform allows: once, before it reads what strangers wrote, and for good.
//!
//! Four members. Each is in force, in force in part, or unsupported with the reason; a missing one takes none of the others
//! with it. Linux: rlimits, Landlock, seccomp. macOS: rlimits and a sandbox profile. Nothing here needs a privilege, and
//! root loses the same. It does not watch memory or wall time (the runner does) and does not choose values. Called by
//! workers that extract, and by `doctor`'s child.
//!
//! What stays possible: every descriptor that is open already, memory, threads, reading below `Bounds::readable`.
//! A log that goes to a regular file is not possible any more (RLIMIT_FSIZE is 0): stderr has to be a pipe.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
// Compiled for tests everywhere, so that the macOS way is type-checked and its decisions run at every commit.
#[cfg(any(target_os = "macos", test))]
mod macos;

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::error::Result;

pub use limits::allow_cpu;

/// What a confined process keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Address space on top of what is mapped already (Linux: RLIMIT_AS). Reservations count, also a thread's stack.
    pub memory_bytes: u64,
    /// Descriptors have numbers below this one (RLIMIT_NOFILE); what is open stays open.
    pub open_files: u32,
    /// Files and folders that may still be read, for libraries that load late; `SYSTEM_READABLE` comes on top.
    pub readable: Vec<PathBuf>,
}

/// What the dynamic linker and the C library read behind a program's back. A path that does not exist is left out.
pub const SYSTEM_READABLE: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    InForce,
    /// What is missing.
    InPart(String),
    /// Why.
    Unsupported(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::InForce => f.write_str("in force"),
            State::InPart(missing) => write!(f, "in part: {missing}"),
            State::Unsupported(why) => write!(f, "unsupported: {why}"),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is in force in this process, for `doctor` and the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confinement {
    pub limits: State,
    pub filesystem: State,
    pub system_calls: State,
    pub network: State,
}

impl Confinement {
    pub fn members(&self) -> [(&'static str, &State); 4] {
        [
            ("limits", &self.limits),
            ("filesystem", &self.filesystem),
            ("system_calls", &self.system_calls),
            ("network", &self.network),
        ]
    }
}

/// Once, while the process has one thread: a second call fails, since the first has taken what it needs.
/// `Error::Confinement` for a rule that the system has and did not take; a rule it does not have is no error.
pub fn confine(bounds: &Bounds) -> Result<Confinement> {
    platform(bounds)
}

#[cfg(target_os = "linux")]
fn platform(bounds: &Bounds) -> Result<Confinement> {
    linux::confine(bounds)
}

#[cfg(target_os = "macos")]
fn platform(bounds: &Bounds) -> Result<Confinement> {
    macos::confine(bounds, macos::sandbox())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn platform(bounds: &Bounds) -> Result<Confinement> {
    limits::lower(bounds, None)?;
    let none = || State::Unsupported(format!("nothing is known for {}", std::env::consts::OS));
    Ok(Confinement {
        limits: State::InPart("memory: watched by the runner".into()),
        filesystem: none(),
        system_calls: none(),
        network: none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confinement_is_four_short_texts_in_json() {
        let said = serde_json::to_value(Confinement {
            limits: State::InForce,
            filesystem: State::InPart("no writes".into()),
            system_calls: State::Unsupported("too old".into()),
            network: State::InForce,
        });
        let expected = serde_json::json!({
            "limits": "in force", "filesystem": "in part: no writes",
            "system_calls": "unsupported: too old", "network": "in force",
        });
        assert_eq!(said.unwrap(), expected);
    }
}
