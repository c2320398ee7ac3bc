-- Prices of Meteroid: the usage pricing of a price component.

CREATE FUNCTION billing.import_meteroid_tiers(tiers jsonb, volume boolean) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result jsonb := '[]';
    tier   record;
    bound  numeric;      -- where the cap of the tier is reached
    bare   bigint;
BEGIN
    PERFORM billing.import_refuse_unknown('meteroid', e.value, format('pricing.tiers[%s].', e.position - 1), 'first_unit', 'rate', 'flat_fee', 'flat_cap')
       FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position);
    SELECT e.position - 1 INTO bare FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position)
     WHERE COALESCE(e.value ->> 'rate', e.value ->> 'flat_fee') IS NULL LIMIT 1;
    IF bare IS NOT NULL THEN
        RAISE EXCEPTION 'pricing.tiers[%] of the meteroid price has neither rate nor flat_fee', bare USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(billing.import_number('meteroid', e.value, 'first_unit')) INTO bound FROM jsonb_array_elements(tiers) AS e(value);
    IF bound < 0 OR volume AND bound > 1 THEN   -- the product has no price for what lies below
        RAISE EXCEPTION 'pricing.tiers of the meteroid price begin at first_unit %, not at 0 or 1', bound USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT e.position - 1 INTO bare FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e(value, position)
     WHERE billing.import_number('meteroid', e.value, 'flat_cap') < 0 LIMIT 1;
    IF bare IS NOT NULL THEN
        RAISE EXCEPTION 'pricing.tiers[%].flat_cap of the meteroid price must not be negative', bare USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR tier IN
        -- A graduated tier holds next - first units, wherever the first of all begins.
        SELECT t.first_unit - CASE WHEN volume THEN 0 ELSE t.least_unit END AS first_unit,
               lead(t.first_unit) OVER (ORDER BY t.first_unit) - CASE WHEN volume THEN 0 ELSE t.least_unit END AS next_unit, t.rate, LEAST(t.flat, t.cap) AS flat, t.cap
          FROM (SELECT billing.import_amount('meteroid', e.value, 'first_unit') AS first_unit,
                       min(billing.import_number('meteroid', e.value, 'first_unit')) OVER () AS least_unit,
                       COALESCE(billing.import_number('meteroid', e.value, 'rate'), 0) AS rate,
                       COALESCE(billing.import_number('meteroid', e.value, 'flat_fee'), 0) AS flat,
                       billing.import_number('meteroid', e.value, 'flat_cap') AS cap
                  FROM jsonb_array_elements(tiers) AS e(value)) AS t
         ORDER BY t.first_unit
    LOOP
        -- A volume tier is [first, next): all quantities of 15 decimals below next.
        IF volume THEN
            tier.next_unit := tier.next_unit - 1e-15;
        END IF;
        IF tier.cap IS NOT NULL AND tier.rate > 0 THEN
            -- From the quantity on at which it reaches its cap, a tier costs no more.
            bound := round((tier.cap - tier.flat)::numeric(80, 40) / tier.rate, 20) + CASE WHEN volume THEN 0 ELSE tier.first_unit END;
            bound := trim_scale(bound);
            IF bound > tier.first_unit AND (tier.next_unit IS NULL OR bound < tier.next_unit) THEN
                result := result || jsonb_build_object('up_to', bound, 'unit_price', tier.rate, 'flat', tier.flat)
                                 || jsonb_build_object('up_to', tier.next_unit, 'unit_price', 0, 'flat', CASE WHEN volume THEN tier.cap END);
                CONTINUE;
            ELSIF bound <= tier.first_unit THEN
                tier.flat := CASE WHEN volume THEN tier.cap ELSE tier.flat END;
                tier.rate := 0;
            END IF;
        END IF;
        result := result || jsonb_build_object('up_to', tier.next_unit, 'unit_price', tier.rate, 'flat', tier.flat);
    END LOOP;
    RETURN result;
END $$;
COMMENT ON FUNCTION billing.import_meteroid_tiers(jsonb, boolean) IS
'Behind tariff_from: Meteroid''s tiers, named by their first unit, as tiers named by their last; 22023 names a tier without first unit or price, and volume tiers that leave out the first units. A tier with flat_cap becomes two: up to the quantity at which its cap is reached, and a free one.';

