//! Mini-batches: the driver that cuts data into them and hands them to processes with a script, for
//! batch endpoints and parallel steps.

use bytes::Bytes;
use serde::Serialize;

use super::{Caller, Perform, Service};
use api::{
    Error, Result,
    files::{CreateTree, GetTree, Hash, Tree, TreeEntry},
    frames,
};

/// A script of ours that is put beside the code of a job.
pub struct Driver {
    /// Where it is in the code.
    pub path: &'static str,
    pub text: &'static str,
}

/// The driver of mini-batches.
pub const DRIVER: Driver = Driver {
    path: ".aml_batch_driver.py",
    text: include_str!("driver.py"),
};
/// The variable that holds the [`Settings`].
pub const VARIABLE: &str = "AML_BATCH";

/// What the driver is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Settings<'a> {
    /// The script with `init()` and `run(mini_batch)`; none scores with a model in MLflow format.
    pub script: Option<&'a str>,
    /// The name of the model's folder.
    pub model_name: Option<&'a str>,
    /// Of a step of a pipeline, not of a batch endpoint.
    pub step: bool,
    /// Whether the data is a table; none looks for an `MLTable` file.
    pub tabular: Option<bool>,
    /// Files or rows of a mini-batch; none is all.
    pub mini_batch_size: Option<i64>,
    /// Bytes of a mini-batch, about. Where both are said, this one is for tables, the other for files.
    pub mini_batch_bytes: Option<i64>,
    /// Columns whose values make a mini-batch each.
    pub partition_keys: Vec<&'a str>,
    /// Mini-batches at once.
    pub concurrency: i64,
    pub output_action: OutputAction,
    pub output_file_name: &'a str,
    /// The output is the file itself, not a folder for it.
    pub output_is_file: bool,
    /// Between the columns of what `run` answered.
    pub separator: &'a str,
    pub max_retries: i64,
    /// Seconds for a mini-batch.
    pub timeout: i64,
    /// Files or rows that may fail; -1 is any number.
    pub error_threshold: i64,
    pub mini_batch_error_threshold: i64,
    pub logging_level: &'a str,
}

/// What becomes of what `run` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputAction {
    AppendRow,
    SummaryOnly,
}

impl Settings<'_> {
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))
    }
}

/// A number from 1 up.
pub fn positive(number: i64, target: &str) -> Result<i64> {
    if number > 0 {
        return Ok(number);
    }
    Err(Error::invalid(format!("{number} is not a number from 1 up")).at(target))
}

impl Service {
    /// The files of code with a driver beside them.
    pub(super) async fn tree_with_driver(
        &self,
        caller: &Caller,
        workspace: &str,
        code: Option<Hash>,
        driver: &Driver,
    ) -> Result<Tree> {
        let mut entries = match code {
            Some(hash) => {
                let get = GetTree {
                    workspace: workspace.to_owned(),
                    hash,
                };
                get.perform(self, caller).await?.entries
            }
            None => Vec::new(),
        };
        entries.retain(|entry| entry.path != driver.path);
        entries.push(TreeEntry {
            path: driver.path.to_owned(),
            hash: Hash::of(driver.text.as_bytes()),
            size: driver.text.len() as u64,
            executable: false,
            symlink: false,
        });
        Ok(Tree::new(entries))
    }

    /// The same, which the workspace has from now on.
    pub(super) async fn with_driver(
        &self,
        caller: &Caller,
        workspace: &str,
        code: Option<Hash>,
        driver: &Driver,
    ) -> Result<Hash> {
        let tree = self.tree_with_driver(caller, workspace, code, driver);
        let tree = tree.await?;
        let text = driver.text.as_bytes();
        let mut frame = frames::header(Hash::of(text), text.len() as u64).to_vec();
        frame.extend_from_slice(text);
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(frame))]);
        self.store_blobs(caller, workspace, body).await?;
        let create = CreateTree {
            workspace: workspace.to_owned(),
            tree,
        };
        Ok(create.perform(self, caller).await?.hash)
    }
}
