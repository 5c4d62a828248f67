//! Wiring of steps.

use std::{fs, path::Path};

use crate::{
    kinds::{any::AnyJob, job::CommandJob, pipeline::PipelineJob, sweep::SweepJob},
    load,
    shape::Described,
};

const BASE: &str = "type: pipeline\ninputs: {rate: 0.1, data: {type: uri_folder, path: x}}\noutputs: {model: }\njobs:\n";

const UNWRITTEN: &str = "No step writes the pipeline's output `model`";

/// What is found in a pipeline with these steps, as `line:column: message | hint`.
fn found<T: Described>(text: &str, path: &Path) -> Vec<String> {
    let document = load::parse(text.to_owned(), path, "f");
    let report = match document.check::<T>(&[]) {
        Ok(checked) => checked.report,
        Err(report) => report,
    };
    let said = report.issues.iter().map(|issue| {
        let hint = issue
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!(" | {hint}"));
        format!(
            "{}: {}{hint}",
            report.sources.place(issue.span),
            issue.message
        )
    });
    said.collect()
}

fn steps(steps: &str) -> Vec<String> {
    wiring(&format!("{BASE}{steps}"), Path::new("/files/f.yml"))
}

/// What is found besides that the pipeline's output is left unwritten.
fn wiring(text: &str, path: &Path) -> Vec<String> {
    let mut found = found::<PipelineJob>(text, path);
    found.retain(|said| !said.contains(UNWRITTEN));
    found
}

fn component(folder: &Path) {
    let text = "name: c\ntype: command\ncommand: x ${{inputs.rate}}\nenvironment: azureml:e@latest\n\
                inputs:\n  rate: {type: number}\n  data: {type: uri_folder}\n  note: {type: string, optional: true, enum: ['True', a]}\n\
                outputs: {model: {type: uri_folder}}\n";
    fs::write(folder.join("c.yml"), text).unwrap();
}

#[test]
fn steps_that_are_wired_are_right() {
    let text = "  prep:\n    command: make ${{outputs.out}} ${{inputs.r}}\n    environment: azureml:e@latest\n\
                \x20   inputs: {r: '${{parent.inputs.rate}}'}\n    outputs: {out: }\n\
                \x20 train:\n    command: train ${{inputs.d}} ${{outputs.model}}\n    environment: azureml:e@latest\n\
                \x20   compute: ${{parent.inputs.rate}}\n    resources: {instance_count: '${{parent.inputs.rate}}'}\n\
                \x20   inputs: {d: {path: '${{parent.jobs.prep.outputs.out}}', mode: download}}\n\
                \x20   outputs: {model: {mode: upload, path: '${{parent.outputs.model}}'}}\n";
    assert_eq!(steps(text), [] as [&str; 0]);
}

#[test]
fn an_output_that_no_step_writes_is_told() {
    let step = "  a: {command: x, environment: azureml:e@latest}\n";
    let found = found::<PipelineJob>(&format!("{BASE}{step}"), Path::new("/files/f.yml"));
    assert_eq!(
        found,
        [format!(
            "f:3:11: {UNWRITTEN} | Let a step's output be it: outputs: {{OUTPUT: ${{{{parent.outputs.model}}}}}}"
        )]
    );
}

#[test]
fn expressions_lead_somewhere() {
    let text = "  a:\n    command: run ${{inputs.y}} ${{outputs.o}}\n    environment: azureml:e@latest\n\
                \x20   inputs:\n      x: ${{parent.inputs.rat}}\n      z: ${{parent.jobs.bb.outputs.o}}\n\
                \x20     w: ${{parent.jobs.b.outputs.modl}}\n    outputs:\n      out: ${{parent.outputs.modell}}\n\
                \x20 b:\n    command: ls\n    environment: azureml:e@latest\n    outputs: {model: }\n";
    assert_eq!(
        steps(text),
        [
            "f:6:14: Step `a`: `${{inputs.y}}`: there is no input `y` | There are x, z, w",
            "f:6:14: Step `a`: `${{outputs.o}}`: there is no output `o` | There are out",
            "f:9:10: Step `a`: `${{parent.inputs.rat}}`: there is no input of the pipeline `rat` | Did you mean `rate`?",
            "f:10:10: Step `a`: `${{parent.jobs.bb.outputs.o}}`: there is no step `bb` | Did you mean `b`?",
            "f:11:10: Step `a`: `${{parent.jobs.b.outputs.modl}}`: there is no output of the step `b` `modl` | Did you mean `model`?",
            "f:13:12: Step `a`: `${{parent.outputs.modell}}`: there is no output of the pipeline `modell` | Did you mean `model`?",
        ]
    );
}

