//! The `rust` pool: a byte account with push-back. Who has no room waits; nothing grows past the cap.
//!
//! It accounts, it does not allocate. Extract threads reserve before they hand text on; dispatch releases at the commit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Account {
    used: u64,
    peak: u64,
    closed: bool,
}

/// Byte account of one pool, shared by the threads of the core.
#[derive(Debug)]
pub struct Pool {
    cap: u64,
    account: Mutex<Account>,
    freed: Condvar,
}

/// Why a reservation was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It would not fit into an empty pool either.
    TooLarge,
    /// The run is being stopped.
    Closed,
}

impl Pool {
    #[must_use]
    pub fn new(cap: u64) -> Pool {
        Pool {
            cap,
            account: Mutex::new(Account {
                used: 0,
                peak: 0,
                closed: false,
            }),
            freed: Condvar::new(),
        }
    }

    /// A panic of another thread while it held the lock leaves plain numbers, which stay usable.
    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` fit.
    ///
    /// # Errors
    /// `TooLarge` at once when they never can, `Closed` when the pool is closed meanwhile.
    pub fn reserve(&self, bytes: u64) -> Result<(), Refusal> {
        if bytes > self.cap {
            return Err(Refusal::TooLarge);
        }
        let mut account = self.lock();
        while !account.closed && account.used + bytes > self.cap {
            account = self
                .freed
                .wait(account)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if account.closed {
            return Err(Refusal::Closed);
        }
        account.used += bytes;
        account.peak = account.peak.max(account.used);
        Ok(())
    }

    /// Takes `bytes` even past the cap: for the few reduce requests that must be built to free what they stand on.
    pub fn take(&self, bytes: u64) {
        let mut account = self.lock();
        account.used += bytes;
        account.peak = account.peak.max(account.used);
    }

    pub fn release(&self, bytes: u64) {
        let mut account = self.lock();
        debug_assert!(account.used >= bytes, "released more than was reserved");
        account.used = account.used.saturating_sub(bytes);
        self.freed.notify_all();
    }

    /// Wakes everybody who waits; no reservation is given any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_all();
    }

    /// The run is being stopped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used
    }

    #[must_use]
    pub fn peak(&self) -> u64 {
        self.lock().peak
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::{Pool, Refusal};

    #[test]
    fn a_reservation_larger_than_the_pool_is_refused_at_once() {
        assert_eq!(Pool::new(10).reserve(11), Err(Refusal::TooLarge));
    }

    #[test]
    fn a_full_pool_makes_the_next_one_wait_until_bytes_come_back() {
        let pool = Arc::new(Pool::new(10));
        pool.reserve(8).expect("fits");
        let (sender, receiver) = channel();
        let waiting = Arc::clone(&pool);
        let thread = thread::spawn(move || {
            waiting.reserve(5).expect("fits later");
            sender.send(waiting.used()).expect("listened to");
        });
        assert!(
            receiver.try_recv().is_err(),
            "nothing is given past the cap"
        );
        pool.release(8);
        assert_eq!(receiver.recv().expect("woken"), 5);
        thread.join().expect("no panic");
        assert_eq!(pool.peak(), 8);
    }

    #[test]
    fn closing_wakes_who_waits() {
        let pool = Arc::new(Pool::new(10));
        pool.reserve(10).expect("fits");
        let waiting = Arc::clone(&pool);
        let thread = thread::spawn(move || waiting.reserve(1));
        pool.close();
        assert_eq!(thread.join().expect("no panic"), Err(Refusal::Closed));
    }
}
