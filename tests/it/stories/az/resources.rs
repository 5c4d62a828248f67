//! Computes, connections, and what belongs to a workspace.

use serde_json::json;

use super::{error, with_workspace};
use crate::support::each_mode;

#[test]
fn computes_are_pools_with_sizes() {
    each_mode(|aml| {
        with_workspace(aml);
        let made = aml.az("ml compute create -n cpu-cluster --type AmlCompute --min-instances 0 --max-instances 8").json();
        assert_eq!(made["size"], "STANDARD_DS3_V2");
        assert_eq!(
            (&made["max_instances"], &made["provisioning_state"]),
            (&json!(8), &json!("Succeeded"))
        );
        assert!(
            made["id"]
                .as_str()
                .is_some_and(|id| id.ends_with("/computes/cpu-cluster"))
        );
        aml.write(
            "ssh.yml",
            "name: ssh\ntype: amlcompute\nsize: standard_ds3_v2\nmax_instances: 2\nssh_settings:\n  admin_username: me\n  admin_password: hunter2\n",
        );
        let made = aml.az("ml compute create -f ssh.yml").ok();
        assert!(
            made.contains("\"me\"") && !made.contains("hunter2"),
            "{made}"
        );
        // The same again is no error.
        aml.az("ml compute create -f ssh.yml --set max_instances=3")
            .ok();
        assert_eq!(
            aml.az("ml compute show -n ssh --query max_instances")
                .json(),
            3
        );
        aml.az("ml compute update -n ssh --max-instances 5 --identity-type system_assigned")
            .ok();
        let identity = aml.az("ml compute show -n ssh --query identity").json();
        let id = identity["principal_id"].as_str().expect("an id").to_owned();
        aml.az("ml compute update -n ssh --set tags.a=b").ok();
        let shown = aml.az("ml compute show -n ssh").json();
        assert_eq!(shown["identity"]["principal_id"], json!(id));
        assert_eq!(
            (&shown["max_instances"], &shown["tags"]["a"]),
            (&json!(5), &json!("b"))
        );
        let instance = aml
            .az("ml compute create -n mine --type computeinstance --size Standard_D4s_v3")
            .json();
        assert_eq!(instance["state"], "Running");
        aml.az("ml compute stop -n mine").ok();
        assert_eq!(
            aml.az("ml compute show -n mine --query state -o tsv").ok(),
            "Stopped\n"
        );
        aml.az("ml compute start -n MINE").ok();
        assert_eq!(
            aml.az("ml compute list --type computeinstance --query [].state -o tsv")
                .ok(),
            "Running\n"
        );
        let gpus =
            r#"ml compute list-sizes --query "[?name=='Standard_NC12'].{Name:name, Gpus:gpus}""#;
        assert_eq!(
            aml.az(gpus).json(),
            json!([{"Name": "Standard_NC12", "Gpus": 2}])
        );
        assert_eq!(
            aml.az("ml compute list-usage --query [0].unit -o tsv").ok(),
            "count\n"
        );
        assert_eq!(aml.az("ml compute list-nodes -n ssh").json(), json!([]));
        assert_eq!(
            aml.json("compute list --query [].name"),
            json!(["cpu-cluster", "mine", "ssh"])
        );
        aml.ok("compute create -n two --type amlcompute --max-instances 2");
        assert_eq!(aml.json("compute stop -n mine")["state"], "Stopped");
        aml.ok("compute delete -n two --yes");
        let fails = |line: &str, what: &str| {
            let said = error(aml, 1, line);
            assert!(said.contains(what), "{line}: {said}");
        };
        fails("ml compute stop -n ssh", "only compute instances");
        fails(
            "ml compute create -n x --type amlcompute --size large",
            "no size of a machine",
        );
        fails(
            "ml compute create -n x --type amlcompute --min-instances 3 --max-instances 2",
            "min_instances is 3",
        );
        fails(
            "ml compute create -n mine --type amlcompute",
            "another type",
        );
        fails("ml compute delete -n ssh", "There is no terminal to ask on");
        aml.az("ml compute delete -n ssh --yes").ok();
        assert_eq!(
            error(aml, 3, "ml compute show -n cpu-clustr"),
            "ERROR: No compute `cpu-clustr` in workspace `w`\nDid you mean `cpu-cluster`?\n"
        );
    });
}

