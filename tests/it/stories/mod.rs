//! What people do with the binary, told as tests that hold in local and in remote mode.

mod output;
mod state;
mod workspaces;
