-- What FOCUS (FinOps Open Cost and Usage Specification, version 1.2) asks of a row: its columns, and the rules a row can break.
--
-- Rules are data: a rule's condition is an SQL expression over the columns of the row that is true where the row breaks the rule.
-- import_focus() evaluates all of them in one pass.

CREATE FUNCTION billing.focus_columns() RETURNS TABLE ("position" pg_catalog.int4, name pg_catalog.text, kind pg_catalog.text, required pg_catalog.bool, allowed pg_catalog.text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
        (1, 'AvailabilityZone', 'text', false, NULL::pg_catalog.text[]), (2, 'BilledCost', 'decimal', true, NULL), (3, 'BillingAccountId', 'text', true, NULL),
        (4, 'BillingAccountName', 'text', false, NULL), (5, 'BillingAccountType', 'text', false, NULL), (6, 'BillingCurrency', 'text', true, NULL),
        (7, 'BillingPeriodEnd', 'time', true, NULL), (8, 'BillingPeriodStart', 'time', true, NULL), (9, 'CapacityReservationId', 'text', false, NULL),
        (10, 'CapacityReservationStatus', 'text', false, '{Used,Unused}'),
        (11, 'ChargeCategory', 'text', true, '{Usage,Purchase,Tax,Credit,Adjustment}'), (12, 'ChargeClass', 'text', false, '{Correction}'),
        (13, 'ChargeDescription', 'text', false, NULL), (14, 'ChargeFrequency', 'text', false, '{One-Time,Recurring,Usage-Based}'),
        (15, 'ChargePeriodEnd', 'time', true, NULL), (16, 'ChargePeriodStart', 'time', true, NULL),
        (17, 'CommitmentDiscountCategory', 'text', false, '{Spend,Usage}'), (18, 'CommitmentDiscountId', 'text', false, NULL),
        (19, 'CommitmentDiscountName', 'text', false, NULL), (20, 'CommitmentDiscountQuantity', 'decimal', false, NULL),
        (21, 'CommitmentDiscountStatus', 'text', false, '{Used,Unused}'), (22, 'CommitmentDiscountType', 'text', false, NULL),
        (23, 'CommitmentDiscountUnit', 'text', false, NULL), (24, 'ConsumedQuantity', 'decimal', false, NULL), (25, 'ConsumedUnit', 'text', false, NULL),
        (26, 'ContractedCost', 'decimal', true, NULL), (27, 'ContractedUnitPrice', 'decimal', false, NULL), (28, 'EffectiveCost', 'decimal', true, NULL),
        (29, 'InvoiceId', 'text', false, NULL), (30, 'InvoiceIssuerName', 'text', true, NULL), (31, 'ListCost', 'decimal', true, NULL),
        (32, 'ListUnitPrice', 'decimal', false, NULL), (33, 'PricingCategory', 'text', false, '{Standard,Dynamic,Committed,Other}'),
        (34, 'PricingCurrency', 'text', false, NULL), (35, 'PricingCurrencyContractedUnitPrice', 'decimal', false, NULL),
        (36, 'PricingCurrencyEffectiveCost', 'decimal', false, NULL), (37, 'PricingCurrencyListUnitPrice', 'decimal', false, NULL),
        (38, 'PricingQuantity', 'decimal', false, NULL), (39, 'PricingUnit', 'text', false, NULL), (40, 'ProviderName', 'text', true, NULL),
        (41, 'PublisherName', 'text', true, NULL), (42, 'RegionId', 'text', false, NULL), (43, 'RegionName', 'text', false, NULL),
        (44, 'ResourceId', 'text', false, NULL), (45, 'ResourceName', 'text', false, NULL), (46, 'ResourceType', 'text', false, NULL),
        (47, 'ServiceCategory', 'text', true, '{AI and Machine Learning,Analytics,Business Applications,Compute,Databases,Developer Tools,Multicloud,Identity,Integration,Internet of Things,Management and Governance,Media,Migration,Mobile,Networking,Security,Storage,Web,Other}'),
        (48, 'ServiceName', 'text', true, NULL), (49, 'ServiceSubcategory', 'text', false, NULL), (50, 'SkuId', 'text', false, NULL),
        (51, 'SkuMeter', 'text', false, NULL), (52, 'SkuPriceDetails', 'object', false, NULL), (53, 'SkuPriceId', 'text', false, NULL),
        (54, 'SubAccountId', 'text', false, NULL), (55, 'SubAccountName', 'text', false, NULL), (56, 'SubAccountType', 'text', false, NULL),
        (57, 'Tags', 'object', false, NULL)) AS c ("position", name, kind, required, allowed);
