//! Lineage: what made a thing and what was made from it.
//!
//! What runs record is one source; what runs, models, components and endpoints say of themselves is
//! the other.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{Action, Caller, Perform, Service, assets::pick};
use api::{
    Code, Done, Error, Result,
    assets::{AssetKind, Pick},
    deployments::ModelVersion,
    lineage::{Edge, GetLineage, Lineage, Node, NodeInfo, NodeKind, RecordLineage, apart, name_in},
    models::Which,
    names,
    pipelines::ListSteps,
    registries,
    runs::{GetRun, Job, Run},
};
use async_trait::async_trait;
use serde_json::json;
use store::WorkspaceRow;

/// Nodes in one answer, at most: beyond that nobody reads it.
const MOST: usize = 2000;

#[async_trait]
impl Perform for RecordLineage {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (row, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        let inputs = self.inputs.into_iter().map(|link| (true, link));
        let outputs = self.outputs.into_iter().map(|link| (false, link));
        let links: Vec<_> = inputs.chain(outputs).collect();
        for (_, link) in &links {
            if link.name.is_empty() || link.node.name.is_empty() {
                return Err(Error::invalid("An input or output has no name").at("name"));
            }
        }
        let now = service.now();
        service
            .store
            .record_links(row.id, &run.run.name, links, now)
            .await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for GetLineage {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Lineage> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let pick = pick(self.version, self.label)?;
        let of = service
            .find_node(caller, &row, self.kind, &self.name, pick)
            .await?;
        let mut search = Search {
            service,
            caller,
            row: &row,
            runs: HashMap::new(),
            endpoints: service.store.list_endpoints(Some(row.id)).await?,
            edges: Vec::new(),
            known: HashSet::new(),
            nodes: vec![of.clone()],
            listed: HashSet::from([of.clone()]),
        };
        let depth = self.depth.unwrap_or(u32::MAX);
        let mut begin = vec![(of.clone(), 0)];
        if of.kind == NodeKind::Run && depth > 0 {
            begin.extend(search.steps_of(&of, depth).await?);
        }
        search.walk(&begin, depth, Way::Back).await?;
        search.walk(&begin, depth, Way::Forth).await?;
        let mut nodes = Vec::with_capacity(search.nodes.len());
        let (found, edges) = (
            std::mem::take(&mut search.nodes),
            std::mem::take(&mut search.edges),
        );
        for node in found {
            nodes.push(search.describe(node).await?);
        }
        Ok(Lineage { of, nodes, edges })
    }
}

impl Service {
    /// The node that is asked about, as its own record names it.
    async fn find_node(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        kind: NodeKind,
        name: &str,
        pick: Pick,
    ) -> Result<Node> {
        let Some((registry, own)) = apart(name) else {
            return self.find_own(row, kind, name, pick).await;
        };
        let (row, pick) = match (self.enter(caller, &registry, Action::Read).await, pick) {
            // Of one that is elsewhere it is known what used it.
            (Err(error), Pick::Version(version)) if error.code == Code::NotFound => {
                return Ok(Node::new(kind, name, Some(version)));
            }
            (row, pick) => (row?, pick),
        };
        let found = self.find_own(&row, kind, own, pick).await?;
        let name = name_in(&row.workspace.name, &found.name);
        Ok(Node { name, ..found })
    }

