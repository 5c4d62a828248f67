//! `aml worker`

use std::{collections::BTreeMap, num::NonZeroU32};

use clap::Args;

use super::context::Context;
use crate::{
    config::MLFLOW_CA,
    wiring::{Target, WorkerSettings},
};

/// Execute queued runs on this machine
///
/// With a profile, takes runs of that server; an admin's login is needed. Without one, works for
/// this machine's own state directory in the foreground; a worker in the background is started by
/// itself when there is something to do. Stops on ctrl-C; runs go on and the next worker finds them.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Runs to execute at once [default: the number of cores]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
    /// Detach from the terminal and leave when there is nothing to do
    #[arg(long, hide = true)]
    background: bool,
}

pub async fn worker(ctx: &Context, args: WorkerArgs) -> anyhow::Result<()> {
    let mut settings = settings(ctx, args.slots);
    if let Some(profile) = ctx.profile()
        && let Some(ca) = &ctx.known_profile(profile)?.ca_file
    {
        // What its runs log goes to the same server.
        let ca = std::path::absolute(ca).unwrap_or_else(|_| ca.clone());
        let ca = ca.display().to_string();
        settings.variables.insert(MLFLOW_CA.to_owned(), ca);
    }
    let background = args.background;
    let begun = Box::new(move |name: &str| {
        if !background {
            ctx.ui.status(&format!("Working as {name}; ctrl-C stops."));
        }
    });
    match ctx.target()? {
        Target::Local { .. } => ctx.wiring.work_here(settings, background, begun).await?,
        Target::Remote(remote) => ctx.wiring.work_for(remote, settings, begun).await?,
    }
    if !args.background {
        ctx.ui.status("Stopped.");
    }
    Ok(())
}

/// How runs are executed on this machine, by the option and the configuration.
pub fn settings(ctx: &Context, slots: Option<u32>) -> WorkerSettings {
    let configured = &ctx.config.settings.worker;
    let own = [
        ("AML_HOME", &ctx.config.home),
        ("AML_CONFIG", &ctx.config.file),
    ];
    let own = own.map(|(name, path)| (name.to_owned(), path.display().to_string()));
    WorkerSettings {
        home: ctx.config.home.clone(),
        slots: slots.or(configured.slots.map(NonZeroU32::get)),
        idle_seconds: configured.idle_seconds,
        variables: ctx.config.passed_on.clone(),
        owner_variables: match ctx.profile() {
            None => own.into(),
            Some(_) => BTreeMap::new(),
        },
    }
}
