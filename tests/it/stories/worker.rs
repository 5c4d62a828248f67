//! Runs and those who execute them: what is killed, what is stopped, what is written where.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Aml, Process, each_mode, eventually};

/// A workspace to run in.
fn workspace(aml: &Aml) {
    aml.ok("workspace create -n w -o none");
}

/// Submits a line for the shell and answers the run's name.
fn submit(aml: &Aml, options: &str, line: &str) -> String {
    let begin = format!("run submit -e x --query name -o tsv {options} --");
    let words = begin.split_whitespace().chain([line]);
    aml.ok(words.map(str::to_owned).collect::<Vec<_>>())
        .trim()
        .to_owned()
}

fn show(aml: &Aml, run: &str) -> Value {
    aml.json(["run", "show", run])
}

fn status(aml: &Aml, run: &str) -> String {
    let run = show(aml, run);
    run["status"].as_str().expect("a status").to_owned()
}

fn wait_for(aml: &Aml, run: &str, wanted: &str) {
    eventually(&format!("{run} is {wanted}"), 120, || {
        let status = status(aml, run);
        assert!(
            status == wanted || !["Completed", "Failed", "Canceled"].contains(&status.as_str()),
            "{run} is {status}: {}\n{}",
            show(aml, run)["reason"],
            aml.ok(["run", "logs", run])
        );
        (status == wanted).then_some(())
    });
}

fn wait_for_log(aml: &Aml, run: &str, part: &str) {
    eventually(&format!("{part} in the log of {run}"), 30, || {
        aml.ok(["run", "logs", run]).contains(part).then_some(())
    });
}

/// The process whose command line has this, which must be one.
#[track_caller]
fn process(aml: &Aml, part: &str) -> Pid {
    let all = aml.processes();
    let mut found = all.iter().filter(|(_, line)| line.contains(part));
    let (pid, _) = found
        .next()
        .unwrap_or_else(|| panic!("no {part} in {all:?}"));
    *pid
}

fn is_there(aml: &Aml, part: &str) -> bool {
    aml.processes().iter().any(|(_, line)| line.contains(part))
}

/// A line for the shell that waits until a file is there.
fn until(file: &std::path::Path) -> String {
    format!("while [ ! -e {} ]; do sleep 0.02; done", file.display())
}

#[test]
fn a_killed_worker_loses_nothing() {
    let aml = Aml::local();
    workspace(&aml);
    let gate = aml.path("gate");
    let line = format!(
        "for i in 1 2 3; do echo out $i; echo err $i >&2; done; {}; \
         for i in 4 5 6; do echo out $i; echo err $i >&2; done; echo data > outputs/file",
        until(&gate)
    );
    let run = submit(&aml, "", &line);
    wait_for_log(&aml, &run, "err 3");
    kill(process(&aml, "worker --background"), Signal::SIGKILL).unwrap();
    fs::write(&gate, "").unwrap();
    // The command ends while nobody watches.
    eventually("the end of the process", 20, || {
        aml.supervisors().is_empty().then_some(())
    });
    wait_for(&aml, &run, "Completed");
    let expected: String = (1..=6)
        .flat_map(|i| [format!("out {i}\n"), format!("err {i}\n")])
        .collect();
    assert_eq!(aml.ok(["run", "logs", &run]), expected);
    aml.ok(["run", "download", &run, "--output", "got"]);
    assert_eq!(aml.read("got/outputs/file"), "data\n");
    assert_eq!(aml.read("got/user_logs/std_log.txt"), expected);
}

/// Nothing but the stream is there to see that the worker is gone.
#[test]
fn a_run_that_is_followed_goes_on_under_the_next_worker() {
    let aml = Aml::local();
    workspace(&aml);
    let gate = aml.path("gate");
    let line = format!("echo before; {}; echo after", until(&gate));
    let followed = aml.start(["run", "submit", "-e", "x", "--stream", "--", &line]);
    followed.stdout_line("before", 20);
    kill(process(&aml, "worker --background"), Signal::SIGKILL).unwrap();
    fs::write(&gate, "").unwrap();
    let ended = followed.wait(20);
    assert_eq!(
        (ended.status, &*ended.stdout),
        (0, "before\nafter\n"),
        "{ended:?}"
    );
}

