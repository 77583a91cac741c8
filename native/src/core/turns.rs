//! Files have their say in the order in which they were found, whichever thread reads which: what is decided between
//! documents (the first of two similar ones is kept) must not depend on who was faster.
//!
//! Numbers are given out in the order of the queue, and a thread holds one at a time, so the lowest is never waiting.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiting thread looks whether the run is being stopped.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct State {
    /// Whose turn it is.
    next: u64,
    /// Later ones that have passed already.
    passed: BTreeSet<u64>,
}

#[derive(Debug, Default)]
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part under this number; it passes when the value is dropped.
    pub fn join(&self, number: u64) -> Turn<'_> {
        Turn {
            turns: self,
            number,
            passed: false,
        }
    }

    fn pass(&self, turn: u64) {
        let mut state = self.state();
        state.passed.insert(turn);
        loop {
            let next = state.next;
            if !state.passed.remove(&next) {
                break;
            }
            state.next += 1;
        }
        self.changed.notify_all();
    }
}

/// One file's place.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
    passed: bool,
}

impl Turn<'_> {
    /// The next file may speak.
    pub fn pass(&mut self) {
        if !std::mem::replace(&mut self.passed, true) {
            self.turns.pass(self.number);
        }
    }

    /// Waits until all files before this one have passed; false when `stopped` says so first.
    pub fn wait(&self, stopped: impl Fn() -> bool) -> bool {
        let mut state = self.turns.state();
        while state.next != self.number {
            if stopped() {
                return false;
            }
            let waited = self.turns.changed.wait_timeout(state, GLANCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pass();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::Turns;

    #[test]
    fn threads_speak_in_the_order_of_their_numbers() {
        let (turns, next, spoken) = (Turns::default(), AtomicU64::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= 2000 {
                            return;
                        }
                        let turn = turns.join(number);
                        if number % 3 != 0 {
                            assert!(turn.wait(|| false));
                            spoken.lock().expect("no panic").push(number);
                        }
                    }
                });
            }
        });
        let expected: Vec<u64> = (0..2000).filter(|number| number % 3 != 0).collect();
        assert_eq!(spoken.into_inner().expect("no panic"), expected);
    }

    #[test]
    fn a_stopped_run_ends_the_wait() {
        let turns = Turns::default();
        assert!(!turns.join(1).wait(|| true));
    }
}
