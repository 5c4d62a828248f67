//! The folder that an endpoint's host and the service share: lock, logs, counts, and a stamp that
//! tells the host to look again.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    Store,
    home::{Lock, io_error, private_dir},
};
use api::{Result, deployments::Load};

/// The most of a log that is read at once.
const LOG_CHUNK: u64 = 1 << 20;

impl Store {
    /// Whether a living host serves the endpoint.
    pub fn endpoint_hosted(&self, id: i64) -> bool {
        Lock::is_held(&self.home.endpoint_lock(id))
    }

    /// Makes a host look at its orders before it answers anything else.
    pub fn touch_endpoint(&self, id: i64) -> Result<()> {
        let stamp = self.home.endpoint_stamp(id);
        private_dir(&self.home.endpoint(id))?;
        // A random time says "changed" even when the clock does not.
        let random = uuid::Uuid::new_v4().as_u64_pair().1 >> 2;
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(random);
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&stamp)
            .and_then(|file| file.set_modified(time))
            .map_err(|e| io_error("write", &stamp, &e))
    }

    /// Whether a generation is laid out: under a living host, or left by one that was killed.
    pub fn endpoint_left_behind(&self, id: i64) -> bool {
        let laid_out = |entry: fs::DirEntry| entry.path().join("serve.py").exists();
        fs::read_dir(self.home.endpoint(id))
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(laid_out)))
    }

    /// What the front has counted of each deployment since its host started.
    pub fn endpoint_loads(&self, id: i64) -> BTreeMap<String, Load> {
        let read = fs::read(self.home.endpoint_loads(id)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// The environments that an endpoint is served in, or was before it was stopped.
    pub fn endpoint_environments(&self, id: i64) -> Vec<String> {
        let entries = fs::read_dir(self.home.endpoint(id)).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        // Before deployments had files of their own it was the endpoint's.
        let named = paths.filter(|path| {
            path.extension().is_some_and(|end| end == "environment")
                || path.file_name().is_some_and(|name| name == "environment")
        });
        named
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect()
    }

    /// A part of the log of the endpoint or of one of its deployments, and where it ends: the last
    /// `lines`, else from `offset`. A deployment without a log has that of the endpoint, where it wrote
    /// before deployments had their own.
    pub fn endpoint_log(
        &self,
        id: i64,
        deployment: Option<i64>,
        lines: Option<u32>,
        offset: u64,
    ) -> Result<(String, u64)> {
        let own = deployment.map(|deployment| self.home.deployment_log(id, deployment));
        let path = own
            .filter(|path| path.exists())
            .unwrap_or_else(|| self.home.endpoint_log(id));
        read_log(&path, lines, offset).map_err(|e| io_error("read", &path, &e))
    }

    /// The same part of the access log.
    pub fn access_log(&self, id: i64, lines: Option<u32>, offset: u64) -> Result<(String, u64)> {
        let path = self.home.access_log(id);
        read_log(&path, lines, offset).map_err(|e| io_error("read", &path, &e))
    }

    /// Removes what is left of a deployment that was deleted.
    pub fn remove_deployment_files(&self, id: i64, deployment: i64) {
        let _ = fs::remove_file(self.home.deployment_log(id, deployment));
        let _ = fs::remove_file(self.home.deployment_environment(id, deployment));
        let _ = fs::remove_file(self.home.deployment_measures(id, deployment));
        let _ = fs::remove_file(self.home.deployment_collector(id, deployment));
    }

    /// Removes what the hosts of a deleted endpoint have left.
    pub fn remove_endpoint_files(&self, id: i64) -> Result<()> {
        let folder = self.home.endpoint(id);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &folder, &e)),
            _ => Ok(()),
        }
    }
}

fn read_log(path: &Path, lines: Option<u32>, offset: u64) -> io::Result<(String, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((String::new(), 0)),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    // A log that was begun anew is read from its start.
    let offset = if offset > length { 0 } else { offset };
    let start = match lines {
        Some(_) => length.saturating_sub(LOG_CHUNK),
        None => offset,
    };
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_CHUNK).read_to_end(&mut bytes)?;
    let mut end = bytes.len();
    if lines.is_none() && (start + end as u64) < length {
        // More follows: do not cut a line.
        end = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(end, |at| at + 1);
    }
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = match lines {
        Some(lines) => last_lines(&text, lines as usize).to_owned(),
        None => text.into_owned(),
    };
    Ok((text, start + end as u64))
}

fn last_lines(text: &str, lines: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    match body.rmatch_indices('\n').nth(lines.saturating_sub(1)) {
        _ if lines == 0 => "",
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Store, last_lines};

    #[test]
    fn what_was_written_before_deployments_had_files_of_their_own_counts() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path().to_owned()).unwrap();
        let folder = home.path().join("endpoints/7");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("environment"), "old").unwrap();
        std::fs::write(folder.join("log"), "from before\n").unwrap();
        assert_eq!(store.endpoint_environments(7), ["old"]);
        let log = |deployment| store.endpoint_log(7, Some(deployment), None, 0).unwrap().0;
        assert_eq!(log(1), "from before\n");
        std::fs::write(folder.join("d1.log"), "its own\n").unwrap();
        assert_eq!(log(1), "its own\n");
    }

    #[test]
    fn the_last_lines_end_with_the_text() {
        let check = |text, lines, expected| assert_eq!(last_lines(text, lines), expected);
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\n", 5, "a\nb\n");
        check("a\n", 0, "");
        check("", 3, "");
    }
}
