//! What is the user's own: the configuration, the state directory, the servers logged in to.

use std::{path::Path, time::Duration};

use futures_util::future::join_all;

use super::Check;
use crate::{
    config,
    context::Context,
    wiring::{StateReport, Target},
};
use api::{Error, access::WhoAmI};

/// A server that does not answer in this time counts as not reachable.
const PATIENCE: Duration = Duration::from_secs(5);
/// With less free space than this runs are about to fail.
const LITTLE: u64 = 1 << 30;
/// With less free space than this nothing can be kept.
const NOTHING: u64 = 16 << 20;

/// Whether the configuration file can be understood.
pub fn configuration(ctx: &Context) -> Check {
    let file = ctx.config.file.display().to_string();
    match &ctx.broken {
        Some(error) => {
            let advice = error.hints.join("; ");
            Check::problem("configuration", error.to_string(), advice).blocking()
        }
        None if ctx.config.file.exists() => Check::ok("configuration", file),
        None => Check::ok(
            "configuration",
            format!("{file} (not there: the defaults hold)"),
        ),
    }
}

/// Whether the settings of the folder can be understood, if it has any.
pub fn folder(ctx: &Context) -> Option<Check> {
    let name = "folder";
    match config::folder(&ctx.folder) {
        Ok(None) => None,
        Ok(Some((file, settings))) => {
            let file = file.display();
            let found = match settings.workspace {
                Some(workspace) => format!("{file} (works in {workspace})"),
                None => file.to_string(),
            };
            Some(Check::ok(name, found))
        }
        Err(error) => {
            let advice = error.hints.join("; ");
            Some(Check::problem(name, error.to_string(), advice).blocking())
        }
    }
}

/// Whether the profile that commands go to is known, when it is not this machine.
pub fn target(ctx: &Context) -> Option<Check> {
    let name = "profile in use";
    let profile = ctx.profile()?;
    Some(match ctx.target() {
        Ok(_) => Check::ok(name, format!("{profile}, named by {}", ctx.named_by())),
        // The file that would say it is a finding already.
        Err(_) if ctx.broken.is_some() => return None,
        Err(error) => {
            let advice = error.hints.join("; ");
            Check::problem(name, error.to_string(), advice).blocking()
        }
    })
}

/// Whether the state directory can be used, by whom it is, and how much room there is.
pub fn directory(ctx: &Context, report: &StateReport) -> Vec<Check> {
    let home = &ctx.config.home;
    vec![state(home, report), disk(report), processes(report)]
}

fn state(home: &Path, report: &StateReport) -> Check {
    let name = "state directory";
    let place = home.display();
    if let Some(problem) = &report.problem {
        let advice = problem.hints.join("; ");
        return Check::problem(name, problem.to_string(), advice).blocking();
    }
    if report.open_to_others {
        let found =
            format!("{place} can be entered by others; its database and keys cannot be read");
        return Check::problem(name, found, format!("chmod 700 {place}"));
    }
    match report.format {
        Some(format) => {
            let size = bytes(report.size);
            let found = format!("{place} (format {format}, database of {size})");
            Check::ok(name, found)
        }
        None => Check::ok(name, format!("{place} (made when first needed)")),
    }
}

fn disk(report: &StateReport) -> Check {
    let name = "disk space";
    let Some(free) = report.free else {
        return Check::problem(name, "unknown", "");
    };
    let found = format!("{} free", bytes(free));
    let advice = "Free some space, or move the state directory: set AML_HOME";
    if free >= LITTLE {
        return Check::ok(name, found);
    }
    let low = Check::problem(name, found, advice);
    if free < NOTHING { low.blocking() } else { low }
}

fn processes(report: &StateReport) -> Check {
    let found = match report.holders.as_slice() {
        [] => "none".to_owned(),
        holders => holders.join(", "),
    };
    Check::ok("processes", found)
}

/// Whether each server can be reached and knows us.
pub async fn profiles(ctx: &Context) -> Vec<Check> {
    let names = ctx.config.settings.profiles.keys();
    join_all(names.map(|name| profile(ctx, name))).await
}

async fn profile(ctx: &Context, name: &str) -> Check {
    let check = format!("profile {name}");
    let ask = async {
        let target = Target::Remote(ctx.remote(name)?);
        let client = ctx.wiring.open_client(&target).await?;
        client.call(&WhoAmI {}).await
    };
    let late = || Error::unavailable("No answer in time");
    let answer = tokio::time::timeout(PATIENCE, ask).await;
    match answer.unwrap_or_else(|_| Err(late())) {
        Ok(identity) => {
            let found = format!("{} at AMLite {}", identity.name, identity.version);
            Check::ok(&check, found)
        }
        Err(error) => Check::problem(&check, error.to_string(), error.hints.join("; ")),
    }
}

fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}
