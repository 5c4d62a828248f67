//! `aml doctor`

mod machine;
mod state;

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    error::Exit,
    views::{Show, View, list},
};

/// Check this machine and say what each missing thing would give
///
/// Ends with exit code 1 when something is in the way of basic work: a configuration that cannot be
/// read, a state directory that cannot be used, no Python for runs and endpoints of this machine.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// What was found about one thing.
#[derive(Debug, Serialize)]
pub struct Check {
    name: String,
    state: State,
    found: String,
    /// What it would give, or what to do.
    advice: String,
    /// Nothing works before it is mended.
    #[serde(skip)]
    blocks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Not there, and not needed for basic work.
    Missing,
    Problem,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Ok,
            found: found.into(),
            advice: String::new(),
            blocks: false,
        }
    }

    fn missing(name: &str, advice: &str) -> Self {
        Self {
            state: State::Missing,
            advice: advice.to_owned(),
            ..Self::ok(name, "")
        }
    }

    fn problem(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: State::Problem,
            advice: advice.into(),
            ..Self::ok(name, found)
        }
    }

    fn blocking(self) -> Self {
        Self {
            blocks: true,
            ..self
        }
    }
}

impl Show for Vec<Check> {
    fn view(&self) -> View {
        let row = |check: &Check| {
            let state = match check.state {
                State::Ok => "ok",
                State::Missing => "missing",
                State::Problem => "problem",
            };
            let lines = [check.found.as_str(), check.advice.as_str()];
            let said = lines.into_iter().filter(|line| !line.is_empty());
            let said: Vec<_> = said.collect();
            [check.name.clone(), state.to_owned(), said.join("\n")]
        };
        list(
            ["check", "state", "found, and advice"],
            self.iter().map(row),
        )
    }
}

/// The context is one that goes on without a broken configuration file.
pub async fn doctor(ctx: &Context, _args: DoctorArgs) -> anyhow::Result<()> {
    let mut checks = vec![state::configuration(ctx)];
    checks.extend(state::folder(ctx));
    checks.extend(state::target(ctx));
    let report = ctx.wiring.inspect(&ctx.config.home);
    checks.extend(state::directory(ctx, &report));
    let usable = async {
        match ctx.profile() {
            None => ctx.wiring.check_python(&ctx.config.passed_on).await,
            // With a server, runs and endpoints are there.
            Some(_) => Ok(()),
        }
    };
    let (mut programs, usable, profiles) = tokio::join!(
        machine::programs(&ctx.config.path, report.uv.as_deref()),
        usable,
        state::profiles(ctx),
    );
    if let Err(error) = usable
        && let Some(python) = programs
            .iter_mut()
            .find(|check| check.name == machine::PYTHON)
    {
        let advice = error.hints.join("; ");
        *python = Check::problem(machine::PYTHON, error.message, advice).blocking();
    }
    checks.extend(programs);
    checks.push(machine::port(5000));
    checks.extend(profiles);
    let blocked = checks.iter().any(|check| check.blocks);
    ctx.ui.show(&checks)?;
    if blocked {
        return Err(Exit(1).into());
    }
    Ok(())
}
