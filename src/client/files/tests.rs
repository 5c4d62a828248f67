//! What a walk takes, what the cache believes, what a download refuses.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tempfile::TempDir;

use super::{
    Client, Limit, Take, UploadOptions, download, prepare,
    walk::{Walked, walk},
    walk_everything,
};
use api::{
    Code, Error,
    files::{Hash, Tree, TreeEntry, check_link},
    frames,
};

pub(super) struct Folder(TempDir);

impl Folder {
    /// A folder with empty files at these paths.
    pub(super) fn with(paths: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for path in paths {
            folder.write(path, "");
        }
        folder
    }

    pub(super) fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(super) fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn walk(&self) -> Walked {
        walk(&self.root(), Take::Unignored).unwrap()
    }

    fn taken(&self) -> Vec<String> {
        self.walk()
            .files
            .into_iter()
            .map(|found| found.path)
            .collect()
    }

    pub(super) fn prepare(&self, cache: &Path) -> BTreeMap<String, Hash> {
        let options = UploadOptions {
            cache: Some(cache.to_owned()),
            limit: Limit::default(),
            take: Take::Unignored,
            report: None,
        };
        let listed = prepare::list(&self.root(), &options).unwrap();
        let (prepared, _) = listed.read(None).unwrap();
        prepared
            .tree
            .entries
            .into_iter()
            .map(|entry| (entry.path, entry.hash))
            .collect()
    }
}

#[test]
fn each_ignore_file_counts_by_its_own_rules() {
    let check = |file: &str, rules: &str, paths: &[&str], expected: &[&str]| {
        let folder = Folder::with(paths);
        folder.write(file, rules);
        let mut taken = folder.taken();
        taken.retain(|path| path != file);
        assert_eq!(taken, expected, "{file}: {rules:?}");
    };
    let tree = &["a.pyc", "data/x", "src/data/x", "src/train.py", ".env"];
    check(
        ".gitignore",
        "*.pyc\n/data/\n",
        tree,
        &[".env", "src/data/x", "src/train.py"],
    );
    check(
        ".gitignore",
        "data\n!a.pyc",
        tree,
        &[".env", "a.pyc", "src/train.py"],
    );
    check(
        ".amlignore",
        "data\n.env\n",
        tree,
        &["a.pyc", "src/train.py"],
    );
    check(
        "src/.gitignore",
        "data",
        tree,
        &[".env", "a.pyc", "data/x", "src/train.py"],
    );
    check(
        ".dockerignore",
        "data\n",
        tree,
        &[".env", "a.pyc", "src/data/x", "src/train.py"],
    );
    check(
        ".dockerignore",
        "**/data\n# no\n",
        tree,
        &[".env", "a.pyc", "src/train.py"],
    );
    check(
        ".dockerignore",
        "*\n!src\n",
        tree,
        &["src/data/x", "src/train.py"],
    );
    check(
        ".dockerignore",
        "*\n!src/train.py\n",
        tree,
        &["src/train.py"],
    );
    check(".dockerignore", "./data/\n/src\n", tree, &[".env", "a.pyc"]);
    check(
        "src/.dockerignore",
        "data",
        tree,
        &[".env", "a.pyc", "data/x", "src/data/x", "src/train.py"],
    );
    check(".ignore", "*", tree, tree_sorted(tree).as_slice());
}

fn tree_sorted<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let mut paths = paths.to_vec();
    paths.sort_unstable();
    paths
}

#[test]
fn the_ignore_file_of_our_own_has_the_last_word() {
    let folder = Folder::with(&["model.bin", "notes.txt", "keep.txt"]);
    folder.write(".gitignore", "*.bin\nkeep.txt\n");
    folder.write(".dockerignore", "notes.txt\n");
    folder.write(".amlignore", "!*.bin\n!notes.txt\n");
    let taken = folder.taken();
    assert_eq!(
        taken,
        [
            ".amlignore",
            ".dockerignore",
            ".gitignore",
            "model.bin",
            "notes.txt"
        ]
    );
}

