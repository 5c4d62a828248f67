//! `aml batch invoke`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::{context::Context, document::Draft, job, run::naming};
use api::{Error, Result, batch::InvokeBatch, paths::is_local};
use spec::overrides::{Edit, Values};

/// The name of an input that was given without one.
const INPUT: &str = "input";
/// The output of a model deployment.
const SCORE: &str = "score";

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
    let (inputs, outputs) = given.data(ctx, &workspace).await?;
    let request = InvokeBatch {
        workspace,
        endpoint: args.name,
        deployment: args.deployment,
        job: args.job_name.unwrap_or_else(naming::new_name),
        experiment: args.experiment,
        inputs,
        outputs,
        mini_batch_size: args.mini_batch_size,
        instance_count: args.instance_count,
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
    };
    let mut run = ctx.client().await?.call(&request).await?;
    if args.stream {
        job::stream::to_the_end(ctx, &run).await?;
        if ctx.ui.answers_alone() {
            return Ok(());
        }
        run = job::workspace_run(ctx, &run.name).await?;
    }
    let workspace = job::workspace(ctx).await?;
    ctx.ui.show(&job::entity::Entity::new(&run, &workspace))
}

/// What is said of the data of an invocation.
pub struct Given<'a> {
    pub file: Option<&'a str>,
    pub edits: &'a [Edit],
    pub input: Option<&'a str>,
    pub input_type: Option<&'a str>,
    pub output_path: Option<&'a str>,
}

impl Given<'_> {
    /// Inputs and outputs of the file, with what is changed of them; what they name on this machine was
    /// uploaded.
    pub async fn data(
        &self,
        ctx: &Context,
        workspace: &str,
    ) -> Result<(Map<String, Value>, Map<String, Value>)> {
        let (inputs, outputs) = self.written(ctx)?;
        let mut brought = Map::new();
        brought.insert("inputs".to_owned(), inputs.into());
        job::local::bring(ctx, workspace, &mut brought).await?;
        match brought.shift_remove("inputs") {
            Some(Value::Object(inputs)) => Ok((inputs, outputs)),
            _ => Ok((Map::new(), outputs)),
        }
    }

    fn written(&self, ctx: &Context) -> Result<(Map<String, Value>, Map<String, Value>)> {
        let mut draft = Draft::open(self.file, &ctx.folder)?;
        draft.edit(self.edits, Values::Strings)?;
        let mut fields = draft.unchecked()?;
        let mut part = |key: &str| match fields.shift_remove(key) {
            Some(Value::Object(part)) => part,
            _ => Map::new(),
        };
        let (mut inputs, mut outputs) = (part("inputs"), part("outputs"));
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
        Ok((inputs, outputs))
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
