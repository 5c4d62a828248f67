//! Scripts of 2020, written for `azure-cli-ml`.

use serde_json::{Value, json};

use super::error;
use crate::support::{Aml, each_mode};

fn file(aml: &Aml, path: &str) -> Value {
    serde_json::from_str(&aml.read(path)).expect("JSON")
}

fn with_workspace(aml: &Aml) {
    aml.az("group create -n g -l eastus").ok();
    let made = aml.az("ml workspace create -w w -g g --sku enterprise -f Friendly");
    let made = made.json();
    assert_eq!(
        (&made["sku"], &made["friendlyName"], &made["location"]),
        (&json!("Enterprise"), &json!("Friendly"), &json!("eastus"))
    );
}

#[test]
fn a_script_runs_and_its_model_is_registered() {
    each_mode(|aml| {
        with_workspace(aml);
        let again = "ml workspace create -w w -g g --sku basic";
        assert!(error(aml, 1, again).contains("`w`"));
        let kept = aml.az(format!("{again} --exist-ok")).json();
        assert_eq!(kept["sku"], "Enterprise");
        aml.write(
            "train.py",
            "import sys\nprint('trained')\nopen('outputs/m', 'w').write(' '.join(sys.argv[1:]))\n",
        );
        let attached = aml.az("ml folder attach -w w -g g -e first").json();
        assert_eq!(attached["Workspace name"], "w");
        assert_eq!(file(aml, ".azureml/config.json")["resource_group"], "g");
        aml.write(
            ".azureml/plain.runconfig",
            "script: train.py\narguments: [--rate, 0.1, it's]\ntarget: cpu\nenvironment:\n  \
             environmentVariables: {A: b}\n  python: {userManagedDependencies: true}\n",
        );
        let create = "ml computetarget create amlcompute -n cpu -s Standard_D2_v2 --max-nodes 2";
        let cluster = aml.az(create).json();
        assert_eq!(cluster["properties"]["scaleSettings"]["maxNodeCount"], 2);
        let streamed = aml.az("ml run submit-script -c plain -t run.json").ok();
        assert!(streamed.contains("\ntrained\n"), "{streamed}");
        let run = file(aml, "run.json");
        assert_eq!(
            (&run["status"], &run["experimentName"], &run["target"]),
            (&json!("Completed"), &json!("first"), &json!("cpu"))
        );
        let id = run["runId"].as_str().expect("an id");
        let register =
            "ml model register -n m -f run.json --asset-path outputs/m --tag a=b -t model.json";
        aml.az(register).ok();
        let model = file(aml, "model.json");
        assert_eq!(
            (&model["modelId"], &model["runId"], &model["tags"]["a"]),
            (&json!("m:1"), &run["runId"], &json!("b"))
        );
        aml.az("ml model download -i m:1 -t got").ok();
        assert_eq!(aml.read("got/m"), "--rate 0.1 it's");
        assert!(error(aml, 1, "ml model download -i m:1 -t got").contains("not empty"));
        aml.az(format!("ml run update -r {id} --add-tag x=y")).ok();
        let tags = aml.az(format!("ml run show -r {id} --query tags.x -o tsv"));
        assert_eq!(tags.ok(), "y\n");
        let list = "ml run list --status Completed --compute-target-name cpu --query [].runId";
        assert_eq!(aml.az(list).json(), json!([id]));
        aml.az(format!("ml run download-logs -r {id} -d logs")).ok();
        assert_eq!(aml.read("logs/user_logs/std_log.txt"), "trained\n");
        let names = aml.az("ml experiment list --query [].name -o tsv").ok();
        assert_eq!(names, "first\n");
        aml.az("ml model update -i m:1 --add-tag c=d --remove-tag a")
            .ok();
        let tags = aml.az("ml model show -i m:1 --query tags").json();
        assert_eq!(tags, json!({"c": "d"}));
        aml.az("ml model delete -i m:1").ok();
        error(aml, 3, "ml model show -i m:1");
        let said = error(aml, 3, "ml run submit-script -c other train.py");
        assert!(
            said.contains("There is no run configuration `other`"),
            "{said}"
        );
        let none = error(aml, 1, "ml run submit-script -c plain nothing.py");
        assert!(none.contains("`nothing.py` is not in the code"), "{none}");
        aml.write("fails.py", "raise SystemExit(3)\n");
        assert!(error(aml, 1, "ml run submit-script -c plain fails.py").contains("failed"));
    });
}

