//! Which files a folder has: what its ignore files leave out is never entered.

use std::{
    fmt::Write as _,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{LazyLock, mpsc},
};

use ignore::{
    DirEntry, WalkBuilder, WalkState,
    gitignore::{Gitignore, GitignoreBuilder},
};

use api::{
    Error, Result,
    files::{Hash, check_link, check_path},
};

/// The ignore file of our own; it has the last word.
pub const IGNORE_FILE: &str = ".amlignore";
/// So many entries are looked at sooner than threads are woken for them.
const FEW: usize = 200;

/// What tells whether a file changed, as git's index keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    pub changed: i64,
    pub inode: u64,
}

impl Stat {
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000) + rest;
        Self {
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Found {
    /// Relative, as in a tree.
    pub path: String,
    pub stat: Stat,
    pub executable: bool,
    /// The target, when it is kept as a symbolic link.
    pub link: Option<String>,
}

#[derive(Debug, Default)]
pub struct Walked {
    pub files: Vec<Found>,
    /// What was left out and why.
    pub warnings: Vec<String>,
}

enum Seen {
    File(Found),
    Warning(String),
    Error(Error),
}

/// Which files of a folder belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// What the ignore files leave, with links as links: code.
    Unignored,
    /// All of them, with what links lead to: a model, whose files are often named by rules for code.
    Everything,
}

/// Lists the files of a folder without reading any, sorted by path.
pub fn walk(root: &Path, take: Take) -> Result<Walked> {
    if is_state(root) {
        return Err(Error::invalid(format!(
            "`{}` is a state directory: the keys and secrets in it are for nobody else",
            root.display()
        ))
        .hint("Name another folder; the state directory is chosen by AML_HOME"));
    }
    let (sender, receiver) = mpsc::channel();
    let share = || Share {
        walked: Ok(Walked::default()),
        sender: sender.clone(),
    };
    let see = |entry: std::result::Result<DirEntry, ignore::Error>| match entry {
        Ok(entry) if entry.depth() == 0 => None,
        Ok(entry) => look(root, &entry),
        Err(e) if take == Take::Unignored && vanished(&e) => None,
        Err(e) => Some(Seen::Error(unreadable(&e.to_string()))),
    };
    let builder = match take {
        Take::Unignored => unignored(root),
        Take::Everything => everything(root),
    };
    let few: Vec<_> = builder.build().take(FEW + 1).collect();
    if few.len() <= FEW {
        let mut share = share();
        few.into_iter()
            .all(|entry| share.add(see(entry)) == WalkState::Continue);
    } else {
        builder.build_parallel().run(|| {
            let mut share = share();
            Box::new(move |entry| share.add(see(entry)))
        });
    }
    drop(sender);
    let mut walked = Walked::default();
    for share in receiver {
        let share = share?;
        walked.files.extend(share.files);
        walked.warnings.extend(share.warnings);
    }
    // The stable sort takes shares that are sorted as they are.
    walked.files.sort_by(|a, b| a.path.cmp(&b.path));
    walked.warnings.sort_unstable();
    Ok(walked)
}

/// What one thread of a walk has seen, sorted and sent when the thread is done.
struct Share {
    walked: Result<Walked>,
    sender: mpsc::Sender<Result<Walked>>,
}

impl Share {
    fn add(&mut self, seen: Option<Seen>) -> WalkState {
        match (seen, &mut self.walked) {
            (Some(Seen::File(found)), Ok(walked)) => walked.files.push(found),
            (Some(Seen::Warning(warning)), Ok(walked)) => walked.warnings.push(warning),
            (Some(Seen::Error(error)), walked) => {
                *walked = Err(error);
                return WalkState::Quit;
            }
            _ => {}
        }
        WalkState::Continue
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut walked = std::mem::replace(&mut self.walked, Ok(Walked::default()));
        if let Ok(walked) = &mut walked {
            walked.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        }
        // Nobody listens when another thread met an error.
        let _ = self.sender.send(walked);
    }
}

/// The paths of all files of a folder, sorted.
pub fn walk_everything(root: &Path) -> Result<Vec<String>> {
    let files = files_of(root)?.into_iter();
    Ok(files.map(|(path, _)| path).collect())
}

