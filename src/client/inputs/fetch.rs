//! Copies of files in a folder of their own.

use std::{fs, ops::Range, path::Path, process::Stdio, time::Duration};

use axum::{body::Body, http::header::RANGE};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{At, Located};
use crate::{
    Client, Report, Step,
    files::{Fetched, make_folder, save, walk_everything},
};
use api::{
    Error, Result,
    files::{check_path, parents},
    mirrors::to_https,
    paths::apart,
};

const MIRROR: &str = "To use files of this machine in its place: [mirrors] in config.toml";
const CONNECT: Duration = Duration::from_secs(20);
/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_mins(1);

impl Client {
    /// Copies located files into the folder `to`; a single file keeps its name.
    pub async fn fetch(
        &self,
        located: &Located,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Fetched> {
        match &located.at {
            At::Here(path) => {
                let (path, to) = (path.clone(), to.to_owned());
                blocking(move || copy(&path, &to)).await
            }
            At::Tree {
                workspace,
                hash,
                path,
            } => self.fetch_tree(workspace, *hash, path, to, report).await,
            At::Artifacts {
                workspace,
                run,
                path,
            } => self.fetch_artifacts(workspace, run, path, to, report).await,
            At::Datastore {
                workspace,
                datastore,
                path,
            } => {
                let files = self
                    .download_from_datastore(workspace, datastore, path, to, report)
                    .await?;
                let is_file = files.len() == 1 && files[0].path == path.trim_matches('/');
                let name = path.rsplit('/').next().unwrap_or_default();
                Ok(Fetched {
                    path: if is_file {
                        to.join(name)
                    } else {
                        to.to_owned()
                    },
                    is_file,
                    files: files.len() as u64,
                    bytes: files.iter().map(|file| file.size).sum(),
                })
            }
            At::Url(url) => fetch_url(self, url, located.kind.as_deref(), to, report).await,
            At::Git {
                url,
                revision,
                path,
            } => clone(url, revision.as_deref(), path, to).await,
        }
    }

    /// Asks a web server for a file, or for a part of it.
    pub(super) async fn ask(
        &self,
        url: &str,
        address: &str,
        part: Option<Range<u64>>,
    ) -> Result<reqwest::Response> {
        let unreachable = |cause: &dyn std::fmt::Display| {
            Error::unavailable(format!("Cannot download `{}`: {cause}", shown(url))).hint(MIRROR)
        };
        let client = match self.web.get() {
            Some(client) => client,
            None => {
                let made = web_client().map_err(|e| unreachable(&e.without_url()))?;
                self.web.get_or_init(|| made)
            }
        };
        let mut request = client.get(address);
        if let Some(part) = part {
            request = request.header(RANGE, format!("bytes={}-{}", part.start, part.end - 1));
        }
        let answer = request.send().await;
        let answer = answer.map_err(|e| unreachable(&deepest(&e.without_url())))?;
        if !answer.status().is_success() {
            return Err(unreachable(&format!(
                "the server answered {}",
                answer.status()
            )));
        }
        Ok(answer)
    }
}

fn web_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(concat!("aml/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Copies a file or folder of this machine. Links are followed: a copy leads nowhere else.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Fetched> {
    let failed = |path: &Path, e: &std::io::Error| {
        let shown = path.display();
        match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("Nothing is at `{shown}`")),
            std::io::ErrorKind::StorageFull => {
                Error::unavailable(format!("Cannot copy `{shown}`: {e}"))
                    .hint("Free some space, or choose another folder")
            }
            _ => Error::invalid(format!("Cannot copy `{shown}`: {e}")),
        }
    };
    let metadata = fs::metadata(from).map_err(|e| failed(from, &e))?;
    fs::create_dir_all(to).map_err(|e| failed(to, &e))?;
    if metadata.is_file() {
        let target = to.join(from.file_name().unwrap_or_default());
        let bytes = fs::copy(from, &target).map_err(|e| failed(from, &e))?;
        return Ok(Fetched {
            path: target,
            is_file: true,
            files: 1,
            bytes,
        });
    }
    let files = walk_everything(from)?;
    let mut bytes = 0;
    for path in &files {
        let above: Vec<&str> = parents(path).collect();
        for folder in above.into_iter().rev() {
            make_folder(&to.join(folder))?;
        }
        let source = from.join(path);
        bytes += fs::copy(&source, to.join(path)).map_err(|e| failed(&source, &e))?;
    }
    Ok(Fetched {
        path: to.to_owned(),
        is_file: false,
        files: files.len() as u64,
        bytes,
    })
}