#[test]
fn a_state_directory_is_never_taken_along() {
    let folder = Folder::with(&[
        "a.py",
        "home/vault.key",
        "home/aml.db",
        "home/blobs/p",
        "x/aml.db",
    ]);
    assert_eq!(folder.taken(), ["a.py", "x/aml.db"]);
    let all = walk_everything(&folder.root()).unwrap();
    assert_eq!(all, ["a.py", "x/aml.db"]);
}

#[test]
fn what_belongs_to_tools_is_left_out_and_rules_of_the_repository_count() {
    let folder = Folder::with(&[
        ".git/config",
        ".aml/config.toml",
        "src/a.py",
        "src/b.pyc",
        "src/.git",
    ]);
    folder.write(".gitignore", "*.pyc");
    assert_eq!(
        walk(&folder.root().join("src"), Take::Unignored)
            .unwrap()
            .files
            .len(),
        1
    );
    fs::remove_dir_all(folder.root().join(".git")).unwrap();
    fs::remove_file(folder.root().join("src/.git")).unwrap();
    let outside = walk(&folder.root().join("src"), Take::Unignored).unwrap();
    assert_eq!(
        outside.files.len(),
        2,
        "rules above count in a repository only"
    );
}

#[test]
fn ignored_folders_are_not_entered() {
    // A name that cannot be stored is an error when it is seen.
    let folder = Folder::with(&["secret/new\nline", "a"]);
    folder.write(".gitignore", "secret");
    assert_eq!(folder.taken(), [".gitignore", "a"]);
}

#[test]
fn links_stay_within_the_folder() {
    let elsewhere = Folder::with(&["file", "folder/x"]);
    let folder = Folder::with(&["sub/file"]);
    let link = |target: &Path, name: &str| symlink(target, folder.root().join(name)).unwrap();
    link(Path::new("sub/file"), "inside");
    link(Path::new("../sub"), "sub/loop");
    link(&elsewhere.root().join("file"), "outside");
    link(&elsewhere.root().join("folder"), "outside-folder");
    link(&folder.root().join("sub"), "absolute");
    link(Path::new("/no/such/thing"), "broken");
    let walked = folder.walk();
    let kept: Vec<_> = walked
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.link.as_deref()))
        .collect();
    assert_eq!(
        kept,
        [
            ("inside", Some("sub/file")),
            ("outside", None),
            ("sub/file", None),
            ("sub/loop", Some("../sub")),
        ]
    );
    assert_eq!(walked.warnings.len(), 3);
    assert!(walked.warnings[0].ends_with("would not lead there in a copy; make it relative"));
    assert!(walked.warnings[1].ends_with("there is no `/no/such/thing`"));
    assert!(walked.warnings[2].contains("leads out of the folder"));
}

#[test]
fn a_link_that_could_lead_out_is_refused() {
    for (path, target) in [
        ("a", "b"),
        ("a/b", "../c"),
        ("a/b", "c/d"),
        ("a/b/c", "../../d"),
        ("a", "."),
    ] {
        check_link(path, target).unwrap();
    }
    for (path, target) in [
        ("a", "/etc"),
        ("a", ".."),
        ("a", "../b"),
        ("a/b", "../../c"),
        ("a/b", "c/../d"),
        ("a/b", "../c/.."),
        ("a", ""),
        ("a", "b\n"),
        ("a/b", "./../.."),
    ] {
        assert!(check_link(path, target).is_err(), "{path} -> {target}");
    }
}

#[test]
fn names_that_cannot_be_stored_are_refused_unless_ignored() {
    for name in ["new\nline", "back\\slash"] {
        let folder = Folder::with(&["fine", name]);
        let refused = walk(&folder.root(), Take::Unignored).unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        assert!(
            refused.message.contains(&name.escape_debug().to_string()),
            "{}",
            refused.message
        );
        folder.write(".amlignore", "new*\nback*\n");
        assert_eq!(folder.taken(), [".amlignore", "fine"]);
    }
}