#[test]
fn a_run_goes_on_under_the_next_worker() {
    let aml = Aml::local();
    workspace(&aml);
    let gate = aml.path("gate");
    let run = submit(
        &aml,
        "",
        &format!("echo before; {}; echo after", until(&gate)),
    );
    wait_for_log(&aml, &run, "before");
    for _ in 0..2 {
        kill(process(&aml, "worker --background"), Signal::SIGKILL).unwrap();
        eventually("another worker", 20, || {
            aml.ok("run list -o none");
            is_there(&aml, "worker --background").then_some(())
        });
    }
    assert_eq!(status(&aml, &run), "Running");
    fs::write(&gate, "").unwrap();
    wait_for(&aml, &run, "Completed");
    assert_eq!(aml.ok(["run", "logs", &run]), "before\nafter\n");
}

#[test]
fn a_killed_supervisor_fails_the_run_and_leaves_no_process() {
    each_mode(|aml| {
        workspace(aml);
        let run = submit(aml, "", "echo begun; sleep 1000 & sleep 1001");
        wait_for_log(aml, &run, "begun");
        kill(aml.supervisors()[0], Signal::SIGKILL).unwrap();
        wait_for(aml, &run, "Failed");
        let reason = "The run's supervisor was killed, and the run with it";
        assert_eq!(show(aml, &run)["reason"], reason);
        assert!(!is_there(aml, "sleep 100"), "{:?}", aml.processes());
    });
}

#[test]
fn cancelling_ends_all_descendants() {
    each_mode(|aml| {
        workspace(aml);
        let line = "(sleep 1000 & setsid sleep 1001 & sh -c 'sleep 1002; :') & \
                    trap 'echo asked; exit 3' TERM; echo begun; sleep 1003 & wait";
        let run = submit(aml, "", line);
        wait_for_log(aml, &run, "begun");
        eventually("the grandchildren", 10, || {
            is_there(aml, "sleep 1002").then_some(())
        });
        aml.ok(["run", "cancel", &run]);
        wait_for(aml, &run, "Canceled");
        assert!(!is_there(aml, "sleep 100"), "{:?}", aml.processes());
        assert_eq!(aml.ok(["run", "logs", &run]), "begun\nasked\n");
    });
}

#[test]
fn a_command_that_does_not_listen_is_killed_at_its_limit() {
    let aml = Aml::local();
    workspace(&aml);
    let line = "trap '' TERM; echo begun; while :; do sleep 0.1; done";
    let run = submit(&aml, "--timeout 1s", line);
    wait_for(&aml, &run, "Failed");
    let run = show(&aml, &run);
    assert_eq!(run["reason"], "It was stopped at its limit of 1 s");
    assert_eq!(run["exit_code"], 137);
}

#[test]
fn a_command_that_is_not_there_fails_with_127() {
    each_mode(|aml| {
        workspace(aml);
        let words = [
            "run", "submit", "-e", "x", "--query", "name", "-o", "tsv", "--", "/no/such", "-v",
        ];
        let run = aml.ok(words).trim().to_owned();
        wait_for(aml, &run, "Failed");
        let run = show(aml, &run);
        assert_eq!(run["exit_code"], 127);
        assert_eq!(run["reason"], "The command `/no/such` was not found");
    });
}

