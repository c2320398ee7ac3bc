-- Every price model, worked by hand: ordinary quantities, zero, borders, fractions, negative, huge, many decimals.
CREATE FUNCTION pg_temp.rated(tariff tariff, quantity numeric, events bigint DEFAULT NULL, dimensions jsonb DEFAULT NULL, fraction numeric DEFAULT 1, complete boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce((r).amount::text, (r).sqlstate || ' ' || (r).detail) FROM (SELECT billing.try_rate($1, $2, $3, $4, $5, $6) AS r OFFSET 0) AS s
$$;

-- flat: the fee, whatever was used; a part of a period costs a part.
SELECT q, f, pg_temp.rated('{"model":"flat","currency":"EUR","amount":"29.99"}', q, fraction => f)
  FROM (VALUES (0::numeric, 1::numeric), (1000000, 1), (-5, 1), (1, 0), (1, 0.5), (1, 1.25), (1, round(1 / 3.0, 30)), (1, -0.5), (1, 'NaN')) AS v (q, f);

-- per_unit: linear, also below zero.
SELECT q, pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"0.000002"}', q)
  FROM unnest('{0,1,1200,-1200,0.5,1234567.891,0.0000000005,0.00000000025,0.00000000075,-0.00000000025,1e21,4999999999999999e6,5e21,5.0000000000000001e21,-5e21,1e50,1e-50,Infinity,NaN}'::numeric[]) AS q;
-- The same price in 36 decimals: halves go to the even digit, once.
SELECT q, pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"0.000000000000000500000000000000000000"}', q),
          pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"0.000000000000000500000000000000000001"}', q)
  FROM unnest('{1,2,3,5,-1,-3,1000000000000001,1.00000000000000000000001,2.99999999999999999999999999999999999}'::numeric[]) AS q;
SELECT pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"-0.25"}', 8) AS rebate,
       pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"1e-30"}', 1e45) AS tiny_price_huge_quantity,
       pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"1e30"}', 1e-40) AS huge_price_tiny_quantity,
       pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"10000000000000000"}', 1) AS largest,
       pg_temp.rated('{"model":"per_unit","currency":"USD","unit_price":"10000000000000000.000000000000001"}', 1) AS too_large;

-- graduated and volume: bounds belong to the tier below them.
\set tiers '"currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"},{"up_to":"20","unit_price":"0.5"},{"unit_price":"0.1","flat":"2"}]}'
SELECT q, pg_temp.rated(('{"model":"graduated",' || :'tiers')::tariff, q) AS graduated, pg_temp.rated(('{"model":"volume",' || :'tiers')::tariff, q) AS volume,
       pg_temp.rated(('{"on_zero":"charge","model":"graduated",' || :'tiers')::tariff, q) AS graduated_on_zero, pg_temp.rated(('{"model":"volume","on_zero":"charge",' || :'tiers')::tariff, q) AS volume_on_zero
  FROM unnest('{0,0.0001,1,9.999,10,10.0000000000000000000000000000000000001,15,20,20.5,1000,1e14,1e30,-1}'::numeric[]) AS q;

-- A finite last tier says what lies beyond it.
SELECT q, pg_temp.rated('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"free"}', q) AS graduated_free,
          pg_temp.rated('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"free"}', q) AS volume_free,
          pg_temp.rated('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"error"}', q) AS graduated_error,
          pg_temp.rated('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"error"}', q) AS volume_error
  FROM unnest('{10,10.1,1e40}'::numeric[]) AS q;

-- Tiers whose offsets do not fit 128 bits are summed one by one, with the same result.
SELECT q, pg_temp.rated('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"0.000000000000000003","unit_price":"0.000000000000000007"},{"up_to":"1000000000.000000000000000001","unit_price":"0.123456789012345678","flat":"0.000000000000000001"},{"unit_price":"0.1"}]}', q),
       0.000000000000000003 * 0.000000000000000007 + (q - 0.000000000000000003) * 0.123456789012345678 + 0.000000000000000001 AS expected
  FROM unnest('{7,999999999.5}'::numeric[]) AS q;

