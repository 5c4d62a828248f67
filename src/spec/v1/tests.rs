//! What a pipeline of the first command line becomes.

use serde_json::{Value, json};

use super::{converted, is_v1};

fn old() -> Value {
    json!({"pipeline": {
        "name": "Sample",
        "parameters": {
            "NumIterations": {"type": "int", "default": 40},
            "DataPath": {"type": "datapath", "default": {"datastore": "workspaceblobstore", "path_on_datastore": "in/sample.txt"}},
        },
        "data_references": {"Raw": {"dataset_name": "raw"}},
        "default_compute": "cpu",
        "steps": {
            "PrepStep": {
                "type": "PythonScriptStep", "name": "Prep", "script_name": "prep.py", "source_directory": "src",
                "inputs": {"Data": {"source": "DataPath", "bind_mode": "mount"}, "raw": {"source": "Raw"}},
                "outputs": {"Clean": {"destination": "cleaned", "datastore": "workspaceblobstore", "bind_mode": "upload"}},
                "arguments": ["--in", "input:Data", "--out", "output:Clean"],
            },
            "Train": {
                "script_name": "train.py", "runconfig": "aml.runconfig", "compute": "gpu", "allow_reuse": false,
                "parameters": {"N": {"source": "NumIterations"}, "K": 7},
                "inputs": {"Data": {"source": "cleaned"}},
                "arguments": ["--n", "parameter:N", "--k", "parameter:K", "--data", "input:Data", 3],
            },
        },
    }})
}

#[test]
fn a_pipeline_of_the_first_command_line_is_one_of_today() {
    assert!(is_v1(&old()));
    let read = |file: &str| {
        assert_eq!(file, "aml.runconfig");
        Ok(json!({"environment": {
            "docker": {"baseImage": "img"}, "python": {"condaDependenciesFile": "conda.yml"},
        }}))
    };
    let made = converted(&old(), &read).unwrap();
    assert_eq!(
        made.pipeline,
        json!({
            "type": "pipeline", "display_name": "Sample", "settings": {"default_compute": "azureml:cpu"},
            "inputs": {
                "num_iterations": 40,
                "data_path": {"type": "uri_file", "path": "azureml://datastores/workspaceblobstore/paths/in/sample.txt"},
                "raw": {"type": "uri_folder", "path": "azureml:raw@latest"},
            },
            "jobs": {
                "prep_step": {
                    "type": "command", "display_name": "Prep", "code": "src",
                    "command": "python prep.py --in ${{inputs.data}} --out ${{outputs.clean}}",
                    "environment": {"image": "python"},
                    "inputs": {"data": "${{parent.inputs.data_path}}", "raw": "${{parent.inputs.raw}}"},
                    "outputs": {"clean": {"type": "uri_folder", "mode": "upload"}},
                },
                "train": {
                    "type": "command", "display_name": "Train", "compute": "azureml:gpu",
                    "component": {
                        "type": "command",
                        "command": "python train.py --n \"${{inputs.n}}\" --k \"${{inputs.k}}\" --data ${{inputs.data}} 3",
                        "environment": {"image": "img", "conda_file": "conda.yml"},
                        "is_deterministic": false,
                        "inputs": {"data": {"type": "uri_folder"}, "n": {"type": "string"}, "k": {"type": "string"}},
                    },
                    "inputs": {"data": "${{parent.jobs.prep_step.outputs.clean}}", "n": "${{parent.inputs.num_iterations}}", "k": 7},
                },
            },
        })
    );
    assert!(made.notes.is_empty(), "{:?}", made.notes);
}

