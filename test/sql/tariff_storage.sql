-- Stored tariffs: every released format stays readable, out-of-line and compressed values are read right, rating runs in parallel.

-- Stored bytes of format 1 on a little-endian machine.  They must be read for ever, and this version must write them the same way.  A
-- superuser's cast that only relabels shows the bytes; no client can make one.
CREATE CAST (bytea AS tariff) WITHOUT FUNCTION;
CREATE CAST (tariff AS bytea) WITHOUT FUNCTION;
CREATE TEMPORARY TABLE samples (json text, stored bytea);
INSERT INTO samples VALUES
  ('{"model":"flat","currency":"EUR","amount":"29.99"}',
   '\x010100005255450000000000000000000802b70b000000000000'),
  ('{"model":"per_unit","currency":"USD","unit_price":"0.000002","window":"hour","carry":true}',
   '\x0102400044535500000200000000000008060200000000000000'),
  ('{"model":"per_unit","currency":"USD","unit_price":"123456789012345678901.234567","convert":{"multiply_by":"2","divide_by":"3","round":"half_even","decimals":"4"},"free":"7","discount_percent":"12.5","maximum":"9","minimum":"8"}',
   '\x01023f0044535500000000040400000008000200000000000000080003000000000000000800070000000000000008017d0000000000000008000900000000000000080008000000000000001006874b9f2ca8f258f1fd1e660000000000'),
  ('{"model":"graduated","currency":"EUR","dialect":"lago","tiers":[{"up_to":"10","unit_price":"1","flat":"5"},{"up_to":"20.5","unit_price":"0.5"},{"unit_price":"0.1","flat":"2"}],"on_zero":"charge"}',
   '\x0103000052554500010001000000000003000c08016400000000000000cd0000000000000008010a00000000000000050000000000000001000000000000000800050000000000000000000000000000000200000000000000080132000000000000006400000000000000ca00000000000000'),
  ('{"model":"volume","currency":"JPY","tiers":[{"up_to":"10","unit_price":"3"},{"up_to":"20","unit_price":"2"}],"beyond":"free"}',
   '\x0104000059504a00000000000000000002000208000a000000000000001400000000000000080003000000000000000200000000000000'),
  ('{"model":"package","currency":"EUR","size":"10","amount":"3","round":"half_up","free":"5"}',
   '\x01050400525545000000000000000000080005000000000000000308000a0000000000000008000300000000000000'),
  ('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"0.2","free_events":"3","free_amount":"100","event_min":"0.5","event_max":"2","on_zero":"nothing"}',
   '\x010600005255450000000200000000001f08030d000000000000000801020000000000000008000300000000000000080064000000000000000801050000000000000008000200000000000000'),
  ('{"model":"graduated_percentage","currency":"EUR","tiers":[{"up_to":"1000","percent":"2.5"},{"percent":"1","flat":"3"}]}',
   '\x0107000052554500000000000000000002000c0800e803000000000000080319000000000000000a00000000000000080000000000000000000300000000000000080000000000000000001200000000000000'),
  ('{"model":"matrix","currency":"EUR","dimensions":["region","spot"],"cells":[{"match":{"region":"eu","spot":"false"},"unit_price":"2"},{"match":{"region":"eu","spot":"true"},"tariff":{"model":"flat","amount":"7","minimum":"8"}}],"default":{"unit_price":"1"}}',
   '\x01080000525545000000000000000000020600726567696f6e040073706f74020000000120000000360000006500000002006575050066616c7365010800020000000000000002006575040074727565020101a00052554500000000000000000008000800000000000000080007000000000000000108000100000000000000'),
  ('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"BAR","size":"1","max":"100","price":"2"},{"unit":"FOO","size":"10","max":"2","price":"1"}]},{"blocks":[{"unit":"FOO","size":"0.5","price":"0.1"}]}]}',
   '\x0109000044535500060000000000000001020002000300424152010000000800640000000000000008000100000000000000080002000000000000000300464f4f02000000010008000200000000000000ffffffffffffffff08016400000000000000050000000000000008010a000000000000000100000000000000'),
  ('{"model":"blocks","currency":"USD","policy":"top_tier","tiers":[{"blocks":[{"unit":"FOO","size":"10","max":"2","price":"1"}]},{"blocks":[{"unit":"FOO","size":"10","max":"3","price":"0.5"}]}],"rounding":"line"}',
   '\x0109000044535500000000000002000002020001000300464f4f02000000010008000200000000000000030000000000000008000a000000000000000a0000000000000008010a000000000000000500000000000000'),
  ('{"model":"blocks","currency":"USD","policy":"capacity","tiers":[{"limits":[{"unit":"BAR","max":"100"},{"unit":"FOO","max":"5"}],"price":"1"},{"limits":[{"unit":"BAR"},{"unit":"FOO","max":"10.5"}],"price":"10"}],"minimum":"2"}',
   '\x0109200044535500000000000000000008000200000000000000030200080001000000000000000a000000000000000200030042415202000000010008006400000000000000ffffffffffffffff0300464f4f020000000100080132000000000000006900000000000000'),
  ('{"model":"hashmap","currency":"EUR","dialect":"cloudkitty","services":[{"service":"compute","fields":["flavor","memory"],"groups":[{"group":"","mappings":[{"type":"flat","cost":"1.5"}]},{"group":"a","mappings":[{"field":"flavor","value":"small","type":"flat","cost":"0.25"},{"field":"flavor","value":"tiny","tenant":"t1","type":"rate","cost":"0.9"},{"field":"flavor","value":"tiny","type":"flat","cost":"0.1"}],"thresholds":[{"field":"memory","level":"512","type":"rate","cost":"1.1"},{"level":"2.5","tenant":"t1","type":"flat","cost":"3"},{"level":"2.5","type":"flat","cost":"2"}]}]},{"service":"volume"}],"minimum":"0.5","rounding":"detail"}',
   '\x010a20005255450007000000000300000801050000000000000002000a000000f20000000700636f6d7075746502020600666c61766f7206006d656d6f7279e30000008e0000003d0000008a000000010000000001000008010f000000000000000200000049000000620000000500736d616c6c010000000101000008021900000000000000040074696e790200000001020200743108010900000000000000010100000801010000000000000000000000000000000300000008000002000000000000010102000008010b0000000000000008011900000000000000ff0101020074310800030000000000000008011900000000000000ff010100000800020000000000000000000100610600766f6c756d650000160000001600000000000000');
