//! How much of the machine processes use, as the kernel tells it.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use executor::process_table::{self, Entry};

/// What was known of some processes when they were looked at last.
#[derive(Debug, Default)]
pub struct Usage {
    /// Pid and start, which name a process for ever → ticks of a processor that it has used.
    ticks: HashMap<(i32, u64), u64>,
    /// The processes that were asked for.
    roots: Vec<u32>,
    looked: Option<Instant>,
}

/// What processes use.
#[derive(Debug, Default)]
pub struct Used {
    /// Microseconds since the last look; none at the first.
    pub watched: u64,
    /// Microseconds of a processor that were used in this time.
    pub cpu: u64,
    /// Bytes in memory now.
    pub memory: u64,
}

impl Usage {
    /// What these processes and all below them use. What a process that has ended used after the last
    /// look is not known, nor what was used before the first one: of a process that was not asked for
    /// then, that is what it took to come up.
    pub fn look(&mut self, roots: &[u32]) -> Used {
        let now = Instant::now();
        let before = self.looked.replace(now);
        let known = std::mem::replace(&mut self.roots, roots.to_vec());
        let mut family = Vec::new();
        let mut ticks = HashMap::new();
        let mut used = 0;
        for root in roots {
            for entry in descendants(*root) {
                let key = (entry.pid, entry.started);
                let until = match self.ticks.get(&key) {
                    Some(ticks) => *ticks,
                    // It has begun since.
                    None if known.contains(root) => 0,
                    None => entry.ticks,
                };
                used += entry.ticks.saturating_sub(until);
                ticks.insert(key, entry.ticks);
                family.push(entry);
            }
        }
        self.ticks = ticks;
        let watched = before.map_or(Duration::ZERO, |before| now - before);
        Used {
            watched: u64::try_from(watched.as_micros()).unwrap_or(u64::MAX),
            cpu: used * 1_000_000 / process_table::ticks_per_second(),
            memory: process_table::resident_bytes(&family),
        }
    }
}

/// A process and all that descend from it.
fn descendants(root: u32) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        let Some(entry) = i32::try_from(pid).ok().and_then(process_table::entry) else {
            continue;
        };
        found.push(entry);
        // Each thread may have children of its own.
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            left.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::Usage;

    #[test]
    fn what_children_use_is_used() {
        // Computes until its stdin closes.
        let mut shell = Command::new("sh")
            .args(["-c", "(while :; do :; done) & read line; kill $!"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut usage = Usage::default();
        let first = usage.look(&[shell.id()]);
        let begun = Instant::now();
        let (mut used, mut watched, mut memory) = (0, 0, 0);
        while used < 50_000 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
            let now = usage.look(&[shell.id()]);
            used += now.cpu;
            watched += now.watched;
            memory = now.memory;
        }
        drop(shell.stdin.take());
        shell.wait().expect("it ends");
        assert_eq!((first.watched, first.cpu), (0, 0));
        assert!(used >= 50_000, "{used}");
        // A tick is known late.
        assert!(used <= watched + 50_000, "{used} in {watched}");
        assert!(memory > 0);
        let after = usage.look(&[shell.id()]);
        assert_eq!((after.cpu, after.memory), (0, 0));
        // What another one took until it was asked for is not counted.
        assert_eq!(usage.look(&[std::process::id()]).cpu, 0);
    }
}
