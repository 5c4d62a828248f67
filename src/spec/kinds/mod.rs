//! The kinds of files, each a Rust type that describes itself.

pub mod assets;
pub mod automl;
pub mod batch;
pub mod component;
pub mod compute;
pub mod connection;
pub mod datastore;
pub mod environment;
pub mod features;
pub mod flow;
pub mod generative;
pub mod io;
pub mod job;
pub mod list;
pub mod monitor;
pub mod node;
pub mod pipeline;
pub mod schedule;
pub mod serving;
pub mod step;
pub mod sweep;
pub mod table;
pub mod workspace;

#[cfg(test)]
mod tests;
