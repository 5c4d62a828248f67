//! A program that answers instead of a scoring script.

use clap::Args;

use api::deployments::{Program, Routes};

#[derive(Debug, Args)]
pub struct ProgramArgs {
    /// Line that starts a program which answers over HTTP on the port that `PORT` names, run in the code folder
    #[arg(
        long,
        value_name = "LINE",
        conflicts_with = "script",
        group = "answers"
    )]
    command: Option<String>,
    /// Path at which the program scores [default: /score]
    #[arg(long, value_name = "PATH", requires = "command")]
    scoring_path: Option<String>,
    /// Path at which the program says that it lives and can take requests [default: /]
    #[arg(long, value_name = "PATH", requires = "command")]
    health_path: Option<String>,
    /// Port that the program listens on whatever `PORT` says; then there is one process of it
    #[arg(long, value_name = "PORT", requires = "command", value_parser = clap::value_parser!(u16).range(1..))]
    program_port: Option<u16>,
}

impl ProgramArgs {
    pub fn is_given(&self) -> bool {
        self.command.is_some()
    }

    pub fn program(&self) -> Option<Program> {
        let usual = Routes::default();
        let health = self.health_path.clone();
        Some(Program {
            command: self.command.clone()?,
            folder: None,
            port: self.program_port,
            routes: Routes {
                liveness: health.clone().unwrap_or(usual.liveness),
                readiness: health.unwrap_or(usual.readiness),
                scoring: self.scoring_path.clone().unwrap_or(usual.scoring),
            },
        })
    }
}
