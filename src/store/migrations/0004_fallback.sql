-- The last deployment of an endpoint that answered, to go back to when a newer one cannot be served.
-- `deployments` counts them all, `generation` is the number of the one that is wanted.
ALTER TABLE endpoints ADD COLUMN deployments INTEGER NOT NULL DEFAULT 1;
ALTER TABLE endpoints ADD COLUMN good_generation INTEGER;
ALTER TABLE endpoints ADD COLUMN good_deployment TEXT;
ALTER TABLE endpoints ADD COLUMN good_model_version_id INTEGER REFERENCES model_versions;
ALTER TABLE endpoints ADD COLUMN failed_update TEXT;
UPDATE endpoints SET deployments = generation;
UPDATE endpoints SET good_generation = generation, good_deployment = deployment,
  good_model_version_id = model_version_id
  WHERE state = 'healthy' AND state_generation = generation;
CREATE INDEX endpoints_by_good_model ON endpoints(good_model_version_id);
