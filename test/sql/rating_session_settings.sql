-- What is billed does not depend on the DateStyle, IntervalStyle and TimeZone of whoever calls: an abbreviation such as CST, which
-- these styles write, is read as another zone.
\set ECHO none
\set test_database billing_rating_session_settings
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET timezone = 'Asia/Shanghai';
CALL billing.maintain_partitions('[2026-09-01,2026-12-01)');
\set ECHO all
SELECT c.relname, replace(pg_get_expr(c.relpartbound, c.oid), E'\n', ' ') AS bounds FROM pg_class AS c
 WHERE c.relispartition AND c.relname ~ '^usage_2026_\d\d$' ORDER BY 1;

SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') > 0 AS ok;
SELECT billing.set_account('a', currency => 'EUR', time_zone => 'Asia/Shanghai') > 0 AS ok;
SELECT billing.set_meter('hours', unit => 'hour', aggregation => 'sum') > 0 AS ok;
SELECT billing.set_price('hours', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2026-01-01') > 0 AS ok;
-- every hour of October in Shanghai
SELECT outcome, count(*) FROM generate_series(0, 743) AS h
 CROSS JOIN LATERAL billing.record_usage(jsonb_build_object('id', 'h' || h, 'account', 'a', 'meter', 'hours', 'quantity', 1,
     'at', to_char(timestamp '2026-09-30 16:00' + h * interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))) GROUP BY 1;
SELECT item, quantity, line_amount FROM billing.preview_invoice('a', through => DATE '2026-11-01');
CALL billing.run_invoicing(DATE '2026-11-01', NULL);
SELECT number, total FROM billing.finalize_invoices(DATE '2026-11-01', DATE '2026-11-02');

-- what comes late is found by the next run, and nothing is sealed before
SELECT outcome FROM billing.record_usage('{"id": "late", "account": "a", "meter": "hours", "quantity": 90, "at": "2026-10-05T00:00:00Z"}');
CALL billing.seal_period(DATE '2026-11-01');
CALL billing.run_invoicing(DATE '2026-11-01', NULL);
SELECT item, quantity, owed, booked, unbilled FROM billing.charges('a', daterange('2026-10-01', '2026-11-01'));
SELECT number, total FROM billing.finalize_invoices(DATE '2026-11-01', DATE '2026-11-02');
SELECT bool_and(e.stage <> 'not reproduced') AS explained, count(DISTINCT l.line_id) AS lines FROM billing.invoice_lines AS l CROSS JOIN LATERAL billing.explain_line(l.line_id) AS e;
SELECT quantity, reason FROM billing.unbilled_usage(daterange('2026-10-01', '2026-11-01'));
CALL billing.seal_period(DATE '2026-11-01', NULL);

-- the same questions in another session's settings
SET datestyle = 'German';
SET timezone = 'Asia/Kolkata';
SELECT item, quantity, owed, booked, unbilled, state FROM billing.charges('a', '[01.10.2026,01.11.2026)');
