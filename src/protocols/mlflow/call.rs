//! One call of an MLflow client: who makes it, in which workspace, with which fields.

use std::collections::BTreeMap;

use super::{
    error::{ErrorCode, Failure},
    fields::Fields,
};
use crate::{
    api::{
        Code, Error,
        workspaces::{CreateWorkspace, Edition, ExistingResources, ListWorkspaces},
    },
    service::{Caller, Perform, Service},
};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    http::{HeaderMap, Method, header, request::Parts},
};

/// Who calls, and where: what every handler needs of a request besides its fields.
pub struct Place {
    pub service: Service,
    pub caller: Caller,
    pub workspace: String,
    /// The parts of the address that are fields.
    pub path: BTreeMap<String, String>,
}

/// A call whose fields are in the query, the JSON body and the address.
pub struct Call {
    pub place: Place,
    pub fields: Fields,
}

impl std::ops::Deref for Call {
    type Target = Place;
    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Place {
    /// Performs an operation as the caller.
    pub async fn perform<O: Perform>(&self, operation: O) -> Result<O::Output, Error> {
        operation.perform(&self.service, &self.caller).await
    }
}

impl FromRequestParts<Service> for Place {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller
            .ok_or_else(|| Failure::new(ErrorCode::Internal, "The caller was not looked at"))?;
        let params = RawPathParams::from_request_parts(parts, service).await;
        let mut path: BTreeMap<String, String> = match &params {
            Ok(params) => params
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            Err(_) => BTreeMap::new(),
        };
        let workspace = match path.remove("workspace") {
            Some(name) => name,
            None => workspace_at_root(service, &caller, &parts.headers).await?,
        };
        Ok(Self {
            service: service.clone(),
            caller,
            workspace,
            path,
        })
    }
}

/// The workspace of clients whose address names none, made for the first of them.
const DEFAULT_WORKSPACE: &str = "default";

/// Without a workspace in the address: the one a header names, else the only one, else `default`,
/// which is made when there is none at all and the caller may make it.
async fn workspace_at_root(
    service: &Service,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<String, Failure> {
    if let Some(name) = headers
        .get("x-mlflow-workspace")
        .and_then(|value| value.to_str().ok())
        .filter(|name| !name.is_empty())
    {
        return Ok(name.to_owned());
    }
    let mut all = ListWorkspaces {}.perform(service, caller).await?;
    if all.len() == 1 {
        return Ok(all.swap_remove(0).name);
    }
    if let Some(found) = all
        .iter()
        .find(|workspace| workspace.name.eq_ignore_ascii_case(DEFAULT_WORKSPACE))
    {
        return Ok(found.name.clone());
    }
    match all.first() {
        None => default_workspace(service, caller).await,
        Some(first) => Err(Failure::invalid(format!(
            "This server has several workspaces; name one in the tracking URI: {}/ws/{}",
            service.base_url(),
            first.name
        ))),
    }
}

async fn default_workspace(service: &Service, caller: &Caller) -> Result<String, Failure> {
    let create = CreateWorkspace {
        name: DEFAULT_WORKSPACE.to_owned(),
        edition: Edition::Basic,
        description: String::new(),
        display_name: None,
        location: None,
        resource_group: None,
        subscription: None,
        tags: BTreeMap::new(),
        existing: ExistingResources::default(),
    };
    match create.perform(service, caller).await {
        Ok(made) => Ok(made.name),
        // Another client was as early.
        Err(error) if error.code == Code::Conflict => Ok(DEFAULT_WORKSPACE.to_owned()),
        Err(error) if error.code == Code::Denied => Err(Failure::missing(
            "There is no workspace that you may use; an admin creates one and shares it: \
             aml workspace create -n default",
        )),
        Err(error) => Err(error.into()),
    }
}

impl FromRequest<Service> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let place = Place::from_request_parts(&mut parts, service).await?;
        let mut fields = if parts.method == Method::GET {
            let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
            Fields::from_query(query.map(|Query(pairs)| pairs).unwrap_or_default())
        } else {
            if parts.method == Method::POST {
                check_content_type(&parts.headers)?;
            }
            let request = Request::from_parts(parts, body);
            let body = Bytes::from_request(request, service).await.map_err(|e| {
                Failure::new(
                    ErrorCode::BadRequest,
                    format!("The body cannot be read: {e}"),
                )
            })?;
            Fields::parse(&body)?
        };
        for (name, value) in &place.path {
            fields.set(name, value);
        }
        Ok(Self { place, fields })
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(found) = headers.get(header::CONTENT_TYPE) else {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            "Bad Request. Content-Type header is missing.",
        ));
    };
    let kind = found.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::BadRequest,
        "Bad Request. Content-Type must be one of ['application/json'].",
    ))
}
