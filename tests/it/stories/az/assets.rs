//! Assets and datastores by `az ml`, and by `aml` from the same files.

use serde_json::json;

use super::{error, with_workspace};
use crate::support::each_mode;

#[test]
fn a_registry_without_a_display_name_is_shown_by_its_own() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml registry create -n r").ok();
        let change = "ml registry update -n r --query display_name";
        let named = format!("{change} --display-name R");
        assert_eq!(aml.az(&*named).json(), "R");
        let tagged = format!("{change} --set tags.x=y");
        assert_eq!(aml.az(&*tagged).json(), "R");
        let removed = format!("{change} --remove display_name");
        assert_eq!(aml.az(&*removed).json(), "r");
    });
}

#[test]
fn a_component_goes_on_meaning_the_version_that_a_label_named() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml environment create -n e -i python:3.11").ok();
        aml.write(
            "c.yml",
            "name: c\ntype: command\ncommand: echo\nenvironment: azureml:e@latest\n",
        );
        let step = "{type: command, component: azureml:c@latest}";
        aml.write(
            "p.yml",
            format!("name: p\ntype: pipeline\njobs: {{a: {step}}}\n"),
        );
        for file in ["c.yml", "p.yml"] {
            aml.az(format!("ml component create -f {file}")).ok();
        }
        aml.az("ml environment create -n e -i python:3.12").ok();
        aml.az("ml component create -f c.yml").ok();
        let ask = |what: &str| aml.az(format!("ml component show {what} -o tsv")).ok();
        assert_eq!(ask("-n c -v 1 --query environment"), "azureml:e:1\n");
        assert_eq!(ask("-n c -v 2 --query environment"), "azureml:e:2\n");
        assert_eq!(ask("-n p -v 1 --query jobs.a.component"), "azureml:c:1\n");
    });
}

#[test]
fn what_is_made_here_is_neither_detached_nor_of_another_size() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.az("ml compute create -n pool --type amlcompute --size Standard_DS2_v2")
            .ok();
        let detached = error(aml, 1, "ml compute detach -n pool -y");
        assert!(
            detached.contains("az ml compute delete -n pool"),
            "{detached}"
        );
        let sized = error(
            aml,
            1,
            "ml compute update -n pool --set size=Standard_DS1_v2",
        );
        assert!(sized.contains("stays what it was made with"), "{sized}");
        aml.az("ml compute update -n pool --max-instances 3").ok();
    });
}

