-- Rules of CloudKitty's module hashmap, as its v1 API lists them.

CREATE FUNCTION billing.import_cloudkitty_check(rule jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id text := COALESCE(rule ->> 'mapping_id', rule ->> 'threshold_id', rule::text);
BEGIN
    PERFORM billing.import_refuse_other('cloudkitty', rule, '', 'cost');
    IF NOT billing.import_absent(rule -> 'end') THEN
        RAISE EXCEPTION 'cloudkitty price has end of rule %, which a tariff cannot express', id
            USING ERRCODE = 'feature_not_supported', DETAIL = format('It ends at %s.', rule ->> 'end'),
                  HINT = 'Import only the rules that are valid at one time, without their end; later ones are another tariff.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty_check(jsonb) IS
'Behind tariff_from: raises 0A000 for a mapping or threshold that is valid for some time only, or that has a price member which is not known.';

CREATE FUNCTION billing.import_cloudkitty_alive(price jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT $1 || COALESCE(jsonb_object_agg(m.key, (SELECT COALESCE(jsonb_agg(r.value ORDER BY r.position), '[]')
                                                     FROM jsonb_array_elements(billing.import_array('cloudkitty', $1, m.key)) WITH ORDINALITY AS r(value, position)
                                                    WHERE billing.import_absent(r.value -> 'deleted'))), '{}')
      FROM jsonb_each($1) AS m
     WHERE m.key IN ('fields', 'groups', 'mappings', 'thresholds') AND m.value NOT IN ('null', '[]')
    $$;
COMMENT ON FUNCTION billing.import_cloudkitty_alive(jsonb) IS
'Behind tariff_from: the lists without what the product keeps as deleted only; 22023 names a list that is no array of objects.';

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
    services jsonb := billing.import_array('cloudkitty', price, 'services');
    lost     text;
    twice    text;
BEGIN
    PERFORM billing.import_refuse('cloudkitty', price, 'scripts', 'pyscripts');
    PERFORM billing.import_refuse_other('cloudkitty', price, '', 'services', 'fields', 'groups', 'mappings', 'thresholds');
    price := billing.import_cloudkitty_alive(price);
    PERFORM billing.import_cloudkitty_check(r.value)
       FROM jsonb_array_elements(COALESCE(NULLIF(price -> 'mappings', 'null'), '[]') || COALESCE(NULLIF(price -> 'thresholds', 'null'), '[]')) AS r(value);
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
     WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(services) AS s(value)
                        WHERE s.value ->> 'service_id' = COALESCE(
                            (SELECT f.value ->> 'service_id' FROM jsonb_array_elements(COALESCE(NULLIF(price -> 'fields', 'null'), '[]')) AS f(value)
                              WHERE f.value ->> 'field_id' = r.value ->> 'field_id'), r.value ->> 'service_id'))
     LIMIT 1;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'rule % of the cloudkitty price belongs to no service or field of it', lost USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN billing.import_tariff('cloudkitty', billing.import_currency('cloudkitty', price ->> 'currency', currency), (
        SELECT jsonb_build_object('model', 'hashmap', 'services', jsonb_agg(billing.import_cloudkitty_service(price, s.value)))
          FROM jsonb_array_elements(services) AS s(value)));
END $$;
COMMENT ON FUNCTION billing.import_cloudkitty(jsonb, text) IS
'Behind tariff_from: services, fields, mappings, thresholds and groups of CloudKitty''s hashmap, as its v1 API lists them; what is marked deleted is left out. One point is rated with the dimensions metadata || groupby, service and tenant_id. Errors: 0A000 for a rule that has an end, for scripts and for price members that are not known, 22023 for what is missing and for rules of an unknown service or field. Source: CloudKitty''s rating module hashmap.';
