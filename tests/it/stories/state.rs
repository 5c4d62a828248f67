//! The state directory and the configuration: several commands at once, and what may be wrong.

use std::{fs, os::unix::fs::PermissionsExt};

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, Output, components, each_mode};

#[test]
fn commands_at_once_on_a_new_machine() {
    each_mode(|aml| {
        std::thread::scope(|scope| {
            for n in 0..8 {
                scope.spawn(move || aml.ok(format!("workspace create -n w{n}")));
            }
        });
        let names = aml.json("workspace list --query '[].name'");
        assert_eq!(
            names,
            json!(["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"])
        );
    });
}

#[test]
fn others_cannot_read_the_state_directory() {
    let aml = Aml::local();
    let mode = |path: &str| {
        let meta = fs::metadata(aml.state().join(path)).expect("is there");
        meta.permissions().mode() & 0o777
    };
    let open = || fs::set_permissions(aml.state(), fs::Permissions::from_mode(0o755));
    fs::create_dir(aml.state()).expect("makes the folder");
    open().expect("opens it to others");
    aml.ok("workspace create -n churn");
    assert_eq!(mode(""), 0o700, "an empty one is ours");
    fs::remove_dir_all(aml.state()).expect("removes it");
    fs::create_dir(aml.state()).expect("makes the folder");
    fs::write(aml.state().join("notes"), "mine").expect("writes");
    open().expect("opens it to others");
    aml.ok("workspace create -n churn");
    assert_eq!(mode(""), 0o755, "one that is used for other things stays");
    for file in ["aml.db", "vault.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let doctor = aml.run("doctor -o table").stdout;
    assert!(doctor.contains("can be entered by others"), "{doctor}");
    assert!(doctor.contains("chmod 700 "), "{doctor}");
}

#[test]
fn of_two_that_create_the_same_one_wins() {
    each_mode(|aml| {
        let mut codes: Vec<i32> = std::thread::scope(|scope| {
            let create = |name: &'static str| {
                scope.spawn(move || aml.run(["workspace", "create", "-n", name]).status)
            };
            let both = [create("churn"), create("CHURN")];
            both.map(|thread| thread.join().expect("ends")).to_vec()
        });
        codes.sort_unstable();
        assert_eq!(codes, [0, 5]);
    });
}

