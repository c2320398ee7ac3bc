-- Prices of Kill Bill: a usage section of its catalog, as JSON or as the XML element itself.

CREATE FUNCTION billing.import_killbill_price(prices jsonb, currency text, place text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    amounts text[];
BEGIN
    PERFORM billing.import_refuse_unknown('killbill', p.value, format('%s[%s].', place, p.position - 1), 'currency', 'value')
       FROM jsonb_array_elements(CASE WHEN jsonb_typeof(prices) = 'array' THEN prices ELSE '[]' END) WITH ORDINALITY AS p(value, position);
    SELECT array_agg(billing.import_number('killbill', jsonb_build_object(place, p.value -> 'value'), place)::text) INTO amounts
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(prices) = 'array' THEN prices ELSE '[]' END) WITH ORDINALITY AS p(value, position)
     WHERE upper(billing.import_text('killbill', jsonb_build_object(format('%s[%s]', place, p.position - 1), p.value), format('%s[%s]', place, p.position - 1), 'currency')) = $2;
    IF cardinality(amounts) > 1 THEN
        RAISE EXCEPTION '% of the killbill price has % values in %', place, cardinality(amounts), currency USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF amounts[1] IS NULL THEN
        RAISE EXCEPTION '% of the killbill price has no value in %', place, currency USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN amounts[1];
END $$;
COMMENT ON FUNCTION billing.import_killbill_price(jsonb, text, text) IS
'Behind tariff_from: the value of a currency in a list of prices; 22023 names a place that has none, several, no number or a price without a currency, 0A000 a member beside currency and value.';

