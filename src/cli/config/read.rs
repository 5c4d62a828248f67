//! Reading the files, and what is said of one that cannot be understood.

use std::{fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Deserializer, de};

use super::{
    address::{after_last, check_url, without_secrets},
    credentials,
};
use api::{Error, Result};

/// What a file says; none when there is no such file.
pub(super) fn read_toml<T: de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(unreadable(path, &e)),
    };
    let text = String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..good]).into_owned();
        Error::invalid("A character is not written in UTF-8")
            .at(place(path, &before, good))
            .hint("Save the file in UTF-8, or write the character anew")
    })?;
    toml::from_str(&text).map(Some).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        // A line of the credentials may hold a token.
        let secret = credentials::is_secret(path);
        let mut said = e.message().split(HINT);
        let message = said.next().unwrap_or_default();
        let bare = bare_word(&text, at).filter(|_| is_of_bare_word(message));
        let (at, message) = match bare {
            Some((at, _)) if secret => (at, "text must be in quotes".to_owned()),
            Some((at, word)) => (
                at,
                no_text_there::<T>(&text, at, word)
                    .unwrap_or_else(|| format!("text must be in quotes: \"{word}\"")),
            ),
            None => (at, in_words(message)),
        };
        let (line, _) = position(&text, at);
        let excerpt = if secret {
            String::new()
        } else {
            format!("\n  | {}", text.lines().nth(line - 1).unwrap_or_default())
        };
        let shown = without_secrets(&format!("{message}{excerpt}"));
        let error = Error::invalid(shown).at(place(path, &text, at));
        said.fold(error, |error, hint| error.hint(without_secrets(hint)))
            .hint("Correct the line or remove the file")
    })
}

/// Before each hint in a message that goes through the reader of the file.
const HINT: char = '\u{1f}';

/// The address of a server, as a login takes it.
pub(super) fn address<'de, D: Deserializer<'de>>(
    value: D,
) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(value)?;
    check_url(&text).map_err(|e| {
        let mut said = e.message;
        for hint in e.hints {
            said.push(HINT);
            said.push_str(&hint.replace("aml login ", ""));
        }
        de::Error::custom(said)
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        ErrorKind::IsADirectory => Error::invalid(format!(
            "`{shown}` is a folder, and the configuration is a file"
        ))
        .hint(format!(
            "AML_CONFIG names the file, such as `{}`",
            path.join("config.toml").display()
        )),
        kind => {
            let failed = Error::invalid(format!("Cannot read `{shown}`: {error}"));
            match kind {
                ErrorKind::PermissionDenied => failed
                    .hint(format!(
                        "Let yourself read it, as its owner: chmod u+r '{shown}'"
                    ))
                    .hint("Or name another configuration file in AML_CONFIG"),
                _ => failed,
            }
        }
    }
}

/// The word without quotes at which a value was not understood, and where it begins. By its first
/// letter it may have been taken for a value of another kind.
fn bare_word(text: &str, at: usize) -> Option<(usize, &str)> {
    let line_start = text.get(..at)?.rfind('\n').map_or(0, |at| at + 1);
    let ends = |c: char| c.is_whitespace() || "=[],{}#\"'".contains(c);
    let before = &text[line_start..at];
    let start = line_start + after_last(before, ends);
    let rest = text[start..].trim_start_matches(' ');
    let start = text.len() - rest.len();
    let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let is_value = text[line_start..start]
        .trim_end()
        .ends_with(['=', '[', ',']);
    let is_text = word.starts_with(|c: char| c.is_alphabetic() || "/~.".contains(c))
        && !matches!(word, "true" | "false" | "inf" | "nan");
    (is_value && is_text).then_some((start, word))
}

/// Whether the reader took a word for the beginning of a value, rather than missed something in one.
fn is_of_bare_word(message: &str) -> bool {
    [
        "string values must be quoted",
        "invalid boolean",
        "invalid float",
        "invalid mantissa",
    ]
    .iter()
    .any(|begin| message.starts_with(begin))
}

/// What is wrong with a word without quotes where not even a text with quotes would be right.
fn no_text_there<T: de::DeserializeOwned>(text: &str, at: usize, word: &str) -> Option<String> {
    let quoted = format!("{}'{word}'{}", &text[..at], &text[at + word.len()..]);
    let error = toml::from_str::<T>(&quoted).err()?;
    let same = error.span().is_some_and(|span| span.start == at);
    let of_type = error.message().strip_prefix("invalid type: string ");
    let said = in_words(of_type.filter(|_| same)?);
    let (_, expected) = said.split_once(", expected ")?;
    Some(format!("`{word}` is not {expected}"))
}

