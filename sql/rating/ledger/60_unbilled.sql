-- What is not billed, and why.

CREATE FUNCTION billing.unbilled_usage(dates daterange, account text DEFAULT NULL)
    RETURNS TABLE (account_key text, meter text, usage_key uuid, revision smallint, starts_at timestamptz, ends_at timestamptz, quantity numeric,
                   seller text, agreement text, reason text, detail text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_nestloop = off SET jit = off SET jit = off
AS $$
DECLARE
    only_account bigint := billing.account_id(account);
    longest interval := (SELECT s.longest_usage FROM ledger_state AS s);
    query   text;
    step    text;
BEGIN
    PERFORM billing.check_ledger();
    IF dates IS NULL OR isempty(dates) OR lower_inf(dates) OR upper_inf(dates) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dates must be a bounded, non-empty range of days, not %s', coalesce(dates::text, 'null')),
            HINT = 'For one month: ''[2026-10-01,2026-11-01)''.';
    END IF;
    -- The stored periods, with what the rating of each key came to in the last run; everything else has not fallen due.
    query := format($text$
        WITH rated_period AS MATERIALIZED (
            SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone, true AS rate_arrears, true AS rate_usage, true AS rate_advance,
                   false AS interim, NULL::date AS interim_to, p.ends_at AS rated_to, p.closed_known_at, p.closed_own_at, p.looked_known_at, p.looked_own_at,
                   billing.rating_version() AS rating_version, false AS sealed, 'due' AS batch
              FROM billing.charge_period AS p WHERE daterange(p.date_from, p.date_to) && %1$L::daterange %2$s)
        $text$, daterange(lower(dates) - 1, upper(dates) + 1),
        CASE WHEN only_account IS NULL THEN '' ELSE format('AND p.account_id IN (SELECT a.buyer_id FROM billing.agreement AS a JOIN billing.agreement_term AS t USING (agreement_id) WHERE t.consumer_id = %1$L OR t.with_descendants)', only_account) END);
    FOREACH step IN ARRAY ARRAY['rated_view', 'rated_contract', 'rated_spec', 'rated_segment'] LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    RETURN QUERY EXECUTE billing.fill_in(query || format($text$
        , setting AS MATERIALIZED (
            SELECT DISTINCT ON (x.account_id) x.account_id, x.time_zone, x.status, x.currency FROM billing.account_setting AS x ORDER BY x.account_id, x.setting_no DESC
        ), member AS MATERIALIZED (   -- whose usage each agreement charges
            SELECT a.agreement_id, a.buyer_id, a.seller_id, a.key AS agreement_key, c.consumer_id, t.valid, l.currency AS list_currency, s.currency AS buyer_currency
              FROM billing.agreement_term AS t
              JOIN billing.agreement AS a USING (agreement_id)
              JOIN billing.price_list AS l USING (list_id)
              JOIN setting AS s ON s.account_id = a.buyer_id
             CROSS JOIN LATERAL (SELECT t.consumer_id UNION ALL
                                 SELECT d FROM billing.descendants(t.consumer_id, 'infinity', NULL) AS d WHERE t.with_descendants) AS c
             WHERE upper_inf(t.known)
        ), attention AS MATERIALIZED (   -- periods and keys whose usage may not be billed although it has a price
            SELECT q.account_id, q.period_no, NULL::int AS item_id FROM billing.pending AS q
            UNION
            SELECT k.account_id, k.period_no, k.item_id FROM billing.charge_key AS k
             WHERE k.frozen_at IS NOT NULL
                OR (k.account_id, k.key_id) IN (SELECT y.account_id, y.key_id FROM billing.decision AS y WHERE y.kind IN ('waived', 'dispute'))
        ), placed AS MATERIALIZED (   -- usage that is not plainly billed; most rows end here
            SELECT u.account_id, u.meter_id, u.key, u.revision, u.consumed, u.ends_at, u.recorded_at, u.dimensions, z.key AS resource_key, x.kind AS superseded_by, s.status,
                   m.agreement_id, m.buyer_id, m.seller_id, m.agreement_key, m.list_currency, m.buyer_currency,
                   p.period_no, p.looked_known_at, p.sealed_at, p.due_at, p.ends_at AS period_ends_at, g.segment_no, g.enabled, g.filter, g.charge_by,
                   CASE WHEN cardinality(g.rate_by) > 0 THEN billing.try_rate(g.tariff, billing.quantity(u.consumed), 1, billing.chosen_dimensions(g.rate_by, u.dimensions, z.key), 1, true) END AS tried
              FROM billing.usage AS u
              JOIN setting AS s USING (account_id)
              LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
              LEFT JOIN billing.resource AS z ON z.account_id = u.account_id AND z.resource_id = u.resource_id
              LEFT JOIN member AS m ON m.consumer_id = u.account_id AND m.valid @> (u.ends_at AT TIME ZONE s.time_zone)::date
              LEFT JOIN billing.charge_period AS p ON p.account_id = m.buyer_id AND daterange(p.date_from, p.date_to) && %6$L::daterange
               AND billing.clip(u.consumed, p.starts_at, p.ends_at) IS NOT NULL
              LEFT JOIN rated_contract AS r ON r.variant = 0 AND r.account_id = m.buyer_id AND r.period_no = p.period_no AND r.agreement_id = m.agreement_id AND r.consumer_id = u.account_id
              LEFT JOIN rated_segment AS g ON g.spec_no = r.spec_no AND g.item_id = u.meter_id
               AND billing.clip(u.consumed, greatest(r.from_at, g.from_at), least(r.to_at, g.to_at)) IS NOT NULL
              LEFT JOIN (SELECT DISTINCT t.account_id, t.period_no FROM attention AS t) AS t ON t.account_id = p.account_id AND t.period_no = p.period_no
             WHERE u.ends_at >= %1$L AND u.ends_at <= %2$L %3$s
               AND (u.ends_at BETWEEN %4$L AND %5$L OR daterange((billing.starts_at(u.consumed) AT TIME ZONE s.time_zone)::date, (u.ends_at AT TIME ZONE s.time_zone)::date, '[]') && %7$L::daterange)
               AND (x.account_id IS NOT NULL OR g.segment_no IS NULL OR NOT g.enabled OR p.sealed_at IS NOT NULL OR t.account_id IS NOT NULL
                    OR p.looked_known_at IS NULL OR u.recorded_at >= p.looked_known_at OR cardinality(g.rate_by) > 0
                    OR (g.filter <> '{}' AND NOT billing.meter_accepts(g.filter, u.dimensions)))
        ), judged AS (
            SELECT p.*, q.detail AS pending_detail, f.first_at, CASE
                     WHEN p.superseded_by IS NOT NULL THEN 'superseded'
                     WHEN p.agreement_id IS NULL AND p.status = 'closed' THEN 'account_closed'
                     WHEN p.agreement_id IS NULL THEN 'no_agreement'
                     WHEN p.buyer_currency <> p.list_currency THEN 'currency'
                     WHEN p.period_no IS NULL AND p.ends_at <= f.first_at THEN 'before_start'
                     WHEN p.sealed_at IS NOT NULL AND p.recorded_at >= p.sealed_at THEN 'sealed'
                     WHEN p.sealed_at IS NOT NULL THEN NULL
                     WHEN p.period_no IS NULL OR (p.looked_known_at IS NULL AND p.period_ends_at > now()) THEN 'not_due'
                     WHEN p.looked_known_at IS NULL AND p.due_at > now() THEN 'in_grace'
                     WHEN p.looked_known_at IS NULL THEN 'not_due'
                     WHEN p.segment_no IS NULL AND NOT coalesce((SELECT m.enabled FROM billing.meter_definition AS m WHERE m.item_id = p.meter_id AND upper_inf(m.known)), true) THEN 'meter_off'
                     WHEN p.segment_no IS NULL THEN 'no_price'
                     WHEN NOT p.enabled THEN 'meter_off'
                     WHEN p.filter <> '{}' AND NOT billing.meter_accepts(p.filter, p.dimensions) THEN 'filtered'
                     WHEN (p.tried).sqlstate = 'BL001' THEN 'unmatched_cell'
                     WHEN k.frozen_at IS NOT NULL THEN 'on_hold'
                     WHEN q.detail IS NOT NULL AND EXISTS (SELECT FROM billing.run_error AS e WHERE e.run_id = q.run_id AND e.account_id = p.buyer_id AND e.period_no = p.period_no AND e.item_id = p.meter_id)
                          THEN CASE WHEN q.detail LIKE 'BL002 %%' THEN 'negative_quantity' ELSE 'rating_error' END
                     WHEN p.recorded_at >= p.looked_known_at THEN 'not_due'
                     WHEN EXISTS (SELECT FROM billing.decision AS y WHERE y.account_id = k.account_id AND y.key_id = k.key_id AND y.kind = 'waived') THEN 'waived'
                     WHEN EXISTS (SELECT FROM billing.decision AS y WHERE y.account_id = k.account_id AND y.key_id = k.key_id AND y.kind = 'dispute') THEN 'disputed'
                   END AS reason
              FROM placed AS p
              LEFT JOIN (SELECT h.account_id, min(h.starts_at) AS first_at FROM billing.charge_period AS h GROUP BY h.account_id) AS f ON f.account_id = p.buyer_id
              LEFT JOIN billing.charge_key AS k ON k.account_id = p.buyer_id AND k.period_no = p.period_no AND k.agreement_id = p.agreement_id AND k.item_id = p.meter_id
               AND k.component = 'usage' AND k.consumer_id = p.account_id AND k.charge_group = billing.chosen_dimensions(p.charge_by, p.dimensions, p.resource_key)
              LEFT JOIN billing.pending AS q ON q.account_id = p.buyer_id AND q.period_no = p.period_no
        )
        SELECT a.key, i.key, j.key, j.revision, billing.starts_at(j.consumed), j.ends_at, billing.quantity(j.consumed), s.key, j.agreement_key, j.reason,
               CASE j.reason WHEN 'superseded' THEN j.superseded_by WHEN 'currency' THEN j.list_currency || ' list, ' || j.buyer_currency || ' account'
                             WHEN 'unmatched_cell' THEN (j.tried).detail WHEN 'rating_error' THEN j.pending_detail WHEN 'negative_quantity' THEN j.pending_detail
                             WHEN 'before_start' THEN 'the first period begins at ' || j.first_at WHEN 'not_due' THEN CASE WHEN j.looked_known_at IS NOT NULL THEN 'recorded after the last run' END END
          FROM judged AS j
          JOIN billing.account AS a ON a.account_id = j.account_id
          JOIN billing.item AS i ON i.item_id = j.meter_id
          LEFT JOIN billing.seller AS s ON s.seller_id = j.seller_id
         WHERE j.reason IS NOT NULL
         ORDER BY a.key, i.key, j.ends_at, j.key, j.revision
    $text$, lower(dates)::timestamp AT TIME ZONE 'UTC' - interval '15 hours', upper(dates)::timestamp AT TIME ZONE 'UTC' + interval '15 hours' + longest,
    CASE WHEN only_account IS NULL THEN '' ELSE format('AND u.account_id = %L', only_account) END,
    lower(dates)::timestamp AT TIME ZONE 'UTC' + interval '15 hours' + longest, upper(dates)::timestamp AT TIME ZONE 'UTC' - interval '15 hours',
    daterange(lower(dates) - 1, upper(dates) + 1), dates), 'infinity', NULL);
END $$;
COMMENT ON FUNCTION billing.unbilled_usage(daterange, text) IS
'Every usage row of a span of days (in each account''s calendar) that no charge counts, with the reason, for each agreement that could charge it: not_due, in_grace, no_agreement, unmatched_cell, filtered, meter_off, on_hold, disputed, waived, negative_quantity, rating_error, no_price, currency, account_closed, before_start, sealed, superseded. Usage included at price 0 is billed. Of all accounts, or one. Errors: 42704, 22023. Stable.';
