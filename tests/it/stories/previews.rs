//! What is read of large tables that lie elsewhere.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use parquet::{
    data_type::Int64Type, file::writer::SerializedFileWriter, schema::parser::parse_message_type,
};

use crate::support::each_mode;

/// A web server that answers ranges of one file, how many bytes it has sent, and in how many answers.
struct Web {
    url: String,
    sent: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
}

impl Web {
    fn of(file: &str, content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!(
            "http://{}/{file}",
            listener.local_addr().expect("an address")
        );
        let sent = Arc::<AtomicUsize>::default();
        let answers = Arc::<AtomicUsize>::default();
        let (counter, answered) = (Arc::clone(&sent), Arc::clone(&answers));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answered.fetch_add(1, Ordering::Relaxed);
                let _ = answer(stream, &content, &counter);
            }
        });
        Self { url, sent, answers }
    }
}

fn answer(mut stream: TcpStream, content: &[u8], sent: &AtomicUsize) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if let Some(asked) = line.strip_prefix("range: bytes=") {
            range = asked.split_once('-').map(|(first, last)| {
                let end = last.parse::<usize>().map_or(content.len(), |last| last + 1);
                first.parse().unwrap_or(0)..end.min(content.len())
            });
        }
        if line.is_empty() {
            break;
        }
    }
    let (status, part) = match range {
        Some(range) => ("206 Partial Content", range),
        None => ("200 OK", 0..content.len()),
    };
    sent.fetch_add(part.len(), Ordering::Relaxed);
    let mut head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n",
        part.len()
    );
    if status.starts_with("206") {
        let last = part.end.saturating_sub(1);
        let _ = write!(
            head,
            "Content-Range: bytes {}-{last}/{}\r\n",
            part.start,
            content.len()
        );
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&content[part])
}

/// A Parquet file of so many columns and row groups of numbers that cannot be packed.
fn parquet(columns: i64, groups: i64, rows: i64) -> Vec<u8> {
    let fields: Vec<String> = (0..columns)
        .map(|column| format!("required int64 c{column};"))
        .collect();
    let message = format!("message m {{ {} }}", fields.join(" "));
    let schema = parse_message_type(&message).expect("a schema");
    let mut file = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::default()).expect("a writer");
    for group in 0..groups {
        let mut written = writer.next_row_group().expect("a row group");
        let mut column_number = 0;
        while let Some(mut column) = written.next_column().expect("a column") {
            let number = |row: i64| {
                (group * rows + row).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())
                    ^ column_number
            };
            let numbers: Vec<i64> = (0..rows).map(number).collect();
            column
                .typed::<Int64Type>()
                .write_batch(&numbers, None, None)
                .expect("numbers");
            column.close().expect("a column");
            column_number += 1;
        }
        written.close().expect("a row group");
    }
    writer.close().expect("a file");
    file
}

#[test]
fn a_preview_of_parquet_fetches_its_end_and_the_beginning_of_its_columns() {
    let content = parquet(3, 4, 200_000);
    let (size, web) = (content.len(), Web::of("t.parquet", content.clone()));
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let before = web.sent.load(Ordering::Relaxed);
        let rows = aml.json(format!("data preview {} --rows 3", web.url));
        assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
        assert_eq!(
            (rows[0]["c0"].as_i64(), rows[0]["c2"].as_i64()),
            (Some(0), Some(2))
        );
        let sent = web.sent.load(Ordering::Relaxed) - before;
        assert!(sent < size / 4, "{sent} of {size} bytes");
        // What needs more of it gets more.
        let many = aml.json(format!(
            "data preview {} --rows 250000 --query length(@)",
            web.url
        ));
        assert_eq!(many, 250_000);
        aml.write("t.parquet", &content);
        aml.ok("datastore upload t.parquet workspaceblobstore tables/t.parquet");
        let address = "azureml://datastores/workspaceblobstore/paths/tables/t.parquet";
        let stored = aml.json(format!("data preview {address} --rows 3"));
        assert_eq!(stored, rows);
    });
}

#[test]
fn a_preview_of_many_short_columns_asks_few_times() {
    let content = parquet(300, 1, 1500);
    assert!(content.len() > 3 << 20);
    let web = Web::of("t.parquet", content);
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let before = web.answers.load(Ordering::Relaxed);
        let rows = aml.json(format!("data preview {} --rows 3", web.url));
        assert_eq!(rows[0]["c299"].as_i64(), Some(299), "{rows}");
        let answers = web.answers.load(Ordering::Relaxed) - before;
        assert!(answers <= 4, "{answers}");
    });
}

#[test]
fn a_preview_of_a_large_file_reads_its_beginning() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let mut text = "number,text\n".to_owned();
        for number in 0..40_000 {
            let _ = writeln!(text, "{number},\"a field\nof two lines {number}\"");
        }
        // Nothing that is behind the beginning is looked at.
        text.push_str("\"never closed\n");
        aml.write("large.csv", &text);
        aml.ok("datastore upload large.csv workspaceblobstore tables/large.csv");
        let address = "azureml://datastores/workspaceblobstore/paths/tables/large.csv";
        let rows = aml.json(format!("data preview {address} --rows 3").as_str());
        assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
        assert_eq!(rows[2]["number"], 2);
        assert_eq!(rows[2]["text"], "a field\nof two lines 2");
        aml.ok(format!("data create -n large --path {address} --type uri_file").as_str());
        let all = aml.json("data preview large:1 --rows 20000");
        assert_eq!(all[19_999]["number"], 19_999);
    });
}

