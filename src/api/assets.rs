//! Versioned assets: data, environments, components and code.
//!
//! Where an operation takes `workspace`, a registry can stand as well, named `registries/NAME`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Done, Error, Result, Time,
    files::{Hash, TreeInfo},
    operation,
};

/// What a version of an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetKind {
    Data,
    Environment,
    Component,
    Code,
}

/// The name of the environment that stands for an image of a workspace's own container registry, and
/// the label of the version that stands for its tag.
pub fn image_environment(image: &str) -> (String, String) {
    let (repository, tag) = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "image"),
    };
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    (
        repository.chars().map(plain).collect(),
        tag.chars().map(plain).collect(),
    )
}

impl AssetKind {
    pub const ALL: [AssetKind; 4] = [
        AssetKind::Data,
        AssetKind::Environment,
        AssetKind::Component,
        AssetKind::Code,
    ];

    pub fn name(self) -> &'static str {
        match self {
            AssetKind::Data => "data",
            AssetKind::Environment => "environment",
            AssetKind::Component => "component",
            AssetKind::Code => "code",
        }
    }

    /// The word for many of them in Azure's addresses.
    pub fn plural(self) -> &'static str {
        match self {
            AssetKind::Data => "data",
            AssetKind::Environment => "environments",
            AssetKind::Component => "components",
            AssetKind::Code => "codes",
        }
    }

    /// Reads a word that names the kind, in the singular or plural.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        AssetKind::ALL
            .into_iter()
            .find(|kind| text == kind.name() || text == kind.plural())
    }

    /// The name of assets that nobody gave one.
    pub fn anonymous_name(self) -> Option<&'static str> {
        match self {
            AssetKind::Environment => Some("CliV2AnonymousEnvironment"),
            AssetKind::Component => Some("azureml_anonymous"),
            // Their name is their content's hash.
            AssetKind::Data | AssetKind::Code => None,
        }
    }
}

impl std::fmt::Display for AssetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One version of an asset. What it says never changes; its description, tags, properties, labels
/// and whether it is archived do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    pub kind: AssetKind,
    /// Compared without regard to case.
    pub name: String,
    pub version: String,
    /// What makes it, in the words of Azure's YAML: `type` and `path` of data, `image`, `conda_file`
    /// and `build` of an environment, everything of a component.
    pub spec: Map<String, Value>,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    /// Files that were uploaded with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<TreeInfo>,
    /// `latest` is the version created last of those that are not archived; others are given by hand.
    pub labels: Vec<String>,
    /// Nobody gave it a name: it belongs to what was created with it.
    pub anonymous: bool,
    /// The version or the whole asset is.
    pub archived: bool,
    /// Hash of the spec and the files: two versions that agree in it are the same.
    pub digest: Hash,
    pub created_by: String,
    pub created_at: Time,
    pub updated_by: String,
    pub updated_at: Time,
}

impl Asset {
    /// A text of the spec, such as `type` or `path`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.spec.get(key).and_then(Value::as_str)
    }
}

/// Creates a version of an asset.
///
/// The same version again with the same content changes its description, tags and properties if
/// they are given, and is no error; with other content it is a conflict. Without a name the asset is
/// anonymous, and the same content is the same asset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    #[serde(default)]
    pub name: Option<String>,
    /// The next number when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// In the words of Azure's YAML. With `files`, the path is the name that the file or folder had.
    pub spec: Map<String, Value>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// A tree that was uploaded before.
    #[serde(default)]
    pub files: Option<Hash>,
    /// Labels for this version; another version loses them.
    #[serde(default)]
    pub labels: Vec<String>,
}
operation!(CreateAsset => Asset, "assets.create");

/// One version of an asset: by version, by label, else the latest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
}
operation!(GetAsset => Asset, "assets.get");

impl GetAsset {
    /// Asks for what a reference names that stands in `here`, a workspace or registry.
    pub fn of(asset: &AssetRef, kind: AssetKind, here: &str) -> Self {
        Self {
            workspace: asset.holder.workspace(here),
            kind,
            name: asset.name.clone(),
            version: asset.pick.version(),
            label: asset.pick.label(),
        }
    }
}

/// Which assets a listing has as to archiving.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archived {
    #[default]
    Exclude,
    Include,
    Only,
}

/// The latest version of each asset of a kind, or all versions of one; those created last first.
/// Anonymous assets are listed only by their name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListAssets {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub archived: Archived,
    /// At most so many; all when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}
