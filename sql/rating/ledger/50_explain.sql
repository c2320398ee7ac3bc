-- From a line back to the usage and prices behind it, and from usage to the lines it is on.

CREATE FUNCTION billing.line_rating_text() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT $text$, this_line AS (
            SELECT l.* FROM billing.line AS l WHERE l.line_id = {line_id}
        ), this_contract AS (
            SELECT c.* FROM rated_contract AS c WHERE c.variant = CASE WHEN EXISTS (SELECT FROM rated_amount AS a JOIN rated_contract AS x USING (contract_no) WHERE x.variant = 10 AND a.subscription_id = NULLIF({subscription_id}, 0)) THEN 10 ELSE 0 END
               AND c.agreement_id = {agreement_id} AND c.consumer_id = {consumer_id}
        ), this_segment AS (
            SELECT s.* FROM rated_segment AS s WHERE s.item_id = {item_id} AND s.spec_no IN (SELECT c.spec_no FROM this_contract AS c)
        ), this_amount AS (
            SELECT a.* FROM rated_amount AS a JOIN this_contract AS c USING (contract_no) JOIN this_segment AS s USING (segment_no)
             WHERE a.subscription_id = {subscription_id} AND a.charge_group = {charge_group}
        ) $text$
$function$;
COMMENT ON FUNCTION billing.line_rating_text() IS
'What of the rating pipeline belongs to one final line, as SQL text that follows its steps: the line {line_id} and the charge {agreement_id}, {consumer_id}, {item_id}, {subscription_id}, {charge_group}. Immutable.';

