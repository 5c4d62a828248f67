//! Deployments that are scaled by rules, as scripts for Azure ask for it.

use serde_json::{Value, json};

use crate::support::{Aml, each_mode, eventually};

const BLUE: &str = "name: blue\nendpoint_name: shop\nmodel: {path: ./model}\n\
                    code_configuration: {code: ., scoring_script: score.py}\n\
                    instance_type: Standard_DS3_v2\ninstance_count: 1\n";

fn instances(aml: &Aml) -> Value {
    aml.json("endpoint show shop -w churn --query deployments[0].load.instances")
}

/// Deploys, and answers the ids of the deployment and of its endpoint.
fn deployed(aml: &Aml) -> (String, String) {
    aml.ok("workspace create -n churn");
    aml.az("configure --defaults group=g workspace=churn").ok();
    aml.write("model/weight.txt", "42");
    aml.write("score.py", "def init(): pass\ndef run(data): return 1\n");
    aml.write("blue.yml", BLUE);
    aml.az("ml online-endpoint create -n shop").ok();
    aml.az("ml online-deployment create -f blue.yml --all-traffic")
        .ok();
    let query = |group: &str, name: &str, query: &str| {
        let mut line = vec![
            "ml", group, "show", "-n", name, "-o", "tsv", "--query", query,
        ];
        if name != "shop" {
            line.extend(["-e", "shop"]);
        }
        let line: Vec<String> = line.into_iter().map(str::to_owned).collect();
        aml.az(line).ok().trim().to_owned()
    };
    let of_endpoint = "properties.\"azureml.onlineendpointid\"";
    (
        query("online-deployment", "blue", "id"),
        query("online-endpoint", "shop", of_endpoint),
    )
}

/// A setting of the same name in another resource group is another one.
fn in_another_group(aml: &Aml, deployment: &str) {
    aml.ok("workspace create -n other -g second");
    aml.az("ml online-endpoint create -n shop -w other -g second")
        .ok();
    aml.az("ml online-deployment create -f blue.yml -w other -g second")
        .ok();
    let counts = "--min-count 1 --max-count 1 --count 1";
    let resource = aml
        .az("ml online-deployment show -n blue -e shop -w other -g second -o tsv --query id")
        .ok();
    let create = format!(
        "monitor autoscale create -n rules --resource {} {counts}",
        resource.trim()
    );
    let id = aml.az(create).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let shown = aml.az(format!("monitor autoscale show --ids {id}")).json();
    assert_eq!(shown["targetResourceUri"], resource.trim());
    let both = aml.az("monitor autoscale list --query [].id").json();
    let ids: Vec<&str> = both
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let both = format!(
        "monitor autoscale update --enabled true --ids {} --query [].enabled",
        ids.join(" ")
    );
    assert_eq!(aml.az(both).json(), json!([true, true]));
    aml.az("configure --defaults workspace=").ok();
    let error = aml.az("monitor autoscale delete -n rules").failed(1);
    assert!(error.contains("churn, other"), "{error}");
    aml.az("configure --defaults workspace=churn").ok();
    let shown = aml.az("monitor autoscale show -n rules").json();
    assert_eq!(shown["targetResourceUri"], deployment);
    aml.az(format!("monitor autoscale delete --yes --ids {id}"))
        .ok();
    aml.ok("endpoint delete shop -w other --yes");
}

#[test]
fn a_deployment_is_scaled_by_rules() {
    each_mode(|aml| {
        aml.share_environments();
        let aml = &aml.within_seconds(300);
        let (deployment, endpoint) = deployed(aml);
        let create = |name: &str, counts: &str| {
            format!("monitor autoscale create --name {name} --resource {deployment} {counts}")
        };
        aml.az(create("rules", "--min-count 2 --max-count 3 --count 2"))
            .ok();
        eventually("there are two", 60, || (instances(aml) == 2).then_some(()));
        // Beside another one of the same deployment there can be none of its name at another.
        let error = aml
            .az(create("rules", "--min-count 3 --max-count 2 --count 2"))
            .failed(1);
        assert!(error.contains("make no sense"), "{error}");
        aml.az([
            "monitor",
            "autoscale",
            "rule",
            "create",
            "--autoscale-name",
            "rules",
            "--condition",
            "RequestLatency >= 0 avg 5m",
            "--scale",
            "out",
            "1",
            "--cooldown",
            "0",
            "--resource",
            &endpoint,
        ])
        .ok();
        aml.ok("endpoint score shop -d 1");
        eventually("there are three, which is the most", 60, || {
            (instances(aml) == 3).then_some(())
        });
        // Not today, wherever that is.
        let days = [3, 4].map(|days| {
            let day = chrono::Utc::now() + chrono::TimeDelta::days(days);
            day.format("%a").to_string().to_lowercase()
        });
        aml.az([
            "monitor",
            "autoscale",
            "profile",
            "create",
            "--name",
            "later",
            "--autoscale-name",
            "rules",
            "--min-count",
            "1",
            "--count",
            "1",
            "--max-count",
            "1",
            "--recurrence",
            "week",
            &days[0],
            &days[1],
            "--timezone",
            "Pacific Standard Time",
        ])
        .ok();
        let shown = aml.az("monitor autoscale show -n rules").json();
        assert_eq!(shown["targetResourceUri"], deployment);
        let profiles = shown["profiles"].as_array().expect("a list");
        let names: Vec<&Value> = profiles.iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["default", "later"]);
        let trigger = &profiles[0]["rules"][0]["metricTrigger"];
        assert_eq!(trigger["metricName"], "RequestLatency");
        assert_eq!(trigger["timeWindow"], "PT5M");
        assert_eq!(profiles[1]["recurrence"]["schedule"]["days"], json!(days));
        aml.az("monitor autoscale update --autoscale-name rules --enabled false")
            .ok();
        let shown = aml.az("monitor autoscale list --query [].enabled").json();
        assert_eq!(shown, json!([false]));
        let error = aml
            .az("monitor autoscale rule create --autoscale-name rule --condition x --scale out 1")
            .failed(1);
        assert!(error.contains("is no condition"), "{error}");
        in_another_group(aml, &deployment);
        aml.az("monitor autoscale delete -n rules").ok();
        let error = aml.az("monitor autoscale show -n rules").failed(3);
        assert!(error.contains("No autoscale setting `rules`"), "{error}");
        assert_eq!(instances(aml), 3, "what there is stays");
        aml.ok("endpoint delete shop -w churn --yes");
    });
}