#[test]
fn secrets_are_readable_by_the_run_and_in_no_log() {
    each_mode(|aml| {
        workspace(aml);
        aml.run_with_stdin("secret set token", "hunter2-hunter2")
            .ok();
        let line = "echo key=$KEY; printf hunter2-; sleep 0.3; printf 'hunter2 '; echo ${#KEY}";
        let run = submit(aml, "--secret KEY=token", line);
        wait_for(aml, &run, "Completed");
        let expected = "key=***\n*** 15\n";
        assert_eq!(aml.ok(["run", "logs", &run]), expected);
        aml.ok(["run", "download", &run, "--output", "got"]);
        assert_eq!(aml.read("got/user_logs/std_log.txt"), expected);
    });
}

#[test]
fn metrics_come_from_a_file_and_a_broken_one_is_said() {
    each_mode(|aml| {
        workspace(aml);
        let file = r#"{"loss": [0.5, NaN, 0.25], "accuracy": 0.75}"#;
        let run = submit(aml, "", &format!("echo '{file}' > outputs/metrics.json"));
        wait_for(aml, &run, "Completed");
        let metrics = &show(aml, &run)["metrics"];
        assert_eq!(metrics["loss"]["count"], 3);
        assert_eq!(metrics["loss"]["last"], 0.25);
        assert_eq!(metrics["accuracy"]["last"], 0.75);
        let run = submit(aml, "", "echo '[' > outputs/metrics.json");
        wait_for(aml, &run, "Completed");
        let log = aml.ok(["run", "logs", &run]);
        assert!(
            log.starts_with("aml: outputs/metrics.json was not logged: "),
            "{log}"
        );
    });
}

#[test]
fn outputs_are_there_while_the_run_goes_on() {
    let aml = Aml::local();
    workspace(&aml);
    let gate = aml.path("gate");
    let line = format!(
        "mkdir outputs/a; echo 1 > outputs/a/b; {}; echo 2 > outputs/a/b; mv outputs/a/b outputs/c; \
         mkdir outputs/a/b; echo 3 > outputs/a/b/d",
        until(&gate)
    );
    let run = submit(&aml, "", &line);
    let got = |folder: &str, file: &str| {
        aml.run(["run", "download", &run, "--output", folder]);
        fs::read_to_string(aml.path(folder).join("outputs").join(file)).ok()
    };
    let mut folders = (0..).map(|number| format!("got{number}"));
    let early = eventually("an early output", 20, || {
        got(&folders.next().expect("endless"), "a/b")
    });
    assert_eq!(early, "1\n");
    let outputs = aml.json(["run", "outputs", &run, "--query", "[].path"]);
    assert_eq!(outputs, serde_json::json!(["outputs/a/b"]));
    let error = aml.fails(3, ["run", "outputs", &run, "--path", "outputs/b"]);
    assert!(error.contains("Did you mean `outputs/a/b`?"), "{error}");
    fs::write(&gate, "").unwrap();
    wait_for(&aml, &run, "Completed");
    // It has got another name, and only that; under the old one there is a folder now.
    assert_eq!(got("late", "c").as_deref(), Some("2\n"));
    assert_eq!(got("later", "a/b/d").as_deref(), Some("3\n"));
    let outputs = aml.json([
        "run", "outputs", &run, "--path", "outputs", "--query", "[].path",
    ]);
    assert_eq!(outputs, serde_json::json!(["outputs/a/b/d", "outputs/c"]));
}

/// Writes into a file of the shared environment in place, which its being read-only keeps nobody from
/// who can lift that.
const WRITE_OVER: &str = "\
import os, pip
os.chmod(pip.__file__, 0o644)
with open(pip.__file__, 'a') as file:
    file.write('changed = True')
";

#[test]
fn what_a_run_does_to_its_environment_stays_its_own() {
    each_mode(|aml| {
        workspace(aml);
        aml.write("requirements.txt", "");
        aml.write("over.py", WRITE_OVER);
        aml.write(
            "look.py",
            "import pip; print('clean', not hasattr(pip, 'changed'))",
        );
        let run = |name: &str, line: &str| {
            let options = "-e x --env requirements.txt --code . --stream";
            aml.ok(format!("run submit -n {name} {options} -- {line}"))
        };
        run("gone", "pip uninstall -q -y pip");
        assert_eq!(run("after", "python look.py"), "clean True\n");
        run("over", "python over.py");
        assert_eq!(run("built", "python look.py"), "clean True\n");
        aml.ok("run download built --output got");
        let log = aml.read("got/system_logs/environment.log");
        let said = "The environment requirements.txt was changed since it was built (lib/";
        assert!(log.starts_with(said), "{log}");
    });
}

