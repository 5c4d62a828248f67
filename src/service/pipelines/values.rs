//! Values that steps make: texts in files, read when another step or a condition needs them; and what
//! the rounds of a loop made, brought together.

use bytes::Bytes;
use serde_json::json;

use super::graph::Graph;
use crate::{Caller, Perform, Service};
use api::{
    Code, Error, Result,
    datastores::ListStoredFiles,
    paths::{Files, ResolvePath},
};

/// The longest value that is read, in bytes: with others, it is an argument of a program.
pub const LONGEST: u64 = 64 << 10;
/// The longest list of items.
pub const LONGEST_LIST: u64 = 1 << 20;

impl Service {
    /// The text that a step wrote as a value. Asked as the owner: who created the pipeline was let in
    /// before.
    pub(crate) async fn value_at(
        &self,
        workspace: &str,
        address: &str,
        limit: u64,
    ) -> Result<String> {
        let resolve = ResolvePath {
            workspace: workspace.to_owned(),
            path: address.to_owned(),
            model: false,
        };
        let found = resolve.perform(self, &Caller::Owner).await?;
        let nothing = || Error::not_found("it wrote no file to it");
        let content = match found.files {
            Files::Datastore {
                workspace,
                datastore,
                path,
                ..
            } => {
                let list = ListStoredFiles {
                    workspace: workspace.clone(),
                    datastore: datastore.clone(),
                    path,
                    limit: Some(1),
                };
                let files = list.perform(self, &Caller::Owner).await?;
                let file = files.first().ok_or_else(nothing)?;
                self.read_stored_file(&Caller::Owner, &workspace, &datastore, &file.path)
                    .await?
            }
            _ => return Err(nothing()),
        };
        if content.size > limit {
            let error = format!(
                "it has {} bytes; a value has at most {limit}; declare the output as a uri_file to hand over the file",
                content.size
            );
            return Err(Error::invalid(error));
        }
        let size = content.size;
        let mut pieces = content.pieces(0..size);
        let mut text = Vec::new();
        while let Some(piece) = pieces.recv().await {
            text.extend_from_slice(&piece?);
        }
        let text = String::from_utf8(text).map_err(|_| Error::invalid("it is no text"))?;
        Ok(text.trim().to_owned())
    }

    /// The address of what the rounds of a loop made: a table of the places, or the list of the values.
    /// What is the same has the same address.
    pub(super) async fn gathered(
        &self,
        workspace: &str,
        graph: &Graph,
        made: &Gathered,
        keep: bool,
    ) -> Result<String> {
        let (name, text) = match made {
            Gathered::Values(values) => ("values.json", json!(values).to_string()),
            Gathered::Places { file, addresses } => {
                let key = if *file { "file" } else { "folder" };
                let paths: Vec<_> = addresses.iter().map(|at| json!({key: at})).collect();
                (
                    "MLTable",
                    json!({"type": "mltable", "paths": paths}).to_string(),
                )
            }
        };
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let folder = format!("azureml/gathered/{}", &hash[..32]);
        let path = format!("{folder}/{name}");
        let datastore = &graph.datastore;
        let there = self.read_stored_file(&Caller::Owner, workspace, datastore, &path);
        match there.await {
            Ok(_) => {}
            Err(error) if error.code == Code::NotFound && keep => {
                let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]);
                self.write_stored_file(&Caller::Owner, workspace, datastore, &path, body)
                    .await?;
            }
            Err(error) if error.code == Code::NotFound => {}
            Err(error) => return Err(error),
        }
        let whole = if name == "MLTable" { folder } else { path };
        Ok(format!("azureml://datastores/{datastore}/paths/{whole}"))
    }
}

/// What the rounds of a loop made for one output.
pub enum Gathered {
    Values(Vec<String>),
    Places { file: bool, addresses: Vec<String> },
}

/// Whether a text is true.
pub fn is_true(text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(Error::invalid(format!(
                "a condition is true or false, not `{shown}`"
            )))
        }
    }
}
