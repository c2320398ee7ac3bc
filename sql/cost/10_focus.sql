-- What FOCUS (FinOps Open Cost and Usage Specification, version 1.2) asks of a row: its columns, and the rules a row can break.
--
-- Rules are data: a rule's condition is an SQL expression over r, the row as jsonb, that is true where the row breaks the rule.
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

CREATE FUNCTION billing.focus_rules() RETURNS TABLE (rule pg_catalog.text, severity pg_catalog.text, focus_column pg_catalog.text, condition pg_catalog.text, message pg_catalog.text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Without these a row has no place or no amount: the load is refused.
    SELECT pg_catalog.concat(c.name, '-required'), 'fatal', c.name, pg_catalog.format('NULLIF(r ->> %L, '''') IS NULL', c.name), pg_catalog.concat(c.name, ' must not be null')
      FROM billing.focus_columns() AS c
     WHERE c.name OPERATOR(pg_catalog.=) ANY ('{BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd}'::pg_catalog.text[])
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-required'), 'error', c.name, pg_catalog.format('NULLIF(r ->> %L, '''') IS NULL', c.name), pg_catalog.concat(c.name, ' must not be null')
      FROM billing.focus_columns() AS c
     WHERE c.required AND c.name OPERATOR(pg_catalog.<>) ALL ('{BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd}'::pg_catalog.text[])
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-decimal'), CASE WHEN c.name OPERATOR(pg_catalog.~~) '%Cost' THEN 'fatal' ELSE 'error' END, c.name,
           pg_catalog.format('r ->> %L !~ ''^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$''', c.name), pg_catalog.concat(c.name, ' must be a decimal number')
      FROM billing.focus_columns() AS c WHERE c.kind OPERATOR(pg_catalog.=) 'decimal'
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-time'), 'fatal', c.name,
           pg_catalog.format('r ->> %L !~ ''^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?)? ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?$''', c.name),
           pg_catalog.concat(c.name, ' must be an instant in ISO 8601, such as 2026-10-01T00:00:00Z')
      FROM billing.focus_columns() AS c WHERE c.kind OPERATOR(pg_catalog.=) 'time'
    UNION ALL
    SELECT pg_catalog.concat(c.name, '-allowed'), 'error', c.name, pg_catalog.format('r ->> %L <> ALL (%L::text[])', c.name, c.allowed),
           pg_catalog.concat(c.name, ' must be one of: ', pg_catalog.array_to_string(c.allowed, ', '))
      FROM billing.focus_columns() AS c WHERE c.allowed IS NOT NULL
    UNION ALL
    SELECT * FROM (VALUES
        ('BillingCurrency-C-003-M', 'fatal', 'BillingCurrency', $$ r ->> 'BillingCurrency' !~ '^[A-Z]{3}$' $$, 'BillingCurrency must be a code of ISO 4217'),
        ('ChargePeriod-order', 'error', 'ChargePeriodEnd', $$ r ->> 'ChargePeriodEnd' < r ->> 'ChargePeriodStart' $$, 'ChargePeriodEnd must not be before ChargePeriodStart'),
        ('ListUnitPrice-C-004-C', 'error', 'ListUnitPrice', $$ r ->> 'ChargeCategory' = 'Tax' AND r ? 'ListUnitPrice' $$, 'ListUnitPrice must be null when ChargeCategory is Tax'),
        ('ListUnitPrice-C-005-C', 'error', 'ListUnitPrice', $$ r ->> 'ChargeCategory' IN ('Usage', 'Purchase') AND r ->> 'ChargeClass' IS DISTINCT FROM 'Correction' AND NOT r ? 'ListUnitPrice' $$, 'ListUnitPrice must not be null for usage and purchases'),
        ('ListUnitPrice-C-008-M', 'error', 'ListUnitPrice', $$ r ->> 'ListUnitPrice' LIKE '-%' $$, 'ListUnitPrice must not be negative'),
        ('PricingQuantity-C-005-C', 'error', 'PricingQuantity', $$ r ->> 'ChargeCategory' IN ('Usage', 'Purchase') AND r ->> 'ChargeClass' IS DISTINCT FROM 'Correction' AND NOT r ? 'PricingQuantity' $$, 'PricingQuantity must not be null for usage and purchases'),
        ('PricingUnit-C-005-C', 'error', 'PricingUnit', $$ r ? 'PricingUnit' AND NOT r ? 'PricingQuantity' $$, 'PricingUnit must be null when PricingQuantity is null'),
        ('PricingUnit-C-006-C', 'error', 'PricingUnit', $$ r ? 'PricingQuantity' AND NOT r ? 'PricingUnit' $$, 'PricingUnit must not be null when PricingQuantity is not null'),
        ('PricingCategory-C-003-C', 'error', 'PricingCategory', $$ r ->> 'ChargeCategory' = 'Tax' AND r ? 'PricingCategory' $$, 'PricingCategory must be null when ChargeCategory is Tax'),
        ('PricingCategory-C-004-C', 'error', 'PricingCategory', $$ r ->> 'ChargeCategory' IN ('Usage', 'Purchase') AND r ->> 'ChargeClass' IS DISTINCT FROM 'Correction' AND NOT r ? 'PricingCategory' $$, 'PricingCategory must not be null for usage and purchases'),
        ('SkuId-C-005-C', 'error', 'SkuId', $$ r ->> 'ChargeCategory' IN ('Usage', 'Purchase') AND r ->> 'ChargeClass' IS DISTINCT FROM 'Correction' AND NOT r ? 'SkuId' $$, 'SkuId must not be null for usage and purchases'),
        ('SkuPriceId-C-004-C', 'error', 'SkuPriceId', $$ r ->> 'ChargeCategory' = 'Tax' AND r ? 'SkuPriceId' $$, 'SkuPriceId must be null when ChargeCategory is Tax'),
        ('SkuPriceId-C-005-C', 'error', 'SkuPriceId', $$ r ->> 'ChargeCategory' IN ('Usage', 'Purchase') AND r ->> 'ChargeClass' IS DISTINCT FROM 'Correction' AND NOT r ? 'SkuPriceId' $$, 'SkuPriceId must not be null for usage and purchases'),
        ('ConsumedQuantity-C-004-C', 'error', 'ConsumedQuantity', $$ r ? 'ConsumedQuantity' AND (r ->> 'ChargeCategory' <> 'Usage' OR r ->> 'CommitmentDiscountStatus' = 'Unused') $$, 'ConsumedQuantity must be null for what is no usage and for unused commitments'),
        ('ConsumedUnit-C-006-C', 'error', 'ConsumedUnit', $$ r ? 'ConsumedQuantity' AND NOT r ? 'ConsumedUnit' $$, 'ConsumedUnit must not be null when ConsumedQuantity is not null'),
        ('ResourceType-C-005-C', 'error', 'ResourceType', $$ r ? 'ResourceId' AND NOT r ? 'ResourceType' $$, 'ResourceType must not be null when ResourceId is not null'),
        ('RegionName-C-005-C', 'error', 'RegionName', $$ r ? 'RegionId' AND NOT r ? 'RegionName' $$, 'RegionName must not be null when RegionId is not null'),
        ('SubAccountName-C-005-C', 'error', 'SubAccountName', $$ r ? 'SubAccountId' AND NOT r ? 'SubAccountName' $$, 'SubAccountName must not be null when SubAccountId is not null'),
        ('CommitmentDiscountCategory-C-004-C', 'error', 'CommitmentDiscountCategory', $$ r ? 'CommitmentDiscountId' AND NOT r ? 'CommitmentDiscountCategory' $$, 'CommitmentDiscountCategory must not be null when CommitmentDiscountId is not null'),
        ('CommitmentDiscountType-C-005-C', 'error', 'CommitmentDiscountType', $$ r ? 'CommitmentDiscountId' AND NOT r ? 'CommitmentDiscountType' $$, 'CommitmentDiscountType must not be null when CommitmentDiscountId is not null'),
        ('CommitmentDiscountStatus-C-003-C', 'error', 'CommitmentDiscountStatus', $$ r ? 'CommitmentDiscountStatus' AND NOT r ? 'CommitmentDiscountId' $$, 'CommitmentDiscountStatus must be null when CommitmentDiscountId is null'),
        ('CommitmentDiscountStatus-C-004-C', 'error', 'CommitmentDiscountStatus', $$ r ->> 'ChargeCategory' = 'Usage' AND r ? 'CommitmentDiscountId' AND NOT r ? 'CommitmentDiscountStatus' $$, 'CommitmentDiscountStatus must not be null for usage under a commitment'),
        ('CommitmentDiscountUnit-C-006-C', 'error', 'CommitmentDiscountUnit', $$ r ? 'CommitmentDiscountQuantity' AND NOT r ? 'CommitmentDiscountUnit' $$, 'CommitmentDiscountUnit must not be null when CommitmentDiscountQuantity is not null'),
        ('CapacityReservationStatus-C-004-C', 'error', 'CapacityReservationStatus', $$ r ->> 'ChargeCategory' = 'Usage' AND r ? 'CapacityReservationId' AND NOT r ? 'CapacityReservationStatus' $$, 'CapacityReservationStatus must not be null for usage under a reservation'),
        ('Tags-C-001-M', 'error', 'Tags', $$ billing.try_object(r -> 'Tags') IS NULL AND r ? 'Tags' $$, 'Tags must be a JSON object'))
        AS special (rule, severity, focus_column, condition, message);
END;
COMMENT ON FUNCTION billing.focus_rules() IS
'Rules of FOCUS 1.2 that import_focus() checks on each row: rule: its id in the specification''s model, or column-required, -decimal, -time, -allowed; severity: fatal (the load is refused) or error (recorded as a finding); focus_column; condition: SQL over r, the row as jsonb, true where the rule is broken; message. Immutable.';

CREATE FUNCTION billing.try_object(value pg_catalog.jsonb) RETURNS pg_catalog.jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := (value #>> '{}')::jsonb;
    END IF;
    RETURN CASE WHEN jsonb_typeof(value) = 'object' THEN value END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.try_object(pg_catalog.jsonb) IS 'The JSON object that the value is, or that its text spells; null if it is none. Immutable.';
