//! Tables, from their files to their rows.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::{Definition, Profile, Row, Table};

struct Scene(tempfile::TempDir);

impl Scene {
    fn with(files: &[(&str, &str)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = scene.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        scene
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn table(&self) -> Table {
        let definition = Definition::load(self.path()).unwrap();
        definition.open(&BTreeMap::new()).unwrap()
    }

    /// The rows as JSON: the columns of the first, and the cells of all.
    fn rows(&self) -> Value {
        let table = self.table();
        let rows: Vec<Row> = table.rows().collect::<Result<_, _>>().unwrap();
        let columns = rows.first().map(|row| row.columns.to_vec());
        let cells: Vec<_> = rows.iter().map(|row| &row.cells).collect();
        json!([columns, cells])
    }

    fn error(&self) -> String {
        let opened = Definition::load(self.path()).and_then(|d| d.open(&BTreeMap::new()));
        let error = match opened {
            Err(error) => error,
            Ok(table) => table.rows().find_map(Result::err).unwrap(),
        };
        format!("{} | {}", error, error.hints.join(" "))
    }
}

fn of_csv(transformations: &str, csv: &str) -> Scene {
    let table = format!("paths:\n  - file: ./a.csv\ntransformations:\n{transformations}");
    Scene::with(&[("MLTable", &table), ("a.csv", csv)])
}

#[test]
fn columns_become_what_they_look_like() {
    let csv = "id,x,ok,day,name,mixed\n1,1.5,true,2024-01-02,a,1\n2,,FALSE,2024-02-03,\"b, c\",x\n";
    let scene = of_csv("  - read_delimited:\n      delimiter: ','\n", csv);
    let expected = json!([
        ["id", "x", "ok", "day", "name", "mixed"],
        [
            [1, 1.5, true, "2024-01-02T00:00:00Z", "a", "1"],
            [2, null, false, "2024-02-03T00:00:00Z", "b, c", "x"]
        ]
    ]);
    assert_eq!(scene.rows(), expected);
    let plain =
        "  - read_delimited: {delimiter: ',', infer_column_types: false, empty_as_string: true}\n";
    let scene = of_csv(plain, "a,b\n1,\n");
    assert_eq!(scene.rows(), json!([["a", "b"], [["1", ""]]]));
}

#[test]
fn rows_go_through_all_steps_in_their_order() {
    let csv = "a,b,c\n1,x,1\n2,y,0\n3,x,1\n4,x,0\n5,x,1\n";
    let steps = "  - read_delimited\n  - filter: 'col(\"b\") == \"x\" and not (col(\"a\") >= 5)'\n  - skip: 1\n  \
        - convert_column_types:\n      - columns: a\n        column_type: float\n      - columns: [c]\n        \
        column_type: {boolean: {true_values: ['1'], false_values: ['0']}}\n  - drop_columns: b\n  \
        - keep_columns: [c, a]\n  - take: 1\n";
    assert_eq!(
        of_csv(steps, csv).rows(),
        json!([["c", "a"], [[true, 3.0]]])
    );
    let sample = "  - read_delimited\n  - take_random_sample: {probability: 0.5, seed: 7}\n";
    let some = of_csv(sample, &format!("a\n{}", "1\n".repeat(1000)));
    let taken = some.table().rows().count();
    assert!((400..600).contains(&taken), "{taken}");
    assert_eq!(some.table().rows().count(), taken, "the same seed");
}

#[test]
fn paths_say_what_all_rows_of_a_file_have() {
    let table = "paths:\n  - pattern: ./data/**/*.csv\ntransformations:\n  - read_delimited: {header: no_header}\n  \
        - extract_columns_from_partition_format:\n      partition_format: /{Store}/{Day:yyyy/MM/dd}/{Brand}.csv\n";
    let scene = Scene::with(&[
        ("MLTable", table),
        ("data/10/2024/05/06/tropicana.csv", "1,a\n"),
        ("data/20/2024/05/07/dominicks.csv", "2,b\n"),
        ("data/20/2024/05/07/skip.txt", ""),
    ]);
    let expected = json!([
        ["Store", "Day", "Brand", "Column1", "Column2"],
        [
            ["10", "2024-05-06T00:00:00Z", "tropicana", 1, "a"],
            ["20", "2024-05-07T00:00:00Z", "dominicks", 2, "b"]
        ]
    ]);
    assert_eq!(scene.rows(), expected);
}

#[test]
fn other_files_have_rows_too() {
    let lines = "{\"a\": 1, \"b\": [1, 2]}\nbroken\n\n{\"a\": 2.5}\n";
    let scene = Scene::with(&[
        (
            "MLTable",
            "paths: [{folder: d}]\ntransformations: [{read_json_lines: {invalid_lines: drop, include_path_column: true}}]\n",
        ),
        ("d/x.jsonl", lines),
    ]);
    let expected = json!([
        ["Path", "a", "b"],
        [["d/x.jsonl", 1, "[1,2]"], ["d/x.jsonl", 2.5]]
    ]);
    assert_eq!(scene.rows(), expected);
    let scene = Scene::with(&[("one.tsv", "a\tb\n1\t2\n"), ("two.tsv", "a\tb\n3\t4\n")]);
    assert_eq!(scene.rows(), json!([["a", "b"], [[1, 2], [3, 4]]]));
    let first = "paths: [{folder: d}]\ntransformations: [{read_delimited: {header: from_first_file, encoding: latin1}}]\n";
    let scene = Scene::with(&[
        ("MLTable", first),
        ("d/1.csv", "a\n1\n"),
        ("d/2.csv", "2\n"),
    ]);
    assert_eq!(scene.rows(), json!([["a"], [[1], [2]]]));
    fs::write(scene.path().join("d/1.csv"), b"a\ncaf\xe9\n").unwrap();
    assert_eq!(scene.rows(), json!([["a"], [["café"], ["2"]]]));
    let images = Scene::with(&[("MLTable", "paths: [{file: ./i.png}]\n"), ("i.png", "")]);
    let path = images.path().join("i.png").display().to_string();
    assert_eq!(images.rows(), json!([["Path"], [[path]]]));
}

#[test]
fn what_is_wrong_is_said_with_what_there_is() {
    for (steps, expected) in [
        (
            "  - read_delimted\n",
            "MLTable:4:5: No transformation `read_delimted` | Did you mean `read_delimited`?",
        ),
        (
            "  - read_delimited: {delimeter: ','}\n",
            "MLTable:4:5: No setting `delimeter` of `read_delimited` | Did you mean `delimiter`?",
        ),
        (
            "  - read_delimited\n  - keep_columns: aa\n",
            "keep_columns: No column `aa` | Did you mean `a`?",
        ),
        (
            "  - read_delimited\n  - take: many\n",
            "MLTable:5:5: `take` takes a number of rows, not `\"many\"` | ",
        ),
        (
            "  - read_delimited\n  - filter: col(a) > 1\n",
            "MLTable:5:5: The filter `col(a) > 1` is not understood | Write it as col(\"x\") > 10 and col(\"y\") == \"a\"",
        ),
    ] {
        assert_eq!(of_csv(steps, "a\n1\n").error(), expected);
    }
    let missing = Scene::with(&[("MLTable", "paths: [{file: no.csv}]\n")]);
    assert_eq!(missing.error(), "MLTable: There is no file `no.csv` | ");
}

#[test]
fn a_profile_says_what_columns_are_like() {
    let scene = of_csv("  - read_delimited\n", "a,b\n1,x\n2,x\n3,\n4,y\n");
    let table = scene.table();
    let profile = Profile::of(table.rows()).unwrap();
    let found = serde_json::to_value(&profile).unwrap();
    assert_eq!(found["rows"], 4);
    let a = &found["columns"][0];
    assert_eq!(
        (&a["type"], &a["min"], &a["max"], &a["mean"]),
        (&json!("integer"), &json!(1), &json!(4), &json!(2.5))
    );
    assert!((profile.columns[0].std.unwrap() - 1.290_994).abs() < 1e-5);
    let b = &found["columns"][1];
    assert_eq!(
        (
            &b["count"],
            &b["missing"],
            &b["unique"],
            &b["most"],
            &b["most_count"]
        ),
        (&json!(3), &json!(1), &json!(2), &json!("x"), &json!(2))
    );
}