CREATE FUNCTION billing.import_meteroid_matrix(rates jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names text[];
BEGIN
    PERFORM billing.import_refuse_unknown('meteroid', r.value, format('pricing.rates[%s].', r.position - 1), 'per_unit_price', 'dimension1', 'dimension2'),
            billing.import_refuse_unknown('meteroid', billing.import_object('meteroid', r.value, d.name), format('pricing.rates[%s].%s.', r.position - 1, d.name), 'key', 'value')
       FROM jsonb_array_elements(rates) WITH ORDINALITY AS r(value, position) CROSS JOIN unnest('{dimension1,dimension2}'::text[]) AS d(name);
    SELECT array_remove(ARRAY[min(r.value #>> '{dimension1,key}'), min(r.value #>> '{dimension2,key}')], NULL) INTO names
      FROM jsonb_array_elements(rates) AS r(value);
    IF EXISTS (SELECT FROM jsonb_array_elements(rates) AS r(value)
                WHERE array_remove(ARRAY[r.value #>> '{dimension1,key}', r.value #>> '{dimension2,key}'], NULL) <> names) THEN
        RAISE EXCEPTION 'pricing.rates of the meteroid price name different dimensions' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT jsonb_build_object('model', 'matrix', 'dimensions', names, 'cells', jsonb_agg(jsonb_build_object(
                       'match', jsonb_strip_nulls(jsonb_object(names, (ARRAY[r.value #>> '{dimension1,value}', r.value #>> '{dimension2,value}'])[1:cardinality(names)])),
                       'unit_price', billing.import_amount('meteroid', r.value, 'per_unit_price'))))
              FROM jsonb_array_elements(rates) AS r(value));
END $$;
COMMENT ON FUNCTION billing.import_meteroid_matrix(jsonb) IS
'Behind tariff_from: Meteroid''s matrix of one or two dimensions. Usage that no rate matches is an error of rating; Meteroid leaves it unbilled without a word.';

CREATE FUNCTION billing.import_meteroid(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code    text  := billing.import_currency('meteroid', price ->> 'currency', currency);
    pricing jsonb;
    type    text;
    members jsonb;
BEGIN
    IF COALESCE(price ->> 'type', 'USAGE') <> 'USAGE' THEN
        RAISE EXCEPTION 'meteroid price has type %, which a tariff cannot express', price ->> 'type' USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_text('meteroid', price, 'pricing');
    pricing := billing.import_object('meteroid', price, 'pricing');
    IF pricing ->> 'type' = 'USAGE' AND jsonb_typeof(pricing -> 'model') = 'object' THEN   -- a Price of the API says it one level deeper than a plan's component
        PERFORM billing.import_refuse_unknown('meteroid', pricing, 'pricing.', 'type', 'model');
        pricing := pricing -> 'model';
    END IF;
    type := billing.import_text('meteroid', jsonb_build_object('pricing', pricing), 'pricing', 'type');
    IF type NOT IN ('PER_UNIT', 'PACKAGE', 'TIERED', 'VOLUME', 'MATRIX') THEN
        RAISE EXCEPTION 'meteroid price has pricing.type %, which a tariff cannot express', type USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_refuse('meteroid', pricing, VARIADIC CASE WHEN type IN ('TIERED', 'VOLUME') THEN '{block_size}' ELSE '{}' END::text[]);
    PERFORM billing.import_refuse_unknown('meteroid', price, '', 'type', 'pricing', 'currency', 'cadence', 'id', 'product_id', 'metric_id', 'tenant_id', 'created_at', 'archived_at', 'catalog');
    PERFORM billing.import_refuse_unknown('meteroid', pricing, 'pricing.', VARIADIC '{type}'::text[] || CASE
        WHEN type IN ('TIERED', 'VOLUME') THEN '{tiers}'
        WHEN type = 'PACKAGE' THEN '{rate,block_size}'
        WHEN type = 'MATRIX' THEN '{rates}'
        ELSE '{rate}' END::text[]);
    IF type IN ('TIERED', 'VOLUME') THEN
        members := jsonb_build_object('model', CASE type WHEN 'TIERED' THEN 'graduated' ELSE 'volume' END,
            'tiers', billing.import_meteroid_tiers(billing.import_array('meteroid', pricing, 'tiers'), type = 'VOLUME'));
    ELSIF type = 'PER_UNIT' THEN
        members := jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('meteroid', pricing, 'rate'));
    ELSIF type = 'PACKAGE' THEN
        members := jsonb_build_object('model', 'package', 'amount', billing.import_amount('meteroid', pricing, 'rate'),
            'size', billing.import_amount('meteroid', pricing, 'block_size'));
    ELSE
        members := billing.import_meteroid_matrix(billing.import_array('meteroid', pricing, 'rates'));
    END IF;
    RETURN billing.import_tariff('meteroid', code, members);
END $$;
COMMENT ON FUNCTION billing.import_meteroid(jsonb, text) IS
'Behind tariff_from: the usage pricing of a Meteroid price. Types PER_UNIT, TIERED, VOLUME, PACKAGE and MATRIX; flat_cap caps a tier. Negative usage is rated like none. Errors: 0A000 for other types, blocks inside tiers and price members that are not known, 22023 for what is missing. Source: Meteroid''s invoicing and its tests.';
