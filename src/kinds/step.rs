//! What parallel, Spark, data transfer and import steps are, as jobs, components and nodes.

use serde_json::{Map as Object, Value};

use crate::{
    assets::ImportSource,
    component::ComponentBase,
    declare::{choice, record, union, words},
    described::{Map, Scalar},
    environment::EnvironmentSource,
    expression::{Expression, is_open},
    io::{JobInput, JobOutput, OutputPort, Parameter},
    job::{JobBase, Resources},
    reference::{Code, ComponentName, IncludePath},
    shape::{Fault, Wrong},
};

record! {
    /// What runs a script over many small batches of data.
    ParallelSettings = "parallel step" {
        /// The script and what it needs.
        task: Option<ParallelTask>,
        /// The input that is cut into batches: `${{inputs.NAME}}`.
        input_data: Option<String>,
        /// How much of it is a batch: a number of files or rows, or a size such as `10kb`.
        mini_batch_size: Option<Scalar>,
        /// Columns whose values are a batch each.
        partition_keys: Vec<String>,
        resources: Option<Resources>,
        /// How many batches run on a node at once.
        max_concurrency_per_instance: i64 = 1,
        retry_settings: Option<RetrySettings>,
        /// How many items may fail; -1 is any number.
        error_threshold: i64 = -1,
        /// How many batches may fail; -1 is any number.
        mini_batch_error_threshold: i64 = -1,
        logging_level: LoggingLevel = "INFO",
        environment_variables: Map<Scalar>,
    }

    /// The script of a parallel step.
    ParallelTask = "parallel task" {
        r#type: ParallelTaskType,
        /// The folder of the script.
        code: Option<Code>,
        /// The script, with `init()` and `run(mini_batch)`.
        entry_script: Option<String>,
        /// What the script finds on its command line.
        program_arguments: Option<String>,
        model: Option<String>,
        /// The output that collects what `run` returns: `${{outputs.NAME}}`.
        append_row_to: Option<String>,
        environment: EnvironmentSource,
    }

    RetrySettings = "retry settings" {
        /// Seconds for a batch.
        timeout: Option<i64>,
        max_retries: Option<i64>,
    }

    /// A step that runs a script over many small batches of data.
    ParallelComponent = "parallel component" (rule: Some(check_batches)) {
        ..base: ComponentBase,
        ..settings: ParallelSettings,
        name: ComponentName,
        r#type: ParallelType,
    }

    /// A parallel component in the file of a pipeline, or in one that a pipeline names.
    InlineParallelComponent = "parallel component" (rule: Some(check_batches)) {
        ..base: ComponentBase,
        ..settings: ParallelSettings,
        name: Option<String>,
        r#type: ParallelType,
    }

    /// What runs on Spark.
    SparkSettings = "Spark step" {
        /// The folder of the script.
        code: Option<Code>,
        /// The script (`file`) or class (`class_name`) that is run.
        entry: SparkEntry,
        py_files: Vec<String>,
        jars: Vec<String>,
        files: Vec<String>,
        archives: Vec<String>,
        /// Spark's settings, such as `spark.executor.cores`.
        conf: Map<Value>,
        environment: Option<EnvironmentSource>,
        /// What the script finds on its command line.
        args: Option<String>,
    }

    SparkFile = "entry" (read_only: &["spark_job_entry_type"]) {
        /// The script, from the code folder.
        file: String,
    }

    SparkClass = "entry" (read_only: &["spark_job_entry_type"]) {
        class_name: String,
    }

    /// A job on Spark.
    SparkJob = "Spark job" (rule: Some(check_place)) {
        ..base: JobBase,
        ..settings: SparkSettings,
        r#type: SparkType,
        inputs: Map<JobInput>,
        outputs: Map<Option<JobOutput>>,
        resources: Option<SparkResources>,
    }

    SparkResources = "Spark resources" (rule: Some(check_size)) {
        instance_type: Option<String>,
        /// The version of Spark, such as `3.4`.
        runtime_version: Option<Scalar>,
    }

