//! `aml component test`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{context::Context, job, validate::kind_named};
use api::{Error, Result, paths::is_local};
use spec::load;

/// Run a component alone, with inputs given here
///
/// What it prints is followed to its end; the exit code tells how it ended. Its run is the only step of
/// a pipeline, so nothing runs when neither the component nor its inputs have changed: --again runs it
/// all the same.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// YAML file of the component
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Value, path or address of an input, as NAME=VALUE; several can follow
    #[arg(long, value_name = "NAME=VALUE", num_args = 1..)]
    input: Vec<String>,
    /// Compute it runs on
    #[arg(long, value_name = "NAME", default_value = "serverless")]
    compute: String,
    /// Name of the job [default: one is made]
    #[arg(id = "new_name", short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,
    /// Run it although nothing has changed
    #[arg(long)]
    again: bool,
}

pub async fn test(ctx: &Context, args: TestArgs) -> anyhow::Result<()> {
    let file = args.file.display().to_string();
    let document = load::open(&ctx.folder.join(&args.file), &file)?;
    let (_, component, report) = document.check_any(&[kind_named("component")?]);
    let Some(Value::Object(component)) = component else {
        return Err(report.into_error().into());
    };
    ctx.ui.excerpts(&report);
    let step = step_name(&component);
    let mut inputs = Map::new();
    for given in &args.input {
        let (name, value) = given.split_once('=').ok_or_else(|| {
            Error::invalid(format!("`{given}` is not NAME=VALUE"))
                .at("--input")
                .hint("Name the input: --input rate=0.1")
        })?;
        inputs.insert(name.to_owned(), input(ctx, &component, name, value)?);
    }
    all_given(&component, &inputs)?;
    let definition = json!({
        "type": "pipeline",
        "display_name": format!("test of {step}"),
        "settings": {"default_compute": args.compute, "force_rerun": args.again},
        "jobs": {&step: {
            "type": component.get("type").cloned().unwrap_or_else(|| json!("command")),
            "component": component,
            "inputs": inputs,
        }},
    });
    let Value::Object(definition) = definition else {
        return Err(Error::internal("A job is a mapping").into());
    };
    let place = |mut error: Error| {
        let prefix = format!("jobs.{step}.inputs.");
        let target = error.target.as_deref();
        let input = target.and_then(|at| at.strip_prefix(&prefix));
        error.target = input
            .map(|input| format!("--input {input}"))
            .or(error.target);
        error
    };
    let made = job::create::started(ctx, args.name, definition).await;
    let run = made.map_err(|mut error| {
        error.others = error.others.into_iter().map(place).collect();
        place(error)
    })?;
    job::stream::to_the_end(ctx, &run).await?;
    ctx.ui.hint(&format!(
        "Get its outputs: aml job download -n {}-{step} --all",
        run.name
    ));
    Ok(())
}

/// Says which inputs are missing, all at once.
fn all_given(component: &Map<String, Value>, given: &Map<String, Value>) -> Result<()> {
    let ports = component.get("inputs").and_then(Value::as_object);
    let missing = ports.into_iter().flatten().filter(|(name, port)| {
        let optional = port.get("optional") == Some(&Value::Bool(true));
        let has_default = port
            .get("default")
            .is_some_and(|default| !default.is_null());
        !optional && !has_default && !given.contains_key(*name)
    });
    let errors = missing.map(|(name, port)| {
        let kind = port.get("type").and_then(Value::as_str).unwrap_or("string");
        let error = format!("The input `{name}` is not given; it is of type `{kind}`");
        Error::invalid(error)
            .at("--input")
            .hint(format!("Give it: --input {name}=…"))
    });
    let mut errors: Vec<Error> = errors.collect();
    if errors.is_empty() {
        return Ok(());
    }
    let mut first = errors.remove(0);
    first.others = errors;
    Err(first)
}

/// The name of the only step: the component's as far as steps may have it.
fn step_name(component: &Map<String, Value>) -> String {
    let name = component.get("name").and_then(Value::as_str);
    let name = name.unwrap_or("component").to_ascii_lowercase();
    let good = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(good).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("_{name}");
    }
    name
}

/// An input as its component takes it: files of this machine from the current folder.
fn input(ctx: &Context, component: &Map<String, Value>, name: &str, value: &str) -> Result<Value> {
    let ports = component.get("inputs").and_then(Value::as_object);
    let port = ports.and_then(|ports| ports.get(name));
    let Some(port) = port else {
        let names = ports.into_iter().flat_map(Map::keys).map(String::as_str);
        let nearest = api::names::nearest(name, names);
        return Err(Error::unknown("input", name, " of the component", nearest).at("--input"));
    };
    let kind = port.get("type").and_then(Value::as_str).unwrap_or("string");
    if matches!(kind, "string" | "number" | "integer" | "boolean") {
        return Ok(Value::from(value));
    }
    let path = if is_local(value) {
        let path = ctx.folder.join(value);
        if !path.exists() {
            let error = format!("There is no file or folder `{value}`");
            return Err(Error::not_found(error).at(format!("--input {name}")));
        }
        absolute(&path)
    } else {
        value.to_owned()
    };
    Ok(json!({"type": kind, "path": path}))
}

fn absolute(path: &Path) -> String {
    let real = std::fs::canonicalize(path);
    let real = real.unwrap_or_else(|_| path.to_owned());
    real.to_string_lossy().into_owned()
}
