//! Steps of pipelines that are more than a command: sweeps, scripts over mini-batches.

use crate::support::{Aml, each_mode};

const SWEEP: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
outputs: {best: }
jobs:
  search:
    type: sweep
    trial: ./train.yml
    inputs: {word: hello}
    outputs: {model: '${{parent.outputs.best}}'}
    sampling_algorithm: grid
    search_space: {loss: {type: choice, values: [3, 1, 2]}}
    objective: {goal: minimize, primary_metric: loss}
    limits: {max_total_trials: 5, max_concurrent_trials: 2}
  last:
    command: cat ${{inputs.m}}/m.txt
    environment: {image: python}
    inputs: {m: '${{parent.jobs.search.outputs.model}}'}
";
const TRIAL: &str = "\
name: train
type: command
command: >-
  printf '{\"loss\": %s}' ${{inputs.loss}} > outputs/metrics.json &&
  echo ${{inputs.word}} ${{inputs.loss}} $AZUREML_ROOT_RUN_ID | tee ${{outputs.model}}/m.txt
environment: {image: python}
inputs: {word: {type: string}, loss: {type: number, default: 9}}
outputs: {model: {type: uri_folder}}
";

fn with_sweep(aml: &Aml) {
    aml.ok("workspace create -n ws");
    aml.write("train.yml", TRIAL);
    aml.write("pipeline.yml", SWEEP);
}

#[test]
fn a_step_that_is_a_sweep_hands_on_what_its_best_trial_made() {
    each_mode(|aml| {
        with_sweep(aml);
        let said = aml.ok("job create -f pipeline.yml -n p --stream");
        assert!(said.contains("[search.1] hello 1 p\n"), "{said}");
        assert!(said.contains("[last] hello 1 p\n"), "{said}");
        aml.ok("job download -n p --output-name best -p got");
        assert_eq!(aml.read("got/named-outputs/best/m.txt"), "hello 1 p\n");
        let shown = aml.ok("job show p -o table");
        assert!(shown.contains("✓ search  Completed"), "{shown}");
        assert!(shown.contains("3 trials"), "{shown}");
        assert_eq!(
            aml.ok("pipeline plan pipeline.yml -o table"),
            "= search  reused from p-search\n= last    reused from p-last\n0 to run, 2 reused\n"
        );
        let changed =
            aml.ok("pipeline plan pipeline.yml -o table --set jobs.search.inputs.word=hi");
        assert!(
            changed.contains("    input word: hello → hi\n"),
            "{changed}"
        );
    });
}

#[test]
fn a_sweep_is_followed_with_all_its_trials() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let sweep = "\
type: sweep
trial: {command: 'echo trial ${{search_space.x}}; echo ''{\"m\": 1}'' > outputs/metrics.json', environment: {image: python}}
sampling_algorithm: grid
search_space: {x: {type: choice, values: [a, b]}}
objective: {goal: minimize, primary_metric: m}
limits: {max_total_trials: 2}
";
        aml.write("sweep.yml", sweep);
        let said = aml.ok("job create -f sweep.yml -n s --stream");
        for line in ["[0] trial a\n", "[1] trial b\n"] {
            assert!(said.contains(line), "{said}");
        }
    });
}

const FILES: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
outputs: {all: {type: uri_file}}
jobs:
  score:
    type: parallel
    inputs:
      data: {type: uri_folder, path: data}
      factor: 10
    outputs: {rows: '${{parent.outputs.all}}'}
    input_data: ${{inputs.data}}
    mini_batch_size: 2
    max_concurrency_per_instance: 2
    retry_settings: {max_retries: 1, timeout: 60}
    mini_batch_error_threshold: 0
    task:
      type: run_function
      code: src
      entry_script: score.py
      environment: {image: python}
      program_arguments: --factor ${{inputs.factor}}
      append_row_to: ${{outputs.rows}}
";
const SCORE: &str = "\
import argparse, os

def init():
    parser = argparse.ArgumentParser()
    parser.add_argument('--factor', type=int)
    global factor
    factor = parser.parse_known_args()[0].factor

def run(mini_batch):
    rows = []
    for path in mini_batch:
        text = open(path).read()
        if text == 'once' and not os.path.exists('seen'):
            open('seen', 'w').close()
            os._exit(3)
        number = 7 if text == 'once' else int(text)
        rows.append(f'{os.path.basename(path)}:{number * factor}')
    return rows

def shutdown():
    print('good bye')
";

