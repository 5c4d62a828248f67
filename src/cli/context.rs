//! What every command needs: the configuration, the chosen target and workspace, the output.

use std::{env, path::PathBuf};

use tokio::sync::OnceCell;

use super::{Globals, ui::Ui};
use crate::{
    api::{Error, Result, workspaces::ListWorkspaces},
    client::{Client, Remote},
    config::{self, Config},
    wiring::{self, Target},
};

pub struct Context {
    pub config: Config,
    pub ui: Ui,
    /// Folder the command was started in.
    pub folder: PathBuf,
    /// `-g` and `--subscription`, recorded when something is created.
    pub resource_group: Option<String>,
    pub subscription: Option<String>,
    profile: Option<String>,
    workspace: Option<String>,
    client: OnceCell<Client>,
}

impl Context {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that knows the current folder"
    )]
    pub(super) fn new(globals: Globals) -> Result<Self> {
        let config = Config::load()?;
        let folder = env::current_dir()
            .map_err(|e| Error::invalid(format!("The current folder cannot be used: {e}")))?;
        let profile = globals.profile.or_else(|| config.profile.clone());
        let profile = profile.or_else(|| config.settings.profile.clone());
        Ok(Self {
            ui: Ui::new(globals.output.as_deref(), globals.query, globals.no_color)?,
            profile: profile.filter(|profile| profile != "local"),
            workspace: globals.workspace,
            resource_group: globals.resource_group,
            subscription: globals.subscription,
            config,
            folder,
            client: OnceCell::new(),
        })
    }

    /// The name of the remote profile in use; none in local mode.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// What the command talks to.
    pub fn target(&self) -> Result<Target> {
        let Some(name) = &self.profile else {
            return Ok(Target::Local {
                home: self.config.home.clone(),
            });
        };
        let Some(profile) = self.config.settings.profiles.get(name) else {
            let names = self.config.settings.profiles.keys().map(String::as_str);
            let nearest = crate::api::names::nearest(name, names);
            let place = format!(" in `{}`", self.config.file.display());
            return Err(Error::unknown("profile", name, &place, nearest)
                .hint(format!("Make it: aml login URL --profile {name}")));
        };
        let ca = match &profile.ca_file {
            Some(file) => Some(std::fs::read(file).map_err(|e| {
                Error::invalid(format!("Cannot read `{}`: {e}", file.display()))
                    .at(format!("profiles.{name}.ca_file"))
            })?),
            None => None,
        };
        Ok(Target::Remote(Remote {
            url: profile.url.clone(),
            token: match &self.config.token {
                Some(token) => Some(token.clone()),
                None => self.config.stored_token(name)?,
            },
            ca,
        }))
    }

    /// The client for the target, opened once.
    pub async fn client(&self) -> Result<&Client> {
        self.client
            .get_or_try_init(|| async { wiring::open_client(&self.target()?) })
            .await
    }

    /// The workspace to work in: the one named, else the folder's, else the default, else the only one.
    pub async fn workspace(&self) -> Result<String> {
        if let Some(name) = self.chosen_workspace()? {
            return Ok(name);
        }
        let mut all = self.client().await?.call(&ListWorkspaces {}).await?;
        match all.len() {
            0 => Err(Error::not_found("There is no workspace yet")
                .hint("Create one: aml workspace create -n NAME")),
            1 => Ok(all.swap_remove(0).name),
            _ => {
                let names: Vec<_> = all.iter().map(|w| format!("`{}`", w.name)).collect();
                Err(
                    Error::invalid(format!("Which workspace? There are {}", names.join(", ")))
                        .hint("Name it with -w, or choose one: aml workspace use NAME"),
                )
            }
        }
    }

    /// The workspace named by an option, the environment, the folder or the configuration.
    pub fn chosen_workspace(&self) -> Result<Option<String>> {
        if let Some(name) = self.workspace.as_ref().or(self.config.workspace.as_ref()) {
            return Ok(Some(name.clone()));
        }
        if let Some((_, folder)) = config::folder(&self.folder)?
            && folder.workspace.is_some()
        {
            return Ok(folder.workspace);
        }
        let settings = &self.config.settings;
        Ok(match &self.profile {
            Some(profile) => settings
                .profiles
                .get(profile)
                .and_then(|p| p.workspace.clone()),
            None => settings.workspace.clone(),
        })
    }
}
