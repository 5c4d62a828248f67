//! Models: where their versions come from, how they are called and found.

use super::support::Bench;
use crate::Caller;
use api::{
    Code, Result,
    models::{
        DeleteModel, GetModel, ListModels, Model, ModelSource, RegisterModel, SearchModels, Stage,
        UpdateModel,
    },
    registered_models::{
        CreateRegisteredModel, DeleteModelAlias, GetRegisteredModel, PROMPT_TAG, RegisteredModel,
        SearchRegisteredModels, SetModelAlias, UpdateRegisteredModel,
    },
};

fn ws() -> String {
    "ws".to_owned()
}

fn registration(name: &str, source: ModelSource) -> RegisterModel {
    RegisterModel {
        workspace: ws(),
        name: name.to_owned(),
        source,
        ..RegisterModel::default()
    }
}

fn elsewhere(name: &str) -> RegisterModel {
    let uri = "s3://bucket/model".to_owned();
    registration(name, ModelSource::Elsewhere { uri })
}

fn version(name: &str, version: u64) -> GetModel {
    GetModel {
        workspace: ws(),
        name: name.to_owned(),
        version: Some(version),
        ..GetModel::default()
    }
}

fn called(name: &str, alias: &str) -> GetModel {
    GetModel {
        workspace: ws(),
        name: name.to_owned(),
        alias: Some(alias.to_owned()),
        ..GetModel::default()
    }
}

fn alias(name: &str, version: u64, alias: &str) -> SetModelAlias {
    SetModelAlias {
        workspace: ws(),
        name: name.to_owned(),
        version,
        alias: alias.to_owned(),
    }
}

fn update(name: &str, version: u64) -> UpdateModel {
    UpdateModel {
        workspace: ws(),
        name: name.to_owned(),
        version,
        ..UpdateModel::default()
    }
}

fn deletion(name: &str, version: Option<u64>) -> DeleteModel {
    DeleteModel {
        workspace: ws(),
        name: name.to_owned(),
        version,
        forget_numbers: false,
    }
}

fn empty(name: &str) -> CreateRegisteredModel {
    CreateRegisteredModel {
        workspace: ws(),
        name: name.to_owned(),
        ..CreateRegisteredModel::default()
    }
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("is refused").code
}

impl Bench {
    async fn registered(&self, name: &str) -> Result<RegisteredModel> {
        let name = name.to_owned();
        self.ask(GetRegisteredModel {
            workspace: ws(),
            name,
        })
        .await
    }

    /// `name:version` of what a search finds, in its order.
    async fn search(&self, filter: &str, order_by: &[&str]) -> String {
        let search = SearchModels {
            workspace: ws(),
            filter: Some(filter.to_owned()),
            order_by: order_by.iter().map(ToString::to_string).collect(),
            ..SearchModels::default()
        };
        match self.ask(search).await {
            Ok(page) => ids(&page.items),
            Err(error) => error.message,
        }
    }

    async fn search_names(&self, filter: &str) -> String {
        let search = SearchRegisteredModels {
            workspace: ws(),
            filter: Some(filter.to_owned()),
            ..SearchRegisteredModels::default()
        };
        match self.ask(search).await {
            Ok(page) => {
                let names: Vec<_> = page.items.into_iter().map(|model| model.name).collect();
                names.join(" ")
            }
            Err(error) => error.message,
        }
    }

    /// Gives a run an artifact.
    async fn put_out(&self, run: &str, path: &str, content: &'static str) {
        let body = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(
            bytes::Bytes::from_static(content.as_bytes()),
        )]);
        self.service
            .write_artifact(&Caller::Owner, "ws", run, path, body)
            .await
            .unwrap();
    }
}