#[test]
fn a_script_runs_over_the_files_of_a_folder_in_mini_batches() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("pipeline.yml", FILES);
        aml.write("src/score.py", SCORE);
        for (name, text) in [
            ("a", "1"),
            ("b", "2"),
            ("c", "once"),
            ("d", "4"),
            ("e", "5"),
        ] {
            aml.write(&format!("data/{name}.txt"), text);
        }
        let said = aml.ok("job create -f pipeline.yml -n p --stream");
        for line in [
            "[score] 5 files make 3 mini-batches\n",
            "the process ended with exit code 3\n",
            "3 of 3 mini-batches done",
            "[score] good bye\n",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        aml.ok("job download -n p --output-name all -p got");
        let rows = "a.txt:10\nb.txt:20\nc.txt:70\nd.txt:40\ne.txt:50\n";
        let found = aml.read("got/named-outputs/all/rows");
        assert_eq!(found, rows);
        let tag = aml.json("run show p-score --query 'tags.\"aml.progress\"'");
        assert_eq!(tag, "3 of 3 mini-batches done, 0 failed");
        // What fails in both attempts is one mini-batch more than may fail.
        aml.write("data/b.txt", "no number");
        let failed = aml
            .run("job create -f pipeline.yml -n q --stream")
            .failed(10);
        assert!(failed.contains("score: Failed after "), "{failed}");
        let reason = aml.json("run show q-score")["reason"].clone();
        let reason = reason.as_str().expect("a reason");
        assert!(failed.contains(&format!("s: {reason}\n")), "{failed}");
        let log = aml.ok("run logs q-score");
        let why = "1 mini-batches failed, more than the mini-batch error threshold of 0 allows";
        assert!(log.contains(why), "{log}");
    });
}

const TABLE: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
jobs:
  sums:
    type: parallel
    inputs: {data: {type: mltable, path: table, mode: direct}}
    outputs: {rows: {type: uri_folder}}
    input_data: ${{inputs.data}}
    partition_keys: [shop]
    task:
      type: run_function
      code: src
      entry_script: sums.py
      environment: {image: python}
      append_row_to: ${{outputs.rows}}
";
const SUMS: &str = "\
def init():
    pass

def run(table, mini_batch_context):
    keys = mini_batch_context.partition_key_value
    return [f\"{keys['shop']} {sum(row['sold'] for row in table.rows)}\"]
";
/// Stands in for the library, which is not there without a network.
const PANDAS: &str = "\
class DataFrame:
    def __init__(self, rows):
        self.rows = rows
";

#[test]
fn a_script_runs_over_the_rows_of_a_table_by_their_keys() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("pipeline.yml", TABLE);
        aml.write("src/sums.py", SUMS);
        aml.write("src/pandas.py", PANDAS);
        aml.write(
            "table/MLTable",
            "paths: [{file: ./a.csv}, {file: ./b.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n",
        );
        aml.write("table/a.csv", "shop,sold\nnorth,1\nsouth,10\n");
        aml.write("table/b.csv", "shop,sold\nsouth,20\nnorth,2\n");
        let said = aml.ok("job create -f pipeline.yml -n p --stream");
        assert!(said.contains("4 rows make 2 mini-batches"), "{said}");
        aml.ok("job download -n p-sums --output-name rows -p got");
        let rows = aml.read("got/named-outputs/rows/parallel_run_step.txt");
        assert_eq!(rows, "north 3\nsouth 30\n");
        let sizes = TABLE.replace("partition_keys: [shop]", "mini_batch_size: 3");
        // Whatever its mode is, the driver finds the table.
        let sizes = sizes.replace("mode: direct", "mode: eval_mount");
        aml.write("pipeline.yml", sizes.replace("keys['shop']", "keys"));
        let keyless = "def run(table):\n    return [str(len(table.rows))]\n";
        aml.write("src/sums.py", keyless);
        aml.ok("job create -f pipeline.yml -n q --stream");
        aml.ok("job download -n q-sums --output-name rows -p again");
        let rows = aml.read("again/named-outputs/rows/parallel_run_step.txt");
        assert_eq!(rows, "3\n1\n");
    });
}

const CONTROL: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
inputs: {limit: 2}
outputs: {final: , unused: }
jobs:
  count:
    component: ./count.yml
    inputs: {n: 0, limit: '${{parent.inputs.limit}}'}
    outputs: {made: '${{parent.outputs.final}}'}
  again:
    type: do_while
    body: ${{parent.jobs.count}}
    condition: ${{parent.jobs.count.outputs.more}}
    mapping: {next: '${{parent.jobs.count.inputs.n}}'}
    limits: {max_iteration_count: 5}
  choose:
    type: if_else
    condition: ${{parent.jobs.count.outputs.more}}
    true_block: ${{parent.jobs.never}}
    false_block: ${{parent.jobs.report}}
  never:
    command: exit 1
    environment: {image: python}
  report:
    command: echo counted to ${{inputs.n}}
    environment: {image: python}
    inputs: {n: '${{parent.jobs.count.outputs.next}}'}
  greet: {component: ./greet.yml}
  each:
    type: parallel_for
    body: ${{parent.jobs.greet}}
    items: [{who: anna}, {who: bert}]
    max_concurrency: 1
  all:
    command: echo all ${{inputs.said}}
    environment: {image: python}
    inputs: {said: '${{parent.jobs.each.outputs.said}}'}
