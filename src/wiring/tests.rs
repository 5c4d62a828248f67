//! The client against the server's router, in process: what neither can test alone.

mod files;
mod runs;
