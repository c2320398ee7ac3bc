-- The models that only one product has: blocks and hashmap.
\pset null '(null)'
CREATE FUNCTION wrong(tariff text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN tariff::billing.tariff;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END $$;

-- Blocks of two units, all tiers.  A remainder is a whole block; max counts blocks, not units.
CREATE VIEW two_units AS SELECT '{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[
    {"blocks":[{"unit":"FOO","size":10,"max":2,"price":"1"},{"unit":"BAR","size":"1","max":"100","price":"2"}]},
    {"blocks":[{"unit":"BAR","size":"1","price":"1.5"},{"unit":"FOO","size":"5","max":"4","price":"0.1"}]}]}'::tariff AS tariff;
SELECT tariff FROM two_units;
SELECT tariff::text::tariff = tariff AS same, model(tariff) FROM two_units;
SELECT q, rate(tariff, q) FROM two_units, unnest(ARRAY['{"FOO":"0"}', '{"FOO":"0.000001"}', '{"FOO":20}', '{"FOO":"20.1"}', '{"FOO":40}', '{"FOO":41}',
    '{"BAR":"100.5"}', '{"FOO":"11","BAR":"101"}', '{}']::jsonb[]) AS q;
SELECT step, quantity, unit_price, amount, what FROM two_units, rating_steps(tariff, '{"FOO":"47","BAR":"101"}'::jsonb);
SELECT amount, sqlstate, detail FROM two_units, try_rate(tariff, 3);
SELECT amount, sqlstate, detail FROM two_units, try_rate(tariff, '{"FOOO":1}'::jsonb);
SELECT amount, sqlstate, detail FROM two_units, try_rate(tariff, '{"FOO":-1}'::jsonb);
SELECT amount, sqlstate, detail FROM two_units, try_rate(tariff, '{"FOO":"much"}'::jsonb);
SELECT severity, code, detail FROM two_units, lint(tariff);

-- Kill Bill takes no notice of units that a usage section does not name.
SELECT rate('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":1,"price":1}]}]}', '{"FOO":3,"other":9}'::jsonb);
-- But the steps name them, and lint says it of the price.
SELECT step, amount, what FROM rating_steps('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":1,"price":1}]}]}', '{"FOO":3,"other":9}'::jsonb);
SELECT amount, what FROM rating_steps('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"capacity","tiers":[{"limits":[{"unit":"FOO"}],"price":1}]}', '{"zzz":100}'::jsonb);
SELECT amount, what FROM rating_steps('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":1,"price":1}]}]}', 4, dimensions => '{"unit":"other"}');
SELECT severity, code, detail FROM lint('{"model":"blocks","currency":"USD","dialect":"killbill","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":1,"price":1}]}]}');
-- Stripe has quantities with decimals, but none below 0.
SELECT q, r.amount, r.sqlstate, r.detail FROM unnest(ARRAY[1.5, -1]) AS q, try_rate('{"model":"per_unit","currency":"USD","unit_price":"0.05","dialect":"stripe"}', q) AS r;
-- A single unit may come as a plain quantity.
SELECT rate('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":"0.0001","price":"0.0001"}]}]}', 1.2345);

-- Top tier: all units at the tier reached, the last one when all are full.
SELECT q, rate('{"model":"blocks","currency":"USD","policy":"top_tier","tiers":[{"blocks":[{"unit":"u","size":100,"max":10,"price":1}]},{"blocks":[{"unit":"u","size":1000,"max":100,"price":"0.5"}]}]}', q)
  FROM unnest(ARRAY[0, 1, 1000, 1000.01, 101000, 300000]) AS q;
SELECT severity, code, detail FROM lint('{"model":"blocks","currency":"USD","policy":"top_tier","tiers":[{"blocks":[{"unit":"u","size":100,"max":10,"price":1}]},{"blocks":[{"unit":"u","size":1000,"max":100,"price":"0.5"}]}]}');

-- Capacity: the first tier that holds all peaks.
CREATE VIEW capacity AS SELECT '{"model":"blocks","currency":"USD","policy":"capacity","tiers":[
    {"limits":[{"unit":"a","max":10},{"unit":"b","max":5}],"price":1},{"limits":[{"unit":"a","max":50},{"unit":"b"}],"price":"5"}]}'::tariff AS tariff;