SELECT count(*) AS samples, bool_and(stored::tariff::text = json) AS read, bool_and(json::tariff::bytea = stored) AS written, bool_and(stored::tariff = json::tariff) AS equal FROM samples;
SELECT rate(stored::tariff, 12, 3, '{"region":"eu","spot":true,"service":"compute","flavor":"tiny","tenant_id":"t1","memory":600,"unit":"FOO"}') FROM samples WHERE NOT per_event(stored::tariff) AND json NOT LIKE '%capacity%';
SELECT rate(stored::tariff, '{"FOO":7,"BAR":5}'::jsonb) FROM samples WHERE json LIKE '%capacity%';
SELECT '\x02000000000000000000000000000000000000000000000000'::bytea::tariff;
DROP CAST (bytea AS tariff);
DROP CAST (tariff AS bytea);

-- Short values are stored with a one-byte header and need no copy; a large matrix is compressed or moved out of line and is read right,
-- also when rows with different ones take turns.
CREATE TABLE large_prices (id int, price tariff);
INSERT INTO large_prices
SELECT p, jsonb_build_object('model', 'matrix', 'currency', 'EUR', 'dimensions', '["sku","region"]'::jsonb, 'cells',
         (SELECT jsonb_agg(jsonb_build_object('match', jsonb_build_object('sku', md5(i::text), 'region', 'r' || i % 3), 'unit_price', i + p)) FROM generate_series(1, cells) AS i))::tariff
  FROM (VALUES (1, 12000), (2, 2000), (3, 40)) AS v (p, cells);
