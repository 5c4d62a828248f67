//! Secrets: setting, getting, and staying secret.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, Output, each_mode, root};

#[test]
fn secrets_are_set_shown_and_deleted() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.run_with_stdin("secret set db", "hunter2\n").ok();
        assert_eq!(
            aml.json("secret get DB"),
            json!({"name": "db", "value": "hunter2"})
        );
        assert_eq!(aml.ok("secret get db -o table"), "hunter2\n");
        aml.write("key.pem", "two\nlines\n");
        aml.ok("secret set key --file key.pem");
        assert_eq!(aml.json("secret get key --query value"), "two\nlines\n");
        assert_eq!(
            aml.json("secret list --query '[].name'"),
            json!(["db", "key"])
        );
        let set = aml.run("secret set db --value hunter3");
        assert!(
            set.stderr
                .contains("Warning: A value on the command line can be seen")
        );
        assert!(!set.stdout.contains("hunter3") && !set.stderr.contains("hunter3"));
        assert_eq!(aml.json("secret get db --query value"), "hunter3");
        aml.fails(2, "secret delete db");
        aml.ok("secret delete db --yes");
        expect![[r#"
            Error: No secret `db` in `churn`
            Hint: Set it: aml secret set db -w churn
        "#]]
        .assert_eq(&aml.fails(3, "secret get db"));
    });
}

#[test]
fn a_secret_needs_a_value() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        expect![[r#"
            Error: The value of a secret cannot be empty
        "#]]
        .assert_eq(&aml.fails(2, "secret set db"));
        let error = aml.fails(2, "secret set db hunter2");
        let tip = "tip: the value is given on stdin, or by an option";
        assert!(error.contains(tip), "{error}");
        aml.fails(2, "secret set db --file nowhere");
    });
}

/// What a command that asks for a secret does on a terminal; the exit code is the command's.
fn on_terminal(aml: &Aml, what: &str, line: &str) -> Output {
    let mut command = aml.program("python3");
    command.arg(root().join("tests/it/stories/asked.py"));
    command.arg(what).arg(env!("CARGO_BIN_EXE_aml"));
    command.args(line.split(' '));
    aml.finish(command)
}

#[test]
fn a_secret_that_is_pasted_at_once_is_not_shown() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    on_terminal(&aml, "paste", "secret set db").ok();
    let kept = aml.json("secret get db --query value");
    assert_eq!(kept, "aml_secret_of_the_test");
}

#[test]
fn a_question_that_is_interrupted_leaves_the_terminal_as_it_was() {
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    assert_eq!(on_terminal(&aml, "interrupt", "secret set db").status, 130);
    assert_eq!(on_terminal(&aml, "terminate", "secret set db").status, 143);
    aml.fails(3, "secret get db");
    let delete = on_terminal(&aml, "decline", "workspace delete -n churn");
    assert_eq!(delete.status, 130, "{delete:?}");
    assert!(delete.stdout.contains("Nothing was done."), "{delete:?}");
    aml.ok("workspace show -n churn");
    let login = "login http://127.0.0.1:9 --profile team";
    assert_eq!(on_terminal(&aml, "interrupt", login).status, 130);
    assert_eq!(aml.json("profile list --query [].name"), json!(["local"]));
}
