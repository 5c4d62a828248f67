//! Patterns of files as `az storage` takes them: those of shells, but that `*` goes through folders.

/// Whether a path is what a pattern with `*`, `?` and `[…]` means.
pub fn fits(pattern: &str, path: &str) -> bool {
    let pattern = parts(pattern);
    let path: Vec<char> = path.chars().collect();
    // The columns of the last row: which beginnings of the path fit as much of the pattern.
    let mut fit = vec![false; path.len() + 1];
    fit[0] = true;
    for part in pattern {
        let mut any = false;
        let before = fit.clone();
        for at in 0..=path.len() {
            any |= before[at];
            fit[at] = match &part {
                Part::Any => any,
                one => at > 0 && before[at - 1] && one.is(path[at - 1]),
            };
        }
    }
    fit[path.len()]
}

enum Part {
    Any,
    One,
    Letter(char),
    /// Letters from … to …, or all but those.
    Of(Vec<(char, char)>, bool),
}

impl Part {
    fn is(&self, letter: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Letter(own) => *own == letter,
            Part::Of(ranges, but) => {
                let inside = |(from, to): &(char, char)| (*from..=*to).contains(&letter);
                ranges.iter().any(inside) != *but
            }
        }
    }
}

fn parts(pattern: &str) -> Vec<Part> {
    let letters: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        at += 1;
        parts.push(match letter {
            '*' => Part::Any,
            '?' => Part::One,
            '[' => match set(&letters[at..]) {
                Some((part, length)) => {
                    at += length;
                    part
                }
                None => Part::Letter('['),
            },
            letter => Part::Letter(*letter),
        });
    }
    parts
}

/// What follows a `[`, and how long it is with the `]`.
fn set(letters: &[char]) -> Option<(Part, usize)> {
    let but = letters.first() == Some(&'!');
    let begin = usize::from(but);
    // A `]` that comes first is one of the letters.
    let end = (begin + 1..letters.len()).find(|at| letters[*at] == ']')?;
    let mut inside = &letters[begin..end];
    let mut ranges = Vec::new();
    while let [first, rest @ ..] = inside {
        match rest {
            ['-', last, rest @ ..] => {
                ranges.push((*first, *last));
                inside = rest;
            }
            rest => {
                ranges.push((*first, *first));
                inside = rest;
            }
        }
    }
    Some((Part::Of(ranges, but), end + 1))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_are_those_of_shells() {
        assert!(fits("*.csv", "a.csv") && fits("*.csv", "deep/a.csv") && fits("a?c*", "abcd"));
        assert!(!fits("*.csv", "a.txt") && !fits("a?c", "ac") && fits("", ""));
        assert!(fits("a[0-9]", "a7") && !fits("a[!0-9]", "a7") && fits("[]x]", "]"));
        assert!(!fits("folder", "folder/a") && fits("folder/*", "folder/a/b") && fits("[", "["));
    }
}
