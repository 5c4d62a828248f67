//! Batch endpoints by the program's own commands.

use serde_json::{Value, json};

use crate::support::{
    Aml, each_mode,
    http::{post, send},
};

/// Multiplies the number in each file by that of the model.
pub const SCRIPT: &str = "\
import os
def init():
    global weight
    weight = int(open(os.path.join(os.environ['AZUREML_MODEL_DIR'], 'model', 'weight.txt')).read())
def run(files):
    return [(os.path.basename(f), weight * int(open(f).read())) for f in files]
";

const DEPLOYMENT: &str = "\
name: doubles
endpoint_name: somewhere
type: model
model: {path: model}
code_configuration: {code: code, scoring_script: ./batch.py}
environment: {image: python}
compute: azureml:batch-cluster
settings: {mini_batch_size: 2, output_action: append_row, output_file_name: out.csv, error_threshold: 0}
";

const PIPELINE: &str = "\
name: hello
endpoint_name: somewhere
type: pipeline
component: greet.yml
settings: {default_compute: batch-cluster}
";

const COMPONENT: &str = "\
name: greet
version: '1'
type: pipeline
inputs: {word: {type: string, default: nobody}, times: {type: integer, default: 1}}
jobs:
  greet:
    command: echo hello ${{inputs.word}} ${{inputs.times}}
    environment: {image: python}
    inputs: {word: '${{parent.inputs.word}}', times: '${{parent.inputs.times}}'}
";

fn prepare(aml: &Aml) {
    aml.ok("workspace create -n Churn");
    aml.ok("compute create -n batch-cluster --type amlcompute");
    aml.write("model/weight.txt", "3");
    aml.write("code/batch.py", SCRIPT);
    aml.write("deployment.yml", DEPLOYMENT);
    aml.write("hello.yml", PIPELINE);
    aml.write("greet.yml", COMPONENT);
    for number in 1..=3 {
        aml.write(&format!("data/f{number}.txt"), number.to_string());
    }
}

#[test]
fn a_folder_is_scored_by_what_is_deployed_and_chosen() {
    each_mode(|aml| {
        aml.share_environments();
        prepare(aml);
        aml.ok("batch create scores --description first");
        let error = aml.fails(2, "batch invoke scores --input data");
        assert!(error.contains("no default deployment"), "{error}");
        aml.ok("batch deploy scores -f deployment.yml --set-default");
        let shown = aml.json("batch show scores");
        assert_eq!(shown["default_deployment"], "doubles");
        let job = aml.json("batch invoke scores --input data --query name");
        let job = job.as_str().expect("a name");
        aml.ok(format!("job stream {job}").as_str());
        aml.ok(format!("job download {job} --output-name score -p out").as_str());
        let rows = "f1.txt 3\nf2.txt 6\nf3.txt 9\n";
        assert_eq!(aml.read("out/named-outputs/score/out.csv"), rows);
        assert_eq!(aml.json("batch jobs scores --query [].name"), json!([job]));

        // A pipeline behind the same endpoint, with an input that is a value.
        aml.ok("batch deploy scores -f hello.yml");
        let words = "batch invoke scores -d hello --query name --inputs word.type=string \
                     word.default=world times.type=integer times.default=3";
        let pipeline = aml.json(words);
        let pipeline = pipeline.as_str().expect("a name");
        let log = aml.ok(format!("job stream {pipeline}").as_str());
        assert!(log.contains("hello world 3"), "{log}");
        let error = aml.fails(2, "batch invoke scores -d hello --mini-batch-size 3");
        assert!(error.contains("knows no `mini_batch_size`"), "{error}");
        let of_hello = aml.json("batch jobs scores -d hello --query [].name");
        assert_eq!(of_hello, json!([pipeline]));
        let names = aml.json("batch deployments scores --query [].name");
        assert_eq!(names, json!(["doubles", "hello"]));

        aml.ok("batch create scores --default hello");
        assert_eq!(aml.json("batch show scores --query description"), "first");
        aml.ok("batch delete scores -d doubles --yes");
        let error = aml.fails(3, "batch show scores -d doubles");
        assert!(error.contains("No "), "{error}");
        aml.ok("batch delete scores --yes");
        assert_eq!(aml.json("batch list"), json!([]));
    });
}

