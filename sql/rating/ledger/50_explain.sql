-- From a line back to the usage and prices behind it, and from usage to the lines it is on.

CREATE FUNCTION billing.line_query(line_id bigint, result text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this billing.line := (SELECT l FROM billing.line AS l WHERE l.line_id = line_query.line_id);
    key  charge_key;
    span daterange;
BEGIN
    IF this.line_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('invoice line %s does not exist', line_id), HINT = 'Line numbers are in billing.invoice_lines.';
    END IF;
    SELECT * INTO key FROM charge_key AS k WHERE k.account_id = this.account_id AND k.key_id = this.key_id;
    SELECT daterange(p.date_from, p.date_to) INTO span FROM charge_period AS p WHERE p.account_id = key.account_id AND p.period_no = key.period_no;
    RETURN billing.rating_query(ARRAY[this.account_id], span,
        this.interim_to, this.known_at, this.own_at,
        format(', this_line AS (SELECT l.* FROM billing.line AS l WHERE l.line_id = %s),
                 this_contract AS (SELECT c.* FROM rated_contract AS c WHERE c.variant = 0 AND c.agreement_id = %s AND c.consumer_id = %s),
                 this_segment AS (SELECT s.* FROM rated_segment AS s WHERE s.item_id = %s AND s.spec_no IN (SELECT c.spec_no FROM this_contract AS c)),
                 this_amount AS (SELECT a.* FROM rated_amount AS a JOIN this_contract AS c USING (contract_no) JOIN this_segment AS s USING (segment_no)
                                  WHERE a.subscription_id = %s AND a.charge_group = %L) ',
               this.line_id, key.agreement_id, key.consumer_id, key.item_id, key.subscription_id, key.charge_group) || result,
        true, this.kind = 'interim');
END $$;
COMMENT ON FUNCTION billing.line_query(bigint, text) IS 'SQL text that rates the charge of a final line again, as the run that billed it saw it, and ends in the given SELECT. Stable.';
REVOKE ALL ON FUNCTION billing.line_query(bigint, text) FROM PUBLIC;

CREATE FUNCTION billing.explain_line(line_id bigint)
    RETURNS TABLE (step int, stage text, what text, tier_from numeric, tier_to numeric, quantity numeric, unit_price numeric, amount billing.monetary)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    this billing.line := (SELECT l FROM billing.line AS l WHERE l.line_id = explain_line.line_id);
BEGIN
    PERFORM billing.check_ledger();
    IF this.kind IN ('cancellation', 'void') THEN
        RETURN QUERY SELECT 1, 'reversal', CASE this.kind WHEN 'void' THEN 'the invoice was voided before it was delivered' ELSE 'takes back a line of invoice ' || (SELECT i.number FROM invoice AS i WHERE i.invoice_id = this.corrects_invoice_id) END,
                            NULL::numeric, NULL::numeric, this.quantity, NULL::numeric, this.amount;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE billing.line_query(line_id, $query$
        , counted AS (
            SELECT 10 AS part, row_number() OVER (ORDER BY s.from_at, q.window_at, q.rate_group::text) AS no, 'usage' AS stage,
                   q.events || ' usage rows, ' || s.aggregation || ', from ' || s.from_local || ' to ' || least(s.to_local, c.to_at AT TIME ZONE c.time_zone)
                       || coalesce(' in the window of ' || q.window_at, '') || CASE WHEN q.rate_group <> '{}' THEN ' ' || q.rate_group::text ELSE '' END AS what,
                   NULL::numeric AS tier_from, NULL::numeric AS tier_to, q.quantity, NULL::numeric AS unit_price, NULL::billing.monetary AS amount
              FROM rated_quantity AS q JOIN this_contract AS c USING (contract_no) JOIN this_segment AS s USING (segment_no), this_line AS l
             WHERE q.charge_group = l.charge_group
               AND NOT EXISTS (SELECT FROM this_amount AS a WHERE a.contract_no = q.contract_no AND a.segment_no = q.segment_no AND a.rate_group = q.rate_group AND a.sqlstate IS NOT NULL)
        ), priced AS (
            SELECT a.*, s.tariff, s.fraction, s.interim, s.from_at, s.item_kind, s.carries, s.proration, row_number() OVER (ORDER BY s.from_at, a.rate_group::text) AS no,
                   CASE WHEN a.weight = 1 AND a.divisor = 1 THEN a.amount ELSE a.amount * a.weight / a.divisor END AS prorated
              FROM this_amount AS a JOIN this_segment AS s USING (segment_no)
             WHERE a.sqlstate IS NULL
        ), tier AS (
            SELECT 20 AS part, p.no * 1000 + t.step AS no, 'price' AS stage, t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount
              FROM priced AS p
             CROSS JOIN LATERAL billing.rating_steps(p.tariff, CASE WHEN p.item_kind = 'fee' THEN p.quantity / p.weight ELSE p.quantity END, (SELECT sum(q.events)::bigint FROM rated_quantity AS q WHERE q.contract_no = p.contract_no AND q.segment_no = p.segment_no AND q.rate_group = p.rate_group AND q.charge_group = p.charge_group),
                                                     p.rate_group, CASE WHEN p.item_kind = 'fee' THEN 1 ELSE p.fraction END, NOT p.interim) AS t
             WHERE NOT p.carries AND p.units IS NULL
            UNION ALL
            SELECT 20, p.no * 1000 + t.step, 'price', t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount
              FROM priced AS p
             CROSS JOIN LATERAL (SELECT x.* FROM billing.rating_steps(p.tariff, p.units, NULL, NULL, p.fraction, NOT p.interim) AS x WHERE NOT p.units ? ''
                                 UNION ALL SELECT x.* FROM billing.rating_steps(p.tariff, (p.units ->> '')::numeric, NULL, NULL, p.fraction, NOT p.interim) AS x WHERE p.units ? '') AS t
             WHERE p.units IS NOT NULL
            UNION ALL
            SELECT 20, p.no * 1000, 'price', 'tiers go on from the price before', NULL, NULL, p.quantity, NULL, p.amount FROM priced AS p WHERE p.carries
            UNION ALL
            SELECT 30, p.no, 'proration', CASE WHEN p.divisor = 1 THEN trim_scale(p.weight) || ' of the ' || p.proration ELSE trim_scale(p.weight) || ' of ' || trim_scale(p.divisor) || CASE p.proration WHEN 'second' THEN ' seconds' ELSE ' days' END END
                       || CASE WHEN p.proration <> 'day_half_open' THEN ', rule ' || p.proration ELSE '' END, NULL, NULL, NULL, NULL, p.prorated - p.amount
              FROM priced AS p WHERE p.prorated <> p.amount
        ), ended AS (
            SELECT t.* FROM tier AS t
            UNION ALL
            SELECT 40, 1, 'rounding', CASE split_part(d.rounding, ' ', 1) WHEN 'line' THEN 'each price by itself, ' || split_part(d.rounding, ' ', 2) WHEN 'detail' THEN 'each part of each price by itself, ' || split_part(d.rounding, ' ', 2)
                                                              ELSE 'to the minor unit, once' END, NULL, NULL, NULL, NULL, d.base - x.total
              FROM (SELECT sum(t.amount) AS total FROM tier AS t) AS x, rated_difference AS d, this_line AS l
             WHERE d.key_id = l.key_id AND d.base <> x.total
            UNION ALL
            SELECT 45, 1, 'policy', 'changes of closed periods that the correction policy bills', NULL, NULL, NULL, NULL, d.target - d.base
              FROM rated_difference AS d, this_line AS l WHERE d.key_id = l.key_id AND d.target <> d.base
            UNION ALL
            SELECT 50, c.decision_id, 'decision', c.kind || ': ' || c.reason, NULL, NULL, NULL, NULL, c.amount
              FROM billing.decision AS c, this_line AS l
             WHERE c.account_id = l.account_id AND c.key_id = l.key_id
               -- what the run itself decided to ignore is stamped after its watermark
               AND (billing.known(c.recorded_at, l.known_at, l.own_at)
                    OR (c.kind = 'ignored' AND c.recorded_at < (SELECT i.recorded_at FROM billing.invoice AS i WHERE i.invoice_id = l.invoice_id)))
            UNION ALL
            SELECT 60, 1, 'billed before', 'sum of ' || (l.chain_no - 1) || ' earlier lines of this charge', NULL, NULL, NULL, NULL, - l.booked_before
              FROM this_line AS l WHERE billing.amount(l.booked_before) <> 0
        ), shown AS (
            SELECT * FROM counted UNION ALL SELECT * FROM ended
            UNION ALL
            SELECT 70, 1, 'not reproduced', CASE WHEN l.rating_version <> billing.rating_version() THEN 'rated by other rules then (version ' || l.rating_version || ')'
                                                 ELSE 'usage of this sealed period has left, see usage_dropped' END, NULL, NULL, NULL, NULL, l.amount - coalesce(x.total, l.amount - l.amount)
              FROM this_line AS l, (SELECT sum(e.amount) AS total FROM ended AS e) AS x
             WHERE x.total IS DISTINCT FROM l.amount
            UNION ALL
            SELECT 80, 1, 'cause', 'of this correction: ' || e.key || ' ' || e.value, NULL, NULL, NULL, NULL, NULL
              FROM this_line AS l CROSS JOIN jsonb_each_text(l.causes) AS e
            UNION ALL
            SELECT 90, 1, 'tax', l.tax_category || ' ' || trim_scale(l.tax_rate) || ' %, on the sum of the invoice''s lines of this rate', NULL, NULL, NULL, l.tax_rate, NULL
              FROM this_line AS l
        )
        SELECT (row_number() OVER (ORDER BY x.part, x.no))::int, x.stage, x.what, x.tier_from, x.tier_to, x.quantity, x.unit_price, x.amount
          FROM shown AS x ORDER BY 1 $query$);
END $$;
COMMENT ON FUNCTION billing.explain_line(bigint) IS
'How a final line came to its amount, rated again with the facts and prices of the run that billed it: usage rows and what they add up to, tier steps, proration, rounding, decisions, what was billed before, causes of a correction, tax. The amounts add up to the line''s amount exactly. Errors: 42704 unknown line. Stable.';

CREATE FUNCTION billing.line_usage(line_id bigint)
    RETURNS TABLE (key uuid, revision smallint, starts_at timestamptz, ends_at timestamptz, recorded numeric, counted numeric, resource text, dimensions jsonb, recorded_at timestamptz, standing text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
BEGIN
    PERFORM billing.check_ledger();
    RETURN QUERY EXECUTE billing.line_query(line_id, $query$
        SELECT u.key, u.revision, billing.starts_at(u.consumed), u.ends_at, billing.quantity(u.consumed), billing.quantity(p.part), r.key, u.dimensions, u.recorded_at,
               CASE WHEN x.recorded_at < l.known_at THEN 'taken back' WHEN u.recorded_at >= prev.known_at THEN 'new' ELSE 'counted' END
          FROM this_line AS l
         CROSS JOIN this_contract AS c
          JOIN this_segment AS s ON s.spec_no = c.spec_no
          JOIN billing.usage AS u ON u.account_id = c.consumer_id AND u.meter_id = s.item_id
          LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
          LEFT JOIN billing.resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
          LEFT JOIN billing.line AS prev ON prev.account_id = l.account_id AND prev.key_id = l.key_id AND prev.chain_no = l.prev_no
         CROSS JOIN LATERAL (SELECT billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part) AS p
         WHERE p.part IS NOT NULL AND u.ends_at >= {usage_from} AND u.ends_at <= {usage_to}
           AND (u.recorded_at < l.known_at OR u.recorded_at = l.own_at)
           AND (x.recorded_at IS NULL OR x.recorded_at >= l.known_at OR x.recorded_at >= prev.known_at)
           AND (s.filter = '{}' OR billing.meter_accepts(s.filter, u.dimensions))
           AND (s.charge_by = '{}' OR billing.chosen_dimensions(s.charge_by, u.dimensions, r.key) = l.charge_group)
           -- what the price has no cell for is not on the line
           AND NOT EXISTS (SELECT FROM this_amount AS a
                            WHERE a.contract_no = c.contract_no AND a.segment_no = s.segment_no AND a.sqlstate IS NOT NULL
                              AND a.rate_group = billing.chosen_dimensions(s.rate_by, u.dimensions, r.key))
         ORDER BY u.ends_at, u.key, u.revision $query$);
END $$;
COMMENT ON FUNCTION billing.line_usage(bigint) IS
'The usage rows behind a final line: what was recorded and what of it falls into the line''s period. standing: counted, new since the line before, or taken back since then. Errors: 42704 unknown line. Stable.';

CREATE FUNCTION billing.usage_lines(account text, id text, source text DEFAULT NULL)
    RETURNS TABLE (line_id bigint, invoice_number text, line_amount billing.monetary, period_from date, period_to date, item text, kind text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    consumer bigint := billing.account_id(account);
    wanted   uuid := billing.usage_key_of(id, source);
BEGIN
    PERFORM billing.check_ledger();
    RETURN QUERY
        SELECT DISTINCT l.line_id, i.number, l.amount, l.period_from, l.period_to, l.item_key, l.kind
          FROM usage_key AS y
          JOIN usage AS u ON u.account_id = y.account_id AND u.key = y.key
          JOIN charge_key AS k ON k.consumer_id = u.account_id AND k.item_id = u.meter_id
          JOIN charge_period AS p ON p.account_id = k.account_id AND p.period_no = k.period_no
          LEFT JOIN resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
          JOIN line AS l ON l.account_id = k.account_id AND l.key_id = k.key_id
          JOIN invoice AS i ON i.invoice_id = l.invoice_id
         WHERE y.account_id = consumer AND y.key = wanted
           AND billing.clip(u.consumed, p.starts_at, p.ends_at) IS NOT NULL
           AND l.known_at > u.recorded_at
           AND k.charge_group = billing.chosen_dimensions(ARRAY(SELECT jsonb_object_keys(k.charge_group)), u.dimensions, r.key)
           AND EXISTS (SELECT FROM billing.line_usage(l.line_id) AS w WHERE w.key = u.key AND w.revision = u.revision)
         ORDER BY l.line_id;
END $$;
COMMENT ON FUNCTION billing.usage_lines(text, text, text) IS 'The final lines on which recorded usage was counted, by the account, the id and the source it was recorded with. Stable.';
