//! `aml schedule`

pub mod create;
mod delete;
mod list;
mod run_due;
mod show;
mod switch;
mod trigger;
pub mod update;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::{
    context::Context,
    views::{Show, View, list as columns, pairs, record, time},
};
use api::schedules::{DueSchedules, Firing, Schedule};

/// Create jobs again and again
///
/// A server creates them when they are due; without one, `aml schedule run-due` does, called by a timer.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Enable(switch::EnableArgs),
    Disable(switch::DisableArgs),
    Trigger(trigger::TriggerArgs),
    Delete(delete::DeleteArgs),
    RunDue(run_due::RunDueArgs),
}

pub async fn run(ctx: &Context, command: ScheduleCommand) -> anyhow::Result<()> {
    match command {
        ScheduleCommand::Create(args) => create::create(ctx, args).await,
        ScheduleCommand::List(args) => list::list(ctx, args).await,
        ScheduleCommand::Show(args) => show::show(ctx, args).await,
        ScheduleCommand::Update(args) => update::update(ctx, args).await,
        ScheduleCommand::Enable(args) => switch::enable(ctx, args).await,
        ScheduleCommand::Disable(args) => switch::disable(ctx, args).await,
        ScheduleCommand::Trigger(args) => trigger::trigger(ctx, args).await,
        ScheduleCommand::Delete(args) => delete::delete(ctx, args).await,
        ScheduleCommand::RunDue(args) => run_due::run_due(ctx, args).await,
    }
}

/// A trigger in a few words.
fn when(trigger: &Map<String, Value>) -> String {
    let text = |key: &str| match trigger.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let zone = match text("time_zone").as_str() {
        "" | "UTC" => String::new(),
        zone => format!(", {zone}"),
    };
    match text("expression").as_str() {
        "" => format!("every {} {}{zone}", text("interval"), text("frequency")),
        expression => format!("{expression}{zone}"),
    }
}

fn fired(firing: &Firing) -> String {
    let outcome = match (&firing.error, firing.done_at) {
        (Some(error), _) => format!("no job: {error}"),
        (None, None) => format!("{} is being created", firing.job),
        (None, Some(_)) => firing.job.clone(),
    };
    format!("{}  {outcome}", time(firing.due_at))
}

impl Show for Schedule {
    fn view(&self) -> View {
        let yaml = |value: &Map<String, Value>| {
            let text = serde_saphyr::to_string(value).unwrap_or_default();
            text.trim_end().to_owned()
        };
        let lines = |lines: Vec<String>| lines.join("\n");
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        record([
            ("Name", self.name.clone()),
            ("Display name", text(&self.display_name)),
            ("Description", text(&self.description)),
            (
                "Enabled",
                if self.enabled { "yes" } else { "no" }.to_owned(),
            ),
            ("Trigger", yaml(&self.trigger)),
            (
                "Next",
                lines(self.next.iter().map(|next| time(*next)).collect()),
            ),
            ("Last", lines(self.firings.iter().map(fired).collect())),
            ("Job", yaml(&self.create_job)),
            ("Tags", pairs(&self.tags)),
            (
                "Created",
                format!("{} by {}", time(self.created_at), self.created_by),
            ),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Schedule> {
    fn view(&self) -> View {
        columns(
            ["name", "enabled", "trigger", "next"],
            self.iter().map(|schedule| {
                let next = schedule.next.first();
                [
                    schedule.name.clone(),
                    if schedule.enabled { "yes" } else { "no" }.to_owned(),
                    when(&schedule.trigger),
                    next.map(|next| time(*next)).unwrap_or_default(),
                ]
            }),
        )
    }
}

impl Show for Firing {
    fn view(&self) -> View {
        record([("Job", self.job.clone()), ("Due", time(self.due_at))])
    }
}

impl Show for DueSchedules {
    fn view(&self) -> View {
        columns(
            ["workspace", "schedule", "due", "job"],
            self.fired.iter().map(|fired| {
                let firing = &fired.firing;
                let error = firing.error.as_ref();
                [
                    fired.workspace.clone(),
                    fired.schedule.clone(),
                    time(firing.due_at),
                    error.map_or(firing.job.clone(), |error| format!("no job: {error}")),
                ]
            }),
        )
    }
}
