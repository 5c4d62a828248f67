//! Gzip on both sides: what a caller sends compressed reaches the script as it was, and a long
//! answer is compressed for whoever takes that.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response,
    body::Body,
    header::{self, HeaderValue},
};

use super::backend::Answer;

/// Answers that are shorter gain nothing, those that are longer are sent as they come.
const SHORTEST: u64 = 1 << 10;
const LONGEST: u64 = 16 << 20;
/// What is longer is not worked on between other requests.
const AT_ONCE: usize = 64 << 10;

/// Whether the body of a request is compressed by gzip, and by nothing else.
pub fn is_packed(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| {
        let coding = coding.as_bytes();
        coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
    })
}

/// Whether the caller takes answers that are compressed.
pub fn is_taken(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let texts = all.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let refused = weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0);
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// What a compressed body holds; an error of kind `FileTooLarge` when that is more than `most` bytes.
pub async fn unpack(packed: Bytes, most: usize) -> io::Result<Bytes> {
    let work = move || {
        let mut plain = Vec::new();
        let mut decoder = MultiGzDecoder::new(packed.as_ref()).take(most as u64 + 1);
        decoder.read_to_end(&mut plain)?;
        if plain.len() > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Bytes::from(plain))
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// Compresses an answer that is long, whose length is known, and that gains by it. An answer without a
/// length is sent on as it comes. Says why when the answer breaks off.
pub async fn pack(response: Response<Answer>) -> Result<Response<Answer>, String> {
    let length = response.body().size_hint().exact();
    let fits = length.is_some_and(|length| (SHORTEST..=LONGEST).contains(&length));
    if !fits || !gains(response.headers()) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map_err(|error| error.to_string())?;
    let whole = whole.to_bytes();
    let packed = if whole.len() > AT_ONCE {
        let whole = whole.clone();
        let packed = tokio::task::spawn_blocking(move || packed(&whole)).await;
        packed.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    } else {
        packed(&whole)
    };
    let Ok(packed) = packed else {
        return Ok(Response::from_parts(parts, whole.into()));
    };
    let headers = &mut parts.headers;
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CONTENT_LENGTH, packed.len().into());
    headers.remove(header::ETAG);
    Ok(Response::from_parts(parts, Bytes::from(packed).into()))
}

fn packed(whole: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(whole)?;
    encoder.finish()
}

/// Whether an answer is text that nobody has compressed.
fn gains(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = kind.starts_with("text/") || kind.contains("json") || kind.contains("xml");
    let is_stream = kind.starts_with("text/event-stream");
    is_text && !is_stream && !headers.contains_key(header::CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(text: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static(text);
        [(header::ACCEPT_ENCODING, value)].into_iter().collect()
    }

    #[test]
    fn who_takes_gzip_says_so() {
        for text in ["gzip", "deflate, gzip", "br;q=1.0, GZIP;q=0.5"] {
            assert!(is_taken(&taking(text)), "{text}");
        }
        for text in ["", "identity", "gzip;q=0", "br, gzip;q=0.0"] {
            assert!(!is_taken(&taking(text)), "{text}");
        }
        assert!(!is_taken(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_is_packed_small_and_is_large_is_refused() {
        let bomb = Bytes::from(packed(&vec![0; 1 << 20]).unwrap());
        let plain = unpack(bomb.clone(), 1 << 20).await.unwrap();
        assert_eq!(plain.len(), 1 << 20);
        let error = unpack(bomb, (1 << 20) - 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(unpack(Bytes::from_static(b"no gzip"), 100).await.is_err());
    }
}
