//! What a person gets wrong in words, variables and files, and what they are told.

use std::fs;

use expect_test::expect;

use crate::support::{Aml, each_mode};

#[test]
fn numbers_that_cannot_be_are_answered_in_words() {
    let aml = Aml::local();
    let said = |line: &str| {
        let error = aml.fails(2, line);
        error.lines().next().unwrap_or_default().to_owned()
    };
    let slots = |value: &str| {
        format!(
            "error: invalid value '{value}' for '--slots <NUMBER>': it takes a whole number of at least 1"
        )
    };
    for value in ["0", "x", "1.5", "-1"] {
        assert_eq!(said(&format!("worker --slots {value}")), slots(value));
        assert_eq!(said(&format!("worker --slots={value}")), slots(value));
    }
    for value in ["x", "50001"] {
        let expected = format!(
            "error: invalid value '{value}' for '--limit <COUNT>': it takes a whole number from 1 to 50000"
        );
        assert_eq!(said(&format!("run list -n {value}")), expected);
        assert_eq!(said(&format!("run list -n{value}")), expected);
    }
    let takes = |line: &str| {
        let said = said(line);
        let (_, takes) = said.split_once("it takes ").expect(&said);
        takes.to_owned()
    };
    for (line, expected) in [
        (
            "worker --slots 99999999999",
            "a whole number from 1 to 4294967295",
        ),
        (
            "datastore ls d --max-results x",
            "a whole number of at least 0",
        ),
        (
            "datastore ls d --max-results -1",
            "a whole number of at least 0",
        ),
        (
            "datastore ls d --max-results 18446744073709551616",
            "a whole number from 0 to 18446744073709551615",
        ),
        ("run log r --metric a=1 --step x", "a whole number"),
        (
            "run log r --metric a=1 --step=-9223372036854775809",
            "a whole number from -9223372036854775808 to 9223372036854775807",
        ),
    ] {
        assert_eq!(takes(line), expected, "{line}");
    }
    fs::write(aml.root().join("config.toml"), "[worker]\nslots = 0\n").unwrap();
    expect![[r#"
        Error: $ROOT/config.toml:2:9: invalid value: integer `0`, expected a whole number of at least 1
          | slots = 0
        Hint: Correct the line or remove the file
    "#]]
    .assert_eq(&aml.fails(2, "workspace list"));
}

#[test]
fn words_of_a_few_may_be_written_in_any_case() {
    let aml = Aml::local();
    let edition = aml.ok("workspace create -n w --edition Enterprise --query edition -o TSV");
    assert_eq!(edition, "enterprise\n");
    expect![[r#"
        Error: --role: No role `nope`
        Hint: Roles: owner, contributor, reader, data-scientist
    "#]]
    .assert_eq(&aml.fails(3, "workspace share add --user ann --role nope"));
}

#[test]
fn a_folder_in_the_place_of_the_configuration_is_named() {
    let aml = Aml::local();
    expect![[r#"
        Error: `$ROOT/here` is a folder, and the configuration is a file
        Hint: AML_CONFIG names the file, such as `$ROOT/here/config.toml`
    "#]]
    .assert_eq(
        &aml.with("AML_CONFIG", aml.root().join("here"))
            .fails(2, "workspace list"),
    );
}

#[test]
fn what_names_a_workspace_that_is_not_there_is_said() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        let wrong = aml.with("AML_WORKSPACE", "nope");
        expect![[r#"
            Error: No workspace `nope`
            Hint: See which there are: aml workspace list
            Hint: AML_WORKSPACE says to work in it: correct or unset it
        "#]]
        .assert_eq(&wrong.fails(3, "run list"));
        let other = wrong.fails(3, "run list -w other");
        assert!(!other.contains("AML_WORKSPACE"), "{other}");
        expect![[r#"
            Error: --workspace: The quickstart works in a workspace of its own, `quickstart`, not in `churn`
            Hint: Leave it out: aml quickstart
        "#]]
        .assert_eq(&aml.fails(2, "quickstart -w churn"));
    });
}

#[test]
fn an_order_by_a_metric_that_no_run_has_is_warned_of() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        for (run, metric) in [("a", "loss=1"), ("b", "other=2")] {
            let line = format!("aml run log --metric {metric}");
            aml.ok([
                "run", "submit", "-n", run, "-e", "e", "--stream", "--", &line,
            ]);
        }
        let list = |order: &str| {
            let listed = aml.run(["run", "list", "-o", "none", "--order-by", order]);
            assert_eq!(listed.status, 0, "{listed:?}");
            listed.stderr
        };
        expect![[r#"
            Warning: None of the runs has a metric `los`, which orders nothing
            Hint: Did you mean `loss`?
        "#]]
        .assert_eq(&list("metrics.los DESC"));
        expect![[r#"
            Warning: None of the runs has a metric `such a`, which orders nothing
        "#]]
        .assert_eq(&list("metrics.\"such a\""));
        for order in ["metrics.loss DESC", "metrics.`other`", "created"] {
            assert_eq!(list(order), "", "{order}");
        }
    });
}

#[test]
fn a_download_has_a_folder_and_a_format() {
    let aml = Aml::local();
    aml.ok("workspace create -n w");
    aml.ok([
        "run",
        "submit",
        "-n",
        "r",
        "-e",
        "e",
        "--stream",
        "--",
        "echo x > outputs/f",
    ]);
    let got = aml.json("run download r --output ./out -o json");
    assert_eq!(got["folder"], "./out");
    assert_eq!(aml.read("out/outputs/f"), "x\n");
    assert_eq!(aml.json("run download r -o json --output ./out"), got);
    expect![[r#"
        Error: --output: `./a` and `./b` are two folders; one can be named
    "#]]
    .assert_eq(&aml.fails(2, "run download r -o ./a -o ./b"));
}

#[test]
fn what_the_workspace_finds_wrong_with_a_file_has_its_line() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        aml.write(
            "schedule.yml",
            "name: s\ntrigger: {type: cron, expression: \"0 8 * * *\"}\ncreate_job: azureml:nosuch\n",
        );
        expect![[r#"
            Error: schedule.yml:3:1: No run `nosuch` in `w`
            Hint: See which there are: aml run list
        "#]]
        .assert_eq(&aml.fails(3, "schedule create -f schedule.yml"));
        aml.write("score.py", "");
        aml.write(
            "deployment.yml",
            "name: blue\nendpoint_name: nosuch\nmodel: azureml:nosuch:1\n\
             code_configuration: {code: ., scoring_script: score.py}\n\
             environment: azureml:minimal-inference@latest\ninstance_type: Standard_DS3_v2\ninstance_count: 1\n",
        );
        expect![[r#"
            Error: deployment.yml:2:1: No endpoint `nosuch` in workspace `w`
            Hint: See which there are: aml endpoint list
        "#]]
        .assert_eq(&aml.fails(3, "deployment create -f deployment.yml"));
        expect![[r#"
            Error: --endpoint other: No endpoint `other` in workspace `w`
            Hint: See which there are: aml endpoint list
        "#]]
        .assert_eq(&aml.fails(3, "deployment create -f deployment.yml --endpoint other"));
        aml.az("configure --defaults workspace=w").ok();
        let az = |line: &str| aml.az(line).failed(3);
        expect![[r#"
            ERROR: schedule.yml:3:1: No run `nosuch` in `w`
            See which there are: az ml job list
        "#]]
        .assert_eq(&az("ml schedule create -f schedule.yml"));
        aml.az("ml online-endpoint create -n there").ok();
        aml.az("ml batch-endpoint create -n there").ok();
        expect![[r#"
            ERROR: deployment.yml:3:1: No model `nosuch` in workspace `w`
            See which there are: az ml model list
        "#]]
        .assert_eq(&az(
            "ml online-deployment create -f deployment.yml -e there",
        ));
        aml.ok("model register -n m --path score.py");
        let script = "-e there --set model=azureml:m:1 code_configuration.scoring_script=scoer.py";
        expect![[r#"
            ERROR: deployment.yml:4:31: No script `scoer.py` in the code
            Did you mean `score.py`?
        "#]]
        .assert_eq(&az(&format!(
            "ml online-deployment create -f deployment.yml {script}"
        )));
        let batch = "name: b\nendpoint_name: nosuch\nmodel: azureml:m:1\ncompute: azureml:local\n\
                     code_configuration: {code: ., scoring_script: scoer.py}\n\
                     environment: azureml:nosuch@latest\n";
        aml.write("batch.yml", batch);
        let create = "ml batch-deployment create -f batch.yml";
        expect![[r#"
            ERROR: batch.yml:2:1: No batch endpoint `nosuch` in workspace `w`
            See which there are: az ml batch-endpoint list
        "#]]
        .assert_eq(&az(create));
        expect![[r#"
            ERROR: batch.yml:5:31: No script `scoer.py` in the code
            Did you mean `score.py`?
        "#]]
        .assert_eq(&az(&format!("{create} -e there")));
        aml.write("batch.yml", batch.replace("scoer", "score"));
        let error = aml.fails(3, "batch deploy there -f batch.yml");
        let missing = "Error: batch.yml:6:1: No environment `nosuch` in workspace `w`\n";
        assert!(error.starts_with(missing), "{error}");
    });
}

#[test]
fn data_and_jobs_in_a_datastore_that_is_not_there_are_told_of() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        aml.az("configure --defaults workspace=w").ok();
        let path = "azureml://datastores/workspaceblobstor/paths/x";
        aml.write(
            "data.yml",
            format!("name: d\ntype: uri_file\npath: {path}\n"),
        );
        // It may be made later.
        let told = "data.yml:3:1: No datastore `workspaceblobstor` in workspace `w`";
        for said in [
            aml.run("data create -f data.yml"),
            aml.az("ml data create -f data.yml"),
        ] {
            assert_eq!(said.status, 0, "{said:?}");
            assert!(said.stderr.contains(told), "{said:?}");
            let hint = "Did you mean `workspaceblobstore`?\n";
            assert!(said.stderr.ends_with(hint), "{said:?}");
        }
        let said = aml.run(format!("data create -n e -p {path}"));
        let told = "Warning: --path: No datastore `workspaceblobstor`";
        assert!(said.stderr.starts_with(told), "{said:?}");
        aml.ok("data create -n e -p azureml://datastores/workspaceartifactstore/paths/later");
        aml.write(
            "job.yml",
            format!("command: ls ${{{{inputs.d}}}}\nenvironment: {{image: python}}\ninputs:\n  d: {{type: uri_file, path: {path}}}\n"),
        );
        let told = "Warning: job.yml:4:23: No datastore `workspaceblobstor` in workspace `w`\n\
                    Hint: Did you mean `workspaceblobstore`?\n";
        let said = aml.run("job create -f job.yml");
        assert_eq!((said.status, said.stderr.as_str()), (0, told), "{said:?}");
        let mirror = format!(
            "[mirrors]\n\"{path}\" = \"{}\"\n",
            aml.path("job.yml").display()
        );
        let config = aml.root().join("config.toml");
        let before = fs::read_to_string(&config).unwrap_or_default();
        fs::write(&config, before + &mirror).unwrap();
        let said = aml.run("job create -f job.yml");
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{said:?}");
    });
}

#[test]
fn a_model_in_a_datastore_that_is_not_there_is_refused() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let create = |datastore: &str| {
            let line = format!(
                "ml model create -n m -w w --path azureml://datastores/{datastore}/paths/x"
            );
            aml.az(line)
        };
        let error = create("workspaceblobstor").failed(3);
        assert!(
            error.contains("No datastore `workspaceblobstor` in workspace `w`"),
            "{error}"
        );
        assert!(error.contains("workspaceblobstore`?"), "{error}");
        create("workspaceblobstore").ok();
    });
}
