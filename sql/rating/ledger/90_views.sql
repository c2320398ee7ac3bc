-- Views of what is owed, held and going on.

CREATE VIEW billing.charges_now AS
    SELECT a.key AS account, p.date_from AS period_from, p.date_to AS period_to, s.key AS seller, i.key AS item, k.charge_group, k.component, k.key_id AS charge,
           k.looked_owed AS owed, h.booked_after AS booked, d.amount AS drafted,
           coalesce(billing.currency(k.looked_owed), billing.currency(h.booked_after)) AS currency,
           billing.amount(k.looked_owed) AS owed_amount, billing.amount(h.booked_after) AS booked_amount, billing.amount(d.amount) AS drafted_amount,
           CASE WHEN k.frozen_at IS NOT NULL THEN 'on_hold' WHEN p.sealed_at IS NOT NULL THEN 'sealed' WHEN p.closed_known_at IS NOT NULL THEN 'closed' ELSE 'open' END AS state
      FROM billing.charge_key AS k
      JOIN billing.charge_period AS p USING (account_id, period_no)
      JOIN billing.account AS a USING (account_id)
      JOIN billing.agreement AS g USING (agreement_id)
      JOIN billing.seller AS s USING (seller_id)
      JOIN billing.item AS i USING (item_id)
      LEFT JOIN billing.draft_line AS d USING (account_id, key_id)
      LEFT JOIN LATERAL (SELECT l.booked_after FROM billing.line AS l WHERE l.account_id = k.account_id AND l.key_id = k.key_id ORDER BY l.chain_no DESC LIMIT 1) AS h ON true;
COMMENT ON VIEW billing.charges_now IS 'Every charge as the last run saw it: owed, billed by final lines, and drafted.';
COMMENT ON COLUMN billing.charges_now.account IS 'The buyer.';
COMMENT ON COLUMN billing.charges_now.charge IS 'Number of the charge key, as decide() and approve_corrections() take it.';
COMMENT ON COLUMN billing.charges_now.owed IS 'Owed before decisions, rounded, as of the last run that looked.';
COMMENT ON COLUMN billing.charges_now.booked IS 'Sum of the final lines.';
COMMENT ON COLUMN billing.charges_now.drafted IS 'What the next finalize_invoices() will bill.';
COMMENT ON COLUMN billing.charges_now.state IS 'open, closed (billed; differences still allowed), sealed (never rated again) or on_hold.';

CREATE VIEW billing.held_corrections AS
    SELECT a.key AS account, p.date_from AS period_from, p.date_to AS period_to, s.key AS seller, i.key AS item, k.charge_group, h.cause,
           h.amount AS correction, billing.amount(h.amount) AS amount, billing.currency(h.amount) AS currency, k.key_id AS charge, h.run_id
      FROM billing.held AS h
      JOIN billing.charge_key AS k USING (account_id, key_id)
      JOIN billing.charge_period AS p USING (account_id, period_no)
      JOIN billing.account AS a USING (account_id)
      JOIN billing.agreement AS g USING (agreement_id)
      JOIN billing.seller AS s USING (seller_id)
      JOIN billing.item AS i USING (item_id);
COMMENT ON VIEW billing.held_corrections IS 'Differences of closed periods that wait for approve_corrections(): what would be billed or credited if the price, plan or setting known now had been known then.';
COMMENT ON COLUMN billing.held_corrections.cause IS 'What changed: price, plan, reference_data …';
COMMENT ON COLUMN billing.held_corrections.correction IS 'What approval would bill (positive) or credit (negative).';
COMMENT ON COLUMN billing.held_corrections.charge IS 'Number to give to approve_corrections().';

CREATE VIEW billing.runs AS
    SELECT r.run_id, r.procedure, r.through,
           -- a run that failed could not write so itself; the next one will
           CASE WHEN r.state = 'running' AND r.procedure IN ('run_invoicing', 'seal_period')
                 AND NOT EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'object' AND l.classid = 1651076210 AND l.objid = 0 AND l.objsubid = 2
                                  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                                  AND l.pid = r.backend_pid AND l.granted) THEN 'abandoned' ELSE r.state END AS state, r.step, r.known_at, r.own_at, r.counts, r.errors, r.failure,
           r.started_at, r.finished_at, coalesce(r.finished_at, clock_timestamp()) - r.started_at AS duration, r.started_by,
           CASE WHEN r.state = 'running' AND r.known_at IS NULL THEN billing.recording_now() ELSE r.watermark_held_by END AS watermark_held_by
      FROM billing.run AS r;
COMMENT ON VIEW billing.runs IS 'Executions of the long procedures, with progress, counts and errors.';
COMMENT ON COLUMN billing.runs.known_at IS 'The watermark: facts recorded before it were counted.';
COMMENT ON COLUMN billing.runs.watermark_held_by IS 'Sessions that were recording when the watermark was read: what they recorded in the transactions open then is not counted by this run, but by a later one. An array of objects with backend_pid, user, application and recording_since; null = none. Of a run that has not read it yet: the sessions recording now.';

CREATE VIEW billing.recording_sessions AS
    SELECT x.backend_pid, x.recording_since, clock_timestamp() - x.recording_since AS held_for FROM billing.recorders() AS x;
COMMENT ON VIEW billing.recording_sessions IS 'Sessions with an open transaction that has recorded facts: a run counts nothing recorded since the oldest of them began.';

CREATE VIEW billing.run_errors AS
    SELECT e.run_id, a.key AS account, p.date_from AS period_from, p.date_to AS period_to, i.key AS item, e.charge_group, e.reason, e.sqlstate, e.detail
      FROM billing.run_error AS e
      LEFT JOIN billing.account AS a USING (account_id)
      LEFT JOIN billing.charge_period AS p USING (account_id, period_no)
      LEFT JOIN billing.item AS i USING (item_id);
COMMENT ON VIEW billing.run_errors IS 'What a run could not bill, and why; every run tries again until it is mended.';

CREATE VIEW billing.unbilled AS
    SELECT u.account_key AS account, u.meter, u.seller, u.reason, count(*) AS usage_rows, sum(u.quantity) AS quantity, min(u.starts_at) AS starts_at, max(u.ends_at) AS ends_at
      FROM billing.unbilled_usage(daterange(coalesce((SELECT min(p.date_from) FROM billing.charge_period AS p WHERE p.sealed_at IS NULL), current_date) - 62, current_date + 32)) AS u
     GROUP BY u.account_key, u.meter, u.seller, u.reason;
COMMENT ON VIEW billing.unbilled IS 'Usage that no charge counts, by account, meter and reason: from two months before the oldest period that is not sealed to a month ahead. unbilled_usage() lists the rows of any span.';
COMMENT ON COLUMN billing.unbilled.account IS 'The account that consumed.';
COMMENT ON COLUMN billing.unbilled.meter IS 'What was counted.';
COMMENT ON COLUMN billing.unbilled.seller IS 'Who could charge it; null = nobody.';
COMMENT ON COLUMN billing.unbilled.reason IS 'Why it is not billed, as unbilled_usage() says.';
COMMENT ON COLUMN billing.unbilled.usage_rows IS 'Number of usage rows.';
COMMENT ON COLUMN billing.unbilled.quantity IS 'Sum of their quantities.';
COMMENT ON COLUMN billing.unbilled.starts_at IS 'When the earliest of them starts.';
COMMENT ON COLUMN billing.unbilled.ends_at IS 'When the latest of them ends.';
