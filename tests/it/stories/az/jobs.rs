//! Jobs by `az ml`, as scripts run and watch them.

use serde_json::json;

use super::{error, with_workspace};
use crate::support::each_mode;

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
            streamed.starts_with(&format!("RunId: {name}\nWeb View: http")),
            "{streamed}"
        );
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
            "ml job update -n {name} --set tags.a=b display_name=shown"
        ))
        .ok();
        let shown = aml
            .az(format!(
                "ml job show -n {name} --query '[tags.a, display_name]'"
            ))
            .json();
        assert_eq!(shown, json!(["b", "shown"]));
        assert_eq!(
            aml.az("ml job list --query [].name -o tsv").ok().trim(),
            name
        );
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
