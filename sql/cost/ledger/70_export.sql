-- Export in FOCUS 1.2: cost as it was imported, and our own charges in the same columns.

CREATE FUNCTION billing.focus_instant(at timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT concat(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'), CASE WHEN extract(microseconds FROM at)::bigint % 1000000 <> 0 THEN rtrim(to_char(at AT TIME ZONE 'UTC', '.US'), '0') END, 'Z') $$;
COMMENT ON FUNCTION billing.focus_instant(timestamptz) IS 'An instant as FOCUS writes it, in UTC, with the fraction of a second that it has: 2026-10-01T00:00:00Z. Stable.';

CREATE FUNCTION billing.focus_of_cost(period daterange) RETURNS SETOF jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT c.attributes || jsonb_strip_nulls(jsonb_build_object('BillingAccountId', c.billing_account,
                     'BillingPeriodStart', to_char(lower(c.billing_period), 'YYYY-MM-DD"T00:00:00Z"'), 'BillingPeriodEnd', to_char(upper(c.billing_period), 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargePeriodStart', billing.focus_instant(c.charge_start), 'ChargePeriodEnd', billing.focus_instant(c.charge_end),
                     'ChargeCategory', c.category, 'ServiceName', c.service, 'ProviderName', c.provider, 'SubAccountId', c.sub_account, 'ResourceId', c.resource, 'BillingCurrency', c.currency,
                     'BilledCost', c.billed, 'EffectiveCost', c.effective, 'ListCost', c.list, 'ContractedCost', c.contracted, 'Tags', s.delivered))
            FROM billing.cost_rows(focus_of_cost.period, clock_timestamp() + interval '1 day') AS c
            LEFT JOIN billing.tag_set AS s USING (tag_set_id) ORDER BY c.cost_id $$;
COMMENT ON FUNCTION billing.focus_of_cost(daterange) IS 'Imported cost of the billing periods that begin in a period, each row an object of FOCUS columns and the provider''s own, as delivered. Stable.';

CREATE FUNCTION billing.focus_of_line(of_line billing.invoice_lines) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT jsonb_build_object(
                     'ChargePeriodStart', to_char(of_line.period_from, 'YYYY-MM-DD"T00:00:00Z"'), 'ChargePeriodEnd', to_char(of_line.period_to, 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargeCategory', CASE WHEN of_line.component IN ('usage', 'fee') THEN 'Usage' WHEN of_line.component IN ('discount', 'account_discount') THEN 'Credit' ELSE 'Adjustment' END, 'ChargeClass', CASE WHEN of_line.chain_no > 1 AND of_line.period_from < date_trunc('month', of_line.issue_date::timestamp) THEN 'Correction' END,
                     'ChargeFrequency', CASE WHEN of_line.component = 'usage' THEN 'Usage-Based' ELSE 'Recurring' END, 'ChargeDescription', coalesce(of_line.name, of_line.item),
                     'ConsumedQuantity', CASE of_line.component WHEN 'usage' THEN of_line.quantity WHEN 'fee' THEN coalesce(of_line.quantity, 1) END,
                     'ConsumedUnit', CASE WHEN of_line.component = 'usage' AND of_line.quantity IS NOT NULL OR of_line.component = 'fee' THEN coalesce(of_line.unit, 'Units') END,
                     'PricingQuantity', CASE WHEN u.by_unit THEN of_line.quantity WHEN of_line.amount_numeric < 0 THEN -1.0 ELSE 1.0 END,
                     'PricingUnit', CASE WHEN u.by_unit THEN coalesce(of_line.unit, 'Units') ELSE 'Charges' END, 'PricingCategory', 'Standard',
                     'ListUnitPrice', u.price, 'ContractedUnitPrice', u.price, 'PricingCurrencyListUnitPrice', u.price, 'PricingCurrencyContractedUnitPrice', u.price,
                     'ListCost', u.cost, 'ContractedCost', u.cost,
                     'ServiceName', of_line.item, 'SkuId', of_line.item, 'SkuPriceId', of_line.item, 'SkuMeter', of_line.unit,
                     'SubAccountId', of_line.consumer, 'SubAccountName', of_line.consumer, 'SubAccountType', 'Account', 'Tags', NULLIF(jsonb_strip_nulls(of_line.charge_group), '{}'))
            -- the product of price and quantity is the amount before it was rounded
            FROM (SELECT p.by_unit, CASE WHEN p.by_unit THEN trim_scale(of_line.unit_price) ELSE abs(of_line.amount_numeric) END AS price,
                         CASE WHEN p.by_unit THEN trim_scale(of_line.unit_price * of_line.quantity) ELSE of_line.amount_numeric END AS cost
                    FROM (SELECT coalesce(of_line.chain_no = 1 AND of_line.unit_price >= 0 AND abs(of_line.unit_price * of_line.quantity - of_line.amount_numeric) < (0.1) ^ scale(of_line.amount_numeric), false) AS by_unit) AS p) AS u $$;
COMMENT ON FUNCTION billing.focus_of_line(billing.invoice_lines) IS
'What FOCUS 1.2 asks of a line of a final invoice beside its amount and its invoice. A line with a unit price is priced by unit, with the list and contracted cost before it was rounded; every other one as one charge, because a price with tiers has no unit price. A fee is usage of a subscription in its period: a purchase would be what later charges use up, at an effective cost of 0. Discounts are credits, minimums and commitments adjustments. What corrects the month that it is invoiced in is no Correction (ChargeClass). Used by focus_of_charges(). Stable.';

CREATE FUNCTION billing.focus_of_tax(of_tax billing.invoice_taxes) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT jsonb_build_object(
                     'ChargePeriodStart', to_char(min(l.period_from), 'YYYY-MM-DD"T00:00:00Z"'), 'ChargePeriodEnd', to_char(max(l.period_to), 'YYYY-MM-DD"T00:00:00Z"'),
                     'ChargeCategory', 'Tax', 'ListCost', of_tax.tax_numeric, 'ContractedCost', of_tax.tax_numeric, 'ChargeClass', CASE WHEN bool_and(l.chain_no > 1 AND l.period_from < date_trunc('month', l.issue_date::timestamp)) THEN 'Correction' END, 'ChargeFrequency', 'One-Time',
                     'ChargeDescription', format('%s, %s %% of %s', coalesce(of_tax.category_name, of_tax.category), of_tax.rate, of_tax.taxable_numeric), 'ServiceName', coalesce(of_tax.tax_code, of_tax.category))
            FROM billing.invoice_lines AS l
           WHERE l.invoice_id = of_tax.invoice_id AND (l.tax_code, l.tax_category, l.tax_rate) IS NOT DISTINCT FROM (of_tax.tax_code, of_tax.category, of_tax.rate) $$;
COMMENT ON FUNCTION billing.focus_of_tax(billing.invoice_taxes) IS
'What FOCUS 1.2 asks of the tax of a final invoice beside its amount and its invoice: its charge period spans those of the lines that it taxes, and it is a correction where all of them are. Used by focus_of_charges(). Stable.';

CREATE FUNCTION billing.focus_of_charges(period daterange) RETURNS SETOF jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT jsonb_strip_nulls(c.detail || jsonb_build_object(
                     'BilledCost', c.amount, 'EffectiveCost', c.amount, 'PricingCurrencyEffectiveCost', c.amount,
                     'BillingAccountId', c.payer, 'BillingAccountName', c.payer, 'BillingAccountType', 'Account', 'BillingCurrency', c.currency, 'PricingCurrency', c.currency,
                     'BillingPeriodStart', to_char(date_trunc('month', c.issue_date::timestamp), 'YYYY-MM-DD"T00:00:00Z"'),
                     'BillingPeriodEnd', to_char(date_trunc('month', c.issue_date::timestamp) + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"'),
                     'InvoiceId', c.number, 'InvoiceIssuerName', c.seller, 'ProviderName', c.seller, 'PublisherName', c.seller, 'ServiceCategory', 'Other', 'ServiceSubcategory', 'Other (Other)'))
            FROM (SELECT l.invoice_id, 0 AS part, l.line_id AS place, l.amount_numeric AS amount, l.payer, l.currency, l.issue_date, l.number, l.seller, billing.focus_of_line(l) AS detail
                    FROM billing.invoice_lines AS l WHERE focus_of_charges.period @> l.issue_date
                  UNION ALL
                  SELECT t.invoice_id, 1, t.group_no, t.tax_numeric, t.payer, t.currency, t.issue_date, t.number, t.seller, billing.focus_of_tax(t)
                    FROM billing.invoice_taxes AS t WHERE focus_of_charges.period @> t.issue_date AND t.tax_numeric <> 0) AS c
           ORDER BY c.invoice_id, c.part, c.place $$;
COMMENT ON FUNCTION billing.focus_of_charges(daterange) IS
'Lines of final invoices issued in a period and their taxes, each an object of FOCUS 1.2 columns: the payer is the billing account, the consumer the sub-account, the seller the provider. Lines are without tax; each tax of an invoice that is not 0 is a row of its own (ChargeCategory Tax), so that the rows of an invoice add up to its total. Stable.';

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
'Lines of a FOCUS 1.2 CSV file, the first with the 57 column names: what cost = imported cost of the billing periods that begin in the period; charges = lines of our invoices issued in it. Whole numbers are written with .0, because readers guess the type of a column. psql -XAtq -c writes them to a file as they are; COPY in its text format would double backslashes. Errors: 22023 bad argument. Stable.';
