-- The metric of its runs whose values matter to the course of a driven run.
ALTER TABLE driven ADD COLUMN watches TEXT;