#[test]
fn a_script_is_tried_with_many_values() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml folder attach -w w -g g -e sweep").ok();
        aml.write(
            "train.py",
            "import json, sys\nloss = float(sys.argv[sys.argv.index('--rate') + 1])\n\
             json.dump({'loss': loss}, open('outputs/metrics.json', 'w'))\n",
        );
        aml.write(
            "hyper.yml",
            "sampling:\n  type: grid\n  parameter_space:\n    - name: --rate\n      expression: choice\n      values: [0.5, 0.25]\n\
             policy: {type: NoTerminationPolicy}\nprimary_metric_name: loss\nprimary_metric_goal: Minimize\n\
             max_total_runs: 4\nmax_concurrent_runs: 2\nmax_duration_minutes: 10\n",
        );
        let submit = "ml run submit-hyperdrive --hyperdrive-configuration-name hyper.yml -t run.json train.py";
        aml.az(submit).ok();
        let run = file(aml, "run.json");
        assert_eq!(run["status"], "Completed");
        let id = run["runId"].as_str().expect("an id");
        let trials = format!("ml run list --parent-run-id {id} --query 'sort([].metrics.loss)'");
        assert_eq!(aml.az(trials).json(), json!([0.25, 0.5]));
    });
}

#[test]
fn models_are_served() {
    each_mode(|aml| {
        aml.share_environments();
        with_workspace(aml);
        aml.az("ml folder attach -w w -g g").ok();
        aml.write("m/weight.txt", "42");
        aml.write(
            "source/score.py",
            "import os\ndef init(): pass\ndef run(data): return [os.environ['TEAM'], data]\n",
        );
        aml.write(
            "inference.json",
            r#"{"entryScript": "score.py", "sourceDirectory": "source",
                "environment": {"environmentVariables": {"TEAM": "red"}}}"#,
        );
        aml.write("local.json", r#"{"computeType": "local"}"#);
        aml.az("ml model register -n m -p m -t model.json").ok();
        let deploy =
            "ml model deploy -n svc -f model.json --ic inference.json --dc local.json -t svc.json";
        let made = aml.az(deploy).json();
        assert_eq!(
            (&made["state"], &made["name"]),
            (&json!("Healthy"), &json!("svc"))
        );
        assert_eq!(made["models"][0]["id"], "m:1");
        assert_eq!(file(aml, "svc.json")["scoringUri"], made["scoringUri"]);
        assert!(error(aml, 1, deploy).contains("--overwrite"));
        let ask = |what: &str| aml.az(["ml", what, "run", "-n", "svc", "-d", r#"{"a": 1}"#]);
        let answered = ask("service").json();
        assert!(answered.to_string().contains("red"), "{answered}");
        let keys = aml.az("ml service get-keys -n svc").json();
        aml.az("ml service regen-key -n svc -k secondary").ok();
        let after = aml.az("ml service get-keys -n svc").json();
        assert_eq!(keys["primaryKey"], after["primaryKey"]);
        assert_ne!(keys["secondaryKey"], after["secondaryKey"]);
        assert!(
            aml.az("ml service get-logs -n svc")
                .ok()
                .contains("POST /score 200")
        );
        let inference = aml.read("inference.json").replace("red", "blue");
        aml.write("inference.json", inference);
        let updated = aml
            .az("ml service update -n svc --ic inference.json --add-tag a=b")
            .json();
        assert_eq!(updated["tags"]["a"], "b");
        assert!(ask("service").json().to_string().contains("blue"));
        let serving = "ml service list --model-name m --tag a --query [].name -o tsv";
        assert_eq!(aml.az(serving).ok(), "svc\n");
        let second = "ml endpoint realtime create-version -n svc --vn second -m m:1 --ic inference.json --tp 20";
        let versions = aml.az(second).json()["versions"].clone();
        assert_eq!(versions["second"]["trafficPercentile"], 20);
        assert_eq!(versions["default"]["trafficPercentile"], 80);
        aml.az("ml endpoint realtime delete-version -n svc --vn second")
            .ok();
        aml.az("ml service delete -n svc").ok();
        error(aml, 3, "ml service show -n svc");
        aml.az("ml model package -m m:1 --ic inference.json --output-path packed")
            .ok();
        assert_eq!(aml.read("packed/azureml-models/m/1/m/weight.txt"), "42");
        let lacks = "ml model deploy -n x -m m:1 --es none.py";
        assert!(error(aml, 1, lacks).contains("no script `none.py`"));
    });
}

#[test]
fn datastores_datasets_and_environments_are_registered() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml folder attach -w w -g g").ok();
        aml.write("files/table.csv", "a;b\n1;x\n2;y\n");
        let upload = "ml datastore upload -n workspaceblobstore -p files -u data";
        aml.az(upload).ok();
        aml.az("ml datastore download -n workspaceblobstore -d got -p data")
            .ok();
        assert_eq!(aml.read("got/table.csv"), "a;b\n1;x\n2;y\n");
        aml.write("got/table.csv", "mine");
        aml.write("files/more.csv", "c\n");
        let download = "ml datastore download -n workspaceblobstore -d got -p data";
        let left = aml.az(download);
        assert!(left.stderr.contains("1 that were there"), "{}", left.stderr);
        aml.az(format!("{upload} --overwrite false")).ok();
        aml.az(download).ok();
        assert_eq!(aml.read("got/table.csv"), "mine");
        assert_eq!(aml.read("got/more.csv"), "c\n");
        aml.write("files/table.csv", "a;b\n1;x\n3;z\n");
        aml.az(upload).ok();
        aml.az(format!("{download} --overwrite")).ok();
        assert_eq!(aml.read("got/table.csv"), "a;b\n1;x\n2;y\n");
        aml.az(format!("{upload} --overwrite true")).ok();
        aml.az(format!("{download} --overwrite true")).ok();
        assert_eq!(aml.read("got/table.csv"), "a;b\n1;x\n3;z\n");
        aml.write("files/table.csv", "a;b\n1;x\n2;y\n");
        aml.az(format!("{upload} --overwrite")).ok();
        let default = aml.az("ml datastore show-default").json();
        assert_eq!(default["name"], "workspaceblobstore");
        let attach =
            "ml datastore attach-blob -n cloud -a account -c container -k c2VjcmV0 -t store.json";
        assert_eq!(aml.az(attach).json()["account_name"], "account");
        assert!(!aml.read("store.json").contains("c2VjcmV0"));
        let shown = aml.az("ml datastore list --include-secret").ok();
        assert!(shown.contains("c2VjcmV0"), "{shown}");
        aml.az("ml datastore set-default -n cloud").ok();
        let default = aml.az("ml datastore show-default --query name -o tsv");
        assert_eq!(default.ok(), "cloud\n");
        aml.az("ml datastore set-default -n workspaceblobstore")
            .ok();
        aml.az("ml datastore detach -n cloud").ok();
        error(aml, 3, "ml datastore show -n cloud --path .");

        let template = aml.az("ml dataset register --show-template").json();
        assert_eq!(template["schemaVersion"], 1);
        aml.write(
            "dataset.json",
            r#"{"datasetType": "Tabular", "parameters": {"separator": ";",
                "path": {"datastoreName": "workspaceblobstore", "relativePath": "data/table.csv"}},
                "registration": {"name": "table", "tags": {"a": "b"}}, "schemaVersion": 1}"#,
        );
        let made = aml.az("ml dataset register -f dataset.json").json();
        assert_eq!(
            (&made["id"], &made["datasetType"]),
            (&json!("table:1"), &json!("Tabular"))
        );
        let rows = aml.json("data preview table:1 -w w");
        assert_eq!(rows[1]["b"], "y", "{rows}");
        aml.az("ml dataset archive -n table").ok();
        assert_eq!(aml.az("ml dataset list").ok(), "[]\n");
        aml.az("ml dataset reactivate -n table").ok();
        let shown = aml.az("ml dataset show -n table -v latest --query tags.a -o tsv");
        assert_eq!(shown.ok(), "b\n");
        aml.az("ml dataset unregister -n table").ok();
        error(aml, 3, "ml dataset show -i table:1");

        aml.az("ml environment scaffold -n env -d env").ok();
        assert!(error(aml, 1, "ml environment scaffold -n env -d env").contains("already"));
        let made = aml.az("ml environment register -d env").json();
        assert_eq!(
            (&made["name"], &made["version"]),
            (&json!("env"), &json!("1"))
        );
        aml.az("ml environment download -n env -d copy").ok();
        assert!(aml.read("copy/conda_dependencies.yml").contains("mlflow"));
        let again = aml.az("ml environment register -d copy").json();
        assert_eq!(again["version"], "1", "what is the same is no new version");
    });
}

