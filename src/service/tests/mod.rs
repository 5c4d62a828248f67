//! Tests of the service's rules, on a state directory of their own.

mod logs;
mod metrics;
mod runs;
mod support;
mod work;
