//! Jobs by `az ml`, as scripts run and watch them.

use serde_json::json;

use super::{error, with_workspace};
use crate::support::{each_mode, eventually};

const JOB: &str = "command: echo \"${{inputs.greeting}} ${{inputs.number}}\" && echo x > outputs/x.txt\n\
                   environment:\n  image: library/python:latest\n\
                   inputs: {greeting: hello, number: 42}\ncompute: azureml:cpu-cluster\n";

#[test]
fn a_job_is_created_watched_and_downloaded() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml compute create -n cpu-cluster --type amlcompute")
            .ok();
        aml.write("job.yml", JOB);
        let create = "ml job create -f job.yml --query name -o tsv --set inputs.greeting='good day' inputs.number=24";
        let name = aml.az(create).ok();
        let name = name.trim();
        let streamed = aml.az(format!("ml job stream -n {name}")).ok();
        assert!(
            streamed.starts_with(&format!("RunId: {name}\n")),
            "{streamed}"
        );
        assert_eq!(streamed.contains("Web View: http"), aml.is_remote());
        assert!(
            streamed.contains("\ngood day 24\n") && streamed.contains("Execution Summary\n====")
        );
        let status = format!("ml job show -n {name} --query status -o tsv");
        assert_eq!(aml.az(status).ok(), "Completed\n");
        let page = format!("ml job show -n {name} --query services.Studio.endpoint");
        assert!(aml.az(page).ok().starts_with("\"http"));
        aml.az(format!("ml job download -n {name} --all -p out"))
            .ok();
        assert_eq!(aml.read("out/artifacts/outputs/x.txt"), "x\n");
        aml.az(format!(
            "ml job update -n {name} --set tags.a=b display_name=shown experiment_name='another one'"
        ))
        .ok();
        let shown = aml
            .az(format!(
                "ml job show -n {name} --query '[tags.a, display_name, experiment_name]'"
            ))
            .json();
        assert_eq!(shown, json!(["b", "shown", "another one"]));
        let other = format!("ml job update -n {name} --set command=true");
        assert!(error(aml, 1, &other).contains("does not change"));
        assert_eq!(
            aml.az("ml job list --query [].name -o tsv").ok().trim(),
            name
        );
        assert_eq!(aml.az("ml job list --query length(@)").ok(), "1\n");
        aml.az(format!("ml job archive -n {name}")).ok();
        assert_eq!(aml.az("ml job list").ok(), "[]\n");
        aml.az(format!("ml job restore -n {name}")).ok();
        aml.az(format!("ml job cancel -n {name}")).ok();
        assert!(
            error(aml, 1, &format!("ml job connect-ssh -n {name}")).contains("no other machine")
        );
    });
}

#[test]
fn a_job_that_fails_or_cannot_be_says_so() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "fails.yml",
            "command: exit 3\nenvironment: {image: python}\n",
        );
        error(aml, 1, "ml job create -f fails.yml --stream");
        aml.write(
            "bad.yml",
            "command: echo\nenvironment: {image: python}\nfrob: 1\n",
        );
        assert!(error(aml, 1, "ml job create -f bad.yml").contains("bad.yml:3:1"));
        let checked = aml.az("ml job validate -f bad.yml");
        assert_eq!(checked.status, 1);
        assert!(checked.stdout.contains("\"result\": \"Failed\""));
        error(aml, 3, "ml job show -n nope");
        let set = "ml job create -f fails.yml --set environment.image.x=1";
        assert!(error(aml, 1, set).contains("reference strings"));
    });
}

#[test]
fn a_job_runs_in_an_image_that_was_built_here() {
    each_mode(|aml| {
        with_workspace(aml);
        let registry = aml.az("acr list --query [0].name -o tsv").ok();
        let registry = registry.trim();
        aml.write("context/Dockerfile", "FROM python\n");
        aml.az(format!("acr build -t examples/app:1 -r {registry} context"))
            .ok();
        aml.write("job.yml", format!("command: echo built\nenvironment: {{image: {registry}.azurecr.io/examples/app:1}}\n"));
        aml.az("ml job create -f job.yml --stream").ok();
        let other = format!(
            "ml job create -f job.yml --set environment.image={registry}.azurecr.io/other:1"
        );
        assert!(error(aml, 3, &other).contains("No image `other:1`"));
    });
}

