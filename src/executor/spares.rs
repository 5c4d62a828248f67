//! Environments that runs have of their own: one that its run has left as it was is the next one's.
//!
//! Each stays where it was made, as `NAME`, for its scripts name their Python. Beside it is a note of what
//! its files were then: `NAME.spare` while nobody uses it, `NAME.used` while somebody does, who holds a
//! shared lock on it.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    environment::MARKER,
    io_error, notice, private_dir,
    seal::{self, CHANGED, MANIFEST},
};
use api::{Error, Result};

/// Spares of one environment, at most.
const MOST: usize = 16;
/// Spares of all.
const MOST_OF_ALL: usize = 64;
/// Those of an environment that nobody took or left in this time go.
const UNUSED: Duration = Duration::from_hours(1);
const SPARE: &str = "spare";
const USED: &str = "used";
/// How the name begins of what is being removed.
const GONE: &str = ".gone-";

/// Below a state directory: spares of all workers.
pub fn folder(home: &Path) -> PathBuf {
    home.join("cache/environments")
}

/// An environment of somebody's own. Nobody removes it while this, or a clone, lives; with the last of
/// them it goes, unless it was kept or another process holds its note.
#[derive(Debug, Clone)]
pub struct Own(Arc<Used>);

#[derive(Debug)]
struct Used {
    path: PathBuf,
    lock: File,
    kept: AtomicBool,
}

impl Own {
    fn new(path: PathBuf, lock: File) -> Self {
        let kept = AtomicBool::new(false);
        Self(Arc::new(Used { path, lock, kept }))
    }

    /// That of a process which was started by another worker; none when it is gone.
    pub fn find(path: &Path) -> Option<Self> {
        let lock = File::open(path.with_extension(USED)).ok()?;
        lock.lock_shared().ok()?;
        path.exists().then(|| Self::new(path.to_owned(), lock))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What other processes hold a shared lock on, too, to keep it after this.
    pub fn note(&self) -> PathBuf {
        self.path().with_extension(USED)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) && self.lock.try_lock().is_ok() {
            remove(&self.path);
        }
    }
}

/// Takes a spare of the environment at `from`, if there is one whose files, which are those of `from`, are
/// as they were.
pub(super) fn take(spares: &Path, from: &Path) -> Option<Own> {
    if from.join(CHANGED).exists() {
        return None;
    }
    for path in spares_in(&of(spares, from)) {
        let note = path.with_extension(USED);
        // Somebody else may take or remove it at this moment.
        if fs::rename(path.with_extension(SPARE), &note).is_err() {
            continue;
        }
        let lock = File::open(&note)
            .ok()
            .filter(|lock| lock.try_lock_shared().is_ok());
        let Some(lock) = lock.filter(|_| path.exists()) else {
            continue;
        };
        // Else the environment was built anew since, or somebody has written over a shared file.
        let same = is_same(&from.join(MANIFEST), &path.join(MANIFEST));
        let as_noted = || notice::is_quiet(&path, &note) || seal::is_as_noted(&path, &note);
        if same && path.join("bin/python").exists() && as_noted() {
            return Some(Own::new(path, lock));
        }
        remove(&path);
    }
    None
}

