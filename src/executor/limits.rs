//! How much of the machine a command gets: cores, and memory where this process may make groups for it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

const GROUPS: &str = "/sys/fs/cgroup";
/// How the groups that are made here begin; the process that made one follows.
const PREFIX: &str = "aml-";

/// What a command may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
}

/// What holds for this process and all it starts; the group is left when dropped.
#[derive(Debug)]
pub struct Limited {
    /// The processors before and now.
    processors: Option<(CpuSet, CpuSet)>,
    group: Option<Group>,
}

impl Limited {
    /// Whether something was killed because there was not enough memory.
    pub fn ran_out(&self) -> bool {
        self.group.as_ref().is_some_and(Group::ran_out)
    }

    /// Does something whose processes shall not be limited.
    pub fn lifted(&self, act: &mut dyn FnMut()) {
        self.hold(false);
        act();
        self.hold(true);
    }

    fn hold(&self, limits: bool) {
        if let Some((before, now)) = &self.processors {
            let _ = sched_setaffinity(Pid::from_raw(0), if limits { now } else { before });
        }
        match &self.group {
            Some(group) if limits => drop(group.enter()),
            Some(group) => group.leave(),
            None => {}
        }
    }
}

/// A control group that this process and all it starts are in; removed when dropped.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    /// Counts how often there was not enough.
    events: PathBuf,
}

impl Limits {
    /// Limits this process and all it will start. The cores always are, the memory where a group can be
    /// made.
    pub fn apply(self) -> Limited {
        Limited {
            processors: use_cores(self.cores),
            group: Group::of_memory(self.memory),
        }
    }

    /// Whether memory can be limited on this machine.
    pub fn holds_memory(self) -> bool {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        place(&own, Path::new(GROUPS)).is_some_and(|place| {
            let probe = place
                .folder
                .join(format!("{PREFIX}probe-{}", std::process::id()));
            let made = fs::create_dir(&probe).is_ok();
            let works = made && probe.join(place.limit).exists();
            let _ = fs::remove_dir(&probe);
            works
        })
    }
}

/// Leaves as many processors as the number says, of those that there are; answers these and those.
fn use_cores(cores: u32) -> Option<(CpuSet, CpuSet)> {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own).ok()?;
    let there: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let cores = cores.max(1) as usize;
    if cores >= there.len() {
        return None;
    }
    // Not all commands begin with the same one.
    let first = std::process::id() as usize % there.len();
    let mut chosen = CpuSet::new();
    for at in 0..cores {
        let _ = chosen.set(there[(first + at) % there.len()]);
    }
    sched_setaffinity(own, &chosen).ok()?;
    Some((allowed, chosen))
}

/// Where a group is made, and the file in it that limits.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    limit: &'static str,
    events: &'static str,
}

/// The group of this process that controls memory, from its lines in `/proc/self/cgroup`.
fn place(own: &str, root: &Path) -> Option<Place> {
    let path = |line: &str| {
        line.splitn(3, ':')
            .nth(2)
            .map(|path| path.trim_start_matches('/').to_owned())
    };
    let controls = |line: &&str| {
        let names = line.split(':').nth(1).unwrap_or_default();
        names.split(',').any(|name| name == "memory")
    };
    if let Some(line) = own.lines().find(controls) {
        return Some(Place {
            folder: root.join("memory").join(path(line)?),
            limit: "memory.limit_in_bytes",
            events: "memory.failcnt",
        });
    }
    let line = own.lines().find(|line| line.starts_with("0::"))?;
    Some(Place {
        folder: root.join(path(line)?),
        limit: "memory.max",
        events: "memory.events",
    })
}

impl Group {
    fn of_memory(bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let place = place(&own, Path::new(GROUPS))?;
        forget_empty(&place.folder);
        // Where the one above may hand it on, and nobody did.
        let _ = fs::write(place.folder.join("cgroup.subtree_control"), "+memory");
        let folder = place.folder.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self {
            events: folder.join(place.events),
            folder,
        };
        let limit = group.folder.join(place.limit);
        limit.exists().then_some(())?;
        write(&limit, &bytes.to_string())?;
        group.enter()?;
        Some(group)
    }

    fn enter(&self) -> Option<()> {
        move_to(&self.folder)
    }

    /// Goes back to where this process was.
    fn leave(&self) {
        let _ = move_to(self.folder.parent().unwrap_or(&self.folder));
    }

    /// Whether something was killed because there was not enough.
    fn ran_out(&self) -> bool {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        let killed = text.lines().find_map(|line| match line.split_once(' ') {
            Some(("oom_kill", count)) => Some(count),
            Some(_) => None,
            None => Some(line),
        });
        killed.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Moves this process into a group.
fn move_to(group: &Path) -> Option<()> {
    let own = std::process::id().to_string();
    write(&group.join("cgroup.procs"), &own)
}

fn write(path: &Path, text: &str) -> Option<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path).ok()?;
    file.write_all(text.as_bytes()).ok()
}

/// Removes groups of processes that were killed: one in which somebody is cannot be removed.
fn forget_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_on_old_and_new_machines() {
        let root = Path::new("/g");
        let old = "4:memory:/a/b\n3:cpuset:/\n0::/\n";
        assert_eq!(place(old, root).unwrap().folder, Path::new("/g/memory/a/b"));
        let new = place("0::/user.slice/x\n", root).unwrap();
        assert_eq!(
            (new.folder.as_path(), new.limit),
            (Path::new("/g/user.slice/x"), "memory.max")
        );
        assert_eq!(place("1:cpu:/\n", root), None);
    }
}
