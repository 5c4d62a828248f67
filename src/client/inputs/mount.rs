//! Files laid out once, read-only, for all who read them.
//!
//! A layout is named by its content. Nobody can be kept from changing it who has the same user, so it
//! is looked over before each use and made anew, in a folder of its own, when it was changed: who reads
//! the old one goes on. Whoever reads one holds a shared lock on its [`HELD`] for as long.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    At, Bring, Located,
    fetch::{blocking, copy, key},
    mounts::Way,
};
use crate::{
    Client,
    files::{Fetched, stats_of},
};
use api::{Code, Error, Result, files::Hash};

/// How long what nobody uses is kept.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// How exactly it is known when a layout was used last.
const NOTED: Duration = Duration::from_hours(1);
/// Locked by whoever makes or removes a layout.
const TURN: &str = "lock";
/// Locked by whoever reads a layout.
const HELD: &str = "held";
const SEAL: &str = "seal.json";

/// Keeps mounted files from being removed while it, or a clone, lives.
#[derive(Debug, Clone)]
pub struct Hold {
    /// What another process locks too, to hold them after this one.
    pub file: PathBuf,
    _lock: Arc<File>,
}

impl Client {
    /// Makes located files readable on this machine, without a copy for each who reads them where that
    /// can be. Nobody may write to what this answers, and it stays while the answered hold does. What
    /// may be another thing tomorrow is fetched into `own`.
    pub async fn mount(
        &self,
        located: &Located,
        own: &Path,
        bring: Bring<'_>,
    ) -> Result<(Fetched, Option<Hold>)> {
        let mounted = bring.mounts.zip(located.here());
        match mounted.map(|(mounts, path)| mounts.way(path)) {
            Some(Way::Mounted(fetched, hold)) => return Ok((fetched, Some(hold))),
            Some(Way::Copy) => return self.copied(located, own).await.map(|copy| (copy, None)),
            Some(Way::LayOut) | None => {}
        }
        let name = match &located.at {
            At::Tree { hash, path, .. } => Ok(key(&["tree", &hash.hex(), path])),
            At::Here(path) => {
                if !path.exists() {
                    return Err(Error::not_found(format!("Nothing is at `{}`", located.uri)));
                }
                Err(path.clone())
            }
            At::Artifacts { .. } | At::Datastore { .. } | At::Url(_) | At::Git { .. } => {
                let fetched = self.fetch(located, own, bring.report).await?;
                return Ok((fetched, None));
            }
        };
        let cache = bring.cache.to_owned();
        let look = move || {
            let mut source = None;
            let name = match name {
                Ok(name) => name,
                Err(path) => {
                    let (digest, _) = stats_of(&path)?;
                    source = Some(digest);
                    key(&["here", &path.to_string_lossy(), &digest.hex()])
                }
            };
            let layout = Layout::turn(&cache.join(&name))?;
            Ok((layout.ready(), layout, source))
        };
        let (ready, layout, source) = blocking(look).await?;
        let keep = |fetched: &Fetched, hold: &Hold| {
            if let (Some((mounts, path)), Some(source)) = (mounted, source) {
                mounts.keep(path, source, fetched, hold);
            }
        };
        if let Some((fetched, hold)) = ready {
            keep(&fetched, &hold);
            return Ok((fetched, Some(hold)));
        }
        let files = layout.begin()?;
        let fetched = self.fetch(located, &files, bring.report).await;
        let fetched = fetched.map_err(|error| match error.code {
            Code::Full | Code::Unavailable if matches!(located.at, At::Here(_)) => {
                error.hint("With mode: direct the files are read where they are, without a copy")
            }
            _ => error,
        })?;
        let (fetched, hold) = blocking(move || layout.seal(fetched)).await?;
        keep(&fetched, &hold);
        Ok((fetched, Some(hold)))
    }

    /// A copy of little in a folder of its own, which looks as a layout does. It is sooner made than
    /// another thread is woken for it.
    async fn copied(&self, located: &Located, own: &Path) -> Result<Fetched> {
        let fetched = match &located.at {
            At::Here(path) => copy(path, own)?,
            _ => self.fetch(located, own, None).await?,
        };
        set_modes(own, 0o555, 0o444)?;
        Ok(fetched)
    }
}

