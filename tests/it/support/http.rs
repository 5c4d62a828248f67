//! Requests to addresses that the product prints, as any program would send them.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

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