#[test]
fn a_script_that_raises_says_what_in_the_reason() {
    each_mode(|aml| {
        workspace(aml);
        aml.write(
            "train.py",
            "def fit():\n    raise ValueError('no such row')\n\nfit()\n",
        );
        let options = "-n raises -e x --code . --stream";
        let said = aml.fails(10, format!("run submit {options} -- python3 train.py"));
        let reason = "The command ended with exit code 1: ValueError: no such row";
        assert!(said.contains(&format!(": {reason}\n")), "{said}");
        let shown = aml.run("run show raises");
        assert!(
            shown
                .stderr
                .contains("Hint: See what it wrote: aml run logs raises"),
            "{shown}"
        );
        assert_eq!(show(aml, "raises")["reason"], reason);
    });
}

#[test]
fn broken_requirements_fail_the_run_and_say_why() {
    each_mode(|aml| {
        workspace(aml);
        aml.write("r.txt", "--no-index\nno-such-package-anywhere\n");
        let run = submit(aml, "--env r.txt", "true");
        wait_for(aml, &run, "Failed");
        let reason = show(aml, &run)["reason"].to_string();
        assert!(
            reason.contains("The environment r.txt could not be built"),
            "{reason}"
        );
        assert!(reason.contains("no-such-package-anywhere"), "{reason}");
        aml.ok(["run", "download", &run, "--output", "got"]);
        let log = aml.read("got/system_logs/environment.log");
        assert!(log.contains("no-such-package-anywhere"), "{log}");
    });
}

