//! What the host shall serve, read again whenever the stamp file's time changes.

use std::{
    path::PathBuf,
    sync::{Arc, RwLock},
    time::SystemTime,
};

use tokio::{
    sync::Mutex,
    time::{Duration, Instant, sleep},
};

use api::{
    Result,
    endpoint_metrics::ExposeHostMetrics,
    work::{GetHostOrders, HostOrders},
};
use client::Client;

/// How long orders that cannot be read are tried again, and how often.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);

/// The stamp file's time of change.
type Stamp = Option<SystemTime>;

pub struct Orders {
    client: Client,
    endpoint: i64,
    stamp: PathBuf,
    /// One reader at a time.
    reading: Mutex<()>,
    known: RwLock<(Stamp, Option<Arc<HostOrders>>)>,
}

impl Orders {
    /// Reads the orders for the first time.
    pub async fn read(client: Client, endpoint: i64, stamp: PathBuf) -> Result<Self> {
        let orders = Self {
            client,
            endpoint,
            stamp,
            reading: Mutex::new(()),
            known: RwLock::new((None, None)),
        };
        orders.refresh().await?;
        Ok(orders)
    }

    /// The orders as they were when last read; none when the endpoint is gone.
    pub fn known(&self) -> Option<Arc<HostOrders>> {
        self.known.read().ok()?.1.clone()
    }

    /// The orders as they are, read again if the stamp says that they changed: what an operation
    /// has changed before it answered is in them. Tried for a second.
    pub async fn current(&self) -> Result<Option<Arc<HostOrders>>> {
        let until = Instant::now() + PATIENCE;
        while self.stale() {
            match self.refresh().await {
                Ok(()) => break,
                Err(error) if Instant::now() >= until => return Err(error),
                // The store is busy, say.
                Err(_) => sleep(AGAIN).await,
            }
        }
        Ok(self.known())
    }

    /// Reads the orders again.
    pub async fn refresh(&self) -> Result<()> {
        let _reading = self.reading.lock().await;
        // The stamp first: what changes after it is read again.
        let stamp = self.stamp();
        let request = GetHostOrders {
            endpoint: self.endpoint,
        };
        let orders = self.client.call(&request).await?.map(Arc::new);
        if let Ok(mut known) = self.known.write() {
            *known = (stamp, orders);
        }
        Ok(())
    }

    /// What Prometheus is told of the endpoint.
    pub async fn exposition(&self) -> Result<String> {
        let request = ExposeHostMetrics {
            endpoint: self.endpoint,
        };
        super::aside(&self.client, request).await
    }

    /// Whether something was asked for that was not read yet.
    pub fn stale(&self) -> bool {
        let stamp = self.stamp();
        self.known.read().is_ok_and(|known| known.0 != stamp)
    }

    fn stamp(&self) -> Stamp {
        std::fs::metadata(&self.stamp).ok()?.modified().ok()
    }
}
