-- Mode A: usage is told to Kill Bill, which makes the invoices.
--
-- What is told is the difference between usage as it counts now and what was told before, by subscription, unit and day.  Amounts are
-- whole numbers: inside a charge period the running total is rounded up and its differences are told, so that the period's total is
-- the exact one rounded up.  That changes no bill where blocks and limits are whole, because the server rounds blocks up itself.
--
-- The server takes usage of the running period and of the one before.  What it would refuse, lose or choke on becomes money instead,
-- rated by the catalog's own tariff before and after: less usage in a closed period a credit, more usage in an older one a charge.

CREATE FUNCTION billing.killbill_units(endpoint text)
    RETURNS TABLE (item_id int, plan text, usage_name text, unit text, usage_type text, scale numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT DISTINCT p.item_id, p.plan, p.usage_name, p.unit, p.usage_type, 1::numeric
      FROM killbill_price AS p
     WHERE p.endpoint = killbill_units.endpoint AND p.kind = 'usage' AND p.item_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM killbill_unit AS u WHERE u.endpoint = p.endpoint AND u.item_id = p.item_id AND u.plan = p.plan)
     UNION
    SELECT u.item_id, u.plan, p.usage_name, u.unit, p.usage_type, u.scale
      FROM killbill_unit AS u
      LEFT JOIN LATERAL (SELECT x.usage_name, x.usage_type FROM killbill_price AS x
                          WHERE x.endpoint = u.endpoint AND x.plan = u.plan AND x.unit = u.unit ORDER BY x.effective_at DESC, x.price_no LIMIT 1) AS p ON true
     WHERE u.endpoint = killbill_units.endpoint
$$;
COMMENT ON FUNCTION billing.killbill_units(text) IS 'Which meters stand for which unit of which plan on an endpoint, and how many units of the catalog one unit of the meter is. Stable.';

CREATE FUNCTION billing.killbill_units_of_phases(endpoint text) RETURNS TABLE (plan text, phase text, unit text, named text, usage_name text, usage_type text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT DISTINCT ON (p.plan, p.phase, p.unit, u.usage_name) p.plan, p.phase, p.unit, u.usage_name, p.usage_name, p.usage_type
      FROM (SELECT DISTINCT x.plan, x.unit, x.usage_name, x.usage_type FROM killbill_units(killbill_units_of_phases.endpoint) AS x) AS u
      JOIN killbill_price AS p ON p.endpoint = killbill_units_of_phases.endpoint AND p.plan = u.plan AND p.unit = u.unit AND p.kind = 'usage'
     ORDER BY p.plan, p.phase, p.unit, u.usage_name, p.usage_name = u.usage_name DESC NULLS LAST, p.usage_type = u.usage_type DESC NULLS LAST, p.effective_at DESC, p.price_no
$$;
COMMENT ON FUNCTION billing.killbill_units_of_phases(text) IS
'Which usage section prices a unit in each phase of a plan: the server is told the unit alone, and bills it by the section of the phase. named: the section that the meter names, of whatever phase. Stable.';

CREATE FUNCTION billing.killbill_set_unit(endpoint text, meter text, plan text, unit text, scale numeric DEFAULT 1) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_set_unit.endpoint), killbill_check_text('the unit', killbill_set_unit.unit, 255);
    IF killbill_set_unit.scale IS NULL OR killbill_set_unit.scale <= 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('scale must be above 0, not %s', coalesce(killbill_set_unit.scale::text, 'null'));
    ELSIF EXISTS (SELECT FROM killbill_usage AS u JOIN killbill_subscription AS s USING (endpoint, external_key)
                   WHERE u.endpoint = killbill_set_unit.endpoint AND s.plan = killbill_set_unit.plan
                     AND (u.unit = killbill_set_unit.unit OR u.unit IN (SELECT x.unit FROM killbill_units(killbill_set_unit.endpoint) AS x
                                                                        WHERE x.plan = killbill_set_unit.plan AND x.item_id = find_item(killbill_set_unit.meter, 'meter')))) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('usage of "%s" or in unit "%s" of plan "%s" was told already, so that unit and scale cannot change', killbill_set_unit.meter, killbill_set_unit.unit, killbill_set_unit.plan);
    END IF;
    INSERT INTO killbill_unit AS u (endpoint, item_id, plan, unit, scale)
        VALUES (killbill_set_unit.endpoint, find_item(killbill_set_unit.meter, 'meter'), killbill_set_unit.plan, killbill_set_unit.unit, killbill_set_unit.scale)
        ON CONFLICT ON CONSTRAINT killbill_unit_pkey DO UPDATE SET unit = excluded.unit, scale = excluded.scale;
END $$;
COMMENT ON FUNCTION billing.killbill_set_unit(text, text, text, text, numeric) IS
'Says that usage of a meter is told to a server as a unit of a plan. scale: how many of that unit one unit of the meter is; servers of 0.22 take whole numbers only, so that hours are best told as seconds, with scale 3600. Meters made by killbill_import_catalog() need no such word. Errors: 42704 unknown endpoint or meter, 22001, 22023 bad argument, 55000 usage was told already. Volatile.';

