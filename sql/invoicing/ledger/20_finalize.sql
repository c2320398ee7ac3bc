-- Making drafts final: one set-based statement, proven by the chain constraints of billing.line.

CREATE FUNCTION billing.wait_for_run() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    AS $$ SELECT billing.lock_until_commit(1651076210, 0) $$;
COMMENT ON FUNCTION billing.wait_for_run() IS
'Waits for the lock of run_invoicing() and keeps runs and finalisers of other sessions off until the transaction ends. The chain constraints of lines hold without it too; it turns "one of the two fails" into "one of the two waits". Volatile.';

CREATE FUNCTION billing.format_number(prefix text, digits int, counter bigint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT $1 OPERATOR(pg_catalog.||) pg_catalog.lpad($3::pg_catalog.text, GREATEST($2, pg_catalog.length($3::pg_catalog.text)), '0') $$;
COMMENT ON FUNCTION billing.format_number(text, int, bigint) IS 'The number of an invoice as printed: the prefix of its series and the counter with leading zeros to that many digits. Immutable.';

CREATE FUNCTION billing.next_issue_date(series billing.number_series, issue_date date) RETURNS date
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF next_issue_date.issue_date < series.last_issue_date THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('issue date %s is before %s, the date of number %s of seller "%s"', next_issue_date.issue_date, series.last_issue_date,
                             format_number(series.prefix, series.digits, series.last_number),
                             (SELECT s.key FROM seller AS s WHERE s.seller_id = series.seller_id)),
            HINT = format('Numbers never go up while dates go down: take %s or a later date.', series.last_issue_date);
    END IF;
    IF next_issue_date.issue_date > (clock_timestamp() AT TIME ZONE 'UTC')::date + 300 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('issue date %s is more than 300 days ahead', next_issue_date.issue_date),
            HINT = 'No later invoice of this series could bear an earlier date, so a slip of the year would stop its numbers.';
    END IF;
    RETURN next_issue_date.issue_date;
END $$;
COMMENT ON FUNCTION billing.next_issue_date(billing.number_series, date) IS
'The date, if a document with the next number of the series may bear it. Errors: 22023 if it is before the date of the last number, or more than 300 days ahead. Stable.';

CREATE FUNCTION billing.corrected_invoices(invoice_ids bigint[], issue_date date) RETURNS bigint[]
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    later invoice;
BEGIN
    SELECT i.* INTO later FROM invoice AS i
     WHERE i.invoice_id = ANY (invoice_ids) AND i.issue_date > corrected_invoices.issue_date
     ORDER BY i.issue_date DESC, i.invoice_id LIMIT 1;
    IF later.invoice_id IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('issue date %s is before %s, the date of invoice %s that is corrected', corrected_invoices.issue_date, later.issue_date, later.number),
            HINT = format('Take %s or a later date, or make the account''s invoices by themselves then.', later.issue_date);
    END IF;
    RETURN invoice_ids;
END $$;
COMMENT ON FUNCTION billing.corrected_invoices(bigint[], date) IS
'The invoices that a document of a day corrects, if it may: none of them bears a later date. Errors: 22023. Stable.';
REVOKE ALL ON FUNCTION billing.corrected_invoices(bigint[], date) FROM PUBLIC;

CREATE FUNCTION billing.charge_words(account_id bigint, key_id bigint) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT format('charge %s (account "%s", %s "%s"%s, %s to %s)', k.key_id, a.key, i.kind, i.key,
                  CASE WHEN k.charge_group = '{}' THEN '' ELSE ' ' || k.charge_group::text END, p.date_from, p.date_to - 1)
      FROM charge_key AS k
      JOIN charge_period AS p USING (account_id, period_no)
      JOIN account AS a USING (account_id)
      JOIN item AS i USING (item_id)
     WHERE k.account_id = $1 AND k.key_id = $2
$$;
COMMENT ON FUNCTION billing.charge_words(bigint, bigint) IS 'A charge as messages name it: number, account, item, group and period. Stable.';

CREATE FUNCTION billing.raise_stale_draft(account_id bigint, violation text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stale record;
BEGIN
    SELECT d.account_id, d.key_id, count(*) OVER () AS drafts,
           format('link %s from %s', d.chain_no, d.booked_before) AS continues,
           coalesce(format('at link %s with %s', head.chain_no, head.booked_after), 'without any link') AS stands INTO stale
      FROM draft_line AS d
      LEFT JOIN LATERAL (SELECT l.chain_no, l.booked_after FROM line AS l
                          WHERE l.account_id = d.account_id AND l.key_id = d.key_id
                          ORDER BY l.chain_no DESC LIMIT 1) AS head ON true
     WHERE (raise_stale_draft.account_id IS NULL OR d.account_id = raise_stale_draft.account_id)
       AND (d.chain_no <> coalesce(head.chain_no, 0) + 1 OR d.booked_before <> coalesce(head.booked_after, d.booked_before))
     ORDER BY d.account_id, d.key_id LIMIT 1;
    RAISE serialization_failure USING
        MESSAGE = CASE WHEN FOUND THEN format('the draft of %s is stale', charge_words(stale.account_id, stale.key_id)) ELSE 'a draft is stale' END,
        DETAIL = CASE WHEN FOUND THEN format('It is %s, but the chain of final lines is %s; stale drafts in all: %s.', stale.continues, stale.stands, stale.drafts)
                      ELSE violation END,
        HINT = 'Something was billed, voided or cancelled after it was drafted. Run again, with billing.run_invoicing() or billing.bill_account(), then finalise.';
END $$;
COMMENT ON FUNCTION billing.raise_stale_draft(bigint, text) IS
'Raises 40001 and names the first draft, of one account or (null) of all, that does not continue the chain of its charge. Stable.';

CREATE FUNCTION billing.lock_number_series(sellers int[], series text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    missing record;
BEGIN
    -- In order, so that no two transactions wait for each other in a circle.
    PERFORM FROM number_series AS n
      WHERE n.seller_id = ANY (sellers) AND n.series = lock_number_series.series
      ORDER BY n.seller_id, n.type FOR NO KEY UPDATE;
    SELECT s.key, t.type INTO missing
      FROM seller AS s CROSS JOIN (VALUES ('380'), ('381')) AS t(type)
     WHERE s.seller_id = ANY (sellers)
       AND NOT EXISTS (SELECT FROM number_series AS n WHERE n.seller_id = s.seller_id AND n.type = t.type AND n.series = lock_number_series.series)
     ORDER BY s.key, t.type LIMIT 1;
    IF FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('seller "%s" has no number series "%s" for %s', missing.key, lock_number_series.series,
                             CASE missing.type WHEN '380' THEN 'invoices (380)' ELSE 'credit notes (381)' END),
            HINT = 'Make it with billing.set_number_series().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.lock_number_series(int[], text) IS
'Locks the counters of invoices and credit notes of these sellers until the transaction ends. Errors: 42704 if one has no such series. Volatile.';

CREATE FUNCTION billing.sellers_of_drafts(account_id bigint) RETURNS int[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT ARRAY(SELECT DISTINCT a.seller_id FROM draft_line AS d JOIN agreement AS a USING (agreement_id) WHERE $1 IS NULL OR d.account_id = $1)
$$;
COMMENT ON FUNCTION billing.sellers_of_drafts(bigint) IS 'The sellers of the drafts of one account or (null) of all. Stable.';

CREATE VIEW billing.account_on_hold AS
SELECT q.account_id
  FROM (SELECT DISTINCT w.account_id FROM billing.pending AS w) AS q
 CROSS JOIN LATERAL (SELECT s.on_rating_error FROM billing.account_setting AS s
                      WHERE s.account_id = q.account_id ORDER BY s.setting_no DESC LIMIT 1) AS s
 WHERE s.on_rating_error = 'hold_account';
COMMENT ON VIEW billing.account_on_hold IS 'Accounts that are billed nothing until a charge of theirs can be rated (on_rating_error = hold_account).';

-- Joined in the order written: the planner would take longer to think about twenty relations than to read one account.
CREATE FUNCTION billing.drafts_to_finalize(through date, account_id bigint, interim boolean) RETURNS SETOF billing.draft_detail
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10000
    SET search_path = pg_catalog, billing, pg_temp SET plan_cache_mode = force_custom_plan SET enable_nestloop = on SET join_collapse_limit = 1 SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    last_day     constant date    := drafts_to_finalize.through;
    one_account  constant bigint  := drafts_to_finalize.account_id;
    interim_only constant boolean := drafts_to_finalize.interim;
BEGIN
    RETURN QUERY
        SELECT d.*
          FROM draft_detail AS d
         WHERE (one_account IS NULL OR d.account_id = one_account)
           AND CASE WHEN interim_only THEN d.interim ELSE NOT d.interim AND d.due_on <= last_day END
           AND d.frozen_at IS NULL
           AND d.account_id NOT IN (SELECT h.account_id FROM account_on_hold AS h);
END $$;
COMMENT ON FUNCTION billing.drafts_to_finalize(date, bigint, boolean) IS
'The drafts that finalising takes: those due by the day through, of one account or (null) all, but not of frozen charges and of accounts on hold; interim: only those of progressive billing. Stable.';

CREATE FUNCTION billing.invoices_taken_back(account_id bigint, key_id bigint, amount billing.monetary) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    -- What was voided or cancelled was taken back as a whole already.  The rest is a pile: what a line takes back lies on top.
    WITH link AS (
        SELECT l.invoice_id, l.chain_no, d.way * amount(sum(l.amount) OVER w) AS height, d.way * amount(l.amount) AS added
          FROM line AS l
         CROSS JOIN (SELECT - sign($3)) AS d(way)
         WHERE l.account_id = $1 AND l.key_id = $2 AND l.kind NOT IN ('void', 'cancellation')
           AND NOT EXISTS (SELECT FROM line AS v WHERE v.invoice_id = l.invoice_id AND v.account_id = l.account_id AND v.key_id = l.key_id AND v.kind = 'void')
           AND NOT EXISTS (SELECT FROM invoice AS c WHERE c.cancels_id = l.invoice_id)
        WINDOW w AS (ORDER BY l.chain_no)
    ), pile AS (
        SELECT k.invoice_id, k.height - k.added AS bottom, min(k.height) OVER (ORDER BY k.chain_no DESC) AS top,
               first_value(k.height) OVER (ORDER BY k.chain_no DESC) - abs(amount($3)) AS cut
          FROM link AS k
    )
    SELECT coalesce(array_agg(DISTINCT p.invoice_id), '{}') FROM pile AS p WHERE p.top > greatest(p.bottom, p.cut)
$$;
COMMENT ON FUNCTION billing.invoices_taken_back(bigint, bigint, billing.monetary) IS
'The documents whose lines of a charge a further line of this amount takes back, in part or whole: from the last one back, as far as the amount reaches. What was credited, voided or cancelled before is left out. Empty where the line adds to its charge. Stable.';

-- The statement in words: sum lines to tax groups and tax groups to documents; leave out documents with a tax code that has no rate;
-- draw numbers; write documents, lines, taxes and events; take the drafts away; pin the periods.  Constraints are checked when the
-- statement ends, which is why lines may come before their invoices.  Nested loops are off because the planner takes the intermediate
-- results for a few rows and would loop over two hundred thousand; choosing the drafts, which needs them, is a function of its own.
DO $define$
BEGIN
    EXECUTE replace($create$
CREATE FUNCTION billing.finalize_drafts(run_id bigint, through date, issue_date date, account_id bigint, series text, interim boolean)
    RETURNS TABLE (invoice_id bigint, number text, payer text, total billing.monetary)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, billing, pg_temp SET enable_nestloop = off SET jit = off SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
    this_run     constant bigint  := finalize_drafts.run_id;
    last_day     constant date    := finalize_drafts.through;
    one_account  constant bigint  := finalize_drafts.account_id;
    this_series  constant text    := finalize_drafts.series;
    interim_only constant boolean := finalize_drafts.interim;
    invoice_ids  constant regclass := pg_get_serial_sequence('billing.invoice', 'invoice_id');
    stamp        constant timestamptz := recorded_at();
    former_date  constant text    := current_setting('billing.issue_date', true);
    failed_table text;
    violation    text;
    hint         text;
BEGIN
    PERFORM set_config('billing.issue_date', coalesce(to_char(finalize_drafts.issue_date, 'YYYY-MM-DD'), ''), true);
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT d.*, dense_rank() OVER (ORDER BY d.seller_id, d.payer_key COLLATE "C", d.invoice_group_id, d.currency COLLATE "C") AS document_no,
               row_number() OVER (PARTITION BY d.seller_id, d.payer_key COLLATE "C", d.invoice_group_id, d.currency COLLATE "C"
                                  ORDER BY d.account_key COLLATE "C", d.consumer_key COLLATE "C", stage_of(d.component), d.item_key COLLATE "C",
                                           d.charge_group::text COLLATE "C", d.date_from, d.subscription_id, d.key_id) AS line_no
          FROM drafts_to_finalize(last_day, one_account, interim_only) AS d
    ), {document_sums}, party AS MATERIALIZED (
        SELECT p.document_no,
               jsonb_strip_nulls(jsonb_build_object('key', p.payer_key, 'legal_name', (p.setting).legal_name, 'address', (p.setting).address,
                                                    'country', (p.setting).country, 'vat_id', (p.setting).vat_id, 'endpoint_id', (p.setting).endpoint_id)) AS copy
          FROM payer AS p
    ), document AS MATERIALIZED (
        SELECT nextval(invoice_ids) AS invoice_id, d.*,
               CASE WHEN sign(d.total_without_tax) < 0 THEN '381' ELSE '380' END AS type
          FROM (SELECT s.* FROM summed AS s WHERE NOT s.tax_rate_missing AND NOT s.too_large ORDER BY s.document_no) AS d
    ), issuer AS MATERIALIZED (
        SELECT s.seller_id, s.payment_days,
               jsonb_strip_nulls(jsonb_build_object('key', k.key, 'legal_name', s.legal_name, 'address', s.address, 'country', s.country,
                                                    'tax_ids', s.tax_ids, 'endpoint_id', s.endpoint_id)) AS copy
          FROM seller_today AS s JOIN seller AS k USING (seller_id)
    ), drawn AS (
        UPDATE number_series AS n
           SET last_number = n.last_number + q.documents, last_issue_date = next_issue_date(n, q.issue_date)
          FROM (SELECT d.seller_id, d.type, min(d.issue_date) AS issue_date, count(*) AS documents FROM document AS d GROUP BY d.seller_id, d.type) AS q
         WHERE n.seller_id = q.seller_id AND n.type = q.type AND n.series = this_series
        RETURNING n.seller_id, n.type, n.prefix, n.digits, n.last_number - q.documents AS last_number
    ), numbered AS MATERIALIZED (
        SELECT q.*, format_number(q.prefix, q.digits, q.counter) AS number
          FROM (SELECT d.*, n.prefix, n.digits, n.last_number + row_number() OVER (PARTITION BY d.seller_id, d.type ORDER BY d.document_no) AS counter
                  FROM document AS d JOIN drawn AS n USING (seller_id, type)) AS q
    ), written_invoice AS (
        INSERT INTO invoice (invoice_id, seller_id, payer_id, invoice_group_id, type, series, number, issue_date, tax_point_date, posting_period,
                             due_date, currency, total_without_tax, tax_total, total, corrects_ids, seller_copy, buyer_copy, purchase_order,
                             buyer_reference, language, known_at, run_id)
        OVERRIDING SYSTEM VALUE
        SELECT d.invoice_id, d.seller_id, d.payer_id, d.invoice_group_id, d.type, this_series, d.number, d.issue_date, d.tax_point_date,
               date_trunc('month', d.issue_date::timestamp), d.issue_date + coalesce(g.payment_days, s.payment_days), d.currency,
               d.total_without_tax, d.tax_total, d.total_without_tax + d.tax_total, coalesce(corrected_invoices(c.corrects_ids, d.issue_date), '{}'), s.copy, p.copy,
               g.purchase_order, g.buyer_reference, g.language, d.known_at, this_run
          FROM numbered AS d
          JOIN party AS p USING (document_no)
          JOIN issuer AS s USING (seller_id)
         CROSS JOIN LATERAL (SELECT x.* FROM invoice_group AS x WHERE x.invoice_group_id = d.invoice_group_id LIMIT 1) AS g
          LEFT JOIN (SELECT x.document_no, array_agg(DISTINCT x.invoice_id) AS corrects_ids
                       FROM (SELECT l.document_no, unnest(CASE WHEN l.chain_no > 2 THEN invoices_taken_back(l.account_id, l.key_id, l.amount) || l.corrects_invoice_id
                                                               ELSE ARRAY[l.corrects_invoice_id] END) AS invoice_id
                               FROM chosen AS l WHERE l.corrects_invoice_id IS NOT NULL) AS x
                      GROUP BY x.document_no) AS c USING (document_no)
    ), written_number AS (
        INSERT INTO invoice_number (seller_id, type, series, counter, number, invoice_id)
        SELECT d.seller_id, d.type, this_series, d.counter, d.number, d.invoice_id FROM numbered AS d
    ), written_line AS (
        INSERT INTO line (account_id, key_id, chain_no, booked_before, amount, booked_after, invoice_id, line_no, kind, stage, causes,
                          corrects_invoice_id, seller_id, period_from, period_to, item_key, item_name, account_key, consumer_key, charge_group,
                          quantity, unit, unit_price, price_ids, rounding, proration, owed, decided, tax_code, tax_category, tax_rate, tax_exemption_code,
                          tax_exemption_reason, tax_point_date, known_at, own_at, interim_to, rating_version, run_id)
        SELECT l.account_id, l.key_id, l.chain_no, l.booked_before, l.amount, l.booked_before + l.amount, d.invoice_id, l.line_no, l.kind,
               stage_of(l.component), l.causes, l.corrects_invoice_id, l.seller_id, l.date_from, l.date_to, l.item_key, l.item_name,
               l.account_key, l.consumer_key, l.charge_group, l.quantity, l.unit, l.unit_price, l.price_ids, l.rounding, l.proration, l.owed, l.decided,
               l.tax_code, l.tax_category, l.tax_rate, l.tax_exemption_code, l.tax_exemption_reason, l.tax_point_date, l.known_at, l.own_at, l.interim_to,
               l.rating_version, l.run_id
          FROM chosen AS l JOIN document AS d USING (document_no)
    ), written_tax AS (
        INSERT INTO invoice_tax (invoice_id, group_no, category, rate, tax_code, exemption_code, exemption_reason, taxable, tax)
        SELECT d.invoice_id, t.group_no, t.tax_category, t.tax_rate, t.tax_code, t.tax_exemption_code, t.tax_exemption_reason, t.taxable, t.tax
          FROM taxed AS t JOIN document AS d USING (document_no)
    ), written_event AS (
        INSERT INTO invoice_event (invoice_id, event_no, event, recorded_at)
        SELECT d.invoice_id, 1, 'finalized', stamp FROM document AS d
    ), refused AS MATERIALIZED (
        SELECT c.account_id, c.key_id, c.period_no, c.agreement_id, c.item_id, c.charge_group, c.tax_rate_missing, c.tax_code, c.seller_id, c.tax_point_date,
               c.payer_key, c.currency, s.too_large
          FROM chosen AS c
          JOIN summed AS s USING (document_no)
         WHERE s.tax_rate_missing OR s.too_large
    ), used_draft AS (
        DELETE FROM draft_line AS x USING chosen AS l
         WHERE x.account_id = l.account_id AND x.key_id = l.key_id AND (one_account IS NULL OR x.account_id = one_account)
           AND l.document_no IN (SELECT d.document_no FROM document AS d)
        RETURNING 1
    ), written_error AS (
        INSERT INTO run_error (run_id, account_id, period_no, agreement_id, item_id, charge_group, reason, sqlstate, detail)
        SELECT this_run, c.account_id, c.period_no, c.agreement_id, c.item_id, c.charge_group, 'no_tax_rate', '22023',
               format('tax code "%s" of seller "%s" has no rate on %s', c.tax_code, (SELECT s.key FROM seller AS s WHERE s.seller_id = c.seller_id), c.tax_point_date)
          FROM refused AS c WHERE c.tax_rate_missing
        UNION ALL
        SELECT this_run, c.account_id, c.period_no, c.agreement_id, c.item_id, c.charge_group, 'invoice_too_large', '22003',
               format('the lines of this invoice to "%s" come to more than %s %s', c.payer_key, trunc(greatest_amount()), c.currency)
          FROM refused AS c WHERE c.too_large
    ), pinned AS (
        UPDATE charge_period AS p
           SET closed_known_at = p.looked_known_at, closed_own_at = p.looked_own_at, rating_version = billing.rating_version()
         WHERE NOT interim_only AND p.closed_known_at IS NULL AND p.looked_known_at IS NOT NULL
           AND p.date_to <= last_day AND p.due_at <= last_day::timestamp AT TIME ZONE p.time_zone
           AND (one_account IS NULL OR p.account_id = one_account)
           AND p.account_id NOT IN (SELECT h.account_id FROM account_on_hold AS h)
           -- the price that mends a charge which cannot be rated is no correction of what was billed
           AND (p.account_id, p.period_no) NOT IN (SELECT q.account_id, q.period_no FROM pending AS q)
           AND (p.account_id, p.period_no) NOT IN (SELECT c.account_id, c.period_no FROM refused AS c)
        RETURNING 1
    ), advance_pinned AS (   -- what is billed in advance keeps its prices from now on, although its period is not due
        UPDATE charge_period AS p
           SET advance_pinned_at = p.advance_known_at, advance_pinned_own = p.looked_own_at
         WHERE p.advance_pinned_at IS NULL AND p.advance_known_at IS NOT NULL AND p.looked_known_at IS NULL
           AND (p.account_id, p.period_no) IN (SELECT c.account_id, c.period_no FROM chosen AS c JOIN document AS d USING (document_no) WHERE c.component = 'fee')
           AND (p.account_id, p.period_no) NOT IN (SELECT q.account_id, q.period_no FROM pending AS q)
           AND (p.account_id, p.period_no) NOT IN (SELECT c.account_id, c.period_no FROM refused AS c)
        RETURNING 1
    ), noted AS (
        UPDATE run AS r
           SET counts = r.counts || jsonb_build_object('invoices', (SELECT count(*) FROM document), 'lines', (SELECT count(*) FROM used_draft),
                                                       'lines_left_out', (SELECT count(*) FROM refused), 'periods_closed', (SELECT count(*) FROM pinned))
         WHERE r.run_id = this_run
    )
    SELECT d.invoice_id, d.number, d.payer_key, d.total_without_tax + d.tax_total FROM numbered AS d ORDER BY d.document_no;
    PERFORM set_config('billing.issue_date', coalesce(former_date, ''), true);
EXCEPTION WHEN invalid_parameter_value THEN
    -- once more, without the statement above as context
    GET STACKED DIAGNOSTICS violation = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RAISE invalid_parameter_value USING MESSAGE = violation, HINT = hint;
WHEN unique_violation OR foreign_key_violation THEN
    GET STACKED DIAGNOSTICS failed_table = TABLE_NAME, violation = MESSAGE_TEXT;
    IF failed_table = 'line' THEN
        PERFORM raise_stale_draft(one_account, violation);
    END IF;
    RAISE;
END $$
    $create$, '{document_sums}', billing.document_sums_text());
END $define$;
COMMENT ON FUNCTION billing.finalize_drafts(bigint, date, date, bigint, text, boolean) IS
'Behind finalize_invoices() and finalize_interim(), which have locked the number series: turns drafts into final invoices and notes counts in the run. One account or (null) all; interim: only those of progressive billing, whatever their day, and without pinning periods. Errors as finalize_invoices(). Volatile.';


CREATE FUNCTION billing.finalize_invoices(through date, issue_date date DEFAULT NULL, account text DEFAULT NULL, series text DEFAULT '')
    RETURNS TABLE (invoice_id bigint, number text, payer text, total billing.monetary)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_run    bigint;
    one_account bigint;
    left_out    bigint;
BEGIN
    PERFORM check_ledger();
    IF through IS NULL OR NOT isfinite(through) OR NOT isfinite(coalesce(issue_date, through)) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('through and issue_date must be days, not %s and %s', coalesce(through::text, 'null'), coalesce(issue_date::text, 'null')),
            HINT = 'through is the day up to which charges fall due, such as the first day of a month; leave issue_date out for today.';
    END IF;
    PERFORM check_day('issue_date', issue_date);
    IF finalize_invoices.account IS NOT NULL THEN
        one_account := find_account(finalize_invoices.account);
    END IF;
    PERFORM wait_for_run();
    INSERT INTO run (procedure, through) VALUES ('finalize_invoices', finalize_invoices.through) RETURNING run_id INTO this_run;
    PERFORM lock_number_series(sellers_of_drafts(one_account), coalesce(series, ''));
    RETURN QUERY SELECT f.* FROM finalize_drafts(this_run, through, issue_date, one_account, coalesce(series, ''), false) AS f;
    UPDATE run AS r
       SET errors = (SELECT count(*) FROM run_error AS e WHERE e.run_id = this_run), finished_at = clock_timestamp(),
           state = CASE WHEN EXISTS (SELECT FROM run_error AS e WHERE e.run_id = this_run) THEN 'done_with_errors' ELSE 'done' END
     WHERE r.run_id = this_run
    RETURNING (r.counts ->> 'lines_left_out')::bigint INTO left_out;
    IF left_out > 0 THEN
        RAISE WARNING 'invoices were left out, with lines: %', left_out
            USING HINT = format('See billing.run_error of run %s; give tax codes a rate with billing.set_tax_rate(), correct what is too large, and finalise again.', this_run);
    END IF;
END $$;
COMMENT ON FUNCTION billing.finalize_invoices(date, date, text, text) IS
'Makes final invoices of the drafts that fall due by the day through, in each account''s calendar: one a seller, payer (by bill_to on the issue date), invoice group and currency; a credit note (type 381) where the total without tax is negative. Numbers are drawn from the sellers'' series without gaps, and the periods billed are closed: from now on their prices, agreements and taxes are read as known at the last run. A period with a charge that cannot be rated stays open until it can. issue_date: default today in the seller''s time zone. account: only the charges of this account, whoever pays them. Returns one row an invoice; the row of billing.run that it leaves counts lines, closed periods and what was left out. Errors: 40001 if a draft does not continue what was billed meanwhile (run again), 22023 for an issue date before the last one of the series, before that of an invoice that is corrected, or more than 300 days ahead, or a bad argument, 42704 unknown account or series. Volatile.';

CREATE FUNCTION billing.finalize_interim(run_id bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    invoices bigint;
    -- Today, unless invoices bear a later date already: a run must not fail for that.
    latest   date := (SELECT max(x.last_date)
                        FROM (SELECT n.seller_id, n.last_issue_date AS last_date FROM number_series AS n
                               WHERE n.series = '' AND n.seller_id IN (SELECT a.seller_id FROM draft_line AS d JOIN agreement AS a USING (agreement_id) WHERE d.interim)
                               UNION ALL
                              SELECT i.seller_id, i.issue_date FROM draft_line AS d JOIN line AS l USING (account_id, key_id) JOIN invoice AS i ON i.invoice_id = l.invoice_id
                               WHERE d.interim) AS x
                        JOIN seller_today AS s USING (seller_id)
                       WHERE x.last_date > s.issue_date);
BEGIN
    PERFORM wait_for_run();
    PERFORM lock_number_series(sellers_of_drafts(NULL), '');
    SELECT count(*) INTO invoices FROM finalize_drafts(finalize_interim.run_id, NULL, latest, NULL, '', true) AS f;
    RETURN invoices;
END $$;
COMMENT ON FUNCTION billing.finalize_interim(bigint) IS
'Makes progressive invoices final at once: the last step of a run. Returns how many. They are issued today, or on the date of the last invoice where that is later. Periods are not pinned, since they are still running. Errors as finalize_invoices(). Volatile.';
