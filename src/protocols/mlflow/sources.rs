//! The URIs by which clients say where the files of a model version are, and get told.
//!
//! What lies in the workspace is taken from there, whichever way it is called; any other place is
//! kept as it is said.

use std::collections::BTreeMap;

use super::{
    address::Address,
    call::{Call, Place},
    error::{ErrorCode, Failure},
    model_versions, registered_models, runs,
};
use api::{
    logged_models::{GetLoggedModel, LoggedModel},
    models::{Model, ModelSource},
    paths::percent_decode,
    registered_models::is_prompt,
};

/// Before the path of what the proxy keeps.
const PROXY: &str = "mlflow-artifacts:";
/// What clients say in place of the files that a prompt has not.
const NO_FILES: [&str; 2] = ["dummy-source", "prompt-template"];

/// Where a version comes from.
pub struct Origin {
    pub source: ModelSource,
    /// As it is shown to clients.
    pub uri: String,
    pub run: Option<String>,
    pub logged_model: Option<String>,
}

/// What clients are told of where a version comes from.
pub fn called(model: &Model) -> String {
    if let Some(source) = &model.source {
        return source.clone();
    }
    match (&model.lineage.run, &model.lineage.path) {
        (Some(run), Some(path)) => format!("runs:/{run}/{path}"),
        _ => location(model),
    }
}

/// Where clients get the files of a version.
pub fn location(model: &Model) -> String {
    match (&model.files, &model.location) {
        (Some(files), _) => format!("{PROXY}/trees/{}", files.hash.hex()),
        (None, Some(location)) => location.clone(),
        (None, None) => model.source.clone().unwrap_or_default(),
    }
}

/// Finds out what the source of a new version means.
pub async fn resolve(
    call: &Call,
    uri: String,
    tags: &BTreeMap<String, String>,
) -> Result<Origin, Failure> {
    let run = call.fields.some_text("run_id")?;
    let logged_model = call.fields.some_text("model_id")?;
    if is_prompt(tags) {
        if !NO_FILES.contains(&uri.as_str()) {
            return Err(Failure::invalid(format!(
                "Invalid prompt source: '{uri}'. Prompt sources must use an MLflow placeholder."
            )));
        }
        return Ok(Origin {
            source: ModelSource::Nothing,
            uri,
            run,
            logged_model,
        });
    }
    let scheme = scheme(&uri);
    if let "" | "file" = scheme.as_str() {
        check_local(call, &uri, run.as_deref(), logged_model.as_deref()).await?;
    } else {
        check_plain(&uri)?;
    }
    if scheme == "models" {
        return of_model(call, uri, run, logged_model).await;
    }
    let source = match scheme.as_str() {
        "runs" => of_run(&uri),
        "mlflow-artifacts" => uri
            .strip_prefix("mlflow-artifacts:/")
            .filter(|path| !path.starts_with('/'))
            .and_then(of_address),
        "http" | "https" => uri
            .strip_prefix(call.service.base_url())
            .filter(|_| !call.service.base_url().is_empty())
            .and_then(|rest| rest.split_once("/api/2.0/mlflow-artifacts/artifacts/"))
            .and_then(|(_, path)| of_address(path)),
        _ => None,
    };
    let source = source.unwrap_or_else(|| ModelSource::Elsewhere { uri: uri.clone() });
    if let ModelSource::LoggedModel { id, .. } = &source {
        find_logged(call, id, &uri).await?;
    }
    Ok(Origin {
        source,
        uri,
        run,
        logged_model,
    })
}

fn scheme(uri: &str) -> String {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    if is_scheme(scheme) {
        scheme.to_ascii_lowercase()
    } else {
        String::new()
    }
}

/// `runs:/RUN/PATH`.
fn of_run(uri: &str) -> Option<ModelSource> {
    let (run, path) = uri
        .strip_prefix("runs:/")?
        .trim_start_matches('/')
        .split_once('/')?;
    Some(ModelSource::Run {
        run: run.to_owned(),
        path: path.trim_matches('/').to_owned(),
    })
}

/// What the proxy keeps at a path.
fn of_address(path: &str) -> Option<ModelSource> {
    match Address::parse(path).ok()? {
        Address::Run { run, path } => Some(ModelSource::Run { run, path }),
        Address::Model { model, path } => Some(ModelSource::LoggedModel { id: model, path }),
        Address::Tree { hash, path } if path.is_empty() => Some(ModelSource::Tree { hash, path }),
        Address::Tree { .. } | Address::Trace { .. } | Address::Above => None,
    }
}