/// Makes an environment at a place that nobody has; `fill` makes its folder.
pub(super) fn make(
    spares: &Path,
    from: &Path,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<Own> {
    let (path, lock) = place_in(&of(spares, from))?;
    let own = Own::new(path, lock);
    fill(own.path()).and_then(|()| seal::note(own.path(), &own.note()))?;
    // Else somebody has written over a shared file meanwhile, and that is what was noted.
    if from.join(MANIFEST).exists()
        && let Some(changed) = seal::changed(from)
    {
        let changed = from.join(changed);
        return Err(Error::conflict(format!(
            "`{}` was changed while the run's environment was being made of it",
            changed.display()
        )));
    }
    Ok(own)
}

/// A place for an environment, and the lock on its note.
fn place_in(folder: &Path) -> Result<(PathBuf, File)> {
    loop {
        private_dir(folder)?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        // The first line of a script has room for a short path only.
        let path = folder.join(&name[..8]);
        let note = path.with_extension(USED);
        let failed = |e: std::io::Error| io_error("make", &note, &e);
        let lock = match File::create_new(&note) {
            // Who forgets what nobody uses has taken the folder for empty.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            made => made.map_err(failed)?,
        };
        lock.lock_shared().map_err(failed)?;
        // And the note for one that nobody holds.
        if note.exists() {
            return Ok((path, lock));
        }
    }
}

/// Keeps an environment that its user does not need any more, unless something came or went in it.
pub fn keep(own: &Own) {
    let Used { path, lock, kept } = &*own.0;
    let Some(folder) = path.parent() else {
        return;
    };
    // Its supervisor may still be there, and so may what it started.
    if lock.try_lock().is_err() {
        return;
    }
    kept.store(true, Ordering::Relaxed);
    // Who takes it is to get the lock.
    let _ = lock.unlock();
    let few = spares_in(folder).count() < MOST;
    let as_noted = || notice::was_quiet(path) || seal::folders_are_as_noted(path, &own.note());
    if !few || !as_noted() {
        remove(path);
    } else if fs::rename(own.note(), path.with_extension(SPARE)).is_err() {
        return;
    }
    make_room(folder);
}

/// Removes the spares of other environments that were unused for long, and of the longest unused ones
/// as many as are too many.
fn make_room(but: &Path) {
    let all = but.parent().map(entries).unwrap_or_default();
    let others = all.into_iter().filter(|other| other != but);
    let mut others: Vec<_> = others
        .filter_map(|other| {
            let used = fs::metadata(&other).and_then(|metadata| metadata.modified());
            Some((used.ok()?, spares_in(&other).count(), other))
        })
        .collect();
    others.sort();
    let mut all: usize = others.iter().map(|(_, count, _)| count).sum();
    all += spares_in(but).count();
    for (used, count, other) in others {
        let unused = used.elapsed().is_ok_and(|age| age > UNUSED);
        if unused || all > MOST_OF_ALL {
            forget(&other);
            all -= count;
        }
    }
}

/// Removes what nobody uses of all that is below a folder.
pub fn forget(spares: &Path) {
    for below in entries(spares) {
        let has_note = |kind: &str| below.with_extension(kind).exists();
        if is_gone(&below) {
            let _ = fs::remove_dir_all(&below);
        } else if is_note(&below) {
            // Locked until it is gone, or it could be taken meanwhile.
            if let Ok(note) = File::open(&below)
                && note.try_lock().is_ok()
            {
                remove(&below.with_extension(""));
            }
        } else if below.join(MARKER).exists() {
            if !has_note(SPARE) && !has_note(USED) {
                remove(&below);
            }
        } else if below.is_dir() && !has_note(USED) {
            // The environments of one worker, or those made of one.
            forget(&below);
        }
    }
    let _ = fs::remove_dir(spares);
}

/// So that nobody takes what is half removed.
fn remove(path: &Path) {
    notice::forget(path);
    let name = uuid::Uuid::new_v4().simple();
    let gone = path.with_file_name(format!("{GONE}{name}"));
    let renamed = fs::rename(path, &gone);
    for kind in [SPARE, USED] {
        let _ = fs::remove_file(path.with_extension(kind));
    }
    if renamed.is_ok() {
        let _ = fs::remove_dir_all(gone);
    }
}

fn is_gone(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(GONE)
}

fn is_note(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind == SPARE || kind == USED)
}

