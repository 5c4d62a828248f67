//! Data that is copied from and to servers outside: a database, a store of files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Aml, Process, components, each_mode, eventually, http::free_port};

const SECRET: &str = "s3cret of the server";

/// A PostgreSQL that lets in who knows the password.
struct Database {
    port: u16,
    /// By which program it is asked.
    psql: PathBuf,
    _server: Process,
    _folder: tempfile::TempDir,
}

impl Database {
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir_in("/tmp").expect("makes a folder");
        let root = folder.path();
        components::give_to_postgres(root);
        let password = root.join("password");
        fs::write(&password, SECRET).expect("writes");
        components::give_to_postgres(&password);
        let data = root.join("data");
        let mut make = components::postgres("initdb")?;
        make.args([
            "--auth=scram-sha-256",
            "--username=owner",
            "--encoding=UTF8",
        ])
        .arg("--pwfile")
        .arg(&password)
        .arg("-D")
        .arg(&data)
        .current_dir(root);
        let made = make.output().map_err(|e| e.to_string())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let port = free_port();
        let mut server = components::postgres("postgres")?;
        server
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(root)
            .args(["-c", "fsync=off"])
            .current_dir(root);
        let server = Process::start(server, "postgres".to_owned(), root);
        let database = Self {
            port,
            psql: components::debian("psql", "postgresql-client")?,
            _server: server,
            _folder: folder,
        };
        eventually("the database", 60, || database.ask("SELECT 1").ok());
        Ok(database)
    }

    fn ask(&self, statement: &str) -> Result<String, String> {
        let mut psql = Command::new(&self.psql);
        psql.args(["-h", "127.0.0.1", "-U", "owner"])
            .args(["-p", &self.port.to_string(), "-d", "postgres"])
            .args(["-At", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .env("PGPASSWORD", SECRET);
        let output = psql.output().map_err(|e| e.to_string())?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(text(&output.stderr))
    }
}

fn pipeline(jobs: &str) -> String {
    format!("type: pipeline\nsettings: {{default_compute: azureml:serverless}}\njobs:{jobs}")
}

#[test]
fn rows_go_to_a_postgresql_and_back() {
    let database = match Database::start() {
        Ok(database) => database,
        Err(why) => return components::skipped(&why),
    };
    let port = database.port;
    for statement in [
        "CREATE TABLE sales (id bigint PRIMARY KEY, price numeric(12,4), sold timestamptz, \
         open boolean, note text)",
        "CREATE PROCEDURE double(INOUT n int) LANGUAGE sql AS 'SELECT n * 2'",
    ] {
        database.ask(statement).expect("asks");
    }
    each_mode(|aml| {
        database.ask("DELETE FROM sales").expect("asks");
        aml.ok("workspace create -n ws");
        let connection = |password: &str| {
            format!(
                "name: db\ntype: azure_postgres_db\n\
                 target: 'Server=127.0.0.1;Port={port};Database=postgres'\n\
                 credentials: {{type: username_password, username: owner, password: {password}}}\n"
            )
        };
        aml.write("connection.yml", connection(SECRET));
        aml.ok("connection create -f connection.yml");
        aml.write(
            "rows/a.csv",
            "id,price,sold,open,note\n1,12.5000,2024-02-29T12:00:00+01:00,true,\"50%, :x\"\n2,,,false,\n",
        );
        aml.write(
            "p.yml",
            pipeline(
                "
  out:
    type: data_transfer
    task: export_data
    inputs: {rows: {type: uri_folder, path: rows}}
    sink: {type: database, connection: 'azureml:db', table_name: sales}
",
            ),
        );
        let said = aml.run("job create -f p.yml --stream").ok();
        assert!(said.contains("2 rows were written"), "{said}");
        // The same again is one row too many, and then none is written.
        aml.write("rows/b.csv", "id\n3\n1\n");
        let again = aml.run("job create -f p.yml --stream --set settings.force_rerun=true");
        let said = format!("{}{}", again.stdout, again.clone().failed(10));
        assert!(said.contains("duplicate key value"), "{said}");
        imported(aml);
        aml.write("connection.yml", connection("wrong"));
        aml.ok("connection create -f connection.yml");
        let refused = aml.run("job create -f in.yml --stream");
        let said = format!("{}{}", refused.stdout, refused.clone().failed(10));
        assert!(said.contains("password authentication failed"), "{said}");
        assert!(
            !said.contains("wrong\n") && !said.contains(SECRET),
            "{said}"
        );
    });
}

/// What was exported comes back by a query, as a table with types, and by a procedure.
fn imported(aml: &Aml) {
    aml.write(
        "in.yml",
        pipeline(
            "
  rows:
    type: data_transfer
    task: import_data
    source: {type: database, connection: 'azureml:db', query: \"SELECT id, price, sold, open, note FROM sales WHERE note IS NULL OR note LIKE '50%, :x'\"}
    outputs: {rows: {type: mltable}}
  twice:
    type: data_transfer
    task: import_data
    source: {type: database, connection: 'azureml:db', stored_procedure: double, stored_procedure_params: [{name: n, value: '21', type: Int}]}
    outputs: {rows: {type: uri_file}}
",
        ),
    );
    let said = aml.run("job create -f in.yml -n in --stream").ok();
    assert!(said.contains("[rows] 2 rows were read"), "{said}");
    for step in ["rows", "twice"] {
        aml.ok(format!(
            "job download -n in-{step} --output-name rows -p got"
        ));
    }
    let rows = aml.ok("data preview got/named-outputs/rows -o json");
    for value in [
        "\"12.5000\"",
        "2024-02-29T11:00:00",
        "true",
        "50%, :x",
        "null",
    ] {
        assert!(rows.contains(value), "{value} is not in {rows}");
    }
}

#[test]
fn files_go_to_a_bucket_and_back() {
    let programs = match components::python_with(&["moto[server]==5.2.3"]) {
        Ok(programs) => programs,
        Err(why) => return components::skipped(&why),
    };
    let port = free_port();
    let mut server = Command::new(programs.join("moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _server = Process::start(server, "moto_server".to_owned(), Path::new("/nowhere"));
    let address = format!("http://127.0.0.1:{port}/bucket");
    eventually("the bucket", 60, || {
        let mut put = Command::new("curl");
        put.args(["-sf", "-X", "PUT", &address]);
        put.status().is_ok_and(|made| made.success()).then_some(())
    });
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        aml.write(
            "connection.yml",
            format!(
                "name: s3\ntype: s3\ntarget: {address}/team\n\
                 credentials: {{type: access_key, access_key_id: id, secret_access_key: {SECRET}}}\n"
            ),
        );
        aml.ok("connection create -f connection.yml");
        aml.write("files/a.txt", "a");
        aml.write("files/deep/b c.txt", "b");
        let one = |task: &str| {
            pipeline(&format!(
                "\n  one:\n    type: data_transfer\n    task: {task}\n"
            ))
        };
        aml.write(
            "out.yml",
            one("export_data")
                + "    inputs: {files: {type: uri_folder, path: files}}
    sink: {type: file_system, connection: 'azureml:s3', path: here}
",
        );
        let said = aml.run("job create -f out.yml --stream").ok();
        assert!(said.contains("2 files were written"), "{said}");
        aml.write(
            "in.yml",
            one("import_data")
                + "    source: {type: file_system, connection: 'azureml:s3', path: here}
    outputs: {files: {type: uri_folder}}
",
        );
        aml.ok("job create -f in.yml -n in --stream");
        aml.ok("job download -n in-one --output-name files -p got");
        assert_eq!(aml.read("got/named-outputs/files/a.txt"), "a");
        assert_eq!(aml.read("got/named-outputs/files/deep/b c.txt"), "b");
        let path = "jobs.one.source.path=nowhere";
        let nothing = aml.run(format!("job create -f in.yml --stream --set {path}"));
        let said = format!("{}{}", nothing.stdout, nothing.clone().failed(10));
        assert!(said.contains("Nothing is at `nowhere`"), "{said}");
    });
}
