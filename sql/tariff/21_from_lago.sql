-- Prices of Lago: a charge with its charge_model and properties.

CREATE FUNCTION billing.import_lago_tiers(properties jsonb, member text, price_member text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before numeric := 0;
    tiers  jsonb := '[]';
    ranges jsonb := billing.import_array('lago', properties, member);
    range  jsonb;
    place  int := 0;
BEGIN
    FOR range IN SELECT r.value FROM jsonb_array_elements(ranges) WITH ORDINALITY AS r(value, position) ORDER BY r.position LOOP
        PERFORM billing.import_refuse_unknown('lago', range, format('%s[%s].', member, place), 'from_value', 'to_value', 'flat_amount', price_member);
        IF COALESCE(range ->> price_member, range ->> 'flat_amount') IS NULL THEN
            RAISE EXCEPTION '%[%] of the lago price has neither % nor flat_amount', member, place, price_member USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF range ->> 'to_value' IS NULL AND place < jsonb_array_length(ranges) - 1 OR range ->> 'to_value' IS NOT NULL AND place = jsonb_array_length(ranges) - 1 THEN
            RAISE EXCEPTION '%[%].to_value of the lago price is %, but the last range and no other has none', member, place, COALESCE(range ->> 'to_value', 'null')
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- 0 to 10, 11 to 20 and 0 to 0.1, 0.1 to 1 are both (0, 10], (10, 20]: what lies between belongs to the next range.
        IF range ->> 'from_value' IS NULL THEN
            RAISE EXCEPTION '%[%] of the lago price has no from_value', member, place USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF place = 0 AND billing.import_number('lago', range, 'from_value') <> 0 THEN
            RAISE EXCEPTION '%[0].from_value of the lago price is %, not 0', member, range ->> 'from_value' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF place > 0 AND billing.import_number('lago', range, 'from_value') NOT IN (before, before + 1) THEN
            RAISE EXCEPTION '%[%].from_value of the lago price is %, but the range before ends at %', member, place, range ->> 'from_value', before
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        tiers := tiers || jsonb_build_object('up_to', billing.import_number('lago', range, 'to_value'), 'flat', billing.import_number('lago', range, 'flat_amount'),
            CASE price_member WHEN 'rate' THEN 'percent' ELSE 'unit_price' END, COALESCE(billing.import_number('lago', range, price_member), 0));
        before := billing.import_number('lago', range, 'to_value');
        place := place + 1;
    END LOOP;
    RETURN tiers;
END $$;
COMMENT ON FUNCTION billing.import_lago_tiers(jsonb, text, text) IS
'Behind tariff_from: Lago''s ranges, a member of the properties, as tiers with the price that price_member says; 22023 names a range that has no bound or price, leaves a gap or overlaps the one before, 0A000 a price member that is not known.';

CREATE FUNCTION billing.import_lago(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code       text  := billing.import_currency('lago', COALESCE(price ->> 'amount_currency', price ->> 'currency', price #>> '{properties,amount_currency}'), currency);
    model      text  := billing.import_text('lago', price, 'charge_model');
    properties jsonb := billing.import_object('lago', price, 'properties');
    members    jsonb;
BEGIN
    IF model NOT IN ('standard', 'graduated', 'volume', 'graduated_percentage', 'package', 'percentage', 'dynamic') THEN
        RAISE EXCEPTION 'lago price has charge_model %, which a tariff cannot express', model USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_refuse('lago', price, 'filters', 'group_properties', 'applied_pricing_unit');
    PERFORM billing.import_refuse('lago', properties, 'grouped_by', 'pricing_group_keys', 'custom_properties');
    PERFORM billing.import_refuse_unknown('lago', price, '', 'charge_model', 'properties', 'min_amount_cents', 'regroup_paid_fees', 'amount_currency', 'taxes', 'tax_codes');
    PERFORM billing.import_refuse_unknown('lago', properties, 'properties.', VARIADIC '{amount_currency,presentation_group_keys}'::text[] || CASE model
        WHEN 'graduated' THEN '{graduated_ranges}'
        WHEN 'volume' THEN '{volume_ranges}'
        WHEN 'graduated_percentage' THEN '{graduated_percentage_ranges}'
        WHEN 'package' THEN '{amount,package_size,free_units}'
        WHEN 'percentage' THEN '{rate,fixed_amount,free_units_per_events,free_units_per_total_aggregation,per_transaction_min_amount,per_transaction_max_amount}'
        WHEN 'dynamic' THEN '{}'
        ELSE '{amount}' END::text[]);
    members := CASE model
        WHEN 'standard' THEN
            jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('lago', properties, 'amount'))
        WHEN 'graduated' THEN
            jsonb_build_object('model', 'graduated', 'on_zero', 'charge',
                'tiers', billing.import_lago_tiers(properties, 'graduated_ranges', 'per_unit_amount'))
        WHEN 'volume' THEN
            jsonb_build_object('model', 'volume', 'on_zero', 'charge',
                'tiers', billing.import_lago_tiers(properties, 'volume_ranges', 'per_unit_amount'))
        WHEN 'graduated_percentage' THEN
            jsonb_build_object('model', 'graduated_percentage', 'on_zero', 'charge',
                'tiers', billing.import_lago_tiers(properties, 'graduated_percentage_ranges', 'rate'))
        WHEN 'package' THEN
            jsonb_build_object('model', 'package', 'amount', billing.import_amount('lago', properties, 'amount'),
                'size', billing.import_amount('lago', properties, 'package_size'), 'free', billing.import_number('lago', properties, 'free_units'))
        WHEN 'percentage' THEN
            jsonb_build_object('model', 'percentage', 'on_zero', 'nothing', 'percent', billing.import_amount('lago', properties, 'rate'),
                'per_event', billing.import_number('lago', properties, 'fixed_amount'),
                'free_events', NULLIF(billing.import_number('lago', properties, 'free_units_per_events'), 0),
                'free_amount', NULLIF(billing.import_number('lago', properties, 'free_units_per_total_aggregation'), 0),
                'event_min', billing.import_number('lago', properties, 'per_transaction_min_amount'),
                'event_max', billing.import_number('lago', properties, 'per_transaction_max_amount'))
        WHEN 'dynamic' THEN
            jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_minor_unit('lago', code))
    END;
    RETURN billing.import_tariff('lago', code, members || jsonb_build_object('minimum',
        CASE WHEN billing.import_number('lago', price, 'min_amount_cents') IS NOT NULL THEN
            billing.import_number('lago', price, 'min_amount_cents') * billing.import_minor_unit('lago', code) END));
END $$;
COMMENT ON FUNCTION billing.import_lago(jsonb, text) IS
'Behind tariff_from: a charge of Lago. Models standard, graduated, volume, package, percentage, graduated_percentage and dynamic; of a dynamic charge the quantity is {"units": …, "precise_total_amount_cents": …}. A prorated charge is rated with rate_each. min_amount_cents becomes the minimum. Errors: 0A000 for filters, group properties, pricing groups, pricing units, custom models and price members that are not known; 22023 for what is missing or contradicts itself. Source: Lago''s charge model services and their tests.';
