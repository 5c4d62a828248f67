//! Folders of runs that have ended, emptied for the next ones: that costs less than to remove them and
//! make them anew, which each run would do with some ten folders and files. A file system without a
//! journal also passes over, one by one, what was removed in the last minutes when something is made: the
//! little that most runs leave is put aside, and removed when nothing runs.

use std::{
    fs::{self, DirEntry, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::{begun::BEGUN, outputs, private_dir};
use api::Result;
use client::inputs::remove_all;
use executor::supervisor;

/// Where they are, among the folders of workspaces, none of which has such a name.
pub const SPARE: &str = ".spare";
/// Those that are kept, at most.
const MOST: usize = 8;
/// Where in that folder is what was put aside.
const ASIDE: &str = "aside";
/// What is put aside at once, at most: files and folders, and their bytes.
const MOST_ASIDE: (u64, u64) = (8192, 64 << 20);
/// The same of one file or folder.
const SMALL: (u64, u64) = (16, 64 << 10);
/// Folders of a run's folder.
pub const CODE: &str = "code";
const INPUTS: &str = "inputs";
const PLACES: &str = "named";

/// The emptied folders of one worker.
#[derive(Debug, Default)]
pub struct Folders {
    free: Mutex<Vec<PathBuf>>,
    /// Emptied folders of outputs.
    places: Mutex<Vec<PathBuf>>,
    number: AtomicU64,
    aside: Mutex<Aside>,
}

/// How much was put aside.
#[derive(Debug, Default)]
struct Aside {
    since: Option<Instant>,
    /// Files and folders, and their bytes.
    size: (u64, u64),
}

impl Folders {
    fn aside(&self) -> MutexGuard<'_, Aside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self, work: &Path, kind: &str) -> PathBuf {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        work.join(SPARE).join(format!("{number}{kind}"))
    }

    /// Makes the folder of a run with those in it that each has.
    pub fn make(&self, folder: &Path) -> Result<()> {
        let spare = self.free().pop();
        if let Some(spare) = spare
            && renamed(&spare, folder).is_err()
        {
            let _ = remove_all(&spare);
        }
        let mut own = [CODE, INPUTS, PLACES].into_iter();
        own.try_for_each(|own| private_dir(&folder.join(own)))
    }

    /// Removes the folder of a run that is over, below the `work` of its worker.
    pub fn leave(&self, folder: &Path, work: &Path) {
        let spare = self.spare(work, "");
        let full = self.free().len() >= MOST;
        let moved = !full && renamed(folder, &spare).is_ok();
        if !moved {
            let _ = remove_all(folder);
        } else if self.empty(&spare, work).is_ok() {
            self.free().push(spare);
        } else {
            let _ = remove_all(&spare);
        }
    }

    /// Makes the folder of an output.
    pub fn place(&self, folder: &Path) -> Result<()> {
        let spare = self.places().pop();
        match spare {
            Some(spare) if fs::rename(&spare, folder).is_ok() => Ok(()),
            Some(spare) => {
                let _ = remove_all(&spare);
                private_dir(folder)
            }
            None => private_dir(folder),
        }
    }

    /// Leaves of a run's folder only what the next run's begins with. An error where that is another
    /// thing than it was.
    fn empty(&self, folder: &Path, work: &Path) -> io::Result<()> {
        each(folder, |name, entry| match name {
            CODE if is_own(entry)? => each(&entry.path(), |name, entry| {
                if outputs::FOLDERS.contains(&name) && is_own(entry)? {
                    return each(&entry.path(), |_, entry| self.put_aside(entry, work));
                }
                self.put_aside(entry, work)
            }),
            PLACES if is_own(entry)? => each(&entry.path(), |_, entry| self.keep(entry, work)),
            INPUTS if is_own(entry)? => each(&entry.path(), |_, entry| self.put_aside(entry, work)),
            name => match supervisor::SPARE_FILES.iter().find(|(was, _)| *was == name) {
                Some((_, spare)) => clear(entry, &folder.join(spare)),
                None if name == BEGUN => clear(entry, &folder.join(BEGUN)),
                None => self.put_aside(entry, work),
            },
        })
    }

    /// Keeps the folder of an output, without what is in it.
    fn keep(&self, entry: &DirEntry, work: &Path) -> io::Result<()> {
        // A container may have given it to another account.
        let found = entry.metadata()?;
        let ours = found.uid() == fs::metadata(work)?.uid();
        if self.places().len() >= MOST || !ours || !is_as_made(&found) {
            return remove(entry);
        }
        each(&entry.path(), |_, entry| self.put_aside(entry, work))?;
        let spare = self.spare(work, ".place");
        fs::rename(entry.path(), &spare)?;
        self.places().push(spare);
        Ok(())
    }

    /// Takes something out of a folder: puts it aside when it is little, else removes it.
    fn put_aside(&self, entry: &DirEntry, work: &Path) -> io::Result<()> {
        let found = entry.metadata()?;
        let mut left = SMALL;
        if !take_from(&mut left, &entry.path(), &found) {
            return remove(entry);
        }
        let (count, bytes) = (SMALL.0 - left.0, SMALL.1 - left.1);
        let (before, bytes_before) = self.aside().size;
        if before + count > MOST_ASIDE.0 || bytes_before + bytes > MOST_ASIDE.1 {
            self.clear(work);
        }
        self.aside().add(count, bytes);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let to = work.join(SPARE).join(ASIDE).join(number.to_string());
        // What may not be written in cannot be moved, for its `..` changes.
        if found.is_dir() && found.mode() & 0o200 == 0 {
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(0o700));
        }
        renamed(&entry.path(), &to).or_else(|_| remove(entry))
    }

    /// When the first of what is aside was put there.
    pub fn aside_since(&self) -> Option<Instant> {
        self.aside().since
    }

    /// Removes what was put aside.
    pub fn clear(&self, work: &Path) {
        if let Some(gone) = self.take_aside(work) {
            let _ = remove_all(&gone);
        }
    }

    /// The folder of what was put aside, for the caller to remove. What is put aside from now on has
    /// another one.
    pub fn take_aside(&self, work: &Path) -> Option<PathBuf> {
        *self.aside() = Aside::default();
        let gone = self.spare(work, ".aside");
        fs::rename(work.join(SPARE).join(ASIDE), &gone).ok()?;
        Some(gone)
    }

    /// Removes all of them.
    pub fn forget(&self, work: &Path) {
        self.free().clear();
        self.places().clear();
        *self.aside() = Aside::default();
        let _ = remove_all(&work.join(SPARE));
    }
}

