//! How stored files look to people.

use super::{Show, View, record, runs::size};
use crate::{api::files::Collected, cli::snapshot::Snapshot};

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

impl Show for Collected {
    fn view(&self) -> View {
        record([
            ("Files freed", self.blobs.to_string()),
            ("Space freed", size(self.bytes)),
        ])
    }
}