/// Removes what was laid out and has not been used for a while, and what was never finished.
pub fn forget_unused(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(layout) = Layout::try_turn(&entry.path()) else {
            continue;
        };
        let sealed = fs::metadata(entry.path().join(SEAL));
        let used = sealed.and_then(|seal| seal.modified());
        let age = used.ok().and_then(|used| used.elapsed().ok());
        let current = layout
            .read_seal()
            .filter(|_| age.is_some_and(|age| age <= KEPT));
        if layout.clear(current.as_ref().map(|seal| seal.of.as_str())) {
            let _ = fs::remove_dir_all(&layout.folder);
        }
    }
}

/// A layout while nobody else makes or removes it: `<name>/<number>/files` for each time it was made,
/// and beside them what was seen of the last.
struct Layout {
    folder: PathBuf,
    _turn: File,
}

/// What is remembered of a layout.
#[derive(serde::Serialize, serde::Deserialize)]
struct Seal {
    /// Name of the folder whose files these are.
    of: String,
    digest: Hash,
    /// The file, relative to the layout's files; empty for a folder.
    file: String,
    files: u64,
    bytes: u64,
}

impl Layout {
    /// Waits until nobody else makes this layout.
    fn turn(folder: &Path) -> Result<Self> {
        loop {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder);
            made.map_err(|e| failed("make", folder, &e))?;
            let path = folder.join(TURN);
            let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
            match lock {
                Ok(lock) if is_at(&lock, &path) => {
                    return Ok(Self {
                        folder: folder.to_owned(),
                        _turn: lock,
                    });
                }
                // It was removed while this waited.
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("lock", &path, &e)),
            }
        }
    }

    /// The same, when nobody is making it.
    fn try_turn(folder: &Path) -> Option<Self> {
        let path = folder.join(TURN);
        let lock = File::create(&path).ok()?;
        lock.try_lock().ok()?;
        is_at(&lock, &path).then(|| Self {
            folder: folder.to_owned(),
            _turn: lock,
        })
    }

    fn read_seal(&self) -> Option<Seal> {
        let text = fs::read(self.folder.join(SEAL)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What is laid out, when nobody has touched it since.
    fn ready(&self) -> Option<(Fetched, Hold)> {
        let seal = self.read_seal()?;
        let files = self.folder.join(&seal.of).join("files");
        let looked = stats_of(&files);
        if !looked.is_ok_and(|(digest, _)| digest == seal.digest) {
            return None;
        }
        let hold = self.hold(&seal.of).ok()?;
        // Written again, so that it has the time of its last use: by that it is collected.
        let path = self.folder.join(SEAL);
        let noted = fs::metadata(&path).and_then(|noted| noted.modified());
        let noted = noted.ok().and_then(|noted| noted.elapsed().ok());
        if noted.is_none_or(|age| age > NOTED)
            && let Ok(text) = serde_json::to_vec(&seal)
        {
            let _ = fs::write(&path, &text);
        }
        let fetched = Fetched {
            path: files.join(&seal.file),
            is_file: !seal.file.is_empty(),
            files: seal.files,
            bytes: seal.bytes,
        };
        Some((fetched, hold))
    }

    fn hold(&self, number: &str) -> Result<Hold> {
        let file = self.folder.join(number).join(HELD);
        let lock = File::create(&file).and_then(|lock| lock.lock_shared().map(|()| lock));
        let lock = lock.map_err(|e| failed("lock", &file, &e))?;
        Ok(Hold {
            file,
            _lock: Arc::new(lock),
        })
    }

    /// Makes room for new files: a folder for them, without those that nobody reads any more.
    fn begin(&self) -> Result<PathBuf> {
        let _ = fs::remove_file(self.folder.join(SEAL));
        self.clear(None);
        let last = self.numbers().filter_map(|name| name.parse::<u64>().ok());
        let number = last.max().map_or(1, |last| last + 1);
        let files = self.folder.join(number.to_string()).join("files");
        fs::create_dir_all(&files).map_err(|e| failed("make", &files, &e))?;
        Ok(files)
    }

    fn numbers(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders.filter_map(|entry| entry.file_name().into_string().ok())
    }

    /// Removes what was made here and nobody reads, but for the one to keep; answers whether that was
    /// all.
    fn clear(&self, keep: Option<&str>) -> bool {
        let mut all = keep.is_none();
        for number in self.numbers() {
            let folder = self.folder.join(&number);
            let held = File::open(folder.join(HELD));
            let read = held.as_ref().is_ok_and(|held| held.try_lock().is_err());
            if read || keep == Some(number.as_str()) {
                all = false;
                continue;
            }
            all &= remove_all(&folder).is_ok();
        }
        all
    }

    /// Takes away the right to write, and remembers what the files look like now.
    fn seal(&self, fetched: Fetched) -> Result<(Fetched, Hold)> {
        let of = |path: &Path| {
            let inside = path.strip_prefix(&self.folder).ok()?;
            Some(inside.iter().next()?.to_string_lossy().into_owned())
        };
        let of = of(&fetched.path).unwrap_or_default();
        let files = self.folder.join(&of).join("files");
        set_modes(&files, 0o555, 0o444)?;
        let (digest, bytes) = stats_of(&files)?;
        let file = fetched.path.strip_prefix(&files).unwrap_or(Path::new(""));
        let hold = self.hold(&of)?;
        let seal = Seal {
            of,
            digest,
            file: if fetched.is_file {
                file.to_string_lossy().into_owned()
            } else {
                String::new()
            },
            files: fetched.files,
            bytes,
        };
        let text = serde_json::to_vec(&seal).map_err(|e| Error::internal(e.to_string()))?;
        let target = self.folder.join(SEAL);
        fs::write(&target, text).map_err(|e| failed("write", &target, &e))?;
        Ok((fetched, hold))
    }
}

/// Whether an open file is still the one of this path.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |at: fs::Metadata| file.metadata().is_ok_and(|held| held.ino() == at.ino());
    fs::metadata(path).is_ok_and(same)
}

