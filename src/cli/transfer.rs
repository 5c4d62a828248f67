//! Uploads and downloads as commands do them: with a bar on terminals and warnings told.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use clap::{Args, ValueHint};
use indicatif::ProgressDrawTarget;
use serde::Serialize;

use super::{
    context::Context,
    error::{Exit, INTERRUPTED},
    interrupt,
    ui::{FORMATS, Ui},
    views::{Show, View, record, size},
};
use api::{Error, Result, names};
use client::{Limit, Report, Step, Take, UploadOptions, Uploaded};
use spec::reference::missing;

/// What there is of an upload that was ended.
const UPLOAD_REMAINS: &str = "nothing was made of the upload; the files that had gone whole are not sent again the next time";

impl Context {
    /// Stores a folder in the workspace; says what was left out and why.
    pub async fn upload_folder(
        &self,
        workspace: &str,
        folder: &Path,
        limit: Limit,
    ) -> Result<Uploaded> {
        let place = self.folder.join(folder);
        let shown = folder.display();
        if !place.exists() {
            return Err(missing("folder", &shown.to_string(), &place));
        }
        if !place.is_dir() {
            return Err(Error::invalid(format!("`{shown}` is a file, not a folder")));
        }
        let options = UploadOptions {
            cache: self.stat_cache(&place),
            limit,
            take: Take::Unignored,
            report: Some(self.ui.report()),
        };
        let client = self.client().await?;
        let upload = client.upload_folder(workspace, folder, &options);
        let uploaded = self.ui.until_ctrl_c(UPLOAD_REMAINS, upload).await?;
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

    /// Where it is remembered what a folder had; of one that was made for this once it is not.
    fn stat_cache(&self, folder: &Path) -> Option<PathBuf> {
        let cache = self.config.home.join("cache");
        (!folder.starts_with(&cache)).then(|| cache.join("stat"))
    }

    /// Stores a model: all of a folder, or a file under its own name.
    pub async fn upload_model(&self, workspace: &str, path: &Path) -> Result<Uploaded> {
        let report = self.ui.report();
        let client = self.client().await?;
        if path.is_file() {
            let upload = client.upload_file(workspace, path, Some(&report));
            return self.ui.until_ctrl_c(UPLOAD_REMAINS, upload).await;
        }
        let options = UploadOptions {
            cache: self.stat_cache(path),
            limit: Limit::NONE,
            take: Take::Everything,
            report: Some(report),
        };
        let upload = client.upload_folder(workspace, path, &options);
        self.ui.until_ctrl_c(UPLOAD_REMAINS, upload).await
    }
}

/// Where a download goes.
#[derive(Debug, Args)]
pub struct Destination {
    /// Folder to write to, made when it is not there [default: named after what is downloaded]
    #[arg(short = 'p', long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    download_path: Option<String>,
    // Takes the place of the global option, whose value must be of the same type.
    /// Format of the answer, as everywhere, or a folder, as for --download-path; may be given for each
    #[arg(id = "output", short, long, value_name = "FORMAT|FOLDER",
          action = clap::ArgAction::Append, value_hint = ValueHint::DirPath,
          help_heading = "Global options")]
    output: Vec<String>,
}

impl Destination {
    /// The folder as it was named, else `default`.
    pub fn folder(self, default: &str) -> Result<String> {
        let (formats, mut folders): (Vec<String>, Vec<String>) = self
            .output
            .into_iter()
            .partition(|output| FORMATS.contains(&output.to_lowercase().as_str()));
        for (several, what) in [(&formats, "formats"), (&folders, "folders")] {
            if let [first, second, ..] = &several[..] {
                return Err(Error::invalid(format!(
                    "`{first}` and `{second}` are two {what}; one can be named"
                ))
                .at("--output"));
            }
        }
        let output = folders.pop();
        let misspelt = |output: &String| {
            let folder = output.contains('/') || Path::new(output).is_dir();
            // A short word is a folder more often than a misspelt format.
            names::nearest(output, FORMATS).filter(|_| !folder && output.len() > 3)
        };
        if let Some(output) = &output
            && let Some(format) = misspelt(output)
        {
            return Err(Error::invalid(format!("`{output}` is not a format"))
                .at("--output")
                .hint(format!("Did you mean `{format}`?"))
                .hint(format!(
                    "For a folder of that name: --download-path {output}"
                )));
        }
        match (output, self.download_path) {
            (Some(output), Some(_)) => Err(Error::invalid(format!(
                "`{output}` is not a format, and the folder is named by --download-path"
            ))
            .at("--output")
            .hint(format!("The formats are {}", FORMATS.join(", ")))),
            (named, None) | (None, named) => Ok(named.unwrap_or_else(|| default.to_owned())),
        }
    }
}

