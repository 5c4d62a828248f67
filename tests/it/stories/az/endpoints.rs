//! Online and batch endpoints by `az ml`, as scripts make, share, ask and delete them.

use serde_json::{Value, json};

use super::{error, with_workspace};
use crate::{
    stories::batch::SCRIPT,
    support::{
        Aml, each_mode,
        http::{post, send},
    },
};

const SCORE: &str = "\
import os
def init(): pass
def run(data):
    if 'bad' in data: raise ValueError(data)
    return os.environ['TEAM']
";

fn deployment(aml: &Aml, name: &str) {
    let text = format!(
        "name: {name}\nendpoint_name: somewhere\nmodel: {{path: model}}\n\
         code_configuration: {{code: code, scoring_script: score.py}}\n\
         environment_variables: {{TEAM: {name}}}\n\
         instance_type: Standard_DS3_v2\ninstance_count: 1\n"
    );
    aml.write(&format!("{name}.yml"), &text);
}

fn with_files(aml: &Aml) {
    with_workspace(aml);
    aml.write("model/weight.txt", "42");
    aml.write("code/score.py", SCORE);
    aml.write("request.json", "{\"data\": 1}");
    deployment(aml, "blue");
    deployment(aml, "green");
}

fn invoke(aml: &Aml, more: &str) -> Value {
    aml.az(format!(
        "ml online-endpoint invoke -n duo --request-file request.json {more}"
    ))
    .json()
}

#[test]
fn two_deployments_share_the_requests_of_an_endpoint() {
    each_mode(|aml| {
        aml.share_environments();
        with_files(aml);
        let made = aml.az("ml online-endpoint create -n duo").json();
        assert_eq!(made["provisioning_state"], "Succeeded");
        let create = "ml online-deployment create --endpoint duo -f blue.yml --all-traffic";
        let blue = aml.az(create).json();
        assert_eq!(blue["provisioning_state"], "Succeeded");
        assert_eq!(blue["endpoint_name"], "duo");
        assert_eq!(invoke(aml, ""), "\"blue\"");

        aml.az("ml online-deployment create --endpoint duo -f green.yml --set instance_count=2")
            .ok();
        assert_eq!(invoke(aml, ""), "\"blue\"", "it gets nothing by itself");
        assert_eq!(invoke(aml, "--deployment green"), "\"green\"");
        aml.write("bad.json", "\"bad\"");
        let raised = error(aml, 1, "ml online-endpoint invoke -n duo -r bad.json");
        assert!(raised.contains("ValueError"), "{raised}");
        let shares = |shares: &str| {
            aml.az([
                "ml",
                "online-endpoint",
                "update",
                "-n",
                "duo",
                "--traffic",
                shares,
            ])
        };
        assert!(shares("blue=90 green=20").failed(1).contains("110 percent"));
        assert!(shares("blue=90 red=10").failed(3).contains("red"));
        let shared = shares("blue=0 green=100").json();
        assert_eq!(shared["traffic"], json!({"blue": 0, "green": 100}));
        assert_eq!(invoke(aml, ""), "\"green\"");
        let mirrored = aml
            .az("ml online-endpoint update -n duo --mirror-traffic blue=10")
            .json();
        assert_eq!(mirrored["mirror_traffic"], json!({"blue": 10}));

        let line =
            "ml online-deployment update -n green -e duo --set environment_variables.TEAM=red";
        assert_eq!(aml.az(line).json()["instance_count"], 2);
        assert_eq!(invoke(aml, ""), "\"red\"");
        aml.write(
            "code/score.py",
            "def init(): raise RuntimeError('no weights')\ndef run(data): pass\n",
        );
        let broken = "ml online-deployment update -e duo -f green.yml";
        let said = error(aml, 1, broken);
        assert!(said.contains("RuntimeError: no weights"), "{said}");
        assert_eq!(invoke(aml, ""), "\"red\"", "what answered goes on");
        let log = aml.az("ml online-deployment get-logs -n green -e duo").ok();
        assert!(log.contains("POST /score 200"), "{log}");

        let refused = error(aml, 1, "ml online-deployment delete -n green -e duo -y");
        assert!(refused.contains("100 percent"), "{refused}");
        aml.az("ml online-deployment delete -n blue -e duo -y").ok();
        let left = aml
            .az("ml online-deployment list -e duo --query [].name")
            .json();
        assert_eq!(left, json!(["green"]));
        aml.az("ml online-endpoint delete -n duo -y --no-wait").ok();
        assert_eq!(aml.az("ml online-endpoint list").ok(), "[]\n");
    });
}

