-- Rules of FOCUS as findings: each rule broken once by a row that keeps all others, as the table of rules says.
\set ECHO none
\set test_database billing_cost_findings
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
-- a row of every kind that breaks no rule; broken() puts one beside it that differs in some columns, and tells what is found there
SET client_min_messages = warning;
SELECT format('CREATE TABLE public.focus (no int, %s)', string_agg(format('%I text', name), ', ' ORDER BY position)) FROM focus_columns() \gexec
INSERT INTO public.focus SELECT * FROM jsonb_populate_record(NULL::public.focus, '{"no": 0, "BilledCost": "2", "BillingAccountId": "A", "BillingAccountName": "A", "BillingAccountType": "Account", "BillingCurrency": "EUR",
    "BillingPeriodStart": "2026-10-01T00:00:00Z", "BillingPeriodEnd": "2026-11-01T00:00:00Z", "CapacityReservationId": "cr", "CapacityReservationStatus": "Used", "ChargeCategory": "Usage", "ChargeDescription": "d",
    "ChargeFrequency": "Usage-Based", "ChargePeriodStart": "2026-10-05T00:00:00Z", "ChargePeriodEnd": "2026-10-05T01:00:00Z", "CommitmentDiscountCategory": "Spend", "CommitmentDiscountId": "cd", "CommitmentDiscountName": "n",
    "CommitmentDiscountQuantity": "1", "CommitmentDiscountStatus": "Used", "CommitmentDiscountType": "Plan", "CommitmentDiscountUnit": "USD", "ConsumedQuantity": "1", "ConsumedUnit": "GB-Hours", "ContractedCost": "2", "ContractedUnitPrice": "1",
    "EffectiveCost": "1.5", "InvoiceId": "i", "InvoiceIssuerName": "AWS", "ListCost": "3", "ListUnitPrice": "1.5", "PricingCategory": "Committed", "PricingCurrency": "EUR", "PricingCurrencyContractedUnitPrice": "1",
    "PricingCurrencyEffectiveCost": "1.5", "PricingCurrencyListUnitPrice": "1.5", "PricingQuantity": "2", "PricingUnit": "1000 Requests", "ProviderName": "AWS", "PublisherName": "AWS", "RegionId": "r", "RegionName": "R", "ResourceId": "vm",
    "ResourceName": "VM", "ResourceType": "thing", "ServiceCategory": "Compute", "ServiceName": "S", "ServiceSubcategory": "Virtual Machines", "SkuId": "s", "SkuMeter": "m", "SkuPriceDetails": "{\"x_a\": 1}", "SkuPriceId": "p",
    "SubAccountId": "sub", "SubAccountName": "Sub", "SubAccountType": "Account", "Tags": "{\"team\": \"search\"}"}');
