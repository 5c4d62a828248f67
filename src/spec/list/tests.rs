//! Every kind from a file to its type and back, and what is said of files that are wrong.

mod changed;
mod graph;
mod refused;
mod values;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{list, load};
use kinds::{
    assets::{Data, Model},
    component::CommandComponent,
    datastore::Datastore,
    described::Within,
    environment::{Environment, EnvironmentSource},
    io::JobInput,
    job::{CommandJob, Distribution},
    reference::ComputeName,
    shape::{Described, Record, Shape},
};

/// The value of a text that is right; its canonical form is what the value writes.
#[track_caller]
fn right<T: Described>(text: &str) -> (T, Value) {
    let folder = Path::new("/files");
    let document = load::parse(text.to_owned(), &folder.join("f.yml"), "f.yml");
    let checked = document
        .check::<T>(&[])
        .unwrap_or_else(|report| panic!("{}", report.render(false)));
    let again = T::read(checked.value.write().as_ref()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.write(), checked.value.write());
    (checked.value, checked.canonical)
}

/// What is wrong with a text, as `line:column: message | hint`.
#[track_caller]
fn wrong<T: Described>(text: &str) -> Vec<String> {
    let document = load::parse(text.to_owned(), Path::new("/files/f.yml"), "f");
    let Err(report) = document.check::<T>(&[]).map(|checked| checked.canonical) else {
        panic!("nothing is wrong with {text}")
    };
    let said = report.errors().map(|issue| {
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

/// The example files with their names.
fn examples() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/azureml");
    let mut found: Vec<(PathBuf, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (path, name)
        })
        .filter(|(_, name)| Path::new(name).extension().is_some_and(|end| end == "yml"))
        .collect();
    found.sort();
    found
}

/// Whether two values say the same: an empty list or mapping is as good as none, 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    let absent = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            a.keys()
                .chain(b.keys())
                .all(|key| match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => same(a, b),
                    (a, b) => absent(a) && absent(b),
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[test]
fn every_kind_has_an_example_that_is_told_checked_read_and_written() {
    // What is in a file they name cannot stand in its place.
    const OF_FILES: [&str; 4] = [
        "batch-deployment.pipeline.yml",
        "job.pipeline.yml",
        "schedule.changes.yml",
        "schedule.job.yml",
    ];
    let mut seen = BTreeSet::new();
    for (path, name) in examples() {
        let document = load::open(&path, &name).unwrap();
        let kinds = list::candidates(&document.root);
        let (kind, value, report) = document.check_any(&kinds);
        assert!(report.issues.is_empty(), "{name}: {}", report.render(false));
        let kind = kind.unwrap();
        assert_eq!(name.split('.').next(), Some(kind.name), "{name}");
        let value = value.unwrap();
        let again = (kind.reread)(&value).unwrap().unwrap();
        assert!(same(&value, &again), "{name}:\n{value:#}\n{again:#}");
        seen.insert(kind.name);
        // The canonical form is a file of the same kind.
        if OF_FILES.contains(&&*name) {
            continue;
        }
        let text = serde_json::to_string(&value).unwrap();
        let (canonical, report) = load::parse(text, &path, &name).check_shape(&kind.shape, &[]);
        assert!(report.issues.is_empty(), "{name}: {}", report.render(false));
        assert!(same(&value, &canonical.unwrap()), "{name}");
    }
    let all: BTreeSet<&str> = list::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_command_job_is_read_with_all_it_may_say() {
    let (job, canonical) = right::<CommandJob>(
        "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\n\
         type: Command\nstatus: Completed\ncommand: python train.py --rate ${{inputs.rate}}\n\
         environment: azureml:sklearn:3\nenvironment_variables: {A: yes, B: 1.50}\n\
         inputs:\n  rate: 1.0e-3\n  steps: 10\n  late: 1e-3\n\
         \x20 data: {path: data/x.csv, type: UriFile, mode: DOWNLOAD}\n\
         \x20 model: {type: mlflow_model, path: azureml:m@latest}\n\
         outputs:\n  out:\n  scores: {type: uri_file, mode: upload, name: scores, version: 2}\n\
         compute: azureml:cpu-cluster\nresources: {instance_count: '2', shm_size: 2g}\n\
         distribution: {type: PyTorch, process_count_per_instance: 2}\nlimits: {timeout: 60}\n\
         services: {nb: {type: jupyter_lab, endpoint: x}}\nidentity: {type: UserIdentity}\n",
    );
    assert_eq!(
        job.base.compute.as_ref().map(ComputeName::name),
        Some("cpu-cluster")
    );
    assert_eq!(
        job.run.environment_variables.get("A").map(|a| a.0.as_str()),
        Some("True")
    );
    assert_eq!(
        job.run.environment_variables.get("B").map(|b| b.0.as_str()),
        Some("1.5")
    );
    assert_eq!(
        job.run
            .resources
            .and_then(|resources| resources.instance_count),
        Some(Within(2))
    );
    assert!(matches!(
        job.run.distribution,
        Some(Distribution::PyTorch(_))
    ));
    assert!(matches!(job.inputs.get("model"), Some(JobInput::Model(_))));
    assert_eq!(
        canonical["inputs"]["data"],
        json!({"path": "/files/data/x.csv", "type": "uri_file", "mode": "download"})
    );
    assert_eq!(canonical["inputs"]["rate"], json!(0.001));
    assert_eq!(canonical["inputs"]["late"], json!("1e-3"));
    assert_eq!(canonical["outputs"]["out"], json!(null));
    assert_eq!(canonical["outputs"]["scores"]["version"], json!("2"));
    assert!(canonical.get("status").is_none());
    assert!(canonical.get("$schema").is_none());
    let text = |name| match job.inputs.get(name) {
        Some(JobInput::Literal(literal)) => literal.to_text(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (text("rate"), text("steps")),
        ("0.001".to_owned(), "10".to_owned())
    );
}

#[test]
fn all_that_is_wrong_with_a_job_is_said_at_once() {
    let found = wrong::<CommandJob>(
        "comand: echo\ncode: sr\nenvironment: sklearn\ninputs:\n  x: {type: uri_fil, path: a}\n\
         \x20 y: [1]\nresources: {instance_count: many, foo: 1}\ndescription: 5\n\
         distribution: {type: horovod}\nidentity: {}\nlimits: 5\n",
    );
    assert_eq!(
        found,
        [
            "f:1:1: A command job has no key `comand` | Did you mean `command`?",
            "f:2:7: There is no file or folder `sr` | It was looked for at /files/sr",
            "f:3:14: `sklearn` is not `azureml:NAME:VERSION` | Registered things begin with `azureml:`, as in `azureml:sklearn@latest`",
            "f:5:13: `uri_fil` is not the type of an input (a value, or a mapping with `type` and `path`) | Did you mean `uri_file`? Possible are `uri_file`, `uri_folder`, `custom_model`, `mlflow_model`, `triton_model`, `mltable`",
            "f:6:6: Expected an input (a value, or a mapping with `type` and `path`), found a list",
            "f:7:29: Expected an integer, found a string",
            "f:7:35: A resources has no key `foo` | Its keys are instance_count, instance_type, properties, locations, shm_size, max_instance_count, docker_args",
            "f:8:14: Expected a string, found an integer | Put it in quotes: \"5\"",
            "f:9:22: `horovod` is not the type of a distribution | Possible are `pytorch`, `tensorflow`, `mpi`, `ray`",
            "f:10:11: `type` is missing; a managed identity must have it | Add `type: managed`",
            "f:11:9: Expected a mapping (limits), found an integer",
        ]
    );
}

#[test]
fn data_has_a_default_type_and_any_tags() {
    let (data, canonical) =
        right::<Data>("name: d\nversion: 1.0\npath: ../x\ntags: {a: 1, b: true}\n");
    assert_eq!(canonical["type"], "uri_folder");
    assert_eq!(canonical["path"], "/x");
    assert_eq!(
        data.version.map(|version| version.0).as_deref(),
        Some("1.0")
    );
    assert_eq!(canonical["tags"], json!({"a": "1", "b": "True"}));
    assert_eq!(
        wrong::<Data>("name: d\npath:\n"),
        ["f:2:1: `path` is empty; a data asset must say it"]
    );
}

#[test]
fn an_environment_reads_its_conda_file_and_checks_its_build() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("context")).unwrap();
    fs::write(
        folder.path().join("conda.yml"),
        "dependencies: [python=3.10, {pip: [mlflow]}]\n",
    )
    .unwrap();
    let file = folder.path().join("env.yml");
    fs::write(&file, "name: e\nimage: ubuntu\nconda_file: conda.yml\n").unwrap();
    let loaded = load::load::<Environment>(&file, "env.yml", &[]).unwrap();
    assert_eq!(
        loaded.canonical["conda_file"]["dependencies"][0],
        "python=3.10"
    );
    assert_eq!(loaded.canonical["os_type"], "linux");

    fs::write(&file, "name: e\nbuild: {path: context}\n").unwrap();
    let loaded = load::load::<Environment>(&file, "env.yml", &[]).unwrap();
    assert_eq!(loaded.canonical["build"]["dockerfile_path"], "Dockerfile");

    fs::write(&file, "name: e\nbuild: {path: contxt}\nimage: x\n").unwrap();
    let error = load::load::<Environment>(&file, "env.yml", &[]).unwrap_err();
    assert_eq!(error.target.as_deref(), Some("env.yml:2:15"));
    assert_eq!(error.hints, ["Did you mean `context`?"]);

    fs::write(
        &file,
        "name: e\nimage: x\nconda_file: absent.yml\nconda: y\n",
    )
    .unwrap();
    let error = load::load::<Environment>(&file, "env.yml", &[]).unwrap_err();
    assert!(error.message.starts_with("2 errors in env.yml"), "{error}");
    assert!(
        error.message.contains("There is no file `absent.yml`"),
        "{error}"
    );
}

#[test]
fn what_a_command_names_is_checked_though_something_else_is_wrong() {
    let said = wrong::<CommandJob>(
        "command: ls ${{inputs.d}} ${{inputs.e}} ${{inputs.none}}
environment: azureml:e:1
inputs:
  d: {type: uri_folder, path: azureml:d:1, mode: ro_mnt}
  e: {type: uri_fil, path: azureml:d:1}
",
    );
    let said: Vec<&str> = said
        .iter()
        .filter_map(|said| said.split(" | ").next())
        .collect();
    assert_eq!(
        said,
        [
            "f:1:10: `${{inputs.none}}`: there is no input `none`",
            "f:4:50: `ro_mnt` is not a mode of an input",
            "f:5:13: `uri_fil` is not the type of an input (a value, or a mapping with `type` and `path`)",
        ]
    );
    // Nobody knows what is named where inputs are no mapping.
    let said =
        wrong::<CommandJob>("command: ls ${{inputs.d}}\nenvironment: azureml:e:1\ninputs: [d]\n");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn one_error_alone_is_shown_with_its_line() {
    let text = "command: x\nenvironment: azureml:e:1\nfoo: 1\n";
    let document = load::parse(text.to_owned(), Path::new("/files/f.yml"), "f.yml");
    let error = document.check::<CommandJob>(&[]).unwrap_err().into_error();
    assert_eq!(error.target.as_deref(), Some("f.yml:3:1"));
    assert_eq!(
        error.message,
        "A command job has no key `foo`\n  |\n3 | foo: 1\n  | ^^^"
    );
    // Flags add nothing to what is no YAML.
    let text = "name: {{NAME}}\n";
    let mut document = load::parse(text.to_owned(), Path::new("/files/f.yml"), "f.yml");
    document.put(
        "type",
        &json!("uri_file"),
        "--type uri_file".to_owned(),
        Path::new("/"),
    );
    let report = document.check::<Data>(&[]).unwrap_err();
    assert_eq!(report.errors().count(), 1, "{}", report.render(false));
}

/// The keys of secrets in records that do not say that they hold any.
fn add_shown_secrets(
    shape: &Shape,
    key: &'static str,
    shown: &mut Vec<&'static str>,
    seen: &mut Vec<*const Record>,
) {
    match shape {
        Shape::Text(text) if text.secret => shown.push(key),
        Shape::List(inner) | Shape::Map(inner) | Shape::Include(inner) => {
            add_shown_secrets(inner, key, shown, seen);
        }
        Shape::Union(union) => {
            for member in union.members {
                add_shown_secrets(member, key, shown, seen);
            }
        }
        Shape::Record(record)
            if !record().is_secret() && !seen.contains(&std::ptr::from_ref(record())) =>
        {
            seen.push(record());
            for field in record().all() {
                add_shown_secrets(&field.shape, field.name, shown, seen);
            }
        }
        _ => {}
    }
}

#[test]
fn no_line_is_shown_of_a_file_that_may_hold_a_secret() {
    let holding = list::KINDS.iter().filter(|kind| kind.shape.is_secret());
    let holding: Vec<&str> = holding.map(|kind| kind.name).collect();
    assert_eq!(holding, ["datastore", "compute", "connection"]);
    for kind in list::KINDS {
        let mut shown = Vec::new();
        add_shown_secrets(&kind.shape, "", &mut shown, &mut Vec::new());
        assert!(shown.is_empty(), "{}: {shown:?}", kind.name);
    }
    for (kind, text) in [
        (
            "datastore",
            "name: d\ntype: azure_blob\naccount_name: a\ncontainer_name: c\ncredentials: {account_ky: hush}\n",
        ),
        (
            "datastore",
            "name: d\ntype: azure_blob\naccount_name: a\ncontainer_name: c\ncredential: {account_key: hush}\n",
        ),
        (
            "datastore",
            "{name: d, type: azure_blob, acount_name: a, container_name: c, credentials: {account_key: hush}}\n",
        ),
        (
            "datastore",
            "name: d\ntype: azure_blob\naccount_name: a\ncontainer_name: c\ncredentials: {sas_token: 4711}\n",
        ),
        ("datastore", "credentials: {account_key: 'hush}\n"),
        (
            "connection",
            "{type: custom, targt: t, credentials: {type: pat, pat: hush}}\n",
        ),
        ("connection", "type: open_ai\nname: c\napi_ky: hush\n"),
        (
            "compute",
            "name: c\ntype: amlcompute\nssh_settings: {admin_username: a, admin_pasword: hush}\n",
        ),
    ] {
        let kind = list::named(kind).unwrap();
        let parse = || load::parse(text.to_owned(), Path::new("/files/f.yml"), "f.yml");
        let check = || parse().check_shape(&kind.shape, &[]).1;
        let shown = check().render(false);
        assert!(shown.contains("not shown"), "{shown}");
        let error = check().into_error();
        assert!(error.message.len() > 10, "{error}");
        // Neither is it where nobody knows what the file is.
        let unknown = parse().check_any(&[]).2;
        let told = [
            shown,
            error.to_string(),
            format!("{:?}", error.hints),
            unknown.render(false),
            unknown.into_error().to_string(),
        ];
        for told in told {
            let secret = told.contains("hush") || told.contains("4711");
            assert!(!secret, "{text}{told}");
        }
    }
    // A job holds secrets where it has a connection, and is shown elsewhere.
    let connection =
        "teacher_model_endpoint_connection: {type: serverless, name: t, api_key: hush}";
    for (text, is_shown) in [
        (
            format!("{{type: distillation, foo: 1, {connection}}}\n"),
            false,
        ),
        (format!("type: distillation\nfoo: 1\n{connection}\n"), true),
        (format!("type: distillation\nfoo: [\n{connection}\n"), false),
        ("type: command\nfoo: 1\n".to_owned(), true),
    ] {
        let document = load::parse(text, Path::new("/files/f.yml"), "f.yml");
        let (_, report) = document.check_shape(&list::named("job").unwrap().shape, &[]);
        let shown = report.render(false);
        assert!(!shown.contains("hush"), "{shown}");
        assert_eq!(shown.contains("2 | foo: 1"), is_shown, "{shown}");
    }
}

#[test]
fn files_are_included_and_know_their_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("envs/conda.yml", "dependencies: [numpy]\n");
    write("envs/env.yml", "image: ubuntu\nconda_file: conda.yml\n");
    write(
        "jobs/job.yml",
        "command: x\nenvironment: file:../envs/env.yml\n",
    );
    let load =
        || load::load::<CommandJob>(&folder.path().join("jobs/job.yml"), "jobs/job.yml", &[]);
    let job = load().unwrap();
    assert_eq!(
        job.canonical["environment"]["conda_file"]["dependencies"][0],
        "numpy"
    );
    assert!(matches!(
        job.value.run.environment,
        EnvironmentSource::Inline(_)
    ));

    // What is wrong below a key is at its line in the file that the key names.
    let document = load::open(&folder.path().join("jobs/job.yml"), "jobs/job.yml").unwrap();
    for (path, place) in [
        ("environment.conda_file", "envs/env.yml:2:1"),
        ("environment.conda_file.dependencies", "envs/conda.yml:1:1"),
        ("environment.none", "jobs/job.yml:2:1"),
        ("environment", "jobs/job.yml:2:1"),
        ("command.none", "jobs/job.yml:1:1"),
    ] {
        assert_eq!(document.place(path).as_deref(), Some(place), "{path}");
    }

    write("envs/env.yml", "imag: ubuntu\n");
    let error = load().unwrap_err();
    assert_eq!(error.target.as_deref(), Some("envs/env.yml:1:1"));
    write("envs/env.yml", "a: [\n");
    assert!(
        load()
            .unwrap_err()
            .target
            .unwrap()
            .starts_with("envs/env.yml:")
    );
}

#[test]
fn a_component_has_typed_inputs() {
    let (component, canonical) = right::<CommandComponent>(
        "name: train\ncommand: x\nenvironment: azureml:e@latest\n\
         inputs:\n  rate: {type: number, default: 0.1, min: 0, optional: true}\n\
         \x20 data: {type: uri_folder}\noutputs: {model: {type: mlflow_model}, n: {type: integer}}\n",
    );
    assert!(component.parts.base.is_deterministic);
    assert_eq!(canonical["inputs"]["rate"]["default"], json!(0.1));
    assert_eq!(
        wrong::<CommandComponent>(
            "name: My-Train\ncommand: x\nenvironment: azureml:e\ninputs: {a: {default: 1}, b: 5}\n"
        ),
        [
            "f:1:7: The component name `My-Train` may only have small letters, digits and underscores, and begins with a letter | Call it `my_train`",
            "f:4:14: `type` is missing; a component parameter must have it | Add `type: string`",
            "f:4:30: Expected an input of a component (a mapping with a `type`), found an integer",
        ]
    );
}

#[test]
fn datastores_are_told_apart_by_type_and_keep_secrets_from_messages() {
    let (_, canonical) = right::<Datastore>(
        "name: d\ntype: AzureBlob\naccount_name: a\ncontainer_name: c\ncredentials: {sas_token: s}\n",
    );
    assert_eq!(canonical["type"], "azure_blob");
    assert_eq!(canonical["endpoint"], "core.windows.net");
    let text = "name: d\ntype: azure_file\naccount_name: a\nfile_share_name: f\n\
                credentials: {acount_key: topsecret}\n";
    let document = load::parse(text.to_owned(), Path::new("f.yml"), "f.yml");
    let report = document.check::<Datastore>(&[]).unwrap_err();
    let shown = report.render(false);
    assert!(shown.contains("no key `acount_key`"), "{shown}");
    assert!(!shown.contains("topsecret"), "{shown}");
    assert_eq!(
        wrong::<Datastore>("name: d\ntype: azureblob2\n")[0],
        "f:2:7: `azureblob2` is not the type of a datastore | Did you mean `azure_blob`? Possible are `azure_blob`, `azure_file`, `azure_data_lake_gen2`, `azure_data_lake_gen1`, `one_lake`, `hdfs`"
    );
}

#[test]
fn a_model_may_lie_anywhere() {
    for path in [
        "runs:/r/model",
        "azureml://jobs/j/outputs/artifacts/paths/m",
        "wasbs://c@a.b/x",
    ] {
        let (model, canonical) = right::<Model>(&format!("name: m\npath: {path}\n"));
        assert_eq!(canonical["path"], path);
        assert_eq!(canonical["type"], "custom_model");
        assert!(model.path.unwrap().reference().is_ok());
    }
}