fn of(spares: &Path, from: &Path) -> PathBuf {
    spares.join(from.file_name().unwrap_or_default())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The environments in a folder that nobody uses.
fn spares_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let notes = entries(folder).into_iter();
    let notes = notes.filter(|path| path.extension().is_some_and(|kind| kind == SPARE));
    notes.map(|note| note.with_extension(""))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path| fs::metadata(path).map(|metadata| metadata.ino());
    matches!((inode(one), inode(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::own, *};

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            let scene = Self(tempfile::tempdir().unwrap());
            let from = scene.at("environments/abc");
            fs::create_dir_all(from.join("bin")).unwrap();
            fs::create_dir_all(from.join("lib")).unwrap();
            fs::write(from.join("lib/a.py"), "a").unwrap();
            fs::write(from.join("bin/python"), "").unwrap();
            let script = format!("#!{}/bin/python\n", from.display());
            fs::write(from.join("bin/tool"), script).unwrap();
            seal::seal(&from).unwrap();
            fs::write(from.join(MARKER), "3.11").unwrap();
            scene
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        /// The environment of a run.
        fn own(&self) -> Own {
            let (from, spares) = (self.at("environments/abc"), self.at("spares"));
            take(&spares, &from).unwrap_or_else(|| own::make(&from, &spares).unwrap())
        }

        fn spares(&self) -> usize {
            spares_in(&self.at("spares/abc")).count()
        }
    }

    #[test]
    fn what_a_run_left_as_it_was_is_the_next_ones() {
        let scene = Scene::new();
        let first = scene.own();
        let script = fs::read_to_string(first.path().join("bin/tool")).unwrap();
        assert_eq!(script, format!("#!{}/bin/python\n", first.path().display()));
        let second = scene.own();
        assert_ne!(first.path(), second.path(), "it is in use");
        keep(&first);
        assert_eq!(scene.spares(), 1);
        let third = scene.own();
        assert_eq!((third.path(), scene.spares()), (first.path(), 0));
        let module = "lib/a.py";
        let shared = scene.at("environments/abc").join(module);
        assert!(is_same(&third.path().join(module), &shared));
        keep(&third);
        drop((first, third));
        forget(&scene.at("spares"));
        assert_eq!(scene.spares(), 0);
        assert!(second.path().join(module).exists(), "it is in use");
        drop(second);
        forget(&scene.at("spares"));
        assert!(!scene.at("spares").exists());
    }

    #[test]
    fn what_was_changed_is_nobody_elses() {
        let scene = Scene::new();
        let kept = |change: &dyn Fn(&Path)| {
            let own = scene.own();
            change(own.path());
            keep(&own);
            scene.spares()
        };
        assert_eq!(
            kept(&|own| fs::write(own.join("lib/b.py"), "b").unwrap()),
            0
        );
        assert_eq!(
            kept(&|own| fs::remove_file(own.join("lib/a.py")).unwrap()),
            0
        );
        assert_eq!(kept(&|own| fs::write(own.join("new"), "b").unwrap()), 0);
        // What was written over is found by who would have it next.
        let write_over = |own: &Path, path: &str| {
            let path = own.join(path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(path, "changed").unwrap();
        };
        for path in ["bin/tool", "lib/a.py"] {
            assert_eq!(kept(&|own| write_over(own, path)), 1, "{path}");
            let (from, spares) = (scene.at("environments/abc"), scene.at("spares"));
            assert!(take(&spares, &from).is_none(), "{path}");
            assert_eq!(scene.spares(), 0);
        }
    }

    #[test]
    fn what_was_made_of_one_that_was_built_anew_is_not_taken() {
        let scene = Scene::new();
        keep(&scene.own());
        let from = scene.at("environments/abc");
        fs::remove_file(from.join(MANIFEST)).unwrap();
        seal::seal(&from).unwrap();
        assert!(take(&scene.at("spares"), &from).is_none());
        assert_eq!(scene.spares(), 0);
        keep(&scene.own());
        seal::condemn(&from).unwrap();
        assert!(take(&scene.at("spares"), &from).is_none());
    }

    #[test]
    fn the_longest_unused_make_room() {
        let scene = Scene::new();
        for (name, age) in [("a", 3), ("b", 4), ("c", 2), ("d", 1)] {
            let folder = scene.at("spares").join(name);
            for number in 0..MOST {
                let spare = folder.join(number.to_string());
                fs::create_dir_all(&spare).unwrap();
                fs::write(spare.with_extension(SPARE), "").unwrap();
            }
            let now = fs::metadata(&folder).unwrap().modified().unwrap();
            let used = now - Duration::from_mins(age);
            File::open(folder).unwrap().set_modified(used).unwrap();
        }
        keep(&scene.own());
        let left = entries(&scene.at("spares"));
        assert_eq!(left.len(), 4, "{left:?}");
        assert!(!scene.at("spares/b").exists());
    }
}