/// All files of a folder, sorted.
pub fn files_of(folder: &Path) -> Result<Vec<(String, Stat)>> {
    if let Some(files) = flat(folder) {
        return Ok(files);
    }
    let walked = walk(folder, Take::Everything)?.files.into_iter();
    Ok(walked.map(|found| (found.path, found.stat)).collect())
}

/// Whether a file, or a folder of plain files, has no more than so many files and bytes.
pub fn few_of(path: &Path, (most, bytes): (usize, u64)) -> bool {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => file.len() <= bytes,
        _ => flat(path).is_some_and(|files| {
            let all: u64 = files.iter().map(|(_, stat)| stat.size).sum();
            files.len() <= most && all <= bytes
        }),
    }
}

/// What tells whether anything of a file or folder changed, and how large all of it is.
pub fn stats_of(path: &Path) -> Result<(Hash, u64)> {
    let files = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => vec![(String::new(), Stat::of(&metadata))],
        _ => files_of(path)?,
    };
    let mut text = String::new();
    let mut bytes = 0;
    for (path, stat) in files {
        let Stat {
            size,
            modified,
            inode,
            ..
        } = stat;
        let _ = writeln!(text, "{path:?} {size} {modified} {inode}");
        bytes += size;
    }
    Ok((Hash::of(text.as_bytes()), bytes))
}

/// The files of a folder in which nothing else is than some plain files, sorted: looked at sooner than a
/// walk is begun.
fn flat(folder: &Path) -> Option<Vec<(String, Stat)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        if files.len() >= FEW || check_path(&name).is_err() || !entry.file_type().ok()?.is_file() {
            return None;
        }
        files.push((name, Stat::of(&entry.metadata().ok()?)));
    }
    files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Some(files)
}

fn everything(root: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    builder
        .standard_filters(false)
        .follow_links(true)
        .threads(threads())
        .filter_entry(|entry| entry.depth() == 0 || !(is_folder(entry) && is_state(entry.path())));
    builder
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_dir())
}

/// Whether this is a state directory: its keys and secrets are for no other workspace, and it changes
/// while it is read.
fn is_state(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    has("vault.key") && has("aml.db")
}

/// Threads that look at files at once. To find out reads files itself.
static THREADS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8)));

pub(super) fn threads() -> usize {
    *THREADS
}

fn unignored(root: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    // Ignore files above the folder count up to the root of its git repository.
    let in_git = root.ancestors().any(|folder| folder.join(".git").exists());
    builder
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .require_git(false)
        .parents(in_git)
        .follow_links(false)
        .threads(threads())
        .add_custom_ignore_filename(IGNORE_FILE);
    let docker = DockerRules::read(root);
    let own = Gitignore::new(root.join(IGNORE_FILE)).0;
    builder.filter_entry(move |entry| {
        if entry.depth() == 0 {
            return true;
        }
        let (path, name) = (entry.path(), entry.file_name());
        let is_folder = is_folder(entry);
        if name == ".git" || (is_folder && (name == ".aml" || is_state(path))) {
            return false;
        }
        !docker.leaves_out(path, is_folder)
            || own
                .matched_path_or_any_parents(path, is_folder)
                .is_whitelist()
    });
    builder
}

/// `.dockerignore` counts at the top only, and its patterns begin there: `data` is `/data` to git.
/// What is in a folder that is left out can be taken back.
struct DockerRules {
    root: PathBuf,
    rules: Gitignore,
    /// First parts of the patterns that take back.
    taken_back: Vec<String>,
}

