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
    /// is told later, unless there is something newer to tell by then. That a generation is unfit stays
    /// true of it, whatever is told of it afterwards.
    pub async fn send(&self, report: ReportDeployment) {
        // Held meanwhile: an older report must not come after a newer one.
        let mut untold = self.untold.lock().await;
        let verdict = untold.get(&report.deployment).filter(|one| one.unfit);
        if verdict.is_some_and(|one| one.generation == report.generation && !report.unfit) {
            return;
        }
        let deployment = report.deployment;
        // Dropped half-way, it is told later.
        let report = &*untold.entry(deployment).insert_entry(report).into_mut();
        if let Err(error) = self.client.call(report).await
            // What was deleted has no state any more.
            && error.code != Code::NotFound
        {
            self.front
                .note(&format!("Cannot report the state: {error}"));
            if error.code.retryable() {
                return;
            }
        }
        untold.remove(&deployment);
    }

    /// Whether there is nothing left to tell.
    pub async fn are_told(&self) -> bool {
        self.untold.lock().await.is_empty()
    }

    /// Returns when there is nothing left to tell.
    pub async fn all_told(&self) {
        while !self.are_told().await {
            sleep(AGAIN).await;
        }
    }

    /// Tells what could not be told. Whether anything of it could.
    async fn send_again(&self) -> bool {
        let mut untold = self.untold.lock().await;
        let mut told = Vec::new();
        for (deployment, report) in &*untold {
            let answer = self.client.call(report).await;
            if !answer.is_err_and(|error| error.code.retryable()) {
                told.push(*deployment);
            }
        }
        // A report can change the orders: who finds nothing left to tell knows those of afterwards.
        if told.is_empty() || self.front.orders().refresh().await.is_err() {
            return false;
        }
        untold.retain(|deployment, _| !told.contains(deployment));
        true
    }
}

/// Tells again what could not be told, for as long as the host is there.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        sleep(AGAIN).await;
        if shared.reports.send_again().await {
            // There may be other orders now, or the host was only there to tell this.
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

    fn unfit(generation: u64) -> ReportDeployment {
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
            hearing
                .lock()
                .unwrap()
                .push((report.generation, report.unfit));
            Json(json!({})).into_response()
        };
        let router = Router::new().route("/api/v1/hosts.report", post(answer));
        let reports = Reports::new(Client::in_process(router), Arc::clone(&scene.front));
        reports.send(unfit(1)).await;
        reports.send(unfit(2)).await;
        // What the processes before it do is no news of a generation that is unfit.
        let answers = ReportDeployment {
            state: EndpointState::Healthy,
            unfit: false,
            ..unfit(2)
        };
        reports.send(answers).await;
        assert!(!reports.are_told().await);
        assert!(!reports.send_again().await, "the disk is still full");
        full.store(false, Ordering::Relaxed);
        *scene.known.lock().unwrap() = None;
        assert!(reports.send_again().await);
        assert!(scene.front.orders().known().is_none(), "read after it");
        assert!(reports.are_told().await);
        assert!(!reports.send_again().await, "it was told before");
        assert_eq!(*heard.lock().unwrap(), [(2, true)]);
    }
}