#[test]
fn steps_that_wait_for_each_other_are_named_once() {
    let step = |name: &str, other: &str| {
        format!(
            "  {name}:\n    command: ls\n    environment: azureml:e@latest\n    inputs: {{i: '${{{{parent.jobs.{other}.outputs.o}}}}'}}\n    outputs: {{o: }}\n"
        )
    };
    let text = step("a", "c") + &step("b", "a") + &step("c", "b") + &step("d", "a");
    assert_eq!(
        steps(&text),
        ["f:8:5: These steps wait for each other: a → c → b → a"]
    );
    assert_eq!(
        steps(&step("a", "a")),
        ["f:8:5: These steps wait for each other: a → a"]
    );
}

#[test]
fn control_flow_that_waits_for_itself_is_seen() {
    let own = "command: ls\n    environment: azureml:e@latest\n    outputs: {o: }\n";
    let takes = |name: &str, other: &str| {
        format!("  {name}:\n    inputs: {{i: '${{{{parent.jobs.{other}.outputs.o}}}}'}}\n    {own}")
    };
    let each = "  each:\n    type: parallel_for\n    body: body\n    items: [{i: 1}]\n";
    let circle = |text: &str| {
        let found = steps(text);
        let found = found
            .iter()
            .filter(|found| found.contains("wait for each other: "));
        found
            .map(|found| found.rsplit(": ").next().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    let bare = format!(
        "  a:\n    {own}  choose:\n    type: if_else\n    condition: ${{{{parent.jobs.a.outputs.o}}}}\n    true_block: a\n"
    );
    assert_eq!(circle(&bare), ["a → choose → a"]);
    let itself = each.to_owned() + &takes("body", "each");
    assert_eq!(circle(&itself), ["each → each"]);
    let behind = each.to_owned() + &takes("body", "last") + &takes("last", "each");
    assert_eq!(circle(&behind), ["each → last → each"]);
    let fine = each.to_owned()
        + &takes("body", "first")
        + &format!("  first:\n    {own}")
        + &takes("last", "each");
    assert_eq!(circle(&fine), Vec::<String>::new());
}

#[test]
fn an_output_of_the_pipeline_is_written_once() {
    let step = |name: &str| {
        format!(
            "  {name}:\n    command: ls\n    environment: azureml:e@latest\n    outputs: {{o: '${{{{parent.outputs.model}}}}'}}\n"
        )
    };
    assert_eq!(
        steps(&(step("a") + &step("b"))),
        ["f:12:18: Step `b`: The pipeline's output `model` is written by `a` as well"]
    );
}

#[test]
fn step_names_and_types_are_checked() {
    assert_eq!(
        steps(
            "  My-step:\n    command: ls\n    environment: azureml:e@latest\n  b:\n    type: foo\n"
        ),
        [
            "f:5:3: The step name `My-step` may only have small letters, digits and underscores, and begins with a letter",
            "f:9:11: Step `b`: `foo` is not the type of a step | Possible are `command`, `sweep`, `parallel`, `pipeline`, `automl`, `spark`, `data_transfer`, `import`, `do_while`, `if_else`, `parallel_for`"
        ]
    );
    assert_eq!(
        steps("  My-step:\n    command: ls\n    environment: azureml:e@latest\n"),
        [
            "f:5:3: The step name `My-step` may only have small letters, digits and underscores, and begins with a letter"
        ]
    );
}

#[test]
fn a_component_gets_what_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    component(folder.path());
    let check = |inputs: &str| {
        let text = format!("{BASE}  a:\n    component: ./c.yml\n    inputs: {inputs}\n");
        wiring(&text, &folder.path().join("f.yml"))
    };
    assert_eq!(
        check("{rate: 0.1, data: '${{parent.inputs.data}}', note: true}"),
        [] as [&str; 0]
    );
    assert_eq!(
        check("{rate: fast, dta: {type: uri_folder, path: x}, note: 5}"),
        [
            "f:7:5: Step `a`: The input `data` of the component is not given | Add it to the step's inputs, or give the component's input a `default` or `optional: true`; it is of type `uri_folder`",
            "f:7:20: Step `a`: The input `rate` is of type `number`; `\"fast\"` is not",
            "f:7:26: Step `a`: The component has no input `dta`; it is left out | Did you mean `data`?",
            "f:7:66: Step `a`: The input `note` is `5`, which is none of True, a",
        ]
    );
    assert_eq!(
        check("{rate: 1, data: 5}"),
        ["f:7:29: Step `a`: The input `data` is of type `uri_folder`; `5` is not"]
    );
}

#[test]
fn a_sweep_searches_what_its_trial_takes() {
    let folder = tempfile::tempdir().unwrap();
    component(folder.path());
    let text = format!(
        "{BASE}  s:\n    type: sweep\n    trial: ./c.yml\n    inputs: {{data: '${{{{parent.inputs.data}}}}'}}\n\
         \x20   search_space: {{rate: {{type: uniform, min_value: 1e-3, max_value: 1}}}}\n\
         \x20   objective: {{goal: Maximize, primary_metric: acc}}\n    limits: {{max_total_trials: 4}}\n"
    );
    assert_eq!(wiring(&text, &folder.path().join("f.yml")), [] as [&str; 0]);
    let text = "type: sweep\ntrial: {command: 'x ${{search_space.lr}} ${{search_space.mu}}', environment: azureml:e@latest}\n\
                search_space: {lr: {type: choice, values: [1, 2]}}\nobjective: {goal: minimize, primary_metric: loss}\n\
                limits: {max_total_trials: 2}\n";
    assert_eq!(
        found::<SweepJob>(text, Path::new("/f.yml")),
        ["f:2:18: `${{search_space.mu}}`: there is no search space `mu` | There are lr"]
    );
}

#[test]
fn a_job_uses_its_own_inputs() {
    let text = "command: x ${{inputs.a}} $[[--b ${{inputs.bb}}]] $[[inputs.c]]\nenvironment: azureml:e@latest\ninputs: {a: 1, b: 2}\n";
    let expected = ["f:1:10: `${{inputs.bb}}`: there is no input `bb` | Did you mean `b`?"];
    assert_eq!(found::<CommandJob>(text, Path::new("/f.yml")), expected);
    assert_eq!(found::<AnyJob>(text, Path::new("/f.yml")), expected);
}

#[test]
fn a_step_whose_pipeline_is_wrong_is_told_what_is_wrong_with_that() {
    let folder = tempfile::tempdir().unwrap();
    component(folder.path());
    let inner = "name: sub\ntype: pipeline\njobs:\n  one:\n    component: ./c.yml\n    inputs: {rate: '${{parent.inputs.kk}}', data: {path: x}}\n";
    fs::write(folder.path().join("sub.yml"), inner).unwrap();
    let text = format!("{BASE}  nested:\n    component: ./sub.yml\n");
    let found = wiring(&text, &folder.path().join("f.yml"));
    let [said] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        said.contains("sub.yml:6:") && said.contains("parent.inputs.kk"),
        "{said}"
    );
}

