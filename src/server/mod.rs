//! HTTP on top of the service: routes, who is calling, the error envelope, streams, listening.
//!
//! Local mode calls [`router`] in process; `aml serve` puts it on a socket. Nothing works in one
//! and not in the other.

mod activity;
mod authenticate;
mod batch;
mod error;
mod files;
mod listen;
mod log;
mod page;
mod peer;
mod rest;
mod router;
mod run_logs;
mod score;
pub mod tls;

pub use activity::Activity;
pub use authenticate::Trust;
pub use error::Failure;
pub use listen::Listener;
pub use log::{Log, Verbosity};
pub use rest::{Asked, rest_when_quiet};
pub use router::{logged, router};