CREATE FUNCTION billing.line_query(line_id bigint, result text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this billing.line := (SELECT l FROM billing.line AS l WHERE l.line_id = line_query.line_id);
    key  charge_key;
    span daterange;
BEGIN
    IF this.line_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('invoice line %s does not exist', coalesce(line_id::text, 'null')), HINT = 'Line numbers are in billing.invoice_lines.';
    END IF;
    SELECT * INTO key FROM charge_key AS k WHERE k.account_id = this.account_id AND k.key_id = this.key_id;
    SELECT daterange(p.date_from, p.date_to) INTO span FROM charge_period AS p WHERE p.account_id = key.account_id AND p.period_no = key.period_no;
    -- The charge group last: nothing is looked for in what it holds.
    RETURN billing.fill_words(billing.fill_words(
        billing.rating_query(ARRAY[this.account_id], span, this.interim_to, this.known_at, this.own_at, billing.line_rating_text() || result, true, this.kind = 'interim'),
        jsonb_build_object('line_id', this.line_id, 'agreement_id', key.agreement_id, 'consumer_id', key.consumer_id, 'item_id', key.item_id,
                           'subscription_id', key.subscription_id)), jsonb_build_object('charge_group', format('%L::jsonb', key.charge_group)));
END $$;
COMMENT ON FUNCTION billing.line_query(bigint, text) IS 'SQL text that rates the charge of a final line again, as the run that billed it saw it, and ends in the given SELECT. Stable.';
REVOKE ALL ON FUNCTION billing.line_query(bigint, text) FROM PUBLIC;

-- The same as a function whose plan a session keeps, as rate_accounts() has one.
DO $define$
DECLARE
    query text := billing.account_rating_text(true) || billing.line_rating_text() || $tail$
        , measured AS (   -- as the steps of rating do it: what of a tariff that goes on was counted at the prices before
            SELECT q.*, s.from_at, s.from_local, s.to_local, s.aggregation, s.tariff, s.fraction, s.interim, s.by_units, (s.walks OR s.by_rows) AND q.events > 0 AS walks, s.chain,
                   s.prorated, s.mutates, s.mutate, s.scale_by, s.scale_over, billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals) AS rounded,
                   CASE WHEN s.carries THEN coalesce(sum(billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals))
                                                         OVER (PARTITION BY q.contract_no, q.rate_group, q.window_at ORDER BY s.from_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) ELSE 0 END AS before,
                   c.to_at, c.time_zone, row_number() OVER (ORDER BY s.from_at, q.window_at, q.rate_group::text) AS no
              FROM rated_quantity AS q JOIN this_contract AS c USING (contract_no) JOIN this_segment AS s USING (segment_no), this_line AS l
             WHERE q.charge_group = l.charge_group
        ), counted AS (
            SELECT m.* FROM measured AS m
             WHERE NOT EXISTS (SELECT FROM this_amount AS a WHERE a.contract_no = m.contract_no AND a.segment_no = m.segment_no AND a.rate_group = m.rate_group AND a.sqlstate IS NOT NULL)
        ), asked AS (   -- what each price is asked
            SELECT x.*, row_number() OVER (ORDER BY x.from_at, x.place) AS no
              FROM (SELECT c.from_at, c.no AS place, c.tariff, c.rounded AS quantity, c.before, c.events, c.rate_group, c.fraction, NOT c.interim AS complete, NULL::jsonb AS units
                      FROM counted AS c WHERE c.quantity IS NOT NULL AND NOT c.by_units AND NOT c.walks
                    UNION ALL
                    SELECT s.from_at, 0, s.tariff, CASE s.item_kind WHEN 'fee' THEN a.quantity / a.weight ELSE a.quantity END, 0, CASE s.item_kind WHEN 'meter' THEN 0 END,
                           a.rate_group, CASE s.item_kind WHEN 'fee' THEN 1 ELSE s.fraction END, NOT s.interim, a.units
                      FROM this_amount AS a JOIN this_segment AS s USING (segment_no)
                     WHERE a.sqlstate IS NULL
                       AND (a.units IS NOT NULL OR NOT EXISTS (SELECT FROM measured AS m WHERE m.contract_no = a.contract_no AND m.segment_no = a.segment_no))) AS x
        ), tier AS (
            SELECT 20 AS part, p.no * 1000 + t.step AS no, 'price' AS stage, t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount
              FROM asked AS p
             CROSS JOIN LATERAL billing.rating_steps(p.tariff, p.quantity, p.events, p.rate_group, p.fraction, p.complete) AS t
             WHERE p.before = 0 AND p.units IS NULL
            UNION ALL
            SELECT 20, p.no * 1000 + t.step, 'price', t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount
              FROM asked AS p
             CROSS JOIN LATERAL (SELECT x.* FROM billing.rating_steps(p.tariff, p.units, NULL, NULL, p.fraction, p.complete) AS x WHERE NOT p.units ? ''
                                 UNION ALL SELECT x.* FROM billing.rating_steps(p.tariff, (p.units ->> '')::numeric, NULL, NULL, p.fraction, p.complete) AS x WHERE p.units ? '') AS t
             WHERE p.units IS NOT NULL
            UNION ALL
            SELECT 20, c.no * 1000, 'price', CASE WHEN c.chain IS NULL AND c.prorated IS NULL THEN 'each usage row by itself, in time order'
                                                    WHEN c.chain IS NULL THEN 'tiers walked in time order, each usage row with its part of the period'
                                                    ELSE 'each usage row by the modules ' || (SELECT string_agg(m ->> 'module', ', ' ORDER BY n) FROM jsonb_array_elements(c.chain) WITH ORDINALITY AS x(m, n)) END, NULL, NULL, c.rounded, NULL, a.amount
              FROM counted AS c JOIN this_amount AS a USING (contract_no, segment_no, rate_group) WHERE c.walks
            UNION ALL
            -- Tiers that go on: those of all that was counted so far, less those of what was counted at the prices before.
            SELECT 20, p.no * 1000 + t.step, 'price', t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount
              FROM asked AS p
             CROSS JOIN LATERAL (
                SELECT min(y.step) AS step, y.tier_from, y.tier_to, y.unit_price, sum(y.quantity) AS quantity, sum(y.amount) AS amount,
                       CASE WHEN bool_and(y.earlier) THEN 'counted before the price changed: ' || min(y.what)
                            WHEN bool_or(y.earlier) THEN min(y.what) FILTER (WHERE NOT y.earlier) || coalesce(', ' || trim_scale(- sum(y.quantity) FILTER (WHERE y.earlier)) || ' of them before the price changed', '')
                            ELSE min(y.what) END AS what
                  FROM (SELECT t.step, t.what, t.tier_from, t.tier_to, t.quantity, t.unit_price, t.amount, false AS earlier
                          FROM billing.rating_steps(p.tariff, p.before + p.quantity, p.events, p.rate_group, p.fraction, p.complete) AS t
                        UNION ALL
                        SELECT t.step, t.what, t.tier_from, t.tier_to, - t.quantity, t.unit_price, - t.amount, true
                          FROM billing.rating_steps(p.tariff, p.before, p.events, p.rate_group, p.fraction, p.complete) AS t) AS y
                 GROUP BY y.tier_from, y.tier_to, y.unit_price, y.quantity IS NULL
                HAVING amount(sum(y.amount)) <> 0 OR sum(y.quantity) <> 0) AS t
             WHERE p.before <> 0
            UNION ALL
            SELECT 30, p.no, 'proration', CASE WHEN p.divisor = 1 THEN trim_scale(p.weight) || ' of the ' || p.proration ELSE trim_scale(p.weight) || ' of ' || trim_scale(p.divisor) || CASE p.proration WHEN 'second' THEN ' seconds' ELSE ' days' END END
                       || CASE WHEN p.proration <> 'day_half_open' THEN ', rule ' || p.proration ELSE '' END, NULL, NULL, NULL, NULL, p.prorated - p.amount
              FROM (SELECT row_number() OVER (ORDER BY s.from_at) AS no, s.proration, a.weight, a.divisor, a.amount, billing.monetary(round(amount(a.amount) * a.weight, 30) / a.divisor, billing.currency(a.amount)) AS prorated
                      FROM this_amount AS a JOIN this_segment AS s USING (segment_no)
                     WHERE a.sqlstate IS NULL AND NOT (a.weight = 1 AND a.divisor = 1)) AS p
             WHERE p.prorated <> p.amount
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
            SELECT 10 AS part, c.no, 'usage' AS stage,
                   CASE WHEN c.aggregation = 'time_weighted' THEN 'levels held' ELSE c.events || CASE c.events WHEN 1 THEN ' usage row' ELSE ' usage rows' END END || ', ' || c.aggregation
                       || coalesce(', prorated by ' || c.prorated, '') || CASE WHEN c.mutates THEN ', each ' || coalesce(c.mutate, 'with an offset') ELSE '' END || ', from ' || c.from_local || ' to ' || least(c.to_local, c.to_at AT TIME ZONE c.time_zone)
                       || coalesce(' in the window of ' || c.window_at, '') || CASE WHEN c.rate_group <> '{}' THEN ' ' || c.rate_group::text ELSE '' END
                       || CASE WHEN c.scale_by <> 1 OR c.scale_over <> 1 THEN ', charged times ' || trim_scale(c.scale_by) || ' over ' || trim_scale(c.scale_over) ELSE '' END
                       || CASE WHEN c.rounded <> billing.scaled_quantity(c.quantity, c.scale_by, c.scale_over) THEN ', rounded to ' || trim_scale(c.rounded) ELSE '' END AS what,
                   NULL::numeric AS tier_from, NULL::numeric AS tier_to, trim_scale(c.quantity) AS quantity, NULL::numeric AS unit_price, NULL::billing.monetary AS amount
              FROM counted AS c
            UNION ALL
            SELECT e.* FROM ended AS e
            UNION ALL
            SELECT 70, 1, y.stage, y.what, NULL, NULL, NULL, NULL, l.amount - coalesce(x.total, l.amount - l.amount)
              FROM this_line AS l
             CROSS JOIN (SELECT sum(e.amount) AS total FROM ended AS e) AS x
             CROSS JOIN LATERAL (
                SELECT 'other rules' AS stage, 'rated by version ' || l.rating_version || ' of the rules then; version ' || billing.rating_version() || ' rates otherwise' AS what
                 WHERE l.rating_version <> billing.rating_version()
                UNION ALL
                SELECT 'usage has left', 'usage of ' || string_agg(to_char(d.month, 'YYYY-MM'), ', ' ORDER BY d.month) || ' was dropped after its periods had been sealed'
                  FROM billing.usage_dropped AS d JOIN rated_period AS p ON d.month < p.ends_at AT TIME ZONE 'UTC' AND (d.month + interval '1 month' > p.starts_at AT TIME ZONE 'UTC'
                                                                               OR EXISTS (SELECT FROM this_segment AS s WHERE s.looks_back))
                HAVING count(*) > 0
                UNION ALL
                SELECT 'not reproduced', 'a defect: please report it, with what explain_line(' || l.line_id || ') and line_usage(' || l.line_id || ') tell'
                 LIMIT 1) AS y
             WHERE x.total IS DISTINCT FROM l.amount
            UNION ALL
            SELECT 80, 1, 'cause', 'of this correction: ' || e.key || ' ' || e.value, NULL, NULL, NULL, NULL, NULL
              FROM this_line AS l CROSS JOIN jsonb_each_text(l.causes) AS e
            UNION ALL
            SELECT 90, 1, 'tax', l.tax_category || ' ' || trim_scale(l.tax_rate) || ' %, on the sum of the invoice''s lines of this rate', NULL, NULL, NULL, l.tax_rate, NULL
              FROM this_line AS l
        )
        SELECT (row_number() OVER (ORDER BY x.part, x.no))::int, x.stage, x.what, x.tier_from, x.tier_to, x.quantity, x.unit_price, x.amount
          FROM shown AS x ORDER BY 1 $tail$;