#[test]
fn a_broken_configuration_file() {
    let aml = Aml::local();
    let file = aml.root().join("config.toml");
    fs::write(&file, "workspace = \"churn\"\n[worker]\nslots = many\n").expect("writes");
    expect![[r#"
        Error: $ROOT/config.toml:3:9: `many` is not a whole number of at least 1
          | slots = many
        Hint: Correct the line or remove the file
    "#]]
    .assert_eq(&aml.fails(2, "workspace list"));
    fs::write(
        &file,
        "profile = team\n[profiles.team]\nurl = \"http://a\"\n",
    )
    .expect("writes");
    expect![[r#"
        Error: $ROOT/config.toml:1:11: text must be in quotes: "team"
          | profile = team
        Hint: Correct the line or remove the file
    "#]]
    .assert_eq(&aml.fails(2, "workspace list"));
    fs::write(&file, "[profiles.team]\nurl = \"not a url\"\n").expect("writes");
    expect![[r#"
        Error: $ROOT/config.toml:2:7: `not a url` does not say http or https
          | url = "not a url"
        Hint: With TLS: https://not a url
        Hint: Without: http://not a url
        Hint: Correct the line or remove the file
    "#]]
    .assert_eq(&aml.fails(2, "workspace list"));
    fs::write(&file, b"# Caf\xe9\nworkspace = \"churn\"\n").expect("writes");
    expect![[r#"
        Error: $ROOT/config.toml:1:6: A character is not written in UTF-8
        Hint: Save the file in UTF-8, or write the character anew
    "#]]
    .assert_eq(&aml.fails(2, "workspace list"));
    fs::write(&file, "workspce = \"churn\"\n").expect("writes");
    expect![[r#"
        Error: $ROOT/config.toml:1:1: unknown field `workspce`, expected one of `workspace`, `profile`, `profiles`, `worker`, `webhooks`, `mirrors`, `environments`
          | workspce = "churn"
        Hint: Correct the line or remove the file
    "#]].assert_eq(&aml.fails(2, "workspace list"));
    fs::write(&file, "[worker]\nslots = 0\n").expect("writes");
    let none = aml.fails(2, "workspace list");
    assert!(none.contains("config.toml:2:9: "), "{none}");
    fs::write(&file, "").expect("writes");
    aml.write(".aml/config.toml", "workspace = [\n");
    aml.ok("workspace create -n churn");
    expect![[r#"
        Error: $ROOT/here/.aml/config.toml:1:14: unclosed array, expected `]`
          | workspace = [
        Hint: Correct the line or remove the file
    "#]]
    .assert_eq(&aml.fails(2, "workspace show"));
}

#[test]
fn a_state_directory_of_a_newer_version() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    let database = rusqlite::Connection::open(aml.state().join("aml.db")).expect("opens");
    database
        .pragma_update(None, "user_version", 999)
        .expect("writes");
    drop(database);
    let error = aml.fails(7, "workspace list");
    let (first, hint) = error.split_once('\n').expect("a hint");
    let known = first.strip_prefix(
        "Error: The state directory has format 999; this version of aml knows formats up to ",
    );
    known
        .and_then(|format| format.parse::<u32>().ok())
        .expect("a number");
    assert_eq!(
        hint,
        "Hint: Install the newer aml that wrote it, or use another directory: set AML_HOME\n"
    );
}

#[test]
fn a_state_directory_that_cannot_be_used() {
    let aml = Aml::local();
    fs::write(aml.state(), "a file").expect("writes");
    expect![[r#"
        Error: The state directory `$ROOT/state` is a file
        Hint: Name a folder: set AML_HOME
    "#]]
    .assert_eq(&aml.fails(6, "workspace list"));
    fs::remove_file(aml.state()).expect("removes");

    // Nobody, root included, can write below /proc.
    let aml = aml.with("AML_HOME", "/proc/aml");
    expect![[r#"
        Error: Cannot make `/proc/aml`: No such file or directory (os error 2)
    "#]]
    .assert_eq(&aml.fails(6, "workspace list"));
}

#[test]
fn a_database_that_is_none() {
    let aml = Aml::local();
    fs::create_dir(aml.state()).expect("makes the folder");
    fs::write(
        aml.state().join("aml.db"),
        "this is not a database, it is text",
    )
    .expect("writes");
    expect![[r#"
        --- stderr
        Error: The state directory's database is damaged: file is not a database
        Hint: Restore the state directory from a copy
        [exit 6]
    "#]]
    .assert_eq(&aml.run("workspace list").to_string());
}

#[test]
fn the_state_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    let mode = fs::metadata(aml.state())
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    // In a directory that others can enter, too.
    let open = aml.path("open");
    fs::create_dir(&open).expect("makes the folder");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("opens it");
    aml.with("AML_HOME", &open).ok("workspace create -n churn");
    for file in fs::read_dir(&open).expect("lists") {
        let file = file.expect("is there");
        let meta = file.metadata().expect("is there");
        if file.file_name().to_string_lossy().starts_with("aml.db") {
            assert_eq!(meta.permissions().mode() & 0o077, 0, "{file:?}");
        }
    }
}

/// Runs a script with a small disk of its own at `disk`, where `AML_HOME` is.
fn on_a_small_disk(aml: &Aml, size: &str, script: &str) -> Option<Output> {
    fs::create_dir(aml.path("disk")).expect("makes the folder");
    let aml = aml.with("AML_HOME", aml.path("disk/state"));
    let mount = format!("mount -t tmpfs -o size={size} none disk");
    if aml
        .sh(&format!("unshare --map-root-user --mount sh -c '{mount}'"))
        .status
        != 0
    {
        components::skipped("this machine mounts nothing for tests");
        return None;
    }
    let script = format!("{mount} && {script}");
    let output = aml.sh(&format!(
        "unshare --map-root-user --mount sh -c \"{script}\""
    ));
    Some(output)
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let aml = Aml::local();
    let script = "for n in 1 2 3 4 5 6 7 8 9; do
            aml workspace create -n w-\\$n --description \\$(printf %099999d 0) -o none || break
            echo w-\\$n
        done
        echo exit
        aml workspace list --query '[].name' -o tsv";
    let Some(output) = on_a_small_disk(&aml, "1m", script) else {
        return;
    };
    let stderr = output.normal(&output.stderr);
    let stdout = output.ok();
    let (acknowledged, kept) = stdout.split_once("exit\n").expect("both lists");
    assert_eq!(acknowledged, kept);
    assert!(!kept.is_empty() && !kept.contains("w-9"), "{kept}");
    expect![[r#"
        Error: The disk that holds the state directory is full
        Hint: Free some space on that disk outside the state directory (`aml run delete` and `aml gc` need some themselves), or move the state directory: set AML_HOME
    "#]]
    .assert_eq(&stderr);
}

/// Readers share an index of what was written last; a full disk has no room for one when nobody has.
#[test]
fn a_full_disk_can_be_read_when_nobody_has_the_database_open() {
    let aml = Aml::local();
    let script = "aml workspace create -n w -o none
        rm -f disk/state/aml.db-shm
        head -c 9000000 /dev/zero > disk/filler 2>/dev/null
        aml workspace list --query '[].name' -o tsv
        aml run list -w w -o json
        aml workspace create -n x 2>/dev/null || echo exit \\$?
        rm disk/filler
        aml workspace create -n x --query name -o tsv";
    let Some(output) = on_a_small_disk(&aml, "2m", script) else {
        return;
    };
    assert_eq!(output.ok(), "w\n[]\nexit 6\nx\n");
}

#[test]
fn a_run_that_fills_the_disk_ends_and_says_so() {
    let aml = Aml::local();
    let script = "aml workspace create -n w -o none
        aml run submit -e x -n full -s -- 'echo begun; head -c 9000000 /dev/zero > outputs/x || exit 3'
        echo exit \\$?
        aml run show full --query '[status, exit_code, history[-2].status]' -o tsv";
    let Some(output) = on_a_small_disk(&aml, "3m", script) else {
        return;
    };
    let stderr = output.normal(&output.stderr);
    let stdout = output.ok();
    assert!(stdout.starts_with("begun\n"), "{stdout}");
    assert!(
        stdout.ends_with("exit 10\nFailed\n3\nFinalizing\n"),
        "{stdout}\n{stderr}"
    );
    let reason = "The command ended with exit code 3; the disk was full, and its outputs";
    assert!(stderr.contains(reason), "{stderr}");
    assert!(stderr.contains("Warning: The disk that holds"), "{stderr}");
}

#[test]
fn a_database_whose_key_is_lost() {
    let aml = Aml::local();
    aml.ok("workspace create -n w -o none");
    let key = aml.state().join("vault.key");
    let copy = fs::read(&key).expect("reads the key");
    fs::remove_file(&key).expect("removes the key");
    for line in ["secret list", "workspace list", "serve --port 0"] {
        let error = aml.fails(6, line);
        assert!(
            error.contains("vault.key` is missing\nHint: Restore it"),
            "{error}"
        );
    }
    let checks = aml.run("doctor -o json");
    assert!(checks.stdout.contains("vault.key` is missing"), "{checks}");
    assert!(!key.exists(), "no other one is made");
    fs::write(&key, copy).expect("restores the key");
    aml.ok("secret list");
}

#[test]
fn a_read_only_disk() {
    let aml = Aml::local();
    let script = "aml workspace create -n churn -o none
        mount -o remount,ro disk
        aml workspace create -n fraud";
    let Some(output) = on_a_small_disk(&aml, "1m", script) else {
        return;
    };
    let stderr = output.failed(6);
    // SQLite says the rest in one of two ways.
    let (what, hint) = stderr
        .split_once(": attempt")
        .or_else(|| stderr.split_once(": unable"))
        .expect("SQLite's own words follow");
    assert_eq!(what, "Error: The state directory cannot be written");
    assert!(hint.ends_with(
        "\nHint: Check its owner and permissions, or choose another one: set AML_HOME\n"
    ));
}

#[test]
fn a_state_directory_that_cannot_be_written_can_be_read() {
    let aml = Aml::local();
    aml.ok("workspace create -n w");
    let state = aml.state().display().to_string();
    let mounted = |line: &str| {
        let line = format!(
            "unshare -rm sh -c 'mount --bind {state} {state} && mount -o remount,bind,ro {state} && {line}'"
        );
        aml.sh(&line)
    };
    if mounted("true").status != 0 {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let list = || {
        let listed = mounted("aml workspace list --query [].name -o tsv");
        assert_eq!((listed.status, &*listed.stdout), (0, "w\n"), "{listed:?}");
    };
    list();
    // As a tool leaves it that copies databases.
    let log = |ending: &str| aml.state().join(format!("aml.db-{ending}"));
    let database = rusqlite::Connection::open(aml.state().join("aml.db")).expect("opens");
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let left: i64 = database
        .query_row(checkpoint, [], |row| row.get(0))
        .expect("writes");
    assert_eq!(left, 0);
    drop(database);
    for ending in ["wal", "shm"] {
        let _ = fs::remove_file(log(ending));
    }
    list();
    let refused = mounted("aml workspace create -n x");
    assert_eq!(refused.status, 6, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("The state directory cannot be written"),
        "{refused:?}"
    );
}