    /// A step on Spark.
    SparkComponent = "Spark component" {
        ..base: ComponentBase,
        ..settings: SparkSettings,
        name: ComponentName,
        r#type: SparkType,
        properties: Map<Value>,
        /// Files and folders of elsewhere that are put beside the code.
        additional_includes: Vec<IncludePath>,
    }

    /// A Spark component in the file of a pipeline, or in one that a pipeline names.
    InlineSparkComponent = "Spark component" {
        ..base: ComponentBase,
        ..settings: SparkSettings,
        name: Option<String>,
        r#type: SparkType = "spark",
        properties: Map<Value>,
        /// Files and folders of elsewhere that are put beside the code.
        additional_includes: Vec<IncludePath>,
    }

    /// A step that copies data.
    DataTransferComponent = "data transfer component" {
        ..base: ComponentBase,
        name: ComponentName,
        r#type: DataTransferType,
        task: TransferTask,
        data_copy_mode: Option<CopyMode>,
        source: Map<Value>,
        sink: Map<Value>,
    }

    /// A data transfer component in the file of a pipeline, or in one that a pipeline names.
    InlineDataTransferComponent = "data transfer component" {
        ..base: ComponentBase,
        name: Option<String>,
        r#type: DataTransferType = "data_transfer",
        task: CopyTask,
        data_copy_mode: Option<CopyMode>,
    }

    /// Copies data from one place to another.
    CopyJob = "data transfer job" {
        ..base: JobBase,
        r#type: DataTransferType,
        task: CopyTask,
        data_copy_mode: Option<CopyMode>,
        inputs: Map<JobInput>,
        outputs: Map<Option<NodeOutput>>,
    }

    /// Copies data from a database or file system.
    ImportDataJob = "data import job" {
        ..base: JobBase,
        r#type: DataTransferType,
        task: ImportTask,
        source: ImportSource,
        outputs: Map<Option<NodeOutput>>,
    }

    /// Copies data into a database or file system.
    ExportDataJob = "data export job" {
        ..base: JobBase,
        r#type: DataTransferType,
        task: ExportTask,
        inputs: Map<JobInput>,
        sink: ImportSource,
    }

    /// Imports data (an older form).
    ImportJob = "import job" {
        ..base: JobBase,
        r#type: ImportType,
        source: OldImportSource,
        output: JobOutput,
    }

    OldDatabase = "database" {
        r#type: OldDatabaseType,
        connection: String,
        query: String,
    }

    OldFile = "file source" {
        r#type: OldFileType,
        connection: String,
        path: String,
    }

    /// Imports data (an older form).
    ImportComponent = "import component" {
        ..base: ComponentBase,
        name: Option<String>,
        r#type: ImportType = "import",
        source: Map<Parameter>,
        output: OutputPort,
    }
}

union! {
    SparkEntry = "an entry (a mapping with `file` or `class_name`)" {
        File(SparkFile),
        Class(SparkClass),
    }

    OldImportSource = "a source" {
        Database(OldDatabase),
        File(OldFile),
    }

    /// The output of a step: where it goes, or `${{parent.outputs.NAME}}`.
    NodeOutput = "an output (`${{parent.outputs.NAME}}`, or a mapping)" {
        Binding(crate::reference::Binding),
        Output(JobOutput),
    }
}

choice! {
    LoggingLevel = "a logging level" {
        Debug = "DEBUG",
        Info = "INFO",
        Warning = "WARNING",
    }

    CopyMode = "a copy mode" {
        Overwrite = "merge_with_overwrite",
        Fail = "fail_if_conflict",
    }

    TransferTask = "a data transfer task" {
        Copy = "copy_data",
        Import = "import_data",
        Export = "export_data",
    }
}

words! {
    ParallelType = "the type of a parallel step" ["parallel"]
    ParallelTaskType = "a type of parallel task" ["run_function", "model", "function"]
    SparkType = "the type of a Spark step" ["spark"]
    DataTransferType = "the type of a data transfer step" ["data_transfer"]
    CopyTask = "a data transfer task" ["copy_data"]
    ImportTask = "a data transfer task" ["import_data"]
    ExportTask = "a data transfer task" ["export_data"]
    ImportType = "the type of an import step" ["import"]
    OldDatabaseType = "a type of source" ["azuresqldb", "azuresynapseanalytics", "snowflake"]
    OldFileType = "a type of source" ["s3"]
}

