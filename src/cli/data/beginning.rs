//! As much of a table of elsewhere as holds its first rows.
//!
//! Its files are made empty where they would be laid out, so that what its `MLTable` file means by its
//! paths is found in them as it is everywhere; then one after the other is brought, and of a large one
//! only its beginning, until the rows are there.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::here::{Here, failed, joined};
use api::{Error, Result, files::check_path};
use client::{
    Client,
    inputs::{At, Below, Located},
};
use table::{Chunk, Definition, LOOKED_AT, MLTABLE, Needs, Table, TableFile};

/// Bytes that are read first.
const BEGINNING: u64 = 256 << 10;
/// A Parquet file of up to so many bytes is read at once.
const SMALL: u64 = 2 << 20;
/// So many bytes between two parts are read along: less than another request takes.
const GAP: u64 = 64 << 10;
/// Bytes of the values of a column that are read first.
const VALUES: u64 = 64 << 10;
/// Files that are made before any is brought, at most, and of a tree, of which all files come at once
/// sooner than many alone.
const MADE: usize = 20_000;
const MADE_OF_TREE: usize = 1_000;
/// After so many files that have not enough rows all are brought.
const ONE_BY_ONE: usize = 64;

/// Files that are brought as they are needed, into folders below one of their own.
pub struct Lazy<'a> {
    client: &'a Client,
    own: PathBuf,
    /// Each folder or file, and what it stands for; and how large its files are, where that is known.
    roots: Vec<(PathBuf, Located, BTreeMap<String, Option<u64>>)>,
}

impl<'a> Lazy<'a> {
    pub fn new(client: &'a Client, own: &Path) -> Self {
        Self {
            client,
            own: own.to_owned(),
            roots: Vec::new(),
        }
    }

    /// Makes the files of a located place without their content; answers where. None of what has to be
    /// brought as a whole.
    pub async fn lay_out(&mut self, located: &Located) -> Result<Option<PathBuf>> {
        if let At::Here(path) = &located.at {
            return Ok(path.exists().then(|| path.clone()));
        }
        let root = self.own.join(format!("lazy{}", self.roots.len()));
        let most = match located.at {
            At::Tree { .. } => MADE_OF_TREE,
            _ => MADE,
        };
        let files = match self.client.files_below(located, most).await? {
            Below::Files(files) => files,
            Below::TooMany => return Ok(None),
            Below::File(size) => return self.lay_out_file(located, Some(size), &root).await,
            Below::Nothing => return self.lay_out_file(located, None, &root).await,
        };
        let is_table = files.iter().any(|(file, _)| file == MLTABLE);
        for (file, _) in &files {
            make(&root.join(file))?;
        }
        let sizes = files.into_iter().map(|(file, size)| (file, Some(size)));
        let sizes = sizes.collect();
        self.roots.push((root.clone(), located.clone(), sizes));
        if is_table {
            self.bring(&root.join(MLTABLE)).await?;
        }
        Ok(Some(root))
    }

    /// The same for a file, whose size is known unless it is a web server's.
    async fn lay_out_file(
        &mut self,
        located: &Located,
        size: Option<u64>,
        root: &Path,
    ) -> Result<Option<PathBuf>> {
        let place = match &located.at {
            At::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
            At::Tree { path, .. } | At::Artifacts { path, .. } | At::Datastore { path, .. } => path,
            At::Here(_) | At::Git { .. } => return Ok(None),
        };
        let name = place
            .rsplit('/')
            .next()
            .filter(|name| check_path(name).is_ok());
        // What an MLTable file names lies beside it.
        let Some(name) = name.filter(|name| *name != MLTABLE) else {
            return Ok(None);
        };
        let size = match &located.at {
            At::Url(url) => self.client.size_of_url(url).await,
            _ if size.is_none() => return Ok(None),
            _ => size,
        };
        let path = root.join(name);
        make(&path)?;
        let only = BTreeMap::from([(String::new(), size)]);
        self.roots.push((path.clone(), located.clone(), only));
        Ok(Some(path))
    }

    /// The remote file for which a file stands, and its size; none where it is there already.
    fn remote(&self, path: &Path) -> Option<(Located, Option<u64>)> {
        self.roots.iter().find_map(|(root, located, files)| {
            let inside = path.strip_prefix(root).ok()?.to_str()?;
            let size = *files.get(inside)?;
            Some(match inside {
                "" => (located.clone(), size),
                inside => (located.file(inside), size),
            })
        })
    }

    /// Brings all of a file.
    async fn bring(&self, path: &Path) -> Result<bool> {
        let Some((located, size)) = self.remote(path) else {
            return Ok(true);
        };
        let all = size.map_or(u64::MAX, |size| size + 1);
        let brought = self.client.fetch_beginning(&located, size, path, all);
        Ok(brought.await? == Some(true))
    }

    /// The table with as many of its files as hold its first rows. None when that cannot be told of
    /// parts.
    pub async fn first_rows(&self, table: &Table, rows: usize) -> Result<Option<Table>> {
        if table.needs() == Needs::Nothing {
            return Ok(Some(table.clone()));
        }
        // What is named twice would be brought twice to one place.
        let mut seen = HashSet::new();
        if !table.files.iter().all(|file| seen.insert(&file.path)) {
            return Ok(None);
        }
        let mut begun = table.without_files();
        for (number, file) in (1..).zip(&table.files) {
            begun.files.push(file.clone());
            if !self.begin(&mut begun, file, rows).await? {
                return Ok(None);
            }
            // Looking means to read from the first row on, so it is done ever more rarely.
            let last = number == table.files.len();
            if last || (number.is_power_of_two() && has(&begun, rows)) {
                return Ok(Some(begun));
            }
            if number >= ONE_BY_ONE {
                return Ok(None);
            }
        }
        Ok(Some(begun))
    }

