//! Webhooks as MLflow's clients manage them, and what their receivers get.

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use serde::Serialize;
use serde_json::json;

use super::{
    call::Call,
    error::Failure,
    experiments::not_found,
    fields::{Fields, missing},
    wire::{self, Answer, answer, done},
};
use api::{
    Error,
    webhooks::{
        CreateWebhook, DeleteWebhook, Event, GetWebhook, ListWebhooks, TestWebhook, UpdateWebhook,
        Webhook as OurWebhook, WebhookStatus,
    },
};
use service::Parcel;

/// What a receiver gets: a body, and headers that prove who sent it and when.
pub struct Letter {
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Writes and signs a letter. Every attempt is signed anew, so that a receiver may refuse old ones;
/// the id stays, so that it knows one that it has had.
pub fn letter(parcel: &Parcel) -> Letter {
    let (entity, action) = parcel.event.parts();
    let occurred_at = parcel.occurred_at.datetime();
    let body = json!({
        "entity": entity,
        "action": action,
        "timestamp": occurred_at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        "data": parcel.data,
        "workspace": parcel.workspace,
    })
    .to_string();
    let sent_at = (parcel.sent_at.0 / 1000).to_string();
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    if let Some(secret) = &parcel.secret {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signed = format!("{}.{sent_at}.{body}", parcel.id);
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        headers.push(("X-MLflow-Signature", format!("v1,{signature}")));
    }
    headers.push(("X-MLflow-Timestamp", sent_at));
    headers.push(("X-MLflow-Delivery-Id", parcel.id.clone()));
    Letter { headers, body }
}

#[derive(Serialize)]
struct OneWebhook {
    webhook: Webhook,
}

#[derive(Serialize)]
struct Webhook {
    #[serde(rename = "webhook_id")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    url: String,
    events: Vec<WireEvent>,
    status: &'static str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
}

#[derive(Serialize)]
struct WireEvent {
    entity: String,
    action: String,
}

impl From<OurWebhook> for Webhook {
    fn from(webhook: OurWebhook) -> Self {
        let event = |event: Event| {
            let (entity, action) = event.parts();
            WireEvent {
                entity: entity.to_uppercase(),
                action: action.to_uppercase(),
            }
        };
        Self {
            id: webhook.id,
            name: webhook.name,
            description: webhook.description,
            url: webhook.url,
            events: webhook
                .events
                .into_iter()
                .filter(|event| event.is_of_mlflow())
                .map(event)
                .collect(),
            status: match webhook.status {
                WebhookStatus::Active => "ACTIVE",
                WebhookStatus::Disabled => "DISABLED",
            },
            creation_timestamp: webhook.created_at.0,
            last_updated_timestamp: webhook.updated_at.0,
        }
    }
}

fn one(webhook: OurWebhook) -> Answer {
    answer(&OneWebhook {
        webhook: webhook.into(),
    })
}

fn webhook_error(id: &str, error: Error) -> Failure {
    not_found(error, format!("Webhook with ID {id} not found."))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() <= 63
        && name.chars().all(inside)
        && ends(name.chars().next())
        && ends(name.chars().last())
    {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "Webhook name '{name}' is invalid. It must start and end with a letter or digit, be less than 63 \
         characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
    )))
}

/// An event by the names or numbers of MLflow's messages.
fn event(fields: &Fields) -> Result<Event, Failure> {
    const ENTITIES: [&str; 11] = [
        "ENTITY_UNSPECIFIED",
        "REGISTERED_MODEL",
        "MODEL_VERSION",
        "MODEL_VERSION_TAG",
        "MODEL_VERSION_ALIAS",
        "PROMPT",
        "PROMPT_VERSION",
        "PROMPT_TAG",
        "PROMPT_VERSION_TAG",
        "PROMPT_ALIAS",
        "BUDGET_POLICY",
    ];
    const ACTIONS: [&str; 6] = [
        "ACTION_UNSPECIFIED",
        "CREATED",
        "UPDATED",
        "DELETED",
        "SET",
        "EXCEEDED",
    ];
    let entity = by_number(fields, "entity", &ENTITIES)?.to_lowercase();
    let action = by_number(fields, "action", &ACTIONS)?.to_lowercase();
    format!("{entity}.{action}").parse().map_err(|_| {
        let of_entity = Event::ALL.into_iter().filter(|event| event.is_of_mlflow());
        let of_entity = of_entity.map(Event::parts);
        let valid: Vec<&str> = of_entity
            .filter(|(known, _)| *known == entity)
            .map(|(_, action)| action)
            .collect();
        Failure::invalid(format!(
            "Invalid action '{action}' for entity '{entity}'. Valid actions are: {valid:?}"
        ))
    })
}

fn by_number(fields: &Fields, name: &str, all: &[&str]) -> Result<String, Failure> {
    match fields.integer(name) {
        Ok(Some(number)) => {
            let named = usize::try_from(number).ok().and_then(|at| all.get(at));
            named
                .map(|name| (*name).to_owned())
                .ok_or_else(|| Failure::invalid(format!("Unknown {name}: {number}")))
        }
        Ok(None) => Err(missing(name)),
        Err(_) => fields.required(name),
    }
}

fn events(call: &Call) -> Result<Vec<Event>, Failure> {
    call.fields.objects("events")?.iter().map(event).collect()
}

