//! The registries of workspaces for images: a folder each, in the layout of OCI images, or with the
//! archives that docker saves.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use api::{
    Error, Result,
    work::{Imaged, Kept},
};

/// The folder with those of all workspaces.
const FOLDER: &str = "registry";
/// Held by who writes there.
const LOCK: &str = ".lock";
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long unused images wait for one that is being written before they stay.
const PATIENCE: Duration = Duration::from_secs(5);
const INDEX: &str = "index.json";
/// What the layout calls an image by.
const NAME: &str = "org.opencontainers.image.ref.name";
const ARCHIVE: &str = "tar";

/// Where the registries are; there when an image was ever made.
pub fn root(home: &Path) -> PathBuf {
    home.join(FOLDER)
}

pub fn make(home: &Path) -> Result<()> {
    let root = root(home);
    fs::create_dir_all(&root).map_err(|e| cannot("make", &root, &e))
}

/// Where the images of a workspace are.
pub fn folder(home: &Path, workspace: &str) -> PathBuf {
    root(home).join(api::names::plain(workspace))
}

/// Waits until nobody else writes to a registry, and makes it when it is not there. None when whoever
/// does takes longer than `patience`.
pub fn alone(folder: &Path, patience: Duration) -> Result<Option<File>> {
    let failed = |e: io::Error| cannot("write", folder, &e);
    let path = folder.join(LOCK);
    let begun = Instant::now();
    loop {
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = match File::create(&path) {
            // Somebody has removed the registry meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            made => made.map_err(failed)?,
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if begun.elapsed() > patience => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(LOOK_AGAIN);
                continue;
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let inode = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let there = fs::metadata(&path).ok().map(inode);
        if there == Some(inode(lock.metadata().map_err(failed)?)) {
            return Ok(Some(lock));
        }
        // Who had it before has removed it with the registry.
    }
}

/// Whether a registry has an image.
pub fn has(folder: &Path, name: &str) -> bool {
    let index = read(&folder.join(INDEX)).unwrap_or_default();
    entries(&index).any(|entry| entry["annotations"][NAME] == name)
        || folder.join(format!("{name}.{ARCHIVE}")).is_file()
}

/// Removes, or with `dry_run` counts, the images that are not `kept`: how many, and their bytes.
pub fn free(home: &Path, kept: &Kept<'_>, dry_run: bool) -> Result<(u64, u64)> {
    let mut freed = (0, 0);
    for entry in fs::read_dir(root(home)).into_iter().flatten().flatten() {
        let folder = entry.path();
        if !folder.is_dir() {
            continue;
        }
        let Some(lock) = alone(&folder, PATIENCE)? else {
            // What is written there now is in use; the rest can go another time.
            continue;
        };
        // Asked when nothing comes any more: who has put an image here is among them, or is gone.
        let mut kept: Vec<Imaged> = kept()?.into_values().collect();
        kept.retain(|image| self::folder(home, &image.workspace) == folder);
        let is_kept = |name: &str| kept.iter().any(|image| image.is_of(name));
        let (images, bytes) = free_layout(&folder, &is_kept, dry_run)?;
        let (archives, more) = free_archives(&folder, &is_kept, dry_run)?;
        freed = (freed.0 + images + archives, freed.1 + bytes + more);
        if kept.is_empty() && !dry_run {
            match fs::remove_dir_all(&folder) {
                // Somebody who waits has begun a new one.
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed.map_err(|e| cannot("remove", &folder, &e))?,
            }
        }
        drop(lock);
    }
    Ok(freed)
}

fn free_layout(folder: &Path, is_kept: &dyn Fn(&str) -> bool, dry_run: bool) -> Result<(u64, u64)> {
    let path = folder.join(INDEX);
    let Some(mut index) = read(&path) else {
        return Ok((0, 0));
    };
    let stays = |entry: &Value| entry["annotations"][NAME].as_str().is_none_or(is_kept);
    let (stay, go): (Vec<Value>, Vec<Value>) = entries(&index).cloned().partition(stays);
    if go.is_empty() {
        return Ok((0, 0));
    }
    let mut used = HashSet::new();
    for entry in &stay {
        reach(folder, entry, &mut used);
    }
    index["manifests"] = Value::Array(stay);
    if !dry_run {
        let new = path.with_extension("new");
        let written = fs::write(&new, index.to_string()).and_then(|()| fs::rename(&new, &path));
        written.map_err(|e| cannot("write", &path, &e))?;
    }
    let mut bytes = 0;
    let blobs = fs::read_dir(folder.join("blobs/sha256"));
    for blob in blobs.into_iter().flatten().flatten() {
        if !used.contains(blob.file_name().to_string_lossy().as_ref()) {
            bytes += remove(&blob.path(), dry_run)?;
        }
    }
    Ok((go.len() as u64, bytes))
}

fn free_archives(
    folder: &Path,
    is_kept: &dyn Fn(&str) -> bool,
    dry_run: bool,
) -> Result<(u64, u64)> {
    let mut freed = (0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|end| end == ARCHIVE) && !is_kept(&name) {
            freed.0 += 1;
            freed.1 += remove(&path, dry_run)?;
        }
    }
    Ok(freed)
}

