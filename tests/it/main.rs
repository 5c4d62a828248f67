//! The one integration test binary: it drives the built `aml` as a user would.

#![expect(
    clippy::needless_raw_string_hashes,
    reason = "UPDATE_EXPECT=1 writes expectations so"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests read the environment, fail where they stand and say what they skip"
)]

mod azureml;
mod completions;
mod docs;
mod mlflow;
mod stories;
mod support;
mod tidy;
