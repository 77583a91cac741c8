//! Waits on several descriptors at once: the dispatcher's mailbox and every worker's bell.
//!
//! It reads nothing and decides nothing. Called by core.
#![expect(unsafe_code, reason = "poll(2)")]

use std::os::fd::RawFd;
use std::time::Duration;

/// Sleeps until one of `fds` is readable or closed, or the time is over. A signal ends it early: callers look again anyway.
pub fn wait_readable(fds: &[RawFd], timeout: Duration) {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // SAFETY: the array outlives the call and `count` is its length. Whatever poll says, the caller looks at everything.
    unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) };
}
