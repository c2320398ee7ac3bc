-- What one account owes, read without writing anything: the steps of the pipeline as one query.

CREATE FUNCTION billing.account_rating_text(with_rows boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    query text := $text$WITH rated_period AS MATERIALIZED (
        SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone,
               x.due AS rate_arrears, x.due OR x.interim AS rate_usage, {through} IS NULL OR p.date_from <= {through} OR p.advance_known_at IS NOT NULL AS rate_advance,
               x.interim, least(i.interim_to, p.date_to) AS interim_to,
               CASE WHEN x.interim AND i.interim_to < p.date_to THEN i.interim_to::timestamp AT TIME ZONE p.time_zone ELSE p.ends_at END AS rated_to,
               CASE WHEN NOT {as_of_run} OR p.closed_known_at < {known_at} THEN p.closed_known_at END AS closed_known_at, p.closed_own_at,
               p.looked_known_at, p.looked_own_at, p.rating_version, p.sealed_at IS NOT NULL AND NOT {as_of_run} AS sealed, 'due' AS batch,
               p.advance_known_at, CASE WHEN NOT {as_of_run} OR f.advance_pinned_at < {known_at} THEN f.advance_pinned_at END AS advance_pinned_at, f.advance_pinned_own
          FROM unnest({accounts}) AS a(account_id)
         CROSS JOIN LATERAL billing.periods(a.account_id, {dates}) AS p
          LEFT JOIN billing.charge_period AS f ON f.account_id = p.account_id AND f.period_no = p.period_no
         CROSS JOIN LATERAL (SELECT {through} IS NULL OR (p.looked_known_at IS NOT NULL AND {interim} IS NULL) OR {interim} IS FALSE OR (p.date_to <= {through} AND p.due_at <= {through}::timestamp AT TIME ZONE p.time_zone) AS due) AS d
         CROSS JOIN LATERAL (SELECT d.due, NOT d.due AND (p.interim_to IS NOT NULL OR p.date_from < {through})
                                    AND EXISTS (SELECT FROM billing.agreement AS g JOIN billing.agreement_term AS t USING (agreement_id)
                                                 WHERE g.buyer_id = p.account_id AND num_nonnulls(t.progressive_threshold, t.progressive_thresholds, t.progressive_every) > 0 AND billing.known(t.known, {known_at}, {own_at})) AS interim) AS x
         CROSS JOIN LATERAL (SELECT greatest(CASE WHEN NOT {as_of_run} THEN p.interim_to END, {through}) AS interim_to) AS i
         WHERE x.due OR x.interim OR p.date_from <= {through} OR p.advance_known_at IS NOT NULL
    )$text$;
    step  text;
BEGIN
    FOREACH step IN ARRAY billing.pricing_steps() LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    query := query || ', rated_quantity AS MATERIALIZED (' || billing.rating_step('rated_quantity_plain') || ' UNION ALL ' || billing.rating_step('rated_quantity_general')
                   || ' UNION ALL SELECT * FROM (' || billing.rating_step('rated_quantity_level') || ') AS l'
                   || CASE WHEN with_rows THEN ' UNION ALL SELECT * FROM (' || billing.rating_step('rated_quantity_rows') || ') AS r' ELSE '' END || ')';
    FOREACH step IN ARRAY ARRAY['rated_amount', 'rated_owed', 'rated_difference', 'rated_progress'] LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    -- Every relation is believed to have one row here, so that one computed inside a join would be computed for each row of the other side.
    query := replace(query, 'AS NOT MATERIALIZED', 'AS MATERIALIZED');
    RETURN replace(replace(query, '{usage_accounts}', 'AND u.account_id = ANY ({consumers})'), '{batch}', '''due''');
END $$;
COMMENT ON FUNCTION billing.account_rating_text(boolean) IS
'The steps of the rating pipeline as the WITH clause of one query over some accounts, with or without prices of a chain of rating modules; besides the words of rating_step() it holds {accounts}, {dates}, {through}, {as_of_run}, {interim}, {consumers} and {levels}. Immutable.';

CREATE FUNCTION billing.any_chain() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM billing.price AS p WHERE p.chain IS NOT NULL) $$;
COMMENT ON FUNCTION billing.any_chain() IS 'Whether a chain of rating modules has ever priced charges of this ledger. Stable.';

