//! The files people write: parsing, defaults, errors that show the line.
//!
//! Reads the user's files and answers plain values; it asks nobody and changes nothing.
//!
//! Azure ML's YAML: [`yaml`] makes a tree that knows its lines, [`kinds`] says what every kind may hold,
//! [`check`] compares the two and finds every problem at once, [`load`] puts it together.

mod check;
mod conda;
pub mod dockerfile;
pub mod durations;
pub mod environment;
pub mod image;
mod includes;
pub mod issue;
pub mod list;
pub mod load;
pub mod mlflow;
pub mod overrides;
mod requirements;
pub mod run_image;
pub mod schema;
pub mod scoring;
pub mod v1;
pub mod words;
pub mod yaml;

use api::Error;
/// What a file is made of, for those who read what it says.
pub use kinds::{self, described, expression, graph, reference, shape};

/// An error at a place in a file.
fn error_at(file: &str, line: u64, message: impl Into<String>) -> Error {
    Error::invalid(message).at(format!("{file}:{line}"))
}
