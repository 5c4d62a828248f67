//! Whether the files of a shared Python environment are still those that were built.
//!
//! Runs have hard links to them. What is replaced under one name stays whole under the others; what is
//! written over in place is changed for all. So the files are made read-only, and because neither
//! their owner nor root has to heed that, their sizes and times are written down and looked at again
//! each time the environment is used.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt},
        },
    },
    path::Path,
};

use nix::{
    NixPath,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, lstat},
};
use serde::{Deserialize, Serialize};

use super::{
    environment::{INSTALLER_LOCK, MARKER},
    io_error, write_whole,
};
use api::{Error, Result};

/// The list of the files.
pub(super) const MANIFEST: &str = "aml-files";
/// Says that an environment was changed after it was built; it may still be in use.
pub const CHANGED: &str = "aml-changed";
/// Python checks these against their sources, and makes those that it misses.
const BYTECODE: &str = "__pycache__";

/// A file below an environment, or a folder, whose time tells that something came or went.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry(String, Stamp);

/// Size, and time in seconds and nanoseconds.
type Stamp = (u64, i64, i64);

fn stamp(metadata: &fs::Metadata) -> Stamp {
    // How large a folder is says nothing.
    let size = if metadata.is_dir() {
        0
    } else {
        metadata.size()
    };
    (size, metadata.mtime(), metadata.mtime_nsec())
}

/// Archives and images keep whole seconds only.
fn is_same(now: Stamp, was: Stamp) -> bool {
    now == was || (now.2 == 0 && (now.0, now.1) == (was.0, was.1))
}

/// Makes the files of a new environment read-only and writes down what they are.
pub fn seal(folder: &Path) -> Result<()> {
    let mut entries = Vec::new();
    seal_below(folder, "", &mut entries)?;
    let text = serde_json::to_vec(&entries).map_err(|e| Error::internal(e.to_string()))?;
    write_whole(&folder.join(MANIFEST), &text)
}

fn seal_below(root: &Path, below: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let folder = root.join(below);
    let failed = |e: &io::Error| io_error("read", &folder, e);
    for found in fs::read_dir(&folder).map_err(|e| failed(&e))? {
        let found = found.map_err(|e| failed(&e))?;
        let Ok(name) = found.file_name().into_string() else {
            continue;
        };
        // It has no content, and who installs must be able to lock it.
        if below.is_empty() && name == INSTALLER_LOCK {
            continue;
        }
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let metadata = found.metadata().map_err(|e| failed(&e))?;
        if metadata.is_dir() {
            seal_below(root, &path, entries)?;
            if name == BYTECODE {
                continue;
            }
        } else if metadata.is_file() {
            let mode = metadata.permissions().mode() & !0o222;
            fs::set_permissions(found.path(), fs::Permissions::from_mode(mode))
                .map_err(|e| io_error("protect", &found.path(), &e))?;
        }
        entries.push(Entry(path, stamp(&metadata)));
    }
    Ok(())
}

/// Something of a sealed environment that is not as it was built, by its path in it. A file that was
/// written over and then given its old size and time is not found.
pub fn changed(folder: &Path) -> Option<String> {
    if folder.join(CHANGED).exists() {
        return Some(CHANGED.to_owned());
    }
    let Some(entries) = read(&folder.join(MANIFEST)) else {
        return Some(MANIFEST.to_owned());
    };
    let same = |Entry(path, was): &Entry| {
        fs::symlink_metadata(folder.join(path)).is_ok_and(|now| is_same(stamp(&now), *was))
    };
    let other = entries.into_iter().find(|entry| !same(entry));
    other.map(|Entry(path, _)| path)
}

/// What was written down; none where that cannot be read any more.
fn read(list: &Path) -> Option<Vec<Entry>> {
    serde_json::from_slice(&fs::read(list).ok()?).ok()
}

/// Ends a note that is whole.
const END: &[u8] = b"end";

