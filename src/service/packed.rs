//! Environments that pack a model: what a deployment in one is of.

use super::{Caller, Service};
use api::{
    Error, Result,
    assets::{AssetRef, Holder},
    environments::{PACKED, Packed},
};
use spec::{
    described::Scalar,
    kinds::{
        environment::EnvironmentSource,
        serving::{CodeConfiguration, DeploymentBase, ModelSource},
    },
    shape::{Described as _, Mismatch},
};
use store::WorkspaceRow;

impl Service {
    /// Puts what the environment of a deployment packs where the deployment itself says nothing.
    pub(super) async fn unpack(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        written: &mut DeploymentBase,
    ) -> Result<()> {
        let Some(EnvironmentSource::Name(name)) = &written.environment else {
            return Ok(());
        };
        let Some(asset) = self.environment_asset(caller, row, name).await? else {
            return Ok(());
        };
        let Some(packed) = asset.spec.get(PACKED) else {
            return Ok(());
        };
        let packed: Packed = serde_json::from_value(packed.clone())
            .map_err(|e| Error::invalid(format!("What the environment packs is odd: {e}")))?;
        check_here(row, name, &packed)?;
        let name: &str = name;
        let odd = |mismatch: Mismatch| {
            Error::invalid(format!("`{name}` packs what is not understood: {mismatch}"))
        };
        if written.model.is_none() {
            let model = ModelSource::read(Some(&packed.model.into())).map_err(odd)?;
            written.model = Some(model);
        }
        if let Some(code) = &packed.code_configuration
            && written.code_configuration.is_none()
        {
            let code = CodeConfiguration::read(Some(code)).map_err(odd)?;
            written.code_configuration = Some(code);
        }
        for (variable, value) in packed.environment_variables {
            if written.environment_variables.get(&variable).is_none() {
                written
                    .environment_variables
                    .0
                    .push((variable, Scalar(value)));
            }
        }
        if !packed.own_environment {
            written.environment = None;
        }
        Ok(())
    }
}

/// Refuses an environment of another workspace or registry that packs what was there: here the same name
/// means something else.
fn check_here(row: &WorkspaceRow, environment: &str, packed: &Packed) -> Result<()> {
    let here = &row.workspace.name;
    let place = AssetRef::parse(environment)?.holder.workspace(here);
    let own = matches!(AssetRef::parse(&packed.model)?.holder, Holder::Here);
    if place.eq_ignore_ascii_case(here) || !own && packed.code_configuration.is_none() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "`{environment}` packs a model of the workspace that it was made in"
    ))
    .at("environment")
    .hint("Pack the model in this workspace: az ml model package"))
}