INSERT INTO large_prices VALUES (4, '{"model":"per_unit","currency":"EUR","unit_price":"7"}');
SELECT id, pg_column_size(price) < 10000 AS small, octet_length(price::text) > 100000 AS long_text FROM large_prices ORDER BY id;
SELECT id, pg_column_size(price) FROM large_prices WHERE id = 4;
SELECT count(*), count((result).amount), sum((result).amount)
  FROM (SELECT i, id, try_rate(price, 1, dimensions => jsonb_build_object('sku', md5(i::text), 'region', 'r' || i % 3)) AS result
          FROM generate_series(1, 12000, 7) AS i, large_prices OFFSET 0) AS s;
SELECT 4 * count(DISTINCT i) AS count, count(*), sum(price) FROM (SELECT i, i + id AS price FROM generate_series(1, 12000, 7) AS i, (VALUES (1, 12000), (2, 2000), (3, 40)) AS v (id, cells) WHERE i <= cells
  UNION ALL SELECT i, 7 FROM generate_series(1, 12000, 7) AS i) AS s;
SELECT price = price::text::tariff AS same FROM large_prices ORDER BY id;
SELECT count(*) FROM large_prices AS a JOIN large_prices AS b ON a.price = b.price;
DROP TABLE large_prices;

-- Binary copy out and in gives the same values.
CREATE TABLE copied (price tariff);
INSERT INTO copied SELECT json::tariff FROM samples;
SELECT bool_and(json::tariff = ANY (SELECT price FROM copied)) FROM samples;
CREATE TABLE copied_back (LIKE copied);
SELECT pg_catalog.current_setting('data_directory') || '/tariff_copy_test' AS copy_file \gset
COPY copied TO :'copy_file' (FORMAT binary);
COPY copied_back FROM :'copy_file' (FORMAT binary);
SELECT count(*), bool_and(price IN (SELECT price FROM copied)) FROM copied_back;
DROP TABLE copied, copied_back;
-- Binary input is as strict as text: another version, and JSON that is wrong.
CREATE TABLE hostile (price bytea);
INSERT INTO hostile VALUES ('\x027b7d');
COPY hostile TO :'copy_file' (FORMAT binary);
CREATE TABLE victim (price tariff);
COPY victim FROM :'copy_file' (FORMAT binary);
UPDATE hostile SET price = '\x01' || '{"model":"flat","currency":"EUR","amount":"x"}'::bytea;
COPY hostile TO :'copy_file' (FORMAT binary);
COPY victim FROM :'copy_file' (FORMAT binary);
UPDATE hostile SET price = '\x01' || '{"model":"flat","currency":"EUR","amount":"1"}'::bytea || '\x00'::bytea;
COPY hostile TO :'copy_file' (FORMAT binary);
COPY victim FROM :'copy_file' (FORMAT binary);
UPDATE hostile SET price = '\x01' || '{"amount":1.0,"model":"flat","currency":"EUR"}'::bytea;
COPY hostile TO :'copy_file' (FORMAT binary);
COPY victim FROM :'copy_file' (FORMAT binary);
SELECT * FROM victim;
DROP TABLE hostile, victim;
COPY (SELECT) TO PROGRAM 'rm tariff_copy_test';

-- sum(rate(…)) and try_rate run in parallel workers.
CREATE TABLE quantities (q numeric);
INSERT INTO quantities SELECT i FROM generate_series(1, 5000) AS i;
ALTER TABLE quantities SET (parallel_workers = 2);
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS off) SELECT sum(rate('{"model":"per_unit","currency":"EUR","unit_price":"0.1"}', q)) FROM quantities;
SELECT sum(rate('{"model":"per_unit","currency":"EUR","unit_price":"0.1"}', q)), count((try_rate('{"model":"package","currency":"EUR","size":"10","amount":"1"}', 2500 - q)).sqlstate) FROM quantities;
DO $$ BEGIN PERFORM set_config(CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'force_parallel_mode' ELSE 'debug_parallel_query' END, 'on', false); END $$;
SELECT (r).sqlstate, count(*) FROM (SELECT try_rate('{"model":"package","currency":"EUR","size":"10","amount":"1"}', 2500 - q) AS r FROM quantities OFFSET 0) AS s GROUP BY 1 ORDER BY 1;
RESET ALL;
DROP TABLE quantities;
