-- Usage from Ceilometer: samples as its http publisher posts them, and their older signed form (counter_name …).

-- In PL/pgSQL, which keeps the plans of a session: an SQL function within another would be planned again for every sample.
CREATE FUNCTION billing.flat_members(object jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(object) <> 'object' THEN
        RETURN '{}';
    ELSIF NOT jsonb_path_exists(object, 'strict $.* ? (@.type() == "object" || @.type() == "array" || @.type() == "null")') THEN
        RETURN object;
    END IF;
    RETURN (
        WITH RECURSIVE member (name, value) AS (
            SELECT e.key, e.value FROM jsonb_each(object) AS e
            UNION ALL
            SELECT m.name || '.' || e.key, e.value
              FROM member AS m CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value ELSE '{}' END) AS e
        )
        SELECT coalesce(jsonb_object_agg(m.name, m.value ORDER BY m.name, m.value), '{}') FROM member AS m WHERE jsonb_typeof(m.value) IN ('string', 'number', 'boolean'));
END $$;
COMMENT ON FUNCTION billing.flat_members(jsonb) IS
'The strings, numbers and booleans of a JSON object as dimensions; members of inner objects are named "flavor.name". Nulls and arrays are left out. Null for null. Immutable.';

CREATE FUNCTION billing.instant_in_utc(instant jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof($1) = 'string' AND $1 #>> '{}' ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$'
                THEN to_jsonb(replace($1 #>> '{}', ' ', 'T') || CASE WHEN length($1 #>> '{}') = 16 THEN ':00Z' ELSE 'Z' END)
                WHEN jsonb_typeof($1) = 'number' AND ($1 #>> '{}')::numeric BETWEEN 0 AND 10000000000
                THEN to_jsonb(to_char(timestamp '1970-01-01' + trunc(($1 #>> '{}')::numeric)::bigint * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                ELSE $1 END
$$;
COMMENT ON FUNCTION billing.instant_in_utc(jsonb) IS
'An instant as OpenStack writes it, as text of RFC 3339: without an offset it is UTC, a number counts seconds since 1970; anything else is returned as it is. Null for null. Immutable.';

CREATE FUNCTION billing.usage_from_ceilometer(sample jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'id', coalesce(sample -> 'id', sample -> 'message_id'),
        'source', sample -> 'source',
        'account', sample -> 'project_id',
        'meter', coalesce(sample -> 'name', sample -> 'counter_name'),
        'at', billing.instant_in_utc(sample -> 'timestamp'),
        'quantity', coalesce(sample -> 'volume', sample -> 'counter_volume'),
        'resource', sample -> 'resource_id',
        'dimensions', coalesce(billing.flat_members(sample -> 'resource_metadata'), '{}') || jsonb_strip_nulls(jsonb_build_object('user_id', sample -> 'user_id')),
        'sample_type', coalesce(sample -> 'type', sample -> 'counter_type')));
END $$;
COMMENT ON FUNCTION billing.usage_from_ceilometer(jsonb) IS
'A sample of Ceilometer in the form of record_usage(): name (counter_name) is the meter, project_id the account, resource_id the resource, timestamp (UTC where it has no offset) the time, volume (counter_volume) the quantity, type (counter_type) the sample_type; resource_metadata and user_id become dimensions. Immutable.';
