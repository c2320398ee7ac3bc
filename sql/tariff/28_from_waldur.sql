-- Prices of Waldur: a plan component, whose quantities prorate() gives.

CREATE FUNCTION billing.import_waldur(price jsonb, currency text) RETURNS billing.tariff
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unit text := billing.import_text('waldur', price, 'unit');
BEGIN
    IF unit NOT IN ('month', 'half_month', 'day', 'hour', 'quantity') THEN
        RAISE EXCEPTION 'waldur price has unit %, which a tariff cannot express', unit USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM billing.import_refuse('waldur', price, 'discount_threshold', 'discount_rate');
    -- price, tax and total are those of the whole item, whose quantity is given to rate().
    PERFORM billing.import_refuse_unknown('waldur', price, '', VARIADIC '{unit,unit_price,quantity,price,tax,total,factor,measured_unit,uuid,url,name,invoice,start,end,article_code,
        project_name,project_uuid,resource,resource_uuid,resource_name,billing_type,backend_uuid,details,currency}'::text[]);
    RETURN billing.import_tariff('waldur', billing.import_currency('waldur', price ->> 'currency', currency),
        jsonb_build_object('model', 'per_unit', 'unit_price', billing.import_amount('waldur', price, 'unit_price')));
END $$;
COMMENT ON FUNCTION billing.import_waldur(jsonb, text) IS
'Behind tariff_from: the unit price of a Waldur invoice item. The quantity is that of prorate(unit, …), or as it was reported for unit quantity. rated_lines rounds away from zero to 0.01. Errors: 0A000 for another unit, a discount and price members that are not known, 22023 for what is missing. Source: Waldur''s invoice items.';
