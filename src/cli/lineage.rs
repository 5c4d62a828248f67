//! `aml lineage`

use clap::Args;

use super::{
    context::Context,
    views::{Show, View, list},
};
use api::{
    Code, Error,
    lineage::{GetLineage, Lineage, NodeKind, parse_node},
};

/// Kinds in the order in which a name without a kind is looked for.
const LOOKED_FOR: [NodeKind; 7] = [
    NodeKind::Run,
    NodeKind::Model,
    NodeKind::Data,
    NodeKind::Environment,
    NodeKind::Component,
    NodeKind::Endpoint,
    NodeKind::Code,
];

/// Show what made something and what was made from it
///
/// Follows runs, models, data, environments, code and endpoints in both directions.
#[derive(Debug, Args)]
pub struct LineageArgs {
    /// What to follow: NAME, NAME:VERSION or NAME@LABEL, with its kind before it where the name alone is not
    /// enough, as in job:NAME, model:NAME:2, data:NAME:1; or the address of a registry's asset
    #[arg(value_name = "THING")]
    thing: String,
    /// Kind of the thing
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// How far to go [default: to the ends]
    #[arg(long, value_name = "STEPS")]
    depth: Option<u32>,
}

pub async fn lineage(ctx: &Context, args: LineageArgs) -> anyhow::Result<()> {
    let (said, name, pick) = parse_node(&args.thing)?;
    let said = match args.kind.as_deref() {
        None => said,
        Some(word) => Some(NodeKind::parse(word).ok_or_else(|| {
            let kinds = NodeKind::ALL.map(NodeKind::name);
            Error::invalid(format!("`{word}` is no kind of thing"))
                .at("--kind")
                .hint(format!("The kinds are {}", kinds.join(", ")))
        })?),
    };
    let kinds = match &said {
        Some(kind) => std::slice::from_ref(kind),
        None => &LOOKED_FOR,
    };
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let mut meant = None;
    for kind in kinds {
        let get = GetLineage {
            workspace: workspace.clone(),
            kind: *kind,
            name: name.clone(),
            version: pick.version(),
            label: pick.label(),
            depth: args.depth,
        };
        match client.call(&get).await {
            Ok(lineage) => return ctx.ui.show(&lineage),
            Err(error) if error.code == Code::NotFound && kinds.len() > 1 => {
                meant = meant.or(error.unknown.and_then(|unknown| unknown.nearest));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let error = Error::not_found(format!("Nothing is called `{name}` in `{workspace}`"));
    let error = match meant {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint("Say what it is, as in data:NAME:1, model:NAME:2, job:NAME"),
    };
    Err(error.into())
}

impl Show for Lineage {
    fn view(&self) -> View {
        let state = |node: &api::lineage::Node| {
            let found = self.nodes.iter().find(|info| info.node == *node);
            match found {
                Some(info) if info.gone => " (gone)".to_owned(),
                Some(info) => info
                    .state
                    .as_ref()
                    .map_or(String::new(), |state| format!(" ({state})")),
                None => String::new(),
            }
        };
        let rows = self.edges.iter().map(|edge| {
            [
                format!("{}{}", edge.from, state(&edge.from)),
                edge.what.clone(),
                format!("{}{}", edge.to, state(&edge.to)),
            ]
        });
        list(["FROM", "AS", "TO"], rows)
    }
}
