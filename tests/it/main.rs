//! The one integration test binary: it drives the built `aml` as a user would.

mod completions;
mod docs;
mod stories;
mod support;
mod tidy;