/// The machines that Azure ML has for Spark.
const SPARK_SIZES: [&str; 5] = [
    "standard_e4s_v3",
    "standard_e8s_v3",
    "standard_e16s_v3",
    "standard_e32s_v3",
    "standard_e64s_v3",
];

fn check_size(resources: &Object<String, Value>) -> Vec<Wrong> {
    let size = resources.get("instance_type").and_then(Value::as_str);
    let Some(size) = size.filter(|size| !size.contains("${{")) else {
        return Vec::new();
    };
    if SPARK_SIZES.contains(&size.to_lowercase().as_str()) {
        return Vec::new();
    }
    let fault = Fault::new(format!("`{size}` is no size of machines for Spark"))
        .hint(format!("Possible are {}", SPARK_SIZES.join(", ")));
    vec![Wrong::at(["instance_type"], fault)]
}

/// How much a mini-batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// Files or rows.
    Count(i64),
    Bytes(i64),
}

impl BatchSize {
    /// Reads `5`, `10kb` or `1mb`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let lower = text.trim().to_ascii_lowercase();
        let number = lower.trim_start_matches(|c: char| c.is_ascii_digit());
        let (number, unit) = lower.split_at(lower.len() - number.len());
        let shift = match unit.trim() {
            "" => None,
            "b" => Some(0),
            "k" | "kb" => Some(10),
            "m" | "mb" => Some(20),
            "g" | "gb" => Some(30),
            _ => return Err(no_size(text)),
        };
        let number = number.parse().ok().filter(|number| *number > 0);
        let number: i64 = number.ok_or_else(|| no_size(text))?;
        match shift {
            None => Ok(Self::Count(number)),
            Some(shift) => number
                .checked_mul(1 << shift)
                .map(Self::Bytes)
                .ok_or_else(|| no_size(text)),
        }
    }
}

fn no_size(text: &str) -> Fault {
    Fault::new(format!("`{text}` is not the size of a mini-batch"))
        .hint("It is a number of files or rows from 1, or a size such as 10kb or 1mb")
}

/// Numbers are of their ranges, and what is named is there. What is an expression is known later.
pub(crate) fn check_batches(members: &Object<String, Value>) -> Vec<Wrong> {
    let mut wrong = check_batch_numbers(members);
    check_task_ports(members, &mut wrong);
    wrong
}

/// What is wrong with the numbers of a parallel step.
pub fn check_batch_numbers(members: &Object<String, Value>) -> Vec<Wrong> {
    let size = members.get("mini_batch_size").and_then(Value::as_str);
    let wrong = size.filter(|size| !is_open(size));
    let wrong = wrong.and_then(|size| BatchSize::parse(size).err());
    let wrong = wrong.map(|fault| Wrong::at(["mini_batch_size"], fault));
    let mut wrong: Vec<Wrong> = wrong.into_iter().collect();
    for (path, least) in [
        (&["max_concurrency_per_instance"][..], 1),
        (&["error_threshold"], -1),
        (&["mini_batch_error_threshold"], -1),
        (&["retry_settings", "max_retries"], 0),
        (&["retry_settings", "timeout"], 1),
    ] {
        let (first, rest) = (members.get(path[0]), &path[1..]);
        let found = rest.iter().try_fold(first, |at, key| Some(at?.get(*key)));
        let number = found.flatten().and_then(Value::as_i64);
        if let Some(number) = number.filter(|number| *number < least) {
            let mut fault = Fault::new(format!("`{number}` is not a number from {least}"));
            if least == -1 {
                fault = fault.hint("-1 is any number of failures");
            }
            wrong.push(Wrong::at(path.iter().copied(), fault));
        }
    }
    wrong
}

