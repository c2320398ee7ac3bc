-- Phases of plans: a trial or a discount, then what lasts.  Each begins on a day that follows from the subscription's first one, so that
-- all of them are facts with dates from the beginning and nothing has to happen when one ends.

CREATE FUNCTION billing.killbill_version_at(endpoint text, plan text, starts_on date, time_zone text) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce(max(p.effective_at) FILTER (WHERE p.effective_at <= killbill_version_at.starts_on::timestamp AT TIME ZONE killbill_version_at.time_zone), min(p.effective_at))
      FROM killbill_price AS p WHERE p.endpoint = killbill_version_at.endpoint AND p.plan = killbill_version_at.plan
$$;
COMMENT ON FUNCTION billing.killbill_version_at(text, text, date, text) IS
'The version of the imported catalog by which a subscription to a plan begins: the last one before that day''s midnight in the time zone, or the first of all. Null = none. Stable.';

CREATE FUNCTION billing.killbill_phases(endpoint text, plan text, price_list text, currency text, starts_on date, time_zone text DEFAULT 'UTC')
    RETURNS TABLE (effective_at timestamptz, phase text, phase_no int, final boolean, phase_from date, phase_to date)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 3 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH RECURSIVE priced AS MATERIALIZED (
        SELECT DISTINCT p.effective_at, p.phase, p.phase_no, p.final, p.duration
          FROM killbill_price AS p
         WHERE p.endpoint = killbill_phases.endpoint AND p.plan = killbill_phases.plan AND p.price_list = killbill_phases.price_list AND p.currency = killbill_phases.currency
    ), here AS (
        SELECT p.effective_at FROM priced AS p CROSS JOIN (SELECT killbill_phases.starts_on::timestamp AT TIME ZONE killbill_phases.time_zone AS starts_at) AS b
         ORDER BY p.effective_at <= b.starts_at DESC, CASE WHEN p.effective_at <= b.starts_at THEN p.effective_at END DESC, p.effective_at LIMIT 1
    ), numbered AS MATERIALIZED (
        SELECT p.*, row_number() OVER (ORDER BY p.phase_no) AS no FROM priced AS p JOIN here USING (effective_at)
    ), dated AS (
        SELECT n.*, killbill_phases.starts_on AS phase_from, (killbill_phases.starts_on + n.duration)::date AS phase_to FROM numbered AS n WHERE n.no = 1
         UNION ALL
        SELECT n.*, d.phase_to, (d.phase_to + n.duration)::date FROM dated AS d JOIN numbered AS n ON n.no = d.no + 1 WHERE d.phase_to IS NOT NULL
    )
    SELECT d.effective_at, d.phase, d.phase_no, d.final, d.phase_from, d.phase_to FROM dated AS d ORDER BY d.no
$$;
COMMENT ON FUNCTION billing.killbill_phases(text, text, text, text, date, text) IS
'The phases of a plan for a subscription that begins on a day, each with its first day and the first day after it (null = without end), by the imported catalog version in force at that day''s midnight in the time zone. Empty when the plan is not known. Stable.';

CREATE FUNCTION billing.killbill_phase_on(endpoint text, plan text, price_list text, currency text, starts_on date, time_zone text, on_day date) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT f.phase FROM killbill_phases($1, $2, $3, $4, $5, $6) AS f WHERE f.phase_from <= $7 AND (f.phase_to IS NULL OR f.phase_to > $7)
$$;
COMMENT ON FUNCTION billing.killbill_phase_on(text, text, text, text, date, text, date) IS 'The phase of a plan in which a subscription that began on a day is on another; null = none. Stable.';