fn ids(models: &[Model]) -> String {
    let id = |model: &Model| format!("{}:{}", model.name, model.version);
    models.iter().map(id).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_name_is_taken_in_every_case_and_free_again_when_deleted() {
    let bench = Bench::new().await;
    bench.ask(empty("Iris")).await.unwrap();
    assert_eq!(code(bench.ask(empty("iris")).await), Code::Conflict);
    assert_eq!(bench.registered("IRIS").await.unwrap().name, "Iris");
    assert_eq!(bench.ask(elsewhere("iris")).await.unwrap().version, 1);
    bench.ask(deletion("iris", None)).await.unwrap();
    assert_eq!(code(bench.registered("iris").await), Code::NotFound);
    assert_eq!(
        code(bench.ask(deletion("iris", None)).await),
        Code::NotFound
    );
    // Nothing is left of it but its numbers.
    let again = bench.ask(empty("iris")).await.unwrap();
    assert_eq!((again.name.as_str(), again.latest.len()), ("iris", 0));
    assert_eq!(bench.ask(elsewhere("iris")).await.unwrap().version, 2);
    let forget = DeleteModel {
        forget_numbers: true,
        ..deletion("iris", None)
    };
    bench.ask(forget).await.unwrap();
    assert_eq!(bench.ask(elsewhere("iris")).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_model_is_renamed_with_all_it_has_unless_the_name_is_taken() {
    let bench = Bench::new().await;
    bench.ask(elsewhere("a")).await.unwrap();
    bench.ask(alias("a", 1, "champion")).await.unwrap();
    bench.ask(elsewhere("b")).await.unwrap();
    bench.ask(elsewhere("gone")).await.unwrap();
    bench.ask(elsewhere("gone")).await.unwrap();
    bench.ask(deletion("gone", None)).await.unwrap();
    let rename = |to: &str| UpdateRegisteredModel {
        workspace: ws(),
        name: "a".to_owned(),
        new_name: Some(to.to_owned()),
        ..UpdateRegisteredModel::default()
    };
    assert_eq!(code(bench.ask(rename("B")).await), Code::Conflict);
    bench.ask(rename("A")).await.unwrap();
    let renamed = bench.ask(rename("gone")).await.unwrap();
    assert_eq!(renamed.aliases["champion"], 1);
    assert_eq!(ids(&renamed.latest), "gone:1");
    assert_eq!(code(bench.registered("a").await), Code::NotFound);
    // A number that the deleted model of that name had is not used again.
    assert_eq!(bench.ask(elsewhere("gone")).await.unwrap().version, 3);
}

#[tokio::test]
async fn an_alias_is_of_one_version_and_goes_with_it() {
    let bench = Bench::new().await;
    bench.ask(elsewhere("iris")).await.unwrap();
    bench.ask(elsewhere("iris")).await.unwrap();
    bench.ask(alias("iris", 1, "Champion")).await.unwrap();
    let champion = || called("IRIS", "champion");
    assert_eq!(bench.ask(champion()).await.unwrap().version, 1);
    bench.ask(alias("iris", 2, "champion")).await.unwrap();
    let second = bench.ask(champion()).await.unwrap();
    assert_eq!(
        (second.version, second.aliases),
        (2, vec!["champion".to_owned()])
    );
    let first = bench.ask(version("iris", 1)).await.unwrap();
    assert_eq!(first.aliases, Vec::<String>::new());
    for wrong in ["latest", "v1", "V22", "", "a b", "ü/"] {
        assert_eq!(
            code(bench.ask(alias("iris", 1, wrong)).await),
            Code::Invalid,
            "{wrong}"
        );
    }
    assert_eq!(code(bench.ask(alias("iris", 7, "x")).await), Code::NotFound);
    bench.ask(deletion("iris", Some(2))).await.unwrap();
    let gone = bench.ask(champion()).await.unwrap_err();
    assert_eq!(gone.message, "No alias `champion` of the model `iris`");
    bench.ask(alias("iris", 1, "champion")).await.unwrap();
    let delete = || DeleteModelAlias {
        workspace: ws(),
        name: "iris".to_owned(),
        alias: "CHAMPION".to_owned(),
    };
    bench.ask(delete()).await.unwrap();
    bench.ask(delete()).await.unwrap();
    let gone = bench.ask(champion()).await.unwrap_err();
    assert_eq!(
        gone.hints,
        ["It has none; set it: aml model alias set iris:1 champion"]
    );
    assert_eq!(
        bench.ask(called("iris", "Latest")).await.unwrap().version,
        1
    );
}

#[tokio::test]
async fn a_stage_archives_whom_it_replaces_when_asked_to() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.ask(elsewhere("iris")).await.unwrap();
    }
    let to = |version: u64, stage: Stage, archive_others: bool| UpdateModel {
        stage: Some(stage),
        archive_others,
        ..update("iris", version)
    };
    bench.ask(to(1, Stage::Production, false)).await.unwrap();
    bench.ask(to(2, Stage::Production, false)).await.unwrap();
    bench.ask(to(3, Stage::Production, true)).await.unwrap();
    let stages = bench
        .search("current_stage = 'archived'", &["version_number"])
        .await;
    assert_eq!(stages, "iris:1 iris:2");
    let model = bench.registered("iris").await.unwrap();
    let latest: Vec<_> = model
        .latest
        .iter()
        .map(|found| (found.version, found.stage.name()))
        .collect();
    assert_eq!(latest, [(2, "Archived"), (3, "Production")]);
    // Archived as by `aml model archive`.
    let list = ListModels {
        workspace: ws(),
        name: Some("iris".to_owned()),
        ..ListModels::default()
    };
    assert_eq!(ids(&bench.ask(list).await.unwrap()), "iris:3");
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let bench = Bench::new().await;
    let mut new = elsewhere("iris");
    new.description = "first".to_owned();
    new.tags = [
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "2".to_owned()),
    ]
    .into();
    bench.ask(new).await.unwrap();
    let change = UpdateModel {
        set_tags: [("c".to_owned(), String::new())].into(),
        remove_tags: vec!["a".to_owned(), "none".to_owned()],
        ..update("iris", 1)
    };
    let changed = bench.ask(change).await.unwrap();
    assert_eq!(changed.description, "first");
    let tags: Vec<_> = changed
        .tags
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(tags, ["b=2", "c="]);
    let change = UpdateRegisteredModel {
        workspace: ws(),
        name: "iris".to_owned(),
        description: Some("flowers".to_owned()),
        ..UpdateRegisteredModel::default()
    };
    assert_eq!(bench.ask(change).await.unwrap().description, "flowers");
    assert_eq!(code(bench.ask(update("iris", 9)).await), Code::NotFound);
}

