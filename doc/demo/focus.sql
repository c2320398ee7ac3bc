-- Cloud usage in FOCUS form (:folder/focus_sample_1.0.csv) billed at its list prices.
--
-- A meter is a service and a unit; a charge is a SKU price of it, at the list unit price of the file.  A SKU price that stands with
-- several list prices gets a charge for each, a row without a SKU price one of its own.  A row without a quantity (a credit) is no
-- usage: what it makes of the total is listed at the end, row by row, with what the file itself has rounded.
\set QUIET on
\o /dev/null
SET client_min_messages = warning;
CALL billing.maintain_partitions('[2024-09-01,2024-11-01)');
CREATE TEMPORARY TABLE focus (
    "AvailabilityZone" text, "BilledCost" numeric, "BillingAccountId" text, "BillingAccountName" text, "BillingCurrency" text,
    "BillingPeriodEnd" timestamp, "BillingPeriodStart" timestamp, "ChargeCategory" text, "ChargeClass" text, "ChargeDescription" text,
    "ChargeFrequency" text, "ChargePeriodEnd" timestamp, "ChargePeriodStart" timestamp, "CommitmentDiscountCategory" text,
    "CommitmentDiscountId" text, "CommitmentDiscountName" text, "CommitmentDiscountStatus" text, "CommitmentDiscountType" text,
    "ConsumedQuantity" numeric, "ConsumedUnit" text, "ContractedCost" numeric, "ContractedUnitPrice" numeric, "EffectiveCost" numeric,
    "InvoiceIssuerName" text, "ListCost" numeric, "ListUnitPrice" numeric, "PricingCategory" text, "PricingQuantity" numeric,
    "PricingUnit" text, "ProviderName" text, "PublisherName" text, "RegionId" text, "RegionName" text, "ResourceId" text,
    "ResourceName" text, "ResourceType" text, "ServiceCategory" text, "Id" text, "ServiceName" text, "SkuId" text, "SkuPriceId" text,
    "SubAccountId" text, "SubAccountName" text, "Tags" text, row_no int GENERATED ALWAYS AS IDENTITY);
\set here `pwd`
\cd :folder
\copy focus ("AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "Id", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags") FROM 'focus_sample_1.0.csv' (FORMAT csv, HEADER, NULL 'NULL')
\cd :here

-- What each row is as usage.
CREATE TEMPORARY TABLE focus_usage AS
SELECT f.row_no, f."SubAccountId" AS account, f."SubAccountName" AS account_name, f."ServiceName" || ' in ' || f."ConsumedUnit" AS meter, f."ConsumedUnit" AS unit,
       f."ServiceName" AS service, f."ChargePeriodStart" AS starts_at, f."ChargePeriodEnd" AS ends_at, f."ConsumedQuantity" AS quantity, f."ListUnitPrice" AS unit_price,
       CASE WHEN f."SkuPriceId" IS NULL THEN 'row ' || f.row_no
            WHEN min(f."ListUnitPrice") OVER sku = max(f."ListUnitPrice") OVER sku THEN f."SkuPriceId"
            ELSE f."SkuPriceId" || ' at ' || trim_scale(f."ListUnitPrice") END AS sku_price_id
  FROM focus AS f
 WHERE f."ConsumedQuantity" IS NOT NULL AND f."ListUnitPrice" IS NOT NULL
WINDOW sku AS (PARTITION BY f."ServiceName", f."ConsumedUnit", f."SkuPriceId");
ANALYZE focus_usage;

BEGIN;
SELECT billing.set_seller('cloud', legal_name => 'Cloud Reselling Inc.', country => 'US', currency => 'USD', time_zone => 'UTC',
                          address => '{"line_1": "2 Data Drive", "city": "Ashburn", "post_code": "20147"}');
SELECT billing.set_meter(m.meter, unit => m.unit, aggregation => 'sum', dimensions => '{sku_price_id}', seller => 'cloud', name => m.service)
  FROM (SELECT DISTINCT u.meter, u.unit, u.service FROM focus_usage AS u) AS m;
SELECT billing.set_price(p.meter, p.tariff::text::billing.tariff, valid_from => '2024-01-01', seller => 'cloud')
  FROM (SELECT c.meter, jsonb_build_object('model', 'matrix', 'currency', 'USD', 'dimensions', '["sku_price_id"]'::jsonb, 'unmatched', 'error', 'cells',
                    jsonb_agg(jsonb_build_object('match', jsonb_build_object('sku_price_id', c.sku_price_id), 'unit_price', c.unit_price::text) ORDER BY c.sku_price_id)) AS tariff
          FROM (SELECT DISTINCT u.meter, u.sku_price_id, u.unit_price FROM focus_usage AS u) AS c
         GROUP BY c.meter) AS p;
SELECT billing.set_account(a.account, currency => 'USD', time_zone => 'UTC', seller => 'cloud', starts_on => '2024-09-01', legal_name => a.name, country => 'US')
  FROM (SELECT u.account, max(u.account_name) AS name FROM focus_usage AS u GROUP BY u.account) AS a;
COMMIT;

BEGIN;
SELECT billing.open_usage_batch();
INSERT INTO usage_batch (source, id, account, meter, starts_at, ends_at, quantity, dimensions)
SELECT 'focus_sample_1.0', 'row ' || u.row_no, u.account, u.meter, to_char(u.starts_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(u.ends_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       u.quantity, jsonb_build_object('sku_price_id', u.sku_price_id)
  FROM focus_usage AS u;
\o
\unset QUIET
SELECT * FROM billing.load_usage_batch();
COMMIT;
CALL billing.run_invoicing(through => '2024-11-01');
\set QUIET on
\o /dev/null
SELECT * FROM billing.finalize_invoices(through => '2024-11-01', issue_date => '2024-11-01');
\o
\unset QUIET
\echo Charges of less than nothing are reversals:
SELECT l.account, l.item, l.charge_group ->> 'sku_price_id' AS sku_price, l.quantity, l.unit_price, l.amount
  FROM billing.invoice_lines AS l WHERE l.seller = 'cloud' AND l.quantity < 0 ORDER BY l.amount, l.line_id LIMIT 5;
\echo Quantity times list price against the list cost of the file, where they differ (row by row in the table focus_difference, with --keep):
\set QUIET on
CREATE TABLE focus_difference AS
SELECT f.row_no, f."ServiceName" AS service, f."SkuPriceId" AS sku_price_id, f."ConsumedQuantity" AS quantity, f."ListUnitPrice" AS unit_price, f."ListCost" AS list_cost,
       d.difference,
       CASE WHEN f."ConsumedQuantity" IS NULL THEN lower(f."ChargeCategory") || ' without a quantity: no usage, it is not billed'
            ELSE 'the file rounds the list cost to ' || CASE WHEN abs(d.difference) <= 0.000000000005 THEN 11 ELSE 10 END || ' decimals' END AS why
  FROM focus AS f
 CROSS JOIN LATERAL (SELECT coalesce(f."ConsumedQuantity" * f."ListUnitPrice", 0) - f."ListCost" AS difference) AS d
 WHERE d.difference <> 0;
\unset QUIET
SELECT d.why, count(*) AS rows, trim_scale(sum(d.difference)) AS difference FROM focus_difference AS d GROUP BY d.why ORDER BY sum(abs(d.difference)) DESC;
SELECT trim_scale(sum(f."ConsumedQuantity" * f."ListUnitPrice")) AS quantity_times_price, trim_scale(sum(f."ListCost")) AS list_cost,
       (SELECT trim_scale(sum(d.difference)) FROM focus_difference AS d) AS difference
  FROM focus AS f;
