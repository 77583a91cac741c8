//! Resource limits: memory, descriptors, file size, core files, and the CPU seconds of one document.
//!
//! RLIMIT_NPROC is left alone: it counts every process of the user and forbids threads as well as forks, and root has none.
//! Called by confine; `allow_cpu` before each document.
#![expect(unsafe_code, reason = "setrlimit, getrlimit, getrusage, sigaction")]

use std::io;
use std::time::Duration;

use super::Bounds;
use crate::error::{Error, Result};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

/// One limit to lower, soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    name: &'static str,
    resource: Resource,
    value: u64,
}

/// `mapped_bytes`: the address space in use, where the system holds a process to RLIMIT_AS.
fn limits(bounds: &Bounds, mapped_bytes: Option<u64>) -> Vec<Limit> {
    let limit = |name, resource, value| Limit {
        name,
        resource,
        value,
    };
    let mut all = vec![
        limit("RLIMIT_CORE", libc::RLIMIT_CORE, 0),
        limit("RLIMIT_FSIZE", libc::RLIMIT_FSIZE, 0),
        limit(
            "RLIMIT_NOFILE",
            libc::RLIMIT_NOFILE,
            bounds.open_files.into(),
        ),
    ];
    all.extend(mapped_bytes.map(|mapped| {
        let value = mapped.saturating_add(bounds.memory_bytes);
        limit("RLIMIT_AS", libc::RLIMIT_AS, value)
    }));
    all
}

/// Lowers what `bounds` name and makes SIGXCPU deadly: an exec keeps the parent's ignored and blocked signals.
pub fn lower(bounds: &Bounds, mapped_bytes: Option<u64>) -> Result<()> {
    xcpu_ends_us()?;
    for limit in limits(bounds, mapped_bytes) {
        let now = get(limit.name, limit.resource)?;
        // Never up: a limit that somebody set for us already stays the smaller one.
        let value = limit.value.min(now.rlim_max);
        let lowered = libc::rlimit {
            rlim_cur: value.min(now.rlim_cur),
            rlim_max: value,
        };
        set(limit.name, limit.resource, &lowered)?;
    }
    Ok(())
}

/// Grants `seconds` of CPU time from now; SIGXCPU ends the process after them. Before each document.
pub fn allow_cpu(seconds: u64) -> Result<()> {
    let now = get("RLIMIT_CPU", libc::RLIMIT_CPU)?;
    let granted = libc::rlimit {
        // Soft alone: the next document needs more, and an unprivileged process cannot raise a hard limit again.
        rlim_cur: cpu_limit(cpu_used()?, seconds).min(now.rlim_max),
        rlim_max: now.rlim_max,
    };
    set("RLIMIT_CPU", libc::RLIMIT_CPU, &granted)
}

/// The kernel counts whole seconds: rounded up, so that a document gets at least what was promised, and at most one more.
fn cpu_limit(used: Duration, seconds: u64) -> u64 {
    let whole = used.as_secs() + u64::from(used.subsec_nanos() > 0);
    whole.saturating_add(seconds)
}

fn cpu_used() -> Result<Duration> {
    // SAFETY: all-zero is a valid rusage; the call only writes it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a constant and a buffer that outlives the call.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } < 0 {
        return Err(failed("getrusage"));
    }
    Ok([usage.ru_utime, usage.ru_stime]
        .into_iter()
        .map(|time| {
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            let micros = u64::try_from(time.tv_usec).unwrap_or(0);
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        })
        .sum())
}

fn failed(rule: &'static str) -> Error {
    Error::confinement(rule)(io::Error::last_os_error())
}

fn get(name: &'static str, resource: Resource) -> Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a constant and a buffer that outlives the call.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } < 0 {
        return Err(failed(name));
    }
    Ok(limit)
}

fn set(name: &'static str, resource: Resource, limit: &libc::rlimit) -> Result<()> {
    // SAFETY: a constant and a value that outlives the call; it moves limits of this process alone.
    if unsafe { libc::setrlimit(resource, limit) } < 0 {
        return Err(failed(name));
    }
    Ok(())
}

fn xcpu_ends_us() -> Result<()> {
    // SAFETY: SIG_DFL installs no handler of ours; the set is initialised by sigemptyset before it is read.
    let refused = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::signal(libc::SIGXCPU, libc::SIG_DFL) == libc::SIG_ERR
            || libc::sigemptyset(&raw mut set) < 0
            || libc::sigaddset(&raw mut set, libc::SIGXCPU) < 0
            || libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) != 0
    };
    if refused {
        return Err(failed("SIGXCPU"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_granted_on_top_of_what_is_mapped_and_only_where_the_system_counts_it() {
        let bounds = Bounds {
            memory_bytes: 1 << 30,
            open_files: 64,
            readable: Vec::new(),
        };
        let memory = |mapped| {
            let all = limits(&bounds, mapped);
            all.into_iter()
                .find(|limit| limit.name == "RLIMIT_AS")
                .map(|limit| limit.value)
        };
        assert_eq!(memory(Some(5)), Some((1 << 30) + 5));
        assert_eq!(memory(Some(u64::MAX)), Some(u64::MAX));
        assert_eq!(memory(None), None);
    }

    #[test]
    fn a_document_gets_at_least_its_seconds_and_at_most_one_more() {
        assert_eq!(cpu_limit(Duration::ZERO, 30), 30);
        assert_eq!(cpu_limit(Duration::from_millis(3_200), 30), 34);
        assert_eq!(cpu_limit(Duration::from_secs(4), 1), 5);
        assert_eq!(cpu_limit(Duration::from_secs(4), u64::MAX), u64::MAX);
    }
}
