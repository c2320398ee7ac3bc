-- Charge periods: stored when first needed, a month of all accounts a turn; borders never change again.

-- Queries that follow, and plans that sessions keep, would go on with what a table was when it was small.
CREATE FUNCTION billing.analyze_grown(relation regclass, added bigint, columns text DEFAULT '') RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF added > 1000 AND added > (SELECT c.reltuples / 10 FROM pg_class AS c WHERE c.oid = relation) THEN
        EXECUTE format('ANALYZE %s %s', relation, columns);
    END IF;
END $$;
COMMENT ON FUNCTION billing.analyze_grown(regclass, bigint, text) IS 'Gathers statistics of a table to which so many rows were added that the old ones mislead: more than a thousand, and more than a tenth. columns: only of these, in parentheses. Volatile.';
REVOKE ALL ON FUNCTION billing.analyze_grown(regclass, bigint, text) FROM PUBLIC;

CREATE FUNCTION billing.account_setting_at(account_id bigint, day date, known_at timestamptz, own_at timestamptz) RETURNS billing.account_setting
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT s FROM billing.account_setting AS s
     WHERE s.account_id = $1 AND s.from_date <= $2 AND billing.known(s.recorded_at, $3, $4)
     ORDER BY s.setting_no DESC LIMIT 1
$$;
COMMENT ON FUNCTION billing.account_setting_at(bigint, date, timestamptz, timestamptz) IS 'The settings of an account that hold on a day, as known at a watermark; null if there are none. Stable.';

