//! Webhooks: who is told what, and how deliveries are made, again and again if need be.
//!
//! What happens is written down for each webhook together with the change itself (see the store),
//! and delivered afterwards: at least once, after a restart too. How it travels is known to the
//! [`Courier`] alone.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{Action, Caller, Perform, Service, events::example};
use api::{
    Done, Error, Page, Result, Time, names,
    webhooks::{
        CreateWebhook, DeleteWebhook, Delivery, Event, GetWebhook, ListDeliveries, ListWebhooks,
        TestWebhook, UpdateWebhook, Webhook, WebhookTest,
    },
};
use store::{Attempt, DueDelivery, Sender, WebhookChange, WebhookRow, WorkspaceRow};

/// Sends to receivers outside, and knows which addresses there may be sent to.
pub trait Courier: Send + Sync {
    /// Refuses an address that may not be sent to.
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Sends once.
    fn send(&self, parcel: Parcel) -> BoxFuture<'_, Sent>;
}

/// One event for one receiver.
#[derive(Debug, Clone)]
pub struct Parcel {
    pub url: String,
    pub secret: Option<String>,
    /// The same with every attempt.
    pub id: String,
    pub event: Event,
    pub workspace: String,
    pub data: Value,
    pub occurred_at: Time,
    pub sent_at: Time,
}

/// How sending went.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub status: Option<u16>,
    /// The beginning of the answer.
    pub body: String,
    /// Why there is no answer.
    pub error: Option<String>,
    /// The receiver asks for this much patience.
    pub retry_after: Option<Duration>,
}

impl Sent {
    fn accepted(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the receiver may take it another time.
    fn may_be_taken_later(&self) -> bool {
        self.status
            .is_none_or(|status| status >= 500 || matches!(status, 408 | 425 | 429))
    }
}

/// Deliveries made at once.
const AT_ONCE: usize = 16;
/// Longer than any attempt takes. A process that dies leaves its deliveries at once.
const LEASE_MS: i64 = 90_000;
/// How long a delivery is tried.
const PATIENCE_MS: i64 = 24 * 3_600_000;
/// The longest wait between two attempts.
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// Other processes write deliveries down too.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// For deliveries under way when they are to stop.
const LAST_MOMENT: Duration = Duration::from_secs(3);
/// Webhooks in one answer, when nothing else is said and at most.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// After how long a delivery is tried again: a second, then twice as long each time.
fn wait_after(attempts: u32) -> i64 {
    let doubled = 1000_i64.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    doubled.min(LONGEST_WAIT_MS)
}

impl Service {
    /// Lets webhooks be told; without it they can only be looked at.
    #[must_use]
    pub fn with_courier(self, courier: Arc<dyn Courier>) -> Self {
        self.courier.get_or_init(|| courier);
        self
    }

    fn courier(&self) -> Result<&Arc<dyn Courier>> {
        self.courier
            .get()
            .ok_or_else(|| Error::internal("This process cannot send to webhooks"))
    }

    /// Wakes whoever makes deliveries, here or in another process, when there are any to make.
    pub(super) async fn wake_courier(&self) -> Result<()> {
        if self.has_due_deliveries().await? {
            self.deliveries.notify_one();
            self.ring();
        }
        Ok(())
    }

    /// Whether a delivery is to be made now.
    pub async fn has_due_deliveries(&self) -> Result<bool> {
        let next = self.store.next_delivery().await?;
        Ok(next.is_some_and(|at| at <= self.now()))
    }

    /// Makes deliveries as they come, until `stop` is done; those that have begun then are given a
    /// moment. An error of the store is waited out.
    pub async fn deliver(&self, stop: impl Future<Output = ()>) {
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        let mut sender = None;
        let make = async {
            loop {
                let wait = self.deliver_due(&mut sender, &seats).await;
                let wait = wait.unwrap_or(LOOK_AGAIN);
                tokio::select! {
                    () = self.deliveries.notified() => {}
                    () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                }
            }
        };
        tokio::select! {
            () = make => {}
            () = stop => {}
        }
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        // What is cut off is sent again by the next one.
        let _ = tokio::time::timeout(LAST_MOMENT, seats.acquire_many(all)).await;
    }

