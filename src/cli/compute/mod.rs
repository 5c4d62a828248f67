//! `aml compute`

mod create;
mod delete;
mod list;
mod list_sizes;
mod show;
mod switch;

use clap::Subcommand;
use serde_json::Value;

use super::{
    context::Context,
    views::{Show, View, list as columns, pairs, record, time},
};
use api::computes::{Compute, Size};

/// Manage computes: named pools of slots in which jobs run
#[derive(Debug, Subcommand)]
pub enum ComputeCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Start(switch::StartArgs),
    Stop(switch::StopArgs),
    Restart(switch::RestartArgs),
    ListSizes(list_sizes::ListSizesArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: ComputeCommand) -> anyhow::Result<()> {
    match command {
        ComputeCommand::Create(args) => create::create(ctx, args).await,
        ComputeCommand::List(args) => list::list(ctx, args).await,
        ComputeCommand::Show(args) => show::show(ctx, args).await,
        ComputeCommand::Start(args) => switch::start(ctx, args).await,
        ComputeCommand::Stop(args) => switch::stop(ctx, args).await,
        ComputeCommand::Restart(args) => switch::restart(ctx, args).await,
        ComputeCommand::ListSizes(args) => list_sizes::list_sizes(ctx, &args),
        ComputeCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn said(compute: &Compute, key: &str) -> String {
    compute.spec.get(key).map(plain).unwrap_or_default()
}

fn slots(compute: &Compute) -> String {
    compute
        .slots()
        .map(|slots| slots.to_string())
        .unwrap_or_default()
}

impl Show for Compute {
    fn view(&self) -> View {
        let size = self.size.as_ref();
        let each = size.map(|size| format!("{} cores, {} GB", size.cores, size.memory_gb));
        record([
            ("Name", self.name.clone()),
            ("Type", self.kind.clone()),
            ("Size", said(self, "size")),
            ("Each", each.unwrap_or_default()),
            ("Slots", slots(self)),
            (
                "State",
                self.state
                    .map(|state| state.name().to_owned())
                    .unwrap_or_default(),
            ),
            ("Resource", said(self, "resource_id")),
            ("Location", self.location.clone()),
            ("Description", self.description.clone()),
            ("Tags", pairs(&self.tags)),
            (
                "Created",
                format!("{} by {}", time(self.created_at), self.created_by),
            ),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Compute> {
    fn view(&self) -> View {
        columns(
            ["name", "type", "size", "slots", "state", "description"],
            self.iter().map(|compute| {
                [
                    compute.name.clone(),
                    compute.kind.clone(),
                    said(compute, "size"),
                    slots(compute),
                    compute
                        .state
                        .map(|state| state.name().to_owned())
                        .unwrap_or_default(),
                    compute.description.clone(),
                ]
            }),
        )
    }
}

impl Show for Vec<Size> {
    fn view(&self) -> View {
        columns(
            ["name", "cores", "memory (GB)", "GPUs"],
            self.iter().map(|size| {
                [
                    size.name.clone(),
                    size.cores.to_string(),
                    size.memory_gb.to_string(),
                    size.gpus.to_string(),
                ]
            }),
        )
    }
}