impl Aside {
    fn add(&mut self, count: u64, bytes: u64) {
        self.since.get_or_insert_with(Instant::now);
        self.size = (self.size.0 + count, self.size.1 + bytes);
    }
}

/// Moves something to a place in a folder that is made if it is not there.
fn renamed(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let _ = private_dir(to.parent().unwrap_or(to));
            fs::rename(from, to)
        }
        moved => moved,
    }
}

/// Takes what a file, or all that is in a folder, needs of so many files and folders and bytes; whether it
/// is no more.
fn take_from(left: &mut (u64, u64), path: &Path, found: &Metadata) -> bool {
    let bytes = if found.is_dir() { 0 } else { found.len() };
    let rest = left.0.checked_sub(1).zip(left.1.checked_sub(bytes));
    let Some(rest) = rest else {
        return false;
    };
    *left = rest;
    if !found.is_dir() {
        return true;
    }
    let Ok(entries) = fs::read_dir(path) else {
        return false;
    };
    entries.into_iter().all(|entry| {
        let found = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
        found.is_ok_and(|(path, found)| take_from(left, &path, &found))
    })
}

fn each(folder: &Path, mut act: impl FnMut(&str, &DirEntry) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        act(&entry.file_name().to_string_lossy(), &entry)?;
    }
    Ok(())
}

/// Whether it is a folder as it was made.
fn is_own(entry: &DirEntry) -> io::Result<bool> {
    entry.metadata().map(|found| is_as_made(&found))
}

fn is_as_made(found: &Metadata) -> bool {
    found.is_dir() && found.mode() & 0o7777 == 0o700
}

fn remove(entry: &DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() {
        remove_all(&entry.path())
    } else {
        fs::remove_file(entry.path())
    }
}

