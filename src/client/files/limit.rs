//! Refuses a folder that is too large before any of it is read, and says what to leave out.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use super::walk::{Found, IGNORE_FILE};
use api::{Error, Result, files::parents};

/// The most that is uploaded as one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub bytes: u64,
    pub files: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            files: 200_000,
        }
    }
}

/// So many lines to ignore are still told one by one.
const MOST_LINES: usize = 10;

impl Limit {
    pub const NONE: Limit = Limit {
        bytes: u64::MAX,
        files: u64::MAX,
    };

    /// Refuses what is beyond the limit, with the largest entries and the lines that leave them out.
    pub fn check(&self, root: &Path, files: &[Found]) -> Result<()> {
        let bytes: u64 = files.iter().map(|file| file.stat.size).sum();
        let count = files.len() as u64;
        let (weigh, over): (fn(&Found) -> u64, u64) = if bytes > self.bytes {
            (|file| file.stat.size, bytes - self.bytes)
        } else if count > self.files {
            (|_| 1, count - self.files)
        } else {
            return Ok(());
        };
        let heavy = heaviest(files, weigh);
        let shown: Vec<String> = heavy.iter().take(5).map(Entry::line).collect();
        let mut freed = 0;
        let ignored = heavy.iter().take_while(|entry| {
            let needed = freed < over;
            freed += entry.weight;
            needed
        });
        let lines: Vec<String> = ignored.map(Entry::ignore_line).collect();
        let ignore_file = root.join(IGNORE_FILE);
        let ignore_file = quote(&ignore_file.to_string_lossy());
        let most = match self.files {
            u64::MAX => format!("at most {} are", size(self.bytes)),
            files => format!("at most {} in {files} files are", size(self.bytes)),
        };
        let leave_out = if lines.len() > MOST_LINES {
            format!("Leave out what is no code, by lines as in .gitignore: $EDITOR {ignore_file}")
        } else {
            let lines: Vec<String> = lines.iter().map(|line| quote(line)).collect();
            let lines = lines.join(" ");
            format!("Leave out what is no code: printf '%s\\n' {lines} >> {ignore_file}")
        };
        Err(Error::invalid(format!(
            "`{}` has {} in {count} files; {most} taken. Largest:\n{}",
            root.display(),
            size(bytes),
            shown.join("\n"),
        ))
        .hint(leave_out)
        .hint("Or take it all: --max-code-size with a larger size, such as 50GB"))
    }
}

/// A file or folder that holds much.
#[derive(Clone)]
struct Entry {
    path: String,
    folder: bool,
    bytes: u64,
    files: u64,
    weight: u64,
}

impl Entry {
    fn empty(folder: &str) -> Self {
        Self {
            path: folder.to_owned(),
            folder: true,
            bytes: 0,
            files: 0,
            weight: 0,
        }
    }

    fn line(&self) -> String {
        let slash = if self.folder { "/" } else { "" };
        let files = if self.folder {
            format!(" in {} files", self.files)
        } else {
            String::new()
        };
        format!("  {}{slash}  {}{files}", self.path, size(self.bytes))
    }

    /// The line of an ignore file that leaves out this entry and nothing else.
    fn ignore_line(&self) -> String {
        let mut line = String::from("/");
        for c in self.path.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | ' ' | '!' | '#') {
                line.push('\\');
            }
            line.push(c);
        }
        if self.folder {
            line.push('/');
        }
        line
    }
}

/// The entries at the top, heaviest first; in place of a folder that holds nearly all of its weight
/// in one folder, that one.
fn heaviest(files: &[Found], weigh: fn(&Found) -> u64) -> Vec<Entry> {
    let mut folders: BTreeMap<&str, Entry> = BTreeMap::new();
    let mut entries = Vec::new();
    for file in files {
        let one = Entry {
            path: file.path.clone(),
            folder: false,
            bytes: file.stat.size,
            files: 1,
            weight: weigh(file),
        };
        for folder in parents(&file.path) {
            let sum = folders
                .entry(folder)
                .or_insert_with(|| Entry::empty(folder));
            sum.bytes += one.bytes;
            sum.files += 1;
            sum.weight += one.weight;
        }
        if !file.path.contains('/') {
            entries.push(one);
        }
    }
    // The heaviest of each folder, looked for once: there may be very many folders.
    let mut inside: HashMap<&str, &Entry> = HashMap::new();
    for entry in folders.values() {
        if let Some(folder) = innermost(&entry.path) {
            let most = inside.entry(folder).or_insert(entry);
            if entry.weight >= most.weight {
                *most = entry;
            }
        }
    }
    let tops = folders.values();
    for top in tops.filter(|entry| innermost(&entry.path).is_none()) {
        let mut chosen = top;
        let below = |folder: &Entry| inside.get(folder.path.as_str()).copied();
        while let Some(inner) = below(chosen).filter(|i| i.weight > chosen.weight / 10 * 9) {
            chosen = inner;
        }
        entries.push(chosen.clone());
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.weight));
    entries
}

fn innermost(path: &str) -> Option<&str> {
    parents(path).next()
}

/// A word as a shell takes it.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Bytes as people write them.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Limit, heaviest};
    use crate::files::walk::{Found, Stat};

    fn file(path: String, size: u64) -> Found {
        Found {
            path,
            stat: Stat {
                size,
                modified: 0,
                changed: 0,
                inode: 0,
            },
            executable: false,
            link: None,
        }
    }

    #[test]
    fn of_very_many_folders_the_heaviest_are_found_at_their_depth() {
        let mut files = Vec::new();
        for folder in 0..20_000 {
            files.push(file(format!("d{folder:05}/a/part"), 10));
            files.push(file(format!("d{folder:05}/b/part"), 10));
        }
        files.push(file("d00007/b/deep/large".to_owned(), 5000));
        files.push(file("d00008/a/large".to_owned(), 900));
        files.push(file("d00008/b/large".to_owned(), 800));
        files.push(file("alone".to_owned(), 700));
        let bytes = |file: &Found| file.stat.size;
        let heavy = heaviest(&files, bytes);
        let first = heavy.iter().take(4);
        let first: Vec<_> = first
            .map(|entry| (entry.path.as_str(), entry.bytes, entry.files))
            .collect();
        let expected = [
            ("d00007/b/deep", 5000, 1),
            ("d00008", 1720, 4),
            ("alone", 700, 1),
            ("d00000", 20, 2),
        ];
        assert_eq!(first, expected);
        assert_eq!(heavy.len(), 20_001);
        let limit = Limit {
            bytes: 1000,
            files: u64::MAX,
        };
        let refused = limit.check(std::path::Path::new("."), &files).unwrap_err();
        assert!(refused.message.contains("d00007/b/deep/"), "{refused:?}");
    }
}
