//! Which files of a folder are unchanged since they were hashed, by size, times and inode.
//!
//! As in git's index, a file is trusted only when it was last changed well before it was looked at:
//! a change in the same tick of the file system's clock would not be seen.

use std::{
    collections::HashMap,
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
    known: HashMap<String, (Stat, Hash)>,
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
        let known = fs::read(&file).ok().and_then(|bytes| decode(&bytes));
        Some(Self {
            file,
            started,
            known: known.unwrap_or_default(),
        })
    }

    /// The hash of a file that has not changed since it was taken.
    pub fn get(&self, found: &Found) -> Option<Hash> {
        let (stat, hash) = self.known.get(&found.path)?;
        (*stat == found.stat).then_some(*hash)
    }

    /// Keeps the hashes of these files for the next time.
    pub fn save<'a>(self, files: impl Iterator<Item = (&'a Found, Hash)>) {
        let mut bytes = MAGIC.to_vec();
        let mut same = true;
        let mut kept = 0;
        for (found, hash) in files.filter(|(found, _)| self.settled(&found.stat)) {
            kept += 1;
            same = same && self.known.get(&found.path) == Some(&(found.stat, hash));
            encode(&mut bytes, &found.path, &found.stat, hash);
        }
        if same && kept == self.known.len() {
            return;
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

fn encode(bytes: &mut Vec<u8>, path: &str, stat: &Stat, hash: Hash) {
    bytes.extend(u32::try_from(path.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(path.as_bytes());
    bytes.extend(stat.size.to_le_bytes());
    bytes.extend(stat.modified.to_le_bytes());
    bytes.extend(stat.changed.to_le_bytes());
    bytes.extend(stat.inode.to_le_bytes());
    bytes.extend(hash.0);
}

/// None when any of it is not as it was written.
fn decode(bytes: &[u8]) -> Option<HashMap<String, (Stat, Hash)>> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Hash::of(content).0 != sum {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC.as_slice())?;
    let mut known = HashMap::with_capacity(rest.len() / 100);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(*take(&mut rest)?);
        let (path, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        let stat = Stat {
            size: u64::from_le_bytes(*take(&mut rest)?),
            modified: i64::from_le_bytes(*take(&mut rest)?),
            changed: i64::from_le_bytes(*take(&mut rest)?),
            inode: u64::from_le_bytes(*take(&mut rest)?),
        };
        let hash = Hash(*take(&mut rest)?);
        known.insert(String::from_utf8(path.to_vec()).ok()?, (stat, hash));
    }
    Some(known)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}
