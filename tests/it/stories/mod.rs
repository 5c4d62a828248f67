//! What people do with the binary, told as tests that hold in local and in remote mode.

mod access;
mod assets;
mod az;
mod azureml;
mod chain;
mod crashes;
mod datastores;
mod doctor;
mod endpoints;
mod files;
mod jobs;
mod load;
mod mlflow;
mod models;
mod output;
mod pipelines;
mod runs;
mod schedules;
mod secrets;
mod serve;
mod state;
mod supervisor;
mod sweeps;
mod webhooks;
mod worker;
mod workspaces;