CREATE FUNCTION billing.killbill_usage_pieces(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (account_id bigint, meter_id int, resource_id bigint, day date, quantity numeric, external_key text, usage_name text, unit text, usage_type text, scale numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH account_here AS MATERIALIZED (
        SELECT k.account_id, s.time_zone
          FROM killbill_account AS k CROSS JOIN LATERAL account_setting_on(k.account_id, current_date) AS s
         WHERE k.endpoint = killbill_usage_pieces.endpoint AND (killbill_usage_pieces.only_accounts IS NULL OR k.account_id = ANY (killbill_usage_pieces.only_accounts))
    ), unit_here AS MATERIALIZED (
        SELECT u.* FROM killbill_units(killbill_usage_pieces.endpoint) AS u
    ), piece AS (
        SELECT u.account_id, u.meter_id, u.resource_id, m.aggregation,
               (CASE WHEN is_point(p.part) OR m.aggregation = 'max' THEN ends_at(p.part) - CASE WHEN is_point(p.part) THEN interval '0' ELSE interval '1 microsecond' END ELSE starts_at(p.part) END
                AT TIME ZONE a.time_zone)::date AS day, quantity(p.part) AS quantity
          FROM usage AS u
          JOIN account_here AS a USING (account_id)
          JOIN meter_definition AS m ON m.item_id = u.meter_id AND upper_inf(m.known)
         CROSS JOIN LATERAL (SELECT u.consumed AS part WHERE is_point(u.consumed) OR m.aggregation = 'max'
                              UNION ALL SELECT s FROM split(u.consumed, '1 day'::interval, a.time_zone) AS s WHERE NOT is_point(u.consumed) AND m.aggregation <> 'max') AS p(part)
         WHERE u.meter_id IN (SELECT x.item_id FROM unit_here AS x)
           AND u.ends_at >= lower(dates)::timestamptz - interval '1 day' AND u.ends_at < upper(dates)::timestamptz + interval '33 days'
           AND NOT EXISTS (SELECT FROM usage_change AS c WHERE c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision)
           AND (m.filter = '{}' OR meter_accepts(m.filter, u.dimensions, quantity(u.consumed)))
    )
    SELECT p.account_id, p.meter_id, p.resource_id, p.day, p.quantity, s.external_key, s.usage_name, s.unit, s.usage_type, s.scale
      FROM piece AS p
      LEFT JOIN LATERAL (
        SELECT k.external_key, x.usage_name, x.unit, coalesce(x.usage_type, CASE p.aggregation WHEN 'max' THEN 'CAPACITY' ELSE 'CONSUMABLE' END) AS usage_type, x.scale
          FROM killbill_subscription AS k JOIN unit_here AS x ON x.plan = k.plan
         WHERE k.endpoint = killbill_usage_pieces.endpoint AND k.account_id = p.account_id AND x.item_id = p.meter_id
           AND (k.resource_id IS NULL OR k.resource_id = p.resource_id) AND p.day >= k.starts_on AND (k.ends_on IS NULL OR p.day < coalesce(k.usage_to, k.ends_on))
         ORDER BY k.resource_id IS NULL, k.starts_on, k.external_key LIMIT 1) AS s ON true
     WHERE p.day <@ dates
$$;
COMMENT ON FUNCTION billing.killbill_usage_pieces(text, daterange, bigint[]) IS
'Usage as it counts now of meters that an endpoint prices, cut into days of the account''s calendar, with the subscription that bills it: that of its resource, otherwise one without a resource; null = none. Stable.';

CREATE FUNCTION billing.killbill_daily_usage(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (account_id bigint, external_key text, usage_name text, unit text, usage_type text, day date, quantity numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT p.account_id, p.external_key, p.usage_name, p.unit, p.usage_type, p.day, CASE WHEN p.usage_type = 'CAPACITY' THEN max(p.quantity * p.scale) ELSE sum(p.quantity * p.scale) END
      FROM killbill_usage_pieces(killbill_daily_usage.endpoint, dates, killbill_daily_usage.only_accounts) AS p
     WHERE p.external_key IS NOT NULL
     GROUP BY p.account_id, p.external_key, p.usage_name, p.unit, p.usage_type, p.day
$$;
COMMENT ON FUNCTION billing.killbill_daily_usage(text, daterange, bigint[]) IS
'Usage as it counts now, by subscription of the server, unit and day of the account''s calendar, in units of the catalog; of capacity the highest level. usage_name: the section that the meter names. Usage of days without a subscription is in killbill_usage_nowhere(). Stable.';

CREATE FUNCTION billing.killbill_usage_nowhere(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (external_key text, meter text, first_day date, quantity numeric, reason text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH lost AS (
        SELECT p.*, CASE WHEN p.external_key IS NOT NULL THEN 'the subscription is paused on these days'
                         WHEN k.state = 'closed' THEN 'the account is closed there'
                         ELSE 'the account has no subscription that bills it on these days' END AS reason
          FROM killbill_usage_pieces(killbill_usage_nowhere.endpoint, dates, killbill_usage_nowhere.only_accounts) AS p
          JOIN killbill_account AS k ON k.endpoint = killbill_usage_nowhere.endpoint AND k.account_id = p.account_id AND k.auto_invoicing
          LEFT JOIN killbill_pause AS x ON x.endpoint = killbill_usage_nowhere.endpoint AND x.external_key = p.external_key AND x.paused_from <= p.day AND (x.paused_to IS NULL OR x.paused_to > p.day)
         WHERE (p.external_key IS NULL OR x.external_key IS NOT NULL) AND p.quantity <> 0
    )
    SELECT coalesce(l.external_key, k.external_key), i.key, min(l.day), CASE WHEN m.aggregation = 'max' THEN max(l.quantity) ELSE sum(l.quantity) END,
           format('%s of account "%s" until %s: %s', i.key, k.external_key, max(l.day), l.reason)
      FROM lost AS l
      JOIN item AS i ON i.item_id = l.meter_id
      JOIN meter_definition AS m ON m.item_id = l.meter_id AND upper_inf(m.known)
      JOIN killbill_account AS k ON k.endpoint = killbill_usage_nowhere.endpoint AND k.account_id = l.account_id
     GROUP BY coalesce(l.external_key, k.external_key), k.external_key, i.key, m.aggregation, l.reason
$$;
COMMENT ON FUNCTION billing.killbill_usage_nowhere(text, daterange, bigint[]) IS
'Usage of accounts which the server invoices that goes to no subscription there and so is billed by nobody: of days before, after or in a pause of all that could bill it. external_key: the paused subscription, otherwise the account''s; quantity in the meter''s unit. Stable.';

CREATE FUNCTION billing.killbill_late_from(endpoint text, before date, only_accounts bigint[] DEFAULT NULL) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT (date_trunc('month', min(u.ends_at)) - interval '1 month')::date
      FROM usage AS u
      JOIN killbill_account AS k ON k.endpoint = $1 AND k.account_id = u.account_id AND k.auto_invoicing AND ($3 IS NULL OR k.account_id = ANY ($3))
     WHERE u.recorded_at >= $2::timestamptz AND u.ends_at < $2::timestamptz AND u.meter_id IN (SELECT x.item_id FROM killbill_units($1) AS x)
$$;
COMMENT ON FUNCTION billing.killbill_late_from(text, date, bigint[]) IS
'From which day on usage has to be looked at so that usage is seen which was recorded since a day although it is older: the first of the month before it; null = there is none. Stable.';

CREATE FUNCTION billing.killbill_usage_by_day(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (account_id bigint, external_key text, usage_name text, unit text, usage_type text, period_from date, period_to date, day date, quantity numeric)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT u.account_id, u.external_key, coalesce(x.usage_name, u.usage_name), u.unit, coalesce(x.usage_type, u.usage_type), c.date_from, c.date_to, u.day,
           CASE WHEN coalesce(x.usage_type, u.usage_type) = 'CAPACITY' THEN max(u.quantity) ELSE sum(u.quantity) END
      FROM killbill_daily_usage(killbill_usage_by_day.endpoint, dates, killbill_usage_by_day.only_accounts) AS u
      JOIN killbill_spans(killbill_usage_by_day.endpoint, dates, killbill_usage_by_day.only_accounts) AS c ON c.external_key = u.external_key AND u.day >= c.date_from AND u.day < c.date_to
      LEFT JOIN killbill_units_of_phases(killbill_usage_by_day.endpoint) AS x ON x.plan = c.plan AND x.phase = c.phase AND x.unit = u.unit AND x.named = u.usage_name
     GROUP BY u.account_id, u.external_key, coalesce(x.usage_name, u.usage_name), u.unit, coalesce(x.usage_type, u.usage_type), c.date_from, c.date_to, u.day
$$;
COMMENT ON FUNCTION billing.killbill_usage_by_day(text, daterange, bigint[]) IS
'Usage of killbill_daily_usage() by span of killbill_spans(), with the section that prices its unit there. Stable.';

CREATE FUNCTION billing.killbill_section(endpoint text, external_key text, usage_name text, period_from date, OUT section jsonb, OUT currency text, OUT free boolean)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT p.section, p.currency, f.phase IS NOT NULL AND p.section IS NULL AND killbill_section.usage_name IS NOT NULL
      FROM killbill_subscription AS s
     CROSS JOIN LATERAL account_setting_on(s.account_id, killbill_section.period_from) AS a
     CROSS JOIN LATERAL killbill_phase_on(s.endpoint, s.plan, s.price_list, a.currency, s.starts_on, a.time_zone, greatest(killbill_section.period_from, s.starts_on)) AS f(phase)
      LEFT JOIN killbill_price AS p ON p.endpoint = s.endpoint AND p.plan = s.plan AND p.price_list = s.price_list AND p.currency = a.currency
                                   AND p.usage_name = killbill_section.usage_name AND p.phase = f.phase
     WHERE s.endpoint = killbill_section.endpoint AND s.external_key = killbill_section.external_key AND s.overrides IS NULL
     ORDER BY p.effective_at <= killbill_version_at(s.endpoint, s.plan, s.starts_on, a.time_zone) OR (p.existing_from AT TIME ZONE a.time_zone)::date <= killbill_section.period_from DESC NULLS LAST, p.effective_at DESC, p.price_no LIMIT 1
$$;
COMMENT ON FUNCTION billing.killbill_section(text, text, text, date) IS
'The usage section that the server applies to a subscription in a period: of the version in force when it began, or of a later one that holds for existing subscriptions, and of the phase in which the period begins. Null when the catalog was not imported or the subscription has prices of its own. free: the phase is known and has no such section, so that the server bills nothing. Stable.';

CREATE FUNCTION billing.killbill_rate(section jsonb, currency text, quantities jsonb) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT amount(round(rate(tariff_from('killbill', section, currency),
               (SELECT jsonb_object_agg(u, greatest(coalesce((quantities ->> u)::numeric, 0), 0)::text) FROM unnest(killbill_section_units(section)) AS u)), 'half_up'))
$$;
COMMENT ON FUNCTION billing.killbill_rate(jsonb, text, jsonb) IS 'What the server bills for quantities of a usage section, by unit: rated exactly, rounded once. Errors: BL004 quantities above the last tier of a capacity. Stable.';

CREATE FUNCTION billing.killbill_section_bounds(section jsonb) RETURNS TABLE (unit text, most numeric, dearest numeric, block numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b ->> 'unit', CASE WHEN bool_or((b ->> 'max')::numeric = -1) THEN NULL ELSE sum((b ->> 'max')::numeric * (b ->> 'size')::numeric) END,
           max((SELECT max((v ->> 'value')::numeric) FROM jsonb_array_elements(b -> 'prices') AS v) / (b ->> 'size')::numeric), max((b ->> 'size')::numeric)
      FROM jsonb_path_query(section, '$.tiers[*].blocks[*]') AS b GROUP BY b ->> 'unit'
     UNION ALL
    SELECT l ->> 'unit', CASE WHEN bool_or((l ->> 'max')::numeric = -1) THEN NULL ELSE max((l ->> 'max')::numeric) END, 0, 0
      FROM jsonb_path_query(section, '$.tiers[*].limits[*]') AS l GROUP BY l ->> 'unit'
$$;
COMMENT ON FUNCTION billing.killbill_section_bounds(jsonb) IS
'How far a usage section reaches, by unit. most: the quantity at which its last tier ends, null = without end; dearest: the highest price of one unit; block: the largest block. Immutable.';

CREATE FUNCTION billing.killbill_usage_limit(endpoint text, external_key text, usage_name text, period_from date, quantities jsonb, OUT refused boolean, OUT problem text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    price    record := killbill_section(killbill_usage_limit.endpoint, killbill_usage_limit.external_key, killbill_usage_limit.usage_name, killbill_usage_limit.period_from);
    beyond   text;
    capacity CONSTANT boolean := price.section ->> 'usageType' = 'CAPACITY';
BEGIN
    refused := false;
    SELECT string_agg(format('%s %s, the last tier ends at %s', q.value, b.unit, b.most), '; ' ORDER BY b.unit) INTO beyond
      FROM killbill_section_bounds(price.section) AS b JOIN jsonb_each_text(quantities) AS q ON q.key = b.unit WHERE q.value::numeric > b.most;
    IF beyond IS NOT NULL THEN
        refused := capacity;
        problem := beyond || CASE WHEN capacity THEN ': the server would make no invoices for the account any more' ELSE ': the server bills nothing for the rest' END;
    ELSIF price.section IS NOT NULL AND killbill_rate(price.section, price.currency, quantities) >= 1000000 THEN
        refused := true;
        problem := format('it comes to %s %s, and an item of 1,000,000 or more stops the server''s invoices for the account', killbill_rate(price.section, price.currency, quantities), price.currency);
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_usage_limit(text, text, text, date, jsonb) IS
'What the server could not bill of the quantities of a usage section in a period, by unit: problem in words, null = nothing. refused: whether it would stop invoicing the account, so that they must not be told: a capacity above its last tier, a price that an item cannot hold. Stable.';

CREATE FUNCTION billing.killbill_usage_limits(endpoint text, planned jsonb) RETURNS TABLE (external_key text, usage_name text, period_from date, amount numeric, refused boolean, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, billing, pg_temp
AS $$
    -- Few sections have limits and few periods come near them: only those are rated.
    WITH bound AS MATERIALIZED (
        SELECT p.plan, p.usage_name, b.unit, min(b.most) AS most, max(b.dearest) AS dearest, max(b.block) AS block
          FROM (SELECT DISTINCT x.plan, x.usage_name, x.section FROM killbill_price AS x WHERE x.endpoint = killbill_usage_limits.endpoint AND x.section IS NOT NULL) AS p
         CROSS JOIN LATERAL killbill_section_bounds(p.section) AS b GROUP BY p.plan, p.usage_name, b.unit
    ), period AS (
        SELECT DISTINCT d.external_key, d.usage_name, d.unit, d.period_from, d.period_wanted, d.period_told
          FROM jsonb_to_recordset(planned) AS d(external_key text, usage_name text, unit text, period_from date, period_wanted numeric, period_told numeric, way text)
         WHERE d.way IN ('usage', 'late')
    ), near AS (
        SELECT p.external_key, p.usage_name, p.period_from, sum(p.period_wanted - p.period_told) AS amount, jsonb_object_agg(p.unit, p.period_wanted) AS quantities
          FROM period AS p
          JOIN killbill_subscription AS s ON s.endpoint = killbill_usage_limits.endpoint AND s.external_key = p.external_key
          LEFT JOIN bound AS b ON b.plan = s.plan AND b.usage_name = p.usage_name AND b.unit = p.unit
         GROUP BY p.external_key, p.usage_name, p.period_from
        HAVING bool_or(p.period_wanted <> p.period_told) AND (bool_or(p.period_wanted > b.most) OR sum((p.period_wanted + b.block) * b.dearest) >= 1000000)
    )
    SELECT n.external_key, n.usage_name, n.period_from, n.amount, l.refused, l.problem
      FROM near AS n CROSS JOIN LATERAL killbill_usage_limit(killbill_usage_limits.endpoint, n.external_key, n.usage_name, n.period_from, n.quantities) AS l
     WHERE l.problem IS NOT NULL
$$;
COMMENT ON FUNCTION billing.killbill_usage_limits(text, jsonb) IS
'Of the usage that killbill_push_usage() plans to tell, the periods that reach a limit of the server, see killbill_usage_limit(). Stable.';

CREATE FUNCTION billing.killbill_usage_told(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (external_key text, unit text, day date, amount numeric, highest numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT u.external_key, u.unit, u.record_date, sum(u.amount), max(u.amount)
      FROM killbill_usage AS u JOIN killbill_subscription AS s USING (endpoint, external_key)
     WHERE u.endpoint = killbill_usage_told.endpoint AND u.record_date <@ dates AND (killbill_usage_told.only_accounts IS NULL OR s.account_id = ANY (killbill_usage_told.only_accounts))
     GROUP BY u.external_key, u.unit, u.record_date
$$;
COMMENT ON FUNCTION billing.killbill_usage_told(text, daterange, bigint[]) IS 'Usage as it was told to a server, by subscription, unit and day: the sum and the highest amount. Stable.';

CREATE FUNCTION billing.killbill_usage_differences(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (account_id bigint, external_key text, usage_name text, unit text, usage_type text, period_from date, period_to date, day date,
                   wanted numeric, told numeric, period_wanted numeric, period_told numeric, adjusted boolean)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH step AS (SELECT CASE killbill_option(killbill_usage_differences.endpoint, 'usage_decimals') WHEN 'true' THEN 0.000000001 ELSE 1 END AS size),
    counted AS (
        SELECT q.*, ceil(sum(q.quantity) OVER w / t.size) * t.size - ceil((sum(q.quantity) OVER w - q.quantity) / t.size) * t.size AS whole,
               ceil(q.quantity / t.size) * t.size AS whole_level
          FROM killbill_usage_by_day(killbill_usage_differences.endpoint, dates, killbill_usage_differences.only_accounts) AS q CROSS JOIN step AS t
        WINDOW w AS (PARTITION BY q.external_key, q.unit, q.period_from ORDER BY q.day)
    ), told AS MATERIALIZED (
        SELECT t.* FROM killbill_usage_told(killbill_usage_differences.endpoint, dates, killbill_usage_differences.only_accounts) AS t
    ), span AS MATERIALIZED (
        SELECT c.* FROM killbill_spans(killbill_usage_differences.endpoint, dates, killbill_usage_differences.only_accounts) AS c
    ), unit_here AS MATERIALIZED (
        SELECT DISTINCT ON (u.plan, u.unit) u.plan, u.unit, u.usage_name, u.usage_type FROM killbill_units(killbill_usage_differences.endpoint) AS u ORDER BY u.plan, u.unit, u.usage_name
    ), phase_unit AS MATERIALIZED (
        SELECT u.* FROM killbill_units_of_phases(killbill_usage_differences.endpoint) AS u
    ), place AS (
        SELECT c.account_id, t.external_key, coalesce(x.usage_name, u.usage_name) AS usage_name, t.unit, coalesce(x.usage_type, u.usage_type, 'CONSUMABLE') AS usage_type,
               c.date_from, c.date_to, t.day, t.amount, t.highest
          FROM told AS t
          JOIN killbill_subscription AS s ON s.endpoint = killbill_usage_differences.endpoint AND s.external_key = t.external_key
          JOIN span AS c ON c.external_key = t.external_key AND t.day >= c.date_from AND t.day < c.date_to
          JOIN unit_here AS u ON u.plan = c.plan AND u.unit = t.unit
          LEFT JOIN phase_unit AS x ON x.plan = c.plan AND x.phase = c.phase AND x.unit = t.unit AND x.named = u.usage_name
         -- What was told of days after an end that was set later the server does not bill, unless it had billed it before.
         WHERE s.ends_on IS NULL OR t.day <= s.ends_on
            OR EXISTS (SELECT FROM killbill_item AS i JOIN killbill_invoice AS k USING (endpoint, invoice_id)
                        WHERE i.endpoint = s.endpoint AND i.subscription_id = s.killbill_id AND i.item_type = 'USAGE' AND k.status = 'COMMITTED' AND i.starts_on <= t.day AND i.ends_on > t.day)
    ), joined AS (
        SELECT coalesce(q.account_id, p.account_id) AS account_id, coalesce(q.external_key, p.external_key) AS external_key, coalesce(q.usage_name, p.usage_name) AS usage_name,
               coalesce(q.unit, p.unit) AS unit, coalesce(q.usage_type, p.usage_type) AS usage_type, coalesce(q.period_from, p.date_from) AS period_from,
               coalesce(q.period_to, p.date_to) AS period_to, coalesce(q.day, p.day) AS day,
               coalesce(CASE WHEN q.usage_type = 'CAPACITY' THEN q.whole_level ELSE q.whole END, 0) AS wanted,
               coalesce(CASE WHEN p.usage_type = 'CAPACITY' THEN p.highest ELSE p.amount END, 0) AS told
          FROM counted AS q FULL JOIN place AS p ON p.external_key = q.external_key AND p.unit = q.unit AND p.day = q.day
    )
    SELECT j.account_id, j.external_key, j.usage_name, j.unit, j.usage_type, j.period_from, j.period_to, j.day, j.wanted, j.told,
           CASE WHEN j.usage_type = 'CAPACITY' THEN max(j.wanted) OVER w ELSE sum(j.wanted) OVER w END,
           CASE WHEN j.usage_type = 'CAPACITY' THEN max(j.told) OVER w ELSE sum(j.told) OVER w END + coalesce(x.quantity, 0), coalesce(x.quantity <> 0, false)
      FROM joined AS j
     CROSS JOIN LATERAL (SELECT sum((a.quantities ->> j.unit)::numeric) AS quantity FROM killbill_adjustment AS a
                          WHERE a.endpoint = killbill_usage_differences.endpoint AND a.account_id = j.account_id AND a.external_key = j.external_key
                            AND a.usage_name = j.usage_name AND a.period_from = j.period_from) AS x
    WINDOW w AS (PARTITION BY j.external_key, j.unit, j.period_from)
$$;
COMMENT ON FUNCTION billing.killbill_usage_differences(text, daterange, bigint[]) IS
'Usage as it counts now (wanted) beside what was told, by subscription, unit and day, and for the whole period with the adjustments already made; adjusted: whether these change its sum, so that the server has another one than period_told. Whole numbers, or 9 decimals with option usage_decimals. dates must hold whole charge periods. Stable.';

CREATE FUNCTION billing.killbill_tell_adjustment(adjustment_id bigint, priority int DEFAULT 0) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    UPDATE killbill_adjustment AS a
       SET message_id = killbill_tell(a.endpoint, 'adjustment', a.account_id, jsonb_build_object('adjustment_id', a.adjustment_id), killbill_tell_adjustment.priority)
     WHERE a.adjustment_id = killbill_tell_adjustment.adjustment_id RETURNING a.message_id
$$;
COMMENT ON FUNCTION billing.killbill_tell_adjustment(bigint, int) IS 'Has an adjustment told, or told again: its delivery looks first what of it is there. Returns the number of the message. Volatile.';

CREATE FUNCTION billing.killbill_adjust_usage(endpoint text, account_id bigint, external_key text, usage_name text, period_from date, period_to date, wanted jsonb, told jsonb) RETURNS numeric
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    price      record := killbill_section(killbill_adjust_usage.endpoint, killbill_adjust_usage.external_key, killbill_adjust_usage.usage_name, killbill_adjust_usage.period_from);
    difference numeric;
    change     jsonb;
    this_adjustment bigint;
BEGIN
    IF price.free THEN
        RETURN 0;
    ELSIF price.section IS NULL THEN
        RETURN NULL;
    END IF;
    difference := killbill_rate(price.section, price.currency, wanted) - killbill_rate(price.section, price.currency, told);
    IF difference = 0 THEN
        RETURN 0;
    END IF;
    SELECT jsonb_object_agg(u, coalesce((wanted ->> u)::numeric, 0) - coalesce((told ->> u)::numeric, 0)) INTO change FROM jsonb_object_keys(wanted || told) AS u;
    INSERT INTO killbill_adjustment AS a (endpoint, account_id, external_key, usage_name, period_from, period_to, quantities, amount, currency, reason)
        VALUES (killbill_adjust_usage.endpoint, killbill_adjust_usage.account_id, killbill_adjust_usage.external_key, killbill_adjust_usage.usage_name, killbill_adjust_usage.period_from,
                killbill_adjust_usage.period_to, change, difference, price.currency,
                killbill_cut_text(format('%s: usage of %s to %s corrected', killbill_adjust_usage.usage_name, killbill_adjust_usage.period_from, killbill_adjust_usage.period_to - 1), 255))
        RETURNING a.adjustment_id INTO this_adjustment;
    PERFORM killbill_tell_adjustment(this_adjustment);
    RETURN difference;
END $$;
COMMENT ON FUNCTION billing.killbill_adjust_usage(text, bigint, text, text, date, date, jsonb, jsonb) IS
'Has the money for a correction of usage told: rated as wanted less rated as told, both by unit. Returns it; null when the price is not known here. Volatile.';

CREATE FUNCTION billing.killbill_tell_usage(endpoint text, external_key text, push_no bigint) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH told AS MATERIALIZED (
        SELECT killbill_tell($1, 'usage', s.account_id, jsonb_build_object('external_key', $2, 'push_no', $3, 'tracking_id', min(u.tracking_id::text),
                   'records', jsonb_agg(jsonb_build_object('unit', u.unit, 'day', u.record_date, 'amount', u.amount) ORDER BY u.unit, u.record_date))) AS message_id
          FROM killbill_usage AS u JOIN killbill_subscription AS s USING (endpoint, external_key)
         WHERE u.endpoint = $1 AND u.external_key = $2 AND u.push_no = $3 GROUP BY s.account_id
    ), noted AS (
        UPDATE killbill_usage AS u SET message_id = t.message_id FROM told AS t WHERE u.endpoint = $1 AND u.external_key = $2 AND u.push_no = $3)
    SELECT t.message_id FROM told AS t
$$;
COMMENT ON FUNCTION billing.killbill_tell_usage(text, text, bigint) IS 'Has a push of usage told, or told again under the same tracking id. Returns the number of the message. Volatile.';

CREATE FUNCTION billing.killbill_tell_again(endpoint text, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (external_key text, usage_name text, period_from date, outcome text, amount numeric, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    again record;
BEGIN
    FOR again IN
        SELECT u.external_key, u.push_no, sum(u.amount) AS amount, min(u.record_date) AS first_day
          FROM killbill_usage AS u JOIN killbill_subscription AS s USING (endpoint, external_key)
         WHERE u.endpoint = killbill_tell_again.endpoint AND u.message_id IS NULL AND (killbill_tell_again.only_accounts IS NULL OR s.account_id = ANY (killbill_tell_again.only_accounts))
         GROUP BY u.external_key, u.push_no ORDER BY u.external_key, u.push_no
    LOOP
        PERFORM killbill_tell_usage(killbill_tell_again.endpoint, again.external_key, again.push_no);
        RETURN QUERY SELECT again.external_key, NULL::text, again.first_day, 'usage'::text, again.amount, 'told again under the same tracking id: it was discarded while nobody knew whether the server has it'::text;
    END LOOP;
    FOR again IN
        SELECT a.* FROM killbill_adjustment AS a
         WHERE a.endpoint = killbill_tell_again.endpoint AND a.message_id IS NULL AND a.external_key IS NOT NULL AND (killbill_tell_again.only_accounts IS NULL OR a.account_id = ANY (killbill_tell_again.only_accounts))
         ORDER BY a.adjustment_id
    LOOP
        PERFORM killbill_tell_adjustment(again.adjustment_id);
        RETURN QUERY SELECT again.external_key, again.usage_name, again.period_from, CASE WHEN again.amount < 0 THEN 'credit' ELSE 'charge' END, again.amount, 'told again: it was discarded'::text;
    END LOOP;
    RETURN QUERY
        SELECT m.payload ->> 'external_key', NULL::text, NULL::date, 'held back'::text, NULL::numeric,
               format('message %s (%s) is dead and holds back what is told of account "%s": %s. See retry_message() and discard_message()', m.message_id, m.kind, a.key, m.reason)
          FROM killbill_account AS k JOIN account AS a USING (account_id)
          JOIN message AS m ON m.endpoint = k.endpoint AND m.ordering_key = 'account ' || k.account_id AND m.state = 'dead'
         WHERE k.endpoint = killbill_tell_again.endpoint AND (killbill_tell_again.only_accounts IS NULL OR k.account_id = ANY (killbill_tell_again.only_accounts)) ORDER BY m.message_id;
END $$;
COMMENT ON FUNCTION billing.killbill_tell_again(text, bigint[]) IS
'Has told again what killbill_discarded() has left to it, and names the dead messages that hold back an account. Behind killbill_push_usage(), whose rows it returns. Volatile.';

CREATE FUNCTION billing.killbill_discarded() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    surely_absent boolean := NOT (NEW.uncertain OR coalesce(NEW.progress ? 'unknown', false));
BEGIN
    CASE NEW.kind
        WHEN 'usage' THEN
            -- What the server surely does not have was not told; of the rest a repetition says which it is.
            DELETE FROM killbill_usage AS u
             WHERE u.endpoint = NEW.endpoint AND u.external_key = NEW.payload ->> 'external_key' AND u.push_no = (NEW.payload ->> 'push_no')::bigint AND u.message_id = NEW.message_id AND surely_absent;
            UPDATE killbill_usage AS u SET message_id = NULL
             WHERE u.endpoint = NEW.endpoint AND u.external_key = NEW.payload ->> 'external_key' AND u.push_no = (NEW.payload ->> 'push_no')::bigint AND u.message_id = NEW.message_id;
        WHEN 'adjustment' THEN
            UPDATE killbill_adjustment AS a SET message_id = NULL WHERE a.adjustment_id = (NEW.payload ->> 'adjustment_id')::bigint AND a.message_id = NEW.message_id;
        WHEN 'invoice' THEN
            UPDATE killbill_pushed_invoice AS p SET message_id = NULL WHERE p.endpoint = NEW.endpoint AND p.invoice_id = (NEW.payload ->> 'invoice_id')::bigint AND p.message_id = NEW.message_id;
    END CASE;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.killbill_discarded() IS
'Whenever a message with usage, an adjustment or an invoice is discarded: what it was to tell no longer counts as told, so that the next push tells it. Trigger of billing.message.';
CREATE TRIGGER killbill_discarded AFTER UPDATE OF state ON billing.message FOR EACH ROW
    WHEN (NEW.state = 'discarded' AND OLD.state <> 'discarded' AND NEW.kind IN ('usage', 'adjustment', 'invoice')) EXECUTE FUNCTION billing.killbill_discarded();
COMMENT ON TRIGGER killbill_discarded ON billing.message IS 'What a discarded message was to tell a Kill Bill server no longer counts as told, whoever discards it: the outbox does not know what its messages mean.';

CREATE FUNCTION billing.killbill_record_push(endpoint text, account_id bigint, external_key text, records jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_push bigint;
    tracking  uuid;
BEGIN
    UPDATE killbill_push AS p SET pushes = p.pushes + 1
     WHERE p.endpoint = killbill_record_push.endpoint AND p.account_id = killbill_record_push.account_id RETURNING p.pushes INTO STRICT this_push;
    tracking := killbill_operation_id(killbill_reference() || concat_ws(' ', killbill_record_push.endpoint, killbill_record_push.external_key, this_push));
    INSERT INTO killbill_usage (endpoint, external_key, unit, record_date, push_no, amount, tracking_id)
    SELECT killbill_record_push.endpoint, killbill_record_push.external_key, r.unit, r.day, this_push, r.amount, tracking
      FROM jsonb_to_recordset(records) AS r(unit text, day date, amount numeric);
    RETURN killbill_tell_usage(killbill_record_push.endpoint, killbill_record_push.external_key, this_push);
END $$;
COMMENT ON FUNCTION billing.killbill_record_push(text, bigint, text, jsonb) IS
'Has usage of a subscription told: records with unit, day and amount. The tracking id depends on the ledger, the endpoint, the subscription and the number of the push alone. Volatile.';

CREATE FUNCTION billing.killbill_push_accounts(endpoint text, last_day date, dates daterange, only_accounts bigint[])
    RETURNS TABLE (external_key text, usage_name text, period_from date, outcome text, amount numeric, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    difference record;
    changed    numeric;
    planned    jsonb;
    limits     jsonb;
    closed     CONSTANT bigint[] := ARRAY(SELECT k.account_id FROM killbill_account AS k
                                           WHERE k.endpoint = killbill_push_accounts.endpoint AND (killbill_push_accounts.only_accounts IS NULL OR k.account_id = ANY (killbill_push_accounts.only_accounts))
                                             AND (k.state = 'closed' OR EXISTS (SELECT FROM message AS m WHERE m.endpoint = k.endpoint AND m.ordering_key = 'account ' || k.account_id
                                                                                                           AND m.kind = 'close' AND m.state <> 'discarded')));
BEGIN
    -- Two pushes of an account would tell the same difference twice.
    PERFORM FROM killbill_push AS p WHERE p.endpoint = killbill_push_accounts.endpoint AND (killbill_push_accounts.only_accounts IS NULL OR p.account_id = ANY (killbill_push_accounts.only_accounts)) ORDER BY p.account_id FOR UPDATE;
    RETURN QUERY SELECT a.* FROM killbill_tell_again(killbill_push_accounts.endpoint, only_accounts) AS a;
    -- Periods are looked at as a whole: from the first one that begins inside the span.
    SELECT coalesce(jsonb_agg(to_jsonb(d) || jsonb_build_object('way', CASE
            WHEN d.period_wanted = d.period_told AND (d.account_id = ANY (closed) OR least(d.period_to, s.ends_on) <= last_day) THEN NULL
            -- a closed account gets no invoice of usage any more
            WHEN d.account_id = ANY (closed) THEN 'money'
            -- running: days may go down as long as the period is not billed; a peak never comes down
            WHEN least(d.period_to, s.ends_on) > last_day THEN CASE WHEN d.usage_type = 'CAPACITY' AND d.period_wanted < d.period_told THEN 'wait' ELSE 'usage' END
            WHEN d.period_wanted < d.period_told THEN 'money'
            -- once it was adjusted, the server has another sum than what counts as told; of what has ended it may make no invoice any more
            WHEN d.adjusted OR s.ends_on < last_day THEN 'money'
            WHEN d.period_to > (SELECT min(c.date_from) FROM periods(d.account_id, daterange(last_day - 1, last_day + 1)) AS c) - 28 THEN 'late'
            ELSE 'money' END)), '[]') INTO planned
      FROM killbill_usage_differences(killbill_push_accounts.endpoint, dates, only_accounts) AS d
      JOIN killbill_subscription AS s ON s.endpoint = killbill_push_accounts.endpoint AND s.external_key = d.external_key
     WHERE d.period_from >= lower(dates);
    SELECT coalesce(jsonb_object_agg(jsonb_build_array(l.external_key, l.usage_name, l.period_from)::text, to_jsonb(l)), '{}') INTO limits FROM killbill_usage_limits(killbill_push_accounts.endpoint, planned) AS l;
    RETURN QUERY SELECT l.external_key, l.usage_name, l.period_from, 'refused'::text, l.amount, l.problem
                   FROM jsonb_each(limits) AS e CROSS JOIN LATERAL jsonb_to_record(e.value) AS l(external_key text, usage_name text, period_from date, amount numeric, refused boolean, problem text) WHERE l.refused;

    -- One message a subscription: the days of the running period, and for a closed one all that is missing, on its last day with usage.
    FOR difference IN
        SELECT r.account_id, r.external_key, jsonb_agg(jsonb_build_object('unit', r.unit, 'day', r.day, 'amount', r.amount) ORDER BY r.unit, r.day) AS records,
               sum(r.amount) AS amount, min(r.period_from) AS period_from, string_agg(DISTINCT r.usage_name, ', ') AS usage_name,
               string_agg(DISTINCT limits #>> ARRAY[jsonb_build_array(r.external_key, r.usage_name, r.period_from)::text, 'problem'], '; ') AS problem
          FROM (SELECT d.account_id, d.external_key, d.usage_name, d.unit, d.period_from, d.day,
                       CASE WHEN d.usage_type = 'CAPACITY' THEN d.wanted ELSE d.wanted - d.told END AS amount
                  FROM jsonb_to_recordset(planned) AS d(account_id bigint, external_key text, usage_name text, unit text, usage_type text, period_from date, period_to date, day date,
                                                 wanted numeric, told numeric, period_wanted numeric, period_told numeric, way text)
                 WHERE d.way = 'usage' AND CASE WHEN d.usage_type = 'CAPACITY' THEN d.wanted > d.period_told AND d.wanted = d.period_wanted ELSE d.wanted <> d.told END
                 UNION ALL
                SELECT d.account_id, d.external_key, d.usage_name, d.unit, d.period_from, max(d.day) FILTER (WHERE d.wanted <> 0),
                       CASE WHEN min(d.usage_type) = 'CAPACITY' THEN max(d.period_wanted) ELSE max(d.period_wanted - d.period_told) END
                  FROM jsonb_to_recordset(planned) AS d(account_id bigint, external_key text, usage_name text, unit text, usage_type text, period_from date, period_to date, day date,
                                                 wanted numeric, told numeric, period_wanted numeric, period_told numeric, way text)
                 WHERE d.way = 'late' GROUP BY d.account_id, d.external_key, d.usage_name, d.unit, d.period_from) AS r
         WHERE limits #>> ARRAY[jsonb_build_array(r.external_key, r.usage_name, r.period_from)::text, 'refused'] IS DISTINCT FROM 'true'
         GROUP BY r.account_id, r.external_key ORDER BY r.account_id, r.external_key
    LOOP
        PERFORM killbill_record_push(killbill_push_accounts.endpoint, difference.account_id, difference.external_key, difference.records);
        RETURN QUERY SELECT difference.external_key, difference.usage_name, difference.period_from, 'usage'::text, difference.amount, difference.problem;
    END LOOP;

    FOR difference IN
        SELECT d.account_id, d.external_key, d.usage_name, d.period_from, d.period_to, bool_or(d.way = 'money') AS settle,
               jsonb_object_agg(d.unit, d.period_wanted) AS wanted, jsonb_object_agg(d.unit, CASE WHEN d.way = 'late' THEN d.period_wanted ELSE d.period_told END) AS told
          FROM jsonb_to_recordset(planned) AS d(account_id bigint, external_key text, usage_name text, unit text, usage_type text, period_from date, period_to date, day date,
                                                 wanted numeric, told numeric, period_wanted numeric, period_told numeric, way text)
         GROUP BY d.account_id, d.external_key, d.usage_name, d.period_from, d.period_to
        HAVING bool_or(d.way IN ('money', 'wait')) ORDER BY 1, 2, 3, 4
    LOOP
        BEGIN
            changed := CASE WHEN difference.settle THEN killbill_adjust_usage(killbill_push_accounts.endpoint, difference.account_id, difference.external_key, difference.usage_name,
                                                                              difference.period_from, difference.period_to, difference.wanted, difference.told) END;
        EXCEPTION WHEN data_exception OR SQLSTATE 'BL004' THEN   -- no price for so much; the others go on
            RETURN QUERY SELECT difference.external_key, difference.usage_name, difference.period_from, 'refused'::text, NULL::numeric, format('from %s to %s: %s', difference.told, difference.wanted, SQLERRM);
            CONTINUE;
        END;
        RETURN QUERY SELECT difference.external_key, difference.usage_name, difference.period_from,
            CASE WHEN NOT difference.settle THEN 'waits' WHEN changed IS NULL THEN 'refused' WHEN changed < 0 THEN 'credit' WHEN changed > 0 THEN 'charge' ELSE 'same price' END, changed,
            CASE WHEN NOT difference.settle THEN 'a peak cannot be lowered on the server; it becomes a credit when the period has ended'
                 WHEN changed IS NULL THEN format('from %s to %s: the price is not known here; import the catalog, or correct the invoice by hand', difference.told, difference.wanted) END;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_push_accounts(text, date, daterange, bigint[]) IS 'What killbill_push_usage() does, for some accounts, null = all. Volatile.';

CREATE FUNCTION billing.killbill_push_dates(through date, since date, OUT last_day date, OUT dates daterange)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.last_day, daterange(coalesce(killbill_push_dates.since, (date_trunc('month', d.last_day) - interval '4 months')::date), d.last_day)
      FROM (SELECT coalesce(killbill_push_dates.through, current_date + 1)) AS d(last_day)
$$;
COMMENT ON FUNCTION billing.killbill_push_dates(date, date) IS 'The first day that killbill_push_usage() does not tell, and the days it looks at. Stable.';

CREATE FUNCTION billing.killbill_push_usage(endpoint text, through date DEFAULT NULL, account text DEFAULT NULL, since date DEFAULT NULL)
    RETURNS TABLE (external_key text, usage_name text, period_from date, outcome text, amount numeric, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    dates         record := killbill_push_dates(killbill_push_usage.through, killbill_push_usage.since);
    only_accounts bigint[] := CASE WHEN killbill_push_usage.account IS NOT NULL THEN ARRAY[(killbill_find_account(killbill_push_usage.endpoint, killbill_push_usage.account)).account_id] END;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_push_usage.endpoint);
    IF killbill_push_usage.since IS NULL THEN
        dates.dates := daterange(least(lower(dates.dates), killbill_late_from(killbill_push_usage.endpoint, lower(dates.dates), only_accounts)), dates.last_day);
    END IF;
    RETURN QUERY SELECT p.* FROM killbill_push_accounts(killbill_push_usage.endpoint, dates.last_day, dates.dates, only_accounts) AS p;
    RETURN QUERY SELECT n.external_key, n.meter, n.first_day, 'nowhere'::text, n.quantity, n.reason FROM killbill_usage_nowhere(killbill_push_usage.endpoint, dates.dates, only_accounts) AS n ORDER BY 1, 2, 3;
END $$;
COMMENT ON FUNCTION billing.killbill_push_usage(text, date, text, date) IS
'Has usage told to a Kill Bill server that was not told yet, and says what it did. through: first day that is not told, and the day it is; null = with today. account: only this one. since: from which day on usage is looked at, the first of the month four months before unless named, or earlier where older usage was recorded since then; charge periods that begin earlier are left alone. outcome: usage (told as usage), credit or charge (the server no longer takes it as usage, so that the price of the change is told as money), same price (a change that costs nothing), waits (a lowered peak of a running period), refused (its price is not known here, or the server could not bill it and would stop invoicing the account: a capacity above its last tier, an item of 1,000,000 or more), held back (a dead message stands before what is told of an account), nowhere (not told, because no subscription bills it: usage_name is the meter, amount in its unit, external_key the paused subscription or the account). What was discarded is told again. detail: why; of usage that is told, how much lies beyond the last tier, where the server bills nothing. Errors: 42704 unknown endpoint or account. Volatile.';

CREATE FUNCTION billing.killbill_usage_body(mirror billing.killbill_subscription, payload jsonb, decimals boolean, time_zone text) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT jsonb_build_object('subscriptionId', mirror.killbill_id, 'trackingId', payload ->> 'tracking_id', 'unitUsageRecords',
        (SELECT jsonb_agg(jsonb_build_object('unitType', u.unit, 'usageRecords', u.records) ORDER BY u.unit)
           FROM (SELECT r.unit, jsonb_agg(jsonb_build_object('amount', p.part, 'recordDate',
                            CASE WHEN decimals THEN to_char((r.day + time '12:00') AT TIME ZONE time_zone AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"') ELSE r.day::text END) ORDER BY r.day) AS records
                   FROM jsonb_to_recordset(payload -> 'records') AS r(unit text, day date, amount numeric)
                  CROSS JOIN LATERAL (SELECT sign(r.amount) * 900000000 AS part FROM generate_series(1, div(abs(r.amount), 900000000)::bigint)
                                       UNION ALL SELECT sign(r.amount) * mod(abs(r.amount), 900000000) WHERE mod(abs(r.amount), 900000000) <> 0 OR r.amount = 0) AS p(part)
                  GROUP BY r.unit) AS u))
$$;
COMMENT ON FUNCTION billing.killbill_usage_body(billing.killbill_subscription, jsonb, boolean, text) IS
'Usage as the server takes it: whole numbers with dates, or decimals with the instant of noon. Amounts above what its column holds go in parts. Stable.';

CREATE FUNCTION billing.killbill_is_stale(endpoint text, external_key text, records jsonb, told_at timestamptz, now_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH told AS (
        SELECT s.account_id, r.day, r.amount, (told_at AT TIME ZONE a.time_zone)::date AS told_on, (now_at AT TIME ZONE a.time_zone)::date AS today
          FROM killbill_subscription AS s
         CROSS JOIN LATERAL account_setting_on(s.account_id, current_date) AS a
         CROSS JOIN LATERAL jsonb_to_recordset(records) AS r(unit text, day date, amount numeric)
         WHERE s.endpoint = killbill_is_stale.endpoint AND s.external_key = killbill_is_stale.external_key
    ), bound AS (
        SELECT t.account_id, t.told_on, t.today, daterange(min(t.day), max(t.day) + 1) AS days,
               (SELECT min(c.date_from) FROM periods(t.account_id, daterange(t.today - 1, t.today + 1)) AS c) - 28 AS oldest_now,
               (SELECT min(c.date_from) FROM periods(t.account_id, daterange(t.told_on - 1, t.told_on + 1)) AS c) - 28 AS oldest_then
          FROM told AS t WHERE t.today > t.told_on GROUP BY t.account_id, t.told_on, t.today
    )
    SELECT EXISTS (
        SELECT FROM bound AS b
         CROSS JOIN LATERAL killbill_spans(killbill_is_stale.endpoint, b.days, ARRAY[b.account_id]) AS c
          JOIN told AS t ON t.day >= c.date_from AND t.day < c.date_to
         WHERE c.external_key = killbill_is_stale.external_key
           AND (t.amount < 0 AND c.date_to > b.told_on AND c.date_to <= b.today OR c.date_to <= b.oldest_now AND c.date_to > b.oldest_then))
$$;
COMMENT ON FUNCTION billing.killbill_is_stale(text, text, jsonb, timestamptz, timestamptz) IS
'Whether usage that waited from told_at to now_at must not be told as usage any more: less in a period that has ended meanwhile, which the server has billed and could not make smaller, or a period that has become too old for it. Stable.';

CREATE FUNCTION billing.killbill_refused_usage(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    present jsonb := json_or_null(answer.body);
    mirror  killbill_subscription;
BEGIN
    IF NOT succeeded(answer) OR NOT coalesce(present ? 'subscriptionId' AND present ? 'state', false) THEN
        RETURN killbill_judge(answer);
    ELSIF present ->> 'state' NOT IN ('CANCELLED', 'EXPIRED') THEN
        RETURN step_retry((message.progress ->> 'said') || ', though the subscription runs');
    END IF;
    mirror := killbill_store_subscription(message.endpoint, message.payload ->> 'external_key', present);
    IF message.progress ? 'unknown' THEN
        RETURN step_failed(format('the subscription ended there on %s, and nobody knows whether an earlier attempt was stored: look at its usage there, then discard this message', mirror.ends_on));
    END IF;
    -- Nothing of it was stored: the next push tells what is before the end.
    DELETE FROM killbill_usage AS u WHERE u.endpoint = message.endpoint AND u.message_id = message.message_id;
    RETURN step_delivered(jsonb_build_object('refused', format('the subscription ended there on %s', mirror.ends_on)));
END $$;
COMMENT ON FUNCTION billing.killbill_refused_usage(billing.outgoing_message, billing.http_answer) IS
'What to do with usage that the server refused without a word, now that it has shown the subscription: one that has ended takes no usage of later days. Then nothing was told, and the next push tells what is of days before the end. Volatile.';

CREATE FUNCTION billing.killbill_deliver_usage(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror   killbill_subscription;
    at       text := CASE WHEN answer IS NULL THEN 'begin' ELSE coalesce(message.progress ->> 'at', 'tell') END;
    decimals boolean := coalesce(message.options ->> 'usage_decimals', 'false') = 'true';
    told_at  timestamptz;
    step     delivery_step;
BEGIN
    SELECT s.* INTO mirror FROM killbill_subscription AS s WHERE s.endpoint = message.endpoint AND s.external_key = message.payload ->> 'external_key';
    IF at = 'look' THEN
        RETURN killbill_refused_usage(message, answer);
    ELSIF at = 'tell' THEN
        -- The server knows the tracking id: it was told already.
        IF answer.status = 201 AND killbill_succeeded(answer) OR answer.status = 400 AND killbill_code(answer) = 50000 THEN
            RETURN step_delivered(CASE WHEN answer.status = 400 THEN '{"repeated": true}'::jsonb END);
        END IF;
        -- So it refuses usage of days after an end, without a word: did the subscription end there?
        IF answer.error IS NULL AND answer.status = 400 AND jsonb_typeof(json_or_null(answer.body)) IS DISTINCT FROM 'object' THEN
            RETURN step_send(killbill_request('GET', '/subscriptions/' || mirror.killbill_id), coalesce(message.progress, '{}') || jsonb_build_object('at', 'look', 'said', killbill_error(answer)));
        END IF;
        step := killbill_judge(answer);
        -- Once nobody knows, a later refusal says nothing about the earlier request.
        IF answer.sent AND (answer.error IS NOT NULL OR answer.status >= 500 OR answer.status < 300) THEN
            step.progress := coalesce(message.progress, '{}') || '{"unknown": true}';
        END IF;
        RETURN step;
    END IF;
    told_at := (SELECT m.enqueued_at FROM message AS m WHERE m.message_id = killbill_deliver_usage.message.message_id);
    -- Days change on a quarter of an hour in all time zones.
    IF date_bin('15 minutes', told_at, 'epoch') <> date_bin('15 minutes', clock_timestamp(), 'epoch')
       AND killbill_is_stale(message.endpoint, message.payload ->> 'external_key', message.payload -> 'records', told_at, clock_timestamp()) THEN
        IF message.uncertain OR coalesce(message.progress ? 'unknown', false) THEN
            RETURN step_failed('it waited until its period was over, and nobody knows whether an earlier attempt was stored: look at the usage there, then discard this message');
        END IF;
        DELETE FROM killbill_usage AS u WHERE u.endpoint = message.endpoint AND u.message_id = killbill_deliver_usage.message.message_id;
        RETURN step_delivered('{"refused": "it waited until its period was over: the next push tells it as what is right now"}');
    ELSIF mirror.killbill_id IS NULL THEN
        RETURN step_retry('the subscription is not there yet');
    ELSIF decimals AND EXISTS (SELECT FROM killbill_server AS v WHERE v.endpoint = message.endpoint AND v.version LIKE '0.22.%') THEN
        RETURN step_failed('servers of 0.22 cut decimals off without a word: take option usage_decimals away');
    END IF;
    RETURN step_send(killbill_request('POST', '/usages', killbill_usage_body(mirror, message.payload, decimals,
        (SELECT a.time_zone FROM account_setting_on(mirror.account_id, current_date) AS a)), message.idempotency_key), coalesce(message.progress, '{}') || '{"at": "tell"}' || CASE WHEN message.uncertain THEN '{"unknown": true}'::jsonb ELSE '{}' END);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_usage(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind usage: one request with a tracking id by which the server recognises a repetition. Volatile.';
