-- Meters over any span of time: by the steps of a charge period, whatever the span.
\set ECHO none
\set test_database billing_rating_usage_quantity
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('berlin', time_zone => 'Europe/Berlin', starts_on => '2025-01-01'), set_account('utc', time_zone => 'UTC', starts_on => '2025-01-01', cycle_day => 4) \gset
SELECT count(set_meter(m, unit => 'unit', aggregation => m)) FROM unnest('{sum,count,max,min,avg,latest,weighted_sum,time_weighted,increase}'::text[]) AS m \gset
SELECT set_meter('percentile', unit => 'unit', aggregation => 'percentile', percentile => 0.95), set_meter('unique', unit => 'user', aggregation => 'unique_count', unique_dimension => 'user'),
       set_meter('present', unit => 'user', aggregation => 'unique_count', unique_dimension => 'user', operation_dimension => 'op', carried_over => true),
       set_meter('stock', unit => 'unit', carried_over => true), set_meter('prorated', unit => 'unit', carried_over => true, prorated => 'day_inclusive', proration_decimals => 5),
       set_meter('by_second', unit => 'unit', carried_over => true, prorated => 'second'), set_meter('half_open', unit => 'unit', prorated => 'day_half_open'),
       set_meter('by_kind', unit => 'unit', dimensions => '{kind}'), set_meter('converted', unit => 'GiB', factor => '1/1024', rounding => 'up', decimals => 1, filter => '{"kind": ["a"]}'),
       set_meter('mutated', unit => 'unit', mutate => 'ceil', offset_by => 0.5), set_meter('hours', unit => 'h', aggregation => 'time_weighted', hours_in_month => 'actual') \gset
