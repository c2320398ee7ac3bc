-- Usage of sealed periods that goes on counting: it stays, its ids stay known, its partition is missed, and it cannot be changed.
\set ECHO none
\set test_database billing_rating_seal_lasting
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('disk', unit => 'GB-hour', aggregation => 'time_weighted'), set_meter('odometer', unit => 'km', aggregation => 'increase'),
       set_meter('tank', unit => 'l-hour', aggregation => 'time_weighted', filter => '{"quantity":{"above":1}}'), set_meter('stock', unit => 'piece', aggregation => 'weighted_sum', carried_over => true) \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2024-01-01')) FROM unnest('{calls,disk,odometer,tank,stock}'::text[]) AS m \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
-- ids in the order of their keys
SELECT min(id) FILTER (WHERE first) AS lesser, min(id) FILTER (WHERE NOT first) AS greater FROM (SELECT id, row_number() OVER (ORDER BY usage_key_of(id, NULL)) = 1 AS first FROM unnest('{one,two}'::text[]) AS id) AS x \gset
SELECT min(id) FILTER (WHERE first) AS low, min(id) FILTER (WHERE NOT first) AS high FROM (SELECT id, row_number() OVER (ORDER BY usage_key_of(id, NULL)) = 1 AS first FROM unnest('{three,four}'::text[]) AS id) AS x \gset
\set ECHO all
-- Two reports for one instant: of levels the one recorded last holds, of readings the greater, whatever their keys.
SELECT use('acme', 'disk', '2025-01-20', 5, id => :'greater', resource => 'vm') \gset
SELECT use('acme', 'disk', '2025-01-20', 10, id => :'lesser', resource => 'vm') \gset
SELECT use('acme', 'odometer', '2025-01-20', 150, id => :'low', resource => 'van'), use('acme', 'odometer', '2025-01-20', 100, id => :'high', resource => 'van'), use('acme', 'odometer', '2025-03-05', 160, resource => 'van') \gset
-- A report that the filter leaves out is not the level that holds.
SELECT use('acme', 'tank', '2025-01-19', 8, id => 'left', resource => 'truck'), use('acme', 'tank', '2025-01-20', 4, id => 'holds', resource => 'truck'), use('acme', 'tank', '2025-01-21', 1, id => 'filtered', resource => 'truck') \gset
SELECT use('acme', 'stock', '2025-01-20', 10, id => 'bought'), use('acme', 'calls', '2025-01-20', 7, id => 'call') \gset
-- a reseller who is charged for its customers, with cycles of their own
SELECT set_account('reseller', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('customer', time_zone => 'UTC', parent => 'reseller', cycle_day => 15, starts_on => '2024-12-15'),
       set_account('other', time_zone => 'UTC', cycle_day => 15, starts_on => '2024-12-15'), set_agreement('reseller', with_descendants => true), end_agreement('customer', '2025-01-01') \gset
SELECT use('customer', 'calls', '2025-02-20', 3, id => 'february'), use('other', 'calls', '2025-02-20', 3, id => 'own') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT account, period, item, "of", quantity, amount FROM drafts;
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
CALL seal_period('2025-03-01') \gset

-- Usage of a customer lies in a sealed period of the reseller who was billed for it, also when the customer has left since.
SELECT fails($$ SELECT void_usage('customer', 'february', reason => 'test') $$);
SELECT fails($$ SELECT correct_usage('customer', 'february', quantity => 1, reason => 'test') $$) = fails($$ SELECT move_usage('customer', 'february', 'other', reason => 'test') $$) AS same,
       fails($$ SELECT move_usage('other', 'own', 'customer', reason => 'test') $$);
BEGIN;
SELECT set_account('customer', parent => '') \gset
SELECT fails($$ SELECT void_usage('customer', 'february', reason => 'test') $$);
ROLLBACK;
-- Who comes under the reseller later was billed by itself, in a period that is not sealed.
BEGIN;
SELECT set_account('other', parent => 'reseller') \gset
SELECT void_usage('other', 'own', reason => 'test') AS voided;
ROLLBACK;

-- What goes on counting is known when it comes again; what does not is new, and too late.
BEGIN;
SELECT u.id, r.outcome
  FROM (VALUES (:'lesser', 'disk', 10, '20', 'vm'), (:'greater', 'disk', 5, '20', 'vm'), (:'low', 'odometer', 150, '20', 'van'), ('holds', 'tank', 4, '20', 'truck'), ('left', 'tank', 8, '19', 'truck'),
               ('bought', 'stock', 10, '20', NULL), ('call', 'calls', 7, '20', NULL)) AS u(id, meter, quantity, day, resource),
       record_usage(jsonb_strip_nulls(jsonb_build_object('id', u.id, 'account', 'acme', 'meter', u.meter, 'quantity', u.quantity, 'at', '2025-01-' || u.day || 'T00:00:00Z', 'resource', u.resource))) AS r;
ROLLBACK;
-- All that open periods owe stays as it is when the usage of sealed ones leaves.
CREATE TEMP TABLE before AS SELECT c.item, c.period_from, c.owed, c.booked FROM charges('acme', '[2025-03-01,2025-04-01)') AS c;
TABLE before ORDER BY item;
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE dropped_rows > 0;
SELECT i.key AS meter, u.ends_at, quantity(u.consumed) FROM billing.usage AS u JOIN billing.item AS i ON i.item_id = u.meter_id WHERE u.ends_at < '2025-02-01' ORDER BY 1, 2, 3;
TABLE before EXCEPT SELECT c.item, c.period_from, c.owed, c.booked FROM charges('acme', '[2025-03-01,2025-04-01)') AS c;
SELECT use('acme', 'odometer', '2025-03-06', 1, resource => 'bus') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT account, period, item, quantity, amount FROM drafts;
SELECT outcome FROM record_usage('{"id": "bought", "account": "acme", "meter": "stock", "at": "2025-01-20T00:00:00Z", "quantity": 10}');
-- A partition that is made again for what stayed is missed like any other.
CALL maintain_partitions('[2025-01-01,2025-02-01)');
SELECT partition, dropped_rows FROM drop_sealed_usage() WHERE partition = 'usage_2025_01';
SET ROLE billing_owner;
ALTER TABLE billing.usage DETACH PARTITION billing.usage_2025_01;
ALTER TABLE billing.usage_2025_01 RENAME TO lost;
RESET ROLE;
SELECT fails($$ SELECT bill_account('acme', '2025-05-01') $$);
SET ROLE billing_owner;
ALTER TABLE billing.lost RENAME TO usage_2025_01;
ALTER TABLE billing.usage ATTACH PARTITION billing.usage_2025_01 FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2025-02-01 00:00:00+00');
RESET ROLE;
CALL run_invoicing(through => '2025-05-01') \gset
SELECT account, period, item, quantity, amount FROM drafts WHERE period = '2025-04-01';
