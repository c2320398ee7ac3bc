-- Prices of Kill Bill: a usage section of its catalog, as JSON or as the XML element itself.

CREATE FUNCTION billing.import_killbill_price(prices jsonb, currency text, place text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    amounts text[];
BEGIN
    SELECT array_agg(p.value ->> 'value') INTO amounts
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(prices) = 'array' THEN prices ELSE '[]' END) AS p(value)
     WHERE upper(p.value ->> 'currency') = $2;
    IF cardinality(amounts) > 1 THEN
        RAISE EXCEPTION '% of the killbill price has % values in %', place, cardinality(amounts), currency USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF amounts[1] IS NULL THEN
        RAISE EXCEPTION '% of the killbill price has no value in %', place, currency USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN amounts[1];
END $$;
COMMENT ON FUNCTION billing.import_killbill_price(jsonb, text, text) IS
'Behind tariff_from: the value of a currency in a list of prices; 22023 names a place that has none or several.';

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

CREATE FUNCTION billing.import_killbill_refuse(price jsonb, place text, VARIADIC members text[]) RETURNS void
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT billing.import_refuse('killbill', price - ARRAY(
               SELECT m.key FROM jsonb_each(price) AS m   -- lists of prices that are all zero
                WHERE m.key IN ('fixedPrice', 'recurringPrice')
                  AND NOT EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(m.value) WHEN 'array' THEN m.value ELSE '[1]' END) AS p(value)
                                   WHERE p.value ->> 'value' IS NULL OR NOT billing.import_absent(p.value -> 'value'))),
               VARIADIC members);
    SELECT billing.import_refuse_other('killbill', price, place, 'fixedPrice', 'recurringPrice', 'prices', 'max', 'min', 'minTopUpCredit', 'tiers')
    $$;
COMMENT ON FUNCTION billing.import_killbill_refuse(jsonb, text, text[]) IS
'Behind tariff_from: raises 0A000 that names the first of the members which the price has, or another one that speaks of a price; a list of prices that are all zero counts as absent. place: what stands before the name.';

