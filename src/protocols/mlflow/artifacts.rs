//! Files: the proxy through which clients keep artifacts, and their listings.

use std::collections::BTreeMap;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::Query,
    http::{HeaderMap, HeaderValue, header::CONTENT_DISPOSITION},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    address::{Address, Owner, Target, target, target_to_write},
    call::{Call, Place},
    error::{ErrorCode, Failure},
    fields::Fields,
    model_versions,
    runs::{self, run_error},
    wire::{Answer, answer, done},
};
use api::{
    Code,
    files::{GetTree, Hash, ListArtifacts, RemoveArtifacts, check_path},
    traces::{ListTraceFiles, RemoveTraceFiles},
};
use service::{Action, Content};

/// How the server answers a stored file, whole or the range that is asked for.
pub type SendFile = fn(Content, &HeaderMap) -> Response;

/// The largest file that pages may send.
const PAGE_UPLOAD: usize = 10 << 20;

fn path_of_call(place: &Place) -> &str {
    place.path.get("path").map_or("", String::as_str)
}

pub async fn put(place: Place, body: Body) -> Answer {
    let Target { owner, path } = target_to_write(&place, path_of_call(&place)).await?;
    let (service, caller, body) = (&place.service, &place.caller, body.into_data_stream());
    let workspace = &place.workspace;
    match owner {
        Owner::Run(run) => {
            service
                .write_artifact(caller, workspace, &run, &path, body)
                .await?
        }
        Owner::Trace(trace) => {
            service
                .write_trace_file(caller, workspace, &trace, &path, body)
                .await?
        }
    };
    Ok(().into_response())
}

pub async fn get(place: Place, Extension(send): Extension<SendFile>, headers: HeaderMap) -> Answer {
    let (content, path) = open(&place, path_of_call(&place)).await?;
    Ok(attached(send(content, &headers), &path))
}

/// Opens what is at an address, with its path there.
pub async fn open(place: &Place, address: &str) -> Result<(Content, String), Failure> {
    let parsed = Address::parse(address)?;
    if let Address::Tree { hash, path } = parsed {
        return Ok((of_tree(place, hash, &path).await?, path));
    }
    match target(place, parsed).await? {
        Some(target) => Ok((of_target(place, &target).await?, target.path)),
        None => Err(Failure::missing(format!("No such artifact: {address}"))),
    }
}

async fn of_target(place: &Place, Target { owner, path }: &Target) -> Result<Content, Failure> {
    check_file(path)?;
    let (service, caller, workspace) = (&place.service, &place.caller, &place.workspace);
    Ok(match owner {
        Owner::Run(run) => service.read_artifact(caller, workspace, run, path).await?,
        Owner::Trace(trace) => {
            service
                .read_trace_file(caller, workspace, trace, path)
                .await?
        }
    })
}

/// A file of a version of a registered model.
async fn of_tree(place: &Place, tree: Hash, path: &str) -> Result<Content, Failure> {
    check_file(path)?;
    let (service, caller, workspace) = (&place.service, &place.caller, &place.workspace);
    Ok(service
        .read_tree_file(caller, workspace, tree, path)
        .await?)
}

pub async fn send_file(
    place: &Place,
    send: SendFile,
    headers: &HeaderMap,
    target: &Target,
) -> Answer {
    let content = of_target(place, target).await?;
    Ok(attached(send(content, headers), &target.path))
}

fn check_file(path: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Err(Failure::missing(
            "The path of a folder is not that of a file",
        ));
    }
    Ok(())
}

/// Tells pages what to call a file when they keep it.
fn attached(mut response: Response, path: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&disposition(path)) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// Says under which name to save a file; what is not ASCII is said in the way of RFC 6266.
fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ';
    if name.chars().all(plain) {
        return format!("attachment; filename=\"{name}\"");
    }
    let fallback = name.replace(|c| !plain(c), "_");
    let full = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{full}")
}

