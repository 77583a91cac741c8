//! Bugs that the tests plant on purpose: a fault test that stays green with its bug planted proves nothing.
//!
//! In an ordinary build every question is `false` at compile time. Tests plant a bug in their own thread; a build with the
//! feature `planted` takes one from `RUNNER_PLANTED_BUG`, so that the torture lane can turn its rows red.

/// What can be broken on purpose; the name in the environment is the variant's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A torn tail stays where it is and new records go behind it.
    KeepTornTail,
    /// Whatever follows the first bad frame is cut, good records too.
    CutDamagedMiddle,
    /// A second result of the same work replaces the first one.
    LastResultWins,
    /// An unfinished start is charged whoever died.
    ChargeRunnerDeaths,
    /// Acknowledges before the data is synced.
    AcknowledgeUnsynced,
    /// Goes on writing after a storage error.
    WriteAfterFailure,
    /// Does not look whether the folder is still the one that was opened.
    IgnoreReplacedFolder,
    /// Publishes the end of a run without checking that the counts close.
    PublishUnaccounted,
}

#[cfg(all(not(test), not(feature = "planted")))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(all(not(test), feature = "planted"))]
pub(crate) fn planted(bug: Bug) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("RUNNER_PLANTED_BUG").ok());
    CHOSEN
        .as_deref()
        .is_some_and(|name| name == format!("{bug:?}"))
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Runs `test` with the bug planted in this thread and says whether the test noticed it (panicked).
#[cfg(test)]
pub(crate) fn is_noticed(bug: Bug, test: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    PLANTED.set(Some(bug));
    let outcome = std::panic::catch_unwind(test);
    PLANTED.set(None);
    outcome.is_err()
}