    /// Begins what is due, as far as there are seats; answers how long until more is.
    async fn deliver_due(
        &self,
        sender: &mut Option<Sender>,
        seats: &Arc<Semaphore>,
    ) -> Result<Duration> {
        let sender = match sender {
            Some(sender) => sender,
            none => none.insert(self.store.become_sender()?),
        };
        self.store.release_deliveries(self.now()).await?;
        loop {
            let Ok(seat) = Arc::clone(seats).acquire_owned().await else {
                return Ok(LOOK_AGAIN);
            };
            let now = self.now();
            // Most looks find nothing, and need not write.
            let next = self.store.next_delivery().await?;
            let waits = next.map_or(i64::MAX, |at| at.since(now));
            if waits > 0 {
                return Ok(Duration::from_millis(waits.unsigned_abs()));
            }
            let until = Time(now.0 + LEASE_MS);
            match self.store.take_delivery(sender, now, until).await? {
                Some(due) => drop(tokio::spawn(self.clone().deliver_one(due, seat))),
                // Webhooks have one delivery under way each.
                None => return Ok(LOOK_AGAIN),
            }
        }
    }

    async fn deliver_one(self, due: DueDelivery, seat: OwnedSemaphorePermit) {
        let (number, sender) = (due.number, due.sender.clone());
        let attempt = self.attempt(due).await;
        // What could not be recorded is sent again when the lease has ended.
        let ended = self.store.end_attempt(number, sender, attempt, self.now());
        let _ = ended.await;
        drop(seat);
        self.deliveries.notify_one();
    }

    async fn attempt(&self, due: DueDelivery) -> Attempt {
        let (created_at, attempts) = (due.created_at, due.attempts);
        let sent = match self.pack(due) {
            Ok((courier, parcel)) => courier.send(parcel).await,
            Err(error) => Sent {
                error: Some(error.to_string()),
                ..Sent::default()
            },
        };
        let now = self.now();
        let asked = sent.retry_after.map_or(0, |wait| {
            i64::try_from(wait.as_millis()).unwrap_or(LONGEST_WAIT_MS)
        });
        let wait = wait_after(attempts).max(asked.min(LONGEST_WAIT_MS));
        let again = !sent.accepted()
            && sent.may_be_taken_later()
            && now.since(created_at) + wait < PATIENCE_MS;
        Attempt {
            delivered: sent.accepted(),
            status: sent.status,
            error: match sent.status {
                _ if sent.accepted() => None,
                Some(status) => Some(format!("The receiver answered {status}")),
                None => sent.error,
            },
            next_at: again.then_some(Time(now.0 + wait)),
        }
    }

    fn pack(&self, due: DueDelivery) -> Result<(&Arc<dyn Courier>, Parcel)> {
        let secret = self.open_webhook_secret(&due.workspace_uuid, &due.webhook)?;
        let parcel = Parcel {
            url: due.webhook.webhook.url,
            secret,
            id: due.id,
            event: due.event,
            workspace: due.workspace,
            data: due.data,
            occurred_at: due.created_at,
            sent_at: self.now(),
        };
        Ok((self.courier()?, parcel))
    }

    fn open_webhook_secret(&self, workspace: &str, row: &WebhookRow) -> Result<Option<String>> {
        let Some(sealed) = &row.sealed_secret else {
            return Ok(None);
        };
        let context = secret_context(workspace, &row.webhook.id);
        let plain = self.vault.open(&context, sealed)?;
        let secret = String::from_utf8(plain)
            .map_err(|_| Error::internal("The secret of a webhook is not text"))?;
        Ok(Some(secret))
    }

    /// An empty secret is none.
    fn seal_webhook_secret(&self, row: &WorkspaceRow, id: &str, secret: &str) -> Result<Vec<u8>> {
        match secret {
            "" => Ok(Vec::new()),
            secret => {
                let context = secret_context(&row.workspace.id, id);
                self.vault.seal(&context, secret.as_bytes())
            }
        }
    }

    async fn find_webhook(&self, row: &WorkspaceRow, name_or_id: &str) -> Result<WebhookRow> {
        let mut found = self
            .store
            .webhooks_called(row.id, name_or_id.to_owned())
            .await?;
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            0 => {
                let all = self.store.list_webhooks(row.id, None, LARGEST_PAGE).await?;
                let known = all.iter().map(|row| row.webhook.name.as_str());
                let nearest = names::nearest(name_or_id, known);
                let place = format!(" in `{}`", row.workspace.name);
                Err(Error::unknown("webhook", name_or_id, &place, nearest)
                    .or_hint("See which there are: aml webhook list"))
            }
            several => Err(Error::conflict(format!(
                "{several} webhooks are called `{name_or_id}`"
            ))
            .hint("Name one by its id; see them: aml webhook list")),
        }
    }

