//! Imports and exports, as people see what they came to.

use super::{Show, View};
use exchange::{Count, Tally};

impl Show for Tally {
    fn view(&self) -> View {
        let row = |kind: &str, count: &Count| {
            let numbers = [
                count.found,
                count.new,
                count.updated,
                count.unchanged,
                count.left_out,
                count.failed,
            ];
            let mut cells = vec![kind.to_owned()];
            cells.extend(numbers.map(|number| number.to_string()));
            cells
        };
        let columns = [
            "kind",
            "found",
            "new",
            "updated",
            "unchanged",
            "left out",
            "failed",
        ];
        View::List {
            columns: columns.map(str::to_owned).to_vec(),
            rows: vec![
                row("experiments", &self.experiments),
                row("runs", &self.runs),
                row("logged models", &self.logged_models),
                row("traces", &self.traces),
                row("registered models", &self.registered_models),
                row("model versions", &self.model_versions),
            ],
        }
    }
}
