//! How stored files look to people.

use super::{Show, View, list, record, runs::size, time};
use crate::snapshot::Snapshot;
use api::files::{Artifact, Collected};

impl Show for Snapshot {
    fn view(&self) -> View {
        record([
            ("Hash", self.hash.to_string()),
            ("Files", self.files.to_string()),
            ("Size", size(self.size)),
            ("Sent", size(self.sent)),
        ])
    }
}

impl Show for Vec<Artifact> {
    fn view(&self) -> View {
        list(
            ["path", "size", "updated"],
            self.iter().map(|file| {
                let (path, size) = (file.path.clone(), size(file.size));
                [path, size, time(file.updated_at)]
            }),
        )
    }
}

impl Show for Collected {
    fn view(&self) -> View {
        record([
            ("Files freed", self.blobs.to_string()),
            ("Space freed", size(self.bytes)),
            (
                "Environments freed",
                self.environments.environments.to_string(),
            ),
            ("Their space", size(self.environments.bytes)),
            ("Images freed", self.images.to_string()),
        ])
    }
}
