//! Resource groups as stored.

use std::collections::BTreeMap;

use super::{
    Store, WorkspaceRow,
    db::{Row, RowResult, json, params, to_json},
    workspaces,
};
use api::{
    Result,
    registries::{CURATED, place},
    resource_groups::ResourceGroup,
};

const COLUMNS: &str = "name, location, tags";
/// The registries that keep the name of a group in what they say of themselves.
const REGISTRIES_IN: &str = "SELECT r.workspace_id, w.name \
    FROM registries r JOIN workspaces w ON w.id = r.workspace_id \
    WHERE json_extract(r.spec, '$.resourceGroup') = ?1 COLLATE NOCASE";

fn group(row: &Row<'_>) -> RowResult<ResourceGroup> {
    Ok(ResourceGroup {
        name: row.get(0)?,
        location: row.get(1)?,
        tags: json(row, 2)?,
    })
}

impl Store {
    /// Adds a group; one that is there keeps its location, and its tags unless others are given.
    pub async fn put_resource_group(
        &self,
        name: String,
        location: String,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Option<ResourceGroup>> {
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "INSERT INTO resource_groups(name, location, tags) \
                         VALUES (?1, ?2, coalesce(?3, '{{}}')) \
                         ON CONFLICT(name) DO UPDATE SET tags = coalesce(?3, tags) \
                         RETURNING {COLUMNS}"
                    ),
                    params![name, location, tags.as_ref().map(to_json).transpose()?],
                    group,
                )
            })
            .await
    }

    pub async fn list_resource_groups(&self) -> Result<Vec<ResourceGroup>> {
        self.db
            .read(|tx| {
                tx.all(
                    &format!("SELECT {COLUMNS} FROM resource_groups ORDER BY name"),
                    &[],
                    group,
                )
            })
            .await
    }

    /// Deletes a group with the workspaces and registries in it; answers those workspaces, and the
    /// endpoints that they had. The registry of the curated environments stays, in no group.
    pub async fn delete_resource_group(&self, name: &str) -> Result<(Vec<WorkspaceRow>, Vec<i64>)> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let workspaces = workspaces::in_group(tx, &name)?;
                let mut endpoints: Vec<i64> = Vec::new();
                for row in &workspaces {
                    endpoints.extend(tx.all(
                        "SELECT id FROM endpoints WHERE workspace_id = ?1",
                        params![row.id],
                        |row| row.get::<i64>(0),
                    )?);
                    workspaces::delete(tx, row.id)?;
                }
                let registries = tx.all(REGISTRIES_IN, params![name], |row| {
                    Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
                })?;
                for (id, registry) in registries {
                    if registry.eq_ignore_ascii_case(&place(CURATED)) {
                        tx.execute(
                            "UPDATE registries SET spec = json_remove(spec, '$.resourceGroup') \
                             WHERE workspace_id = ?1",
                            params![id],
                        )?;
                    } else {
                        workspaces::delete(tx, id)?;
                    }
                }
                tx.execute("DELETE FROM resource_groups WHERE name = ?1", params![name])?;
                Ok((workspaces, endpoints))
            })
            .await
    }
}
