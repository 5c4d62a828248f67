//! The files people write: parsing, defaults, errors that show the line.
//!
//! Reads the user's files and answers plain values; it asks nobody and changes nothing.
//!
//! Azure ML's YAML: [`yaml`] makes a tree that knows its lines, [`shape`] says what a kind may hold,
//! [`kinds`] says it for every kind, [`check`] compares the two and finds every problem at once,
//! [`load`] puts it together.

#![allow(
    dead_code,
    reason = "a description says more than the program asks for"
)]

mod check;
mod conda;
mod declare;
pub mod described;
pub mod dockerfile;
pub mod durations;
pub mod environment;
pub mod expression;
pub mod graph;
pub mod image;
mod includes;
pub mod issue;
pub mod kinds;
pub mod load;
pub mod mlflow;
pub mod overrides;
pub mod reference;
mod requirements;
pub mod run_image;
pub mod schema;
pub mod scoring;
pub mod shape;
pub mod v1;
pub mod words;
pub mod yaml;

use api::Error;

/// An error at a place in a file.
fn error_at(file: &str, line: u64, message: impl Into<String>) -> Error {
    Error::invalid(message).at(format!("{file}:{line}"))
}
