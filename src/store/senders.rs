//! Processes that send to webhooks: each holds a lock while it does, so what one that died was sending
//! is known to be left behind, and the next one need not wait for the end of its leases.

use std::{fs, path::PathBuf};

use super::{Store, db::params, home::Lock};
use api::{Error, Result, Time};

/// A process that sends. Dropped, its lock is gone.
#[derive(Debug)]
pub struct Sender {
    pub(super) name: String,
    path: PathBuf,
    _lock: Lock,
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    pub fn become_sender(&self) -> Result<Sender> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let path = self.home.sender_lock(&name);
        match Lock::try_take(&path)? {
            Some(lock) => Ok(Sender {
                name,
                path,
                _lock: lock,
            }),
            None => Err(Error::internal("A new lock is taken")),
        }
    }

    /// Ends the leases of senders that are no more; answers how many there were.
    pub async fn release_deliveries(&self, now: Time) -> Result<usize> {
        let leasing: Vec<String> = self
            .db
            .read(move |tx| {
                tx.all(
                    "SELECT DISTINCT sender FROM webhook_deliveries \
                     WHERE next_at IS NOT NULL AND leased_until > ?1 AND sender IS NOT NULL",
                    params![now],
                    |row| row.get(0),
                )
            })
            .await?;
        let is_gone = |name: &String| !Lock::is_held(&self.home.sender_lock(name));
        let gone: Vec<String> = leasing.into_iter().filter(is_gone).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let names = gone.clone();
        let released = self
            .db
            .write(move |tx| {
                let sql = "UPDATE webhook_deliveries SET leased_until = 0 \
                           WHERE sender = ?1 AND next_at IS NOT NULL";
                let released = names.iter().map(|name| tx.execute(sql, params![name]));
                released.sum()
            })
            .await?;
        for name in gone {
            let _ = fs::remove_file(self.home.sender_lock(&name));
        }
        Ok(released)
    }
}