#[test]
fn services_run_beside_a_job_and_end_with_it() {
    each_mode(|aml| {
        with_workspace(aml);
        let fake = "#!/bin/sh\necho \"$*\" > \"$PWD/outputs/told\"\nexec sleep 600\n";
        aml.write("bin/tensorboard", fake);
        aml.sh("chmod +x bin/tensorboard").ok();
        aml.write(
            "job.yml",
            "command: >-\n  until test -s outputs/told; do sleep 0.1; done; cat outputs/told\n\
             environment: {image: python}\nservices:\n  board: {type: tensor_board, log_dir: outputs/tb, port: 6123}\n  \
             edit: {type: ssh}\n",
        );
        let path = format!("{}:{}", aml.path("bin").display(), aml.path_with_aml());
        aml.write(
            "env.yml",
            format!("environment_variables: {{PATH: '{path}'}}\n"),
        );
        let job = aml.read("job.yml") + &aml.read("env.yml");
        aml.write("job.yml", job);
        aml.az("ml job create -f job.yml -n j").ok();
        let said = aml.az("ml job stream -n j").ok();
        assert!(
            said.contains("--logdir outputs/tb --host 127.0.0.1 --port 6123"),
            "{said}"
        );
        let endpoint = "ml job show-services -n j --query board.endpoint -o tsv";
        assert_eq!(aml.az(endpoint).ok(), "http://127.0.0.1:6123\n");
        let shown = aml.ok("run show j");
        assert!(
            shown.contains("The service edit (ssh) is not started"),
            "{shown}"
        );

        // One that dies before the job is told of while the job goes on.
        aml.write("bin/tensorboard", "#!/bin/sh\nexit 3\n");
        aml.sh("chmod +x bin/tensorboard").ok();
        let waiting = aml.read("job.yml").replace(
            "until test -s outputs/told; do sleep 0.1; done; cat outputs/told",
            "until test -e over; do sleep 0.1; done",
        );
        aml.write("job.yml", waiting);
        aml.az("ml job create -f job.yml -n dead").ok();
        let status = "ml job show-services -n dead --query board.status -o tsv";
        eventually("the service is known to have failed", 20, || {
            (aml.az(status).ok() == "Failed\n").then_some(())
        });
        aml.az("ml job cancel -n dead").ok();
    });
}

#[test]
fn a_job_has_the_cores_of_its_compute() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml compute create -n small --type amlcompute --size Standard_DS1_v2 --max-instances 1 --min-instances 1")
            .ok();
        aml.write(
            "job.yml",
            "command: nproc && sleep ${{inputs.wait}}\nenvironment: {image: python}\ncompute: azureml:small\ninputs: {wait: 0}\n",
        );
        aml.az("ml job create -f job.yml -n j").ok();
        let said = aml.az("ml job stream -n j").ok();
        assert!(said.contains("\n1\n"), "{said}");
        let nodes = aml.az("ml compute list-nodes -n small").json();
        assert_eq!(nodes[0]["node_state"], "idle");
        aml.az("ml job create -f job.yml -n long --set inputs.wait=600")
            .ok();
        let runs = "until [ \"$(aml run show long --query status -o tsv)\" = Running ]; do sleep 0.1; done";
        aml.sh(runs).ok();
        let nodes = aml.az("ml compute list-nodes -n small").json();
        assert_eq!(nodes[0]["current_job_name"], "long");
        aml.az("ml job cancel -n long").ok();
    });
}

#[test]
fn a_model_is_made_of_a_job_s_output() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "job.yml",
            "command: echo w > ${{outputs.m}}/weights && echo a > outputs/a\nenvironment: {image: python}\n\
             outputs: {m: {type: custom_model}}\n",
        );
        aml.az("ml job create -f job.yml -n j").ok();
        aml.az("ml job stream -n j").ok();
        let create = "ml model create --type custom_model --path azureml://jobs/j/outputs";
        aml.az(format!("{create}/m -n kept").as_str()).ok();
        aml.az(format!("{create}/artifacts/paths/outputs/ -n whole").as_str())
            .ok();
        aml.az("ml model download -n kept -v 1 -p got").ok();
        aml.sh("test -f \"$(find got -name weights)\"").ok();
        assert_eq!(aml.json("model show kept:1 --query lineage.run"), "j");
        assert_eq!(aml.json("model show whole:1 --query files.files"), 1);
    });
}

#[test]
fn a_script_that_is_plainly_not_in_the_code_is_refused() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("src/train.py", "print('trained')\n");
        let job = |command: &str, code: &str| {
            aml.write(
                "job.yml",
                format!("command: {command}\n{code}environment: {{image: python}}\n"),
            );
            aml.az("ml job create -f job.yml --stream")
        };
        let near = job(
            "python trian.py --rate ${{inputs.rate}}",
            "code: src\ninputs: {rate: 1}\n",
        );
        let near = near.failed(1);
        assert!(
            near.contains("job.yml:1:1: `trian.py` is not in the code")
                && near.contains("Did you mean `train.py`?"),
            "{near}"
        );
        let none = job("python train.py", "").failed(1);
        assert!(
            none.contains("the job has no code") && none.contains("code: ./src"),
            "{none}"
        );
        assert_eq!(aml.az("ml job list").json(), json!([]), "nothing was made");
        // Where the line goes on without it, and where it may come from elsewhere, it may be missing.
        job("python other.py || echo without", "code: src\n").ok();
        job("cp train.py made.py && python made.py", "code: src\n").ok();
        job("python train.py", "code: src/train.py\n").ok();
        aml.write(
            "pipeline.yml",
            "type: pipeline\njobs:\n  one:\n    command: python trian.py\n    code: src\n    environment: {image: python}\n",
        );
        let step = aml.az("ml job create -f pipeline.yml").failed(1);
        assert!(
            step.contains("pipeline.yml:4:5: `trian.py` is not in the code"),
            "{step}"
        );
    });
}
