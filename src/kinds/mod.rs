//! The kinds of files that people write, each a Rust type that describes itself.
//!
//! [`shape`] says what a kind may hold, [`declare`] makes a type and its description from one text. What
//! the values of several kinds mean is here too: [`reference`]s, [`expression`]s, and in [`graph`] what
//! must hold between the parts of a file. Nothing here touches a file.

pub mod any;
pub mod assets;
pub mod automl;
pub mod batch;
pub mod component;
pub mod compute;
pub mod connection;
pub mod datastore;
mod declare;
pub mod described;
pub mod environment;
pub mod expression;
pub mod features;
pub mod flow;
pub mod generative;
pub mod graph;
pub mod io;
pub mod job;
pub mod monitor;
pub mod node;
pub mod pipeline;
pub mod reference;
pub mod schedule;
pub mod serving;
pub mod shape;
pub mod step;
pub mod sweep;
pub mod table;
pub mod time_zone;
pub mod workspace;
