//! Tables: which files an `MLTable` file means, and their rows after its transformations. Plain files
//! of rows are tables too.
//!
//! Everything is read row by row; nothing needs Python.

mod cell;
mod definition;
mod filter;
mod lines;
mod partition;
mod profile;
mod read;
mod rows;
mod settings;
mod step;
#[cfg(test)]
mod tests;

pub use cell::{Cell, ColumnType, time};
pub use definition::{Definition, MLTABLE, Needs, Table, TableFile, issues};
pub use profile::{ColumnProfile, Profile};
pub use read::{Chunk, Parts, first_chunks, of_json};
pub use rows::{LOOKED_AT, Row, Rows};
