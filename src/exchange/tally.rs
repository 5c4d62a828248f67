//! What an import came to: everything that was found is counted once.

use serde::Serialize;

/// How many of one kind of thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub found: u64,
    pub new: u64,
    /// Was here in part, or has changed since.
    pub updated: u64,
    pub unchanged: u64,
    /// Deleted there or here.
    pub left_out: u64,
    pub failed: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub experiments: Count,
    pub runs: Count,
    pub logged_models: Count,
    pub traces: Count,
    /// With prompts.
    pub registered_models: Count,
    pub model_versions: Count,
    /// Points that were sent; those that were here already are not stored twice.
    pub metric_points: u64,
    pub files: u64,
    pub bytes: u64,
    /// Runs and models whose files could not be reached.
    pub without_files: u64,
    /// What went wrong, and what was called otherwise than there.
    pub remarks: Vec<String>,
}

impl Tally {
    pub fn failed(&self) -> u64 {
        let all = [
            &self.experiments,
            &self.runs,
            &self.logged_models,
            &self.traces,
            &self.registered_models,
            &self.model_versions,
        ];
        all.iter().map(|count| count.failed).sum()
    }
}