#[test]
fn one_worker_works_and_leaves_when_there_is_nothing_to_do() {
    let aml = Aml::local();
    fs::write(
        aml.root().join("config.toml"),
        "[worker]\nidle_seconds = 1\n",
    )
    .unwrap();
    workspace(&aml);
    let runs: Vec<String> = (0..6).map(|_| submit(&aml, "", "echo hello")).collect();
    for run in &runs {
        wait_for(&aml, run, "Completed");
        assert_eq!(aml.ok(["run", "logs", run]), "hello\n");
    }
    let workers = |aml: &Aml| {
        let all = aml.processes();
        all.iter()
            .filter(|(_, line)| line.contains("worker --background"))
            .count()
    };
    assert!(workers(&aml) <= 1, "{:?}", aml.processes());
    let second = aml.start("worker");
    eventually("the worker in the background leaves", 20, || {
        (workers(&aml) == 0).then_some(())
    });
    let output = second.wait(20);
    assert!(
        output.stderr.contains("Another worker works"),
        "{}",
        output.stderr
    );
    let left = fs::read_dir(aml.state().join("work/local"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "no folder of a run or its workspace is left");
}

/// A server that leaves runs to others, on a port of its own choice or on the given one.
fn server(aml: &Aml, port: &str) -> (Process, String) {
    let aml = aml.with("AML_HOME", aml.root().join("server"));
    let server = aml.start(format!("serve --no-worker --port {port}"));
    let line = server.stderr_line("Listening on ", 20);
    let url = line.rsplit(' ').next().expect("a URL").to_owned();
    (server, url)
}

#[test]
fn a_worker_on_another_machine_goes_on_without_the_server() {
    let aml = Aml::local();
    let (first, url) = server(&aml, "0");
    let profile = format!("[profiles.team]\nurl = \"{url}\"\n");
    fs::write(aml.root().join("config.toml"), profile).unwrap();
    let aml = aml.with("AML_PROFILE", "team");
    workspace(&aml);
    let worker = aml.start("worker --slots 4");
    worker.stderr_line("Working as ", 20);
    let gate = aml.path("gate");
    let begin = "aml run log --metric loss=0.5; pwd; echo begun";
    let line = format!("{begin}; {}; echo after; echo 1 > outputs/a", until(&gate));
    let runs: Vec<String> = (0..4).map(|_| submit(&aml, "", &line)).collect();
    for run in &runs {
        wait_for_log(&aml, run, "begun");
    }
    drop(first);
    fs::write(&gate, "").unwrap();
    eventually("the end of the processes", 20, || {
        aml.supervisors().is_empty().then_some(())
    });
    let port = url.rsplit(':').next().expect("a port");
    let _second = server(&aml, port);
    let here = aml.root().join("state/work").display().to_string();
    for run in &runs {
        wait_for(&aml, run, "Completed");
        assert_eq!(show(&aml, run)["metrics"]["loss"]["last"], 0.5);
        let log = aml.ok(["run", "logs", run]);
        assert!(log.contains(&here) && log.ends_with("\nafter\n"), "{log}");
    }
}

#[test]
fn a_server_that_is_killed_finds_its_runs_again() {
    let aml = Aml::local();
    let aml = aml.with("AML_HOME", aml.root().join("server"));
    let begin = |port: &str| {
        let server = aml.start(format!("serve --port {port}"));
        let line = server.stderr_line("Listening on ", 20);
        (server, line.rsplit(':').next().expect("a port").to_owned())
    };
    let (first, port) = begin("0");
    workspace(&aml);
    let gate = aml.path("gate");
    let line = format!(
        "echo begun; {}; aml run log --metric loss=0.5",
        until(&gate)
    );
    let run = submit(&aml, "", &line);
    wait_for_log(&aml, &run, "begun");
    first.kill();
    first.wait(10);
    let _second = begin(&port);
    fs::write(&gate, "").unwrap();
    wait_for(&aml, &run, "Completed");
    assert_eq!(show(&aml, &run)["metrics"]["loss"]["last"], 0.5);
}

#[test]
fn a_run_whose_worker_is_gone_fails_on_a_server_without_one() {
    let aml = Aml::local();
    let (_server, url) = server(&aml, "0");
    let profile = format!("[profiles.team]\nurl = \"{url}\"\n");
    fs::write(aml.root().join("config.toml"), profile).unwrap();
    let aml = aml.with("AML_PROFILE", "team");
    workspace(&aml);
    let worker = aml.start("worker --slots 1");
    worker.stderr_line("Working as ", 20);
    let run = submit(&aml, "", "echo begun; sleep 1000");
    wait_for_log(&aml, &run, "begun");
    worker.kill();
    kill(aml.supervisors()[0], Signal::SIGKILL).unwrap();
    // The lease lasts for thirty seconds.
    eventually("the end of the run", 90, || {
        (status(&aml, &run) == "Failed").then_some(())
    });
    let reason = "Its worker is gone, and the run's process with it";
    assert_eq!(show(&aml, &run)["reason"], reason);
}

#[test]
fn what_a_run_writes_follows_the_word_that_it_runs() {
    each_mode(|aml| {
        workspace(aml);
        let script = "aml run submit -e x -s -- 'echo line 1' 2>&1";
        let output = aml.sh(script).ok();
        let at = |part: &str| {
            let found = output.find(part);
            found.unwrap_or_else(|| panic!("no {part} in {output}"))
        };
        let order = ["Queued", "Preparing", "Running", "line 1", "completed"].map(at);
        assert!(order.is_sorted(), "{output}");
        let ended = aml.sh("aml run logs $(aml run list --query [0].name -o tsv) -f 2>&1");
        let expected = "Queued\nPreparing\nRunning\nline 1\nFinalizing\nRun ";
        assert!(ended.stdout.starts_with(expected), "{ended}");
    });
}