    /// The node of a workspace or registry itself.
    async fn find_own(
        &self,
        row: &WorkspaceRow,
        kind: NodeKind,
        name: &str,
        pick: Pick,
    ) -> Result<Node> {
        match kind {
            NodeKind::Run => {
                let id = self.find_run(row, name).await?;
                let name = self.store.run_name(id).await?;
                Ok(Node::run(name.unwrap_or_default()))
            }
            NodeKind::Model => {
                let which = match pick {
                    Pick::Latest => Which::Newest,
                    Pick::Version(version) => Which::version(&version),
                    Pick::Label(alias) => Which::Alias(alias),
                };
                let found = self.find_model(row, name, which).await?;
                let version = found.model.version.to_string();
                Ok(Node::new(kind, found.model.name, Some(version)))
            }
            NodeKind::Path => Ok(Node::new(kind, name, None)),
            NodeKind::Endpoint => {
                let endpoints = self.store.list_endpoints(Some(row.id)).await?;
                let known = endpoints.iter().map(|row| row.name.as_str());
                let found = known.clone().find(|known| known.eq_ignore_ascii_case(name));
                match found {
                    Some(name) => Ok(Node::new(kind, name, None)),
                    None => Err(Error::unknown(
                        "endpoint",
                        name,
                        &format!(" in workspace `{}`", row.workspace.name),
                        names::nearest(name, known),
                    )),
                }
            }
            NodeKind::Data | NodeKind::Environment | NodeKind::Component | NodeKind::Code => {
                let asset_kind = AssetKind::parse(kind.name()).unwrap_or(AssetKind::Data);
                let found = self.find_asset(row, asset_kind, name, pick).await?;
                Ok(Node::new(kind, found.asset.name, Some(found.asset.version)))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To what it was made of.
    Back,
    /// To what was made of it.
    Forth,
}

struct Search<'a> {
    service: &'a Service,
    caller: &'a Caller,
    row: &'a WorkspaceRow,
    runs: HashMap<String, Option<Run>>,
    endpoints: Vec<store::EndpointRow>,
    nodes: Vec<Node>,
    /// Those nodes.
    listed: HashSet<Node>,
    edges: Vec<Edge>,
    /// Those edges, to find out about one fast.
    known: HashSet<Edge>,
}

impl Search<'_> {
    /// The runs that a pipeline or sweep consists of, with their distances: what they used and made is
    /// what it did, which uses and makes nothing itself.
    async fn steps_of(&mut self, of: &Node, depth: u32) -> Result<Vec<(Node, u32)>> {
        let list = ListSteps {
            workspace: self.row.workspace.name.clone(),
            run: of.name.clone(),
        };
        let steps = list.perform(self.service, self.caller).await?;
        let mut found = Vec::new();
        let mut open = VecDeque::from([(of.clone(), 1, steps)]);
        while let Some((whole, distance, steps)) = open.pop_front() {
            for step in steps {
                let Some(part) = step.run.map(Node::run).filter(|part| self.list(part)) else {
                    continue;
                };
                self.connect(edge(&whole, &part, &format!("step {}", step.name)));
                found.push((part.clone(), distance));
                if distance < depth && !step.steps.is_empty() {
                    open.push_back((part, distance + 1, step.steps));
                }
            }
        }
        Ok(found)
    }

    /// Whether a node is in the answer now; what one step made and the next used is found both ways.
    fn list(&mut self, node: &Node) -> bool {
        if self.listed.contains(node) {
            return true;
        }
        let room = self.nodes.len() < MOST;
        if room {
            self.listed.insert(node.clone());
            self.nodes.push(node.clone());
        }
        room
    }

    async fn walk(&mut self, begin: &[(Node, u32)], depth: u32, way: Way) -> Result<()> {
        let mut seen: HashSet<Node> = begin.iter().map(|(node, _)| node.clone()).collect();
        let mut queue: VecDeque<_> = begin.iter().cloned().collect();
        while let Some((node, distance)) = queue.pop_front() {
            if distance >= depth {
                continue;
            }
            for edge in self.around(&node).await? {
                let next = match way {
                    Way::Back if edge.to == node => edge.from.clone(),
                    Way::Forth if edge.from == node => edge.to.clone(),
                    Way::Back | Way::Forth => continue,
                };
                if !seen.contains(&next) {
                    if !self.list(&next) {
                        // An edge to what is not in the answer says nothing.
                        continue;
                    }
                    seen.insert(next.clone());
                    queue.push_back((next, distance + 1));
                }
                self.connect(edge);
            }
        }
        Ok(())
    }

    fn connect(&mut self, edge: Edge) {
        if self.known.insert(edge.clone()) {
            self.edges.push(edge);
        }
    }

    /// The edges from and to a node.
    async fn around(&mut self, node: &Node) -> Result<Vec<Edge>> {
        match node.kind {
            NodeKind::Run => self.around_run(node).await,
            NodeKind::Endpoint => Ok(self.around_endpoint(node)),
            NodeKind::Model => {
                let mut edges = self.linked(node).await?;
                edges.extend(self.around_model(node).await?);
                Ok(edges)
            }
            NodeKind::Data
            | NodeKind::Environment
            | NodeKind::Component
            | NodeKind::Code
            | NodeKind::Path => self.linked(node).await,
        }
    }

    async fn run(&mut self, name: &str) -> Result<Option<Run>> {
        if let Some(run) = self.runs.get(name) {
            return Ok(run.clone());
        }
        let get = GetRun {
            workspace: self.row.workspace.name.clone(),
            run: name.to_owned(),
        };
        let run = match get.perform(self.service, self.caller).await {
            Ok(run) => Some(run),
            Err(error) if error.code == api::Code::NotFound => None,
            Err(error) => return Err(error),
        };
        self.runs.insert(name.to_owned(), run.clone());
        Ok(run)
    }

    /// What runs recorded about a node.
    async fn linked(&self, node: &Node) -> Result<Vec<Edge>> {
        let links = self
            .service
            .store
            .links_to(self.row.id, node.clone())
            .await?;
        let edge = |link: store::LinkRow| {
            let run = Node::run(link.run);
            let (from, to) = if link.is_input {
                (node.clone(), run)
            } else {
                (run, node.clone())
            };
            Edge {
                from,
                to,
                what: link.link.name,
            }
        };
        Ok(links.into_iter().map(edge).collect())
    }

    async fn around_run(&mut self, node: &Node) -> Result<Vec<Edge>> {
        let store = &self.service.store;
        let mut edges = Vec::new();
        let mut recorded = HashSet::new();
        for link in store.links_of(self.row.id, &node.name).await? {
            let other = link.link.node;
            recorded.insert(other.kind);
            let (from, to) = if link.is_input {
                (other, node.clone())
            } else {
                (node.clone(), other)
            };
            edges.push(Edge {
                from,
                to,
                what: link.link.name,
            });
        }
        for model in store.models_from_run(self.row.id, &node.name).await? {
            edges.push(edge(node, &model, "registered"));
        }
        let Some(run) = self.run(&node.name).await? else {
            return Ok(edges);
        };
        // What the job says, where nothing better was recorded.
        if let Some(snapshot) = run.snapshot.filter(|_| !recorded.contains(&NodeKind::Code)) {
            let code = Node::new(NodeKind::Code, snapshot.hash.hex(), None);
            edges.push(edge(&code, node, "code"));
        }
        // A pipeline runs nothing in one.
        let in_one = |job: &Job| {
            let described = job.described.as_ref();
            described.is_none_or(|described| {
                described.definition.get("type") != Some(&json!("pipeline"))
            })
        };
        if let Some(job) = run
            .job
            .filter(|job| in_one(job) && !recorded.contains(&NodeKind::Environment))
        {
            let name = job.environment.name().to_owned();
            edges.push(edge(
                &Node::new(NodeKind::Environment, name, None),
                node,
                "environment",
            ));
        }
        Ok(edges)
    }

    async fn around_model(&mut self, node: &Node) -> Result<Vec<Edge>> {
        let mut edges = Vec::new();
        let version = node.version.as_ref().and_then(|v| v.parse().ok());
        let store = &self.service.store;
        if let Some(found) = store.model(self.row.id, &node.name, which(node)).await? {
            let lineage = found.model.lineage;
            match (lineage.run, lineage.path) {
                (Some(run), _) => edges.push(edge(&Node::run(run), node, "registered")),
                (None, Some(path)) => {
                    let path = Node::new(NodeKind::Path, path, None);
                    edges.push(edge(&path, node, "uploaded"));
                }
                (None, None) => {}
            }
        }
        for row in &self.endpoints {
            let mut models = row
                .deployments
                .iter()
                .filter_map(|one| one.deployment.model.as_ref());
            if models.any(|served| {
                served.model.eq_ignore_ascii_case(&node.name) && Some(served.version) == version
            }) {
                let endpoint = Node::new(NodeKind::Endpoint, row.name.clone(), None);
                edges.push(edge(node, &endpoint, "deployed"));
            }
        }
        Ok(edges)
    }

    fn around_endpoint(&self, node: &Node) -> Vec<Edge> {
        let own = self.endpoints.iter().filter(|row| row.name == node.name);
        let served = own
            .flat_map(|row| &row.deployments)
            .filter_map(|one| one.deployment.model.as_ref());
        let model = |model: &ModelVersion| {
            let version = Some(model.version.to_string());
            let from = Node::new(NodeKind::Model, model.model.clone(), version);
            edge(&from, node, "deployed")
        };
        served.map(model).collect()
    }

    async fn describe(&mut self, node: Node) -> Result<NodeInfo> {
        let (mut state, mut created_at, mut gone) = (None, None, false);
        match node.kind {
            NodeKind::Run => match self.run(&node.name).await? {
                Some(run) => {
                    state = Some(run.status.name().to_owned());
                    created_at = Some(run.created_at);
                }
                None => gone = true,
            },
            NodeKind::Model if registries::named_in(&node.name).is_some() => {}
            NodeKind::Model => {
                let store = &self.service.store;
                match store.model(self.row.id, &node.name, which(&node)).await? {
                    Some(found) => {
                        state = Some(format!("{}_model", found.model.kind));
                        created_at = Some(found.model.created_at);
                    }
                    None => gone = true,
                }
            }
            NodeKind::Data | NodeKind::Environment | NodeKind::Component | NodeKind::Code => {
                if let (Some(kind), Some(version)) =
                    (AssetKind::parse(node.kind.name()), node.version.clone())
                    && !node.name.contains('/')
                {
                    let pick = Pick::Version(version);
                    let store = &self.service.store;
                    match store.asset(self.row.id, kind, &node.name, pick).await? {
                        Some(found) => {
                            state = found.asset.text("type").map(str::to_owned);
                            created_at = Some(found.asset.created_at);
                        }
                        None => gone = true,
                    }
                }
            }
            NodeKind::Path | NodeKind::Endpoint => {}
        }
        Ok(NodeInfo {
            node,
            state,
            created_at,
            gone,
        })
    }
}

/// The version of a model's node.
fn which(node: &Node) -> Which {
    let version = node.version.as_ref().and_then(|v| v.parse().ok());
    version.map_or(Which::Newest, Which::Version)
}

fn edge(from: &Node, to: &Node, what: &str) -> Edge {
    Edge {
        from: from.clone(),
        to: to.clone(),
        what: what.to_owned(),
    }
}
