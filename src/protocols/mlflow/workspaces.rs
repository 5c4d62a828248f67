//! Workspaces as newer clients manage them: `mlflow.create_workspace` and its like.
//!
//! Clients know them by their names in lower case, which is how they compare here too.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::IntoResponse,
};
use serde::Serialize;

use super::{
    error::{ErrorCode, Failure},
    fields::Fields,
    wire::{Answer, answer},
};
use api::{
    Code, Error,
    workspaces::{
        CreateWorkspace, DeleteWorkspace, GetWorkspace, ListWorkspaces, UpdateWorkspace, Workspace,
    },
};
use service::{Caller, Perform, Service};

#[derive(Serialize)]
struct Shown {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

impl From<Workspace> for Shown {
    fn from(workspace: Workspace) -> Self {
        Self {
            name: workspace.name.to_lowercase(),
            description: workspace.description,
        }
    }
}

#[derive(Serialize)]
struct One {
    workspace: Shown,
}

impl From<Workspace> for One {
    fn from(workspace: Workspace) -> Self {
        Self {
            workspace: workspace.into(),
        }
    }
}

#[derive(Serialize)]
struct All {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workspaces: Vec<Shown>,
}

pub async fn list(State(service): State<Service>, Extension(caller): Extension<Caller>) -> Answer {
    let all = ListWorkspaces {}.perform(&service, &caller).await?;
    answer(&All {
        workspaces: all.into_iter().map(Into::into).collect(),
    })
}

pub async fn create(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let fields = Fields::parse(&body)?;
    refuse_storage(&fields)?;
    let name = fields.required("name")?;
    let create = CreateWorkspace {
        name: name.clone(),
        description: fields.text("description")?.unwrap_or_default(),
        ..CreateWorkspace::default()
    };
    let made = create.perform(&service, &caller).await;
    let made = made.map_err(|error| match error.code {
        Code::Conflict => Failure::new(
            ErrorCode::AlreadyExists,
            format!("Workspace '{name}' already exists."),
        ),
        _ => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(One::from(made))).into_response())
}

/// Files of a workspace are kept by AMLite itself, for as long as what they belong to.
fn refuse_storage(fields: &Fields) -> Result<(), Failure> {
    let archival = fields.object("trace_archival_config")?;
    let archival = archival.map(|archival| archival.some_text("location"));
    let archival = archival.transpose()?.flatten();
    match fields.some_text("default_artifact_root")?.or(archival) {
        None => Ok(()),
        Some(root) => Err(Failure::invalid(format!(
            "The files of a workspace are kept by this server and cannot be kept at '{root}'; an \
             experiment can have an artifact location of its own"
        ))),
    }
}

pub async fn get(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
) -> Answer {
    let get = GetWorkspace { workspace };
    answer(&One::from(get.perform(&service, &caller).await?))
}

pub async fn update(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
    body: Bytes,
) -> Answer {
    let fields = Fields::parse(&body)?;
    refuse_storage(&fields)?;
    let update = UpdateWorkspace {
        workspace,
        description: fields.text("description")?,
        ..UpdateWorkspace::default()
    };
    answer(&One::from(update.perform(&service, &caller).await?))
}

pub async fn delete(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let if_empty = match query.get("mode").map(String::as_str) {
        None | Some("RESTRICT") => true,
        Some("CASCADE") => false,
        Some("SET_DEFAULT") => {
            return Err(Failure::invalid(
                "What a workspace holds cannot be moved to another one; delete it along with mode CASCADE",
            ));
        }
        Some(other) => {
            return Err(Failure::invalid(format!(
                "Invalid deletion mode '{other}'. Must be one of: RESTRICT, CASCADE"
            )));
        }
    };
    let delete = DeleteWorkspace {
        workspace,
        if_empty,
    };
    let deleted = delete.perform(&service, &caller).await;
    deleted.map_err(|error: Error| match error.code {
        Code::Conflict => Failure::new(
            ErrorCode::InvalidParameterValue,
            format!(
                "{}; remove that first or delete it along with mode CASCADE",
                error.message
            ),
        ),
        _ => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
