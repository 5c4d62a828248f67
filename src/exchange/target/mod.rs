//! Writing a tracking store that MLflow's own server reads.

mod database;
mod database_registry;

pub use database::Database;

/// The tag of runs and models that says which state of them was written there.
pub const STAMP: &str = "aml.exported";