BEGIN
    query := billing.fill_words(query, pg_catalog.jsonb_build_object(
                 'accounts', 'ARRAY[explained.account_id]', 'dates', 'explained_dates', 'through', 'explained.interim_to', 'known_at', 'explained.known_at',
                 'own_at', 'explained.own_at', 'as_of_run', 'true', 'interim', '(explained.kind = ''interim'')',
                 'usage_from', 'reach.usage_from', 'usage_to', 'reach.usage_to', 'consumers', 'reach.consumers', 'levels', 'OR s.looks_back',
                 'line_id', 'explain_line.line_id', 'agreement_id', 'explained_key.agreement_id', 'consumer_id', 'explained_key.consumer_id', 'item_id', 'explained_key.item_id',
                 'subscription_id', 'explained_key.subscription_id', 'charge_group', 'explained_key.charge_group'));
    EXECUTE pg_catalog.format($create$
CREATE FUNCTION billing.explain_line(line_id bigint)
    RETURNS TABLE (step int, stage text, what text, tier_from numeric, tier_to numeric, quantity numeric, unit_price numeric, amount billing.monetary)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, billing, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
AS %L $create$, $body$
#variable_conflict use_column
DECLARE
    explained       billing.line;
    explained_key   billing.charge_key;
    explained_dates daterange;
    reach           record;
BEGIN
    PERFORM billing.check_ledger();
    SELECT l.* INTO explained FROM billing.line AS l WHERE l.line_id = explain_line.line_id;
    IF explained.line_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('invoice line %s does not exist', coalesce(line_id::text, 'null')), HINT = 'Line numbers are in billing.invoice_lines.';
    END IF;
    IF explained.kind IN ('cancellation', 'void') THEN
        RETURN QUERY SELECT 1, 'reversal', CASE explained.kind WHEN 'void' THEN 'the invoice was voided before it was delivered' ELSE 'takes back a line of invoice ' || (SELECT i.number FROM invoice AS i WHERE i.invoice_id = explained.corrects_invoice_id) END,
                            NULL::numeric, NULL::numeric, explained.quantity, NULL::numeric, explained.amount;
        RETURN;
    END IF;
    SELECT k.* INTO explained_key FROM billing.charge_key AS k WHERE k.account_id = explained.account_id AND k.key_id = explained.key_id;
    SELECT daterange(p.date_from, p.date_to) INTO explained_dates FROM billing.charge_period AS p WHERE p.account_id = explained_key.account_id AND p.period_no = explained_key.period_no;
    reach := billing.usage_reach(ARRAY[explained.account_id], explained_dates, explained.known_at, explained.own_at);
    RETURN QUERY $body$ || query || $body$;
END $body$);
END $define$;
COMMENT ON FUNCTION billing.explain_line(bigint) IS
'How a final line came to its amount, rated again with the facts and prices of the run that billed it: usage rows and what they add up to, tier steps, proration, rounding, decisions, what was billed before, causes of a correction, tax. The amounts add up to the line''s amount exactly; what this version of the rating rules or usage that was dropped cannot reproduce is a step of its own, and so would be a defect (stage ''not reproduced''). Errors: 42704 unknown line. Stable.';

