-- Metric switches: what is recorded while a metric is off is never charged, and a meter of two metrics is on while both are.
\set ECHO none
\set test_database billing_budget_metrics
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
CREATE FUNCTION public.use(id text, meter text, quantity text, at text DEFAULT '2026-10-03T10:00:00Z') RETURNS text LANGUAGE sql AS $$
    SELECT outcome FROM billing.record_usage(jsonb_build_object('id', id, 'account', 'acme', 'meter', meter, 'at', at, 'quantity', quantity)) $$;
CREATE FUNCTION public.enabled() RETURNS TABLE (meter text, enabled boolean) LANGUAGE sql AS $$
    SELECT i.key, m.enabled FROM billing.meter_definition AS m JOIN billing.item AS i USING (item_id) WHERE upper_inf(m.known) ORDER BY 1 $$;
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR') \g /dev/null
SELECT set_account('acme', starts_on => '2026-10-01') \g /dev/null
SELECT set_meter(m, unit => 'HUR'), set_price(m, '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-09-01') FROM unnest('{cpu,gpu}'::text[]) AS m \g /dev/null
\set ECHO all
SELECT use('1', 'gpu', '5'), use('c', 'cpu', '100');
SELECT set_metric('gpu_utilization', false, '{gpu}');
SELECT use('2', 'gpu', '7'), use('3', 'gpu', '1000', at => '2026-10-04T10:00:00Z');
SELECT void_usage('acme', '3');
CALL run_invoicing('2026-11-01') \g /dev/null
SELECT item, owed_amount FROM charges_now ORDER BY 1;
SELECT meter, reason, count(*) FROM unbilled_usage('[2026-10-01,2026-11-01)') GROUP BY 1, 2;
SELECT set_metric('gpu_utilization', true);
SELECT i.key, c.kind, c.reason, count(*) FROM usage_change AS c JOIN item AS i ON i.item_id = c.meter_id GROUP BY 1, 2, 3 ORDER BY 3;
SELECT use('4', 'gpu', '20');
CALL run_invoicing('2026-11-01') \g /dev/null
SELECT item, owed_amount FROM charges_now ORDER BY 1;
-- on again, once more: nothing happens
SELECT set_metric('gpu_utilization', true);
CALL run_invoicing('2026-11-01') \g /dev/null
SELECT item, owed_amount FROM charges_now ORDER BY 1;

-- a meter of two metrics; one that leaves its metric is on
SELECT set_metric('compute_hours', false, '{cpu,gpu}');
SELECT set_metric('gpu_utilization', true);
SELECT * FROM enabled();
SELECT set_metric('compute_hours', NULL, '{cpu}');
SELECT * FROM enabled();
SELECT metric, enabled, meters FROM metrics ORDER BY 1;
