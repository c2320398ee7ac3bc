-- Export in FOCUS 1.2: cost as it was imported, and our own charges in the same columns.

CREATE FUNCTION billing.focus_of_cost(period daterange) RETURNS SETOF jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET timezone = 'UTC'
    AS $$ SELECT c.attributes || jsonb_strip_nulls(jsonb_build_object('BillingAccountId', c.billing_account,
                     'BillingPeriodStart', to_char(lower(c.billing_period), 'YYYY-MM-DD"T00:00:00Z"'), 'BillingPeriodEnd', to_char(upper(c.billing_period), 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargePeriodStart', to_char(c.charge_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'ChargePeriodEnd', to_char(c.charge_end, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                     'ChargeCategory', c.category, 'ServiceName', c.service, 'ProviderName', c.provider, 'SubAccountId', c.sub_account, 'ResourceId', c.resource, 'BillingCurrency', c.currency,
                     'BilledCost', c.billed, 'EffectiveCost', c.effective, 'ListCost', c.list, 'ContractedCost', c.contracted, 'Tags', s.delivered))
            FROM billing.cost_rows(focus_of_cost.period, clock_timestamp() + interval '1 day') AS c
            JOIN billing.cost AS o USING (cost_id) LEFT JOIN billing.tag_set AS s USING (tag_set_id) ORDER BY c.cost_id $$;
COMMENT ON FUNCTION billing.focus_of_cost(daterange) IS 'Imported cost of the billing periods that begin in a period, each row an object of FOCUS columns and the provider''s own, as delivered. Stable.';

CREATE FUNCTION billing.focus_of_charges(period daterange) RETURNS SETOF jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT jsonb_strip_nulls(jsonb_build_object(
                     'BilledCost', l.amount_numeric, 'EffectiveCost', l.amount_numeric, 'ListCost', l.amount_numeric, 'ContractedCost', l.amount_numeric,
                     'BillingAccountId', l.payer, 'BillingAccountName', l.payer, 'BillingAccountType', 'Account', 'BillingCurrency', l.currency, 'PricingCurrency', l.currency,
                     'BillingPeriodStart', to_char(date_trunc('month', l.issue_date::timestamp), 'YYYY-MM-DD"T00:00:00Z"'),
                     'BillingPeriodEnd', to_char(date_trunc('month', l.issue_date::timestamp) + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargePeriodStart', to_char(l.period_from, 'YYYY-MM-DD"T00:00:00Z"'), 'ChargePeriodEnd', to_char(l.period_to, 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargeCategory', CASE WHEN l.component = 'usage' THEN 'Usage' ELSE 'Purchase' END, 'ChargeClass', CASE WHEN l.chain_no > 1 THEN 'Correction' END,
                     'ChargeFrequency', CASE WHEN l.component = 'usage' THEN 'Usage-Based' ELSE 'Recurring' END, 'ChargeDescription', coalesce(l.name, l.item),
                     'ConsumedQuantity', CASE WHEN l.component = 'usage' THEN l.quantity END, 'ConsumedUnit', CASE WHEN l.component = 'usage' AND l.quantity IS NOT NULL THEN l.unit END))
                 || jsonb_strip_nulls(jsonb_build_object(
                     'PricingQuantity', CASE WHEN l.amount_numeric < 0 THEN -1.0 ELSE 1.0 END, 'PricingUnit', 'Charges', 'ListUnitPrice', abs(l.amount_numeric), 'ContractedUnitPrice', abs(l.amount_numeric),
                     'PricingCurrencyListUnitPrice', abs(l.amount_numeric), 'PricingCurrencyContractedUnitPrice', abs(l.amount_numeric), 'PricingCurrencyEffectiveCost', l.amount_numeric,
                     'PricingCategory', 'Standard', 'InvoiceId', l.number, 'InvoiceIssuerName', l.seller, 'ProviderName', l.seller, 'PublisherName', l.seller,
                     'ServiceCategory', 'Other', 'ServiceSubcategory', 'Other (Other)', 'ServiceName', l.item, 'SkuId', l.item, 'SkuPriceId', l.item, 'SkuMeter', l.unit,
                     'SubAccountId', l.consumer, 'SubAccountName', l.consumer, 'SubAccountType', 'Account', 'Tags', NULLIF(l.charge_group, '{}')))
            FROM billing.invoice_lines AS l WHERE focus_of_charges.period @> l.issue_date ORDER BY l.line_id $$;
COMMENT ON FUNCTION billing.focus_of_charges(daterange) IS
'Lines of final invoices issued in a period, each an object of FOCUS 1.2 columns: the payer is the billing account, the consumer the sub-account, the seller the provider; amounts are without tax. A line is priced as one charge, because a price with tiers has no unit price. Stable.';

CREATE FUNCTION billing.export_focus(period daterange, what text DEFAULT 'cost') RETURNS SETOF text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_period(export_focus.period);
    PERFORM check_word('what', export_focus.what, '{cost,charges}');
    RETURN NEXT (SELECT string_agg(f.name, ',' ORDER BY f.position) FROM focus_columns() AS f);
    RETURN QUERY
        SELECT (SELECT string_agg(CASE WHEN v.text ~ '[",\n\r]' THEN '"' || replace(v.text, '"', '""') || '"' ELSE coalesce(v.text, '') END, ',' ORDER BY f.position)
                  FROM focus_columns() AS f CROSS JOIN LATERAL (SELECT CASE WHEN f.kind = 'decimal' AND r.row ->> f.name !~ '[.eE]' THEN concat(r.row ->> f.name, '.0') ELSE r.row ->> f.name END AS text) AS v)
          FROM (SELECT c AS row FROM focus_of_cost(export_focus.period) AS c WHERE export_focus.what = 'cost'
                UNION ALL SELECT c FROM focus_of_charges(export_focus.period) AS c WHERE export_focus.what = 'charges') AS r;
END $$;
COMMENT ON FUNCTION billing.export_focus(daterange, text) IS
'Lines of a FOCUS 1.2 CSV file, the first with the 57 column names: what cost = imported cost of the billing periods that begin in the period; charges = lines of our invoices issued in it. Whole numbers are written with .0, because readers guess the type of a column. COPY (SELECT billing.export_focus(…)) TO … writes the file. Errors: 22023 bad argument. Stable.';
