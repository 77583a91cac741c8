//! The `rust` pool: a byte account with push-back. Who has no room waits; nothing grows past the cap.
//!
//! It accounts, it does not allocate. Extract threads reserve before they hand text on; dispatch releases at the commit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Account {
    used: u64,
    /// Of these, bytes of requests that wait for their answers.
    requests: u64,
    peak: u64,
    closed: bool,
}

/// Byte account of one pool, shared by the threads of the core.
#[derive(Debug)]
pub struct Pool {
    cap: u64,
    /// Most bytes of requests, unless one document alone has more.
    requests_cap: u64,
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
        Pool::reading_ahead(cap, cap)
    }

    /// `requests_cap`: how far reading may run ahead of the model.
    #[must_use]
    pub fn reading_ahead(cap: u64, requests_cap: u64) -> Pool {
        Pool {
            cap,
            requests_cap,
            account: Mutex::new(Account {
                used: 0,
                requests: 0,
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
        self.wait_for(bytes, |_| true).map(drop)
    }

    /// As `reserve`, for requests: waits too while reading is far enough ahead.
    ///
    /// # Errors
    /// As `reserve`.
    pub fn reserve_requests(&self, bytes: u64) -> Result<(), Refusal> {
        let near = |account: &Account| {
            account.requests == 0 || account.requests + bytes <= self.requests_cap
        };
        self.wait_for(bytes, near)?.requests += bytes;
        Ok(())
    }

    fn wait_for(
        &self,
        bytes: u64,
        may: impl Fn(&Account) -> bool,
    ) -> Result<MutexGuard<'_, Account>, Refusal> {
        if bytes > self.cap {
            return Err(Refusal::TooLarge);
        }
        let mut account = self.lock();
        while !account.closed && (account.used + bytes > self.cap || !may(&account)) {
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
        Ok(account)
    }

    /// Takes `bytes` of requests even past the cap: for the few reduce requests that must be built to free what they stand on.
    pub fn take_requests(&self, bytes: u64) {
        let mut account = self.lock();
        account.used += bytes;
        account.requests += bytes;
        account.peak = account.peak.max(account.used);
    }

    pub fn release(&self, bytes: u64) {
        Pool::give_back(&mut self.lock(), bytes);
        self.freed.notify_all();
    }

    pub fn release_requests(&self, bytes: u64) {
        let mut account = self.lock();
        debug_assert!(account.requests >= bytes, "released more than was reserved");
        account.requests = account.requests.saturating_sub(bytes);
        Pool::give_back(&mut account, bytes);
        self.freed.notify_all();
    }

    fn give_back(account: &mut Account, bytes: u64) {
        debug_assert!(account.used >= bytes, "released more than was reserved");
        account.used = account.used.saturating_sub(bytes);
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
    fn requests_wait_while_reading_is_far_ahead_and_one_alone_may_be_larger() {
        let pool = Arc::new(Pool::reading_ahead(100, 10));
        pool.reserve(50).expect("other bytes do not count");
        pool.reserve_requests(40).expect("alone");
        let (sender, receiver) = channel();
        let waiting = Arc::clone(&pool);
        let thread = thread::spawn(move || {
            waiting.reserve_requests(1).expect("fits later");
            sender.send(waiting.used()).expect("listened to");
        });
        pool.release(10);
        assert!(receiver.try_recv().is_err(), "far ahead");
        pool.release_requests(40);
        assert_eq!(receiver.recv().expect("woken"), 41);
        thread.join().expect("no panic");
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
