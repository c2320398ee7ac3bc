-- rate_each and try_rate_each: prices that depend on the single events.
CREATE TEMPORARY TABLE payments (n int, amount numeric);
INSERT INTO payments VALUES (1, 50), (2, 100), (3, 250), (4, 400);
CREATE FUNCTION pg_temp.each(written text) RETURNS monetary LANGUAGE sql AS $$
  SELECT billing.rate_each(written::billing.tariff, amount, '2026-01-01'::timestamptz + n * interval '1 hour', 1) FROM pg_temp.payments
$$;
-- Free events, free amounts, whichever ends first; bounds of the fee of one event.
SELECT pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2"}') AS plain,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","free_events":"3"}') AS three_free,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","free_amount":"250"}') AS amount_free,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","free_events":"3","free_amount":"250"}') AS both_amount_first,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","free_events":"1","free_amount":"250"}') AS both_events_first,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2","free_events":"9"}') AS all_free,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","event_min":"1","event_max":"4"}') AS bounded,
       pg_temp.each('{"model":"percentage","currency":"EUR","percent":"1.3","free_events":"2","event_min":"1","event_max":"4","discount_percent":"50","minimum":"3.9"}') AS wrapped;
-- The order of rows does not matter, that of times does; at one instant the smaller event comes first.
SELECT rate_each(t, amount, '2026-01-01'::timestamptz + n * interval '1 hour', 1 ORDER BY n) AS forward, rate_each(t, amount, '2026-01-01'::timestamptz + n * interval '1 hour', 1 ORDER BY n DESC) AS backward,
       rate_each(t, amount, '2026-01-01'::timestamptz - n * interval '1 hour', 1) AS times_reversed, rate_each(t, amount, '2026-01-01', 1 ORDER BY n DESC) AS at_once
  FROM payments, (SELECT '{"model":"percentage","currency":"EUR","percent":"1","free_events":"1"}'::tariff AS t) AS s;
-- Amount zero, and no event at all.
SELECT rate_each(t, 0, '2026-01-01', 1) FROM (SELECT '{"model":"percentage","currency":"EUR","percent":"1","per_event":"2","event_min":"1"}'::tariff AS t) AS s;
SELECT rate_each(t, 0, '2026-01-01', 1) FROM (SELECT '{"model":"percentage","currency":"EUR","percent":"1","per_event":"2","event_min":"1","on_zero":"nothing"}'::tariff AS t) AS s;
SELECT rate_each('{"model":"flat","currency":"EUR","amount":"1"}', 0, '2026-01-01', 1), try_rate_each('{"model":"flat","currency":"EUR","amount":"1"}', 0, '2026-01-01', 1) FROM payments WHERE false;

-- Prorated tiers: full units decide about the tiers, each part counts by the fraction of its event, each flat once, not below 0.
CREATE FUNCTION pg_temp.walk(written text, units numeric[], fractions numeric[]) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce((r).amount::text, (r).sqlstate || ' ' || (r).detail)
    FROM (SELECT billing.try_rate_each(written::billing.tariff, u, to_timestamp(n), f) AS r FROM unnest(units, fractions) WITH ORDINALITY AS e (u, f, n)) AS s
$$;
\set tiers '\'{"model":"graduated","currency":"EUR","tiers":[{"up_to":"5","unit_price":"10","flat":"100"},{"unit_price":"5","flat":"50"}]'
SELECT pg_temp.walk(:tiers}', '{5,2,-4,10}', '{0.7,0.5,0.4,0.2}') AS back_and_forth,
       pg_temp.walk(:tiers}', '{5,-100}', '{0.4,0.3333}') AS not_below_zero,
       pg_temp.walk(:tiers}', '{1,4,1,-5,-1}', '{0.7097,0.3870975,0.2258,0.16129,0.0645}') AS flats_of_tiers_left,
       pg_temp.walk(:tiers}', '{4,3}', '{1,1}') AS whole, rate(:tiers}', 7) AS by_rate,
       pg_temp.walk(:tiers}', '{0}', '{1}') AS zero, pg_temp.walk(:tiers,"on_zero":"charge"}', '{0}', '{1}') AS zero_charged;
