//! A file for Docker Compose.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    Exported, FRONT_FOLDER, FRONT_PORT, asked,
    front::{PRIMARY, SECONDARY},
    save, save_secret, variables, yaml,
};
use api::{Result, deployments::Deployed, names::plain};

/// Writes the file, and one with the keys beside it; answers what to do next.
pub fn write(exported: &Exported, folder: &Path, builds: bool) -> Result<Vec<String>> {
    let mut services = Map::new();
    let mut waits = Map::new();
    for one in &exported.endpoint.deployments {
        let name = exported.container(&one.name);
        waits.insert(name.clone(), json!({"condition": "service_started"}));
        services.insert(name, service(exported, one, builds));
    }
    let port = exported.endpoint.port.unwrap_or(FRONT_PORT);
    let mut front = json!({
        "image": exported.front_image(),
        "environment": {
            (PRIMARY): format!("${{{PRIMARY}:?}}"),
            (SECONDARY): format!("${{{SECONDARY}:?}}"),
        },
        "ports": [format!("127.0.0.1:{port}:{FRONT_PORT}")],
        "depends_on": waits,
        "restart": "unless-stopped",
    });
    if builds {
        front["build"] = json!({"context": format!("images/{FRONT_FOLDER}")});
    }
    services.insert(exported.own("front"), front);
    let document = json!({"services": services});
    save(folder, "compose.yaml", &yaml(&document)?)?;
    let keys = &exported.keys;
    let variables = format!(
        "{PRIMARY}={}\n{SECONDARY}={}\n",
        keys.primary, keys.secondary
    );
    save_secret(folder, ".env", &variables)?;
    Ok(vec![
        format!(
            "Run it: docker compose --project-directory {} up --build",
            folder.display()
        ),
        format!("Then it answers at http://127.0.0.1:{port}/score, with the same keys"),
    ])
}

fn service(exported: &Exported, one: &Deployed, builds: bool) -> Value {
    let asked = asked(one);
    let deployment = &one.deployment;
    let instances = deployment
        .scale
        .map_or(deployment.instances, |scale| scale.min.max(1));
    let mut service = json!({
        "image": exported.deployment_image(one),
        "expose": [asked.port.to_string()],
        "restart": "unless-stopped",
        "stop_grace_period": "40s",
        "deploy": {"replicas": instances},
    });
    if builds {
        let context = format!("images/{}", plain(&one.name));
        service["build"] = json!({"context": context});
    }
    if variables(one).next().is_some() {
        // A `$` would be replaced.
        let all = variables(one);
        let all = all.map(|(name, value)| (name.clone(), json!(value.replace('$', "$$"))));
        service["environment"] = Value::Object(all.collect());
    }
    if deployment.program.is_none() {
        let url = format!("http://127.0.0.1:{}{}", asked.port, asked.routes.liveness);
        let ask = format!(
            "import urllib.request as r; r.urlopen('{url}', timeout={})",
            asked.liveness.timeout
        );
        service["healthcheck"] = json!({
            "test": ["CMD", "python", "-c", ask],
            "interval": format!("{}s", asked.liveness.period),
            "timeout": format!("{}s", asked.liveness.timeout + 1),
            "retries": asked.liveness.failure_threshold,
            "start_period": format!("{}s", asked.liveness.initial_delay),
        });
    }
    service
}
