//! Which environments are in use, and freeing those that are not.
//!
//! Whoever starts processes in an environment holds a shared lock on its marker for as long as they
//! live; the time of the marker says when it was last made ready.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use nix::sys::{stat::futimens, time::TimeSpec};

use super::{
    compiled,
    environment::{MARKER, REQUESTS, UNMET, environments},
    io_error, spares,
};
use api::{Result, Time, environments::FreedEnvironments};

/// Files that are removed at once.
const AT_ONCE: usize = 8;

/// Keeps an environment from being freed while it, or a clone, lives.
#[derive(Debug, Clone)]
pub struct Held {
    _marker: Arc<File>,
}

/// Holds a whole environment and notes that it is used now; none when there is none, or no more.
pub fn hold(folder: &Path) -> Option<Held> {
    let path = folder.join(MARKER);
    let marker = File::open(&path).ok()?;
    marker.try_lock_shared().ok()?;
    // It may have been freed and made again before the lock was taken.
    let same = |now: fs::Metadata| marker.metadata().is_ok_and(|held| held.ino() == now.ino());
    if !fs::metadata(&path).is_ok_and(same) {
        return None;
    }
    let now = TimeSpec::UTIME_NOW;
    // Only for how long it has been unused.
    let _ = futimens(marker.as_fd(), &now, &now);
    Some(Held {
        _marker: Arc::new(marker),
    })
}

/// Frees, or with `dry_run` counts, the environments of a state directory that nothing holds, that
/// were not made ready since `cutoff`, and that are not among those `kept` by name.
#[expect(clippy::implicit_hasher, reason = "it is handed on as a pointer")]
pub fn free(
    home: &Path,
    kept: &HashSet<String>,
    cutoff: Time,
    dry_run: bool,
) -> Result<FreedEnvironments> {
    let root = environments(home);
    let mut freed = FreedEnvironments::default();
    let mut links = Links::default();
    let spares = spares::folder(home);
    // They are links to the same files.
    links.freed_with(&spares);
    if !dry_run {
        spares::forget(&spares);
    }
    for (name, folder) in folders(&root)? {
        if name == REQUESTS || kept.contains(&name) {
            continue;
        }
        let Some(unused) = Unused::claim(&folder, cutoff)? else {
            continue;
        };
        freed.environments += 1;
        freed.bytes += links.freed_with(&folder);
        if !dry_run {
            remove(unused.folder)?;
        }
    }
    if !dry_run {
        forget_requests(&root);
    }
    Ok(freed)
}

/// Removes an environment unless somebody holds it; whether it is gone. Whoever calls this is the only
/// one that may build it.
pub fn remove_unheld(folder: &Path) -> Result<bool> {
    let marker = marker_of(folder)?;
    if marker.as_ref().is_some_and(is_held) {
        return Ok(false);
    }
    remove(folder)?;
    Ok(true)
}

/// The marker of an environment; none when it is not whole. What cannot be opened may be held.
fn marker_of(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(MARKER);
    match File::open(&path) {
        Ok(marker) => Ok(Some(marker)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("open", &path, &e)),
    }
}

/// Takes the marker's lock unless somebody holds it.
fn is_held(marker: &File) -> bool {
    marker.try_lock().is_err()
}

/// The marker goes first: what is half removed is no environment.
fn remove(folder: &Path) -> Result<()> {
    let marker = folder.join(MARKER);
    match fs::remove_file(&marker) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &marker, &e));
        }
        _ => {}
    }
    match remove_folder(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", folder, &e)),
        _ => Ok(()),
    }
}

/// Removes a folder, several files at once: a disk that is told of what is freed takes its time for each.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)?.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let found = if is_folder { &mut folders } else { &mut files };
            found.push(entry.path());
        }
    }
    let share = files.len().div_ceil(AT_ONCE).max(1);
    thread::scope(|scope| {
        for some in files.chunks(share) {
            // What cannot be removed is told of below.
            scope.spawn(|| some.iter().for_each(|file| drop(fs::remove_file(file))));
        }
    });
    fs::remove_dir_all(folder)
}

fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("read", root, &e)),
    };
    let folders = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    Ok(folders.collect())
}

/// An environment that nobody builds or holds, and that nobody can while this lives.
struct Unused<'a> {
    folder: &'a Path,
    _build: File,
    _marker: Option<File>,
}

impl<'a> Unused<'a> {
    /// None when it is being built, held, or was used since `cutoff`.
    fn claim(folder: &'a Path, cutoff: Time) -> Result<Option<Self>> {
        let lock = folder.with_extension("lock");
        let build = File::create(&lock).map_err(|e| io_error("open", &lock, &e))?;
        if build.try_lock().is_err() {
            return Ok(None);
        }
        // Without a marker it is what a build that was killed has left.
        let marker = marker_of(folder)?;
        let times = marker
            .as_ref()
            .map_or_else(|| fs::metadata(folder), File::metadata);
        let used = times.map_or(0, |times| {
            times.mtime() * 1000 + times.mtime_nsec() / 1_000_000
        });
        if used > cutoff.0 || marker.as_ref().is_some_and(is_held) {
            return Ok(None);
        }
        Ok(Some(Self {
            folder,
            _build: build,
            _marker: marker,
        }))
    }
}

/// Runs have links to the files of environments, and older environments to an installer's cache; the
/// space of a file is freed with its last name.
#[derive(Default)]
struct Links(HashMap<(u64, u64), u64>);

