//! Files of a datastore in a folder of this machine.

use std::{
    fs::{self, File, Metadata},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{PlacedContent, PlacedFile, io_error};
use api::{Error, Result, Time, datastores::StoredFile};

/// The ending of a file that is being written.
const UNFINISHED: &str = ".aml-unfinished";

pub fn list(root: &Path, path: &str, limit: Option<u64>) -> Result<Vec<StoredFile>> {
    let Some(start) = inside(root, path)? else {
        return Ok(Vec::new());
    };
    let metadata = fs::metadata(&start).map_err(|e| io_error("read", &start, &e))?;
    if metadata.is_file() {
        return Ok(vec![stored(path.to_owned(), &metadata)]);
    }
    let mut files = Vec::new();
    below(&start, path, limit.unwrap_or(u64::MAX), &mut files)?;
    Ok(files)
}

/// Goes through a folder in the order of paths.
fn below(folder: &Path, path: &str, limit: u64, files: &mut Vec<StoredFile>) -> Result<()> {
    let failed = |e: std::io::Error| io_error("read", folder, &e);
    let mut entries: Vec<(String, fs::DirEntry)> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // What has a name that cannot travel is not shown.
        if let Ok(mut name) = entry.file_name().into_string()
            && !name.ends_with(UNFINISHED)
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                name.push('/');
            }
            entries.push((name, entry));
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, entry) in entries {
        if files.len() as u64 >= limit {
            return Ok(());
        }
        let below_path = if path.is_empty() {
            name.trim_end_matches('/').to_owned()
        } else {
            format!("{path}/{}", name.trim_end_matches('/'))
        };
        if name.ends_with('/') {
            below(&entry.path(), &below_path, limit, files)?;
        } else if let Ok(metadata) = fs::metadata(entry.path())
            && metadata.is_file()
        {
            files.push(stored(below_path, &metadata));
        }
    }
    Ok(())
}

fn stored(path: String, metadata: &Metadata) -> StoredFile {
    StoredFile {
        path,
        size: metadata.len(),
        modified_at: modified(metadata),
    }
}

fn modified(metadata: &Metadata) -> Time {
    Time(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000)
}

pub fn open(root: &Path, path: &str) -> Result<Option<PlacedFile>> {
    let Some(full) = inside(root, path)? else {
        return Ok(None);
    };
    let file = File::open(&full).map_err(|e| io_error("open", &full, &e))?;
    let metadata = file.metadata().map_err(|e| io_error("read", &full, &e))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(PlacedFile {
        size: metadata.len(),
        modified_at: modified(&metadata),
        content: PlacedContent::File(Arc::new(file), full),
    }))
}

/// The path of a file to write, in a folder that is made.
fn file_to_write(root: &Path, path: &str) -> Result<PathBuf> {
    let full = root.join(path);
    let folder = full.parent().unwrap_or(root);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| not_written("make", folder, &e))?;
    inside(root, path.rsplit_once('/').map_or("", |(folder, _)| folder))?;
    if full.is_dir() {
        return Err(Error::conflict(format!("`{path}` is a folder")).at("path"));
    }
    Ok(full)
}

pub fn append(root: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let full = file_to_write(root, path)?;
    let failed = |e: std::io::Error| not_written("write", &full, &e);
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).read(true).append(true).open(&full);
    let mut file = file.map_err(failed)?;
    let before = file.metadata().map_err(failed)?.len();
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1).map_err(failed)?;
    }
    // A line that was cut stays alone.
    let begin: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
    let written = file.write_all(&[begin, bytes].concat());
    if written.is_err() {
        let _ = file.set_len(before);
    }
    written.map_err(failed)
}

pub fn write(
    root: &Path,
    path: &str,
    chunks: impl Iterator<Item = Result<bytes::Bytes>>,
) -> Result<u64> {
    let full = file_to_write(root, path)?;
    let folder = full.parent().unwrap_or(root);
    let name = uuid::Uuid::new_v4().simple();
    let temporary = folder.join(format!(".{name}{UNFINISHED}"));
    let failed = |e: std::io::Error| not_written("write", &full, &e);
    let mut size = 0;
    let written = (|| {
        let mut file = File::create_new(&temporary).map_err(failed)?;
        for chunk in chunks {
            let chunk = chunk?;
            file.write_all(&chunk).map_err(failed)?;
            size += chunk.len() as u64;
        }
        file.sync_data().map_err(failed)?;
        fs::rename(&temporary, &full).map_err(failed)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| size)
}

/// Why a file cannot be written. What stays so, however often it is tried, is no passing trouble.
fn not_written(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem => {
            Error::invalid(format!("Cannot {verb} `{}`: {error}", path.display()))
                .hint("The datastore must be a folder that the server may write to")
        }
        _ => io_error(verb, path, error),
    }
}

pub fn remove(root: &Path, path: &str) -> Result<u64> {
    let count = list(root, path, None)?.len() as u64;
    let Some(full) = inside(root, path)? else {
        return Ok(0);
    };
    let removed = if full.is_dir() {
        fs::remove_dir_all(&full)
    } else {
        fs::remove_file(&full)
    };
    removed.map_err(|e| io_error("remove", &full, &e))?;
    Ok(count)
}

/// The real path of what is there; none when nothing is. A link that leads out of the folder is an
/// error: who may use the datastore may not read the whole machine.
fn inside(root: &Path, path: &str) -> Result<Option<PathBuf>> {
    let top = match fs::canonicalize(root) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        top => top.map_err(|e| io_error("read", root, &e))?,
    };
    let full = match fs::canonicalize(root.join(path)) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        full => full.map_err(|e| io_error("read", &root.join(path), &e))?,
    };
    if full.starts_with(&top) {
        return Ok(Some(full));
    }
    Err(Error::denied(format!(
        "`{path}` is a link that leads out of the datastore"
    ))
    .at("path"))
}
