-- rate() against an independent computation in SQL numerics, over random tariffs and quantities: small and huge, with few and many
-- decimals, so that both the 128-bit and the numeric path of the arithmetic are taken.
SELECT setseed(0.20261121);

-- Round half even to 15 decimals.  A quotient that was cut at 90 decimals may have missed a tie, which 70 decimals show again.
CREATE FUNCTION pg_temp.rounded(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN abs(y - trunc(y)) > 0.5 OR (abs(y - trunc(y)) = 0.5 AND trunc(y) % 2 <> 0)
              THEN trunc(y) + sign(y) ELSE trunc(y) END * 0.000000000000001
    FROM (SELECT round(x, 70) * 1000000000000000) AS s (y)
$$;

-- a / b with 90 decimals.
CREATE FUNCTION pg_temp.divided(a numeric, b numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT round(a, 90) / b
$$;

CREATE FUNCTION pg_temp.rounded_units(x numeric, mode text, decimals int) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  y numeric := abs(x) * 10::numeric ^ decimals;
  part numeric := y - trunc(y);
  up boolean := CASE mode WHEN 'up' THEN part > 0 WHEN 'down' THEN false WHEN 'half_up' THEN part >= 0.5
                          ELSE part > 0.5 OR (part = 0.5 AND trunc(y) % 2 = 1) END;
BEGIN
  RETURN sign(x) * (trunc(y) + up::int) * (0.1 ^ decimals);
END $$;

-- The tier formulas of the documentation, word by word; null: an error is due.
CREATE FUNCTION pg_temp.tier_amount(t jsonb, u numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  member text := CASE WHEN t->>'model' = 'graduated_percentage' THEN 'percent' ELSE 'unit_price' END;
  part numeric := CASE WHEN member = 'percent' THEN 0.01 ELSE 1 END;
  lower_bound numeric := 0;
  amount numeric := 0;
  tier jsonb;
BEGIN
  IF u < 0 THEN RETURN NULL; END IF;
  IF u = 0 THEN
    RETURN CASE WHEN t->>'on_zero' = 'charge' THEN coalesce((t->'tiers'->0->>'flat')::numeric, 0) ELSE 0 END;
  END IF;
  FOR tier IN SELECT jsonb_array_elements(t->'tiers') LOOP
    IF t->>'model' = 'volume' THEN
      IF tier->>'up_to' IS NULL OR u <= (tier->>'up_to')::numeric THEN
        RETURN coalesce((tier->>'flat')::numeric, 0) + u * (tier->>member)::numeric;
      END IF;
    ELSIF u > lower_bound THEN
      amount := amount + coalesce((tier->>'flat')::numeric, 0)
                + (least(u, (tier->>'up_to')::numeric) - lower_bound) * (tier->>member)::numeric * part;
    END IF;
    lower_bound := (tier->>'up_to')::numeric;
  END LOOP;
  IF lower_bound IS NULL OR u <= lower_bound THEN RETURN amount; END IF;
  IF t->>'beyond' = 'error' THEN RETURN NULL; END IF;
  IF t->>'model' = 'volume' THEN
    RETURN coalesce((tier->>'flat')::numeric, 0) + lower_bound * (tier->>member)::numeric;
  END IF;
  RETURN amount;
END $$;

CREATE FUNCTION pg_temp.reference(t jsonb, q numeric, events bigint, dimensions jsonb, fraction numeric, complete boolean) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  u numeric := q;
  amount numeric;
  price jsonb;
BEGIN
  IF t ? 'convert' THEN
    u := pg_temp.divided(u * coalesce((t#>>'{convert,multiply_by}')::numeric, 1), coalesce((t#>>'{convert,divide_by}')::numeric, 1));
    IF t#>>'{convert,round}' IS NOT NULL THEN
      u := pg_temp.rounded_units(u, t#>>'{convert,round}', coalesce((t#>>'{convert,decimals}')::int, 0));
    END IF;
  END IF;
  IF t ? 'free' AND (t->>'free')::numeric <> 0 THEN
    IF u < 0 THEN RETURN NULL; END IF;
    u := greatest(u - (t->>'free')::numeric, 0);
  END IF;
  CASE t->>'model'
    WHEN 'flat' THEN amount := (t->>'amount')::numeric * fraction;
    WHEN 'per_unit' THEN amount := u * (t->>'unit_price')::numeric;
    WHEN 'package' THEN
      IF u < 0 THEN RETURN NULL; END IF;
      amount := pg_temp.rounded_units(pg_temp.divided(u, (t->>'size')::numeric), coalesce(t->>'round', 'up'), 0) * (t->>'amount')::numeric;
    WHEN 'percentage' THEN
      IF u < 0 THEN RETURN NULL; END IF;
      amount := CASE WHEN u = 0 AND t->>'on_zero' = 'nothing' THEN 0 ELSE
                greatest(u - coalesce((t->>'free_amount')::numeric, 0), 0) * (t->>'percent')::numeric / 100
                + coalesce((t->>'per_event')::numeric, 0) * events END;
    WHEN 'matrix' THEN
      SELECT c INTO price FROM jsonb_array_elements(t->'cells') AS c WHERE c->'match' = dimensions;
      price := coalesce(price, t->'default');
      IF price IS NULL THEN RETURN NULL; END IF;
      amount := CASE WHEN price ? 'unit_price' THEN u * (price->>'unit_price')::numeric
                     ELSE pg_temp.reference(price->'tariff', u, events, dimensions, fraction, complete) END;
    ELSE amount := pg_temp.tier_amount(t, u);
  END CASE;
  amount := amount * (1 - coalesce((t->>'discount_percent')::numeric, 0) / 100);
  IF t ? 'maximum' AND amount IS NOT NULL THEN amount := least(amount, (t->>'maximum')::numeric * fraction); END IF;
  IF t ? 'minimum' AND amount IS NOT NULL AND complete AND (t->>'minimum')::numeric > 0 THEN
    amount := greatest(amount, (t->>'minimum')::numeric * fraction);
  END IF;
  RETURN amount;
END $$;

-- Random numbers: up to the given digits before the point, and any decimals up to the given ones.
CREATE FUNCTION pg_temp.any_number(digits int, decimals int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  d int := floor(random() * (decimals + 1));
BEGIN
  RETURN trunc((SELECT string_agg(floor(random() * 10)::text, '') FROM generate_series(1, digits))::numeric
               / 10::numeric ^ floor(random() * (digits + 1))::int)
         + ('0.' || (SELECT string_agg(floor(random() * 10)::text, '') FROM generate_series(1, d + 1)))::numeric(100, 40);
END $$;

CREATE FUNCTION pg_temp.chance(p float8) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < p $$;

CREATE FUNCTION pg_temp.any_of(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT words[1 + floor(random() * cardinality(words))::int] $$;

CREATE FUNCTION pg_temp.any_tariff(depth int, digits int, decimals int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  model text := pg_temp.any_of('flat', 'per_unit', 'graduated', 'graduated', 'volume', 'package', 'percentage', 'graduated_percentage', CASE WHEN depth < 2 THEN 'matrix' ELSE 'volume' END);
  t jsonb := jsonb_build_object('model', model);
  tiers jsonb[] := '{}';
  bound numeric := 0;
  n int := 1 + floor(random() * random() * 12);
  tier jsonb;
BEGIN
  IF depth = 0 THEN t := t || '{"currency":"EUR"}'; END IF;
  CASE
    WHEN model = 'flat' THEN t := t || jsonb_build_object('amount', pg_temp.any_number(4, decimals));
    WHEN model = 'per_unit' THEN t := t || jsonb_build_object('unit_price', pg_temp.any_number(2, decimals)::text);
    WHEN model = 'package' THEN
      t := t || jsonb_build_object('size', pg_temp.any_number(3, 3) + 0.01, 'amount', pg_temp.any_number(3, 4), 'round', pg_temp.any_of('up', 'down', 'half_up'));
    WHEN model = 'percentage' THEN
      t := t || jsonb_build_object('percent', pg_temp.any_number(1, 4), 'on_zero', pg_temp.any_of('charge', 'nothing'))
             || CASE WHEN pg_temp.chance(0.5) THEN jsonb_build_object('per_event', pg_temp.any_number(1, 3)) ELSE jsonb_build_object('free_amount', pg_temp.any_number(3, 2)) END;
    WHEN model = 'matrix' THEN
      t := t || jsonb_build_object('dimensions', '["region"]'::jsonb, 'cells', (
        SELECT jsonb_agg(jsonb_build_object('match', jsonb_build_object('region', 'r' || i))
               || CASE WHEN pg_temp.chance(0.5) THEN jsonb_build_object('unit_price', pg_temp.any_number(2, decimals))
                  ELSE jsonb_build_object('tariff', pg_temp.any_tariff(2, digits, decimals)) END)
          FROM generate_series(1, n) AS i));
      IF pg_temp.chance(0.5) THEN t := t || jsonb_build_object('default', jsonb_build_object('unit_price', 3)); END IF;
    ELSE
      FOR i IN 1 .. n LOOP
        bound := bound + pg_temp.any_number(digits, decimals) + 0.01;
        tier := jsonb_build_object(CASE model WHEN 'graduated_percentage' THEN 'percent' ELSE 'unit_price' END, pg_temp.any_number(2, decimals), 'up_to', bound);
        IF pg_temp.chance(0.3) THEN tier := tier || jsonb_build_object('flat', pg_temp.any_number(3, decimals)); END IF;
        tiers := tiers || tier;
      END LOOP;
      IF pg_temp.chance(0.7) THEN tiers[n] := tiers[n] - 'up_to';
      ELSE t := t || jsonb_build_object('beyond', pg_temp.any_of('error', 'free')); END IF;
      t := t || jsonb_build_object('tiers', tiers, 'on_zero', pg_temp.any_of('charge', 'nothing'));
  END CASE;
  IF model NOT IN ('flat', 'percentage', 'graduated_percentage') AND pg_temp.chance(0.3) THEN
    t := t || jsonb_build_object('convert', jsonb_strip_nulls(jsonb_build_object(
      'multiply_by', CASE WHEN pg_temp.chance(0.3) THEN pg_temp.any_number(2, 2) + 0.5 END,
      'divide_by', CASE WHEN pg_temp.chance(0.8) THEN pg_temp.any_of('3', '7', '60', '1000', '1024', '3600', '0.7')::numeric END,
      'round', CASE WHEN pg_temp.chance(0.4) THEN pg_temp.any_of('up', 'down', 'half_up', 'half_even') END)));
    IF t#>'{convert,round}' IS NOT NULL AND pg_temp.chance(0.5) THEN t := jsonb_set(t, '{convert,decimals}', to_jsonb(floor(random() * 6))); END IF;
  END IF;
  IF model NOT IN ('flat', 'percentage') AND pg_temp.chance(0.2) THEN t := t || jsonb_build_object('free', pg_temp.any_number(3, decimals)); END IF;
  IF pg_temp.chance(0.15) THEN t := t || jsonb_build_object('discount_percent', pg_temp.any_number(2, 3)); END IF;
  IF pg_temp.chance(0.15) THEN t := t || jsonb_build_object('minimum', pg_temp.any_number(3, 3)); END IF;
  IF pg_temp.chance(0.15) THEN t := t || jsonb_build_object('maximum', pg_temp.any_number(4, 3)); END IF;
  RETURN t;
END $$;

-- Cases of ordinary size, and of a size that 128 bits cannot hold on the way.
CREATE TEMPORARY TABLE cases AS
SELECT i, j, t, CASE WHEN j = 1 THEN 0 WHEN j = 2 THEN -q
                     WHEN j = 3 THEN coalesce((t#>>'{tiers,0,up_to}')::numeric, q)
                     WHEN j = 4 THEN coalesce((t#>>'{tiers,1,up_to}')::numeric, q) + 0.000001 ELSE q END AS q,
       floor(random() * 5)::bigint AS events, jsonb_build_object('region', 'r' || floor(1 + random() * 6)) AS dimensions,
       CASE WHEN random() < 0.3 THEN round(random()::numeric, 6) ELSE 1 END AS fraction, random() < 0.8 AS complete
  FROM (SELECT i, pg_temp.any_tariff(0, CASE WHEN i % 4 = 0 THEN 12 ELSE 4 END, CASE WHEN i % 4 = 0 THEN 18 ELSE 3 END) AS t FROM generate_series(1, 900) AS i) AS tariffs,
       LATERAL (SELECT j, CASE WHEN i % 4 = 0 THEN pg_temp.any_number(14, 40) ELSE pg_temp.any_number(5, 6) END AS q FROM generate_series(1, 8) AS j OFFSET 0) AS quantities
 WHERE t IS NOT NULL;

CREATE TEMPORARY TABLE results AS
SELECT c.*, t::tariff AS tariff, pg_temp.rounded(pg_temp.reference(t, q, events, dimensions, fraction, complete)) AS reference,
       try_rate(t::tariff, q, events, dimensions, fraction, complete) AS result
  FROM cases AS c;

-- Every amount is that of the reference, and what the reference calls an error is one.
SELECT i, j, tariff, q, events, dimensions, fraction, complete, reference, result
  FROM results
 WHERE (CASE WHEN abs(reference) > 1e16 THEN (result).sqlstate IS DISTINCT FROM '22003'
             WHEN reference IS NULL THEN (result).sqlstate NOT IN ('BL001', 'BL002', 'BL004') OR (result).sqlstate IS NULL
             ELSE amount((result).amount) IS DISTINCT FROM reference END)
 LIMIT 5;
SELECT count(*) AS cases, count((result).amount) > 5000 AS most_are_rated, count(*) FILTER (WHERE (result).sqlstate = 'BL001') > 0 AS bl001,
       count(*) FILTER (WHERE (result).sqlstate = 'BL002') > 0 AS bl002, count(*) FILTER (WHERE (result).sqlstate = 'BL004') > 0 AS bl004,
       count(*) FILTER (WHERE scale(trim_scale(q)) > 30) > 0 AS many_decimals
  FROM results;

-- rate gives the same as try_rate, and so do the quantity as jsonb, and the tariff read back from its text.
SELECT count(*) FROM results
 WHERE (result).amount IS NOT NULL
   AND ((result).amount <> rate(tariff, q, events, dimensions, fraction, complete)
        OR (result).amount <> rate(tariff::text::tariff, q, events, dimensions, fraction, complete)
        OR (scale(trim_scale(q)) <= 20 AND (result).amount <> rate(tariff, jsonb_build_object('unit', q), events, dimensions, fraction, complete)));

-- The steps add up to the amount.  (A huge step that a maximum cuts may be beyond the range of monetary, and then raises.)
SELECT count(*) FROM results
 WHERE (result).amount IS NOT NULL
   AND (result).amount IS DISTINCT FROM (SELECT sum(amount) FROM rating_steps(tariff, q, events, dimensions, fraction, complete))
   AND (result).amount <> '0 EUR' AND (i % 4 <> 0 OR t::text NOT LIKE '%maximum%');

-- The canonical text does not change when it is read again, and equal tariffs have equal text.
SELECT count(*) FROM results WHERE tariff <> tariff::text::tariff OR tariff::text <> tariff::text::tariff::text;

-- Two readings of random events agree: rate_each over events that count in full is rate of their sum, where only the sum matters.
SELECT count(*)
  FROM (SELECT tariff, sum(e) AS total, try_rate_each(tariff, e, to_timestamp(n), 1, '{"region":"r1"}') AS each
          FROM (SELECT DISTINCT ON (i) * FROM results WHERE i % 4 <> 0 ORDER BY i) AS r, LATERAL (SELECT n, pg_temp.any_number(3, 3) AS e FROM generate_series(1, 1 + i % 5) AS n OFFSET 0) AS events
         GROUP BY i, tariff) AS s, LATERAL try_rate(tariff, total, NULL, '{"region":"r1"}') AS whole
 WHERE NOT needs_events(tariff) AND (each).sqlstate IS DISTINCT FROM '22023' AND ((each).amount, (each).sqlstate) IS DISTINCT FROM (whole.amount, whole.sqlstate);
