-- Deliveries in parts, refused, repeated, overlapping, empty; and what a session's settings must not change.
\set ECHO none
\set test_database billing_cost_parts
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all

-- a call that is refused takes its own rows with it, not those of the parts before; a part with a fatal finding is refused at once
SELECT stage('A', 'a', 1), stage('A', 'b', 2) \g /dev/null
SELECT take();
SELECT stage('A', 'c', 3) \g /dev/null
SELECT take(complete => false);
SELECT stage('A', 'd', 4) \g /dev/null
UPDATE public.staged SET billed_cost = 'x';
SELECT take();
SELECT service, billed FROM costs ORDER BY 1;
SELECT waits_for_parts FROM cost_windows;
SELECT stage('A', 'e', 5) \g /dev/null
UPDATE public.staged SET billed_cost = '1,234.5';
SELECT take(complete => false);
SELECT stage('A', 'd', 4) \g /dev/null
SELECT take();
SELECT service, billed FROM costs ORDER BY 1;
SELECT load, complete, outcome, delivered, added, removed FROM cost_loads ORDER BY load;

-- a part that is sent twice is told, in whatever order its rows come
SELECT stage('A', 'a', 1), stage('A', 'b', 2) \g /dev/null
SELECT take(complete => false);
SELECT stage('A', 'b', 2), stage('A', 'a', 1) \g /dev/null
SELECT take(complete => false);
SELECT severity, rule, message, affected FROM cost_findings WHERE rule = 'part-repeated';
SELECT discard_staged_cost('payer', '[2026-10-01,2026-11-01)');
SELECT waits_for_parts FROM cost_windows;

-- windows of one billing account that overlap are told
SELECT stage('A', 'week', 50) \g /dev/null
UPDATE public.staged SET billing_period_start = '2026-10-05T00:00:00Z', billing_period_end = '2026-10-12T00:00:00Z';
SELECT take();
SELECT severity, rule, value, message, affected FROM cost_findings WHERE rule = 'window-overlap';
SELECT withdraw_cost('payer', 'A', '[2026-10-05,2026-10-12)');

-- a billing account that is known and did not deliver makes the period incomplete, until it does or is withdrawn
SELECT billing_period, cost_center, currency, billed, billing_accounts, complete, missing_accounts FROM cost_dashboard WHERE billing_period = '[2026-10-01,2026-11-01)' ORDER BY cost_center;
SELECT stage('B', 'b', 7) \g /dev/null
SELECT take();
SELECT cost_center, billed, complete, missing_accounts FROM cost_dashboard WHERE billing_period = '[2026-10-01,2026-11-01)' ORDER BY cost_center;
SELECT stage('A', 'c', 3, starts => '2026-11-02 00:00Z') \g /dev/null
UPDATE public.staged SET billing_period_start = '2026-11-01T00:00:00Z', billing_period_end = '2026-12-01T00:00:00Z';
SELECT outcome FROM import_focus('public.staged', 'payer', '[2026-11-01,2026-12-01)');
TRUNCATE public.staged;
SELECT cost_center, billed, complete, missing_accounts FROM cost_dashboard WHERE billing_period = '[2026-11-01,2026-12-01)' ORDER BY cost_center;
SELECT withdraw_cost('payer', 'B', '[2026-11-01,2026-12-01)');
SELECT cost_center, billed, complete, missing_accounts FROM cost_dashboard WHERE billing_period = '[2026-11-01,2026-12-01)' ORDER BY cost_center;

-- an empty delivery is about no window; withdrawing is
SELECT outcome, delivered FROM import_focus('public.staged', 'payer', '[2026-10-01,2026-11-01)');
SELECT withdraw_cost('payer', 'A', '[2026-10-01,2026-11-01)');
SELECT billing_account, rows, last_change = fresh_at AS changed FROM cost_windows WHERE billing_period = '[2026-10-01,2026-11-01)' ORDER BY 1;
SELECT billing_account, sum(billed) FROM costs GROUP BY 1 ORDER BY 1;
SELECT fails($$ SELECT withdraw_cost('payer', 'C', '[2026-10-01,2026-11-01)') $$);