#[tokio::test]
async fn files_of_a_run_are_taken_when_they_are_there() {
    let bench = Bench::new().await;
    bench.submit("r1").await;
    let source = || ModelSource::Run {
        run: "r1".to_owned(),
        path: "model".to_owned(),
    };
    assert_eq!(
        code(bench.ask(registration("iris", source())).await),
        Code::NotFound
    );
    let mut early = registration("iris", source());
    early.files_later = true;
    let early = bench.ask(early).await.unwrap();
    assert_eq!((early.files, early.version), (None, 1));
    assert_eq!(early.lineage.experiment.as_deref(), Some("exp"));
    bench.put_out("r1", "model/MLmodel", "flavors: {}").await;
    let found = bench.ask(version("iris", 1)).await.unwrap();
    assert_eq!(found.kind.to_string(), "mlflow");
    let tree = found.files.expect("has files now").hash;
    // What is put out later is not of this version, but of the next.
    bench.put_out("r1", "model/data.txt", "42").await;
    let found = bench.ask(version("iris", 1)).await.unwrap();
    assert_eq!(found.files.map(|files| files.hash), Some(tree));
    let second = bench.ask(registration("iris", source())).await.unwrap();
    assert_eq!(second.files.map(|files| files.files), Some(2));
    let copy = ModelSource::Version {
        name: "iris".to_owned(),
        version: 1,
    };
    let copy = bench.ask(registration("rose", copy)).await.unwrap();
    assert_eq!(copy.files.map(|files| files.hash), Some(tree));
    assert_eq!(copy.lineage.run.as_deref(), Some("r1"));
}

#[tokio::test]
async fn a_version_is_of_the_run_that_is_named() {
    let bench = Bench::new().await;
    bench.submit("r1").await;
    let mut new = elsewhere("iris");
    new.run = Some("r1".to_owned());
    new.run_link = Some("https://elsewhere/runs/1".to_owned());
    let known = bench.ask(new.clone()).await.unwrap();
    assert_eq!(known.lineage.experiment.as_deref(), Some("exp"));
    assert_eq!(
        known.lineage.run_link.as_deref(),
        Some("https://elsewhere/runs/1")
    );
    assert_eq!(known.location.as_deref(), Some("s3://bucket/model"));
    new.run = Some("of-another-server".to_owned());
    let unknown = bench.ask(new.clone()).await.unwrap();
    assert_eq!(unknown.lineage.run.as_deref(), Some("of-another-server"));
    assert_eq!(unknown.lineage.experiment, None);
    new.existing = true;
    new.name = "none".to_owned();
    assert_eq!(code(bench.ask(new).await), Code::NotFound);
}