/// `models:/NAME/VERSION`, `models:/NAME/STAGE`, `models:/NAME@ALIAS`, or `models:/ID` of a logged
/// model.
async fn of_model(
    call: &Call,
    uri: String,
    run: Option<String>,
    logged_model: Option<String>,
) -> Result<Origin, Failure> {
    let parts = uri
        .strip_prefix("models:/")
        .filter(|rest| !rest.starts_with('/'));
    let Some(rest) = parts else {
        return Err(not_inside(&uri, "model_id"));
    };
    let found = if let Some((name, version)) = rest.split_once('/') {
        of_version(call, &uri, name, version).await?
    } else if let Some((name, alias)) = rest.rsplit_once('@') {
        model_versions::find_by_alias(call, name, alias).await?
    } else {
        let model = find_logged(call, rest, &uri).await?;
        return Ok(Origin {
            source: ModelSource::LoggedModel {
                id: model.id.clone(),
                path: String::new(),
            },
            uri,
            run: run.or(model.run),
            logged_model: Some(model.id),
        });
    };
    if is_prompt(&registered_models::find(call, &found.name).await?.tags) {
        return Err(Failure::invalid(format!(
            "Invalid model version source: '{uri}'. Prompt versions cannot be used as model version sources."
        )));
    }
    if run.is_some() && run != found.lineage.run {
        return Err(Failure::invalid(format!(
            "Invalid model version source: '{uri}'. The run_id and model_id request parameters must match \
             the referenced model version."
        )));
    }
    Ok(Origin {
        uri: format!("models:/{}/{}", found.name, found.version),
        source: ModelSource::Version {
            name: found.name,
            version: found.version,
        },
        run: found.lineage.run,
        logged_model: logged_model.or(found.lineage.logged_model),
    })
}

/// `version` is a number, a stage, or `latest`.
async fn of_version(call: &Call, uri: &str, name: &str, version: &str) -> Result<Model, Failure> {
    if let Ok(number) = version.parse() {
        return model_versions::find(call, name, number).await;
    }
    if version.eq_ignore_ascii_case("latest") {
        return model_versions::find_by_alias(call, name, version).await;
    }
    let stage = model_versions::stage(version).map_err(|_| not_inside(uri, "model_id"))?;
    let model = registered_models::find(call, name).await?;
    let newest = model.latest.into_iter().find(|found| found.stage == stage);
    newest.ok_or_else(|| {
        Failure::missing(format!(
            "No versions of model with name '{name}' and stage '{version}' found"
        ))
    })
}

async fn find_logged(place: &Place, id: &str, uri: &str) -> Result<LoggedModel, Failure> {
    let get = GetLoggedModel {
        workspace: place.workspace.clone(),
        id: id.to_owned(),
        include_deleted: false,
    };
    place.perform(get).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.code {
            ErrorCode::DoesNotExist => not_inside(uri, "model_id"),
            _ => failure,
        }
    })
}

fn not_inside(uri: &str, id: &str) -> Failure {
    Failure::invalid(format!(
        "Invalid model version source: '{uri}'. The {id} request parameter must identify the resource that \
         contains the source."
    ))
}

/// A path of the client's own disk must be below where the artifacts of the run or the logged model
/// are, as its experiment says.
async fn check_local(
    call: &Call,
    uri: &str,
    run: Option<&str>,
    logged_model: Option<&str>,
) -> Result<(), Failure> {
    let path = local_path(uri)?;
    let (id, root) = match (logged_model, run) {
        (Some(model), _) => {
            let found = find_logged(call, model, uri).await.ok();
            ("model_id", found.map(|model| model.artifact_uri))
        }
        (None, Some(run)) => {
            let found = runs::find(call, run).await.ok();
            ("run_id", found.map(|run| run.artifact_uri))
        }
        (None, None) => ("run_id", None),
    };
    let root = root.filter(|root| matches!(scheme(root).as_str(), "" | "file"));
    if let Some(root) = root
        && is_below(&path, &local_path(&root)?)
    {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "Invalid model version source: '{uri}'. To use a local path as a model version source, the {id} \
         request parameter has to be specified and the local path has to be contained within the artifact \
         directory of the run specified by the {id}."
    )))
}

/// The path of a `file:` URI or of a plain path, without `.` and `..`.
fn local_path(uri: &str) -> Result<Vec<String>, Failure> {
    let rest = uri.strip_prefix("file:").unwrap_or(uri);
    let path = match rest.strip_prefix("//") {
        Some(rest) if uri.starts_with("file:") => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !["", ".", "localhost", "127.0.0.1"].contains(&host) {
                return Err(Failure::invalid(format!(
                    "{uri} is not a valid remote uri. For remote access on windows, please consider using a \
                     different scheme such as SMB (e.g. smb://<hostname>/<path>)."
                )));
            }
            path.to_owned()
        }
        _ => rest.to_owned(),
    };
    let mut parts: Vec<String> = Vec::new();
    for part in percent_decode(&path).split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Ok(parts)
}

fn is_below(path: &[String], root: &[String]) -> bool {
    !root.is_empty() && path.starts_with(root)
}

/// Refuses ways up in the path of a URI, however often it is encoded.
fn check_plain(uri: &str) -> Result<(), Failure> {
    let mut plain = uri.to_owned();
    loop {
        let decoded = percent_decode(&plain.replace('+', " "));
        if decoded == plain {
            break;
        }
        plain = decoded;
    }
    let path = plain.split(['?', '#']).next().unwrap_or_default();
    if path.contains('\0') || plain.split('/').any(|part| part == ".." || part == ".") {
        return Err(Failure::invalid(format!(
            "Invalid model version source: '{uri}'. If supplying a source as an http, https, local file \
             path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without \
             relative path references present. Please provide an absolute path."
        )));
    }
    Ok(())
}
