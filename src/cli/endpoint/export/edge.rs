//! A deployment manifest of Azure `IoT` Edge.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    Exported, FRONT_PORT, asked,
    front::{PRIMARY, SECONDARY},
    save_secret, variables,
};
use api::{Error, Result, deployments::Deployed};

/// The runtime of the devices.
const RUNTIME: &str = "1.5";

/// Writes the manifest, which holds the keys; answers what to do next.
pub fn write(exported: &Exported, folder: &Path) -> Result<Vec<String>> {
    let mut modules = Map::new();
    for one in &exported.endpoint.deployments {
        modules.insert(exported.container(&one.name), module(exported, one)?);
    }
    let port = exported.endpoint.port.unwrap_or(FRONT_PORT);
    let inside = format!("{FRONT_PORT}/tcp");
    let options = json!({
        "ExposedPorts": {(&inside): {}},
        "HostConfig": {"PortBindings": {(&inside): [{"HostPort": port.to_string()}]}},
    });
    let keys = &exported.keys;
    let env = json!({
        (PRIMARY): {"value": keys.primary},
        (SECONDARY): {"value": keys.secondary},
    });
    let front = running(&exported.front_image(), &options, &env)?;
    modules.insert(exported.own("front"), front);
    let manifest = json!({
        "modulesContent": {
            "$edgeAgent": {"properties.desired": {
                "schemaVersion": "1.1",
                "runtime": {
                    "type": "docker",
                    "settings": {"minDockerVersion": "v1.25", "loggingOptions": ""},
                },
                "systemModules": {
                    "edgeAgent": system("agent", false),
                    "edgeHub": system("hub", true),
                },
                "modules": modules,
            }},
            "$edgeHub": {"properties.desired": {
                "schemaVersion": "1.1",
                "routes": {},
                "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
            }},
        },
    });
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Error::internal(format!("Cannot write the manifest: {e}")))?;
    save_secret(folder, "deployment.json", &(text + "\n"))?;
    let mut next = vec![format!(
        "Build and push the images, then: az iot edge set-modules --hub-name HUB --device-id DEVICE --content {}",
        folder.join("deployment.json").display()
    )];
    let several = |one: &&Deployed| one.deployment.instances > 1 || one.deployment.scale.is_some();
    if let Some(one) = exported.endpoint.deployments.iter().find(several) {
        next.push(format!(
            "A device runs one process of `{}`, however many it has here",
            one.name
        ));
    }
    Ok(next)
}

fn system(name: &str, runs: bool) -> Value {
    let image = format!("mcr.microsoft.com/azureiotedge-{name}:{RUNTIME}");
    let mut module = json!({
        "type": "docker",
        "settings": {"image": image, "createOptions": "{}"},
    });
    if runs {
        module["status"] = json!("running");
        module["restartPolicy"] = json!("always");
    }
    module
}

fn module(exported: &Exported, one: &Deployed) -> Result<Value> {
    let port = format!("{}/tcp", asked(one).port);
    let options = json!({"ExposedPorts": {(port): {}}});
    let all = variables(one);
    let env = all.map(|(name, value)| (name.clone(), json!({"value": value})));
    let env = Value::Object(env.collect());
    running(&exported.deployment_image(one), &options, &env)
}

fn running(image: &str, options: &Value, env: &Value) -> Result<Value> {
    let options = serde_json::to_string(options)
        .map_err(|e| Error::internal(format!("Cannot write the manifest: {e}")))?;
    Ok(json!({
        "version": "1.0",
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": image, "createOptions": options},
        "env": env,
    }))
}