#[tokio::test]
async fn versions_are_searched_by_what_they_are() {
    let bench = Bench::new().await;
    for (name, run, team) in [
        ("iris", "r1", "x"),
        ("Iris", "r2", "y"),
        ("rose", "r1", "x"),
    ] {
        let mut new = elsewhere(name);
        new.run = Some(run.to_owned());
        new.uri = Some(format!("runs:/{run}/model"));
        new.tags = [("team".to_owned(), team.to_owned())].into();
        bench.ask(new).await.unwrap();
    }
    for (filter, expected) in [
        ("", "rose:1 iris:2 iris:1"),
        ("name = 'IRIS'", "iris:2 iris:1"),
        ("name LIKE 'I%'", ""),
        ("name ILIKE 'I%'", "iris:2 iris:1"),
        ("name IN ('rose', 'x')", "rose:1"),
        ("name != 'iris'", "rose:1"),
        ("run_id = 'r1'", "rose:1 iris:1"),
        ("run_id = 'r1' AND name = 'iris'", "iris:1"),
        ("run_id = 'r2' OR name = 'rose'", "rose:1 iris:2"),
        ("version_number > 1", "iris:2"),
        ("version_number = '1'", "rose:1 iris:1"),
        ("source_path = 'runs:/r2/model'", "iris:2"),
        ("tags.team = 'x'", "rose:1 iris:1"),
        ("NOT tags.team = 'x'", "iris:2"),
        ("tags.none IS NULL", "rose:1 iris:2 iris:1"),
        (
            "metrics.a > 1",
            "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')",
        ),
        (
            "user = 'ann'",
            "Invalid attribute key 'user' specified. Valid keys are 'name', 'version_number', \
             'current_stage', 'run_id', 'source_path', 'creation_timestamp', 'last_updated_timestamp'",
        ),
    ] {
        assert_eq!(bench.search(filter, &[]).await, expected, "{filter}");
    }
    for (order, expected) in [
        (["name DESC"], "rose:1 iris:2 iris:1"),
        (["name"], "iris:2 iris:1 rose:1"),
        (["version_number"], "iris:1 rose:1 iris:2"),
        (["creation_timestamp"], "iris:1 iris:2 rose:1"),
        (["run_id DESC"], "iris:2 iris:1 rose:1"),
    ] {
        assert_eq!(bench.search("", &order).await, expected, "{order:?}");
    }
    assert_eq!(
        bench.search("", &["name", "name DESC"]).await,
        "`order_by` contains duplicate fields: [\"name\", \"name DESC\"]"
    );
    assert_eq!(
        bench.search("", &["tags.team"]).await,
        "Invalid order_by entity: tags"
    );
}

#[tokio::test]
async fn a_prompt_is_found_only_when_asked_for() {
    let bench = Bench::new().await;
    let prompt = [(PROMPT_TAG.to_owned(), "true".to_owned())];
    bench.ask(elsewhere("iris")).await.unwrap();
    bench
        .ask(CreateRegisteredModel {
            tags: prompt.clone().into(),
            ..empty("greeting")
        })
        .await
        .unwrap();
    let mut text = registration("greeting", ModelSource::Nothing);
    text.tags = prompt.into();
    bench.ask(text).await.unwrap();
    let tag = format!("tags.`{PROMPT_TAG}`");
    for (filter, expected) in [
        (String::new(), "iris"),
        ("name LIKE '%'".to_owned(), "iris"),
        (format!("{tag} = 'True'"), "greeting"),
        (format!("{tag} != 'true'"), "iris"),
        (format!("{tag} = 'false'"), "iris"),
        (format!("{tag} IS NOT NULL"), "greeting iris"),
        (format!("name = 'greeting' AND {tag} = 'true'"), "greeting"),
    ] {
        assert_eq!(bench.search_names(&filter).await, expected, "{filter}");
    }
    assert_eq!(bench.search("", &[]).await, "iris:1");
    assert_eq!(
        bench.search(&format!("{tag} = 'true'"), &[]).await,
        "greeting:1"
    );
    let list = |prompts| ListModels {
        workspace: ws(),
        prompts,
        ..ListModels::default()
    };
    assert_eq!(ids(&bench.ask(list(false)).await.unwrap()), "iris:1");
    assert_eq!(ids(&bench.ask(list(true)).await.unwrap()), "greeting:1");
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let bench = Bench::new().await;
    for name in ["b", "d", "f", "h"] {
        bench.ask(elsewhere(name)).await.unwrap();
    }
    let page = |page: Option<String>| SearchRegisteredModels {
        workspace: ws(),
        limit: Some(2),
        page,
        ..SearchRegisteredModels::default()
    };
    let first = bench.ask(page(None)).await.unwrap();
    // What comes before the page moves nothing into the next one twice, what goes nothing out of it.
    bench.ask(elsewhere("a")).await.unwrap();
    bench.ask(elsewhere("c")).await.unwrap();
    bench.ask(deletion("d", None)).await.unwrap();
    bench.ask(elsewhere("e")).await.unwrap();
    let second = bench.ask(page(first.next)).await.unwrap();
    let names: Vec<_> = second
        .items
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    assert_eq!(names, ["e", "f"]);
    let third = bench.ask(page(second.next)).await.unwrap();
    assert_eq!((third.items.len(), third.next), (1, None));
    for wrong in ["2", "bm90IGpzb24", "WzEsMiwzXQ"] {
        assert_eq!(
            code(bench.ask(page(Some(wrong.to_owned()))).await),
            Code::Invalid
        );
    }
}

