//! What is killed: the server, everything at once. Nothing that was acknowledged is lost.

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::support::{Aml, Process, each_mode, eventually, kill_others};

/// Submits a run that says `begun`, waits for a file, and says `ended`.
fn submit_waiting(aml: &Aml) {
    aml.ok("workspace create -n churn");
    let gate = aml.path("gate").display().to_string();
    let script = format!("echo begun; until [ -e {gate} ]; do sleep 0.05; done; echo ended >&2");
    aml.ok(["run", "submit", "-n", "r", "-e", "iris", "--", &script]);
    eventually("the run begins", 30, || {
        (aml.run("run logs r").stdout == "begun\n").then_some(())
    });
}

fn open_the_gate(aml: &Aml) {
    aml.write("gate", "");
}

fn ends_well(aml: &Aml) {
    assert_eq!(
        aml.within_seconds(60).ok("run logs r --follow"),
        "begun\nended\n"
    );
    let run = aml.json("run show r");
    assert_eq!(run["status"], "Completed", "{run}");
    assert_eq!(run["exit_code"], 0, "{run}");
}

/// Kills the processes of this machine that `which` picks by their command line.
fn kill_all(aml: &Aml, which: impl Fn(&str) -> bool) {
    let all = aml.processes().into_iter();
    let picked = all.filter(|(_, line)| which(line)).map(|(pid, _)| pid);
    let picked: Vec<_> = picked.collect();
    assert!(!picked.is_empty(), "nothing to kill: {:?}", aml.processes());
    kill_others(&picked);
}

pub(super) fn serve_again(aml: &Aml) -> Process {
    let port = aml
        .url()
        .and_then(|url| url.rsplit(':').next())
        .expect("a port");
    let server = aml
        .with("AML_HOME", aml.state())
        .start(format!("serve --port {port}"));
    server.stderr_line("Listening on ", 20);
    server
}

#[test]
fn a_killed_server_loses_nothing() {
    let aml = Aml::remote();
    submit_waiting(&aml);
    aml.server().expect("a server").kill();
    let error = eventually("the server is gone", 10, || {
        let output = aml.run("run show r");
        (output.status == 6).then_some(output.stderr)
    });
    assert!(error.contains("Hint:"), "{error}");
    open_the_gate(&aml);
    let _server = serve_again(&aml);
    ends_well(&aml);
}

#[test]
fn when_everything_is_killed_the_run_fails_with_the_reason() {
    each_mode(|aml| {
        submit_waiting(aml);
        if let Some(server) = aml.server() {
            server.kill();
        }
        kill_all(aml, |_| true);
        let _server = aml.is_remote().then(|| serve_again(aml));
        if !aml.is_remote() {
            let run = aml.json("run show r");
            assert_ne!(
                run["status"], "Running",
                "the very next command knows: {run}"
            );
        }
        let run: Value = eventually("the run has failed", 30, || {
            let run = aml.json("run show r");
            (run["status"] == "Failed").then_some(run)
        });
        let reason = "The run's supervisor was killed, and the run with it";
        assert_eq!(run["reason"], reason, "{run}");
        assert_eq!(aml.ok("run logs r"), "begun\n", "what it wrote is kept");
        // The next run is not held up.
        aml.write("gate", "");
        aml.ok("run submit -n again --from r --stream");
    });
}

/// Reports a metric to the tracking server that the run was given, as often as it takes.
const REPORTS: &str = r#"
import json, os, pathlib, sys, time, urllib.request
gate, done = map(pathlib.Path, sys.argv[1:])
def report(key, value):
    metric = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "timestamp": 1, "step": 0}
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric", json.dumps(metric).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]})
    while True:
        try:
            return urllib.request.urlopen(request, timeout=5).read()
        except OSError:
            time.sleep(0.05)
report("before", 1)
print("begun", flush=True)
while not gate.exists():
    time.sleep(0.02)
report("after", 2)
done.touch()
"#;

fn workers(aml: &Aml) -> Vec<nix::unistd::Pid> {
    let all = aml.processes().into_iter();
    let works = |(_, line): &(_, String)| line.contains("worker --background");
    all.filter(works).map(|(pid, _)| pid).collect()
}

/// Nobody types a command meanwhile, and the one that takes over is killed as well.
#[test]
fn what_a_run_reports_to_a_killed_worker_its_successor_hears() {
    let aml = Aml::local();
    std::fs::write(aml.root().join("config.toml"), "[worker]\nslots = 2\n").unwrap();
    aml.ok("workspace create -n churn");
    aml.write("report.py", REPORTS);
    let runs = ["one", "two"];
    for run in runs {
        let [script, gate, done] =
            ["report.py", "gate", run].map(|name| aml.path(name).display().to_string());
        let words = format!("run submit -n {run} -e e -- python3 {script} {gate} {done}");
        aml.ok(words.as_str());
    }
    for run in runs {
        eventually("the run begins", 30, || {
            (aml.run(["run", "logs", run]).stdout == "begun\n").then_some(())
        });
    }
    let mut before = Vec::new();
    for _ in 0..2 {
        before.extend(workers(&aml));
        kill_all(&aml, |line| line.contains("worker --background"));
        eventually("a successor", 20, || {
            let new = workers(&aml);
            (new.len() == 1 && !before.contains(&new[0])).then_some(())
        });
    }
    open_the_gate(&aml);
    for run in runs {
        eventually("the run has reported", 30, || {
            aml.path(run).exists().then_some(())
        });
    }
    // The successor descends from no supervisor: it stays when the commands are over, and says so.
    eventually("the commands are over", 20, || {
        aml.supervisors().is_empty().then_some(())
    });
    assert_eq!(workers(&aml).len(), 1, "{:?}", aml.processes());
    for run in runs {
        eventually("its end is known", 20, || {
            let run = aml.json(["run", "show", run]);
            (run["status"] == "Completed").then_some(())
        });
        let run = aml.json(["run", "show", run]);
        let heard = ["before", "after"].map(|metric| run["metrics"][metric]["last"].as_f64());
        assert_eq!(heard, [Some(1.0), Some(2.0)], "{run}");
    }
}

#[test]
fn a_worker_that_was_told_to_stop_needs_no_successor() {
    let aml = Aml::local();
    submit_waiting(&aml);
    let lock = || std::fs::read_to_string(aml.state().join("workers/local.lock")).unwrap();
    assert!(lock().starts_with("worker in the background"), "{}", lock());
    let worker = workers(&aml)[0];
    kill(worker, Signal::SIGTERM).unwrap();
    eventually("it leaves", 20, || workers(&aml).is_empty().then_some(()));
    assert!(
        !lock().starts_with("worker in the background"),
        "{}",
        lock()
    );
    open_the_gate(&aml);
    ends_well(&aml);
}