";
const COUNT: &str = "\
name: count
type: command
command: >-
  next=$((${{inputs.n}} + 1)); echo $next > ${{outputs.next}};
  if [ $next -lt ${{inputs.limit}} ]; then echo true; else echo false; fi > ${{outputs.more}};
  echo round $next | tee ${{outputs.made}}/n.txt
environment: {image: python}
inputs: {n: {type: integer}, limit: {type: integer}}
outputs: {next: {type: integer}, more: {type: boolean}, made: {type: uri_folder}}
";

const GREET: &str = "\
name: greet
type: command
command: echo hello ${{inputs.who}} | tee ${{outputs.said}}
environment: {image: python}
inputs: {who: {type: string}}
outputs: {said: {type: string}}
";

#[test]
fn steps_are_chosen_repeated_and_run_for_each_item() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("count.yml", COUNT);
        aml.write("greet.yml", GREET);
        aml.write("pipeline.yml", CONTROL);
        let run = aml.run("job create -f pipeline.yml -n p --stream");
        let said = run.ok();
        for line in [
            "[again.count_0] round 1\n",
            "[again.count_1] round 2\n",
            "[report] counted to 2\n",
            "[each.greet_1] hello bert\n",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(
            said.contains("[all] all [\"hello anna\",\"hello bert\"]\n"),
            "{said}"
        );
        aml.ok("job download -n p --output-name final -p got");
        assert_eq!(aml.read("got/named-outputs/final/n.txt"), "round 2\n");
        let shown = aml.ok("job show p -o table");
        assert!(
            shown.contains("never") && shown.contains("Skipped"),
            "{shown}"
        );
        let plan = aml.ok("pipeline plan pipeline.yml -o table");
        assert!(plan.contains("0 to run, 6 reused\n"), "{plan}");
        let more = aml.ok("pipeline plan pipeline.yml -o table --set inputs.limit=3");
        assert!(more.contains("if `choose` decides so"), "{more}");
        let warned = aml.run("job validate -f pipeline.yml").stderr;
        assert!(
            warned.contains("No step writes the pipeline's output `unused`"),
            "{warned}"
        );
    });
}

/// Reads what each round wrote, by the table of their places.
const GATHERED: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless}
jobs:
  one:
    command: echo from ${{inputs.k}} > ${{outputs.o}}/f.txt
    environment: {image: python}
    outputs: {o: {type: uri_folder}}
  each:
    type: parallel_for
    body: ${{parent.jobs.one}}
    items: [{k: 1}, {k: 2}]
  all:
    command: >-
      python -c 'import json, sys;
      [print(open(place[\"folder\"] + \"/f.txt\").read(), end=\"\") for place in json.load(open(sys.argv[1] + \"/MLTable\"))[\"paths\"]]'
      ${{inputs.table}}
    environment: {image: python}
    inputs: {table: {type: mltable, path: '${{parent.jobs.each.outputs.o}}'}}
";

#[test]
fn a_step_finds_on_its_machine_what_all_rounds_of_a_loop_made() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("pipeline.yml", GATHERED);
        let said = aml.run("job create -f pipeline.yml --stream").ok();
        assert!(said.contains("[all] from 1\n[all] from 2\n"), "{said}");
    });
}

#[test]
fn a_component_is_tried_alone() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write("train.yml", TRIAL);
        let said = aml.ok("component test train.yml --input word=hey loss=4 -n t");
        assert!(said.contains("[train] hey 4 t\n"), "{said}");
        // Nothing has changed, unless it is asked for.
        let line = "component test train.yml --input word=hey loss=4";
        assert!(!aml.ok(line).contains("hey"), "reused");
        assert!(aml.ok(format!("{line} --again")).contains("hey 4"));
        let missing = aml.run("component test train.yml").failed(2);
        let why = "--input: The input `word` is not given; it is of type `string`";
        assert!(missing.contains(why), "{missing}");
        let unknown = aml.run("component test train.yml --input wrod=1").failed(3);
        assert!(unknown.contains("Did you mean `word`?"), "{unknown}");
        let wrong = aml
            .run("component test train.yml --input word=a loss=b")
            .failed(2);
        assert!(
            wrong.contains("The input `loss` is of type `number`; `\"b\"` is not"),
            "{wrong}"
        );
    });
}

