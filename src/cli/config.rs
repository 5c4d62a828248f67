//! Profiles, defaults and environment variables. Nobody else reads the environment.

mod address;
mod az;
mod credentials;
mod read;

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table};

pub use address::check_url;
pub use az::{AzConfig, CLOUD, Setting};
pub use credentials::Others;

use read::read_toml;

use api::{Error, Result, environments::EnvironmentSettings, mirrors::Mirrors};

/// The configuration file, `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Default workspace in local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Profile to use when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Remote servers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, Profile>,
    #[serde(default, skip_serializing_if = "WorkerSettings::is_default")]
    pub worker: WorkerSettings,
    #[serde(default, skip_serializing_if = "WebhookSettings::is_default")]
    pub webhooks: WebhookSettings,
    /// Addresses, and the folders or addresses that stand for them.
    #[serde(default, skip_serializing_if = "Mirrors::is_empty")]
    pub mirrors: Mirrors,
    /// How this machine makes environments.
    #[serde(default, skip_serializing_if = "EnvironmentSettings::is_default")]
    pub environments: EnvironmentSettings,
}

/// Where webhooks may be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Schemes of their addresses; `https` alone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemes: Option<Vec<String>>,
    /// Also at addresses of this machine and of private networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_private: Option<bool>,
}

impl WebhookSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the configuration file says, and the variables by which MLflow's server is told, which
    /// go before it.
    pub fn load() -> Result<Self> {
        let mut settings = Config::load()?.settings.webhooks;
        if let Some(schemes) = variable("MLFLOW_WEBHOOK_ALLOWED_SCHEMES") {
            let schemes = schemes.split(',').map(|scheme| scheme.trim().to_owned());
            settings.schemes = Some(schemes.collect());
        }
        if let Some(allow) = variable("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS") {
            settings.allow_private = Some(["true", "1"].contains(&allow.to_lowercase().as_str()));
        }
        Ok(settings)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Runs executed at once on this machine; the number of cores when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<NonZeroU32>,
    /// Seconds without work after which the worker in the background leaves; 60 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
}

impl WorkerSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One remote server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    #[serde(deserialize_with = "read::address")]
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Certificate to trust, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Settings of a folder, `.aml/config.toml`, found in the current one or above it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// What the environment and the files say, read once at start.
#[derive(Clone)]
pub struct Config {
    /// The state directory of local mode.
    pub home: PathBuf,
    /// Where `config.toml` is or would be.
    pub file: PathBuf,
    pub settings: ConfigFile,
    /// `AML_PROFILE`.
    pub profile: Option<String>,
    /// `AML_WORKSPACE`.
    pub workspace: Option<String>,
    /// `AML_TOKEN`: instead of the stored one.
    pub token: Option<String>,
    /// The run whose process calls, from what a worker gave it.
    pub inside_run: Option<InsideRun>,
    /// What MLflow's own variables say.
    pub tracking: Tracking,
    /// `PATH`, as jobs submitted here look commands up.
    pub path: String,
    /// Variables a job's process gets from the machine (see [`PASSED_ON`]).
    pub passed_on: BTreeMap<String, String>,
}

/// A run as its own process knows it.
#[derive(Clone)]
pub struct InsideRun {
    /// Scheme, host and port of the server.
    pub url: String,
    pub workspace: String,
    pub run: String,
    pub token: String,
    /// Certificate to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// A worker started the process and has named no state directory: commands speak as the run.
    pub speaks: bool,
}

/// The MLflow server that this machine's clients use, as their variables say it.
#[derive(Clone, Default)]
pub struct Tracking {
    pub uri: Option<String>,
    pub token: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub ca_file: Option<PathBuf>,
}

/// The variable by which MLflow's clients, and ours inside a run, know a certificate to trust.
pub const MLFLOW_CA: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";

/// Variables of the machine that a job's process may see; everything else must be named by the job.
const PASSED_ON: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "PATH",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_CONFIG_FILE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_FIND_LINKS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
    "UV_CACHE_DIR",
    "CONDARC",
    "CONDA_CHANNEL_ALIAS",
    "CONDA_OFFLINE",
    "CONDA_PKGS_DIRS",
    "CONDA_SOLVER",
    "MAMBARC",
    "MAMBA_ROOT_PREFIX",
    "PYENV_ROOT",
    "PYENV_VERSION",
];

impl Config {
    /// Reads the environment and the configuration file. A file that cannot be understood is an
    /// error that shows the line.
    pub fn load() -> Result<Self> {
        let mut config = Self::without_file()?;
        config.settings = said_by(&config.file)?;
        Ok(config)
    }

    /// What the configuration file says now about mirrors; a process that lives long asks each time.
    pub fn mirrors() -> Result<Mirrors> {
        Ok(said_by(&file()?)?.mirrors)
    }

    /// The same about environments.
    pub fn environments() -> Result<EnvironmentSettings> {
        Ok(said_by(&file()?)?.environments)
    }

