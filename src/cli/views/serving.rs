//! How models and endpoints look.

use super::{Show, View, list, pairs, record, runs::size, time};
use api::{
    deployments::{Deployed, Deployment},
    endpoints::{AuthMode, Endpoint, EndpointKeys, EndpointToken, Traffic},
    models::{Model, Stage},
};

impl Show for Model {
    fn view(&self) -> View {
        let lineage = &self.lineage;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        record([
            ("Name", self.name.clone()),
            ("Version", version(self)),
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

/// The number of a version; one with a name is called by that.
fn version(model: &Model) -> String {
    match &model.version_name {
        Some(name) => format!("{name} ({})", model.version),
        None => model.version.to_string(),
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
                    version(m),
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
        let mut fields = vec![
            ("Name", self.name.clone()),
            ("State", self.state.to_string()),
            ("Message", self.message.clone().unwrap_or_default()),
            ("Scoring URI", self.scoring_uri.clone()),
        ];
        if self.auth_mode != AuthMode::Key {
            fields.push(("Opened by", self.auth_mode.name().to_owned()));
        }
        fields.extend([
            ("Description", self.description.clone()),
            ("Tags", pairs(&self.tags)),
        ]);
        match self.deployments.as_slice() {
            [only] => fields.extend(served(only)),
            several => {
                for one in several {
                    fields.push(("Deployment", summary(one)));
                }
                fields.push(("Requests", shares(&self.traffic)));
            }
        }
        fields.extend([
            ("Copied", shares(&self.mirror_traffic)),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ]);
        record(fields)
    }
}

/// A deployment in one line.
fn summary(one: &Deployed) -> String {
    format!(
        "{} ({}), {}, {} %",
        one.name,
        one.state,
        model(one),
        one.traffic
    )
}

fn model(one: &Deployed) -> String {
    let model = one.deployment.model.as_ref();
    model.map_or_else(|| "no model".to_owned(), ToString::to_string)
}

fn shares(traffic: &Traffic) -> String {
    let share = |(name, share): (&String, &u8)| format!("{name} {share} %");
    traffic.iter().map(share).collect::<Vec<_>>().join(", ")
}

fn served(one: &Deployed) -> [(&'static str, String); 7] {
    let deployment = &one.deployment;
    let load = one.load.map(|load| {
        format!(
            "{} requests, {} errors, median {:.1} ms, 99 % within {:.1} ms",
            load.requests, load.errors, load.p50_ms, load.p99_ms
        )
    });
    let update = match one.generation {
        1 => one.name.clone(),
        number => format!("{}, generation {number}", one.name),
    };
    let instances = match (deployment.scale, deployment.instances) {
        (Some(scale), _) => format!("{} to {}", scale.min, scale.max),
        (None, 1) => String::new(),
        (None, number) => number.to_string(),
    };
    [
        ("Model", model(one)),
        answering(deployment),
        ("Environment", environment(deployment)),
        ("Variables", pairs(&deployment.environment_variables)),
        ("Deployment", update),
        ("Instances", instances),
        ("Load", load.unwrap_or_default()),
    ]
}

fn answering(deployment: &Deployment) -> (&'static str, String) {
    match &deployment.program {
        Some(program) => ("Command", program.command.clone()),
        None => ("Script", deployment.script.clone().unwrap_or_default()),
    }
}

impl Show for Deployed {
    fn view(&self) -> View {
        let mut fields = vec![
            ("Name", self.name.clone()),
            ("State", self.state.to_string()),
            ("Message", self.message.clone().unwrap_or_default()),
            ("Requests", format!("{} %", self.traffic)),
        ];
        fields.extend(served(self));
        fields.extend([
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ]);
        record(fields)
    }
}

impl Show for Vec<Deployed> {
    fn view(&self) -> View {
        list(
            ["name", "state", "model", "requests", "message"],
            self.iter().map(|one| {
                [
                    one.name.clone(),
                    one.state.to_string(),
                    model(one),
                    format!("{} %", one.traffic),
                    first_line(one.message.as_deref()),
                ]
            }),
        )
    }
}

fn first_line(text: Option<&str>) -> String {
    let line = text.and_then(|text| text.lines().next());
    line.unwrap_or_default().trim_end_matches(':').to_owned()
}

/// Without one that was asked for, a deployment gets one of its own.
fn environment(deployment: &Deployment) -> String {
    match (&deployment.environment, &deployment.script) {
        _ if deployment.native => "native, without Python".to_owned(),
        _ if deployment.container.is_some() => "a container".to_owned(),
        (None, _) if deployment.program.is_some() => "host".to_owned(),
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
                let models: Vec<String> = e.deployments.iter().map(model).collect();
                [
                    e.name.clone(),
                    e.state.to_string(),
                    models.join(", "),
                    e.scoring_uri.clone(),
                    first_line(e.message.as_deref()),
                ]
            }),
        )
    }
}

impl Show for EndpointToken {
    fn view(&self) -> View {
        record([
            ("Token", self.token.clone()),
            ("Expires", time(self.expires_at)),
            ("Refresh after", time(self.refresh_after)),
        ])
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
