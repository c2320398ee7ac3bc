-- What one account owes, read without writing anything: the steps of the pipeline as one query.

CREATE FUNCTION billing.rating_query(accounts bigint[], dates daterange, through date, known_at timestamptz, own_at timestamptz, result text,
                                     as_of_run boolean DEFAULT false, interim boolean DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    bounds  record;
    longest interval := (SELECT s.longest_usage FROM ledger_state AS s);
    consumers bigint[];
    period_text text;
    query   text;
    step    text;
BEGIN
    SELECT min(p.starts_at) AS starts_at, max(p.ends_at) AS ends_at INTO bounds
      FROM unnest(accounts) AS a(account_id) CROSS JOIN LATERAL billing.periods(a.account_id, dates) AS p;
    SELECT coalesce(array_agg(DISTINCT c.account_id), '{}') INTO consumers
      FROM agreement AS a JOIN agreement_term AS t USING (agreement_id)
     CROSS JOIN LATERAL (SELECT t.consumer_id AS account_id UNION ALL SELECT d FROM descendants(t.consumer_id, known_at, own_at) AS d WHERE t.with_descendants) AS c
     WHERE a.buyer_id = ANY (accounts);
    period_text := format($text$
        SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone,
               x.due AS rate_arrears, x.due OR x.interim AS rate_usage, %1$L::date IS NULL OR p.date_from <= %1$L::date OR p.advance_known_at IS NOT NULL AS rate_advance,
               x.interim, least(i.interim_to, p.date_to) AS interim_to,
               CASE WHEN x.interim AND i.interim_to < p.date_to THEN i.interim_to::timestamp AT TIME ZONE p.time_zone ELSE p.ends_at END AS rated_to,
               CASE WHEN NOT %4$L OR p.closed_known_at < {known_at} THEN p.closed_known_at END AS closed_known_at, p.closed_own_at,
               p.looked_known_at, p.looked_own_at, p.rating_version, p.sealed_at IS NOT NULL AND NOT %4$L AS sealed, 'due' AS batch
          FROM unnest(%2$L::bigint[]) AS a(account_id)
         CROSS JOIN LATERAL billing.periods(a.account_id, %3$L::daterange) AS p
         CROSS JOIN LATERAL (SELECT %1$L::date IS NULL OR (p.looked_known_at IS NOT NULL AND %5$L::boolean IS NULL) OR %5$L::boolean IS FALSE OR (p.date_to <= %1$L::date AND p.due_at <= %1$L::date::timestamp AT TIME ZONE p.time_zone) AS due) AS d
         CROSS JOIN LATERAL (SELECT d.due, NOT d.due AND (p.interim_to IS NOT NULL OR p.date_from < %1$L::date)
                                    AND EXISTS (SELECT FROM billing.agreement AS g JOIN billing.agreement_term AS t USING (agreement_id)
                                                 WHERE g.buyer_id = p.account_id AND t.progressive_threshold IS NOT NULL AND billing.known(t.known, {known_at}, {own_at})) AS interim) AS x
         CROSS JOIN LATERAL (SELECT greatest(CASE WHEN NOT %4$L THEN p.interim_to END, %1$L::date) AS interim_to) AS i
         WHERE x.due OR x.interim OR p.date_from <= %1$L::date OR p.advance_known_at IS NOT NULL
    $text$, through, accounts, dates, as_of_run, interim);
    query := 'WITH rated_period AS MATERIALIZED (' || period_text || ')';
    FOREACH step IN ARRAY ARRAY['rated_view', 'rated_contract', 'rated_spec', 'rated_segment'] LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    query := query || ', rated_quantity AS MATERIALIZED (' || billing.rating_step('rated_quantity_plain') || ' UNION ALL ' || billing.rating_step('rated_quantity_general') || ')';
    FOREACH step IN ARRAY ARRAY['rated_amount', 'rated_owed', 'rated_difference'] LOOP
        query := query || format(', %I AS MATERIALIZED (', step) || billing.rating_step(step) || ')';
    END LOOP;
    query := query || ' ' || result;
    query := replace(query, '{usage_from}', format('%L::timestamptz', coalesce(bounds.starts_at, 'infinity')));
    query := replace(query, '{usage_to}', format('%L::timestamptz', coalesce(bounds.ends_at + longest, '-infinity')));
    query := replace(query, '{usage_accounts}', CASE cardinality(consumers) WHEN 1 THEN format('AND u.account_id = %L', consumers[1]) ELSE format('AND u.account_id = ANY (%L)', consumers) END);
    query := replace(query, '{batch}', '''due''');
    RETURN billing.fill_in(query, known_at, own_at);
END $$;
COMMENT ON FUNCTION billing.rating_query(bigint[], daterange, date, timestamptz, timestamptz, text, boolean, boolean) IS
'SQL text that rates the periods of some accounts in one query and ends in the given SELECT over the steps of the pipeline. With a day through, only what is due then; null = everything. as_of_run: as a run with this watermark saw it, without pins set later; interim: whether that run billed the period while it was running. Stable.';
REVOKE ALL ON FUNCTION billing.rating_query(bigint[], daterange, date, timestamptz, timestamptz, text, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION billing.charges(account text, dates daterange, known_at timestamptz DEFAULT NULL)
    RETURNS TABLE (charge bigint, period_from date, period_to date, seller text, item text, subscription text, consumer text, charge_group jsonb, component text,
                   quantity numeric, unit text, unit_price numeric, owed billing.monetary, owed_exact billing.monetary, decided billing.monetary,
                   booked billing.monetary, unbilled billing.monetary, held billing.monetary, owed_amount numeric, currency text, state text, problem text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
BEGIN
    PERFORM billing.check_ledger();
    IF dates IS NULL OR isempty(dates) OR lower_inf(dates) OR upper_inf(dates) OR NOT isfinite(lower(dates)) OR NOT isfinite(upper(dates)) OR upper(dates) > current_date + 3653 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dates must be a bounded, non-empty range of days, at most ten years ahead, not %s', coalesce(dates::text, 'null')),
            HINT = 'For one month: ''[2026-10-01,2026-11-01)''.';
    END IF;
    RETURN QUERY EXECUTE billing.rating_query(ARRAY[billing.account_id(account)], dates, NULL, coalesce(known_at, 'infinity'), NULL, $query$
        SELECT d.key_id, p.date_from, p.date_to, s.key, i.key, b.key, c.key, d.charge_group, d.component,
               trim_scale(d.quantity), coalesce(m.unit, f.unit), d.unit_price, CASE WHEN NOT d.failed THEN d.target END, CASE WHEN NOT d.failed THEN d.exact END, d.decided,
               CASE WHEN $1 THEN d.booked END, CASE WHEN $1 AND NOT d.failed THEN d.target + d.decided - d.booked END,
               (SELECT billing.sum(billing.monetary(e.value::text::numeric, billing.currency(d.nothing))) FROM jsonb_each(d.held) AS e WHERE $1),
               CASE WHEN NOT d.failed THEN billing.amount(d.target) END, billing.currency(d.nothing),
               CASE WHEN d.failed THEN 'rating_error' WHEN d.frozen_at IS NOT NULL THEN 'on_hold' WHEN d.sealed THEN 'sealed' WHEN d.closed THEN 'closed' ELSE 'open' END, d.problem
          FROM rated_difference AS d
          JOIN rated_period AS p USING (account_id, period_no)
          JOIN billing.agreement AS g USING (agreement_id)
          JOIN billing.seller AS s USING (seller_id)
          JOIN billing.item AS i USING (item_id)
          JOIN billing.account AS c ON c.account_id = d.consumer_id
          LEFT JOIN billing.subscription AS b ON b.subscription_id = d.subscription_id
          LEFT JOIN billing.meter_definition AS m ON m.item_id = d.item_id AND upper_inf(m.known)
          LEFT JOIN billing.fee_definition AS f ON f.item_id = d.item_id AND upper_inf(f.known)
         ORDER BY p.date_from, s.key, i.key, c.key, b.key, d.charge_group::text $query$) USING known_at IS NULL;
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
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    payer  bigint := billing.account_id(account);
    buyers bigint[];
    first_open date;
BEGIN
    PERFORM billing.check_ledger();
    PERFORM billing.check_through(through);
    SELECT array_agg(x.account_id) INTO buyers
      FROM (SELECT b.account_id FROM bill_to AS b WHERE b.payer_id = payer UNION SELECT payer) AS x(account_id)
     WHERE billing.payer_of(x.account_id, through) = payer;
    IF buyers IS NULL THEN
        RETURN;
    END IF;
    first_open := (SELECT min(p.date_from) FROM charge_period AS p WHERE p.account_id = ANY (buyers) AND p.sealed_at IS NULL);
    first_open := coalesce(first_open, (SELECT min(c.date_to) FROM account_calendar AS c WHERE c.account_id = ANY (buyers)));
    RETURN QUERY EXECUTE billing.rating_query(buyers, daterange(first_open, through, '[]'), through, 'infinity', NULL, $query$
        SELECT a.key, s.key, p.date_from, p.date_to, i.key, b.key, c.key, d.charge_group, d.component,
               CASE WHEN d.interim THEN 'interim' WHEN d.chain_no > 0 THEN 'correction' ELSE 'charge' END,
               trim_scale(d.quantity), coalesce(m.unit, f.unit), d.unit_price, CASE WHEN NOT d.failed THEN x.difference END, CASE WHEN NOT d.failed THEN billing.amount(x.difference) END,
               billing.currency(d.nothing), d.causes, d.problem
          FROM rated_difference AS d
          JOIN rated_period AS p USING (account_id, period_no)
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
           AND (d.failed OR CASE WHEN d.interim THEN x.difference > d.nothing AND x.difference >= coalesce(d.progressive_threshold, d.nothing)
                                 ELSE x.difference <> d.nothing OR (d.chain_no = 0 AND d.is_owed AND d.quantity <> 0) END)
         ORDER BY a.key, s.key, p.date_from, i.key, c.key, b.key, d.charge_group::text $query$);
END $$;
COMMENT ON FUNCTION billing.preview_invoice(text, date) IS
'The lines, before tax, that a run through this day would draft now for everything the account pays for, with all facts recorded so far. Nothing is written. A charge that cannot be rated has a problem instead of an amount. Errors: 42704 unknown account, 22023. Stable.';

CREATE FUNCTION billing.bill_account(account text, through date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    buyer   bigint := billing.account_id(account);
    new_id  bigint;
    mark    timestamptz;
    own     timestamptz := billing.own_stamp();
    scope   bigint;
    counts  jsonb := '{}';
BEGIN
    PERFORM billing.check_through(through);
    PERFORM billing.check_ledger();
    PERFORM billing.check_usage_partitions();
    PERFORM pg_advisory_xact_lock(1651076210, 0);   -- the lock of run_invoicing(), see run_lock.c
    mark := billing.watermark();
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
    INSERT INTO run (procedure, through, known_at, own_at) VALUES ('bill_account', bill_account.through, mark, own) RETURNING run_id INTO new_id;
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
