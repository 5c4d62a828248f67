//! Requests to addresses that the product prints, as any program would send them.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

/// A port at which nobody listens.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// Posts a document with a key to an `http://` address; the status and the body of the answer.
#[track_caller]
pub fn post(url: &str, key: &str, document: &str) -> (u16, String) {
    let key = format!("Bearer {key}");
    let headers = [
        ("authorization", key.as_str()),
        ("content-type", "application/json"),
    ];
    send("POST", url, &headers, document)
}

/// Sends a request to an `http://` address; the status and the body of the answer.
#[track_caller]
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").expect("an http address");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).unwrap_or_else(|e| panic!("{url}: {e}"));
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| {
        lines + name + ": " + value + "\r\n"
    });
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sends the request");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("reads the answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.expect("a body"))
}

/// A connection that is kept from one request to the next.
pub struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(url: &str) -> io::Result<Self> {
        let host = url.strip_prefix("http://").expect("an http address");
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            host: host.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are, which may be half a request.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Posts a JSON document; the status and the body of the answer.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, String)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.write(format!("{head}{body}").as_bytes())?;
        self.answer()
    }

    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        self.write(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<(u16, String)> {
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = match line.strip_suffix("\r\n") {
                None => return Err(broken()),
                Some("") => break,
                Some(line) => line.to_ascii_lowercase(),
            };
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            } else if status.is_none() {
                status = line
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok());
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).expect("text");
        Ok((status.ok_or_else(broken)?, body))
    }
}