/// Writes down what is in a folder now: itself and each folder below, by a path that ends with `/`, and
/// after it what else is in it, by name. A note is read each time a run takes the environment, so it is
/// plain: `SIZE SECONDS NANOSECONDS PATH`, each ended by a zero.
pub(super) fn note(folder: &Path, to: &Path) -> Result<()> {
    let mut text = Vec::new();
    note_below(folder, b"./", &mut text).map_err(|e| io_error("read", folder, &e))?;
    text.extend_from_slice(END);
    fs::write(to, text).map_err(|e| io_error("write", to, &e))
}

fn note_below(root: &Path, below: &[u8], text: &mut Vec<u8>) -> io::Result<()> {
    let folder = root.join(OsStr::from_bytes(below));
    note_one(text, own_stamp(&lstat(&folder)?), below);
    let mut folders = Vec::new();
    for found in fs::read_dir(&folder)? {
        let found = found?;
        let name = found.file_name();
        if found.file_type()?.is_dir() {
            folders.push([below, name.as_bytes(), b"/"].concat());
        } else if name != MARKER {
            // The time of that says when it was used.
            note_one(text, own_stamp(&lstat(&found.path())?), name.as_bytes());
        }
    }
    let mut folders = folders.iter();
    folders.try_for_each(|folder| note_below(root, folder, text))
}

fn note_one(text: &mut Vec<u8>, (size, seconds, nanoseconds): Stamp, path: &[u8]) {
    text.extend_from_slice(format!("{size} {seconds} {nanoseconds} ").as_bytes());
    text.extend_from_slice(path);
    text.push(0);
}

/// Of what nobody else has a link to, the time that no program can set back. How large a folder is says
/// nothing.
fn own_stamp(found: &FileStat) -> Stamp {
    let folder = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
    let size = if folder { 0 } else { found.st_size };
    let size = u64::try_from(size).unwrap_or_default();
    if folder || found.st_nlink == 1 {
        (size, found.st_ctime, found.st_ctime_nsec)
    } else {
        (size, found.st_mtime, found.st_mtime_nsec)
    }
}

/// Whether everything in a folder is as it was noted, and nothing came or went.
pub(super) fn is_as_noted(folder: &Path, note: &Path) -> bool {
    agrees(folder, note, true)
}

/// Whether nothing came or went in a folder or those below.
pub(super) fn folders_are_as_noted(folder: &Path, note: &Path) -> bool {
    agrees(folder, note, false)
}

/// What a note is about, as paths in the folder; those of folders end with `/`.
pub(super) fn noted(note: &Path) -> Option<Vec<Vec<u8>>> {
    let text = fs::read(note).ok()?;
    let mut folder: &[u8] = b"";
    let mut paths = Vec::new();
    for record in text.strip_suffix(END)?.split_inclusive(|byte| *byte == 0) {
        let (_, path) = read_record(record)?;
        if path.ends_with(b"/") {
            folder = path;
            paths.push(path.to_vec());
        } else {
            paths.push([folder, path].concat());
        }
    }
    Some(paths)
}

fn agrees(folder: &Path, note: &Path, with_files: bool) -> bool {
    let text = fs::read(note).unwrap_or_default();
    let (Some(noted), Ok(root)) = (text.strip_suffix(END), open_folder(AT_FDCWD, folder)) else {
        return false;
    };
    let mut current = None;
    let mut records = noted.split_inclusive(|byte| *byte == 0);
    records.all(|record| {
        let Some((was, path)) = read_record(record) else {
            return false;
        };
        let now = match (&current, path.ends_with(b"/")) {
            (_, true) if with_files => {
                let opened = open_folder(root.as_fd(), path);
                let now = opened.as_ref().map_err(|e| *e).and_then(fstat);
                current = opened.ok();
                now
            }
            (_, true) => fstatat(&root, path, AtFlags::AT_SYMLINK_NOFOLLOW),
            // By its name in a folder that is open, not by a path from the root each time.
            (Some(folder), false) => fstatat(folder, path, AtFlags::AT_SYMLINK_NOFOLLOW),
            (None, false) => return !with_files,
        };
        now.is_ok_and(|now| own_stamp(&now) == was)
    })
}