#[test]
fn a_state_directory_is_taken_neither_whole_nor_within_a_folder() {
    let folder = Folder::with(&[
        "train.py",
        "state/aml.db",
        "state/vault.key",
        "state/blobs/x",
    ]);
    for take in [Take::Unignored, Take::Everything] {
        let walked = walk(&folder.root(), take).unwrap();
        let paths: Vec<_> = walked.files.iter().map(|file| &file.path).collect();
        assert_eq!(paths, ["train.py"]);
        let refused = walk(&folder.root().join("state"), take).unwrap_err();
        assert!(
            refused.message.ends_with("are for nobody else"),
            "{}",
            refused.message
        );
    }
}

#[test]
fn a_large_folder_is_refused_unread_with_the_lines_that_help() {
    let folder = Folder::with(&["train.py"]);
    for (path, size) in [
        ("data/raw/deep/a.bin", 15_u64 << 30),
        ("my [best] run.ckpt", 5 << 30),
        ("b.bin", 1 << 30),
    ] {
        let file = fs::File::create(folder.write(path, "")).unwrap();
        file.set_len(size).unwrap();
    }
    let walked = folder.walk();
    let began = Instant::now();
    let refused = Limit::default()
        .check(Path::new("code"), &walked.files)
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(
        refused.message,
        "`code` has 21.00 GiB in 4 files; at most 2.00 GiB in 200000 files are taken. Largest:\n  \
         data/raw/deep/  15.00 GiB in 1 files\n  my [best] run.ckpt  5.00 GiB\n  b.bin  1.00 GiB\n  train.py  0 B"
    );
    assert_eq!(
        refused.hints[0],
        "Leave out what is no code: printf '%s\\n' /data/raw/deep/ '/my\\ \\[best\\]\\ run.ckpt' >> code/.amlignore"
    );
    // The lines do what they say.
    folder.write(
        ".amlignore",
        "/data/raw/deep/\n/my\\ \\[best\\]\\ run.ckpt\n",
    );
    let walked = folder.walk();
    Limit::default()
        .check(&folder.root(), &walked.files)
        .unwrap();
    assert_eq!(folder.taken(), [".amlignore", "b.bin", "train.py"]);

    let small = Limit {
        bytes: 1 << 20,
        files: u64::MAX,
    };
    let refused = small.check(Path::new("code"), &walked.files).unwrap_err();
    let most = "`code` has 1.00 GiB in 3 files; at most 1.00 MiB are taken. Largest:\n";
    assert!(refused.message.starts_with(most), "{}", refused.message);

    let few = Limit {
        bytes: u64::MAX,
        files: 2,
    };
    let refused = few.check(&folder.root(), &walked.files).unwrap_err();
    assert!(
        refused.message.contains("in 3 files; at most"),
        "{}",
        refused.message
    );
    Limit::NONE.check(&folder.root(), &walked.files).unwrap();
}

fn entry(path: &str, content: &str, symlink: bool) -> TreeEntry {
    TreeEntry {
        path: path.to_owned(),
        hash: Hash::of(content.as_bytes()),
        size: content.len() as u64,
        executable: false,
        symlink,
    }
}

/// Lays out what a server says and sends.
fn lay_out(entries: Vec<TreeEntry>, sent: &[(Hash, &str)], to: &Path) -> Result<Tree, Error> {
    let frame = |(hash, content): &(Hash, &str)| {
        let mut frame = frames::header(*hash, content.len() as u64).to_vec();
        frame.extend_from_slice(content.as_bytes());
        Ok(Bytes::from(frame))
    };
    download::write(Tree::new(entries), to, sent.iter().map(frame), None)
}

