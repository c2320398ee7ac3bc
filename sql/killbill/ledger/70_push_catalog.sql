-- Our prices as a catalog: a price list of ours becomes one version of a catalog, sent when something has changed.
--
-- The meters of the list are the usage sections of one plan, LIST-list; each fee is a plan of its own, FEE-fee.  Tariffs are put into
-- blocks where that gives the same amounts for every whole quantity, which is tried before anything is sent.

CREATE FUNCTION billing.killbill_blocks(tariff billing.tariff, unit text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE t ->> 'model'
        WHEN 'blocks' THEN jsonb_build_object('usageType', CASE t ->> 'policy' WHEN 'capacity' THEN 'CAPACITY' ELSE 'CONSUMABLE' END, 'tierBlockPolicy', CASE t ->> 'policy' WHEN 'top_tier' THEN 'TOP_TIER' ELSE 'ALL_TIERS' END,
            'tiers', (SELECT jsonb_agg(CASE WHEN x.value ? 'blocks' THEN jsonb_build_object('blocks', (
                                     SELECT jsonb_agg(jsonb_build_object('unit', unit, 'size', b -> 'size', 'max', coalesce(b ->> 'max', '-1'), 'prices', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', b -> 'price'))))
                                       FROM jsonb_array_elements(x.value -> 'blocks') AS b))
                                 ELSE jsonb_build_object('recurringPrice', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', x.value -> 'price')),
                                     'limits', (SELECT jsonb_agg(jsonb_build_object('unit', unit, 'max', coalesce(l ->> 'max', '-1'))) FROM jsonb_array_elements(x.value -> 'limits') AS l)) END ORDER BY x.no)
                        FROM jsonb_array_elements(t -> 'tiers') WITH ORDINALITY AS x(value, no)))
        WHEN 'per_unit' THEN jsonb_build_object('usageType', 'CONSUMABLE', 'tierBlockPolicy', 'ALL_TIERS', 'tiers', jsonb_build_array(jsonb_build_object('blocks',
            jsonb_build_array(jsonb_build_object('unit', unit, 'size', '1', 'max', '-1', 'prices', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', t -> 'unit_price')))))))
        WHEN 'package' THEN jsonb_build_object('usageType', 'CONSUMABLE', 'tierBlockPolicy', 'ALL_TIERS', 'tiers', jsonb_build_array(jsonb_build_object('blocks',
            jsonb_build_array(jsonb_build_object('unit', unit, 'size', t -> 'size', 'max', '-1', 'prices', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', t -> 'price')))))))
        WHEN 'graduated' THEN jsonb_build_object('usageType', 'CONSUMABLE', 'tierBlockPolicy', 'ALL_TIERS', 'tiers', (
            SELECT jsonb_agg(jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('unit', unit, 'size', '1', 'max', coalesce((x.up_to - x.before)::text, '-1'),
                       'prices', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', coalesce(x.price, '0')))))) ORDER BY x.no)
              FROM (SELECT e.no, (e.value ->> 'up_to')::numeric AS up_to, e.value ->> 'unit_price' AS price, coalesce(lag((e.value ->> 'up_to')::numeric) OVER (ORDER BY e.no), 0) AS before
                      FROM jsonb_array_elements(t -> 'tiers') WITH ORDINALITY AS e(value, no)) AS x))
        WHEN 'volume' THEN jsonb_build_object('usageType', 'CONSUMABLE', 'tierBlockPolicy', 'TOP_TIER', 'tiers', (
            SELECT jsonb_agg(jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('unit', unit, 'size', '1', 'max', coalesce((x.up_to - x.before)::text, '-1'),
                       'prices', jsonb_build_array(jsonb_build_object('currency', t -> 'currency', 'value', coalesce(x.price, '0')))))) ORDER BY x.no)
              FROM (SELECT e.no, (e.value ->> 'up_to')::numeric AS up_to, e.value ->> 'unit_price' AS price, coalesce(lag((e.value ->> 'up_to')::numeric) OVER (ORDER BY e.no), 0) AS before
                      FROM jsonb_array_elements(t -> 'tiers') WITH ORDINALITY AS e(value, no)) AS x))
        END
      FROM (SELECT tariff::jsonb AS t) AS x
$$;
COMMENT ON FUNCTION billing.killbill_blocks(billing.tariff, text) IS 'A tariff as a usage section of a catalog, for whole quantities; null for models that have no such form. Immutable.';

CREATE FUNCTION billing.killbill_blocks_differ(tariff billing.tariff, section jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other    tariff;
    quantity numeric;
    border   CONSTANT numeric[] := ARRAY(SELECT DISTINCT (v #>> '{}')::numeric FROM jsonb_path_query(tariff::jsonb, 'lax $.tiers[*].up_to ? (@ != null)') AS v
                                         UNION SELECT (v #>> '{}')::numeric FROM jsonb_path_query(tariff::jsonb, 'lax $.**.size') AS v UNION SELECT (v #>> '{}')::numeric FROM jsonb_path_query(tariff::jsonb, 'lax $.**.max') AS v UNION SELECT 1 UNION SELECT 1000);
BEGIN
    IF section IS NULL THEN
        RETURN format('its model "%s" has no form in a catalog', tariff::jsonb ->> 'model');
    END IF;
    other := tariff_from('killbill', section, currency(tariff));
    FOR quantity IN SELECT DISTINCT greatest(ceil(b * f) + d, 0) FROM unnest(border) AS b CROSS JOIN unnest('{1,2,0.5,7}'::numeric[]) AS f CROSS JOIN generate_series(-1, 1) AS d LOOP
        IF (try_rate(tariff, quantity)).amount IS DISTINCT FROM (try_rate(other, quantity)).amount THEN
            RETURN format('a quantity of %s costs %s, in blocks %s', quantity, coalesce((try_rate(tariff, quantity)).amount::text, 'nothing that can be said'),
                          coalesce((try_rate(other, quantity)).amount::text, 'nothing that can be said'));
        END IF;
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN data_exception OR feature_not_supported THEN
    RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION billing.killbill_blocks_differ(billing.tariff, jsonb) IS
'Why a usage section does not cost what the tariff does, tried at whole quantities around every border; null = the same everywhere. Immutable.';

CREATE FUNCTION billing.killbill_section_element(name text, section jsonb) RETURNS xml
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT xmlelement(name usage, xmlattributes(name AS name, 'IN_ARREAR' AS "billingMode", section ->> 'usageType' AS "usageType", section ->> 'tierBlockPolicy' AS "tierBlockPolicy"),
        xmlelement(name "billingPeriod", 'MONTHLY'),
        xmlelement(name tiers, (SELECT xmlagg(xmlelement(name tier,
            CASE WHEN t.value ? 'limits' THEN xmlconcat(
                xmlelement(name limits, (SELECT xmlagg(xmlelement(name limit, xmlelement(name unit, l ->> 'unit'), xmlelement(name max, l ->> 'max'))) FROM jsonb_array_elements(t.value -> 'limits') AS l)),
                xmlelement(name "recurringPrice", xmlelement(name price, xmlelement(name currency, t.value #>> '{recurringPrice,0,currency}'), xmlelement(name value, t.value #>> '{recurringPrice,0,value}'))))
            ELSE xmlelement(name blocks, (SELECT xmlagg(xmlelement(name "tieredBlock", xmlelement(name unit, b ->> 'unit'), xmlelement(name size, b ->> 'size'),
                xmlelement(name prices, xmlelement(name price, xmlelement(name currency, b #>> '{prices,0,currency}'), xmlelement(name value, b #>> '{prices,0,value}'))),
                xmlelement(name max, b ->> 'max'))) FROM jsonb_array_elements(t.value -> 'blocks') AS b)) END) ORDER BY t.no)
          FROM jsonb_array_elements(section -> 'tiers') WITH ORDINALITY AS t(value, no))))
$$;
COMMENT ON FUNCTION billing.killbill_section_element(text, jsonb) IS 'A usage section as the element of a catalog. Immutable.';

CREATE FUNCTION billing.killbill_list_prices(price_list text, on_day date, seller text)
    RETURNS TABLE (kind text, item text, name text, unit text, in_advance boolean, tariff billing.tariff, section jsonb, amount numeric, currency text, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT i.kind, i.key, coalesce(m.name, f.name, i.key), m.unit, coalesce(f.in_advance, false), p.tariff, s.section,
           CASE WHEN i.kind = 'fee' AND p.tariff::jsonb ->> 'model' = 'per_unit' THEN (p.tariff::jsonb ->> 'unit_price')::numeric END, currency(p.tariff),
           CASE WHEN i.kind = 'fee' AND p.tariff::jsonb ->> 'model' <> 'per_unit' THEN format('a fee with a price of model "%s"', p.tariff::jsonb ->> 'model')
                WHEN p.chain IS NOT NULL THEN 'each usage row is priced by a chain of rating modules'
                WHEN i.kind = 'meter' AND m.aggregation NOT IN ('sum', 'count', 'max') THEN format('usage is aggregated by %s', m.aggregation)
                WHEN i.kind = 'meter' AND (m.aggregation = 'max') <> (s.section ->> 'usageType' = 'CAPACITY') THEN format('usage is aggregated by %s, but the price is %s', m.aggregation, s.section ->> 'usageType')
                WHEN i.kind = 'meter' THEN killbill_blocks_differ(p.tariff, s.section) END
      FROM price AS p
      JOIN item AS i USING (item_id)
      LEFT JOIN meter_definition AS m ON m.item_id = i.item_id AND upper_inf(m.known)
      LEFT JOIN fee_definition AS f ON f.item_id = i.item_id AND upper_inf(f.known)
     CROSS JOIN LATERAL (SELECT CASE WHEN i.kind = 'meter' THEN killbill_blocks(p.tariff, killbill_name(i.key)) END AS section) AS s
     WHERE p.list_id = find_price_list(find_seller(killbill_list_prices.seller), killbill_list_prices.price_list) AND p.account_id = 0 AND upper_inf(p.known)
       AND p.valid @> killbill_list_prices.on_day::timestamp
$$;
COMMENT ON FUNCTION billing.killbill_list_prices(text, date, text) IS 'What the items of a price list cost on a day, and how a catalog says it; problem: why it cannot. Errors: 42704 unknown list or seller. Stable.';

CREATE FUNCTION billing.killbill_catalog_xml(price_list text, effective_on date, seller text DEFAULT NULL, catalog_name text DEFAULT NULL) RETURNS xml
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH price AS MATERIALIZED (SELECT * FROM killbill_list_prices($1, $2, $3) AS p WHERE p.problem IS NULL),
    plan AS (
        SELECT killbill_name($1) || '-list' AS plan, 0 AS no, NULL::numeric AS amount, false AS in_advance, (SELECT xmlagg(killbill_section_element(killbill_name(p.item) || '-usage', p.section) ORDER BY p.item) FROM price AS p WHERE p.kind = 'meter') AS usages
         WHERE EXISTS (SELECT FROM price AS p WHERE p.kind = 'meter')
         UNION ALL
        SELECT killbill_name(p.item) || '-fee', 1, p.amount, p.in_advance, NULL FROM price AS p WHERE p.kind = 'fee'
    ), money AS (SELECT min(p.currency) AS currency FROM price AS p)
    SELECT xmlroot(xmlelement(name catalog,
        xmlelement(name "effectiveDate", $2::text || 'T00:00:00+00:00'), xmlelement(name "catalogName", coalesce($4, $1)), xmlelement(name "recurringBillingMode", 'IN_ARREAR'),
        xmlelement(name currencies, xmlelement(name currency, (SELECT m.currency FROM money AS m))),
        xmlelement(name units, (SELECT xmlagg(xmlelement(name unit, xmlattributes(killbill_name(p.item) AS name)) ORDER BY p.item) FROM price AS p WHERE p.kind = 'meter')),
        xmlelement(name products, (SELECT xmlagg(xmlelement(name product, xmlattributes(l.plan || '-product' AS name), xmlelement(name category, 'STANDALONE')) ORDER BY l.no, l.plan) FROM plan AS l)),
        xmlelement(name rules,
            xmlelement(name "changePolicy", xmlelement(name "changePolicyCase", xmlelement(name policy, 'IMMEDIATE'))),
            xmlelement(name "changeAlignment", xmlelement(name "changeAlignmentCase", xmlelement(name alignment, 'START_OF_BUNDLE'))),
            xmlelement(name "cancelPolicy", xmlelement(name "cancelPolicyCase", xmlelement(name policy, 'IMMEDIATE'))),
            xmlelement(name "createAlignment", xmlelement(name "createAlignmentCase", xmlelement(name alignment, 'START_OF_BUNDLE'))),
            xmlelement(name "billingAlignment", xmlelement(name "billingAlignmentCase", xmlelement(name alignment, 'ACCOUNT'))),
            xmlelement(name "priceList", xmlelement(name "priceListCase", xmlelement(name "toPriceList", 'DEFAULT')))),
        xmlelement(name plans, (SELECT xmlagg(xmlelement(name plan, xmlattributes(l.plan AS name),
            xmlelement(name "effectiveDateForExistingSubscriptions", $2::text || 'T00:00:00+00:00'),
            xmlelement(name product, l.plan || '-product'),
            CASE WHEN l.amount IS NOT NULL THEN xmlelement(name "recurringBillingMode", CASE WHEN l.in_advance THEN 'IN_ADVANCE' ELSE 'IN_ARREAR' END) END,
            xmlelement(name "finalPhase", xmlattributes('EVERGREEN' AS type), xmlelement(name duration, xmlelement(name unit, 'UNLIMITED')),
                xmlelement(name recurring, xmlelement(name "billingPeriod", 'MONTHLY'), xmlelement(name "recurringPrice",
                    xmlelement(name price, xmlelement(name currency, (SELECT m.currency FROM money AS m)), xmlelement(name value, coalesce(l.amount, 0))))),
                CASE WHEN l.usages IS NOT NULL THEN xmlelement(name usages, l.usages) END)) ORDER BY l.no, l.plan) FROM plan AS l)),
        xmlelement(name "priceLists", xmlelement(name "defaultPriceList", xmlattributes('DEFAULT' AS name),
            xmlelement(name plans, (SELECT xmlagg(xmlelement(name plan, l.plan) ORDER BY l.no, l.plan) FROM plan AS l))))), version '1.0')
$$;
COMMENT ON FUNCTION billing.killbill_catalog_xml(text, date, text, text) IS
'A price list of ours, as it is on a day, as a version of a Kill Bill catalog. The meters are the usage sections METER-usage of plan LIST-list, in units named after the meters; each fee is a plan FEE-fee; what a name cannot hold becomes a hyphen. What cannot be expressed is left out; killbill_push_catalog() names it. catalog_name: that of the list unless named. Errors: 42704 unknown list or seller. Stable.';

CREATE FUNCTION billing.killbill_push_catalog(endpoint text, price_list text, effective_on date, seller text DEFAULT NULL, catalog_name text DEFAULT NULL)
    RETURNS TABLE (item text, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    catalog xml;
    content text;
    broken  text;
    former  text;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_push_catalog.endpoint);
    IF killbill_push_catalog.effective_on IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'from which day on shall the catalog hold?', HINT = 'Say effective_on =>.';
    END IF;
    catalog := killbill_catalog_xml(killbill_push_catalog.price_list, killbill_push_catalog.effective_on, killbill_push_catalog.seller, killbill_push_catalog.catalog_name);
    SELECT string_agg(concat_ws(': ', c.place, c.problem), '; ') INTO broken FROM killbill_check_catalog(catalog) AS c;
    IF broken IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('price list "%s" makes no valid catalog: %s', killbill_push_catalog.price_list, broken);
    END IF;
    RETURN QUERY SELECT p.item, CASE WHEN p.problem IS NULL THEN 'expressed' ELSE 'not expressed' END, p.problem
                   FROM killbill_list_prices(killbill_push_catalog.price_list, killbill_push_catalog.effective_on, killbill_push_catalog.seller) AS p ORDER BY p.kind, p.item;
    -- The same content under a later date is no new version.
    content := md5(replace(catalog::text, killbill_push_catalog.effective_on::text || 'T', ''));
    SELECT m.payload ->> 'content' INTO former FROM message AS m
     WHERE m.endpoint = killbill_push_catalog.endpoint AND m.kind = 'catalog' AND m.payload ->> 'price_list' = killbill_push_catalog.price_list AND m.state NOT IN ('dead', 'discarded')
     ORDER BY m.message_id DESC LIMIT 1;
    IF former = content THEN
        RETURN QUERY SELECT NULL::text, 'unchanged'::text, 'the catalog was sent with these prices before'::text;
        RETURN;
    END IF;
    PERFORM killbill_set_unit(killbill_push_catalog.endpoint, p.item, killbill_name(killbill_push_catalog.price_list) || '-list', killbill_name(p.item))
       FROM killbill_list_prices(killbill_push_catalog.price_list, killbill_push_catalog.effective_on, killbill_push_catalog.seller) AS p
      WHERE p.kind = 'meter' AND p.problem IS NULL
        AND NOT EXISTS (SELECT FROM killbill_unit AS u JOIN item AS i USING (item_id) WHERE u.endpoint = killbill_push_catalog.endpoint AND i.key = p.item AND i.kind = 'meter' AND u.plan = killbill_name(killbill_push_catalog.price_list) || '-list');
    PERFORM write_message(killbill_push_catalog.endpoint, 'catalog', jsonb_build_object('price_list', killbill_push_catalog.price_list, 'content', content,
                'effective_on', killbill_push_catalog.effective_on, 'catalog', catalog::text), NULL, 'catalog');
    RETURN QUERY SELECT NULL::text, 'told'::text, NULL::text;
END $$;
COMMENT ON FUNCTION billing.killbill_push_catalog(text, text, date, text, text) IS
'Has a price list of ours uploaded as a version of the tenant''s catalog, unless the last one had the same prices, and says of each item whether a catalog can express its price. effective_on: from when on it holds, for existing subscriptions too; later than the versions that are there. The result is checked against our copy of the server''s rules first. Errors: 42704 unknown endpoint, list or seller, 22023 no valid catalog, 22004 no day. Volatile.';

CREATE FUNCTION billing.killbill_catalog_difference(wanted xml, there xml, effective_at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH price AS MATERIALIZED (
        SELECT x.side, jsonb_build_array(p.price_list, p.currency, p.plan, p.phase, p.kind, p.usage_name, p.unit)::text AS place, concat_ws(' ', p.plan, p.usage_name, p.unit) AS name,
               ROW(p.tariff, trim_scale(coalesce(p.amount, 0)), CASE WHEN p.amount <> 0 THEN p.in_advance END, p.usage_type, p.billing_period, p.existing_from, p.problem)::text AS content
          FROM (VALUES ('wanted', wanted), ('there', there)) AS x(side, catalog)
         CROSS JOIN LATERAL killbill_catalog_prices(x.catalog) AS p WHERE p.effective_at = killbill_catalog_difference.effective_at
    )
    SELECT min(coalesce(w.name, t.name))
      FROM (SELECT * FROM price WHERE side = 'wanted') AS w FULL JOIN (SELECT * FROM price WHERE side = 'there') AS t ON t.place = w.place
     WHERE w.content IS DISTINCT FROM t.content
$$;
COMMENT ON FUNCTION billing.killbill_catalog_difference(xml, xml, timestamptz) IS
'The first plan, and usage section with unit, whose price in a version of the catalog there is another one than in the catalog that is wanted; null = they cost the same. The server spells the XML otherwise than it was sent. Stable.';

CREATE FUNCTION billing.killbill_deliver_catalog(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    at      text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    body    jsonb := json_or_null(answer.body);
    holds   CONSTANT timestamptz := ((message.payload ->> 'effective_on')::date)::timestamp AT TIME ZONE 'UTC';
    wrong   text;
    upload  CONSTANT jsonb := jsonb_build_object('Content-Type', 'text/xml', 'Accept', 'application/json', 'X-Killbill-CreatedBy', 'billing');
BEGIN
    IF at = 'begin' OR at = 'upload' AND killbill_succeeded(answer) THEN
        RETURN step_send(killbill_request('GET', '/catalog/versions'), jsonb_build_object('at', 'versions', 'uploaded', at = 'upload'));
    ELSIF at = 'versions' AND answer.status = 200 AND jsonb_typeof(body) = 'array' THEN
        -- A version of a time is there once, whoever uploaded it: what it says decides.
        IF EXISTS (SELECT FROM jsonb_array_elements_text(body) AS v WHERE v::timestamptz = holds) THEN
            RETURN step_send(billing.http_request('GET', '/1.0/kb/catalog/xml', NULL, '{"Accept": "text/xml", "X-Killbill-CreatedBy": "billing"}', '60s'), '{"at": "content"}');
        ELSIF message.progress ->> 'uploaded' = 'true' THEN
            RETURN step_retry('the version that was uploaded does not show up');
        END IF;
        RETURN step_send(billing.http_request('POST', '/1.0/kb/catalog/xml/validate', message.payload ->> 'catalog', upload, '60s'), '{"at": "validate"}');
    ELSIF at = 'content' AND answer.status = 200 THEN
        IF NOT coalesce(xml_is_well_formed_document(answer.body), false) THEN
            RETURN step_retry('the catalog is no whole XML document');
        END IF;
        wrong := killbill_catalog_difference((message.payload ->> 'catalog')::xml, answer.body::xml, holds);
        RETURN CASE WHEN wrong IS NULL THEN step_delivered(jsonb_build_object('effective_on', message.payload -> 'effective_on'))
                    ELSE step_failed(format('the tenant has a catalog version of %s that says something else: %s differs', message.payload ->> 'effective_on', wrong)) END;
    ELSIF at = 'validate' AND (answer.status = 200 AND jsonb_typeof(body) = 'object' OR answer.status = 404 AND body IS NULL) THEN
        -- 0.22 has no such route.
        SELECT string_agg(e ->> 'errorDescription', '; ') INTO wrong FROM jsonb_array_elements(coalesce(body -> 'catalogValidationErrors', '[]')) AS e;
        IF wrong IS NOT NULL THEN
            RETURN step_failed('the server refuses the catalog: ' || wrong);
        END IF;
        RETURN step_send(billing.http_request('POST', '/1.0/kb/catalog/xml', message.payload ->> 'catalog', upload, '60s'), '{"at": "upload"}');
    ELSIF at = 'upload' AND answer.status = 400 AND killbill_code(answer) = 2080 THEN
        RETURN step_failed('the server refuses the catalog: ' || concat_ws(' ', body ->> 'message', '- its name differs from the tenant''s catalog, a version of that date exists, or it breaks a rule'));
    END IF;
    RETURN killbill_judge(answer);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_catalog(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind catalog: looks whether the version is there, has it validated where the server can, uploads it. Delivered is what the server then shows with our prices; a version of that date with others fails. Volatile.';