/// Adds the blobs that an entry of an index or manifest leads to.
fn reach(folder: &Path, entry: &Value, used: &mut HashSet<String>) {
    let digest = entry["digest"]
        .as_str()
        .and_then(|d| d.strip_prefix("sha256:"));
    let Some(digest) = digest.filter(|digest| digest.bytes().all(|b| b.is_ascii_hexdigit())) else {
        return;
    };
    let lists = entry["mediaType"]
        .as_str()
        .is_some_and(|kind| kind.contains("manifest") || kind.contains("index"));
    if !used.insert(digest.to_owned()) || !lists {
        return;
    }
    let Some(manifest) = read(&folder.join("blobs/sha256").join(digest)) else {
        return;
    };
    let layers = manifest["layers"].as_array().into_iter().flatten();
    for below in entries(&manifest)
        .chain(layers)
        .chain([&manifest["config"]])
    {
        reach(folder, below, used);
    }
}

fn entries(index: &Value) -> impl Iterator<Item = &Value> {
    index["manifests"].as_array().into_iter().flatten()
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The bytes that go with a file.
fn remove(path: &Path, dry_run: bool) -> Result<u64> {
    let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
    if !dry_run {
        fs::remove_file(path).map_err(|e| cannot("remove", path, &e))?;
    }
    Ok(bytes)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("Cannot {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_removed_images_have_goes() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), "Churn");
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let blob = |name: &str, content: &str| {
            fs::write(blobs.join(name), content).unwrap();
            format!("sha256:{name}")
        };
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let image = |name: &str, manifest: &str, layer: &str| {
            let layers = [blob("aa", "shared"), blob(layer, "own")].map(|d| json!({"digest": d}));
            let config = json!({"digest": blob("cc", "config")});
            let digest = blob(
                manifest,
                &json!({"config": config, "layers": layers}).to_string(),
            );
            json!({"mediaType": kind, "digest": digest, "annotations": {NAME: name}})
        };
        let index = json!({"schemaVersion": 2, "manifests": [
            image("shop.blue-2", "b1", "b2"), image("shop.gone-1", "d1", "d2"),
        ]});
        fs::write(folder.join(INDEX), index.to_string()).unwrap();
        fs::write(folder.join("shop.gone-1.tar"), "archive").unwrap();
        let image = Imaged {
            workspace: "churn".to_owned(),
            endpoint: "Shop".to_owned(),
            deployment: "blue".to_owned(),
            generation: 2,
        };
        let kept = BTreeMap::from([(7, image)]);
        // It is said only when nobody can put an image there.
        let kept = || {
            let lock = File::open(folder.join(LOCK)).unwrap();
            assert!(lock.try_lock().is_err());
            Ok(kept.clone())
        };
        let counted = free(home.path(), &kept, true).unwrap();
        assert!(has(&folder, "shop.gone-1"));
        assert_eq!(free(home.path(), &kept, false).unwrap(), counted);
        assert_eq!(counted.0, 2);
        assert!(has(&folder, "shop.blue-2") && !has(&folder, "shop.gone-1"));
        let left = fs::read_dir(&blobs).unwrap();
        let left: HashSet<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["aa", "b1", "b2", "cc"].map(Into::into).into());
        // Whoever waits for a registry that is removed makes a new one.
        let long = Duration::from_mins(1);
        let lock = alone(&folder, long).unwrap().unwrap();
        // Not for ever, as who writes may hang.
        assert!(alone(&folder, Duration::ZERO).unwrap().is_none());
        let waits = thread::spawn({
            let folder = folder.clone();
            move || alone(&folder, long).map(|lock| lock.is_some() && folder.join(LOCK).exists())
        });
        // At once, as whoever waits makes its folder again meanwhile.
        fs::rename(&folder, home.path().join("removed")).unwrap();
        drop(lock);
        assert!(waits.join().unwrap().unwrap());
        free(home.path(), &|| Ok(BTreeMap::new()), false).unwrap();
        assert!(!folder.exists(), "no workspace has it any more");
    }
}