CREATE FUNCTION billing.import_killbill_currency(price jsonb, given text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    codes text[];
BEGIN
    IF given IS NOT NULL THEN
        RETURN upper(given);
    END IF;
    SELECT array_agg(DISTINCT upper(c #>> '{}')) INTO codes FROM jsonb_path_query(price, 'strict $.**.currency ? (@.type() == "string")') AS c;
    IF cardinality(codes) IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'killbill price has values in % currencies', COALESCE(cardinality(codes), 0)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the currency as the third argument of tariff_from.';
    END IF;
    RETURN codes[1];
END $$;
COMMENT ON FUNCTION billing.import_killbill_currency(jsonb, text) IS
'Behind tariff_from: the currency to take, or the only one in which the price has values; 22023 when there are several.';

CREATE FUNCTION billing.import_killbill_check(price jsonb, place text, refused text[], VARIADIC known text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM billing.import_refuse('killbill', price - ARRAY(
               SELECT m.key FROM jsonb_each(price) AS m   -- lists of prices that are all zero
                WHERE m.key IN ('fixedPrice', 'recurringPrice')
                  AND NOT EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(m.value) WHEN 'array' THEN m.value ELSE '[1]' END) AS p(value)
                                   WHERE p.value ->> 'value' IS NULL OR NOT billing.import_absent(p.value -> 'value'))),
               VARIADIC refused)
      WHERE jsonb_typeof(price) = 'object';
    PERFORM billing.import_refuse_unknown('killbill', price, place, VARIADIC known || refused || '{name,prettyName}'::text[]);
END $$;
COMMENT ON FUNCTION billing.import_killbill_check(jsonb, text, text[], text[]) IS
'Behind tariff_from: raises 0A000 that names the first of the refused members which the price has, where a list of prices that are all zero counts as absent, or a member that is not known and may be a price. place: what stands before the name.';

CREATE FUNCTION billing.import_killbill_tier(tier jsonb, place text, usage_type text, currency text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    floor_of text;
BEGIN
    IF usage_type = 'CONSUMABLE' THEN
        PERFORM billing.import_killbill_check(tier, place || '.', '{limits,fixedPrice,recurringPrice}', 'blocks');
        PERFORM billing.import_killbill_check(b.value, format('%s.blocks[%s].', place, b.position - 1), '{minTopUpCredit}', 'unit', 'size', 'max', 'prices')
           FROM jsonb_array_elements(billing.import_array('killbill', tier, 'blocks')) WITH ORDINALITY AS b(value, position);
        RETURN (SELECT jsonb_build_object('blocks', jsonb_agg(jsonb_build_object('unit', b.value -> 'unit', 'size', billing.import_number('killbill', b.value, 'size'),
                           'max', NULLIF(billing.import_number('killbill', b.value, 'max'), -1),
                           'price', billing.import_killbill_price(b.value -> 'prices', currency, format('%s.blocks[%s].prices', place, b.position - 1))) ORDER BY b.position))
                  FROM jsonb_array_elements(billing.import_array('killbill', tier, 'blocks')) WITH ORDINALITY AS b(value, position));
    END IF;
    PERFORM billing.import_killbill_check(tier, place || '.', '{blocks,fixedPrice}', 'limits', 'recurringPrice');
    PERFORM billing.import_killbill_check(l.value, format('%s.limits[%s].', place, l.position - 1), '{}', 'unit', 'max', 'min')
       FROM jsonb_array_elements(billing.import_array('killbill', tier, 'limits')) WITH ORDINALITY AS l(value, position);
    SELECT l.value ->> 'unit' INTO floor_of FROM jsonb_array_elements(billing.import_array('killbill', tier, 'limits')) AS l(value)
     WHERE billing.import_number('killbill', l.value, 'min') NOT IN (-1, 0) LIMIT 1;
    IF floor_of IS NOT NULL THEN
        RAISE EXCEPTION 'killbill price has limits.min of unit "%", which a tariff cannot express', floor_of USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN (SELECT jsonb_build_object('price', billing.import_killbill_price(tier -> 'recurringPrice', currency, place || '.recurringPrice'),
                       'limits', jsonb_agg(jsonb_build_object('unit', l.value -> 'unit',
                           'max', NULLIF(billing.import_number('killbill', l.value, 'max'), -1)) ORDER BY l.position))
              FROM jsonb_array_elements(tier -> 'limits') WITH ORDINALITY AS l(value, position));
END $$;
COMMENT ON FUNCTION billing.import_killbill_tier(jsonb, text, text, text) IS
'Behind tariff_from: one tier of a usage section, with blocks (CONSUMABLE) or limits and a price (CAPACITY); a max of -1 is no limit.';

CREATE FUNCTION billing.import_killbill(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code   text := billing.import_killbill_currency(price, currency);
    type   text := billing.import_text('killbill', price, 'usageType');
    policy text := COALESCE(price ->> 'tierBlockPolicy', 'ALL_TIERS');
BEGIN
    IF COALESCE(price ->> 'billingMode', 'IN_ARREAR') <> 'IN_ARREAR' THEN
        RAISE EXCEPTION 'killbill price has billingMode %, which a tariff cannot express', price ->> 'billingMode' USING ERRCODE = 'feature_not_supported';
    END IF;
    IF type NOT IN ('CONSUMABLE', 'CAPACITY') THEN
        RAISE EXCEPTION 'killbill price has usageType %, which a tariff cannot express', type USING ERRCODE = 'feature_not_supported';
    END IF;
    IF policy NOT IN ('ALL_TIERS', 'TOP_TIER') THEN
        RAISE EXCEPTION 'killbill price has tierBlockPolicy %, which a tariff cannot express', policy USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_killbill_check(price, '', '{fixedPrice,recurringPrice,blocks,limits}', 'usageType', 'billingMode', 'billingPeriod', 'tierBlockPolicy', 'tiers');
    RETURN billing.import_tariff('killbill', code, (
        SELECT jsonb_build_object('model', 'blocks', 'policy', CASE type WHEN 'CAPACITY' THEN 'capacity' ELSE lower(policy) END,
                   'tiers', jsonb_agg(billing.import_killbill_tier(t.value, format('tiers[%s]', t.position - 1), type, code) ORDER BY t.position))
          FROM jsonb_array_elements(billing.import_array('killbill', price, 'tiers')) WITH ORDINALITY AS t(value, position)));
END $$;
COMMENT ON FUNCTION billing.import_killbill(jsonb, text) IS
'Behind tariff_from: a usage section of a Kill Bill catalog, CONSUMABLE or CAPACITY, in arrear. Errors: 0A000 for usage in advance, minimum limits, fixed or recurring prices beside blocks, price members that are not known; 22023 for what is missing, for two values of one currency and for a price without a value in the currency. Source: Kill Bill''s usage tests.';

CREATE FUNCTION billing.import_killbill_node(element xml) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own    record;
    part   record;
    result jsonb;
    value  jsonb;
BEGIN
    IF element IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT t.name, NULLIF(t.content, '') AS content, NULLIF(t.beside, '') AS beside,
           CASE t.name WHEN 'tiers' THEN 'tier' WHEN 'blocks' THEN 'tieredBlock' WHEN 'limits' THEN 'limit' ELSE
               CASE WHEN t.name IN ('prices', 'fixedPrice', 'recurringPrice') THEN 'price' END END AS entry
      INTO own
      FROM XMLTABLE('/*' PASSING element COLUMNS name text PATH 'local-name()', content text PATH 'normalize-space(.)', beside text PATH 'normalize-space(text()[normalize-space()])') AS t;
    IF own.entry IS NULL AND NOT xpath_exists('/*/* | /*/@*', element) THEN
        RETURN COALESCE(to_jsonb(own.content), 'null');
    END IF;
    result := CASE WHEN own.entry IS NULL THEN jsonb_strip_nulls(jsonb_build_object('text', own.beside)) ELSE CASE WHEN own.beside IS NULL THEN '[]' ELSE jsonb_build_array(own.beside) END END;
    FOR part IN SELECT p.name, p.content, p.node FROM XMLTABLE('/*/@* | /*/*' PASSING element
                       COLUMNS name text PATH 'local-name()', content text PATH '.', node xml PATH 'self::*') AS p LOOP
        value := COALESCE(billing.import_killbill_node(part.node), to_jsonb(part.content));
        result := CASE
            WHEN part.name = own.entry THEN result || jsonb_build_array(value)
            WHEN own.entry IS NOT NULL THEN result || jsonb_build_object(part.name, value)
            WHEN result ? part.name THEN result || jsonb_build_object(part.name, jsonb_build_array(result -> part.name, value))
            ELSE result || jsonb_build_object(part.name, value) END;
    END LOOP;
    RETURN result;
END $$;
COMMENT ON FUNCTION billing.import_killbill_node(xml) IS
'Behind tariff_from: an element of a catalog as JSON, with all that is in it, so that what the importer does not know is seen by it: attributes and elements are members, text beside them is the member text, what is there twice is an array. The lists tiers, blocks, limits and those of prices are arrays.';

CREATE FUNCTION billing.import_killbill_prices(element xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(billing.import_killbill_node(element), '[]') $$;
COMMENT ON FUNCTION billing.import_killbill_prices(xml) IS
'Behind tariff_from: the price elements of a list of prices.';

CREATE FUNCTION billing.import_killbill_element(element xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT billing.import_killbill_node(element) $$;
COMMENT ON FUNCTION billing.import_killbill_element(xml) IS
'Behind tariff_from: the usage element of a catalog as the JSON that Kill Bill''s API shows of it.';
