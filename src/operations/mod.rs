//! Every operation by its name, for callers that have the name and JSON.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use api::{
    Error, Operation, access::*, assets::*, autoscale::*, batch::*, collector::*, computes::*,
    connections::*, datastores::*, deployments::*, endpoint_metrics::*, endpoints::*,
    experiments::*, files::*, identities::*, imports::*, jobs::*, lineage::*, logged_models::*,
    metrics::*, models::*, monitors::*, paths::*, pipelines::*, registered_models::*,
    registries::*, resource_groups::*, runs::*, schedules::*, secrets::*, trace_measures::*,
    traces::*, uploads::*, webhooks::*, work::*, workspaces::*,
};
use service::{Caller, Perform, Service};

/// Performs one operation: what comes and goes is JSON.
pub type Act = fn(Service, Caller, Bytes) -> BoxFuture<'static, Result<Vec<u8>, Error>>;

macro_rules! operations {
    ($($operation:ty),* $(,)?) => {{
        const ALL: &[(&str, Act)] =
            &[$((<$operation as Operation>::NAME, perform::<$operation>)),*];
        ALL
    }};
}

/// The operation of this name.
pub fn find(name: &str) -> Option<Act> {
    let found = operations().iter().find(|(known, _)| *known == name);
    found.map(|(_, act)| *act)
}

fn perform<O: Perform>(
    service: Service,
    caller: Caller,
    body: Bytes,
) -> BoxFuture<'static, Result<Vec<u8>, Error>> {
    Box::pin(async move {
        let operation: O = serde_json::from_slice(&body).map_err(|e| not_a(O::NAME, &e))?;
        drop(body);
        let output = operation.perform(&service, &caller).await?;
        serde_json::to_vec(&output).map_err(|e| Error::internal(format!("Cannot answer: {e}")))
    })
}

fn not_a(operation: &str, error: &serde_json::Error) -> Error {
    Error::invalid(format!("The body is not a {operation} request: {error}"))
}

#[expect(clippy::too_many_lines, reason = "a line for each operation")]
fn operations() -> &'static [(&'static str, Act)] {
    operations![
        // Workspaces
        CreateWorkspace,
        ListWorkspaces,
        GetWorkspace,
        UpdateWorkspace,
        UpgradeWorkspace,
        DeleteWorkspace,
        ListWorkspaceKeys,
        CreateResourceGroup,
        ListResourceGroups,
        GetResourceGroup,
        DeleteResourceGroup,
        // Access
        CreateUser,
        RotateToken,
        ListUsers,
        DeleteUser,
        WhoAmI,
        AssignRole,
        ListRoles,
        RemoveRole,
        // Secrets
        SetSecret,
        GetSecret,
        ListSecrets,
        DeleteSecret,
        // Identities
        CreateIdentity,
        ListIdentities,
        DeleteIdentity,
        // Computes
        CreateCompute,
        ListComputes,
        GetCompute,
        SwitchCompute,
        DeleteCompute,
        // Connections
        CreateConnection,
        ListConnections,
        GetConnection,
        DeleteConnection,
        // Experiments
        CreateExperiment,
        ListExperiments,
        SearchExperiments,
        GetExperiment,
        UpdateExperiment,
        // Runs
        CreateJob,
        ListSteps,
        PlanPipeline,
        SubmitRun,
        CreateRun,
        UpdateRun,
        ListRuns,
        GetRun,
        CancelRun,
        DeleteRun,
        BestRun,
        LogBatch,
        GetMetricHistory,
        GetMetricHistories,
        SampleMetricHistories,
        // Files
        MissingBlobs,
        FindTree,
        CreateTree,
        RecordTree,
        GetTree,
        ListArtifacts,
        AddArtifacts,
        RemoveArtifacts,
        CollectGarbage,
        CreateUpload,
        CompleteUpload,
        AbortUpload,
        LinkRun,
        GetRunLinks,
        ListDatasets,
        ResolvePath,
        // Lineage
        RecordLineage,
        GetLineage,
        // Logged models
        CreateLoggedModel,
        GetLoggedModel,
        UpdateLoggedModel,
        SearchLoggedModels,
        // Imports
        ImportExperiments,
        FindImported,
        ImportRuns,
        ImportModels,
        ImportTraces,
        ImportRegisteredModel,
        // Schedules
        CreateSchedule,
        ListSchedules,
        GetSchedule,
        UpdateSchedule,
        DeleteSchedule,
        TriggerSchedule,
        RunDueSchedules,
        // Traces
        StartTrace,
        UpdateTrace,
        LogSpans,
        GetTraces,
        SearchTraces,
        DeleteTraces,
        LinkTraces,
        LinkPrompts,
        ListTraceFiles,
        RemoveTraceFiles,
        MeasureTraces,
        CorrelateTraces,
        CreateAssessment,
        GetAssessment,
        UpdateAssessment,
        DeleteAssessment,
        // Models
        RegisterModel,
        ListModels,
        GetModel,
        UpdateModel,
        SearchModels,
        DeleteModel,
        CreateRegisteredModel,
        GetRegisteredModel,
        UpdateRegisteredModel,
        SearchRegisteredModels,
        SetModelAlias,
        DeleteModelAlias,
        // Assets
        CreateAsset,
        GetAsset,
        ListAssets,
        UpdateAsset,
        ArchiveAsset,
        RestoreAsset,
        DeleteAsset,
        ShareAsset,
        // Datastores
        CreateDatastore,
        ListDatastores,
        GetDatastore,
        UpdateDatastore,
        DeleteDatastore,
        TestDatastore,
        ListStoredFiles,
        RemoveStoredFiles,
        // Registries
        CreateRegistry,
        ListRegistries,
        GetRegistry,
        UpdateRegistry,
        DeleteRegistry,
        // Webhooks
        CreateWebhook,
        ListWebhooks,
        GetWebhook,
        UpdateWebhook,
        DeleteWebhook,
        TestWebhook,
        ListDeliveries,
        // Endpoints
        Deploy,
        ListEndpoints,
        GetEndpoint,
        StartEndpoint,
        StopEndpoint,
        DeleteEndpoint,
        GetEndpointKeys,
        RegenerateEndpointKey,
        GetEndpointToken,
        PutEndpoint,
        PutDeployment,
        GetDeployment,
        DeleteDeployment,
        GetEndpointLog,
        GetEndpointMetrics,
        ExposeMetrics,
        PutAutoscale,
        ListAutoscale,
        DeleteAutoscale,
        // Workers
        SyncWorker,
        ReportRun,
        // Monitors
        RecordDrift,
        ListMonitorReports,
        // Batch endpoints
        PutBatchEndpoint,
        ListBatchEndpoints,
        GetBatchEndpoint,
        DeleteBatchEndpoint,
        PutBatchDeployment,
        GetBatchDeployment,
        ListBatchDeployments,
        DeleteBatchDeployment,
        InvokeBatch,
        // Endpoint hosts
        GetHostOrders,
        ReportHost,
        ReportDeployment,
        ReportMeasured,
        ReportCollected,
        ExposeHostMetrics,
        AskScale,
    ]
}