#[test]
fn a_preview_of_files_of_elsewhere_reads_the_beginning_of_the_first() {
    let mut text = "n\n".to_owned();
    for n in 0..400_000 {
        let _ = writeln!(text, "{n}");
    }
    let webs = [(); 2].map(|()| Web::of("t.csv", text.clone().into_bytes()));
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let [first, second] = &webs;
        let paths = format!("paths:\n- file: {}\n- file: {}\n", first.url, second.url);
        let table = format!(
            "{paths}transformations: [{{read_delimited: {{delimiter: ','}}}}, {{skip: 5}}]\n"
        );
        aml.write("table/MLTable", &table);
        aml.ok("data create -n both --path table");
        let sent = || [first, second].map(|web| web.sent.load(Ordering::Relaxed));
        let before = sent();
        let rows = aml.json("data preview both:1 --rows 2");
        assert_eq!(rows, serde_json::json!([{"n": 5}, {"n": 6}]));
        let [one, two] = [0, 1].map(|web| sent()[web] - before[web]);
        assert!(one < text.len() / 4 && two < 100, "{one} and {two} bytes");
        // A table that takes no more rows has them in its first file.
        let taken = table.replace("{skip: 5}", "{take: 3}");
        aml.write("taken/MLTable", taken);
        aml.ok("data create -n taken --path taken");
        let before = sent();
        assert_eq!(aml.json("data preview taken:1 --query length(@)"), 3);
        assert!(sent()[1] - before[1] < 100);
        let across = aml.json("data preview both:1 --rows 400000 --query [-1]");
        assert_eq!(across, serde_json::json!({"n": 4}));
    });
}

#[test]
fn a_preview_of_many_files_reads_the_first_of_them() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        let mut text = "n,text\n".to_owned();
        for n in 0..2000 {
            let _ = writeln!(text, "{n},row {n}");
        }
        let path = "azureml://datastores/workspaceblobstore/paths";
        aml.write("parts/a/one.csv", &text);
        aml.write("parts/b/two.csv", "n,text\n-1,last\n");
        aml.write(
            "parts/MLTable",
            "paths: [{pattern: ./*/*.csv}]\ntransformations:\n- read_delimited: {delimiter: ',', encoding: utf8}\n\
             - filter: 'col(\"n\") > 3'\n- drop_columns: text\n",
        );
        aml.ok("datastore upload parts workspaceblobstore tables/parts");
        let filtered = aml.json(format!("data preview {path}/tables/parts/ --rows 2"));
        assert_eq!(filtered, serde_json::json!([{"n": 4}, {"n": 5}]));
        // A table whose files are named by addresses, and a plain folder.
        aml.write(
            "named/MLTable",
            format!(
                "paths:\n- file: {path}/tables/parts/a/one.csv\n- folder: {path}/tables/parts/b\n\
                 transformations:\n- read_delimited: {{delimiter: ','}}\n"
            ),
        );
        aml.ok("data create -n named --path named");
        let named = aml.json("data preview named:1 --rows 1");
        assert_eq!(named, serde_json::json!([{"n": 0, "text": "row 0"}]));
        std::fs::remove_file(aml.path("parts/MLTable")).expect("removed");
        aml.ok("data create -n folder --path parts");
        let plain = aml.json("data preview folder:1 --rows 2000 --query [-1]");
        assert_eq!(plain, serde_json::json!({"n": 1999, "text": "row 1999"}));
        aml.fails(3, format!("data preview {path}/tables/nothing/"));
    });
}

#[test]
fn a_preview_is_as_of_the_whole_table() {
    each_mode(|aml| {
        aml.ok("workspace create -n w");
        // Numbers but for one row, which comes after more than a thousand lines.
        let mut text = "n,t\n".to_owned();
        for n in 0..3000 {
            let shown = if n == 900 {
                "x".to_owned()
            } else {
                n.to_string()
            };
            let _ = writeln!(text, "{shown},\"three\nlines\n{}\"", "y".repeat(200));
        }
        aml.write("folder/a.csv", &text);
        aml.ok("data create -n typed --path folder");
        let kind = |data: &str| aml.json(format!("data preview {data} --rows 1 --query [0].n"));
        assert_eq!(kind("typed:1"), kind("folder"));
        // A file that is named twice.
        let mut long = "n\n".to_owned();
        for n in 0..60_000 {
            let _ = writeln!(long, "{n}");
        }
        aml.write("twice/a.csv", &long);
        let twice = "paths: [{file: ./a.csv}, {file: ./a.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n";
        aml.write("twice/MLTable", twice);
        aml.ok("data create -n twice --path twice");
        let last = aml.json("data preview twice:1 --rows 60010 --query '[59999].n'");
        assert_eq!(last, 59_999);
    });
}
