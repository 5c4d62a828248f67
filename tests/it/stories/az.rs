//! Scripts written for Azure's own command line.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

fn with_workspace(aml: &Aml) {
    aml.az("configure --defaults group=g workspace=w location=eastus")
        .ok();
    aml.az("group create -n g -l eastus").ok();
    aml.az("ml workspace create -n w -g g").ok();
}

/// What a command says when it fails.
#[track_caller]
fn error(aml: &Aml, status: i32, line: &str) -> String {
    aml.az(line).failed(status)
}

#[test]
fn a_workspace_is_made_as_scripts_make_it() {
    each_mode(|aml| {
        with_workspace(aml);
        let shown = aml.az("ml workspace show").json();
        let id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/\
                  Microsoft.MachineLearningServices/workspaces/w";
        assert_eq!(shown["id"], id);
        assert_eq!(shown["location"], "eastus");
        assert_eq!(shown["resourceGroup"], "g");
        let registry = shown["container_registry"].as_str().expect("an id");
        assert!(
            registry
                .split('/')
                .nth(8)
                .is_some_and(|name| !name.is_empty())
        );
        // One that is there is changed.
        aml.az("ml workspace create -n w --tags a=1 --public-network-access Disabled")
            .ok();
        let show = "ml workspace show -n w --query '[tags.a, public_network_access]' -o tsv";
        assert_eq!(aml.az(show).ok(), "1\nDisabled\n");
        aml.az("ml workspace update -n w --set tags.b=2 description='mine' --remove tags.a")
            .ok();
        let show = "ml workspace show -n w --query '{t:tags,d:description}'";
        assert_eq!(aml.az(show).json(), json!({"t": {"b": "2"}, "d": "mine"}));
        // What scripts compare with the text `[]`.
        let list = r#"ml workspace list --query "[?name=='other']""#;
        assert_eq!(aml.az(list).ok(), "[]\n");
        aml.write("part.yml", "description: from a file\n");
        aml.az("ml workspace update -n w -f part.yml").ok();
        let show = "ml workspace show --query description -o tsv";
        assert_eq!(aml.az(show).ok(), "from a file\n");
        aml.az("ml workspace delete -n w --yes").ok();
        assert_eq!(aml.az("ml workspace list").ok(), "[]\n");
    });
}

#[test]
fn a_group_goes_with_its_workspaces() {
    each_mode(|aml| {
        with_workspace(aml);
        assert_eq!(aml.az("group exists -n G").ok(), "true\n");
        assert_eq!(aml.az("group exists -n other -o tsv").ok(), "false\n");
        assert_eq!(
            aml.az("group show --query location -o tsv").ok(),
            "eastus\n"
        );
        aml.az("group create -n empty --tags a=b").ok();
        let tags = "group list --tag a=b --query [].name -o tsv";
        assert_eq!(aml.az(tags).ok(), "empty\n");
        aml.az("group delete -n g --yes").ok();
        assert_eq!(
            error(aml, 3, "ml workspace show"),
            "ERROR: No workspace `w`\nCreate it: aml workspace create -n w\n"
        );
        assert_eq!(aml.az("group exists -n g").ok(), "false\n");
    });
}

#[test]
fn defaults_come_from_files_and_the_environment() {
    let aml = Aml::local();
    assert_eq!(
        error(&aml, 2, "ml workspace show"),
        "ERROR: the following arguments are required: --workspace-name/-w\n\
         Set a default: az configure --defaults workspace=NAME\n"
    );
    with_workspace(&aml);
    let value = r#"configure -l --query "[?name=='group'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "g\n");
    let value = r#"config get --query "defaults[?name == 'workspace'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "w\n");
    aml.az("config set defaults.group=h core.output=tsv").ok();
    assert_eq!(
        aml.az("config get defaults.group --query value").ok(),
        "h\n"
    );
    aml.az("config unset core.output").ok();
    let other = aml.with("AZURE_DEFAULTS_WORKSPACE", "other");
    assert!(error(&other, 3, "ml workspace show").starts_with("ERROR: No workspace `other`"));
    let elsewhere = aml.with("AZURE_CONFIG_DIR", aml.root().join("config-of-another"));
    assert_eq!(elsewhere.az("configure --list-defaults").json(), json!([]));
    aml.az("configure -d group=").ok();
    let value = r#"configure -l --query "[?name=='group'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "");
}

