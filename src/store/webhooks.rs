//! Webhooks and their deliveries as stored.
//!
//! A delivery is written in the transaction of the change that it tells of, so none is lost and
//! none tells of what did not happen.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
    senders::Sender,
};
use api::{
    Result, Time,
    webhooks::{Delivery, DeliveryState, Event, Webhook, WebhookStatus},
};

/// Ended deliveries of a webhook that are kept to be looked at.
const KEPT: u32 = 100;

/// A webhook, its number in the store and its secret.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    pub id: i64,
    pub webhook: Webhook,
    pub sealed_secret: Option<Vec<u8>>,
}

/// What happened, for those who want to be told.
#[derive(Debug, Clone)]
pub struct Occurred {
    pub event: Event,
    pub data: Value,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    pub name: Option<String>,
    pub url: Option<String>,
    pub events: Option<Vec<Event>>,
    pub description: Option<String>,
    /// An empty one goes.
    pub sealed_secret: Option<Vec<u8>>,
    pub status: Option<WebhookStatus>,
}

/// A delivery that is to be made now.
#[derive(Debug, Clone)]
pub struct DueDelivery {
    pub number: i64,
    /// Who makes it.
    pub sender: String,
    pub id: String,
    pub event: Event,
    pub data: Value,
    pub created_at: Time,
    /// Counts this one.
    pub attempts: u32,
    pub webhook: WebhookRow,
    pub workspace: String,
    pub workspace_uuid: String,
}

/// How an attempt went.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    pub delivered: bool,
    pub status: Option<u16>,
    pub error: Option<String>,
    /// When to try again; never when absent.
    pub next_at: Option<Time>,
}

const SELECT: &str = "SELECT h.id, h.uuid, h.name, h.url, h.description, h.events, h.status, h.sealed_secret, \
                      h.created_at, h.updated_at";

fn webhook(row: &Row<'_>) -> RowResult<WebhookRow> {
    let sealed_secret: Option<Vec<u8>> = row.get(7)?;
    Ok(WebhookRow {
        id: row.get(0)?,
        webhook: Webhook {
            id: row.get(1)?,
            name: row.get(2)?,
            url: row.get(3)?,
            description: row.get(4)?,
            events: json(row, 5)?,
            status: match row.get_ref(6)?.as_str()? {
                "active" => WebhookStatus::Active,
                _ => WebhookStatus::Disabled,
            },
            signed: sealed_secret.is_some(),
            created_at: row.get(8)?,
            updated_at: row.get(9)?,
        },
        sealed_secret,
    })
}

fn delivery(row: &Row<'_>) -> RowResult<Delivery> {
    let next_at: Option<Time> = row.get(3)?;
    Ok(Delivery {
        id: row.get(0)?,
        event: json_event(row, 1)?,
        attempts: row.get(2)?,
        state: match next_at {
            Some(_) => DeliveryState::Pending,
            None if row.get(4)? => DeliveryState::Delivered,
            None => DeliveryState::Failed,
        },
        next_at,
        status: row.get(5)?,
        error: row.get(6)?,
        created_at: row.get(7)?,
        ended_at: row.get(8)?,
    })
}

/// An event is kept by its name.
fn json_event(row: &Row<'_>, index: usize) -> RowResult<Event> {
    json(row, index)
}

/// Writes down for every webhook that wants to be told what happened in a workspace.
pub(super) fn announce(
    tx: &Tx<'_>,
    workspace: i64,
    occurred: &[Occurred],
    now: Time,
) -> Result<()> {
    for Occurred { event, data } in occurred {
        let told = tx.all(
            "SELECT h.id FROM webhooks h, json_each(h.events) e \
             WHERE h.workspace_id = ?1 AND h.status = 'active' AND e.value = ?2",
            params![workspace, event.name()],
            |row| row.get::<i64>(0),
        )?;
        for id in told {
            tx.execute(
                "INSERT INTO webhook_deliveries(uuid, webhook_id, event, data, created_at, next_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                params![
                    Uuid::new_v4().to_string(),
                    id,
                    to_json(event)?,
                    to_json(data)?,
                    now
                ],
            )?;
        }
    }
    Ok(())
}

