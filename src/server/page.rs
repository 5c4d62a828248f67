//! The page of a job, for the link that is printed when one is created. It only shows: there are no
//! forms and no scripts.

use std::fmt::Write as _;

use axum::{
    Extension,
    extract::{Path, State},
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY},
    response::{Html, IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Failure;
use api::{
    pipelines::{ListSteps, PipelineStep},
    runs::{GetRun, Run},
};
use service::{Caller, Perform, Service};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;\
color:#1b1f24;background:#fff}\
table{border-collapse:collapse;margin:.5em 0 1.5em}\
th,td{text-align:left;vertical-align:top;padding:.2em 1.5em .2em 0;border-bottom:1px solid #e3e6ea;\
overflow-wrap:anywhere}\
th{font-weight:600;white-space:nowrap}\
@media(prefers-color-scheme:dark){body{color:#e3e6ea;background:#16181b}a{color:#8ab4ff}\
th,td{border-color:#33383e}}";

/// Whether this is the address of a page.
pub fn owns(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["", "ws", _, "jobs", _])
}

/// Where a job stands, what it was given and what it logged. A job that goes on is shown anew every
/// five seconds.
pub async fn job(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((workspace, name)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let get = GetRun {
        workspace: workspace.clone(),
        run: name,
    };
    let run = get.perform(&service, &caller).await?;
    let list = ListSteps {
        workspace: workspace.clone(),
        run: run.name.clone(),
    };
    let steps = list.perform(&service, &caller).await?;
    let headers = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (REFERRER_POLICY, "same-origin"),
    ];
    Ok((headers, Html(page(&workspace, &run, &steps))).into_response())
}

fn page(workspace: &str, run: &Run, steps: &[PipelineStep]) -> String {
    let again = if run.status.ended() {
        ""
    } else {
        "<meta http-equiv=\"refresh\" content=\"5\">"
    };
    let title = escaped(&run.display_name);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">{again}\
         <title>{title}: {status}</title><style>{STYLE}</style><h1>{title}</h1>",
        status = run.status
    );
    page += &table("", about(run).into_iter());
    let log = format!(
        "/api/v1/runs/{}/log?workspace={}",
        encoded(&run.name),
        encoded(workspace)
    );
    let _ = write!(page, "<p><a href=\"{log}\">Log</a></p>");
    page += &rows_of_steps(workspace, steps);
    page += &table("Parameters", run.params.iter().map(told));
    let metrics = run.metrics.iter();
    let metrics = metrics.map(|(key, of)| (escaped(key), escaped(&of.last.to_string())));
    page += &table("Metrics, last values", metrics);
    page += &table("Tags", run.tags.iter().map(told));
    let history = run.history.iter();
    let history = history.map(|change| (change.status.to_string(), change.at.to_string()));
    page += &table("History", history);
    page
}

fn told((key, value): (&String, &String)) -> (String, String) {
    (escaped(key), escaped(value))
}

fn about(run: &Run) -> Vec<(String, String)> {
    let time = |time: Option<api::Time>| time.map(|time| time.to_string());
    let seconds = run
        .duration_ms()
        .map(|ms| format!("{}.{:03} s", ms / 1000, ms % 1000));
    let command = run.job.as_ref().map(|job| job.command.join(" "));
    let lines = [
        ("Name", Some(run.name.clone())),
        ("Status", Some(run.status.to_string())),
        ("Reason", run.reason.clone()),
        ("Exit code", run.exit_code.map(|code| code.to_string())),
        ("Experiment", Some(run.experiment.clone())),
        ("User", Some(run.user.clone())),
        ("Parent", run.parent.clone()),
        ("Command", command.filter(|command| !command.is_empty())),
        ("Created", Some(run.created_at.to_string())),
        ("Started", time(run.started_at)),
        ("Ended", time(run.ended_at)),
        ("Duration", seconds),
        ("Machine", run.node.clone()),
    ];
    let lines = lines.into_iter();
    lines
        .filter_map(|(key, value)| Some((key.to_owned(), escaped(&value?))))
        .collect()
}

/// The steps with those inside them, each with a link to its own page once it has one.
fn rows_of_steps(workspace: &str, steps: &[PipelineStep]) -> String {
    fn add(
        workspace: &str,
        within: &str,
        steps: &[PipelineStep],
        rows: &mut Vec<(String, String)>,
    ) {
        for step in steps {
            let name = format!("{within}{}", step.name);
            let run = step.run.as_ref().or(step.reuses.as_ref());
            let shown = match run {
                Some(run) => format!(
                    "<a href=\"/ws/{}/jobs/{}\">{}</a>",
                    encoded(workspace),
                    encoded(run),
                    escaped(&name)
                ),
                None => escaped(&name),
            };
            let state = match (step.skipped, &step.reuses, step.status) {
                (true, ..) => "Skipped".to_owned(),
                (_, Some(_), _) => "Reused".to_owned(),
                (.., Some(status)) => status.to_string(),
                _ => "Waits".to_owned(),
            };
            rows.push((shown, state));
            add(workspace, &format!("{name}."), &step.steps, rows);
        }
    }
    let mut rows = Vec::new();
    add(workspace, "", steps, &mut rows);
    table("Steps", rows.into_iter())
}

/// Rows of HTML; nothing without rows.
fn table(head: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let mut table = String::new();
    for (key, value) in rows {
        let _ = write!(table, "<tr><th>{key}</th><td>{value}</td></tr>");
    }
    match (table.is_empty(), head) {
        (true, _) => table,
        (_, "") => format!("<table>{table}</table>"),
        _ => format!("<h2>{head}</h2><table>{table}</table>"),
    }
}

/// Text as it is in a text or an attribute of HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A name as a part of an address.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
