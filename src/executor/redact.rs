//! Taking secrets out of what a run or a scoring process writes, wherever a chunk ends.

/// A line of a secret with fewer characters is not taken out by itself: it would be in many words.
const SHORTEST_LINE: usize = 8;

/// What stands where a secret was.
const MASK: &[u8] = b"***";

/// Replaces secrets in a stream of bytes. What comes out depends on the bytes alone and not on how
/// they were cut, so that a stream can be made again from its start.
pub struct Redactor {
    /// Longest first: the longest that fits is taken out.
    secrets: Vec<Vec<u8>>,
    /// The end of what came in, when it may be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a String>) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| parts(secret.trim_end_matches(['\r', '\n'])))
            .filter(|secret| !secret.is_empty())
            .map(|secret| secret.as_bytes().to_vec())
            .collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self {
            secrets,
            held: Vec::new(),
        }
    }

    /// Whether everything comes out as it comes in.
    pub fn is_idle(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Takes more of the stream and answers what can be told already.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_idle() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.take(false)
    }

    /// Answers the rest; the stream has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    fn take(&mut self, ended: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            let fits = self.secrets.iter().find(|secret| rest.starts_with(secret));
            let begun = |secret: &&Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if !ended && self.secrets.iter().any(|secret| begun(&secret)) {
                break;
            }
            if let Some(secret) = fits {
                out.extend_from_slice(MASK);
                at += secret.len();
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }
}

/// A secret and, when it has several lines, each that is long enough: programs print and indent them
/// one by one. The first and last of a PEM file, which begin with dashes, are no secret.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let several = secret.contains('\n');
    let lines = secret.lines().map(str::trim);
    let lines = lines.filter(move |line| {
        several && line.chars().count() >= SHORTEST_LINE && !line.starts_with("-----")
    });
    std::iter::once(secret).chain(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(secrets: &[&str], chunks: &[&[u8]]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|s| (*s).to_owned()).collect();
        let mut redactor = Redactor::new(&secrets);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(redactor.push(chunk));
        }
        out.extend(redactor.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn however_the_stream_is_cut_the_same_comes_out() {
        let secrets = ["hunter2", "hunter22-long", "aab", "ü€"];
        let text = "pass=hunter2, hunter22-lon, hunter22-long; aaab ü€ü aa hunter".as_bytes();
        let expected = "pass=***, ***2-lon, ***; a*** ***ü aa hunter";
        for first in 0..text.len() {
            for second in first..text.len() {
                let chunks = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(whole(&secrets, &chunks), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_told_at_once() {
        let mut redactor = Redactor::new(&["token".to_owned()]);
        assert_eq!(redactor.push(b"loss 0.1 to"), b"loss 0.1 ");
        assert_eq!(redactor.push(b"day\n"), b"today\n");
    }

    #[test]
    fn each_long_line_of_a_secret_is_one() {
        let key =
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n  hkiG9w0BAQEF\nab==\n-----END KEY-----\n";
        let told = whole(
            &[key],
            &[b"line 2: MIIEvQIBADANBgkq\r\n> hkiG9w0BAQEF ab== -----BEGIN KEY-----"],
        );
        assert_eq!(told, "line 2: ***\r\n> *** ab== -----BEGIN KEY-----");
        assert_eq!(whole(&[key], &[key.trim_end().as_bytes()]), "***");
    }

    #[test]
    fn a_secret_is_known_without_its_last_line_break_and_an_empty_one_hides_nothing() {
        assert_eq!(whole(&["key\n", ""], &[b"my key is"]), "my *** is");
    }
}
