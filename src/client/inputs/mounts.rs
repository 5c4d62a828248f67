//! What one process mounts again and again for the commands it starts: looked over each time, but not
//! looked up, and not laid out for all when only one reads it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::mount::Hold;
use crate::files::{Fetched, few_of, stats_of};
use api::files::Hash;

/// Layouts that are held, at most: each is an open file.
const HELD: usize = 256;
/// Places that are known, at most.
const KNOWN: usize = 4096;
/// What is no more than this is sooner copied than laid out.
const SMALL: (usize, u64) = (16, 64 << 10);

/// The places of this machine that were mounted.
#[derive(Debug, Default)]
pub struct Mounts(Mutex<HashMap<PathBuf, Known>>);

#[derive(Debug, Clone)]
enum Known {
    /// Whoever wanted it has a copy.
    Copied,
    LaidOut(Arc<LaidOut>),
}

#[derive(Debug)]
struct LaidOut {
    /// Of what was laid out.
    source: Hash,
    files: PathBuf,
    digest: Hash,
    fetched: Fetched,
    hold: Hold,
}

/// What is to be done for who wants the files of a place.
pub(super) enum Way {
    Copy,
    Mounted(Fetched, Hold),
    LayOut,
}

impl Mounts {
    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn way(&self, path: &Path) -> Way {
        let known = self.known().get(path).cloned();
        match known {
            None if few_of(path, SMALL) => {
                let mut known = self.known();
                if known.len() >= KNOWN {
                    known.clear();
                }
                known.insert(path.to_owned(), Known::Copied);
                Way::Copy
            }
            Some(Known::LaidOut(laid_out)) if laid_out.is_as_it_was(path) => {
                Way::Mounted(laid_out.fetched.clone(), laid_out.hold.clone())
            }
            _ => Way::LayOut,
        }
    }

    /// Notes what was laid out of a place that looked so.
    pub(super) fn keep(&self, path: &Path, source: Hash, fetched: &Fetched, hold: &Hold) {
        let files = match fetched.path.parent() {
            Some(folder) if fetched.is_file => folder,
            _ => &fetched.path,
        };
        if !few_of(files, SMALL) {
            return;
        }
        let Ok((digest, _)) = stats_of(files) else {
            return;
        };
        let laid_out = LaidOut {
            source,
            files: files.to_owned(),
            digest,
            fetched: fetched.clone(),
            hold: hold.clone(),
        };
        let mut known = self.known();
        let held = |known: &&Known| matches!(known, Known::LaidOut(_));
        if known.values().filter(held).count() >= HELD {
            known.retain(|_, known| matches!(known, Known::Copied));
        }
        known.insert(path.to_owned(), Known::LaidOut(Arc::new(laid_out)));
    }
}

impl LaidOut {
    fn is_as_it_was(&self, path: &Path) -> bool {
        let same = |path: &Path, was: Hash| stats_of(path).is_ok_and(|(now, _)| now == was);
        same(path, self.source) && same(&self.files, self.digest)
    }
}
