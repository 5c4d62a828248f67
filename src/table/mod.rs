//! Tables: which files an `MLTable` file means, and their rows after its transformations. Plain files
//! of rows are tables too.
//!
//! Everything is read row by row; nothing needs Python.

mod cell;
mod definition;
mod filter;
mod partition;
mod profile;
mod read;
mod rows;
mod settings;
mod step;
#[cfg(test)]
mod tests;

pub use cell::{Cell, ColumnType};
pub use definition::{Definition, MLTABLE, Table, TableFile};
pub use profile::{ColumnProfile, Profile};
pub use rows::{Row, Rows};