#[test]
fn mistakes_on_the_line_end_with_2() {
    let aml = Aml::local();
    let cases = [
        (
            "ml dta create",
            "'dta' is misspelled or not recognized by the system.\nDid you mean 'data' ?",
        ),
        (
            "ml data creat",
            "'creat' is misspelled or not recognized by the system.\nDid you mean 'create' ?",
        ),
        (
            "ml data show",
            "the following arguments are required: --name/-n",
        ),
        (
            "ml data show --nam x --frob y",
            "unrecognized arguments: --frob",
        ),
        (
            "ml data create --de x",
            "ambiguous option: --de could match --description, --debug",
        ),
        (
            "ml data list -o html",
            "argument --output/-o: 'html' is not a valid value. Allowed values: \
                                  table, json, jsonc, yaml, yamlc, tsv, none.",
        ),
        (
            "ml data list --name",
            "argument --name/-n: expected one argument",
        ),
    ];
    for (line, message) in cases {
        let said = error(&aml, 2, line);
        assert!(
            said.starts_with(&format!("ERROR: {message}\n")),
            "{line}: {said}"
        );
    }
    let said = error(&aml, 2, "account show --query [");
    assert!(
        said.starts_with("ERROR: argument --query: invalid jmespath_type value: '['"),
        "{said}"
    );
}

#[test]
fn who_uses_which_subscription() {
    each_mode(|aml| {
        let id = "11111111-2222-3333-4444-555555555555";
        aml.az(format!("account set -s {id}")).ok();
        assert_eq!(
            aml.az("account show --query id -o tsv").ok(),
            format!("{id}\n")
        );
        assert_eq!(aml.az("account list --query length(@)").ok(), "1\n");
        assert_eq!(
            aml.az("login --identity --query [0].state -o tsv").ok(),
            "Enabled\n"
        );
        with_workspace(aml);
        let found = aml.az("ml workspace show --query id -o tsv").ok();
        assert!(
            found.starts_with(&format!("/subscriptions/{id}/")),
            "{found}"
        );
        let none = error(aml, 1, "account get-access-token");
        assert!(none.contains("nobody needs a token"), "{none}");
        let token = aml.with("AML_TOKEN", "amltoken");
        let get =
            "account get-access-token --resource https://ml.azure.com --query accessToken -o tsv";
        if !aml.is_remote() {
            assert_eq!(token.az(get).ok(), "amltoken\n");
        }
    });
}

#[test]
fn the_extension_is_there_and_stays() {
    let aml = Aml::local();
    aml.az("extension remove -n ml").ok();
    aml.az("extension add -n ml -y").ok();
    aml.az("extension add --upgrade --yes --source https://host/ml-2.9.0-py3-none-any.whl")
        .ok();
    assert_eq!(aml.az("extension list --query [].name -o tsv").ok(), "ml\n");
    assert_eq!(
        error(&aml, 1, "extension remove -n azure-cli-ml"),
        "ERROR: The extension azure-cli-ml is not installed.\n"
    );
    let version = aml.az("version").json();
    assert_eq!(
        version["extensions"]["ml"],
        aml.az("extension show -n ml").json()["version"]
    );
    assert!(aml.az("--version").ok().starts_with("azure-cli "));
}