CREATE FUNCTION billing.line_usage(line_id bigint)
    RETURNS TABLE (key uuid, revision smallint, starts_at timestamptz, ends_at timestamptz, recorded numeric, counted numeric, resource text, dimensions jsonb, recorded_at timestamptz, standing text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    query text := $query$
        , weighed AS ($query$ || billing.weighed_rows() || $query$
        ), behind AS (
            SELECT u.key, u.revision, u.consumed, u.ends_at, r.key AS resource, u.dimensions, u.recorded_at, u.resource_id,
                   c.contract_no, s.segment_no, s.looks_back, h.from_at, h.to_at, billing.chosen_dimensions(s.rate_by, billing.rated_dimensions(s.by_tenant, u.dimensions, u.account_id), r.key) AS rate_group,
                   CASE WHEN x.recorded_at < l.known_at THEN 'taken back' WHEN u.recorded_at >= prev.known_at THEN 'new' ELSE 'counted' END AS standing
              FROM this_line AS l
             CROSS JOIN this_contract AS c
              JOIN this_segment AS s ON s.spec_no = c.spec_no
             CROSS JOIN LATERAL (SELECT greatest(c.from_at, s.from_at) AS from_at, least(c.to_at, s.to_at) AS to_at) AS h
              JOIN billing.usage AS u ON u.account_id = c.consumer_id AND u.meter_id = s.item_id
              LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
              LEFT JOIN billing.resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
              LEFT JOIN billing.line AS prev ON prev.account_id = l.account_id AND prev.key_id = l.key_id AND prev.chain_no = l.prev_no
             WHERE u.ends_at >= {levels_from} AND u.ends_at <= {usage_to}
               -- a meter that looks back counts rows of before the period too
               AND CASE WHEN s.looks_back THEN u.ends_at < c.to_at ELSE billing.clip(u.consumed, h.from_at, h.to_at) IS NOT NULL END
               AND (u.recorded_at < l.known_at OR u.recorded_at = l.own_at)
               AND (x.recorded_at IS NULL OR x.recorded_at >= l.known_at OR x.recorded_at >= prev.known_at)
               AND (s.filter = '{}' OR billing.meter_accepts(s.filter, u.dimensions, billing.quantity(u.consumed)))
               AND (s.charge_by = '{}' OR billing.charge_group(s.charge_by, u.dimensions, r.key) = l.charge_group)
               -- what the price has no cell for is not on the line
               AND NOT EXISTS (SELECT FROM this_amount AS a
                                WHERE a.contract_no = c.contract_no AND a.segment_no = s.segment_no AND a.sqlstate IS NOT NULL
                                  AND a.rate_group = billing.chosen_dimensions(s.rate_by, billing.rated_dimensions(s.by_tenant, u.dimensions, u.account_id), r.key))
        ), taken_back AS (   -- of what a meter that looks back no longer counts: rows that no other such row replaced before the period
            SELECT b.*, lead(b.ends_at) OVER (PARTITION BY b.contract_no, b.segment_no, b.rate_group, b.resource_id ORDER BY b.ends_at, b.key, b.revision) AS next_at
              FROM behind AS b WHERE b.looks_back AND b.standing = 'taken back'
        )
        SELECT x.key, x.revision, billing.starts_at(x.consumed), x.ends_at, billing.quantity(x.consumed), trim_scale(x.counted), x.resource, x.dimensions, x.recorded_at, x.standing
          FROM (SELECT b.key, b.revision, b.consumed, b.ends_at, b.resource, b.dimensions, b.recorded_at, b.standing, billing.quantity(billing.clip(b.consumed, b.from_at, b.to_at)) AS counted
                  FROM behind AS b WHERE NOT b.looks_back
                UNION ALL
                SELECT b.key, b.revision, b.consumed, b.ends_at, b.resource, b.dimensions, b.recorded_at, b.standing, billing.scaled_quantity(w.change * w.weight, 1, w.whole)
                  FROM behind AS b JOIN weighed AS w USING (contract_no, segment_no, key, revision)
                 WHERE w.weight > 0 AND b.ends_at = w.at AND b.standing <> 'taken back'
                UNION ALL
                SELECT t.key, t.revision, t.consumed, t.ends_at, t.resource, t.dimensions, t.recorded_at, t.standing, NULL
                  FROM taken_back AS t WHERE coalesce(t.next_at, t.to_at) > t.from_at AND t.ends_at < t.to_at) AS x
         ORDER BY x.ends_at, x.key, x.revision $query$;
    looks_back CONSTANT boolean := EXISTS (SELECT FROM line AS l JOIN charge_key AS k ON k.account_id = l.account_id AND k.key_id = l.key_id JOIN meter_definition AS m ON m.item_id = k.item_id
                                            WHERE l.line_id = line_usage.line_id AND (m.aggregation IN ('time_weighted', 'increase') OR m.carried_over));
BEGIN
    PERFORM billing.check_ledger();
    query := replace(query, '{levels_from}', CASE WHEN looks_back THEN quote_literal('-infinity') ELSE '{usage_from}' END);
    RETURN QUERY EXECUTE billing.line_query(line_id, replace(replace(query, '{usage_accounts}', 'AND u.account_id = ANY ({consumers})'), '{batch}', '''due'''));
END $$;
COMMENT ON FUNCTION billing.line_usage(bigint) IS
'The usage rows behind a final line: what was recorded, and as counted what of it falls into the line''s period; of a meter that looks beyond its period what the row counts there (a level times the hours that it held, the growth of a reading, a prorated part), also of rows of before. standing: counted, new since the line before, or taken back since then. Errors: 42704 unknown line. Stable.';

CREATE FUNCTION billing.usage_lines(account text, id text, source text DEFAULT NULL)
    RETURNS TABLE (line_id bigint, invoice_number text, line_amount billing.monetary, period_from date, period_to date, item text, kind text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    consumer bigint := billing.find_account(account);
    wanted   uuid := billing.usage_key_of(id, source);
BEGIN
    PERFORM billing.check_ledger();
    IF NOT EXISTS (SELECT FROM usage_key AS y WHERE y.account_id = consumer AND y.key = wanted) THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" has no usage with id %s%s', account, coalesce('"' || id || '"', 'null'), ' of source "' || NULLIF(source, '') || '"'),
            HINT = 'It was never recorded here, or its periods are sealed and its key has left.';
    END IF;
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
           AND (billing.clip(u.consumed, p.starts_at, p.ends_at) IS NOT NULL
                OR (u.ends_at < p.starts_at AND EXISTS (SELECT FROM meter_definition AS m WHERE m.item_id = k.item_id AND (m.aggregation IN ('time_weighted', 'increase') OR m.carried_over))))
           AND l.known_at > u.recorded_at
           AND k.charge_group = billing.charge_group(ARRAY(SELECT jsonb_object_keys(k.charge_group)), u.dimensions, r.key)
           AND EXISTS (SELECT FROM billing.line_usage(l.line_id) AS w WHERE w.key = u.key AND w.revision = u.revision)
         ORDER BY l.line_id;
END $$;
COMMENT ON FUNCTION billing.usage_lines(text, text, text) IS
'The final lines on which recorded usage was counted, by the account, the id and the source it was recorded with; a level, and what is carried over, is on the lines of all periods in which it counts. Errors: 42704 unknown account, or no usage of that id. Stable.';