SELECT pg_temp.walk(:tiers,"free":"2"}', '{1,4,2}', '{0.5,0.5,1}') AS free_units_first,
       pg_temp.walk(:tiers,"convert":{"divide_by":"3"}}', '{9,9}', '{0.5,1}') AS converted,
       pg_temp.walk(:tiers,"convert":{"divide_by":"3","round":"up"}}', '{9,9}', '{0.5,1}') AS rounded,
       pg_temp.walk(:tiers,"free":"2"}', '{5,-1}', '{1,1}') AS free_and_negative,
       pg_temp.walk('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"5","unit_price":"10"}],"beyond":"error"}', '{4,4}', '{1,1}') AS beyond,
       pg_temp.walk('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"5","unit_price":"10"}],"beyond":"free"}', '{4,4}', '{0.5,0.5}') AS beyond_free;
-- Volume: the tier of the full units, the price of the prorated ones; per_unit: the prorated ones.
SELECT pg_temp.walk('{"model":"volume","currency":"EUR","tiers":[{"up_to":"100","unit_price":"2","flat":"10"},{"up_to":"200","unit_price":"1"},{"unit_price":"0.5","flat":"50"}]}', '{150,150}', '{0.5,0.824}') AS volume,
       pg_temp.walk('{"model":"volume","currency":"EUR","tiers":[{"up_to":"100","unit_price":"2","flat":"10"}],"beyond":"free"}', '{60,60}', '{0.5,1}') AS volume_beyond_free,
       pg_temp.walk('{"model":"volume","currency":"EUR","tiers":[{"unit_price":"2"}]}', '{-60}', '{1}') AS volume_negative,
       pg_temp.walk('{"model":"per_unit","currency":"EUR","unit_price":"2"}', '{60,-60}', '{0.5,0.25}') AS per_unit,
       pg_temp.walk('{"model":"package","currency":"EUR","size":"10","amount":"1"}', '{6,6}', '{1,1}') AS package,
       pg_temp.walk('{"model":"package","currency":"EUR","size":"10","amount":"1"}', '{6,6}', '{1,0.5}') AS package_prorated,
       pg_temp.walk('{"model":"percentage","currency":"EUR","percent":"1"}', '{6,6}', '{1,0.5}') AS percentage_prorated,
       pg_temp.walk('{"model":"percentage","currency":"EUR","percent":"1"}', '{6,-6}', '{1,1}') AS percentage_negative;

-- What cannot be rated raises at the end, or is returned.
SELECT pg_temp.walk(:tiers}', '{1,NULL}', '{1,1}') AS null_amount, pg_temp.walk(:tiers}', '{1,1}', '{1,NULL}') AS null_fraction, pg_temp.walk(NULL, '{1}', '{1}') AS null_tariff,
       pg_temp.walk(:tiers}', '{NaN}', '{1}') AS not_finite, pg_temp.walk(:tiers}', '{1e300}', '{1}') AS out_of_range;
SELECT try_rate_each('{"model":"flat","currency":"EUR","amount":"1"}', 1, NULL, 1);
SELECT try_rate_each(('{"model":"flat","currency":"EUR","amount":"' || n || '"}')::tariff, 1, now(), 1) FROM payments;
SELECT try_rate_each('{"model":"flat","currency":"EUR","amount":"1"}', 1, now(), 1, jsonb_build_object('n', n)) FROM payments;
SELECT rate_each('{"model":"percentage","currency":"EUR","percent":"1"}', -1, now(), 1);
SELECT rate_each(NULL::tariff, 1, now(), 1);
-- Dimensions choose the cell of a matrix.
SELECT n % 2 AS region, rate_each(t, amount, to_timestamp(n), 1, jsonb_build_object('region', n % 2)), try_rate_each(t, amount, to_timestamp(n), 0.5, jsonb_build_object('region', n % 2)), try_rate_each(t, amount, to_timestamp(n), 1)
  FROM payments, (SELECT '{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"0"},"unit_price":"0.01"},{"match":{"region":"1"},"tariff":{"model":"percentage","percent":"1","free_events":"1"}}]}'::tariff AS t) AS s
 GROUP BY n % 2, t ORDER BY 1;
-- More events than the first allocation holds, with numbers of any size, as a window too.
SELECT rate_each('{"model":"percentage","currency":"EUR","percent":"1","free_events":"10"}', n, to_timestamp(n), 1) AS many FROM generate_series(1, 2999) AS n;  -- 1 % of 11 + 12 + … + 2999
SELECT rate_each('{"model":"percentage","currency":"EUR","percent":"1","event_min":"1"}', n * 1e-50 + 1e12, to_timestamp(n), 1) FROM generate_series(1, 20) AS n;
SELECT n, rate_each('{"model":"percentage","currency":"EUR","percent":"1","free_events":"1"}', amount, to_timestamp(n), 1) OVER (ORDER BY n) FROM payments;
