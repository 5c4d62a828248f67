//! What every command needs: the configuration, the chosen target and workspace, the output.

use std::{
    env,
    path::{Path, PathBuf},
};

use tokio::sync::OnceCell;

use super::{Globals, paste::Paste, ui::Ui};
use crate::{
    config::{self, Config, InsideRun, Others, Profile},
    wiring::{Target, Wiring},
};
use api::{Code, Error, Result, access::WhoAmI, names, workspaces::ListWorkspaces};
use client::{Client, Remote};

pub struct Context {
    pub wiring: &'static dyn Wiring,
    pub config: Config,
    /// Why the configuration file was left out.
    pub broken: Option<Error>,
    pub ui: Ui,
    /// Folder the command was started in.
    pub folder: PathBuf,
    /// `-g` and `--subscription`, recorded when something is created.
    pub resource_group: Option<String>,
    pub subscription: Option<String>,
    /// The profile named by `--profile` or `AML_PROFILE`, if any was.
    pub named_profile: Option<String>,
    profile: Option<String>,
    /// What chose the profile: an option, a variable, or a line of the configuration file.
    named_by: String,
    workspace: Option<String>,
    /// The run as which the command speaks, being called by its process.
    run: Option<InsideRun>,
    client: OnceCell<Client>,
}

impl Context {
    pub(super) fn new(globals: Globals, wiring: &'static dyn Wiring) -> Result<Self> {
        Self::with(globals, wiring, Config::load()?, None)
    }

    /// Goes on without a configuration file that cannot be understood, and keeps the error.
    pub(super) fn whatever_the_file(globals: Globals, wiring: &'static dyn Wiring) -> Result<Self> {
        match Config::load() {
            Ok(config) => Self::with(globals, wiring, config, None),
            Err(error) => Self::with(globals, wiring, Config::without_file()?, Some(error)),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that knows the current folder"
    )]
    fn with(
        globals: Globals,
        wiring: &'static dyn Wiring,
        config: Config,
        broken: Option<Error>,
    ) -> Result<Self> {
        let folder = env::current_dir()
            .map_err(|e| Error::invalid(format!("The current folder cannot be used: {e}")))?;
        let paste = Paste::new(&globals, env::args().next());
        let named_by = match (&globals.profile, &config.profile) {
            (Some(_), _) => "--profile".to_owned(),
            (None, Some(_)) => "AML_PROFILE".to_owned(),
            (None, None) => config.place_of("profile"),
        };
        let named_profile = globals.profile.or_else(|| config.profile.clone());
        let run = config.inside_run.clone();
        let run = run.filter(|run| run.speaks && named_profile.is_none());
        let profile = named_profile.clone();
        // What the machine's own user has configured is not for the runs of others.
        let configured = || config.settings.profile.clone().filter(|_| run.is_none());
        let profile = profile.or_else(configured);
        Ok(Self {
            wiring,
            ui: Ui::new(&globals.output, globals.query, paste, globals.no_color)?,
            profile: profile.filter(|profile| profile != "local"),
            named_profile,
            named_by,
            workspace: globals.workspace,
            run,
            resource_group: globals.resource_group,
            subscription: globals.subscription,
            config,
            broken,
            folder,
            client: OnceCell::new(),
        })
    }

    /// The same target, for a command that another one runs in `folder`.
    pub(super) fn for_command(&self, globals: Globals, folder: &Path) -> Result<Self> {
        let mut ctx = Self::with(globals, self.wiring, self.config.clone(), None)?;
        ctx.named_profile.clone_from(&self.named_profile);
        ctx.profile.clone_from(&self.profile);
        ctx.run.clone_from(&self.run);
        ctx.named_by.clone_from(&self.named_by);
        ctx.client.clone_from(&self.client);
        folder.clone_into(&mut ctx.folder);
        Ok(ctx)
    }

    /// Asks by the client of another context of the same target.
    pub(super) async fn share_client(&mut self, other: &Self) -> Result<()> {
        other.client().await?;
        self.client.clone_from(&other.client);
        Ok(())
    }

    /// Works in this workspace from here on.
    pub fn work_in(&mut self, workspace: Option<String>) {
        self.workspace = workspace;
    }

