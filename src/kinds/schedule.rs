//! Schedules: of jobs, of data imports and of monitors.

use serde_json::Value;

use crate::{
    any::AnyJob,
    assets::DataImport,
    compute::{CronType, Frequency, RecurrenceType, WeekDay},
    declare::{record, union},
    described::{Map, Scalar},
    environment::EnvironmentSource,
    io::{JobInput, JobOutput},
    job::{CommandType, Distribution, JobBase, Limits, QueueSettings, Resources},
    monitor::MonitorDefinition,
    pipeline::{PipelineSettings, PipelineType},
    reference::{DateTime, JobName},
    shape::{Described, Mismatch, Shape, Union},
    step::SparkType,
};

record! {
    /// What every schedule may say.
    ScheduleBase = "schedule" (read_only: &["creation_context", "is_enabled", "provisioning_state"]) {
        name: String,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
        id: Option<String>,
        /// When it is done.
        trigger: Option<Trigger>,
    }

    /// Submits a job again and again.
    JobSchedule = "schedule" {
        ..base: ScheduleBase,
        /// `azureml:JOB`, a file, or a mapping that changes one of these.
        create_job: CreateJob,
    }

    /// Imports data again and again.
    ImportSchedule = "schedule" {
        ..base: ScheduleBase,
        import_data: ImportData,
    }

    /// Looks at the data of a deployment again and again.
    MonitorSchedule = "schedule" {
        ..base: ScheduleBase,
        create_monitor: MonitorDefinition,
    }

    /// At times of a crontab.
    Cron = "cron trigger" {
        r#type: CronType,
        /// Such as `15 10 * * 1`.
        expression: String,
        start_time: Option<DateTime>,
        end_time: Option<DateTime>,
        /// A name such as `Pacific Standard Time`.
        time_zone: String = "UTC",
    }

    /// Every so often.
    Recurrence = "recurrence" {
        r#type: RecurrenceType,
        frequency: Frequency,
        interval: i64,
        schedule: Option<Times>,
        start_time: Option<DateTime>,
        end_time: Option<DateTime>,
        /// A name such as `Pacific Standard Time`.
        time_zone: String = "UTC",
    }

    Times = "times" {
        hours: OneOrMoreNumbers,
        minutes: OneOrMoreNumbers,
        week_days: Option<OneOrMoreDays>,
        month_days: Option<OneOrMoreNumbers>,
    }

    /// A pipeline job with changes.
    CreatePipelineJob = "pipeline job of a schedule" {
        ..base: JobBase,
        r#type: PipelineType = "pipeline",
        /// `azureml:JOB`, or a file.
        job: JobSource,
        settings: Option<PipelineSettings>,
        inputs: Map<JobInput>,
        outputs: Map<Option<JobOutput>>,
    }

    /// A command job with changes.
    CreateCommandJob = "command job of a schedule" {
        ..base: JobBase,
        r#type: CommandType = "command",
        /// `azureml:JOB`, or a file.
        job: JobSource,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        resources: Option<Resources>,
        distribution: Option<Distribution>,
        queue_settings: Option<QueueSettings>,
        limits: Option<Limits>,
        inputs: Map<JobInput>,
        outputs: Map<Option<JobOutput>>,
        parent_job_name: Option<String>,
    }

    /// A Spark job with changes.
    CreateSparkJob = "Spark job of a schedule" {
        ..base: JobBase,
        r#type: SparkType = "spark",
        /// `azureml:JOB`, or a file.
        job: JobSource,
        conf: Map<Value>,
        environment: Option<EnvironmentSource>,
    }
}

union! {
    /// A schedule.
    Schedule = "a schedule" {
        Job(Box<JobSchedule>),
        Import(Box<ImportSchedule>),
        Monitor(Box<MonitorSchedule>),
    }

    Trigger = "a trigger (`type: cron` or `type: recurrence`)" {
        Cron(Cron),
        Recurrence(Recurrence),
    }

    OneOrMoreNumbers = "an integer or a list of integers" {
        One(i64),
        More(Vec<i64>),
    }

    OneOrMoreDays = "a day of the week or a list of them" {
        One(WeekDay),
        More(Vec<WeekDay>),
    }

    CreateJob = "a job (`azureml:JOB`, a file, or a mapping with a `job`)" {
        Source(JobSource),
        Pipeline(Box<CreatePipelineJob>),
        Command(Box<CreateCommandJob>),
        Spark(Box<CreateSparkJob>),
    }
}

/// A job by name, or what its file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum JobSource {
    Name(JobName),
    Job(Box<AnyJob>),
}

impl Described for JobSource {
    const SHAPE: Shape = Shape::Union(&Union {
        what: "a job (`azureml:JOB`, or a file)",
        members: &[JobName::SHAPE, Shape::Include(&AnyJob::SHAPE)],
        ..Union::PLAIN
    });

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            Some(Value::String(_)) => JobName::read(value).map(Self::Name),
            // A mapping with a `job` is one that changes another.
            Some(Value::Object(members)) if !members.contains_key("job") => {
                AnyJob::read(value).map(|job| Self::Job(Box::new(job)))
            }
            _ => Err(Mismatch::wanted("a job", value)),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Name(name) => name.write(),
            Self::Job(job) => job.write(),
        }
    }
}

/// Data to import: written in place or in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportData(pub Box<DataImport>);

impl Described for ImportData {
    const SHAPE: Shape = Shape::Union(&Union {
        what: "a data import (a mapping, or a file)",
        members: &[DataImport::SHAPE, Shape::Include(&DataImport::SHAPE)],
        ..Union::PLAIN
    });

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        DataImport::read(value).map(|import| Self(Box::new(import)))
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}
