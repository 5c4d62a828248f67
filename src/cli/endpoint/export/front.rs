//! The front before the containers of an endpoint: nginx, which does what the host's front does here.

use std::{fmt::Write as _, fs, path::Path};

use super::{Exported, FRONT_PORT, asked, failed, save};
use api::{Result, deployments::Deployed, endpoints::Traffic};

/// How long an answer may take to begin when nothing is said.
const PATIENCE_MS: u64 = 300_000;

/// The variables that hold the keys.
pub const PRIMARY: &str = "AML_PRIMARY_KEY";
pub const SECONDARY: &str = "AML_SECONDARY_KEY";

/// Writes what the front's image is built from.
pub fn write_image(exported: &Exported, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let dockerfile = format!(
        "FROM docker.io/nginxinc/nginx-unprivileged:stable-alpine\n\
         COPY default.conf.template /etc/nginx/templates/default.conf.template\n\
         EXPOSE {FRONT_PORT}\n"
    );
    save(folder, "Dockerfile", &dockerfile)?;
    save(folder, "default.conf.template", &configuration(exported))
}

/// What nginx is told; the keys come from its environment when it starts.
fn configuration(exported: &Exported) -> String {
    let endpoint = &exported.endpoint;
    let all = &endpoint.deployments;
    let mut text = format!(
        "map_hash_bucket_size 256;\nmap $http_authorization $opened {{\n    default 0;\n    \"Bearer ${{{PRIMARY}}}\" 1;\n    \
         \"Bearer ${{{SECONDARY}}}\" 1;\n}}\n"
    );
    text += &shares("by_share", "$request_id", &endpoint.traffic, all);
    text += "map $http_azureml_model_deployment $deployment {\n    default \"\";\n    \"\" $by_share;\n";
    for one in all {
        let _ = writeln!(text, "    {} {};", key(&one.name), one.name);
    }
    text += "}\n";
    // A request that names its deployment is not copied.
    text += &shares(
        "copied_share",
        "$request_id$msec",
        &endpoint.mirror_traffic,
        all,
    );
    text += "map $http_azureml_model_deployment $copied {\n    default \"\";\n    \"\" $copied_share;\n}\n";
    text +=
        "map $http_x_request_id $id {\n    default $http_x_request_id;\n    \"\" $request_id;\n}\n";
    for (name, by) in [("to_score", "$deployment"), ("copied_to_score", "$copied")] {
        let _ = writeln!(text, "map {by} ${name} {{\n    default /score;");
        for one in all {
            let _ = writeln!(
                text,
                "    {} {};",
                key(&one.name),
                asked(one).routes.scoring
            );
        }
        text += "}\n";
    }
    for one in all {
        let _ = write!(
            text,
            "upstream {} {{\n    server {}:{};\n    keepalive 32;\n}}\n",
            one.name,
            exported.container(&one.name),
            asked(one).port
        );
    }
    text + &server(exported)
}

fn server(exported: &Exported) -> String {
    let all = &exported.endpoint.deployments;
    let patience = |one: &Deployed| one.deployment.requests.timeout_ms.unwrap_or(PATIENCE_MS);
    let patience = all.iter().map(patience).max().unwrap_or(PATIENCE_MS);
    let patience = patience.div_ceil(1000);
    let passed = "        proxy_http_version 1.1;\n        proxy_set_header Connection \"\";\n        \
                  proxy_set_header Authorization \"\";\n        proxy_set_header X-Request-Id $id;\n        \
                  proxy_buffering off;\n";
    let guard = "        if ($opened = 0) {\n            return 401 '{\"error\": \"The endpoint needs one \
                 of its keys\"}';\n        }\n        if ($deployment = \"\") {\n            return 404 \
                 '{\"error\": \"No such deployment gets requests\"}';\n        }\n";
    let copies = exported
        .endpoint
        .mirror_traffic
        .values()
        .any(|share| *share > 0);
    let mut text = format!(
        "server {{\n    listen {FRONT_PORT};\n    client_max_body_size 1g;\n    default_type \
         application/json;\n    proxy_read_timeout {patience}s;\n    add_header azureml-model-deployment \
         $deployment always;\n    add_header x-request-id $id always;\n    location = / {{\n        \
         return 200 Healthy;\n    }}\n    location = /score {{\n{guard}"
    );
    if copies {
        text += "        mirror /copied;\n";
    }
    let _ = write!(
        text,
        "{passed}        proxy_pass http://$deployment$to_score$is_args$args;\n    }}\n    location = \
         /swagger.json {{\n{guard}{passed}        proxy_pass http://$deployment/swagger.json;\n    }}\n"
    );
    if copies {
        let _ = write!(
            text,
            "    location = /copied {{\n        internal;\n        if ($copied = \"\") {{\n            \
             return 204;\n        }}\n{passed}        proxy_pass \
             http://$copied$copied_to_score$is_args$args;\n    }}\n"
        );
    }
    if all.iter().any(|one| one.deployment.program.is_some()) {
        let _ = write!(
            text,
            "    location / {{\n{guard}{passed}        proxy_pass \
             http://$deployment$request_uri;\n    }}\n"
        );
    }
    text + "}\n"
}

/// A name as a map of nginx has it, for which some words mean something else.
fn key(name: &str) -> String {
    match name {
        "default" | "hostnames" | "include" | "volatile" => format!("\\{name}"),
        name => name.to_owned(),
    }
}

/// Whose turn it is, by shares in percent.
fn shares(name: &str, by: &str, traffic: &Traffic, all: &[Deployed]) -> String {
    let mut text = format!("split_clients \"{by}\" ${name} {{\n");
    let shares: Vec<_> = traffic
        .iter()
        .filter(|(name, share)| **share > 0 && all.iter().any(|one| one.name == **name))
        .collect();
    let sum: u32 = shares.iter().map(|(_, share)| u32::from(**share)).sum();
    for (place, (deployment, share)) in shares.iter().enumerate() {
        if sum >= 100 && place + 1 == shares.len() {
            // What is left, so that rounding loses nothing.
            let _ = writeln!(text, "    * {deployment};");
        } else {
            let _ = writeln!(text, "    {share}% {deployment};");
        }
    }
    if sum < 100 {
        text += "    * \"\";\n";
    }
    text + "}\n"
}
