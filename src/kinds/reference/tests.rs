//! Every form of reference.

use std::path::Path;

use super::{Asset, Pick, Reference, parse};

fn read(text: &str) -> Reference {
    parse(text, Path::new("/project/jobs")).expect(text)
}

fn asset(name: &str, pick: Pick) -> Asset {
    Asset {
        registry: None,
        workspace: None,
        kind: None,
        name: name.to_owned(),
        pick,
    }
}

#[test]
fn short_references_have_a_version_a_label_or_neither() {
    let version = Pick::Version("3".to_owned());
    assert_eq!(
        read("azureml:iris:3"),
        Reference::Asset(asset("iris", version))
    );
    let label = Pick::Label("latest".to_owned());
    assert_eq!(
        read("azureml:iris@latest"),
        Reference::Asset(asset("iris", label))
    );
    assert_eq!(
        read("azureml:cpu"),
        Reference::Asset(asset("cpu", Pick::Unsaid))
    );
    for wrong in [
        "azureml:",
        "azureml::1",
        "azureml:a:",
        "azureml:a:1@b",
        "azureml:a@",
    ] {
        assert!(parse(wrong, Path::new("/")).is_err(), "{wrong}");
    }
}

#[test]
fn long_references_name_registries_and_workspaces() {
    let mut expected = asset("sklearn-1.5", Pick::Label("latest".to_owned()));
    expected.registry = Some("azureml".to_owned());
    expected.kind = Some("environments".to_owned());
    let text = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest";
    assert_eq!(read(text), Reference::Asset(expected));

    let mut expected = asset("iris", Pick::Version("1".to_owned()));
    expected.workspace = Some("w".to_owned());
    expected.kind = Some("data".to_owned());
    for text in [
        "azureml://locations/eastus/workspaces/w/data/iris/versions/1",
        "azureml:/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/data/iris/versions/1",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/data/iris/versions/1",
    ] {
        assert_eq!(read(text), Reference::Asset(expected.clone()), "{text}");
    }
    expected.pick = Pick::Label("latest".to_owned());
    let text = "azureml://locations/eastus/workspaces/w/data/iris/versions/labels/latest";
    assert_eq!(read(text), Reference::Asset(expected));
    assert!(parse("azureml://registries/azureml", Path::new("/")).is_err());
}

#[test]
fn data_lies_in_datastores_jobs_runs_urls_and_folders() {
    let datastore = Reference::Datastore {
        name: "d".to_owned(),
        path: "a/b.csv".to_owned(),
    };
    for text in [
        "azureml://datastores/d/paths/a/b.csv",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/a/b.csv",
    ] {
        assert_eq!(read(text), datastore, "{text}");
    }
    let job = Reference::Job {
        name: "j".to_owned(),
        output: "artifacts".to_owned(),
        path: "model".to_owned(),
    };
    assert_eq!(read("azureml://jobs/j/outputs/artifacts/paths/model"), job);
    let run = Reference::Run {
        run: "r1".to_owned(),
        path: "model".to_owned(),
    };
    assert_eq!(read("runs:/r1/model"), run);
    for url in [
        "https://host/iris.csv",
        "wasbs://c@account.blob.core.windows.net/p",
        "abfss://fs@account.dfs.core.windows.net/p",
        "adl://store.azuredatalakestore.net/p",
    ] {
        assert_eq!(read(url), Reference::Url(url.to_owned()));
    }
    assert_eq!(
        read("git+https://h/r.git"),
        Reference::Git("git+https://h/r.git".to_owned())
    );
    for (text, path) in [
        ("../data/./x", "/project/data/x"),
        ("file:../data", "/project/data"),
        ("file:///abs", "/abs"),
        ("/abs", "/abs"),
    ] {
        assert_eq!(read(text), Reference::Local(path.into()), "{text}");
    }
    assert!(matches!(
        read("${{parent.inputs.x}}"),
        Reference::Expression(_)
    ));
}
