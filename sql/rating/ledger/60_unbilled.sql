-- What is not billed, and why.
--
-- Usage is looked at as a charge would look at it: an interval is cut at the borders of the buyer's charge periods, of the agreement
-- and of prices, and each piece is either counted by exactly one charge, as the last run saw it, or reported with one reason.  A
-- quantity that is reported is that of the piece, so that what is counted and what is reported add up to what was recorded.
-- The text holds these words in braces: {dates}, {from}, {to} (bounds of ends_at), {inner_from},
-- {inner_to} (where no time zone matters), {one_account}, {known_at}, {own_at}.

CREATE FUNCTION billing.unbilled_text() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $text$
        , setting AS MATERIALIZED (
            SELECT DISTINCT ON (x.account_id) x.account_id, x.time_zone, x.status, x.currency FROM billing.account_setting AS x ORDER BY x.account_id, x.setting_no DESC
        ), member AS MATERIALIZED (   -- whose usage each agreement charges, and on which days
            SELECT a.agreement_id, a.buyer_id, a.seller_id, a.key AS agreement_key, c.consumer_id, l.currency, range_agg(t.valid) AS valid
              FROM billing.agreement_term AS t
              JOIN billing.agreement AS a USING (agreement_id)
              JOIN billing.price_list AS l USING (list_id)
             CROSS JOIN LATERAL (SELECT t.consumer_id UNION ALL
                                 SELECT d FROM billing.descendants(t.consumer_id, 'infinity', NULL) AS d WHERE t.with_descendants) AS c
             WHERE upper_inf(t.known)
             GROUP BY a.agreement_id, c.consumer_id, l.currency
        ), timeline AS MATERIALIZED (   -- the stored periods of each buyer, and the time before and after them
            SELECT p.account_id, p.period_no, p.starts_at, p.ends_at, p.time_zone, p.due_at, p.looked_known_at, p.looked_own_at, p.sealed_at, c.currency AS buyer_currency
              FROM rated_period AS r JOIN billing.charge_period AS p USING (account_id, period_no)
             -- a period has the currency with which it begins
             CROSS JOIN LATERAL (SELECT x.currency FROM billing.account_setting AS x WHERE x.account_id = p.account_id AND x.from_date <= p.date_from ORDER BY x.setting_no DESC LIMIT 1) AS c
            UNION ALL
            SELECT s.account_id, -1, '-infinity', f.first_at, s.time_zone, NULL, NULL, NULL, NULL, s.currency
              FROM setting AS s JOIN (SELECT p.account_id, min(p.starts_at) AS first_at FROM billing.charge_period AS p GROUP BY p.account_id) AS f USING (account_id) WHERE f.first_at > {from}
            UNION ALL
            SELECT s.account_id, NULL, coalesce(c.ends_at, '-infinity'), 'infinity', s.time_zone, NULL, NULL, NULL, NULL, s.currency
              FROM setting AS s LEFT JOIN billing.account_calendar AS c USING (account_id) WHERE coalesce(c.ends_at, '-infinity') <= {to}
        ), attention AS MATERIALIZED (   -- periods with charges whose usage may not be billed although it has a price
            SELECT q.account_id, q.period_no FROM billing.pending AS q
            UNION
            SELECT k.account_id, k.period_no FROM billing.charge_key AS k
             WHERE k.frozen_at IS NOT NULL
                OR (k.account_id, k.key_id) IN (SELECT y.account_id, y.key_id FROM billing.decision AS y WHERE y.kind IN ('waived', 'dispute'))
        ), placed AS MATERIALIZED (   -- pieces that are not plainly billed; most rows end here
            SELECT u.account_id, u.meter_id, u.key, u.revision, u.consumed, u.ends_at, u.recorded_at, u.dimensions, z.key AS resource_key, s.status, s.time_zone AS consumer_zone,
                   x.kind AS changed, x.recorded_at AS changed_at, m.agreement_id, m.buyer_id, m.seller_id, m.agreement_key, m.currency, p.buyer_currency,
                   p.period_no, p.looked_known_at, p.looked_own_at, p.sealed_at, p.due_at, p.starts_at AS period_starts_at, p.ends_at AS period_ends_at, p.time_zone,
                   r.contract_no, r.from_at, r.to_at, g.segment_no, g.enabled, g.filter, g.charge_by, w.whole, w.contract_part, w.part,
                   r.contract_no IS NOT NULL OR ((p.period_no IS NULL OR p.period_no = -1 OR m.currency <> p.buyer_currency) AND m.valid && w.days) AS reached,
                   billing.starts_at(u.consumed) < u.ends_at AND (w.part IS NULL OR w.part <> u.consumed) AS cut,
                   CASE WHEN cardinality(g.rate_by) > 0 THEN billing.try_rate(g.tariff, billing.quantity(w.part), 1, billing.chosen_dimensions(g.rate_by, billing.rated_dimensions(g.by_tenant, u.dimensions, u.account_id), z.key), 1, true) END AS tried
              FROM billing.usage AS u
              JOIN setting AS s USING (account_id)
              LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
              LEFT JOIN billing.resource AS z ON z.account_id = u.account_id AND z.resource_id = u.resource_id
              LEFT JOIN member AS m ON m.consumer_id = u.account_id
              LEFT JOIN timeline AS p ON p.account_id = m.buyer_id AND billing.clip(u.consumed, p.starts_at, p.ends_at) IS NOT NULL
              LEFT JOIN rated_contract AS r ON r.variant = 0 AND r.account_id = p.account_id AND r.period_no = p.period_no AND r.agreement_id = m.agreement_id AND r.consumer_id = u.account_id
               AND r.currency = m.currency AND billing.clip(u.consumed, r.from_at, r.to_at) IS NOT NULL
              LEFT JOIN rated_segment AS g ON g.spec_no = r.spec_no AND g.item_id = u.meter_id
               AND billing.clip(u.consumed, greatest(r.from_at, g.from_at), least(r.to_at, g.to_at)) IS NOT NULL
              LEFT JOIN attention AS t ON t.account_id = p.account_id AND t.period_no = p.period_no
             CROSS JOIN LATERAL (SELECT billing.clip(u.consumed, p.starts_at, p.ends_at) AS whole, billing.clip(u.consumed, r.from_at, r.to_at) AS contract_part,
                                        billing.clip(u.consumed, greatest(r.from_at, g.from_at), least(r.to_at, g.to_at)) AS part,
                                        daterange((greatest(billing.starts_at(u.consumed), p.starts_at) AT TIME ZONE p.time_zone)::date,
                                                  (least(greatest(billing.starts_at(u.consumed), u.ends_at - interval '1 microsecond'), p.ends_at) AT TIME ZONE p.time_zone)::date, '[]') AS days) AS w
             WHERE u.ends_at >= {from} AND u.ends_at <= {to} {one_account}
               AND (u.ends_at BETWEEN {inner_from} AND {inner_to}
                    OR daterange((billing.starts_at(u.consumed) AT TIME ZONE s.time_zone)::date, (u.ends_at AT TIME ZONE s.time_zone)::date, '[]') && {dates})
               AND (x.account_id IS NOT NULL OR g.segment_no IS NULL OR NOT g.enabled OR p.sealed_at IS NOT NULL OR t.account_id IS NOT NULL
                    OR p.looked_known_at IS NULL OR u.recorded_at >= p.looked_known_at OR cardinality(g.rate_by) > 0
                    OR (g.filter <> '{}' AND NOT billing.meter_accepts(g.filter, u.dimensions, billing.quantity(u.consumed)))
                    OR (billing.starts_at(u.consumed) < u.ends_at AND w.part <> u.consumed))
        ), doubtful AS (   -- rows of which no agreement may charge some part
            SELECT DISTINCT p.account_id, p.meter_id, p.key, p.revision, p.consumed, p.ends_at, p.status, p.changed FROM placed AS p WHERE NOT coalesce(p.reached, false) OR p.cut
        ), charged AS (
            SELECT d.account_id, d.key, d.revision, d.ends_at,
                   range_agg(tstzrange(greatest(billing.starts_at(d.consumed), w.from_at), least(d.ends_at, w.to_at))) AS spans
              FROM doubtful AS d
              JOIN member AS m ON m.consumer_id = d.account_id
              JOIN timeline AS p ON p.account_id = m.buyer_id AND billing.clip(d.consumed, p.starts_at, p.ends_at) IS NOT NULL
              LEFT JOIN rated_contract AS r ON r.variant = 0 AND r.account_id = p.account_id AND r.period_no = p.period_no AND r.agreement_id = m.agreement_id AND r.consumer_id = d.account_id
               AND r.currency = m.currency AND billing.clip(d.consumed, r.from_at, r.to_at) IS NOT NULL
             CROSS JOIN LATERAL (SELECT coalesce(r.from_at, p.starts_at) AS from_at, coalesce(r.to_at, p.ends_at) AS to_at,
                                        daterange((greatest(billing.starts_at(d.consumed), p.starts_at) AT TIME ZONE p.time_zone)::date,
                                                  (least(greatest(billing.starts_at(d.consumed), d.ends_at - interval '1 microsecond'), p.ends_at) AT TIME ZONE p.time_zone)::date, '[]') AS days) AS w
             WHERE r.contract_no IS NOT NULL OR ((p.period_no IS NULL OR p.period_no = -1 OR m.currency <> p.buyer_currency) AND m.valid && w.days)
             GROUP BY d.account_id, d.key, d.revision, d.ends_at
        ), judged AS (
            -- pieces that an agreement charges and a price covers, or whose period is not there
            SELECT p.account_id, p.meter_id, p.key, p.revision, p.consumed, p.ends_at, p.seller_id, p.agreement_key, p.looked_known_at, p.period_ends_at, p.changed, p.currency, p.buyer_currency,
                   (p.tried).detail AS unmatched, e.detail AS problem, billing.quantity(CASE WHEN p.looked_known_at IS NULL THEN coalesce(p.contract_part, p.whole) ELSE coalesce(p.part, p.whole) END) AS quantity, CASE
                     WHEN p.changed IS NOT NULL AND (p.looked_known_at IS NULL OR billing.known(p.changed_at, p.looked_known_at, p.looked_own_at)) THEN 'superseded'
                     WHEN p.currency <> p.buyer_currency THEN 'currency'
                     WHEN p.period_no = -1 THEN 'before_start'
                     WHEN p.recorded_at >= p.sealed_at THEN 'sealed'
                     WHEN p.looked_known_at IS NOT NULL AND NOT p.enabled THEN 'meter_off'
                     WHEN p.looked_known_at IS NOT NULL AND p.filter <> '{}' AND NOT billing.meter_accepts(p.filter, p.dimensions, billing.quantity(p.consumed)) THEN 'filtered'
                     WHEN p.looked_known_at IS NOT NULL AND (p.tried).sqlstate = 'BL001' THEN 'unmatched_cell'
                     WHEN (b.line OR (b.draft AND k.frozen_at IS NULL)) AND NOT f.given_up THEN NULL
                     WHEN p.looked_known_at IS NULL AND p.due_at > now() AND p.period_ends_at <= now() THEN 'in_grace'
                     WHEN p.looked_known_at IS NULL THEN 'not_due'
                     WHEN k.frozen_at IS NOT NULL THEN 'on_hold'
                     WHEN e.detail IS NOT NULL THEN CASE e.sqlstate WHEN 'BL002' THEN 'negative_quantity' ELSE 'rating_error' END
                     WHEN NOT billing.known(p.recorded_at, p.looked_known_at, p.looked_own_at) THEN 'not_due'
                     WHEN f.given_up THEN f.kind
                   END AS reason
              FROM (SELECT x.*, row_number() OVER (PARTITION BY x.account_id, x.key, x.revision, x.ends_at, x.agreement_id, x.currency, x.period_no, x.contract_no ORDER BY x.segment_no) = 1 AS is_first
                      FROM placed AS x WHERE x.reached) AS p
             CROSS JOIN LATERAL (SELECT billing.charge_group(p.charge_by, p.dimensions, p.resource_key) AS charge_group) AS c
              LEFT JOIN billing.charge_key AS k ON k.account_id = p.buyer_id AND k.period_no = p.period_no AND k.agreement_id = p.agreement_id AND k.item_id = p.meter_id
               AND k.component = 'usage' AND k.consumer_id = p.account_id AND k.charge_group = c.charge_group
              LEFT JOIN (SELECT q.account_id, q.period_no, y.agreement_id, y.item_id, y.charge_group, min(y.sqlstate) AS sqlstate, min(y.detail) AS detail
                           FROM billing.pending AS q JOIN billing.run_error AS y USING (run_id, account_id, period_no) GROUP BY q.account_id, q.period_no, y.agreement_id, y.item_id, y.charge_group) AS e
                ON e.account_id = p.buyer_id AND e.period_no = p.period_no AND e.agreement_id = p.agreement_id AND e.item_id = p.meter_id AND e.charge_group = c.charge_group
             -- Whether a line, or a draft that was left as it is, counts it; only then it matters that the charge is frozen or fails today.
             CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM billing.line AS l
                                                 WHERE l.account_id = k.account_id AND l.key_id = k.key_id AND l.kind IN ('charge', 'interim', 'correction') AND billing.known(p.recorded_at, l.known_at, l.own_at)
                                                   AND (l.interim_to IS NULL OR p.ends_at <= (l.interim_to::timestamp AT TIME ZONE p.time_zone))
                                                   AND NOT EXISTS (SELECT FROM billing.invoice_event AS v WHERE v.invoice_id = l.invoice_id AND v.event IN ('voided', 'cancelled'))) AS line,
                                        e.detail IS NOT NULL AND EXISTS (SELECT FROM billing.draft_line AS d
                                                 WHERE d.account_id = k.account_id AND d.key_id = k.key_id AND billing.known(p.recorded_at, d.known_at, d.own_at)) AS draft) AS b
              LEFT JOIN LATERAL (SELECT CASE min(y.kind) FILTER (WHERE y.kind <> 'goodwill') WHEN 'dispute' THEN 'disputed' ELSE 'waived' END AS kind,
                                        bool_or(y.kind IN ('waived', 'dispute')) AND coalesce(billing.amount(k.looked_owed) <> 0 AND billing.amount(k.looked_owed) + billing.amount(sum(y.amount)) = 0, false) AS given_up
                                   FROM billing.decision AS y WHERE y.account_id = k.account_id AND y.key_id = k.key_id) AS f ON true
             WHERE CASE WHEN p.looked_known_at IS NULL OR p.contract_no IS NULL THEN p.is_first ELSE p.segment_no IS NOT NULL END
            UNION ALL
            -- what of a contract no price covers: points as they are, of intervals what the segments leave
            SELECT p.account_id, p.meter_id, p.key, p.revision, p.consumed, p.ends_at, p.seller_id, p.agreement_key, p.looked_known_at, p.period_ends_at, p.changed, p.currency, p.buyer_currency, NULL, NULL, q.quantity,
                   CASE WHEN p.changed IS NOT NULL AND billing.known(p.changed_at, p.looked_known_at, p.looked_own_at) THEN 'superseded'
                        WHEN p.recorded_at >= p.sealed_at THEN 'sealed' WHEN NOT billing.known(p.recorded_at, p.looked_known_at, p.looked_own_at) THEN 'not_due'
                        WHEN NOT coalesce(o.enabled, true) THEN 'meter_off' ELSE 'no_price' END
              FROM (SELECT DISTINCT ON (x.account_id, x.key, x.revision, x.ends_at, x.contract_no) x.*,
                           range_agg(CASE WHEN x.segment_no IS NOT NULL THEN tstzrange(billing.starts_at(x.part), billing.ends_at(x.part)) END)
                               OVER (PARTITION BY x.account_id, x.key, x.revision, x.ends_at, x.contract_no) AS priced
                      FROM placed AS x WHERE x.contract_no IS NOT NULL AND x.looked_known_at IS NOT NULL AND (x.segment_no IS NULL OR x.cut)) AS p
             CROSS JOIN LATERAL (SELECT sum(billing.quantity(billing.clip(p.consumed, lower(h), upper(h)))) AS quantity
                                   FROM unnest(tstzmultirange(tstzrange(billing.starts_at(p.contract_part), billing.ends_at(p.contract_part))) - coalesce(p.priced, '{}')) AS h
                                  WHERE billing.starts_at(p.consumed) < p.ends_at
                                 HAVING count(*) > 0
                                 UNION ALL
                                 SELECT billing.quantity(p.consumed) WHERE billing.starts_at(p.consumed) = p.ends_at AND p.segment_no IS NULL) AS q
              LEFT JOIN billing.meter_definition AS o ON o.item_id = p.meter_id AND upper_inf(o.known)
            UNION ALL
            -- what no agreement charges
            SELECT d.account_id, d.meter_id, d.key, d.revision, d.consumed, d.ends_at, NULL, NULL, NULL, NULL, d.changed, NULL, NULL, NULL, NULL, q.quantity,
                   CASE WHEN d.changed IS NOT NULL THEN 'superseded' WHEN d.status = 'closed' THEN 'account_closed' ELSE 'no_agreement' END
              FROM doubtful AS d
              LEFT JOIN charged AS c USING (account_id, key, revision, ends_at)
             CROSS JOIN LATERAL (SELECT sum(billing.quantity(billing.clip(d.consumed, lower(h), upper(h)))) AS quantity
                                   FROM unnest(tstzmultirange(tstzrange(billing.starts_at(d.consumed), d.ends_at)) - coalesce(c.spans, '{}')) AS h
                                  WHERE billing.starts_at(d.consumed) < d.ends_at
                                 HAVING count(*) > 0
                                 UNION ALL
                                 SELECT billing.quantity(d.consumed) WHERE billing.starts_at(d.consumed) = d.ends_at AND c.account_id IS NULL) AS q
        )
        SELECT a.key, i.key, j.key, j.revision, billing.starts_at(j.consumed), j.ends_at, j.quantity, s.key, j.agreement_key, j.reason,
               CASE j.reason WHEN 'superseded' THEN j.changed WHEN 'currency' THEN j.currency || ' list, ' || j.buyer_currency || ' account'
                             WHEN 'unmatched_cell' THEN j.unmatched WHEN 'rating_error' THEN j.problem WHEN 'negative_quantity' THEN j.problem
                             WHEN 'before_start' THEN 'the first period begins at ' || j.period_ends_at
                             WHEN 'not_due' THEN CASE WHEN j.looked_known_at IS NOT NULL THEN 'recorded after the last run' END END
          FROM judged AS j
          JOIN billing.account AS a ON a.account_id = j.account_id
          JOIN billing.item AS i ON i.item_id = j.meter_id
          LEFT JOIN billing.seller AS s ON s.seller_id = j.seller_id
         WHERE j.reason IS NOT NULL
         ORDER BY a.key, i.key, j.ends_at, j.key, j.revision, s.key, j.agreement_key, j.reason, j.quantity
    $text$
