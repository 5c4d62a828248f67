//! The files people write: parsing, defaults, errors that show the line.
//!
//! Reads the user's files and answers plain `api` values; it asks nobody and changes nothing.

mod conda;
pub mod environment;
mod requirements;

use crate::api::Error;

/// An error at a place in a file.
fn error_at(file: &str, line: u64, message: impl Into<String>) -> Error {
    Error::invalid(message).at(format!("{file}:{line}"))
}