CREATE FUNCTION public.broken(changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    this bigint;
BEGIN
    DELETE FROM public.focus WHERE no = 1;
    INSERT INTO public.focus SELECT x.* FROM public.focus AS f, jsonb_populate_record(f, changes || '{"no": 1}') AS x;
    CREATE TEMP VIEW delivery AS SELECT * FROM public.focus;
    SELECT i.load INTO this FROM billing.import_focus('pg_temp.delivery', 'payer', '[2026-10-01,2026-11-01)') AS i;
    DROP VIEW delivery;
    RETURN (SELECT string_agg(format('%s%s', CASE f.severity WHEN 'error' THEN '' ELSE f.severity || ' ' END, f.rule), ', ' ORDER BY f.rule) FROM billing.cost_findings AS f WHERE f.load = this);
END $$;
SET client_min_messages = notice;
\set ECHO all
SELECT count(*) AS rules, count(DISTINCT rule) AS names, count(*) FILTER (WHERE severity = 'fatal') AS fatal, count(*) FILTER (WHERE severity = 'warning') AS warnings FROM focus_rules();
SELECT count(*) AS subcategories, count(DISTINCT category) AS categories, bool_and(category = ANY (SELECT unnest(allowed) FROM focus_columns() WHERE name = 'ServiceCategory')) AS known FROM focus_subcategories();
SELECT broken('{}') IS NULL AS sound;
-- null or not, by what stands beside it
SELECT name AS nulled, broken(jsonb_build_object(name, NULL)) AS found FROM focus_columns() ORDER BY position;
-- taxes have no price and no quantity; corrections may lack them
SELECT broken('{"ChargeCategory": "Tax"}');
SELECT broken('{"ChargeClass": "Correction", "ChargePeriodStart": "2026-09-05T00:00:00Z", "PricingQuantity": null, "PricingUnit": null, "ContractedUnitPrice": null, "ListUnitPrice": null, "SkuId": null, "SkuMeter": null, "SkuPriceId": null, "SkuPriceDetails": null, "PricingCategory": null, "ConsumedQuantity": null, "ConsumedUnit": null, "CommitmentDiscountQuantity": null, "CommitmentDiscountUnit": null, "PricingCurrencyListUnitPrice": null, "PricingCurrencyContractedUnitPrice": null}') IS NULL AS sound;
SELECT broken('{"ChargeCategory": "Purchase"}');
SELECT broken('{"CommitmentDiscountStatus": "Unused"}');
SELECT broken('{"CapacityReservationId": null, "CapacityReservationStatus": "Unused"}');
-- values
SELECT changes, broken(changes::jsonb) FROM (VALUES ('{"BillingCurrency": "eur"}'), ('{"BillingCurrency": "XXY"}'), ('{"ChargePeriodEnd": "2026-10-05T00:00:00"}'), ('{"ChargePeriodEnd": "2026-10-04T00:00:00Z"}'), ('{"ChargePeriodEnd": "tomorrow"}'),
    ('{"ChargeCategory": "usage"}'), ('{"ChargeClass": "Refund"}'), ('{"ChargeFrequency": "Usage-based"}'), ('{"ServiceCategory": "Storage"}'), ('{"ServiceSubcategory": "Virtual machines"}'), ('{"ServiceSubcategory": "Other (Compute)"}'),
    ('{"ListUnitPrice": "-1.5", "ListCost": "-3"}'), ('{"ContractedUnitPrice": "-1", "ContractedCost": "-2"}'), ('{"PricingCurrencyListUnitPrice": "-1"}'), ('{"PricingCurrencyContractedUnitPrice": "-1"}'),
    ('{"ListCost": "3.00000001"}'), ('{"ListCost": "3.000000001"}'), ('{"ContractedCost": "2.1"}'), ('{"PricingQuantity": "two"}'), ('{"PricingQuantity": "2E0"}'), ('{"BilledCost": "NaN"}'), ('{"EffectiveCost": "1e9999"}'),
    ('{"ConsumedUnit": "GB*h"}'), ('{"PricingUnit": "Requests/Second"}'), ('{"PricingUnit": "%"}'), ('{"PricingCurrency": "3€"}'), ('{"PricingCurrency": "Tokens"}'), ('{"PricingCategory": "Standard"}'),
    ('{"Tags": "team=search"}'), ('{"Tags": "[]"}'), ('{"SkuPriceDetails": "7"}')) AS v (changes);
-- a finding names the row and what stands there
SELECT severity, rule, focus_column, row_no, value, message, affected FROM cost_findings WHERE load = (SELECT max(load) FROM cost_loads);
-- rules that two rows can only break together: the second row says something else than the first of its invoice, commitment, resource, service, SKU …
SELECT count(*) AS rules, count(*) FILTER (WHERE severity = 'warning') AS warnings, count(*) FILTER (WHERE NOT EXISTS (SELECT FROM focus_columns() AS c WHERE c.name = f.focus_column)
       OR NOT EXISTS (SELECT FROM focus_columns() AS c WHERE c.name = f.owner) OR NOT EXISTS (SELECT FROM focus_columns() AS c WHERE c.name = f.within)) AS of_unknown_columns FROM focus_group_rules() AS f;
SELECT changes, broken(changes::jsonb) FROM (VALUES ('{"BillingAccountType": "Payer"}'), ('{"BillingCurrency": "USD"}'), ('{"BillingCurrency": "USD", "InvoiceId": "j"}'), ('{"BillingCurrency": "USD", "InvoiceIssuerName": "Reseller"}'),
    ('{"CommitmentDiscountType": "Reservation"}'), ('{"CommitmentDiscountUnit": "EUR"}'), ('{"CommitmentDiscountUnit": "EUR", "CommitmentDiscountId": "other"}'), ('{"ResourceType": "disk"}'), ('{"ResourceType": "disk", "ProviderName": "GCP"}'),
    ('{"ServiceCategory": "Storage", "ServiceSubcategory": "Object Storage"}'), ('{"ServiceSubcategory": "Containers"}'), ('{"SkuMeter": "meter 2"}'), ('{"SkuMeter": null}'), ('{"SkuId": "t"}'), ('{"SkuId": "t", "SkuPriceId": "q"}'), ('{"SubAccountType": "Project"}'),
    ('{"ChargeClass": "Correction"}'), ('{"ChargeClass": "Correction", "ChargePeriodStart": "2026-09-30T23:00:00Z", "ChargePeriodEnd": "2026-10-01T00:00:00Z"}')) AS v (changes);
INSERT INTO public.focus SELECT (jsonb_populate_record(f, jsonb_build_object('no', 2 + n, 'SkuMeter', 'meter ' || n % 3, 'SkuId', 'many'))).* FROM public.focus AS f, generate_series(0, 299) AS n WHERE f.no = 0;
SELECT broken('{}') IS NULL AS sound;
SELECT severity, rule, focus_column, value, message, affected, count(*) AS listed FROM cost_findings WHERE load = (SELECT max(load) FROM cost_loads) GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4;
DELETE FROM public.focus WHERE no > 1;
-- a delivery of FOCUS 1.0 is not asked for columns that came later
UPDATE public.focus SET "ServiceSubcategory" = NULL, "PricingCurrency" = NULL, "SubAccountType" = NULL, "BillingAccountType" = NULL, "SkuMeter" = NULL;
SELECT broken('{}') IS NULL AS sound;
-- what months say of the same thing: a price of another SKU, properties that change or vanish, a commitment used for more than it was bought for
SELECT count(*) FROM focus_history('[2026-10-01,2027-02-01)') WHERE rule LIKE 'SkuPrice%' OR rule LIKE 'Eff%';
CREATE TABLE public.months (billing_account_id text, billing_period_start text, billing_period_end text, charge_period_start text, charge_period_end text, billing_currency text, charge_category text, provider_name text, service_name text,
    invoice_id text, invoice_issuer_name text, sku_id text, sku_price_id text, sku_price_details text, commitment_discount_id text, billed_cost numeric, effective_cost numeric);
INSERT INTO public.months VALUES
    ('B', '2026-12-01', '2027-01-01', '2026-12-05', '2026-12-06', 'EUR', 'Usage',    'P', 'vm', 'i-1', 'P', 'sku-1', 'price-1', '{"CoreCount": 4, "x_gone": 1}', NULL, 10, 10),
    ('B', '2026-12-01', '2027-01-01', '2026-12-05', '2026-12-06', 'EUR', 'Purchase', 'P', 'vm', 'i-1', 'P', NULL, NULL, NULL, 'c-1', 100, 0),
    ('B', '2026-12-01', '2027-01-01', '2026-12-05', '2026-12-06', 'EUR', 'Usage',    'P', 'vm', NULL, 'P', 'sku-2', 'price-2', NULL, 'c-1', 0, 60),
    ('B', '2027-01-01', '2027-02-01', '2027-01-05', '2027-01-06', 'EUR', 'Usage',    'P', 'vm', 'i-2', 'P', 'sku-9', 'price-1', '{"CoreCount": 8}', NULL, 10, 10),
    ('B', '2027-01-01', '2027-02-01', '2027-01-05', '2027-01-06', 'EUR', 'Usage',    'P', 'vm', 'i-2', 'P', 'sku-2', 'price-2', NULL, 'c-1', 0, 41);
SELECT outcome FROM import_focus('public.months', 'payer', '[2026-12-01,2027-02-01)');
SELECT rule FROM cost_findings WHERE load = (SELECT max(load) FROM cost_loads) AND rule LIKE 'SkuPriceId-C-008%';
SELECT * FROM focus_history('[2026-12-01,2027-02-01)');
SELECT rule, message FROM focus_history('[2026-12-01,2027-01-01)');
SELECT invoice, currency, billed, rows FROM cost_by_invoice WHERE billing_account = 'B' AND billing_period >= '[2026-12-01,2027-01-01)' ORDER BY billing_period, invoice;
\c contrib_regression
DROP DATABASE billing_cost_findings;
