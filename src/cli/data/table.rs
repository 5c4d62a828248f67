//! The table that a command of `aml data` names, with its files on this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::cli::context::Context;
use api::{Code, Error, Result, paths::is_local};
use client::inputs::{At, Bring, Hold, Located, Wanted};
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
    /// Brings the files here, without a copy for each who reads them where that can be. Of a large file
    /// of elsewhere no more comes than holds the `first` rows, if only those are wanted.
    pub async fn open(&self, ctx: &Context, first: Option<usize>) -> anyhow::Result<Brought> {
        let id = uuid::Uuid::new_v4().simple();
        let mut files = Files {
            ctx,
            own: ctx.config.home.join(format!("cache/table-{id}")),
            holds: Vec::new(),
        };
        let found = self.find(&mut files, first);
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

    async fn find(&self, files: &mut Files<'_>, first: Option<usize>) -> Result<Table> {
        let here = files.ctx.folder.join(&self.data);
        let address = if is_local(&self.data) {
            format!("azureml:{}", self.data)
        } else {
            self.data.clone()
        };
        let path = if is_local(&self.data) && here.exists() {
            here
        } else {
            let brought = files.first_or_all(&address, first).await;
            brought.map_err(|error| match nearest_sibling(&here) {
                Some(near) if error.code == Code::NotFound && is_local(&self.data) => {
                    let near = Path::new(&self.data).with_file_name(near);
                    error.hint(format!(
                        "Of this machine: did you mean `{}`?",
                        near.display()
                    ))
                }
                _ => error,
            })?
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

/// Bytes of a file that are read first, where not all of it is wanted.
const BEGINNING: u64 = 256 << 10;
/// By so many rows it is found out what the texts of columns look like.
const LOOKED_AT: usize = 1000;
/// Files whose rows are lines, which can be read without their end.
const LINES: [&str; 5] = ["csv", "tsv", "tab", "jsonl", "ndjson"];

/// Whether the beginning of a file has as many rows, and those by which they are read. What is behind
/// the last whole line is cut off.
fn has_rows(path: &Path, rows: usize) -> Result<bool> {
    let failed = |e: std::io::Error| Error::internal(format!("`{}`: {e}", path.display()));
    let text = fs::read(path).map_err(failed)?;
    let lines = text.split(|byte| *byte == b'\n').count();
    if lines <= rows.max(LOOKED_AT) + 1 {
        return Ok(false);
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0) + 1;
    fs::write(path, &text[..whole]).map_err(failed)?;
    // A field may go over several lines; one that is cut off is behind what is wanted.
    let table = Definition::load(path)?.open(&BTreeMap::new())?;
    Ok(table.rows().take(rows + 1).flatten().count() > rows)
}

impl Files<'_> {
    async fn first_or_all(&mut self, address: &str, first: Option<usize>) -> Result<PathBuf> {
        if let Some(rows) = first
            && let Some(path) = self.beginning(address, rows).await?
        {
            return Ok(path);
        }
        self.bring(address).await
    }

    /// As much of a file of elsewhere as holds its first rows; none of what is not read by lines.
    async fn beginning(&mut self, address: &str, rows: usize) -> Result<Option<PathBuf>> {
        let located = self.located(address).await?;
        let client = self.ctx.client().await?;
        let place = match &located.at {
            At::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
            At::Datastore { path, .. } => path,
            _ => return Ok(None),
        };
        let end = place
            .rsplit_once('.')
            .map(|(_, end)| end.to_ascii_lowercase());
        if !end.is_some_and(|end| LINES.contains(&end.as_str())) {
            return Ok(None);
        }
        let mut bytes = BEGINNING;
        loop {
            let begun = client.fetch_beginning(&located, &self.own, bytes).await?;
            match begun {
                None => return Ok(None),
                Some((path, whole)) if whole || has_rows(&path, rows)? => return Ok(Some(path)),
                Some(_) => bytes *= 4,
            }
        }
    }

    async fn located(&self, address: &str) -> Result<Located> {
        let wanted = Wanted {
            workspace: &self.ctx.workspace().await?,
            path: address,
            model: false,
            mirrors: &self.ctx.config.settings.mirrors,
        };
        self.ctx.client().await?.locate(wanted).await
    }

    /// Where the files of an address are on this machine.
    async fn bring(&mut self, address: &str) -> Result<PathBuf> {
        let client = self.ctx.client().await?;
        let located = self.located(address).await?;
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
