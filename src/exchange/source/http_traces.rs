//! The traces of a running server.

use std::sync::PoisonError;

use axum::http::Method;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{
    RUNS, answers,
    http::{API, CALLS, Http, PAGES},
    trace_answers,
};
use crate::record::{Experiment, Trace};
use api::{Code, Page, Result, span_files, traces::Span};
use client::{below, collect};

const API_3: &str = "/api/3.0/mlflow";
/// Traces asked for at once.
const TRACES: usize = 200;
/// Begins the page tokens of a server that speaks version 2 only.
const OLD: &str = "2:";

impl Http {
    /// Servers before 2.14 have none.
    pub async fn traces(
        &self,
        experiment: &Experiment,
        page: Option<String>,
    ) -> Result<Page<Trace>> {
        let token = page.unwrap_or_default();
        if let Some(token) = token.strip_prefix(OLD) {
            return self.traces_of_2(experiment, token).await;
        }
        let body = json!({
            "locations": [{
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment.id},
            }],
            "max_results": TRACES,
            "page_token": token,
        });
        let search = below(API_3, &["traces", "search"], &[]);
        let answer = match self.ask(&Method::POST, &search, Some(&body)).await {
            Err(error) if answers::is_no_call(&error) => {
                return self.traces_of_2(experiment, "").await;
            }
            answer => answer?,
        };
        let mut page = Page {
            items: answers::list(&answer, "traces")
                .iter()
                .map(trace_answers::trace)
                .collect(),
            next: answers::next(&answer),
        };
        if token.is_empty() && !page.items.is_empty() {
            self.find_links(experiment).await?;
        }
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        for trace in &mut page.items {
            trace.record.runs = links.get(&trace.record.origin).cloned().unwrap_or_default();
        }
        drop(links);
        Ok(page)
    }

    async fn traces_of_2(&self, experiment: &Experiment, token: &str) -> Result<Page<Trace>> {
        let mut query = vec![
            ("experiment_ids", experiment.id.as_str()),
            ("max_results", "100"),
        ];
        if !token.is_empty() {
            query.push(("page_token", token));
        }
        let answer = match self.get(API, &["traces"], &query).await {
            Err(error) if answers::is_no_call(&error) => {
                return Ok(Page {
                    items: Vec::new(),
                    next: None,
                });
            }
            answer => answer?,
        };
        Ok(Page {
            items: answers::list(&answer, "traces")
                .iter()
                .map(trace_answers::trace)
                .collect(),
            next: answers::next(&answer).map(|token| format!("{OLD}{token}")),
        })
    }

    /// Asks which traces belong to the runs of an experiment: no trace tells.
    async fn find_links(&self, experiment: &Experiment) -> Result<()> {
        let mut page = None;
        loop {
            let found = self.runs(experiment, page).await?;
            let runs = found.items.iter().map(|run| run.id.as_str());
            let linked = stream::iter(runs).map(|run| self.traces_linked_to(experiment, run));
            let linked: Vec<(String, Vec<String>)> = linked.buffered(CALLS).try_collect().await?;
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            for (run, traces) in linked {
                for trace in traces {
                    links.entry(trace).or_default().push(run.clone());
                }
            }
            drop(links);
            page = found.next;
            if page.is_none() {
                return Ok(());
            }
        }
    }

    async fn traces_linked_to(
        &self,
        experiment: &Experiment,
        run: &str,
    ) -> Result<(String, Vec<String>)> {
        let mut traces = Vec::new();
        let mut body = json!({
            "locations": [{
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment.id},
            }],
            "filter": format!("attributes.run_id = '{run}'"),
            "max_results": RUNS,
        });
        let search = below(API_3, &["traces", "search"], &[]);
        loop {
            let answer = match self.ask(&Method::POST, &search, Some(&body)).await {
                // Not all servers can be asked so.
                Err(error) if error.code == Code::Invalid => return Ok((run.to_owned(), traces)),
                answer => answer?,
            };
            let found = answers::list(&answer, "traces").iter();
            // Those that the run made say so themselves.
            let others = found.filter(|trace| trace["trace_metadata"]["mlflow.sourceRun"] != *run);
            traces.extend(others.map(|trace| answers::text(&trace["trace_id"])));
            match answers::next(&answer) {
                Some(token) => body["page_token"] = token.into(),
                None => return Ok((run.to_owned(), traces)),
            }
        }
    }

    /// From the file in which MLflow keeps them, which servers make of what they have.
    pub async fn spans(&self, trace: &Trace) -> Result<Option<Vec<Span>>> {
        let id = &trace.record.origin;
        let address = below(PAGES, &["get-trace-artifact"], &[("request_id", id)]);
        let answer = match self.send(&Method::GET, &address, None).await {
            Ok(body) => collect(body).await?,
            // A trace that did not end has none.
            Err(error) if error.code == Code::NotFound => return Ok(Some(Vec::new())),
            Err(error) if error.code == Code::Invalid => return Ok(None),
            Err(error) => return Err(error),
        };
        span_files::read_file(&String::from_utf8_lossy(&answer), id).map(Some)
    }
}
