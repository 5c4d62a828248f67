//! Code with what is put beside it from elsewhere, in a folder that is there for a while.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::context::Context;
use api::{Error, Result};
use spec::reference::packed;

/// The key that names what is put beside the code.
const INCLUDES: &str = "additional_includes";

pub struct Gathered {
    /// The folder with all of it.
    pub path: PathBuf,
    folder: PathBuf,
}

impl Gathered {
    /// Gathers what `fields` put beside `code`, if there is something.
    pub fn of(
        ctx: &Context,
        code: Option<&Path>,
        fields: &mut Map<String, Value>,
    ) -> Result<Option<Self>> {
        let includes = fields.shift_remove(INCLUDES);
        let includes = includes.as_ref().and_then(Value::as_array);
        let Some(includes) = includes.filter(|includes| !includes.is_empty()) else {
            return Ok(None);
        };
        let id = uuid::Uuid::new_v4().simple();
        let folder = ctx.config.home.join(format!("cache/code-{id}"));
        let name = code.and_then(Path::file_name).unwrap_or("code".as_ref());
        let gathered = Self {
            path: folder.join(name),
            folder,
        };
        let failed = |path: &Path, e: &io::Error| {
            Error::invalid(format!("Cannot copy `{}`: {e}", path.display())).at(INCLUDES)
        };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&gathered.path);
        made.map_err(|e| failed(&gathered.path, &e))?;
        if let Some(code) = code {
            let to = if code.is_dir() {
                gathered.path.clone()
            } else {
                gathered.path.join(name)
            };
            copy(code, &to).map_err(|e| failed(code, &e))?;
        }
        for include in includes.iter().filter_map(Value::as_str) {
            let from = Path::new(include);
            let to = gathered.path.join(from.file_name().unwrap_or_default());
            if fs::symlink_metadata(&to).is_ok() {
                return Err(Error::invalid(format!(
                    "`{include}` has the name of something that is there already"
                ))
                .at(INCLUDES));
            }
            let put = match packed(from) {
                Some(folder) => pack(&folder, &to),
                None => copy(from, &to),
            };
            put.map_err(|e| failed(from, &e))?;
        }
        Ok(Some(gathered))
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Copies a file or folder; links stay links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Packs a folder under its own name. The same files make the same archive.
fn pack(folder: &Path, to: &Path) -> io::Result<()> {
    let mut archive = ZipWriter::new(File::create(to)?);
    let name = folder.file_name().unwrap_or_default();
    add(&mut archive, folder, &name.to_string_lossy())?;
    archive.finish()?.sync_all()
}

fn add(archive: &mut ZipWriter<File>, folder: &Path, name: &str) -> io::Result<()> {
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.add_directory(name, plain)?;
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let about = fs::metadata(&path)?;
        if about.is_dir() {
            add(archive, &path, &name)?;
            continue;
        }
        let options = plain
            .large_file(about.len() > u64::from(u32::MAX))
            .unix_permissions(about.permissions().mode());
        archive.start_file(name, options)?;
        io::copy(&mut File::open(&path)?, archive)?;
    }
    Ok(())
}