#[test]
fn data_is_copied_from_several_inputs_to_one_output() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let pipeline = "\
type: pipeline
settings: {default_compute: azureml:serverless}
outputs: {all: }
jobs:
  copy:
    type: data_transfer
    task: copy_data
    data_copy_mode: merge_with_overwrite
    inputs: {a: {type: uri_folder, path: a}, b: {type: uri_folder, path: b}}
    outputs: {o: '${{parent.outputs.all}}'}
";
        aml.write("a/x/1.txt", "1");
        aml.write("b/x/1.txt", "2");
        aml.write("b/it's two.txt", "3");
        aml.write("p.yml", pipeline);
        aml.ok("job create -f p.yml -n p --stream");
        aml.ok("job download -n p --output-name all -p got");
        assert_eq!(aml.read("got/named-outputs/all/x/1.txt"), "2");
        assert_eq!(aml.read("got/named-outputs/all/it's two.txt"), "3");
        aml.write(
            "p.yml",
            pipeline.replace("merge_with_overwrite", "fail_if_conflict"),
        );
        let failed = aml.run("job create -f p.yml -n q --stream");
        failed.clone().failed(10);
        let said = failed.stdout;
        assert!(said.contains("x/1.txt is there already"), "{said}");
    });
}

#[test]
fn rows_go_from_a_database_to_a_table_and_to_another_one() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let database = aml.path("a.db").display().to_string();
        aml.write(
            "connection.yml",
            format!("name: db\ntype: custom\ntarget: sqlite:///{database}\ncredentials: {{type: none}}\n"),
        );
        aml.ok("connection create -f connection.yml");
        aml.write("rows/a.csv", "a,b\n1,x\n2,01234\n9007199254740993,NA\n");
        aml.write(
            "p.yml",
            "\
type: pipeline
settings: {default_compute: azureml:serverless}
jobs:
  out:
    type: data_transfer
    task: export_data
    inputs: {rows: {type: uri_folder, path: rows}}
    sink: {type: database, connection: 'azureml:db', table_name: t}
",
        );
        aml.ok("job create -f p.yml --stream");
        aml.write(
            "p.yml",
            "\
type: pipeline
settings: {default_compute: azureml:serverless}
outputs: {rows: {type: uri_file}}
jobs:
  in:
    type: data_transfer
    task: import_data
    source: {type: database, connection: 'azureml:db', query: 'SELECT CAST(a AS INTEGER) AS a, b FROM t WHERE CAST(a AS INTEGER) > 1'}
    outputs: {rows: {type: uri_file, path: '${{parent.outputs.rows}}'}}
  back:
    type: data_transfer
    task: export_data
    inputs: {rows: {type: uri_file, path: '${{parent.jobs.in.outputs.rows}}'}}
    sink: {type: database, connection: 'azureml:db', table_name: u}
",
        );
        let said = aml.run("job create -f p.yml -n p --stream").ok();
        assert!(said.contains("[back] 2 rows were written\n"), "{said}");
        aml.ok("job download -n p --output-name rows -p got");
        let got = std::fs::read_dir(aml.path("got/named-outputs/rows")).expect("a folder");
        let got: Vec<_> = got.flatten().map(|entry| entry.path()).collect();
        assert_eq!(
            std::fs::read_to_string(&got[0]).expect("rows"),
            "a,b\n2,01234\n9007199254740993,NA\n"
        );
    });
}

#[test]
fn a_pipeline_of_the_first_command_line_is_converted_and_runs() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let old = "\
pipeline:
  name: Old
  parameters: {Word: {type: string, default: hi}}
  default_compute: serverless
  steps:
    Make:
      type: PythonScriptStep
      script_name: make.py
      source_directory: src
      parameters: {Word: {source: Word}}
      outputs: {Made: {destination: made, datastore: workspaceblobstore}}
      arguments: ['--word', parameter:Word, '--to', output:Made]
    Show:
      type: PythonScriptStep
      script_name: show.py
      source_directory: src
      inputs: {Data: {source: made}}
      arguments: [input:Data]
";
        aml.write("old.yml", old);
        aml.write(
            "src/make.py",
            "import sys\nopen(sys.argv[4] + '/a.txt', 'w').write(sys.argv[2])\n",
        );
        aml.write(
            "src/show.py",
            "import sys\nprint('shown', open(sys.argv[1] + '/a.txt').read())\n",
        );
        let new = aml.ok("pipeline convert old.yml");
        aml.write("new.yml", &new);
        let said = aml.ok("job create -f new.yml -n p --stream");
        assert!(said.contains("[show] shown hi\n"), "{said}");
        let error = aml.fails(2, "pipeline convert new.yml");
        assert!(error.contains("has no `pipeline` with `steps`"), "{error}");
    });
}