    /// Reads the environment alone.
    pub fn without_file() -> Result<Self> {
        let home = match variable("AML_HOME") {
            Some(home) => PathBuf::from(home),
            None => dirs::data_dir()
                .ok_or_else(|| no_home("AML_HOME"))?
                .join("aml"),
        };
        let file = file()?;
        Ok(Self {
            home: std::path::absolute(&home).unwrap_or(home),
            settings: ConfigFile::default(),
            file,
            profile: variable("AML_PROFILE"),
            workspace: variable("AML_WORKSPACE"),
            token: variable("AML_TOKEN"),
            inside_run: inside_run(),
            tracking: Tracking {
                uri: variable("MLFLOW_TRACKING_URI"),
                token: variable("MLFLOW_TRACKING_TOKEN"),
                user: variable("MLFLOW_TRACKING_USERNAME"),
                password: variable("MLFLOW_TRACKING_PASSWORD"),
                ca_file: variable(MLFLOW_CA).map(PathBuf::from),
            },
            path: variable("PATH").unwrap_or_default(),
            passed_on: env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(key, _)| PASSED_ON.contains(&key.as_str()) || key.starts_with("LC_"))
                .collect(),
        })
    }

    /// Changes the configuration file, whole or not at all. What people wrote around it stays.
    pub fn change(&self, change: impl FnOnce(&mut ConfigFile)) -> Result<()> {
        let _turn = turn(&self.file)?;
        // Another command may have changed it since this one began.
        let mut settings: ConfigFile = read_toml(&self.file)?.unwrap_or_default();
        change(&mut settings);
        write_toml(&self.file, &settings, 0o644)
    }

    /// File and line of a key at the top of the configuration file.
    pub fn place_of(&self, key: &str) -> String {
        let file = self.file.display();
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let says = |line: &str| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        match text.lines().position(says) {
            Some(before) => format!("{file}:{}", before + 1),
            None => file.to_string(),
        }
    }
}

/// Where `config.toml` is or would be.
fn file() -> Result<PathBuf> {
    if let Some(file) = variable("AML_CONFIG") {
        return Ok(PathBuf::from(file));
    }
    let folder = dirs::config_dir().ok_or_else(|| no_home("AML_CONFIG"))?;
    Ok(folder.join("aml/config.toml"))
}

fn said_by(file: &Path) -> Result<ConfigFile> {
    Ok(read_toml(file)?.unwrap_or_default())
}

/// The folder's settings and where they are, looked for from `start` upwards.
pub fn folder(start: &Path) -> Result<Option<(PathBuf, FolderFile)>> {
    for directory in start.ancestors() {
        let file = directory.join(".aml/config.toml");
        if let Some(settings) = read_toml(&file)? {
            return Ok(Some((file, settings)));
        }
    }
    Ok(None)
}

/// Writes a folder's settings below `folder`.
pub fn save_folder(folder: &Path, settings: &FolderFile) -> Result<PathBuf> {
    let file = folder.join(".aml/config.toml");
    write_toml(&file, settings, 0o644)?;
    Ok(file)
}

/// A variable that is not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads the variables that MLflow's clients read too. A tracking server that is no AMLite is none.
fn inside_run() -> Option<InsideRun> {
    let uri = variable("MLFLOW_TRACKING_URI")?;
    let (url, workspace) = uri.trim_end_matches('/').rsplit_once("/ws/")?;
    Some(InsideRun {
        url: url.to_owned(),
        workspace: workspace.to_owned(),
        // MLflow's client takes its variable out of the environment when it begins to log.
        run: variable("MLFLOW_RUN_ID").or_else(|| variable("AZUREML_RUN_ID"))?,
        token: variable("MLFLOW_TRACKING_TOKEN")?,
        ca_file: variable(MLFLOW_CA).map(PathBuf::from),
        speaks: variable("AZUREML_RUN_ID").is_some() && variable("AML_HOME").is_none(),
    })
}

fn no_home(variable: &str) -> Error {
    Error::invalid("There is no home directory to keep things in").hint(format!("Set {variable}"))
}

/// Makes `found` say what `wanted` says, with the comments and the order that people gave it.
fn merge(found: &mut Table, wanted: &Table) {
    found.retain(|key, _| wanted.contains_key(key));
    for (key, value) in wanted {
        match (found.get_mut(key), value) {
            (Some(Item::Table(below)), Item::Table(value)) => merge(below, value),
            (Some(Item::Value(old)), Item::Value(value)) => {
                let decor = old.decor().clone();
                *old = value.clone();
                *old.decor_mut() = decor;
            }
            _ => {
                found.insert(key, value.clone());
            }
        }
    }
}

/// Waits until no other command changes a file of this folder; the turn ends when it is dropped.
fn turn(path: &Path) -> Result<Option<fs::File>> {
    let Some(folder) = path.parent() else {
        return Ok(None);
    };
    let taken = fs::create_dir_all(folder)
        .and_then(|()| fs::File::open(folder))
        .and_then(|folder| folder.lock().map(|()| folder));
    taken.map(Some).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("Cannot write `{}`: {error}", path.display()))
}

fn write_toml<T: Serialize>(path: &Path, value: &T, mode: u32) -> Result<()> {
    let defect =
        |e: &dyn std::fmt::Display| Error::internal(format!("Cannot write the configuration: {e}"));
    let wanted = toml::to_string_pretty(value).map_err(|e| defect(&e))?;
    let wanted: DocumentMut = wanted.parse().map_err(|e| defect(&e))?;
    let found = fs::read_to_string(path).unwrap_or_default();
    let mut document: DocumentMut = found.parse().map_err(|e| defect(&e))?;
    merge(document.as_table_mut(), wanted.as_table());
    let text = document.to_string();
    // A link, such as one into a folder of dotfiles, stays one.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |e: std::io::Error| unwritable(path, &e);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::Config;

    fn config(folder: &tempfile::TempDir) -> Config {
        Config {
            file: folder.path().join("config.toml"),
            ..Config::without_file().unwrap()
        }
    }

    #[test]
    fn a_linked_configuration_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("dotfiles.toml");
        fs::write(&real, "# mine\n").unwrap();
        let config = config(&folder);
        symlink(&real, &config.file).unwrap();
        config
            .change(|settings| settings.workspace = Some("churn".to_owned()))
            .unwrap();
        assert!(config.file.is_symlink());
        let text = fs::read_to_string(&real).unwrap();
        assert!(text.contains("workspace = \"churn\""), "{text}");
    }
}
