//! Uploads and downloads as commands do them: with a bar on terminals and warnings told.

use std::{path::Path, sync::Arc};

use super::{
    context::Context,
    error::{Exit, INTERRUPTED},
    ui::Ui,
};
use crate::{
    api::Result,
    client::{Limit, Report, Step, Take, UploadOptions, Uploaded},
};

impl Context {
    /// Stores a folder in the workspace; says what was left out and why.
    pub async fn upload_folder(
        &self,
        workspace: &str,
        folder: &Path,
        limit: Limit,
    ) -> Result<Uploaded> {
        let options = UploadOptions {
            cache: Some(self.config.home.join("cache/stat")),
            limit,
            take: Take::Unignored,
            report: Some(self.ui.report()),
        };
        let client = self.client().await?;
        let uploaded = client.upload_folder(workspace, folder, &options).await?;
        for warning in &uploaded.warnings {
            self.ui.warn(warning);
        }
        if uploaded.tree.files == 0 {
            self.ui.warn(&format!(
                "Nothing of `{}` is stored: it is empty, or its ignore files name everything in it",
                folder.display()
            ));
        }
        Ok(uploaded)
    }

    /// Stores a model: all of a folder, or a file under its own name.
    pub async fn upload_model(&self, workspace: &str, path: &Path) -> Result<Uploaded> {
        let report = self.ui.report();
        let client = self.client().await?;
        if path.is_file() {
            return client.upload_file(workspace, path, Some(&report)).await;
        }
        let options = UploadOptions {
            cache: None,
            limit: Limit::NONE,
            take: Take::Everything,
            report: Some(report),
        };
        client.upload_folder(workspace, path, &options).await
    }
}

/// Ends a download on ctrl-C; the file that it has begun to write is removed.
pub async fn until_ctrl_c<T>(download: impl Future<Output = Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        done = download => Ok(done?),
        _ = tokio::signal::ctrl_c() => Err(Exit(INTERRUPTED).into()),
    }
}

impl Ui {
    /// Shows a transfer as a bar that goes when it is done.
    pub fn report(&self) -> Report {
        let bar = self.progress("", 0);
        let last = std::sync::Mutex::new(None);
        Arc::new(move |step, done, total| {
            let Ok(mut last) = last.lock() else { return };
            if *last != Some((step, total)) {
                *last = Some((step, total));
                bar.reset();
                bar.set_length(total);
                bar.set_message(match step {
                    Step::Read => "Reading files",
                    Step::Send => "Uploading",
                    Step::Receive => "Downloading",
                });
            }
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
        })
    }
}