/// What was downloaded.
#[derive(Debug, Serialize)]
pub struct Downloaded {
    pub folder: String,
    pub files: usize,
    pub bytes: u64,
}

impl Show for Downloaded {
    fn view(&self) -> View {
        record([
            ("Folder", self.folder.clone()),
            ("Files", self.files.to_string()),
            ("Size", size(self.bytes)),
        ])
    }
}

/// Where something was put in a datastore, or removed from it.
#[derive(Debug, Serialize)]
pub struct Stored {
    pub datastore: String,
    pub path: String,
    /// How many files, and of what size in all, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Show for Stored {
    fn view(&self) -> View {
        record([
            ("Datastore", self.datastore.clone()),
            ("Path", self.path.clone()),
            (
                "Files",
                self.files
                    .map(|files| files.to_string())
                    .unwrap_or_default(),
            ),
            ("Size", self.bytes.map(size).unwrap_or_default()),
        ])
    }
}

impl Ui {
    /// Says what was downloaded; as an answer only when a format or query was asked for.
    pub fn downloaded(&self, downloaded: &Downloaded) -> anyhow::Result<()> {
        if self.shapes_answers() {
            return self.show(downloaded);
        }
        let Downloaded {
            folder,
            files,
            bytes,
        } = downloaded;
        let count = match files {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        self.status(&format!(
            "Downloaded {count}, {}, to {folder}",
            size(*bytes)
        ));
        Ok(())
    }
}

impl Ui {
    /// Ends a transfer on ctrl-C; `remains` says what there is of it then. The file that a download
    /// has begun to write is removed.
    pub async fn until_ctrl_c<T>(
        &self,
        remains: &str,
        transfer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            done = transfer => done,
            () = interrupt::ctrl_c() => {
                self.interrupted.store(true, Ordering::Relaxed);
                Err(Error::unavailable(format!("Interrupted: {remains}")))
            }
        }
    }

    /// The same for a download to `folder`.
    pub async fn download_until_ctrl_c<T>(
        &self,
        folder: impl std::fmt::Display,
        download: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let remains = format!(
            "the files that had come whole are in `{folder}`; the same command fetches all of them again"
        );
        self.until_ctrl_c(&remains, download).await
    }

    /// An error of a command that was ended by ctrl-C gives that exit code.
    pub fn ended(&self, error: anyhow::Error) -> anyhow::Error {
        if self.interrupted.load(Ordering::Relaxed) {
            return error.context(Exit(INTERRUPTED));
        }
        error
    }

    /// Shows a transfer as a bar that goes when it is done.
    pub fn report(&self) -> Report {
        let bar = self.progress();
        let last = std::sync::Mutex::new(None);
        Arc::new(move |step, done, total| {
            let Ok(mut last) = last.lock() else { return };
            if total == 0 {
                return;
            }
            if *last != Some((step, total)) {
                bar.set_draw_target(ProgressDrawTarget::hidden());
                bar.reset();
                bar.set_length(total);
                bar.set_message(match step {
                    Step::Read => "Reading files",
                    Step::Send => "Uploading",
                    Step::Receive => "Downloading",
                });
                bar.set_draw_target(ProgressDrawTarget::stderr());
                *last = Some((step, total));
            }
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
        })
    }
}