#[test]
fn a_model_of_a_file_and_one_of_a_folder_are_downloaded() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("weights/a", "1");
        for (name, path) in [("file", "weights/a"), ("folder", "weights")] {
            aml.az(format!("ml model create -n {name} --path {path}"))
                .ok();
            aml.az(format!("ml model download -n {name} -v 1 -p out"))
                .ok();
        }
        assert_eq!(aml.read("out/file/a"), "1");
        assert_eq!(aml.read("out/folder/weights/a"), "1");
    });
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
        aml.az("ml data update -n t -v 1 --set properties.p=1 --remove tags")
            .ok();
        let show = "ml data show -n t -v 1 --query [tags,properties.p]";
        assert_eq!(aml.az(show).json(), json!([{}, "1"]));
        aml.az("ml data update -n t -v 1 --remove properties").ok();
        assert_eq!(aml.az(show).json(), json!([{}, null]));
        aml.az("ml registry create -n r --tags a=1").ok();
        let again = "ml registry create -n r --description d --query [tags.a,description]";
        assert_eq!(aml.az(again).json(), json!(["1", "d"]));
        let removed = "ml registry update -n r --remove tags --query [tags,description]";
        assert_eq!(aml.az(removed).json(), json!([{}, "d"]));
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
             The one created last is 1; see all: az ml data list --name t\n"
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
        let named = "ml model create -f model.yml -v new-1.2 --set properties.from=tests";
        let made = aml.az(named).json();
        assert_eq!(
            (&made["version"], &made["properties"]["from"]),
            (&json!("new-1.2"), &json!("tests"))
        );
        assert!(
            made["id"]
                .as_str()
                .is_some_and(|id| id.ends_with("/models/m/versions/new-1.2"))
        );
        let latest = "ml model show -n m --label latest --query version -o tsv";
        assert_eq!(aml.az(latest).ok(), "new-1.2\n");
        aml.az("ml model show -n m -v new-1.2").ok();
        error(aml, 3, "ml model show -n m -v new-1");
        assert_eq!(aml.json("model show m:new-1.2 --query version"), 7);
        aml.ok("model delete m:new-1.2 --yes");
        aml.az("ml model archive -n m -v 6").ok();
        assert_eq!(
            aml.az("ml model list -n m --query [].version -o tsv").ok(),
            "5\n1\n"
        );
        aml.az("ml model update -n m -v 5 --set properties.p=1")
            .ok();
        for change in [
            "--remove properties",
            "--remove properties.p",
            "--set properties.p=2",
        ] {
            let refused = format!("ml model update -n m -v 5 {change}");
            let said = error(aml, 1, &refused);
            assert!(said.contains("are only added"), "{change}: {said}");
        }
        aml.az("ml model update -n m -v 5 --set tags.a=b --stage Staging")
            .ok();
        let show = "ml model show -n m -v 5 --query '[tags.a, stage]' -o tsv";
        assert_eq!(aml.az(show).ok(), "b\nStaging\n");
        aml.az("ml model download -n m -v 1 -p out").ok();
        assert_eq!(aml.read("out/m/model/model.pkl"), "x");
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
fn what_does_not_make_a_version_changes() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("data/titanic.csv", "a\n1\n");
        aml.az("ml data create -n t -p data/titanic.csv -t uri_file")
            .ok();
        aml.az("ml data create -n folder -p data").ok();
        let keep = "ml data update -n t --query auto_delete_setting.value -o tsv \
                    --set auto_delete_setting.condition=created_greater_than auto_delete_setting.value=30d";
        assert_eq!(aml.az(keep).ok(), "30d\n");
        let forget = "ml data update -n t --remove auto_delete_setting --query auto_delete_setting";
        assert_eq!(aml.az(forget).ok(), "");
        aml.az("ml data mount --path azureml:folder:1 --mount-point there")
            .ok();
        assert_eq!(aml.read("there/titanic.csv"), "a\n1\n");
        let again = error(
            aml,
            1,
            "ml data mount --path azureml:folder:1 --mount-point there",
        );
        assert!(again.contains("has something already"), "{again}");
        error(
            aml,
            1,
            "ml data mount --path azureml:folder:1 --mode rw_mount",
        );
        aml.write(
            "component.yml",
            "name: my_train\ncommand: 'true'\nenvironment: {image: python}\n",
        );
        aml.az("ml component create --file component.yml").ok();
        aml.az("ml model create -n m -v 5 -p data --set tags.a=b")
            .ok();
        // Any word is a stage there; MLflow's four are those of the model.
        let stage = |line: &str| {
            aml.az(format!("ml model {line} -n m -v 5 --query stage"))
                .json()
        };
        assert_eq!(stage("update --stage Development"), "Development");
        assert_eq!(stage("show"), "Development");
        let of_stage = "ml model list --stage development --query [].version -o tsv";
        assert_eq!(aml.az(of_stage).ok(), "5\n");
        assert_eq!(aml.json("model show m:5 --query stage"), "None");
        assert_eq!(
            stage("update --set stage=Production tags.c=d"),
            "Production"
        );
        assert_eq!(
            aml.az("ml model show -n m -v 5 --query tags").json(),
            json!({"a": "b", "c": "d"})
        );
        let flavors = "ml model update -n m -v 5 --query flavors \
                       --set flavors.python_function.python_version=3.8";
        let changed = json!({"python_function": {"python_version": 3.8}});
        assert_eq!(aml.az(flavors).json(), changed);
        assert_eq!(aml.az("ml model show -n m --query flavors").json(), changed);
        aml.az("ml model archive -n m").ok();
        assert_eq!(aml.az("ml model list -n m").json(), json!([]));
        let of_stage = "ml model list -n m --stage Archived --query [].version -o tsv";
        assert_eq!(aml.az(of_stage).ok(), "5\n");
        let component =
            "ml component update -n my_train --set display_name=Shown --query display_name";
        assert_eq!(aml.az(component).json(), "Shown");
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
fn aml_takes_files_too() {
    each_mode(|aml| {
        with_workspace(aml);
        let aml = &aml.with("AML_WORKSPACE", "w");
        aml.write("data/t.csv", "a\n");
        aml.write("data.yml", "name: d\npath: data\ntags: {a: 1}\n");
        let made = aml.json("data create --file data.yml --set description=new --tag b=2");
        assert_eq!(
            (&made["description"], &made["tags"]),
            (&json!("new"), &json!({"a": "1", "b": "2"}))
        );
        aml.write("env.yml", "name: e\nimage: python\n");
        assert_eq!(
            aml.json("environment create -f env.yml -n other")["name"],
            "other"
        );
        aml.write("src/x.py", "");
        aml.write(
            "c.yml",
            "name: c\ncommand: python x.py\ncode: src\nenvironment: azureml:e:1\n",
        );
        assert_eq!(aml.json("component create --file c.yml")["version"], "1");
        assert_eq!(aml.json("component show c")["command"], "python x.py");
        aml.write("bad.yml", "name: d\npath: data\nfrob: 1\n");
        assert!(
            aml.fails(2, "data create --file bad.yml")
                .contains("bad.yml:3:1")
        );
    });
}

