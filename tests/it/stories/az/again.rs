//! What `show` prints of a job is a file that creates the same once more.

use serde_json::Value;

use super::with_workspace;
use crate::support::{Aml, each_mode};

const ENVIRONMENT: &str = "{image: library/python:latest}";

/// Shows what `create` has made and lets that run again under the name `name`. Answers both, as they are
/// in the end, without what two of one kind differ in.
fn made_again(aml: &Aml, first: &str, name: &str) -> (Value, Value) {
    let shown = aml.az(format!("ml job show -n {first} -o yaml")).ok();
    aml.write("shown.yml", &shown);
    aml.ok("validate shown.yml");
    aml.az(format!("ml job create -f shown.yml -n {name} --stream"))
        .ok();
    let of = |name: &str| {
        let shown = aml.az(format!("ml job show -n {name}")).ok();
        let mut shown: Value = serde_json::from_str(&shown.replace(name, "NAME")).expect("JSON");
        let fields = shown.as_object_mut().expect("a mapping");
        for own in ["creation_context", "display_name"] {
            fields.remove(own);
        }
        shown
    };
    (of(first), of(name))
}

#[test]
fn jobs_are_created_from_what_show_prints() {
    each_mode(|aml| {
        with_workspace(aml);
        let place = "azureml://datastores/workspaceblobstore/paths/kept";
        aml.write(
            "command.yml",
            format!(
                "command: echo ${{{{inputs.n}}}} > ${{{{outputs.o}}}}/n; date +%N > ${{{{outputs.own}}}}/now\nenvironment: {ENVIRONMENT}\n\
                 inputs: {{n: 3}}\noutputs: {{o: {{path: {place}}}, own: {{}}}}\n"
            ),
        );
        aml.write(
            "sweep.yml",
            format!(
                "type: sweep\ntrial:\n  command: aml run log --metric m=1 && echo ${{{{search_space.x}}}} > ${{{{outputs.o}}}}/x\n  \
                 environment: {ENVIRONMENT}\noutputs: {{o: {{mode: upload}}}}\n\
                 search_space: {{x: {{type: choice, values: [1]}}}}\n\
                 objective: {{goal: maximize, primary_metric: m}}\nsampling_algorithm: grid\n\
                 limits: {{max_total_trials: 1}}\n"
            ),
        );
        for kind in ["command", "sweep"] {
            let create = format!("ml job create -f {kind}.yml -n {kind}-one --stream");
            aml.az(create).ok();
            let (first, second) = made_again(aml, &format!("{kind}-one"), &format!("{kind}-two"));
            assert_eq!(first, second);
        }
        // What neither was given a place for, neither writes over.
        let made = ["command-one", "command-two"].map(|job| {
            aml.az(format!(
                "ml job download -n {job} --output-name own -p {job}"
            ))
            .ok();
            aml.read(&format!("{job}/named-outputs/own/now"))
        });
        assert_ne!(made[0], made[1]);
    });
}

#[test]
fn the_outputs_of_a_pipeline_are_where_its_file_says_and_its_own_otherwise() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "pipeline.yml",
            format!(
                "type: pipeline\nsettings: {{default_compute: azureml:local, force_rerun: true}}\n\
                 outputs:\n  given:\n    path: azureml://datastores/workspaceblobstore/paths/kept/${{{{name}}}}\n  \
                 own:\njobs:\n  a:\n    command: echo a > ${{{{outputs.a}}}}/a; echo b > ${{{{outputs.b}}}}/b\n    \
                 environment: {ENVIRONMENT}\n    outputs:\n      a: ${{{{parent.outputs.given}}}}\n      \
                 b: ${{{{parent.outputs.own}}}}\n"
            ),
        );
        aml.az("ml job create -f pipeline.yml -n first --stream")
            .ok();
        let path = |run: &str, output: &str| {
            let query = format!("ml job show -n {run} --query outputs.{output}.path -o tsv");
            aml.az(query).ok().trim().to_owned()
        };
        let kept = "azureml://datastores/workspaceblobstore/paths/kept/first";
        assert_eq!(path("first", "given"), kept);
        let (first, second) = made_again(aml, "first", "second");
        assert_eq!(first["jobs"], second["jobs"]);
        assert_eq!(first["settings"], second["settings"]);
        assert_ne!(path("first", "own"), path("second", "own"));
        aml.az("ml job download -n second --output-name own -p out")
            .ok();
        assert_eq!(aml.read("out/named-outputs/own/b"), "b\n");
    });
}
