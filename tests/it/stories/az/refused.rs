//! What `az` refuses: with which exit code, and what it says of it.

use super::{error, with_workspace};
use crate::support::each_mode;

/// What is not there: 3.
const ABSENT: [(&str, &str); 35] = [
    ("workspace show -n nope", "No workspace `nope`"),
    ("workspace delete -n nope -y", "No workspace `nope`"),
    ("compute show -n nope", "No compute `nope`"),
    ("compute delete -n nope -y", "No compute `nope`"),
    ("compute start -n nope", "No compute `nope`"),
    ("compute list-nodes -n nope", "No compute `nope`"),
    (
        "compute update -n nope --max-instances 4",
        "No compute `nope`",
    ),
    ("data show -n nope -v 3", "No data `nope`"),
    ("data show -n nope -l latest", "No data `nope`"),
    ("data archive -n nope", "No data `nope`"),
    ("data mount --path azureml:nope:1", "No data `nope`"),
    (
        "model show -n m -v 1 --registry-name nope",
        "No registry `nope`",
    ),
    ("model create -n m --path runs:/nope/model", "No run `nope`"),
    (
        "model create -n m --path azureml://jobs/nope/outputs/artifacts/paths/m",
        "No run `nope`",
    ),
    ("model download -n nope -v 1", "No model `nope`"),
    (
        "model share -n nope -v 1 --registry-name r --share-with-name m --share-with-version 1",
        "No model `nope`",
    ),
    ("environment show -n nope -v 1", "No environment `nope`"),
    ("component show -n nope -v 1", "No component `nope`"),
    ("job show -n nope", "No job `nope`"),
    ("job stream -n nope", "No job `nope`"),
    ("job cancel -n nope", "No job `nope`"),
    ("job download -n nope", "No job `nope`"),
    ("schedule show -n nope", "No schedule `nope`"),
    ("schedule disable -n nope", "No schedule `nope`"),
    ("schedule trigger -n nope", "No schedule `nope`"),
    ("connection show -n nope", "No connection `nope`"),
    ("datastore delete -n nope", "No datastore `nope`"),
    ("registry show -n nope", "No registry `nope`"),
    ("online-endpoint show -n nope", "No endpoint `nope`"),
    ("online-endpoint delete -n nope --yes", "No endpoint `nope`"),
    (
        "online-endpoint update -n nope --traffic blue=100",
        "No endpoint `nope`",
    ),
    (
        "online-endpoint get-credentials -n nope",
        "No endpoint `nope`",
    ),
    (
        "online-deployment get-logs -n a -e nope",
        "No endpoint `nope`",
    ),
    (
        "batch-endpoint delete -n nope -y",
        "No batch endpoint `nope`",
    ),
    ("batch-endpoint invoke -n nope", "No batch endpoint `nope`"),
];

/// What is wrong with what was asked for: 1.
const WRONG: [(&str, &str); 28] = [
    ("workspace delete -n w", "Add --yes"),
    (
        "workspace update -n w --set location=mars",
        "`location` of a workspace does not change",
    ),
    (
        "workspace update -n w --set name=other",
        "`name` of a workspace does not change",
    ),
    ("job create -f absent.yml", "There is no file `absent.yml`"),
    (
        "job validate -f absent.yml",
        "There is no file `absent.yml`",
    ),
    (
        "schedule create -f absent.yml",
        "There is no file `absent.yml`",
    ),
    (
        "data create -n d --path absent",
        "No such file or directory",
    ),
    (
        "data create -n d",
        "the command line: `path` is missing; a data asset must have it",
    ),
    ("data create -n d --type uri_file --path .", "is a folder"),
    (
        "data create -n d --type table --path .",
        "`table` is not a type of data",
    ),
    ("model create -n m -v 1 --path absent", "no file or folder"),
    ("environment create -n e", "no `image` or `build`"),
    (
        "environment create -n e --image x --build-context .",
        "not both",
    ),
    (
        "environment create -n e --image python --conda-file absent",
        "There is no file `absent`",
    ),
    (
        "compute create -n 'a b' --type amlcompute",
        "has the character ` `",
    ),
    (
        "compute create -n c --type cluster",
        "`cluster` is not the type of a compute",
    ),
    (
        "compute create -n c --type amlcompute --tier cheap",
        "Possible are `dedicated`, `low_priority`",
    ),
    (
        "compute create -n c --type amlcompute --size Small",
        "`Small` is no size of a machine",
    ),
    (
        "compute create -n c --type amlcompute --min-instances 5 --max-instances 2",
        "min_instances is 5",
    ),
    (
        "compute attach -n c --type amlcompute",
        "are made here, not attached",
    ),
    (
        "online-endpoint create -n a_b",
        "letters, digits and dashes",
    ),
    ("online-endpoint create -n 1ab", "begins with a letter"),
    ("online-endpoint create -n ab-", "does not end with a dash"),
    ("online-endpoint create -n ab", "3 to 32 are possible"),
    (
        "online-endpoint create -n a23456789012345678901234567890123",
        "3 to 32 are possible",
    ),
    (
        "online-endpoint invoke -n nope --request-file absent.json",
        "--request-file: There is no file `absent.json`",
    ),
    ("feature-store list", "means nothing here"),
    ("serverless-endpoint list", "means nothing here"),
];

