//! `aml profile`

mod list;
mod remove;
mod show;
mod use_;

use clap::Subcommand;
use serde::Serialize;

use super::{
    context::Context,
    views::{Show, View, list, record},
};
use api::Result;

/// Choose between servers and this machine
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Use(use_::UseArgs),
    Remove(remove::RemoveArgs),
}

pub fn run(ctx: &Context, command: ProfileCommand) -> anyhow::Result<()> {
    match command {
        ProfileCommand::List(args) => list::list(ctx, &args),
        ProfileCommand::Show(args) => show::show(ctx, &args),
        ProfileCommand::Use(args) => use_::use_(ctx, &args),
        ProfileCommand::Remove(args) => remove::remove(ctx, &args),
    }
}

/// What is shown of a profile.
#[derive(Debug, Serialize)]
pub struct ProfileInfo {
    name: String,
    /// Absent for local mode.
    url: Option<String>,
    workspace: Option<String>,
    ca_file: Option<String>,
    logged_in: bool,
    /// Used when no profile is named.
    default: bool,
}

/// The profile of that name; `local` is this machine.
pub fn info(ctx: &Context, name: &str) -> Result<ProfileInfo> {
    let settings = &ctx.config.settings;
    let default = settings.profile.as_deref().unwrap_or("local") == name;
    if name == "local" {
        return Ok(ProfileInfo {
            name: name.to_owned(),
            url: None,
            workspace: settings.workspace.clone(),
            ca_file: None,
            logged_in: true,
            default,
        });
    }
    let profile = ctx.known_profile(name)?;
    Ok(ProfileInfo {
        name: name.to_owned(),
        url: Some(profile.url.clone()),
        workspace: profile.workspace.clone(),
        ca_file: profile
            .ca_file
            .as_ref()
            .map(|file| file.display().to_string()),
        logged_in: ctx.config.stored_token(name)?.is_some(),
        default,
    })
}

impl ProfileInfo {
    /// A server may need no token, so that there is none is not that nobody is logged in.
    fn token(&self) -> String {
        match (&self.url, self.logged_in) {
            (None, _) => "-",
            (Some(_), true) => "yes",
            (Some(_), false) => "without a token",
        }
        .to_owned()
    }
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

impl Show for ProfileInfo {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            (
                "Address",
                self.url
                    .clone()
                    .unwrap_or_else(|| "this machine".to_owned()),
            ),
            ("Workspace", self.workspace.clone().unwrap_or_default()),
            ("Certificate", self.ca_file.clone().unwrap_or_default()),
            ("Logged in", self.token()),
            ("Default", yes(self.default)),
        ])
    }
}

impl Show for Vec<ProfileInfo> {
    fn view(&self) -> View {
        let row = |profile: &ProfileInfo| {
            [
                profile.name.clone(),
                profile
                    .url
                    .clone()
                    .unwrap_or_else(|| "this machine".to_owned()),
                profile.workspace.clone().unwrap_or_default(),
                profile.token(),
                yes(profile.default),
            ]
        };
        list(
            ["name", "address", "workspace", "logged in", "default"],
            self.iter().map(row),
        )
    }
}
