//! Steps that become commands: on Spark, and those that copy what is behind a connection.

use serde_json::{Map, Value, json};

use super::support::{Bench, create_job, members};
use api::{
    connections::CreateConnection,
    environments::Environment,
    work::{Assignment, Outcome},
};

impl Bench {
    async fn connection(&self, name: &str, target: &str, credentials: Value) {
        self.ask(CreateConnection {
            workspace: "ws".to_owned(),
            name: name.to_owned(),
            kind: "custom".to_owned(),
            target: target.to_owned(),
            spec: Map::new(),
            credentials: members(credentials),
            description: String::new(),
            tags: [].into(),
        })
        .await
        .unwrap();
    }

    /// The one run that is ready besides those that a worker has.
    async fn only(&self, held: &[&str]) -> Assignment {
        let mut orders = self.sync("w", 9, held).await;
        assert_eq!(orders.take.len(), 1);
        orders.take.remove(0)
    }

    async fn wrong(&self, definition: Value) -> String {
        let error = self.pipeline("wrong", definition).await.unwrap_err();
        error.explained()
    }
}

fn requirements(assignment: &Assignment) -> &[String] {
    match &assignment.job.environment {
        Environment::Python { requirements, .. } => requirements,
        other => panic!("{other:?}"),
    }
}

fn on_spark() -> Value {
    json!({
        "type": "spark", "entry": {"file": "main.py"}, "conf": {"spark.driver.memory": "2g"},
        "args": "--out ${{outputs.o}}", "outputs": {"o": {"type": "uri_folder", "mode": "direct"}},
        "resources": {"instance_type": "standard_e4s_v3", "runtime_version": "3.5"},
    })
}

#[tokio::test]
async fn a_step_and_a_job_on_spark_are_started_by_the_environments_pyspark() {
    let bench = Bench::new().await;
    let jobs = json!({"jobs": {"a": on_spark()}, "settings": {}});
    bench.pipeline("p", jobs).await.unwrap();
    let step = bench.only(&[]).await;
    let mut job = on_spark();
    job["type"] = json!("spark");
    let created = create_job("alone", members(job));
    bench.ask(created).await.unwrap();
    for run in [step, bench.only(&["ws/p-a"]).await] {
        let line = &run.job.command[0];
        assert!(
            line.contains("exec spark-submit --master 'local[*]'"),
            "{line}"
        );
        assert!(
            line.ends_with(" --conf spark.driver.memory=2g main.py --out ${{outputs.o}}"),
            "{line}"
        );
        assert!(requirements(&run).contains(&"pyspark==3.5.*".to_owned()));
        let described = run.job.described.as_ref().unwrap();
        assert_eq!(described.definition["type"], "spark");
        assert_eq!(described.definition["compute"], "azureml:serverless");
        assert_eq!(described.definition["entry"], json!({"file": "main.py"}));
    }
}

#[tokio::test]
async fn rows_of_a_database_come_with_what_lets_one_in() {
    let bench = Bench::new().await;
    let credentials =
        json!({"type": "username_password", "username": "ann", "password": "pass word"});
    bench
        .connection("db", "postgresql://host/db", credentials)
        .await;
    let step = json!({
        "type": "data_transfer", "task": "import_data", "outputs": {"rows": {"type": "mltable"}},
        "source": {"type": "database", "connection": "azureml:db", "query": "SELECT 1"},
    });
    let definition = json!({"jobs": {"a": step}});
    bench.pipeline("p", definition.clone()).await.unwrap();
    let run = bench.only(&[]).await;
    assert_eq!(
        run.job.command,
        ["python .aml_transfer_driver.py \"${{outputs.rows}}\""]
    );
    assert!(run.job.snapshot.is_some(), "the driver");
    for package in ["sqlalchemy", "psycopg[binary]", "pyarrow"] {
        assert!(
            requirements(&run).contains(&package.to_owned()),
            "{package}"
        );
    }
    let secrets: Vec<(&str, &str)> = run
        .secrets
        .iter()
        .map(|(variable, value)| (variable.as_str(), value.as_str()))
        .collect();
    assert_eq!(secrets, [("AML_CONNECTION_PASSWORD", "pass word")]);
    let name = &run.job.environment_variables["AML_CONNECTION_USERNAME"];
    assert_eq!(name, "ann", "no log is without some names");
    let shown = serde_json::to_string(&bench.run("p-a").await).unwrap();
    assert!(!shown.contains("pass word"), "{shown}");
    let order: Value =
        serde_json::from_str(&run.job.environment_variables["AML_TRANSFER"]).unwrap();
    assert_eq!(
        (&order["task"], &order["query"]),
        (&json!("import_data"), &json!("SELECT 1"))
    );
    bench
        .report("w", "p-a", super::support::ended(Outcome::Completed))
        .await
        .unwrap();
    // What is there may have changed.
    bench.pipeline("q", definition.clone()).await.unwrap();
    assert_eq!(bench.only(&[]).await.run, "q-a");
    let mut other = definition.clone();
    other["jobs"]["a"]["source"]["connection"] = json!("azureml:bd");
    let said = bench.wrong(other).await;
    assert!(
        said.starts_with("jobs.a.source.connection: Step `a`: No connection `bd`"),
        "{said}"
    );
    bench.connection("odd", "gopher://host", json!({})).await;
    let mut other = definition;
    other["jobs"]["a"]["source"]["connection"] = json!("azureml:odd");
    let said = bench.wrong(other).await;
    assert!(
        said.contains("leads to gopher://host, which is not reached from here"),
        "{said}"
    );
}
