//! One call of an MLflow client: who makes it, in which workspace, with which fields.

use std::collections::BTreeMap;

use super::{
    error::{ErrorCode, Failure},
    fields::Fields,
};
use crate::found_by;
use api::{
    Code, Error,
    workspaces::{CreateWorkspace, ListWorkspaces, Workspace},
};
use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Query, RawPathParams, Request,
        rejection::RawPathParamsRejection,
    },
    http::{HeaderMap, Method, header, request::Parts},
};
use service::{Caller, Perform, Service};

/// Who calls, and where: what every handler needs of a request besides its fields.
#[derive(Clone)]
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

    /// The parts of the address are fields too.
    fn add_to(&self, fields: &mut Fields) {
        for (name, value) in &self.path {
            fields.set(name, value);
        }
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
            Err(RawPathParamsRejection::MissingPathParams(_)) => BTreeMap::new(),
            Err(other) => return Err(Failure::invalid(other.body_text())),
        };
        let workspace = match (path.remove("workspace"), named_in(&parts.headers)) {
            (Some(name), Some(other)) if !other.eq_ignore_ascii_case(&name) => {
                return Err(Failure::invalid(format!(
                    "The tracking URI names the workspace `{name}` and {HEADER} the workspace \
                     `{other}`; leave one of them out"
                )));
            }
            (Some(name), _) => name,
            (None, Some(name)) if name != DEFAULT => name,
            (None, header) => root(service, &caller, header.is_some()).await?,
        };
        Ok(Self {
            service: found_by(service.clone(), &parts.headers),
            caller,
            workspace,
            path,
        })
    }
}

/// The header by which MLflow's clients name a workspace, and the workspace that all its servers have.
const HEADER: &str = "X-MLFLOW-WORKSPACE";
const DEFAULT: &str = "default";

fn named_in(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(HEADER)?.to_str().ok()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The workspace at the root: the only one unless `default` was asked for, else the one named so. A
/// server that has none yet gets it, so that it serves a client as MLflow's own would.
async fn root(service: &Service, caller: &Caller, by_name: bool) -> Result<String, Failure> {
    let mut all = ListWorkspaces {}.perform(service, caller).await?;
    if all.len() == 1 && !by_name {
        return Ok(all.swap_remove(0).name);
    }
    let is_default = |workspace: &&Workspace| workspace.name.eq_ignore_ascii_case(DEFAULT);
    if let Some(found) = all.iter().find(is_default) {
        return Ok(found.name.clone());
    }
    match all.first() {
        None => first(service, caller).await,
        // Its operations say that it is not there, and which there are.
        Some(_) if by_name => Ok(DEFAULT.to_owned()),
        Some(other) => Err(Failure::invalid(format!(
            "This server has several workspaces; name one in the tracking URI: {}/ws/{}",
            service.base_url(),
            other.name.to_lowercase()
        ))),
    }
}

async fn first(service: &Service, caller: &Caller) -> Result<String, Failure> {
    let create = CreateWorkspace {
        name: DEFAULT.to_owned(),
        ..CreateWorkspace::default()
    };
    match create.perform(service, caller).await {
        Ok(made) => Ok(made.name),
        // Another client was here at the same time.
        Err(error) if error.code == Code::Conflict => Ok(DEFAULT.to_owned()),
        Err(error) if error.code == Code::Denied => Err(Failure::new(
            ErrorCode::PermissionDenied,
            format!(
                "`{}` has no role in any workspace of this server; an owner of one can assign it: \
                 aml workspace share add -n WORKSPACE --user {}",
                caller.name(),
                caller.name()
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

/// A call whose body is not read yet.
pub struct Posted {
    pub place: Place,
    pub body: Bytes,
}

impl Posted {
    /// Reads the body's fields.
    pub fn read(self) -> Result<Call, Failure> {
        let mut fields = Fields::parse(&self.body)?;
        self.place.add_to(&mut fields);
        Ok(Call {
            place: self.place,
            fields,
        })
    }
}

impl FromRequest<Service> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let place = Place::from_request_parts(&mut parts, service).await?;
        if parts.method == Method::POST {
            check_content_type(&parts.headers)?;
        }
        let request = Request::from_parts(parts, body);
        let body = Bytes::from_request(request, service).await.map_err(|e| {
            Failure::new(
                ErrorCode::BadRequest,
                format!("The body cannot be read, or is larger than a call's may be: {e}"),
            )
        })?;
        Ok(Self { place, body })
    }
}

impl FromRequest<Service> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        if request.method() != Method::GET {
            return Posted::from_request(request, service).await?.read();
        }
        let (mut parts, _) = request.into_parts();
        let place = Place::from_request_parts(&mut parts, service).await?;
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let mut fields = Fields::from_query(query.map(|Query(pairs)| pairs).unwrap_or_default());
        place.add_to(&mut fields);
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
