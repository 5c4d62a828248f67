//! `az resource` and what else knows things by their ids.

use serde_json::json;

use super::{error, with_workspace};
use crate::support::{Aml, each_mode};

#[test]
fn resources_are_shown_listed_tagged_and_deleted_by_id_or_type() {
    each_mode(|aml| {
        with_workspace(aml);
        let id = |line: &str| aml.az(line).ok().trim().to_owned();
        let workspace = id("ml workspace show --query id -o tsv");
        aml.az("ml online-endpoint create -n sums").ok();
        aml.az("ml compute create -n cpu --type amlcompute").ok();
        aml.az("identity create -n me").ok();
        let shown = aml.az(format!("resource show --ids {workspace}")).json();
        assert_eq!(
            shown["type"],
            "Microsoft.MachineLearningServices/workspaces"
        );
        assert_eq!(
            (&shown["name"], &shown["location"], &shown["sku"]["name"]),
            (&json!("w"), &json!("eastus"), &json!("Basic"))
        );
        let same =
            "resource show -g g -n w --resource-type microsoft.machinelearningservices/workspaces";
        assert_eq!(aml.az(same).json()["id"], json!(workspace));
        let endpoint = format!("{workspace}/onlineEndpoints/sums");
        let shown = aml.az(format!("resource show --ids {endpoint}")).json();
        assert_eq!(
            (&shown["name"], &shown["properties"]["authMode"]),
            (&json!("w/sums"), &json!("key"))
        );
        let within = "resource show -n sums --parent workspaces/w --namespace Microsoft.MachineLearningServices \
                      --resource-type onlineEndpoints --query properties.provisioningState -o tsv";
        assert_eq!(aml.az(within).ok(), "Succeeded\n");

        let types = "resource list --query [].type";
        let all = aml.az(types).json();
        for kind in [
            "Microsoft.MachineLearningServices/workspaces",
            "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            "Microsoft.Storage/storageAccounts",
            "Microsoft.KeyVault/vaults",
            "Microsoft.ContainerRegistry/registries",
            "Microsoft.ManagedIdentity/userAssignedIdentities",
        ] {
            assert!(
                all.as_array().is_some_and(|all| all.contains(&json!(kind))),
                "{kind}: {all}"
            );
        }
        let ids = aml
            .az("resource list --namespace Microsoft.MachineLearningServices --query [].id")
            .json();
        assert_eq!(ids, json!([endpoint, workspace]));

        let tag = format!("resource tag --ids {workspace} --tags team=x");
        aml.az(&tag).ok();
        aml.az(format!(
            "resource tag --is-incremental --ids {workspace} --tags cost=1"
        ))
        .ok();
        assert_eq!(
            aml.az("ml workspace show --query tags").json(),
            json!({"team": "x", "cost": "1"})
        );
        assert_eq!(aml.az(&tag).json()["tags"], json!({"team": "x"}));
        assert_eq!(
            aml.az("resource list --tag team=x --query [].name -o tsv")
                .ok(),
            "w\n"
        );

        aml.az(format!(
            "resource tag --ids {workspace} {endpoint} --tags cost.center=5 hidden-link:/a=b"
        ))
        .ok();
        let dotted = json!({"cost.center": "5", "hidden-link:/a": "b"});
        for shown in [&workspace, &endpoint] {
            let shown = aml.az(format!("resource show --ids {shown}")).json();
            assert_eq!(shown["tags"], dotted);
        }
        // Nothing is tagged when one of them cannot be.
        let me = id("identity show -n me --query id -o tsv");
        let line = format!("resource tag --ids {workspace} {me} --tags a=b");
        let said = error(aml, 1, &line);
        assert!(said.contains("az identity update"), "{said}");
        let line = format!("resource tag --ids {workspace} {workspace}/computes/no --tags a=b");
        error(aml, 3, &line);
        let shown = aml.az(format!("resource show --ids {workspace}")).json();
        assert_eq!(shown["tags"], dotted);

        aml.az(format!(
            "resource delete --ids {endpoint} {workspace}/computes/cpu"
        ))
        .ok();
        assert_eq!(aml.az("ml online-endpoint list").json(), json!([]));
        assert_eq!(aml.az("ml compute list").json(), json!([]));
        aml.az("resource delete -g g -n w --resource-type Microsoft.MachineLearningServices/workspaces").ok();
        error(aml, 3, &format!("resource show --ids {workspace}"));
    });
}

#[test]
fn a_resource_is_waited_for() {
    each_mode(|aml| {
        with_workspace(aml);
        let workspace = aml.az("ml workspace show --query id -o tsv").ok();
        let endpoint = format!("{}/onlineEndpoints/sums", workspace.trim());
        aml.az("ml online-endpoint create -n sums").ok();
        for until in [
            "--exists",
            "--created",
            "--updated",
            "--custom \"properties.authMode=='key'\"",
        ] {
            aml.az(format!("resource wait {until} --ids {endpoint}"))
                .ok();
        }
        for never in ["--deleted", "--custom \"properties.authMode=='no'\""] {
            let line = format!("resource wait {never} --timeout 0 --ids {endpoint}");
            let said = error(aml, 1, &line);
            assert!(said.contains("timed-out after 0 seconds"), "{said}");
        }
        error(aml, 2, &format!("resource wait --ids {endpoint}"));
        error(
            aml,
            2,
            &format!("resource wait --custom [ --ids {endpoint}"),
        );
        aml.az(format!("resource delete --ids {endpoint}")).ok();
        aml.az(format!("resource wait --deleted --ids {endpoint}"))
            .ok();
    });
}

#[test]
fn an_id_that_names_nothing_here_is_refused() {
    let aml = Aml::local();
    with_workspace(&aml);
    for (line, status, why) in [
        ("resource show --ids x", 2, "no id of a resource"),
        ("resource show -n w", 2, "--ids"),
        (
            "resource show -g g -n w/x --resource-type Microsoft.MachineLearningServices/workspaces",
            2,
            "PARENT/NAME",
        ),
        (
            "resource show -g g -n v --resource-type Microsoft.Compute/virtualMachines",
            3,
            "No type of resources `Microsoft.Compute/virtualMachines` is here",
        ),
        (
            "resource delete -g h -n w --resource-type Microsoft.MachineLearningServices/workspaces",
            3,
            "`h`",
        ),
        ("vm list", 1, "no virtual machines"),
        ("storage account delete -n a", 1, "az ml workspace delete"),
        ("storage blob directory create", 1, "upload-batch"),
        ("network vnet list", 1, "no networks"),
        (
            "ml serverless-endpoint create -f x.yml",
            1,
            "az ml online-endpoint create",
        ),
        ("keyvault set-policy -n k", 1, "az role assignment"),
        (
            "provider register -n Microsoft.ContainerService",
            3,
            "Microsoft.ContainerRegistry",
        ),
    ] {
        let said = error(&aml, status, line);
        assert!(
            said.starts_with("ERROR: ") && said.contains(why),
            "{line}: {said}"
        );
    }
    let state = "provider show -n microsoft.storage --query registrationState -o tsv";
    assert_eq!(aml.az(state).ok(), "Registered\n");
    aml.az("provider register -n Microsoft.KeyVault").ok();
    let account = aml.az("storage account list --query [0].name -o tsv").ok();
    let account = account.trim();
    aml.az(format!(
        "storage fs create -n lake --account-name {account}"
    ))
    .ok();
    let all = aml.az(format!(
        "storage container list --account-name {account} --query [].name"
    ));
    assert!(all.json().to_string().contains("\"lake\""));
}