SELECT tariff, tariff::text::tariff = tariff AS same FROM capacity;
SELECT q, (try_rate(tariff, q)).* FROM capacity, unnest(ARRAY['{}', '{"a":0}', '{"a":10}', '{"a":10.1}', '{"a":1,"b":6}', '{"a":51}', '{"b":1000}']::jsonb[]) AS q;
SELECT what, amount FROM capacity, rating_steps(tariff, '{"b":6}'::jsonb);
SELECT severity, code, detail FROM capacity, lint(tariff);

-- What is wrong, and where.
SELECT wrong('{"model":"blocks","currency":"USD","tiers":[]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"some","tiers":[]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"unit":"u","size":0,"price":1}]}]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"unit":"u","size":1,"max":-1,"price":1}]}]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"unit":"u","size":1,"price":1},{"unit":"u","size":1,"price":1}]}]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"size":1,"price":1}]}]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"capacity","tiers":[{"limits":[{"unit":"u"}],"price":1},{"limits":[{"unit":"v"}],"price":2}]}');
SELECT wrong('{"model":"blocks","currency":"USD","policy":"all_tiers","free":1,"tiers":[{"blocks":[{"unit":"u","size":1,"price":1}]}]}');

-- Hashmap: two services, a tenant's own rules, thresholds of field and service in one group.
CREATE VIEW cloud AS SELECT '{"model":"hashmap","currency":"EUR","dialect":"cloudkitty","services":[
    {"service":"volume.size","groups":[{"group":"","mappings":[{"type":"flat","cost":"0.001"}],
        "thresholds":[{"level":50,"type":"rate","cost":"0.98"},{"level":50,"tenant":"acme","type":"rate","cost":"0.97"},{"level":200,"type":"rate","cost":"0.95"}]}]},
    {"service":"compute","fields":["flavor","memory","vcpus"],"groups":[
        {"group":"A","mappings":[{"field":"flavor","value":"tiny","type":"flat","cost":"1.42"},{"field":"flavor","value":"nano","type":"flat","cost":"1.337"},
             {"field":"flavor","value":"tiny","tenant":"acme","type":"flat","cost":"2"}],
         "thresholds":[{"field":"memory","level":64,"type":"flat","cost":"0.15"},{"field":"memory","level":128,"type":"flat","cost":"0.2"}]},
        {"group":"B","mappings":[{"field":"vcpus","value":8,"type":"flat","cost":16},{"type":"flat","cost":1},{"field":"vcpus","value":1,"type":"rate","cost":"0.5"}],
         "thresholds":[{"level":10,"type":"flat","cost":7}]}]}]}'::tariff AS tariff;
SELECT tariff FROM cloud;
SELECT tariff::text::tariff = tariff AS same, tariff_grouping(tariff) FROM cloud;
SELECT d, q, rate(tariff, q, dimensions => d) FROM cloud, (VALUES
    ('{"service":"compute","flavor":"nano","memory":64}'::jsonb, 1::numeric), ('{"service":"compute","flavor":"nano","memory":"63.999"}', 1),
    ('{"service":"compute","flavor":"tiny","memory":512}', 2), ('{"service":"compute","flavor":"tiny","tenant_id":"acme"}', 2), ('{"service":"compute","flavor":"TINY"}', 2),
    ('{"service":"compute","vcpus":8}', 2), ('{"service":"compute","vcpus":"8"}', 2), ('{"service":"compute","vcpus":1}', 2), ('{"service":"compute"}', 10), ('{"service":"compute"}', -1),
    ('{"service":"volume.size"}', 49), ('{"service":"volume.size"}', 50), ('{"service":"volume.size","tenant_id":"acme"}', 50), ('{"service":"volume.size","tenant_id":"acme"}', 250),
    ('{"service":"image"}', 5)) AS v(d, q);
SELECT what, quantity, unit_price, amount FROM cloud, rating_steps(tariff, 10, dimensions => '{"service":"compute","flavor":"nano","memory":100}');
SELECT amount, sqlstate, detail FROM cloud, try_rate(tariff, 1);
SELECT amount, sqlstate, detail FROM cloud, try_rate(tariff, 1, dimensions => '{}');
SELECT amount, sqlstate, detail FROM cloud, try_rate(tariff, 1, dimensions => '{"service":"compute","memory":"plenty"}');
SELECT severity, code, detail FROM cloud, lint(tariff);
SELECT severity, code, detail FROM lint('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"group":"g","mappings":[{"type":"rate","cost":2}],"thresholds":[{"level":-1,"type":"rate","cost":2}]},{"group":"h","mappings":[{"type":"flat","cost":-3}]}]}]}');
-- A level of -1 or below counts like any other, of the service and of a field; it is the lowest, so each higher one that is reached wins.
SELECT q, rate('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"group":"g","mappings":[{"type":"flat","cost":10}],"thresholds":[{"level":-1,"type":"flat","cost":3},{"level":5,"type":"flat","cost":4}]}]}]}', q) AS of_service,
       rate('{"model":"hashmap","currency":"EUR","services":[{"service":"s","fields":["x"],"groups":[{"group":"g","mappings":[{"type":"flat","cost":10}],"thresholds":[{"field":"x","level":-2.5,"type":"rate","cost":2}]}]}]}', 1, dimensions => jsonb_build_object('x', q)) AS of_field
  FROM unnest(ARRAY[-3, -2, -1, 0, 5]) AS q;
