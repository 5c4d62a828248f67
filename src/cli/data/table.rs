//! The table that a command of `aml data` names, with its files on this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::cli::context::Context;
use api::{Code, Result, paths::is_local};
use client::inputs::{Bring, Hold, Wanted};
use spec::reference::nearest_sibling;
use table::{Definition, Table};

/// Which table a command is about.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// Data as NAME:VERSION, NAME@LABEL or NAME; or a file, folder or address
    #[arg(value_name = "DATA")]
    data: String,
}

/// A table whose files stay as long as this does.
pub struct Brought {
    pub table: Table,
    own: PathBuf,
    _holds: Vec<Hold>,
}

impl Drop for Brought {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.own);
    }
}

impl TableArgs {
    /// Brings the files here, without a copy for each who reads them where that can be.
    pub async fn open(&self, ctx: &Context) -> anyhow::Result<Brought> {
        let id = uuid::Uuid::new_v4().simple();
        let mut files = Files {
            ctx,
            own: ctx.config.home.join(format!("cache/table-{id}")),
            holds: Vec::new(),
        };
        let found = self.find(&mut files);
        let opened = ctx
            .ui
            .until_ctrl_c("nothing is kept of what had come", found)
            .await;
        if opened.is_err() {
            let _ = fs::remove_dir_all(&files.own);
        }
        Ok(Brought {
            table: opened?,
            own: files.own,
            _holds: files.holds,
        })
    }

    async fn find(&self, files: &mut Files<'_>) -> Result<Table> {
        let here = files.ctx.folder.join(&self.data);
        let path = if is_local(&self.data) && here.exists() {
            here
        } else if is_local(&self.data) {
            let brought = files.bring(&format!("azureml:{}", self.data)).await;
            brought.map_err(|error| match nearest_sibling(&here) {
                Some(near) if error.code == Code::NotFound => {
                    let near = Path::new(&self.data).with_file_name(near);
                    error.hint(format!(
                        "Of this machine: did you mean `{}`?",
                        near.display()
                    ))
                }
                _ => error,
            })?
        } else {
            files.bring(&self.data).await?
        };
        let definition = Definition::load(&path)?;
        let mut brought = BTreeMap::new();
        for address in definition.addresses() {
            brought.insert(address.to_owned(), files.bring(address).await?);
        }
        definition.open(&brought)
    }
}

struct Files<'a> {
    ctx: &'a Context,
    own: PathBuf,
    holds: Vec<Hold>,
}

impl Files<'_> {
    /// Where the files of an address are on this machine.
    async fn bring(&mut self, address: &str) -> Result<PathBuf> {
        let client = self.ctx.client().await?;
        let located = client
            .locate(Wanted {
                workspace: &self.ctx.workspace().await?,
                path: address,
                model: false,
                mirrors: &self.ctx.config.settings.mirrors,
            })
            .await?;
        let report = self.ctx.ui.report();
        let bring = Bring {
            cache: &self.ctx.config.home.join("cache/inputs"),
            report: Some(&report),
        };
        let own = self.own.join(self.holds.len().to_string());
        let (fetched, hold) = client.mount(&located, &own, bring).await?;
        self.holds.extend(hold);
        Ok(fetched.path)
    }
}