#[test]
fn computes_are_changed_and_workspaces_shared() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml folder attach -w w -g g").ok();
        aml.az("ml computetarget create amlcompute -n cpu -s Standard_D2_v2 --max-nodes 2")
            .ok();
        let update = "ml computetarget update amlcompute -n cpu --max-nodes 5";
        let scale = aml.az(update).json()["properties"]["scaleSettings"].clone();
        assert_eq!(scale["maxNodeCount"], 5);
        aml.az("ml computetarget amlcompute identity assign -n cpu")
            .ok();
        let identity = "ml computetarget amlcompute identity show -n cpu --query type -o tsv";
        assert_eq!(aml.az(identity).ok(), "system_assigned\n");
        aml.az("ml computetarget create computeinstance -n mine -s Standard_D2_v2")
            .ok();
        aml.az("ml computetarget computeinstance stop -n mine").ok();
        let status = aml.az("ml computetarget show -n mine --query status -o tsv");
        assert_eq!(status.ok(), "Stopped\n");
        let attach =
            "ml computetarget attach remote -n box -a host -u me --ssh-port 22 --password hunter2";
        assert!(!aml.az(attach).ok().contains("hunter2"));
        aml.az("ml computetarget detach -n box").ok();
        let names = aml.az("ml computetarget list --query [].name").json();
        assert_eq!(names, json!(["cpu", "mine"]));
        let aks = error(aml, 1, "ml computetarget create aks -n a");
        assert!(aks.contains("no cluster to make"), "{aks}");
        aml.az("ml workspace update -w w -d text --tags a=b").ok();
        let shown = aml
            .az("ml workspace show -w w --query [description,tags.a]")
            .json();
        assert_eq!(shown, json!(["text", "b"]));
        for _ in 0..2 {
            let raised = aml.az("ml workspace update -w w --sku enterprise").json();
            assert_eq!(raised["sku"], "Enterprise");
        }
        let lower = "ml workspace update -w w --sku basic";
        assert!(error(aml, 1, lower).contains("enterprise"));
        if !aml.is_remote() {
            aml.ok("user create ann");
            aml.az([
                "ml",
                "workspace",
                "share",
                "-w",
                "w",
                "--user",
                "ann",
                "--role",
                "Contributor",
            ])
            .ok();
            let roles = aml.json("workspace share list -n w");
            assert!(roles.to_string().contains("ann"), "{roles}");
        }
        let asked = error(aml, 1, "ml workspace delete --path .");
        assert!(
            asked.contains("Delete the workspace w with all that is in it?"),
            "{asked}"
        );
        aml.az("ml workspace delete -w w").ok();
        assert_eq!(aml.az("ml workspace list").ok(), "[]\n");
    });
}