/// Sets the modes of a folder, its folders and files; what may be executed stays so.
fn set_modes(path: &Path, folder: u32, file: u32) -> Result<()> {
    let metadata = fs::symlink_metadata(path).map_err(|e| failed("read", path, &e))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(|e| failed("read", path, &e))? {
            let entry = entry.map_err(|e| failed("read", path, &e))?;
            set_modes(&entry.path(), folder, file)?;
        }
        folder
    } else {
        file | (metadata.permissions().mode() & 0o111)
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|e| failed("change", path, &e))
}

/// Removes a folder, also one with folders that nobody may write to, such as copies of mounted ones.
pub fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(folder);
            fs::remove_dir_all(folder)
        }
        done => done,
    }
}

/// So that a folder without the right to write can be removed.
fn make_writable(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            make_writable(&entry.path());
        }
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("Cannot {verb} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay_out(cache: &Path, text: &str) -> (Fetched, Hold) {
        let layout = Layout::turn(&cache.join("name")).unwrap();
        if let Some(ready) = layout.ready() {
            return ready;
        }
        let path = layout.begin().unwrap().join("a.csv");
        fs::write(&path, text).unwrap();
        let fetched = Fetched {
            path,
            is_file: true,
            files: 1,
            bytes: text.len() as u64,
        };
        layout.seal(fetched).unwrap()
    }

    #[test]
    fn a_copy_of_read_only_folders_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("work");
        fs::create_dir_all(root.join("model/data")).unwrap();
        fs::write(root.join("model/data/MLmodel"), "x").unwrap();
        set_modes(&root.join("model"), 0o555, 0o444).unwrap();
        remove_all(&root).unwrap();
        assert!(!root.exists());
        let again = remove_all(&root).map_err(|e| e.kind());
        assert_eq!(again, Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn who_reads_goes_on_when_a_layout_is_made_anew_and_nothing_stays_behind() {
        let cache = tempfile::tempdir().unwrap();
        let (first, reader) = lay_out(cache.path(), "one");
        assert_eq!(lay_out(cache.path(), "other").0, first, "it is shared");
        make_writable(first.path.parent().unwrap());
        fs::remove_file(&first.path).unwrap();
        fs::write(&first.path, "changed").unwrap();
        let (second, _) = lay_out(cache.path(), "two");
        assert_eq!(fs::read_to_string(&second.path).unwrap(), "two");
        assert!(first.path.exists(), "someone reads it");
        drop(reader);
        let (again, hold) = lay_out(cache.path(), "three");
        assert_eq!(again, second);
        forget_unused(cache.path());
        assert!(second.path.exists() && !first.path.exists());
        drop(hold);
        let seal = cache.path().join("name").join(SEAL);
        fs::remove_file(seal).unwrap();
        forget_unused(cache.path());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "unfinished");
    }
}