fn open_folder(at: impl AsFd, path: &(impl NixPath + ?Sized)) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn read_record(record: &[u8]) -> Option<(Stamp, &[u8])> {
    let mut rest = record.strip_suffix(&[0])?;
    let mut number = || {
        let end = rest.iter().position(|byte| *byte == b' ')?;
        let (digits, after) = rest.split_at(end);
        rest = &after[1..];
        std::str::from_utf8(digits).ok()
    };
    let size = number()?.parse().ok()?;
    let seconds = number()?.parse().ok()?;
    let nanoseconds = number()?.parse().ok()?;
    Some(((size, seconds, nanoseconds), rest))
}

/// Notes that an environment was changed and must not be used by more than use it already.
pub fn condemn(folder: &Path) -> Result<()> {
    // Beside the marker, on which its users hold their locks.
    debug_assert!(folder.join(MARKER).exists());
    write_whole(&folder.join(CHANGED), b"")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn sealed() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let below = |path: &str| root.path().join(path);
        fs::create_dir_all(below("lib/site/__pycache__")).unwrap();
        fs::write(below("lib/site/a.py"), "a = 1").unwrap();
        fs::write(below("lib/site/__pycache__/a.pyc"), "code").unwrap();
        fs::write(below("pyvenv.cfg"), "home = /").unwrap();
        fs::write(below(INSTALLER_LOCK), "").unwrap();
        symlink("lib", below("lib64")).unwrap();
        seal(root.path()).unwrap();
        fs::write(below(MARKER), "3.11").unwrap();
        root
    }

    /// What is found when this was done to a sealed environment.
    fn found_after(change: impl Fn(&Path)) -> Option<String> {
        let root = sealed();
        change(root.path());
        changed(root.path())
    }

    #[test]
    fn what_was_written_over_added_or_removed_is_found() {
        let module = "lib/site/a.py";
        let write = |root: &Path, path: &str, text: &str| {
            let path = root.join(path);
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o644));
            fs::write(path, text).unwrap();
        };
        assert_eq!(found_after(|_| ()), None);
        let rewritten = found_after(|root| write(root, module, "a = 2"));
        assert_eq!(rewritten.as_deref(), Some(module));
        let bytecode = "lib/site/__pycache__/a.pyc";
        let rewritten = found_after(|root| write(root, bytecode, "evil"));
        assert_eq!(rewritten.as_deref(), Some(bytecode));
        let added = found_after(|root| write(root, "lib/site/b.py", ""));
        assert_eq!(added.as_deref(), Some("lib/site"));
        let removed = found_after(|root| fs::remove_file(root.join(module)).unwrap());
        assert!(removed.is_some());
        let condemned = found_after(|root| condemn(root).unwrap());
        assert_eq!(condemned.as_deref(), Some(CHANGED));
        assert!(found_after(|root| fs::remove_file(root.join(MANIFEST)).unwrap()).is_some());
    }

    #[test]
    fn a_copy_whose_times_are_whole_seconds_is_the_same() {
        assert!(is_same((4, 7, 0), (4, 7, 123)));
        assert!(!is_same((4, 7, 5), (4, 7, 123)) && !is_same((4, 8, 0), (4, 7, 123)));
    }

    #[test]
    fn links_and_new_bytecode_change_nothing_and_files_are_read_only() {
        let found = found_after(|root| {
            fs::hard_link(root.join("lib/site/a.py"), root.join("elsewhere")).unwrap();
            fs::write(root.join("lib/site/__pycache__/b.pyc"), "").unwrap();
            let mode = fs::metadata(root.join("lib/site/a.py")).unwrap().mode();
            assert_eq!(mode & 0o222, 0);
            let lock = root.join(INSTALLER_LOCK);
            assert_ne!(fs::metadata(&lock).unwrap().mode() & 0o200, 0);
            fs::write(lock, "locked").unwrap();
        });
        assert_eq!(found, None);
    }
}