CREATE FUNCTION billing.import_killbill_tier(tier jsonb, place text, usage_type text, currency text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    floor_of text;
BEGIN
    IF usage_type = 'CONSUMABLE' THEN
        PERFORM billing.import_killbill_refuse(tier, place || '.', 'limits', 'fixedPrice', 'recurringPrice');
        PERFORM billing.import_killbill_refuse(b.value, place || '.blocks.', 'minTopUpCredit')
           FROM jsonb_array_elements(billing.import_array('killbill', tier, 'blocks')) AS b(value);
        RETURN (SELECT jsonb_build_object('blocks', jsonb_agg(jsonb_build_object('unit', b.value -> 'unit', 'size', b.value -> 'size',
                           'max', NULLIF(billing.import_number('killbill', b.value, 'max'), -1),
                           'price', billing.import_killbill_price(b.value -> 'prices', currency, format('%s.blocks[%s].prices', place, b.position - 1))) ORDER BY b.position))
                  FROM jsonb_array_elements(billing.import_array('killbill', tier, 'blocks')) WITH ORDINALITY AS b(value, position));
    END IF;
    PERFORM billing.import_killbill_refuse(tier, place || '.', 'blocks', 'fixedPrice');
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
    PERFORM billing.import_killbill_refuse(price, '', 'fixedPrice', 'recurringPrice', 'blocks', 'limits');
    RETURN billing.import_tariff('killbill', code, (
        SELECT jsonb_build_object('model', 'blocks', 'policy', CASE type WHEN 'CAPACITY' THEN 'capacity' ELSE lower(policy) END,
                   'tiers', jsonb_agg(billing.import_killbill_tier(t.value, format('tiers[%s]', t.position - 1), type, code) ORDER BY t.position))
          FROM jsonb_array_elements(billing.import_array('killbill', price, 'tiers')) WITH ORDINALITY AS t(value, position)));
END $$;
COMMENT ON FUNCTION billing.import_killbill(jsonb, text) IS
'Behind tariff_from: a usage section of a Kill Bill catalog, CONSUMABLE or CAPACITY, in arrear. Errors: 0A000 for usage in advance, minimum limits, fixed or recurring prices beside blocks, price members that are not known; 22023 for what is missing, for two values of one currency and for a price without a value in the currency. Source: Kill Bill''s usage tests.';

CREATE FUNCTION billing.import_killbill_prices(element xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(jsonb_agg(jsonb_build_object('currency', p.currency, 'value', p.value) ORDER BY p.position), '[]')
            FROM XMLTABLE('/*/price' PASSING element
                          COLUMNS position FOR ORDINALITY, currency text PATH 'normalize-space(currency)', value text PATH 'normalize-space(value)') AS p $$;
COMMENT ON FUNCTION billing.import_killbill_prices(xml) IS
'Behind tariff_from: the price elements of a list of prices.';

CREATE FUNCTION billing.import_killbill_tier_element(tier xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object(
               'fixedPrice', billing.import_killbill_prices(t.fixed), 'recurringPrice', billing.import_killbill_prices(t.recurring),
               'blocks', (SELECT COALESCE(jsonb_agg(jsonb_build_object('unit', b.unit, 'size', b.size, 'max', NULLIF(b.max, ''), 'minTopUpCredit', b.top_up,
                                                        'prices', billing.import_killbill_prices(b.prices)) ORDER BY b.position), '[]')
                            FROM XMLTABLE('/*/blocks/tieredBlock' PASSING tier
                                          COLUMNS position FOR ORDINALITY, unit text PATH 'normalize-space(unit)', size text PATH 'normalize-space(size)',
                                                  max text PATH 'normalize-space(max)', top_up text PATH 'normalize-space(minTopUpCredit)', prices xml PATH 'prices') AS b),
               'limits', (SELECT COALESCE(jsonb_agg(jsonb_build_object('unit', l.unit, 'max', NULLIF(l.max, ''), 'min', NULLIF(l.min, '')) ORDER BY l.position), '[]')
                            FROM XMLTABLE('/*/limits/limit' PASSING tier
                                          COLUMNS position FOR ORDINALITY, unit text PATH 'normalize-space(unit)', max text PATH 'normalize-space(max)',
                                                  min text PATH 'normalize-space(min)') AS l))
      FROM XMLTABLE('/*' PASSING tier COLUMNS fixed xml PATH 'fixedPrice', recurring xml PATH 'recurringPrice') AS t
    $$;
COMMENT ON FUNCTION billing.import_killbill_tier_element(xml) IS
'Behind tariff_from: one tier element as the JSON that Kill Bill''s API shows of it.';

CREATE FUNCTION billing.import_killbill_element(element xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object('usageType', u.usage_type, 'billingMode', u.billing_mode, 'tierBlockPolicy', u.policy,
               'fixedPrice', billing.import_killbill_prices(u.fixed), 'recurringPrice', billing.import_killbill_prices(u.recurring),
               'blocks', CASE WHEN xpath_exists('/*/blocks/*', element) THEN 'true'::jsonb END,
               'limits', CASE WHEN xpath_exists('/*/limits/*', element) THEN 'true'::jsonb END,
               'tiers', (SELECT jsonb_agg(billing.import_killbill_tier_element(t.tier) ORDER BY t.position)
                           FROM XMLTABLE('/*/tiers/tier' PASSING element COLUMNS position FOR ORDINALITY, tier xml PATH '.') AS t))
      FROM XMLTABLE('/*' PASSING element
                    COLUMNS usage_type text PATH '@usageType', billing_mode text PATH '@billingMode', policy text PATH '@tierBlockPolicy',
                            fixed xml PATH 'fixedPrice', recurring xml PATH 'recurringPrice') AS u
    $$;
COMMENT ON FUNCTION billing.import_killbill_element(xml) IS
'Behind tariff_from: the usage element of a catalog as the JSON that Kill Bill''s API shows of it.';
