-- The type tariff: reading, canonical text, equality, limits.
\pset format unaligned
\pset tuples_only on

-- Numbers come as numbers or strings, in any notation, and are printed one way; defaults vanish; the order of members is fixed.
SELECT '{"unit_price": 0.10, "currency": "eur", "model": "per_unit"}'::tariff;
SELECT '{"unit_price": "+1.50e-3", "currency": "EUR", "model": "per_unit", "free": "0", "discount_percent": 0.0, "minimum": "0"}'::tariff;
SELECT '{"model":"flat","currency":"JPY","amount":1e3,"window":null}'::tariff;
SELECT '{"model":"graduated","currency":"EUR","on_zero":"nothing","tiers":[{"up_to":10.0,"unit_price":"0.50","flat":0},{"unit_price":"-0"}]}'::tariff;
SELECT '{"carry":true,"window":"day","minimum":"5.00","maximum":1e2,"on_zero":"charge","discount_percent":"12.50","free":100,"convert":{"decimals":2,"round":"half_even","divide_by":"1024","multiply_by":8},"beyond":"error","tiers":[{"up_to":"1e3","unit_price":2,"flat":1}],"currency":"USD","dialect":"openmeter","model":"volume"}'::tariff;
SELECT '{"model":"package","currency":"EUR","size":"10","amount":"3","round":"up"}'::tariff;
SELECT '{"model":"package","currency":"EUR","size":"10","amount":"3","round":"half_up","convert":{"round":"down"}}'::tariff;
SELECT '{"model":"percentage","currency":"EUR","percent":"1.30","per_event":"0.20","free_events":3,"free_amount":"10","event_min":"0.5","event_max":2}'::tariff;
SELECT '{"model":"graduated_percentage","currency":"EUR","tiers":[{"up_to":1000,"percent":"2.5"},{"percent":1,"flat":"3"}]}'::tariff;
SELECT '{"model":"per_unit","currency":"EUR","unit_price":"0.000000000000000000000000000000000001"}'::tariff;
SELECT '{"model":"per_unit","currency":"EUR","unit_price":"123456789012345678901234567890123456"}'::tariff;

-- Canonical text is a fixed point.
SELECT t = t::text::tariff, t = t::jsonb::tariff, t::json::text = t::text
  FROM (SELECT '{"model":"volume","currency":"USD","dialect":"stripe","tiers":[{"up_to":"1e3","unit_price":2,"flat":1},{"unit_price":3}],"free":1}'::tariff AS t) AS s;

-- In a jsonb a tariff is an object.
SELECT to_jsonb(t) FROM (SELECT '{"model":"flat","currency":"EUR","amount":1}'::tariff AS price) AS t;

-- Equality is that of the canonical text, not of amounts.
CREATE TEMPORARY TABLE prices (id int, price tariff);
INSERT INTO prices VALUES
  (1, '{"model":"per_unit","currency":"EUR","unit_price":"0.5"}'),
  (2, '{"currency":"EUR","unit_price":0.50,"model":"per_unit","free":0}'),
  (3, '{"model":"per_unit","currency":"USD","unit_price":"0.5"}'),
  (4, '{"model":"graduated","currency":"EUR","tiers":[{"unit_price":"0.5"}]}'),
  (5, '{"model":"per_unit","currency":"EUR","unit_price":"0.5","window":"day"}'),
  (6, '{"model":"per_unit","currency":"EUR","unit_price":"0.5","carry":false}');
SELECT array_agg(id ORDER BY id) FROM prices GROUP BY price ORDER BY 1;
SELECT count(DISTINCT price) FROM prices;
SELECT a.id, b.id FROM prices a JOIN prices b ON a.price = b.price AND a.id < b.id ORDER BY 1, 2;
SET enable_hashagg = off; SET enable_hashjoin = off;
SELECT array_agg(id ORDER BY id) FROM prices GROUP BY price ORDER BY 1;
SELECT count(*) FROM prices a JOIN prices b ON a.price = b.price;
RESET enable_hashagg; RESET enable_hashjoin;
CREATE UNIQUE INDEX ON prices (price) WHERE id IN (1, 3, 4, 5);
CREATE INDEX ON prices USING hash (price);
SELECT bool_and((a.price < b.price) = (b.price > a.price) AND (a.price <= b.price) = (a.price < b.price OR a.price = b.price)
       AND (a.price >= b.price) = NOT (a.price < b.price) AND (a.price <> b.price) = NOT (a.price = b.price)
       AND sign(tariff_cmp(a.price, b.price)) = -sign(tariff_cmp(b.price, a.price))
       AND ((a.price = b.price) <= (tariff_hash(a.price) = tariff_hash(b.price)))
       AND ((a.price = b.price) <= (tariff_hash_extended(a.price, 7) = tariff_hash_extended(b.price, 7)))
       AND tariff_hash_extended(a.price, 0)::bit(32) = tariff_hash(a.price)::bit(32))
  FROM prices a, prices b;

