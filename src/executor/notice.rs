//! Hears of what is done to the files of environments: one that was looked over, and in which nothing
//! was done since, need not be looked over again.
//!
//! The kernel tells of each file by itself, under whatever name it is written to. Of one that is used a
//! second time; to listen costs as much as to look.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent},
        stat::lstat,
    },
};

use super::{environment::MARKER, seal};

/// Environments that are listened to, at most.
const MOST: usize = 16;
/// Files and folders of one, at most: the kernel keeps something of each.
const ENTRIES: usize = 20_000;

/// What is known of the environments that this process has used, by their folders.
static KNOWN: Mutex<Option<HashMap<PathBuf, Known>>> = Mutex::new(None);

enum Known {
    Used,
    Heard(Inotify),
    /// Something was done to it, or it cannot be listened to.
    Loud,
}

fn with<T>(act: impl FnOnce(&mut HashMap<PathBuf, Known>) -> T) -> T {
    let mut known: MutexGuard<'_, _> = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    act(known.get_or_insert_default())
}

/// Whether nothing was done to an environment since it was looked over last. If that is not known, it is
/// to be looked over after this.
pub(super) fn is_quiet(folder: &Path, note: &Path) -> bool {
    with(|known| {
        let heard = known.values().filter(|one| matches!(one, Known::Heard(_)));
        let full = heard.count() >= MOST;
        match known.get_mut(folder) {
            None => {
                known.insert(folder.to_owned(), Known::Used);
                false
            }
            Some(one @ Known::Used) => {
                *one = match listen(folder, note).filter(|_| !full) {
                    Some(inotify) => Known::Heard(inotify),
                    None => Known::Loud,
                };
                false
            }
            Some(one) => one.is_quiet(),
        }
    })
}

/// The same, of one of which nobody needs to know more.
pub(super) fn was_quiet(folder: &Path) -> bool {
    with(|known| known.get_mut(folder).is_some_and(Known::is_quiet))
}

/// It goes.
pub(super) fn forget(folder: &Path) {
    with(|known| known.remove(folder));
}

impl Known {
    fn is_quiet(&mut self) -> bool {
        let quiet = match self {
            Known::Heard(inotify) => has_nothing_to_say(inotify),
            Known::Used | Known::Loud => return false,
        };
        if !quiet {
            *self = Known::Loud;
        }
        quiet
    }
}

/// Whether nothing but that it is used was heard.
fn has_nothing_to_say(inotify: &Inotify) -> bool {
    loop {
        match inotify.read_events() {
            Ok(events) => {
                let used = |event: &InotifyEvent| event.name.as_deref() == Some(MARKER.as_ref());
                if !events.iter().all(used) {
                    return false;
                }
            }
            Err(e) => return e == Errno::EAGAIN,
        }
    }
}

fn listen(folder: &Path, note: &Path) -> Option<Inotify> {
    let entries = seal::noted(note).filter(|entries| entries.len() <= ENTRIES)?;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let written = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE;
    let of_folder = AddWatchFlags::IN_ONLYDIR
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_MOVE_SELF;
    for entry in entries {
        let path = folder.join(OsStr::from_bytes(&entry));
        let flags = if entry.ends_with(b"/") {
            of_folder
        } else {
            let found = lstat(&path).ok()?;
            match found.st_mode & nix::libc::S_IFMT {
                nix::libc::S_IFREG if found.st_nlink == 1 => written | AddWatchFlags::IN_ATTRIB,
                // Others link to it, which is an attribute.
                nix::libc::S_IFREG => written,
                // Another link in its place is a change of its folder.
                _ => continue,
            }
        };
        inotify
            .add_watch(&path, flags | AddWatchFlags::IN_DONT_FOLLOW)
            .ok()?;
    }
    Some(inotify)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_is_heard_under_any_name_and_what_is_read_is_not() {
        let root = tempfile::tempdir().unwrap();
        let below = |path: &str| root.path().join(path);
        let (folder, note) = (below("own"), below("note"));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/a.py"), "a").unwrap();
        fs::hard_link(folder.join("lib/a.py"), below("shared.py")).unwrap();
        fs::write(folder.join("lib/own.py"), "a").unwrap();
        let quiet_after = |act: &dyn Fn()| {
            seal::note(&folder, &note).unwrap();
            forget(&folder);
            assert!(!is_quiet(&folder, &note), "it is new");
            assert!(!is_quiet(&folder, &note), "it is not listened to yet");
            assert!(is_quiet(&folder, &note) && was_quiet(&folder));
            act();
            let quiet = was_quiet(&folder);
            assert_eq!(is_quiet(&folder, &note), quiet, "for good");
            quiet
        };
        assert!(quiet_after(&|| {
            fs::read(folder.join("lib/a.py")).unwrap();
            fs::hard_link(folder.join("lib/a.py"), below("again.py")).unwrap();
        }));
        let acts: [(&str, &dyn Fn()); 6] = [
            ("written", &|| {
                fs::write(folder.join("lib/a.py"), "b").unwrap();
            }),
            ("written elsewhere", &|| {
                fs::write(below("shared.py"), "c").unwrap();
            }),
            ("added", &|| {
                fs::write(folder.join("lib/new.py"), "").unwrap();
            }),
            ("made", &|| fs::create_dir(folder.join("lib/x")).unwrap()),
            ("removed", &|| {
                fs::remove_file(folder.join("lib/new.py")).unwrap();
            }),
            ("renamed", &|| {
                fs::rename(folder.join("lib/x"), folder.join("y")).unwrap();
            }),
        ];
        for (what, act) in acts {
            assert!(!quiet_after(act), "{what}");
        }
        forget(&folder);
        assert!(!was_quiet(&folder));
    }
}
