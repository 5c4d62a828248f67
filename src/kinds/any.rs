//! A job or a component of any type.

use crate::{
    automl::AutomlNode,
    component::CommandComponent,
    declare::union,
    flow::FlowComponent,
    generative::{Distillation, Finetuning},
    job::CommandJob,
    pipeline::{PipelineComponent, PipelineJob},
    step::{
        CopyJob, DataTransferComponent, ExportDataJob, ImportComponent, ImportDataJob, ImportJob,
        ParallelComponent, SparkComponent, SparkJob,
    },
    sweep::SweepJob,
};

union! {
    /// A job of any type.
    AnyJob = "a job" (default_type: Some("command")) {
        Command(Box<CommandJob>),
        Pipeline(Box<PipelineJob>),
        Sweep(Box<SweepJob>),
        Spark(Box<SparkJob>),
        Automl(AutomlNode),
        Finetuning(Finetuning),
        Distillation(Box<Distillation>),
        Copy(Box<CopyJob>),
        ImportData(Box<ImportDataJob>),
        ExportData(Box<ExportDataJob>),
        Import(Box<ImportJob>),
    }

    /// A component of any type.
    AnyComponent = "a component" (default_type: Some("command")) {
        Command(Box<CommandComponent>),
        Pipeline(Box<PipelineComponent>),
        Parallel(Box<ParallelComponent>),
        Spark(Box<SparkComponent>),
        DataTransfer(Box<DataTransferComponent>),
        Import(Box<ImportComponent>),
        Flow(Box<FlowComponent>),
    }
}
