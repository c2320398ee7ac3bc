-- Reading a Kill Bill catalog: its versions, and everything in them that has a price, as rows.
--
-- The XML is read, never the JSON, which leaves out what usage is called and how its tiers work.  What the server shows is not what
-- was uploaded: it wraps the versions in <catalogs> and spells defaults out; both forms are read.

CREATE FUNCTION billing.killbill_instant(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    instant timestamptz;
BEGIN
    -- A time without a zone is UTC for the server.  Words such as today and infinity are none.
    IF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        instant := value::timestamptz;
    END IF;
    RETURN instant;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.killbill_instant(text) IS 'The instant that a text of a catalog names; null when it names none. Immutable.';

CREATE FUNCTION billing.killbill_catalog_versions(catalog xml)
    RETURNS TABLE (catalog_name text, effective_at timestamptz, billing_mode text, version xml)
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF catalog IS NOT NULL AND NOT xpath_exists('/catalog | /catalogs/versions/version', catalog) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'this is no Kill Bill catalog: it has neither a catalog nor a catalogs element',
            HINT = 'Take what GET /1.0/kb/catalog/xml answers, or what was uploaded.';
    END IF;
    RETURN QUERY
        SELECT v.catalog_name, billing.killbill_instant(v.effective_date) AS starts,
               coalesce(NULLIF(v.billing_mode, ''), 'IN_ADVANCE'), v.version
          FROM xmltable('/catalog | /catalogs/versions/version' PASSING catalog
                        COLUMNS catalog_name text PATH 'normalize-space(catalogName)', effective_date text PATH 'normalize-space(effectiveDate)',
                                billing_mode text PATH 'normalize-space(recurringBillingMode)', version xml PATH '.') AS v
         ORDER BY starts;
END $$;
COMMENT ON FUNCTION billing.killbill_catalog_versions(xml) IS
'The versions of a Kill Bill catalog in the order in which they take effect; a bare <catalog> is one version. billing_mode: when recurring prices fall due unless a plan says otherwise. effective_at is null where effectiveDate is no instant. Errors: 22023 when it is no catalog. Stable.';

CREATE FUNCTION billing.killbill_unit_section(section jsonb, unit text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT section || jsonb_build_object('tiers',
        (SELECT coalesce(jsonb_agg(t.value || jsonb_build_object(
                    'blocks', (SELECT coalesce(jsonb_agg(b.value ORDER BY b.no), '[]') FROM jsonb_array_elements(t.value -> 'blocks') WITH ORDINALITY AS b(value, no) WHERE b.value ->> 'unit' = unit),
                    'limits', (SELECT coalesce(jsonb_agg(l.value ORDER BY l.no), '[]') FROM jsonb_array_elements(t.value -> 'limits') WITH ORDINALITY AS l(value, no) WHERE l.value ->> 'unit' = unit))
                 ORDER BY t.no), '[]')
           FROM jsonb_array_elements(section -> 'tiers') WITH ORDINALITY AS t(value, no)
          WHERE jsonb_path_exists(t.value, '$.blocks[*] ? (@.unit == $unit)', jsonb_build_object('unit', unit))
             OR jsonb_path_exists(t.value, '$.limits[*] ? (@.unit == $unit)', jsonb_build_object('unit', unit))))
$$;
COMMENT ON FUNCTION billing.killbill_unit_section(jsonb, text) IS
'What a usage section of a Kill Bill catalog says of one of its units; the server fills the tiers of each unit by itself. Immutable.';

CREATE FUNCTION billing.killbill_section_units(section jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT u #>> '{}' ORDER BY u #>> '{}'), '{}')
      FROM (SELECT jsonb_path_query(section, '$.tiers[*].blocks[*].unit') UNION ALL SELECT jsonb_path_query(section, '$.tiers[*].limits[*].unit')) AS x(u)
$$;
COMMENT ON FUNCTION billing.killbill_section_units(jsonb) IS 'The units that a usage section of a Kill Bill catalog prices, in order. Immutable.';

CREATE FUNCTION billing.killbill_try_tariff(section jsonb, currency text, OUT tariff billing.tariff, OUT problem text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    tariff := billing.tariff_from('killbill', section, currency);
EXCEPTION WHEN data_exception OR feature_not_supported OR null_value_not_allowed THEN
    problem := SQLERRM;
END $$;
COMMENT ON FUNCTION billing.killbill_try_tariff(jsonb, text) IS 'The tariff of a usage section in a currency, or why there is none. Immutable.';

CREATE FUNCTION billing.killbill_try_amount(kind text, prices jsonb, currency text, OUT amount numeric, OUT problem text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    why   text;
    given CONSTANT jsonb := jsonb_path_query_array(prices, '$[*] ? (@.currency == $c)', jsonb_build_object('c', currency));
BEGIN
    IF given = '[]' THEN
        problem := CASE WHEN prices <> '[]' THEN format('the %s price has no value in %s', kind, currency) END;
    ELSIF jsonb_array_length(given) > 1 THEN
        problem := format('the %s price has %s values in %s', kind, jsonb_array_length(given), currency);
    ELSIF coalesce(given #>> '{0,value}', '') !~ '^[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$' THEN
        problem := format('the %s price in %s is "%s", which is no amount', kind, currency, given #>> '{0,value}');
    ELSE
        -- Whatever a price list of ours would refuse is said here.
        PERFORM jsonb_build_object('model', 'per_unit', 'currency', currency, 'unit_price', given #>> '{0,value}')::billing.tariff;
        amount := (given #>> '{0,value}')::numeric;
    END IF;
EXCEPTION WHEN data_exception OR feature_not_supported THEN
    GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    problem := concat_ws(': ', format('the %s price in %s', kind, currency), SQLERRM, NULLIF(why, ''));
END $$;
COMMENT ON FUNCTION billing.killbill_try_amount(text, jsonb, text) IS 'The amount of a fixed or recurring price in a currency, null where there is none, or why it is none. Immutable.';

CREATE FUNCTION billing.killbill_catalog_phases(version xml)
    RETURNS TABLE (plan text, product text, category text, billing_mode text, existing_from text, phase_no int, phase text, phase_type text, final boolean, duration interval, content xml)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(p.plan, ''), p.product, c.category, NULLIF(p.billing_mode, ''), NULLIF(p.existing_from, ''), f.no::int, concat_ws('-', p.plan, lower(f.type)), f.type, f.final,
           CASE WHEN f.number ~ '^[0-9]{1,4}$' THEN
               CASE f.unit WHEN 'DAYS' THEN make_interval(days => f.number::int) WHEN 'WEEKS' THEN make_interval(weeks => f.number::int)
                           WHEN 'MONTHS' THEN make_interval(months => f.number::int) WHEN 'YEARS' THEN make_interval(years => f.number::int) END END,
           f.content
      FROM xmltable('/*/plans/plan' PASSING version
                    COLUMNS plan text PATH '@name', product text PATH 'normalize-space(product)', billing_mode text PATH 'normalize-space(recurringBillingMode)',
                            existing_from text PATH 'normalize-space(effectiveDateForExistingSubscriptions)', plan_element xml PATH '.') AS p
     CROSS JOIN LATERAL xmltable('/plan/initialPhases/phase | /plan/finalPhase' PASSING p.plan_element
                    COLUMNS no FOR ORDINALITY, type text PATH '@type', final boolean PATH 'name() = "finalPhase"', unit text PATH 'normalize-space(duration/unit)',
                            number text PATH 'normalize-space(duration/number)', content xml PATH '.') AS f
      LEFT JOIN xmltable('/*/products/product' PASSING version COLUMNS product text PATH '@name', category text PATH 'normalize-space(category)') AS c
        ON c.product = p.product
$$;
COMMENT ON FUNCTION billing.killbill_catalog_phases(xml) IS
'The phases of the plans of one catalog version. phase: as the server names it, PLAN-TYPE in lower case. duration: null = without end, or not said. existing_from: when the version begins to hold for existing subscriptions. Immutable.';

CREATE FUNCTION billing.killbill_phase_prices(content xml, currency text)
    RETURNS TABLE (kind text, name text, unit text, units text[], usage_type text, billing_mode text, billing_period text, tariff billing.tariff, amount numeric, section jsonb, problem text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    u record;
BEGIN
    RETURN QUERY
        SELECT p.kind, NULL::text, NULL::text, NULL::text[], NULL::text, NULL::text, NULLIF(p.billing_period, ''), NULL::billing.tariff,
               x.amount, NULL::jsonb, x.problem
          FROM xmltable('/*/fixed | /*/recurring' PASSING content
                        COLUMNS kind text PATH 'name()', billing_period text PATH 'normalize-space(billingPeriod)', prices xml PATH 'fixedPrice | recurringPrice') AS p
         CROSS JOIN LATERAL billing.killbill_try_amount(p.kind, billing.import_killbill_prices(p.prices), currency) AS x;
    FOR u IN
        SELECT s.name, s.type, s.mode, s.period, e.section, billing.killbill_section_units(e.section) AS units
          FROM xmltable('/*/usages/usage' PASSING content
                        COLUMNS name text PATH '@name', type text PATH '@usageType', mode text PATH '@billingMode', period text PATH 'normalize-space(billingPeriod)', element xml PATH '.') AS s
         CROSS JOIN LATERAL (SELECT billing.import_killbill_element(s.element) AS section) AS e
    LOOP
        RETURN QUERY
            SELECT 'usage'::text, u.name, x.unit, u.units, u.type, u.mode, u.period, t.tariff, NULL::numeric, u.section,
                   CASE WHEN u.type = 'CAPACITY' AND cardinality(u.units) > 1 THEN 'one capacity price for several units: ' || array_to_string(u.units, ', ')
                        ELSE t.problem END
              FROM unnest(CASE WHEN u.units = '{}' THEN '{NULL}'::text[] ELSE u.units END) AS x(unit)
             CROSS JOIN LATERAL billing.killbill_try_tariff(CASE WHEN x.unit IS NULL THEN u.section ELSE billing.killbill_unit_section(u.section, x.unit) END, currency) AS t;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_phase_prices(xml, text) IS
'What a phase of a plan costs in a currency: kind fixed and recurring with an amount (null = no price), kind usage with a tariff a unit and, in section, the whole usage section as JSON. problem: why it cannot be expressed. Immutable.';

CREATE FUNCTION billing.killbill_catalog_prices(catalog xml)
    RETURNS TABLE (catalog_name text, effective_at timestamptz, price_list text, currency text, plan text, product text, category text, phase text, phase_type text, phase_no int,
                   final boolean, duration interval, existing_from timestamptz, kind text, usage_name text, unit text, units text[], usage_type text, in_advance boolean, billing_period text,
                   tariff billing.tariff, amount numeric, section jsonb, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    -- Each part of a version is read once: a document that is parsed anew for each price takes longer than everything else.
    WITH version AS MATERIALIZED (
        SELECT v.*, row_number() OVER () AS version_no FROM billing.killbill_catalog_versions(catalog) AS v WHERE v.effective_at IS NOT NULL
    ), listed AS MATERIALIZED (
        SELECT v.version_no, l.plan, l.price_list
          FROM version AS v
         CROSS JOIN LATERAL xmltable('/*/priceLists/defaultPriceList/plans/plan | /*/priceLists/childPriceList/plans/plan' PASSING v.version
                                     COLUMNS plan text PATH 'normalize-space(.)', price_list text PATH '../../@name') AS l
    ), currency_here AS MATERIALIZED (
        SELECT v.version_no, c.currency FROM version AS v CROSS JOIN LATERAL xmltable('/*/currencies/currency' PASSING v.version COLUMNS currency text PATH 'normalize-space(.)') AS c
    ), phase_here AS MATERIALIZED (
        SELECT v.version_no, v.catalog_name, v.effective_at, v.billing_mode AS mode_of_all, f.* FROM version AS v CROSS JOIN LATERAL billing.killbill_catalog_phases(v.version) AS f
    )
    SELECT f.catalog_name, f.effective_at, coalesce(l.price_list, ''), c.currency, f.plan, f.product, f.category, f.phase, f.phase_type, f.phase_no,
           f.final, f.duration, billing.killbill_instant(f.existing_from), p.kind, p.name, p.unit, p.units, p.usage_type,
           coalesce(p.billing_mode, f.billing_mode, f.mode_of_all) = 'IN_ADVANCE', coalesce(p.billing_period, CASE WHEN p.kind = 'fixed' THEN 'ONCE' END),
           p.tariff, p.amount, p.section,
           CASE WHEN p.problem IS NOT NULL THEN p.problem
                WHEN f.plan = '' THEN 'the plan has no name'
                WHEN f.phase_type IS NULL THEN 'the phase has no type'
                WHEN NOT f.final AND f.duration IS NULL THEN 'the phase does not say how long it lasts'
                WHEN f.existing_from IS NOT NULL AND billing.killbill_instant(f.existing_from) IS NULL THEN format('effectiveDateForExistingSubscriptions "%s" is no instant', f.existing_from)
                WHEN p.kind = 'usage' AND p.billing_period IS DISTINCT FROM 'MONTHLY' THEN format('usage is counted over %s', p.billing_period)
                WHEN p.kind = 'recurring' AND p.amount <> 0 AND p.billing_period <> 'MONTHLY' THEN format('the recurring price is for %s', p.billing_period)
                WHEN p.kind = 'fixed' AND p.amount <> 0 THEN format('a fixed price of %s %s that is owed once', p.amount, c.currency) END
      FROM phase_here AS f
      JOIN currency_here AS c USING (version_no)
     CROSS JOIN LATERAL billing.killbill_phase_prices(f.content, c.currency) AS p
      LEFT JOIN listed AS l ON l.version_no = f.version_no AND l.plan = f.plan
$$;
COMMENT ON FUNCTION billing.killbill_catalog_prices(xml) IS
'Everything that has a price in a Kill Bill catalog, one row a version, price list, currency, phase and price; usage sections give one row a unit, whose tariffs add up to the section''s. price_list: of the catalog, empty when the plan is in none. kind: fixed, recurring or usage. amount: of fixed and recurring prices, null = none. problem: why a ledger''s price list cannot express it, null = it can. Errors: 22023 when it is no catalog. Stable.';

CREATE FUNCTION billing.killbill_price_items(catalog xml)
    RETURNS TABLE (effective_at timestamptz, price_list text, item text, plan text, unit text, currency text, price_per_month numeric, price_per_hour numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.effective_at, p.price_list, p.product, p.plan, p.unit, p.currency, x.month, round(coalesce(x.hour, x.month / 30 / 24), 15)
      FROM billing.killbill_catalog_prices(catalog) AS p
     CROSS JOIN LATERAL (SELECT p.tariff::jsonb #> '{tiers,0,blocks,0}' AS block) AS b
     CROSS JOIN LATERAL (
        SELECT CASE WHEN p.kind = 'recurring' AND p.billing_period = 'MONTHLY' THEN p.amount END AS month,
               CASE WHEN p.unit ~* '(^|[-_ ])hours?$|^hours?[-_ ]' THEN (b.block ->> 'price')::numeric / (b.block ->> 'size')::numeric
                    WHEN p.unit ~* '(^|[-_ ])minutes?$|^minutes?[-_ ]' THEN (b.block ->> 'price')::numeric / (b.block ->> 'size')::numeric * 60
                    WHEN p.unit ~* '(^|[-_ ])seconds?$|^seconds?[-_ ]' THEN (b.block ->> 'price')::numeric / (b.block ->> 'size')::numeric * 3600 END AS hour) AS x
     WHERE p.final AND (p.kind = 'recurring' AND x.month IS NOT NULL OR p.kind = 'usage' AND x.hour IS NOT NULL)
$$;
COMMENT ON FUNCTION billing.killbill_price_items(catalog xml) IS
'The items of a catalog as a list of monthly and hourly prices: item is the product; a recurring price is per month, and per hour by NodeConductor''s convention of 30 days of 24 hours; usage in a unit of hours, minutes or seconds gives the hourly price of its first block. Stable.';
