//! `aml doctor`, on machines that are well and on others.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::Value;

use crate::support::{Aml, eventually};

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
    assert!(found.contains("(format "), "{found}");
    assert_eq!(check(&aml, "python").0, "ok");
    let server = aml.start("serve --port 0");
    server.stderr_line("Listening on ", 20);
    let (_, holders) = check(&aml, "processes");
    assert!(
        holders.contains(&format!("server, process {} at http://", server.pid())),
        "{holders}"
    );
    let bare = aml.with("PATH", aml.root().join("home"));
    let (state, found) = check(&bare, "python");
    assert_eq!(state, "problem");
    assert!(found.contains("There is no Python 3.8"), "{found}");
    assert_eq!(bare.run("doctor").status, 1, "the quickstart would end");
}

#[test]
fn what_was_got_for_environments_counts_and_no_more_is_started_than_is_needed() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    let script = |file: PathBuf, text: &str| {
        fs::create_dir_all(file.parent().expect("a folder")).expect("makes");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("can be started");
    };
    let shims = aml.root().join("shims");
    script(shims.join("python3"), "echo Python 3.11.7");
    script(
        shims.join("python3.9"),
        ": > \"$0.started\"; echo Python 3.9.1",
    );
    let shimmed = aml.with("PATH", shims.as_path());
    assert_eq!(check(&shimmed, "uv").0, "missing");
    script(aml.state().join("tools/uv"), "echo uv 9.9");
    let (state, found) = check(&shimmed, "uv");
    assert_eq!(state, "ok");
    assert!(found.starts_with("uv 9.9 ("), "{found}");
    assert!(found.ends_with("tools/uv)"), "{found}");
    assert!(!shims.join("python3.9.started").exists());
}

#[test]
fn runs_of_a_server_need_no_python_here() {
    let aml = Aml::remote();
    let bare = aml.with("PATH", aml.root().join("home"));
    assert_eq!(check(&bare, "python").0, "missing");
    assert_eq!(bare.run("doctor").status, 0);
}

#[test]
fn without_python_the_quickstart_says_so_before_it_makes_anything() {
    let aml = Aml::local();
    let bare = aml.with("PATH", aml.root().join("home"));
    let error = bare.fails(6, "quickstart");
    assert!(
        error.contains("There is no Python 3.8 or newer on the PATH"),
        "{error}"
    );
    assert!(
        error.contains("Hint: Debian, Ubuntu: apt-get install"),
        "{error}"
    );
    assert!(!aml.state().exists());
}

#[test]
fn the_quickstart_ends_with_scored_rows_and_again_registers_nothing() {
    let aml = Aml::local().within_seconds(300);
    let said = aml.run("quickstart");
    assert_eq!(said.status, 0, "{said}");
    assert!(said.stdout.contains("setosa"), "{said}");
    let again = aml.run("quickstart");
    assert_eq!(again.status, 0, "{again}");
    let known = "It is registered already, as iris:1.";
    assert!(again.stderr.contains(known), "{again}");
    assert!(again.stdout.contains("setosa"), "{again}");
    aml.ok("workspace delete -n quickstart --yes");
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
    // A new shell has its completion all the same.
    aml.ok("completions bash");
}

#[test]
fn a_broken_file_of_the_folder_is_a_finding() {
    let aml = Aml::local();
    aml.write(".aml/config.toml", "workspase = \"churn\"\n");
    let (state, found) = check(&aml, "folder");
    assert_eq!(state, "problem");
    assert!(
        found.contains("here/.aml/config.toml:1:1: unknown field `workspase`"),
        "{found}"
    );
    assert_eq!(aml.run("doctor").status, 1);
    aml.write(".aml/config.toml", "workspace = \"churn\"\n");
    let (state, found) = check(&aml, "folder");
    assert_eq!(state, "ok");
    assert!(found.ends_with("(works in churn)"), "{found}");
}

#[test]
fn a_profile_that_is_not_there_is_a_finding() {
    let aml = Aml::local();
    let lost = aml.with("AML_PROFILE", "nope");
    let (state, found) = check(&lost, "profile in use");
    assert_eq!(state, "problem");
    assert!(found.contains("No profile `nope`"), "{found}");
    assert_eq!(lost.run("doctor").status, 1);
    let file = aml.root().join("config.toml");
    fs::write(&file, "# mine\nprofile = \"nope\"\n").expect("writes");
    let said = aml.run("run list");
    let origin = format!("{}:2 says to use it", file.display());
    assert!(said.stderr.contains(&origin), "{said}");
    assert_eq!(aml.run("doctor").status, 1);
    assert_eq!(aml.run("doctor --profile local").status, 0);
}

#[test]
fn servers_are_asked() {
    let aml = Aml::remote();
    assert_eq!(check(&aml, "profile team").0, "ok");
    aml.server().expect("a server").kill();
    let aml = eventually("the server is gone", 10, || {
        (check(&aml, "profile team").0 == "problem").then_some(&aml)
    });
    // Local work goes on.
    assert_eq!(aml.run("doctor").status, 0);
}
