-- Prices of Stripe: the Price object of its API.

CREATE FUNCTION billing.import_stripe_unit(currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN $1 IN ('ISK', 'UGX') THEN 0.01 WHEN $1 = 'MGA' THEN 1
                      ELSE billing.import_minor_unit('stripe', $1) END $$;
COMMENT ON FUNCTION billing.import_stripe_unit(text) IS
'Behind tariff_from: what one unit of Stripe''s amounts is worth. That is the minor unit, but Stripe counts ISK and UGX in hundredths and MGA in whole units.';

CREATE FUNCTION billing.import_stripe_amount(price jsonb, member text, unit numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(d.number, i.number) * $3
            FROM billing.import_number('stripe', $1, $2 || '_decimal') AS d(number), billing.import_number('stripe', $1, $2) AS i(number) $$;
COMMENT ON FUNCTION billing.import_stripe_amount(jsonb, text, numeric) IS
'Behind tariff_from: an amount in major units; the member that ends in _decimal wins over the integer one, which must be a number all the same (22023).';

CREATE FUNCTION billing.import_stripe_tiers(price jsonb, unit numeric) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tiers jsonb := '[]';
    tier  jsonb;
    place int := 0;
BEGIN
    FOR tier IN SELECT t.value FROM jsonb_array_elements(billing.import_array('stripe', price, 'tiers')) WITH ORDINALITY AS t(value, position) ORDER BY t.position LOOP
        PERFORM billing.import_refuse_unknown('stripe', tier, format('tiers[%s].', place), 'up_to', 'unit_amount', 'unit_amount_decimal', 'flat_amount', 'flat_amount_decimal');
        IF COALESCE(billing.import_stripe_amount(tier, 'unit_amount', unit), billing.import_stripe_amount(tier, 'flat_amount', unit)) IS NULL THEN
            RAISE EXCEPTION 'tiers[%] of the stripe price has neither unit_amount nor flat_amount', place USING ERRCODE = 'invalid_parameter_value';
        END IF;
        tiers := tiers || jsonb_build_object(
            'up_to', CASE WHEN tier ->> 'up_to' <> 'inf' THEN billing.import_number('stripe', tier, 'up_to') END,
            'unit_price', COALESCE(billing.import_stripe_amount(tier, 'unit_amount', unit), 0),
            'flat', billing.import_stripe_amount(tier, 'flat_amount', unit));
        place := place + 1;
    END LOOP;
    RETURN tiers;
END $$;
COMMENT ON FUNCTION billing.import_stripe_tiers(jsonb, numeric) IS
'Behind tariff_from: Stripe''s tiers, in their order, with amounts in major units; 22023 names a tier without a price.';

-- One price can be for several currencies.  Those that are not asked for are read, too: what cannot be expressed in one of them is said now
-- and not when it is asked for.
CREATE FUNCTION billing.import_stripe_others(price jsonb, currency text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options CONSTANT jsonb := billing.import_object('stripe', price, 'currency_options');
    common  CONSTANT jsonb := price - '{currency_options,currency,unit_amount,unit_amount_decimal,tiers,custom_unit_amount,tax_behavior}'::text[];
    other   text;
BEGIN
    FOR other IN SELECT m.key FROM jsonb_each(options) AS m WHERE lower(m.key) <> lower(currency) ORDER BY m.key LOOP
        IF jsonb_typeof(options -> other) <> 'object' OR (options -> other) ?| '{currency,currency_options}' THEN
            RAISE EXCEPTION 'currency_options.% of the stripe price must be an object of prices', other USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', left((options -> other)::text, 200));
        END IF;
        BEGIN
            PERFORM billing.import_stripe(common || (options -> other) || jsonb_build_object('currency', other), upper(other));
        EXCEPTION WHEN feature_not_supported OR data_exception THEN
            RAISE EXCEPTION 'currency_options.%: %', other, SQLERRM USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
    IF options <> '{}' AND lower(price ->> 'currency') <> lower(currency) THEN
        PERFORM billing.import_stripe(price - 'currency_options', upper(price ->> 'currency'));
    END IF;
END $$;

CREATE FUNCTION billing.import_stripe(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options jsonb := price #> ARRAY['currency_options', lower(currency)];
    own     jsonb := CASE WHEN jsonb_typeof(options) = 'object' AND lower(currency) <> lower(price ->> 'currency') THEN price - '{unit_amount,unit_amount_decimal,tiers,custom_unit_amount}'::text[] || options ELSE price END;
    code    text  := billing.import_currency('stripe', CASE WHEN jsonb_typeof(options) = 'object' THEN currency ELSE price ->> 'currency' END, currency);
    unit    numeric := billing.import_stripe_unit(code);
    scheme  text  := COALESCE(price ->> 'billing_scheme', 'per_unit');   -- what the product takes where it is not said
    mode    text;
    round   text := price #>> '{transform_quantity,round}';
    members jsonb;
BEGIN
    PERFORM billing.import_refuse('stripe', own, 'custom_unit_amount');
    PERFORM billing.import_refuse_inclusive('stripe', own, 'tax_behavior');
    PERFORM billing.import_refuse_unknown('stripe', own, '', VARIADIC '{billing_scheme,currency,currency_options,unit_amount,unit_amount_decimal,tiers,tiers_mode,transform_quantity,
        id,object,active,created,livemode,lookup_key,nickname,product,recurring,type}'::text[]);
    PERFORM billing.import_refuse_unknown('stripe', billing.import_object('stripe', price, 'recurring'), 'recurring.',
        'interval', 'interval_count', 'usage_type', 'aggregate_usage', 'meter', 'trial_period_days');
    PERFORM billing.import_refuse_unknown('stripe', billing.import_object('stripe', price, 'transform_quantity'), 'transform_quantity.', 'divide_by', 'round');
    IF scheme = 'per_unit' THEN
        PERFORM billing.import_refuse('stripe', own, 'tiers');
    END IF;
    IF scheme = 'tiered' THEN
        PERFORM billing.import_refuse('stripe', own, 'transform_quantity', 'unit_amount', 'unit_amount_decimal');
        mode := billing.import_text('stripe', own, 'tiers_mode');
        IF mode NOT IN ('graduated', 'volume') THEN
            RAISE EXCEPTION 'stripe price has tiers_mode %, which a tariff cannot express', mode USING ERRCODE = 'feature_not_supported';
        END IF;
        members := jsonb_build_object('model', mode, 'tiers', billing.import_stripe_tiers(own, unit));
        IF members #> '{tiers,-1,up_to}' <> 'null' THEN
            members := members || '{"beyond": "error"}';
        END IF;
    ELSIF scheme <> 'per_unit' THEN
        RAISE EXCEPTION 'stripe price has billing_scheme %, which a tariff cannot express', scheme USING ERRCODE = 'feature_not_supported';
    ELSIF billing.import_stripe_amount(own, 'unit_amount', unit) IS NULL THEN
        RAISE EXCEPTION 'stripe price has neither unit_amount nor unit_amount_decimal' USING ERRCODE = 'invalid_parameter_value';
    ELSIF COALESCE(price -> 'transform_quantity', 'null') <> 'null' THEN
        IF round IS NULL OR round NOT IN ('up', 'down') THEN
            RAISE EXCEPTION 'stripe price has transform_quantity.round %, which a tariff cannot express', COALESCE(round, 'null') USING ERRCODE = 'feature_not_supported';
        END IF;
        members := jsonb_build_object('model', 'package', 'size', billing.import_amount('stripe', price, 'transform_quantity', 'divide_by'),
            'round', round, 'amount', billing.import_stripe_amount(own, 'unit_amount', unit));
    ELSE
        members := jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_stripe_amount(own, 'unit_amount', unit));
    END IF;
    PERFORM billing.import_stripe_others(price, code);
    RETURN billing.import_tariff('stripe', code, members);
END $$;
COMMENT ON FUNCTION billing.import_stripe(jsonb, text) IS
'Behind tariff_from: a Price object of Stripe, whose amounts count minor units; a currency that differs from the price''s is taken from currency_options. Billing schemes per_unit (with transform_quantity a package) and tiered, graduated or volume. Errors: 0A000 for custom_unit_amount, amounts that contain their tax, unknown schemes and price members that are not known, 22023 for what is missing or another currency. A fraction of a unit costs its part, as Stripe''s quantity_decimal says; a quantity below 0 is an error of rating (BL002), as Stripe knows none. Source: Stripe''s API reference and pricing documentation.';
COMMENT ON FUNCTION billing.import_stripe_others(jsonb, text) IS
'Behind tariff_from: reads the price in the currencies that are not asked for, and raises as for those that are, with currency_options and the currency before the message.';