#[test]
fn connections_show_secrets_only_when_asked_for() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "git.yml",
            "name: code\ntype: git\ntarget: https://host\ncredentials:\n  type: pat\n  pat: hunter2\n",
        );
        let made = aml.az("ml connection create --file git.yml").ok();
        assert!(
            made.contains("\"pat\"") && !made.contains("hunter2"),
            "{made}"
        );
        aml.write("ai.yml", "name: ai\ntype: open_ai\napi_key: hunter3\n");
        assert!(
            !aml.az("ml connection create --file ai.yml")
                .ok()
                .contains("hunter3")
        );
        for line in [
            "ml connection show -n code",
            "ml connection list",
            "ml connection update -n code --set tags.a=b",
        ] {
            let shown = aml.az(line).ok();
            assert!(!shown.contains("hunter"), "{shown}");
        }
        let secret = "ml connection show -n code --populate-secrets --query credentials.pat -o tsv";
        assert_eq!(aml.az(secret).ok(), "hunter2\n");
        let list =
            "ml connection list --populate-secrets true --type open_ai --query [].api_key -o tsv";
        assert_eq!(aml.az(list).ok(), "hunter3\n");
        aml.az("ml connection update -n code --set credentials.pat=hunter4")
            .ok();
        assert_eq!(aml.az(secret).ok(), "hunter4\n");
        assert_eq!(
            aml.json("connection show -n code --secrets")["credentials"]["pat"],
            "hunter4"
        );
        aml.ok("connection create --file git.yml -n other --credential pat=x");
        assert!(!aml.ok("connection list").contains("hunter"));
        aml.ok("connection delete -n other --yes");
        assert!(error(aml, 1, "ml connection delete -n code").contains("no terminal"));
        aml.az("ml connection delete -n code --yes").ok();
        error(aml, 3, "ml connection show -n code");
        aml.write(
            "bad.yml",
            "name: x\ntype: git\ncredentials: {type: pat, pat: hunter2, frob: 1}\n",
        );
        assert!(!error(aml, 1, "ml connection create --file bad.yml").contains("hunter2"));
        for flags in [
            "--credentials pta=hunter2",
            "--set credentials.patt=hunter2",
        ] {
            let line = format!("ml connection create --file git.yml {flags}");
            let wrong = error(aml, 1, &line);
            assert!(
                wrong.contains("credentials.p") && !wrong.contains("hunter"),
                "{wrong}"
            );
        }
    });
}

#[test]
fn what_belongs_to_a_workspace_has_commands_of_its_own() {
    each_mode(|aml| {
        with_workspace(aml);
        let part = |key: &str| {
            let id = aml
                .az(format!("ml workspace show --query {key} -o tsv"))
                .ok();
            id.trim().rsplit('/').next().expect("a name").to_owned()
        };
        let vault = part("key_vault");
        aml.az(format!(
            "keyvault secret set --vault-name {vault} -n multiplier --value 7"
        ))
        .ok();
        let show =
            format!("keyvault secret show --vault-name {vault} -n multiplier --query value -o tsv");
        assert_eq!(aml.az(show).ok(), "7\n");
        assert_eq!(
            aml.ok("secret get multiplier -w w --query value -o tsv"),
            "7\n"
        );
        let list = aml
            .az(format!("keyvault secret list --vault-name {vault}"))
            .json();
        assert_eq!(
            (&list[0]["name"], list[0].get("value")),
            (&json!("multiplier"), None)
        );
        aml.az(format!(
            "keyvault secret delete --vault-name {vault} -n multiplier"
        ))
        .ok();
        error(aml, 3, "keyvault secret show --vault-name nope -n x");
        let storage = part("storage_account");
        let account = format!("--account-name {storage}");
        let key = format!("storage account keys list {account} --query [0].value -o tsv");
        let own = "ml workspace list-keys -n w --query userStorageKey -o tsv";
        assert_eq!(aml.az(key).ok(), aml.az(own).ok());
        let container = aml
            .az("ml datastore show -n workspaceblobstore --query container_name -o tsv")
            .ok();
        let container = container.trim();
        aml.write("src/deep/a.csv", "1");
        aml.write("src/b.txt", "2");
        let put = format!("storage blob upload {account} -c {container} -f src/b.txt -n in/b.txt");
        aml.az(&put).ok();
        assert!(error(aml, 1, &put).contains("already exists"));
        aml.az(format!("{put} --overwrite")).ok();
        aml.az(format!(
            "storage blob upload-batch {account} -s src -d {container}/batch --pattern *.csv"
        ))
        .ok();
        let list = format!("storage blob list {account} -c {container} --query [].name -o tsv");
        assert_eq!(aml.az(list).ok(), "batch/deep/a.csv\nin/b.txt\n");
        let in_store = "datastore ls workspaceblobstore -w w --query [].path";
        assert_eq!(aml.json(in_store), json!(["batch/deep/a.csv", "in/b.txt"]));
        aml.az(format!(
            "storage blob download {account} -c {container} -n in/b.txt -f back.txt"
        ))
        .ok();
        assert_eq!(aml.read("back.txt"), "2");
        aml.az(format!("storage container create -n mine {account}"))
            .ok();
        let in_env = aml.with("AZURE_STORAGE_ACCOUNT", storage.as_str());
        in_env.az("storage blob upload -c mine -f src/b.txt").ok();
        assert_eq!(
            in_env.az("storage blob exists -c mine -n b.txt").json(),
            json!({"exists": true})
        );
        assert!(
            error(aml, 1, "storage account create -n new -g g").contains("no storage accounts but")
        );
        assert!(error(aml, 1, "keyvault create -n new -g g").contains("no key vaults but"));
    });
}