fn status(call: &Call) -> Result<Option<WebhookStatus>, Failure> {
    if !call.fields.has("status") {
        return Ok(None);
    }
    let name = by_number(&call.fields, "status", &["", "ACTIVE", "DISABLED"])?;
    match name.as_str() {
        "ACTIVE" => Ok(Some(WebhookStatus::Active)),
        "DISABLED" => Ok(Some(WebhookStatus::Disabled)),
        _ => Err(Failure::invalid(format!("Unknown webhook status: {name}"))),
    }
}

pub async fn create(call: Call) -> Answer {
    let fields = &call.fields;
    let name = fields.required("name")?;
    check_name(&name)?;
    let events = events(&call)?;
    if events.is_empty() {
        return Err(missing("events"));
    }
    let create = CreateWebhook {
        workspace: call.workspace.clone(),
        name,
        url: fields.required("url")?,
        events,
        description: fields.text("description")?.unwrap_or_default(),
        secret: fields.some_text("secret")?,
        status: status(&call)?.unwrap_or_default(),
    };
    one(call.perform(create).await?)
}

pub async fn list(call: Call) -> Answer {
    let limit = call.fields.integer("max_results")?.unwrap_or(100);
    let limit = u32::try_from(limit).ok().filter(|limit| *limit <= 1000);
    let limit = match limit {
        Some(0) => 100,
        Some(limit) => limit,
        None => {
            return Err(Failure::invalid("max_results must be between 1 and 1000."));
        }
    };
    let list = ListWebhooks {
        workspace: call.workspace.clone(),
        limit: Some(limit),
        page: call.fields.some_text("page_token")?,
    };
    let page = call.perform(list).await?;
    // Clients refuse those that are told nothing.
    let known = |webhook: &OurWebhook| webhook.events.iter().any(|event| event.is_of_mlflow());
    let webhooks = page.items.into_iter().filter(known);
    let webhooks: Vec<Webhook> = webhooks.map(Into::into).collect();
    wire::page("webhooks", &webhooks, page.next)
}

pub async fn get(call: Call) -> Answer {
    let id = call.fields.required("webhook_id")?;
    let get = GetWebhook {
        workspace: call.workspace.clone(),
        webhook: id.clone(),
    };
    one(call
        .perform(get)
        .await
        .map_err(|error| webhook_error(&id, error))?)
}

pub async fn update(call: Call) -> Answer {
    let fields = &call.fields;
    let id = fields.required("webhook_id")?;
    let name = fields.some_text("name")?;
    if let Some(name) = &name {
        check_name(name)?;
    }
    let events = events(&call)?;
    let update = UpdateWebhook {
        workspace: call.workspace.clone(),
        webhook: id.clone(),
        name,
        url: fields.some_text("url")?,
        events: (!events.is_empty()).then_some(events),
        description: fields.text("description")?,
        secret: fields.text("secret")?,
        status: status(&call)?,
    };
    one(call
        .perform(update)
        .await
        .map_err(|error| webhook_error(&id, error))?)
}

pub async fn delete(call: Call) -> Answer {
    let id = call.fields.required("webhook_id")?;
    let delete = DeleteWebhook {
        workspace: call.workspace.clone(),
        webhook: id.clone(),
    };
    call.perform(delete)
        .await
        .map_err(|error| webhook_error(&id, error))?;
    done()
}

#[derive(Serialize)]
struct TestResult {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

pub async fn test(call: Call) -> Answer {
    let id = call.fields.required("webhook_id")?;
    let wanted = call.fields.object("event")?;
    let test = TestWebhook {
        workspace: call.workspace.clone(),
        webhook: id.clone(),
        event: wanted.as_ref().map(event).transpose()?,
    };
    let tested = call
        .perform(test)
        .await
        .map_err(|error| webhook_error(&id, error))?;
    let result = TestResult {
        success: tested.accepted,
        response_status: tested.status,
        response_body: tested.status.map(|_| tested.body),
        error_message: tested
            .error
            .map(|error| format!("Failed to test webhook: {error}")),
    };
    answer(&json!({"result": result}))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::letter;
    use api::{Time, webhooks::Event};
    use service::Parcel;

    /// The signature was made by another implementation: Python's `hmac`.
    #[test]
    fn a_letter_is_signed_over_its_id_its_time_and_its_body() {
        let parcel = Parcel {
            url: "https://example.com".to_owned(),
            secret: Some("hush".to_owned()),
            id: "d1".to_owned(),
            event: Event::ModelVersionAliasCreated,
            workspace: "ws".to_owned(),
            data: json!({"name": "iris", "alias": "champion", "version": "3"}),
            occurred_at: Time(1_700_000_000_123),
            sent_at: Time(1_700_000_060_999),
        };
        let letter = letter(&parcel);
        assert_eq!(
            letter.body,
            r#"{"entity":"model_version_alias","action":"created","timestamp":"2023-11-14T22:13:20.123000+00:00","data":{"name":"iris","alias":"champion","version":"3"},"workspace":"ws"}"#
        );
        let headers: Vec<String> = letter
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            headers,
            [
                "Content-Type: application/json",
                "X-MLflow-Signature: v1,T5XDe+Y6uL0MtE6JldSOqoRp7EmQouSxUU5CvzkbgJI=",
                "X-MLflow-Timestamp: 1700000060",
                "X-MLflow-Delivery-Id: d1",
            ]
        );
        let unsigned = super::letter(&Parcel {
            secret: None,
            ..parcel
        });
        assert_eq!(unsigned.headers.len(), 3);
    }
}
