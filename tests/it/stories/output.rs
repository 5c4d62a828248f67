//! Output formats, queries, usage errors, exit codes, and what happens without a terminal.

use expect_test::expect;

use crate::support::{Aml, each_mode};

#[test]
fn a_name_that_is_given_the_other_way_is_answered_with_the_right_one() {
    let aml = Aml::local();
    for (line, tip) in [
        (
            "workspace create churn",
            "it is named by an option: --name churn",
        ),
        (
            "secret get --name db",
            "it is named without an option: NAME",
        ),
        ("run show -n first", "it is named without an option: NAME"),
    ] {
        let error = aml.fails(2, line);
        assert!(error.contains(&format!("tip: {tip}")), "{error}");
    }
    let error = aml.fails(2, "model show iris 1");
    assert!(!error.contains("tip:"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_answered_with_the_nearest() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    for file in ["requirements.txt", "score.py", "job.yaml", "src/train.py"] {
        aml.write(file, "");
    }
    for (line, near) in [
        (
            "run submit --env requirement.txt -- true",
            "requirements.txt",
        ),
        ("run submit --env requirements -- true", "requirements.txt"),
        ("run submit --env sr/reqs.txt -- true", "src"),
        ("run submit --code scr -- true", "src"),
        ("snapshot scr", "src"),
        ("deploy iris:1 -n e --script scor.py", "score.py"),
        ("deploy iris:1 -n e --script train.py --code scr", "src"),
        ("job create --file job.yml", "job.yaml"),
        ("validate job.yml", "job.yaml"),
        ("model register -n m --path scr", "src"),
        ("data create -n d --path scr --type uri_folder", "src"),
        ("endpoint score e --file job.yml", "job.yaml"),
        ("endpoint score e --data @job.yml", "job.yaml"),
        ("secret set s --file job.yml", "job.yaml"),
        ("import mlflow --from scr", "src"),
    ] {
        let said = aml.run(line).stderr;
        let hint = format!("did you mean `{near}`?");
        assert!(said.to_lowercase().contains(&hint), "{line}: {said}");
        assert!(
            said.contains("There is no ") || said.contains("No "),
            "{line}: {said}"
        );
    }
}

#[test]
fn an_answer_in_every_format() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn --tags a=1");
        aml.ok("workspace create -n fraud --edition enterprise");
        let names = "workspace list --query '[].{name: name, edition: edition}'";
        let show = |format: &str| aml.ok(format!("{names} -o {format}"));
        expect![[r#"
            NAME   EDITION
            churn  basic
            fraud  enterprise
        "#]]
        .assert_eq(&show("table"));
        expect![[r#"
            churn	basic
            fraud	enterprise
        "#]]
        .assert_eq(&show("tsv"));
        expect![[r#"
            - name: churn
              edition: basic
            - name: fraud
              edition: enterprise
        "#]]
        .assert_eq(&show("yaml"));
        expect![[r#"
            [
              {
                "name": "churn",
                "edition": "basic"
              },
              {
                "name": "fraud",
                "edition": "enterprise"
              }
            ]
        "#]]
        .assert_eq(&show("json"));
        assert_eq!(show("jsonc"), show("json"), "no colour into a pipe");
        expect![[r#""#]].assert_eq(&show("none"));
        assert_eq!(aml.ok(names), show("json"), "json without a terminal");
    });
}

#[test]
fn hints_can_be_pasted() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.ok("workspace create -n fraud");
        let error = aml.fails(3, "endpoint show nope -w churn");
        assert!(error.ends_with("aml endpoint list -w churn\n"), "{error}");
        let hint = error
            .rsplit("Hint: See which there are: ")
            .next()
            .expect("a hint");
        let line = hint.trim().split_once("aml ").expect("a command").1;
        assert_eq!(aml.json(line), serde_json::json!([]));
        // Not found on the PATH, it is named by the path it was called by.
        let program = env!("CARGO_BIN_EXE_aml");
        let mut command = aml.program(program);
        command.args(["endpoint", "show", "nope", "-w", "churn"]);
        let error = aml.finish(command).stderr;
        let expected = format!(": {program} endpoint list -w churn\n");
        assert!(error.ends_with(&expected), "{error}");
    });
}

#[test]
fn what_was_done_is_answered_when_a_format_is_asked_for() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        assert_eq!(aml.ok("workspace use ws"), "");
        assert_eq!(aml.json("workspace use ws -o json")["name"], "ws");
        aml.ok("run submit --name r --env host -- sleep 60");
        let canceled = aml.json("run cancel r -o json");
        assert_eq!(canceled["name"], "r");
        aml.ok("run submit --name s --env host -s -- true");
        let deleted = aml.json("run delete s --yes -o json");
        assert_eq!(deleted, serde_json::json!({"name": "s"}));
        aml.ok("secret set db --value a");
        assert_eq!(aml.ok("secret delete db --yes --query name -o tsv"), "db\n");
        aml.ok("secret set db --value a");
        let table = aml.ok("secret delete db --yes -o table");
        assert_eq!(table, "Name  db\n");
        let deleted = aml.json("workspace delete -n ws --yes -o json");
        assert_eq!(deleted, serde_json::json!({"name": "ws"}));
    });
}

#[test]
fn people_get_tables() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn --description 'who leaves'");
        expect![[r#"
            NAME   EDITION  LOCATION  CREATED              DESCRIPTION
            churn  basic    local     <time>  who leaves
        "#]]
        .assert_eq(&aml.run("workspace list -o table").to_string());
    });
}

#[test]
fn queries_pick_from_an_answer() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        assert_eq!(aml.ok("workspace show --query name -o tsv"), "churn\n");
        assert_eq!(aml.ok("workspace show --query 'nothing' -o json"), "null\n");
        expect![[r#"
            Error: --query: The query is not JMESPath: Parse error: Unexpected nud token -- found Eof
            [?
              ^
        "#]].assert_eq(&aml.fails(2, "workspace list --query '[?'"));
    });
}

#[test]
fn usage_errors() {
    let aml = Aml::local();
    expect![[r#"
        error: unrecognized subcommand 'wrokspace'

          tip: a similar subcommand exists: 'workspace'

        Usage: aml [OPTIONS] <COMMAND>

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "wrokspace list"));
    expect![[r#"
        error: unrecognized subcommand 'shw'

          tip: a similar subcommand exists: 'show'

        Usage: aml workspace [OPTIONS] <COMMAND>

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "workspace shw"));
    expect![[r#"
        error: the following required arguments were not provided:
          --name <NAME>

        Usage: aml workspace create --name <NAME>

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "workspace create"));
    expect![[r#"
        error: invalid value 'gold' for '--edition <EDITION>'
          [possible values: basic, enterprise]

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "workspace create -n a --edition gold"));
    expect![[r#"
        error: unexpected argument '--nme' found

        Usage: aml workspace list [OPTIONS]

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "workspace list --nme a"));
    expect![[r#"
        error: invalid value 'xml' for '--output <FORMAT>'
          [possible values: table, json, jsonc, yaml, yamlc, tsv, none]

          tip: a similar value exists: 'yaml'

        For more information, try '--help'.
    "#]]
    .assert_eq(&aml.fails(2, "workspace list -o xml"));
    assert!(!aml.state().exists(), "a usage error touches nothing");
}

#[test]
fn help_and_version_go_to_stdout() {
    let aml = Aml::local();
    let help = aml.run("--help");
    assert!(help.stdout.contains("Usage: aml") && help.stderr.is_empty());
    let version = format!("aml {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(aml.ok("--version"), version);
    assert!(!aml.state().exists(), "help touches nothing");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    let output = aml.sh("{ aml workspace list; echo \"exit $?\" >&2; } | true");
    assert_eq!(output.stderr, "exit 0\n");
}

#[test]
fn an_unknown_profile_is_named() {
    let aml = Aml::remote().with("AML_PROFILE", "taem");
    expect![[r#"
        Error: No profile `taem` in `$ROOT/config.toml`
        Hint: AML_PROFILE says to use it
        Hint: Did you mean `team`?
        Hint: Make it: aml login URL --profile taem
    "#]]
    .assert_eq(&aml.fails(3, "workspace list"));
}

/// What a person sees who types `input` on a terminal.
fn on_a_terminal(aml: &Aml, line: &str, input: &str) -> String {
    let line = format!("printf '{input}' | script -qec 'aml {line}' /dev/null");
    let output = aml.with("TERM", "xterm").sh(&line);
    output.normal(&output.stdout).replace('\r', "")
}

#[test]
fn on_a_terminal_it_asks_and_shows_tables_in_colour() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        let refused = on_a_terminal(aml, "workspace delete -n churn", "n\\n");
        assert!(
            refused.contains("runs, models, endpoints and secrets? [y/N]"),
            "{refused}"
        );
        assert!(refused.ends_with("Nothing was done.\n"), "{refused:?}");
        let unknown = on_a_terminal(aml, "workspace show -n fraud", "");
        assert!(
            unknown.contains("\u{1b}[1m\u{1b}[31mError:\u{1b}[0m No workspace `fraud`"),
            "{unknown:?}"
        );
        let plain = on_a_terminal(aml, "workspace show -n fraud --no-color", "");
        assert!(plain.contains("Error: No workspace `fraud`"), "{plain:?}");
        let listed = on_a_terminal(aml, "workspace list", "");
        assert!(listed.starts_with("NAME   EDITION"), "{listed:?}");
        let deleted = on_a_terminal(aml, "workspace delete -n churn", "y\\n");
        assert!(
            deleted.ends_with("Deleted the workspace churn.\n"),
            "{deleted:?}"
        );
        assert_eq!(aml.json("workspace list"), serde_json::json!([]));
    });
}

#[test]
fn what_is_followed_leaves_stdout_to_an_answer_that_was_asked_for() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let script = "echo said; aml run log --metric m=2; exit 3";
        let ended = aml.run([
            "run", "submit", "-n", "r", "--stream", "-o", "json", "--", script,
        ]);
        assert_eq!(ended.status, 10, "{}", ended.stderr);
        let run: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON alone");
        assert_eq!(
            (&run["status"], &run["exit_code"]),
            (&"Failed".into(), &3.into())
        );
        assert!(ended.stderr.contains("said\n"), "{}", ended.stderr);
        let status = aml.run("run logs r --follow --query status -o tsv");
        assert_eq!((status.status, status.stdout.as_str()), (10, "Failed\n"));
        assert_eq!(aml.run("run logs r --follow").stdout, "said\n");
        assert_eq!(aml.json("run logs r -o json"), "said\n");
        let job = aml.run("job stream r -o json");
        let job: serde_json::Value = serde_json::from_str(&job.stdout).expect("JSON alone");
        assert_eq!(job["status"], "Failed");
        let logged = aml.json("run log r --tag a=b -o json");
        assert_eq!(
            (&logged["tags"]["a"], &logged["metrics"]["m"]["last"]),
            (&"b".into(), &2.0.into())
        );
        assert_eq!(aml.ok("run log r --tag a=c"), "");
    });
}
