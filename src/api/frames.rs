//! Many blobs in one body: each is a frame of 32 bytes BLAKE3 hash, 8 bytes big-endian length, content.

use bytes::{Buf, Bytes};

use super::{Error, Result, files::Hash};

/// Bytes before the content of a frame.
pub const HEADER: usize = 40;

/// What comes before the content of a frame.
pub fn header(hash: Hash, size: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..32].copy_from_slice(&hash.0);
    header[32..].copy_from_slice(&size.to_be_bytes());
    header
}

/// A part of a body, in the order in which it is read.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Begin { hash: Hash, size: u64 },
    Content(Bytes),
    End,
}

/// Reads frames from a body that comes in chunks of any size.
#[derive(Debug, Default)]
pub struct Reader {
    header: Vec<u8>,
    /// Content still to come; none between frames.
    left: Option<u64>,
}

impl Reader {
    /// Takes the next chunk and calls `each` with every part in it.
    pub fn feed(
        &mut self,
        mut chunk: Bytes,
        each: &mut impl FnMut(Part) -> Result<()>,
    ) -> Result<()> {
        while !chunk.is_empty() {
            match self.left {
                Some(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let content = chunk.split_to(most.min(chunk.len()));
                    self.left = Some(left - content.len() as u64);
                    each(Part::Content(content))?;
                }
                None => {
                    let rest = HEADER - self.header.len();
                    let part = chunk.split_to(rest.min(chunk.len()));
                    self.header.extend_from_slice(&part);
                    if self.header.len() == HEADER {
                        let (hash, size) = self.take_header();
                        self.left = Some(size);
                        each(Part::Begin { hash, size })?;
                    }
                }
            }
            if self.left == Some(0) {
                self.left = None;
                each(Part::End)?;
            }
        }
        Ok(())
    }

    /// Accepts the end of the body, which must not be within a frame.
    pub fn finish(&self) -> Result<()> {
        if self.left.is_none() && self.header.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid("The body ends within a blob"))
        }
    }

    fn take_header(&mut self) -> (Hash, u64) {
        let mut hash = [0; 32];
        let mut header = self.header.as_slice();
        header.copy_to_slice(&mut hash);
        let size = header.get_u64();
        self.header.clear();
        (Hash(hash), size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], chunk: usize) -> Result<Vec<(Hash, Vec<u8>)>> {
        let mut reader = Reader::default();
        let mut blobs = Vec::new();
        for chunk in body.chunks(chunk) {
            reader.feed(Bytes::copy_from_slice(chunk), &mut |part| {
                match part {
                    Part::Begin { hash, .. } => blobs.push((hash, Vec::new())),
                    Part::Content(bytes) => blobs.last_mut().unwrap().1.extend_from_slice(&bytes),
                    Part::End => {}
                }
                Ok(())
            })?;
        }
        reader.finish()?;
        Ok(blobs)
    }

    #[test]
    fn frames_are_read_from_chunks_of_any_size() {
        let contents: [&[u8]; 4] = [b"one", b"", b"a longer one", b""];
        let mut body = Vec::new();
        for content in contents {
            body.extend(header(Hash::of(content), content.len() as u64));
            body.extend(content);
        }
        let expected: Vec<_> = contents.iter().map(|c| (Hash::of(c), c.to_vec())).collect();
        for chunk in 1..=body.len() {
            assert_eq!(read(&body, chunk).unwrap(), expected);
        }
        for torn in [1, 39, 41, body.len() - 1] {
            assert!(read(&body[..torn], 7).is_err(), "torn at {torn}");
        }
    }
}