CREATE FUNCTION billing.killbill_cuts(endpoint text, only_accounts bigint[] DEFAULT NULL) RETURNS TABLE (external_key text, day date, paused boolean)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, billing, pg_temp
AS $$
    -- A version has its own day in each time zone: the server compares instants, and bills days of the account.
    SELECT DISTINCT s.external_key, (p.existing_from AT TIME ZONE a.time_zone)::date, false
      FROM killbill_subscription AS s
     CROSS JOIN LATERAL account_setting_on(s.account_id, greatest(s.starts_on, current_date)) AS a
      JOIN killbill_price AS p ON p.endpoint = s.endpoint AND p.plan = s.plan AND p.price_list = s.price_list AND p.currency = a.currency
     WHERE s.endpoint = killbill_cuts.endpoint AND (killbill_cuts.only_accounts IS NULL OR s.account_id = ANY (killbill_cuts.only_accounts))
       AND p.effective_at > killbill_version_at(s.endpoint, s.plan, s.starts_on, a.time_zone) AND (p.existing_from AT TIME ZONE a.time_zone)::date > s.starts_on
     UNION ALL
    SELECT p.external_key, d.day, d.paused
      FROM killbill_pause AS p
      JOIN killbill_subscription AS s USING (endpoint, external_key)
     CROSS JOIN LATERAL (VALUES (p.paused_from, true), (p.paused_to, false)) AS d (day, paused)
     WHERE p.endpoint = killbill_cuts.endpoint AND (killbill_cuts.only_accounts IS NULL OR s.account_id = ANY (killbill_cuts.only_accounts)) AND d.day IS NOT NULL
$$;
COMMENT ON FUNCTION billing.killbill_cuts(text, bigint[]) IS
'The days on which the server cuts what it bills of a subscription: where a version of the catalog takes effect for existing subscriptions, and where a pause begins (paused) and ends. Stable.';

CREATE FUNCTION billing.killbill_spans(endpoint text, dates daterange, only_accounts bigint[] DEFAULT NULL)
    RETURNS TABLE (account_id bigint, external_key text, plan text, price_list text, currency text, phase text, date_from date, date_to date, cycle_from date, cycle_to date)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH mirrored AS MATERIALIZED (
        SELECT s.account_id, s.external_key, s.plan, s.price_list, a.currency, a.time_zone, s.starts_on
          FROM killbill_subscription AS s CROSS JOIN LATERAL account_setting_on(s.account_id, greatest(s.starts_on, current_date)) AS a
         WHERE s.endpoint = killbill_spans.endpoint AND (killbill_spans.only_accounts IS NULL OR s.account_id = ANY (killbill_spans.only_accounts))
    ), period AS MATERIALIZED (
        SELECT c.* FROM (SELECT DISTINCT m.account_id FROM mirrored AS m) AS a CROSS JOIN LATERAL periods(a.account_id, dates) AS c
    ), phase AS MATERIALIZED (
        -- The first one holds for the whole of the period in which the subscription begins: usage before its first day goes nowhere.
        SELECT k.*, f.phase, CASE WHEN f.phase_from > k.starts_on THEN f.phase_from ELSE '-infinity' END AS phase_from, coalesce(f.phase_to, 'infinity') AS phase_to
          FROM (SELECT DISTINCT m.plan, m.price_list, m.currency, m.time_zone, m.starts_on FROM mirrored AS m) AS k
         CROSS JOIN LATERAL killbill_phases(killbill_spans.endpoint, k.plan, k.price_list, k.currency, k.starts_on, k.time_zone) AS f
    )
    , whole AS (
        SELECT m.account_id, m.external_key, m.plan, m.price_list, m.currency, f.phase, greatest(c.date_from, f.phase_from) AS date_from, least(c.date_to, f.phase_to) AS date_to, c.full_from, c.date_to AS full_to
          FROM mirrored AS m
          JOIN period AS c ON c.account_id = m.account_id AND c.date_to > m.starts_on
          LEFT JOIN phase AS f ON (f.plan, f.price_list, f.currency, f.time_zone, f.starts_on) = (m.plan, m.price_list, m.currency, m.time_zone, m.starts_on) AND f.phase_from < c.date_to AND f.phase_to > c.date_from
    ), cut AS MATERIALIZED (
        -- One who was resumed on the day of the pause was not away.
        SELECT c.external_key, array_agg(DISTINCT c.day) AS days
          FROM killbill_cuts(killbill_spans.endpoint, killbill_spans.only_accounts) AS c
         WHERE NOT EXISTS (SELECT FROM killbill_pause AS p WHERE p.endpoint = killbill_spans.endpoint AND p.external_key = c.external_key AND p.paused_from = c.day AND p.paused_to = c.day)
         GROUP BY c.external_key
    )
    SELECT w.account_id, w.external_key, w.plan, w.price_list, w.currency, w.phase, p.date_from, p.date_to, w.full_from, w.full_to
      FROM whole AS w
      LEFT JOIN cut AS c ON c.external_key = w.external_key
     CROSS JOIN LATERAL (
        SELECT b.day AS date_from, lead(b.day, 1, w.date_to) OVER (ORDER BY b.day) AS date_to
          FROM (SELECT w.date_from AS day UNION SELECT d.day FROM unnest(c.days) AS d (day) WHERE d.day > w.date_from AND d.day < w.date_to) AS b) AS p
     WHERE c.days IS NULL
        OR NOT EXISTS (SELECT FROM killbill_pause AS x WHERE x.endpoint = killbill_spans.endpoint AND x.external_key = w.external_key AND x.paused_from <= p.date_from AND (x.paused_to IS NULL OR x.paused_to > p.date_from))