-- package: up by default, free units first.
SELECT q, pg_temp.rated('{"model":"package","currency":"EUR","size":"10","amount":"3","free":"5"}', q) AS up,
          pg_temp.rated('{"model":"package","currency":"EUR","size":"10","amount":"3","round":"down"}', q) AS down,
          pg_temp.rated('{"model":"package","currency":"EUR","size":"10","amount":"3","round":"half_up"}', q) AS half_up,
          pg_temp.rated('{"model":"package","currency":"EUR","size":"0.1","amount":"3"}', q) AS tenths
  FROM unnest('{0,0.3,4.9,5,5.0000000000000000000000000000000000000001,14.99999,15,15.00001,25,1e15,-1}'::numeric[]) AS q;

-- percentage: a part of an amount and a fee an event.
SELECT q, e, pg_temp.rated('{"model":"percentage","currency":"EUR","percent":"1.3"}', q, e) AS plain,
          pg_temp.rated('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2"}', q, e) AS with_fee,
          pg_temp.rated('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","on_zero":"nothing"}', q, e) AS nothing_on_zero,
          pg_temp.rated('{"model":"percentage","currency":"EUR","percent":"1.3","free_amount":"100"}', q, e) AS free_amount,
          pg_temp.rated('{"model":"percentage","currency":"EUR","percent":"1.3","free_events":"1"}', q, e) AS single_events
  FROM (VALUES (800::numeric, 4), (100, 1), (99.99, 1), (0, 3), (0, 0), (800, NULL), (800, -1), (-1, 1)) AS v (q, e);

SELECT q, pg_temp.rated('{"model":"graduated_percentage","currency":"EUR","tiers":[{"up_to":"10","percent":"1","flat":"200"},{"up_to":"20","percent":"2","flat":"300"},{"percent":"3","flat":"400"}],"on_zero":"charge"}', q)
  FROM unnest('{0,1,10,10.5,20,21,-1}'::numeric[]) AS q;

-- matrix: one value for every dimension; numbers and booleans match their text.
\set matrix '\'{"model":"matrix","currency":"EUR","dimensions":["region","spot"],"cells":[{"match":{"region":"eu","spot":"false"},"unit_price":"2"},{"match":{"region":"eu","spot":true},"tariff":{"model":"graduated","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.5"}]}},{"match":{"region":8,"spot":false},"unit_price":"3"},{"match":{"region":"","spot":"\\u00e9\\\"\\\\"},"unit_price":"4"}]'
SELECT :matrix}'::tariff;
SELECT d, pg_temp.rated(:matrix}', 12, dimensions => d) AS unmatched_error, pg_temp.rated(:matrix,"default":{"unit_price":"1"}}', 12, dimensions => d) AS with_default
  FROM unnest(ARRAY['{"region":"eu","spot":"false"}', '{"spot":false,"region":"eu","other":1}', '{"region":"eu","spot":"true"}', '{"region":8.0,"spot":false}', '{"region":"8","spot":"false"}',
                    '{"region":"","spot":"é\"\\"}', '{"region":"us","spot":false}', '{"region":"eu"}', '{"region":null,"spot":false}', '{"region":["eu"],"spot":false}', '{}', '[]', '"eu"', NULL]::jsonb[]) AS d;
SELECT pg_temp.rated(:matrix}', -12, dimensions => '{"region":"eu","spot":false}') AS reversal, pg_temp.rated(:matrix}', -12, dimensions => '{"region":"eu","spot":true}') AS of_graduated,
       pg_temp.rated(:matrix}', 0, dimensions => '{"region":"xx","spot":false}') AS zero_is_no_excuse;
-- without cells: one price for every value, and each value alone
SELECT m::tariff, m::tariff::text::tariff = m::tariff AS prints_itself, tariff_grouping(m::tariff), pg_temp.rated(m::tariff, 12, dimensions => '{"a":"x"}') AS of_a_value, pg_temp.rated(m::tariff, 12, dimensions => '{}') AS of_none,
       (SELECT count(*) FROM lint(m::tariff)) AS lint, (SELECT string_agg(s.what, '; ' ORDER BY s.step) FROM rating_steps(m::tariff, 12, dimensions => '{"a":"x"}') AS s) AS steps
  FROM (VALUES ('{"model":"matrix","currency":"EUR","window":"hour","dimensions":["a","b"],"cells":null,"default":{"tariff":{"model":"graduated","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"2"}]}}}')) AS v(m);
