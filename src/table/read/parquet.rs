//! Parquet files.

use std::{fs::File, path::Path, sync::Arc};

use chrono::{DateTime, Duration};
use parquet::{
    file::{
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
    record::{Field, reader::RowIter},
};

use super::{Cell, RawRows, Row, of_json, unreadable};
use crate::rows::Columns;
use api::Result;

pub fn rows(path: &Path) -> Result<RawRows> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let options = ReadOptionsBuilder::new().build();
    let reader = SerializedFileReader::new_with_options(file, options);
    let reader = reader.map_err(|e| unreadable(path, &e))?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let fields = schema.root_schema().get_fields();
    let names: Columns = Arc::new(fields.iter().map(|field| field.name().to_owned()).collect());
    let shown = path.to_owned();
    let rows = RowIter::from_file_into(Box::new(reader));
    Ok(Box::new(rows.map(move |row| {
        let row = row.map_err(|e| unreadable(&shown, &e))?;
        let cells = row.into_columns().into_iter().map(|(_, field)| cell(field));
        Ok(Row::new(names.clone(), cells.collect()))
    })))
}

fn cell(field: Field) -> Cell {
    let whole = |number: u64| i64::try_from(number).map_or(Cell::Missing, Cell::Int);
    let time = |time: Option<DateTime<chrono::Utc>>| time.map_or(Cell::Missing, Cell::Time);
    match field {
        Field::Null => Cell::Missing,
        Field::Bool(truth) => Cell::Bool(truth),
        Field::Byte(number) => Cell::Int(number.into()),
        Field::Short(number) => Cell::Int(number.into()),
        Field::Int(number) => Cell::Int(number.into()),
        Field::Long(number) => Cell::Int(number),
        Field::UByte(number) => Cell::Int(number.into()),
        Field::UShort(number) => Cell::Int(number.into()),
        Field::UInt(number) => Cell::Int(number.into()),
        Field::ULong(number) => whole(number),
        Field::Float(number) => Cell::Float(number.into()),
        Field::Double(number) => Cell::Float(number),
        Field::Str(text) => Cell::Text(text),
        Field::Date(days) => time(
            DateTime::from_timestamp(0, 0)
                .and_then(|begin| begin.checked_add_signed(Duration::days(days.into()))),
        ),
        Field::TimestampMillis(at) => time(DateTime::from_timestamp_millis(at)),
        Field::TimestampMicros(at) => time(DateTime::from_timestamp_micros(at)),
        other => of_json(other.to_json_value()),
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        data_type::{ByteArray, ByteArrayType, Int64Type},
        file::writer::SerializedFileWriter,
        schema::parser::parse_message_type,
    };

    use super::*;

    #[test]
    fn rows_of_parquet_have_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let message = "message m { required int64 a; optional binary b (UTF8); }";
        let schema = Arc::new(parse_message_type(message).unwrap());
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let numbers = column.typed::<Int64Type>();
        numbers.write_batch(&[7, 8], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts = column.typed::<ByteArrayType>();
        let text = [ByteArray::from("é")];
        texts.write_batch(&text, Some(&[0, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let found: Vec<Row> = rows(&path).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(*found[0].columns, ["a", "b"]);
        let cells: Vec<_> = found.into_iter().map(|row| row.cells).collect();
        let text = Cell::Text("é".to_owned());
        assert_eq!(cells, [[Cell::Int(7), Cell::Missing], [Cell::Int(8), text]]);
    }
}
