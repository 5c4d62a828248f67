//! Which files of a folder are unchanged since they were hashed, by size, times and inode.
//!
//! As in git's index, a file is trusted only when it was last changed well before it was looked at:
//! a change in the same tick of the file system's clock would not be seen.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::walk::{Found, Stat, Take};
use api::files::{Hash, TreeEntry};

const MAGIC: &[u8; 8] = b"amlstat2";
/// How long the cache of a folder is kept in which nothing changes.
const KEPT: Duration = Duration::from_hours(24 * 90);
/// How far the clock of a file system with fine times may lag, and of one with times in seconds.
const FINE_TICK: i64 = 20_000_000;
const COARSE_TICK: i64 = 2_000_000_000;

/// The cache of one folder. Losing it costs only time.
pub struct StatCache {
    file: PathBuf,
    /// When this look at the folder began, by the file system's clock.
    started: i64,
    kept: Kept,
}

impl StatCache {
    /// Opens the cache of the folder `root`, an absolute path, of which so much is taken, kept below
    /// `caches`. None when nothing can be written there.
    pub fn open(caches: &Path, root: &Path, take: Take) -> Option<Self> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(caches).ok()?;
        let name = Hash::of(root.as_os_str().as_encoded_bytes()).hex();
        let what = match take {
            Take::Unignored => "code",
            Take::Everything => "all",
        };
        let file = caches.join(format!("{}.{what}", &name[..32]));
        let probe = caches.join(format!("{}.probe", uuid::Uuid::new_v4().simple()));
        let started = File::create(&probe).and_then(|file| file.metadata());
        let _ = fs::remove_file(&probe);
        let started = Stat::of(&started.ok()?).changed;
        let kept = fs::read(&file).ok().and_then(Kept::decode);
        Some(Self {
            file,
            started,
            kept: kept.unwrap_or_default(),
        })
    }

    /// The hashes of the files that have not changed since they were taken; `files` are sorted by path.
    /// And that of the tree, when it has these files and no others.
    pub fn known(&self, files: &[Found]) -> (Vec<Option<Hash>>, Option<Hash>) {
        let mut kept = self.kept.rows().peekable();
        let mut same = true;
        let mut known = Vec::with_capacity(files.len());
        for found in files {
            let path = found.path.as_bytes();
            while kept.next_if(|row| row.path < path).is_some() {
                same = false;
            }
            let row = kept.next_if(|row| row.path == path);
            let row = row.filter(|row| row.stat == found.stat && row.kind == Kind::of_found(found));
            same &= row.is_some();
            known.push(row.map(|row| row.hash));
        }
        same &= kept.next().is_none();
        (known, self.kept.tree().filter(|_| same))
    }

    /// Keeps the hashes of these files for the next time; they are sorted by path. `tree` is what all of
    /// them are.
    pub fn save(self, entries: &[TreeEntry], stats: &[Stat], tree: Hash) {
        let all = || entries.iter().zip(stats);
        let whole = all().all(|(_, stat)| self.settled(stat));
        let tree = if whole { tree } else { NO_TREE };
        let settled = || {
            let settled = all().filter(|(_, stat)| whole || self.settled(stat));
            settled.map(|(entry, stat)| Row {
                path: entry.path.as_bytes(),
                stat: *stat,
                kind: Kind::of_entry(entry),
                hash: entry.hash,
            })
        };
        if self.kept.has(tree) && self.kept.rows().eq(settled()) {
            return;
        }
        let own = uuid::Uuid::new_v4().simple().to_string();
        let temporary = self.file.with_extension(own);
        let written = write(&temporary, tree, settled());
        if written
            .and_then(|()| fs::rename(&temporary, &self.file))
            .is_err()
        {
            let _ = fs::remove_file(&temporary);
        }
        forget_old(self.file.parent());
    }

    /// Whether a later change of a file would show in its times.
    fn settled(&self, stat: &Stat) -> bool {
        let last = stat.modified.max(stat.changed);
        let tick = if last % 1_000_000_000 == 0 {
            COARSE_TICK
        } else {
            FINE_TICK
        };
        last.saturating_add(tick) < self.started
    }
}