-- columns with types: the same rows in any session, and the same instants however they are written
CREATE TABLE public.typed AS SELECT 'A'::text AS billing_account_id, 'EUR'::text AS billing_currency, date '2026-10-01' AS billing_period_start, timestamp '2026-11-01 00:00' AS billing_period_end,
    timestamp '2026-10-05 00:00' AS charge_period_start, timestamptz '2026-10-06 00:00Z' AS charge_period_end, 'Usage'::text AS charge_category, 1.5::numeric AS billed_cost, 1.5::numeric AS effective_cost, 1.5::numeric AS list_cost, 1.5::numeric AS contracted_cost,
    timestamptz '2026-10-05 03:00Z' AS x_seen_at, date '2026-10-03' AS x_day, interval '1 day 2 hours' AS x_span, bytea '\x01ff' AS x_key, 0.1::float8 AS x_share;
SELECT outcome, added, removed FROM import_focus('public.typed', 'payer', '[2026-10-01,2026-11-01)');
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Shanghai';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
SET extra_float_digits = -5;
SELECT outcome, added, removed FROM import_focus('public.typed', 'payer', '[2026-10-01,2026-11-01)');
SET datestyle = 'German';
SET timezone = 'America/New_York';
SELECT outcome, added, removed FROM import_focus('public.typed', 'payer', '[2026-10-01,2026-11-01)');
SELECT to_char(day, 'YYYY-MM-DD') AS day, attributes ->> 'x_seen_at' AS seen_at, attributes ->> 'x_day' AS x_day, attributes ->> 'x_span' AS span FROM costs WHERE billing_account = 'A' AND billing_period @> date '2026-10-01';
SELECT to_char(h.day, 'YYYY-MM-DD') AS day, (c.charge_start AT TIME ZONE 'UTC')::date = h.day AS utc FROM costs AS h JOIN cost AS c USING (cost_id) WHERE h.billing_account = 'B';
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
RESET intervalstyle;
RESET bytea_output;
RESET extra_float_digits;
ALTER TABLE public.typed ALTER charge_period_start TYPE text USING '2026-10-05T00:00:00Z', ALTER billing_period_start TYPE text USING '2026-10-01T02:00:00+02:00';
SELECT outcome, added, removed FROM import_focus('public.typed', 'payer', '[2026-10-01,2026-11-01)');

-- what is refused: one column under two names; a back-reference, but not a backslash
CREATE TABLE public.twice AS SELECT *, 1 AS "BilledCost" FROM public.typed;
SELECT fails($$ SELECT import_focus('public.twice', 'payer', '[2026-10-01,2026-11-01)') $$);
SELECT p, fails(format('SELECT condition_sql(jsonb_build_object(%L, %L, %L, %L::text), %L)', 'tag', 'x', 'regex', p, '{}')) FROM unnest(ARRAY['(a)\1', 'a\\1', '(a)\\\1', '\\\\9', '[\1]']) AS p;

-- every bucket
SELECT b, begins, ends, billed FROM unnest('{day,week,month,quarter,year,total}'::text[]) AS b, summary('[2026-10-01,2026-11-01)', bucket => b, condition => '{"column": "BillingAccountId", "equals": "B"}');
SELECT summary_json('[2026-10-01,2026-11-01)', bucket => 'quarter') -> 'results' -> 0 -> 1;

-- parts of a delivery and its end name the same days
SELECT stage('A', 'compute', 4) \g /dev/null
SELECT outcome FROM import_focus('public.staged', 'payer', '[2026-10-01,2026-11-01)', false);
SELECT fails($$ SELECT import_focus('public.staged', 'payer', '[2026-10-01,2026-12-01)') $$);
SELECT discard_staged_cost('payer', '[2026-10-01,2026-11-01)');
SELECT fails($$ SELECT withdraw_cost('payer', 'A', '[2026-10-01,2026-10-31)') $$);