#[test]
fn images_are_what_they_are_built_from() {
    each_mode(|aml| {
        with_workspace(aml);
        let name = "acr list --query '[].{Name:name}' --output tsv";
        let registry = aml.az(name).ok().trim().to_owned();
        aml.az(format!("acr login -n {registry}")).ok();
        aml.write("context/app.py", "");
        aml.write("docker/x.dockerfile", "FROM python\nCOPY app.py .\n");
        let build =
            format!("acr build -f docker/x.dockerfile -t examples/app:1 -r {registry} context");
        let made = aml.az(build).json();
        assert_eq!(made["outputImages"][0]["tag"], "1");
        let show = "ml environment show -n examples-app -l 1 --query build.dockerfile_path -o tsv";
        assert_eq!(aml.az(show).ok(), "azure.Dockerfile\n");
        aml.write("context/Dockerfile", "FROM python\n");
        aml.az(format!(
            "acr build -r {registry} --image examples/app:latest --build-arg A=1 --build-arg B=2 context"
        ))
        .ok();
        let show = format!(
            "acr repository show -n {registry} --repository examples/app --query imageName -o tsv"
        );
        assert_eq!(aml.az(show).ok(), "examples/app\n");
        error(
            aml,
            3,
            &format!("acr repository show -n {registry} --image examples/app:7"),
        );
        error(aml, 3, "acr login -n nope");
        let unnamed = error(aml, 2, &format!("acr build -t a:1 -r {registry}"));
        assert!(unnamed.contains("required: SOURCE_LOCATION"), "{unnamed}");
        let none = format!("acr build -t a:1 -r {registry} -f none context");
        assert!(error(aml, 1, &none).contains("no Dockerfile `none`"));
    });
}

#[test]
fn roles_and_identities() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.ok("user create root --admin");
        if aml.is_remote() {
            return;
        }
        aml.ok("user create ann");
        let scope = aml.az("ml workspace show --query id -o tsv").ok();
        let scope = scope.trim();
        aml.az(format!(
            "role assignment create --role 'AzureML Data Scientist' --assignee ann --scope {scope}"
        ))
        .ok();
        let list = format!(
            "role assignment list --scope {scope} --query '[].[principalName, roleDefinitionName]' -o tsv"
        );
        assert_eq!(aml.az(list.clone()).ok(), "ann\tAzureML Data Scientist\n");
        // A lesser role takes nothing away, neither given nor removed.
        for line in [
            "create --role Reader",
            "delete --role Reader",
            "delete --role Contributor",
        ] {
            aml.az(format!(
                "role assignment {line} --assignee ann --scope {scope}"
            ))
            .ok();
            assert_eq!(aml.az(list.clone()).ok(), "ann\tAzureML Data Scientist\n");
        }
        aml.az(format!(
            "role assignment delete --assignee ann --role 'AzureML Data Scientist' --scope {scope}"
        ))
        .ok();
        assert_eq!(aml.az("role assignment list").json(), json!([]));
        let storage = "role assignment create --role Reader --assignee ann --scope \
                       /subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/x";
        assert!(error(aml, 1, storage).contains("Roles are given in workspaces"));
        assert_eq!(
            aml.az("ad signed-in-user show --query id -o tsv").ok(),
            "owner\n"
        );
        let id = aml.az("identity create -n mine --query id -o tsv").ok();
        assert!(id.trim().ends_with("/userAssignedIdentities/mine"));
        let principal = aml
            .az("identity show -n mine --query principalId -o tsv")
            .ok();
        let list = r#"identity list --query "[?name=='mine'].principalId" -o tsv"#;
        assert_eq!(aml.az(list).ok(), principal);
        let attach = format!(
            "ml compute create -n c --type amlcompute --identity-type user_assigned --user-assigned-identities {}",
            id.trim()
        );
        let made = aml.az(attach).json();
        assert_eq!(
            made["identity"]["user_assigned_identities"][0]["resource_id"],
            id.trim()
        );
        aml.az("identity delete -n mine").ok();
        error(aml, 3, "identity show -n mine");
    });
}