impl DockerRules {
    fn read(root: &Path) -> Self {
        let mut builder = GitignoreBuilder::new(root);
        let mut taken_back = Vec::new();
        let text = fs::read_to_string(root.join(".dockerignore")).unwrap_or_default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (not, pattern) = match line.strip_prefix('!') {
                Some(pattern) => ("!", pattern.trim()),
                None => ("", line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            if !not.is_empty() {
                let first = pattern.split('/').next().unwrap_or_default();
                taken_back.push(first.to_owned());
            }
            // A pattern that cannot be understood leaves nothing out.
            let _ = builder.add_line(None, &format!("{not}/{pattern}"));
        }
        Self {
            root: root.to_owned(),
            rules: builder.build().unwrap_or_else(|_| Gitignore::empty()),
            taken_back,
        }
    }

    fn leaves_out(&self, path: &Path, is_folder: bool) -> bool {
        let matched = self.rules.matched_path_or_any_parents(path, is_folder);
        matched.is_ignore() && !(is_folder && self.may_take_back_below(path))
    }

    fn may_take_back_below(&self, folder: &Path) -> bool {
        let relative = folder.strip_prefix(&self.root).unwrap_or(folder);
        let top = relative.iter().next().unwrap_or_default();
        self.taken_back
            .iter()
            .any(|first| top == first.as_str() || first.contains(['*', '?', '[']))
    }
}

fn look(root: &Path, entry: &DirEntry) -> Option<Seen> {
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return None;
    }
    let full = entry.path();
    let relative = full.strip_prefix(root).unwrap_or(full);
    let path = match relative.to_str() {
        Some(path) if check_path(path).is_ok() => path.to_owned(),
        _ => return Some(Seen::Error(bad_name(relative))),
    };
    let seen = if kind.is_symlink() {
        look_at_link(root, full, path)
    } else if kind.is_file() {
        match entry.metadata() {
            Ok(metadata) => Ok(Seen::File(file(path, &metadata))),
            Err(e) if vanished(&e) => return None,
            Err(e) => Err(unreadable(&e.to_string())),
        }
    } else {
        Ok(Seen::Warning(format!(
            "`{path}` is not a file, folder or link and is left out"
        )))
    };
    Some(seen.unwrap_or_else(Seen::Error))
}

/// Whether a file was removed between the listing of its folder and the look at it.
fn vanished(error: &ignore::Error) -> bool {
    error
        .io_error()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// A file at `path` of a tree.
pub fn file(path: String, metadata: &Metadata) -> Found {
    Found {
        path,
        stat: Stat::of(metadata),
        executable: metadata.mode() & 0o100 != 0,
        link: None,
    }
}

/// A link within the folder stays one. Of one that leads out, the file is taken.
fn look_at_link(root: &Path, full: &Path, path: String) -> Result<Seen> {
    let failed = |e: std::io::Error| unreadable(&format!("{}: {e}", full.display()));
    let target = fs::read_link(full).map_err(failed)?;
    if let Some(text) = target.to_str()
        && check_link(&path, text).is_ok()
    {
        let mut found = file(path, &fs::symlink_metadata(full).map_err(failed)?);
        found.executable = false;
        found.link = Some(text.to_owned());
        return Ok(Seen::File(found));
    }
    let shown = target.display();
    Ok(match fs::metadata(full) {
        Ok(metadata) if metadata.is_file() => Seen::File(file(path, &metadata)),
        Ok(_) if inside(root, full) => Seen::Warning(format!(
            "The link `{path}` is left out: `{shown}` would not lead there in a copy; make it relative"
        )),
        Ok(_) => Seen::Warning(format!(
            "The link `{path}` is left out: it leads out of the folder, to `{shown}`"
        )),
        Err(_) => Seen::Warning(format!(
            "The link `{path}` is left out: there is no `{shown}`"
        )),
    })
}

fn inside(root: &Path, link: &Path) -> bool {
    fs::canonicalize(link).is_ok_and(|target: PathBuf| target.starts_with(root))
}

fn bad_name(relative: &Path) -> Error {
    let shown = relative.to_string_lossy();
    Error::invalid(format!(
        "The file name `{}` cannot be stored: it has a control character, a backslash, or is not UTF-8",
        shown.escape_debug()
    ))
    .hint(format!("Rename the file, or leave it out: add a line to {IGNORE_FILE}"))
}

fn unreadable(cause: &str) -> Error {
    Error::invalid(format!("Cannot read a part of the folder: {cause}")).hint(format!(
        "Make it readable, or leave it out: add a line to {IGNORE_FILE}"
    ))
}