    /// The name of the remote profile in use; none in local mode.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The name of what the command speaks to, as `whoami` shows it.
    pub fn target_name(&self) -> &str {
        match &self.run {
            Some(_) => "run",
            None => self.profile().unwrap_or("local"),
        }
    }

    /// What chose the profile in use, as people would change it.
    pub fn named_by(&self) -> &str {
        &self.named_by
    }

    /// A profile of the configuration file.
    pub fn known_profile(&self, name: &str) -> Result<&Profile> {
        let profiles = &self.config.settings.profiles;
        profiles.get(name).ok_or_else(|| {
            let nearest = names::nearest(name, profiles.keys().map(String::as_str));
            let place = format!(" in `{}`", self.config.file.display());
            if name == "local" {
                return Error::invalid("`local` is this machine, not a server")
                    .hint("See which there are: aml profile list");
            }
            Error::unknown("profile", name, &place, nearest)
                .or_hint("See which there are: aml profile list")
        })
    }

    /// What the command talks to.
    pub fn target(&self) -> Result<Target> {
        if let Some(run) = &self.run {
            return Ok(Target::Remote(remote_of(run)?));
        }
        match &self.profile {
            Some(name) => {
                let remote = self.remote(name);
                Ok(Target::Remote(remote.map_err(
                    |error| match self.named_by.as_str() {
                        "--profile" => error,
                        named_by if self.known_profile(name).is_err() => {
                            let mut error = error;
                            let origin = format!("{named_by} says to use it");
                            error.hints.insert(0, origin);
                            error
                        }
                        _ => error,
                    },
                )?))
            }
            None => Ok(Target::Local {
                home: self.config.home.clone(),
            }),
        }
    }

    /// The server of a profile and how to be let in.
    pub fn remote(&self, name: &str) -> Result<Remote> {
        let profile = self.known_profile(name).map_err(|error| match name {
            "local" => error,
            name => error.hint(format!("Make it: aml login URL --profile {name}")),
        })?;
        Ok(Remote {
            url: profile.url.clone(),
            token: match &self.config.token {
                Some(token) => Some(token.clone()),
                None => self.config.stored_token(name)?,
            },
            ca: profile.ca_file.as_deref().map(read_ca).transpose()?,
            slow: Some(self.ui.teller()),
        })
    }

    /// A path given on the command line, as it is said: without `.` in it.
    pub fn path(&self, given: impl AsRef<Path>) -> PathBuf {
        self.folder.join(given).components().collect()
    }

    /// The client for the target, opened once.
    pub async fn client(&self) -> Result<&Client> {
        self.client
            .get_or_try_init(|| async { self.wiring.open_client(&self.target()?).await })
            .await
    }

    /// The workspace to work in: the one named, else the folder's, else the default, else the only one.
    pub async fn workspace(&self) -> Result<String> {
        if let Some(name) = self.chosen_workspace()? {
            return Ok(name);
        }
        let mut all = self.client().await?.call(&ListWorkspaces {}).await?;
        match all.len() {
            0 => Err(self.no_workspace().await?),
            1 => Ok(all.swap_remove(0).name),
            _ => {
                let names: Vec<_> = all.iter().map(|w| format!("`{}`", w.name)).collect();
                let first = &all[0].name;
                Err(
                    Error::invalid(format!("Which workspace? There are {}", names.join(", ")))
                        .hint(format!("Name it, as in -w {first}"))
                        .hint(format!("Or from now on: aml workspace use {first}")),
                )
            }
        }
    }

    /// That there is no workspace to work in, and who can change it.
    async fn no_workspace(&self) -> Result<Error> {
        let me = self.client().await?.call(&WhoAmI {}).await?;
        if me.admin {
            return Ok(Error::not_found("There is no workspace yet")
                .hint("Create one: aml workspace create -n main"));
        }
        let name = me.name;
        Ok(
            Error::not_found(format!("No workspace is shared with `{name}`")).hint(format!(
                "An owner of one can do it: aml workspace share add -n NAME --user {name} --role Reader"
            )),
        )
    }

