-- Prices that depend on single events are charged row by row; levels and readings take no intervals; what rules price follows corrections.
\set ECHO none
\set test_database billing_rating_single_events
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE VIEW months AS SELECT c.period_from AS period, c.item, trim_scale(c.quantity) AS quantity, c.owed, c.problem FROM charges('acme', '[2025-01-01,2025-04-01)') AS c ORDER BY c.item, c.period_from;
\set ECHO all
\pset format unaligned
-- Lago: 1 % and 0.50 of each transaction, the first one of a month free, at most 2.00 each.  600 free, 0.60, then 10.50 cut to 2.00.
SELECT set_meter('payments', unit => 'EUR') \gset
SELECT set_price('payments', tariff_from('lago', '{"charge_model":"percentage","properties":{"rate":"1","fixed_amount":"0.5","free_units_per_events":1,"per_transaction_max_amount":"2"}}', 'EUR'), valid_from => '2025-01-01') \gset
SELECT use('acme', 'payments', '2025-01-20', 600), use('acme', 'payments', '2025-01-21', 10), use('acme', 'payments', '2025-01-21 12:00', 1000, id => '00000000-0000-0000-0000-000000000001'), use('acme', 'payments', '2025-02-03', 5000) \gset
SELECT * FROM months;
SELECT bill_account('acme', through => '2025-03-01') \gset
SELECT correct_usage('acme', '00000000-0000-0000-0000-000000000001', quantity => 20) \gset
SELECT * FROM months;
SELECT finalize_invoices(through => '2025-03-01') \gset
SELECT e.stage, e.what, e.quantity, e.amount FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.item = 'payments' AND l.period_from = '2025-01-01' ORDER BY l.line_id, e.step;
-- A meter that adds nothing up cannot say what an event was.
SELECT set_meter('peak', unit => 'EUR', aggregation => 'max') \gset
SELECT set_price('peak', tariff_from('lago', '{"charge_model":"percentage","properties":{"rate":"1","per_transaction_max_amount":"2"}}', 'EUR'), valid_from => '2025-01-01') \gset
SELECT use('acme', 'peak', '2025-01-20', 600) \gset
SELECT * FROM months WHERE item = 'peak';

-- Levels and readings hold from a time on: what lasts from one time to another is refused, one by one, in arrays, in batches.
SELECT count(set_meter('level ' || a, unit => 'hour', aggregation => a)) FROM unnest('{time_weighted,weighted_sum,increase,sum}'::text[]) AS a;
SELECT r.outcome, r.detail FROM record_usage('{"id":"1","account":"acme","meter":"level time_weighted","resource":"vm","start":"2025-01-30T00:00:00Z","end":"2025-01-30T01:00:00Z","state":"on"}') AS r;
SELECT r.outcome, r.detail FROM record_usage('{"id":"2","account":"acme","meter":"level weighted_sum","start":"2025-01-30T00:00:00Z","end":"2025-01-30T01:00:00Z","quantity":1}') AS r;
SELECT r.outcome, r.detail FROM record_usage('[{"id":"3","account":"acme","meter":"level increase","start":"2025-01-30T00:00:00Z","end":"2025-01-30T01:00:00Z","quantity":1},
                                               {"id":"4","account":"acme","meter":"level sum","start":"2025-01-30T00:00:00Z","end":"2025-01-30T01:00:00Z","quantity":1},
                                               {"id":"5","account":"acme","meter":"level increase","at":"2025-01-30T00:00:00Z","quantity":1}]') AS r;
SELECT r.outcome, left(r.detail, 17) AS reason FROM record_usage('{"period":{"begin":"2025-01-30T10:00:00","end":"2025-01-30T11:00:00"},"usage":{"level time_weighted":[{"vol":{"qty":4,"unit":"x"},"groupby":{"project_id":"acme","id":"vm"}}]}}') AS r;
BEGIN;
SELECT open_usage_batch() \gset
INSERT INTO usage_batch (id, account, meter, starts_at, ends_at, quantity)
VALUES ('10', 'acme', 'level time_weighted', '2025-01-30T00:00:00Z', '2025-01-30T01:00:00Z', '1'), ('11', 'acme', 'level time_weighted', NULL, '2025-01-30T01:00:00Z', '1'),
       ('12', 'acme', 'level sum', '2025-01-30T00:00:00Z', '2025-01-30T01:00:00Z', '1');
SELECT * FROM load_usage_batch();
COMMIT;
SELECT r.reason, r.detail FROM rejected_usage AS r WHERE r.payload ->> 'id' = '10';

-- Points that rules price: one is corrected, one voided.
SELECT set_meter('compute', unit => 'instance-hour') \gset
SELECT set_rating_rule('compute', 2, field => 'flavor', value => 'small', valid_from => '2025-01-01', force => true), set_rating_rule('compute', 5, field => 'flavor', value => 'large', valid_from => '2025-01-01', force => true) \gset
SELECT apply_rating_rules('compute', applies_to => 'open', each_row => true) \gset
SELECT count(use('acme', 'compute', '2025-01-02', 1, id => '00000000-0000-0000-0001-00000000000' || n, dimensions => jsonb_build_object('flavor', CASE n % 2 WHEN 0 THEN 'small' ELSE 'large' END))) FROM generate_series(1, 4) AS n;
SELECT * FROM months WHERE item = 'compute';
SELECT correct_usage('acme', '00000000-0000-0000-0001-000000000001', quantity => 10), void_usage('acme', '00000000-0000-0000-0001-000000000002') \gset
SELECT * FROM months WHERE item = 'compute';
