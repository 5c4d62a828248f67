-- Whether somebody triggered it. What the process of that call left undone nobody else goes on with:
-- it would be done with other rights.
ALTER TABLE schedule_firings ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;
