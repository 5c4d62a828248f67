//! Where things are kept: the database, the blobs, the migrations, the state directory.
//!
//! Every method is one atomic step. Two writes that must happen together are one method with a
//! name, never a transaction handed to the caller. Rules and permissions do not belong here.

mod access;
mod artifacts;
mod assessments;
mod assets;
mod batch;
mod blobs;
mod checkpoint;
mod collect;
mod column;
mod computes;
mod condition;
mod connections;
mod datastores;
mod db;
mod deployments;
mod driven;
mod endpoint_files;
mod endpoints;
mod experiments;
mod glance;
mod history;
mod home;
mod identities;
mod imports;
mod lineage;
mod logged_models;
mod logs;
mod measures;
mod metric_histories;
mod metrics;
mod migrations;
mod model_imports;
mod models;
mod monitors;
mod packs;
mod places;
mod points;
mod registered_models;
mod registries;
mod resource_groups;
mod run_create;
mod run_links;
mod run_order;
mod run_search;
mod run_sql;
mod runs;
mod schedules;
mod secrets;
mod senders;
mod slots;
mod spans;
mod trace_imports;
mod trace_measures;
mod trace_search;
mod traces;
mod trees;
mod uploads;
mod webhooks;
mod work;
mod workspaces;
mod writer;

use std::path::PathBuf;

pub use artifacts::Holder;
pub use assessments::AssessmentChange;
pub use assets::{AssetChange, AssetCreated, AssetRow, NewAsset};
pub use batch::{BatchEndpointChange, BatchEndpointRow};
pub use blobs::Chunks;
pub use computes::{ComputeRow, IdleInstance};
pub use condition::{Comparison, Condition, Order, Test};
pub use connections::ConnectionRow;
pub use datastores::{DatastoreChange, DatastoreRow};
pub use deployments::{DeploymentReport, DeploymentRow, NewDeployment};
pub use driven::{Advance, Advanced, Child, Driven, Head, NewDriven, News};
pub use endpoints::{EndpointChange, EndpointRow};
pub use experiments::{ExperimentChange, KEPT_HERE};
pub use glance::{Glance, Held};
pub use home::{Home, Lock, io_error};
pub use imports::NewImport;
pub use lineage::LinkRow;
pub use logged_models::{LoggedModelChange, NewLoggedModel};
pub use measures::{FINEST, While, least_length};
pub use metric_histories::Logged;
pub use metrics::{Batch, Point};
pub use metrics::{order_bits, value_of};
pub use migrations::format_of as format;
pub use model_imports::{ModelImport, VersionImport};
pub use models::{ModelChange, ModelDeletion, ModelFilter, ModelRow, NewModel, Registration};
pub use packs::OpenBlob;
pub use places::{Address, FilePlace, PlacedFile};
pub use points::Place;
pub use registered_models::{
    NewAlias, NewRegisteredModel, RegisteredModelChange, RegisteredModelRow, RegisteredModelUpdate,
};
pub use run_create::{Created, ExperimentRef, NewRun};
pub use run_order::Mark;
pub use run_search::RunFilter;
pub use run_sql::{DatasetField, RunField};
pub use runs::{NAME_TAG, PARENT_TAG, RunChange, RunRow};
pub use schedules::{Claim, ScheduleRow, ScheduleSpec};
pub use senders::Sender;
pub use spans::TraceSpans;
pub use trace_measures::{Measure, MeasureField, Measurement};
pub use trace_search::{SpanField, TraceCursor, TraceField, TraceFilter};
pub use traces::{NewTrace, TraceChange, TraceRow, TraceSelection};
pub use trees::Stored;
pub use uploads::{Joined, UploadRow};
pub use webhooks::{Attempt, DueDelivery, Occurred, WebhookChange, WebhookRow};
pub use work::{Cancel, Orders, Sync, Taken};
pub use workspaces::{NewWorkspace, WorkspaceChange, WorkspaceRow};

use api::Result;
use db::Db;

/// All that is kept, opened. Several processes may have the same state directory open at once.
pub struct Store {
    pub home: Home,
    db: Db,
}

impl Store {
    /// Opens the state directory, made or migrated when needed.
    pub fn open(directory: PathBuf) -> Result<Self> {
        let home = Home::open(directory)?;
        home.prepare_key()?;
        let db = Db::open(&home.database())?;
        Ok(Self { home, db })
    }

    /// The same for a process that answers requests on its one thread: writes are left to another.
    #[must_use]
    pub fn answering_requests(mut self) -> Self {
        self.db.answer_requests();
        self
    }
}
