//! Uploads in parts: a file of a run that arrives in pieces, in any order and side by side.
//!
//! A part travels outside operations: `PUT /api/v1/uploads/<upload>/<number>?workspace=` streams one
//! and answers [`UploadedPart`]; the same number again replaces it. Nothing is to be seen of the file
//! until the upload is completed.

use serde::{Deserialize, Serialize};

use super::{
    Done, Time,
    files::{Artifact, Hash},
    operation,
};

/// The most parts that a file can come in.
pub const PARTS: u32 = 10_000;

/// A file that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    /// The run whose file it will be, and its path there.
    pub run: String,
    pub path: String,
    /// How many parts it comes in, numbered from 1.
    pub parts: u32,
    /// What came of it is dropped if it is not completed by then.
    pub expires_at: Time,
}

/// A part that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    pub number: u32,
    pub hash: Hash,
    pub size: u64,
}

/// Begins an upload in parts of an artifact of a run. It has to be completed within a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateUpload {
    pub workspace: String,
    pub run: String,
    pub path: String,
    pub parts: u32,
}
operation!(CreateUpload => Upload, "uploads.create");

/// Puts the parts together, in order, as an artifact at the path. Each part must have arrived with
/// the hash that is named.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompleteUpload {
    pub workspace: String,
    pub upload: String,
    /// The hashes of the parts from the first to the last; those that are absent are not looked at.
    pub hashes: Vec<Option<Hash>>,
}
operation!(CompleteUpload => Artifact, "uploads.complete");

/// Drops an upload with the parts that have arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AbortUpload {
    pub workspace: String,
    pub upload: String,
}
operation!(AbortUpload => Done, "uploads.abort");