operation!(ListAssets => Vec<Asset>, "assets.list");

/// Changes what is given of one version and leaves the rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    /// The latest when absent.
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// Tags to set; an empty value removes the tag.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Properties to set; an empty value removes the property.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Labels to give to this version; another version loses them.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Labels to take from it.
    #[serde(default)]
    pub unlabel: Vec<String>,
    /// Of its words those that do not make it what it is: `auto_delete_setting` of data and environments,
    /// `display_name` of a component. Null takes one away.
    #[serde(default)]
    pub settings: Map<String, Value>,
}
operation!(UpdateAsset => Asset, "assets.update");

/// Hides an asset, or one version of it, from lists and from being the latest. It can still be used
/// by version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArchiveAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    /// The whole asset when neither version nor label is given.
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
}
operation!(ArchiveAsset => Done, "assets.archive");

/// Takes back the archiving of an asset or of one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    /// The whole asset when neither version nor label is given.
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
}
operation!(RestoreAsset => Done, "assets.restore");

/// Deletes one version, or the whole asset when `version` is absent. Numbers are not used again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
}
operation!(DeleteAsset => Done, "assets.delete");

/// Copies a version of an asset with its files to a registry. The same copy again is no error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShareAsset {
    /// A workspace, or `registries/NAME`.
    pub workspace: String,
    pub kind: AssetKind,
    pub name: String,
    pub version: String,
    pub registry: String,
    /// The same name when absent.
    #[serde(default)]
    pub share_with_name: Option<String>,
    /// The same version when absent.
    #[serde(default)]
    pub share_with_version: Option<String>,
}
operation!(ShareAsset => Asset, "assets.share");

/// Which version of an asset is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pick {
    #[default]
    Latest,
    Version(String),
    Label(String),
}

impl Pick {
    /// The version of a label; `latest` is that of the newest.
    pub fn labelled(label: &str) -> Self {
        if label.eq_ignore_ascii_case("latest") {
            Pick::Latest
        } else {
            Pick::Label(label.to_owned())
        }
    }

    pub fn version(&self) -> Option<String> {
        match self {
            Pick::Version(version) => Some(version.clone()),
            Pick::Latest | Pick::Label(_) => None,
        }
    }

    pub fn label(&self) -> Option<String> {
        match self {
            Pick::Label(label) => Some(label.clone()),
            Pick::Latest | Pick::Version(_) => None,
        }
    }
}

/// Where an asset is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Holder {
    /// The workspace in which the reference stands.
    #[default]
    Here,
    Workspace(String),
    Registry(String),
}

impl Holder {
    /// What an operation takes as its `workspace`.
    pub fn workspace(&self, here: &str) -> String {
        match self {
            Holder::Here => here.to_owned(),
            Holder::Workspace(name) => name.clone(),
            Holder::Registry(name) => super::registries::place(name),
        }
    }

    /// What lineage calls an asset.
    pub fn in_lineage(&self, name: &str) -> String {
        super::lineage::name_in(&self.workspace(""), name)
    }

    /// How references name one version of an asset here; `kind` is a word such as `models`.
    pub fn reference(&self, kind: &str, name: &str, version: impl std::fmt::Display) -> String {
        let asset = format!("{kind}/{name}/versions/{version}");
        match self {
            Holder::Here => format!("azureml:{name}:{version}"),
            Holder::Workspace(holder) => {
                format!("azureml://locations/local/workspaces/{holder}/{asset}")
            }
            Holder::Registry(holder) => format!("azureml://registries/{holder}/{asset}"),
        }
    }
}

/// An asset as files and commands name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetRef {
    pub holder: Holder,
    /// Said by long forms only.
    pub kind: Option<String>,
    pub name: String,
    pub pick: Pick,
}

impl AssetRef {
    /// Reads `azureml:NAME:VERSION`, `azureml:NAME@LABEL` or `azureml:NAME` (the latest), the same
    /// without `azureml:`, `azureml://registries/R/KIND/NAME/versions/V` (or `/labels/L`),
    /// `azureml://locations/L/workspaces/W/KIND/NAME/versions/V` and Azure's resource ids.
    pub fn parse(text: &str) -> Result<Self> {
        let bare = text.strip_prefix("azureml:").unwrap_or(text);
        if bare.starts_with('/') {
            return long(bare).ok_or_else(|| malformed(text));
        }
        let (name, pick) = if let Some((name, label)) = bare.split_once('@') {
            (name, Pick::labelled(label))
        } else if let Some((name, version)) = bare.split_once(':') {
            (name, Pick::Version(version.to_owned()))
        } else {
            (bare, Pick::Latest)
        };
        let empty = match &pick {
            Pick::Version(word) | Pick::Label(word) => word.is_empty() || word.contains('/'),
            Pick::Latest => false,
        };
        if name.is_empty() || name.contains('/') || empty {
            return Err(malformed(text));
        }
        Ok(Self {
            holder: Holder::Here,
            kind: None,
            name: name.to_owned(),
            pick,
        })
    }
}

