//! A service on a temporary state directory, whose clock moves one second per look.

use std::{cell::Cell, path::PathBuf};

use serde_json::{Map, Value};

use crate::{Caller, Perform, Service};
use api::{
    Result, Time,
    jobs::CreateJob,
    metrics::{LogBatch, MetricPoint, Value as MetricValue},
    paths::{Files, ResolvePath},
    runs::{Job, Run, SubmitRun},
    work::{Assignment, Outcome, Progress, ReportRun, SyncWorker, WorkerOrders},
    workspaces::{CreateWorkspace, Edition, ExistingResources},
};
use store::Store;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1_700_000_000_000) };
}

fn now() -> Time {
    NOW.with(|now| {
        now.set(now.get() + 1000);
        Time(now.get())
    })
}

/// Lets time pass.
pub fn wait_seconds(seconds: i64) {
    NOW.with(|now| now.set(now.get() + seconds * 1000));
}

/// The members of an object.
pub fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

/// What creates a job of the workspace `ws`.
pub fn create_job(name: &str, definition: Map<String, Value>) -> CreateJob {
    CreateJob {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        experiment: "exp".to_owned(),
        definition,
        git: None,
        search_path: None,
    }
}

/// A service with the workspace `ws`; its directory goes when it is dropped.
pub struct Bench {
    pub service: Service,
    pub home: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Bench {
    /// Where an output of a job is in its datastore.
    pub async fn output(&self, job: &str, name: &str) -> String {
        let resolve = ResolvePath {
            workspace: "ws".to_owned(),
            path: format!("azureml://jobs/{job}/outputs/{name}"),
            model: false,
        };
        match self.ask(resolve).await.unwrap().files {
            Files::Datastore { path, .. } => path,
            other => panic!("{other:?}"),
        }
    }

    pub async fn new() -> Self {
        let home = std::env::temp_dir().join(format!("aml-test-{}", uuid::Uuid::new_v4().simple()));
        let store = Store::open(home.clone()).unwrap();
        let service = Service::new(store, now, String::new(), None).unwrap();
        let bench = Self { service, home };
        bench.workspace("ws").await;
        bench
    }

    /// The same state directory as a server finds it that is started now.
    pub fn reopened(&self) -> Self {
        let store = Store::open(self.home.clone()).unwrap();
        Self {
            service: Service::new(store, now, String::new(), None).unwrap(),
            home: self.home.clone(),
        }
    }

    pub async fn workspace(&self, name: &str) {
        self.ask(CreateWorkspace {
            name: name.to_owned(),
            edition: Edition::Basic,
            description: String::new(),
            display_name: None,
            location: None,
            resource_group: None,
            subscription: None,
            tags: [].into(),
            existing: ExistingResources::default(),
            spec: serde_json::Map::new(),
        })
        .await
        .unwrap();
    }

    /// Performs an operation as the owner.
    pub async fn ask<O: Perform>(&self, operation: O) -> Result<O::Output> {
        operation.perform(&self.service, &Caller::Owner).await
    }

    /// Queues `echo NAME` in the experiment `exp`.
    pub async fn submit(&self, name: &str) -> Run {
        self.ask(submission(name)).await.unwrap()
    }

    /// Logs one value of a metric.
    pub async fn metric(&self, run: &str, key: &str, value: f64) {
        self.ask(LogBatch {
            metrics: vec![point(key, value, 0, 0)],
            ..batch(run)
        })
        .await
        .unwrap();
    }

    /// Makes changes of runs fail, as on a full disk.
    pub fn refuse_changes_of_runs(&self) {
        self.sql(
            "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'full'); END",
        );
    }

    pub fn take_changes_of_runs(&self) {
        self.sql("DROP TRIGGER full");
    }

    fn sql(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.home.join("aml.db")).unwrap();
        database.execute_batch(sql).unwrap();
    }

    pub async fn sync(&self, worker: &str, capacity: u32, holding: &[&str]) -> WorkerOrders {
        self.ask(SyncWorker {
            worker: worker.to_owned(),
            capacity,
            holding: holding.iter().map(|&name| name.to_owned()).collect(),
            cancelling: None,
            wait_ms: 0,
        })
        .await
        .unwrap()
    }

    pub async fn report(&self, worker: &str, run: &str, progress: Progress) -> Result<()> {
        let report = ReportRun {
            before: None,
            workspace: "ws".to_owned(),
            run: run.to_owned(),
            worker: worker.to_owned(),
            progress,
            slots: None,
        };
        self.ask(report).await.map(|_| ())
    }

    /// Submits a run and lets a worker complete it.
    pub async fn complete(&self, name: &str) {
        self.submit(name).await;
        self.sync("w", 1, &[]).await;
        self.report("w", name, ended(Outcome::Completed))
            .await
            .unwrap();
    }

    pub async fn run(&self, name: &str) -> Run {
        self.ask(api::runs::GetRun {
            workspace: "ws".to_owned(),
            run: name.to_owned(),
        })
        .await
        .unwrap()
    }
}

pub fn submission(name: &str) -> SubmitRun {
    SubmitRun {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        experiment: "exp".to_owned(),
        display_name: None,
        tags: [].into(),
        job: Job {
            command: vec!["echo".to_owned(), name.to_owned()],
            ..Job::default()
        },
    }
}

pub fn batch(run: &str) -> LogBatch {
    LogBatch {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
        ..LogBatch::default()
    }
}

pub fn point(key: &str, value: f64, step: i64, timestamp: i64) -> MetricPoint {
    MetricPoint {
        key: key.to_owned(),
        value: MetricValue(value),
        step,
        timestamp: Some(timestamp),
    }
}

pub fn ended(outcome: Outcome) -> Progress {
    Progress::Ended {
        outcome,
        exit_code: Some(0),
        reason: None,
        usage: None,
        artifacts: Vec::new(),
        uses: Vec::new(),
        made: Vec::new(),
    }
}

pub fn running(handle: &str) -> Progress {
    Progress::Running {
        handle: handle.to_owned(),
        node: "here".to_owned(),
        ago_ms: 0,
        messages: Vec::new(),
        uses: Vec::new(),
    }
}

pub fn names(assignments: &[Assignment]) -> Vec<&str> {
    assignments.iter().map(|a| a.run.as_str()).collect()
}