#[test]
fn a_pipeline_of_that_time_runs_and_databases_are_connections() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("configure --defaults workspace=w group=g").ok();
        aml.write(
            "steps/greet.py",
            "import sys\nprint('hello', sys.argv[1])\n",
        );
        aml.write(
            "old.yml",
            "pipeline:\n  name: Greeting\n  parameters:\n    WhoElse: {type: string, default: nobody}\n  steps:\n    Greet:\n      \
             type: PythonScriptStep\n      name: greet\n      script_name: greet.py\n      source_directory: ./steps\n      \
             arguments: ['parameter:WhoElse']\n      parameters: {WhoElse: {source: WhoElse}}\n",
        );
        let submit = "ml run submit-pipeline -y old.yml -n first -p WhoElse=world -f made.json";
        let run = aml.az(submit).json();
        assert_eq!(run["experimentName"], "first");
        assert_eq!(file(aml, "made.json")["runId"], run["runId"]);
        let id = run["runId"].as_str().expect("an id");
        let said = aml.az(format!("ml run monitor-logs -r {id}")).ok();
        assert!(said.contains("hello world"), "{said}");
        let wrong = error(aml, 3, "ml run submit-pipeline -y old.yml -p WhoEls=x");
        assert!(wrong.contains("Did you mean `who_else`?"), "{wrong}");
        assert!(error(aml, 1, "ml run submit-pipeline -i 5").contains("a pipeline is its file"));

        let attach =
            "ml datastore attach-psqldb -n shop -d orders --server-name db -u me -p hunter2";
        let made = aml.az(attach).json();
        assert_eq!(made["datastore_type"], "AzurePostgreSql");
        let shown = aml.az("ml connection show -n shop").json();
        assert_eq!(
            shown["target"],
            "db.postgres.database.azure.com:5432/orders"
        );
        assert!(!shown.to_string().contains("hunter2"), "{shown}");

        let half = "ml datastore attach-sqldb -n half -d o --server-name s --tenant-id t";
        assert!(error(aml, 2, half).contains("required: --client-id, --client-secret"));
        let both = format!("{half} --client-id c --client-secret s -u me");
        assert!(error(aml, 1, &both).contains("--username of a user"));

        let none = error(aml, 3, &format!("ml run monitor-tensorboard -r {id}"));
        assert!(none.contains("has left nothing in `logs`"), "{none}");
    });
}
