//! Steps on Spark. They become commands.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    command::Command,
    compile::{Scope, show_as_written},
    components::{FILES, HOLDER, REFERENCE},
    ports::Asked,
    step::{Members, Ports, Steps},
};
use crate::spark;
use api::{Result, runs::Job};

impl Steps<'_> {
    pub(super) async fn spark(
        &mut self,
        step: &Members,
        component: Option<&Members>,
        scope: &Scope,
        ports: &Ports,
        outputs: BTreeMap<String, Asked>,
    ) -> Result<Job> {
        let settings = spark::settings_of(step, component);
        let mut own = Members::new();
        own.insert(
            "command".to_owned(),
            Value::from(spark::command_of(&settings)?),
        );
        own.insert(
            "compute".to_owned(),
            spark::compute_of(step, scope.compute.as_ref()),
        );
        for key in ["code", "environment", "identity", "properties"] {
            let value = step.get(key).filter(|value| !value.is_null()).cloned();
            own.extend(value.map(|value| (key.to_owned(), value)));
        }
        if !settings.contains_key("environment") {
            own.insert("environment".to_owned(), spark::environment_of(step));
        }
        // What is looked up where the component is kept.
        let like = component.map(|component| {
            let keys = [
                "code",
                "environment",
                "name",
                "is_deterministic",
                "properties",
                HOLDER,
                FILES,
                REFERENCE,
            ];
            let kept = keys.into_iter().filter_map(|key| {
                let value = component.get(key).filter(|value| !value.is_null())?;
                Some((key.to_owned(), value.clone()))
            });
            kept.collect::<Members>()
        });
        let command = Command {
            step: &own,
            component: like.as_ref(),
            scope,
        };
        let mut job = self
            .command(&command, ports.inputs.clone(), outputs)
            .await?;
        show_as_written(&mut job, step, "spark", &["compute"]);
        Ok(job)
    }
}