$$;
COMMENT ON FUNCTION billing.killbill_spans(text, daterange, bigint[]) IS
'The spans that the server bills one by one: the charge periods of each subscription that overlap dates, cut where one phase of its plan ends and the next begins, and where a version of the catalog takes effect for existing subscriptions, because the server counts tiers anew there; without the days of pauses. phase: null = the plan is not known here. cycle_from, cycle_to: the whole month between two cycle days in which the span lies. Stable.';

CREATE FUNCTION billing.killbill_prorated(price numeric, currency text, cycle_from date, cycle_to date, starts_on date, ends_on date) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT round(price * CASE
               WHEN starts_on = cycle_from AND ends_on = cycle_to THEN 1
               WHEN starts_on = cycle_from THEN round((ends_on - starts_on)::numeric / ((cycle_from + interval '1 month')::date - cycle_from), 9)
               ELSE round((ends_on - starts_on)::numeric / (ends_on - (ends_on - interval '1 month')::date), 9) END,
               (SELECT c.minor_unit FROM currencies() AS c WHERE c.code = currency))
$$;
COMMENT ON FUNCTION billing.killbill_prorated(numeric, text, date, date, date, date) IS
'What the server bills of a monthly price for the days from starts_on to before ends_on, inside the month from one cycle day to the next: all of it, or the days over those of a month, that share rounded to 9 decimals, the amount half up to the currency''s minor unit. The month is counted forward from the cycle day where the part begins on it, else backward from the part''s end; from February 28 or to it that is another number of days than between two cycle days, for cycle days after the 28th. Null for a currency that does not exist. Source: InvoiceDateUtils of the server, and invoices of 0.22.26 and 0.24.19. Immutable.';

