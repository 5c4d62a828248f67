//! The kinds of files, each a Rust type that describes itself.

pub mod assets;
pub mod component;
pub mod compute;
pub mod datastore;
pub mod environment;
pub mod io;
pub mod job;
pub mod list;
pub mod serving;
pub mod workspace;

#[cfg(test)]
mod tests;
