-- A month of cost of :rows rows, one an hour and resource, in a staging table, and 200 rules in three levels that divide it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
CALL billing.create_ledger();
SELECT billing.set_cost_center('department', 'team-' || t) FROM generate_series(0, 99) AS t;
SELECT billing.set_cost_center('department', 'shared-' || t) FROM generate_series(0, 19) AS t;
SELECT billing.set_cost_source('provider');
SELECT billing.set_billing_account('provider', 'payer-' || p, 'department', 'shared-0') FROM generate_series(0, 9) AS p;
SELECT billing.set_allocation_scheme('department');
CREATE UNLOGGED TABLE public.staged AS
SELECT concat('payer-', r.no % 10) AS "BillingAccountId", 'Payer' AS "BillingAccountName", 'EUR' AS "BillingCurrency", '2026-10-01T00:00:00Z' AS "BillingPeriodStart", '2026-11-01T00:00:00Z' AS "BillingPeriodEnd",
       to_char(h.at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "ChargePeriodStart", to_char(h.at + interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "ChargePeriodEnd",
       CASE WHEN r.no % 97 = 0 THEN 'Tax' WHEN r.no % 89 = 0 THEN 'Credit' ELSE 'Usage' END AS "ChargeCategory", 'Usage of something' AS "ChargeDescription", 'Usage-Based' AS "ChargeFrequency",
       concat('service-', r.no % 50) AS "ServiceName", 'Compute' AS "ServiceCategory", 'Provider' AS "ProviderName", 'Provider' AS "PublisherName", 'Provider' AS "InvoiceIssuerName",
       concat('sub-', r.no % 200) AS "SubAccountId", concat('Sub ', r.no % 200) AS "SubAccountName", concat('arn:resource/', r.no) AS "ResourceId", concat('name-', r.no) AS "ResourceName", 'Instance' AS "ResourceType",
       'eu-central-1' AS "RegionId", 'Frankfurt' AS "RegionName",
       CASE WHEN k.priced THEN concat('sku-', r.no % 300) END AS "SkuId", CASE WHEN k.priced THEN concat('price-', r.no % 300) END AS "SkuPriceId", CASE WHEN k.priced THEN 'Standard' END AS "PricingCategory",
       CASE WHEN k.priced THEN c.cost END AS "PricingQuantity", CASE WHEN k.priced THEN 'Hours' END AS "PricingUnit", CASE WHEN k.priced THEN c.cost END AS "ConsumedQuantity", CASE WHEN k.priced THEN 'Hours' END AS "ConsumedUnit",
       CASE WHEN k.priced THEN 1.2 END AS "ListUnitPrice", CASE WHEN k.priced THEN 1.0 END AS "ContractedUnitPrice",
       CASE WHEN r.no % 89 = 0 AND r.no % 97 <> 0 THEN -c.cost ELSE c.cost END AS "BilledCost", round(c.cost * 0.9, 10) AS "EffectiveCost", c.cost * 1.2 AS "ListCost", c.cost AS "ContractedCost",
       CASE WHEN r.no % 7 <> 0 THEN jsonb_build_object('team', concat('team-', r.no % 120), 'env', (ARRAY['prod', 'dev', 'test'])[1 + r.no % 3], 'Name', concat('name-', r.no % 1000))::text END AS "Tags"
  FROM generate_series(0, :rows / 720 - 1) AS r (no)
 CROSS JOIN generate_series(timestamptz '2026-10-01 00:00Z', '2026-10-30 23:00Z', interval '1 hour') AS h (at)
 CROSS JOIN LATERAL (SELECT round(((r.no * 7919 + extract(epoch FROM h.at)::bigint / 3600 * 104729) % 1000003)::numeric / 7000003, 10) AS cost) AS c
 CROSS JOIN LATERAL (SELECT r.no % 97 <> 0 AND r.no % 89 <> 0 AS priced) AS k;
ANALYZE public.staged;
-- 100 by tag, 30 by sub-account, 20 by service and environment, 30 that split, 20 that give on
SELECT billing.set_allocation_rule('department', format('a%s', lpad(t::text, 3, '0')), t, jsonb_build_object('target', 'team-' || t), jsonb_build_object('tag', 'team', 'equals', 'team-' || t)) FROM generate_series(0, 99) AS t;
SELECT billing.set_allocation_rule('department', format('b%s', lpad(t::text, 3, '0')), 200 + t, jsonb_build_object('target', 'team-' || t), jsonb_build_object('column', 'SubAccountId', 'in', jsonb_build_array('sub-' || t, 'sub-' || t + 100)))
  FROM generate_series(0, 29) AS t;
SELECT billing.set_allocation_rule('department', format('c%s', lpad(t::text, 3, '0')), 300 + t, jsonb_build_object('target', 'shared-' || t),
                                   jsonb_build_object('and', jsonb_build_array(jsonb_build_object('column', 'ServiceName', 'prefix', 'service-' || t), jsonb_build_object('not', jsonb_build_object('tag', 'env', 'equals', 'dev')))))
  FROM generate_series(0, 19) AS t;
SELECT billing.set_allocation_rule('department', format('d%s', lpad(t::text, 3, '0')), 400 + t,
                                   CASE t % 3 WHEN 0 THEN '{"split": "proportional", "basis": "billed"}'::jsonb
                                              WHEN 1 THEN jsonb_build_object('split', 'even', 'targets', (SELECT jsonb_agg('team-' || n) FROM generate_series(t, t + 20) AS n))
                                              ELSE jsonb_build_object('split', 'fixed', 'weights', (SELECT jsonb_object_agg('team-' || n, n + 1) FROM generate_series(t, t + 9) AS n)) END,
                                   jsonb_build_object('column', 'ServiceName', 'regex', format('^service-%s$', t + 20)), pools => '{cost,tax,credit}')
  FROM generate_series(0, 29) AS t;
SELECT billing.set_allocation_rule('department', format('e%s', lpad(t::text, 3, '0')), 500 + t, jsonb_build_object('split', 'fixed', 'weights', (SELECT jsonb_object_agg('team-' || n, n + 1) FROM generate_series(t * 5, t * 5 + 4) AS n)),
                                   from_target => 'shared-' || t) FROM generate_series(0, 19) AS t;
