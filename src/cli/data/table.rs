//! The table that a command of `aml data` names, with its files on this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::beginning::{Lazy, first_of};
use crate::context::Context;
use api::{Code, Error, Result, paths::is_local};
use client::{
    Client,
    inputs::{At, Bring, Hold, Located, Wanted},
};
use spec::reference::nearest_sibling;
use table::{Definition, Table};

const NOTHING: &str = "nothing is kept of what had come";

/// The workspace that is asked, when it is not the one worked in.
pub type Where<'a> = (&'a Client, &'a str);

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
    /// Brings the files here, without a copy for each who reads them where that can be. Of a large file
    /// of elsewhere no more comes than holds the `first` rows, if only those are wanted.
    pub async fn open(&self, ctx: &Context, first: Option<usize>) -> anyhow::Result<Brought> {
        open(ctx, None, &self.data, first).await
    }
}

/// Opens the table that is named in one of the ways of [`TableArgs`], and as it says.
pub async fn open(
    ctx: &Context,
    place: Option<Where<'_>>,
    data: &str,
    first: Option<usize>,
) -> anyhow::Result<Brought> {
    let mut files = Files::from(ctx, place);
    let found = async { find(&mut files, data, first).await.map(Some) };
    let found = ctx.ui.until_ctrl_c(NOTHING, found).await;
    let brought = files.brought(found)?;
    brought.ok_or_else(|| Error::internal("No table was found").into())
}

/// Opens what some folders below another one have, which is an address of a datastore; none when there
/// is nothing.
pub async fn open_below(
    ctx: &Context,
    place: Where<'_>,
    address: &str,
    folders: &[String],
) -> anyhow::Result<Option<Brought>> {
    let mut files = Files::from(ctx, Some(place));
    let found = below(&mut files, address, folders);
    let found = ctx.ui.until_ctrl_c(NOTHING, found).await;
    Ok(files.brought(found)?)
}

async fn below(files: &mut Files<'_>, address: &str, folders: &[String]) -> Result<Option<Table>> {
    let address = address.trim_end_matches('/');
    let mut all: Option<Table> = None;
    for folder in folders {
        let path = match files.bring(&format!("{address}/{folder}")).await {
            Ok(path) => path,
            Err(error) if error.code == Code::NotFound => continue,
            Err(error) => return Err(error),
        };
        let opened = Definition::load(&path)?.open(&BTreeMap::new())?;
        match &mut all {
            Some(all) => all.files.extend(opened.files),
            None => all = Some(opened),
        }
    }
    Ok(all)
}

async fn find(files: &mut Files<'_>, data: &str, first: Option<usize>) -> Result<Table> {
    let here = files.ctx.folder.join(data);
    let address = if is_local(data) {
        format!("azureml:{data}")
    } else {
        data.to_owned()
    };
    let path = if is_local(data) && here.exists() {
        here
    } else {
        let suggest = |error: Error| match nearest_sibling(&here) {
            Some(near) if error.code == Code::NotFound && is_local(data) => {
                let near = Path::new(data).with_file_name(near);
                error.hint(format!(
                    "Of this machine: did you mean `{}`?",
                    near.display()
                ))
            }
            _ => error,
        };
        let located = files.located(&address).await.map_err(suggest)?;
        if let Some(rows) = first {
            let lazy = Lazy::new(files.client().await?, &files.own);
            let locate = async |address: &str| files.located(address).await;
            if let Some(table) = first_of(lazy, &located, rows, locate).await? {
                return Ok(table);
            }
        }
        files.bring_located(&located).await.map_err(suggest)?
    };
    let definition = Definition::load(&path)?;
    let mut brought = BTreeMap::new();
    for address in definition.addresses() {
        brought.insert(address.to_owned(), files.bring(address).await?);
    }
    definition.open(&brought)
}

struct Files<'a> {
    ctx: &'a Context,
    place: Option<Where<'a>>,
    own: PathBuf,
    /// What was brought.
    count: usize,
    holds: Vec<Hold>,
}

impl<'a> Files<'a> {
    fn from(ctx: &'a Context, place: Option<Where<'a>>) -> Self {
        let id = uuid::Uuid::new_v4().simple();
        // A run has a folder of its own, and may be on another machine than its workspace.
        let own = match ctx.config.inside_run {
            Some(_) => ctx.folder.join(format!(".table-{id}")),
            None => ctx.config.home.join(format!("cache/table-{id}")),
        };
        Self {
            ctx,
            place,
            own,
            count: 0,
            holds: Vec::new(),
        }
    }

    /// The table with what was brought for it, of which nothing stays when there is none.
    fn brought(self, found: Result<Option<Table>>) -> Result<Option<Brought>> {
        if !matches!(found, Ok(Some(_))) {
            let _ = fs::remove_dir_all(&self.own);
        }
        Ok(found?.map(|table| Brought {
            table,
            own: self.own,
            _holds: self.holds,
        }))
    }
}

impl<'a> Files<'a> {
    async fn client(&self) -> Result<&'a Client> {
        match self.place {
            Some((client, _)) => Ok(client),
            None => self.ctx.client().await,
        }
    }

    async fn located(&self, address: &str) -> Result<Located> {
        let workspace = match self.place {
            Some((_, workspace)) => workspace.to_owned(),
            None => self.ctx.workspace().await?,
        };
        let wanted = Wanted {
            workspace: &workspace,
            path: address,
            model: false,
            mirrors: &self.ctx.config.settings.mirrors,
        };
        self.client().await?.locate(wanted).await
    }

    /// Where the files of an address are on this machine.
    async fn bring(&mut self, address: &str) -> Result<PathBuf> {
        let located = self.located(address).await?;
        self.bring_located(&located).await
    }

    async fn bring_located(&mut self, located: &Located) -> Result<PathBuf> {
        if let At::Here(path) = &located.at
            && path.exists()
        {
            return Ok(path.clone());
        }
        let client = self.client().await?;
        let report = self.ctx.ui.report();
        let bring = Bring {
            cache: &self.ctx.config.home.join("cache/inputs"),
            mounts: None,
            report: Some(&report),
        };
        self.count += 1;
        let own = self.own.join(self.count.to_string());
        let (fetched, hold) = client.mount(located, &own, bring).await?;
        self.holds.extend(hold);
        Ok(fetched.path)
    }
}