#[test]
fn what_cannot_be_converted_says_where() {
    let none = |_: &str| Ok(Value::Null);
    for (path, value, said) in [
        (
            "/pipeline/steps/Train/type",
            json!("AdlaStep"),
            "pipeline.steps.Train.type: Steps of type AdlaStep are not converted",
        ),
        (
            "/pipeline/steps/Train/inputs/Data/source",
            json!("gone"),
            "pipeline.steps.Train.inputs.Data.source: `gone` is no parameter",
        ),
        (
            "/pipeline/steps/PrepStep/script_name",
            Value::Null,
            "pipeline.steps.PrepStep.script_name: The step has no script",
        ),
    ] {
        let mut file = old();
        match file.pointer_mut(path) {
            Some(place) => *place = value,
            None => file["pipeline"]["steps"]["Train"]["type"] = value,
        }
        let error = converted(&file, &none).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
    }
    assert!(!is_v1(&json!({"type": "pipeline", "jobs": {}})));
    assert!(converted(&json!({}), &none).is_err());
}

#[test]
fn two_of_one_name_are_not_made_one() {
    let none = |_: &str| Ok(Value::Null);
    for (path, name, at) in [
        (
            "/pipeline/steps",
            "prep-step",
            "pipeline.steps: `prep-step`",
        ),
        (
            "/pipeline/parameters",
            "data_path",
            "pipeline.parameters: `data_path`",
        ),
        (
            "/pipeline/data_references",
            "NumIterations",
            "pipeline.data_references: `NumIterations`",
        ),
        (
            "/pipeline/steps/PrepStep/inputs",
            "data",
            "pipeline.steps.PrepStep.inputs: `data`",
        ),
        (
            "/pipeline/steps/PrepStep/outputs",
            "clean",
            "pipeline.steps.PrepStep.outputs: `clean`",
        ),
        (
            "/pipeline/steps/Train/parameters",
            "data",
            "pipeline.steps.Train.parameters: `data`",
        ),
    ] {
        let mut file = old();
        file["pipeline"]["steps"]["Train"]["runconfig"] = Value::Null;
        file.pointer_mut(path).unwrap()[name] = json!({
            "script_name": "x.py", "source": "DataPath", "dataset_name": "d", "default": 1,
        });
        let error = converted(&file, &none).unwrap_err();
        assert!(error.to_string().starts_with(at), "{error}");
    }
}

#[test]
fn arguments_stay_words() {
    let mut file = old();
    let step = &mut file["pipeline"]["steps"]["PrepStep"];
    step["arguments"] = json!(["--title", "It's $5; rm", "", "output:Clean"]);
    file["pipeline"]["steps"]["Train"]["runconfig"] = Value::Null;
    let made = converted(&file, &|_| Ok(Value::Null)).unwrap();
    assert_eq!(
        made.pipeline["jobs"]["prep_step"]["command"],
        "python prep.py --title 'It'\\''s $5; rm' '' ${{outputs.clean}}"
    );
}

#[test]
fn what_a_run_configuration_and_ports_say_is_kept() {
    let mut file = old();
    let steps = &mut file["pipeline"]["steps"];
    steps["PrepStep"]["inputs"]["Data"]["bind_mode"] = json!("download");
    steps["PrepStep"]["outputs"]["Clean"]["datastore"] = json!("lake");
    let read = |_: &str| {
        Ok(
            json!({"nodeCount": 2, "communicator": "Mpi", "environment": {
                "environmentVariables": {"A": "b"}, "python": {"condaDependencies": {"dependencies": ["x"]}},
            }}),
        )
    };
    let made = converted(&file, &read).unwrap();
    let jobs = &made.pipeline["jobs"];
    let data = json!({"path": "${{parent.inputs.data_path}}", "mode": "download"});
    assert_eq!(jobs["prep_step"]["inputs"]["data"], data);
    assert_eq!(
        jobs["prep_step"]["outputs"]["clean"]["path"],
        "azureml://datastores/lake/paths/azureml/${{name}}/clean/"
    );
    assert_eq!(jobs["train"]["environment_variables"], json!({"A": "b"}));
    assert_eq!(jobs["train"]["resources"], json!({"instance_count": 2}));
    assert_eq!(made.notes.len(), 1, "{:?}", made.notes);
    assert!(
        made.notes[0].contains("communicator Mpi"),
        "{:?}",
        made.notes
    );
}