#[test]
fn an_output_that_the_component_does_not_make_is_none_of_the_step() {
    let folder = tempfile::tempdir().unwrap();
    component(folder.path());
    let text = format!(
        "{BASE}  a:\n    component: ./c.yml\n    inputs: {{rate: 1, data: {{path: x}}}}\n    outputs: {{modell: , artifacts: }}\n"
    );
    let found = wiring(&text, &folder.path().join("f.yml"));
    assert_eq!(
        found,
        ["f:8:15: Step `a`: The component has no output `modell` | Did you mean `model`?"]
    );
}

#[test]
fn all_that_is_wrong_with_a_parallel_step_written_in_place_is_said_at_once() {
    let text = format!(
        "{BASE}  par:\n    type: parallel\n    inputs: {{data: {{path: x}}}}\n    outputs: {{rows: {{type: uri_file}}}}\n\
         \x20   input_data: ${{{{inputs.date}}}}\n    mini_batch_size: 0\n    error_threshold: -7\n    \
         retry_settings: {{max_retries: -1}}\n    task: {{type: run_function, entry_script: a.py, environment: azureml:e@latest, append_row_to: '${{{{outputs.rws}}}}'}}\n"
    );
    let found = wiring(&text, Path::new("/files/f.yml"));
    let lines: Vec<&str> = found.iter().map(|said| &said[..5]).collect();
    assert_eq!(
        lines,
        ["f:9:1", "f:10:", "f:11:", "f:12:", "f:13:"],
        "{found:#?}"
    );
}