/// What serde says of a value, for people who do not know its types.
fn in_words(message: &str) -> String {
    let words = [
        ("a boolean", "true or false"),
        ("a nonzero u32", "a whole number of at least 1"),
        ("u32", "a whole number"),
        ("u64", "a whole number"),
    ];
    let said = message.split_once("expected ");
    let found = said.and_then(|(before, expected)| {
        let (_, words) = words
            .iter()
            .find(|(rust, _)| *rust == expected.trim_end())?;
        Some(format!("{before}expected {words}"))
    });
    found.unwrap_or_else(|| message.to_owned())
}

fn place(path: &Path, text: &str, offset: usize) -> String {
    let (line, column) = position(text, offset);
    format!("{}:{line}:{column}", path.display())
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{read_toml, unreadable};
    use crate::config::ConfigFile;
    use api::Error;

    fn refused(bytes: &[u8]) -> Error {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        fs::write(&file, bytes).unwrap();
        let mut error = read_toml::<ConfigFile>(&file).unwrap_err();
        let place = error.target.as_deref().unwrap_or_default();
        error.target = place.rsplit_once('/').map(|(_, place)| place.to_owned());
        error
    }

    #[test]
    fn a_value_without_quotes_is_named_whatever_its_first_letter() {
        for word in [
            "team",
            "tea",
            "false-one",
            "nancy",
            "infra",
            "main",
            "/etc/ca",
            "~/x",
            "https://a:1",
        ] {
            for (before, after, column) in [
                ("profile = ", "", 11),
                ("profile=", " # ours", 9),
                ("profile =  ", "\nworkspace = \"w\"", 12),
            ] {
                let error = refused(format!("\n{before}{word}{after}\n").as_bytes());
                let place = format!("c.toml:2:{column}");
                assert_eq!(error.target.as_deref(), Some(&*place), "{word} {error:?}");
                let says = format!("text must be in quotes: \"{word}\"\n");
                assert!(error.message.starts_with(&says), "{word} {error:?}");
            }
        }
        let listed = refused(b"[webhooks]\nschemes = [\"https\", http]\n");
        assert_eq!(listed.target.as_deref(), Some("c.toml:2:21"));
        for (other, says) in [
            ("profile = true\n", "invalid type: boolean `true`"),
            (
                "[worker]\nslots = \"many\"\n",
                "invalid type: string \"many\"",
            ),
            ("profile = \"team\n", "invalid basic string"),
            (
                "[worker]\nslots = many\n",
                "`many` is not a whole number of at",
            ),
            (
                "[webhooks]\nallow_private = True\n",
                "`True` is not true or false",
            ),
            ("workspace = \"a, b\\q\"\n", "missing escaped value"),
            ("workspace = \"a\u{a0}b\\q\"\n", "missing escaped value"),
            ("profile =\u{3000}team\n", ""),
            ("pro file = 1\n", "key with no value"),
        ] {
            let error = refused(other.as_bytes());
            assert!(error.message.starts_with(says), "{other} {error:?}");
        }
    }

    #[test]
    fn what_is_no_address_or_no_text_is_refused_where_it_stands() {
        let error = refused(b"[profiles.team]\n\nurl = \"not a url\"\n");
        assert_eq!(error.target.as_deref(), Some("c.toml:3:7"));
        let says = "`not a url` does not say http or https\n";
        assert!(error.message.starts_with(says), "{error:?}");
        assert_eq!(error.hints[0], "With TLS: https://not a url");
        for wrong in [
            "\"https://ann:pw@host\"",
            "\"https://ann:pw@host",
            "https://ann:pw@host",
            "\"ann:pw@host\"",
            "\"http://ann:pw@host:99999\"",
        ] {
            let error = refused(format!("[profiles.team]\nurl = {wrong}\n").as_bytes());
            assert!(!format!("{error:?}").contains("pw"), "{error:?}");
        }
        let error = refused(b"# a\n# \xc3\xa9 \xe9\nprofile = \"team\"\n");
        assert_eq!(error.target.as_deref(), Some("c.toml:2:5"));
        assert_eq!(error.hints.len(), 1);
    }

    #[test]
    fn who_may_not_read_a_file_learns_what_to_do() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = unreadable("c.toml".as_ref(), &denied);
        assert_eq!(
            error.hints[0],
            "Let yourself read it, as its owner: chmod u+r 'c.toml'"
        );
    }
}
