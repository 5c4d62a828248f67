//! The supervisor of a command alone: what it leaves on disk, and when.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::support::{Aml, eventually};

#[test]
fn a_supervisor_that_gets_no_task_leaves_the_folder_free_for_another() {
    let aml = Aml::local();
    let folder = aml.path("run");
    fs::create_dir(&folder).unwrap();
    let named = format!("{:?}\n", folder.to_str().unwrap());
    let run = || aml.run_with_stdin("supervise", &named);
    for _ in 0..2 {
        let output = run();
        // It could be found before it was told what to do.
        assert!(output.stdout.contains("\"pid\""), "{output:?}");
        assert_ne!(output.status, 0, "{output:?}");
        assert!(!folder.join("supervisor.json").exists());
        assert!(!folder.join("exit.json").exists());
    }
}

#[test]
fn one_that_is_asked_to_stop_before_it_has_its_task_leaves() {
    let aml = Aml::local();
    let folder = aml.path("run");
    fs::create_dir(&folder).unwrap();
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_aml"))
        .arg("supervise")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = supervisor.stdin.take().unwrap();
    writeln!(told, "{:?}", folder.to_str().unwrap()).unwrap();
    let mut claimed = String::new();
    let mut said = BufReader::new(supervisor.stdout.take().unwrap());
    said.read_line(&mut claimed).unwrap();
    assert!(claimed.contains("\"pid\""), "{claimed}");
    assert!(folder.join("supervisor.json").exists());
    let pid = Pid::from_raw(supervisor.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(!supervisor.wait().unwrap().success());
    assert!(!folder.join("supervisor.json").exists());
    drop(told);
}

#[test]
fn one_that_nobody_needs_leaves() {
    let output = Aml::local().run_with_stdin("supervise", "");
    assert_eq!((output.status, &*output.stdout), (0, ""), "{output:?}");
}

#[test]
fn the_end_of_a_command_is_written_down_as_soon_as_it_can_be() {
    let aml = Aml::local();
    let folder = aml.path("run");
    let exit = folder.join("exit.json");
    fs::create_dir_all(&exit).unwrap();
    let named = format!("{:?}\n", folder.to_str().unwrap());
    let task =
        r#"{"command": ["exit 3"], "directory": "/", "variables": {"PATH": "/usr/bin:/bin"}}"#;
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| aml.run_with_stdin("supervise", &format!("{named}{task}")));
        // What was to be written waits beside the folder that is in the way, in the room kept for it.
        eventually("the end of the command", 20, || {
            let kept = fs::read_to_string(folder.join("exit.reserved")).unwrap_or_default();
            kept.contains("\"code\":3").then_some(())
        });
        fs::remove_dir(&exit).unwrap();
        let ended = ended.join().unwrap();
        assert_eq!(ended.status, 0, "{ended:?}");
    });
    let exit: serde_json::Value = serde_json::from_slice(&fs::read(exit).unwrap()).unwrap();
    assert_eq!(exit["code"], 3);
}

#[test]
fn one_sees_to_one_command_after_another_and_mixes_nothing() {
    let aml = Aml::local();
    let mut lines = Vec::new();
    for (name, command) in [
        (
            "large",
            "sleep 100 & python3 -c 'x = bytearray(1) * 100_000_000; print(len(x))'",
        ),
        // No name is known of this signal.
        (
            "killed",
            "python3 -c 'import os; os.kill(os.getpid(), 41)' & kill -40 $$",
        ),
        ("small", "exit 3"),
    ] {
        let folder = aml.path(name);
        fs::create_dir(&folder).unwrap();
        let path = std::env::var("PATH").unwrap();
        let task = json!({"command": [command], "directory": "/", "variables": {"PATH": path}});
        lines.extend([json!(folder).to_string(), task.to_string()]);
    }
    let output = aml.run_with_stdin("supervise", &(lines.join("\n") + "\n"));
    assert_eq!(output.status, 0, "{output:?}");
    // It said each time that it can be found, and by the same name; and that the command is over.
    let said: Vec<&str> = output.stdout.lines().collect();
    let each = [said[0], "over"];
    assert_eq!(said, [each, each, each].concat());
    let exit = |name: &str| -> Value {
        let text = fs::read(aml.path(name).join("exit.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let (large, small) = (exit("large"), exit("small"));
    assert_eq!((&large["code"], &small["code"]), (&json!(0), &json!(3)));
    assert_eq!(exit("killed")["signal"], 40);
    assert_eq!(aml.read("large/log"), "100000000\n");
    let memory = |exit: &Value| exit["usage"]["peak_memory"].as_u64().unwrap();
    assert!(memory(&large) > 100_000_000, "{large}");
    // Its own, also when it ends at once, and not that of who started it.
    let own = 1..8_000_000;
    assert!(own.contains(&memory(&small)), "{small}");
    let seconds = |exit: &Value| exit["usage"]["cpu_seconds"].as_f64().unwrap();
    assert!(seconds(&small) < seconds(&large), "{small} {large}");
}
