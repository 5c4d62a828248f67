//! What runs used and made.

use super::{
    Store,
    db::{Row, RowResult, Tx, params},
};
use api::{
    Result, Time,
    lineage::{Node, NodeKind, RunLink, apart, name_in},
};

/// A link of a run.
#[derive(Debug, Clone)]
pub struct LinkRow {
    pub run: String,
    pub is_input: bool,
    pub link: RunLink,
}

const COLUMNS: &str = "run, is_input, name, kind, node, version, uri, type";

fn link(row: &Row<'_>) -> RowResult<LinkRow> {
    let kind: String = row.get(3)?;
    Ok(LinkRow {
        run: row.get(0)?,
        is_input: row.get(1)?,
        link: RunLink {
            name: row.get(2)?,
            node: Node {
                kind: NodeKind::parse(&kind).unwrap_or(NodeKind::Path),
                name: row.get(4)?,
                version: row.get(5)?,
            },
            uri: row.get(6)?,
            kind: row.get(7)?,
        },
    })
}

impl Store {
    /// Records links of a run; one of the same name is replaced. On disk in a moment, or when the run
    /// has ended.
    pub async fn record_links(
        &self,
        workspace: i64,
        run: &str,
        links: Vec<(bool, RunLink)>,
        now: Time,
    ) -> Result<()> {
        let run = run.to_owned();
        self.db
            .write_soon(move |tx| {
                let each = |(is_input, link): &(bool, RunLink)| {
                    record(tx, (workspace, &run), *is_input, link, now)
                };
                links.iter().try_for_each(each)
            })
            .await
    }

    /// The links of runs to a node.
    pub async fn links_to(&self, workspace: i64, node: Node) -> Result<Vec<LinkRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM lineage WHERE workspace_id = ?1 AND kind = ?2 \
                         AND node = ?3 AND version IS ?4 ORDER BY created_at, run"
                    ),
                    params![workspace, node.kind.name(), node.name, node.version],
                    link,
                )
            })
            .await
    }

    /// The links of a run in both directions.
    pub async fn links_of(&self, workspace: i64, run: &str) -> Result<Vec<LinkRow>> {
        let run = run.to_owned();
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM lineage WHERE workspace_id = ?1 AND run = ?2 \
                         ORDER BY is_input DESC, name"
                    ),
                    params![workspace, run],
                    link,
                )
            })
            .await
    }

    /// The versions of models that were registered from a run.
    pub async fn models_from_run(&self, workspace: i64, run: &str) -> Result<Vec<Node>> {
        let run = run.to_owned();
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT m.name, v.version FROM models m JOIN model_versions v ON v.model_id = m.id \
                     WHERE m.workspace_id = ?1 AND json_extract(v.lineage, '$.run') = ?2 ORDER BY v.id",
                    params![workspace, run],
                    |row| {
                        let version: u64 = row.get(1)?;
                        let name: String = row.get(0)?;
                        Ok(Node::new(NodeKind::Model, name, Some(version.to_string())))
                    },
                )
            })
            .await
    }
}

/// Records a link of a run, which is named with its workspace.
pub(super) fn record(
    tx: &Tx<'_>,
    (workspace, run): (i64, &str),
    is_input: bool,
    link: &RunLink,
    now: Time,
) -> Result<()> {
    let mut node = link.node.name.clone();
    // However the run wrote the registry, it is one.
    if let Some((place, own)) = apart(&node) {
        let sql = "SELECT name FROM workspaces WHERE name = ?1";
        let known = tx.one(sql, params![place], |row| row.get::<String>(0))?;
        node = known.map_or(node.clone(), |known| name_in(&known, own));
    }
    tx.execute(
        "INSERT INTO lineage(workspace_id, run, is_input, name, kind, node, version, uri, type, \
         created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT(workspace_id, run, is_input, name) DO UPDATE SET kind = ?5, node = ?6, \
         version = ?7, uri = ?8, type = ?9",
        params![
            workspace,
            run,
            is_input,
            link.name,
            link.node.kind.name(),
            node,
            link.node.version,
            link.uri,
            link.kind,
            now
        ],
    )?;
    Ok(())
}
