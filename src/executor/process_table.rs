//! What the kernel says of processes: who descends from whom, since when, how large.

use std::{collections::HashMap, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One line of the process table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub pid: i32,
    parent: i32,
    pub session: i32,
    /// Clock ticks since the machine started; with the pid it names one process for ever.
    pub started: u64,
    resident_pages: u64,
    /// Ticks of a processor that it has used.
    pub ticks: u64,
    zombie: bool,
}

impl Entry {
    /// Whether it is the process that was started then, and has not ended.
    pub fn lives(&self, started: u64) -> bool {
        self.started == started && !self.zombie
    }
}

/// The process with this id, if there is one.
pub fn entry(pid: i32) -> Option<Entry> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes there are.
pub fn entries() -> impl Iterator<Item = Entry> {
    let table = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = table.filter_map(|file| file.file_name().to_str()?.parse().ok());
    ids.filter_map(entry)
}

/// Identifies this start of the machine.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The living processes of a session and all that descend from its leader or from them, without
/// the leader, oldest first. Those of the session are found also when the leader is gone.
pub fn family(leader: i32) -> Vec<Entry> {
    let entries: HashMap<i32, Entry> = entries().map(|entry| (entry.pid, entry)).collect();
    let belongs = |entry: &Entry| {
        let mut entry = entry;
        for _ in 0..entries.len() {
            if entry.session == leader || entry.parent == leader {
                return true;
            }
            match entries.get(&entry.parent) {
                Some(parent) => entry = parent,
                None => return false,
            }
        }
        false
    };
    let mut family: Vec<Entry> = entries
        .values()
        .filter(|entry| entry.pid != leader && !entry.zombie && belongs(entry))
        .copied()
        .collect();
    family.sort_by_key(|entry| (entry.started, entry.pid));
    family
}

/// The children of a process that have ended and that it has not waited for.
pub fn ended_children(parent: u32) -> Vec<Pid> {
    let ended = entries()
        .filter(|entry| entry.zombie && u32::try_from(entry.parent).is_ok_and(|of| of == parent));
    ended.map(|entry| Pid::from_raw(entry.pid)).collect()
}

/// Bytes that these processes have in memory.
pub fn resident_bytes(family: &[Entry]) -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok());
    let pages: u64 = family.iter().map(|entry| entry.resident_pages).sum();
    pages * page.unwrap_or(4096)
}

/// The most bytes that a process had in memory since it runs its program; 0 when it is gone.
pub fn peak_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Ticks of a processor in a second.
pub fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let ticks = ticks
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok());
    ticks.filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// Signals each, in order: who waits for others hears of it before they end.
pub fn signal_all(family: &[Entry], signal: Signal) {
    for entry in family {
        let _ = kill(Pid::from_raw(entry.pid), signal);
    }
}

/// Reads `/proc/<pid>/stat`; the second field is a name in parentheses that may contain anything.
fn parse(stat: &str) -> Option<Entry> {
    let (before, after) = (stat.find('(')?, stat.rfind(')')?);
    let fields: Vec<&str> = stat[after + 1..].split_whitespace().collect();
    // The first of these is the third of the line.
    let number = |position: usize| fields.get(position - 3)?.parse::<u64>().ok();
    let id = |position: usize| fields.get(position - 3)?.parse::<i32>().ok();
    Some(Entry {
        pid: stat[..before].trim().parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: id(4)?,
        session: id(6)?,
        started: number(22)?,
        resident_pages: number(24)?,
        ticks: number(14)? + number(15)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let line = "42 (a) S 1 (b)) S 7 8 9 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 12345 4096 77 18446744073709551615 0\n";
        let entry = parse(line).unwrap();
        assert_eq!((entry.pid, entry.parent, entry.session), (42, 7, 9));
        assert_eq!((entry.started, entry.resident_pages), (12345, 77));
        assert_eq!(entry.ticks, 3);
    }

    #[test]
    fn this_process_is_found_and_has_memory() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let this = entry(pid).unwrap();
        assert_eq!(this.started, entry(pid).unwrap().started);
        let resident = resident_bytes(&[this]);
        assert!(resident > 0);
        assert!(peak_of(pid) > resident / 2);
        assert_eq!(peak_of(i32::MAX), 0);
        assert!(entry(i32::MAX).is_none());
    }
}
