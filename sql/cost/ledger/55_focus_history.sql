-- Rules of FOCUS that one delivery cannot break: what months and deliveries say of the same thing.

CREATE FUNCTION billing.focus_history(period daterange)
    RETURNS TABLE (severity text, rule text, provider text, owner text, message text, rows bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
    known CONSTANT timestamptz := clock_timestamp() + interval '1 day';
    one   record;
BEGIN
    PERFORM check_period(focus_history.period);
    FOR one IN SELECT f.* FROM focus_group_rules() AS f ORDER BY f.rule LOOP
        RETURN QUERY EXECUTE format($q$
            SELECT %L, %L, g.provider, g.owner, format('%%s of %%s "%%s" is %%s', %L, %L, g.owner, string_agg(format('"%%s"', g.value), ' and ' ORDER BY g.value COLLATE "C")), sum(g.rows)::bigint
              FROM (SELECT c.provider, %s AS owner, %s AS within, %s AS value, count(*) AS rows FROM billing.cost_rows($1, $2) AS c GROUP BY 1, 2, 3, 4) AS g
             WHERE g.owner IS NOT NULL AND g.value IS NOT NULL GROUP BY g.provider, g.owner, g.within HAVING count(*) > 1 ORDER BY 3, 4 $q$,
            one.severity, one.rule, one.focus_column, one.owner, operand_sql('column:' || one.owner), operand_sql('column:' || one.within), operand_sql('column:' || one.focus_column))
            USING focus_history.period, known;
    END LOOP;
    -- properties of a price neither change nor vanish
    RETURN QUERY
        WITH price AS (
            SELECT c.provider, c.attributes ->> 'SkuPriceId' AS price, lower(c.billing_period) AS month, c.attributes ->> 'SkuPriceDetails' AS details, count(*) AS rows
              FROM cost_rows(focus_history.period, known) AS c WHERE c.attributes ->> 'SkuPriceId' IS NOT NULL GROUP BY 1, 2, 3, 4),
        property AS (
            SELECT p.provider, p.price, d.key, d.value, max(p.month) AS last, sum(p.rows)::bigint AS rows
              FROM price AS p CROSS JOIN LATERAL jsonb_each_text(try_object(p.details)) AS d GROUP BY 1, 2, 3, 4),
        newest AS (SELECT p.provider, p.price, max(p.month) AS month FROM price AS p GROUP BY 1, 2)
        SELECT 'warning', 'SkuPriceDetails-C-013-O', p.provider, p.price, format('%s of SkuPriceDetails is %s', p.key, string_agg(format('"%s"', p.value), ' and ' ORDER BY p.value COLLATE "C")), sum(p.rows)::bigint
          FROM property AS p GROUP BY p.provider, p.price, p.key HAVING count(*) > 1
        UNION ALL
        SELECT 'warning', 'SkuPriceDetails-C-014-O', p.provider, p.price, format('%s of SkuPriceDetails is missing after the month of %s', p.key, to_char(max(p.last)::timestamp, 'YYYY-MM-DD')), sum(p.rows)::bigint
          FROM property AS p JOIN newest AS n ON n.price = p.price AND n.provider IS NOT DISTINCT FROM p.provider GROUP BY p.provider, p.price, p.key, n.month HAVING max(p.last) < n.month
         ORDER BY 2, 3, 4, 5;
    -- Over its whole term the use of a commitment costs what it was bought for; before its end it may cost less, but never more.
    RETURN QUERY
        SELECT 'error', 'EffectiveCost-C-012-C', c.provider, c.attributes ->> 'CommitmentDiscountId',
               format('usage comes to %s %s of effective cost, more than the purchases of %s', trim_scale(sum(c.effective) FILTER (WHERE c.category = 'Usage')), c.currency, trim_scale(sum(c.billed) FILTER (WHERE c.category = 'Purchase'))), count(*)
          FROM cost_rows(focus_history.period, known) AS c WHERE c.attributes ->> 'CommitmentDiscountId' IS NOT NULL
         GROUP BY c.provider, c.attributes ->> 'CommitmentDiscountId', c.currency
        HAVING sum(c.effective) FILTER (WHERE c.category = 'Usage') > sum(c.billed) FILTER (WHERE c.category = 'Purchase') ORDER BY 3, 4;
END $$;
COMMENT ON FUNCTION billing.focus_history(daterange) IS
'Where cost of the billing periods that begin in a period, of all deliveries together, breaks rules of FOCUS that one delivery cannot break: those of focus_group_rules(), such as one SkuId a SkuPriceId; properties of a price (SkuPriceDetails) that change or vanish from month to month; usage of a commitment that costs more than it was bought for. severity, rule: as in focus_rules(); owner: the thing that is spoken of differently; rows: how many rows speak of it. The period must hold the whole term of a commitment to judge it. Errors: 22023 no period. Stable.';

CREATE VIEW billing.cost_by_invoice AS
SELECT s.key AS source, w.billing_account, w.period AS billing_period, c.attributes ->> 'InvoiceIssuerName' AS invoice_issuer, c.attributes ->> 'InvoiceId' AS invoice, c.currency,
       pg_catalog.sum(c.billed) AS billed, pg_catalog.count(*) AS rows
  FROM billing.cost AS c JOIN billing.cost_window AS w USING (window_id) JOIN billing.cost_source AS s USING (source_id)
 WHERE pg_catalog.upper_inf(c.known) GROUP BY 1, 2, 3, 4, 5, 6;
COMMENT ON VIEW billing.cost_by_invoice IS 'What the provider''s rows add up to for each of its invoices, to be held against the invoice itself (FOCUS rule BilledCost-C-007-M); invoice null = not invoiced yet.';
COMMENT ON COLUMN billing.cost_by_invoice.source IS 'Key of the cost source.';
COMMENT ON COLUMN billing.cost_by_invoice.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.cost_by_invoice.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.cost_by_invoice.invoice_issuer IS 'InvoiceIssuerName.';
COMMENT ON COLUMN billing.cost_by_invoice.invoice IS 'InvoiceId; null = none yet.';
COMMENT ON COLUMN billing.cost_by_invoice.currency IS 'Currency of the sum.';
COMMENT ON COLUMN billing.cost_by_invoice.billed IS 'Sum of BilledCost.';
COMMENT ON COLUMN billing.cost_by_invoice.rows IS 'How many cost rows.';
