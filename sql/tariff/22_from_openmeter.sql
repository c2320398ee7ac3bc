-- Prices of OpenMeter: a price or rate card of its v1 API (camel case) or v3 API (snake case).

CREATE FUNCTION billing.import_openmeter_amount(tier jsonb, member text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN billing.import_object('openmeter', $1, $2) <> '{}' THEN billing.import_text('openmeter', $1, $2, 'amount') END $$;
COMMENT ON FUNCTION billing.import_openmeter_amount(jsonb, text) IS
'Behind tariff_from: the amount of a price inside a tier, null without the price; 22023 names a price that is no object or has no amount.';

CREATE FUNCTION billing.import_openmeter_tiers(tiers jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_agg(jsonb_build_object('up_to', t.up_to,
                         'flat', COALESCE(billing.import_openmeter_amount(t.value, 'flatPrice'), billing.import_openmeter_amount(t.value, 'flat_price')),
                         'unit_price', COALESCE(billing.import_openmeter_amount(t.value, 'unitPrice'), billing.import_openmeter_amount(t.value, 'unit_price'), '0'))
                     ORDER BY t.up_to, t.position)
      FROM (SELECT e.value, e.position,
                   COALESCE(billing.import_number('openmeter', e.value, 'upToAmount'), billing.import_number('openmeter', e.value, 'up_to_amount')) AS up_to
              FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position)) AS t
    $$;
COMMENT ON FUNCTION billing.import_openmeter_tiers(jsonb) IS
'Behind tariff_from: OpenMeter''s tiers, which it sorts by their bound.';

CREATE FUNCTION billing.import_openmeter_convert(config jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    operation text;
    rounding  text := COALESCE(config ->> 'rounding', 'none');
BEGIN
    IF config IS NULL OR config = 'null' THEN
        RETURN NULL;
    END IF;
    operation := billing.import_text('openmeter', config, 'operation');
    IF operation NOT IN ('divide', 'multiply') THEN
        RAISE EXCEPTION 'openmeter price has unit_config.operation %, which a tariff cannot express', operation USING ERRCODE = 'feature_not_supported';
    END IF;
    IF rounding NOT IN ('none', 'ceiling', 'floor', 'half_up') THEN
        RAISE EXCEPTION 'openmeter price has unit_config.rounding %, which a tariff cannot express', rounding USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN jsonb_build_object(operation || '_by', billing.import_text('openmeter', config, 'conversion_factor'),
        'round', CASE rounding WHEN 'ceiling' THEN 'up' WHEN 'floor' THEN 'down' WHEN 'half_up' THEN 'half_up' END,
        'decimals', CASE WHEN rounding <> 'none' THEN config -> 'precision' END);
END $$;
COMMENT ON FUNCTION billing.import_openmeter_convert(jsonb) IS
'Behind tariff_from: OpenMeter''s unit_config as the member convert; null without one.';

CREATE FUNCTION billing.import_openmeter(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code      text  := billing.import_currency('openmeter', price ->> 'currency', currency);
    card      jsonb := CASE WHEN jsonb_typeof(price -> 'price') = 'object' THEN price ELSE '{}' END;   -- a rate card holds the price
    own       jsonb := CASE WHEN jsonb_typeof(price -> 'price') = 'object' THEN price -> 'price' ELSE price END;
    type      text  := billing.import_text('openmeter', own, 'type');
    discounts jsonb := jsonb_strip_nulls(billing.import_object('openmeter', card, 'discounts'));
    committed jsonb := jsonb_strip_nulls(billing.import_object('openmeter', card, 'commitments'));
    members   jsonb;
BEGIN
    PERFORM billing.import_refuse('openmeter', card, 'unitConfig');
    PERFORM billing.import_refuse('openmeter', own, 'discounts', 'commitments', 'unit_config', 'unitConfig', 'minimum_amount', 'maximum_amount');
    members := CASE
        WHEN type = 'flat' THEN jsonb_build_object('model', 'flat', 'amount', billing.import_text('openmeter', own, 'amount'))
        WHEN type = 'free' THEN jsonb_build_object('model', 'flat', 'amount', '0')
        WHEN type = 'unit' THEN jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_text('openmeter', own, 'amount'))
        WHEN type = 'dynamic' THEN jsonb_build_object('model', 'per_unit', 'unit_price', COALESCE(own ->> 'multiplier', '1'))
        WHEN type = 'package' THEN
            jsonb_build_object('model', 'package', 'amount', billing.import_text('openmeter', own, 'amount'),
                'size', COALESCE(own ->> 'quantityPerPackage', billing.import_text('openmeter', own, 'quantity_per_package')))
        WHEN type = 'tiered' THEN
            jsonb_build_object('model', billing.import_text('openmeter', own, 'mode'), 'on_zero', 'charge',
                'tiers', billing.import_openmeter_tiers(billing.import_array('openmeter', own, 'tiers')))
        WHEN type IN ('graduated', 'volume') THEN
            jsonb_build_object('model', type, 'on_zero', 'charge',
                'tiers', billing.import_openmeter_tiers(billing.import_array('openmeter', own, 'tiers')))
    END;
    IF members IS NULL THEN
        RAISE EXCEPTION 'openmeter price has type %, which a tariff cannot express', type USING ERRCODE = 'feature_not_supported';
    END IF;
    IF members ->> 'model' IN ('graduated', 'volume') AND members #> '{tiers,-1,up_to}' <> 'null' THEN
        members := members || '{"beyond": "error"}';
    END IF;
    RETURN billing.import_tariff('openmeter', code, members || jsonb_build_object(
        'minimum', COALESCE(own ->> 'minimumAmount', committed ->> 'minimum_amount', committed ->> 'minimumAmount'),
        'maximum', COALESCE(own ->> 'maximumAmount', committed ->> 'maximum_amount', committed ->> 'maximumAmount'),
        'discount_percent', COALESCE(discounts #> '{percentage,percentage}', discounts -> 'percentage'),
        'free', COALESCE(discounts #> '{usage,quantity}', discounts -> 'usage'),
        'convert', billing.import_openmeter_convert(card -> 'unit_config')));
END $$;
COMMENT ON FUNCTION billing.import_openmeter(jsonb, text) IS
'Behind tariff_from: a price or rate card of OpenMeter. Types flat, free, unit, dynamic, package, tiered, graduated and volume, with commitments, percentage and usage discounts and unit_config. Errors: 0A000 for another type or conversion, 22023 for what is missing. Source: OpenMeter''s rating service and its tests.';
