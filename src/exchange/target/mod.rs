//! Writing a tracking store that MLflow's own server reads.

mod database;
mod database_registry;
mod database_traces;

pub use database::Database;

/// The tag of runs, models and traces that says which state of them was written there.
pub const STAMP: &str = "aml.exported";