/// What a parallel step cuts and collects are its own input and output. Those of a step that is of a
/// component are the component's.
fn check_task_ports(members: &Object<String, Value>, wrong: &mut Vec<Wrong>) {
    let Some(task) = members.get("task").and_then(Value::as_object) else {
        return;
    };
    if members.contains_key("component") {
        return;
    }
    let ports = |key: &str| members.get(key).and_then(Value::as_object);
    let named = |key: &str, text: &str| {
        let name = match Expression::only(text) {
            Some(Expression::Input(name)) if key == "inputs" => name,
            Some(Expression::Output(name)) if key == "outputs" => name,
            _ => return false,
        };
        ports(key).is_some_and(|ports| ports.contains_key(&name))
    };
    let data = members.get("input_data").and_then(Value::as_str);
    if let Some(data) = data.filter(|data| !named("inputs", data)) {
        let fault = Fault::new(format!("`{data}` names no input of the step"))
            .hint("Name one of the step's inputs: input_data: ${{inputs.NAME}}");
        wrong.push(Wrong::at(["input_data"], fault));
    }
    let rows = task.get("append_row_to").and_then(Value::as_str);
    if let Some(rows) = rows.filter(|rows| !named("outputs", rows)) {
        let fault = Fault::new(format!("`{rows}` names no output of the step"))
            .hint("Name one of the step's outputs: append_row_to: ${{outputs.NAME}}");
        wrong.push(Wrong::at(["task", "append_row_to"], fault));
    }
}

fn check_place(job: &Object<String, Value>) -> Vec<Wrong> {
    if !(job.contains_key("compute") && job.contains_key("resources")) {
        return Vec::new();
    }
    let fault = Fault::new("A Spark job has a `compute` or `resources`, not both");
    vec![Wrong::at(["compute"], fault)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{BatchSize, check_batches};
    use crate::shape::places;

    fn said(step: &Value) -> Vec<String> {
        places(check_batches, step)
    }

    #[test]
    fn all_that_is_wrong_with_a_parallel_step_is_said_at_once() {
        let right = json!({
            "inputs": {"data": {"type": "uri_folder", "path": "files"}},
            "outputs": {"rows": null},
            "input_data": "${{inputs.data}}", "mini_batch_size": "5",
            "max_concurrency_per_instance": 1, "error_threshold": -1,
            "mini_batch_error_threshold": "${{parent.inputs.n}}",
            "retry_settings": {"max_retries": 0, "timeout": 1},
            "task": {"append_row_to": "${{outputs.rows}}"},
        });
        assert!(said(&right).is_empty(), "{:?}", said(&right));
        let mut wrong = json!({
            "inputs": right["inputs"], "outputs": right["outputs"],
            "input_data": "${{inputs.gone}}", "mini_batch_size": "x",
            "max_concurrency_per_instance": 0, "error_threshold": -7,
            "mini_batch_error_threshold": -2,
            "retry_settings": {"max_retries": -1, "timeout": 0},
            "task": {"append_row_to": "${{inputs.data}}"},
        });
        let numbers = [
            "mini_batch_size",
            "max_concurrency_per_instance",
            "error_threshold",
            "mini_batch_error_threshold",
            "retry_settings.max_retries",
            "retry_settings.timeout",
        ];
        let all = [&numbers[..], &["input_data", "task.append_row_to"]].concat();
        assert_eq!(said(&wrong), all);
        // Its ports are those of the component.
        wrong["component"] = json!("azureml:c:1");
        assert_eq!(said(&wrong), numbers);
    }

    #[test]
    fn sizes_are_counts_or_bytes() {
        for (text, size) in [
            ("5", Some(BatchSize::Count(5))),
            (" 10kb ", Some(BatchSize::Bytes(10 << 10))),
            ("1MB", Some(BatchSize::Bytes(1 << 20))),
            ("2 g", Some(BatchSize::Bytes(2 << 30))),
            ("7b", Some(BatchSize::Bytes(7))),
            ("0", None),
            ("-1", None),
            ("kb", None),
            ("1tb", None),
            ("9999999999999gb", None),
        ] {
            assert_eq!(BatchSize::parse(text).ok(), size, "{text}");
        }
    }
}