#[test]
fn a_step_over_batches_is_a_parallel_one() {
    let mut file = old();
    file["pipeline"]["steps"]["Train"] = json!({
        "type": "ParallelRunStep", "name": "Score", "parallel_run_config": "parallel.yml",
        "inputs": {"Data": {"source": "cleaned"}}, "outputs": {"Rows": {"destination": "rows"}},
        "arguments": ["--n", 3],
    });
    let read = |file: &str| {
        assert_eq!(file, "parallel.yml");
        Ok(json!({
            "entry_script": "score.py", "source_directory": "src", "mini_batch_size": "5",
            "error_threshold": 2, "output_action": "append_row", "compute_target": "gpu",
            "node_count": 2, "process_count_per_node": 3, "run_invocation_timeout": 9,
            "environment": {"docker": {"baseImage": "img"}, "python": {"condaDependenciesFile": "c.yml"}},
        }))
    };
    let made = converted(&file, &read).unwrap();
    assert!(made.notes.is_empty(), "{:?}", made.notes);
    assert_eq!(
        made.pipeline["jobs"]["train"],
        json!({
            "type": "parallel", "display_name": "Score", "compute": "azureml:gpu",
            "input_data": "${{inputs.data}}", "mini_batch_size": "5", "error_threshold": 2,
            "max_concurrency_per_instance": 3, "resources": {"instance_count": 2},
            "retry_settings": {"timeout": 9},
            "task": {
                "type": "run_function", "code": "src", "entry_script": "score.py",
                "environment": {"image": "img", "conda_file": "c.yml"},
                "program_arguments": "--n 3", "append_row_to": "${{outputs.rows}}",
            },
            "inputs": {"data": "${{parent.jobs.prep_step.outputs.clean}}"},
            "outputs": {"rows": {"type": "uri_folder", "mode": "rw_mount"}},
        })
    );
}

#[test]
fn a_step_over_batches_that_is_not_reused_is_a_component() {
    let mut file = old();
    file["pipeline"]["steps"]["Train"] = json!({
        "type": "ParallelRunStep", "name": "Score", "parallel_run_config": "parallel.yml",
        "inputs": {"Data": {"source": "cleaned"}}, "outputs": {"Rows": {"destination": "rows"}},
        "allow_reuse": false,
    });
    let read = |_: &str| {
        Ok(json!({
            "entry_script": "score.py", "mini_batch_size": "5", "compute_target": "gpu",
            "node_count": 2, "run_max_try": 3,
            "environment": {"docker": {"baseImage": "img"}, "python": {"condaDependenciesFile": "c.yml"}},
        }))
    };
    let made = converted(&file, &read).unwrap();
    assert!(made.notes.is_empty(), "{:?}", made.notes);
    assert_eq!(
        made.pipeline["jobs"]["train"],
        json!({
            "type": "parallel", "display_name": "Score", "compute": "azureml:gpu",
            "resources": {"instance_count": 2},
            "component": {
                "type": "parallel", "input_data": "${{inputs.data}}", "mini_batch_size": "5",
                "retry_settings": {"max_retries": 3},
                "task": {
                    "type": "run_function", "entry_script": "score.py",
                    "environment": {"image": "img", "conda_file": "c.yml"}, "append_row_to": "${{outputs.rows}}",
                },
                "is_deterministic": false,
                "inputs": {"data": {"type": "uri_folder"}}, "outputs": {"rows": {"type": "uri_folder"}},
            },
            "inputs": {"data": "${{parent.jobs.prep_step.outputs.clean}}"},
            "outputs": {"rows": {"type": "uri_folder", "mode": "rw_mount"}},
        })
    );
}

#[test]
fn words_are_parted_where_a_capital_follows_a_small_letter() {
    for (name, new) in [
        ("TrainModel", "train_model"),
        ("NUM_ITERATIONS_2", "num_iterations_2"),
        ("a-b", "a_b"),
        ("MyURL", "my_url"),
    ] {
        assert_eq!(super::word(name), new);
    }
}
