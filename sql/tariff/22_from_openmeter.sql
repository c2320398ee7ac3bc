-- Prices of OpenMeter: a price or rate card of its v1 API (camel case) or v3 API (snake case).

CREATE FUNCTION billing.import_openmeter_amount(tier jsonb, member text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    price jsonb := billing.import_object('openmeter', tier, member);
    type  text  := CASE WHEN member IN ('flatPrice', 'flat_price') THEN 'flat' ELSE 'unit' END;
BEGIN
    IF price = '{}' THEN
        RETURN NULL;
    END IF;
    IF COALESCE(price ->> 'type', type) <> type THEN
        RAISE EXCEPTION 'openmeter price has %.type %, which a tariff cannot express', member, price ->> 'type' USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_refuse_unknown('openmeter', price, member || '.', 'type', 'amount');
    RETURN billing.import_amount('openmeter', tier, member, 'amount');
END $$;
COMMENT ON FUNCTION billing.import_openmeter_amount(jsonb, text) IS
'Behind tariff_from: the amount of a price inside a tier, null without the price; 22023 names a price that is no object or has no amount, 0A000 one of another type, as a package.';

CREATE FUNCTION billing.import_openmeter_known(holder jsonb, member text, VARIADIC known text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    object jsonb := billing.import_object('openmeter', holder, member);
BEGIN
    PERFORM billing.import_refuse('openmeter', jsonb_build_object(member || '.' || m.key, m.value), member || '.' || m.key)
       FROM jsonb_each(object) AS m WHERE m.key <> ALL (known);
    RETURN jsonb_strip_nulls(object);
END $$;
COMMENT ON FUNCTION billing.import_openmeter_known(jsonb, text, text[]) IS
'Behind tariff_from: an object of which every member is a price, without its nulls; 0A000 names a member that is not among the known ones.';

CREATE FUNCTION billing.import_openmeter_discount(discounts jsonb, member text, inner_member text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF COALESCE(discounts -> member, 'null') = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(discounts -> member) <> 'object' THEN
        RETURN billing.import_number('openmeter', jsonb_build_object('discounts', discounts), 'discounts', member);
    END IF;
    PERFORM billing.import_refuse_unknown('openmeter', discounts -> member, format('discounts.%s.', member), inner_member, 'correlationId');
    RETURN billing.import_amount('openmeter', jsonb_build_object('discounts', discounts), 'discounts', member, inner_member);
END $$;
COMMENT ON FUNCTION billing.import_openmeter_discount(jsonb, text, text) IS
'Behind tariff_from: a discount of OpenMeter, which is a number or an object with the number in inner_member; null without it. 22023 names one that is no number.';

CREATE FUNCTION billing.import_openmeter_priced(tier jsonb, place bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest('{flatPrice,flat_price,unitPrice,unit_price}'::text[]) AS member WHERE COALESCE(tier -> member, 'null') <> 'null') THEN
        RAISE EXCEPTION 'openmeter price has neither tiers[%].unitPrice nor tiers[%].flatPrice', place, place USING ERRCODE = 'invalid_parameter_value',
            HINT = 'What is free has a price of 0.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.import_openmeter_priced(jsonb, bigint) IS
'Behind tariff_from: refuses a tier without any price (22023), which OpenMeter does not know either.';

CREATE FUNCTION billing.import_openmeter_tiers(price jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tiers jsonb := billing.import_array('openmeter', price, 'tiers');
BEGIN
    PERFORM billing.import_refuse_unknown('openmeter', e.value, format('tiers[%s].', e.position - 1), 'upToAmount', 'up_to_amount', 'flatPrice', 'flat_price', 'unitPrice', 'unit_price')
       FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position);
    PERFORM billing.import_openmeter_priced(e.value, e.position - 1) FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position);
    RETURN (SELECT jsonb_agg(jsonb_build_object('up_to', t.up_to,
                         'flat', billing.import_one('openmeter', 'flatPrice', billing.import_openmeter_amount(t.value, 'flatPrice'), billing.import_openmeter_amount(t.value, 'flat_price')),
                         'unit_price', COALESCE(billing.import_one('openmeter', 'unitPrice', billing.import_openmeter_amount(t.value, 'unitPrice'), billing.import_openmeter_amount(t.value, 'unit_price')), 0))
                     ORDER BY t.up_to, t.position)
      FROM (SELECT e.value, e.position,
                   billing.import_one('openmeter', 'upToAmount', billing.import_number('openmeter', e.value, 'upToAmount'), billing.import_number('openmeter', e.value, 'up_to_amount')) AS up_to
              FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position)) AS t);
END $$;
COMMENT ON FUNCTION billing.import_openmeter_tiers(jsonb) IS
'Behind tariff_from: the tiers of an OpenMeter price, which it sorts by their bound; 0A000 names a price member that is not known.';

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
    PERFORM billing.import_refuse_unknown('openmeter', config, 'unit_config.', 'operation', 'conversion_factor', 'rounding', 'precision', 'display_unit');
    operation := billing.import_text('openmeter', config, 'operation');
    IF operation NOT IN ('divide', 'multiply') THEN
        RAISE EXCEPTION 'openmeter price has unit_config.operation %, which a tariff cannot express', operation USING ERRCODE = 'feature_not_supported';
    END IF;
    IF rounding NOT IN ('none', 'ceiling', 'floor', 'half_up') THEN
        RAISE EXCEPTION 'openmeter price has unit_config.rounding %, which a tariff cannot express', rounding USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN jsonb_build_object(operation || '_by', billing.import_amount('openmeter', config, 'conversion_factor'),
        'round', CASE rounding WHEN 'ceiling' THEN 'up' WHEN 'floor' THEN 'down' WHEN 'half_up' THEN 'half_up' END,
        'decimals', CASE WHEN rounding <> 'none' THEN billing.import_number('openmeter', config, 'precision') END);
END $$;
COMMENT ON FUNCTION billing.import_openmeter_convert(jsonb) IS
'Behind tariff_from: OpenMeter''s unit_config as the member convert; null without one.';

CREATE FUNCTION billing.import_openmeter(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    card      jsonb := CASE WHEN jsonb_typeof(price -> 'price') = 'object' THEN price ELSE '{}' END;   -- a rate card holds the price
    own       jsonb := CASE WHEN jsonb_typeof(price -> 'price') = 'object' THEN price -> 'price' ELSE price END;
    code      text  := billing.import_currency('openmeter', COALESCE(own ->> 'currency', price ->> 'currency'), COALESCE(currency, price ->> 'currency'));
    type      text  := billing.import_text('openmeter', own, 'type');
    mode      text  := CASE type WHEN 'tiered' THEN billing.import_text('openmeter', own, 'mode') ELSE type END;
    discounts jsonb := billing.import_openmeter_known(card, 'discounts', 'percentage', 'usage');
    committed jsonb := billing.import_openmeter_known(card, 'commitments', 'minimum_amount', 'minimumAmount', 'maximum_amount', 'maximumAmount');
    members   jsonb;
BEGIN
    IF type NOT IN ('flat', 'free', 'unit', 'dynamic', 'package', 'tiered', 'graduated', 'volume') THEN
        RAISE EXCEPTION 'openmeter price has type %, which a tariff cannot express', type USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_refuse('openmeter', card, 'unitConfig');
    PERFORM billing.import_refuse('openmeter', own, 'discounts', 'commitments', 'unit_config', 'unitConfig', 'minimum_amount', 'maximum_amount');
    PERFORM billing.import_refuse_unknown('openmeter', card, '', VARIADIC '{price,discounts,commitments,unit_config,featureKey,feature,billingCadence,billing_cadence,paymentTerm,payment_term,
        taxConfig,tax_config,entitlementTemplate,entitlement,labels}'::text[]);
    PERFORM billing.import_refuse_unknown('openmeter', own, CASE WHEN card <> '{}' THEN 'price.' ELSE '' END,
        VARIADIC '{type,paymentTerm,taxConfig,tax_config,minimumAmount,maximumAmount}'::text[] || CASE
            WHEN type = 'tiered' THEN '{mode,tiers}'
            WHEN type IN ('graduated', 'volume') THEN '{tiers}'
            WHEN type = 'dynamic' THEN '{multiplier}'
            WHEN type = 'package' THEN '{amount,quantityPerPackage,quantity_per_package}'
            WHEN type = 'free' THEN '{}'
            ELSE '{amount}' END::text[]);
    PERFORM billing.import_refuse_inclusive('openmeter', price, 'taxConfig', 'behavior');
    PERFORM billing.import_refuse_inclusive('openmeter', price, 'tax_config', 'behavior');
    IF type = 'tiered' AND mode NOT IN ('graduated', 'volume') THEN
        RAISE EXCEPTION 'openmeter price has mode %, which a tariff cannot express', mode USING ERRCODE = 'feature_not_supported';
    END IF;
    members := CASE
        WHEN type = 'flat' THEN jsonb_build_object('model', 'flat', 'amount', billing.import_amount('openmeter', own, 'amount'))
        WHEN type = 'free' THEN jsonb_build_object('model', 'flat', 'amount', '0')
        WHEN type = 'unit' THEN jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('openmeter', own, 'amount'))
        WHEN type = 'dynamic' THEN jsonb_build_object('model', 'per_unit', 'unit_price', COALESCE(billing.import_number('openmeter', own, 'multiplier'), 1))
        WHEN type = 'package' THEN
            jsonb_build_object('model', 'package', 'amount', billing.import_amount('openmeter', own, 'amount'),
                'size', billing.import_one('openmeter', 'quantityPerPackage', billing.import_number('openmeter', own, 'quantity_per_package'),
                    CASE WHEN own ->> 'quantity_per_package' IS NULL THEN billing.import_amount('openmeter', own, 'quantityPerPackage')
                         ELSE billing.import_number('openmeter', own, 'quantityPerPackage') END))
        WHEN type IN ('tiered', 'graduated', 'volume') THEN
            jsonb_build_object('model', mode, 'on_zero', 'charge',
                'tiers', billing.import_openmeter_tiers(own))
    END;
    IF members ->> 'model' IN ('graduated', 'volume') AND members #> '{tiers,-1,up_to}' <> 'null' THEN
        members := members || '{"beyond": "error"}';
    END IF;
    RETURN billing.import_tariff('openmeter', code, members || jsonb_build_object(
        'minimum', billing.import_one('openmeter', 'minimumAmount', billing.import_number('openmeter', own, 'minimumAmount'), billing.import_number('openmeter', committed, 'minimum_amount'), billing.import_number('openmeter', committed, 'minimumAmount')),
        'maximum', billing.import_one('openmeter', 'maximumAmount', billing.import_number('openmeter', own, 'maximumAmount'), billing.import_number('openmeter', committed, 'maximum_amount'), billing.import_number('openmeter', committed, 'maximumAmount')),
        'discount_percent', billing.import_openmeter_discount(discounts, 'percentage', 'percentage'),
        'free', billing.import_openmeter_discount(discounts, 'usage', 'quantity'),
        'convert', billing.import_openmeter_convert(card -> 'unit_config')));
END $$;
COMMENT ON FUNCTION billing.import_openmeter(jsonb, text) IS
'Behind tariff_from: a price or rate card of OpenMeter. Types flat, free, unit, dynamic, package, tiered, graduated and volume, with commitments, percentage and usage discounts and unit_config. Errors: 0A000 for another type or conversion, other discounts and commitments, amounts that contain their tax and price members that are not known, 22023 for what is missing. Source: OpenMeter''s rating service and its tests.';
