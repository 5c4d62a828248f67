//! What the files of a model version come from, by the URIs that stores keep of them.

use super::record::Version;

/// What there is at the place of a version's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Run { id: String, path: String },
    Model { id: String, path: String },
    Version { name: String, number: u64 },
    Other,
}

/// What a version's source says, or else the folder in which its files lie.
pub fn place(version: &Version) -> Place {
    match named(&version.source) {
        Place::Other => named(&version.location),
        found => found,
    }
}

fn named(uri: &str) -> Place {
    if let Some(rest) = uri.strip_prefix("runs:/") {
        let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Place::Run {
            id: id.to_owned(),
            path: path.to_owned(),
        };
    }
    if let Some(rest) = uri.strip_prefix("models:/") {
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        return match rest.parse() {
            _ if name.starts_with("m-") => Place::Model {
                id: name.to_owned(),
                path: rest.to_owned(),
            },
            Ok(number) => Place::Version {
                name: name.to_owned(),
                number,
            },
            Err(_) => Place::Other,
        };
    }
    let parts: Vec<&str> = uri.split('/').collect();
    let artifacts = parts.iter().position(|part| *part == "artifacts");
    let Some((owner, at)) = artifacts.and_then(|at| Some((parts.get(at.checked_sub(1)?)?, at)))
    else {
        return Place::Other;
    };
    let (id, path) = ((*owner).to_owned(), parts[at + 1..].join("/"));
    let path = path.trim_end_matches('/').to_owned();
    if id.starts_with("m-") {
        Place::Model { id, path }
    } else {
        Place::Run { id, path }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, named};

    #[test]
    fn the_place_of_a_version_tells_what_made_it() {
        let run = |path: &str| Place::Run {
            id: "ab12".to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(named("runs:/ab12/a/b"), run("a/b"));
        assert_eq!(named("mlflow-artifacts:/1/ab12/artifacts/a"), run("a"));
        assert_eq!(named("/x/mlruns/1/ab12/artifacts"), run(""));
        let model = |path: &str| Place::Model {
            id: "m-1".to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(named("models:/m-1"), model(""));
        assert_eq!(named("s3://b/1/models/m-1/artifacts/x"), model("x"));
        let version = Place::Version {
            name: "iris".to_owned(),
            number: 3,
        };
        assert_eq!(named("models:/iris/3"), version);
        for uri in [
            "",
            "s3://bucket/model",
            "models:/iris/Production",
            "artifacts",
        ] {
            assert_eq!(named(uri), Place::Other, "{uri}");
        }
    }
}
