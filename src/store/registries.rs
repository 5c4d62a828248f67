//! Registries as stored: workspaces whose name begins with `registries/`.

use serde_json::{Map, Value};

use super::{
    Store,
    db::{Row, RowResult, json, params, to_json},
};
use api::{
    Result,
    registries::{Registry, named_in, place},
    workspaces::Resources,
};

const SELECT: &str = "SELECT w.name, w.uuid, w.description, w.display_name, w.location, w.tags, \
                      r.spec, w.created_at, w.updated_at \
                      FROM registries r JOIN workspaces w ON w.id = r.workspace_id";

fn registry(row: &Row<'_>) -> RowResult<Registry> {
    let name: String = row.get(0)?;
    Ok(Registry {
        name: named_in(&name).unwrap_or(&name).to_owned(),
        id: row.get(1)?,
        description: row.get(2)?,
        display_name: row.get(3)?,
        location: row.get(4)?,
        tags: json(row, 5)?,
        spec: json(row, 6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    })
}

impl Store {
    /// Adds a registry; none when the name is taken, in any case.
    pub async fn create_registry(&self, new: Registry) -> Result<Option<Registry>> {
        self.db
            .write(move |tx| {
                let inserted: Option<i64> = tx.one(
                    "INSERT INTO workspaces(uuid, name, edition, description, display_name, location, \
                     resource_group, subscription, tags, resources, sealed_keys, created_at, updated_at) \
                     VALUES (?1, ?2, 'basic', ?3, ?4, ?5, '', '', ?6, ?8, x'', ?7, ?7) \
                     ON CONFLICT(name) DO NOTHING RETURNING id",
                    params![
                        new.id,
                        place(&new.name),
                        new.description,
                        new.display_name,
                        new.location,
                        to_json(&new.tags)?,
                        new.created_at,
                        to_json(&Resources::default())?
                    ],
                    |row| row.get(0),
                )?;
                let Some(id) = inserted else { return Ok(None) };
                tx.execute(
                    "INSERT INTO registries(workspace_id, spec) VALUES (?1, ?2)",
                    params![id, to_json(&new.spec)?],
                )?;
                Ok(Some(new))
            })
            .await
    }

    pub async fn registry(&self, name: &str) -> Result<Option<Registry>> {
        let name = place(name);
        self.db
            .read(move |tx| {
                tx.one(
                    &format!("{SELECT} WHERE w.name = ?1"),
                    params![name],
                    registry,
                )
            })
            .await
    }

    pub async fn list_registries(&self) -> Result<Vec<Registry>> {
        self.db
            .read(|tx| tx.all(&format!("{SELECT} ORDER BY w.name"), &[], registry))
            .await
    }

    pub async fn set_registry_spec(&self, id: i64, spec: Map<String, Value>) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE registries SET spec = ?2 WHERE workspace_id = ?1",
                    params![id, to_json(&spec)?],
                )?;
                Ok(())
            })
            .await
    }
}
