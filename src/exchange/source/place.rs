//! Where the files of runs lie on this machine, from the URIs that stores keep of them.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use crate::record::{File, Owner, Version};
use api::{Error, Result, files::check_path, paths::percent_decode};

/// Links to folders may go round in circles.
const DEPTH: usize = 64;
/// The folders that MLflow makes for files by itself.
const USUAL: [&str; 2] = ["mlruns", "mlartifacts"];

/// Knows where to look.
#[derive(Debug)]
pub struct Places {
    /// The folder that the store is in, to which relative paths refer.
    pub base: PathBuf,
    /// The folder of the server's artifacts.
    pub artifacts: Option<PathBuf>,
}

impl Places {
    /// The folder of a run's or model's files, there or not; none when it is on no disk. MLflow's
    /// stores end all of them alike; another one would not be theirs to show.
    pub fn find(&self, owner: Owner<'_>) -> Option<PathBuf> {
        let uri = owner.artifact_uri().trim_end_matches('/');
        let folder = self.folder_of(uri)?;
        if let Owner::Version(version) = owner
            && lies_below(&folder, version)
        {
            return Some(folder);
        }
        let ending = format!("{}/artifacts", owner.id());
        folder.ends_with(ending).then_some(folder)
    }

    fn folder_of(&self, uri: &str) -> Option<PathBuf> {
        if let Some(path) = uri.strip_prefix("mlflow-artifacts:") {
            return self.of_server(path);
        }
        let path = match uri.split_once(':') {
            Some(("file", path)) => percent_decode(path.strip_prefix("//").unwrap_or(path)),
            Some((scheme, _)) if !scheme.contains('/') => return None,
            _ => uri.to_owned(),
        };
        let path = self.base.join(path);
        if path.is_dir() {
            return Some(path);
        }
        // The store was moved here with its files.
        let moved = USUAL.iter().find_map(|usual| {
            let mut parts = path.components();
            parts.find(|part| part.as_os_str() == *usual)?;
            let moved = self.base.join(usual).join(parts.as_path());
            moved.is_dir().then_some(moved)
        });
        Some(moved.unwrap_or(path))
    }

    /// A folder below that of a server's artifacts, wherever that is.
    fn of_server(&self, path: &str) -> Option<PathBuf> {
        let path = percent_decode(path.trim_start_matches('/'));
        check_path(&path).ok()?;
        if let Some(folder) = &self.artifacts {
            return Some(folder.join(path));
        }
        let usual = USUAL.iter().rev().map(|folder| self.base.join(folder));
        let folders: Vec<PathBuf> = usual.filter(|folder| folder.is_dir()).collect();
        let below = folders.iter().map(|folder| folder.join(&path));
        let first = below.clone().next();
        // A run without files has no folder either.
        below.clone().find(|folder| folder.is_dir()).or(first)
    }
}

/// Whether a folder is among the artifacts of the run or logged model that a version is said to be of,
/// and not only by its words: neither steps upwards nor links may lead elsewhere.
fn lies_below(folder: &Path, version: &Version) -> bool {
    if folder.components().any(|part| part == Component::ParentDir) {
        return false;
    }
    let Ok(real) = fs::canonicalize(folder) else {
        return false;
    };
    folder.ancestors().any(|above| {
        let owner = above.parent().and_then(Path::file_name);
        let owner = owner.unwrap_or_default().to_string_lossy();
        above.ends_with("artifacts")
            && (owner.starts_with("m-") || version.run.as_deref() == Some(&*owner))
            && fs::canonicalize(above).is_ok_and(|above| real.starts_with(above))
    })
}

/// The files in a folder, at any depth, by their paths; none when it is not there. A link that leads
/// out of the folder is left out.
pub fn files_in(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let root = fs::canonicalize(folder).unwrap_or_default();
    walk(&root, folder, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(root: &Path, folder: &Path, above: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(cannot_read(folder, &e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| cannot_read(folder, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = match above {
            "" => name,
            above => format!("{above}/{name}"),
        };
        let file = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link && !fs::canonicalize(&file).is_ok_and(|real| real.starts_with(root)) {
            continue;
        }
        match fs::metadata(&file) {
            // Links to folders may go round in circles.
            Ok(meta) if meta.is_dir() && path.matches('/').count() < DEPTH => {
                walk(root, &file, &path, files)?;
            }
            Ok(meta) if meta.is_file() => files.push(File {
                path,
                size: meta.len(),
                disk: Some(file),
            }),
            _ => {}
        }
    }
    Ok(())
}

pub fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("Cannot read `{}`: {error}", path.display())).at("--from")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::Places;
    use crate::record::{Owner, Pairs, Version};
    use api::{Time, models::Stage};

    #[test]
    fn a_version_has_no_files_outside_of_its_artifacts() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = dir.path().join("mlruns/1/models/m-1/artifacts");
        fs::create_dir_all(artifacts.join("model")).unwrap();
        fs::create_dir_all(dir.path().join("secret")).unwrap();
        symlink(dir.path().join("secret"), artifacts.join("link")).unwrap();
        let places = Places {
            base: dir.path().to_owned(),
            artifacts: None,
        };
        let found = |below: &str| {
            let version = Version {
                id: "m/1".into(),
                number: 1,
                description: String::new(),
                tags: Pairs::new(),
                stage: Stage::default(),
                user: String::new(),
                source: String::new(),
                location: format!(
                    "file:{}/mlruns/1/models/m-1/artifacts{below}",
                    dir.path().display()
                ),
                run: None,
                run_link: None,
                created_at: Time(0),
                updated_at: Time(0),
            };
            places.find(Owner::Version(&version))
        };
        assert_eq!(found("/model"), Some(artifacts.join("model")));
        assert_eq!(found(""), Some(artifacts.clone()));
        assert_eq!(found("/../../../../../secret"), None);
        assert_eq!(found("/%2e%2e/secret"), None);
        assert_eq!(found("/link"), None);
    }

    #[test]
    fn uris_are_found_on_the_disk() {
        let places = Places {
            base: "/store".into(),
            artifacts: Some("/art".into()),
        };
        let found = |uri| places.folder_of(uri).map(|path| path.display().to_string());
        assert_eq!(found("/a/b"), Some("/a/b".to_owned()));
        assert_eq!(found("./mlruns/1"), Some("/store/./mlruns/1".to_owned()));
        assert_eq!(found("file:///a/b%20c"), Some("/a/b c".to_owned()));
        assert_eq!(found("mlflow-artifacts:/1/r"), Some("/art/1/r".to_owned()));
        assert_eq!(found("mlflow-artifacts:/../etc"), None);
        assert_eq!(found("s3://bucket/1"), None);
    }
}
