//! `aml validate`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    context::Context,
    error::Exit,
    views::{Show, View, list},
};
use api::{Error, Result, names};
use spec::{
    list::{self, Kind},
    load,
    overrides::{Edit, Values},
};

/// Check Azure ML YAML files before they are used
///
/// Every problem of every file is shown with its line. The kind of a file follows from its `$schema`,
/// its `type` and its keys. A `name`, `endpoint_name` or `compute` that a flag would give is only noted.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files to check
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are, as in `az ml KIND create`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Values to change first, as for `create`: inputs.rate=0.1
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Answer what is read as well: with defaults, absolute paths and included files
    #[arg(long)]
    show: bool,
}

#[derive(Serialize)]
struct Verdict {
    file: String,
    kind: Option<&'static str>,
    errors: usize,
    notes: usize,
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

#[derive(Serialize)]
struct Problem {
    place: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    severity: &'static str,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Verdicts(Vec<Verdict>);

impl Show for Verdicts {
    fn view(&self) -> View {
        let rows = self.0.iter().map(|verdict| {
            let result = match (verdict.errors, verdict.notes) {
                (0, 0) => "ok".to_owned(),
                (0, 1) => "ok, with a note".to_owned(),
                (0, notes) => format!("ok, with {notes} notes"),
                (1, _) => "1 error".to_owned(),
                (errors, _) => format!("{errors} errors"),
            };
            [
                verdict.file.clone(),
                verdict.kind.unwrap_or("unknown").to_owned(),
                result,
            ]
        });
        list(["FILE", "KIND", "RESULT"], rows)
    }
}

pub fn validate(ctx: &Context, args: &ValidateArgs) -> anyhow::Result<()> {
    let kind = args.kind.as_deref().map(kind_named).transpose()?;
    let edits: Vec<Edit> = args
        .set
        .iter()
        .map(|set| Edit::set(set))
        .collect::<Result<_>>()?;
    let mut verdicts = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let mut document = load::open(&ctx.folder.join(file), &name)?;
        document.edit(&edits, Values::Strings)?;
        let kinds = match kind {
            Some(kind) => vec![kind],
            None => list::candidates(&document.root),
        };
        let (kind, value, mut report) = document.check_any(&kinds);
        if kind.is_some_and(|kind| kind.name == "job") {
            document.note_what_is_left(value.as_ref(), &mut report);
        }
        if let Some(Value::Object(fields)) = &value
            && kind.is_some_and(|kind| kind.name == "mltable")
        {
            report.issues.extend(table::issues(&document, fields));
        }
        ctx.ui.excerpts(&report);
        let errors = report.errors().count();
        let problems = report.issues.iter().map(|issue| Problem {
            place: report.sources.place(issue.span),
            message: issue.message.clone(),
            hint: issue.hint.clone(),
            severity: if issue.is_error() { "error" } else { "note" },
        });
        verdicts.push(Verdict {
            file: name,
            kind: kind.map(|kind| kind.name),
            errors,
            notes: report.issues.len() - errors,
            problems: problems.collect(),
            value: value.filter(|_| args.show),
        });
    }
    let wrong = verdicts.iter().any(|verdict| verdict.errors > 0);
    ctx.ui.show(&Verdicts(verdicts))?;
    if wrong { Err(Exit(1).into()) } else { Ok(()) }
}

/// The kind of that name, or which there are.
pub fn kind_named(name: &str) -> Result<&'static Kind> {
    list::named(name).ok_or_else(|| {
        let known = || list::KINDS.iter().map(|kind| kind.name);
        let nearest = names::nearest(name, known());
        Error::unknown("kind", name, "", nearest).or_hint(format!(
            "The kinds are {}",
            known().collect::<Vec<_>>().join(", ")
        ))
    })
}
