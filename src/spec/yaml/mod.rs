//! YAML as a tree in which every key and value knows where it was written.
//!
//! The dialect is decided here and nowhere else: YAML 1.1 scalars as Azure ML's own client reads
//! them, merge keys, duplicate keys refused, a budget against alias bombs.

mod compose;
mod scalar;
mod source;
pub mod template;
mod tree;

#[cfg(test)]
mod tests;

pub use compose::compose;
pub use source::{FLAGS, SourceId, Sources, Span};
pub use tree::{Data, Entry, Node};
