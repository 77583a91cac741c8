//! The Linux way, member by member, and what the members mean together.
//!
//! Called by confine. The decisions are pure functions over what the kernel took.
#![expect(unsafe_code, reason = "prctl and sysconf")]

use std::fs;
use std::io;
use std::path::Path;

use landlock::ABI;

use super::{Bounds, Confinement, State, calls, files, limits};
use crate::error::{Error, Result};

pub fn confine(bounds: &Bounds) -> Result<Confinement> {
    one_thread()?;
    // Before the files: /proc cannot be read afterwards.
    limits::lower(bounds, Some(mapped_bytes()?))?;
    no_new_privileges()?;
    let landlock = files::restrict(&bounds.readable)?;
    // Last: it refuses the calls that the others are made with.
    let filter = calls::filter()?;
    Ok(Confinement {
        limits: State::InForce,
        filesystem: filesystem(&landlock, &filter),
        network: network(&landlock, &filter),
        system_calls: filter.map_or_else(State::Unsupported, |()| State::InForce),
    })
}

/// Landlock guards contents, names and execution; modes, owners and times are the filter's.
fn filesystem(landlock: &files::Landlock, filter: &calls::Filter) -> State {
    match (landlock, filter) {
        (Ok(_), Ok(())) => State::InForce,
        // Landlock before ABI 3 lets a path be truncated.
        (Ok(abi), Err(_)) if *abi < ABI::V3 => {
            State::InPart("files can be truncated, their modes, owners and times set".into())
        }
        (Ok(_), Err(_)) => State::InPart("modes, owners and times of files can be set".into()),
        (Err(why), Ok(())) => {
            State::InPart(format!("no writes, but everything can be read: {why}"))
        }
        (Err(why), Err(_)) => State::Unsupported(why.clone()),
    }
}

fn network(landlock: &files::Landlock, filter: &calls::Filter) -> State {
    match (landlock, filter) {
        (_, Ok(())) => State::InForce,
        (Ok(abi), Err(why)) if *abi >= ABI::V4 => {
            State::InPart(format!("TCP alone is refused: {why}"))
        }
        (_, Err(why)) => State::Unsupported(why.clone()),
    }
}

/// Landlock holds for the thread that asks and for its children: an older thread would stay free.
fn one_thread() -> Result<()> {
    let tasks = Path::new("/proc/self/task");
    let threads = fs::read_dir(tasks)
        .map_err(Error::confinement("counting threads in /proc"))?
        .count();
    if threads == 1 {
        return Ok(());
    }
    Err(Error::Confinement {
        rule: "one thread",
        detail: format!("{threads} threads run already; confine before a library starts them"),
    })
}

fn mapped_bytes() -> Result<u64> {
    let rule = "RLIMIT_AS, from /proc/self/statm";
    let text = fs::read_to_string("/proc/self/statm").map_err(Error::confinement(rule))?;
    // SAFETY: a plain call with a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = text
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok())
        .zip(u64::try_from(page).ok())
        .map(|(pages, page)| pages * page);
    bytes.ok_or_else(|| Error::confinement(rule)(text.trim()))
}

/// No program gives more rights than this process has; Landlock and seccomp ask for it.
fn no_new_privileges() -> Result<()> {
    // SAFETY: a plain call; the unused arguments must be 0.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(Error::confinement("no_new_privs")(
            io::Error::last_os_error(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_missing_is_named_and_takes_no_other_with_it() {
        let (none, filter) = (Err("old kernel".to_owned()), Err("hidden".to_owned()));
        assert_eq!(filesystem(&Ok(ABI::V7), &Ok(())), State::InForce);
        assert_eq!(network(&none, &Ok(())), State::InForce);
        assert_eq!(
            filesystem(&none, &Ok(())).to_string(),
            "in part: no writes, but everything can be read: old kernel"
        );
        assert_eq!(
            network(&Ok(ABI::V4), &filter).to_string(),
            "in part: TCP alone is refused: hidden"
        );
        for abi in [ABI::V1, ABI::V3] {
            let said = network(&Ok(abi), &filter).to_string();
            assert_eq!(said, "unsupported: hidden");
        }
        assert!(
            matches!(filesystem(&Ok(ABI::V2), &filter), State::InPart(said) if said.contains("truncated"))
        );
        assert_eq!(
            filesystem(&none, &filter),
            State::Unsupported("old kernel".into())
        );
    }
}