impl std::str::FromStr for AssetRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Reads the parts of a long form: pairs of a word and a name, in any order of the words.
fn long(path: &str) -> Option<AssetRef> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after = |word: &str| {
        let at = parts
            .iter()
            .position(|part| part.eq_ignore_ascii_case(word))?;
        Some((at, *parts.get(at + 1)?))
    };
    let (holder, at) = match (after("registries"), after("workspaces")) {
        (Some((at, name)), _) => (Holder::Registry(name.to_owned()), at),
        (None, Some((at, name))) => (Holder::Workspace(name.to_owned()), at),
        (None, None) => return None,
    };
    let [kind, name, rest @ ..] = parts.get(at + 2..)? else {
        return None;
    };
    let pick = match rest {
        [] => Pick::Latest,
        [word, version] if word.eq_ignore_ascii_case("versions") => {
            Pick::Version((*version).to_owned())
        }
        [word, label] if word.eq_ignore_ascii_case("labels") => Pick::labelled(label),
        // Azure's own examples of REST calls have both words.
        [versions, word, label]
            if versions.eq_ignore_ascii_case("versions") && word.eq_ignore_ascii_case("labels") =>
        {
            Pick::labelled(label)
        }
        _ => return None,
    };
    Some(AssetRef {
        holder,
        kind: Some(kind.to_ascii_lowercase()),
        name: (*name).to_owned(),
        pick,
    })
}

fn malformed(text: &str) -> Error {
    Error::invalid(format!("`{text}` is not a reference to an asset"))
        .hint("Write NAME:VERSION or NAME@latest, with azureml: before it in files")
        .hint("Of a registry: azureml://registries/REGISTRY/KIND/NAME/versions/VERSION")
}

#[cfg(test)]
mod tests {
    use super::{AssetRef, Holder, Pick};

    #[test]
    fn a_reference_has_many_forms() {
        let parse = |text: &str| AssetRef::parse(text).unwrap();
        for text in ["azureml:iris:3", "iris:3"] {
            assert_eq!(parse(text).name, "iris");
            assert_eq!(parse(text).pick, Pick::Version("3".into()), "{text}");
        }
        assert_eq!(parse("iris@latest").pick, Pick::Latest);
        assert_eq!(parse("azureml:iris").pick, Pick::Latest);
        assert_eq!(parse("iris@prod").pick, Pick::Label("prod".into()));
        let registry = parse("azureml://registries/azureml/environments/sklearn-1.5/labels/latest");
        assert_eq!(registry.holder, Holder::Registry("azureml".into()));
        assert_eq!(registry.kind.as_deref(), Some("environments"));
        assert_eq!(registry.pick, Pick::Latest);
        let arm = parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/\
             workspaces/w/data/iris/versions/1",
        );
        assert_eq!(arm.holder, Holder::Workspace("w".into()));
        assert_eq!(
            (arm.name.as_str(), arm.pick),
            ("iris", Pick::Version("1".into()))
        );
        for text in [
            "azureml:iris:3",
            "azureml://registries/r/models/iris/versions/3",
            "azureml://locations/local/workspaces/w/models/iris/versions/3",
        ] {
            assert_eq!(parse(text).holder.reference("models", "iris", 3), text);
        }
        let location = parse("azureml://locations/westus/workspaces/w/models/m/versions/2");
        assert_eq!(location.kind.as_deref(), Some("models"));
        let labelled = "azureml://locations/westus/workspaces/w/data/d/versions/labels";
        for (label, pick) in [
            ("latest", Pick::Latest),
            ("prod", Pick::Label("prod".into())),
        ] {
            assert_eq!(parse(&format!("{labelled}/{label}")).pick, pick);
        }
        for wrong in [
            "",
            "azureml:",
            "iris:",
            "iris@",
            "a/b:1",
            "/subscriptions/s",
            "azureml://x",
        ] {
            assert!(AssetRef::parse(wrong).is_err(), "{wrong}");
        }
    }
}
