//! `MLTable` files: which files make a table, and how they are read.

use serde_json::Value;

use crate::{
    declare::{record, union},
    described::{Map, Required},
};

record! {
    /// Which files make a table, and how they are read.
    Mltable = "MLTable file" (open: true) {
        /// The files, folders or patterns.
        paths: Required<Vec<TablePath>>,
        /// What is done to them, in this order.
        transformations: Vec<Transformation>,
        r#type: Option<String>,
        metadata: Map<Value>,
    }

    FilePath = "path" { file: String, }

    FolderPath = "path" { folder: String, }

    PatternPath = "path" { pattern: String, }
}

union! {
    TablePath = "a path (`file`, `folder` or `pattern`)" {
        File(FilePath),
        Folder(FolderPath),
        Pattern(PatternPath),
    }

    /// A step such as `read_delimited`, alone or with its settings.
    Transformation = "a transformation" {
        Named(String),
        With(Map<Value>),
    }
}
