//! Letting go, while nobody asks, of what a server holds in memory only because it was touched once.

use std::{
    fs,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::sys::mman::{MmapAdvise, madvise};
use tokio::time::sleep;

/// How long nobody has asked when a server rests.
const QUIET: Duration = Duration::from_secs(1);

/// Counts the requests that have begun.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<AtomicU64>);

impl Asked {
    pub(crate) fn once_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets go of the program's code whenever nobody has asked for a second, or two. The system maps code in
/// large pieces as it is touched, most of it by the start alone; what is needed again is mapped
/// again, from the memory that the system keeps the file in.
pub async fn rest_when_quiet(asked: Asked) {
    let mut rested = None;
    let mut before = asked.0.load(Ordering::Relaxed);
    loop {
        sleep(QUIET).await;
        let now = asked.0.load(Ordering::Relaxed);
        if now == before && rested != Some(now) {
            let_go_of_code();
            rested = Some(now);
        }
        before = now;
    }
}

/// Unmaps the pages of this program's code. Where the system does not tell of its mappings, nothing
/// is done.
#[expect(unsafe_code, reason = "no safe function tells the system so")]
fn let_go_of_code() {
    let here = let_go_of_code as *const () as usize;
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some((start, length)) = maps.lines().find_map(|line| code_around(line, here)) else {
        return;
    };
    if let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut(start)) {
        // SAFETY: these are pages of a file, mapped for reading and executing only, so that none differs
        // from the file: whoever touches one next finds what was there.
        let _ = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
    }
}

/// Where a line of `/proc/self/maps` begins and how long it is, if it is code of a file and has this
/// address.
fn code_around(line: &str, address: usize) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let code = rest.starts_with("r-xp ") && rest.contains('/');
    (code && (start..end).contains(&address)).then_some((start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In KiB.
    fn resident(here: usize) -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps
            .lines()
            .skip_while(|line| code_around(line, here).is_none());
        let held = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        held.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn code_is_let_go_of_and_runs_on() {
        let here = code_is_let_go_of_and_runs_on as *const () as usize;
        let before = resident(here);
        // Tests beside this one touch code meanwhile.
        let less = std::iter::repeat_with(|| {
            let_go_of_code();
            resident(here)
        })
        .take(1000)
        .any(|held| held < before);
        assert!(less, "{before} KiB stay");
    }

    #[test]
    fn only_the_code_of_a_file_is_meant() {
        let line = "1000-3000 r-xp 00000000 fe:00 1 /bin/aml";
        assert_eq!(code_around(line, 0x2000), Some((0x1000, 0x2000)));
        assert_eq!(code_around(line, 0x3000), None);
        assert_eq!(
            code_around("1000-3000 r--p 00000000 fe:00 1 /bin/aml", 0x2000),
            None
        );
        assert_eq!(
            code_around("1000-3000 r-xp 00000000 00:00 0 [vdso]", 0x2000),
            None
        );
    }
}