/// Keeps a file, without what is in it, under the name by which the next run looks for it.
fn clear(entry: &DirEntry, spare: &Path) -> io::Result<()> {
    let found = entry.metadata()?;
    if !found.is_file() || found.nlink() != 1 {
        return remove(entry);
    }
    let file: File = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(entry.path())?;
    if found.len() > 0 {
        file.set_len(0)?;
    }
    if entry.path() != spare {
        fs::rename(entry.path(), spare)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn nothing_of_a_run_is_in_the_folder_of_the_next() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("work");
        let folders = Folders::default();
        let first = work.join("ws/a");
        folders.make(&first).unwrap();
        let below = |path: &str| first.join(path);
        for folder in [
            "code/outputs/x",
            "code/logs",
            "code/pkg",
            "named/o",
            "inputs/i",
        ] {
            private_dir(&below(folder)).unwrap();
        }
        let files = [
            "log",
            "exit.json",
            "supervisor.json",
            "supervisor.lock",
            "begun.json",
            "environment.log",
            "code/a.py",
            "code/pkg/b.py",
            "code/outputs/x/c",
            "code/.hidden",
            "named/o/d",
            "inputs/i/e",
        ];
        for file in files {
            fs::write(below(file), "secret").unwrap();
        }
        let kept = root.path().join("kept");
        fs::write(&kept, "kept").unwrap();
        symlink(&kept, below("code/logs/link")).unwrap();
        folders.leave(&first, &work);
        assert!(!first.exists());
        let second = work.join("other/b");
        folders.make(&second).unwrap();
        let mut left = Vec::new();
        let mut folders_left = vec![second.clone()];
        while let Some(folder) = folders_left.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path().strip_prefix(&second).unwrap().to_owned();
                left.push((path.display().to_string(), entry.metadata().unwrap()));
                if entry.file_type().unwrap().is_dir() {
                    folders_left.push(entry.path());
                }
            }
        }
        left.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "begun.json",
            "code",
            "code/logs",
            "code/outputs",
            "exit.reserved",
            "inputs",
            "log.spare",
            "named",
            "supervisor.lock",
            "supervisor.spare",
        ];
        assert_eq!(names, expected);
        assert!(
            left.iter()
                .all(|(_, found)| found.is_dir() || found.len() == 0)
        );
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        let spare = work.join(SPARE);
        assert!(folders.aside_since().is_some() && spare.join(ASIDE).exists());
        folders.clear(&work);
        assert!(folders.aside_since().is_none() && !spare.join(ASIDE).exists());
        assert_eq!(
            fs::read_to_string(kept).unwrap(),
            "kept",
            "not what a link names"
        );
        let place = second.join("named/p");
        folders.place(&place).unwrap();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        let mode = fs::metadata(&place).unwrap().mode();
        assert_eq!((mode & 0o7777, folders.places().len()), (0o700, 0));
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&place, open).unwrap();
        folders.leave(&second, &work);
        assert!(folders.places().is_empty(), "it is not as it was made");
        folders.forget(&work);
        assert!(!work.join(SPARE).exists());
    }

    #[test]
    fn little_is_put_aside_and_much_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let (work, folder) = (root.path().join("work"), root.path().join("work/ws/a"));
        let folders = Folders::default();
        folders.make(&folder).unwrap();
        let inputs = folder.join(INPUTS);
        for input in ["read-only", "many", "long"] {
            private_dir(&inputs.join(input)).unwrap();
        }
        fs::write(inputs.join("read-only/a"), "a").unwrap();
        let closed = fs::Permissions::from_mode(0o555);
        fs::set_permissions(inputs.join("read-only"), closed).unwrap();
        for number in 0..SMALL.0 {
            fs::write(inputs.join(format!("many/{number}")), "").unwrap();
        }
        let long = File::create(inputs.join("long/a")).unwrap();
        long.set_len(SMALL.1 + 1).unwrap();
        folders.leave(&folder, &work);
        let aside = fs::read_dir(work.join(SPARE).join(ASIDE)).unwrap();
        let aside: Vec<PathBuf> = aside.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(aside.len(), 1);
        assert!(aside[0].join("a").exists());
        assert_eq!(folders.aside().size, (2, 1));
        folders.make(&folder).unwrap();
        assert_eq!(fs::read_dir(&inputs).unwrap().count(), 0);
    }

    #[test]
    fn what_a_run_has_made_of_its_folders_stays_with_it() {
        let root = tempfile::tempdir().unwrap();
        let (work, elsewhere) = (root.path().join("work"), root.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("a"), "a").unwrap();
        let folders = Folders::default();
        let folder = work.join("ws/a");
        folders.make(&folder).unwrap();
        symlink(&elsewhere, folder.join("code/outputs")).unwrap();
        private_dir(&folder.join("code/logs")).unwrap();
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.join("code/logs"), open).unwrap();
        // Another name of a file that is not the run's alone.
        fs::hard_link(elsewhere.join("a"), folder.join("log")).unwrap();
        folders.leave(&folder, &work);
        folders.make(&folder).unwrap();
        let left = fs::read_dir(folder.join("code")).unwrap().count();
        assert_eq!(left, 0);
        assert!(!folder.join("log.spare").exists());
        assert_eq!(fs::read_to_string(elsewhere.join("a")).unwrap(), "a");
    }
}