#[test]
fn data_is_registered_from_files_and_flags() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("data/titanic.csv", "a\n1\n");
        aml.write(
            "assets/file.yml",
            "$schema: x/data.schema.json\nname: t\npath: ../data/titanic.csv\ntype: uri_file\n",
        );
        let made = aml.az("ml data create --f assets/file.yml").json();
        assert_eq!(
            (&made["name"], &made["version"]),
            (&json!("t"), &json!("1"))
        );
        let path = made["path"].as_str().expect("a path");
        assert!(path.starts_with("azureml://subscriptions/") && path.ends_with("/titanic.csv"));
        let set = "ml data create -f assets/file.yml -n other --set tags.a=1 version=7 --set description='it is'";
        let made = aml.az(set).json();
        assert_eq!(made["tags"], json!({"a": "1"}));
        assert_eq!(
            (&made["version"], &made["description"]),
            (&json!("7"), &json!("it is"))
        );
        aml.az("ml data create -n folder -p data").ok();
        assert_eq!(
            aml.az("ml data list --query [].name -o tsv").ok(),
            "folder\nother\nt\n"
        );
        aml.az("ml data update -n t -v 1 --set tags.x=y --set description=new")
            .ok();
        aml.az("ml data update -n t -v 1 --set tags.z=1 --remove tags.x")
            .ok();
        let show = "ml data show -n t -l latest --query '{t:tags,d:description}'";
        assert_eq!(aml.az(show).json(), json!({"t": {"z": "1"}, "d": "new"}));
        assert!(
            error(aml, 1, "ml data update -n t -v 1 --set path=x").contains("cannot be changed")
        );
        aml.az("ml data archive -n t").ok();
        assert_eq!(
            aml.az("ml data list --archived-only --query [].name -o tsv")
                .ok(),
            "t\n"
        );
        aml.az("ml data restore -n t").ok();
        aml.az("ml registry create -n r").ok();
        aml.az(
            "ml data share -n t -v 1 --registry-name r --share-with-name tt --share-with-version 2",
        )
        .ok();
        let id = aml
            .az("ml data show -n tt -v 2 --registry-name r --query id -o tsv")
            .ok();
        assert_eq!(id, "azureml://registries/r/data/tt/versions/2\n");
        assert_eq!(
            error(aml, 3, "ml data show -n t -v 9"),
            "ERROR: No data `t` version 9 in workspace `w`\n\
             The one created last is 1; see all: aml data list --name t\n"
        );
        assert_eq!(
            error(aml, 1, "ml data create -f missing.yml"),
            "ERROR: There is no file `missing.yml`\n"
        );
        aml.write("bad.yml", "name: x\npath: data\nfrob: 1\ntype: tabel\n");
        let said = error(aml, 1, "ml data create -f bad.yml");
        assert!(
            said.contains("bad.yml:3:1") && said.contains("bad.yml:4:7"),
            "{said}"
        );
        assert!(
            error(
                aml,
                1,
                "ml data create -n x -p data/titanic.csv -t uri_folder"
            )
            .contains("is a file")
        );
        assert!(
            error(aml, 1, "ml data create -n x -p data -t mltable")
                .contains("has no file `MLTable`")
        );
        assert!(
            error(
                aml,
                1,
                "ml data create -f assets/file.yml -v 1 -p data -t uri_folder"
            )
            .contains("exists")
        );
    });
}

