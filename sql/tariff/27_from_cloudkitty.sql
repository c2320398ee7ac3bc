-- Rules of CloudKitty's module hashmap, as its v1 API lists them.

CREATE FUNCTION billing.import_cloudkitty_time(row_of jsonb, member text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_of ->> member !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN   -- no words as now, whose meaning changes
        RAISE invalid_datetime_format;
    END IF;
    RETURN (row_of ->> member)::timestamptz;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
    RAISE EXCEPTION '% of the cloudkitty price must be a time such as 2026-01-31T00:00:00, not "%"', member, row_of ->> member USING ERRCODE = 'invalid_parameter_value';
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty_time(jsonb, text) IS
'Behind tariff_from: a time of CloudKitty, in UTC where it does not say its offset; null without it. 22023 names a member that is none.';

CREATE FUNCTION billing.import_cloudkitty_valid(rule jsonb, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    begins timestamptz := billing.import_cloudkitty_time(rule, 'start');
    ends   timestamptz := billing.import_cloudkitty_time(rule, 'end');
BEGIN
    IF NOT billing.import_absent(rule -> 'deleted') THEN
        RETURN false;
    ELSIF at IS NULL AND COALESCE(begins, ends) IS NOT NULL THEN
        RAISE EXCEPTION 'cloudkitty price has % of rule %, which a tariff cannot express', CASE WHEN ends IS NULL THEN 'start' ELSE 'end' END,
                COALESCE(rule ->> 'mapping_id', rule ->> 'threshold_id', rule::text)
            USING ERRCODE = 'feature_not_supported', DETAIL = format('It holds from %s to %s.', COALESCE(rule ->> 'start', 'ever'), COALESCE(rule ->> 'end', 'ever')),
                  HINT = 'Say with the member "at", a time, which rules to take: those that hold then. Or keep the rules with their dates: set_rating_rule().';
    END IF;
    RETURN at IS NULL OR COALESCE(begins <= at, true) AND COALESCE(at < ends, true);
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty_valid(jsonb, timestamptz) IS
'Behind tariff_from: whether an entry is not deleted and holds at the time. Without a time all hold; then 0A000 names a rule that says when it begins or ends.';

CREATE FUNCTION billing.import_cloudkitty_alive(price jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT $1 || COALESCE(jsonb_object_agg(m.key, (SELECT COALESCE(jsonb_agg(r.value ORDER BY r.position), '[]')
                                                     FROM jsonb_array_elements(billing.import_array('cloudkitty', $1, m.key)) WITH ORDINALITY AS r(value, position)
                                                    WHERE billing.import_cloudkitty_valid(r.value, billing.import_cloudkitty_time($1, 'at')))), '{}')
      FROM jsonb_each($1) AS m
     WHERE m.key IN ('services', 'fields', 'groups', 'mappings', 'thresholds') AND m.value NOT IN ('null', '[]')
    $$;
COMMENT ON FUNCTION billing.import_cloudkitty_alive(jsonb) IS
'Behind tariff_from: the lists with what holds at the time "at", without what the product keeps as deleted only; 22023 names a list that is no array of objects, 0A000 a rule with dates when there is no time.';

CREATE FUNCTION billing.import_cloudkitty_check(price jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    always text[] := '{id,name,description,start,end,deleted,created_at,updated_at,deleted_at,created_by,updated_by,deleted_by,created_by_id,updated_by_id,deleted_by_id}';
BEGIN
    PERFORM billing.import_refuse('cloudkitty', price, 'scripts', 'pyscripts');
    PERFORM billing.import_refuse_unknown('cloudkitty', price, '', 'services', 'fields', 'groups', 'mappings', 'thresholds', 'at', 'currency', 'module_id', 'enabled', 'hot-config', 'priority', 'description');
    PERFORM billing.import_refuse_unknown('cloudkitty', r.value, format('%s[%s].', l.name, r.position - 1), VARIADIC l.known || always)
       FROM (VALUES ('services', '{service_id}'::text[]), ('fields', '{field_id,service_id}'), ('groups', '{group_id}'),
                    ('mappings', '{mapping_id,value,type,map_type,cost,service_id,field_id,group_id,tenant_id}'),
                    ('thresholds', '{threshold_id,level,type,map_type,cost,service_id,field_id,group_id,tenant_id}')) AS l(name, known)
      CROSS JOIN LATERAL jsonb_array_elements(NULLIF(price -> l.name, 'null')) WITH ORDINALITY AS r(value, position);
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty_check(jsonb) IS
'Behind tariff_from: raises 0A000 for scripts and for a member of the lists that is not known and may be a price.';

CREATE FUNCTION billing.import_cloudkitty_rules(price jsonb, service text, member text) RETURNS TABLE (group_name text, field text, rule jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT COALESCE(NULLIF(COALESCE(g.value ->> 'name', r.value ->> 'group_id'), '_DEFAULT_'), ''), f.value ->> 'name',
           jsonb_build_object('field', f.value ->> 'name', 'tenant', r.value ->> 'tenant_id',
               'type', COALESCE(r.value ->> 'type', r.value ->> 'map_type', 'flat'),
               'cost', billing.import_amount('cloudkitty', r.value, 'cost'))
           || CASE member WHEN 'thresholds' THEN jsonb_build_object('level', billing.import_amount('cloudkitty', r.value, 'level'))
                          ELSE jsonb_build_object('value', CASE WHEN f.value IS NOT NULL THEN billing.import_text('cloudkitty', r.value, 'value') END) END
      FROM jsonb_array_elements(COALESCE(NULLIF(price -> member, 'null'), '[]')) AS r(value)
      LEFT JOIN jsonb_array_elements(COALESCE(NULLIF(price -> 'fields', 'null'), '[]')) AS f(value)
             ON f.value ->> 'field_id' = r.value ->> 'field_id'
      LEFT JOIN jsonb_array_elements(COALESCE(NULLIF(price -> 'groups', 'null'), '[]')) AS g(value)
             ON g.value ->> 'group_id' = r.value ->> 'group_id'
     WHERE COALESCE(f.value ->> 'service_id', r.value ->> 'service_id') = service
    $$;
COMMENT ON FUNCTION billing.import_cloudkitty_rules(jsonb, text, text) IS
'Behind tariff_from: the mappings or thresholds of one service, each with the names of its group and field.';

CREATE FUNCTION billing.import_cloudkitty_service(price jsonb, service jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH mappings AS (SELECT m.group_name, m.rule FROM billing.import_cloudkitty_rules(price, service ->> 'service_id', 'mappings') AS m),
         thresholds AS (SELECT t.group_name, t.rule FROM billing.import_cloudkitty_rules(price, service ->> 'service_id', 'thresholds') AS t),
         names AS (SELECT m.group_name FROM mappings AS m UNION SELECT t.group_name FROM thresholds AS t)
    SELECT jsonb_build_object('service', service -> 'name',
               'fields', (SELECT jsonb_agg(f.value -> 'name' ORDER BY f.position)
                            FROM jsonb_array_elements(COALESCE(NULLIF(price -> 'fields', 'null'), '[]')) WITH ORDINALITY AS f(value, position)
                           WHERE f.value ->> 'service_id' = service ->> 'service_id'),
               'groups', (SELECT jsonb_agg(jsonb_build_object('group', n.group_name,
                                     'mappings', (SELECT jsonb_agg(m.rule ORDER BY m.rule) FROM mappings AS m WHERE m.group_name = n.group_name),
                                     'thresholds', (SELECT jsonb_agg(t.rule ORDER BY t.rule) FROM thresholds AS t WHERE t.group_name = n.group_name)) ORDER BY n.group_name COLLATE "C")
                            FROM names AS n))
    $$;
COMMENT ON FUNCTION billing.import_cloudkitty_service(jsonb, jsonb) IS
'Behind tariff_from: one service with its fields in their order and its rules by group.';

CREATE FUNCTION billing.import_cloudkitty(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    services jsonb;
    lost     text;
    twice    text;
BEGIN
    price := billing.import_cloudkitty_alive(price);
    PERFORM billing.import_cloudkitty_check(price);
    services := billing.import_array('cloudkitty', price, 'services');
    SELECT concat_ws(' ', m.id_member, x.id) INTO twice   -- a rule or group that is there twice, as where pages of an export overlap, would count twice
      FROM (VALUES ('services', 'service_id'), ('fields', 'field_id'), ('groups', 'group_id'), ('mappings', 'mapping_id'), ('thresholds', 'threshold_id')) AS m(member, id_member)
     CROSS JOIN LATERAL (SELECT r.value ->> m.id_member AS id
                           FROM jsonb_array_elements(CASE jsonb_typeof(price -> m.member) WHEN 'array' THEN price -> m.member ELSE '[]' END) AS r(value)
                          WHERE r.value ->> m.id_member IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AS x
     LIMIT 1;
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION '% of the cloudkitty price is there more than once', twice USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT COALESCE(r.value ->> 'mapping_id', r.value ->> 'threshold_id', r.value::text) INTO lost
      FROM jsonb_array_elements(COALESCE(NULLIF(price -> 'mappings', 'null'), '[]') || COALESCE(NULLIF(price -> 'thresholds', 'null'), '[]')) AS r(value)
      LEFT JOIN jsonb_array_elements(COALESCE(NULLIF(price -> 'fields', 'null'), '[]')) AS f(value) ON f.value ->> 'field_id' = r.value ->> 'field_id'
     WHERE f.value ->> 'service_id' <> r.value ->> 'service_id'
        OR NOT EXISTS (SELECT FROM jsonb_array_elements(services) AS s(value)
                        WHERE s.value ->> 'service_id' = CASE WHEN r.value ->> 'field_id' IS NULL THEN r.value ->> 'service_id' ELSE f.value ->> 'service_id' END)
     LIMIT 1;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'rule % of the cloudkitty price has a service_id or field_id that its services and fields lack', lost USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN billing.import_tariff('cloudkitty', billing.import_currency('cloudkitty', price ->> 'currency', currency), (
        SELECT jsonb_build_object('model', 'hashmap', 'services', jsonb_agg(billing.import_cloudkitty_service(price, s.value)))
          FROM jsonb_array_elements(services) AS s(value)));
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty(jsonb, text) IS
'Behind tariff_from: services, fields, mappings, thresholds and groups of CloudKitty''s hashmap, as its v1 API lists them; what is marked deleted is left out, and of rules with dates those are taken that hold at the time in the member at. One point is rated with the dimensions metadata || groupby, service and tenant_id. Errors: 0A000 for a rule with dates when at is missing, for scripts and for price members that are not known, 22023 for what is missing and for rules of an unknown service or field. Source: CloudKitty''s rating module hashmap.';
