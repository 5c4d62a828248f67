//! Rows as lines of JSON, as Python reads them.

use super::{cell::Cell, rows::Row};
use api::{Error, Result};

impl Row {
    /// Adds the row as an object on a line of its own. Times are `{"time": "…"}`, so that they are not
    /// taken for texts; a number that JSON does not know has Python's name.
    pub fn write_line(&self, lines: &mut String) -> Result<()> {
        lines.push('{');
        for (at, (name, cell)) in self.columns.iter().zip(&self.cells).enumerate() {
            if at > 0 {
                lines.push(',');
            }
            *lines += &text(name)?;
            lines.push(':');
            let shown = match cell {
                Cell::Missing => "null".to_owned(),
                Cell::Text(value) => text(value)?,
                Cell::Time(_) => [r#"{"time":"#, &text(&cell.to_string())?, "}"].concat(),
                Cell::Float(number) if number.is_nan() => "NaN".to_owned(),
                Cell::Float(number) if number.is_infinite() && *number > 0.0 => {
                    "Infinity".to_owned()
                }
                Cell::Float(number) if number.is_infinite() => "-Infinity".to_owned(),
                number => number.to_string(),
            };
            *lines += &shown;
        }
        *lines += "}\n";
        Ok(())
    }
}

fn text(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|error| Error::internal(error.to_string()))
}
