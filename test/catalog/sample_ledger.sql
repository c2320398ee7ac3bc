-- A small ledger with something of everything: two months billed and made final, then facts that no run has seen yet.
SET search_path = pg_catalog, public, billing;
CALL billing.maintain_partitions('[2026-09-01,2026-12-01)');
SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR', time_zone => 'Europe/Berlin', default_tax_code => 'standard');
SELECT billing.set_tax_rate('standard', 19, seller => 'northwind');
SELECT billing.set_meter('api_calls', unit => 'call', aggregation => 'sum', seller => 'northwind');
SELECT billing.set_meter('storage', unit => 'GB', aggregation => 'max', dimensions => '{region}', seller => 'northwind');
SELECT billing.set_fee('platform', seller => 'northwind', in_advance => true);
SELECT billing.set_price('api_calls', '{"model": "graduated", "currency": "EUR", "tiers": [{"up_to": "100", "unit_price": "0.015"}, {"unit_price": "0.0075"}]}',
                         valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_price('storage', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.13"}', valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_price('platform', '{"model": "per_unit", "currency": "EUR", "unit_price": "12.50"}', valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_account('acme', currency => 'EUR', time_zone => 'Europe/Berlin', seller => 'northwind', starts_on => '2026-09-01', legal_name => 'Acme AG', country => 'DE');
SELECT billing.set_account('globex', currency => 'EUR', time_zone => 'America/New_York', cycle_day => 15, seller => 'northwind', starts_on => '2026-09-15');
SELECT billing.set_subscription('acme', 'seats', fee => 'platform', quantity => 3, starts_on => '2026-09-10');
SELECT billing.set_resource('acme', 'bucket-1');
SELECT billing.set_tags('acme', 'bucket-1', '{"team": "research"}');
SELECT billing.record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'a' || n, 'account', CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END, 'meter', 'api_calls',
    'at', timestamptz '2026-09-15 00:00Z' + n * interval '5 hours', 'quantity', n)) FROM generate_series(1, 200) AS n));
SELECT billing.record_usage((SELECT jsonb_agg(jsonb_build_object('id', 's' || n, 'account', 'acme', 'meter', 'storage', 'resource', 'bucket-1',
    'start', timestamptz '2026-09-15 00:00Z' + n * interval '1 day', 'end', timestamptz '2026-09-16 00:00Z' + n * interval '1 day',
    'quantity', 100 + n, 'dimensions', jsonb_build_object('region', CASE WHEN n % 2 = 0 THEN 'eu' ELSE 'us' END))) FROM generate_series(1, 40) AS n));
SELECT billing.record_usage('[{"id": "bad", "account": "nobody", "meter": "api_calls", "at": "2026-09-20T00:00:00Z", "quantity": "1"},
                              {"id": "a1", "account": "acme", "meter": "api_calls", "at": "2026-09-20T00:00:00Z", "quantity": "77"}]');
CALL billing.run_invoicing(through => '2026-11-01', run_id => NULL);
SELECT * FROM billing.finalize_invoices(through => '2026-11-01', issue_date => '2026-11-03');

SELECT billing.record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'late' || n, 'account', 'acme', 'meter', 'api_calls',
    'at', timestamptz '2026-10-05 00:00Z' + n * interval '1 hour', 'quantity', n)) FROM generate_series(1, 10) AS n));
SELECT billing.correct_usage('acme', 'a10', quantity => 1000, reason => 'the counter had stopped');
SELECT billing.void_usage('acme', 'a11', reason => 'a test');
