//! Landlock: no file is made, written or executed, and only named folders are read; TCP and signals where the kernel can.
//!
//! It says what the kernel took, not what it means; linux.rs does. Called by linux.rs.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::SYSTEM_READABLE;
use crate::error::{Error, Result};

/// The newest rules that were tried on a kernel (6.18). A later ABI's wait until somebody has tried them.
const TRIED: ABI = ABI::V7;

/// The ABI whose rules hold from here on, or why there are none.
pub type Landlock = std::result::Result<ABI, String>;

/// For this thread and every later one.
pub fn restrict(readable: &[PathBuf]) -> Result<Landlock> {
    let status = ruleset(readable).map_err(Error::confinement("Landlock"))?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err("Landlock is built into this kernel and not switched on".into())
        }
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, .. },
        ) => Ok(effective_abi),
        _ => {
            Err("no Landlock here (the kernel is older than 5.13, or a container hides it)".into())
        }
    })
}

/// Best effort is the crate's default: rules that the kernel does not know are left out, and the status says so.
fn ruleset(readable: &[PathBuf]) -> std::result::Result<landlock::RestrictionStatus, RulesetError> {
    let system = SYSTEM_READABLE.iter().map(Path::new);
    let paths = readable.iter().map(PathBuf::as_path).chain(system);
    Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TRIED))?
        .handle_access(AccessNet::from_all(TRIED))?
        .scope(Scope::from_all(TRIED))?
        .create()?
        .add_rules(path_beneath_rules(
            paths,
            AccessFs::ReadFile | AccessFs::ReadDir,
        ))?
        .restrict_self()
}
