//! What was measured of a deployment: a file of lines beside its log, each of a while. Recent whiles are
//! short; older ones are put together, so that the file stays small whatever is asked.
//!
//! Lines are appended without syncing: a kill loses none of them, a power loss some seconds of them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{Store, home::io_error};
use api::{Result, Time, endpoint_metrics::Measured};

/// The shortest while, in seconds.
pub const FINEST: i64 = 10;
/// How old, in seconds, whiles of a length may become.
const LENGTHS: [(i64, i64); 3] = [(3600, FINEST), (86_400, 60), (30 * 86_400, 900)];
/// Bytes that are appended until whiles are put together again.
const APPENDED: u64 = 128 << 10;

/// What was measured in a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct While {
    /// Its begin, in seconds since 1970; 0 for all that is older than is kept apart.
    pub at: i64,
    pub seconds: i64,
    pub measured: Measured,
}

/// The first line.
#[derive(Default, Serialize, Deserialize)]
struct Header {
    /// How long the file was when its whiles were put together last.
    length: u64,
}

/// The least length that whiles of this age have.
pub fn least_length(age: i64) -> Option<i64> {
    let fits = LENGTHS.iter().find(|(oldest, _)| age <= *oldest);
    fits.map(|(_, length)| *length)
}

impl Store {
    /// Takes up what was measured of a deployment until now. For the endpoint's host alone.
    pub fn add_measured(
        &self,
        endpoint: i64,
        deployment: i64,
        measured: Measured,
        now: Time,
    ) -> Result<()> {
        let path = self.home.deployment_measures(endpoint, deployment);
        let now = now.0.div_euclid(1000);
        let one = While {
            at: now - now.rem_euclid(FINEST),
            seconds: FINEST,
            measured,
        };
        let lock = self.home.endpoint(endpoint).join("measures.lock");
        let write = || {
            // Two that put together at once would lose what was added between.
            let alone = File::create(&lock)?;
            alone.lock()?;
            append(&path, &one)?;
            if is_long(&path)? {
                put_together(&path, now)?;
            }
            Ok(())
        };
        write().map_err(|e: io::Error| io_error("write", &path, &e))
    }

    /// All that was measured of a deployment, by whiles, oldest first.
    pub fn measured(&self, endpoint: i64, deployment: i64) -> Result<Vec<While>> {
        let path = self.home.deployment_measures(endpoint, deployment);
        let all = read(&path).map_err(|e| io_error("read", &path, &e))?;
        Ok(joined(all, i64::MIN))
    }
}

/// Appends a line. It begins with the end of the one before, for that may have been cut.
fn append(path: &Path, one: &While) -> io::Result<()> {
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, one)?;
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(path)?
        .write_all(&line)
}

fn is_long(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut first = String::new();
    BufReader::with_capacity(64, file).read_line(&mut first)?;
    let header: Header = serde_json::from_str(&first).unwrap_or_default();
    Ok(length > header.length + APPENDED)
}

fn read(path: &Path) -> io::Result<Vec<While>> {
    let text = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

/// Puts whiles together as their age at `now` allows.
fn joined(all: Vec<While>, now: i64) -> Vec<While> {
    let mut kept: BTreeMap<(i64, i64), Measured> = BTreeMap::new();
    for one in all {
        let least = least_length(now.saturating_sub(one.at));
        let mut measured = one.measured;
        let key = match least.filter(|_| one.at != 0) {
            None => (0, 0),
            Some(least) => {
                let length = least.max(one.seconds);
                (one.at - one.at.rem_euclid(length), length)
            }
        };
        coarsen(&mut measured, key.1);
        kept.entry(key).or_default().add(&measured);
    }
    let one = |((at, seconds), measured)| While {
        at,
        seconds,
        measured,
    };
    kept.into_iter().map(one).collect()
}

/// Makes spans of a long while four times as wide, those of a minute twice, which still are parts of
/// powers of two.
fn coarsen(measured: &mut Measured, length: i64) {
    let together = match length {
        FINEST => return,
        60 => 1,
        _ => 3,
    };
    for (span, count) in std::mem::take(&mut measured.times) {
        *measured.times.entry(span | together).or_default() += count;
    }
}

/// Writes the file anew, whole or not at all.
fn put_together(path: &Path, now: i64) -> io::Result<()> {
    let whiles = joined(read(path)?, now);
    let mut lines = Vec::new();
    for one in &whiles {
        lines.push(b'\n');
        serde_json::to_writer(&mut lines, one)?;
    }
    let header = Header {
        length: lines.len() as u64,
    };
    let mut text = serde_json::to_vec(&header)?;
    text.extend(lines);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};

    fn asked(count: u64) -> Measured {
        let times = (0..40).map(|nth| (api::endpoint_metrics::span(900 << (nth % 12)) + nth, 1));
        Measured {
            statuses: [(200, count)].into(),
            times: times.collect(),
            ..Measured::default()
        }
    }

    fn requests(whiles: &[While]) -> u64 {
        whiles.iter().map(|one| one.measured.requests()).sum()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path().to_owned()).unwrap();
        fs::create_dir_all(store.home.endpoint(1)).unwrap();
        (home, store)
    }

    #[test]
    fn a_year_of_requests_stays_small_and_none_is_lost() {
        let (_home, store) = store();
        let begin = 1_700_000_000;
        let mut told = 0;
        // Every hour of a year, every quarter of its last month, every minute of its last day, and
        // every ten seconds of two more hours.
        let end = begin + 365 * 86_400;
        let years = (begin..end - 30 * 86_400).step_by(3600);
        let months = (end - 30 * 86_400..end - 86_400).step_by(900);
        let days = (end - 86_400..end).step_by(60);
        let hours = (end..end + 7200).step_by(10);
        for at in years.chain(months).chain(days).chain(hours) {
            store.add_measured(1, 1, asked(1), Time(at * 1000)).unwrap();
            told += 1;
        }
        let whiles = store.measured(1, 1).unwrap();
        assert_eq!(requests(&whiles), told);
        assert_eq!(whiles[0].at, 0);
        assert!(whiles.windows(2).all(|two| two[0].at < two[1].at));
        let of_length = |length| whiles.iter().filter(|one| one.seconds == length).count();
        assert!(of_length(900) > 2000 && of_length(60) > 100 && of_length(10) >= 360);
        let path = store.home.deployment_measures(1, 1);
        assert!(fs::metadata(&path).unwrap().len() < 3 << 20);
    }

    #[test]
    fn a_line_that_was_cut_harms_no_other() {
        let (_home, store) = store();
        let add = |at: i64| store.add_measured(1, 1, asked(1), Time(at * 1000)).unwrap();
        add(1000);
        let path = store.home.deployment_measures(1, 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\n{\"at\":1000,\"sec").unwrap();
        add(1003);
        add(1010);
        let whiles = store.measured(1, 1).unwrap();
        let found: Vec<_> = whiles
            .iter()
            .map(|one| (one.at, one.measured.requests()))
            .collect();
        assert_eq!(found, [(1000, 2), (1010, 1)]);
    }
}
