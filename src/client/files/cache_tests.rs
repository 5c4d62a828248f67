//! What the cache of a folder believes and what it sees.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, Instant},
};

use super::{Limit, Take, UploadOptions, prepare, tests::Folder};
use api::files::Hash;

/// Sets the time at which the file was last written to long ago.
fn age(file: &Path) {
    let old = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_001));
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_times(old)
        .unwrap();
}

#[test]
fn the_cache_saves_reading_and_never_hides_a_change() {
    let folder = Folder::with(&[]);
    let caches = tempfile::tempdir().unwrap();
    let file = folder.write("a", "first");
    let first = folder.prepare(caches.path());
    assert_eq!(first["a"], Hash::of(b"first"));

    // Changed at once, to the same size, with the old times put back: the change time tells.
    let times = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "other").unwrap();
    let back = fs::FileTimes::new().set_modified(times);
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_times(back)
        .unwrap();
    assert_eq!(folder.prepare(caches.path())["a"], Hash::of(b"other"));

    // Again and again, quicker than any clock's tick.
    for round in 0..50 {
        let content = format!("{round:05}");
        fs::write(&file, &content).unwrap();
        assert_eq!(
            folder.prepare(caches.path())["a"],
            Hash::of(content.as_bytes())
        );
    }

    // A damaged cache is as good as none.
    for cache in fs::read_dir(caches.path()).unwrap().flatten() {
        let mut bytes = fs::read(cache.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(cache.path(), bytes).unwrap();
    }
    assert_eq!(folder.prepare(caches.path())["a"], Hash::of(b"00049"));
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let folder = Folder::with(&[]);
    let caches = tempfile::tempdir().unwrap();
    let file = folder.write("a", "content");
    age(&file);
    // Until the clock has moved on, the file counts as just changed and is not remembered.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let known = folder.prepare(caches.path());
        assert_eq!(known["a"], Hash::of(b"content"));
        let cached = fs::read_dir(caches.path())
            .unwrap()
            .flatten()
            .map(|c| c.metadata().unwrap().len());
        if cached.sum::<u64>() > 80 {
            break;
        }
        assert!(Instant::now() < deadline, "the file is never remembered");
    }
    // The cache is believed: what it says of an unchanged file is what comes out.
    let cache = fs::read_dir(caches.path())
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let mut bytes = fs::read(&cache).unwrap();
    let hash = Hash::of(b"content").0;
    let at = bytes.windows(32).position(|window| window == hash).unwrap();
    bytes[at..at + 32].copy_from_slice(&[7; 32]);
    let end = bytes.len() - 32;
    let sum = Hash::of(&bytes[..end]).0;
    bytes[end..].copy_from_slice(&sum);
    fs::write(&cache, bytes).unwrap();
    assert_eq!(folder.prepare(caches.path())["a"], Hash([7; 32]));
    // A change of its time alone makes it be read.
    fs::write(&file, "content").unwrap();
    assert_eq!(folder.prepare(caches.path())["a"], Hash::of(b"content"));
}

#[test]
fn a_folder_in_which_nothing_has_changed_is_known_by_its_tree() {
    let folder = Folder::with(&["b/c", "d"]);
    let caches = tempfile::tempdir().unwrap();
    symlink("d", folder.root().join("link")).unwrap();
    let options = UploadOptions {
        cache: Some(caches.path().to_owned()),
        limit: Limit::default(),
        take: Take::Unignored,
        report: None,
    };
    let list = || prepare::list(&folder.root(), &options).unwrap();
    // Until the clock has moved on, the files count as just changed.
    let known = || {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (prepared, tree) = list().read(None).unwrap();
            assert_eq!(prepared.tree.hash(), tree);
            let unchanged = list().unchanged;
            if unchanged.is_some() {
                break assert_eq!(unchanged, Some(tree));
            }
            assert!(Instant::now() < deadline, "the tree is never remembered");
        }
    };
    known();
    let changes: [&dyn Fn(&Path); 5] = [
        &|root| fs::write(root.join("new"), "x").unwrap(),
        &|root| fs::remove_file(root.join("new")).unwrap(),
        &|root| fs::write(root.join("d"), "y").unwrap(),
        &|root| {
            fs::set_permissions(root.join("d"), Permissions::from_mode(0o755)).unwrap();
        },
        &|root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("b/c", root.join("link")).unwrap();
        },
    ];
    for change in changes {
        change(&folder.root());
        assert_eq!(list().unchanged, None);
        known();
    }
    // What is taken of a folder is part of what it is.
    let everything = UploadOptions {
        take: Take::Everything,
        ..options.clone()
    };
    let other = prepare::list(&folder.root(), &everything).unwrap();
    assert_eq!(other.unchanged, None);
}