-- What is wrong is said, and where.
CREATE FUNCTION pg_temp.refused(written text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  where_ text;
BEGIN
  PERFORM written::billing.tariff;
  RETURN 'accepted';
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS where_ = PG_EXCEPTION_DETAIL;
  RETURN SQLSTATE || ' ' || where_;
END $$;
\pset format aligned
\pset tuples_only off
\x auto
SELECT json, pg_temp.refused(json) FROM (VALUES
  ('[]'), ('"x"'), ('{}'),
  ('{"model":"per_unit"}'),
  ('{"model":"free","currency":"EUR"}'),
  ('{"model":5,"currency":"EUR"}'),
  ('{"model":"per_unit","currency":"EURO","unit_price":1}'),
  ('{"model":"per_unit","currency":"EUR"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"unitprice":2}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"unit_price":2}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1:\"","free":"2:2"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1,5"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":""}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"."}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1e"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"NaN"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":" 1"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":true}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":[1]}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1234567890123456789012345678901234567"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1e40}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1e-37"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":"1e99999999999999999999"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"free":-1}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"discount_percent":"100.01"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"minimum":-1}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"on_zero":"charge"}'),
  ('{"model":"flat","currency":"EUR","amount":1,"free":1}'),
  ('{"model":"flat","currency":"EUR","amount":1,"tiers":[]}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":5}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":{"divide_by":0}}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":{"divide":1}}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":{"round":"nearest"}}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":{"decimals":2}}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"convert":{"round":"up","decimals":"2.5"}}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"window":"fortnight"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"carry":"yes"}'),
  ('{"model":"per_unit","currency":"EUR","unit_price":1,"dialect":"klingon"}'),
  ('{"model":"graduated","currency":"EUR"}'),
  ('{"model":"graduated","currency":"EUR","tiers":{}}'),
  ('{"model":"graduated","currency":"EUR","tiers":[]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[5]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"unit_price":1},{"unit_price":2}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":0,"unit_price":1},{"unit_price":2}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":5,"unit_price":1},{"up_to":20,"unit_price":1},{"up_to":"10","unit_price":2},{"unit_price":3}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":5,"unit_price":1}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":5,"unit_price":1},{"unit_price":1}],"beyond":"free"}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":5,"unit_price":1}],"beyond":"ignore"}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"price":5}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{}]}'),
  ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":1,"unit_price":1e30},{"unit_price":"1e-30"}]}'),
  ('{"model":"package","currency":"EUR","size":0,"amount":1}'),
  ('{"model":"package","currency":"EUR","amount":1}'),
  ('{"model":"package","currency":"EUR","size":1,"amount":1,"round":"half_even"}'),
  ('{"model":"percentage","currency":"EUR","per_event":1}'),
  ('{"model":"percentage","currency":"EUR","percent":1,"free_events":"1.5"}'),
  ('{"model":"percentage","currency":"EUR","percent":1,"free_amount":-5}'),
  ('{"model":"percentage","currency":"EUR","percent":1,"event_min":5,"event_max":4}'),
  ('{"model":"percentage","currency":"EUR","percent":1,"convert":{"round":"up"}}')
) AS v (json);
SELECT pg_temp.refused(format('{"model":"graduated","currency":"EUR","tiers":[%s,{"unit_price":1}]}',
  (SELECT string_agg(format('{"up_to":%s,"unit_price":1}', i), ',') FROM generate_series(1, 1000) AS i)));

-- Binary copy carries canonical JSON after a version byte.
SELECT encode(tariff_send('{"currency":"EUR","model":"flat","amount":1.0}'), 'escape');

-- What the pipeline asks.
SELECT model(price), currency(price), tariff_window(price), carries(price), needs_events(price), per_event(price), tariff_grouping(price)
  FROM (VALUES ('{"model":"per_unit","currency":"EUR","unit_price":1,"window":"hour","carry":true}'::tariff),
               ('{"model":"percentage","currency":"USD","percent":1,"per_event":"0.1"}'),
               ('{"model":"percentage","currency":"USD","percent":1,"free_events":3}'),
               ('{"model":"percentage","currency":"USD","percent":1,"free_amount":3}'),
               ('{"model":"percentage","currency":"USD","percent":1,"free_amount":3,"per_event":1}')) AS v (price);
-- What one unit costs, where quantity times that is the amount whatever the quantity.
SELECT v.dimensions, tariff_unit_price(v.price::tariff, v.dimensions) AS unit_price, v.price
  FROM (SELECT '{}'::jsonb, format('{"model":"per_unit","currency":"EUR","unit_price":"0.10"%s}', more)
          FROM unnest('{"",",\"window\":\"day\",\"carry\":true,\"rounding\":\"line\"",",\"convert\":{\"divide_by\":\"3\"}",",\"free\":1",",\"discount_percent\":5",",\"maximum\":5",",\"minimum\":5"}'::text[]) AS more
        UNION ALL SELECT '{}', '{"model":"flat","currency":"EUR","amount":1}'
        UNION ALL SELECT '{}', '{"model":"graduated","currency":"EUR","tiers":[{"unit_price":1}]}'
        UNION ALL SELECT d, '{"model":"matrix","currency":"EUR","dimensions":["r"],"cells":[{"match":{"r":"eu"},"unit_price":2},{"match":{"r":"us"},"tariff":{"model":"per_unit","unit_price":3}},{"match":{"r":"jp"},"tariff":{"model":"per_unit","unit_price":4,"minimum":1}},{"match":{"r":"in"},"tariff":{"model":"flat","amount":5}}]}'
          FROM unnest('{"{\"r\":\"eu\"}","{\"r\":\"us\"}","{\"r\":\"jp\"}","{\"r\":\"in\"}","{\"r\":\"br\"}","{}","[]"}'::jsonb[]) AS d
        UNION ALL SELECT '{"r":"br"}', '{"model":"matrix","currency":"EUR","dimensions":["r"],"cells":[{"match":{"r":"eu"},"unit_price":2}],"default":{"unit_price":7}}'
        UNION ALL SELECT '{"r":"br"}', '{"model":"matrix","currency":"EUR","dimensions":["r"],"cells":[{"match":{"r":"eu"},"unit_price":2}],"default":{"unit_price":7},"free":1}'
        UNION ALL SELECT NULL, '{"model":"per_unit","currency":"EUR","unit_price":1}') AS v (dimensions, price);