/// Removes what has not been written for long, of folders that may be gone, and what nobody reads.
fn forget_old(caches: Option<&Path>) {
    let entries = caches.and_then(|caches| fs::read_dir(caches).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        let is_old = age.is_some_and(|age| age > KEPT) || entry.path().extension().is_none();
        if is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// In place of a tree's hash where not all files are known.
const NO_TREE: Hash = Hash([0; 32]);

/// A cache's file as it was read: magic, the tree's hash, rows sorted by path, and the hash of all that.
#[derive(Default)]
struct Kept(Vec<u8>);

#[derive(PartialEq)]
struct Row<'a> {
    path: &'a [u8],
    stat: Stat,
    kind: Kind,
    hash: Hash,
}

/// What a file is in a tree, beside its content.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Kind {
    Plain = 0,
    Executable = 1,
    Link = 2,
}

impl Kind {
    fn of(executable: bool, link: bool) -> Self {
        match (executable, link) {
            (_, true) => Kind::Link,
            (true, false) => Kind::Executable,
            (false, false) => Kind::Plain,
        }
    }

    fn of_found(found: &Found) -> Self {
        Self::of(found.executable, found.link.is_some())
    }

    fn of_entry(entry: &TreeEntry) -> Self {
        Self::of(entry.executable, entry.symlink)
    }
}

impl Kept {
    /// None when any of it is not as it was written.
    fn decode(mut bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.len().checked_sub(32)?;
        let (content, sum) = bytes.split_at(end);
        let begins = content.starts_with(MAGIC) && content.len() >= MAGIC.len() + 32;
        if Hash::of(content).0 != sum || !begins {
            return None;
        }
        bytes.truncate(end);
        Some(Self(bytes))
    }

    fn has(&self, tree: Hash) -> bool {
        let kept = self.0.get(MAGIC.len()..MAGIC.len() + 32);
        kept == Some(tree.0.as_slice())
    }

    fn tree(&self) -> Option<Hash> {
        let mut rest = self.0.get(MAGIC.len()..)?;
        Some(Hash(*take(&mut rest)?)).filter(|tree| *tree != NO_TREE)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut rest = self.0.get(MAGIC.len() + 32..).unwrap_or_default();
        std::iter::from_fn(move || row(&mut rest))
    }
}

/// Writes a cache's file, of which there may be much, in pieces.
fn write<'a>(file: &Path, tree: Hash, rows: impl Iterator<Item = Row<'a>>) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 16, File::create(file)?);
    let mut hasher = blake3::Hasher::new();
    let mut piece = MAGIC.to_vec();
    piece.extend(tree.0);
    for row in rows {
        encode(&mut piece, &row);
        hasher.update(&piece);
        file.write_all(&piece)?;
        piece.clear();
    }
    hasher.update(&piece);
    file.write_all(&piece)?;
    file.write_all(hasher.finalize().as_bytes())?;
    file.flush()
}

fn encode(bytes: &mut Vec<u8>, row: &Row<'_>) {
    bytes.extend(u32::try_from(row.path.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(row.path);
    bytes.extend(row.stat.size.to_le_bytes());
    bytes.extend(row.stat.modified.to_le_bytes());
    bytes.extend(row.stat.changed.to_le_bytes());
    bytes.extend(row.stat.inode.to_le_bytes());
    bytes.push(row.kind as u8);
    bytes.extend(row.hash.0);
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<Row<'a>> {
    let length = u32::from_le_bytes(*take(rest)?);
    let (path, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    let stat = Stat {
        size: u64::from_le_bytes(*take(rest)?),
        modified: i64::from_le_bytes(*take(rest)?),
        changed: i64::from_le_bytes(*take(rest)?),
        inode: u64::from_le_bytes(*take(rest)?),
    };
    let [kind] = *take(rest)?;
    let kind = match kind {
        0 => Kind::Plain,
        1 => Kind::Executable,
        _ => Kind::Link,
    };
    let hash = Hash(*take(rest)?);
    Some(Row {
        path,
        stat,
        kind,
        hash,
    })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}