-- One service need not be named; rates alone and negative flats are worth nothing; the first of equal levels is that of the service.
SELECT rate('{"model":"hashmap","currency":"EUR","services":[{"service":"s","fields":["x","y"],"groups":[{"group":"g","thresholds":[{"field":"y","level":1,"type":"flat","cost":3},{"field":"x","level":1,"type":"flat","cost":2}]}]}]}', 1, dimensions => d)
  FROM unnest(ARRAY['{"x":1,"y":1}', '{"y":1}', '{"x":1,"y":2}', '{"y":0}']::jsonb[]) AS d;
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"mappings":[{"field":"f","value":1,"type":"flat","cost":1}]}]}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","fields":["f"],"groups":[{"mappings":[{"field":"f","type":"flat","cost":1}]}]}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"mappings":[{"type":"flat","cost":1},{"type":"rate","cost":1}]}]}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"thresholds":[{"level":1,"type":"flat","cost":1},{"level":"1.0","type":"rate","cost":1}]}]}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s"},{"service":"s"}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"group":"g"},{"group":"g"}]}]}');
SELECT wrong('{"model":"hashmap","currency":"EUR","services":[{"service":"s","groups":[{"mappings":[{"type":"flat"}]}]}]}');
DROP FUNCTION wrong(text);
DROP VIEW two_units, capacity, cloud;

-- A call site that rates many points with one tariff reads it from an unpacked form; steps always from the stored one.  They agree, also
-- when tariffs take turns, and for dimensions of every kind, very many of them, tenants, and errors.
CREATE TABLE hashmaps AS SELECT n, jsonb_build_object('model', 'hashmap', 'currency', 'EUR', 'services', jsonb_build_array(
    jsonb_build_object('service', 'compute', 'fields', '["flavor","memory","spot"]'::jsonb, 'groups', jsonb_build_array(
        jsonb_build_object('group', 'a', 'mappings', (SELECT jsonb_agg(jsonb_build_object('field', 'flavor', 'value', 'm' || i, 'type', CASE i % 3 WHEN 0 THEN 'rate' ELSE 'flat' END, 'cost', (i + n) / 8.0)) FROM generate_series(1, 20) AS i)
                                                   || '[{"field":"flavor","value":"m2","tenant":"t1","type":"flat","cost":"9"},{"field":"spot","value":"True","type":"rate","cost":"0.5"},{"field":"memory","value":"64","type":"rate","cost":"1.25"}]'),
        jsonb_build_object('group', 'b', 'mappings', jsonb_build_array(jsonb_build_object('type', 'flat', 'cost', n / 100.0)),
                           'thresholds', '[{"field":"memory","level":100,"type":"flat","cost":"0.3"},{"level":3,"type":"flat","cost":"5"},{"level":"-1","type":"rate","cost":"7"},{"field":"memory","level":100,"tenant":"t1","type":"rate","cost":"0.7"}]'::jsonb))),
    jsonb_build_object('service', 'volume', 'groups', '[{"group":"a","mappings":[{"type":"flat","cost":"0.001"}],"thresholds":[{"level":2.5,"type":"rate","cost":"0.9"}]}]'::jsonb)))::tariff AS t
  FROM generate_series(1, 3) AS n;
CREATE TABLE points AS SELECT g, (ARRAY[0, 1, 2.5, 3, -1, 0.333])[g % 6 + 1] AS quantity,
    jsonb_strip_nulls(jsonb_build_object('service', (ARRAY['compute', 'volume', 'other', 'compute'])[g % 4 + 1], 'flavor', CASE g % 5 WHEN 4 THEN NULL ELSE 'm' || g % 23 END,
                                         'tenant_id', CASE g % 3 WHEN 0 THEN 't1' WHEN 1 THEN 't2' END))
    || CASE g % 7 WHEN 0 THEN '{"memory":64}' WHEN 1 THEN '{"memory":"100.0"}' WHEN 2 THEN '{"memory":null}' WHEN 3 THEN '{"memory":511.5}' WHEN 4 THEN '{"memory":"much"}' WHEN 5 THEN '{"memory":{"gb":1}}' ELSE '{"spot":true}' END::jsonb
    || CASE WHEN g % 11 = 0 THEN (SELECT jsonb_object_agg('tag' || i, i) FROM generate_series(1, 30) AS i) ELSE '{}' END AS dimensions
  FROM generate_series(1, 2000) AS g;