-- Where the periods of accounts that have none begin: on the day said, else with the cycle of the first fact.
CREATE FUNCTION billing.start_calendars(known_at timestamptz, own_at timestamptz, only_account bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    started bigint;
    since   timestamptz := CASE WHEN only_account IS NULL THEN (SELECT l.last_known_at FROM ledger_state AS l) ELSE '-infinity' END;
    -- one pass over all usage instead of a look at each account
    many    boolean := only_account IS NULL AND (SELECT count(*) > 1000 FROM account AS a JOIN agreement AS g ON g.buyer_id = a.account_id JOIN agreement_term AS t USING (agreement_id)
                                                  WHERE a.starts_on IS NULL AND lower(t.known) >= since
                                                    AND NOT EXISTS (SELECT FROM account_calendar AS c WHERE c.account_id = a.account_id));
BEGIN
    WITH newcomer AS MATERIALIZED (
        SELECT a.account_id, a.starts_on FROM account AS a
         WHERE NOT EXISTS (SELECT FROM account_calendar AS c WHERE c.account_id = a.account_id)
           AND (only_account IS NULL OR a.account_id = only_account)
    ), used AS MATERIALIZED (
        -- What was known at the last run has begun the calendars it could; beyond what is new, only new agreements and settings bring older usage in.
        SELECT x.account_id, min(starts_at(x.consumed)) AS first_at FROM usage AS x
         WHERE billing.known(x.recorded_at, start_calendars.known_at, start_calendars.own_at) AND (many OR x.recorded_at >= since)
           AND EXISTS (SELECT FROM newcomer AS m WHERE m.starts_on IS NULL)
         GROUP BY x.account_id
        UNION ALL
        SELECT c.account_id, (SELECT min(starts_at(x.consumed)) FROM usage AS x
                               WHERE x.account_id = c.account_id AND billing.known(x.recorded_at, start_calendars.known_at, start_calendars.own_at))
          FROM (SELECT DISTINCT d.account_id
                  FROM newcomer AS n
                  JOIN agreement AS a ON a.buyer_id = n.account_id
                  JOIN agreement_term AS t ON t.agreement_id = a.agreement_id
                   AND (lower(t.known) >= since OR EXISTS (SELECT FROM account_setting AS s WHERE s.account_id = n.account_id AND s.recorded_at >= since))
                 CROSS JOIN LATERAL (SELECT t.consumer_id AS account_id UNION ALL SELECT d FROM descendants(t.consumer_id, start_calendars.known_at, start_calendars.own_at) AS d WHERE t.with_descendants) AS d
                 WHERE n.starts_on IS NULL AND NOT many) AS c
    ), consumed AS (
        SELECT a.buyer_id AS account_id, min(u.first_at) AS first_at
          FROM newcomer AS n
          JOIN agreement AS a ON a.buyer_id = n.account_id
          JOIN agreement_term AS t ON t.agreement_id = a.agreement_id
         CROSS JOIN LATERAL (SELECT t.consumer_id AS account_id UNION ALL SELECT d FROM descendants(t.consumer_id, start_calendars.known_at, start_calendars.own_at) AS d WHERE t.with_descendants) AS c
          JOIN (SELECT u.account_id, min(u.first_at) AS first_at FROM used AS u WHERE u.first_at IS NOT NULL GROUP BY u.account_id) AS u ON u.account_id = c.account_id
         WHERE n.starts_on IS NULL
         GROUP BY a.buyer_id
    ), subscribed AS (
        SELECT a.buyer_id AS account_id, min(lower(t.dates)) AS first_day
          FROM newcomer AS n JOIN agreement AS a ON a.buyer_id = n.account_id
          JOIN subscription AS b USING (agreement_id) JOIN subscription_term AS t USING (subscription_id)
         WHERE billing.known(t.known, start_calendars.known_at, start_calendars.own_at)
         GROUP BY a.buyer_id
    ), first_day AS (
        SELECT n.account_id, n.starts_on IS NOT NULL AS said, s.cycle_day, s.time_zone,
               coalesce(n.starts_on, least((c.first_at AT TIME ZONE s.time_zone)::date, b.first_day)) AS day
          FROM newcomer AS n
          LEFT JOIN consumed AS c USING (account_id)
          LEFT JOIN subscribed AS b USING (account_id)
         CROSS JOIN LATERAL (SELECT x.cycle_day, x.time_zone FROM account_setting AS x
                              WHERE x.account_id = n.account_id AND billing.known(x.recorded_at, start_calendars.known_at, start_calendars.own_at)
                                AND x.from_date <= coalesce(n.starts_on, least((c.first_at AT TIME ZONE x.time_zone)::date, b.first_day))
                              ORDER BY x.setting_no DESC LIMIT 1) AS s
    )
    INSERT INTO account_calendar (account_id, period_no, date_to, ends_at, next_date_to)
    SELECT f.account_id, 0, f.start, f.start::timestamp AT TIME ZONE f.time_zone, f.start   -- store_periods() finds the first border
      FROM (SELECT *, CASE WHEN d.said THEN d.day ELSE last_cycle_date(d.day, d.cycle_day) END AS start FROM first_day AS d WHERE d.day IS NOT NULL) AS f
     ORDER BY f.account_id
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS started = ROW_COUNT;
    IF started > 1000 THEN
        ANALYZE account_calendar;
    END IF;
    RETURN started;
END $$;
COMMENT ON FUNCTION billing.start_calendars(timestamptz, timestamptz, bigint) IS
'Begins the calendar of accounts that have none: on account.starts_on, otherwise with the cycle that holds the account''s first usage or subscription. Returns how many began.';

CREATE FUNCTION billing.store_periods(through date, known_at timestamptz, own_at timestamptz, only_account bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    stored bigint := 0;
    turn   bigint;
BEGIN
    PERFORM billing.start_calendars(known_at, own_at, only_account);
    UPDATE account_calendar AS c SET next_date_to = c.date_to
     WHERE c.next_date_to > c.date_to AND (only_account IS NULL OR c.account_id = only_account)
       AND c.account_id IN (SELECT s.account_id FROM account_setting AS s
                             WHERE s.recorded_at >= (SELECT l.last_known_at FROM ledger_state AS l));
    LOOP
        WITH wanted AS (
            SELECT c.account_id, c.period_no, c.date_to, c.ends_at FROM account_calendar AS c
             WHERE c.next_date_to <= through AND (only_account IS NULL OR c.account_id = only_account)
            UNION
            SELECT c.account_id, c.period_no, c.date_to, c.ends_at
              FROM account_calendar AS c
             WHERE c.date_to <= through AND (only_account IS NULL OR c.account_id = only_account)
               AND c.account_id IN (SELECT a.buyer_id FROM agreement AS a JOIN subscription AS b USING (agreement_id) JOIN fee_definition AS f USING (item_id) WHERE f.in_advance
                                    UNION ALL
                                    SELECT a.buyer_id FROM agreement AS a JOIN agreement_term AS t USING (agreement_id) WHERE num_nonnulls(t.progressive_threshold, t.progressive_thresholds, t.progressive_every) > 0)
        ), bordered AS (
            SELECT w.account_id, w.period_no + 1 AS period_no, w.date_to AS date_from, next_cycle_date(w.date_to, s.cycle_day) AS date_to,
                   w.ends_at AS starts_at, s.time_zone, s.cycle_day, s.grace
              FROM wanted AS w
              JOIN account_setting AS s ON s.account_id = w.account_id AND s.from_date <= w.date_to AND billing.known(s.recorded_at, store_periods.known_at, store_periods.own_at)
               AND NOT EXISTS (SELECT FROM account_setting AS x WHERE x.account_id = w.account_id AND x.setting_no > s.setting_no
                                  AND x.from_date <= w.date_to AND billing.known(x.recorded_at, store_periods.known_at, store_periods.own_at))
        ), inserted AS (
            INSERT INTO charge_period (account_id, period_no, date_from, date_to, full_from, starts_at, ends_at, time_zone, due_at)
            SELECT b.account_id, b.period_no, b.date_from, b.date_to, last_cycle_date(b.date_to - 1, b.cycle_day), b.starts_at,
                   b.date_to::timestamp AT TIME ZONE b.time_zone, b.time_zone, (b.date_to::timestamp AT TIME ZONE b.time_zone) + b.grace
              FROM bordered AS b
             WHERE b.date_to <= through
                OR b.account_id IN (SELECT a.buyer_id FROM agreement AS a JOIN subscription AS x USING (agreement_id) JOIN fee_definition AS f USING (item_id) WHERE f.in_advance
                                    UNION ALL
                                    SELECT a.buyer_id FROM agreement AS a JOIN agreement_term AS t USING (agreement_id) WHERE num_nonnulls(t.progressive_threshold, t.progressive_thresholds, t.progressive_every) > 0)
             ORDER BY b.account_id
            RETURNING account_id, period_no, date_from, date_to, ends_at
        ), moved AS (
            UPDATE account_calendar AS c
               SET period_no = coalesce(i.period_no, c.period_no), date_to = coalesce(i.date_to, c.date_to), ends_at = coalesce(i.ends_at, c.ends_at),
                   next_date_to = CASE WHEN i.account_id IS NULL THEN b.date_to ELSE next_cycle_date(i.date_to, (   -- by the setting that holds from then on
                       SELECT x.cycle_day FROM account_setting AS x
                        WHERE x.account_id = c.account_id AND x.from_date <= i.date_to AND billing.known(x.recorded_at, store_periods.known_at, store_periods.own_at)
                        ORDER BY x.setting_no DESC LIMIT 1)) END
              FROM bordered AS b LEFT JOIN inserted AS i USING (account_id)
             WHERE c.account_id = b.account_id
        )
        SELECT count(*) FROM inserted INTO turn;
        stored := stored + turn;
        EXIT WHEN turn = 0;
    END LOOP;
    PERFORM billing.analyze_grown('billing.charge_period', stored);
    RETURN stored;
END $$;
COMMENT ON FUNCTION billing.store_periods(date, timestamptz, timestamptz, bigint) IS
'Stores the charge periods that are needed up to a day: those that end by it, and the running ones of accounts with fees in advance or progressive billing. Returns how many. Periods tile by date: each starts where the one before ended, and ends at midnight of its last day in the zone then in force.';

CREATE FUNCTION billing.periods(buyer bigint, dates daterange)
    RETURNS TABLE (account_id bigint, period_no int, date_from date, date_to date, full_from date, starts_at timestamptz, ends_at timestamptz, time_zone text,
                   due_at timestamptz, interim_to date, advance_known_at timestamptz, looked_known_at timestamptz, looked_own_at timestamptz,
                   closed_known_at timestamptz, closed_own_at timestamptz, rating_version int, sealed_at timestamptz, stored boolean)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 2 SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    own    account_calendar;
    first  record;
    here   account_setting;
    day    date;
BEGIN
    RETURN QUERY
        SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone, p.due_at, p.interim_to, p.advance_known_at,
               p.looked_known_at, p.looked_own_at, p.closed_known_at, p.closed_own_at, p.rating_version, p.sealed_at, true
          FROM charge_period AS p
         WHERE p.account_id = buyer AND daterange(p.date_from, p.date_to) && dates;
    SELECT * INTO own FROM account_calendar AS c WHERE c.account_id = buyer;
    IF NOT FOUND THEN
        SELECT a.starts_on INTO first FROM account AS a WHERE a.account_id = buyer;
        here := account_setting_at(buyer, coalesce(first.starts_on, 'infinity'), 'infinity', NULL);
        IF here.account_id IS NULL THEN
            RETURN;
        END IF;
        day := coalesce(first.starts_on, last_cycle_date(least(
            -- as start_calendars() finds it
            (SELECT min(u.first_at) AT TIME ZONE here.time_zone
               FROM (SELECT t.consumer_id AS account_id FROM agreement AS a JOIN agreement_term AS t USING (agreement_id) WHERE a.buyer_id = buyer
                     UNION
                     SELECT d FROM agreement AS a JOIN agreement_term AS t USING (agreement_id) CROSS JOIN LATERAL descendants(t.consumer_id, 'infinity', NULL) AS d
                      WHERE a.buyer_id = buyer AND t.with_descendants) AS c
              CROSS JOIN LATERAL (SELECT min(starts_at(x.consumed)) AS first_at FROM usage AS x WHERE x.account_id = c.account_id) AS u)::date,
            (SELECT min(lower(t.dates)) FROM agreement AS a JOIN subscription AS b USING (agreement_id) JOIN subscription_term AS t USING (subscription_id) WHERE a.buyer_id = buyer)), here.cycle_day));
        own := (buyer, 0, day, day::timestamp AT TIME ZONE here.time_zone, day);
    END IF;
    WHILE own.date_to < upper(dates) LOOP
        here := account_setting_at(buyer, own.date_to, 'infinity', NULL);
        EXIT WHEN here.account_id IS NULL;
        day := next_cycle_date(own.date_to, here.cycle_day);
        IF daterange(own.date_to, day) && dates THEN
            RETURN QUERY SELECT own.account_id, own.period_no + 1, own.date_to, day, last_cycle_date(day - 1, here.cycle_day), own.ends_at,
                                day::timestamp AT TIME ZONE here.time_zone, here.time_zone, (day::timestamp AT TIME ZONE here.time_zone) + here.grace,
                                NULL::date, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::int, NULL::timestamptz, false;
        END IF;
        own := (own.account_id, own.period_no + 1, day, day::timestamp AT TIME ZONE here.time_zone, day);
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.periods(bigint, daterange) IS
'The charge periods of an account that overlap a span of days: those that are stored, and those that a run would store, by the settings known now. Stable.';
