//! Whose process is at the other end of a connection on loopback.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt,
};

/// The account whose process made a connection to a socket of this machine; none when it cannot be
/// known.
pub fn account_of(peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let table = match peer {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let table = fs::read_to_string(table).ok()?;
    find(&table, &written(peer), &written(here))
}

/// The account of this process.
pub fn own_account() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|own| own.uid())
}

/// The account of the line with these two ends.
fn find(table: &str, own: &str, other: &str) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let ends = (words.next()?, words.next()?);
        // state, queues, timer, retransmits, account
        let account = words.nth(4)?;
        (ends == (own, other))
            .then(|| account.parse().ok())
            .flatten()
    })
}

/// An address as the kernel's table has it: words in the order of this machine's bytes.
fn written(address: SocketAddr) -> String {
    let words: Vec<String> = match address.ip() {
        IpAddr::V4(ip) => vec![word(ip.octets())],
        IpAddr::V6(ip) => ip
            .octets()
            .chunks_exact(4)
            .map(|four| word([four[0], four[1], four[2], four[3]]))
            .collect(),
    };
    format!("{}:{:04X}", words.concat(), address.port())
}

fn word(bytes: [u8; 4]) -> String {
    format!("{:08X}", u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_has_the_account_of_who_made_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let own = own_account();
        assert!(own.is_some());
        assert_eq!(account_of(peer, stream.local_addr().unwrap()), own);
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(account_of(nobody, listener.local_addr().unwrap()), None);
    }

    #[test]
    fn the_table_is_read_by_its_two_ends() {
        let table = "head\n 0: 0100007F:0035 0100007F:1388 01 00000000:00000000 00:00000000 00000000  \
                     1000        0 1 1\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if cfg!(target_endian = "little") {
            assert_eq!(
                find(table, &written(at(53)), &written(at(5000))),
                Some(1000)
            );
            assert_eq!(find(table, &written(at(54)), &written(at(5000))), None);
        }
    }
}
