//! Why a command failed, from how it ended and what it wrote last.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use client::traceback;
use executor::{redact::Redactor, supervisor::Exit};

/// Ends the reason of a run that had too little memory.
const OUT_OF_MEMORY: &str = "; it needed more memory than its compute has";
/// Ends the reason of a run that had no room.
pub const DISK_FULL: &str = "; the disk was full";
/// Follows an exception that Python raises for what cannot be imported.
const MODULE_MISSING: &str = "; neither the run's code nor its environment has it";
/// How much of the end of a log is looked at.
const LOOKED_AT: u64 = 128 << 10;
/// A traceback with more lines after it than these did not end the command.
const CLOSE: usize = 50;

/// Why a command failed; none when it did not. `log` has what it wrote, in which secrets may be.
pub fn of(exit: &Exit, log: &Path, redactor: Redactor) -> Option<String> {
    if let Some(reason) = &exit.not_started {
        return Some(reason.clone());
    }
    let why = match exit {
        _ if exit.out_of_memory => OUT_OF_MEMORY,
        _ if exit.disk_full && exit.signal.is_none() => DISK_FULL,
        _ => "",
    };
    if let Some(signal) = exit.signal {
        let name = nix::sys::signal::Signal::try_from(signal).map_or("unknown", |s| s.as_str());
        return Some(format!(
            "The command was killed by signal {signal} ({name}){why}"
        ));
    }
    let code = exit.code.filter(|code| *code != 0)?;
    let raised = exception(log, redactor).map(|exception| {
        // What whoever forgets `--env` meets first.
        let missing = exception.starts_with("ModuleNotFoundError: ");
        let missing = if missing { MODULE_MISSING } else { "" };
        format!(": {exception}{missing}")
    });
    let raised = raised.unwrap_or_default();
    Some(format!(
        "The command ended with exit code {code}{raised}{why}"
    ))
}

/// The exception that a log ends with.
fn exception(log: &Path, mut redactor: Redactor) -> Option<String> {
    let mut text = redactor.push(&end_of(log).ok()?);
    text.extend(redactor.finish());
    let raised = traceback::raised(&String::from_utf8_lossy(&text)).pop()?;
    (raised.after <= CLOSE).then_some(raised.exception)
}

/// The last lines of a log, whole.
fn end_of(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut bytes)?;
    if start > 0 {
        // The rest of a line may hold the rest of a secret.
        let first = bytes.iter().position(|byte| *byte == b'\n');
        bytes.drain(..first.map_or(bytes.len(), |end| end + 1));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use api::runs::Usage;

    use super::*;

    fn reason(change: impl Fn(&mut Exit), log: &str) -> Option<String> {
        let mut exit = Exit {
            code: Some(1),
            signal: None,
            usage: Usage {
                cpu_seconds: 0.0,
                peak_memory: 0,
            },
            stopped: None,
            not_started: None,
            disk_full: false,
            out_of_memory: false,
        };
        change(&mut exit);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, log).unwrap();
        of(&exit, &path, Redactor::new(&["hunter22".to_owned()]))
    }

    #[test]
    fn an_exception_is_told_without_secrets_when_the_log_ends_with_it() {
        let raised = "  File \"a.py\", line 1, in <module>\nValueError: no hunter22\n";
        assert_eq!(
            reason(|_| (), raised).as_deref(),
            Some("The command ended with exit code 1: ValueError: no ***")
        );
        let long = format!("{}{raised}", "x\n".repeat(100_000));
        let told = reason(|exit| exit.disk_full = true, &long).unwrap();
        assert!(
            told.ends_with("ValueError: no ***; the disk was full"),
            "{told}"
        );
        let module = raised.replace(
            "ValueError: no hunter22",
            "ModuleNotFoundError: No module named 'x'",
        );
        let told = reason(|_| (), &module).unwrap();
        assert!(
            told.ends_with("named 'x'; neither the run's code nor its environment has it"),
            "{told}"
        );
        let caught = format!("{raised}{}", "epoch\n".repeat(100));
        let plain = "The command ended with exit code 1";
        assert_eq!(reason(|_| (), &caught).as_deref(), Some(plain));
        assert_eq!(reason(|_| (), "no traceback").as_deref(), Some(plain));
        assert_eq!(reason(|exit| exit.code = Some(0), raised), None);
    }
}
