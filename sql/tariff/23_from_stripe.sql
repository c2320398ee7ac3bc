-- Prices of Stripe: the Price object of its API.

CREATE FUNCTION billing.import_stripe_unit(currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN $1 IN ('ISK', 'UGX') THEN 0.01 WHEN $1 = 'MGA' THEN 1
                      ELSE billing.import_minor_unit('stripe', $1) END $$;
COMMENT ON FUNCTION billing.import_stripe_unit(text) IS
'Behind tariff_from: what one unit of Stripe''s amounts is worth. That is the minor unit, but Stripe counts ISK and UGX in hundredths and MGA in whole units.';

CREATE FUNCTION billing.import_stripe_amount(price jsonb, member text, unit numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT COALESCE(billing.import_number('stripe', $1, $2 || '_decimal'), billing.import_number('stripe', $1, $2)) * $3 $$;
COMMENT ON FUNCTION billing.import_stripe_amount(jsonb, text, numeric) IS
'Behind tariff_from: an amount in major units; the member that ends in _decimal wins over the integer one.';

CREATE FUNCTION billing.import_stripe(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options jsonb := price #> ARRAY['currency_options', lower(currency)];
    own     jsonb := CASE WHEN jsonb_typeof(options) = 'object' AND lower(currency) <> lower(price ->> 'currency') THEN price - '{unit_amount,unit_amount_decimal,tiers,custom_unit_amount}'::text[] || options ELSE price END;
    code    text  := billing.import_currency('stripe', CASE WHEN jsonb_typeof(options) = 'object' THEN currency ELSE price ->> 'currency' END, currency);
    unit    numeric := billing.import_stripe_unit(code);
    scheme  text  := billing.import_text('stripe', price, 'billing_scheme');
    mode    text;
    round   text := price #>> '{transform_quantity,round}';
    members jsonb;
BEGIN
    PERFORM billing.import_refuse('stripe', own, 'custom_unit_amount');
    IF scheme = 'tiered' THEN
        PERFORM billing.import_refuse('stripe', own, 'transform_quantity');
        mode := billing.import_text('stripe', own, 'tiers_mode');
        IF mode NOT IN ('graduated', 'volume') THEN
            RAISE EXCEPTION 'stripe price has tiers_mode %, which a tariff cannot express', mode USING ERRCODE = 'feature_not_supported';
        END IF;
        SELECT jsonb_build_object('model', mode, 'tiers', jsonb_agg(jsonb_build_object(
                   'up_to', CASE WHEN t.value ->> 'up_to' <> 'inf' THEN t.value -> 'up_to' END,
                   'unit_price', COALESCE(billing.import_stripe_amount(t.value, 'unit_amount', unit), 0),
                   'flat', billing.import_stripe_amount(t.value, 'flat_amount', unit)) ORDER BY t.position))
          INTO members
          FROM jsonb_array_elements(billing.import_array('stripe', own, 'tiers')) WITH ORDINALITY AS t(value, position);
        IF members #> '{tiers,-1,up_to}' <> 'null' THEN
            members := members || '{"beyond": "error"}';
        END IF;
    ELSIF scheme = 'per_unit' AND COALESCE(price -> 'transform_quantity', 'null') <> 'null' THEN
        IF round IS NULL OR round NOT IN ('up', 'down') THEN
            RAISE EXCEPTION 'stripe price has transform_quantity.round %, which a tariff cannot express', COALESCE(round, 'null') USING ERRCODE = 'feature_not_supported';
        END IF;
        members := jsonb_build_object('model', 'package', 'size', billing.import_text('stripe', price, 'transform_quantity', 'divide_by'),
            'round', round, 'amount', billing.import_stripe_amount(own, 'unit_amount', unit));
    ELSIF scheme = 'per_unit' THEN
        members := jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_stripe_amount(own, 'unit_amount', unit));
    ELSE
        RAISE EXCEPTION 'stripe price has billing_scheme %, which a tariff cannot express', scheme USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN billing.import_tariff('stripe', code, members);
END $$;
COMMENT ON FUNCTION billing.import_stripe(jsonb, text) IS
'Behind tariff_from: a Price object of Stripe, whose amounts count minor units; a currency that differs from the price''s is taken from currency_options. Billing schemes per_unit (with transform_quantity a package) and tiered, graduated or volume. Errors: 0A000 for custom_unit_amount and unknown schemes, 22023 for what is missing or another currency. A fraction of a unit costs its part, as Stripe''s quantity_decimal says; a quantity below 0 is an error of rating (BL002), as Stripe knows none. Source: Stripe''s API reference and pricing documentation.';