/// As of a job: any machine takes what names no compute that is there.
#[test]
fn a_misspelt_compute_of_a_deployment_is_told() {
    each_mode(|aml| {
        aml.share_environments();
        prepare(aml);
        aml.ok("batch create scores");
        let right = aml.run("batch deploy scores -f deployment.yml");
        assert!(!right.stderr.contains("No compute"), "{right:?}");
        let misspelt = |text: &str| text.replace("batch-cluster", "batch-clustr");
        aml.write("deployment.yml", misspelt(DEPLOYMENT));
        aml.write("hello.yml", misspelt(PIPELINE));
        aml.az("configure --defaults workspace=Churn").ok();
        let create = "ml batch-deployment create -e scores -f";
        for told in [
            aml.run("batch deploy scores -f deployment.yml"),
            aml.run("batch deploy scores -f hello.yml"),
            aml.az(format!("{create} deployment.yml")),
        ] {
            assert!(
                told.status == 0
                    && told.stderr.contains("No compute is called batch-clustr:")
                    && told.stderr.contains("Did you mean `batch-cluster`?"),
                "{told:?}"
            );
        }
    });
}

/// As scripts do it that were written for Azure.
#[test]
fn a_job_is_started_and_asked_for_over_rest() {
    each_mode(|aml| {
        aml.share_environments();
        prepare(aml);
        aml.ok("batch create scores");
        aml.ok("batch deploy scores -f deployment.yml");
        aml.az("configure --defaults workspace=Churn").ok();
        aml.ok("data create -n flowers --type uri_folder --path data");
        let get = |words: &str| aml.az(words).ok().trim_end().to_owned();
        let uri = get("ml batch-endpoint show -n scores --query scoring_uri -o tsv");
        let token = get("account get-access-token --query accessToken -o tsv");
        let body = r#"{"properties": {
            "InputData": {"flowers": {
                "JobInputType": "UriFolder",
                "Uri": "azureml://locations/eastus/workspaces/Churn/data/flowers/versions/labels/latest"
            }},
            "OutputData": {"customOutput": {
                "JobOutputType": "UriFolder", "Uri": "azureml://datastores/workspaceblobstore/paths/rest/"
            }},
            "OutputFileName": "rest.csv",
            "MiniBatchSize": 3,
            "ErrorThreshold": 4,
            "MaxConcurrencyPerInstance": 2,
            "LoggingLevel": "Debug",
            "RetrySettings": {"MaxRetries": 1, "Timeout": "PT1M30S"},
        }}"#;
        let (status, text) = post(&uri, &token, body);
        assert_eq!(status, 201, "{text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let job = told["name"].as_str().expect("a name");
        let id = told["id"].as_str().expect("an id");
        assert!(
            id.ends_with(&format!("/batchEndpoints/scores/jobs/{job}")),
            "{id}"
        );
        aml.ok(format!("job stream {job}").as_str());
        let bearer = format!("Bearer {token}");
        let ask = |job: &str| {
            send(
                "GET",
                &format!("{uri}/{job}"),
                &[("authorization", &bearer)],
                "",
            )
        };
        let told: Value = serde_json::from_str(&ask(job).1).expect("JSON");
        assert_eq!(told["properties"]["status"], "Completed");
        aml.ok(format!("job download {job} --output-name score -p out").as_str());
        assert_eq!(
            aml.read("out/named-outputs/score/rest.csv"),
            "f1.txt 3\nf2.txt 6\nf3.txt 9\n"
        );
        let place = aml.json(format!("job show {job} --query outputs.score.path"));
        assert!(
            place
                .as_str()
                .is_some_and(|path| path.contains("/paths/rest"))
        );
        let driver = aml.json(format!(
            "job show {job} --query environment_variables.AML_BATCH"
        ));
        let driver: Value = serde_json::from_str(driver.as_str().expect("text")).expect("JSON");
        for (key, expected) in [
            ("mini_batch_size", json!(3)),
            ("error_threshold", json!(4)),
            ("concurrency", json!(2)),
            ("logging_level", json!("debug")),
            ("max_retries", json!(1)),
            ("timeout", json!(90)),
            ("output_file_name", json!("rest.csv")),
        ] {
            assert_eq!(driver[key], expected, "{key}");
        }

        assert_eq!(ask("other").0, 404);
        assert_eq!(post(&uri, "wrong", body).0, 401);
        let local = r#"{"properties": {"dataset": {"Path": "./data"}}}"#;
        let (status, text) = post(&uri, &token, local);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("az ml data create"), "{text}");
        let several = r#"{"properties": {"OutputData": {
            "score": {"JobOutputType": "UriFolder"}, "more": {"JobOutputType": "UriFolder"}
        }}}"#;
        let (status, text) = post(&uri, &token, several);
        assert!(status == 400 && text.contains("outputs.more"), "{text}");
        let outside = r#"{"properties": {"OutputFileName": "../rest.csv"}}"#;
        let (status, text) = post(&uri, &token, outside);
        assert!(status == 400 && text.contains("output_file_name"), "{text}");
    });
}

