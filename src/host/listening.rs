//! On which ports the processes of a session listen, as the kernel tells.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
};

use executor::process_table::{self, Entry};

/// How the kernel writes that a socket listens.
const LISTENS: &str = "0A";

/// The ports of TCP on which processes of a session listen.
pub fn ports(session: u32) -> BTreeSet<u16> {
    let mut found = BTreeSet::new();
    let ours = |entry: &Entry| u32::try_from(entry.session).is_ok_and(|of| of == session);
    for process in process_table::entries().filter(ours) {
        let process = Path::new("/proc").join(process.pid.to_string());
        let sockets = sockets(&process);
        for table in ["net/tcp", "net/tcp6"] {
            let text = fs::read_to_string(process.join(table)).unwrap_or_default();
            let ours = text.lines().skip(1).filter_map(listener);
            found.extend(
                ours.filter(|(_, socket)| sockets.contains(*socket))
                    .map(|(port, _)| port),
            );
        }
    }
    found
}

fn sockets(process: &Path) -> HashSet<String> {
    let files = fs::read_dir(process.join("fd"));
    let links = files.into_iter().flatten().flatten();
    let links = links.filter_map(|file| fs::read_link(file.path()).ok());
    let number = |link: std::path::PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']').map(str::to_owned)
    };
    links.filter_map(number).collect()
}

/// The port and the number of a socket that listens.
fn listener(line: &str) -> Option<(u16, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = words.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (*words.get(3)? == LISTENS).then_some((port, *words.get(9)?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use executor::process_table;

    use super::ports;

    #[test]
    fn what_listens_is_found_and_what_does_not_is_not() {
        let own = process_table::entry(std::process::id().cast_signed()).unwrap();
        let session = own.session.cast_unsigned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(ports(session).contains(&port));
        drop(listener);
        assert!(!ports(session).contains(&port));
    }
}
