//! Folders stored as snapshots, and the space they take.

use std::fs;

use expect_test::expect;
use nix::sys::signal::Signal;

use crate::support::{Aml, each_mode, eventually};

#[test]
fn a_folder_is_stored_once_and_its_size_is_shown() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write("src/train.py", "print('hi')\n");
        aml.write("src/lib/ü ñ.py", "print('hi')\n");
        aml.write("src/data/huge.bin", vec![7; 100_000]);
        aml.write("src/.gitignore", "data/\n");
        let first = aml.json("snapshot src");
        assert_eq!((&first["files"], &first["size"]), (&3.into(), &30.into()));
        assert_eq!(first["sent"], 18, "what is there twice is sent once");
        let again = aml.json("snapshot src");
        assert_eq!(
            (&again["hash"], &again["sent"]),
            (&first["hash"], &0.into())
        );
        aml.ok("workspace create -n other");
        let elsewhere = aml.json("snapshot src -w other");
        assert_eq!(
            (&elsewhere["hash"], &elsewhere["sent"]),
            (&first["hash"], &0.into())
        );
        aml.write("src/train.py", "print('ho')\n");
        let changed = aml.json("snapshot src -w churn");
        assert_ne!(changed["hash"], first["hash"]);
        assert_eq!(changed["sent"], 12);
        // Without a name, the current folder.
        assert_eq!(
            aml.within("src").json("snapshot -w churn")["hash"],
            changed["hash"]
        );
    });
}

#[test]
fn what_cannot_be_stored_is_said_before_anything_is_copied() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write("src/train.py", "print('hi')\n");
        let large = fs::File::create(aml.path("src/model.ckpt")).expect("makes a file");
        large
            .set_len(20 << 30)
            .expect("makes it large without taking space");
        let refused = aml.within("src").fails(2, "snapshot .");
        expect![[r#"
            Error: `.` has 20.00 GiB in 2 files; at most 2.00 GiB in 200000 files are taken. Largest:
              model.ckpt  20.00 GiB
              train.py  12 B
            Hint: Leave out what is no code: printf '%s\n' /model.ckpt >> ./.amlignore
            Hint: Or take it all: --max-code-size with a larger size, such as 50GB
        "#]]
        .assert_eq(&refused);
        // The hint can be pasted.
        aml.within("src")
            .sh(r"printf '%s\n' /model.ckpt >> ./.amlignore")
            .ok();
        assert_eq!(aml.json("snapshot src")["files"], 2);
        expect![[r#"
            Error: There is no folder `scr`
            Hint: Did you mean `src`?
        "#]]
        .assert_eq(&aml.fails(2, "snapshot scr"));
        aml.write("src/new\nline", "");
        expect![[r#"
            Error: The file name `new\nline` cannot be stored: it has a control character, a backslash, or is not UTF-8
            Hint: Rename the file, or leave it out: add a line to .amlignore
        "#]]
        .assert_eq(&aml.fails(2, "snapshot src"));
        aml.write("src/.amlignore", "*\n");
        let empty = aml.run("snapshot src");
        assert!(
            empty.stderr.contains("Nothing of `src` is stored"),
            "{}",
            empty.stderr
        );
    });
}

#[test]
fn space_that_nothing_uses_is_freed() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write("src/a", vec![1; 70_000]);
        aml.write("src/b", vec![2; 50_000]);
        aml.ok("snapshot src");
        let young = aml.run("gc");
        assert!(
            young.stderr.contains("are younger than 3600 s and stay"),
            "{}",
            young.stderr
        );
        assert_eq!(young.json()["bytes"], 0);
        let stored = stored(aml);
        assert!(stored > 120_000);
        let promised = aml.json("gc --dry-run --grace-seconds 0");
        assert_eq!(promised["bytes"], stored);
        assert_eq!(self::stored(aml), stored, "a dry run frees nothing");
        assert_eq!(aml.json("gc --grace-seconds 0"), promised);
        assert_eq!(self::stored(aml), 0);
        // What was freed is sent again when it is needed.
        assert_eq!(aml.json("snapshot src")["sent"], 120_000);
    });
}

#[test]
fn ctrl_c_during_an_upload_leaves_nothing_half_stored() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write("src/train.py", "print('hi')\n");
        let large = fs::File::create(aml.path("src/weights.bin")).expect("makes a file");
        large
            .set_len(1 << 30)
            .expect("makes it large without taking space");
        let upload = aml.start("snapshot src");
        eventually("the upload has begun", 60, || {
            (stored(aml) > 0).then_some(())
        });
        upload.signal(Signal::SIGINT);
        let output = upload.wait(30);
        assert_eq!(output.status, 130, "{}", output.stderr);
        assert_eq!(output.stdout, "");
        // What came before the end of it is no file of anybody.
        eventually("what is left can be freed", 30, || {
            aml.ok("gc --grace-seconds 0");
            (stored(aml) == 0).then_some(())
        });
        fs::remove_file(aml.path("src/weights.bin")).expect("removes the file");
        assert_eq!(aml.json("snapshot src")["sent"], 12);
    });
}

#[test]
fn environments_are_freed_unless_an_endpoint_has_them() {
    let aml = &Aml::local();
    aml.ok("workspace create -n churn");
    aml.write("one.txt", "");
    aml.ok("run submit -e exp --env one.txt -s -- true");
    let freed = |line: &str| aml.json(format!("gc {line} --query environments.environments"));
    assert_eq!(freed(""), 0, "it was just used");
    assert_eq!(freed("--environments-unused 0 --dry-run"), 1);
    // One in which something runs stays.
    aml.ok("run submit -n long -e exp --env one.txt -- 'touch begun; sleep 60'");
    eventually("it runs", 30, || {
        (aml.json("run show long --query status") == "Running").then_some(())
    });
    assert_eq!(freed("--environments-unused 0"), 0);
    aml.ok("run cancel long");
    eventually("it has ended", 30, || {
        (freed("--environments-unused 0") == 1).then_some(())
    });
    // It is made again when it is needed again.
    aml.ok("run submit -e exp --env one.txt -s -- 'test -e \"$VIRTUAL_ENV/bin/python\"'");
}

/// Bytes of content in the state directory.
fn stored(aml: &Aml) -> u64 {
    let files = fs::read_dir(aml.state().join("blobs"));
    let files = files.into_iter().flatten().flatten();
    files
        // One may go at this very moment.
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}
