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
        // The pipeline itself has nothing but what its steps made.
        let said = aml.run("job download -n p1 --all -p all").stderr;
        assert!(said.contains("no artifacts of its own"), "{said}");
        assert!(
            said.contains("Downloaded 1 file to all/named-outputs/final"),
            "{said}"
        );
        let hint = "It has named outputs: final; download them";
        assert!(aml.run("job download -n p1 -p less").stderr.contains(hint));
        assert!(aml.fails(3, "run download p1").contains(hint));
        aml.ok("job download -n p1-eval -p eval");
        assert_eq!(aml.read("eval/artifacts/outputs/seen.txt"), "A\nhi\n3 !\n");
        let edges = aml.json("lineage p1 --query edges[].[from.kind,from.name,what,to.name]");
        let edges = edges.as_array().expect("a list");
        let is = |parts: [&str; 4]| {
            edges.iter().any(|edge| {
                let words = parts.iter().enumerate();
                let mut words = words.filter(|(_, word)| !word.is_empty());
                words.all(|(at, word)| edge[at] == *word)
            })
        };
        for edge in [
            ["run", "p1", "step train", "p1-train"],
            ["path", "", "d", "p1-prep"],
            ["code", "", "code", "p1-train"],
            ["run", "p1-prep", "out", ""],
            ["run", "p1-prep", "d", "p1-train"],
            ["run", "p1-train", "model", ""],
        ] {
            assert!(is(edge), "{edge:?} in {edges:?}");
        }
        assert!(!is(["environment", "", "", "p1"]), "{edges:?}");
        let near = aml.json("lineage p1 --depth 1 --query edges[].what");
        let steps = serde_json::json!(["step prep", "step train", "step eval"]);
        assert_eq!(near, steps);
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

#[test]
fn what_has_not_changed_is_reused_and_a_plan_says_so_before() {
    each_mode(|aml| {
        with_files(aml);
        aml.ok("job create -f pipeline.yml -n p1 --stream -o none");
        let plan = "pipeline plan pipeline.yml -o table";
        assert_eq!(
            aml.ok(plan),
            "= prep   reused from p1-prep\n= train  reused from p1-train\n= eval   reused from p1-eval\n\
             0 to run, 3 reused\n"
        );
        aml.write("src/main.py", "print(1)\n");
        let changed = aml.ok(format!("{plan} --set inputs.word=bye"));
        for line in [
            "+ prep   runs: it differs from p1-prep\n    input w: hello → bye\n",
            "    code\n    changed main.py\n",
            "    +print(1)\n",
            "3 to run, 0 reused\n",
        ] {
            assert!(changed.contains(line), "{changed}");
        }
        // The component's code alone: what comes before it is not run again.
        let said = aml.run("job create -f pipeline.yml -n p2 --stream -o none");
        let said = said.ok();
        assert!(said.contains("[train] main.py\n"), "{said}");
        let shown = aml.ok("job show p2 -o table");
        assert!(shown.contains("= prep   reused from p1-prep\n"), "{shown}");
        assert!(shown.contains("✓ train  Completed"), "{shown}");
        aml.ok("job create -f pipeline.yml -n p3 --stream -o none --set settings.force_rerun=True");
        let reused = aml.json("job list -p p3 --query \"[?starts_with(name, 'p3-')] | length(@)\"");
        assert_eq!(reused, 3);
        let shown = aml.ok("job show p3 -o table");
        assert!(!shown.contains("reused"), "{shown}");
    });
}

#[test]
fn what_does_not_fit_is_said_with_its_line_before_anything_runs() {
    each_mode(|aml| {
        with_files(aml);
        let bad = PIPELINE.replace("default_compute: azureml:serverless", "");
        aml.write("bad.yml", bad.replace("./train.yml", "azureml:train:7"));
        let error = aml.run("job create -f bad.yml -n p1").failed(3);
        assert!(
            error.contains("bad.yml:15:5: Step `train`: No component `train`"),
            "{error}"
        );
        aml.write("bad.yml", &bad);
        for validate in ["validate bad.yml", "job validate -f bad.yml"] {
            let noted = aml.run(validate).stderr;
            let said = "note: Step `prep`: The step has no compute";
            assert!(noted.contains(said), "{noted}");
        }
        let error = aml.run("job create -f bad.yml -n p1").failed(2);
        for (line, step) in [(9, "prep"), (14, "train"), (18, "eval")] {
            let said = format!("bad.yml:{line}:3: Step `{step}`: The step has no compute\n");
            assert!(error.contains(&said), "{error}");
        }
        assert_eq!(aml.json("job list"), serde_json::json!([]));
    });
}

