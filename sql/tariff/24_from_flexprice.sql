-- Prices of Flexprice.

CREATE FUNCTION billing.import_flexprice_tier(tier jsonb, place text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM billing.import_refuse_unknown('flexprice', tier, place, 'up_to', 'unit_amount', 'flat_amount');
    IF COALESCE(tier ->> 'unit_amount', tier ->> 'flat_amount') IS NULL THEN
        RAISE EXCEPTION '% of the flexprice price has neither unit_amount nor flat_amount', rtrim(place, '.') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN jsonb_build_object('up_to', billing.import_number('flexprice', tier, 'up_to'), 'flat', billing.import_number('flexprice', tier, 'flat_amount'),
        'unit_price', COALESCE(billing.import_number('flexprice', tier, 'unit_amount'), 0));
END $$;
COMMENT ON FUNCTION billing.import_flexprice_tier(jsonb, text) IS
'Behind tariff_from: one tier of Flexprice; 22023 names one without a price, 0A000 a price member that is not known.';

-- What of a meter changes the price: each of its buckets, and each value that it groups by, is priced alone.
CREATE FUNCTION billing.import_flexprice_meter(price jsonb, members jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    aggregation CONSTANT jsonb := billing.import_object('flexprice', price, 'meter', 'aggregation');
    bucket      CONSTANT text  := NULLIF(aggregation ->> 'bucket_size', '');
    grouped_by  CONSTANT text  := NULLIF(aggregation ->> 'group_by', '');
BEGIN
    PERFORM billing.import_refuse_unknown('flexprice', billing.import_object('flexprice', price, 'meter'), 'meter.', VARIADIC '{aggregation,filters,id,event_name,name,reset_usage,
        status,created_at,updated_at,created_by,updated_by,tenant_id,environment_id}'::text[]);
    PERFORM billing.import_refuse_unknown('flexprice', aggregation, 'meter.aggregation.', 'type', 'field', 'expression', 'multiplier', 'bucket_size', 'group_by');
    IF bucket NOT IN ('MINUTE', 'HOUR', 'DAY', 'MONTH') THEN
        RAISE EXCEPTION 'flexprice price has meter.aggregation.bucket_size %, which a tariff cannot express', bucket USING ERRCODE = 'feature_not_supported',
            HINT = 'Buckets of MINUTE, HOUR, DAY and MONTH can be imported; a WEEK of Flexprice begins on Sunday.';
    END IF;
    IF grouped_by IS NOT NULL THEN
        members := jsonb_build_object('model', 'matrix', 'dimensions', jsonb_build_array(grouped_by), 'default', jsonb_build_object('tariff', jsonb_strip_nulls(members)));
    END IF;
    -- a bucket of a month goes from one billing date to the next: the charge period
    RETURN members || jsonb_build_object('window', CASE WHEN bucket <> 'MONTH' THEN lower(bucket) END);
END $$;
COMMENT ON FUNCTION billing.import_flexprice_meter(jsonb, jsonb) IS
'Behind tariff_from: the members of a tariff of Flexprice with what the price''s meter says of buckets (a window) and groups (a matrix with one price for every value). 0A000 for sizes of buckets that a tariff has no window for.';

CREATE FUNCTION billing.import_flexprice_model(price jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    model   CONSTANT text := billing.import_text('flexprice', price, 'billing_model');
    mode    text;
    round   CONSTANT text := COALESCE(price #>> '{transform_quantity,round}', 'up');
    members jsonb;
BEGIN
    PERFORM billing.import_refuse('flexprice', price, CASE WHEN model = 'TIERED' THEN 'amount' ELSE 'tiers' END);
    IF model = 'FLAT_FEE' THEN
        RETURN jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('flexprice', price, 'amount'));
    ELSIF model = 'PACKAGE' THEN
        IF round NOT IN ('up', 'down') THEN
            RAISE EXCEPTION 'flexprice price has transform_quantity.round %, which a tariff cannot express', round USING ERRCODE = 'feature_not_supported';
        END IF;
        RETURN jsonb_build_object('model', 'package', 'amount', billing.import_amount('flexprice', price, 'amount'),
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
        RETURN members || CASE WHEN members #> '{tiers,-1,up_to}' <> 'null' THEN '{"beyond": "error"}' ELSE '{}' END::jsonb;
    END IF;
    RAISE EXCEPTION 'flexprice price has billing_model %, which a tariff cannot express', model USING ERRCODE = 'feature_not_supported';
END $$;
COMMENT ON FUNCTION billing.import_flexprice_model(jsonb) IS
'Behind tariff_from: model and amounts of a price of Flexprice as members of a tariff. 0A000 for unknown models and amounts that are none of the model''s, 22023 for what is missing.';

CREATE FUNCTION billing.import_flexprice(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code CONSTANT text := billing.import_currency('flexprice', price ->> 'currency', currency);
BEGIN
    PERFORM billing.import_refuse('flexprice', price, 'price_unit', 'price_unit_config', 'price_unit_tiers', 'price_unit_amount', 'price_unit_id');
    PERFORM billing.import_refuse_unknown('flexprice', price, '', VARIADIC '{amount,currency,billing_model,tier_mode,tiers,transform_quantity,meter,conversion_rate,
        id,display_amount,display_name,price_unit_type,type,billing_period,billing_period_count,billing_cadence,invoice_cadence,trial_period_days,meter_id,filter_values,lookup_key,description,
        environment_id,tenant_id,entity_type,entity_id,parent_price_id,group_id,group,plan,addon,start_date,end_date,sequence,status,created_at,updated_at,created_by,updated_by}'::text[]);
    PERFORM billing.import_refuse_unknown('flexprice', billing.import_object('flexprice', price, 'transform_quantity'), 'transform_quantity.', 'divide_by', 'round');
    RETURN billing.import_tariff('flexprice', code, billing.import_flexprice_meter(price, billing.import_flexprice_model(price)));
END $$;
COMMENT ON FUNCTION billing.import_flexprice(jsonb, text) IS
'Behind tariff_from: a price of Flexprice, with its meter where it is expanded. Billing models FLAT_FEE (an amount for each unit), PACKAGE and TIERED (SLAB is graduated, VOLUME). Each bucket of the meter (bucket_size) and each value it groups by (group_by) is priced alone, then added; what else the meter says is how usage is metered, for set_meter(). Errors: 0A000 for custom price units, unknown models, other sizes of buckets and price members that are not known, 22023 for what is missing. Source: Flexprice''s price, meter and billing services and their tests.';
