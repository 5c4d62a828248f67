//! Parquet files.

use std::{
    fs::File,
    io::{BufReader, Read, Take},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Duration};
use parquet::{
    errors::ParquetError,
    file::{
        reader::{ChunkReader, FileReader, Length, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
    record::{Field, reader::RowIter},
};

use super::{Cell, Chunk, Parts, RawRows, Row, of_json, unreadable};
use crate::rows::Columns;
use api::Result;

pub fn rows(path: &Path, parts: Option<&Parts>) -> Result<RawRows> {
    let reader = open(path, parts)?;
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

/// Where in a file the row groups are that hold its first rows. Only the end of the file need be here.
pub fn first_chunks(path: &Path, parts: &Parts, rows: usize) -> Result<Vec<Chunk>> {
    let reader = open(path, Some(parts))?;
    let mut left = i64::try_from(rows).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for group in reader.metadata().row_groups() {
        if left <= 0 {
            break;
        }
        left -= group.num_rows();
        found.extend(group.columns().iter().map(|column| {
            let (begin, length) = column.byte_range();
            let values = u64::try_from(column.data_page_offset()).unwrap_or(begin);
            Chunk {
                range: begin..begin.saturating_add(length),
                head: values.saturating_sub(begin).min(length),
            }
        }));
    }
    Ok(found)
}

fn open(path: &Path, parts: Option<&Parts>) -> Result<SerializedFileReader<Partial>> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let parts = parts.cloned();
    let options = ReadOptionsBuilder::new().build();
    let reader = SerializedFileReader::new_with_options(Partial { file, parts }, options);
    reader.map_err(|e| unreadable(path, &e))
}

/// A file, of which maybe only some parts are here. What is beyond one is never read as zeros.
struct Partial {
    file: File,
    parts: Option<Parts>,
}

impl Partial {
    /// How much can be read from there on.
    fn left(&self, begin: u64) -> u64 {
        let Some(parts) = &self.parts else {
            return u64::MAX;
        };
        let part = parts.iter().find(|part| part.contains(&begin));
        part.map_or(0, |part| part.end - begin)
    }
}

impl Length for Partial {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Partial {
    type T = Take<BufReader<File>>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.file.get_read(start)?.take(self.left(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if self.left(start) < length as u64 {
            let message = format!("{length} bytes from {start} on are not here");
            return Err(ParquetError::EOF(message));
        }
        self.file.get_bytes(start, length)
    }
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
    use std::ops::Range;

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
        let found: Vec<Row> = rows(&path, None).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(*found[0].columns, ["a", "b"]);
        let cells: Vec<_> = found.into_iter().map(|row| row.cells).collect();
        let text = Cell::Text("é".to_owned());
        assert_eq!(cells, [[Cell::Int(7), Cell::Missing], [Cell::Int(8), text]]);

        // The end says where the columns are; with them alone the rows are read, without one they are not.
        let size = std::fs::metadata(&path).unwrap().len();
        let (whole, torn) = (0..size, 0..size - 1);
        let whole = Arc::new(vec![whole]);
        let chunks = first_chunks(&path, &whole, 1).unwrap();
        assert_eq!(chunks.len(), 2);
        let end = chunks[1].range.end..size;
        let read = |parts: &[Range<u64>]| -> Result<Vec<Row>> {
            rows(&path, Some(&Arc::new(parts.to_vec())))?.collect()
        };
        let [first, second] = [&chunks[0], &chunks[1]].map(|chunk| chunk.range.clone());
        assert_eq!(
            read(&[first.clone(), second, end.clone()]).unwrap().len(),
            2
        );
        assert!(read(&[first, end]).is_err());
        assert!(read(&[torn]).is_err());
    }
}