pub async fn delete(place: Place) -> Answer {
    // That there is no such file is no error, but it is told to those only who may know.
    let Place {
        service,
        caller,
        workspace,
        ..
    } = &place;
    service.enter(caller, workspace, Action::Read).await?;
    let Some(Target { owner, path }) =
        target(&place, Address::parse(path_of_call(&place))?).await?
    else {
        return done();
    };
    let workspace = place.workspace.clone();
    let removed = match owner {
        Owner::Run(run) => {
            let remove = RemoveArtifacts {
                workspace,
                run,
                path,
            };
            place.perform(remove).await.map(drop)
        }
        Owner::Trace(trace) => {
            let remove = RemoveTraceFiles {
                workspace,
                trace,
                path,
            };
            place.perform(remove).await.map(drop)
        }
    };
    match removed {
        Err(error) if error.code != Code::NotFound => Err(error.into()),
        _ => done(),
    }
}

#[derive(Serialize)]
struct Files {
    #[serde(skip_serializing_if = "Option::is_none")]
    root_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
}

#[expect(clippy::struct_field_names, reason = "MLflow's names")]
#[derive(Serialize)]
struct File {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

/// What the proxy has directly below a folder, by base names. A file or nothing there is empty.
pub async fn list_proxy(call: Call) -> Answer {
    let address = call.fields.text("path")?.unwrap_or_default();
    let parsed = Address::parse(&address)?;
    if let Address::Tree { hash, path } = &parsed {
        let files = list_tree(&call, *hash, path).await?;
        return answer(&Files {
            root_uri: None,
            files,
        });
    }
    let found = match target(&call, parsed).await {
        Ok(found) => found,
        Err(failure) if failure.code == ErrorCode::DoesNotExist => None,
        Err(failure) => return Err(failure),
    };
    let files = match found {
        Some(target) => list(&call, &target).await?,
        None => Vec::new(),
    };
    answer(&Files {
        root_uri: None,
        files,
    })
}

/// What a logged model has directly below a folder, by paths from the model's root.
pub async fn list_model(call: Call) -> Answer {
    let model = call.fields.required("model_id")?;
    let path = call.fields.text("artifact_directory_path")?;
    let path = path.unwrap_or_default().trim_matches('/').to_owned();
    check_plain(&path)?;
    let address = Address::Model {
        model,
        path: path.clone(),
    };
    let mut files = match target(&call, address).await? {
        Some(target) => list(&call, &target).await?,
        None => Vec::new(),
    };
    below(&path, &mut files);
    answer(&Files {
        root_uri: None,
        files,
    })
}

/// A logged model's file as pages ask for it.
pub async fn get_of_model(
    Extension(send): Extension<SendFile>,
    headers: HeaderMap,
    call: Call,
) -> Answer {
    let model = call.fields.required("model_id")?;
    let path = call.fields.required("artifact_file_path")?;
    check_plain(&path)?;
    let missing = Failure::missing(format!("No such artifact: {path}"));
    let Some(target) = target(&call, Address::Model { model, path }).await? else {
        return Err(missing);
    };
    send_file(&call, send, &headers, &target).await
}

/// A small file as pages send it.
pub async fn upload(
    place: Place,
    Query(query): Query<Vec<(String, String)>>,
    body: Bytes,
) -> Answer {
    let query = Fields::from_query(query);
    let needed = |name: &str| {
        let missing = || Failure::invalid(format!("Request must specify {name}."));
        query.some_text(name)?.ok_or_else(missing)
    };
    let run = needed("run_uuid")?;
    let path = needed("path")?;
    check_plain(&path)?;
    if body.is_empty() {
        return Err(Failure::invalid("Request must specify data."));
    }
    if body.len() > PAGE_UPLOAD {
        return Err(Failure::invalid(
            "Artifact size is too large. Max size is 10MB.",
        ));
    }
    let body = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    place
        .service
        .write_artifact(&place.caller, &place.workspace, &run, &path, body)
        .await
        .map_err(|error| run_error(&run, error))?;
    done()
}

/// Refuses a path that leads elsewhere.
pub fn check_plain(path: &str) -> Result<(), Failure> {
    if !path.is_empty() && check_path(path).is_err() {
        return Err(Failure::invalid("Invalid path"));
    }
    Ok(())
}

/// Turns names in a folder into paths from the root.
fn below(folder: &str, files: &mut [File]) {
    if !folder.is_empty() {
        for file in files {
            file.path = format!("{folder}/{}", file.path);
        }
    }
}

/// What a run has directly below a folder, by paths from the run's root.
pub async fn list_run(call: Call) -> Answer {
    let run = call.fields.run_id()?;
    let found = runs::find(&call, &run).await?;
    let path = call.fields.text("path")?.unwrap_or_default();
    let path = path.trim_end_matches('/').to_owned();
    check_plain(&path)?;
    let owner = Owner::Run(run);
    let target = Target { owner, path };
    let mut files = list(&call, &target).await?;
    below(&target.path, &mut files);
    answer(&Files {
        root_uri: Some(found.artifact_uri),
        files,
    })
}

async fn list(place: &Place, target: &Target) -> Result<Vec<File>, Failure> {
    let (workspace, path) = (place.workspace.clone(), target.path.clone());
    let listed = match target.owner.clone() {
        Owner::Run(run) => {
            let list = ListArtifacts {
                workspace,
                run,
                path,
            };
            place.perform(list).await
        }
        Owner::Trace(trace) => {
            let list = ListTraceFiles {
                workspace,
                trace,
                path,
            };
            place.perform(list).await
        }
    };
    match listed {
        Ok(all) => {
            let all = all.iter().map(|file| (file.path.as_str(), file.size));
            Ok(directly_below(&target.path, all))
        }
        Err(error) if error.code == Code::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What a version of a registered model has directly below a folder.
async fn list_tree(place: &Place, hash: Hash, path: &str) -> Result<Vec<File>, Failure> {
    let get = GetTree {
        workspace: place.workspace.clone(),
        hash,
    };
    let tree = match place.perform(get).await {
        Ok(tree) => tree,
        Err(error) if error.code == Code::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let all = tree.entries.iter();
    let all = all.map(|file| (file.path.as_str(), file.size));
    Ok(directly_below(path.trim_end_matches('/'), all))
}

/// The files and folders directly below a folder. A run's logged models are not shown among its
/// files: clients ask for them by themselves.
fn directly_below<'a>(folder: &str, all: impl Iterator<Item = (&'a str, u64)>) -> Vec<File> {
    let mut found: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for (path, size) in all {
        let rest = match folder {
            "" => Some(path),
            folder => path
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(rest) = rest.filter(|rest| !(folder.is_empty() && rest.starts_with("models/m-")))
        else {
            continue;
        };
        match rest.split_once('/') {
            Some((name, _)) => found.insert(name, None),
            None => found.insert(rest, Some(size)),
        };
    }
    let file = |(name, size): (&str, Option<u64>)| File {
        path: name.to_owned(),
        is_dir: size.is_none(),
        file_size: size,
    };
    found.into_iter().map(file).collect()
}

/// A run's file as pages and older clients ask for it.
pub async fn get_of_run(
    Extension(send): Extension<SendFile>,
    headers: HeaderMap,
    call: Call,
) -> Answer {
    let run = call.fields.run_id()?;
    let path = call.fields.required("path")?;
    check_plain(&path)?;
    let owner = Owner::Run(run);
    send_file(&call, send, &headers, &Target { owner, path }).await
}

/// A file of a version of a registered model, as pages ask for it.
pub async fn get_of_version(
    Extension(send): Extension<SendFile>,
    headers: HeaderMap,
    call: Call,
) -> Answer {
    let path = call.fields.required("path")?;
    check_plain(&path)?;
    let (name, version) = model_versions::version(&call)?;
    let model = model_versions::find(&call, &name, version).await?;
    match model.files {
        Some(files) => {
            let content = of_tree(&call, files.hash, &path).await?;
            Ok(attached(send(content, &headers), &path))
        }
        None => Err(Failure::missing(format!(
            "The files of version {version} of {name} are not kept here"
        ))),
    }
}
