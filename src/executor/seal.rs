//! Whether the files of a shared Python environment are still those that were built.
//!
//! Runs have hard links to them. What is replaced under one name stays whole under the others; what is
//! written over in place is changed for all. So the files are made read-only, and because neither
//! their owner nor root has to heed that, their sizes and times are written down and looked at again
//! each time the environment is used.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
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

/// Of what nobody else has a link to, the time that no program can set back.
fn own_stamp(metadata: &fs::Metadata) -> Stamp {
    if metadata.is_dir() || metadata.nlink() == 1 {
        let (size, ..) = stamp(metadata);
        (size, metadata.ctime(), metadata.ctime_nsec())
    } else {
        stamp(metadata)
    }
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

/// Writes down what is in a folder now: folders, whose paths end with `/`, and all else.
pub(super) fn note(folder: &Path, to: &Path) -> Result<()> {
    let mut entries = Vec::new();
    note_below(folder, "./", &mut entries)?;
    let text = serde_json::to_vec(&entries).map_err(|e| Error::internal(e.to_string()))?;
    fs::write(to, text).map_err(|e| io_error("write", to, &e))
}

fn note_below(root: &Path, below: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let folder = root.join(below);
    let failed = |e: io::Error| io_error("read", &folder, &e);
    for found in fs::read_dir(&folder).map_err(failed)? {
        let found = found.map_err(failed)?;
        let metadata = found.metadata().map_err(failed)?;
        let path = format!("{below}{}", found.file_name().to_string_lossy());
        if metadata.is_dir() {
            note_below(root, &format!("{path}/"), entries)?;
        } else if found.file_name() != MARKER {
            // The time of that says when it was used.
            entries.push(Entry(path, own_stamp(&metadata)));
        }
    }
    let metadata = fs::symlink_metadata(&folder).map_err(failed)?;
    entries.push(Entry(below.to_owned(), own_stamp(&metadata)));
    Ok(())
}

/// Whether everything in a folder is as it was noted, and nothing came or went.
pub(super) fn is_as_noted(folder: &Path, note: &Path) -> bool {
    agrees(folder, note, |_| true)
}

/// Whether nothing came or went in a folder or those below.
pub(super) fn folders_are_as_noted(folder: &Path, note: &Path) -> bool {
    agrees(folder, note, |path| path.ends_with('/'))
}

fn agrees(folder: &Path, note: &Path, asked: impl Fn(&str) -> bool) -> bool {
    let Some(entries) = read(note) else {
        return false;
    };
    let mut entries = entries.iter().filter(|Entry(path, _)| asked(path));
    entries.all(|Entry(path, was)| {
        fs::symlink_metadata(folder.join(path)).is_ok_and(|now| own_stamp(&now) == *was)
    })
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
