//! Keeps the processes of a deployment out of the state directory, but for what is theirs: they see no
//! file of another endpoint, nor the keys and the database. Done by Landlock, of the kernel.
//!
//! Landlock only knows what may be opened. So all is that lies beside the state directory and beside the
//! folders above it; these folders themselves cannot be listed, and what is made right in one of them
//! later can be opened by nobody who is kept apart.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

/// The rights that are taken: those of files, as kernels since 6.2 know them. Older ones take fewer.
const KNOWN: ABI = ABI::V3;
/// What root may do that leads past it: looking into processes, opening disks.
const PAST: [CapabilitySet; 6] = [
    CapabilitySet::DAC_READ_SEARCH,
    CapabilitySet::MKNOD,
    CapabilitySet::PERFMON,
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::SYS_RAWIO,
];

/// Where processes may go.
#[derive(Debug, Clone, Default)]
pub struct Apart {
    pub state: PathBuf,
    /// What is theirs in it.
    pub own: Vec<PathBuf>,
    /// What they may read, and start programs of.
    pub readable: Vec<PathBuf>,
}

impl Apart {
    /// Keeps this thread apart, and all that it starts, for ever. Answers false where the kernel cannot.
    pub fn keep(&self) -> io::Result<bool> {
        let state = fs::canonicalize(&self.state)?;
        give_up_rights()?;
        self.restrict(&state).map_err(io::Error::other)
    }

    fn restrict(&self, state: &Path) -> Result<bool, RulesetError> {
        let all = AccessFs::from_all(KNOWN);
        let readable = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
        let status = Ruleset::default()
            // A kernel that does not know this right would let nobody move a file to another folder.
            .set_compatibility(CompatLevel::SoftRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .create()?
            .add_rules(path_beneath_rules(beside(state), all))?
            .add_rules(path_beneath_rules(&self.own, all))?
            .add_rules(path_beneath_rules(&self.readable, readable))?
            .restrict_self()?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

/// Lets this thread, and all that it starts, have no right that is none of other accounts.
fn give_up_rights() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    let past = PAST.into_iter().filter(|one| sets.permitted.contains(*one));
    let past: Vec<CapabilitySet> = past.collect();
    for one in &past {
        // What is left there would come back with the next program.
        remove_capability_from_bounding_set(*one)?;
    }
    for set in [
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
    ] {
        for one in &past {
            set.remove(*one);
        }
    }
    if past.is_empty() {
        return Ok(());
    }
    Ok(set_capabilities(None, sets)?)
}

/// What lies beside a folder and beside those above it. Links are left out: where they lead to is beside
/// as well, or not to be opened.
fn beside(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (inner, outer) in folder.ancestors().zip(folder.ancestors().skip(1)) {
        for entry in fs::read_dir(outer).into_iter().flatten().flatten() {
            let path = entry.path();
            if path != inner && entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, os::unix::fs::symlink, thread};

    use super::*;

    #[test]
    fn only_what_is_theirs_can_be_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for name in ["state/own/a", "state/env/a", "state/other/a", "beside/a"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "text").unwrap();
        }
        fs::write(path("state/vault.key"), "key").unwrap();
        symlink(path("state"), path("link")).unwrap();
        symlink(path("state/other/a"), path("state/own/link")).unwrap();
        let apart = Apart {
            state: path("state"),
            own: vec![path("state/own")],
            readable: vec![path("state/env")],
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                if !apart.keep().unwrap() {
                    return;
                }
                for name in ["state/own/a", "state/env/a", "beside/a"] {
                    assert_eq!(fs::read_to_string(path(name)).unwrap(), "text");
                }
                for name in ["state/own/new", "beside/new"] {
                    fs::write(path(name), "text").unwrap();
                }
                fs::rename(path("state/own/new"), path("beside/newer")).unwrap();
                let denied = |done: io::Result<()>| {
                    assert_eq!(done.unwrap_err().kind(), ErrorKind::PermissionDenied);
                };
                for name in [
                    "state/vault.key",
                    "state/other/a",
                    "link/vault.key",
                    "state/own/link",
                ] {
                    denied(fs::read(path(name)).map(drop));
                    denied(fs::write(path(name), "mine"));
                }
                denied(fs::write(path("state/env/a"), "mine"));
                denied(fs::remove_file(path("state/other/a")));
                denied(fs::create_dir(path("state/new")));
                denied(fs::read_dir(path("state")).map(drop));
                assert_eq!(fs::read_dir(path("state/env")).unwrap().count(), 1);
                let left = capabilities(None).unwrap();
                assert!(!PAST.iter().any(|one| left.permitted.contains(*one)));
            });
        });
        assert_eq!(fs::read_to_string(path("state/other/a")).unwrap(), "text");
    }
}
