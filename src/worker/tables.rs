//! Tables of which a command gets the files, not the folder that says which they are.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

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
        let mut brought = BTreeMap::new();
        for (number, address) in definition.addresses().enumerate() {
            self.must_be_here(address)?;
            let there = self.locate(address, false).await?;
            let part = parts.join(number.to_string());
            let path = self.mounted(&there, &part, &mut holds).await?;
            brought.insert(address.to_owned(), path);
        }
        let own = self.folder.join("inputs").join(name);
        for file in definition.open(&brought)?.files {
            put(&file.path, &own, &file.name, copies)?;
        }
        super::private_dir(&own)?;
        Ok((own, holds))
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

    async fn mounted(
        &self,
        located: &Located,
        own: &Path,
        holds: &mut Vec<Hold>,
    ) -> Result<PathBuf> {
        let cache = self.settings.home.join("cache/inputs");
        let bring = Bring {
            cache: &cache,
            report: None,
        };
        let mount = || self.client.mount(located, own, bring);
        let (fetched, hold) = self.patiently(located, mount).await?;
        holds.extend(hold);
        Ok(fetched.path)
    }
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
