//! Pipelines and the steps (nodes) they are made of.

use serde_json::{Map as Object, Value};

use crate::{
    component::{ComponentBase, InlineCommandComponent},
    declare::{record, union, words},
    described::Map,
    flow::{Flow, FlowComponent, FlowRun},
    io::{JobInput, JobOutput},
    job::JobBase,
    node::NodeShape,
    reference::{ComponentName, ComponentReference, DatastoreName},
    shape::{Described, Mismatch, Shape, Union},
    step::{
        ImportComponent, InlineDataTransferComponent, InlineParallelComponent, InlineSparkComponent,
    },
};

record! {
    /// Runs steps that depend on each other.
    PipelineJob = "pipeline job" (rule: Some(crate::graph::check), in_parts: true) {
        ..base: JobBase,
        r#type: PipelineType,
        /// What holds for all steps.
        settings: Option<PipelineSettings>,
        /// What the steps get as `${{parent.inputs.NAME}}`.
        inputs: Map<JobInput>,
        /// What the steps write as `${{parent.outputs.NAME}}`.
        outputs: Map<Option<JobOutput>>,
        /// The steps by name.
        jobs: Map<Node>,
        /// A pipeline component that has the steps.
        component: Option<PipelineComponentSource>,
    }

    /// What holds for all steps.
    PipelineSettings = "settings" (open: true) {
        default_datastore: Option<DatastoreName>,
        /// Where steps run that do not say it.
        default_compute: Option<crate::reference::ComputeName>,
        /// Go on with the other steps when one has failed.
        continue_on_step_failure: Option<bool>,
        /// Run steps although nothing has changed.
        force_rerun: Option<bool>,
    }

    /// A pipeline that other pipelines use as a step.
    PipelineComponent = "pipeline component" (rule: Some(crate::graph::check), in_parts: true) {
        ..parts: PipelineComponentParts,
        /// The name that pipelines use: `azureml:NAME:VERSION`.
        name: ComponentName,
    }

    /// A pipeline component in a file that a pipeline names.
    InlinePipelineComponent = "pipeline component" (rule: Some(crate::graph::check), in_parts: true) {
        ..parts: PipelineComponentParts,
        name: Option<String>,
    }

    PipelineComponentParts = "pipeline component" {
        ..base: ComponentBase,
        r#type: PipelineType,
        /// The steps by name.
        jobs: Map<Node>,
    }
}

words! {
    PipelineType = "the type of a pipeline" ["pipeline"]
}

/// A step of a pipeline, checked. Its values may be expressions until the pipeline runs; then
/// [`Node::read_as`] gives the step's own type.
#[derive(Debug, Clone, PartialEq)]
pub struct Node(pub Value);

impl Node {
    /// `command`, `sweep`, `parallel`, `pipeline`, …
    pub fn kind(&self) -> &str {
        self.0
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("command")
    }

    /// The step as what it is, once its expressions are replaced by values.
    pub fn read_as<T: Described>(&self) -> Result<T, Mismatch> {
        T::read(Some(&self.0))
    }

    /// The component it runs: a reference, or the component itself.
    pub fn component(&self) -> Option<&Value> {
        self.0.get("component").or_else(|| self.0.get("trial"))
    }

    /// `inputs` or `outputs`.
    pub fn ports(&self, side: &str) -> impl Iterator<Item = (&str, &Value)> {
        let ports = self.0.get(side).and_then(Value::as_object);
        ports
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value))
    }

    pub fn object(&self) -> Option<&Object<String, Value>> {
        self.0.as_object()
    }
}

impl Described for Node {
    const SHAPE: Shape = NodeShape::SHAPE;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        let found = value.filter(|value| value.is_object());
        let found = found.ok_or_else(|| Mismatch::wanted("a step", value))?;
        Ok(Self(found.clone()))
    }

    fn write(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

/// A component by reference, or itself: written in place or in a file of its own.
macro_rules! sources {
    ($($(#[doc = $doc:literal])* $Name:ident = $what:literal, $Inline:ty, inline: $inline:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $Name {
            Reference(ComponentReference),
            Inline(Box<$Inline>),
        }

        impl Described for $Name {
            const SHAPE: Shape = Shape::Union(&Union {
                what: $what,
                members: if $inline {
                    &[ComponentReference::SHAPE, <$Inline>::SHAPE, Shape::Include(&<$Inline>::SHAPE)]
                } else {
                    &[ComponentReference::SHAPE, Shape::Include(&<$Inline>::SHAPE)]
                },
                ..Union::PLAIN
            });

            fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
                match value {
                    Some(Value::String(_)) => ComponentReference::read(value).map(Self::Reference),
                    _ => <$Inline>::read(value).map(|found| Self::Inline(Box::new(found))),
                }
            }

            fn write(&self) -> Option<Value> {
                match self {
                    Self::Reference(reference) => reference.write(),
                    Self::Inline(component) => component.write(),
                }
            }
        }
    )*};
}

sources! {
    /// A pipeline component.
    PipelineComponentSource = "a pipeline component (`azureml:NAME:VERSION`, or a file)", InlinePipelineComponent, inline: false;
    /// A command component.
    CommandComponentSource = "a component (`azureml:NAME:VERSION`, a file, or a mapping)", InlineCommandComponent, inline: true;
    /// A parallel component.
    ParallelComponentSource = "a component (`azureml:NAME:VERSION`, a file, or a mapping)", ParallelOrFlow, inline: true;
    /// A Spark component.
    SparkComponentSource = "a component (`azureml:NAME:VERSION`, a file, or a mapping)", InlineSparkComponent, inline: true;
    /// A data transfer component.
    TransferComponentSource = "a component (`azureml:NAME:VERSION`, a file, or a mapping)", InlineDataTransferComponent, inline: true;
    /// An import component.
    ImportComponentSource = "a component (`azureml:NAME:VERSION`, a file, or a mapping)", ImportComponent, inline: true;
}

union! {
    ParallelOrFlow = "a parallel component or a flow" {
        Parallel(Box<InlineParallelComponent>),
        Flow(Box<FlowComponent>),
        Run(Box<FlowRun>),
        Dag(Box<Flow>),
    }
}