impl Links {
    /// Bytes of disk that go with the folder and those that were asked about before.
    fn freed_with(&mut self, folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut bytes = 0;
        for entry in entries {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                bytes += self.freed_with(&entry.path());
                continue;
            }
            let seen = self.0.entry((meta.dev(), meta.ino())).or_default();
            *seen += 1;
            if *seen == meta.nlink() {
                bytes += meta.blocks() * 512;
            }
        }
        bytes
    }
}

/// Removes what was noted of requests whose environment is gone.
fn forget_requests(root: &Path) {
    let requests = fs::read_dir(root.join(REQUESTS)).into_iter().flatten();
    for request in requests.flatten() {
        let path = request.path();
        // What is noted beside a request goes with it.
        if path.extension().is_some() {
            continue;
        }
        let gone = |key: String| {
            let folder = compiled::or(root.join(key.trim()));
            !folder.join(MARKER).exists()
        };
        if fs::read_to_string(&path).is_ok_and(gone) {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(path.with_extension(UNMET));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn environment(&self, name: &str, whole: bool) -> PathBuf {
            let folder = self.0.path().join("environments").join(name);
            fs::create_dir_all(folder.join("lib")).unwrap();
            fs::write(folder.join("lib/a"), vec![1; 10_000]).unwrap();
            if whole {
                fs::write(folder.join(MARKER), "3.11").unwrap();
            }
            folder
        }

        fn free(&self, kept: &[&str], cutoff: i64, dry_run: bool) -> u64 {
            let kept = kept.iter().map(|name| (*name).to_owned()).collect();
            let freed = free(self.0.path(), &kept, Time(cutoff), dry_run).unwrap();
            assert!(freed.environments == 0 || freed.bytes >= 10_000 * freed.environments);
            freed.environments
        }

        /// Frees so many, and never more. A process that another test is starting has a lock that was
        /// let go, too, until its program begins.
        fn frees(&self, kept: &[&str], count: u64) {
            let mut freed = 0;
            for _ in 0..400 {
                freed += self.free(kept, i64::MAX, false);
                if freed >= count {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(freed, count);
        }
    }

    #[test]
    fn what_is_held_kept_or_lately_used_stays() {
        let scene = Scene(tempfile::tempdir().unwrap());
        assert_eq!(scene.free(&[], i64::MAX, false), 0, "there is none yet");
        let (held, kept) = (
            scene.environment("held", true),
            scene.environment("kept", true),
        );
        let (unused, half) = (
            scene.environment("unused", true),
            scene.environment("half", false),
        );
        let requests = scene.0.path().join("environments").join(REQUESTS);
        fs::create_dir(&requests).unwrap();
        fs::write(requests.join("one"), "unused").unwrap();
        fs::write(requests.join("two"), "held").unwrap();
        for beside in ["one.python", "two.python", "two.lock"] {
            fs::write(requests.join(beside), "").unwrap();
        }
        let hold_it = hold(&held).unwrap();
        assert_eq!(scene.free(&["kept"], 0, false), 0, "all were used lately");
        assert_eq!(scene.free(&["kept"], i64::MAX, true), 2);
        assert!(unused.exists() && half.exists(), "a dry run frees nothing");
        assert_eq!(scene.free(&["kept"], i64::MAX, false), 2);
        assert!(!unused.exists() && !half.exists() && held.exists() && kept.exists());
        assert!(!requests.join("one").exists() && requests.join("two").exists());
        assert!(!requests.join("one.python").exists());
        assert!(requests.join("two.python").exists() && requests.join("two.lock").exists());
        assert!(hold(&unused).is_none());
        drop(hold_it);
        scene.frees(&[], 2);
    }

    #[test]
    fn only_what_is_known_to_be_unheld_is_removed() {
        let scene = Scene(tempfile::tempdir().unwrap());
        let (held, half) = (
            scene.environment("held", true),
            scene.environment("half", false),
        );
        let hold_it = hold(&held).unwrap();
        assert!(!remove_unheld(&held).unwrap() && held.exists());
        drop(hold_it);
        assert!(remove_unheld(&held).unwrap() && !held.exists());
        assert!(remove_unheld(&held).unwrap(), "there is none any more");
        assert!(remove_unheld(&half).unwrap() && !half.exists());
        let unknown = scene.environment("unknown", false);
        // Cannot be opened, whoever asks.
        std::os::unix::fs::symlink(MARKER, unknown.join(MARKER)).unwrap();
        assert!(remove_unheld(&unknown).is_err() && unknown.exists());
    }

    #[test]
    fn one_that_is_being_built_stays() {
        let scene = Scene(tempfile::tempdir().unwrap());
        let folder = scene.environment("half", false);
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.try_lock().unwrap();
        assert_eq!(scene.free(&[], i64::MAX, false), 0);
        drop(lock);
        assert_eq!(scene.free(&[], i64::MAX, false), 1);
    }

    #[test]
    fn files_that_have_names_elsewhere_free_nothing() {
        let scene = Scene(tempfile::tempdir().unwrap());
        let folder = scene.environment("linked", true);
        let cache = scene.0.path().join("cache");
        fs::hard_link(folder.join("lib/a"), &cache).unwrap();
        let freed = free(scene.0.path(), &HashSet::new(), Time(i64::MAX), false).unwrap();
        assert!(freed.bytes < 10_000, "{freed:?}");
        assert!(cache.exists());
    }
}
