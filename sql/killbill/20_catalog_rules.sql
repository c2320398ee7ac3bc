-- Our own copy of the rules that a Kill Bill catalog must keep, so that a catalog is judged before it is sent: servers of 0.22 have no
-- route for it and answer an upload that breaks a rule with one sentence for all of them (400, code 2080).

CREATE FUNCTION billing.killbill_name(key text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN n ~ '^[A-Za-z_]' THEN n ELSE '_' || n END FROM regexp_replace(key, '[^A-Za-z0-9._-]', '-', 'g') AS n $$;
COMMENT ON FUNCTION billing.killbill_name(text) IS 'A key as a name in a catalog: letters, digits and ._- only, a letter or _ first; others become a hyphen. Immutable.';

CREATE FUNCTION billing.killbill_check_names(version xml) RETURNS TABLE (place text, problem text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
    WITH name AS (
        SELECT split_part(n.kind, ' ', 1) AS kind, n.name
          FROM xmltable('/*/products/product | /*/plans/plan | /*/units/unit | /*/priceLists/* | /*/plans/plan//usage' PASSING version
                        COLUMNS kind text PATH 'name()', name text PATH '@name') AS n
    )
    -- Names are ids of the document: products, plans, units, usage sections and price lists share them.
    SELECT concat_ws(' ', string_agg(DISTINCT n.kind, ' and ' ORDER BY n.kind), n.name), 'the name is there twice' FROM name AS n WHERE n.name <> '' GROUP BY n.name HAVING count(*) > 1
     UNION ALL
    SELECT concat_ws(' ', n.kind, left(n.name, 60)), CASE WHEN coalesce(n.name, '') = '' THEN 'has no name' WHEN char_length(n.name) > 255 THEN 'the name has more than 255 characters'
                                                 ELSE 'a name has letters, digits and ._- only, and begins with a letter or _' END
      FROM name AS n WHERE coalesce(n.name, '') = '' OR char_length(n.name) > 255 OR n.name !~ '^[[:alpha:]_][[:alnum:]._-]*$'
     UNION ALL
    SELECT 'unit ' || u.unit, 'is used by plan ' || u.plan || ', but not declared in units'
      FROM xmltable('/*/plans/plan//tieredBlock | /*/plans/plan//limit' PASSING version
                    COLUMNS unit text PATH 'normalize-space(unit)', plan text PATH 'ancestor::plan/@name') AS u
     WHERE NOT EXISTS (SELECT FROM name AS n WHERE n.kind = 'unit' AND n.name = u.unit)
     UNION ALL
    SELECT 'plan ' || p.plan, format('is of product "%s", which is not there', p.product)
      FROM xmltable('/*/plans/plan' PASSING version COLUMNS plan text PATH '@name', product text PATH 'normalize-space(product)') AS p
     WHERE NOT EXISTS (SELECT FROM name AS n WHERE n.kind = 'product' AND n.name = p.product)
     UNION ALL
    SELECT 'price list ' || l.list, format('names plan "%s", which is not there', l.plan)
      FROM xmltable('/*/priceLists/*/plans/plan' PASSING version COLUMNS list text PATH '../../@name', plan text PATH 'normalize-space(.)') AS l
     WHERE NOT EXISTS (SELECT FROM name AS n WHERE n.kind = 'plan' AND n.name = l.plan)
     UNION ALL
    SELECT 'product ' || a.product, format('offers add-on "%s", which is not there', a.addon)
      FROM xmltable('/*/products/product/available/addonProduct | /*/products/product/included/addonProduct' PASSING version COLUMNS product text PATH '../../@name', addon text PATH 'normalize-space(.)') AS a
     WHERE NOT EXISTS (SELECT FROM name AS n WHERE n.kind = 'product' AND n.name = a.addon)
$$;
COMMENT ON FUNCTION billing.killbill_check_names(xml) IS 'Names of a catalog version that are missing, double, too long or lead nowhere. Behind killbill_check_catalog(). Immutable.';

CREATE FUNCTION billing.killbill_check_prices(version xml) RETURNS TABLE (place text, problem text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'plan ' || p.plan, CASE WHEN p.value !~ '^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$' THEN format('"%s" is no price', p.value)
                                   WHEN p.value::numeric >= 1000000 THEN format('a price of %s is more than an invoice item can hold', p.value)
                                   ELSE format('currency "%s" is not one of the catalog', p.currency) END
      FROM xmltable('/*/plans/plan//price' PASSING version
                    COLUMNS plan text PATH 'ancestor::plan/@name', currency text PATH 'normalize-space(currency)', value text PATH 'normalize-space(value)') AS p
     WHERE p.value !~ '^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$' OR p.value::numeric >= 1000000
        OR NOT p.currency IN (SELECT c.currency FROM xmltable('/*/currencies/currency' PASSING version COLUMNS currency text PATH 'normalize-space(.)') AS c)
     UNION ALL
    SELECT 'currency ' || c.currency, 'is no currency of ISO 4217'
      FROM xmltable('/*/currencies/currency' PASSING version COLUMNS currency text PATH 'normalize-space(.)') AS c
     WHERE c.currency <> 'BTC' AND c.currency NOT IN (SELECT x.code FROM billing.currencies() AS x)
     UNION ALL
    SELECT format('plan %s, unit %s', b.plan, b.unit), CASE WHEN b.size !~ '^[0-9]+(\.[0-9]+)?$' OR b.size::numeric <= 0 THEN format('a block of size "%s"', b.size)
                                                           WHEN b.size::numeric % 1 <> 0 THEN format('a block of size %s, of which servers of 0.22 keep the whole part and stop invoicing when that is 0', b.size) ELSE format('"%s" is no number of blocks; without end is -1', b.max) END
      FROM xmltable('/*/plans/plan//tieredBlock' PASSING version
                    COLUMNS plan text PATH 'ancestor::plan/@name', unit text PATH 'normalize-space(unit)', size text PATH 'normalize-space(size)', max text PATH 'normalize-space(max)') AS b
     WHERE b.size !~ '^[0-9]+(\.[0-9]+)?$' OR b.size::numeric <= 0 OR b.size::numeric % 1 <> 0 OR b.max !~ '^(-1(\.0+)?|[0-9]+(\.[0-9]+)?)?$'
$$;
COMMENT ON FUNCTION billing.killbill_check_prices(xml) IS 'Prices, currencies and blocks of a catalog version that the server would refuse. Behind killbill_check_catalog(). Immutable.';

CREATE FUNCTION billing.killbill_check_phases(version xml) RETURNS TABLE (place text, problem text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
    WITH phase AS (
        SELECT f.* FROM xmltable('/*/plans/plan/initialPhases/phase | /*/plans/plan/finalPhase' PASSING version
                    COLUMNS plan text PATH 'ancestor::plan/@name', type text PATH '@type', element text PATH 'name()', unit text PATH 'normalize-space(duration/unit)',
                            number text PATH 'normalize-space(duration/number)', parts int PATH 'count(fixed | recurring | usages/usage)', period text PATH 'normalize-space(recurring/billingPeriod)',
                            recurring boolean PATH 'boolean(recurring)') AS f
    ), usage AS (
        SELECT u.* FROM xmltable('/*/plans/plan//usage' PASSING version
                    COLUMNS plan text PATH 'ancestor::plan/@name', usage text PATH '@name', mode text PATH '@billingMode', type text PATH '@usageType', policy text PATH '@tierBlockPolicy',
                            period text PATH 'normalize-space(billingPeriod)', tiers int PATH 'count(tiers/tier)', blocks int PATH 'count(tiers/tier/blocks/tieredBlock)', limits int PATH 'count(tiers/tier/limits/limit)') AS u
    )
    SELECT concat_ws(' ', 'plan', f.plan, 'phase', f.type), CASE
               WHEN f.type NOT IN ('TRIAL', 'DISCOUNT', 'FIXEDTERM', 'EVERGREEN') OR f.type IS NULL THEN 'is of a type that does not exist'
               WHEN f.parts = 0 THEN 'has neither a fixed nor a recurring price nor usage'
               WHEN f.element = 'phase' AND f.unit = 'UNLIMITED' THEN 'lasts without end, but is not the last one'
               WHEN f.unit NOT IN ('DAYS', 'WEEKS', 'MONTHS', 'YEARS', 'UNLIMITED') THEN format('lasts "%s"', f.unit)
               WHEN f.unit <> 'UNLIMITED' AND f.number !~ '^[1-9][0-9]*$' THEN 'does not say how long it lasts'
               ELSE 'has a recurring price without a billing period' END
      FROM phase AS f
     WHERE f.type IS NULL OR f.type NOT IN ('TRIAL', 'DISCOUNT', 'FIXEDTERM', 'EVERGREEN') OR f.parts = 0 OR f.element = 'phase' AND f.unit = 'UNLIMITED'
        OR f.unit NOT IN ('DAYS', 'WEEKS', 'MONTHS', 'YEARS', 'UNLIMITED') OR f.unit <> 'UNLIMITED' AND f.number !~ '^[1-9][0-9]*$' OR f.recurring AND f.period IN ('', 'NO_BILLING_PERIOD')
     UNION ALL
    SELECT concat_ws(' ', 'plan', f.plan, 'phase', f.type), 'is there twice' FROM phase AS f GROUP BY f.plan, f.type HAVING count(*) > 1
     UNION ALL
    SELECT concat_ws(' ', 'plan', u.plan, 'usage', u.usage), CASE
               WHEN u.mode IS DISTINCT FROM 'IN_ARREAR' THEN 'is not IN_ARREAR, and nothing else is billed'
               WHEN u.type NOT IN ('CONSUMABLE', 'CAPACITY') OR u.type IS NULL THEN 'is neither CONSUMABLE nor CAPACITY'
               WHEN u.policy NOT IN ('ALL_TIERS', 'TOP_TIER') THEN format('has tierBlockPolicy "%s"', u.policy)
               WHEN u.period = '' THEN 'has no billing period'
               WHEN u.tiers = 0 THEN 'has no tiers'
               WHEN u.type = 'CONSUMABLE' THEN 'is CONSUMABLE, but has no blocks' ELSE 'is CAPACITY, but has no limits' END
      FROM usage AS u
     WHERE u.mode IS DISTINCT FROM 'IN_ARREAR' OR u.type IS NULL OR u.type NOT IN ('CONSUMABLE', 'CAPACITY') OR u.policy NOT IN ('ALL_TIERS', 'TOP_TIER') OR u.period = '' OR u.tiers = 0
        OR u.type = 'CONSUMABLE' AND u.blocks = 0 OR u.type = 'CAPACITY' AND u.limits = 0
     UNION ALL
    -- Found by running a server: it accepts such a catalog and fails at the first invoice.
    SELECT concat_ws(' ', 'plan', t.plan, 'usage', t.usage), 'has a tier that does not price every unit, and fails when it is invoiced'
      FROM xmltable('/*/plans/plan//usage/tiers/tier' PASSING version
                    COLUMNS plan text PATH 'ancestor::plan/@name', usage text PATH '../../@name', units int PATH 'count(blocks/tieredBlock | limits/limit)') AS t
     GROUP BY t.plan, t.usage HAVING min(t.units) <> max(t.units) AND min(t.units) > 0
$$;
COMMENT ON FUNCTION billing.killbill_check_phases(xml) IS 'Phases and usage sections of a catalog version that the server would refuse or never bill. Behind killbill_check_catalog(). Immutable.';

CREATE FUNCTION billing.killbill_check_catalog(catalog xml) RETURNS TABLE (effective_at timestamptz, place text, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.effective_at, p.place, p.problem
      FROM billing.killbill_catalog_versions(catalog) AS v
     CROSS JOIN LATERAL (
        SELECT * FROM billing.killbill_check_names(v.version)
         UNION ALL SELECT * FROM billing.killbill_check_prices(v.version)
         UNION ALL SELECT * FROM billing.killbill_check_phases(v.version)
         UNION ALL SELECT 'catalog', 'has an effectiveDate that is no instant' WHERE v.effective_at IS NULL
         UNION ALL SELECT 'catalog', 'has no name' WHERE v.catalog_name = ''
         UNION ALL SELECT 'catalog', 'has no default price list' WHERE NOT xpath_exists('/*/priceLists/defaultPriceList[@name="DEFAULT"]', v.version)
         UNION ALL SELECT 'catalog', 'has no currency' WHERE NOT xpath_exists('/*/currencies/currency', v.version)
         UNION ALL SELECT 'plan ' || f.plan, 'begins to hold for existing subscriptions before its version does'
                     FROM billing.killbill_catalog_phases(v.version) AS f WHERE f.final AND billing.killbill_instant(f.existing_from) < v.effective_at
         UNION ALL SELECT 'plan ' || f.plan, format('effectiveDateForExistingSubscriptions "%s" is no instant', f.existing_from)
                     FROM billing.killbill_catalog_phases(v.version) AS f WHERE f.final AND f.existing_from IS NOT NULL AND billing.killbill_instant(f.existing_from) IS NULL) AS p
     UNION ALL
    SELECT v.effective_at, 'catalog', 'two versions take effect at the same time' FROM billing.killbill_catalog_versions(catalog) AS v GROUP BY v.effective_at HAVING count(*) > 1
     UNION ALL
    SELECT max(v.effective_at), 'catalog', 'its versions have different names' FROM billing.killbill_catalog_versions(catalog) AS v HAVING count(DISTINCT v.catalog_name) > 1
$$;
COMMENT ON FUNCTION billing.killbill_check_catalog(xml) IS
'What a Kill Bill server would refuse in a catalog, or accept and never bill; no row = nothing. place names the plan, phase, usage, unit or price list. Errors: 22023 when it is no catalog. Stable.';
