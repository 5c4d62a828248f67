//! Tables of which a command gets the files, not the folder that says which they are.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;

use super::{io_error, ports::Ports};
use api::{Error, Result, assets::Holder, paths::Location};
use client::inputs::{Bring, Hold, Located};
use table::{Definition, MLTABLE};

impl Ports<'_> {
    /// The files of the table at `located` in a folder of their own, for the input `name`: links to what
    /// others read too, or copies.
    pub(super) async fn evaluated(
        &self,
        name: &str,
        located: &Located,
        copies: bool,
    ) -> Result<(PathBuf, Vec<Hold>)> {
        // No input is called so.
        let parts = self.folder.join("inputs").join(format!("{name}.parts"));
        let mut holds = Vec::new();
        let folder = self
            .mounted(located, &parts.join("table"), &mut holds)
            .await?;
        if !folder.join(MLTABLE).is_file() {
            return Ok((folder, holds));
        }
        let definition = Definition::load(&folder)?;
        let addresses = definition.addresses().collect();
        let brought = self.brought(addresses, &parts, &mut holds).await?;
        let own = self.folder.join("inputs").join(name);
        for file in definition.open(&brought)?.files {
            put(&file.path, &own, &file.name, copies)?;
        }
        super::private_dir(&own)?;
        Ok((own, holds))
    }

    /// Where a command finds the table in a folder: there, or where it names places of workspaces, in a
    /// folder of this run's with all else of it and those places on this machine.
    pub(super) async fn at_hand(
        &self,
        name: &str,
        folder: PathBuf,
        holds: &mut Vec<Hold>,
    ) -> Result<PathBuf> {
        // What is not understood is the command's to read.
        let Ok(definition) = Definition::load(&folder) else {
            return Ok(folder);
        };
        let addresses: Vec<&str> = definition
            .addresses()
            .filter(|address| address.starts_with("azureml:"))
            .collect();
        if addresses.is_empty() {
            return Ok(folder);
        }
        let parts = self.folder.join("inputs").join(format!("{name}.parts"));
        let brought = self.brought(addresses, &parts, holds).await?;
        let own = parts.join("table");
        super::private_dir(&own)?;
        with_places(&folder, &own, &brought)?;
        Ok(own)
    }

    /// The places that a table names, each brought below `parts`.
    async fn brought(
        &self,
        addresses: Vec<&str>,
        parts: &Path,
        holds: &mut Vec<Hold>,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let mut brought = BTreeMap::new();
        for (number, address) in addresses.into_iter().enumerate() {
            self.must_be_here(address)?;
            let there = self.locate(address, false).await?;
            let part = parts.join(number.to_string());
            let path = self.mounted(&there, &part, holds).await?;
            brought.insert(address.to_owned(), path);
        }
        Ok(brought)
    }

    /// Whoever wrote a table may not read other workspaces by it: nobody looked at what it names when
    /// the job was created.
    fn must_be_here(&self, address: &str) -> Result<()> {
        let own = &self.assignment.workspace;
        let other = match Location::parse(address)? {
            Location::Datastore {
                workspace: Some(name),
                ..
            } => !name.eq_ignore_ascii_case(own),
            Location::Asset(asset) => match asset.holder {
                Holder::Workspace(name) => !name.eq_ignore_ascii_case(own),
                Holder::Here | Holder::Registry(_) => false,
            },
            _ => false,
        };
        if other {
            let message = format!("The table names `{address}`, which is in another workspace");
            return Err(Error::denied(message).at(MLTABLE));
        }
        Ok(())
    }

    /// What an input mounts as its own, from the cache where it is there.
    pub(super) async fn mounted(
        &self,
        located: &Located,
        own: &Path,
        holds: &mut Vec<Hold>,
    ) -> Result<PathBuf> {
        let cache = self.settings.home.join("cache/inputs");
        let bring = Bring {
            cache: &cache,
            mounts: Some(&self.places.mounts),
            report: None,
        };
        let mount = || self.client.mount(located, own, bring);
        let (fetched, hold) = self.patiently(located, mount).await?;
        holds.extend(hold);
        Ok(fetched.path)
    }
}

/// Makes a table again in another folder, with other places for some that it names.
fn with_places(from: &Path, to: &Path, places: &BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(from).map_err(|e| io_error("read", from, &e))? {
        let entry = entry.map_err(|e| io_error("read", from, &e))?;
        if entry.file_name() != MLTABLE {
            let link = to.join(entry.file_name());
            symlink(entry.path(), &link).map_err(|e| io_error("make", &link, &e))?;
        }
    }
    let path = from.join(MLTABLE);
    let text = fs::read_to_string(&path).map_err(|e| io_error("read", &path, &e))?;
    let mut table: Value = serde_saphyr::from_str(&text)
        .map_err(|e| Error::invalid(format!("The table is not understood: {e}")))?;
    let named = table.get_mut("paths").and_then(Value::as_array_mut);
    for place in named.into_iter().flatten() {
        for (_, address) in place.as_object_mut().into_iter().flatten() {
            if let Some(here) = address.as_str().and_then(|address| places.get(address)) {
                *address = Value::from(here.to_string_lossy());
            }
        }
    }
    let path = to.join(MLTABLE);
    fs::write(&path, table.to_string()).map_err(|e| io_error("write", &path, &e))
}

/// Puts a file below a folder under its name in the table; where another has it, with a number.
fn put(file: &Path, folder: &Path, name: &str, copies: bool) -> Result<()> {
    let plain = Path::new(name).components();
    let plain: PathBuf = plain
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    let mut to = folder.join(&plain);
    let mut number = 1;
    while fs::symlink_metadata(&to).is_ok() {
        let last = plain.file_name().unwrap_or_default().to_string_lossy();
        to = folder.join(plain.with_file_name(format!("{number}-{last}")));
        number += 1;
    }
    super::private_dir(to.parent().unwrap_or(folder))?;
    let put = if copies {
        fs::copy(file, &to).map(drop)
    } else {
        symlink(file, &to)
    };
    put.map_err(|e| io_error("write", &to, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_names_and_stay_below_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let (file, own) = (root.path().join("x.csv"), root.path().join("own"));
        fs::write(&file, "x").unwrap();
        put(&file, &own, "a/x.csv", false).unwrap();
        put(&file, &own, "../x.csv", true).unwrap();
        put(&file, &own, "/x.csv", true).unwrap();
        assert_eq!(fs::read_link(own.join("a/x.csv")).unwrap(), file);
        assert_eq!(fs::read_to_string(own.join("x.csv")).unwrap(), "x");
        assert_eq!(fs::read_to_string(own.join("1-x.csv")).unwrap(), "x");
    }
}
