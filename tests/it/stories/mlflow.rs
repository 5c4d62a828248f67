//! `aml mlflow`: a command whose MLflow logs to the workspace.

use expect_test::expect;
use nix::sys::signal::Signal;

use crate::support::{Aml, each_mode, http};

/// A machine with a workspace `ws`.
fn prepared(aml: &Aml) -> Aml {
    aml.ok("workspace create -n WS");
    aml.ok("workspace create -n other");
    aml.clone()
}

#[test]
fn a_command_finds_the_workspace_and_gives_its_exit_code() {
    each_mode(|aml| {
        let aml = prepared(aml);
        let words = ["-w", "ws", "mlflow", "--", "sh", "-c"];
        let sh = |line: &str| {
            aml.run(
                words
                    .into_iter()
                    .chain([line])
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        let uri = sh("echo $MLFLOW_TRACKING_URI").ok();
        assert!(
            uri.starts_with("http://127.0.0.1:") && uri.ends_with("/ws/ws\n"),
            "{uri}"
        );
        assert_eq!(sh("exit 7").status, 7);
        assert_eq!(sh("kill -9 $$").status, 128 + 9);
        assert_eq!(sh("echo $AML_WORKSPACE").ok(), "WS\n");
        let asked = sh(
            "curl -sS ${MLFLOW_TRACKING_TOKEN:+-H \"Authorization: Bearer $MLFLOW_TRACKING_TOKEN\"} \
             $MLFLOW_TRACKING_URI/api/2.0/mlflow/experiments/get?experiment_id=0",
        );
        let asked = asked.ok();
        assert!(asked.contains(r#""workspace":"ws""#), "{asked}");
        expect![[r#"
            Error: Cannot start `no-such-program`: there is no such program
        "#]]
        .assert_eq(&aml.fails(127, "-w ws mlflow -- no-such-program"));
        expect![[r#"
            Error: No workspace `wz`
            Hint: See which there are: aml workspace list
        "#]]
        .assert_eq(&aml.fails(3, "-w wz mlflow -- true"));
    });
}

#[test]
fn nobody_uses_the_address_without_the_token() {
    let aml = prepared(&Aml::local());
    let command = aml.start([
        "-w",
        "ws",
        "mlflow",
        "--",
        "sh",
        "-c",
        "echo $MLFLOW_TRACKING_URI; exec sleep 60",
    ]);
    let uri = command.stdout_line("http", 20);
    let url = format!("{uri}/api/2.0/mlflow/experiments/get?experiment_id=0");
    assert_eq!(http::send("GET", &url, &[], "").0, 401);
    let wrong = [("authorization", "Bearer aml_0")];
    assert_eq!(http::send("GET", &url, &wrong, "").0, 401);
    command.signal(Signal::SIGTERM);
    assert_eq!(command.wait(10).status, 128 + 15);
}

#[test]
fn signals_go_on_to_the_command() {
    let aml = prepared(&Aml::local());
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGUSR1, "USR1"),
    ] {
        let script =
            format!("trap 'echo got; exit 3' {name}; echo ready; while :; do sleep 0.05; done");
        let command = aml.start(["-w", "ws", "mlflow", "--", "sh", "-c", &script]);
        command.stdout_line("ready", 20);
        command.signal(signal);
        let output = command.wait(10);
        assert_eq!((output.status, output.stdout.contains("got")), (3, true));
    }
}

#[test]
fn the_tracking_uri_is_that_of_a_server_on_this_state_directory() {
    let aml = prepared(&Aml::local());
    let show = "workspace show -n ws --query mlflow_tracking_uri -o tsv";
    let output = aml.run(show);
    assert_eq!(output.stdout, "");
    expect![[r#"
        Warning: Nothing listens for MLflow's clients on this state directory.
        Hint: For one command: aml mlflow -- COMMAND; for longer, start a server: aml serve
    "#]]
    .assert_eq(&output.stderr);
    let server = aml.start("serve --port 0");
    let line = server.stderr_line("Listening on ", 20);
    let url = line.rsplit(' ').next().expect("a URL");
    assert_eq!(aml.ok(show), format!("{url}/ws/ws\n"));
}
