-- What a move from another product would change: its prices and usage rated by its own rules and by plain ones.
--
-- A tariff that tariff_from() made follows rules of its product.  shadow_rules() takes them away one by one until a plain price is left:
-- every unit costs its price, a part of a package or block its part, and the sum is rounded once.  Rating a usage row at each rung of
-- that ladder tells how much of a difference is due to which rule, exactly.

CREATE FUNCTION billing.shadow_rule_words() RETURNS TABLE (rule text, words text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp ROWS 8
    AS $$
    VALUES ('negative', 'that product does not bill usage below 0'),
           ('zero_usage', 'that product bills the first tier''s flat amount without usage'),
           ('fraction', 'that product rounds the units before it prices them'),
           ('package', 'that product counts a started package whole'),
           ('block', 'that product counts a started block whole'),
           ('beyond', 'that product bills nothing for units above its last tier'),
           ('order_of_rounding', 'that product rounds every part of the price by itself, and then adds'),
           ('rounding', 'the amounts are rounded in different ways')
    $$;
COMMENT ON FUNCTION billing.shadow_rule_words() IS
'The reasons that shadow_bill() gives for a difference, each with what it means. The first six are rules that it can keep on our side. Immutable.';

CREATE FUNCTION billing.plain_blocks(price jsonb, unit text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH block AS (
        SELECT t.position, (b.value ->> 'size')::numeric AS size, (b.value ->> 'max')::numeric AS max, (b.value ->> 'price')::numeric AS price
          FROM jsonb_array_elements(price -> 'tiers') WITH ORDINALITY AS t(value, position)
         CROSS JOIN jsonb_array_elements(t.value -> 'blocks') AS b(value)
         WHERE b.value ->> 'unit' = plain_blocks.unit
    ), shape AS (   -- blocks of one size are divided by it, so that no price of a single unit has to be cut
        SELECT CASE WHEN min(b.size) = max(b.size) THEN min(b.size) ELSE 1 END AS divisor, max(b.position) AS last FROM block AS b
    ), tier AS (
        SELECT b.position, b.position = s.last AS is_last, b.max, round(b.price * s.divisor / b.size, 30) AS unit_price,
               sum(b.max * b.size / s.divisor) OVER (ORDER BY b.position) AS up_to
          FROM block AS b CROSS JOIN shape AS s
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'model', CASE price ->> 'policy' WHEN 'top_tier' THEN 'volume' ELSE 'graduated' END,
               'currency', price -> 'currency',
               'convert', (SELECT jsonb_build_object('divide_by', s.divisor) FROM shape AS s WHERE s.divisor <> 1),
               'tiers', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('up_to', CASE WHEN NOT (t.is_last AND price ->> 'policy' = 'top_tier') THEN t.up_to END, 'unit_price', t.unit_price)) ORDER BY t.position) FROM tier AS t),
               'beyond', (SELECT 'free' FROM tier AS t WHERE t.is_last AND t.max IS NOT NULL AND price ->> 'policy' = 'all_tiers')))
    $$;
COMMENT ON FUNCTION billing.plain_blocks(jsonb, text) IS
'Behind shadow_bill: the price of one unit of a tariff of model blocks, as tiers in which a part of a block costs its part. Immutable.';

