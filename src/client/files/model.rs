//! A model's files as scoring scripts expect them.

use std::path::{Path, PathBuf};

use super::Client;
use api::{
    Result,
    files::{GetTree, Hash, check_path},
};

impl Client {
    /// Lays a model out in the folder that `AZUREML_MODEL_DIR` will name; answers the folder of the
    /// model itself. A folder keeps the name that it was registered from (`from`), a single file too, as
    /// in Azure.
    pub async fn lay_out_model(
        &self,
        workspace: &str,
        files: Hash,
        from: Option<&str>,
        models: &Path,
    ) -> Result<PathBuf> {
        let name = from
            .and_then(|path| path.trim_end_matches('/').rsplit('/').next())
            .filter(|name| check_path(name).is_ok());
        let tree = GetTree {
            workspace: workspace.to_owned(),
            hash: files,
        };
        let tree = self.call(&tree).await?;
        let single = tree.entries.len() == 1 && name == Some(tree.entries[0].path.as_str());
        let target = match name {
            Some(name) if !single => models.join(name),
            _ => models.to_owned(),
        };
        self.download_tree(workspace, files, &target, None).await?;
        Ok(target)
    }
}
