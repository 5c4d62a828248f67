//! Azure ML's YAML files as a user checks them.

use expect_test::expect;

use crate::support::Aml;

#[test]
fn validate_shows_every_mistake_with_its_line() {
    let aml = Aml::local();
    aml.write(
        "job.yml",
        "type: command\ncomand: python train.py\nenvironment: azureml:sklearn-1.5@latest\ninputs:\n  data: {type: uri_fil, path: x}\n",
    );
    aml.write("data.yml", "type: uri_file\npath: ./data.csv\n$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\n");
    let output = aml.run(["validate", "job.yml", "data.yml", "-o", "table"]);
    assert_eq!(output.status, 1);
    expect![[r#"
        FILE      KIND  RESULT
        job.yml   job   2 errors
        data.yml  data  ok, with a note
    "#]]
    .assert_eq(&output.stdout);
    expect![[r#"
        error: A command job has no key `comand`
         --> job.yml:2:1
          |
        2 | comand: python train.py
          | ^^^^^^
          |
        help: Did you mean `command`?

        error: `uri_fil` is not the type of an input (a value, or a mapping with `type` and `path`)
         --> job.yml:5:16
          |
        5 |   data: {type: uri_fil, path: x}
          |                ^^^^^^^
          |
        help: Did you mean `uri_file`? Possible are `uri_file`, `uri_folder`, `custom_model`, `mlflow_model`, `triton_model`, `mltable`

        note: `name` is not in the file; give it by a flag
         --> data.yml:1:1
          |
        1 | type: uri_file
          | ^^^^

    "#]]
    .assert_eq(&output.stderr);
}

#[test]
fn what_a_file_comes_to_is_shown_with_flags_applied() {
    let aml = Aml::local();
    aml.write(
        "job.yml",
        "command: echo ${{inputs.rate}}\nenvironment: azureml:e:1\ninputs: {rate: 1}\n",
    );
    let shown = aml.json([
        "validate",
        "job.yml",
        "--show",
        "--set",
        "inputs.rate=0.5",
        "--set",
        "limits.timeout=60",
    ]);
    let value = &shown[0]["value"];
    assert_eq!(value["inputs"]["rate"], "0.5");
    assert_eq!(value["limits"]["timeout"], 60);
    assert_eq!(value["type"], "command");
    let refused = aml.fails(2, ["validate", "job.yml", "--set", "environment.image=x"]);
    assert!(
        refused.contains("Cannot use '--set' on properties defined by reference strings"),
        "{refused}"
    );
}

#[test]
fn a_file_that_is_nothing_and_a_kind_that_is_not_are_said() {
    let aml = Aml::local();
    aml.write("conda.yml", "name: x\ndependencies: [numpy]\n");
    let output = aml.run(["validate", "conda.yml"]);
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains("It looks like a conda file"),
        "{}",
        output.stderr
    );
    aml.write("empty.yml", "# nothing\n");
    aml.write(
        "slip.yml",
        "environment: {image: python}\ncomand: python train.py\n",
    );
    let slip = aml.run(["validate", "slip.yml"]);
    assert!(
        slip.stderr.contains("slip.yml:2:1") && slip.stderr.contains("Did you mean `command`"),
        "{}",
        slip.stderr
    );
    aml.write(
        "type.yml",
        "type: comand\ncommand: x\nenvironment: {image: python}\n",
    );
    let of_type = aml.run(["validate", "type.yml"]);
    assert!(
        of_type.stderr.contains("type.yml:1:7")
            && of_type.stderr.contains("Did you mean `command`?"),
        "{}",
        of_type.stderr
    );
    // One key of all steps is wrong, and `jobs` tells what it is of.
    let pipeline = "type: pipeline\njobs:\n  a: {comand: ls, environment: {image: python}, compute: 'azureml:c'}\n  b: {}\n";
    aml.write("pipeline.yml", pipeline);
    let wrong = aml.run(["validate", "pipeline.yml", "-o", "json"]);
    assert_eq!(wrong.status, 1, "{wrong:?}");
    assert!(
        wrong.stdout.contains("\"kind\": \"job\"") && wrong.stderr.contains("no key `comand`"),
        "{wrong:?}"
    );
    aml.write(
        "braces.yml",
        "command: ls\ninputs: {a: ${{parent.inputs.a}}}\n",
    );
    let braces = aml.run(["validate", "braces.yml"]);
    assert!(
        braces
            .stderr
            .contains("help: Put the expression in quotes: '${{…}}'"),
        "{braces:?}"
    );
    let output = aml.run(["validate", "empty.yml"]);
    assert!(
        output.stderr.contains("The file is empty"),
        "{}",
        output.stderr
    );
    assert!(
        aml.fails(2, ["validate", "absent.yml"])
            .contains("There is no file `absent.yml`")
    );
    assert!(
        aml.fails(3, ["schema", "jobb"])
            .contains("Did you mean `job`?")
    );
}

#[test]
fn a_schema_is_printed_for_editors() {
    let schema: serde_json::Value = serde_json::from_str(&Aml::local().ok("schema job")).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert!(schema["anyOf"][0]["properties"]["command"].is_object());
}
