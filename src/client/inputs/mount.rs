//! Files laid out once, read-only, for all who read them.
//!
//! A layout is named by its content. Nobody can be kept from changing it who has the same user, so it
//! is looked over before each use and made anew when it was changed.

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    At, Bring, Located,
    fetch::{blocking, key},
};
use crate::{
    Client,
    files::{Fetched, stats_of},
};
use api::{Error, Result, files::Hash};

/// Files of this machine up to so many bytes are copied; what is larger is read where it is.
const COPIED: u64 = 2 << 30;
/// How long what nobody uses is kept.
const KEPT: Duration = Duration::from_hours(24 * 30);

impl Client {
    /// Makes located files readable on this machine, without a copy for each who reads them where that
    /// can be. Nobody may write to what this answers. What may be another thing tomorrow is fetched
    /// into `own`.
    pub async fn mount(&self, located: &Located, own: &Path, bring: Bring<'_>) -> Result<Fetched> {
        let name = match &located.at {
            At::Tree { hash, path, .. } => key(&["tree", &hash.hex(), path]),
            At::Here(path) => {
                if !path.exists() {
                    return Err(Error::not_found(format!("Nothing is at `{}`", located.uri)));
                }
                let looked = path.clone();
                let (digest, bytes) = blocking(move || stats_of(&looked)).await?;
                if bytes > COPIED {
                    return Ok(in_place(path, bytes));
                }
                key(&["here", &path.to_string_lossy(), &digest.hex()])
            }
            At::Artifacts { .. } | At::Datastore { .. } | At::Url(_) | At::Git { .. } => {
                return self.fetch(located, own, bring.report).await;
            }
        };
        let layout = Layout::new(bring.cache, &name)?;
        let _turn = layout.turn().await?;
        if let Some(fetched) = layout.ready().await? {
            return Ok(fetched);
        }
        layout.clear().await?;
        let fetched = self.fetch(located, &layout.files, bring.report).await?;
        layout.seal(fetched).await
    }
}

/// Removes what was laid out and has not been used for a while.
pub fn forget_unused(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let used = fs::metadata(entry.path().join("seal.json")).and_then(|seal| seal.modified());
        let age = used.ok().and_then(|used| used.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) {
            make_writable(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn in_place(path: &Path, bytes: u64) -> Fetched {
    Fetched {
        is_file: path.is_file(),
        path: path.to_owned(),
        files: 0,
        bytes,
    }
}

/// One layout: `<name>/files`, and beside it what was seen of them when they were made.
struct Layout {
    folder: PathBuf,
    files: PathBuf,
}

/// What is remembered of a layout.
#[derive(serde::Serialize, serde::Deserialize)]
struct Seal {
    digest: Hash,
    /// The file, relative to the layout's files; empty for a folder.
    file: String,
    files: u64,
    bytes: u64,
}

impl Layout {
    fn new(cache: &Path, name: &str) -> Result<Self> {
        let folder = cache.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|e| failed("make", &folder, &e))?;
        Ok(Self {
            files: folder.join("files"),
            folder,
        })
    }

    fn seal_file(&self) -> PathBuf {
        self.folder.join("seal.json")
    }

    /// Waits until nobody else makes this layout.
    async fn turn(&self) -> Result<File> {
        let path = self.folder.join("lock");
        blocking(move || {
            let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
            lock.map_err(|e| failed("lock", &path, &e))
        })
        .await
    }

    /// What is laid out, when nobody has touched it since.
    async fn ready(&self) -> Result<Option<Fetched>> {
        let Ok(text) = fs::read(self.seal_file()) else {
            return Ok(None);
        };
        let Ok(seal) = serde_json::from_slice::<Seal>(&text) else {
            return Ok(None);
        };
        let files = self.files.clone();
        let looked = blocking(move || stats_of(&files)).await;
        if !looked.is_ok_and(|(digest, _)| digest == seal.digest) {
            return Ok(None);
        }
        // Written again, so that it has the time of its last use: by that it is collected.
        let _ = fs::write(self.seal_file(), &text);
        Ok(Some(Fetched {
            path: self.files.join(&seal.file),
            is_file: !seal.file.is_empty(),
            files: seal.files,
            bytes: seal.bytes,
        }))
    }

    async fn clear(&self) -> Result<()> {
        let (files, seal) = (self.files.clone(), self.seal_file());
        blocking(move || {
            let _ = fs::remove_file(&seal);
            if !files.exists() {
                return Ok(());
            }
            make_writable(&files);
            fs::remove_dir_all(&files).map_err(|e| failed("remove", &files, &e))
        })
        .await
    }

    /// Takes away the right to write, and remembers what the files look like now.
    async fn seal(&self, fetched: Fetched) -> Result<Fetched> {
        let (files, target) = (self.files.clone(), self.seal_file());
        blocking(move || {
            set_modes(&files, 0o555, 0o444)?;
            let (digest, bytes) = stats_of(&files)?;
            let file = fetched.path.strip_prefix(&files).unwrap_or(Path::new(""));
            let seal = Seal {
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
            fs::write(&target, text).map_err(|e| failed("write", &target, &e))?;
            Ok(fetched)
        })
        .await
    }
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

/// So that a folder without the right to write can be removed.
fn make_writable(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            make_writable(&entry.path());
        }
    }
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("Cannot {verb} `{}`: {error}", path.display()))
}
