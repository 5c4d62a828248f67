//! Values in lines for a shell: a path is one word, wherever in the line it stands.

use std::iter::Peekable;

/// How bash reads the next letter of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Plain,
    /// Inside of `'…'`.
    Single,
    /// Inside of `"…"`.
    Double,
    Comment,
}

/// Follows a line through its quotes, comments and substitutions.
struct Reader {
    /// What is open: substitutions inside of quotes begin anew.
    open: Vec<Reading>,
    /// A word may begin here.
    fresh: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            open: vec![Reading::Plain],
            fresh: true,
        }
    }

    fn reading(&self) -> Reading {
        self.open.last().copied().unwrap_or(Reading::Plain)
    }

    fn set(&mut self, reading: Reading) {
        self.open.pop();
        self.open.push(reading);
    }

    /// Reads one letter, and what belongs to it; answers how many that were.
    fn read(&mut self, letter: char, rest: &mut Peekable<impl Iterator<Item = char>>) -> usize {
        let mut letters = 1;
        let fresh = std::mem::take(&mut self.fresh);
        match (self.reading(), letter) {
            (Reading::Plain | Reading::Double, '\\') => letters += rest.next().map_or(0, |_| 1),
            (Reading::Plain | Reading::Double, '$') if rest.peek() == Some(&'(') => {
                rest.next();
                letters += 1;
                self.open.push(Reading::Plain);
                self.fresh = true;
            }
            (Reading::Plain, ')') if self.open.len() > 1 => drop(self.open.pop()),
            (Reading::Plain, '\'') => self.set(Reading::Single),
            (Reading::Plain, '"') => self.set(Reading::Double),
            (Reading::Plain, '#') if fresh => self.set(Reading::Comment),
            (Reading::Plain, letter) => {
                self.fresh = letter.is_whitespace() || ";&|(".contains(letter);
            }
            (Reading::Single, '\'') | (Reading::Double, '"') => self.set(Reading::Plain),
            (Reading::Comment, '\n') => {
                self.set(Reading::Plain);
                self.fresh = true;
            }
            (Reading::Single | Reading::Double | Reading::Comment, _) => {}
        }
        letters
    }
}

/// Whether a value is the same wherever it stands in a line.
pub fn is_harmless(value: &str) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    value.chars().all(harmless)
}

/// A value as (part of) one word after what stands before it in the line.
pub fn word(before: &str, value: &str) -> String {
    if is_harmless(value) {
        return value.to_owned();
    }
    let mut reader = Reader::new();
    let mut letters = before.chars().peekable();
    while let Some(letter) = letters.next() {
        reader.read(letter, &mut letters);
    }
    match reader.reading() {
        Reading::Plain => format!("'{}'", value.replace('\'', "'\\''")),
        Reading::Single => value.replace('\'', "'\\''"),
        Reading::Double => {
            let escape = |c: char| match c {
                '\\' | '"' | '$' | '`' => format!("\\{c}"),
                c => c.to_string(),
            };
            value.chars().map(escape).collect()
        }
        Reading::Comment => value.replace('\n', " "),
    }
}

/// The line in which `text`, which begins with `$`, stands for itself.
pub fn keep_text(line: &str, text: &str) -> String {
    if !line.contains(text) {
        return line.to_owned();
    }
    let mut kept = String::new();
    let mut reader = Reader::new();
    let mut letters = line.chars().peekable();
    let mut at = 0;
    let all: Vec<char> = line.chars().collect();
    let text: Vec<char> = text.chars().collect();
    while let Some(letter) = letters.next() {
        let quoted = matches!(reader.reading(), Reading::Single | Reading::Comment);
        if !quoted && all[at..].starts_with(&text) {
            kept.push('\\');
        }
        let next = at + reader.read(letter, &mut letters);
        kept.extend(&all[at..next]);
        at = next;
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_path_is_one_word_wherever_it_stands() {
        let value = "/d/a b'c\"d$(echo x)`id`;#\\e.csv";
        for (before, after) in [
            ("printf %s ", ""),
            ("printf %s '", "'"),
            ("printf %s \"", "\""),
            ("printf %s \"$(printf %s ", ")\""),
            ("true # it's no quote\nprintf %s ", " # and \""),
            ("echo \\' >/dev/null; printf %s ", ""),
        ] {
            let line = format!("{before}{}{after}", word(before, value));
            let output = Command::new("bash").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), value, "{line}");
        }
        assert_eq!(word("cat ", "/plain/path-1.csv"), "/plain/path-1.csv");
    }

    #[test]
    fn text_that_looks_like_arithmetic_is_kept() {
        let line = "printf '%s|' $[[a]] \"$[[b]] é\" '$[[c]]' \"$(printf $[[d]])\"";
        let line = keep_text(line, "$[[");
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown, "$[[a]]|$[[b]] é|$[[c]]|$[[d]]|", "{line}");
    }
}
