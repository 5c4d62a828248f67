-- spec: where it is, in the words of Azure's YAML. built_in: came with the workspace.
CREATE TABLE datastores(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  kind TEXT NOT NULL,
  spec TEXT NOT NULL,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  credential_type TEXT NOT NULL,
  sealed_credentials BLOB,
  is_default INTEGER NOT NULL DEFAULT 0,
  built_in INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);

-- Those that come with a workspace (see store/datastores.rs), for the workspaces there are.
INSERT INTO datastores(workspace_id, name, kind, spec, description, tags, credential_type, is_default,
  built_in, created_by, created_at, updated_at)
SELECT w.id, d.name, d.kind,
  json_object('account_name', json_extract(w.resources, '$.storage_account.name'), d.place, d.stem || iif(d.own, w.uuid, ''),
    'endpoint', 'core.windows.net', 'protocol', 'https'),
  '', '{}', 'none', d.name = 'workspaceblobstore', 1, 'system', w.created_at, w.created_at
FROM workspaces w JOIN (
  SELECT 'workspaceblobstore' AS name, 'azure_blob' AS kind, 'container_name' AS place, 'azureml-blobstore-' AS stem, 1 AS own
  UNION ALL SELECT 'workspaceartifactstore', 'azure_blob', 'container_name', 'azureml', 0
  UNION ALL SELECT 'workspacefilestore', 'azure_file', 'file_share_name', 'azureml-filestore-', 1
  UNION ALL SELECT 'workspaceworkingdirectory', 'azure_file', 'file_share_name', 'code-391ff5ac-6576-460f-ba4d-7e03433c68b6', 0
) d
WHERE w.name NOT LIKE 'registries/%';
