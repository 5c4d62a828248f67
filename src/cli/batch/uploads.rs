//! What a batch deployment names on this machine.

use serde_json::{Map, Value};

use crate::{asset::create_described, context::Context, deployment::described};
use api::{Result, assets::AssetKind};

/// Uploads what a deployment names on this machine, and puts in its place what names it there.
pub async fn bring(ctx: &Context, workspace: &str, fields: &mut Map<String, Value>) -> Result<()> {
    described::bring(ctx, workspace, fields).await?;
    // The file of a pipeline component was read where it is named.
    if let Some(Value::Object(component)) = fields.get("component") {
        let component = component.clone();
        let kind = AssetKind::Component;
        let made = create_described(ctx, workspace, kind, component, Vec::new()).await;
        let made = made.map_err(|error| error.at("component"))?;
        let reference = format!("azureml:{}:{}", made.name, made.version);
        fields.insert("component".to_owned(), Value::from(reference));
    }
    Ok(())
}
