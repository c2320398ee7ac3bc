-- Usage from CloudKitty: data frames of its v2 API, of v1 (desc instead of groupby and metadata), and of v1 storage (resources).

CREATE FUNCTION billing.point_members(described jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(m.key, CASE jsonb_typeof(m.value) WHEN 'boolean' THEN to_jsonb(initcap(m.value::text)) ELSE m.value END), '{}')
      FROM jsonb_each(billing.flat_members($1)) AS m
$$;
COMMENT ON FUNCTION billing.point_members(jsonb) IS
'What describes a point of CloudKitty, as dimensions: inner members by name (flavor.name), and True and False as its rules compare them. Immutable.';

CREATE FUNCTION billing.frame_points(frame jsonb)
    RETURNS TABLE (metric text, described jsonb, quantity jsonb, account jsonb)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.key, d.described, p.point #> '{vol,qty}', coalesce(d.described -> 'project_id', d.described -> 'tenant_id')
      FROM jsonb_each(CASE jsonb_typeof($1 -> 'usage') WHEN 'object' THEN $1 -> 'usage' ELSE '{}' END) AS u
     CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(u.value) WHEN 'array' THEN u.value ELSE jsonb_build_array(u.value) END) AS p(point)
     CROSS JOIN LATERAL (SELECT coalesce(billing.point_members(p.point -> 'desc'), '{}') || coalesce(billing.point_members(p.point -> 'metadata'), '{}')
                                || coalesce(billing.point_members(p.point -> 'groupby'), '{}') AS described) AS d
     UNION ALL
    SELECT r.point ->> 'service', d.described, r.point -> 'volume', coalesce($1 -> 'tenant_id', d.described -> 'project_id', d.described -> 'tenant_id')
      FROM jsonb_array_elements(CASE jsonb_typeof($1 -> 'resources') WHEN 'array' THEN $1 -> 'resources' ELSE '[]' END) AS r(point)
     CROSS JOIN LATERAL (SELECT coalesce(billing.point_members(r.point -> 'desc'), '{}') AS described) AS d
$$;
COMMENT ON FUNCTION billing.frame_points(jsonb) IS
'The points of a data frame of CloudKitty, whichever version: metric, what describes the point (metadata overlaid by groupby, or desc), quantity and account. Immutable.';

CREATE FUNCTION billing.usage_from_cloudkitty(frame jsonb) RETURNS SETOF jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH period AS (
        SELECT billing.instant_in_utc(coalesce($1 #> '{period,begin}', $1 -> 'begin')) AS begins, billing.instant_in_utc(coalesce($1 #> '{period,end}', $1 -> 'end')) AS ends
    ), said AS (   -- one id for one span, however its times are written
        SELECT t.*, coalesce(to_char(billing.starts_at(i.span) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '/' || to_char(billing.ends_at(i.span) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                             concat_ws('/', t.begins #>> '{}', t.ends #>> '{}')) AS span
          FROM period AS t CROSS JOIN LATERAL (SELECT billing.try_usage_interval(t.begins #>> '{}', t.ends #>> '{}', '0') AS span) AS i
    ), point AS (
        SELECT p.*, row_number() OVER () AS no, row_number() OVER (PARTITION BY p.metric, p.described) AS repeated FROM billing.frame_points($1) AS p
    )
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'id', concat_ws('/', p.metric, t.span, encode(sha256(convert_to(p.described::text, 'UTF8')), 'hex'), CASE WHEN p.repeated > 1 THEN p.repeated END),
               'source', 'cloudkitty',
               'account', p.account,
               'meter', p.metric,
               'start', t.begins,
               'end', t.ends,
               'quantity', p.quantity,
               'resource', coalesce(p.described -> 'id', p.described -> 'resource_id'),
               'dimensions', p.described))
      FROM point AS p CROSS JOIN said AS t
     ORDER BY p.no
$$;
COMMENT ON FUNCTION billing.usage_from_cloudkitty(jsonb) IS
'The points of a data frame of CloudKitty in the form of record_usage(): the metric is the meter, project_id (or tenant_id) the account, id (or resource_id) the resource, the frame''s period (UTC where it has no offset) the interval, vol.qty (volume) the quantity; metadata overlaid by groupby, or desc, are the dimensions. Frames have no ids: that of a point is made of metric, period and what describes it, so that a frame sent twice counts once. A rating in the frame is not taken over. Immutable.';
