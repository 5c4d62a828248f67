//! Schedules: jobs that are created again and again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

/// Creates a job whenever it is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Unique in the workspace; names do not differ by case.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    /// When it is due, in the words of Azure's YAML.
    pub trigger: Map<String, Value>,
    /// The job in the words of Azure's YAML; `${{name}}` and `${{creation_context.trigger_time}}` in it
    /// are filled in each time.
    pub create_job: Map<String, Value>,
    /// The monitor whose job that is, in the words of Azure's YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_monitor: Option<Map<String, Value>>,
    pub enabled: bool,
    /// The next five times it is due; none while it is disabled or when it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Time>,
    /// What it did last, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firings: Vec<Firing>,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// One time at which a schedule created a job, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// When it was due, or when it was triggered by hand.
    pub due_at: Time,
    /// Name of the job.
    pub job: String,
    /// Why there is no job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Absent while the job is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
}

/// Creates a schedule, or replaces the one of that name. It is enabled; what was due before is not
/// caught up. Jobs are created with the rights of whoever calls this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CreateSchedule {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// When it is due, in the words of Azure's YAML.
    pub trigger: Map<String, Value>,
    /// `azureml:JOB`, a job in the words of Azure's YAML, or a mapping whose `job` is one of these and
    /// whose other keys change it. A job that is named is copied now.
    #[serde(default)]
    pub create_job: Value,
    /// A monitor in the words of Azure's YAML, instead of a job. What its data names on the caller's
    /// machine was uploaded before.
    #[serde(default)]
    pub create_monitor: Option<Map<String, Value>>,
    /// The experiment of jobs that do not name one themselves.
    pub experiment: String,
    /// Where programs are looked for, when it is written on the machine that runs the jobs.
    #[serde(default)]
    pub search_path: Option<String>,
}
operation!(CreateSchedule => Schedule, "schedules.create");

/// The schedules of a workspace by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListSchedules {
    pub workspace: String,
}
operation!(ListSchedules => Vec<Schedule>, "schedules.list");

/// One schedule, with what it did last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetSchedule {
    pub workspace: String,
    pub name: String,
}
operation!(GetSchedule => Schedule, "schedules.get");

/// Changes what is given of a schedule. What was due while it was disabled is not caught up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateSchedule {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub enabled: Option<bool>,
    /// An empty one goes.
    #[serde(default)]
    pub display_name: Option<String>,
    /// An empty one goes.
    #[serde(default)]
    pub description: Option<String>,
    /// All of them.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// All of them.
    #[serde(default)]
    pub properties: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub trigger: Option<Map<String, Value>>,
    /// As `CreateSchedule` takes it. When it is another one, it is created with the rights of whoever
    /// calls this.
    #[serde(default)]
    pub create_job: Option<Value>,
}
operation!(UpdateSchedule => Schedule, "schedules.update");

/// Deletes a schedule; the jobs it created stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteSchedule {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteSchedule => Done, "schedules.delete");

/// Creates the job of a schedule now, also while it is disabled. When it is due stays as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TriggerSchedule {
    pub workspace: String,
    pub name: String,
    /// Name of the job, chosen by the caller, so that a retry is not a second job.
    pub job: String,
}
operation!(TriggerSchedule => Firing, "schedules.trigger");

/// Creates the jobs of all schedules of all workspaces that are due. Who calls it must be an admin.
/// Of several times that were missed the latest is caught up, once, whoever else does the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunDueSchedules {}
operation!(RunDueSchedules => DueSchedules, "schedules.run_due");

/// What was due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DueSchedules {
    pub fired: Vec<Fired>,
    /// When some schedule is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
}

/// A schedule that was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    pub workspace: String,
    pub schedule: String,
    pub firing: Firing,
}
