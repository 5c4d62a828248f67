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

/// What a scoring script raised for a request, by the endpoint's log.
pub fn raised_for(log: &str, request: &str) -> Option<String> {
    let (_, rest) = log.rsplit_once(&format!("Request {request}: "))?;
    let record = rest.lines().take_while(|line| !begins_record(line));
    let record: Vec<&str> = record.collect();
    let raised = raised(&record.join("\n")).into_iter();
    // The scoring server raises one of its own from it.
    let mut own = raised.filter(|one| !one.exception.contains("UserScript"));
    own.next_back().map(|one| one.exception)
}

/// Whether a line begins a log record: `2026-11-23 22:30:17,696 I …`.
fn begins_record(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() > 20
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[10] == b' '
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
    use super::{raised, raised_for};

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
    fn of_requests_at_once_each_has_its_exception() {
        let record = |id: &str, error: &str| {
            format!(
                "2026-11-26 00:27:39,208 E [7] azmlinfsrv - Request {id}: Encountered Exception: \
                 Traceback (most recent call last):\n  File \"s.py\", line 4, in run\n{error}\n\n\
                 The above exception was the direct cause of the following exception:\n\n\
                 Traceback (most recent call last):\n  File \"r.py\", line 1, in h\n\
                 azureml.server.UserScriptException: Caught an unhandled exception\n"
            )
        };
        let log = format!(
            "{}{}",
            record("a", "KeyError: 1"),
            record("b", "KeyError: 2")
        );
        assert_eq!(raised_for(&log, "a").as_deref(), Some("KeyError: 1"));
        assert_eq!(raised_for(&log, "b").as_deref(), Some("KeyError: 2"));
        assert_eq!(raised_for(&log, "c"), None);
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