fn by_uuid(tx: &Tx<'_>, workspace: i64, uuid: &str) -> Result<Option<WebhookRow>> {
    tx.one(
        &format!("{SELECT} FROM webhooks h WHERE h.workspace_id = ?1 AND h.uuid = ?2"),
        params![workspace, uuid],
        webhook,
    )
}

impl Store {
    /// Adds a webhook, whose id is chosen by the caller.
    pub async fn create_webhook(
        &self,
        workspace: i64,
        new: Webhook,
        sealed_secret: Option<Vec<u8>>,
    ) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO webhooks(uuid, workspace_id, name, url, description, events, status, \
                     sealed_secret, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
                    params![
                        new.id,
                        workspace,
                        new.name,
                        new.url,
                        new.description,
                        to_json(&new.events)?,
                        new.status.name(),
                        sealed_secret,
                        new.created_at
                    ],
                )
            })
            .await
            .map(drop)
    }

    /// Webhooks of a workspace that were made before the one of `before`, newest first.
    pub async fn list_webhooks(
        &self,
        workspace: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<WebhookRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "{SELECT} FROM webhooks h WHERE h.workspace_id = ?1 AND h.id < ?2 \
                         ORDER BY h.id DESC LIMIT ?3"
                    ),
                    params![workspace, before.unwrap_or(i64::MAX), limit],
                    webhook,
                )
            })
            .await
    }

    /// The webhooks with that id or name.
    pub async fn webhooks_called(
        &self,
        workspace: i64,
        name_or_id: String,
    ) -> Result<Vec<WebhookRow>> {
        self.db
            .read(move |tx| {
                if let Some(row) = by_uuid(tx, workspace, &name_or_id)? {
                    return Ok(vec![row]);
                }
                tx.all(
                    &format!(
                        "{SELECT} FROM webhooks h WHERE h.workspace_id = ?1 AND h.name = ?2 ORDER BY h.id"
                    ),
                    params![workspace, name_or_id],
                    webhook,
                )
            })
            .await
    }

    pub async fn update_webhook(
        &self,
        workspace: i64,
        uuid: String,
        change: WebhookChange,
        now: Time,
    ) -> Result<Option<Webhook>> {
        self.db
            .write(move |tx| {
                let events = change.events.as_ref().map(to_json).transpose()?;
                tx.execute(
                    "UPDATE webhooks SET name = COALESCE(?3, name), url = COALESCE(?4, url), \
                     events = COALESCE(?5, events), description = COALESCE(?6, description), \
                     sealed_secret = CASE WHEN ?7 IS NULL THEN sealed_secret ELSE NULLIF(?7, x'') END, \
                     status = COALESCE(?8, status), updated_at = ?9 WHERE workspace_id = ?1 AND uuid = ?2",
                    params![
                        workspace,
                        uuid,
                        change.name,
                        change.url,
                        events,
                        change.description,
                        change.sealed_secret,
                        change.status.map(WebhookStatus::name),
                        now
                    ],
                )?;
                Ok(by_uuid(tx, workspace, &uuid)?.map(|row| row.webhook))
            })
            .await
    }

    pub async fn delete_webhook(&self, id: i64) -> Result<bool> {
        self.db
            .write(move |tx| Ok(tx.execute("DELETE FROM webhooks WHERE id = ?1", params![id])? > 0))
            .await
    }

    /// The deliveries of a webhook that are kept, newest first.
    pub async fn list_deliveries(&self, webhook: i64) -> Result<Vec<Delivery>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT uuid, event, attempts, next_at, delivered, status, error, created_at, ended_at \
                     FROM webhook_deliveries WHERE webhook_id = ?1 ORDER BY id DESC",
                    params![webhook],
                    delivery,
                )
            })
            .await
    }

    /// When the next delivery is to be made; none when there is none to make.
    pub async fn next_delivery(&self) -> Result<Option<Time>> {
        self.db
            .read(|tx| {
                let at = tx.one(
                    "SELECT min(max(d.next_at, d.leased_until)) FROM webhook_deliveries d \
                     JOIN webhooks h ON h.id = d.webhook_id \
                     WHERE d.next_at IS NOT NULL AND h.status = 'active'",
                    &[],
                    |row| row.get::<Option<Time>>(0),
                )?;
                Ok(at.flatten())
            })
            .await
    }

    /// Takes the delivery that has waited longest and counts an attempt. Nobody else gets it, nor
    /// another one of the same webhook, before `until` or the end of the sender.
    pub async fn take_delivery(
        &self,
        sender: &Sender,
        now: Time,
        until: Time,
    ) -> Result<Option<DueDelivery>> {
        let sender = sender.name.clone();
        self.db
            .write(move |tx| {
                let taken = tx.one(
                    "UPDATE webhook_deliveries SET leased_until = ?2, sender = ?3, attempts = attempts + 1 WHERE id = \
                     (SELECT d.id FROM webhook_deliveries d JOIN webhooks h ON h.id = d.webhook_id \
                     WHERE d.next_at <= ?1 AND h.status = 'active' AND NOT EXISTS \
                     (SELECT 1 FROM webhook_deliveries o WHERE o.webhook_id = d.webhook_id \
                     AND o.leased_until > ?1) ORDER BY d.next_at, d.id LIMIT 1) RETURNING id",
                    params![now, until, sender],
                    |row| row.get::<i64>(0),
                )?;
                let Some(number) = taken else {
                    return Ok(None);
                };
                tx.one(
                    &format!(
                        "{SELECT}, d.uuid, d.event, d.data, d.created_at, d.attempts, w.name, w.uuid \
                         FROM webhook_deliveries d JOIN webhooks h ON h.id = d.webhook_id \
                         JOIN workspaces w ON w.id = h.workspace_id WHERE d.id = ?1"
                    ),
                    params![number],
                    |row| {
                        Ok(DueDelivery {
                            number,
                            sender,
                            webhook: webhook(row)?,
                            id: row.get(10)?,
                            event: json_event(row, 11)?,
                            data: json(row, 12)?,
                            created_at: row.get(13)?,
                            attempts: row.get(14)?,
                            workspace: row.get(15)?,
                            workspace_uuid: row.get(16)?,
                        })
                    },
                )
            })
            .await
    }

    /// Records how an attempt of a sender went, unless another one has taken the delivery meanwhile. Of
    /// those that are over, the last ones are kept.
    pub async fn end_attempt(
        &self,
        number: i64,
        sender: String,
        attempt: Attempt,
        now: Time,
    ) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE webhook_deliveries SET leased_until = 0, delivered = ?2, status = ?3, error = ?4, \
                     next_at = ?5, ended_at = CASE WHEN ?5 IS NULL THEN ?6 END \
                     WHERE id = ?1 AND sender = ?7",
                    params![
                        number,
                        attempt.delivered,
                        attempt.status,
                        attempt.error,
                        attempt.next_at,
                        now,
                        sender
                    ],
                )?;
                tx.execute(
                    "DELETE FROM webhook_deliveries WHERE next_at IS NULL AND id < \
                     (SELECT min(id) FROM (SELECT d.id FROM webhook_deliveries d \
                     JOIN webhook_deliveries o ON o.webhook_id = d.webhook_id \
                     WHERE o.id = ?1 AND d.next_at IS NULL ORDER BY d.id DESC LIMIT ?2)) \
                     AND webhook_id = (SELECT webhook_id FROM webhook_deliveries WHERE id = ?1)",
                    params![number, KEPT],
                )
            })
            .await
            .map(drop)
    }
}
