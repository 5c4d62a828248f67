//! What the store is told of the deployments: again and again where it could not be written.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use super::{Shared, front::Front};
use api::{Code, work::ReportDeployment};
use client::Client;

/// How often what could not be told is told again.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Reports {
    client: Client,
    front: Arc<Front>,
    /// The last report of each deployment that could not be told.
    untold: Mutex<BTreeMap<i64, ReportDeployment>>,
}

impl Reports {
    pub fn new(client: Client, front: Arc<Front>) -> Self {
        Self {
            client,
            front,
            untold: Mutex::default(),
        }
    }

    /// Tells how a deployment is. What is served goes on answering when that cannot be written, and it
    /// is told later, unless there is something newer to tell by then.
    pub async fn send(&self, report: ReportDeployment) {
        // Held meanwhile: an older report must not come after a newer one.
        let mut untold = self.untold.lock().await;
        untold.remove(&report.deployment);
        if let Err(error) = self.client.call(&report).await
            // What was deleted has no state any more.
            && error.code != Code::NotFound
        {
            self.front
                .note(&format!("Cannot report the state: {error}"));
            if error.code.retryable() {
                untold.insert(report.deployment, report);
            }
        }
    }

    /// Whether there is nothing left to tell.
    pub async fn are_told(&self) -> bool {
        self.untold.lock().await.is_empty()
    }

    /// Tells what could not be told. Whether that is everything now, and was not before.
    async fn send_again(&self) -> bool {
        let mut untold = self.untold.lock().await;
        let before = untold.len();
        for report in untold.values().cloned().collect::<Vec<_>>() {
            let told = self.client.call(&report).await;
            if !told.is_err_and(|error| error.code.retryable()) {
                untold.remove(&report.deployment);
            }
        }
        before > 0 && untold.is_empty()
    }
}

/// Tells again what could not be told, for as long as the host is there.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        sleep(AGAIN).await;
        if shared.reports.send_again().await {
            // It may only be there to tell this.
            shared.again.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::{Json, Router, http::StatusCode, response::IntoResponse as _, routing::post};
    use serde_json::json;

    use super::{super::tests::Scene, *};
    use api::{Error, endpoints::EndpointState};

    fn report(generation: u64) -> ReportDeployment {
        ReportDeployment {
            endpoint: 1,
            deployment: 1,
            generation,
            state: EndpointState::Failed,
            message: None,
            unfit: true,
            answering: None,
        }
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_told_once_it_can_be_and_only_the_newest() {
        let scene = Scene::new().await;
        let full = Arc::new(AtomicBool::new(true));
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (is_full, hearing) = (Arc::clone(&full), Arc::clone(&heard));
        let answer = async move |Json(report): Json<ReportDeployment>| {
            if is_full.load(Ordering::Relaxed) {
                let body = json!({"error": Error::full("The disk is full")});
                return (StatusCode::INSUFFICIENT_STORAGE, Json(body)).into_response();
            }
            hearing.lock().unwrap().push(report.generation);
            Json(json!({})).into_response()
        };
        let router = Router::new().route("/api/v1/hosts.report", post(answer));
        let reports = Reports::new(Client::in_process(router), Arc::clone(&scene.front));
        reports.send(report(1)).await;
        reports.send(report(2)).await;
        assert!(!reports.are_told().await);
        assert!(!reports.send_again().await, "the disk is still full");
        full.store(false, Ordering::Relaxed);
        assert!(reports.send_again().await);
        assert!(reports.are_told().await);
        assert!(!reports.send_again().await, "it was told before");
        assert_eq!(*heard.lock().unwrap(), [2]);
    }
}