$function$;
COMMENT ON FUNCTION billing.unbilled_text() IS 'Text of the query behind unbilled_usage(), after the steps of rating up to the price segments. Immutable.';

CREATE FUNCTION billing.unbilled_usage(dates daterange, account text DEFAULT NULL)
    RETURNS TABLE (account_key text, meter text, usage_key uuid, revision smallint, starts_at timestamptz, ends_at timestamptz, quantity numeric,
                   seller text, agreement text, reason text, detail text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_nestloop = off SET jit = off
AS $$
DECLARE
    only_account bigint := CASE WHEN account IS NOT NULL THEN billing.find_account(account) END;
    longest interval := (SELECT s.longest_usage FROM ledger_state AS s);
    wide    daterange;
    query   text;
    step    text;
BEGIN
    PERFORM billing.check_ledger();
    IF dates IS NULL OR isempty(dates) OR lower_inf(dates) OR upper_inf(dates) OR NOT isfinite(lower(dates)) OR NOT isfinite(upper(dates)) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dates must be a bounded, non-empty range of days, not %s', coalesce(dates::text, 'null')),
            HINT = 'For one month: ''[2026-10-01,2026-11-01)''.';
    END IF;
    -- The longest usage that touches the days may reach this far into other periods.
    wide := daterange((lower(dates) - longest)::date - 1, (upper(dates) + longest)::date + 1);
    query := format($text$
        WITH rated_period AS MATERIALIZED (
            SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone, true AS rate_arrears, true AS rate_usage, true AS rate_advance,
                   false AS interim, NULL::date AS interim_to, p.ends_at AS rated_to, p.closed_known_at, p.closed_own_at, p.looked_known_at, p.looked_own_at,
                   billing.rating_version() AS rating_version, false AS sealed, 'due' AS batch,
                   p.advance_known_at, NULL::timestamptz AS advance_pinned_at, NULL::timestamptz AS advance_pinned_own   -- fees use nothing
              FROM billing.charge_period AS p WHERE daterange(p.date_from, p.date_to) && %1$L::daterange %2$s)
        $text$, wide,
        CASE WHEN only_account IS NULL THEN '' ELSE format('AND p.account_id IN (SELECT a.buyer_id FROM billing.agreement AS a JOIN billing.agreement_term AS t USING (agreement_id) WHERE t.consumer_id = %1$L OR t.with_descendants)', only_account) END);
    FOREACH step IN ARRAY billing.pricing_steps() LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    query := query || billing.unbilled_text();
    query := replace(query, '{dates}', format('%L::daterange', dates));
    query := replace(query, '{from}', format('%L::timestamptz', lower(dates)::timestamp AT TIME ZONE 'UTC' - interval '15 hours'));
    query := replace(query, '{to}', format('%L::timestamptz', upper(dates)::timestamp AT TIME ZONE 'UTC' + interval '15 hours' + longest));
    query := replace(query, '{inner_from}', format('%L::timestamptz', lower(dates)::timestamp AT TIME ZONE 'UTC' + interval '15 hours' + longest));
    query := replace(query, '{inner_to}', format('%L::timestamptz', upper(dates)::timestamp AT TIME ZONE 'UTC' - interval '15 hours'));
    query := replace(query, '{one_account}', CASE WHEN only_account IS NULL THEN '' ELSE format('AND u.account_id = %L', only_account) END);
    RETURN QUERY EXECUTE billing.fill_in(query, 'infinity', NULL);
END $$;
COMMENT ON FUNCTION billing.unbilled_usage(daterange, text) IS
'Every piece of usage of a span of days (in each account''s calendar) that no charge counts, with the reason, for each agreement that could charge it: not_due, in_grace, no_agreement, unmatched_cell, filtered, meter_off, on_hold, disputed, waived, negative_quantity, rating_error, no_price, currency, account_closed, before_start, sealed, superseded. quantity is that of the piece: of an interval, what lies in the period, price hole or gap between agreements. Usage included at price 0 is billed. Of all accounts, or one. Errors: 42704, 22023. Stable.';
