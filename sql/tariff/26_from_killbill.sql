-- Prices of Kill Bill: a usage section of its catalog, as JSON or as the XML element itself.

CREATE FUNCTION billing.import_killbill_price(prices jsonb, currency text, place text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text;
BEGIN
    SELECT p.value ->> 'value' INTO value
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(prices) = 'array' THEN prices ELSE '[]' END) AS p(value)
     WHERE upper(p.value ->> 'currency') = currency LIMIT 1;
    IF value IS NULL THEN
        RAISE EXCEPTION '% of the killbill price has no value in %', place, currency USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN value;
END $$;
COMMENT ON FUNCTION billing.import_killbill_price(jsonb, text, text) IS
'Behind tariff_from: the value of a currency in a list of prices; 22023 names a place that has none.';

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

CREATE FUNCTION billing.import_killbill_tier(tier jsonb, place text, usage_type text, currency text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    floor_of text;
BEGIN
    IF usage_type = 'CONSUMABLE' THEN
        PERFORM billing.import_refuse('killbill', tier, 'limits', 'fixedPrice', 'recurringPrice');
        RETURN (SELECT jsonb_build_object('blocks', jsonb_agg(jsonb_build_object('unit', b.value -> 'unit', 'size', b.value -> 'size',
                           'max', NULLIF(billing.import_number('killbill', b.value, 'max'), -1),
                           'price', billing.import_killbill_price(b.value -> 'prices', currency, format('%s.blocks[%s].prices', place, b.position - 1))) ORDER BY b.position))
                  FROM jsonb_array_elements(billing.import_array('killbill', tier, 'blocks')) WITH ORDINALITY AS b(value, position));
    END IF;
    PERFORM billing.import_refuse('killbill', tier, 'blocks', 'fixedPrice');
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
    PERFORM billing.import_refuse('killbill', price, 'fixedPrice', 'recurringPrice', 'blocks', 'limits');
    RETURN billing.import_tariff('killbill', code, (
        SELECT jsonb_build_object('model', 'blocks', 'policy', CASE type WHEN 'CAPACITY' THEN 'capacity' ELSE lower(policy) END,
                   'tiers', jsonb_agg(billing.import_killbill_tier(t.value, format('tiers[%s]', t.position - 1), type, code) ORDER BY t.position))
          FROM jsonb_array_elements(billing.import_array('killbill', price, 'tiers')) WITH ORDINALITY AS t(value, position)));
END $$;
COMMENT ON FUNCTION billing.import_killbill(jsonb, text) IS
'Behind tariff_from: a usage section of a Kill Bill catalog, CONSUMABLE or CAPACITY, in arrear. Errors: 0A000 for usage in advance, minimum limits, fixed or recurring prices beside blocks; 22023 for what is missing and for a price without a value in the currency. Source: Kill Bill''s usage tests.';

CREATE FUNCTION billing.import_killbill_prices(element xml) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(jsonb_agg(jsonb_build_object('currency', (xpath('normalize-space(currency)', p.price))[1]::text, 'value', (xpath('normalize-space(value)', p.price))[1]::text)), '[]')
            FROM unnest(xpath('price', element)) AS p(price) $$;
COMMENT ON FUNCTION billing.import_killbill_prices(xml) IS
'Behind tariff_from: the price elements of a list of prices.';

CREATE FUNCTION billing.import_killbill_element(element xml) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An attribute counts where an element may stand as well.
    RETURN jsonb_build_object(
        'usageType', (xpath('/*/@usageType', element))[1]::text,
        'billingMode', (xpath('/*/@billingMode', element))[1]::text,
        'tierBlockPolicy', (xpath('/*/@tierBlockPolicy', element))[1]::text,
        'fixedPrice', billing.import_killbill_prices((xpath('/*/fixedPrice', element))[1]),
        'recurringPrice', billing.import_killbill_prices((xpath('/*/recurringPrice', element))[1]),
        'blocks', to_jsonb(xpath('/*/blocks/*', element)::text[]),
        'limits', to_jsonb(xpath('/*/limits/*', element)::text[]),
        'tiers', (SELECT jsonb_agg(jsonb_build_object(
                             'fixedPrice', billing.import_killbill_prices((xpath('/*/fixedPrice', t.tier))[1]),
                             'recurringPrice', billing.import_killbill_prices((xpath('/*/recurringPrice', t.tier))[1]),
                             'blocks', (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                                                   'unit', (xpath('normalize-space(/*/unit)', b.block))[1]::text,
                                                   'size', (xpath('normalize-space(/*/size)', b.block))[1]::text,
                                                   'max', (xpath('normalize-space(/*/max)', b.block))[1]::text,
                                                   'prices', billing.import_killbill_prices((xpath('/*/prices', b.block))[1])) ORDER BY b.position), '[]')
                                          FROM unnest(xpath('/*/blocks/tieredBlock', t.tier)) WITH ORDINALITY AS b(block, position)),
                             'limits', (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                                                   'unit', (xpath('normalize-space(/*/unit)', l.element))[1]::text,
                                                   'max', NULLIF((xpath('normalize-space(/*/max)', l.element))[1]::text, ''),
                                                   'min', NULLIF((xpath('normalize-space(/*/min)', l.element))[1]::text, '')) ORDER BY l.position), '[]')
                                          FROM unnest(xpath('/*/limits/limit', t.tier)) WITH ORDINALITY AS l(element, position))) ORDER BY t.position)
                    FROM unnest(xpath('/*/tiers/tier', element)) WITH ORDINALITY AS t(tier, position)));
END $$;
COMMENT ON FUNCTION billing.import_killbill_element(xml) IS
'Behind tariff_from: the usage element of a catalog as the JSON that Kill Bill''s API shows of it.';