    /// Brings as much of the last file of a table as its first rows need; false where no part is to be
    /// had.
    async fn begin(&self, begun: &mut Table, file: &TableFile, rows: usize) -> Result<bool> {
        let large = |size: Option<u64>, most| size.is_none_or(|size| size > most);
        match (self.remote(&file.path), begun.needs()) {
            (Some((located, size)), Needs::Parts) if large(size, SMALL) => {
                self.columns(begun, &located, size, rows).await
            }
            (Some((located, size)), Needs::Beginnings) if large(size, BEGINNING) => {
                self.lines(begun, &located, size, rows).await
            }
            (Some(_), _) => self.bring(&file.path).await,
            (None, _) => Ok(true),
        }
    }

    /// Reads the beginning of the last file of a table until that has its first rows, else all of it.
    async fn lines(
        &self,
        begun: &Table,
        located: &Located,
        size: Option<u64>,
        rows: usize,
    ) -> Result<bool> {
        let Some(path) = begun.files.last().map(|file| file.path.as_path()) else {
            return Ok(false);
        };
        let mut bytes = BEGINNING;
        loop {
            let fetched = self.client.fetch_beginning(located, size, path, bytes);
            let Some(whole) = fetched.await? else {
                return Ok(false);
            };
            if !whole {
                cut(path)?;
            }
            // A field may go over several lines; one that is cut off is behind what is wanted.
            if whole || has(begun, rows + 1) {
                return Ok(true);
            }
            bytes *= 4;
        }
    }

    /// Of the last file of a table, which is Parquet, reads its end, which says where the columns are,
    /// and of each of these the beginning.
    async fn columns(
        &self,
        begun: &mut Table,
        located: &Located,
        size: Option<u64>,
        rows: usize,
    ) -> Result<bool> {
        let last = begun.files.len() - 1;
        let target = begun.files[last].path.clone();
        let Some(size) = size else {
            return Ok(false);
        };
        let mut here = Here::create(self.client, located, &target, size)?;
        let mut end = BEGINNING;
        if !here.bring(size - end..size).await? {
            return Ok(false);
        }
        if let Some(whole) = here.end_of_parquet()?.filter(|whole| *whole > end) {
            if !here.bring(size - whole..size - end).await? {
                return Ok(false);
            }
            end = whole;
        }
        let chunks = table::first_chunks(&target, &here.parts(), rows)?;
        // What is at the end is here already.
        let behind = size - end;
        let mut begins: Vec<u64> = chunks
            .iter()
            .map(|chunk| chunk.range.start.min(behind))
            .collect();
        let mut values = VALUES;
        loop {
            let mut wanted = Vec::new();
            for (chunk, at) in chunks.iter().zip(&mut begins) {
                let Chunk { range, head } = chunk;
                let upto = range.end.min(range.start + head + values).min(behind);
                if *at < upto {
                    wanted.push(*at..upto);
                    *at = upto;
                }
            }
            for part in joined(wanted, GAP) {
                if !here.bring(part).await? {
                    return Ok(false);
                }
            }
            let whole = chunks
                .iter()
                .all(|chunk| chunk.range.end - chunk.range.start <= chunk.head + values);
            begun.in_parts(last, &here.parts());
            if whole || !begun.rows().take(rows).any(|row| row.is_err()) {
                return Ok(true);
            }
            values *= 4;
        }
    }
}

/// Whether a table has so many rows, and those by which it is found out what they are; or can have no
/// more with files behind it: a step ends it, or a row cannot be read.
fn has(table: &Table, rows: usize) -> bool {
    let looked_at = LOOKED_AT + 1;
    if table.needs() == Needs::Beginnings && table.unread(looked_at) < looked_at {
        return false;
    }
    let mut all = table.rows();
    let found = all.by_ref().take(rows).take_while(Result::is_ok).count();
    found >= rows || !all.may_go_on()
}

fn make(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let made = fs::create_dir_all(folder).and_then(|()| fs::File::create(path));
    made.map(drop).map_err(|e| failed(path, &e))
}

/// Cuts off what is behind the last whole line.
fn cut(path: &Path) -> Result<()> {
    let text = fs::read(path).map_err(|e| unreadable(path, &e))?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    fs::write(path, &text[..whole]).map_err(|e| failed(path, &e))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::invalid(format!("Cannot read `{}`: {error}", path.display()))
}

/// What a table is that lies at a place, where all that its definition names can be brought in parts.
pub async fn first_of<F: AsyncFnMut(&str) -> Result<Located>>(
    mut lazy: Lazy<'_>,
    located: &Located,
    rows: usize,
    mut locate: F,
) -> Result<Option<Table>> {
    let Some(path) = lazy.lay_out(located).await? else {
        return Ok(None);
    };
    let definition = Definition::load(&path)?;
    let mut brought = BTreeMap::new();
    for address in definition.addresses() {
        let located = locate(address).await?;
        let Some(path) = lazy.lay_out(&located).await? else {
            return Ok(None);
        };
        brought.insert(address.to_owned(), path);
    }
    let table = definition.open(&brought)?;
    lazy.first_rows(&table, rows).await
}
