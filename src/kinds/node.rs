//! The steps of a pipeline by type: with a component, or with what they run written in place.

use serde_json::Value;

use crate::{
    assets::ImportSource,
    automl::AutomlNode,
    declare::{record, union, words},
    described::{Literal, Map, Scalar},
    environment::EnvironmentSource,
    io::JobInput,
    job::{
        CommandType, Distribution, JobBase, JobIdentity, Limits, QueueSettings, Resources, Service,
    },
    pipeline::{
        CommandComponentSource, ImportComponentSource, ParallelComponentSource,
        PipelineComponentSource, PipelineType, SparkComponentSource, TransferComponentSource,
    },
    reference::{ComponentReference, ComputeName},
    step::{
        CopyJob, CopyTask, DataTransferType, ExportDataJob, ExportTask, ImportDataJob, ImportJob,
        ImportTask, ImportType, NodeOutput, ParallelSettings, ParallelType, SparkEntry,
        SparkSettings, SparkType, check_batches,
    },
    sweep::{SweepSettings, SweepType},
};

record! {
    /// What every step may say.
    NodeBase = "step" {
        /// What it gets: values, data, `${{parent.inputs.NAME}}`, `${{parent.jobs.STEP.outputs.NAME}}`.
        inputs: Map<JobInput>,
        /// Where its outputs go: `${{parent.outputs.NAME}}`, or a mapping.
        outputs: Map<Option<NodeOutput>>,
        properties: Map<Scalar>,
        comment: Option<String>,
        name: Option<String>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
    }

    /// A step that runs a command component.
    CommandNode = "command step" (bindable: true) {
        ..base: NodeBase,
        r#type: CommandType = "command",
        component: CommandComponentSource,
        /// Where it runs; the pipeline's default when absent.
        compute: Option<ComputeName>,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        resources: Option<Resources>,
        distribution: Option<Distribution>,
        queue_settings: Option<QueueSettings>,
        limits: Option<Limits>,
        services: Map<Service>,
        identity: Option<JobIdentity>,
        command: Option<String>,
        code: Option<String>,
    }

    /// A step that runs a command.
    InlineCommandNode = "command step" (bindable: true) {
        ..base: JobBase,
        r#type: CommandType = "command",
        command: String,
        code: Option<crate::reference::Code>,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        resources: Option<Resources>,
        distribution: Option<Distribution>,
        queue_settings: Option<QueueSettings>,
        limits: Option<Limits>,
        inputs: Map<JobInput>,
        outputs: Map<Option<NodeOutput>>,
        parent_job_name: Option<String>,
        comment: Option<String>,
    }

    /// A step that tries a command component with many values.
    SweepNode = "sweep step" (bindable: true) {
        ..base: NodeBase,
        ..settings: SweepSettings,
        r#type: SweepType = "sweep",
        trial: CommandComponentSource,
        /// Where it runs; the pipeline's default when absent.
        compute: Option<ComputeName>,
        identity: Option<JobIdentity>,
    }

    /// A step that runs a parallel component.
    ParallelNode = "parallel step" (bindable: true, rule: Some(check_batches)) {
        ..base: NodeBase,
        ..settings: ParallelSettings,
        r#type: ParallelType = "parallel",
        component: ParallelComponentSource,
        /// Where it runs; the pipeline's default when absent.
        compute: Option<ComputeName>,
        identity: Option<JobIdentity>,
        column_mapping: Map<Value>,
        column_mappings: Map<Value>,
        variant: Option<String>,
        connections: Map<Value>,
    }

    /// A step that runs a script over many small batches.
    InlineParallelNode = "parallel step" (bindable: true, rule: Some(check_batches)) {
        ..base: NodeBase,
        ..settings: ParallelSettings,
        r#type: ParallelType = "parallel",
        compute: Option<ComputeName>,
        identity: Option<JobIdentity>,
        environment: Option<EnvironmentSource>,
    }

    /// A step that is a pipeline itself.
    PipelineNode = "pipeline step" (bindable: true) {
        ..base: NodeBase,
        r#type: PipelineType = "pipeline",
        component: PipelineComponentSource,
    }

    /// A step that runs a Spark component.
    SparkNode = "Spark step" (bindable: true) {
        ..base: NodeBase,
        r#type: SparkType = "spark",
        component: SparkComponentSource,
        compute: Option<ComputeName>,
        resources: Option<SparkNodeResources>,
        identity: Option<JobIdentity>,
        code: Option<String>,
        entry: Option<SparkEntry>,
        py_files: Vec<String>,
        jars: Vec<String>,
        files: Vec<String>,
        archives: Vec<String>,
        conf: Map<Value>,
        environment: Option<EnvironmentSource>,
        args: Option<String>,
    }

