//! What Python says when a program raises, found in a log.

/// The longest text of an exception that is told.
const LONGEST: usize = 300;

/// An exception in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// `ValueError: no such row`, in one line.
    pub exception: String,
    /// Lines of the log after it.
    pub after: usize,
}

/// The exceptions whose tracebacks are in a log, in its order.
pub fn raised(log: &str) -> Vec<Raised> {
    let lines: Vec<&str> = log.lines().map(bare).collect();
    let mut found = Vec::new();
    let mut in_frames = false;
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("  File \"") {
            in_frames = true;
        } else if !line.starts_with([' ', '\t']) {
            if in_frames && is_exception(line) {
                let mut text = line.trim_end().to_owned();
                // Some have their sentence in the lines that follow.
                let mut more = lines[at + 1..]
                    .iter()
                    .filter(|line| !line.trim().is_empty());
                if text.ends_with(':')
                    && let Some(sentence) = more.next()
                {
                    text = format!("{text} {}", sentence.trim());
                }
                found.push(Raised {
                    exception: shortened(&text),
                    after: lines.len() - at - 1,
                });
            }
            in_frames = false;
        }
    }
    found
}

/// A line without the rank that launchers of several processes put before it.
fn bare(line: &str) -> &str {
    match line.split_once("]: ") {
        Some((rank, rest)) if rank.starts_with("[rank") => rest,
        _ => line,
    }
}

/// Whether a line is the name of a class, with a message or without.
fn is_exception(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().trim_end();
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::raised;

    fn last(log: &str) -> Option<String> {
        raised(log).pop().map(|raised| raised.exception)
    }

    #[test]
    fn the_exception_is_the_line_after_the_frames() {
        let log = "\
epoch 1
Traceback (most recent call last):
  File \"train.py\", line 3, in <module>
    fit(x)
    ~~~^^^
  File \"train.py\", line 1, in fit
    raise ValueError('no such row')
ValueError: no such row
bye
";
        let found = raised(log);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].exception, "ValueError: no such row");
        assert_eq!(found[0].after, 1);
        let ranked: Vec<String> = log.lines().map(|line| format!("[rank1]: {line}")).collect();
        let said = last(&ranked.join("\n"));
        assert_eq!(said.as_deref(), Some("ValueError: no such row"));
    }

    #[test]
    fn of_several_each_is_told_and_a_slip_in_the_code_too() {
        let log = "\
Traceback (most recent call last):
  File \"a.py\", line 1, in <module>
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"a.py\", line 3, in <module>
sklearn.exceptions.NotFittedError:
All the 5 fits failed.
  File \"b.py\", line 1
    print(
         ^
SyntaxError: '(' was never closed
";
        let all: Vec<String> = raised(log).into_iter().map(|one| one.exception).collect();
        let expected = [
            "KeyError: 'x'",
            "sklearn.exceptions.NotFittedError: All the 5 fits failed.",
            "SyntaxError: '(' was never closed",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_no_traceback_tells_nothing() {
        assert_eq!(last("ValueError: x\n"), None);
        assert_eq!(last("  File \"a\" is old\nIt is removed now\n"), None);
        assert_eq!(last(""), None);
        let long = format!("  File \"a\", line 1\nE: {}", "x".repeat(400));
        assert_eq!(last(&long).map(|text| text.chars().count()), Some(301));
    }
}
