//! What runs read and made besides their files: datasets and logged models.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store,
    db::{Tx, json, params, to_json},
    logged_models,
};
use api::{
    Result,
    logged_models::{DatasetSummary, DatasetUse, ModelOutput, RunLinks},
};

/// The tag of a dataset that says what it was read for.
const CONTEXT_TAG: &str = "mlflow.data.context";

impl Store {
    /// Adds links to a run; those there already stay as they are.
    pub async fn link_run(&self, run: i64, links: RunLinks) -> Result<()> {
        self.db.write(move |tx| add(tx, run, &links)).await
    }

    /// The links of the runs of these names, by name.
    pub async fn run_links(
        &self,
        workspace: i64,
        runs: Vec<String>,
    ) -> Result<BTreeMap<String, RunLinks>> {
        self.db
            .read(move |tx| {
                let mut links: BTreeMap<String, RunLinks> = BTreeMap::new();
                let named: HashMap<i64, String> = tx
                    .all(
                        "SELECT id, name FROM runs WHERE workspace_id = ?1 \
                         AND name IN (SELECT value FROM json_each(?2))",
                        params![workspace, to_json(&runs)?],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )?
                    .into_iter()
                    .collect();
                let ids = to_json(&named.keys().collect::<Vec<_>>())?;
                let name = |id: i64| named.get(&id).cloned().unwrap_or_default();
                let of_runs = "WHERE x.run_id IN (SELECT value FROM json_each(?1))";
                tx.all(
                    &format!(
                        "SELECT x.run_id, x.dataset FROM run_datasets x {of_runs} ORDER BY x.rowid"
                    ),
                    params![ids],
                    |row| {
                        let run = links.entry(name(row.get(0)?)).or_default();
                        run.datasets.push(json(row, 1)?);
                        Ok(())
                    },
                )?;
                tx.all(
                    &format!(
                        "SELECT x.run_id, m.name, x.direction, x.step FROM run_models x \
                         JOIN logged_models m ON m.id = x.model_id {of_runs} ORDER BY x.model_id"
                    ),
                    params![ids],
                    |row| {
                        let run = links.entry(name(row.get(0)?)).or_default();
                        let model = row.get(1)?;
                        match row.get_ref(2)?.as_str()? {
                            "input" => run.model_inputs.push(model),
                            _ => run.model_outputs.push(ModelOutput {
                                model,
                                step: row.get(3)?,
                            }),
                        }
                        Ok(())
                    },
                )?;
                Ok(links)
            })
            .await
    }

    /// The datasets that runs of these experiments read, by name and digest.
    pub async fn list_datasets(
        &self,
        workspace: i64,
        experiments: Vec<i64>,
        limit: u32,
    ) -> Result<Vec<DatasetSummary>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT DISTINCT r.experiment_id, x.name, x.digest, x.context FROM runs r \
                     JOIN run_datasets x ON x.run_id = r.id WHERE r.workspace_id = ?1 \
                     AND r.experiment_id IN (SELECT value FROM json_each(?2)) \
                     ORDER BY x.name, x.digest, x.context, r.experiment_id LIMIT ?3",
                    params![workspace, to_json(&experiments)?, limit],
                    |row| {
                        Ok(DatasetSummary {
                            experiment_id: row.get::<i64>(0)?.to_string(),
                            name: row.get(1)?,
                            digest: row.get(2)?,
                            context: row.get(3)?,
                        })
                    },
                )
            })
            .await
    }
}

pub(super) fn add(tx: &Tx<'_>, run: i64, links: &RunLinks) -> Result<()> {
    for dataset in &links.datasets {
        link_dataset(tx, run, dataset)?;
    }
    for model in &links.model_inputs {
        link_model(tx, run, model, "input", 0)?;
    }
    for output in &links.model_outputs {
        link_model(tx, run, &output.model, "output", output.step)?;
    }
    Ok(())
}

fn link_dataset(tx: &Tx<'_>, run: i64, dataset: &DatasetUse) -> Result<()> {
    tx.execute(
        "INSERT INTO run_datasets(run_id, name, digest, context, dataset) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO NOTHING",
        params![
            run,
            dataset.name,
            dataset.digest,
            dataset.tags.get(CONTEXT_TAG),
            to_json(dataset)?
        ],
    )?;
    Ok(())
}

fn link_model(tx: &Tx<'_>, run: i64, model: &str, direction: &str, step: i64) -> Result<()> {
    let model = logged_models::id_of(tx, model)?;
    tx.execute(
        "INSERT INTO run_models(run_id, model_id, direction, step) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO NOTHING",
        params![run, model, direction, step],
    )?;
    Ok(())
}
