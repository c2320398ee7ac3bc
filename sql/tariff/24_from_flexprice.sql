-- Prices of Flexprice.

CREATE FUNCTION billing.import_flexprice_tier(tier jsonb, place text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM billing.import_refuse_other('flexprice', tier, place, 'unit_amount', 'flat_amount');
    IF COALESCE(tier ->> 'unit_amount', tier ->> 'flat_amount') IS NULL THEN
        RAISE EXCEPTION '% of the flexprice price has neither unit_amount nor flat_amount', rtrim(place, '.') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN jsonb_build_object('up_to', billing.import_number('flexprice', tier, 'up_to'), 'flat', billing.import_number('flexprice', tier, 'flat_amount'),
        'unit_price', COALESCE(billing.import_number('flexprice', tier, 'unit_amount'), 0));
END $$;
COMMENT ON FUNCTION billing.import_flexprice_tier(jsonb, text) IS
'Behind tariff_from: one tier of Flexprice; 22023 names one without a price, 0A000 a price member that is not known.';

CREATE FUNCTION billing.import_flexprice(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code    text := billing.import_currency('flexprice', price ->> 'currency', currency);
    model   text := billing.import_text('flexprice', price, 'billing_model');
    mode    text;
    round   text := COALESCE(price #>> '{transform_quantity,round}', 'up');
    members jsonb;
BEGIN
    PERFORM billing.import_refuse('flexprice', price, 'price_unit', 'price_unit_config', 'price_unit_tiers', 'price_unit_amount', 'price_unit_id');
    PERFORM billing.import_refuse_other('flexprice', price, '', 'amount', 'tiers', 'conversion_rate');
    IF model = 'FLAT_FEE' THEN
        members := jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('flexprice', price, 'amount'));
    ELSIF model = 'PACKAGE' THEN
        IF round NOT IN ('up', 'down') THEN
            RAISE EXCEPTION 'flexprice price has transform_quantity.round %, which a tariff cannot express', round USING ERRCODE = 'feature_not_supported';
        END IF;
        members := jsonb_build_object('model', 'package', 'amount', billing.import_amount('flexprice', price, 'amount'),
            'size', billing.import_amount('flexprice', price, 'transform_quantity', 'divide_by'), 'round', round);
    ELSIF model = 'TIERED' THEN
        mode := billing.import_text('flexprice', price, 'tier_mode');
        IF mode NOT IN ('SLAB', 'VOLUME') THEN
            RAISE EXCEPTION 'flexprice price has tier_mode %, which a tariff cannot express', mode USING ERRCODE = 'feature_not_supported';
        END IF;
        SELECT jsonb_build_object('model', CASE mode WHEN 'SLAB' THEN 'graduated' ELSE 'volume' END,
                   'tiers', jsonb_agg(billing.import_flexprice_tier(t.value, format('tiers[%s].', t.position - 1))
                            ORDER BY billing.import_number('flexprice', t.value, 'up_to'), t.position))
          INTO members
          FROM jsonb_array_elements(billing.import_array('flexprice', price, 'tiers')) WITH ORDINALITY AS t(value, position);
        IF members #> '{tiers,-1,up_to}' <> 'null' THEN
            members := members || '{"beyond": "error"}';
        END IF;
    ELSE
        RAISE EXCEPTION 'flexprice price has billing_model %, which a tariff cannot express', model USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN billing.import_tariff('flexprice', code, members);
END $$;
COMMENT ON FUNCTION billing.import_flexprice(jsonb, text) IS
'Behind tariff_from: a price of Flexprice. Billing models FLAT_FEE (an amount for each unit), PACKAGE and TIERED (SLAB is graduated, VOLUME). Usage in buckets or groups is rated bucket by bucket and added. Errors: 0A000 for custom price units, unknown models and price members that are not known, 22023 for what is missing. Source: Flexprice''s price service and its tests.';