    SparkNodeResources = "Spark resources" {
        instance_type: SparkInstance,
        /// The version of Spark, such as `3.4`.
        runtime_version: Scalar,
    }

    /// A step on Spark.
    InlineSparkNode = "Spark step" (bindable: true) {
        ..base: JobBase,
        ..settings: SparkSettings,
        r#type: SparkType,
        inputs: Map<JobInput>,
        outputs: Map<Option<NodeOutput>>,
        resources: Option<SparkNodeResources>,
        comment: Option<String>,
    }

    /// A step that copies data.
    CopyNode = "data transfer step" (bindable: true) {
        ..base: NodeBase,
        r#type: DataTransferType,
        task: CopyTask,
        component: TransferComponentSource,
        compute: Option<ComputeName>,
    }

    /// A step that copies data from a database or file system.
    ImportDataNode = "data import step" (bindable: true) {
        ..base: NodeBase,
        r#type: DataTransferType,
        task: ImportTask,
        component: ComponentReference,
        compute: Option<ComputeName>,
        source: ImportSource,
    }

    /// A step that copies data into a database or file system.
    ExportDataNode = "data export step" (bindable: true) {
        ..base: NodeBase,
        r#type: DataTransferType = "data_transfer",
        task: ExportTask = "export_data",
        component: ComponentReference,
        compute: Option<ComputeName>,
        sink: ImportSource,
    }

    /// A step that imports data (an older form).
    ImportNode = "import step" (bindable: true) {
        ..base: NodeBase,
        r#type: ImportType = "import",
        component: ImportComponentSource,
    }

    /// Runs another step again and again.
    DoWhile = "do-while step" {
        r#type: DoWhileType,
        /// `${{parent.jobs.BODY}}`.
        body: String,
        /// An output of the body: while it is true the body runs again.
        condition: Option<Scalar>,
        /// Which outputs of the body are which of its inputs in the next round.
        mapping: Map<crate::job::OneOrMore>,
        limits: DoWhileLimits,
    }

    DoWhileLimits = "limits" {
        max_iteration_count: i64,
    }

    /// Runs one of two steps.
    IfElse = "if-else step" {
        r#type: IfElseType,
        /// `${{parent.jobs.STEP.outputs.NAME}}`, or true or false.
        condition: Literal,
        /// `${{parent.jobs.STEP}}`, or several.
        true_block: Option<crate::job::OneOrMore>,
        false_block: Option<crate::job::OneOrMore>,
    }

    /// Runs another step once for each of some items.
    ParallelFor = "parallel-for step" {
        r#type: ParallelForType,
        /// `${{parent.jobs.BODY}}`.
        body: String,
        /// A list or mapping of inputs, its JSON, or an expression.
        items: Value,
        max_concurrency: Option<i64>,
        outputs: Map<Option<NodeOutput>>,
    }
}

union! {
    /// A step of a pipeline.
    NodeShape = "a step" (called: Some("Step")) {
        Command(Box<CommandNode>),
        InlineCommand(Box<InlineCommandNode>),
        Sweep(Box<SweepNode>),
        Parallel(Box<ParallelNode>),
        InlineParallel(Box<InlineParallelNode>),
        Pipeline(PipelineNode),
        Automl(Box<AutomlNode>),
        Spark(Box<SparkNode>),
        InlineSpark(Box<InlineSparkNode>),
        Copy(CopyNode),
        InlineCopy(Box<CopyJob>),
        ImportData(ImportDataNode),
        InlineImportData(Box<ImportDataJob>),
        ExportData(ExportDataNode),
        InlineExportData(Box<ExportDataJob>),
        Import(ImportNode),
        InlineImport(Box<ImportJob>),
        DoWhile(DoWhile),
        IfElse(IfElse),
        ParallelFor(ParallelFor),
    }
}

words! {
    SparkInstance = "a size of Spark machines" [
        "standard_e4s_v3", "standard_e8s_v3", "standard_e16s_v3", "standard_e32s_v3",
        "standard_e64s_v3",
    ]
    DoWhileType = "a type of step" ["do_while"]
    IfElseType = "a type of step" ["if_else"]
    ParallelForType = "a type of step" ["parallel_for"]
}