#[test]
fn a_download_writes_nothing_outside_its_folder() {
    let world = Folder::with(&["outside/file"]);
    let hash = |content: &str| Hash::of(content.as_bytes());
    // A link in the way of a folder.
    let to = world.root().join("to");
    fs::create_dir(&to).unwrap();
    symlink(world.root().join("outside"), to.join("logs")).unwrap();
    let refused = lay_out(vec![entry("logs/x", "x", false)], &[(hash("x"), "x")], &to).unwrap_err();
    assert!(
        refused.message.contains("is in the way"),
        "{}",
        refused.message
    );
    // A link at the file's own place is replaced, not followed.
    symlink(world.root().join("outside/file"), to.join("file")).unwrap();
    lay_out(
        vec![entry("file", "new", false)],
        &[(hash("new"), "new")],
        &to,
    )
    .unwrap();
    assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "new");
    assert_eq!(
        fs::read_to_string(world.root().join("outside/file")).unwrap(),
        ""
    );
    // A server that sends links that lead out.
    for target in ["/etc", "..", "../outside", "a/../../outside"] {
        let refused = lay_out(
            vec![entry("l", target, true)],
            &[(hash(target), target)],
            &to,
        );
        assert_eq!(refused.unwrap_err().code, Code::Invalid, "{target}");
        assert!(fs::symlink_metadata(to.join("l")).is_err());
    }
    let left: Vec<_> = fs::read_dir(world.root().join("outside"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_download_is_whole_or_an_error() {
    let world = Folder::with(&[]);
    let to = world.root().join("to");
    let a = Hash::of(b"a");
    let wrong = lay_out(vec![entry("a", "a", false)], &[(a, "b")], &to).unwrap_err();
    assert!(wrong.message.contains("damaged"), "{}", wrong.message);
    let missing = lay_out(vec![entry("a", "a", false)], &[], &to).unwrap_err();
    assert!(
        missing.message.contains("did not send `a`"),
        "{}",
        missing.message
    );
    let more = lay_out(vec![], &[(a, "a")], &to).unwrap_err();
    assert!(more.message.contains("not asked for"), "{}", more.message);
    assert_eq!(
        fs::read_dir(&to).unwrap().count(),
        0,
        "no half file and no temporary one"
    );
}

#[test]
fn what_a_killed_download_has_left_goes_with_the_next() {
    let world = Folder::with(&[]);
    let to = world.root().join("to");
    let a = Hash::of(b"a");
    let entries = || vec![entry("b/a", "a", false)];
    fs::create_dir_all(to.join("b")).unwrap();
    for name in [&format!(".aml-{}.tmp", "0".repeat(32)), ".aml-notes.tmp"] {
        fs::write(to.join("b").join(name), "").unwrap();
    }
    let used = download::Temporary::create(&to.join("b/x")).unwrap();
    lay_out(entries(), &[(a, "a")], &to).unwrap();
    let names = || fs::read_dir(to.join("b")).unwrap().count();
    assert_eq!(names(), 3, "what somebody uses, and what is somebody's");
    drop(used);
    assert_eq!(names(), 2);
}

/// What ctrl-C does to a download.
#[tokio::test]
async fn a_download_that_is_given_up_leaves_no_half_a_file() {
    let content = b"never whole";
    let entry = TreeEntry {
        path: "data.bin".to_owned(),
        hash: Hash::of(content),
        size: 1 << 20,
        executable: false,
        symlink: false,
    };
    let tree = Tree::new(vec![entry.clone()]);
    let begun = move || {
        let mut begun = frames::header(entry.hash, entry.size).to_vec();
        begun.extend_from_slice(content);
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(begun))]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let server = Router::new()
        .route("/api/v1/trees.get", post(async move || Json(tree)))
        .route("/api/v1/trees/{hash}/files", get(async move || begun()));
    let folder = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let client = Client::in_process(server);
    {
        let hash = Hash::of(content);
        let download = client.download_tree("w", hash, folder.path(), None);
        let has_begun = async {
            while files() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            done = download => panic!("it has ended: {done:?}"),
            () = has_begun => {}
        }
    }
    while files() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