CREATE FUNCTION billing.plain_package(price jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT price - 'size' - 'amount' - 'round' || CASE
        -- free units are counted after a conversion, so beside them the price of one unit is needed
        WHEN price ? 'free' OR price ? 'convert' THEN jsonb_build_object('model', 'per_unit', 'unit_price', round((price ->> 'amount')::numeric / (price ->> 'size')::numeric, 30))
        ELSE jsonb_build_object('model', 'per_unit', 'unit_price', price -> 'amount', 'convert', jsonb_build_object('divide_by', price -> 'size')) END
    $$;
COMMENT ON FUNCTION billing.plain_package(jsonb) IS
'Behind shadow_bill: a tariff of model package as one in which a part of a package costs its part. Immutable.';

CREATE FUNCTION billing.shadow_without(price jsonb, rule text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE rule
        WHEN 'negative' THEN CASE WHEN price ->> 'dialect' IN ('lago', 'meteroid') THEN price - 'dialect' ELSE price END
        WHEN 'zero_usage' THEN CASE WHEN price ->> 'model' IN ('graduated', 'volume', 'graduated_percentage') THEN price - 'on_zero' ELSE price END
        WHEN 'fraction' THEN CASE WHEN price -> 'convert' ? 'round' THEN price || jsonb_build_object('convert', (price -> 'convert') - 'round' - 'decimals') ELSE price END
        WHEN 'package' THEN CASE WHEN price ->> 'model' = 'package' THEN billing.plain_package(price) ELSE price END
        WHEN 'beyond' THEN CASE WHEN price ->> 'beyond' = 'free' THEN jsonb_set(price - 'beyond', '{tiers,-1}', (price #> '{tiers,-1}') - 'up_to') ELSE price END
        ELSE price END
    $$;
COMMENT ON FUNCTION billing.shadow_without(jsonb, text) IS
'Behind shadow_bill: a tariff''s JSON without one rule of its product; unchanged where the rule does not apply. Immutable.';

CREATE FUNCTION billing.shadow_rungs(price billing.tariff, keep text[]) RETURNS TABLE (rung int, rule text, unit text, tariff billing.tariff)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp ROWS 3
AS $$
DECLARE
    parts  jsonb := jsonb_build_object('', price::jsonb);   -- the price, or when its blocks are taken apart, the price of each unit
    before jsonb;
BEGIN
    RETURN QUERY SELECT 0, NULL::text, '', price;
    rung := 0;
    FOR rule IN SELECT w.rule FROM billing.shadow_rule_words() WITH ORDINALITY AS w(rule, words, position) WHERE w.position <= 6 AND w.rule <> ALL (keep) ORDER BY w.position LOOP
        before := parts;
        IF rule = 'block' AND parts #>> '{"",model}' = 'blocks' AND parts #>> '{"",policy}' <> 'capacity' THEN
            SELECT jsonb_object_agg(u.unit, billing.plain_blocks(before -> '', u.unit)) INTO parts
              FROM (SELECT DISTINCT b.value ->> 'unit' AS unit FROM jsonb_array_elements(before -> '' -> 'tiers') AS t(value) CROSS JOIN jsonb_array_elements(t.value -> 'blocks') AS b(value)) AS u;
        ELSE
            SELECT jsonb_object_agg(p.key, billing.shadow_without(p.value, rule)) INTO parts FROM jsonb_each(before) AS p;
        END IF;
        IF parts <> before THEN
            rung := rung + 1;
            RETURN QUERY SELECT shadow_rungs.rung, shadow_rungs.rule, p.key, billing.tariff(p.value) FROM jsonb_each(parts) AS p;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.shadow_rungs(billing.tariff, text[]) IS
'Behind shadow_bill: the ladder from a product''s tariff (rung 0) to a plain one; each rung drops one rule that is not kept. A rung has one tariff, or one a unit when blocks of several units were taken apart. Immutable.';

CREATE FUNCTION billing.shadow_unknown(used jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT format('member "%s" of the row is not known', min(m.key)) FROM jsonb_each(CASE jsonb_typeof(used) WHEN 'object' THEN used ELSE '{}' END) AS m
           WHERE m.key <> ALL ('{price,account,period,quantity,quantities,each,events,dimensions,fraction,billed}') HAVING count(*) > 0 $$;
COMMENT ON FUNCTION billing.shadow_unknown(jsonb) IS
'Behind shadow_bill: the problem of a usage row with a member that is not known, which may be a misspelled one; null without such. Immutable.';

CREATE FUNCTION billing.shadow_fraction(used jsonb) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fraction numeric := coalesce((used ->> 'fraction')::numeric, 1);
BEGIN
    IF fraction < 0 OR fraction >= 'Infinity' THEN   -- NaN is above all
        RAISE invalid_parameter_value USING MESSAGE = format('fraction must be a number from 0 on, but is %s', fraction);
    END IF;
    RETURN fraction;
END $$;
COMMENT ON FUNCTION billing.shadow_fraction(jsonb) IS
'Behind shadow_bill: the part of a period that a usage row is for, 1 unless it says so. Prices that do not depend on it are no reason to let nonsense pass. Errors: 22023 below 0, NaN or infinite, 22P02 no number. Immutable.';

CREATE FUNCTION billing.shadow_rate(price billing.tariff, unit text, used jsonb) RETURNS billing.monetary
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    events     bigint := (used ->> 'events')::bigint;
    dimensions jsonb := NULLIF(used -> 'dimensions', 'null');
    fraction   numeric := billing.shadow_fraction(used);
BEGIN
    IF used ? 'each' THEN
        RETURN (SELECT billing.rate_each(price, (e.value ->> 'amount')::numeric, coalesce((e.value ->> 'at')::timestamptz, '2000-01-01'::timestamptz + e.position * interval '1 second'), coalesce((e.value ->> 'fraction')::numeric, 1), dimensions)
                  FROM jsonb_array_elements(used -> 'each') WITH ORDINALITY AS e(value, position));
    ELSIF unit <> '' THEN
        RETURN billing.rate(price, coalesce((used -> 'quantities' ->> unit)::numeric, (used ->> 'quantity')::numeric, 0), events, dimensions, fraction);
    ELSIF used ? 'quantities' THEN
        RETURN billing.rate(price, used -> 'quantities', events, dimensions, fraction);
    END IF;
    RETURN billing.rate(price, (used ->> 'quantity')::numeric, events, dimensions, fraction);
END $$;
COMMENT ON FUNCTION billing.shadow_rate(billing.tariff, text, jsonb) IS
'Behind shadow_bill: the exact amount of one usage row at one tariff; with a unit, of that unit of the row. Errors: those of rate. Stable.';

CREATE FUNCTION billing.shadow_lines(price billing.tariff, used jsonb) RETURNS billing.monetary
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    events     bigint := (used ->> 'events')::bigint;
    dimensions jsonb := NULLIF(used -> 'dimensions', 'null');
    fraction   numeric := billing.shadow_fraction(used);
    nothing    billing.monetary := billing.monetary(0, billing.currency(price));
BEGIN
    IF used ? 'each' THEN
        RETURN billing.round(billing.shadow_rate(price, '', used));
    ELSIF used ? 'quantities' THEN
        RETURN coalesce((SELECT billing.sum(l.amount) FROM billing.rated_lines(price, used -> 'quantities', events, dimensions, fraction) AS l), nothing);
    END IF;
    RETURN coalesce((SELECT billing.sum(l.amount) FROM billing.rated_lines(price, (used ->> 'quantity')::numeric, events, dimensions, fraction) AS l), nothing);
END $$;
COMMENT ON FUNCTION billing.shadow_lines(billing.tariff, jsonb) IS
'Behind shadow_bill: what the tariff''s product bills for one usage row, rounded where it rounds. Errors: those of rated_lines. Stable.';

CREATE FUNCTION billing.shadow_row(rungs jsonb, used jsonb, rounding_mode text, OUT theirs billing.monetary, OUT ours billing.monetary, OUT billed billing.monetary, OUT parts jsonb, OUT problem text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    price  billing.tariff;
    exact  billing.monetary;
    before billing.monetary;
    after  billing.monetary;
    one    jsonb;
BEGIN
    parts := '{}';
    price := billing.tariff(rungs #> '{0,parts,""}');
    BEGIN
        IF NOT used ?| '{quantity,quantities,each}' THEN
            RAISE invalid_parameter_value USING MESSAGE = 'the row has no quantity, quantities or each';
        ELSIF used -> 'each' = '[]' THEN
            RAISE invalid_parameter_value USING MESSAGE = 'each of the row has no event', HINT = 'A row without usage says "quantity": "0".';
        END IF;
        billed := billing.monetary((used ->> 'billed')::numeric, billing.currency(price));
        theirs := billing.shadow_lines(price, used);
        exact := billing.shadow_rate(price, '', used);
    EXCEPTION WHEN OTHERS THEN
        problem := 'by the rules of that product: ' || SQLERRM;
        RETURN;
    END;
    before := exact;
    BEGIN
        FOR one IN SELECT r.value FROM jsonb_array_elements(rungs - 0) AS r(value) LOOP
            after := (SELECT billing.sum(billing.shadow_rate(billing.tariff(p.value), p.key, used)) FROM jsonb_each(one -> 'parts') AS p);
            parts := parts || jsonb_build_object(one ->> 'rule', billing.amount(after - before));
            before := after;
        END LOOP;
        ours := billing.round(before, rounding_mode);
    EXCEPTION WHEN OTHERS THEN
        problem := 'by plain rules: ' || SQLERRM;
        parts := jsonb_build_object(one ->> 'rule', NULL);
        RETURN;
    END;
    after := CASE WHEN price::jsonb ->> 'dialect' = 'openmeter' THEN billing.round(exact) ELSE theirs END;
    parts := parts || jsonb_build_object('order_of_rounding', billing.amount(after - theirs), 'rounding', billing.amount(exact - after + ours - before));
END $$;
COMMENT ON FUNCTION billing.shadow_row(jsonb, jsonb, text) IS
'Behind shadow_bill: one usage row rated at every rung of the ladder [{"rule", "parts": {unit: tariff}}]. parts: what each rule makes of the difference, adding up to it exactly. problem: why it cannot be rated; then ours, or both, are null. Stable.';

CREATE FUNCTION billing.shadow_price(dialect text, price jsonb, currency text, keep text[], OUT rungs jsonb, OUT problem text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT jsonb_agg(jsonb_build_object('rule', r.rule, 'parts', r.parts) ORDER BY r.rung) INTO rungs
      FROM (SELECT g.rung, g.rule, jsonb_object_agg(g.unit, g.tariff::jsonb) AS parts
              FROM billing.shadow_rungs(CASE WHEN jsonb_typeof(price) = 'string' THEN billing.tariff_from(dialect, (price #>> '{}')::xml, currency)
                                             ELSE billing.tariff_from(dialect, price, currency) END, keep) AS g
             GROUP BY g.rung, g.rule) AS r;
EXCEPTION WHEN OTHERS THEN
    problem := SQLERRM;
END $$;
COMMENT ON FUNCTION billing.shadow_price(text, jsonb, text, text[]) IS
'Behind shadow_bill: the ladder of one native price, or why it cannot be imported. Immutable.';

CREATE FUNCTION billing.shadow_billed(used jsonb, currency text) RETURNS billing.monetary
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN billing.monetary((used ->> 'billed')::numeric, currency);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.shadow_billed(jsonb, text) IS
'Behind shadow_bill: what was billed for a usage row that cannot be rated; null where that is no amount either. Immutable.';

CREATE FUNCTION billing.shadow_bill(dialect text, prices jsonb, usage jsonb, currency text DEFAULT NULL, rounding_mode text DEFAULT 'half_up', keep text[] DEFAULT '{}')
    RETURNS TABLE (scope text, position_no bigint, account text, price text, period text, quantity text, theirs billing.monetary, ours billing.monetary, difference billing.monetary,
                   parts jsonb, why text, billed billing.monetary, theirs_less_billed billing.monetary, row_count bigint, problem_count bigint, problem text, currency_code text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp ROWS 100
AS $$
#variable_conflict use_column
DECLARE
    wrong text;
BEGIN
    wrong := CASE WHEN dialect <> ALL (billing.dialects()) IS NOT FALSE THEN format('dialect %s is not known', coalesce('"' || dialect || '"', 'null'))
                  WHEN jsonb_typeof(prices) IS DISTINCT FROM 'object' THEN 'prices must be a JSON object of native prices by name'
                  WHEN jsonb_typeof(usage) IS DISTINCT FROM 'array' THEN 'usage must be a JSON array of rows'
                  WHEN keep IS NULL OR rounding_mode IS NULL THEN 'keep and rounding_mode must not be null'
                  WHEN NOT keep <@ ARRAY(SELECT w.rule FROM billing.shadow_rule_words() WITH ORDINALITY AS w(rule, words, position) WHERE w.position <= 6)
                      THEN format('keep names a rule that is not known: %s', keep) END;
    IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = wrong,
            HINT = 'billing.shadow_bill(''lago'', ''{"calls": <native price>}'', ''[{"price": "calls", "account": "acme", "quantity": "1200"}]''); rules to keep are listed by billing.shadow_rule_words().';
    END IF;
    PERFORM billing.round(billing.monetary(0, 'EUR'), rounding_mode);   -- raises for an unknown mode, before any row
    RETURN QUERY
    WITH ladder AS MATERIALIZED (
        SELECT p.key AS price, l.rungs, l.problem FROM jsonb_each(prices) AS p CROSS JOIN LATERAL billing.shadow_price(dialect, p.value, currency, keep) AS l
    ), used AS (
        SELECT u.value, u.position, coalesce(u.value ->> 'price', (SELECT min(l.price) FROM ladder AS l HAVING count(*) = 1)) AS price
          FROM jsonb_array_elements(usage) WITH ORDINALITY AS u(value, position)
    ), rated AS MATERIALIZED (
        SELECT u.position, u.value ->> 'account' AS account, u.price, u.value ->> 'period' AS period,
               coalesce(u.value ->> 'quantity', u.value ->> 'quantities', jsonb_array_length(CASE jsonb_typeof(u.value -> 'each') WHEN 'array' THEN u.value -> 'each' END) || ' events') AS quantity,
               r.theirs, r.ours, r.ours - r.theirs AS difference,
               (SELECT jsonb_object_agg(x.key, x.value) FROM jsonb_each(r.parts) AS x WHERE x.value NOT IN ('0', 'null')) AS parts,
               coalesce(r.billed, billing.shadow_billed(u.value, coalesce(l.rungs #>> '{0,parts,"",currency}', upper(shadow_bill.currency)))) AS billed,
               coalesce(billing.currency(r.theirs), l.rungs #>> '{0,parts,"",currency}', upper(shadow_bill.currency)) AS currency,
               CASE WHEN u.price IS NULL THEN 'the row names no price' WHEN l.price IS NULL THEN format('there is no price "%s"', u.price)
                    ELSE coalesce(l.problem, billing.shadow_unknown(u.value), r.problem) END AS problem
          FROM used AS u
          LEFT JOIN ladder AS l ON l.price = u.price
          LEFT JOIN LATERAL billing.shadow_row(l.rungs, u.value, rounding_mode) AS r ON l.rungs IS NOT NULL
    ), part AS (
        SELECT r.position, r.account, r.currency, x.key AS rule, x.value::text::numeric AS amount
          FROM rated AS r CROSS JOIN LATERAL jsonb_each(r.parts) AS x WHERE r.problem IS NULL
    ), total AS (
        SELECT CASE WHEN grouping(r.account) = 0 THEN 'account' ELSE 'total' END AS scope, r.account, r.currency,
               billing.sum(r.theirs) FILTER (WHERE r.problem IS NULL) AS theirs, billing.sum(r.ours) FILTER (WHERE r.problem IS NULL) AS ours,
               billing.sum(r.difference) FILTER (WHERE r.problem IS NULL) AS difference, billing.sum(r.billed) AS billed,
               billing.sum(r.theirs - r.billed) AS theirs_less_billed, count(*) AS row_count, count(r.problem) AS problem_count
          FROM rated AS r
         GROUP BY GROUPING SETS ((r.account, r.currency), (r.currency))
    ), shown AS (
        SELECT 1 AS sorted, 'row' AS scope, r.position, r.account, r.price, r.period, r.quantity, r.theirs, r.ours, r.difference, r.parts, r.billed, r.theirs - r.billed AS theirs_less_billed,
               1::bigint AS row_count, (r.problem IS NOT NULL)::int::bigint AS problem_count, r.problem, r.currency
          FROM rated AS r
        UNION ALL
        SELECT CASE t.scope WHEN 'account' THEN 2 ELSE 3 END, t.scope, NULL, t.account, NULL, NULL, NULL, t.theirs, t.ours, t.difference,
               (SELECT jsonb_object_agg(s.rule, s.amount) FROM (SELECT p.rule, trim_scale(sum(p.amount)) AS amount FROM part AS p WHERE p.currency = t.currency AND (t.scope = 'total' OR p.account IS NOT DISTINCT FROM t.account) GROUP BY p.rule) AS s),
               t.billed, t.theirs_less_billed, t.row_count, t.problem_count,
               CASE WHEN t.problem_count > 0 THEN format('%s of %s rows could not be rated and are left out of all sums but billed', t.problem_count, t.row_count)
                                                  || CASE WHEN t.currency IS NULL THEN '; without a currency, which the argument currency can name' ELSE '' END END,
               t.currency
          FROM total AS t
         WHERE t.scope = 'total' OR t.account IS NOT NULL
    )
    SELECT s.scope, s.position, s.account, s.price, s.period, s.quantity, s.theirs, s.ours, s.difference, coalesce(s.parts, '{}'),
           (SELECT string_agg(format('%s %s: %s', w.rule, coalesce(s.parts ->> w.rule, ''), w.words), '; ' ORDER BY w.position)
              FROM billing.shadow_rule_words() WITH ORDINALITY AS w(rule, words, position) WHERE s.parts ? w.rule),
           s.billed, s.theirs_less_billed, s.row_count, s.problem_count, s.problem, s.currency
      FROM shown AS s
     ORDER BY s.sorted, s.position, s.account, s.currency;
END $$;
COMMENT ON FUNCTION billing.shadow_bill(text, jsonb, jsonb, text, text, text[]) IS
'What a move from another product would change. Rates exported prices and usage twice: as that product bills (theirs: its rules, rounded where it rounds) and by plain rules (ours: every unit costs its price, a part of a package or block its part, rounded once). prices: {"name": native price, …} as for tariff_from, a Kill Bill usage element also as a string of XML. usage: [{"price", "account", "period", "quantity" or "quantities": {unit: quantity} or "each": [{"amount", "at", "fraction"}] for prices that depend on single events, "events", "dimensions", "fraction", "billed"}, …]; price may be left out when there is one; billed is what that product did bill, to be compared with theirs (also where the price cannot be read). currency: as for tariff_from, and the currency of rows whose price cannot be read. rounding_mode: how ours is rounded. keep: rules of the product that our side keeps, so that a move can be planned rule by rule. Rows: one of scope row for each usage row in its order, then one of scope account for each account and one of scope total, by currency; rows with a problem are in no sum but that of billed, and the problem of an account or total says how many are left out; currency_code is the currency of each row. difference = ours - theirs; parts splits it by rule exactly, why says it in words. A price or row that cannot be rated has a problem and stops nothing. Errors: 22023 for arguments of another shape, an unknown dialect, rule or rounding mode. Stable.';
