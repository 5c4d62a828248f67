//! Scoring without Python: models in ONNX, and boosted trees as `LightGBM` and `XGBoost` save them.
//!
//! A model is loaded once and scores from any number of threads.

#![expect(
    clippy::cast_precision_loss,
    reason = "places and counts in a model are far below 2^52"
)]

mod boosted;
mod forest;
mod lightgbm;
mod onnx;
mod onnx_trees;
mod post;
mod rows;
#[cfg(test)]
mod tests;
mod ubjson;
mod xgboost;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use api::{Error, Result};
use boosted::Boosted;
use onnx::Graph;
use rows::Rows;

/// How deep below a model's folder its file is looked for.
const DEEPEST: usize = 4;
const ENDINGS: [&str; 8] = ["onnx", "txt", "lgb", "xgb", "ubj", "json", "model", "bst"];

/// A model that is ready to score.
pub struct Scorer(Kind);

enum Kind {
    Boosted(Boosted),
    Graph(Graph),
}

impl Scorer {
    /// Loads the model that is in a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut found = Vec::new();
        candidates(folder, 0, &mut found);
        // The one that is least deep; ONNX before what it may have been made of.
        found.sort_by_key(|path| {
            let is_onnx = path.extension().is_some_and(|end| end == "onnx");
            (path.components().count(), !is_onnx, path.clone())
        });
        for path in &found {
            if let Some(scorer) = Self::read(path)? {
                return Ok(scorer);
            }
        }
        Err(
            Error::invalid("There is no file in the model that can be scored natively").hint(
                "Those of ONNX, LightGBM and XGBoost can; deploy without --native to use Python",
            ),
        )
    }

    /// Reads a model, if the file is one.
    fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = fs::read(path)
            .map_err(|e| Error::unavailable(format!("Cannot read `{}`: {e}", path.display())))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let at = |error: Error| error.at(name.as_ref());
        if path.extension().is_some_and(|end| end == "onnx") {
            return Graph::read(&bytes)
                .map(|graph| Some(Self(Kind::Graph(graph))))
                .map_err(at);
        }
        if bytes.starts_with(lightgbm::MAGIC) {
            let text = String::from_utf8_lossy(&bytes);
            let trees = lightgbm::read(&text).map_err(at)?;
            return Ok(Some(Self(Kind::Boosted(trees))));
        }
        if bytes.first() != Some(&b'{') {
            return Ok(None);
        }
        let document = match serde_json::from_slice(&bytes) {
            Ok(document) => Some(document),
            Err(_) => ubjson::read(&bytes).ok(),
        };
        let document: Option<Value> = document.filter(|d: &Value| d["learner"].is_object());
        let trees = document
            .as_ref()
            .map(xgboost::read)
            .transpose()
            .map_err(at)?;
        Ok(trees.map(|trees| Self(Kind::Boosted(trees))))
    }

    /// Answers a request: a table in one of the forms that MLflow and Azure take.
    pub fn answer(&self, body: &[u8]) -> Result<Vec<u8>> {
        let rows = Rows::read(body)?;
        let answer = match &self.0 {
            Kind::Boosted(trees) => boosted_answer(trees, &rows)?,
            Kind::Graph(graph) => graph.answer(&rows)?,
        };
        serde_json::to_vec(&answer)
            .map_err(|e| Error::internal(format!("The answer cannot be written: {e}")))
    }

    /// A description of what is taken, in `OpenAPI` 2.
    pub fn swagger(&self) -> Vec<u8> {
        let columns = match &self.0 {
            Kind::Boosted(trees) => trees.names.clone(),
            Kind::Graph(graph) => graph.columns(),
        };
        let table = json!({
            "type": "object",
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}, "example": columns},
                "data": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
            },
        });
        let body = json!({
            "type": "object",
            "required": ["input_data"],
            "properties": {"input_data": table},
        });
        let document = json!({
            "swagger": "2.0",
            "info": {"title": "Scoring", "version": "1.0"},
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
            "paths": {"/score": {"post": {
                "operationId": "RunMLService",
                "security": [{"Bearer": []}],
                "parameters": [{"name": "body", "in": "body", "required": true, "schema": body}],
                "responses": {"200": {"description": "What the model answers", "schema": {}}},
            }}},
        });
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

fn candidates(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if depth < DEEPEST {
                candidates(&path, depth + 1, found);
            }
        } else if path
            .extension()
            .is_some_and(|end| ENDINGS.iter().any(|known| end == *known))
        {
            found.push(path);
        }
    }
}

fn boosted_answer(trees: &Boosted, rows: &Rows) -> Result<Value> {
    let table = rows.table(&trees.names, trees.forest.features)?;
    let width = trees.width();
    let mut answers = Vec::with_capacity(table.len() * width);
    for mut row in table {
        trees.score(&mut row, &mut answers);
    }
    if width == 1 {
        return Ok(json!(answers));
    }
    Ok(json!(answers.chunks(width).collect::<Vec<_>>()))
}
