//! `aml batch invoke`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{context::Context, document::Draft, job, run::naming};
use api::{
    Error, Result,
    batch::{INPUT, InvokeBatch, SCORE},
    paths::is_local,
};
use spec::overrides::{Edit, Values};

/// What can be said in place of what the deployment says.
const SETTINGS: [&str; 8] = [
    "mini_batch_size",
    "instance_count",
    "max_concurrency_per_instance",
    "output_file_name",
    "error_threshold",
    "retry_settings.max_retries",
    "retry_settings.timeout",
    "logging_level",
];

/// Start a job that scores data
///
/// It goes on when this command ends: follow it with `aml job stream`, and fetch what it made with
/// `aml job download NAME --output-name score`.
#[derive(Debug, Args)]
pub struct InvokeArgs {
    /// Batch endpoint to ask
    name: String,
    /// Deployment that shall run [default: the endpoint's]
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Data to score: an asset such as `azureml:flowers@latest`, a file, folder or address
    #[arg(long, value_name = "DATA")]
    input: Option<String>,
    /// `uri_folder` or `uri_file`, where the data does not say it
    #[arg(long, value_name = "TYPE", value_parser = ["uri_folder", "uri_file", "mltable"])]
    input_type: Option<String>,
    /// Value of an input, as NAME.KEY=VALUE, such as `heart.path=azureml:heart@latest` or
    /// `rate.default=0.1`; several can follow
    #[arg(long, value_name = "NAME.KEY=VALUE", num_args = 1..)]
    inputs: Vec<String>,
    /// Value of an output, as NAME.KEY=VALUE; several can follow
    #[arg(long, value_name = "NAME.KEY=VALUE", num_args = 1..)]
    outputs: Vec<String>,
    /// YAML file with inputs and outputs
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Address that the scores are written to
    #[arg(long, value_name = "ADDRESS")]
    output_path: Option<String>,
    /// Files of a mini-batch, instead of what the deployment says
    #[arg(short, long, value_name = "N")]
    mini_batch_size: Option<u32>,
    /// Instances, instead of what the deployment says
    #[arg(short = 'c', long, value_name = "N")]
    instance_count: Option<u32>,
    /// Experiment of the job [default: the endpoint's name]
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// Name of the job [default: one is made]
    #[arg(long, value_name = "NAME")]
    job_name: Option<String>,
    /// Follow the job to its end; the exit code tells how it ended
    #[arg(short, long)]
    stream: bool,
}

pub async fn invoke(ctx: &Context, args: InvokeArgs) -> anyhow::Result<()> {
    let file = args.file.as_ref().map(|file| file.to_string_lossy());
    let mut edits = Vec::new();
    for (part, words) in [("inputs", &args.inputs), ("outputs", &args.outputs)] {
        for word in words {
            edits.push(Edit::set(&format!("{part}.{word}"))?);
        }
    }
    let given = Given {
        file: file.as_deref(),
        edits: &edits,
        input: args.input.as_deref(),
        input_type: args.input_type.as_deref(),
        output_path: args.output_path.as_deref(),
    };
    let workspace = ctx.workspace().await?;
    let written = given.written(ctx, &workspace).await?;
    let request = InvokeBatch {
        workspace,
        endpoint: args.name,
        deployment: args.deployment,
        job: args.job_name.unwrap_or_else(naming::new_name),
        experiment: args.experiment,
        mini_batch_size: args.mini_batch_size.or(written.mini_batch_size),
        instance_count: args.instance_count.or(written.instance_count),
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
        ..written
    };
    let run = ctx.client().await?.call(&request).await?;
    if args.stream {
        return job::stream::to_the_end_and_show(ctx, &run).await;
    }
    let workspace = job::workspace(ctx).await?;
    ctx.ui.show(&job::entity::Entity::new(&run, &workspace))
}

/// What is said of an invocation in its file and by flags.
pub struct Given<'a> {
    pub file: Option<&'a str>,
    pub edits: &'a [Edit],
    pub input: Option<&'a str>,
    pub input_type: Option<&'a str>,
    pub output_path: Option<&'a str>,
}

