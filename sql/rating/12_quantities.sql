-- What a meter does to usage before anything is priced: filter, grouping, conversion.  Pure functions of values.

CREATE FUNCTION billing.meets_condition(value text, condition jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted record;
    number CONSTANT numeric := CASE WHEN value ~ '^\s*[-+]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})\s*$' THEN value::numeric END;
BEGIN
    FOR wanted IN SELECT e.key, e.value FROM jsonb_each(condition) AS e LOOP
        IF NOT coalesce(CASE wanted.key
               WHEN 'present' THEN (value IS NOT NULL) = wanted.value::boolean
               WHEN 'not' THEN value IS NULL OR NOT EXISTS (SELECT FROM jsonb_array_elements_text(wanted.value) AS a(one) WHERE a.one = value)
               WHEN 'above' THEN number > (wanted.value #>> '{}')::numeric
               WHEN 'from' THEN number >= (wanted.value #>> '{}')::numeric
               WHEN 'to' THEN number <= (wanted.value #>> '{}')::numeric
               WHEN 'below' THEN number < (wanted.value #>> '{}')::numeric END, false) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.meets_condition(text, jsonb) IS
'Whether a value keeps every condition of an object: present (true or false), not (none of these), above, from, to, below (a decimal number compared by value; what is no number does not pass). Immutable.';

CREATE FUNCTION billing.meter_accepts(filter jsonb, dimensions jsonb, quantity numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT NOT EXISTS (SELECT FROM pg_catalog.jsonb_each($1) AS f(name, wanted)
                              CROSS JOIN LATERAL (SELECT CASE WHEN f.name OPERATOR(pg_catalog.=) 'quantity' THEN $3::pg_catalog.text ELSE $2 OPERATOR(pg_catalog.->>) f.name END) AS v(value)
                              WHERE NOT COALESCE(CASE
                                  WHEN pg_catalog.jsonb_typeof(f.wanted) OPERATOR(pg_catalog.=) 'object' THEN billing.meets_condition(v.value, f.wanted)
                                  WHEN pg_catalog.jsonb_typeof(f.wanted) OPERATOR(pg_catalog.=) 'array' THEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements_text(f.wanted) AS a(one) WHERE a.one OPERATOR(pg_catalog.=) v.value)
                                  ELSE v.value OPERATOR(pg_catalog.=) (f.wanted OPERATOR(pg_catalog.#>>) '{}') END, false)) $$;
COMMENT ON FUNCTION billing.meter_accepts(jsonb, jsonb, numeric) IS
'Whether usage with these dimensions and this quantity passes a meter''s filter. Each member of the filter names a dimension, or quantity, and says what it must be: one value, an array of values (compared as text), or an object of conditions, see meets_condition(). A dimension that is missing passes only "not" and {"present": false}. Immutable.';

CREATE FUNCTION billing.chosen_dimensions(names text[], dimensions jsonb, resource text) RETURNS jsonb
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.chosen_dimensions(text[], jsonb, text) IS
'The named dimensions of usage as an object of texts; "resource" names the resource, a dimension that is missing is null. Immutable.';

CREATE FUNCTION billing.charge_group(names text[], dimensions jsonb, resource text) RETURNS jsonb
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.charge_group(text[], jsonb, text) IS
'The group of a charge: as chosen_dimensions(), but of a value of more than 200 bytes only the first 100 and a digest, since groups are part of keys. Immutable.';

CREATE FUNCTION billing.scaled_quantity(quantity numeric, multiply_by numeric, divide_by numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN $2 OPERATOR(pg_catalog.=) 1 AND $3 OPERATOR(pg_catalog.=) 1 THEN $1
                WHEN $3 OPERATOR(pg_catalog.=) 1 THEN $1 OPERATOR(pg_catalog.*) $2
                -- a quantity of 15 decimals over a power of two up to 2^40 ends within 55; a fraction without end keeps 20
                ELSE (SELECT CASE WHEN pg_catalog.scale(q.exact) OPERATOR(pg_catalog.>) 55 THEN pg_catalog.round(q.exact, 20) ELSE q.exact END
                        FROM (SELECT pg_catalog.trim_scale(pg_catalog.round($1 OPERATOR(pg_catalog.*) $2, 60) OPERATOR(pg_catalog./) $3) AS exact) AS q) END
$$;
COMMENT ON FUNCTION billing.scaled_quantity(numeric, numeric, numeric) IS
'A quantity times multiply_by over divide_by: exact where the quotient ends, as that by a power of two does, otherwise rounded at 20 decimals. Immutable.';

CREATE FUNCTION billing.quantity_mutated_by(word text, quantity numeric, multiply_by numeric, divide_by numeric, offset_by numeric, mutate_map jsonb) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF word = lower(word) OR lower(word) <> ALL ('{floor,ceil,numbool,notnumbool,map}') THEN
        RAISE EXCEPTION 'mutate "%" is not known', word USING ERRCODE = 'invalid_parameter_value',
            HINT = 'One of floor, ceil, numbool, notnumbool, map, in any case; null leaves the quantity as it is.';
    END IF;
    RETURN billing.mutated_quantity(quantity, multiply_by, divide_by, offset_by, lower(word), mutate_map);
END $$;
COMMENT ON FUNCTION billing.quantity_mutated_by(text, numeric, numeric, numeric, numeric, jsonb) IS
'Behind mutated_quantity: the same for a word in capitals. Meters keep theirs in lower case and never come here. Errors: 22023 for a word that is not known. Immutable.';

CREATE FUNCTION billing.mutated_quantity(quantity numeric, multiply_by numeric, divide_by numeric, offset_by numeric, mutate text, mutate_map jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- the value is numerator over $3; div() and mod() are exact, so that floor and ceil do not depend on how a quotient was rounded
    SELECT CASE
        WHEN $5 OPERATOR(pg_catalog.=) 'floor' THEN pg_catalog.div(n.numerator, $3) OPERATOR(pg_catalog.-) CASE WHEN pg_catalog.mod(n.numerator, $3) OPERATOR(pg_catalog.<) 0 THEN 1 ELSE 0 END
        WHEN $5 OPERATOR(pg_catalog.=) 'ceil' THEN pg_catalog.div(n.numerator, $3) OPERATOR(pg_catalog.+) CASE WHEN pg_catalog.mod(n.numerator, $3) OPERATOR(pg_catalog.>) 0 THEN 1 ELSE 0 END
        WHEN $5 OPERATOR(pg_catalog.=) 'numbool' THEN CASE WHEN n.numerator OPERATOR(pg_catalog.=) 0 THEN 0 ELSE 1 END
        WHEN $5 OPERATOR(pg_catalog.=) 'notnumbool' THEN CASE WHEN n.numerator OPERATOR(pg_catalog.=) 0 THEN 1 ELSE 0 END
        WHEN $5 OPERATOR(pg_catalog.=) 'map' THEN COALESCE(($6 OPERATOR(pg_catalog.->>) pg_catalog.trim_scale(billing.scaled_quantity(n.numerator, 1, $3))::pg_catalog.text)::pg_catalog.numeric, 0)
        WHEN $5 IS NULL THEN billing.scaled_quantity(n.numerator, 1, $3)
        ELSE billing.quantity_mutated_by($5, $1, $2, $3, $4, $6) END
      FROM (SELECT ($1 OPERATOR(pg_catalog.*) $2) OPERATOR(pg_catalog.+) ($4 OPERATOR(pg_catalog.*) $3) AS numerator) AS n
$$;
COMMENT ON FUNCTION billing.mutated_quantity(numeric, numeric, numeric, numeric, text, jsonb) IS
'What one usage row counts: quantity times multiply_by over divide_by plus offset_by, then floor, ceil, numbool (1 unless it is 0), notnumbool (1 if it is 0), map (as mutate_map says, 0 for what it does not name), or left as it is when mutate is null; words in any case. Exact. Order and words are CloudKitty''s (metrics.yml: convert, then mutate). Errors: 22023 for another word. Immutable.';
