//! Tests of the service's rules, on a state directory of their own.

mod access;
mod assets;
mod collect;
mod computes;
mod datastores;
mod files;
mod imports;
mod jobs;
mod logs;
mod metric_histories;
mod metrics;
mod models;
mod pipeline_plans;
mod pipelines;
mod random_search;
mod runs;
mod schedules;
mod search;
mod secrets;
pub mod support;
mod sweeps;
mod trace_search;
mod traces;
mod uploads;
mod values;
mod webhooks;
mod work;