#[tokio::test]
async fn a_run_registers_models_and_deletes_none() {
    let bench = Bench::new().await;
    bench.submit("r1").await;
    let token = bench.sync("w", 1, &[]).await.take.remove(0).token;
    let run = bench.service.authenticate(&token).await.unwrap().unwrap();
    let ask = async |what: &str| {
        use crate::Perform;
        match what {
            "register" => elsewhere("iris")
                .perform(&bench.service, &run)
                .await
                .map(drop),
            "alias" => alias("iris", 1, "champion")
                .perform(&bench.service, &run)
                .await
                .map(drop),
            "delete" => deletion("iris", None)
                .perform(&bench.service, &run)
                .await
                .map(drop),
            _ => {
                let rename = UpdateRegisteredModel {
                    workspace: ws(),
                    name: "iris".to_owned(),
                    new_name: Some("rose".to_owned()),
                    ..UpdateRegisteredModel::default()
                };
                rename.perform(&bench.service, &run).await.map(drop)
            }
        }
    };
    ask("register").await.unwrap();
    ask("alias").await.unwrap();
    assert_eq!(code(ask("delete").await), Code::Denied);
    assert_eq!(code(ask("rename").await), Code::Denied);
}

#[tokio::test]
async fn a_version_may_have_a_name_beside_its_number() {
    let bench = Bench::new().await;
    let named = |version_name: &str| RegisterModel {
        version_name: Some(version_name.to_owned()),
        properties: [("from".to_owned(), "tests".to_owned())].into(),
        ..elsewhere("iris")
    };
    bench.ask(elsewhere("iris")).await.unwrap();
    let made = bench.ask(named("v1.2")).await.unwrap();
    assert_eq!((made.version, made.version_called().as_str()), (2, "v1.2"));
    // The same again is the one that is there; so it is in another case.
    assert_eq!(bench.ask(named("V1.2")).await.unwrap().version, 2);
    bench.ask(elsewhere("iris")).await.unwrap();
    let get = |name: &str| GetModel {
        workspace: ws(),
        name: "iris".to_owned(),
        version_name: Some(name.to_owned()),
        ..GetModel::default()
    };
    let found = bench.ask(get("v1.2")).await.unwrap();
    assert_eq!(found.properties["from"], "tests");
    assert_eq!(code(bench.ask(get("v1")).await), Code::NotFound);
    assert_eq!(code(bench.ask(named("7")).await), Code::Invalid);
    assert_eq!(code(bench.ask(named("a/b")).await), Code::Invalid);
    // A property stays as it is.
    let properties = [("from", "elsewhere"), ("more", "x")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let add = UpdateModel {
        add_properties: properties.into(),
        ..update("iris", 2)
    };
    let changed = bench.ask(add).await.unwrap();
    assert_eq!(changed.properties["from"], "tests");
    assert_eq!(changed.properties["more"], "x");
}