#[test]
fn environments_components_and_models_are_registered() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "conda.yml",
            "name: x\ndependencies:\n  - pip:\n    - mlflow\n",
        );
        aml.write("docker/Dockerfile", "FROM python\n");
        aml.write("env.yml", "name: e\nimage: python\nconda_file: conda.yml\n");
        let made = aml.az("ml environment create --file env.yml").json();
        assert_eq!(made["conda_file"]["name"], "x");
        let made = aml
            .az("ml environment create -n built -b docker --tags a=b")
            .json();
        assert_eq!(made["build"]["dockerfile_path"], "Dockerfile");
        aml.write("src/train.py", "");
        aml.write(
            "component.yml",
            "name: my_train\nversion: 3\ncommand: python train.py --a ${{inputs.a}}\ncode: ./src\n\
             environment: file:./env.yml\ninputs: {a: {type: integer, default: 1}}\n",
        );
        let made = aml.az("ml component create --file component.yml").json();
        assert_eq!(made["environment"], "azureml:e:2");
        assert!(
            made["code"]
                .as_str()
                .is_some_and(|code| code.contains("LocalUpload"))
        );
        assert_eq!(
            aml.az("ml component show -n my_train -v 3 --query type")
                .json(),
            "command"
        );
        aml.write("model/model.pkl", "x");
        aml.write("model.yml", "name: m\npath: model\ntype: custom_model\n");
        let made = aml
            .az("ml model create -f model.yml --stage Production")
            .json();
        assert_eq!(
            (&made["version"], &made["stage"]),
            (&json!("1"), &json!("Production"))
        );
        // The same again is no error, another content is.
        aml.az("ml model create -f model.yml -v 1").ok();
        aml.write("model/more.pkl", "y");
        assert!(error(aml, 1, "ml model create -f model.yml -v 1").contains("other files"));
        aml.az("ml model create -f model.yml -v 5").ok();
        assert_eq!(
            aml.az("ml model create -f model.yml --query version -o tsv")
                .ok(),
            "6\n"
        );
        assert!(
            error(aml, 1, "ml model create -f model.yml -v new").contains("no version of a model")
        );
        aml.az("ml model archive -n m -v 6").ok();
        assert_eq!(
            aml.az("ml model list -n m --query [].version -o tsv").ok(),
            "5\n1\n"
        );
        aml.az("ml model update -n m -v 5 --set tags.a=b --stage Staging")
            .ok();
        let show = "ml model show -n m -v 5 --query '[tags.a, stage]' -o tsv";
        assert_eq!(aml.az(show).ok(), "b\nStaging\n");
        aml.az("ml model download -n m -v 1 -p out").ok();
        assert_eq!(aml.read("out/m/model.pkl"), "x");
        aml.az("ml registry create -n r").ok();
        aml.az("ml model share -n m -v 5 --registry-name r").ok();
        assert_eq!(
            aml.az("ml model list --registry-name r --query [].version -o tsv")
                .ok(),
            "5\n"
        );
    });
}

#[test]
fn datastores_keep_their_secrets() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write(
            "blob.yml",
            "name: b\ntype: azure_blob\naccount_name: a\ncontainer_name: c\ncredentials:\n  account_key: hunter2\n",
        );
        let made = aml.az("ml datastore create --file blob.yml");
        assert!(!made.clone().ok().contains("hunter2"));
        assert_eq!(made.json()["container_name"], "c");
        aml.az("ml datastore update -n b --set description=ours tags.a=b")
            .ok();
        let shown = aml.az("ml datastore show -n b");
        assert!(!shown.clone().ok().contains("hunter2"));
        let shown = shown.json();
        assert_eq!(
            (&shown["description"], &shown["tags"]["a"]),
            (&json!("ours"), &json!("b"))
        );
        let names = aml.az("ml datastore list --query [].name -o tsv").ok();
        assert!(names.contains("workspaceblobstore\n"), "{names}");
        aml.az("ml datastore delete -n b").ok();
        error(aml, 3, "ml datastore show -n b");
        aml.write("bad.yml", "name: b\ntype: azure_blob\naccount_name: a\ncredentials: {account_key: hunter2, x: 1}\n");
        let said = error(aml, 1, "ml datastore create --file bad.yml");
        assert!(
            !said.contains("hunter2") && said.contains("container_name"),
            "{said}"
        );
    });
}

#[test]
fn a_link_is_made() {
    let aml = Aml::local();
    aml.ok("az-link bin");
    aml.ok("az-link bin");
    let version = aml
        .sh("PATH=$PWD/bin:$PATH az version --query amlite -o tsv")
        .ok();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    aml.write("other/az", "mine");
    expect![[r"
        Error: `$ROOT/here/other/az` is there already and is no link
        Hint: Choose another folder, or remove it first
    "]]
    .assert_eq(&aml.fails(5, "az-link other"));
}
