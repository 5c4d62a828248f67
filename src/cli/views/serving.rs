//! How models and endpoints look.

use super::{Show, View, list, pairs, record, runs::size, time};
use api::{
    endpoints::{Deployment, Endpoint, EndpointKeys},
    models::{Model, Stage},
};

impl Show for Model {
    fn view(&self) -> View {
        let lineage = &self.lineage;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        record([
            ("Name", self.name.clone()),
            ("Version", self.version.to_string()),
            ("Type", self.kind.to_string()),
            ("Description", self.description.clone()),
            ("Tags", pairs(&self.tags)),
            ("Stage", stage(self.stage).to_owned()),
            ("Aliases", self.aliases.join(" ")),
            (
                "Files",
                self.files
                    .as_ref()
                    .map(|files| format!("{} ({})", files.files, size(files.size)))
                    .unwrap_or_default(),
            ),
            ("Source", text(&self.source)),
            ("Kept at", text(&self.location)),
            ("From run", text(&lineage.run)),
            ("Logged model", text(&lineage.logged_model)),
            ("Path", text(&lineage.path)),
            ("Experiment", text(&lineage.experiment)),
            ("Snapshot", text(&lineage.snapshot)),
            ("Environment", text(&lineage.environment)),
            ("Git commit", text(&lineage.git_commit)),
            ("Run link", text(&lineage.run_link)),
            ("Created by", self.created_by.clone()),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Model> {
    fn view(&self) -> View {
        list(
            [
                "name",
                "version",
                "stage",
                "aliases",
                "type",
                "size",
                "created",
                "from run",
                "description",
            ],
            self.iter().map(|m| {
                [
                    m.name.clone(),
                    m.version.to_string(),
                    stage(m.stage).to_owned(),
                    m.aliases.join(" "),
                    m.kind.to_string(),
                    m.files
                        .as_ref()
                        .map(|files| size(files.size))
                        .unwrap_or_default(),
                    time(m.created_at),
                    m.lineage.run.clone().unwrap_or_default(),
                    m.description.clone(),
                ]
            }),
        )
    }
}

/// Most versions are in no stage, which goes without saying.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "",
        stage => stage.name(),
    }
}

impl Show for Endpoint {
    fn view(&self) -> View {
        let deployment = &self.deployment;
        let traffic = self.traffic.map(|traffic| {
            format!(
                "{} requests, {} errors, median {:.1} ms, 99 % within {:.1} ms",
                traffic.requests, traffic.errors, traffic.p50_ms, traffic.p99_ms
            )
        });
        record([
            ("Name", self.name.clone()),
            ("State", self.state.to_string()),
            ("Message", self.message.clone().unwrap_or_default()),
            ("Scoring URI", self.scoring_uri.clone()),
            (
                "Model",
                format!("{}:{}", deployment.model, deployment.version),
            ),
            ("Script", deployment.script.clone().unwrap_or_default()),
            ("Environment", environment(deployment)),
            ("Variables", pairs(&deployment.environment_variables)),
            ("Deployment", self.generation.to_string()),
            ("Traffic", traffic.unwrap_or_default()),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

/// Without one that was asked for, a deployment gets one of its own.
fn environment(deployment: &Deployment) -> String {
    match (&deployment.environment, &deployment.script) {
        (Some(environment), _) => environment.name().to_owned(),
        (None, Some(_)) => "the scoring server alone".to_owned(),
        (None, None) => "the one that the model describes".to_owned(),
    }
}

impl Show for Vec<Endpoint> {
    fn view(&self) -> View {
        list(
            ["name", "state", "model", "scoring uri", "message"],
            self.iter().map(|e| {
                let message = e.message.as_deref().unwrap_or_default();
                [
                    e.name.clone(),
                    e.state.to_string(),
                    format!("{}:{}", e.deployment.model, e.deployment.version),
                    e.scoring_uri.clone(),
                    message.lines().next().unwrap_or_default().to_owned(),
                ]
            }),
        )
    }
}

impl Show for EndpointKeys {
    fn view(&self) -> View {
        record([
            ("Primary", self.primary.clone()),
            ("Secondary", self.secondary.clone()),
        ])
    }
}
