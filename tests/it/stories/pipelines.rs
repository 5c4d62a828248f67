//! Pipelines: created from a file, run step by step, looked at and stopped.

use crate::support::{Aml, each_mode};

const PIPELINE: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
inputs:
  word: hello
  data: {type: uri_folder, path: data}
outputs:
  final: {mode: upload}
jobs:
  prep:
    command: cat ${{inputs.d}}/a.txt > ${{outputs.out}}/x.txt; echo ${{inputs.w}} >> ${{outputs.out}}/x.txt
    environment: {image: python}
    inputs: {d: '${{parent.inputs.data}}', w: '${{parent.inputs.word}}'}
    outputs: {out: }
  train:
    component: ./train.yml
    inputs: {d: '${{parent.jobs.prep.outputs.out}}', n: 3}
    outputs: {model: '${{parent.outputs.final}}'}
  eval:
    command: cat ${{inputs.m}}/m.txt > outputs/seen.txt
    environment: {image: python}
    inputs: {m: {path: '${{parent.jobs.train.outputs.model}}', type: uri_folder, mode: download}}
";
const COMPONENT: &str = "\
name: train
type: command
command: ls; cp ${{inputs.d}}/x.txt ${{outputs.model}}/m.txt; echo ${{inputs.n}} $[[--o ${{inputs.o}}]]${{inputs.p}} >> ${{outputs.model}}/m.txt
code: src
environment: {image: python}
inputs:
  d: {type: uri_folder}
  n: {type: integer}
  o: {type: string, optional: true}
  p: {type: string, default: '!'}
outputs: {model: {type: uri_folder}}
";

fn with_files(aml: &Aml) {
    aml.ok("workspace create -n ws");
    aml.write("src/main.py", "");
    aml.write("data/a.txt", "A\n");
    aml.write("train.yml", COMPONENT);
    aml.write("pipeline.yml", PIPELINE);
}

fn statuses(aml: &Aml, pipeline: &str) -> Vec<(String, String)> {
    let query = "sort_by([].{name: name, status: status}, &name)";
    let found = aml.json(format!("job list -p {pipeline} --query '{query}'"));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let found = found.as_array().expect("a list").iter();
    found
        .map(|run| (text(&run["name"]), text(&run["status"])))
        .collect()
}

#[test]
fn a_pipeline_runs_its_steps_in_order_and_its_outputs_are_those_of_its_steps() {
    each_mode(|aml| {
        with_files(aml);
        aml.ok("job create -f pipeline.yml -n p1 --set inputs.word=hi --stream -o none");
        assert_eq!(aml.json("job show p1 --query status"), "Completed");
        let completed = |name: &str| (name.to_owned(), "Completed".to_owned());
        let steps = ["p1-eval", "p1-prep", "p1-train"].map(completed);
        assert_eq!(statuses(aml, "p1"), steps);
        aml.ok("job download -n p1 --output-name final -p got");
        assert_eq!(aml.read("got/named-outputs/final/m.txt"), "A\nhi\n3 !\n");
        aml.ok("job download -n p1-eval -p eval");
        assert_eq!(aml.read("eval/artifacts/outputs/seen.txt"), "A\nhi\n3 !\n");
        // A component of the workspace does the same.
        aml.ok("component create -f train.yml -o none");
        let again = PIPELINE.replace("./train.yml", "azureml:train@latest");
        aml.write("again.yml", &again);
        aml.ok("job create -f again.yml -n p2 --stream -o none");
        aml.ok("job download -n p2 --output-name final -p again");
        assert_eq!(
            aml.read("again/named-outputs/final/m.txt"),
            "A\nhello\n3 !\n"
        );
    });
}
