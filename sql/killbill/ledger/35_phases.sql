-- Phases of plans: a trial or a discount, then what lasts.  Each begins on a day that follows from the subscription's first one, so that
-- all of them are facts with dates from the beginning and nothing has to happen when one ends.

CREATE FUNCTION billing.killbill_phases(endpoint text, plan text, price_list text, currency text, starts_on date)
    RETURNS TABLE (effective_at timestamptz, phase text, phase_no int, final boolean, phase_from date, phase_to date)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 3 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH RECURSIVE priced AS MATERIALIZED (
        SELECT DISTINCT p.effective_at, p.phase, p.phase_no, p.final, p.duration
          FROM killbill_price AS p
         WHERE p.endpoint = killbill_phases.endpoint AND p.plan = killbill_phases.plan AND p.price_list = killbill_phases.price_list AND p.currency = killbill_phases.currency
    ), here AS (
        SELECT p.effective_at FROM priced AS p ORDER BY (p.effective_at AT TIME ZONE 'UTC')::date <= killbill_phases.starts_on DESC,
               CASE WHEN (p.effective_at AT TIME ZONE 'UTC')::date <= killbill_phases.starts_on THEN p.effective_at END DESC, p.effective_at LIMIT 1
    ), numbered AS MATERIALIZED (
        SELECT p.*, row_number() OVER (ORDER BY p.phase_no) AS no FROM priced AS p JOIN here USING (effective_at)
    ), dated AS (
        SELECT n.*, killbill_phases.starts_on AS phase_from, (killbill_phases.starts_on + n.duration)::date AS phase_to FROM numbered AS n WHERE n.no = 1
         UNION ALL
        SELECT n.*, d.phase_to, (d.phase_to + n.duration)::date FROM dated AS d JOIN numbered AS n ON n.no = d.no + 1 WHERE d.phase_to IS NOT NULL
    )
    SELECT d.effective_at, d.phase, d.phase_no, d.final, d.phase_from, d.phase_to FROM dated AS d ORDER BY d.no
$$;
COMMENT ON FUNCTION billing.killbill_phases(text, text, text, text, date) IS
'The phases of a plan for a subscription that begins on a day, each with its first day and the first day after it (null = without end), by the imported catalog version in force then. Empty when the plan is not known. Stable.';

CREATE FUNCTION billing.killbill_phase_on(endpoint text, plan text, price_list text, currency text, starts_on date, on_day date) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT f.phase FROM killbill_phases($1, $2, $3, $4, $5) AS f WHERE f.phase_from <= $6 AND (f.phase_to IS NULL OR f.phase_to > $6)
$$;
COMMENT ON FUNCTION billing.killbill_phase_on(text, text, text, text, date, date) IS 'The phase of a plan in which a subscription that began on a day is on another; null = none. Stable.';

CREATE FUNCTION billing.killbill_set_phase_usage(endpoint text, account text, plan text, price_list text, currency text, effective_at timestamptz, phase text, phase_from date, phase_to date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    priced record;
BEGIN
    -- Usage is recorded on the meters of the last phase; what the phase does not price costs nothing in it.
    FOR priced IN
        SELECT i.key AS meter, l.key AS list, coalesce(p.tariff, jsonb_build_object('model', 'per_unit', 'currency', f.currency, 'unit_price', '0')::tariff) AS tariff
          FROM killbill_price AS f
          JOIN item AS i USING (item_id)
          JOIN price_list AS l USING (list_id)
          LEFT JOIN killbill_price AS p ON p.endpoint = f.endpoint AND p.effective_at = f.effective_at AND p.plan = f.plan AND p.price_list = f.price_list AND p.currency = f.currency
                                       AND p.kind = 'usage' AND p.phase = killbill_set_phase_usage.phase AND p.usage_name = f.usage_name AND p.unit = f.unit
         WHERE f.endpoint = killbill_set_phase_usage.endpoint AND f.plan = killbill_set_phase_usage.plan AND f.effective_at = killbill_set_phase_usage.effective_at
           AND f.price_list = killbill_set_phase_usage.price_list AND f.currency = killbill_set_phase_usage.currency AND f.kind = 'usage' AND f.final
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
         CROSS JOIN LATERAL killbill_phases(killbill_set_plan.endpoint, killbill_set_plan.plan, killbill_set_plan.price_list, s.currency, killbill_set_plan.starts_on) AS f
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
