//! The access log of an endpoint: a line of JSON for each request. Lines are gathered and written soon,
//! so that a request costs no write of its own.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use serde::Serialize;

use super::{guard::now, process::append};
use api::Time;

/// Bytes that are gathered at most.
const GATHERED: usize = 64 << 10;

pub struct AccessLog {
    file: File,
    lines: Mutex<Vec<u8>>,
}

/// A request, as its line has it.
pub struct Access<'a> {
    pub deployment: Option<&'a str>,
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub took: Duration,
    /// Lengths of request and answer, where they are known before.
    pub received: Option<u64>,
    pub sent: Option<u64>,
    pub id: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Time,
    deployment: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    status: u16,
    ms: f64,
    request_bytes: Option<u64>,
    answer_bytes: Option<u64>,
    request_id: &'a str,
}

impl AccessLog {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: append(path)?,
            lines: Mutex::default(),
        })
    }

    pub fn add(&self, request: &Access<'_>) {
        let micros = u32::try_from(request.took.as_micros()).unwrap_or(u32::MAX);
        let line = Line {
            time: now(),
            deployment: request.deployment,
            method: request.method,
            path: request.path,
            status: request.status,
            ms: f64::from(micros) / 1e3,
            request_bytes: request.received,
            answer_bytes: request.sent,
            request_id: request.id,
        };
        let Ok(mut lines) = self.lines.lock() else {
            return;
        };
        if serde_json::to_writer(&mut *lines, &line).is_ok() {
            lines.push(b'\n');
        }
        if lines.len() > GATHERED {
            self.write(&mut lines);
        }
    }

    /// Writes what was gathered.
    pub fn flush(&self) {
        if let Ok(mut lines) = self.lines.lock() {
            self.write(&mut lines);
        }
    }

    fn write(&self, lines: &mut Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        // A full disk must not stop the scoring.
        let _ = (&self.file).write_all(lines);
        lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Access, AccessLog};

    #[test]
    fn a_line_is_one_document_whatever_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&path).unwrap();
        for (path, id) in [("/score", "a"), ("/\"\n", "b\u{7f}")] {
            log.add(&Access {
                deployment: Some("blue"),
                method: "POST",
                path,
                status: 200,
                took: Duration::from_micros(1500),
                received: Some(2),
                sent: None,
                id,
            });
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        log.flush();
        log.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["ms"], &lines[0]["request_id"]),
            (&1.5.into(), &"a".into())
        );
        assert_eq!(lines[1]["path"], "/\"\n");
    }
}