/// Downloads one file of a web server.
async fn fetch_url(
    client: &Client,
    url: &str,
    kind: Option<&str>,
    to: &Path,
    report: Option<&Report>,
) -> Result<Fetched> {
    let address = to_https(url).unwrap_or_else(|| url.to_owned());
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    if !is_web || plain.ends_with('/') || kind.is_some_and(|kind| kind != "uri_file") {
        let what = if is_web {
            "is a folder"
        } else {
            "is in a cloud"
        };
        return Err(Error::unsupported(format!(
            "`{}` {what}, and no datastore says how to list it",
            shown(url)
        ))
        .at("path")
        .hint("Create a datastore for it and name azureml://datastores/NAME/paths/PATH")
        .hint(MIRROR));
    }
    let answer = client.ask(url, &address, None).await?;
    let name = file_name(plain);
    check_path(&name)?;
    let total = answer.content_length().unwrap_or(0);
    fs::create_dir_all(to)
        .map_err(|e| Error::invalid(format!("Cannot make `{}`: {e}", to.display())))?;
    let target = to.join(name);
    let done = std::sync::atomic::AtomicU64::new(0);
    let body = Body::from_stream(answer.bytes_stream());
    save(body, &target, |length| {
        let done = done.fetch_add(length as u64, std::sync::atomic::Ordering::Relaxed);
        if let Some(report) = report {
            report(Step::Receive, done + length as u64, total);
        }
    })
    .await?;
    let bytes = fs::metadata(&target).map_or(0, |metadata| metadata.len());
    Ok(Fetched {
        path: target,
        is_file: true,
        files: 1,
        bytes,
    })
}

/// The address by which a file of a web server is asked for.
pub(super) fn web(url: &str) -> Option<String> {
    let address = to_https(url).unwrap_or_else(|| url.to_owned());
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    (is_web && !plain.ends_with('/')).then_some(address)
}

/// The last part of an address, as a name.
fn file_name(address: &str) -> String {
    let last = address.rsplit('/').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(last).decode_utf8_lossy();
    match name.as_ref() {
        "" | "." | ".." => "file".to_owned(),
        name => name.replace(['/', '\\'], "_"),
    }
}

/// An address without what may be a signature or a password.
fn shown(url: &str) -> String {
    let plain = url.split('?').next().unwrap_or(url);
    apart(plain).0
}

/// Settings by which git sends credentials to a server. As variables nobody else on the machine sees
/// them, as words of its command line everybody would.
fn git_settings(plain: &str, credentials: Option<&str>) -> Vec<(&'static str, String)> {
    let Some(credentials) = credentials else {
        return Vec::new();
    };
    let pair = if credentials.contains(':') {
        credentials.to_owned()
    } else {
        format!("{credentials}:")
    };
    let pair: Vec<u8> = percent_encoding::percent_decode_str(&pair).collect();
    let server = plain.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    vec![
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", format!("http.{server}/.extraHeader")),
        (
            "GIT_CONFIG_VALUE_0",
            format!("Authorization: Basic {}", STANDARD.encode(pair)),
        ),
    ]
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    deepest.to_string()
}

/// Clones a repository with the `git` of this machine, without its history.
async fn clone(url: &str, revision: Option<&str>, path: &str, to: &Path) -> Result<Fetched> {
    let (url, credentials) = apart(url);
    let url = url.as_str();
    let settings = git_settings(url, credentials.as_deref());
    let failed = |why: String| {
        Error::unavailable(format!("Cannot clone `{}`: {why}", shown(url)))
            .hint("Check the address, the network and, for a private repository, git's credentials")
            .hint("To use a repository of this machine in its place: [mirrors] in config.toml")
    };
    let run = async |folder: &Path, words: &[&str]| -> Result<()> {
        let output = tokio::process::Command::new("git")
            .args(words)
            .current_dir(folder)
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(settings.iter().map(|(key, value)| (*key, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| failed(format!("git cannot be started: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.trim().lines().last().unwrap_or("git failed");
        Err(failed(last.to_owned()))
    };
    fs::create_dir_all(to)
        .map_err(|e| Error::invalid(format!("Cannot make `{}`: {e}", to.display())))?;
    run(to, &["init", "--quiet"]).await?;
    let wanted = revision.unwrap_or("HEAD");
    run(to, &["fetch", "--quiet", "--depth", "1", "--", url, wanted]).await?;
    run(to, &["checkout", "--quiet", "FETCH_HEAD"]).await?;
    let _ = fs::remove_dir_all(to.join(".git"));
    let place = if path.is_empty() {
        to.to_owned()
    } else {
        check_path(path)?;
        to.join(path)
    };
    if !place.exists() {
        return Err(
            Error::not_found(format!("The repository `{}` has no `{path}`", shown(url))).at("path"),
        );
    }
    let files = if place.is_dir() {
        walk_everything(&place)?.len() as u64
    } else {
        1
    };
    Ok(Fetched {
        is_file: place.is_file(),
        path: place,
        files,
        bytes: 0,
    })
}

/// Runs work that waits for the disk where it blocks nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal(format!("Work on files ended early: {e}")))?
}

/// A path as the key of what is cached for it.
pub(super) fn key(parts: &[&str]) -> String {
    let hash = api::files::Hash::of(parts.join("\n").as_bytes());
    hash.hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{git_settings, shown};
    use api::paths::apart;

    #[test]
    fn credentials_of_an_address_are_shown_to_nobody() {
        let (plain, credentials) = apart("https://bob:P%40T@host:8/o/r");
        assert_eq!(plain, "https://host:8/o/r");
        assert_eq!(shown("https://bob:PAT@host/r?sig=x"), "https://host/r");
        let settings = git_settings(&plain, credentials.as_deref());
        assert_eq!(settings[1].1, "http.https://host:8/.extraHeader");
        assert_eq!(settings[2].1, "Authorization: Basic Ym9iOlBAVA==");
        let (ssh, none) = apart("ssh://git@host/r");
        assert_eq!((ssh.as_str(), none), ("ssh://git@host/r", None));
    }
}