#[test]
fn curated_environments_are_in_a_registry_of_their_own() {
    each_mode(|aml| {
        let show = "ml environment show -n sklearn-1.5 -l latest --registry-name azureml --query '[name, version]' -o tsv";
        assert_eq!(aml.az(show).ok(), "sklearn-1.5\n1\n");
        let list = "ml environment list --registry-name azureml --query [].name -o tsv";
        assert!(aml.az(list).ok().contains("acpt-pytorch-2.8-cuda12.6\n"));
        assert_eq!(
            aml.az("ml registry list --query [].name -o tsv").ok(),
            "azureml\n"
        );
        assert!(error(aml, 1, "ml registry delete -n azureml --yes").contains("stays"));
        with_workspace(aml);
        let longer = "ml environment show -n AzureML-sklearn-1.5 -l latest --query name -o tsv";
        assert_eq!(aml.az(longer).ok(), "sklearn-1.5\n");
        let unknown = error(aml, 3, "ml environment show -n AzureML-nope -v 1");
        assert!(unknown.contains("`AzureML-nope` in workspace"), "{unknown}");
    });
}

#[test]
fn what_a_component_includes_is_put_beside_its_code() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("c/src/main.py", "import shared\n");
        aml.write("common/shared.py", "print('shared')\n");
        aml.write("common/lib/x.py", "");
        aml.write(
            "c/c.yml",
            "name: c\ntype: command\ncommand: python main.py\ncode: ./src\n\
             additional_includes: [../common/shared.py, ../common/lib]\nenvironment: {image: python}\n",
        );
        aml.az("ml component create -f c/c.yml").ok();
        assert_eq!(aml.json("component show c:1 --query files.files"), 3);
        // The same in a file of its own, with a folder that is packed.
        aml.write(
            "c/d.yml",
            "name: d\ntype: command\ncommand: python main.py\ncode: ./src\nenvironment: {image: python}\n",
        );
        aml.write(
            "c/d.additional_includes",
            "../common/shared.py\n\n../common/lib.zip\n",
        );
        aml.az("ml component create -f c/d.yml").ok();
        assert_eq!(aml.json("component show d:1 --query files.files"), 3);
        aml.write(
            "pipeline.yml",
            "type: pipeline\nsettings: {default_compute: azureml:serverless}\njobs:\n  step:\n    type: command\n    component: c/d.yml\n",
        );
        aml.write(
            "c/src/main.py",
            "import shared, zipfile\nprint(zipfile.ZipFile('lib.zip').namelist())\n",
        );
        let streamed = aml.az("ml job create -f pipeline.yml --stream").ok();
        assert!(streamed.contains("['lib/', 'lib/x.py']"), "{streamed}");
        aml.write("common/main.py", "");
        let set = "ml component create -f c/c.yml --set additional_includes=[../common/main.py]";
        let said = error(aml, 1, set);
        assert!(
            said.contains("is there already") || said.contains("additional_includes"),
            "{said}"
        );
    });
}

#[test]
fn data_is_imported_through_a_connection() {
    each_mode(|aml| {
        with_workspace(aml);
        aml.write("there/a.txt", "a");
        let there = aml.path("there");
        aml.write(
            "connection.yml",
            format!(
                "name: here\ntype: custom\ntarget: file://{}\ncredentials: {{type: none}}\n",
                there.display()
            ),
        );
        aml.az("ml connection create -f connection.yml").ok();
        let import = "type: uri_folder\nname: mine\n\
                      source: {type: file_system, connection: 'azureml:here', path: .}\n\
                      path: azureml://datastores/workspaceblobstore/paths/imports\n";
        aml.write("import.yml", import);
        let imported = |line: &str| {
            let job = aml.az(line).ok();
            aml.az(format!("ml job stream -n {}", job.trim())).ok();
            job.trim().to_owned()
        };
        let first = imported("ml data import -f import.yml --query name -o tsv");
        aml.write("there/b.txt", "b");
        let second = imported("ml data import -f import.yml --query name -o tsv");
        let files = |version: u32| {
            aml.az(format!(
                "ml data mount --path azureml:mine:{version} --mount-point v{version}"
            ))
            .ok();
            ["a.txt", "b.txt"].map(|file| aml.path(&format!("v{version}/{file}")).exists())
        };
        assert_eq!((files(1), files(2)), ([true, false], [true, true]));
        let status = "ml data list-materialization-status -n mine --query [].name -o tsv";
        assert_eq!(aml.az(status).ok(), format!("{second}\n{first}\n"));
        let none = aml.az("ml data list-materialization-status -n other");
        assert_eq!(none.ok(), "[]\n");
        aml.write(
            "schedule.yml",
            "name: each-day\ntrigger: {type: cron, expression: '0 3 * * *'}\nimport_data: ./import.yml\n",
        );
        aml.az("ml schedule create -f schedule.yml").ok();
        imported("ml schedule trigger -n each-day --query job_name -o tsv");
        aml.az("ml data show -n mine -v 3").ok();
        aml.write(
            "here.yml",
            import.replace("azureml://datastores/workspaceblobstore/paths/", "./"),
        );
        let here = error(aml, 1, "ml data import -f here.yml");
        assert!(here.contains("is no place of a datastore"), "{here}");
    });
}
