//! What a host that was killed has left behind: processes and folders.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::layout::socket_folder;

/// Begins the names of folders that a generation is laid out in.
pub const LAID_OUT: &str = "g";

/// Ends processes that work in the endpoint's folder and removes what was laid out there. For the
/// holder of the endpoint's lock, before it starts anything.
pub fn clear(folder: &Path) {
    for pid in inhabitants(folder) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(LAID_OUT) && entry.path().is_dir() {
            let _ = fs::remove_dir_all(entry.path());
            let _ = fs::remove_dir_all(socket_folder(&name));
        }
    }
}

/// Processes whose working directory is in what was laid out in `folder`. Not those in the folder
/// itself: it may be a person who looks at the log.
fn inhabitants(folder: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let inside = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let works_in = fs::read_link(entry.path().join("cwd")).ok()?;
        let below = works_in.strip_prefix(folder).ok()?.iter().next()?;
        let is_ours = below.to_str()?.starts_with(LAID_OUT);
        is_ours.then(|| Pid::from_raw(pid))
    };
    processes.flatten().filter_map(inside).collect()
}
