//! The macOS way: rlimits, and a sandbox profile. Nobody has run it on a Mac (docs/macos.md).
//!
//! sandbox_init(3) is the one foreign function; it comes in as a value, so that everything else is compiled and run on Linux
//! by the tests. Reading is not restricted, since no list of what system libraries read there has been tried.
#![expect(unsafe_code, reason = "sandbox_init and its message")]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use super::{Bounds, Confinement, State, limits};
use crate::error::{Error, Result};

/// `int sandbox_init(const char *profile, uint64_t flags, char **errorbuf)`: with flags 0 the profile is source text.
/// SAFETY of a call: a NUL-terminated profile, and a place for one pointer.
pub type Init = unsafe extern "C" fn(*const c_char, u64, *mut *mut c_char) -> c_int;
/// `void sandbox_free_error(char *errorbuf)`.
/// SAFETY of a call: a message of `Init`, once.
pub type FreeError = unsafe extern "C" fn(*mut c_char);

/// The foreign functions: the system's, or in tests their stand-ins.
#[derive(Clone, Copy)]
pub struct Sandbox {
    pub init: Init,
    pub free_error: FreeError,
}

#[cfg(target_os = "macos")]
pub fn sandbox() -> Sandbox {
    // SAFETY: the signatures of sandbox.h in the system's SDK.
    unsafe extern "C" {
        fn sandbox_init(profile: *const c_char, flags: u64, errorbuf: *mut *mut c_char) -> c_int;
        fn sandbox_free_error(errorbuf: *mut c_char);
    }
    Sandbox {
        init: sandbox_init,
        free_error: sandbox_free_error,
    }
}

/// The last rule that matches decides. Descriptors that are open already are not asked again.
pub const PROFILE: &CStr = c"(version 1)
(allow default)
(deny network*)
(deny file-write*)
(deny process-exec*)
(deny process-fork)
(deny signal (target others))
";

#[cfg_attr(
    not(target_os = "macos"),
    expect(dead_code, reason = "it would confine the test process")
)]
pub fn confine(bounds: &Bounds, sandbox: Sandbox) -> Result<Confinement> {
    // No memory limit of a process is enforced there: the runner polls its footprint and kills.
    limits::lower(bounds, None)?;
    apply(sandbox)?;
    Ok(in_force())
}

fn in_force() -> Confinement {
    Confinement {
        limits: State::InPart("memory: watched by the runner".into()),
        filesystem: State::InPart("nothing can be written, everything can be read".into()),
        system_calls: State::InPart("exec, fork and signals to others alone".into()),
        network: State::InForce,
    }
}

fn apply(sandbox: Sandbox) -> Result<()> {
    let mut message: *mut c_char = ptr::null_mut();
    // SAFETY: a NUL-terminated profile and a place for one pointer, both alive during the call.
    if unsafe { (sandbox.init)(PROFILE.as_ptr(), 0, &raw mut message) } == 0 {
        return Ok(());
    }
    let mut detail = "refused without a message".to_owned();
    if !message.is_null() {
        // SAFETY: the call failed and left a NUL-terminated message that is ours until it is freed, once, here.
        unsafe {
            detail = CStr::from_ptr(message).to_string_lossy().into_owned();
            (sandbox.free_error)(message);
        }
    }
    Err(Error::Confinement {
        rule: "sandbox_init",
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    // SAFETY: called as `Init` says.
    unsafe extern "C" fn takes(
        profile: *const c_char,
        flags: u64,
        message: *mut *mut c_char,
    ) -> c_int {
        // SAFETY: `apply` passes a literal and a valid place.
        let same = unsafe { CStr::from_ptr(profile) == PROFILE && (*message).is_null() };
        c_int::from(!same || flags != 0)
    }

    // SAFETY: called as `Init` says.
    unsafe extern "C" fn refuses(_: *const c_char, _: u64, message: *mut *mut c_char) -> c_int {
        // SAFETY: a valid place; `frees` takes the text back.
        unsafe { *message = c"no such operation".to_owned().into_raw() };
        -1
    }

    // SAFETY: called as `FreeError` says.
    unsafe extern "C" fn frees(message: *mut c_char) {
        // SAFETY: made by `refuses`, freed once.
        drop(unsafe { CString::from_raw(message) });
    }

    #[test]
    fn a_refused_profile_is_an_error_with_the_systems_words() {
        let sandbox = |init| Sandbox {
            init,
            free_error: frees,
        };
        assert!(apply(sandbox(takes)).is_ok());
        let refused = apply(sandbox(refuses)).unwrap_err().to_string();
        assert_eq!(refused, "confinement: sandbox_init: no such operation");
    }

    #[test]
    fn the_profile_takes_away_network_writes_exec_and_fork_after_it_allows_the_rest() {
        let text = PROFILE.to_str().unwrap();
        let (first, denied) = text.split_once("(allow default)").unwrap();
        assert_eq!(first, "(version 1)\n");
        for rule in ["network*", "file-write*", "process-exec*", "process-fork"] {
            assert!(denied.contains(&format!("(deny {rule})")), "{rule}");
        }
        assert_eq!(text.matches('(').count(), text.matches(')').count());
    }

    #[test]
    fn it_does_not_claim_a_memory_limit() {
        let said = in_force().limits.to_string();
        assert_eq!(said, "in part: memory: watched by the runner");
    }
}