/// What is wrong with the line itself: 2.
const UNKNOWN: [(&str, &str); 6] = [
    (
        "job create",
        "the following arguments are required: --file/-f",
    ),
    ("job list -r many", "invalid int value: 'many'"),
    (
        "compute create -n c --type amlcompute --max-instances x",
        "argument --max-instances: invalid int value: 'x'",
    ),
    // Neither was a command of 2020.
    (
        "run submit-notebook a.ipynb",
        "'submit-notebook' is misspelled",
    ),
    ("run show-metrics -r r", "'show-metrics' is misspelled"),
    (
        "online-endpoint invoke -n e",
        "the following arguments are required: --request-file/-r",
    ),
];

#[test]
fn what_cannot_be_is_refused_with_the_code_that_scripts_know() {
    each_mode(|aml| {
        with_workspace(aml);
        let all = [(3, &ABSENT[..]), (1, &WRONG), (2, &UNKNOWN)];
        for (code, cases) in all {
            for (line, why) in cases {
                let said = error(aml, code, &format!("ml {line}"));
                assert!(
                    said.starts_with("ERROR: ") && said.contains(why),
                    "{line}: {said}"
                );
            }
        }
        let missing = [
            ("group show -n nope", "No resource group `nope`"),
            (
                "keyvault secret show -n s --vault-name nope",
                "No key vault `nope`",
            ),
            ("acr build -t x:1 -r nope .", "No container registry `nope`"),
            (
                "role assignment create --role Boss --assignee x --scope /subscriptions/x",
                "No role `Boss`",
            ),
        ];
        for (line, why) in missing {
            let said = error(aml, 3, line);
            assert!(said.contains(why), "{line}: {said}");
        }
    });
}

#[test]
fn a_job_is_downloaded_when_it_has_ended_and_streams_how_it_failed() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "job.yml",
            "command: sleep 600\nenvironment: {image: python}\n",
        );
        aml.az("ml job create -f job.yml -n goes-on").ok();
        let early = error(aml, 1, "ml job download -n goes-on");
        assert!(early.contains("has not ended"), "{early}");
        aml.az("ml job cancel -n goes-on").ok();
        error(aml, 1, "ml job stream -n goes-on");
        let fails = "ml job create -f job.yml -n fails --set command='exit 3'";
        aml.az(fails).ok();
        error(aml, 1, "ml job stream -n fails");
        assert_eq!(
            aml.az("ml job show -n fails --query status -o tsv").ok(),
            "Failed\n"
        );
        aml.az("ml job download -n fails --all -p got").ok();
    });
}

#[test]
fn all_that_a_workspace_does_not_have_is_said_with_the_commands_of_az() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "steps.yml",
            "type: pipeline
settings: {default_compute: serverless}
jobs:
  a: {component: azureml:absent_one:1}
  b: {component: azureml:absent_two:1}
",
        );
        let said = error(aml, 3, "ml job create -f steps.yml");
        for part in [
            "steps.yml:4:7: Step `a`: No component `absent_one`",
            "steps.yml:5:7: Step `b`: No component `absent_two`",
            "See which there are: az ml component list",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        aml.write(
            "mixed.yml",
            "type: pipeline
settings: {default_compute: serverless}
jobs:
  a: {component: azureml:absent_one:1}
  b: {command: 'echo ${{inputs.none}}', environment: {image: python}, comput: x}
",
        );
        let said = error(aml, 1, "ml job create -f mixed.yml");
        for part in [
            "help: See which there are: az ml component list",
            "Did you mean `compute`?",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let said = error(aml, 3, "ml online-endpoint show -n absent");
        assert!(said.contains("az ml online-endpoint list"), "{said}");
        let said = error(aml, 3, "ml workspace show -n absent");
        assert!(said.contains("az ml workspace list"), "{said}");
    });
}
