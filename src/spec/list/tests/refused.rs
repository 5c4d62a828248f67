//! What the official loader, or its check before a thing is created, refuses of one key.

use std::path::Path;

use crate::{list, load};

const COMPONENT: &str = "name: c\ncommand: echo\nenvironment: {image: python}\n";
const JOB: &str = "command: echo\nenvironment: {image: python}\n";
const SPARK: &str = "type: spark\ncode: .\nentry: {file: a.py}\n";
const SWEEP: &str = "type: sweep\ntrial: {command: echo, environment: {image: python}}\n\
                     sampling_algorithm: random\nobjective: {goal: minimize, primary_metric: m}\n";
const AUTOML: &str = "type: automl\ntask: classification\ntarget_column_name: y\n";
const ENDPOINT: &str = "auth_mode: key\n";
const SCHEDULE: &str = "name: s\ncreate_job: azureml:j\n";
const PARALLEL: &str = "name: c\ntype: parallel\ntask: {type: run_function, code: ., entry_script: a.py, environment: azureml:e@latest}\n";
const BATCH: &str =
    "name: b\nendpoint_name: e\ntype: model\nmodel: azureml:m:1\ncompute: azureml:c\n";

/// Kind, what is right, what is not, what is said.
const CASES: [(&str, &str, &str, &str); 49] = [
    (
        "component",
        COMPONENT,
        "inputs: {a-b: {type: string}}",
        "letters, digits and underscores",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {1a: {type: string}}",
        "letters, digits and underscores",
    ),
    (
        "component",
        COMPONENT,
        "outputs: {a-b: {type: uri_folder}}",
        "letters, digits and underscores",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: string}, A: {type: string}}",
        "differ in case alone",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: integer, default: x}}",
        "`\"x\"` is not",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: boolean, default: maybe}}",
        "`\"maybe\"` is not",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: uri_folder, default: x}}",
        "has no default",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: uri_folder, min: 1}}",
        "no key `min`",
    ),
    (
        "component",
        COMPONENT,
        "inputs: {a: {type: text}}",
        "`text` is not",
    ),
    (
        "component",
        "command: echo\nenvironment: {image: python}\n",
        "name: a-b",
        "small letters, digits",
    ),
    (
        "component",
        "command: echo\nenvironment: {image: python}\n",
        "name: 1a",
        "small letters, digits",
    ),
    (
        "job",
        JOB,
        "inputs: {a: {type: uri_folder, path: x, mode: eval_mount}}",
        "is not a mode of an input",
    ),
    (
        "job",
        JOB,
        "inputs: {a: {type: mltable, path: x, mode: upload}}",
        "is not a mode of an mltable",
    ),
    (
        "job",
        JOB,
        "outputs: {a: {type: uri_folder, mode: ro_mount}}",
        "is not a mode of an output",
    ),
    (
        "job",
        JOB,
        "services: {s: {type: notebook}}",
        "is not a kind of service",
    ),
    (
        "job",
        JOB,
        "services: {s: {type: jupyter_lab, nodes: some}}",
        "`some` is not a choice of nodes",
    ),
    (
        "job",
        JOB,
        "queue_settings: {job_tier: gold}",
        "is not a job tier",
    ),
    (
        "job",
        JOB,
        "queue_settings: {priority: huge}",
        "is not a priority",
    ),
    (
        "job",
        JOB,
        "distribution: {type: horovod}",
        "is not the type of a distribution",
    ),
    (
        "job",
        JOB,
        "identity: {type: guest}",
        "is not the type of an identity",
    ),
    (
        "job",
        SPARK,
        "resources: {instance_type: standard_a1}",
        "no size of machines for Spark",
    ),
    (
        "job",
        SPARK,
        "compute: azureml:c\nresources: {instance_type: standard_e4s_v3}",
        "not both",
    ),
    (
        "job",
        SWEEP,
        "limits: {max_total_trials: 2}\nsearch_space: {a: {type: normal, mu: 1}}",
        "`sigma` is missing",
    ),
    (
        "job",
        SWEEP,
        "limits: {}\nsearch_space: {a: {type: choice, values: [1]}}",
        "`max_total_trials` is missing",
    ),
    (
        "job",
        SWEEP,
        "search_space: {a: {type: choice, values: [1]}}",
        "`limits` is missing",
    ),
    (
        "job",
        SWEEP,
        "limits: {max_total_trials: 1}\nsearch_space: {a: {type: dice}}",
        "`dice` is not",
    ),
    (
        "job",
        AUTOML,
        "primary_metric: accuracy",
        "`training_data` is missing",
    ),
    (
        "job",
        AUTOML,
        "training_data: {type: uri_file, path: azureml:d:1}",
        "is not the type of a table",
    ),
    (
        "job",
        AUTOML,
        "training_data: {type: mltable, path: azureml:d:1}\nprimary_metric: r2_score",
        "is not a metric of classification",
    ),
    (
        "online-endpoint",
        ENDPOINT,
        "name: abc\ntraffic: {blue: 90, green: 20}",
        "adds up to 110 percent",
    ),
    (
        "online-endpoint",
        ENDPOINT,
        "name: ab",
        "3 to 32 are possible",
    ),
    (
        "online-endpoint",
        ENDPOINT,
        "name: a_b",
        "letters, digits and dashes",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: yearly, interval: 1}",
        "is not a frequency",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: day, interval: 1, schedule: {hours: [2]}}",
        "`minutes` is missing",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: day, interval: 1, schedule: {hours: 24, minutes: 0}}",
        "0 to 23",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: day, interval: 1, schedule: {hours: 1, minutes: [0, 60]}}",
        "0 to 59",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: month, interval: 1, schedule: {hours: 1, minutes: 0, month_days: 32}}",
        "1 to 31",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: recurrence, frequency: day, interval: 0}",
        "1 to 100000",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: cron, expression: '0 8 * * *', time_zone: Pacific Standart Time}",
        "There is no time zone `Pacific Standart Time`",
    ),
    (
        "batch-deployment",
        BATCH,
        "settings: {mini_batch_size: 0}",
        "1",
    ),
    (
        "component",
        PARALLEL,
        "mini_batch_size: 0",
        "`0` is not the size of a mini-batch",
    ),
    (
        "component",
        PARALLEL,
        "mini_batch_size: 1tb",
        "`1tb` is not the size of a mini-batch",
    ),
    (
        "schedule",
        SCHEDULE,
        "trigger: {type: cron}",
        "`expression` is missing",
    ),
    (
        "batch-deployment",
        BATCH,
        "settings: {output_action: print}",
        "is not an output action",
    ),
    (
        "compute",
        "name: c\n",
        "type: amlcompute\ntier: cheap",
        "is not a tier",
    ),
    (
        "compute",
        "name: c\n",
        "type: kubernetes\nresource_id: /subscriptions/s/resourceGroups/g/providers/p/t/n",
        "`namespace` is missing",
    ),
    (
        "connection",
        "name: c\ntarget: t\n",
        "type: ftp",
        "`ftp` is not the type of a connection",
    ),
    (
        "data",
        "name: d\n",
        "path: azureml://datastores/d/paths/x\ntype: table",
        "`table` is not a type of data",
    ),
    (
        "workspace",
        "name: w\n",
        "managed_network: {isolation_mode: open}",
        "is not an isolation mode",
    ),
];

#[test]
fn each_is_said_where_it_stands() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/f.yml"));
    for (kind, right, wrong, why) in CASES {
        let kind = list::named(kind).unwrap();
        let said = |text: &str| -> Vec<String> {
            let document = load::parse(text.to_owned(), file, "f");
            let (_, report) = document.check_shape(&kind.shape, &[]);
            report.errors().map(|issue| issue.message.clone()).collect()
        };
        let found = said(&format!("{right}{wrong}\n"));
        assert!(
            found.iter().any(|said| said.contains(why)),
            "{wrong}: {found:?}"
        );
    }
}