/// Each of these is wrong in another way; some of it only the workspace knows.
const WRONG: &str = "\
type: pipeline
inputs: {data: {type: uri_folder, path: data}}
outputs: {final: }
jobs:
  first:
    command: echo ${{inputs.x}}
    environment: {image: python}
    compute: azureml:serverless
    inputs: {x: '${{parent.jobs.second.outputs.o}}'}
    outputs: {o: , f: '${{parent.outputs.final}}'}
  second:
    command: echo ${{inputs.x}}
    environment: {image: python}
    compute: azureml:serverless
    inputs: {x: '${{parent.jobs.first.outputs.o}}'}
    outputs: {o: , f: '${{parent.outputs.final}}'}
  unknown:
    component: azureml:nobody:3
    compute: azureml:serverless
  nowhere:
    command: ls
    environment: azureml:sklearn-9.9@latest
  binding:
    command: ls
    environment: {image: python}
    compute: azureml:serverless
    inputs: {x: '${{parent.jobs.frist.outputs.o}}'}
  typed:
    component: azureml:typed@latest
    compute: azureml:serverless
    inputs: {n: many}
  search:
    type: sweep
    sampling_algorithm: random
    objective: {goal: minimize, primary_metric: loss}
    search_space: {n: {type: uniform, min_value: 0, max_value: 1}}
    limits: {max_total_trials: 2}
    compute: azureml:serverless
  misspelt:
    comand: ls
    environment: {image: python}
    compute: azureml:serverless
";

#[test]
fn all_that_is_wrong_is_said_at_once_whoever_knows_it() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("data/a.txt", "");
        aml.write("typed.yml", "name: typed\ntype: command\ncommand: ls\nenvironment: {image: python}\ninputs: {n: {type: integer}}\n");
        aml.ok("component create -f typed.yml");
        aml.write("wrong.yml", WRONG);
        let error = aml.run("job create -f wrong.yml").failed(2);
        for (line, said) in [
            (9, "These steps wait for each other: first → second → first"),
            (
                16,
                "Step `second`: The pipeline's output `final` is written by `first` as well",
            ),
            (18, "Step `unknown`: No component `nobody`"),
            (20, "Step `nowhere`: The step has no compute"),
            (22, "Step `nowhere`: No environment `sklearn-9.9`"),
            (
                27,
                "Step `binding`: `${{parent.jobs.frist.outputs.o}}`: there is no step `frist`",
            ),
            (
                31,
                "Step `typed`: The input `n` is of type `integer`; `\"many\"` is not",
            ),
            (
                33,
                "Step `search`: `trial` is missing; a sweep step must have it",
            ),
            (40, "Step `misspelt`: A command step has no key `comand`"),
        ] {
            let at = error
                .find(said)
                .unwrap_or_else(|| panic!("{said}\n{error}"));
            let place = format!("wrong.yml:{line}:");
            let after = &error[at..(at + 300).min(error.len())];
            assert!(after.contains(&place), "{said} at {place}\n{error}");
        }
        assert!(error.starts_with("Error: 9 errors in wrong.yml"), "{error}");
        // Also of what has a type the workspace knows nothing else.
        let typed = "{type: uri_folder, path: '${{parent.jobs.frist.outputs.o}}'}";
        let only = "type: pipeline\njobs:\n  binding:\n    command: ls\n    environment: {image: python}\n    \
                    compute: azureml:serverless\n    inputs: {x: TYPED}\n";
        aml.write("only.yml", only.replace("TYPED", typed));
        let error = aml.fails(2, "job create -f only.yml");
        assert!(error.starts_with("Error: only.yml:7:"), "{error}");
        assert_eq!(error.matches("no step").count(), 1, "{error}");
        assert_eq!(aml.json("job list"), serde_json::json!([]));
    });
}

#[test]
fn who_looks_for_why_a_pipeline_failed_is_led_to_the_log_of_the_step() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let pipeline = "\
type: pipeline
settings: {default_compute: azureml:serverless}
jobs:
  prep:
    command: echo fine
    environment: {image: python}
  train:
    command: echo oh no; exit 3
    environment: {image: python}
";
        aml.write("fails.yml", pipeline);
        let hint = "Hint: See what train wrote: aml run logs p-train";
        let said = aml.run("job create -f fails.yml -n p --stream").failed(10);
        assert!(said.contains(hint), "{said}");
        assert_eq!(aml.ok("run logs p-train"), "oh no\n");
        for look in ["job stream p", "run logs p --follow"] {
            let said = aml.run(look);
            assert_eq!(said.status, 10, "{said}");
            assert!(said.stdout.contains("[train] oh no\n"), "{said}");
            assert!(said.stderr.contains(hint), "{said}");
        }
        assert!(aml.run("run show p").stderr.contains(hint));
        let said = aml.run("run logs p");
        assert_eq!((said.status, said.stdout.as_str()), (0, ""), "{said}");
        let why = "train failed: The command ended with exit code 3\n";
        assert!(said.stderr.contains(why), "{said}");
        assert!(said.stderr.contains(hint), "{said}");
        assert!(!said.stderr.contains("prep"), "{said}");
    });
}
