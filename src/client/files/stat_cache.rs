//! Which files of a folder are unchanged since they were hashed, by size, times and inode.
//!
//! As in git's index, a file is trusted only when it was last changed well before it was looked at:
//! a change in the same tick of the file system's clock would not be seen.

use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::walk::{Found, Stat};
use api::files::Hash;

const MAGIC: &[u8; 8] = b"amlstat1";
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
    /// Opens the cache of the folder `root`, an absolute path, kept below `caches`. None when
    /// nothing can be written there.
    pub fn open(caches: &Path, root: &Path) -> Option<Self> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(caches).ok()?;
        let name = Hash::of(root.as_os_str().as_encoded_bytes()).hex();
        let file = caches.join(&name[..32]);
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
    pub fn known(&self, files: &[Found]) -> Vec<Option<Hash>> {
        let mut kept = self.kept.rows().peekable();
        let known = files.iter().map(|found| {
            let path = found.path.as_bytes();
            while kept.next_if(|row| row.path < path).is_some() {}
            let row = kept.next_if(|row| row.path == path)?;
            (found.link.is_none() && row.stat == found.stat).then_some(row.hash)
        });
        known.collect()
    }

    /// Keeps the hashes of these files for the next time; they are sorted by path.
    pub fn save<'a>(self, files: impl Iterator<Item = (&'a Found, Hash)> + Clone) {
        let settled = files.filter(|(found, _)| self.settled(&found.stat));
        let now = settled.clone().map(|(found, hash)| Row {
            path: found.path.as_bytes(),
            stat: found.stat,
            hash,
        });
        if self.kept.rows().eq(now) {
            return;
        }
        let mut bytes = MAGIC.to_vec();
        for (found, hash) in settled {
            encode(&mut bytes, &found.path, &found.stat, hash);
        }
        bytes.extend(Hash::of(&bytes).0);
        let temporary = self
            .file
            .with_extension(uuid::Uuid::new_v4().simple().to_string());
        if fs::write(&temporary, &bytes)
            .and_then(|()| fs::rename(&temporary, &self.file))
            .is_err()
        {
            let _ = fs::remove_file(&temporary);
        }
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

/// The rows of a cache's file as it was read, sorted by path.
#[derive(Default)]
struct Kept(Vec<u8>);

#[derive(PartialEq)]
struct Row<'a> {
    path: &'a [u8],
    stat: Stat,
    hash: Hash,
}

impl Kept {
    /// None when any of it is not as it was written.
    fn decode(mut bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.len().checked_sub(32)?;
        let (content, sum) = bytes.split_at(end);
        if Hash::of(content).0 != sum || !content.starts_with(MAGIC) {
            return None;
        }
        bytes.truncate(end);
        Some(Self(bytes))
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut rest = self.0.get(MAGIC.len()..).unwrap_or_default();
        std::iter::from_fn(move || row(&mut rest))
    }
}

fn encode(bytes: &mut Vec<u8>, path: &str, stat: &Stat, hash: Hash) {
    bytes.extend(u32::try_from(path.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(path.as_bytes());
    bytes.extend(stat.size.to_le_bytes());
    bytes.extend(stat.modified.to_le_bytes());
    bytes.extend(stat.changed.to_le_bytes());
    bytes.extend(stat.inode.to_le_bytes());
    bytes.extend(hash.0);
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
    let hash = Hash(*take(rest)?);
    Some(Row { path, stat, hash })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}