#[test]
fn settings_that_cannot_be_are_refused() {
    each_mode(|aml| {
        aml.share_environments();
        prepare(aml);
        aml.ok("batch create scores");
        aml.ok("batch deploy scores -f deployment.yml");
        aml.az("configure --defaults workspace=Churn").ok();
        for (from, to, target) in [
            ("out.csv", "../out.csv", "8:59: "),
            ("mini_batch_size: 2", "mini_batch_size: 0", "8:29: "),
            ("error_threshold: 0", "error_threshold: -2", "8:86: "),
            ("error_threshold: 0", "logging_level: loud", "8:86: "),
        ] {
            aml.write("wrong.yml", DEPLOYMENT.replace(from, to));
            let error = aml.fails(2, "batch deploy scores -f wrong.yml");
            let place = format!("Error: wrong.yml:{target}");
            assert!(error.starts_with(&place), "{error}");
        }
        let error = aml.fails(2, "batch invoke scores -d doubles");
        let nothing = "Error: inputs: There is nothing to score\nHint: Name data";
        assert!(error.starts_with(nothing), "{error}");
        let error = aml.az("ml batch-endpoint invoke -n scores --set mini_batch=2");
        let error = error.failed(1);
        assert!(error.contains("mini_batch_size"), "{error}");
    });
}

#[test]
fn services_are_endpoints_by_their_old_commands() {
    each_mode(|aml| {
        aml.share_environments();
        aml.ok("workspace create -n Churn");
        assert_eq!(aml.json("service list"), json!([]));
        let error = aml.fails(2, "service lst");
        assert!(error.contains("Did you mean `list`?"), "{error}");
        aml.write("model/weight.txt", "3");
        aml.write("score.py", "def init(): pass\ndef run(raw): return raw\n");
        aml.ok("model register -n echo --path model");
        aml.ok("deploy echo:1 --name echo-ep --script score.py");
        assert_eq!(aml.json("service show -n echo-ep")["state"], "Healthy");
        let answer = aml.json(["service", "run", "-n", "echo-ep", "-d", "[1]"]);
        assert_eq!(answer, "[1]");
        let keys = aml.json("service get-keys -n echo-ep");
        assert_eq!(
            keys["primaryKey"],
            aml.json("endpoint keys echo-ep --query primary")
        );
        assert!(
            aml.ok("service get-logs -n echo-ep")
                .contains("POST /score 200")
        );
        aml.ok("service delete -n echo-ep");
        assert_eq!(aml.json("endpoint list"), json!([]));
    });
}
