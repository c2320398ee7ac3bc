-- Usage in the forms of other systems, brought to our own.  A new system is one file with one function and one line here.

CREATE FUNCTION billing.usage_from_state(usage jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN $1 ? 'quantity' THEN $1
                WHEN $1 -> 'state' IN ('"on"', 'true') THEN ($1 - 'state') || '{"quantity": 1}'
                WHEN $1 -> 'state' IN ('"off"', 'false') THEN ($1 - 'state') || '{"quantity": 0}'
                ELSE $1 END
$$;
COMMENT ON FUNCTION billing.usage_from_state(jsonb) IS
'Usage with "state" (on, off, true, false) instead of a quantity: on is the level 1, off the level 0, for a meter with aggregation time_weighted. Any other state is left as it is, and so refused. Immutable.';

CREATE FUNCTION billing.expand_usage(usage jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS (
        SELECT e.element, e.no FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE jsonb_build_array($1) END) WITH ORDINALITY AS e(element, no)
    ), one AS (   -- a list of frames is its frames
        SELECT g.element, g.no, 0::bigint AS frame FROM given AS g WHERE coalesce(jsonb_typeof(g.element -> 'dataframes'), '') <> 'array'
        UNION ALL
        SELECT f.element, g.no, f.no FROM given AS g CROSS JOIN LATERAL jsonb_array_elements(g.element -> 'dataframes') WITH ORDINALITY AS f(element, no)
         WHERE jsonb_typeof(g.element -> 'dataframes') = 'array'
    ), form AS (
        SELECT o.*, CASE WHEN jsonb_typeof(o.element) <> 'object' THEN 'own'
                         WHEN o.element ? 'account' THEN CASE WHEN o.element ? 'state' THEN 'state' ELSE 'own' END
                         WHEN jsonb_typeof(o.element -> 'usage') = 'object' AND o.element ? 'period' THEN 'frame'
                         WHEN jsonb_typeof(o.element -> 'resources') = 'array' AND o.element ? 'begin' THEN 'frame'
                         WHEN o.element ? 'counter_name' OR (o.element ? 'name' AND o.element ? 'volume' AND o.element ? 'type') THEN 'sample'
                         ELSE 'own' END AS form
          FROM one AS o
    )
    SELECT coalesce(jsonb_agg(x.fact ORDER BY x.no, x.frame, x.place), '[]')
      FROM (SELECT f.no, f.frame, 1::bigint AS place, f.element AS fact FROM form AS f WHERE f.form = 'own'
            UNION ALL
            SELECT f.no, f.frame, 1, billing.usage_from_state(f.element) FROM form AS f WHERE f.form = 'state'
            UNION ALL
            SELECT f.no, f.frame, 1, billing.usage_from_ceilometer(f.element) FROM form AS f WHERE f.form = 'sample'
            UNION ALL
            SELECT f.no, f.frame, p.no, p.fact FROM form AS f CROSS JOIN LATERAL billing.usage_from_cloudkitty(f.element) WITH ORDINALITY AS p(fact, no) WHERE f.form = 'frame') AS x
$$;
COMMENT ON FUNCTION billing.expand_usage(jsonb) IS
'Usage as record_usage() takes it, as an array in our own form: objects in our own form and CloudEvents stay as they are; "state" becomes a quantity; samples of Ceilometer, data frames of CloudKitty and lists of such frames ({"dataframes": […]}) become facts, a frame one for each of its points. What is in no known form stays as it is, to be refused. Records nothing. Immutable.';
