//! What is killed: the server, everything at once. Nothing that was acknowledged is lost.

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::support::{Aml, Process, each_mode, eventually};

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
    let picked: Vec<_> = aml
        .processes()
        .into_iter()
        .filter(|(_, line)| which(line))
        .collect();
    assert!(!picked.is_empty(), "nothing to kill: {:?}", aml.processes());
    for (pid, _) in &picked {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    eventually("they are gone", 10, || {
        let left = aml.processes();
        let gone = picked
            .iter()
            .all(|(pid, _)| left.iter().all(|(other, _)| other != pid));
        gone.then_some(())
    });
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