-- Dimensions of nested matrices are asked for, too; a nested tariff has the currency of the whole.
SELECT tariff_grouping(t), needs_events(t), per_event(t), pg_temp.rated(t, 100, 3, '{"a":"1","b":"2"}'), pg_temp.rated(t, 100, 3, '{"a":"2"}'), t
  FROM (SELECT '{"model":"matrix","currency":"EUR","dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":{"model":"matrix","currency":"EUR","dimensions":["b","a"],"cells":[{"match":{"a":"1","b":"2"},"tariff":{"model":"percentage","percent":"1","per_event":"0.1"}}]}}],
                "default":{"tariff":{"model":"flat","amount":"7","minimum":"8"}}}'::tariff AS t) AS s;
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
SELECT pg_temp.refused('{"model":"matrix","currency":"EUR",' || json || '}'), left(json, 120) AS json FROM (VALUES
  ('"cells":[]'), ('"dimensions":[],"cells":[]'), ('"dimensions":[1],"cells":[]'), ('"dimensions":["a","a"],"cells":[]'), ('"dimensions":["a"],"cells":[]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"}}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1,"tariff":{}}]'),
  ('"dimensions":["a"],"cells":[{"match":{"b":"1"},"unit_price":1}]'),
  ('"dimensions":["a","b"],"cells":[{"match":{"b":"1"},"unit_price":1}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":{}},"unit_price":1}]'),
  ('"dimensions":["a"],"cells":[{"unit_price":1}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1},{"match":{"a":"2"},"unit_price":1},{"match":{"a":1},"unit_price":2}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}],"default":{"unit_price":1},"unmatched":"error"'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}],"default":{}'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}],"unmatched":"free"'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}],"unmatched":"error"'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":{"model":"flat","amount":1,"currency":"USD"}}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":{"model":"flat","amount":1,"window":"day"}}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":{"model":"graduated","tiers":[{"up_to":1,"unit_price":1},{"up_to":1,"unit_price":2}]}}]'),
  ('"dimensions":["a"],"cells":[{"match":{"a":"' || repeat('x', 1001) || '"},"unit_price":1}]')) AS v (json);
SELECT pg_temp.refused('{"model":"matrix","currency":"EUR","dimensions":["a"],"unmatched":"error"}') AS neither, pg_temp.refused('{"model":"matrix","currency":"EUR","dimensions":["a"],"cells":[],"default":{"unit_price":"1"}}') AS empty;
SELECT pg_temp.refused((SELECT string_agg(CASE n WHEN 0 THEN '{"model":"matrix","currency":"EUR","dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":' ELSE '{"model":"matrix","dimensions":["a"],"cells":[{"match":{"a":"1"},"tariff":' END, '') FROM generate_series(0, depth) AS n)
       || '{"model":"flat","amount":1}' || repeat('}]}', depth + 1)) FROM generate_series(3, 4) AS depth;

-- Wrappers, in their order: convert, round, free, price, discount, maximum, minimum.
\set wrapped '\'{"model":"per_unit","currency":"EUR","unit_price":"1","convert":{"divide_by":"3600","multiply_by":"2"},"free":"1","discount_percent":"10","maximum":"100","minimum":"5"}\''
SELECT q, f, c, pg_temp.rated(:wrapped, q, fraction => f, complete => c)
  FROM (VALUES (0::numeric, 1::numeric, true), (1800, 1, true), (3600, 1, true), (3600, 1, false), (36000, 1, true), (36001, 1, true), (3600000, 1, true), (3600000, 0.5, true), (0, 0.5, true), (-1, 1, true)) AS v (q, f, c);
-- A third stays a third until the end, and conversion can round it before.
SELECT pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"3","convert":{"divide_by":"9"}}', 3) AS exact,
       pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"3","convert":{"divide_by":"9","round":"half_even","decimals":2}}', 3) AS two_decimals,
       pg_temp.rated('{"model":"volume","currency":"EUR","tiers":[{"up_to":"1","unit_price":"10"},{"unit_price":"1"}],"convert":{"divide_by":"3"}}', 3) AS at_border,
       pg_temp.rated('{"model":"volume","currency":"EUR","tiers":[{"up_to":"1","unit_price":"10"},{"unit_price":"1"}],"convert":{"divide_by":"3"}}', 3.000000000000000000000000000000000000000000000000001) AS above_border;
