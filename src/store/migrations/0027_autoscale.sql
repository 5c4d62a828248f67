-- By what a deployment is scaled, beside what it is.
ALTER TABLE deployments ADD COLUMN autoscale TEXT;
