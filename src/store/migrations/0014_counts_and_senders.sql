-- How many runs an experiment has that are not deleted, kept so that nobody counts them.
ALTER TABLE experiments ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
UPDATE experiments SET runs =
  (SELECT COUNT(*) FROM runs r WHERE r.experiment_id = experiments.id AND r.deleted = 0);
CREATE TRIGGER run_made AFTER INSERT ON runs WHEN NEW.deleted = 0 BEGIN
  UPDATE experiments SET runs = runs + 1 WHERE id = NEW.experiment_id;
END;
CREATE TRIGGER run_removed AFTER DELETE ON runs WHEN OLD.deleted = 0 BEGIN
  UPDATE experiments SET runs = runs - 1 WHERE id = OLD.experiment_id;
END;
CREATE TRIGGER run_changed AFTER UPDATE OF deleted, experiment_id ON runs
  WHEN OLD.deleted <> NEW.deleted OR OLD.experiment_id <> NEW.experiment_id BEGIN
  UPDATE experiments SET runs = runs - (OLD.deleted = 0) WHERE id = OLD.experiment_id;
  UPDATE experiments SET runs = runs + (NEW.deleted = 0) WHERE id = NEW.experiment_id;
END;

-- sender: the process that sends a delivery, by the name of its lock (see store/senders.rs).
ALTER TABLE webhook_deliveries ADD COLUMN sender TEXT;