#[test]
fn what_changes_nothing_here_is_kept_and_shown() {
    each_mode(|aml| {
        aml.share_environments();
        with_workspace(aml);
        aml.write(
            "endpoint.yml",
            "\
name: closed
compute: azureml:far-cluster
public_network_access: disabled
properties: {team: risk}
identity:
  type: user_assigned
  user_assigned_identities: [{resource_id: /subscriptions/s/me}]
",
        );
        let kept = |made: &Value| {
            assert_eq!(made["public_network_access"], "disabled", "{made}");
            assert_eq!(made["compute"], "azureml:far-cluster");
            assert_eq!(made["kind"], "K8S");
            let identity = &made["identity"];
            assert_eq!(identity["type"], "user_assigned");
            let users = &identity["user_assigned_identities"];
            assert_eq!(users[0]["resource_id"], "/subscriptions/s/me");
            let properties = made["properties"].as_object().unwrap();
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(names, ["azureml.onlineendpointid", "team"]);
        };
        kept(&aml.az("ml online-endpoint create -f endpoint.yml").json());
        kept(
            &aml.az("ml online-endpoint update -n closed --set tags.a=b")
                .json(),
        );
        kept(&aml.az("ml online-endpoint show -n closed").json());
        let open = "ml online-endpoint update -n closed --set public_network_access=enabled";
        assert_eq!(aml.az(open).json()["public_network_access"], "enabled");
        let plain = aml.az("ml online-endpoint create -n plain").json();
        assert_eq!(plain["identity"]["type"], "system_assigned");
        assert_eq!(plain["public_network_access"], "enabled");
        let names = plain["properties"].as_object().unwrap().len();
        assert_eq!((names, &plain["kind"]), (1, &json!("Managed")));
        // What somebody calls like that stays what it is.
        aml.write(
            "own.yml",
            "name: own\nproperties: {azureml.compute: mine, azureml.identity: '{'}\n",
        );
        aml.az("ml online-endpoint create -f own.yml").ok();
        let own = aml
            .az("ml online-endpoint update -n own --set tags.a=b")
            .json();
        assert_eq!(own["kind"], "Managed");
        assert_eq!(own["properties"]["azureml.compute"], "mine");
        assert_eq!(own["properties"]["azureml.identity"], "{");
    });
}

#[test]
fn tokens_open_an_endpoint_that_takes_them() {
    each_mode(|aml| {
        aml.share_environments();
        with_files(aml);
        aml.az("ml online-endpoint create -n duo --auth-mode aml_token")
            .ok();
        aml.az("ml online-deployment create -e duo -f blue.yml --all-traffic")
            .ok();
        let given = aml.az("ml online-endpoint get-credentials -n duo").json();
        let token = given["accessToken"].as_str().expect("a token").to_owned();
        let shown = aml.az("ml online-endpoint show -n duo").json();
        let url = shown["scoring_uri"].as_str().expect("an address");
        assert_eq!(post(url, &token, "{}").0, 200);
        assert_eq!(post(url, "amlt.1.2", "{}").0, 401);
        assert_eq!(invoke(aml, ""), "\"blue\"");
        aml.az("ml online-endpoint regenerate-keys -n duo --key-type secondary")
            .ok();
        assert_eq!(post(url, &token, "{}").0, 401, "a new key ends it");
        let token = aml.json("endpoint token duo -w w --seconds 60");
        let token = token["token"].as_str().expect("a token");
        assert_eq!(post(url, token, "{}").0, 200);
        aml.az("ml online-endpoint delete -n duo -y").ok();
    });
}

#[test]
fn local_endpoints_are_apart_and_ask_for_no_key() {
    let aml = &Aml::local();
    with_files(aml);
    aml.az("ml online-endpoint create --local -n duo").ok();
    aml.az("ml online-deployment create --local -e duo -f blue.yml")
        .ok();
    assert_eq!(invoke(aml, "--local"), "\"blue\"");
    assert_eq!(aml.az("ml online-endpoint list").ok(), "[]\n");
    let listed = aml.az("ml online-endpoint list --local").json();
    assert_eq!(listed[0]["name"], "duo");
    let url = listed[0]["scoring_uri"].as_str().expect("an address");
    let status = status_without_key(url);
    assert_eq!(status, 200);
    aml.az("ml online-endpoint delete --local -n duo -y").ok();
}

/// However the name is written: a server may be reached from elsewhere.
#[test]
fn a_server_hands_nothing_on_without_a_key() {
    each_mode(|aml| {
        aml.share_environments();
        if !aml.is_remote() {
            return;
        }
        with_files(aml);
        aml.az("ml online-endpoint create --local -n duo").ok();
        let listed = aml.az("ml online-endpoint list --local").json();
        let url = listed[0]["scoring_uri"].as_str().expect("an address");
        for url in [
            url.to_owned(),
            url.replace("local%2F", "LOCAL%2F"),
            url.replace("local%2F", "Local/"),
        ] {
            let (status, body) = send("POST", &url, &[], "{}");
            assert_ne!(status, 200, "{url}: {body}");
            assert!(url.contains("Local/") || status == 401, "{url}: {body}");
        }
    });
}

