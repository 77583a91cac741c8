//! The doorbell: one byte over an inherited socket pair, which is also how either side learns that the other died.
//!
//! Never blocks except in `wait`. A full socket means that a wake-up is already pending, so nothing is lost by EAGAIN.
#![expect(unsafe_code, reason = "poll, send and recv with flags")]

use crate::error::{Error, Result};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

#[derive(Debug)]
pub struct Bell {
    socket: OwnedFd,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    Rung,
    TimedOut,
    PeerGone,
}

impl Bell {
    /// Two connected ends, both close-on-exec; the starter of the child makes one inheritable.
    pub fn pair() -> Result<(Bell, OwnedFd)> {
        let (ours, theirs) =
            UnixStream::pair().map_err(Error::storage("create", Path::new("doorbell")))?;
        Ok((Bell::new(ours.into()), theirs.into()))
    }

    pub fn new(socket: OwnedFd) -> Bell {
        #[cfg(target_os = "macos")]
        {
            let on: libc::c_int = 1;
            let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
            // SAFETY: a valid descriptor and an int that outlives the call. macOS has no MSG_NOSIGNAL.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_NOSIGPIPE,
                    (&raw const on).cast(),
                    size,
                );
            }
        }
        Bell { socket }
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Wake the peer. A dead peer is noticed by the next wait, not here.
    pub fn ring(&self) {
        #[cfg(target_os = "macos")]
        let flags = libc::MSG_DONTWAIT;
        #[cfg(not(target_os = "macos"))]
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let byte = 1u8;
        // SAFETY: one byte that outlives the call. EAGAIN = a wake-up is pending; EPIPE = seen by the next wait.
        unsafe { libc::send(self.fd(), (&raw const byte).cast(), 1, flags) };
    }

    /// Take pending bells without waiting. False: the peer closed its end.
    #[must_use]
    pub fn swallow(&self) -> bool {
        let mut bytes = [0u8; 64];
        loop {
            // SAFETY: the buffer is ours and as long as said.
            let got = unsafe {
                libc::recv(
                    self.fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            match got {
                0 => return false,
                1.. => {}
                _ => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return true,
                    _ => return false,
                },
            }
        }
    }

    /// Wait for a bell, at most `timeout_ms` (-1: for ever). Signals end it early as `TimedOut`, so that a Python
    /// caller can run its handlers.
    pub fn wait(&self, timeout_ms: i32) -> Result<Woken> {
        let mut poll = libc::pollfd {
            fd: self.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd that outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(Woken::TimedOut)
            } else {
                Err(Error::storage("poll", Path::new("doorbell"))(error))
            };
        }
        if ready == 0 {
            return Ok(Woken::TimedOut);
        }
        Ok(if self.swallow() {
            Woken::Rung
        } else {
            Woken::PeerGone
        })
    }
}