CREATE FUNCTION billing.killbill_set_phase_usage(endpoint text, account text, plan text, price_list text, currency text, effective_at timestamptz, phase text, phase_from date, phase_to date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    priced record;
BEGIN
    -- Usage is recorded on the meters of the last phase; what the phase does not price costs nothing in it.  Names of usage sections are
    -- there once in a catalog, so that those of two phases belong together by their unit, the first with the first.
    FOR priced IN
        WITH numbered AS (
            SELECT p.*, row_number() OVER (PARTITION BY p.phase, p.usage_type, p.unit ORDER BY p.price_no) AS no
              FROM killbill_price AS p
             WHERE p.endpoint = killbill_set_phase_usage.endpoint AND p.plan = killbill_set_phase_usage.plan AND p.effective_at = killbill_set_phase_usage.effective_at
               AND p.price_list = killbill_set_phase_usage.price_list AND p.currency = killbill_set_phase_usage.currency AND p.kind = 'usage')
        SELECT i.key AS meter, l.key AS list, coalesce(p.tariff, jsonb_build_object('model', 'per_unit', 'currency', f.currency, 'unit_price', '0')::tariff) AS tariff
          FROM numbered AS f
          JOIN item AS i USING (item_id)
          JOIN price_list AS l USING (list_id)
          LEFT JOIN numbered AS p ON p.phase = killbill_set_phase_usage.phase AND p.usage_type = f.usage_type AND p.unit = f.unit AND p.no = f.no
         WHERE f.final
    LOOP
        PERFORM set_price(priced.meter, priced.tariff, valid_from => killbill_set_phase_usage.phase_from::timestamp, valid_to => killbill_set_phase_usage.phase_to::timestamp, price_list => priced.list,
                          account => killbill_set_phase_usage.account, kind => 'meter');
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_set_phase_usage(text, text, text, text, text, timestamptz, text, date, date) IS
'Gives an account the usage prices of a phase before the last one of a plan, for as long as the phase lasts. Volatile.';

CREATE FUNCTION billing.killbill_set_plan(endpoint text, account text, plan text, starts_on date, key text DEFAULT NULL, ends_on date DEFAULT NULL,
                                          price_list text DEFAULT 'DEFAULT', quantity numeric DEFAULT 1)
    RETURNS TABLE (phase text, subscription text, phase_from date, phase_to date)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this_account bigint := find_account(killbill_set_plan.account);
    here         record;
    fee          text;
    found_any    boolean := false;
BEGIN
    PERFORM check_ledger();
    IF killbill_set_plan.starts_on IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a plan needs a first day';
    ELSIF killbill_set_plan.ends_on <= killbill_set_plan.starts_on THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the plan begins on %s and cannot end on %s', killbill_set_plan.starts_on, killbill_set_plan.ends_on);
    END IF;
    FOR here IN
        SELECT f.*, killbill_set_plan.price_list AS price_list, s.currency
          FROM account_setting_on(this_account, killbill_set_plan.starts_on) AS s
         CROSS JOIN LATERAL killbill_phases(killbill_set_plan.endpoint, killbill_set_plan.plan, killbill_set_plan.price_list, s.currency, killbill_set_plan.starts_on, s.time_zone) AS f
    LOOP
        found_any := true;
        phase := here.phase;
        subscription := concat_ws('/', coalesce(killbill_set_plan.key, killbill_set_plan.plan), CASE WHEN NOT here.final THEN here.phase END);
        phase_from := here.phase_from;
        phase_to := least(here.phase_to, killbill_set_plan.ends_on);
        IF phase_to <= phase_from THEN
            IF find_subscription(this_account, subscription, NULL, NULL) IS NOT NULL THEN
                PERFORM end_subscription(killbill_set_plan.account, subscription, phase_from);
            END IF;
            CONTINUE;
        END IF;
        SELECT i.key INTO fee FROM killbill_price AS p JOIN item AS i USING (item_id)
         WHERE p.endpoint = killbill_set_plan.endpoint AND p.effective_at = here.effective_at AND p.plan = killbill_set_plan.plan AND p.phase = here.phase
           AND p.price_list = here.price_list AND p.currency = here.currency AND p.kind = 'recurring';
        IF FOUND THEN
            PERFORM set_subscription(killbill_set_plan.account, subscription, fee => fee, quantity => killbill_set_plan.quantity, starts_on => phase_from, ends_on => coalesce(phase_to, 'infinity'));
        ELSE
            subscription := NULL;
        END IF;
        IF NOT here.final THEN
            PERFORM killbill_set_phase_usage(killbill_set_plan.endpoint, killbill_set_plan.account, killbill_set_plan.plan, here.price_list, here.currency, here.effective_at, here.phase, phase_from, phase_to);
        END IF;
        RETURN NEXT;
    END LOOP;
    IF NOT found_any THEN
        RAISE undefined_object USING MESSAGE = format('the catalog of "%s" has no plan "%s" in price list "%s" in the account''s currency', killbill_set_plan.endpoint, killbill_set_plan.plan, killbill_set_plan.price_list),
            HINT = 'Import it with billing.killbill_pull_catalog() or billing.killbill_import_catalog().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_set_plan(text, text, text, date, text, date, text, numeric) IS
'Subscribes an account that we bill to a plan of an imported catalog, phase by phase: one subscription of ours for each phase that has a recurring price, from its first day to its end, so that the price changes by itself when a phase ends. key: that of the last phase''s subscription, the plan''s name unless given; the phases before have KEY/PHASE. ends_on: first day on which the plan no longer runs; calling again moves it. price_list: of the catalog. Usage goes to the meters of the last phase; in the phases before it has the prices of the phase, for all usage of the account on these meters, and costs nothing where the phase prices none. Returns the phases; subscription null = nothing recurring to pay. Errors: 42704 unknown account or plan, 22004 no first day, 22023 bad end. Volatile.';