fn status_without_key(url: &str) -> u16 {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };
    let address = url.trim_start_matches("http://").trim_end_matches("/score");
    let mut stream = TcpStream::connect(address).expect("connects");
    let head =
        "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    stream.write_all(head.as_bytes()).expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer[9..12].parse().expect("a status")
}

const BATCH_DEPLOYMENT: &str = "\
name: doubles
endpoint_name: somewhere
type: model
model: {path: model}
code_configuration: {code: code, scoring_script: batch.py}
environment: {image: python}
compute: azureml:batch-cluster
resources: {instance_count: 1}
settings:
  mini_batch_size: 2
  max_concurrency_per_instance: 2
  output_action: append_row
  output_file_name: out.csv
  error_threshold: 0
  retry_settings: {max_retries: 1, timeout: 30}
";

#[test]
fn a_batch_endpoint_scores_the_files_of_a_folder() {
    each_mode(|aml| {
        aml.share_environments();
        with_workspace(aml);
        aml.write("model/weight.txt", "3");
        aml.write("code/batch.py", SCRIPT);
        aml.write("deployment.yml", BATCH_DEPLOYMENT);
        for number in 1..=5 {
            aml.write(&format!("data/f{number}.txt"), number.to_string());
        }
        aml.az("ml compute create -n batch-cluster --type amlcompute")
            .ok();
        let create = "ml batch-endpoint create -n scores --query scoring_uri";
        let address = aml.az(create).ok();
        assert!(address.starts_with("\"http"), "{address}");
        for line in [
            "show -n scores --query scoring_uri",
            "list --query [0].scoring_uri",
        ] {
            assert_eq!(aml.az(format!("ml batch-endpoint {line}")).ok(), address);
        }
        aml.az("ml batch-deployment create -f deployment.yml --endpoint scores --set-default")
            .ok();
        let default = "ml batch-endpoint show -n scores --query defaults.deployment_name -o tsv";
        assert_eq!(aml.az(default).ok(), "doubles\n");
        let invoke = "ml batch-endpoint invoke -n scores --input data --query name -o tsv";
        let job = aml.az(invoke).ok();
        let job = job.trim();
        let log = aml.az(format!("ml job stream -n {job}")).ok();
        assert!(log.contains("5 files make 3 mini-batches"), "{log}");
        aml.az(format!(
            "ml job download -n {job} --output-name score -p out"
        ))
        .ok();
        assert_eq!(
            aml.read("out/named-outputs/score/out.csv"),
            "f1.txt 3\nf2.txt 6\nf3.txt 9\nf4.txt 12\nf5.txt 15\n"
        );
        // Of an output that is not there nothing comes, which is no error in Azure either.
        let none = aml.az(format!("ml job download -n {job} --output-name nothing"));
        assert!(none.stderr.contains("No output `nothing`"), "{none}");
        none.ok();
        let jobs = "ml batch-deployment list-jobs -n doubles -e scores --query [].name";
        assert_eq!(aml.az(jobs).json(), json!([job]));
        let of_endpoint = "ml batch-endpoint list-jobs -n scores --query [].name";
        assert_eq!(aml.az(of_endpoint).json(), json!([job]));

        aml.write("data/f3.txt", "three");
        let job = aml.az(format!("{invoke} --mini-batch-size 1")).ok();
        let job = job.trim();
        aml.az(format!("ml job stream -n {job}")).failed(1);
        let status = format!("ml job show -n {job} --query status -o tsv");
        assert_eq!(aml.az(status).ok(), "Failed\n");
        aml.az("ml batch-deployment update -n doubles -e scores --set settings.error_threshold=1")
            .ok();
        let job = aml.az(format!("{invoke} --mini-batch-size 1")).ok();
        aml.az(format!("ml job stream -n {}", job.trim())).ok();

        aml.az("ml batch-deployment delete -n doubles -e scores -y")
            .ok();
        let none = error(aml, 1, "ml batch-endpoint invoke -n scores --input data");
        assert!(none.contains("no default deployment"), "{none}");
        aml.az("ml batch-endpoint delete -n scores -y").ok();
        assert_eq!(aml.az("ml batch-endpoint list").ok(), "[]\n");
        aml.az("ml batch-deployment list -e scores").failed(3);
    });
}