END;
COMMENT ON FUNCTION billing.focus_columns() IS
'The 57 columns of a FOCUS 1.2 cost and usage row in alphabetical order: position; name; kind (text, decimal, time, object); required: never null; allowed: the only values, null = any. Source: FOCUS Specification 1.2. Immutable.';

CREATE FUNCTION billing.focus_subcategories() RETURNS TABLE (category pg_catalog.text, subcategory pg_catalog.text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.category, s.subcategory
      FROM (VALUES
        ('AI and Machine Learning', '{AI Platforms,Bots,Generative AI,Machine Learning,Natural Language Processing,"Other (AI and Machine Learning)"}'),
        ('Analytics', '{Analytics Platforms,Business Intelligence,Data Processing,Search,Streaming Analytics,"Other (Analytics)"}'),
        ('Business Applications', '{Productivity and Collaboration,"Other (Business Applications)"}'),
        ('Compute', '{Containers,End User Computing,Quantum Compute,Serverless Compute,Virtual Machines,"Other (Compute)"}'),
        ('Databases', '{Caching,Data Warehouses,Ledger Databases,NoSQL Databases,Relational Databases,Time Series Databases,"Other (Databases)"}'),
        ('Developer Tools', '{Developer Platforms,Continuous Integration and Deployment,Development Environments,Source Code Management,Quality Assurance,"Other (Developer Tools)"}'),
        ('Identity', '{Identity and Access Management,"Other (Identity)"}'),
        ('Integration', '{API Management,Messaging,Workflow Orchestration,"Other (Integration)"}'),
        ('Internet of Things', '{IoT Analytics,IoT Platforms,"Other (Internet of Things)"}'),
        ('Management and Governance', '{Architecture,Compliance,Cost Management,Data Governance,Disaster Recovery,Endpoint Management,Observability,Support,"Other (Management and Governance)"}'),
        ('Media', '{Content Creation,Gaming,Media Streaming,Mixed Reality,"Other (Media)"}'),
        ('Migration', '{Data Migration,Resource Migration,"Other (Migration)"}'),
        ('Mobile', '{"Other (Mobile)"}'),
        ('Multicloud', '{Multicloud Integration,"Other (Multicloud)"}'),
        ('Networking', '{Application Networking,Content Delivery,Network Connectivity,Network Infrastructure,Network Routing,Network Security,"Other (Networking)"}'),
        ('Security', '{Secret Management,Security Posture Management,Threat Detection and Response,"Other (Security)"}'),
        ('Storage', '{Backup Storage,Block Storage,File Storage,Object Storage,Storage Platforms,"Other (Storage)"}'),
        ('Web', '{Application Platforms,"Other (Web)"}'),
        ('Other', '{"Other (Other)"}')) AS c (category, subcategories)
     CROSS JOIN LATERAL pg_catalog.unnest(c.subcategories::pg_catalog.text[]) AS s (subcategory);
END;
COMMENT ON FUNCTION billing.focus_subcategories() IS 'The values of ServiceSubcategory in FOCUS 1.2, each with the ServiceCategory that it belongs to. Source: FOCUS Specification 1.2. Immutable.';

CREATE FUNCTION billing.focus_rules()
    RETURNS TABLE (rule pg_catalog.text, severity pg_catalog.text, focus_column pg_catalog.text, if_delivered pg_catalog.bool, condition pg_catalog.text, message pg_catalog.text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Without these a row has no place or no amount: the load is refused.
    SELECT pg_catalog.concat(c.name, '-required'),
           CASE WHEN c.name OPERATOR(pg_catalog.=) ANY ('{BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd}'::pg_catalog.text[]) THEN 'fatal' ELSE 'error' END,
           c.name, false, pg_catalog.format('%I IS NULL', c.name), pg_catalog.concat(c.name, ' must not be null')
      FROM billing.focus_columns() AS c WHERE c.required
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-decimal'), CASE WHEN c.name OPERATOR(pg_catalog.~~) '%Cost' THEN 'fatal' ELSE 'error' END, c.name, false,
           pg_catalog.format('%I IS NOT NULL AND %I IS NULL', c.name, pg_catalog.concat(c.name, ' number')), pg_catalog.concat(c.name, ' must be a decimal number')
      FROM billing.focus_columns() AS c WHERE c.kind OPERATOR(pg_catalog.=) 'decimal'
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-time'), 'fatal', c.name, false,
           pg_catalog.format('%I !~ ''^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?)? ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?$''', c.name),
           pg_catalog.concat(c.name, ' must be an instant in ISO 8601, such as 2026-10-01T00:00:00Z')
      FROM billing.focus_columns() AS c WHERE c.kind OPERATOR(pg_catalog.=) 'time'
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-object'), 'error', c.name, false, pg_catalog.format('%I = ANY (not_objects)', c.name), pg_catalog.concat(c.name, ' must be a JSON object')
      FROM billing.focus_columns() AS c WHERE c.kind OPERATOR(pg_catalog.=) 'object'
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-allowed'), 'error', c.name, false, pg_catalog.format('%I <> ALL (%L::text[])', c.name, c.allowed),
           pg_catalog.concat(c.name, ' must be one of: ', pg_catalog.array_to_string(c.allowed, ', '))
      FROM billing.focus_columns() AS c WHERE c.allowed IS NOT NULL
    UNION ALL
    -- What says more about a thing that is named is null when nothing is named ...
    SELECT v.rule, 'error', v.name, false, pg_catalog.format('%I IS NOT NULL AND %I IS NULL', v.name, v.owner), pg_catalog.concat(v.name, ' must be null when ', v.owner, ' is null')
      FROM (VALUES ('CapacityReservationStatus-C-003-C', 'CapacityReservationStatus', 'CapacityReservationId'), ('CommitmentDiscountCategory-C-003-C', 'CommitmentDiscountCategory', 'CommitmentDiscountId'),
                   ('CommitmentDiscountName-C-004-C', 'CommitmentDiscountName', 'CommitmentDiscountId'), ('CommitmentDiscountStatus-C-003-C', 'CommitmentDiscountStatus', 'CommitmentDiscountId'),
                   ('CommitmentDiscountType-C-004-C', 'CommitmentDiscountType', 'CommitmentDiscountId'), ('CommitmentDiscountUnit-C-005-C', 'CommitmentDiscountUnit', 'CommitmentDiscountQuantity'),
                   ('ConsumedUnit-C-005-C', 'ConsumedUnit', 'ConsumedQuantity'), ('PricingUnit-C-005-C', 'PricingUnit', 'PricingQuantity'), ('RegionName-C-004-C', 'RegionName', 'RegionId'),
                   ('ResourceName-C-004-C', 'ResourceName', 'ResourceId'), ('ResourceType-C-004-C', 'ResourceType', 'ResourceId'), ('SkuMeter-C-004-C', 'SkuMeter', 'SkuId'),
                   ('SkuPriceDetails-C-004-C', 'SkuPriceDetails', 'SkuPriceId'), ('SubAccountName-C-004-C', 'SubAccountName', 'SubAccountId'), ('SubAccountType-C-004-C', 'SubAccountType', 'SubAccountId')) AS v (rule, name, owner)
    UNION ALL
    -- ... and not null when it is; columns that are newer than FOCUS 1.0 are asked for where the delivery has them at all.
    SELECT v.rule, v.severity, v.name, v.newer, pg_catalog.format('%I IS NULL AND %I IS NOT NULL', v.name, v.owner), pg_catalog.concat(v.name, CASE WHEN v.severity OPERATOR(pg_catalog.=) 'error' THEN ' must not' ELSE ' should not' END, ' be null when ', v.owner, ' is not null')
      FROM (VALUES ('BillingAccountType-C-005-C', 'error', true, 'BillingAccountType', 'BillingAccountId'), ('CommitmentDiscountCategory-C-004-C', 'error', false, 'CommitmentDiscountCategory', 'CommitmentDiscountId'),
                   ('CommitmentDiscountType-C-005-C', 'error', false, 'CommitmentDiscountType', 'CommitmentDiscountId'), ('CommitmentDiscountUnit-C-006-C', 'error', false, 'CommitmentDiscountUnit', 'CommitmentDiscountQuantity'),
                   ('ConsumedUnit-C-006-C', 'error', false, 'ConsumedUnit', 'ConsumedQuantity'), ('PricingUnit-C-006-C', 'error', false, 'PricingUnit', 'PricingQuantity'), ('RegionName-C-005-C', 'error', false, 'RegionName', 'RegionId'),
                   ('ResourceType-C-005-C', 'error', false, 'ResourceType', 'ResourceId'), ('SkuMeter-C-005-C', 'warning', true, 'SkuMeter', 'SkuId'), ('SubAccountName-C-005-C', 'error', false, 'SubAccountName', 'SubAccountId'),
                   ('SubAccountType-C-005-C', 'error', true, 'SubAccountType', 'SubAccountId')) AS v (rule, severity, newer, name, owner)
    UNION ALL
    SELECT v.rule, 'error', v.name, false, pg_catalog.format('%I IS NOT NULL AND "ChargeCategory" = ''Tax''', v.name), pg_catalog.concat(v.name, ' must be null when ChargeCategory is Tax')
      FROM (VALUES ('ContractedUnitPrice-C-005-C', 'ContractedUnitPrice'), ('ListUnitPrice-C-004-C', 'ListUnitPrice'), ('PricingCategory-C-003-C', 'PricingCategory'),
                   ('PricingCurrencyContractedUnitPrice-C-004-C', 'PricingCurrencyContractedUnitPrice'), ('PricingCurrencyListUnitPrice-C-004-C', 'PricingCurrencyListUnitPrice'),
                   ('PricingQuantity-C-004-C', 'PricingQuantity'), ('SkuId-C-004-C', 'SkuId'), ('SkuPriceId-C-004-C', 'SkuPriceId')) AS v (rule, name)
    UNION ALL
    SELECT v.rule, 'error', v.name, v.newer, pg_catalog.format('%I IS NULL AND "ChargeCategory" IN (''Usage'', ''Purchase'') AND "ChargeClass" IS DISTINCT FROM ''Correction''', v.name),
           pg_catalog.concat(v.name, ' must not be null for usage and purchases, corrections apart')
      FROM (VALUES ('ContractedUnitPrice-C-006-C', false, 'ContractedUnitPrice'), ('ListUnitPrice-C-005-C', false, 'ListUnitPrice'), ('PricingCategory-C-004-C', false, 'PricingCategory'),
                   ('PricingCurrencyContractedUnitPrice-C-005-C', true, 'PricingCurrencyContractedUnitPrice'), ('PricingCurrencyListUnitPrice-C-005-C', true, 'PricingCurrencyListUnitPrice'),
                   ('PricingQuantity-C-005-C', false, 'PricingQuantity'), ('SkuId-C-005-C', false, 'SkuId'), ('SkuPriceId-C-005-C', false, 'SkuPriceId')) AS v (rule, newer, name)
    UNION ALL
    SELECT v.rule, 'error', v.name, false, pg_catalog.format('%I < 0', pg_catalog.concat(v.name, ' number')), pg_catalog.concat(v.name, ' must not be negative')
      FROM (VALUES ('ContractedUnitPrice-C-009-C', 'ContractedUnitPrice'), ('ListUnitPrice-C-008-M', 'ListUnitPrice'), ('PricingCurrencyContractedUnitPrice-C-008-C', 'PricingCurrencyContractedUnitPrice'),
                   ('PricingCurrencyListUnitPrice-C-008-M', 'PricingCurrencyListUnitPrice')) AS v (rule, name)
    UNION ALL
    -- Prices and quantities have been rounded, so a product matches within a billionth.
    SELECT v.rule, 'error', v.name, false,
           pg_catalog.format('abs(%I * "PricingQuantity number" - %I) > 1e-9 * greatest(abs(%I), 1) AND "ChargeClass" IS DISTINCT FROM ''Correction''',
                             pg_catalog.concat(v.price, ' number'), pg_catalog.concat(v.name, ' number'), pg_catalog.concat(v.name, ' number')),
           pg_catalog.concat(v.name, ' must be the product of ', v.price, ' and PricingQuantity')
      FROM (VALUES ('ContractedCost-C-009-C', 'ContractedCost', 'ContractedUnitPrice'), ('ListCost-C-009-C', 'ListCost', 'ListUnitPrice')) AS v (rule, name, price)
    UNION ALL
    SELECT v.rule, 'warning', v.name, false,
           pg_catalog.format('%I !~ ''^([0-9]+ )?[A-Za-z][A-Za-z0-9]*( [A-Za-z][A-Za-z0-9]*)*(-(Year|Month|Day|Hour|Minute|Second)s)?(/([0-9]+ )?[A-Za-z]+)?$''', v.name),
           pg_catalog.concat(v.name, ' should be a unit such as GB, GB-Hours, Requests/Second or 1000 Requests')
      FROM (VALUES ('CommitmentDiscountUnit-C-003-C', 'CommitmentDiscountUnit'), ('ConsumedUnit-C-003-O', 'ConsumedUnit'), ('PricingUnit-C-003-O', 'PricingUnit')) AS v (rule, name)
    UNION ALL
    SELECT 'BillingCurrency-C-006-M', 'error', 'BillingCurrency', false, pg_catalog.format('"BillingCurrency" <> ALL (%L::text[])', pg_catalog.array_agg(c.code)), 'BillingCurrency must be a national currency of ISO 4217'
      FROM billing.currencies() AS c WHERE c.minor_unit IS NOT NULL
    UNION ALL
    SELECT 'ServiceSubcategory-C-003-M', 'error', 'ServiceSubcategory', false, pg_catalog.format('"ServiceSubcategory" <> ALL (%L::text[])', pg_catalog.array_agg(s.subcategory)), 'ServiceSubcategory must be one of focus_subcategories()'
      FROM billing.focus_subcategories() AS s
    UNION ALL
    SELECT 'ServiceSubcategory-C-004-M', 'error', 'ServiceSubcategory', false,
           pg_catalog.format('"ServiceSubcategory" = ANY (%L::text[]) AND concat("ServiceCategory", ''/'', "ServiceSubcategory") <> ALL (%L::text[])',
                             pg_catalog.array_agg(s.subcategory), pg_catalog.array_agg(pg_catalog.concat(s.category, '/', s.subcategory))), 'ServiceSubcategory must belong to ServiceCategory, see focus_subcategories()'
      FROM billing.focus_subcategories() AS s
    UNION ALL
    SELECT * FROM (VALUES
        ('BillingCurrency-C-003-M', 'fatal', 'BillingCurrency', false, $$ "BillingCurrency" !~ '^[A-Z]{3}$' $$, 'BillingCurrency must be a code of ISO 4217'),
        ('CapacityReservationId-C-005-C', 'error', 'CapacityReservationId', false, $$ "CapacityReservationId" IS NULL AND "CapacityReservationStatus" = 'Unused' $$, 'CapacityReservationId must not be null for what is unused of a reservation'),
        ('CapacityReservationStatus-C-004-C', 'error', 'CapacityReservationStatus', false, $$ "ChargeCategory" = 'Usage' AND "CapacityReservationId" IS NOT NULL AND "CapacityReservationStatus" IS NULL $$, 'CapacityReservationStatus must not be null for usage under a reservation'),
        ('ChargeClass-C-003-C', 'error', 'ChargeClass', false, $$ "ChargeClass" = 'Correction' AND left("ChargePeriodStart", 10) >= left("BillingPeriodStart", 10) $$, 'ChargeClass must be null for what corrects the current billing period'),
        ('ChargeDescription-C-003-O', 'warning', 'ChargeDescription', false, $$ "ChargeDescription" IS NULL $$, 'ChargeDescription should not be null'),
        ('ChargeFrequency-C-002-M', 'error', 'ChargeFrequency', true, $$ "ChargeFrequency" IS NULL $$, 'ChargeFrequency must not be null'),
        ('ChargeFrequency-C-004-C', 'error', 'ChargeFrequency', false, $$ "ChargeFrequency" = 'Usage-Based' AND "ChargeCategory" = 'Purchase' $$, 'ChargeFrequency must not be Usage-Based for a purchase'),
        ('ChargePeriod-order', 'error', 'ChargePeriodEnd', false, $$ left("ChargePeriodEnd", 19) < left("ChargePeriodStart", 19) $$, 'ChargePeriodEnd must not be before ChargePeriodStart'),
        ('CommitmentDiscountQuantity-C-005-C', 'error', 'CommitmentDiscountQuantity', true, $$ "CommitmentDiscountQuantity" IS NULL AND "CommitmentDiscountId" IS NOT NULL AND "ChargeCategory" IN ('Usage', 'Purchase') AND "ChargeClass" IS DISTINCT FROM 'Correction' $$,
         'CommitmentDiscountQuantity must not be null for usage and purchases under a commitment, corrections apart'),
        ('CommitmentDiscountQuantity-C-007-C', 'error', 'CommitmentDiscountQuantity', false, $$ "CommitmentDiscountQuantity" IS NOT NULL AND ("CommitmentDiscountId" IS NULL OR "ChargeCategory" NOT IN ('Usage', 'Purchase')) $$,
         'CommitmentDiscountQuantity must be null for what is no usage or purchase under a commitment'),
        ('CommitmentDiscountStatus-C-004-C', 'error', 'CommitmentDiscountStatus', false, $$ "ChargeCategory" = 'Usage' AND "CommitmentDiscountId" IS NOT NULL AND "CommitmentDiscountStatus" IS NULL $$, 'CommitmentDiscountStatus must not be null for usage under a commitment'),
        ('ConsumedQuantity-C-004-C', 'error', 'ConsumedQuantity', false, $$ "ConsumedQuantity" IS NOT NULL AND ("ChargeCategory" <> 'Usage' OR "CommitmentDiscountStatus" = 'Unused') $$, 'ConsumedQuantity must be null for what is no usage and for unused commitments'),
        ('ConsumedQuantity-C-006-C', 'error', 'ConsumedQuantity', true, $$ "ConsumedQuantity" IS NULL AND "ChargeCategory" = 'Usage' AND "CommitmentDiscountStatus" IS DISTINCT FROM 'Unused' AND "ChargeClass" IS DISTINCT FROM 'Correction' $$,
         'ConsumedQuantity must not be null for usage, unused commitments and corrections apart'),
        ('EffectiveCost-C-005-C', 'error', 'EffectiveCost', false, $$ "EffectiveCost number" <> 0 AND "ChargeCategory" = 'Purchase' AND "CommitmentDiscountId" IS NOT NULL $$, 'EffectiveCost must be 0 for the purchase of a commitment'),
        ('PricingCategory-C-009-C', 'error', 'PricingCategory', false, $$ "PricingCategory" <> 'Committed' AND "ChargeCategory" = 'Usage' AND "CommitmentDiscountId" IS NOT NULL $$, 'PricingCategory must be Committed for usage under a commitment'),
        ('PricingCurrency-C-003-M', 'error', 'PricingCurrency', false, $$ "PricingCurrency" !~ '^[A-Za-z][A-Za-z0-9 _-]*$' $$, 'PricingCurrency must be a code of ISO 4217 or the name of a virtual currency'),
        ('PricingCurrency-C-004-M', 'error', 'PricingCurrency', true, $$ "PricingCurrency" IS NULL $$, 'PricingCurrency must not be null'),
        ('PricingCurrencyEffectiveCost-C-003-M', 'error', 'PricingCurrencyEffectiveCost', true, $$ "PricingCurrencyEffectiveCost" IS NULL $$, 'PricingCurrencyEffectiveCost must not be null'),
        ('ServiceSubcategory-C-002-M', 'error', 'ServiceSubcategory', true, $$ "ServiceSubcategory" IS NULL $$, 'ServiceSubcategory must not be null'))
        AS special (rule, severity, focus_column, if_delivered, condition, message);
END;
COMMENT ON FUNCTION billing.focus_rules() IS
'Rules of FOCUS 1.2 that import_focus() checks on each row: rule: its id in the specification''s model, or column-required, -decimal, -time, -object, -allowed; severity: fatal (the load is refused), error or warning (recorded as a finding); focus_column; if_delivered: asked only of a delivery that has a value in that column somewhere, because FOCUS 1.0 does not know the column; condition: SQL over the FOCUS columns as text, "X number" for decimal column X as a number (null if it is none) and not_objects, a list of values that are no JSON objects; true where the rule is broken; message. Immutable.';

CREATE FUNCTION billing.focus_group_rules() RETURNS TABLE (rule pg_catalog.text, severity pg_catalog.text, focus_column pg_catalog.text, owner pg_catalog.text, within pg_catalog.text, message pg_catalog.text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT v.rule, v.severity, v.focus_column, v.owner, v.within,
           pg_catalog.concat(v.focus_column, CASE WHEN v.severity OPERATOR(pg_catalog.=) 'error' THEN ' must' ELSE ' should' END, ' be the same in all rows of one ', v.owner, ' and ', v.within)
      FROM (VALUES ('BillingAccountType-C-006-M', 'error', 'BillingAccountType', 'BillingAccountId', 'ProviderName'), ('BillingCurrency-C-005-M', 'error', 'BillingCurrency', 'InvoiceId', 'InvoiceIssuerName'),
                   ('CommitmentDiscountId-C-007-M', 'error', 'CommitmentDiscountType', 'CommitmentDiscountId', 'ProviderName'), ('CommitmentDiscountUnit-C-008-M', 'error', 'CommitmentDiscountUnit', 'CommitmentDiscountId', 'ProviderName'),
                   ('ResourceId-C-007-M', 'error', 'ResourceType', 'ResourceId', 'ProviderName'), ('ServiceName-C-005-C', 'error', 'ServiceCategory', 'ServiceName', 'ProviderName'),
                   ('ServiceName-C-008-C', 'warning', 'ServiceSubcategory', 'ServiceName', 'ProviderName'), ('SkuMeter-C-006-O', 'warning', 'SkuMeter', 'SkuId', 'ProviderName'),
                   ('SkuPriceId-C-008-M', 'error', 'SkuId', 'SkuPriceId', 'ProviderName'), ('SubAccountType-C-006-M', 'error', 'SubAccountType', 'SubAccountId', 'ProviderName'))
           AS v (rule, severity, focus_column, owner, within);
END;
COMMENT ON FUNCTION billing.focus_group_rules() IS
'Rules of FOCUS 1.2 that rows can only break together, which import_focus() checks on each delivery: in all rows with the same owner (a column) and the same within (another), focus_column has one value; rows where it is null do not count. rule, severity, message: as in focus_rules(). Immutable.';

CREATE FUNCTION billing.try_object(value pg_catalog.text) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(value::jsonb) = 'object' THEN value::jsonb END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.try_object(pg_catalog.text) IS 'The JSON object that the text spells; null if it spells none. Immutable.';

CREATE FUNCTION billing.decimal_pattern() RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$' $$;
COMMENT ON FUNCTION billing.decimal_pattern() IS 'Regular expression of the texts that are a decimal number in a FOCUS column: 10, -0.5, .5, 1.5E+3. Immutable.';