impl Given<'_> {
    /// Inputs, outputs and settings of the file, with what is changed of them; what they name on this
    /// machine was uploaded.
    pub async fn written(&self, ctx: &Context, workspace: &str) -> Result<InvokeBatch> {
        let mut written = self.read(ctx)?;
        let mut brought = Map::new();
        brought.insert("inputs".to_owned(), written.inputs.into());
        job::local::bring(ctx, workspace, &mut brought).await?;
        written.inputs = mapping(&mut brought, "inputs")?;
        Ok(written)
    }

    fn read(&self, ctx: &Context) -> Result<InvokeBatch> {
        let mut draft = Draft::open(self.file, &ctx.folder)?;
        draft.edit(self.edits, Values::Strings)?;
        let mut fields = draft.unchecked()?;
        let (mut inputs, mut outputs) = (
            mapping(&mut fields, "inputs")?,
            mapping(&mut fields, "outputs")?,
        );
        if let Some(path) = self.input {
            inputs.insert(INPUT.to_owned(), self.input(ctx, path)?);
        }
        if let Some(path) = self.output_path {
            let output = json!({"type": "uri_folder", "path": path});
            outputs.insert(SCORE.to_owned(), output);
        }
        // Relative to the file, as in a job.
        let folder = self.file.map(|file| ctx.folder.join(file));
        let folder = folder.as_deref().and_then(Path::parent);
        for input in inputs.values_mut() {
            let path = input.get("path").and_then(Value::as_str);
            if let Some(path) = path.filter(|path| is_local(path)) {
                let near = folder.unwrap_or(&ctx.folder).join(path);
                let real = near.canonicalize().unwrap_or(near);
                input["path"] = json!(real.to_string_lossy());
            }
        }
        let mut retries = mapping(&mut fields, "retry_settings")?;
        let written = InvokeBatch {
            inputs,
            outputs,
            mini_batch_size: number(&mut fields, "mini_batch_size")?,
            instance_count: number(&mut fields, "instance_count")?,
            error_threshold: number(&mut fields, "error_threshold")?,
            max_retries: number(&mut retries, "max_retries")?,
            timeout: number(&mut retries, "timeout")?,
            max_concurrency_per_instance: number(&mut fields, "max_concurrency_per_instance")?,
            logging_level: text(&mut fields, "logging_level")?,
            output_file_name: text(&mut fields, "output_file_name")?,
            ..InvokeBatch::default()
        };
        fields.shift_remove("$schema");
        let mut unknown = fields.keys().chain(retries.keys());
        match unknown.next() {
            None => Ok(written),
            Some(key) => Err(Error::invalid("An invocation has no such setting")
                .at(key)
                .hint(format!(
                    "It has inputs, outputs and {}",
                    SETTINGS.join(", ")
                ))),
        }
    }

    /// The one input that was given without a name, as a job's input is written.
    fn input(&self, ctx: &Context, path: &str) -> Result<Value> {
        if !is_local(path) {
            let mut input = json!({"path": path});
            if let Some(kind) = self.input_type {
                input["type"] = json!(kind);
            }
            return Ok(input);
        }
        let found = ctx.folder.join(path);
        let kind = match (self.input_type, found.is_file()) {
            (Some(kind), _) => kind.to_ascii_lowercase(),
            (None, true) => "uri_file".to_owned(),
            (None, false) => "uri_folder".to_owned(),
        };
        let real = found.canonicalize().map_err(|_| {
            Error::invalid(format!("No such file or directory: {path}")).at("--input")
        })?;
        Ok(json!({"type": kind, "path": real.to_string_lossy()}))
    }
}

/// Takes a mapping out of another one; an empty one where there is none.
fn mapping(fields: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>> {
    match fields.shift_remove(key) {
        Some(Value::Object(found)) => Ok(found),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(other) => Err(Error::invalid(format!("{other} is no mapping")).at(key)),
    }
}

fn text(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(Error::invalid(format!("{other} is not text")).at(key)),
    }
}

/// Takes a number out of a mapping; from flags it comes as text.
fn number<T: TryFrom<i64>>(fields: &mut Map<String, Value>, key: &str) -> Result<Option<T>> {
    let Some(value) = fields.shift_remove(key) else {
        return Ok(None);
    };
    let number = match &value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let number = number.and_then(|number: i64| T::try_from(number).ok());
    let wrong = || Error::invalid(format!("{value} is no such number")).at(key);
    number.map(Some).ok_or_else(wrong)
}
