//! `aml doctor`, on machines that are well and on others.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{Aml, components::skipped};

/// State and finding of one check.
fn check(aml: &Aml, name: &str) -> (String, String) {
    let checks: Value = serde_json::from_str(&aml.run("doctor -o json").stdout).expect("JSON");
    let found = checks
        .as_array()
        .expect("a list")
        .iter()
        .find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name} in {checks}"));
    let text = |field: &str| found[field].as_str().expect("a text").to_owned();
    (text("state"), text("found"))
}

#[test]
fn a_machine_that_is_well() {
    let aml = Aml::local();
    let (state, found) = check(&aml, "state directory");
    assert_eq!(state, "ok");
    assert!(found.ends_with("(made when first needed)"), "{found}");
    assert!(!aml.state().exists(), "looking changes nothing");
    aml.ok("workspace create -n churn");
    let (_, found) = check(&aml, "state directory");
    assert!(found.contains("(format 1, "), "{found}");
    assert_eq!(check(&aml, "python").0, "ok");
    let server = aml.start("serve --port 0");
    server.stderr_line("Listening on ", 20);
    let (_, holders) = check(&aml, "processes");
    assert!(
        holders.contains(&format!("server: process {} at http://", server.pid())),
        "{holders}"
    );
    let bare = aml.with("PATH", aml.root().join("home"));
    assert_eq!(check(&bare, "python").0, "missing");
    assert_eq!(bare.run("doctor").status, 0);
}

#[test]
fn a_broken_configuration_file_is_a_finding() {
    let aml = Aml::local();
    fs::write(aml.root().join("config.toml"), "workspace = [\n").expect("writes");
    let (state, found) = check(&aml, "configuration");
    assert_eq!(state, "problem");
    assert!(
        found.contains("config.toml:1:14: unclosed array"),
        "{found}"
    );
    assert_eq!(aml.run("doctor").status, 1);
}

#[test]
fn servers_are_asked() {
    let aml = Aml::remote();
    assert_eq!(check(&aml, "profile team").0, "ok");
    aml.server()
        .expect("a server")
        .signal(nix::sys::signal::Signal::SIGKILL);
    let aml = crate::support::eventually("the server is gone", 10, || {
        (check(&aml, "profile team").0 == "problem").then_some(&aml)
    });
    // Local work goes on.
    assert_eq!(aml.run("doctor").status, 0);
}

/// A small file system of the test's own, if this user may mount one.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(aml: &Aml) -> Option<Self> {
        let folder = aml.root().join("disk");
        fs::create_dir(&folder).expect("makes the folder");
        mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &folder).then_some(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(words: &[&str], folder: &std::path::Path) -> bool {
    let mounted = Command::new("mount").args(words).arg(folder).output();
    mounted.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_and_a_read_only_disk() {
    let aml = Aml::local();
    let Some(disk) = Disk::mount(&aml) else {
        return skipped("this user may not mount a file system");
    };
    let aml = aml.with("AML_HOME", disk.0.join("state"));
    aml.ok("workspace create -n churn");
    let fill = disk.0.join("fill");
    fs::write(&fill, vec![0; 2 << 20]).expect_err("does not fit");
    let full = "Error: The disk that holds the state directory is full\n\
                Hint: Free some space, or move the state directory: set AML_HOME\n";
    assert_eq!(aml.fails(6, "workspace create -n more"), full);
    assert_eq!(
        aml.json("workspace list --query '[].name'"),
        serde_json::json!(["churn"])
    );
    assert_eq!(check(&aml, "disk space").0, "problem");
    assert_eq!(aml.run("doctor").status, 1);
    fs::remove_file(&fill).expect("removes");
    aml.ok("workspace create -n more");
    assert!(mount(&["-o", "remount,ro"], &disk.0));
    let read_only = aml.fails(6, "workspace create -n third");
    assert!(
        read_only.starts_with("Error: The state directory cannot be written"),
        "{read_only}"
    );
    assert_eq!(check(&aml, "state directory").0, "problem");
    let names = aml.json("workspace list --query '[].name'");
    assert_eq!(names, serde_json::json!(["churn", "more"]));
}
