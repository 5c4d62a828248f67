//! Bringing what MLflow's tracking stores know into a workspace, and out of one.
//!
//! A store is read by [`Source`], whatever it is; a workspace is spoken to through the client alone,
//! as by any command. What was brought over is known to the workspace by its ids, so that an import
//! that is broken off is gone on with, and a later one brings only what is new.

mod export;
mod import;
mod names;
mod origin;
mod record;
mod source;
mod tally;
mod target;

pub use export::{Chosen, Export};
pub use import::Import;
pub use source::{Credentials, Options, Source};
pub use tally::{Count, Tally};
pub use target::Database as ExportDatabase;
