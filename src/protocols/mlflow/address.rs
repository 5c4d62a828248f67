//! Addresses of files as clients see them: `<experiment>/<run>/artifacts/<path>` and
//! `<experiment>/models/<model>/artifacts/<path>`, which are artifacts of a run, and
//! `<experiment>/traces/<trace>/artifacts/<path>`. `trees/<hash>/<path>` is what versions of registered
//! models have, which does not change.

use std::collections::BTreeMap;

use super::{
    call::Place,
    error::{ErrorCode, Failure},
};
use api::{
    Code,
    files::{Hash, check_path},
    logged_models::{GetLoggedModel, UpdateLoggedModel, path_of},
    paths::percent_decode,
    runs::{CreateRun, RunStatus},
};

/// Whose file it is.
#[derive(Debug, Clone)]
pub enum Owner {
    Run(String),
    Trace(String),
}

/// A place among the files of a run or trace; the path is empty for all of them.
pub struct Target {
    pub owner: Owner,
    pub path: String,
}

/// What an address below the proxy means.
pub enum Address {
    Run {
        run: String,
        path: String,
    },
    Model {
        model: String,
        path: String,
    },
    Trace {
        trace: String,
        path: String,
    },
    Tree {
        hash: Hash,
        path: String,
    },
    /// A folder above runs, models and traces.
    Above,
}

impl Address {
    pub fn parse(path: &str) -> Result<Self, Failure> {
        let path = path.trim_matches('/');
        let mut plain = path.to_owned();
        // A path may be encoded several times over on its way.
        for _ in 0..8 {
            if !plain.is_empty() && check_path(&plain).is_err() {
                return Err(Failure::invalid("Invalid path"));
            }
            let decoded = percent_decode(&plain);
            if decoded == plain {
                break;
            }
            plain = decoded;
        }
        let parts: Vec<&str> = path.split('/').collect();
        if let ["trees", hash, inside @ ..] = parts.as_slice()
            && let Ok(hash) = Hash::parse(hash)
        {
            let path = inside.join("/");
            return Ok(Address::Tree { hash, path });
        }
        let folder = parts.iter().position(|part| *part == "artifacts");
        let Some(folder) = folder.filter(|at| *at > 0) else {
            return Ok(Address::Above);
        };
        let owner = parts[folder - 1].to_owned();
        let path = parts[folder + 1..].join("/");
        Ok(match parts.get(folder.wrapping_sub(2)) {
            Some(&"models") => Address::Model { model: owner, path },
            Some(&"traces") => Address::Trace { trace: owner, path },
            _ => Address::Run { run: owner, path },
        })
    }
}

/// What an address means; nothing above runs, models and traces, in trees, and of a model without
/// files.
pub async fn target(place: &Place, address: Address) -> Result<Option<Target>, Failure> {
    match address {
        Address::Above | Address::Tree { .. } => Ok(None),
        Address::Run { run, path } => Ok(Some(Target {
            owner: Owner::Run(run),
            path,
        })),
        Address::Trace { trace, path } => Ok(Some(Target {
            owner: Owner::Trace(trace),
            path,
        })),
        Address::Model { model, path } => {
            let get = GetLoggedModel {
                workspace: place.workspace.clone(),
                id: model.clone(),
                include_deleted: true,
            };
            let found = place.perform(get).await?;
            let path = match path.as_str() {
                "" => path_of(&model),
                path => format!("{}/{path}", path_of(&model)),
            };
            Ok(found.run.map(|run| Target {
                owner: Owner::Run(run),
                path,
            }))
        }
    }
}

/// The artifacts that an address means, made when it is a model's without a run: a run of the
/// model's name is made to hold them.
pub async fn target_to_write(place: &Place, address: &str) -> Result<Target, Failure> {
    if let Some(target) = target(place, Address::parse(address)?).await? {
        return Ok(target);
    }
    let model = match Address::parse(address)? {
        Address::Model { model, .. } => model,
        Address::Tree { .. } => {
            return Err(Failure::invalid(
                "The files of a registered model do not change; register another version",
            ));
        }
        Address::Run { .. } | Address::Trace { .. } | Address::Above => {
            return Err(of_nothing(address));
        }
    };
    let get = GetLoggedModel {
        workspace: place.workspace.clone(),
        id: model.clone(),
        include_deleted: false,
    };
    let found = place.perform(get).await?;
    let create = CreateRun {
        workspace: place.workspace.clone(),
        name: model.clone(),
        experiment_id: found.experiment_id,
        display_name: found.name,
        user: place.caller.name().to_owned(),
        status: RunStatus::Completed,
        started_at: None,
        tags: BTreeMap::new(),
    };
    match place.perform(create).await {
        Ok(_) => {}
        Err(error) if error.code == Code::Conflict => {}
        Err(error) => return Err(error.into()),
    }
    let update = UpdateLoggedModel {
        workspace: place.workspace.clone(),
        id: model.clone(),
        run: Some(model),
        ..UpdateLoggedModel::default()
    };
    place.perform(update).await?;
    target(place, Address::parse(address)?)
        .await?
        .ok_or_else(|| Failure::new(ErrorCode::Internal, "A model's run vanished"))
}

fn of_nothing(address: &str) -> Failure {
    Failure::invalid(format!(
        "Artifacts belong to a run, a logged model or a trace, and `{address}` is of none"
    ))
}

#[cfg(test)]
mod tests {
    use super::Address;
    use api::paths::percent_decode;

    /// All addresses of up to four of these parts, in every order.
    #[test]
    fn no_address_leads_elsewhere() {
        let parts = [
            "artifacts",
            "models",
            "m-1",
            "a b",
            "..",
            ".",
            "",
            "%2e%2e",
            "%252e%252e",
            "..%2f",
            "%2fetc",
            "C:",
            "a\\b",
            "%5c..",
            "\u{0}",
            "%00",
            "traces",
            "~",
        ];
        let mut kept = 0;
        for number in 0..parts.len().pow(4) {
            let (mut rest, mut chosen) = (number, Vec::new());
            for _ in 0..4 {
                chosen.push(parts[rest % parts.len()]);
                rest /= parts.len();
            }
            let text = format!("0/r/artifacts/{}", chosen.join("/"));
            let path = match Address::parse(&text) {
                Ok(
                    Address::Run { path, .. }
                    | Address::Model { path, .. }
                    | Address::Trace { path, .. }
                    | Address::Tree { path, .. },
                ) => path,
                Ok(Address::Above) | Err(_) => continue,
            };
            kept += 1;
            let mut plain = path;
            for _ in 0..8 {
                let odd = |part: &str| part == ".." || part == "." || part.contains(['\\', '\0']);
                assert!(
                    !plain.split('/').any(odd) && !plain.starts_with('/'),
                    "{text}: {plain}"
                );
                plain = percent_decode(&plain);
            }
        }
        assert!(kept > 100, "most of the plain ones are good: {kept}");
    }
}