SELECT q, pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","convert":{"round":"up"}}', q) AS up, pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","convert":{"round":"down"}}', q) AS down,
          pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","convert":{"round":"half_up"}}', q) AS half_up, pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","convert":{"round":"half_even"}}', q) AS half_even
  FROM unnest('{0,0.4,0.5,0.6,1,1.5,2.5,-0.4,-0.5,-1.5,-2.5,2.50000000000000000000000000000000000000000001}'::numeric[]) AS q;
-- free units make nothing of a reversal.
SELECT pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","free":"5"}', -3);
-- minimum wins over maximum; a maximum of 0 is one.
SELECT pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","minimum":"20","maximum":"10"}', 15) AS both,
       pg_temp.rated('{"model":"per_unit","currency":"EUR","unit_price":"1","maximum":"0"}', 15) AS nothing;

-- rate raises what try_rate returns, with the same code and words.
CREATE FUNCTION pg_temp.raised(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  EXECUTE 'SELECT billing.rate(' || call || ')';
  RETURN 'rated';
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN SQLSTATE || ' ' || SQLERRM || coalesce(' HINT: ' || nullif(hint, ''), '');
END $$;
CREATE FUNCTION pg_temp.returned(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  r billing.rating_result;
BEGIN
  EXECUTE 'SELECT * FROM billing.try_rate(' || call || ')' INTO r;
  RETURN coalesce(r.sqlstate || ' ' || r.detail, 'rated');
END $$;
SELECT call, pg_temp.raised(call), starts_with(pg_temp.raised(call), pg_temp.returned(call)) AS same
  FROM unnest(ARRAY[$$NULL, 1$$, $$NULL, NULL::jsonb$$, $$'{"model":"flat","currency":"EUR","amount":"1"}', NULL::numeric$$,
    $$'{"model":"flat","currency":"EUR","amount":"1"}', 1, fraction => NULL$$, $$'{"model":"flat","currency":"EUR","amount":"1"}', 1, fraction => -1$$,
    $$'{"model":"flat","currency":"EUR","amount":"1"}', 1, fraction => 'NaN'$$, $$'{"model":"flat","currency":"EUR","amount":"1"}', 1, complete => NULL$$,
    $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', 'NaN'::numeric$$, $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', '1e2000'::numeric$$,
    $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', '1e-2000'::numeric$$, $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', '1e17'::numeric$$,
    $$'{"model":"percentage","currency":"EUR","percent":"1","per_event":1}', 1$$, $$'{"model":"percentage","currency":"EUR","percent":"1","free_events":1}', 1, 1$$,
    $$'{"model":"matrix","currency":"EUR","dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}]}', 1$$,
    $$'{"model":"matrix","currency":"EUR","dimensions":["a"],"cells":[{"match":{"a":"1"},"unit_price":1}]}', 1, dimensions => '{"a":2}'$$,
    $$'{"model":"package","currency":"EUR","size":1,"amount":1}', -1$$, $$'{"model":"volume","currency":"EUR","tiers":[{"up_to":1,"unit_price":1}],"beyond":"error"}', 2$$,
    $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', '{"a":1,"b":2}'::jsonb$$, $$'{"model":"per_unit","currency":"EUR","unit_price":"1"}', '[]'::jsonb$$]) AS call;

-- Quantities by unit: a price of one unit takes one.
SELECT q, try_rate('{"model":"per_unit","currency":"EUR","unit_price":"0.5"}', q) FROM unnest(ARRAY['{"hour":"3"}', '{"hour":3.5}', '{"hour":"3","gb":"1"}', '{}', '[3]', '3', '{"hour":"x"}', '{"hour":null}', '{"hour":{}}', '{"hour":"1e50"}', '{"hour":"1e2000"}', '{"hour":"1e99999999999"}', '{"hour":"0.00000000000000000000000000000000000000000000000001"}', '{"hour":"12345678901234567890123456789012345678901x"}', '{"hour":" 1"}', NULL]::jsonb[]) AS q;