    /// Who may let others know of a workspace's models may change the workspace.
    async fn enter_webhooks(&self, caller: &Caller, workspace: &str) -> Result<WorkspaceRow> {
        self.enter(caller, workspace, Action::ManageWorkspace).await
    }
}

fn secret_context(workspace: &str, webhook: &str) -> String {
    format!("workspaces/{workspace}/webhooks/{webhook}")
}

fn check_events(events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Err(Error::invalid("A webhook needs at least one event").at("events"));
    }
    Ok(())
}

#[async_trait]
impl Perform for CreateWebhook {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Webhook> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        names::WEBHOOK.check(&self.name)?;
        check_events(&self.events)?;
        service.courier()?.check(&self.url).await?;
        let id = Uuid::new_v4().to_string();
        let sealed = match &self.secret {
            Some(secret) => service.seal_webhook_secret(&row, &id, secret)?,
            None => Vec::new(),
        };
        let sealed = (!sealed.is_empty()).then_some(sealed);
        let now = service.now();
        let webhook = Webhook {
            id,
            name: self.name,
            url: self.url,
            description: self.description,
            events: self.events,
            status: self.status,
            signed: sealed.is_some(),
            created_at: now,
            updated_at: now,
        };
        service
            .store
            .create_webhook(row.id, webhook.clone(), sealed)
            .await?;
        Ok(webhook)
    }
}

#[async_trait]
impl Perform for ListWebhooks {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Webhook>> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        let limit = self.limit.unwrap_or(PAGE).min(LARGEST_PAGE);
        let before = match &self.page {
            None => None,
            Some(page) => Some(page.parse().map_err(|_| {
                Error::invalid(format!(
                    "Invalid page token, `{page}` is not that of an earlier answer"
                ))
                .at("page")
            })?),
        };
        let mut rows = service
            .store
            .list_webhooks(row.id, before, limit + 1)
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Ok(Page {
            next: rows.last().filter(|_| more).map(|row| row.id.to_string()),
            items: rows.into_iter().map(|row| row.webhook).collect(),
        })
    }
}

#[async_trait]
impl Perform for GetWebhook {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Webhook> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        Ok(service.find_webhook(&row, &self.webhook).await?.webhook)
    }
}

#[async_trait]
impl Perform for UpdateWebhook {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Webhook> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        let id = service.find_webhook(&row, &self.webhook).await?.webhook.id;
        if let Some(name) = &self.name {
            names::WEBHOOK.check(name)?;
        }
        if let Some(events) = &self.events {
            check_events(events)?;
        }
        if let Some(url) = &self.url {
            service.courier()?.check(url).await?;
        }
        let sealed_secret = match &self.secret {
            Some(secret) => Some(service.seal_webhook_secret(&row, &id, secret)?),
            None => None,
        };
        let change = WebhookChange {
            name: self.name,
            url: self.url,
            events: self.events,
            description: self.description,
            sealed_secret,
            status: self.status,
        };
        let updated = service
            .store
            .update_webhook(row.id, id, change, service.now())
            .await?;
        // What waited for it while it was disabled.
        service.wake_courier().await?;
        updated.ok_or_else(|| Error::not_found("The webhook was deleted meanwhile"))
    }
}

#[async_trait]
impl Perform for DeleteWebhook {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        let found = service.find_webhook(&row, &self.webhook).await?;
        service.store.delete_webhook(found.id).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for TestWebhook {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<WebhookTest> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        let found = service.find_webhook(&row, &self.webhook).await?;
        let event = self.event.or_else(|| found.webhook.events.first().copied());
        let event = event.unwrap_or(Event::ModelVersionCreated);
        let now = service.now();
        let parcel = Parcel {
            secret: service.open_webhook_secret(&row.workspace.id, &found)?,
            url: found.webhook.url,
            id: Uuid::new_v4().to_string(),
            event,
            workspace: row.workspace.name,
            data: example(event),
            occurred_at: now,
            sent_at: now,
        };
        let sent = service.courier()?.send(parcel).await;
        Ok(WebhookTest {
            accepted: sent.accepted(),
            status: sent.status,
            body: sent.body,
            error: sent.error,
        })
    }
}

#[async_trait]
impl Perform for ListDeliveries {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Delivery>> {
        let row = service.enter_webhooks(caller, &self.workspace).await?;
        let found = service.find_webhook(&row, &self.webhook).await?;
        service.store.list_deliveries(found.id).await
    }
}