CREATE FUNCTION billing.usage_reach(accounts bigint[], dates daterange, known_at timestamptz, own_at timestamptz,
                                    OUT usage_from timestamptz, OUT usage_to timestamptz, OUT consumers bigint[])
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    longest interval := (SELECT s.longest_usage FROM ledger_state AS s);
BEGIN
    SELECT coalesce(min(p.starts_at), 'infinity'), coalesce(max(p.ends_at) + longest, '-infinity') INTO usage_from, usage_to
      FROM unnest(accounts) AS a(account_id) CROSS JOIN LATERAL billing.periods(a.account_id, dates) AS p;
    SELECT coalesce(array_agg(DISTINCT c.account_id), '{}') INTO consumers
      FROM agreement AS a JOIN agreement_term AS t USING (agreement_id)
     CROSS JOIN LATERAL (SELECT t.consumer_id AS account_id UNION ALL SELECT d FROM descendants(t.consumer_id, usage_reach.known_at, usage_reach.own_at) AS d WHERE t.with_descendants) AS c
     WHERE a.buyer_id = ANY (accounts);
END $$;
COMMENT ON FUNCTION billing.usage_reach(bigint[], daterange, timestamptz, timestamptz) IS
'Where the usage lies that some accounts can be charged for in a span of days: between which instants it ends, and which accounts consumed it. Stable.';
REVOKE ALL ON FUNCTION billing.usage_reach(bigint[], daterange, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.rating_query(accounts bigint[], dates daterange, through date, known_at timestamptz, own_at timestamptz, result text,
                                     as_of_run boolean DEFAULT false, interim boolean DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    reach record := billing.usage_reach(accounts, dates, known_at, own_at);
    query text := billing.account_rating_text(billing.any_chain()) || ' ' || result;
BEGIN
    RETURN billing.fill_in(billing.fill_words(query, jsonb_build_object(
               'levels', billing.levels_text(), 'accounts', format('%L::bigint[]', accounts), 'dates', format('%L::daterange', dates), 'through', format('%L::date', through),
               'as_of_run', format('%L::boolean', as_of_run), 'interim', format('%L::boolean', interim),
               'usage_from', format('%L::timestamptz', reach.usage_from), 'usage_to', format('%L::timestamptz', reach.usage_to),
               'consumers', format('%L::bigint[]', reach.consumers))), known_at, own_at);
END $$;
COMMENT ON FUNCTION billing.rating_query(bigint[], daterange, date, timestamptz, timestamptz, text, boolean, boolean) IS
'SQL text that rates the periods of some accounts in one query and ends in the given SELECT over the steps of the pipeline. With a day through, only what is due then; null = everything. as_of_run: as a run with this watermark saw it, without pins set later; interim: whether that run billed the period while it was running. Stable.';
REVOKE ALL ON FUNCTION billing.rating_query(bigint[], daterange, date, timestamptz, timestamptz, text, boolean, boolean) FROM PUBLIC;

-- The same query as a function whose plan a session keeps: planning it takes several times as long as running it for one account.
DO $define$
DECLARE
    words CONSTANT jsonb := pg_catalog.jsonb_build_object(
                      'accounts', 'rate_accounts.accounts', 'dates', 'rate_accounts.dates', 'through', 'rate_accounts.through', 'known_at', 'rate_accounts.known_at',
                      'own_at', 'NULL::timestamptz', 'as_of_run', 'false', 'interim', 'NULL::boolean',
                      'usage_from', 'reach.usage_from', 'usage_to', 'reach.usage_to', 'consumers', 'reach.consumers', 'levels', 'OR s.looks_back');
    result CONSTANT text := $result$
        SELECT d.account_id, d.period_no, p.date_from, p.date_to, d.agreement_id, d.item_id, d.subscription_id, d.consumer_id,
               d.charge_group, d.component, d.key_id, d.closed, d.sealed, d.interim, d.failed, d.problem,
               d.is_owed, d.frozen_at, d.progressive_threshold, coalesce(g.reached, false), d.exact, d.target, d.decided, d.booked, d.chain_no, d.after_interim, d.held, d.nothing, d.causes,
               d.quantity, d.unit_price
          FROM rated_difference AS d
          JOIN rated_period AS p USING (account_id, period_no)
          LEFT JOIN rated_progress AS g USING (account_id, agreement_id);
        $result$;
BEGIN
    EXECUTE pg_catalog.format($create$
CREATE FUNCTION billing.rate_accounts(accounts bigint[], dates daterange, through date, known_at timestamptz)
    RETURNS TABLE (account_id bigint, period_no int, date_from date, date_to date, agreement_id int, item_id int, subscription_id bigint, consumer_id bigint,
                   charge_group jsonb, component text, key_id bigint, closed boolean, sealed boolean, interim boolean, failed boolean, problem text,
                   is_owed boolean, frozen_at timestamptz, progressive_threshold billing.monetary, reached boolean, exact billing.monetary, target billing.monetary,
                   decided billing.monetary, booked billing.monetary, chain_no int, after_interim boolean, held jsonb, nothing billing.monetary, causes jsonb,
                   quantity numeric, unit_price numeric)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, billing, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
AS %L $create$, $body$
#variable_conflict use_column
DECLARE
    reach record := billing.usage_reach(accounts, dates, known_at, NULL);
BEGIN
    IF billing.any_chain() THEN
        RETURN QUERY $body$ || billing.fill_words(billing.account_rating_text(true), words) || result || $body$
    ELSE   -- a plan with functions that catch errors, as those of rating modules are called, would be none for parallel workers
        RETURN QUERY $body$ || billing.fill_words(billing.account_rating_text(false), words) || result || $body$
    END IF;
END $body$);
END $define$;
COMMENT ON FUNCTION billing.rate_accounts(bigint[], daterange, date, timestamptz) IS
'Rates the periods of some accounts that overlap a span of days: what each charge owes and what is left to bill, with everything known at a watermark. With a day through, only what is due then; null = everything. Stable.';
REVOKE ALL ON FUNCTION billing.rate_accounts(bigint[], daterange, date, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.charges(account text, dates daterange, known_at timestamptz DEFAULT NULL)
    RETURNS TABLE (charge bigint, period_from date, period_to date, seller text, item text, subscription text, consumer text, charge_group jsonb, component text,
                   quantity numeric, unit text, unit_price numeric, owed billing.monetary, owed_exact billing.monetary, decided billing.monetary,
                   booked billing.monetary, unbilled billing.monetary, held billing.monetary, owed_amount numeric, currency text, state text, problem text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
BEGIN
    PERFORM billing.check_ledger();
    PERFORM billing.check_usage_partitions();
    IF dates IS NULL OR isempty(dates) OR lower_inf(dates) OR upper_inf(dates) OR NOT isfinite(lower(dates)) OR NOT isfinite(upper(dates)) OR upper(dates) > current_date + 3653 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dates must be a bounded, non-empty range of days, at most ten years ahead, not %s', coalesce(dates::text, 'null')),
            HINT = 'For one month: ''[2026-10-01,2026-11-01)''.';
    END IF;
    RETURN QUERY
        SELECT d.key_id, d.date_from, d.date_to, s.key, i.key, b.key, c.key, d.charge_group, d.component,
               trim_scale(d.quantity), coalesce(m.unit, f.unit), d.unit_price, CASE WHEN NOT d.failed THEN d.target END, CASE WHEN NOT d.failed THEN d.exact END, d.decided,
               CASE WHEN known_at IS NULL THEN d.booked END, CASE WHEN known_at IS NULL AND NOT d.failed THEN d.target + d.decided - d.booked END,
               (SELECT billing.sum(billing.monetary(e.value::text::numeric, billing.currency(d.nothing))) FROM jsonb_each(d.held) AS e WHERE known_at IS NULL),
               CASE WHEN NOT d.failed THEN billing.amount(d.target) END, billing.currency(d.nothing),
               CASE WHEN d.failed THEN 'rating_error' WHEN d.frozen_at IS NOT NULL THEN 'on_hold' WHEN d.sealed THEN 'sealed' WHEN d.closed THEN 'closed' ELSE 'open' END, d.problem
          FROM billing.rate_accounts(ARRAY[billing.find_account(account)], dates, NULL, coalesce(known_at, 'infinity')) AS d
          JOIN billing.agreement AS g USING (agreement_id)
          JOIN billing.seller AS s USING (seller_id)
          JOIN billing.item AS i USING (item_id)
          JOIN billing.account AS c ON c.account_id = d.consumer_id
          LEFT JOIN billing.subscription AS b ON b.subscription_id = d.subscription_id
          LEFT JOIN billing.meter_definition AS m ON m.item_id = d.item_id AND upper_inf(m.known)
          LEFT JOIN billing.fee_definition AS f ON f.item_id = d.item_id AND upper_inf(f.known)
         ORDER BY d.date_from, s.key, i.key, c.key, b.key, d.charge_group::text;
END $$;
COMMENT ON FUNCTION billing.charges(text, daterange, timestamptz) IS
'What an account owes for each charge of the periods that overlap a span of days in its calendar: the whole period rated with everything known now, or known at a watermark. owed is rounded to the minor unit, owed_exact is not; booked is what final lines billed; unbilled = owed + decided - booked; held waits for approval; these three are of today and null when a watermark is given. problem says why a charge cannot be rated. Errors: 42704 unknown account, 22023 unbounded span. Stable.';

CREATE FUNCTION billing.payer_of(account_id bigint, day date) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT coalesce((SELECT b.payer_id FROM billing.bill_to AS b WHERE b.account_id = $1 AND b.valid @> $2 AND upper_inf(b.known)), $1) $$;
COMMENT ON FUNCTION billing.payer_of(bigint, date) IS 'Account that pays for an account on a day: by bill_to, otherwise the account itself. Stable.';

CREATE FUNCTION billing.preview_invoice(account text, through date)
    RETURNS TABLE (account_key text, seller text, period_from date, period_to date, item text, subscription text, consumer text, charge_group jsonb, component text,
                   kind text, quantity numeric, unit text, unit_price numeric, line_amount billing.monetary, amount numeric, currency text, causes jsonb, problem text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    payer  bigint := billing.find_account(account);
    buyers bigint[];
    first_open date;
BEGIN
    PERFORM billing.check_ledger();
    PERFORM billing.check_usage_partitions();
    PERFORM billing.check_through(through);
    SELECT array_agg(x.account_id) INTO buyers
      FROM (SELECT b.account_id FROM bill_to AS b WHERE b.payer_id = payer UNION SELECT payer) AS x(account_id)
     WHERE billing.payer_of(x.account_id, through) = payer;
    IF buyers IS NULL THEN
        RETURN;
    END IF;
    -- Sealed periods are billed again too, where an invoice was taken back or something was decided since.
    first_open := (SELECT min(p.date_from) FROM charge_period AS p
                    WHERE p.account_id = ANY (buyers)
                      AND (p.sealed_at IS NULL
                           OR EXISTS (SELECT FROM charge_key AS k JOIN decision AS d USING (account_id, key_id)
                                       WHERE k.account_id = p.account_id AND k.period_no = p.period_no AND d.recorded_at >= p.sealed_at)
                           OR EXISTS (SELECT FROM charge_key AS k JOIN line AS l USING (account_id, key_id) JOIN invoice_event AS e USING (invoice_id)
                                       WHERE k.account_id = p.account_id AND k.period_no = p.period_no
                                         AND e.event IN ('voided', 'cancelled') AND e.recorded_at >= p.sealed_at)));
    first_open := coalesce(first_open, (SELECT min(c.date_to) FROM account_calendar AS c WHERE c.account_id = ANY (buyers)));
    RETURN QUERY
        SELECT a.key, s.key, d.date_from, d.date_to, i.key, b.key, c.key, d.charge_group, d.component,
               CASE WHEN d.interim THEN 'interim' WHEN d.chain_no > 0 AND NOT d.after_interim THEN 'correction' ELSE 'charge' END,
               trim_scale(d.quantity), coalesce(m.unit, f.unit), d.unit_price, CASE WHEN NOT d.failed THEN x.difference END, CASE WHEN NOT d.failed THEN billing.amount(x.difference) END,
               billing.currency(d.nothing), d.causes, d.problem
          FROM billing.rate_accounts(buyers, daterange(first_open, through, '[]'), through, 'infinity') AS d
          JOIN billing.agreement AS g USING (agreement_id)
          JOIN billing.seller AS s USING (seller_id)
          JOIN billing.item AS i USING (item_id)
          JOIN billing.account AS a ON a.account_id = d.account_id
          JOIN billing.account AS c ON c.account_id = d.consumer_id
          LEFT JOIN billing.subscription AS b ON b.subscription_id = d.subscription_id
          LEFT JOIN billing.meter_definition AS m ON m.item_id = d.item_id AND upper_inf(m.known)
          LEFT JOIN billing.fee_definition AS f ON f.item_id = d.item_id AND upper_inf(f.known)
         CROSS JOIN LATERAL (SELECT d.target + d.decided - d.booked AS difference) AS x
         WHERE d.frozen_at IS NULL
           AND (d.failed OR CASE WHEN d.interim THEN x.difference > d.nothing AND (x.difference >= d.progressive_threshold OR d.reached)
                                 ELSE x.difference <> d.nothing OR (d.chain_no = 0 AND d.is_owed AND d.quantity <> 0) END)
         ORDER BY a.key, s.key, d.date_from, i.key, c.key, b.key, d.charge_group::text;
END $$;
COMMENT ON FUNCTION billing.preview_invoice(text, date) IS
'The lines, before tax, that a run through this day would draft now for everything the account pays for, with all facts recorded so far. Nothing is written. A charge that cannot be rated has a problem instead of an amount. Errors: 42704 unknown account, 22023. Stable.';

CREATE FUNCTION billing.bill_account(account text, through date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    buyer   bigint := billing.find_account(account);
    new_id  bigint;
    mark    timestamptz;
    held    jsonb;
    own     timestamptz := billing.own_stamp();
    scope   bigint;
    counts  jsonb := '{}';
BEGIN
    PERFORM billing.check_through(through);
    PERFORM billing.check_ledger();
    PERFORM billing.check_usage_partitions();
    PERFORM billing.lock_until_commit(1651076210, 0);   -- the lock of run_invoicing(), see run_lock.c
    SELECT w.known_at, w.held_by INTO mark, held FROM billing.read_watermark() AS w;
    UPDATE ledger_state AS s SET last_watermark = mark WHERE s.last_watermark < mark;   -- later runs must not know less
    IF own IS NOT NULL AND mark <= own AND EXISTS (
            SELECT FROM (SELECT x.known FROM agreement_term AS x UNION ALL SELECT x.known FROM subscription_term AS x
                         UNION ALL SELECT x.known FROM meter_definition AS x UNION ALL SELECT x.known FROM fee_definition AS x) AS x
             WHERE (lower(x.known) >= mark AND lower(x.known) <> own) OR (upper(x.known) >= mark AND upper(x.known) <> own))
    THEN
        RAISE serialization_failure USING MESSAGE = 'another session has changed the catalog while a third one is still recording',
            HINT = 'Try again in a moment; billing.recording_sessions shows who is recording.';
    END IF;
    IF own IS NOT NULL AND EXISTS (SELECT FROM charge_period AS p WHERE p.account_id = buyer AND p.looked_own_at >= mark AND p.looked_own_at <> own) THEN
        RAISE serialization_failure USING MESSAGE = format('another transaction has billed account "%s" while a third one is still recording', account),
            HINT = 'Try again in a moment; billing.recording_sessions shows who is recording.';
    END IF;
    INSERT INTO run (procedure, through, known_at, own_at, watermark_held_by) VALUES ('bill_account', bill_account.through, mark, own, held) RETURNING run_id INTO new_id;
    PERFORM billing.store_periods(through, mark, own, buyer);
    scope := billing.make_relation('pg_temp', 'rated_period', billing.scope_text(through, mark, own, format('p.account_id = %L AND (p.sealed_at IS NULL OR EXISTS (SELECT FROM billing.charge_key AS k WHERE k.account_id = p.account_id AND k.period_no = p.period_no))', buyer)));
    IF scope > 0 THEN
        PERFORM billing.rate_scope('pg_temp', mark, own);
        counts := billing.apply_differences('pg_temp', new_id, mark, own);
    END IF;
    PERFORM billing.note_progress(new_id, 'finishing', counts || jsonb_build_object('periods_looked_at', scope));
    PERFORM billing.run_finish(new_id);
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.bill_account(text, date) IS
'Does for one account, inside the caller''s transaction, what run_invoicing() does for all: usage recorded, billed and the caller''s own rows are one commit. Facts that this transaction has recorded count too. Waits while a run is going on. Returns the run''s number. Errors: 25001 unless READ COMMITTED, 40001 while an open recorder keeps the watermark before what another session has changed or billed (try again), 42704 unknown account, 22023.';