    /// The workspace named by an option, the environment, the folder or the configuration.
    pub fn chosen_workspace(&self) -> Result<Option<String>> {
        if let Some(name) = self.workspace.as_ref().or(self.config.workspace.as_ref()) {
            return Ok(Some(name.clone()));
        }
        if let Some(run) = &self.run {
            return Ok(Some(run.workspace.clone()));
        }
        Ok(self.workspace_by_file()?.map(|(name, _)| name))
    }

    /// The workspace chosen by a file, and which.
    fn workspace_by_file(&self) -> Result<Option<(String, PathBuf)>> {
        if let Some((file, folder)) = config::folder(&self.folder)?
            && let Some(name) = folder.workspace
        {
            return Ok(Some((name, file)));
        }
        let name = self.default_workspace().cloned();
        Ok(name.map(|name| (name, self.config.file.clone())))
    }

    /// The one chosen by `aml workspace use` for this target.
    fn default_workspace(&self) -> Option<&String> {
        let settings = &self.config.settings;
        match &self.profile {
            Some(profile) => settings.profiles.get(profile)?.workspace.as_ref(),
            None => settings.workspace.as_ref(),
        }
    }

    /// Whether a workspace is the one chosen by `aml workspace use` for this target.
    pub fn is_default(&self, name: &str) -> bool {
        self.default_workspace()
            .is_some_and(|default| default.eq_ignore_ascii_case(name))
    }

    /// Keeps the workspace to work in when none is named, for this target.
    pub fn choose_workspace(&self, chosen: Option<String>) -> Result<()> {
        self.config.change(|settings| {
            let profile = self.profile();
            match profile.and_then(|profile| settings.profiles.get_mut(profile)) {
                Some(profile) => profile.workspace = chosen,
                None => settings.workspace = chosen,
            }
        })
    }

    /// Adds what only this side knows: the address to log in to, and which file chose a workspace
    /// that is not there.
    pub fn explain(&self, mut error: Error) -> Error {
        if error.code == Code::Unauthenticated
            && let Some(name) = &self.profile
            && let Some(profile) = self.config.settings.profiles.get(name)
        {
            let whole = format!("aml login {} --profile {name}", profile.url);
            for hint in &mut error.hints {
                // What the variable holds goes before what a login keeps.
                *hint = match self.config.token {
                    Some(_) if hint.contains("aml login") => {
                        "The token is that of AML_TOKEN: correct or unset it".to_owned()
                    }
                    _ => hint.replace("aml login URL", &whole),
                };
            }
            if self.config.token.is_none() && matches!(self.config.stored_token(name), Ok(None)) {
                let others = self.config.other_tokens(name).ok().flatten();
                error.hints.extend(others.map(|others| match others {
                    Others::For(_) => format!(
                        "The token kept for `{name}` is that of another server; it is not sent to this one"
                    ),
                    Others::Unknown => format!(
                        "The token kept for `{name}` does not say for which server it is; it is not sent"
                    ),
                }));
            }
        }
        let unknown = error.unknown.as_ref();
        let unknown = unknown.filter(|_| error.is_unknown("workspace"));
        let Some(name) = unknown.map(|unknown| unknown.name.clone()) else {
            return error;
        };
        match (&self.workspace, &self.config.workspace) {
            (None, Some(named)) if *named == name => {
                error.hint("AML_WORKSPACE says to work in it: correct or unset it")
            }
            (None, None) => match self.workspace_by_file() {
                Ok(Some((named, file))) if named == name => error.hint(format!(
                    "`{}` says to work in it; choose another: aml workspace use NAME",
                    file.display()
                )),
                _ => error,
            },
            _ => error,
        }
    }

    /// The workspace that an option names.
    pub fn named_workspace(&self) -> Option<&str> {
        self.workspace.as_deref()
    }
}

/// The server that a run's process was given, and the run's own token for it.
pub fn remote_of(run: &InsideRun) -> Result<Remote> {
    Ok(Remote {
        url: run.url.clone(),
        token: Some(run.token.clone()),
        ca: run.ca_file.as_deref().map(read_ca).transpose()?,
        ..Remote::default()
    })
}

/// The certificate a profile trusts.
pub fn read_ca(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| {
        let shown = file.display().to_string();
        spec::reference::unreadable("certificate", &shown, file, &e)
            .at("ca_file")
            .hint("The server's machine has it as `tls/ca.pem` in the state directory")
    })
}
