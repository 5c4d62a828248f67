//! What made what: the inputs and outputs of runs, and what assets are made of.

use serde::{Deserialize, Serialize};

use super::{
    Done, Error, Result, Time,
    assets::{AssetRef, Pick},
    operation, registries,
};

/// What something in a lineage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    Run,
    Data,
    Model,
    Environment,
    Component,
    Code,
    Endpoint,
    /// Files that are no asset, by their address.
    Path,
}

impl NodeKind {
    pub const ALL: [NodeKind; 8] = [
        NodeKind::Run,
        NodeKind::Data,
        NodeKind::Model,
        NodeKind::Environment,
        NodeKind::Component,
        NodeKind::Code,
        NodeKind::Endpoint,
        NodeKind::Path,
    ];

    pub fn name(self) -> &'static str {
        match self {
            NodeKind::Run => "run",
            NodeKind::Data => "data",
            NodeKind::Model => "model",
            NodeKind::Environment => "environment",
            NodeKind::Component => "component",
            NodeKind::Code => "code",
            NodeKind::Endpoint => "endpoint",
            NodeKind::Path => "path",
        }
    }

    /// Reads a word that names a kind, in the singular or plural; Azure's `job` is a run.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let word = lower.strip_suffix('s').unwrap_or(&lower);
        let word = if word == "job" { "run" } else { word };
        NodeKind::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

impl std::fmt::Display for NodeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that was made or used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    pub kind: NodeKind,
    /// A run's or an asset's name, or an address. Of a registry's asset `registries/R/NAME`.
    pub name: String,
    /// Of an asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Node {
    pub fn new(kind: NodeKind, name: impl Into<String>, version: Option<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            version,
        }
    }

    pub fn run(name: impl Into<String>) -> Self {
        Self::new(NodeKind::Run, name, None)
    }

    /// `name:version`, or the name alone.
    pub fn reference(&self) -> String {
        match &self.version {
            Some(version) => format!("{}:{version}", self.name),
            None => self.name.clone(),
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.reference())
    }
}

/// One thing that a run used or made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLink {
    /// Of the input or output; `environment`, `code` and `component` for those.
    pub name: String,
    pub node: Node,
    /// Where its files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Such as `uri_folder`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Records what a run used and made. A name recorded before is replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordLineage {
    pub workspace: String,
    pub run: String,
    #[serde(default)]
    pub inputs: Vec<RunLink>,
    #[serde(default)]
    pub outputs: Vec<RunLink>,
}
operation!(RecordLineage => Done, "lineage.record");

/// `from` was used to make `to`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    pub from: Node,
    pub to: Node,
    /// The name of the input or output, or what part it plays.
    pub what: String,
}

/// What made something and what was made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub of: Node,
    pub nodes: Vec<NodeInfo>,
    pub edges: Vec<Edge>,
}

/// A node and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    #[serde(flatten)]
    pub node: Node,
    /// A run's status, an asset's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// It was deleted since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// What made a run or a version of an asset, and what was made from it, at any distance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetLineage {
    pub workspace: String,
    pub kind: NodeKind,
    pub name: String,
    /// The latest when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Label, or alias of a model, of the version instead.
    #[serde(default)]
    pub label: Option<String>,
    /// How far from it at most; any distance when absent.
    #[serde(default)]
    pub depth: Option<u32>,
}
operation!(GetLineage => Lineage, "lineage.get");

/// What lineage calls an asset of a workspace or, where its name is `registries/R`, of a registry.
pub fn name_in(place: &str, asset: &str) -> String {
    if registries::named_in(place).is_some() {
        format!("{place}/{asset}")
    } else {
        asset.to_owned()
    }
}

/// The registry, as a place, and the asset in it of such a name.
pub fn apart(name: &str) -> Option<(String, &str)> {
    let (registry, own) = registries::named_in(name)?.split_once('/')?;
    Some((registries::place(registry), own))
}

/// The asset of a registry that an address names.
fn of_registry(text: &str) -> Option<(NodeKind, String, Pick)> {
    let asset = text
        .strip_prefix("azureml://registries/")
        .and_then(|_| AssetRef::parse(text).ok())?;
    let kind = NodeKind::parse(asset.kind.as_deref()?)?;
    Some((kind, asset.holder.in_lineage(&asset.name), asset.pick))
}

/// A node as commands name it: `KIND:NAME`, `KIND:NAME:VERSION`, `KIND:NAME@LABEL`, or without the
/// kind where one of that name is looked for; or the address of a registry's asset.
pub fn parse_node(text: &str) -> Result<(Option<NodeKind>, String, Pick)> {
    if let Some((kind, name, pick)) = of_registry(text) {
        return Ok((Some(kind), name, pick));
    }
    let text = text.strip_prefix("azureml:").unwrap_or(text);
    let (kind, rest) = match text.split_once(':') {
        Some((word, rest)) if NodeKind::parse(word).is_some() => (NodeKind::parse(word), rest),
        _ => (None, text),
    };
    let (name, pick) = match (rest.split_once(':'), rest.split_once('@')) {
        (Some((name, version)), _) => (name, Pick::Version(version.to_owned())),
        (None, Some((name, label))) => (name, Pick::labelled(label)),
        (None, None) => (rest, Pick::Latest),
    };
    if name.is_empty() {
        return Err(Error::invalid(format!("`{text}` names nothing"))
            .hint("Write data:iris:1, model:churn:2, run:NAME, or the name alone"));
    }
    Ok((kind, name.to_owned(), pick))
}
