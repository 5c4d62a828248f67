//! Schedules: of jobs, of data imports and of monitors.

use std::path::Path;

use croner::{
    Cron as Crontab,
    parser::{CronParser, Seconds, Year},
};
use serde_json::Value;

use crate::{
    any::AnyJob,
    assets::DataImport,
    compute::{CronType, Frequency, RecurrenceType, WeekDay},
    declare::{record, text, union},
    described::{Map, OneOrMore, Scalar, Within},
    environment::EnvironmentSource,
    io::{JobInput, JobOutput},
    job::{CommandType, Distribution, JobBase, Limits, QueueSettings, Resources},
    monitor::MonitorDefinition,
    pipeline::{PipelineSettings, PipelineType},
    reference::{DateTime, JobName},
    shape::{Described, Fault, Mismatch, Shape, Union},
    step::SparkType,
    time_zone::TimeZone,
};

record! {
    /// What every schedule may say.
    ScheduleBase = "schedule" (read_only: &["creation_context", "is_enabled", "provisioning_state", "resourceGroup"]) {
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
        expression: CronExpression,
        start_time: Option<DateTime>,
        end_time: Option<DateTime>,
        /// A name such as `Pacific Standard Time`.
        time_zone: TimeZone = "UTC",
    }

    /// Every so often.
    Recurrence = "recurrence" {
        r#type: RecurrenceType,
        frequency: Frequency,
        interval: Within<1, 100_000>,
        schedule: Option<Times>,
        start_time: Option<DateTime>,
        end_time: Option<DateTime>,
        /// A name such as `Pacific Standard Time`.
        time_zone: TimeZone = "UTC",
    }

    Times = "times" {
        hours: OneOrMore<Within<0, 23>>,
        minutes: OneOrMore<Within<0, 59>>,
        week_days: Option<OneOrMoreDays>,
        month_days: Option<OneOrMore<Within<1, 31>>>,
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

    OneOrMoreDays = "a day of the week or a list of them" {
        One(WeekDay),
        More(Vec<WeekDay>),
    }

    CreateJob = "a job (`azureml:JOB`, a file, or a mapping with a `job`)" {
        Source(WholeJob),
        Pipeline(Box<CreatePipelineJob>),
        Command(Box<CreateCommandJob>),
        Spark(Box<CreateSparkJob>),
    }
}

text! {
    /// Minute, hour, day of the month, month and day of the week, as in a crontab.
    CronExpression = "a cron expression", cron_expression;
}

fn cron_expression(text: &str, _: &Path) -> Result<String, Fault> {
    crontab(text).map(|_| text.to_owned())
}

/// What a cron expression means.
pub fn crontab(expression: &str) -> Result<Crontab, Fault> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let wrong = |problem: String| {
        Fault::new(format!("`{expression}` is no cron expression: {problem}")).hint(
            "It has five parts: minute (0-59), hour (0-23), day of the month (1-31), month (1-12) and \
             day of the week (0-7), such as `30 8 * * 1-5` for 8:30 on weekdays",
        )
    };
    let parts = expression.split_whitespace().count();
    if parts != 5 && !expression.trim().starts_with('@') {
        return Err(wrong(format!("it has {parts} parts")));
    }
    let read = |text: &str| parser.parse(text);
    read(expression.trim()).map_err(|error| {
        // The part that is wrong also where the others are any.
        let all = expression.split_whitespace().zip(CRON_PARTS).enumerate();
        let mut alone = all.filter(|(at, (part, _))| {
            let mut parts = ["*"; CRON_PARTS.len()];
            parts[*at] = part;
            read(&parts.join(" ")).is_err()
        });
        wrong(match alone.next() {
            Some((_, (part, what))) => format!("`{part}` is no {what}"),
            None => error.to_string(),
        })
    })
}

const CRON_PARTS: [&str; 5] = [
    "minute",
    "hour",
    "day of the month",
    "month",
    "day of the week",
];

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

/// A job by name, what its file holds, or all of it in place, as `show` prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeJob(pub JobSource);

impl Described for WholeJob {
    const SHAPE: Shape = Shape::Union(&Union {
        what: "a job (`azureml:JOB`, or a file)",
        members: &[JobSource::SHAPE, AnyJob::SHAPE],
        ..Union::PLAIN
    });

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        JobSource::read(value).map(Self)
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
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