CREATE FUNCTION by_steps(price tariff, quantity numeric, dimensions jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT coalesce(sum(s.amount), '0 EUR') FROM rating_steps(price, quantity, dimensions => dimensions) AS s)::text;
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
WITH rated AS (SELECT h.n, p.g, h.t, p.quantity, p.dimensions, try_rate(h.t, p.quantity, dimensions => p.dimensions) AS r FROM hashmaps AS h, points AS p ORDER BY h.n, p.g OFFSET 0)
SELECT n, count(*), count((r).sqlstate) AS failed, count(*) FILTER (WHERE amount((r).amount) <> 0) AS not_zero,
       bool_and(coalesce((r).amount::text, (r).sqlstate || ' ' || (r).detail) = by_steps(t, quantity, dimensions)) AS agree FROM rated GROUP BY n ORDER BY n;
WITH rated AS (SELECT h.t, p.quantity, p.dimensions, try_rate(h.t, p.quantity, dimensions => p.dimensions) AS r FROM hashmaps AS h, points AS p ORDER BY p.g, h.n OFFSET 0)
SELECT count(*), bool_and(coalesce((r).amount::text, (r).sqlstate || ' ' || (r).detail) = by_steps(t, quantity, dimensions)) AS agree FROM rated;
SELECT t::text AS first_tariff FROM hashmaps WHERE n = 1 \gset
SELECT count(*), bool_and(coalesce((r).amount::text, (r).sqlstate || ' ' || (r).detail) = by_steps(:'first_tariff', quantity, dimensions)) AS agree
  FROM (SELECT quantity, dimensions, try_rate(:'first_tariff'::tariff, quantity, dimensions => dimensions) AS r FROM points OFFSET 0) AS rated;
-- in a matrix the unpacked form is not that of the nested price
SELECT rate(jsonb_build_object('model', 'matrix', 'currency', 'EUR', 'dimensions', '["region"]'::jsonb, 'cells', jsonb_build_array(jsonb_build_object('match', '{"region":"eu"}'::jsonb,
            'tariff', '{"model":"hashmap","services":[{"service":"s","groups":[{"mappings":[{"type":"flat","cost":2}]}]}]}'::jsonb)))::tariff, 3, dimensions => '{"region":"eu","service":"s"}') FROM generate_series(1, 3);
-- a plain quantity of a price of several units needs the dimension unit
CREATE TABLE units AS SELECT '{"model":"blocks","currency":"USD","policy":"all_tiers","tiers":[{"blocks":[{"unit":"FOO","size":10,"max":2,"price":"1"},{"unit":"BAR","size":"1","price":"2"}]}]}'::tariff AS t;
SELECT rate(t, 11, dimensions => '{"unit":"FOO"}'), rate(t, 3, dimensions => '{"unit":"BAR"}'), rate(t, '{"FOO":11,"BAR":3}'::jsonb), tariff_grouping(t) FROM units;
SELECT (try_rate(t, 1)).detail, (try_rate(t, 1, dimensions => '{"unit":"BAZ"}')).detail, (try_rate(t, 1, dimensions => '{"unit":null}')).detail FROM units;
-- lint: a price that falls where a field grows, where the type stays and from nothing; rules of a tenant are his own business
SELECT severity, code, detail FROM lint('{"model":"hashmap","currency":"EUR","services":[{"service":"s","fields":["gb","cpu"],"groups":[{"group":"g","mappings":[{"type":"flat","cost":1}],"thresholds":[
    {"field":"gb","level":10,"type":"flat","cost":"2"},{"field":"gb","level":20,"type":"flat","cost":"1"},{"field":"cpu","level":4,"type":"rate","cost":"0.9"},{"field":"cpu","level":8,"type":"rate","cost":"1.2"},
    {"field":"gb","level":30,"tenant":"t","type":"flat","cost":"0.1"},{"level":5,"type":"flat","cost":"-1"},{"level":9,"type":"flat","cost":"3"}]}]}]}');