CREATE TABLE public.meters AS SELECT i.key FROM billing.item AS i;
SELECT count(set_price(m.key, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', '2025-01-01')) FROM meters AS m \gset
SELECT count(use(a, m.key, '2025-01-02'::timestamp + ((j * 104729 + length(m.key) * 7919) % 5000000) * interval '1 s', (j * 31 + length(m.key)) % 17 + 0.25, id => concat_ws('/', m.key, j),
                 dimensions => jsonb_build_object('user', 'u' || j % 3, 'op', CASE WHEN j % 4 = 3 THEN 'remove' ELSE 'add' END, 'kind', (ARRAY['a', 'b'])[1 + j % 2]),
                 resource => CASE WHEN m.key IN ('time_weighted', 'increase', 'hours') THEN 'r' || j % 2 END))
  FROM unnest('{berlin,utc}'::text[]) AS a, meters AS m, generate_series(1, 40) AS j \gset
\set ECHO all
-- a span that is a charge period: what charges() says, of every meter
SELECT count(*) AS charges, count(DISTINCT c.item) AS meters, count(*) FILTER (WHERE q.quantity IS DISTINCT FROM c.quantity OR q.unit <> c.unit) AS otherwise
  FROM (VALUES ('berlin', 'Europe/Berlin'), ('utc', 'UTC')) AS a(key, zone)
 CROSS JOIN LATERAL charges(a.key, '[2025-01-10,2025-02-10)') AS c
  LEFT JOIN LATERAL usage_quantity(a.key, c.item, tstzrange(c.period_from::timestamp AT TIME ZONE a.zone, c.period_to::timestamp AT TIME ZONE a.zone)) AS q ON q.charge_group = c.charge_group;
-- hours of a day: 100 before them, then 2, 3, 9 and -1, and 90 with the end
SELECT set_account('lab', time_zone => 'Asia/Kolkata', starts_on => '2025-01-01') \gset
SELECT count(use('lab', m, '2025-03-10'::timestamp + e.at, e.quantity, dimensions => jsonb_build_object('user', 'u' || e.quantity, 'op', 'add', 'kind', CASE WHEN e.quantity > 2 THEN 'a' ELSE 'b' END),
                 resource => CASE WHEN m IN ('time_weighted', 'increase', 'hours') THEN 'r' END))
  FROM unnest('{sum,count,max,min,avg,latest,weighted_sum,time_weighted,increase,percentile,unique,present,stock,prorated,by_second,by_kind,converted,mutated,hours}'::text[]) AS m,
       (VALUES ('04:59:59'::interval, 100), ('05:00', 2), ('05:59:59', 3), ('06:00', 9), ('06:30', -1), ('08:00', 90)) AS e(at, quantity)
 WHERE m <> 'increase' OR e.quantity > 0;
SELECT m.key, q.charge_group, q.quantity, q.unit, q.events
  FROM meters AS m CROSS JOIN LATERAL usage_quantity('lab', m.key, tstzrange('2025-03-10 05:00Z', '2025-03-10 08:00Z')) AS q WHERE m.key <> 'half_open' ORDER BY m.key, q.charge_group;
-- ninety days are one span, not three months
SELECT m, q.quantity, q.events FROM unnest('{avg,sum,unique,weighted_sum,hours}'::text[]) AS m CROSS JOIN LATERAL usage_quantity('lab', m, tstzrange('2025-02-01 00:00Z', '2025-05-02 00:00Z')) AS q;
-- the part of the span that is served: 3 of 10 days, by days in Kolkata and by seconds
SELECT use('lab', 'prorated', '2025-04-01', 10), use('lab', 'by_second', '2025-04-01', 10) \gset
SELECT quantity FROM usage_quantity('lab', 'prorated', tstzrange('2025-05-10 18:30Z', '2025-05-20 18:30Z'));
SELECT quantity FROM usage_quantity('lab', 'prorated', tstzrange('2025-05-10 18:30Z', '2025-05-20 18:30Z'), tstzrange('2025-05-17 18:30Z', '2025-06-20 18:30Z'));
SELECT quantity FROM usage_quantity('lab', 'by_second', tstzrange('2025-05-10 18:30Z', '2025-05-20 18:30Z'), tstzrange('2025-05-17 18:30Z', '2025-05-20 18:30Z'));
SELECT quantity FROM usage_quantity('lab', 'by_second', tstzrange('2025-05-10 18:30Z', '2025-05-20 18:30Z'), tstzrange('2025-06-17 18:30Z', '2025-06-20 18:30Z'));
-- usage that lasts is cut to the span
SELECT use('lab', 'sum', '2025-06-01 10:00', 12, to_at => '2025-06-01 13:00') \gset
SELECT quantity, events FROM usage_quantity('lab', 'sum', tstzrange('2025-06-01 12:30Z', '2025-06-01 12:45Z'));
-- without usage: no quantity of a group, else 0
SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2024-06-01 12:30Z', '2024-06-01 12:45Z'));
SELECT * FROM usage_quantity('lab', 'by_kind', tstzrange('2024-06-01 12:30Z', '2024-06-01 12:45Z'));
-- as known at a watermark: before a correction; and a row that is voided does not count
SELECT use('lab', 'max', '2025-07-01 10:00', 5, id => 'spike') \gset
SELECT clock_timestamp() AS mark, pg_sleep(0.01) \gset
SELECT void_usage('lab', 'spike', reason => 'mistake') \gset
SELECT quantity, events FROM usage_quantity('lab', 'max', tstzrange('2025-07-01 10:00Z', '2025-07-01 11:00Z'));
SELECT quantity, events FROM usage_quantity('lab', 'max', tstzrange('2025-07-01 10:00Z', '2025-07-01 11:00Z'), known_at => :'mark');
-- errors
SELECT fails($$SELECT * FROM usage_quantity('nobody', 'sum', tstzrange('2025-07-01', '2025-07-02'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'nothing', tstzrange('2025-07-01', '2025-07-02'))$$);
SELECT fails($$SELECT * FROM usage_quantity(NULL, 'sum', tstzrange('2025-07-01', '2025-07-02'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', NULL)$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', 'empty')$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2025-07-01', NULL))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2025-07-01', 'infinity'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2025-07-01', '2025-07-02', '[]'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2025-07-01', '2025-07-02'), service => tstzrange('2025-07-01', NULL))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'half_open', tstzrange('2025-07-01 05:00Z', '2025-07-01 08:00Z'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2025-07-01', '2025-07-02'), known_at => '2020-01-01')$$);
-- usage that was dropped is no usage of 0
INSERT INTO billing.usage_dropped (month, row_count) VALUES ('2024-03-01', 5), ('2024-09-01', 0);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2024-03-31 23:00Z', '2024-04-01 00:00Z'))$$);
SELECT fails($$SELECT * FROM usage_quantity('lab', 'sum', tstzrange('2024-02-28', '2024-02-29'))$$);
SELECT quantity FROM usage_quantity('lab', 'sum', tstzrange('2024-04-01 00:00Z', '2024-10-01 00:00Z'));
-- who only reads may ask
SET ROLE billing_reader;
SELECT quantity FROM billing.usage_quantity('lab', 'sum', tstzrange('2025-03-10 05:00Z', '2025-03-10 08:00Z'));
SELECT fails($$SELECT * FROM billing.metered(1, 1, tstzrange('2025-07-01', '2025-07-02'), tstzrange('2025-07-01', '2025-07-02'), 'UTC', 'infinity')$$);
RESET ROLE;
