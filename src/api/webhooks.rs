//! Webhooks: addresses that are told what happens to models and prompts.

use serde::{Deserialize, Serialize};

use super::{Done, Error, Page, Result, Time, operation};

/// What a webhook can be told of. Events are called as MLflow calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Event {
    RegisteredModelCreated,
    ModelVersionCreated,
    ModelVersionTagSet,
    ModelVersionTagDeleted,
    ModelVersionAliasCreated,
    ModelVersionAliasDeleted,
    PromptCreated,
    PromptVersionCreated,
    PromptTagSet,
    PromptTagDeleted,
    PromptVersionTagSet,
    PromptVersionTagDeleted,
    PromptAliasCreated,
    PromptAliasDeleted,
    /// A monitor has found what is beyond a threshold. MLflow has no such event.
    MonitorAlerted,
}

impl Event {
    pub const ALL: [Event; 15] = [
        Event::RegisteredModelCreated,
        Event::ModelVersionCreated,
        Event::ModelVersionTagSet,
        Event::ModelVersionTagDeleted,
        Event::ModelVersionAliasCreated,
        Event::ModelVersionAliasDeleted,
        Event::PromptCreated,
        Event::PromptVersionCreated,
        Event::PromptTagSet,
        Event::PromptTagDeleted,
        Event::PromptVersionTagSet,
        Event::PromptVersionTagDeleted,
        Event::PromptAliasCreated,
        Event::PromptAliasDeleted,
        Event::MonitorAlerted,
    ];

    /// `entity.action`.
    pub fn name(self) -> &'static str {
        match self {
            Event::RegisteredModelCreated => "registered_model.created",
            Event::ModelVersionCreated => "model_version.created",
            Event::ModelVersionTagSet => "model_version_tag.set",
            Event::ModelVersionTagDeleted => "model_version_tag.deleted",
            Event::ModelVersionAliasCreated => "model_version_alias.created",
            Event::ModelVersionAliasDeleted => "model_version_alias.deleted",
            Event::PromptCreated => "prompt.created",
            Event::PromptVersionCreated => "prompt_version.created",
            Event::PromptTagSet => "prompt_tag.set",
            Event::PromptTagDeleted => "prompt_tag.deleted",
            Event::PromptVersionTagSet => "prompt_version_tag.set",
            Event::PromptVersionTagDeleted => "prompt_version_tag.deleted",
            Event::PromptAliasCreated => "prompt_alias.created",
            Event::PromptAliasDeleted => "prompt_alias.deleted",
            Event::MonitorAlerted => "monitor.alerted",
        }
    }

    /// Whether MLflow's clients know it.
    pub fn is_of_mlflow(self) -> bool {
        self != Event::MonitorAlerted
    }

    /// To what something happens, and what.
    pub fn parts(self) -> (&'static str, &'static str) {
        self.name().split_once('.').unwrap_or_default()
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Event> for String {
    fn from(event: Event) -> Self {
        event.name().to_owned()
    }
}

impl TryFrom<String> for Event {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl std::str::FromStr for Event {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Event::ALL.into_iter().find(|event| event.name() == name);
        found.ok_or_else(|| {
            let all = Event::ALL.map(Event::name);
            let nearest = super::names::nearest(name, all);
            let error = Error::invalid(format!("There is no event `{name}`")).at("event");
            match nearest {
                Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
                None => error.hint(format!("There are {}", all.join(", "))),
            }
        })
    }
}

/// Whether a webhook is told anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookStatus {
    #[default]
    Active,
    /// It is told nothing; what was on its way waits.
    Disabled,
}

impl WebhookStatus {
    pub fn name(self) -> &'static str {
        match self {
            WebhookStatus::Active => "active",
            WebhookStatus::Disabled => "disabled",
        }
    }
}

/// An address and what it is told of. Its secret is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Unique in the server.
    pub id: String,
    /// Several webhooks may have the same.
    pub name: String,
    pub url: String,
    pub description: String,
    pub events: Vec<Event>,
    pub status: WebhookStatus,
    /// Deliveries are signed with its secret.
    pub signed: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes a webhook. Its address must be one that the server may deliver to.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct CreateWebhook {
    pub workspace: String,
    pub name: String,
    pub url: String,
    pub events: Vec<Event>,
    #[serde(default)]
    pub description: String,
    /// Deliveries are signed with it; they are not when it is absent or empty.
    #[serde(default)]
    pub secret: Option<String>,
    #[serde(default)]
    pub status: WebhookStatus,
}
operation!(CreateWebhook => Webhook, "webhooks.create");

/// The webhooks of a workspace, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListWebhooks {
    pub workspace: String,
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(ListWebhooks => Page<Webhook>, "webhooks.list");

/// One webhook, by its id, or by its name when no other has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetWebhook {
    pub workspace: String,
    pub webhook: String,
}
operation!(GetWebhook => Webhook, "webhooks.get");

/// Changes what is given of a webhook and leaves the rest.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct UpdateWebhook {
    pub workspace: String,
    pub webhook: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub events: Option<Vec<Event>>,
    #[serde(default)]
    pub description: Option<String>,
    /// An empty one ends signing.
    #[serde(default)]
    pub secret: Option<String>,
    #[serde(default)]
    pub status: Option<WebhookStatus>,
}
operation!(UpdateWebhook => Webhook, "webhooks.update");

/// Deletes a webhook with what was on its way to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteWebhook {
    pub workspace: String,
    pub webhook: String,
}
operation!(DeleteWebhook => Done, "webhooks.delete");

/// Sends an example of an event, once and at once, also to a disabled webhook. It is not a delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestWebhook {
    pub workspace: String,
    pub webhook: String,
    /// The first of the webhook's events when absent.
    #[serde(default)]
    pub event: Option<Event>,
}
operation!(TestWebhook => WebhookTest, "webhooks.test");

/// How a receiver took an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTest {
    pub accepted: bool,
    /// The HTTP status of its answer, when it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The beginning of its answer.
    #[serde(default)]
    pub body: String,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a webhook was told of lately and is about to be told of, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListDeliveries {
    pub workspace: String,
    pub webhook: String,
}
operation!(ListDeliveries => Vec<Delivery>, "webhooks.deliveries");

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The receiver sees it, the same with every attempt.
    pub id: String,
    pub event: Event,
    pub state: DeliveryState,
    pub attempts: u32,
    /// The HTTP status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created_at: Time,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// It is not tried any more.
    Failed,
}

impl DeliveryState {
    pub fn name(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        }
    }
}
