//! What git knows of the folder that is submitted.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use api::runs::Git;

/// A repository that takes longer to look at is submitted without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commit, branch, remote and whether there are changes below `folder`; none without git or
/// outside a repository.
pub async fn facts(folder: &Path) -> Option<Git> {
    tokio::time::timeout(PATIENCE, ask_all(folder)).await.ok()?
}

async fn ask_all(folder: &Path) -> Option<Git> {
    let (commit, branch, remote, changes) = tokio::join!(
        ask(folder, &["rev-parse", "--verify", "HEAD"]),
        ask(folder, &["symbolic-ref", "--short", "-q", "HEAD"]),
        ask(folder, &["config", "--get", "remote.origin.url"]),
        ask(folder, &["status", "--porcelain", "--", "."]),
    );
    Some(Git {
        commit: commit.filter(|commit| !commit.is_empty())?,
        branch: branch.filter(|branch| !branch.is_empty()),
        remote: remote
            .filter(|remote| !remote.is_empty())
            .map(|url| without_password(&url)),
        dirty: changes.is_none_or(|changes| !changes.is_empty()),
    })
}

async fn ask(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        // Looking must not write to the repository.
        .arg("--no-optional-locks")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// `https://user:token@host/…` must not end up in a record that others read.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let start = rest[..host].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[start..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_remote_is_recorded_without_credentials() {
        let shown = [
            "https://me:secret@example.org/a@b.git",
            "https://example.org/x.git",
            "git@example.org:x.git",
        ]
        .map(without_password);
        assert_eq!(
            shown,
            [
                "https://example.org/a@b.git",
                "https://example.org/x.git",
                "git@example.org:x.git"
            ]
        );
    }
}
