//! Asking an endpoint with what opens it, again while it comes up; and why it does not answer.

use std::time::{Duration, Instant};

use crate::{
    context::Context,
    error::{Exit, SCRIPT_FAILED},
};
use api::{
    Code, Error, Result,
    deployments::Deployed,
    endpoints::{
        AuthMode, Endpoint, EndpointState, GetEndpoint, GetEndpointKeys, GetEndpointLog,
        GetEndpointToken,
    },
};
use client::{
    Client,
    score::{Refusal, Scored},
    traceback,
};

/// How long an endpoint that comes up is asked again, and how often.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(250);
/// Lines of a log in which an exception is looked for.
const LOOKED_AT: u32 = 2000;

/// Sends a document to an endpoint with what opens it.
pub async fn ask(
    ctx: &Context,
    workspace: &str,
    name: &str,
    deployment: Option<&str>,
    document: Vec<u8>,
) -> anyhow::Result<Vec<u8>> {
    let client = ctx.client().await?;
    let asked = Asked {
        client,
        workspace,
        name,
        deployment,
    };
    let key = asked.key().await?;
    let begun = Instant::now();
    loop {
        let answer = client.score(workspace, name, deployment, &key, document.clone());
        let (soon, error) = match answer.await {
            Ok(Scored::Answered(answer)) => return Ok(answer),
            Ok(Scored::Refused(refusal)) => return Err(asked.refused(refusal).await),
            Ok(Scored::NotNow(error)) => (true, named(error, name)),
            Err(error) if error.code == Code::Unavailable => (false, named(error, name)),
            Err(error) => return Err(error.into()),
        };
        let (mut hope, mut why) = asked.explained(&error).await;
        let in_time = || soon && begun.elapsed() < PATIENCE;
        // Each refusal counts as an error of the deployment: until it is up it is only looked at.
        let mut came_up = false;
        while hope == Hope::ComesUp && in_time() {
            tokio::time::sleep(AGAIN).await;
            (hope, why) = asked.explained(&error).await;
            came_up = hope == Hope::Soon;
        }
        if came_up {
            continue;
        }
        if hope != Hope::Soon || !in_time() {
            return Err(why.into());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The front of an endpoint does not know what it is called.
fn named(mut error: Error, endpoint: &str) -> Error {
    for hint in &mut error.hints {
        *hint = hint.replace(
            "aml endpoint logs NAME",
            &format!("aml endpoint logs {endpoint}"),
        );
    }
    error
}

/// Whether who did not answer may do so without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    None,
    /// Not before it is up.
    ComesUp,
    Soon,
}

/// An endpoint that was asked.
struct Asked<'a> {
    client: &'a Client,
    workspace: &'a str,
    name: &'a str,
    deployment: Option<&'a str>,
}

impl Asked<'_> {
    async fn endpoint(&self) -> Result<Endpoint> {
        let get = GetEndpoint {
            workspace: self.workspace.to_owned(),
            name: self.name.to_owned(),
        };
        self.client.call(&get).await
    }

    async fn key(&self) -> Result<String> {
        let (workspace, name) = (self.workspace.to_owned(), self.name.to_owned());
        match self.endpoint().await?.auth_mode {
            AuthMode::Key => {
                let request = GetEndpointKeys { workspace, name };
                Ok(self.client.call(&request).await?.primary)
            }
            AuthMode::AmlToken | AuthMode::AadToken => {
                let request = GetEndpointToken {
                    workspace,
                    name,
                    seconds: Some(60),
                };
                Ok(self.client.call(&request).await?.token)
            }
        }
    }

    /// Why it does not answer, and whether it may.
    async fn explained(&self, error: &Error) -> (Hope, Error) {
        let name = self.name;
        let endpoint = match self.endpoint().await {
            Ok(endpoint) => endpoint,
            Err(gone) if gone.code == Code::NotFound => return (Hope::None, gone),
            Err(_) => return (Hope::Soon, error.clone()),
        };
        let mut all = endpoint.deployments.into_iter();
        let meant = self.deployment.and_then(|meant| {
            let is_it = |one: &Deployed| one.name.eq_ignore_ascii_case(meant);
            all.find(is_it)
        });
        let (state, message, who, logs) = match meant {
            Some(one) => (
                one.state,
                one.message,
                format!("deployment `{}` of `{name}`", one.name),
                format!("aml endpoint logs {name} --deployment {}", one.name),
            ),
            None => (
                endpoint.state,
                endpoint.message,
                format!("endpoint `{name}`"),
                format!("aml endpoint logs {name}"),
            ),
        };
        let said = |what: &str| Error {
            message: format!("The {who} {what}"),
            hints: Vec::new(),
            ..error.clone()
        };
        let message = message.unwrap_or_default();
        match state {
            EndpointState::Stopped => {
                let start = format!("Start it: aml endpoint start {name}");
                (Hope::None, said("is stopped").hint(start))
            }
            EndpointState::Failed => {
                // The rest of it is shown with the endpoint.
                let why = message.lines().next().unwrap_or_default();
                let error = said(&format!("failed: {why}"))
                    .hint(format!("Start it again: aml endpoint start {name}"))
                    .hint(format!("See its log: {logs}"));
                (Hope::None, error)
            }
            EndpointState::Starting => {
                let what = match message.as_str() {
                    "" => "is starting".to_owned(),
                    message => format!("is starting: {message}"),
                };
                let see = format!("See how far it is: aml endpoint show {name}");
                (Hope::ComesUp, said(&what).hint(see))
            }
            EndpointState::Healthy => (Hope::Soon, error.clone()),
        }
    }

    /// What a scoring script, or its server, answers instead of a score.
    async fn refused(&self, refusal: Refusal) -> anyhow::Error {
        let raised = match &refusal.request {
            Some(request) if refusal.status >= 500 => self.raised(&refusal, request).await,
            _ => None,
        };
        let said = match raised {
            Some(exception) => format!("it raised {exception}"),
            None => refusal.said,
        };
        let status = refusal.status;
        let named = refusal.request.map(|id| format!(", as request {id}"));
        let named = named.unwrap_or_default();
        let of = refusal
            .deployment
            .map(|name| format!(" --deployment {name}"));
        let (name, of) = (self.name, of.unwrap_or_default());
        let error = Error::invalid(format!("The scoring script answered {status}: {said}"));
        let error = error.hint(format!(
            "Its log has it{named}: aml endpoint logs {name}{of}"
        ));
        anyhow::Error::new(error).context(Exit(SCRIPT_FAILED))
    }

    /// The exception that the log has of a request; whoever may ask may read the log.
    async fn raised(&self, refusal: &Refusal, request: &str) -> Option<String> {
        let get = GetEndpointLog {
            workspace: self.workspace.to_owned(),
            name: self.name.to_owned(),
            deployment: refusal.deployment.clone(),
            lines: Some(LOOKED_AT),
            offset: 0,
            access: false,
        };
        let log = self.client.call(&get).await.ok()?.text;
        traceback::raised_for(&log, request)
    }
}