#[test]
fn a_workspace_must_be_in_the_group_that_is_named() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("group create -n other").ok();
        for line in [
            "ml job list",
            "ml job show -n x",
            "ml compute list",
            "ml compute show -n x",
            "ml connection list",
            "ml connection show -n x",
            "ml datastore list",
            "ml datastore show -n workspaceblobstore",
            "ml data list",
            "ml model list",
        ] {
            let said = error(aml, 3, &format!("{line} -g other"));
            assert!(said.contains("workspace `w`"), "{line}: {said}");
        }
        assert_eq!(aml.az("ml job list -g G -o tsv").ok(), "");
    });
}

#[test]
fn a_job_is_told_what_its_compute_has() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml compute create -n two --type amlcompute --max-instances 2")
            .ok();
        aml.az("ml compute create -n mine --type computeinstance")
            .ok();
        aml.write(
            "job.yml",
            "command: echo hi\nenvironment: {image: python}\ncompute: azureml:two\n",
        );
        let many = "ml job create -f job.yml --set resources.instance_count=3";
        let said = error(aml, 1, many);
        assert!(
            said.contains("The job wants 3 instances; `two` has at most 2"),
            "{said}"
        );
        error(aml, 1, &format!("{many} compute=azureml:mine"));
        aml.az("ml compute stop -n mine").ok();
        let made = aml.az("ml job create -f job.yml -n waits --set compute=mine");
        assert!(
            made.stderr.contains("The compute mine is stopped"),
            "{}",
            made.stderr
        );
        made.ok();
        aml.az("ml compute start -n mine").ok();
        aml.az("ml job stream -n waits").ok();
    });
}

#[test]
fn a_connection_keeps_its_identity_and_seals_the_rest() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "id.yml",
            "name: lake\ntype: azure_blob\nurl: https://a.blob.core.windows.net/c\ncontainer_name: c\naccount_name: a\n\
             credentials: {type: managed_identity, client_id: c1, resource_id: r1}\n",
        );
        let made = aml
            .az("ml connection create -f id.yml --query credentials")
            .json();
        let identity = json!({"client_id": "c1", "resource_id": "r1", "type": "managed_identity"});
        assert_eq!(made, identity);
        let changed = aml.az("ml connection update -n lake --set tags.a=b --query credentials");
        assert_eq!(changed.json(), identity);
        aml.write(
            "aad.yml",
            "name: ai\ntype: azure_open_ai\nazure_endpoint: https://host\napi_key: hunter2\ncredentials: {type: aad}\n",
        );
        let made = aml.az("ml connection create -f aad.yml").ok();
        assert!(!made.contains("hunter2"), "{made}");
        let kind = "ml connection update -n ai --set tags.a=b --query credentials.type -o tsv";
        assert_eq!(aml.az(kind).ok(), "aad\n");
        assert!(!aml.ok("connection show -n ai").contains("hunter2"));
    });
}

#[test]
fn files_of_a_container_are_chosen_by_a_pattern() {
    each_mode(|aml| {
        with_workspace(aml);
        for file in ["a.csv", "b.txt", "deep/c.csv", "deep/c1.csv"] {
            aml.write(&format!("up/{file}"), file);
        }
        let account = aml.az("storage account list --query [0].name -o tsv").ok();
        let account = account.trim();
        let container = "ml datastore show -n workspaceblobstore --query container_name -o tsv";
        let container = aml.az(container).ok();
        let container = container.trim();
        let at = format!("--account-name {account}");
        aml.az(format!("storage blob upload-batch {at} -d {container} -s up").as_str())
            .ok();
        let down = format!("storage blob download-batch {at} -s {container} -d down --pattern");
        let got = aml.az(format!("{down} deep/c[0-9].csv").as_str()).json();
        assert_eq!(got, json!(["deep/c1.csv"]));
        assert_eq!(aml.read("down/deep/c1.csv"), "deep/c1.csv");
        let mut got = aml.az(format!("{down} *.csv").as_str()).json();
        got.as_array_mut()
            .expect("a list")
            .sort_by_key(ToString::to_string);
        assert_eq!(got, json!(["a.csv", "deep/c.csv", "deep/c1.csv"]));
        assert!(!aml.path("down/b.txt").exists());
    });
}
