//! What a model deployment says of its mini-batches, in both forms, and what it means unsaid.

use super::super::minibatch::positive;
use api::{Error, Result};
use spec::kinds::batch::{self, BatchSettings};

/// What Azure takes when a deployment says nothing.
const OUTPUT_FILE: &str = "predictions.csv";
const MINI_BATCH: i64 = 10;
const RETRIES: i64 = 3;
const TIMEOUT: i64 = 30;
const LEVELS: [&str; 5] = ["debug", "info", "warning", "error", "critical"];

/// The settings of both forms of a model deployment.
pub(super) struct Settings<'a> {
    pub(super) compute: Option<&'a str>,
    pub(super) mini_batch_size: i64,
    pub(super) concurrency: i64,
    pub(super) instances: i64,
    pub(super) append_row: bool,
    pub(super) output_file: &'a str,
    pub(super) retries: i64,
    pub(super) timeout: i64,
    pub(super) error_threshold: i64,
    pub(super) logging_level: &'a str,
    pub(super) variables: Vec<(&'a str, &'a str)>,
}

impl Settings<'_> {
    /// Refuses what no job could be made of.
    pub(super) fn check(&self) -> Result<()> {
        positive(self.mini_batch_size, "mini_batch_size")?;
        positive(self.concurrency, "max_concurrency_per_instance")?;
        positive(self.instances, "instance_count")?;
        positive(self.timeout, "retry_settings.timeout")?;
        for (number, least, target) in [
            (self.retries, 0, "retry_settings.max_retries"),
            (self.error_threshold, -1, "error_threshold"),
        ] {
            if number < least {
                let error = format!("{number} is not a number from {least} up");
                return Err(Error::invalid(error).at(target));
            }
        }
        check_output_file(self.output_file)?;
        check_level(self.logging_level)
    }
}

/// Refuses a name that leads out of the folder of the output.
pub(super) fn check_output_file(name: &str) -> Result<()> {
    api::files::check_path(name).map_err(|error| error.at("output_file_name"))
}

pub(super) fn check_level(level: &str) -> Result<()> {
    if LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let error = Error::invalid(format!("`{level}` is no level of logging"));
    Err(error
        .at("logging_level")
        .hint(format!("It is one of {}", LEVELS.join(", "))))
}

pub(super) fn settings(written: &batch::BatchDeployment) -> Settings<'_> {
    let usual = Settings {
        compute: None,
        mini_batch_size: MINI_BATCH,
        concurrency: 1,
        instances: 1,
        append_row: true,
        output_file: OUTPUT_FILE,
        retries: RETRIES,
        timeout: TIMEOUT,
        error_threshold: -1,
        logging_level: "info",
        variables: Vec::new(),
    };
    match written {
        batch::BatchDeployment::Model(model) => {
            let resources = model.resources.as_ref().and_then(|r| r.instance_count);
            let mut all = match &model.settings {
                Some(settings) => of_settings(settings),
                None => usual,
            };
            all.compute = Some(&model.compute);
            all.instances = resources.map_or(all.instances, |nodes| nodes.0);
            all.error_threshold = model.error_threshold.unwrap_or(all.error_threshold);
            all
        }
        batch::BatchDeployment::Flat(flat) => {
            let retries = flat.retry_settings.as_ref();
            let resources = flat.resources.as_ref().and_then(|r| r.instance_count);
            Settings {
                compute: flat.compute.as_deref(),
                mini_batch_size: flat.mini_batch_size.map_or(MINI_BATCH, |size| size.0),
                concurrency: flat.max_concurrency_per_instance.map_or(1, |most| most.0),
                instances: resources.map_or(1, |nodes| nodes.0),
                append_row: matches!(flat.output_action, batch::OutputAction::AppendRow),
                output_file: flat
                    .output_file_name
                    .as_deref()
                    .unwrap_or(usual.output_file),
                retries: retries.and_then(|r| r.max_retries).unwrap_or(RETRIES),
                timeout: retries.and_then(|r| r.timeout).unwrap_or(TIMEOUT),
                error_threshold: flat.error_threshold.unwrap_or(-1),
                logging_level: flat.logging_level.as_deref().unwrap_or("info"),
                variables: Vec::new(),
            }
        }
        batch::BatchDeployment::Pipeline(_) => usual,
    }
}

fn of_settings(written: &BatchSettings) -> Settings<'_> {
    let retries = written.retry_settings.as_ref();
    let variables = written.environment_variables.iter();
    Settings {
        mini_batch_size: written.mini_batch_size.map_or(MINI_BATCH, |size| size.0),
        concurrency: written
            .max_concurrency_per_instance
            .map_or(1, |most| most.0),
        instances: written.instance_count.map_or(1, |nodes| nodes.0),
        append_row: matches!(written.output_action, batch::OutputAction::AppendRow),
        output_file: written.output_file_name.as_deref().unwrap_or(OUTPUT_FILE),
        retries: retries.and_then(|r| r.max_retries).unwrap_or(RETRIES),
        timeout: retries.and_then(|r| r.timeout).unwrap_or(TIMEOUT),
        error_threshold: written.error_threshold.unwrap_or(-1),
        logging_level: written.logging_level.as_deref().unwrap_or("info"),
        variables: variables
            .map(|(name, value)| (name, value.0.as_str()))
            .collect(),
        compute: None,
    }
}
