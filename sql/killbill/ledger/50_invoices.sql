-- Invoices, payments and balances of a server are read and compared with what they should be.

CREATE FUNCTION billing.killbill_store_invoices(endpoint text, account_id bigint, invoices jsonb) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO killbill_invoice AS k (endpoint, invoice_id, account_id, number, status, invoice_date, target_date, currency, amount, balance)
    SELECT $1, (i ->> 'invoiceId')::uuid, $2, i ->> 'invoiceNumber', i ->> 'status', left(i ->> 'invoiceDate', 10)::date, left(i ->> 'targetDate', 10)::date,
           i ->> 'currency', (i ->> 'amount')::numeric, (i ->> 'balance')::numeric
      FROM jsonb_array_elements(invoices) AS i
        ON CONFLICT ON CONSTRAINT killbill_invoice_pkey DO UPDATE
       SET number = excluded.number, status = excluded.status, invoice_date = excluded.invoice_date, target_date = excluded.target_date,
           amount = excluded.amount, balance = excluded.balance, read_at = clock_timestamp();
    DELETE FROM killbill_item AS t USING jsonb_array_elements(invoices) AS i WHERE t.endpoint = $1 AND t.invoice_id = (i ->> 'invoiceId')::uuid;
    INSERT INTO killbill_item (endpoint, item_id, invoice_id, item_type, subscription_id, plan, usage_name, starts_on, ends_on, amount, description, details, linked_id)
    SELECT $1, (t ->> 'invoiceItemId')::uuid, (t ->> 'invoiceId')::uuid, t ->> 'itemType', (t ->> 'subscriptionId')::uuid, t ->> 'planName', t ->> 'usageName',
           left(t ->> 'startDate', 10)::date, left(t ->> 'endDate', 10)::date, (t ->> 'amount')::numeric, t ->> 'description', t ->> 'itemDetails', (t ->> 'linkedInvoiceItemId')::uuid
      FROM jsonb_array_elements(invoices) AS i CROSS JOIN LATERAL jsonb_array_elements(i -> 'items') AS t;
    UPDATE killbill_adjustment AS a SET invoice_id = t.invoice_id
      FROM killbill_item AS t JOIN killbill_invoice AS k USING (endpoint, invoice_id)
     WHERE a.endpoint = $1 AND a.account_id = $2 AND t.endpoint = $1 AND k.account_id = $2 AND t.details = a.reference || 'adjustment:' || a.adjustment_id
       AND k.status <> 'VOID' AND a.invoice_id IS DISTINCT FROM t.invoice_id;
$$;
COMMENT ON FUNCTION billing.killbill_store_invoices(text, bigint, jsonb) IS 'Keeps a copy of invoices of a server as its API shows them, with their items. Volatile.';

CREATE FUNCTION billing.killbill_store_payments(endpoint text, payments jsonb) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO killbill_payment AS k (endpoint, payment_id, invoice_id, purchased, refunded, currency, status, paid_at)
    SELECT $1, (p ->> 'paymentId')::uuid, (p ->> 'targetInvoiceId')::uuid, coalesce((p ->> 'purchasedAmount')::numeric, 0), coalesce((p ->> 'refundedAmount')::numeric, 0) + coalesce((p ->> 'creditedAmount')::numeric, 0), p ->> 'currency',
           -- A refund that failed leaves what was paid before, in whatever order the server lists them.
           CASE WHEN jsonb_path_exists(p, '$.transactions[*] ? (@.status == "SUCCESS" && !(@.transactionType like_regex "^(REFUND|VOID|CHARGEBACK)$"))') THEN 'SUCCESS'
                ELSE p #>> '{transactions,-1,status}' END, (p #>> '{transactions,-1,effectiveDate}')::timestamptz
      FROM jsonb_array_elements(payments) AS p WHERE p ->> 'targetInvoiceId' IS NOT NULL
        ON CONFLICT ON CONSTRAINT killbill_payment_pkey DO UPDATE
       SET purchased = excluded.purchased, refunded = excluded.refunded, status = excluded.status, paid_at = excluded.paid_at
$$;
COMMENT ON FUNCTION billing.killbill_store_payments(text, jsonb) IS 'Keeps a copy of payments as the API of a server shows them. Volatile.';

CREATE FUNCTION billing.killbill_deliver_pull_account(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account;
    at     text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    body   jsonb := json_or_null(answer.body);
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    IF mirror.killbill_id IS NULL THEN
        RETURN step_retry('the account is not there yet');
    ELSIF at = 'begin' THEN
        RETURN step_send(killbill_request('GET', format('/accounts/%s?accountWithBalanceAndCBA=true', mirror.killbill_id)), '{"at": "balance"}');
    -- Nothing else of the account waits because its invoices are too many to be read.
    ELSIF answer.error = 'too_large' THEN
        RETURN step_delivered(jsonb_build_object('problem', format('the server''s answer about %s is larger than option max_body allows: increase it', at)));
    ELSIF NOT succeeded(answer) THEN
        RETURN killbill_judge(answer);
    -- The body is streamed: a failure on the way truncates a 200.
    ELSIF NOT (CASE at WHEN 'balance' THEN coalesce(body ->> 'accountId' = mirror.killbill_id::text AND jsonb_typeof(body -> 'accountBalance') = 'number' AND jsonb_typeof(body -> 'accountCBA') = 'number', false)
                      WHEN 'invoices' THEN killbill_is_list(body, 'invoiceId', 'status', 'invoiceDate', 'currency', 'amount', 'balance', 'items')
                      WHEN 'payments' THEN killbill_is_list(body, 'paymentId') ELSE killbill_is_list(body, 'tagDefinitionName') END) THEN
        RETURN step_retry('that is not what a Kill Bill server answers');
    ELSIF at = 'balance' THEN
        UPDATE killbill_account AS k SET balance = (body ->> 'accountBalance')::numeric, credit = (body ->> 'accountCBA')::numeric
         WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
        -- Without the components 0.24 shows every amount as 0.
        RETURN step_send(killbill_request('GET', format('/accounts/%s/invoices?includeInvoiceComponents=true&includeVoidedInvoices=true', mirror.killbill_id), NULL, NULL, '60s'), '{"at": "invoices"}');
    ELSIF at = 'invoices' THEN
        PERFORM killbill_store_invoices(mirror.endpoint, mirror.account_id, body);
        RETURN step_send(killbill_request('GET', format('/accounts/%s/invoicePayments', mirror.killbill_id)), '{"at": "payments"}');
    ELSIF at = 'payments' THEN
        PERFORM killbill_store_payments(mirror.endpoint, body);
        RETURN step_send(killbill_request('GET', format('/accounts/%s/tags', mirror.killbill_id)), '{"at": "tags"}');
    END IF;
    UPDATE killbill_account AS k SET parked = jsonb_path_exists(body, '$[*] ? (@.tagDefinitionName == "__PARK__")'), read_at = clock_timestamp()
     WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
    PERFORM killbill_enforce_threshold(mirror.endpoint, mirror.account_id);
    RETURN step_delivered();
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_pull_account(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind pull_account: reads balance, invoices with items, payments and tags of an account. Volatile.';

CREATE FUNCTION billing.killbill_pull_accounts(endpoint text, only_accounts bigint[]) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT count(killbill_tell(k.endpoint, 'pull_account', k.account_id, '{}'))
      FROM killbill_account AS k
     WHERE k.endpoint = $1 AND ($2 IS NULL OR k.account_id = ANY ($2))
       AND NOT EXISTS (SELECT FROM message AS m WHERE m.endpoint = k.endpoint AND m.ordering_key = 'account ' || k.account_id AND m.kind = 'pull_account' AND m.state IN ('waiting', 'queued'))
$$;
COMMENT ON FUNCTION billing.killbill_pull_accounts(text, bigint[]) IS 'What killbill_pull_invoices() does, for some accounts, null = all. Volatile.';

CREATE FUNCTION billing.killbill_pull_invoices(endpoint text, account text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    only_accounts bigint[] := CASE WHEN killbill_pull_invoices.account IS NOT NULL THEN ARRAY[(killbill_find_account(killbill_pull_invoices.endpoint, killbill_pull_invoices.account)).account_id] END;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_pull_invoices.endpoint);
    RETURN killbill_pull_accounts(killbill_pull_invoices.endpoint, only_accounts);
END $$;
COMMENT ON FUNCTION billing.killbill_pull_invoices(text, text) IS
'Has balance, invoices, items, payments and tags of the mirrored accounts (or of one) read from the server; what is asked for already is not asked twice. Returns how many accounts it asked for. Errors: 42704 unknown endpoint or account. Volatile.';

CREATE FUNCTION billing.killbill_expected(endpoint text, dates daterange, only_account bigint DEFAULT NULL)
    RETURNS TABLE (account_id bigint, external_key text, usage_name text, period_from date, period_to date, ours numeric, told boolean, problem text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100 SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    used  record;
    price record;
BEGIN
    FOR used IN
        SELECT d.account_id, d.external_key, d.usage_name, d.period_from, d.period_to, jsonb_object_agg(d.unit, d.period_wanted) AS wanted, bool_and(d.period_wanted = d.period_told) AS told
          FROM killbill_usage_differences(killbill_expected.endpoint, dates, CASE WHEN killbill_expected.only_account IS NOT NULL THEN ARRAY[killbill_expected.only_account] END) AS d
         WHERE d.period_from >= lower(dates) AND d.period_to <= upper(dates)
         GROUP BY 1, 2, 3, 4, 5
    LOOP
        price := killbill_section(killbill_expected.endpoint, used.external_key, used.usage_name, used.period_from);
        account_id := used.account_id; external_key := used.external_key; usage_name := used.usage_name; period_from := used.period_from; period_to := used.period_to; told := used.told;
        problem := NULL; ours := NULL;
        IF price.free THEN
            ours := 0;
        ELSIF price.section IS NULL THEN
            problem := 'the price is not known here';
        ELSE
            BEGIN
                ours := killbill_rate(price.section, price.currency, used.wanted);
            EXCEPTION WHEN OTHERS THEN
                problem := SQLERRM;
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_expected(text, daterange, bigint) IS
'What the usage of each subscription should come to on the server''s invoices, by usage section and charge period inside dates: usage as it counts now, rated by the imported catalog. told: whether all of it was told. Stable.';

CREATE FUNCTION billing.killbill_reconcile_usage(endpoint text, dates daterange, only_account bigint)
    RETURNS TABLE (account_id bigint, subject text, period_from date, period_to date, ours numeric, theirs numeric, reason text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH billed AS (
        SELECT s.external_key, t.usage_name, t.starts_on, sum(t.amount + coalesce((SELECT sum(x.amount) FROM killbill_item AS x WHERE x.endpoint = t.endpoint AND x.linked_id = t.item_id), 0)) AS amount
          FROM killbill_item AS t
          JOIN killbill_invoice AS k USING (endpoint, invoice_id)
          JOIN killbill_subscription AS s ON s.endpoint = t.endpoint AND s.killbill_id = t.subscription_id
         WHERE t.endpoint = $1 AND t.item_type = 'USAGE' AND k.status = 'COMMITTED' AND s.account_id = coalesce($3, s.account_id)
         GROUP BY 1, 2, 3
    ), adjusted AS (
        SELECT a.external_key, a.usage_name, a.period_from, sum(t.amount) AS amount
          FROM killbill_adjustment AS a
          JOIN killbill_invoice AS k USING (endpoint, account_id)
          JOIN killbill_item AS t ON t.endpoint = k.endpoint AND t.invoice_id = k.invoice_id AND t.details = a.reference || 'adjustment:' || a.adjustment_id
         WHERE a.endpoint = $1 AND k.status = 'COMMITTED' AND a.external_key IS NOT NULL AND a.account_id = coalesce($3, a.account_id) GROUP BY 1, 2, 3
    ), expected AS (
        SELECT e.*, coalesce((SELECT sum(b.amount) FROM billed AS b WHERE b.external_key = e.external_key AND b.usage_name = e.usage_name AND b.starts_on >= e.period_from AND b.starts_on < e.period_to), 0)
                    + coalesce((SELECT sum(a.amount) FROM adjusted AS a WHERE a.external_key = e.external_key AND a.usage_name = e.usage_name AND a.period_from = e.period_from), 0) AS theirs
          FROM killbill_expected($1, dates, $3) AS e
    )
    SELECT e.account_id, concat_ws(' ', e.external_key, e.usage_name), e.period_from, e.period_to, e.ours, e.theirs,
           CASE WHEN e.problem IS NOT NULL THEN e.problem
                WHEN EXISTS (SELECT FROM message AS m WHERE m.endpoint = $1 AND m.ordering_key = 'account ' || e.account_id AND m.kind IN ('usage', 'adjustment') AND m.state NOT IN ('delivered', 'discarded'))
                    THEN 'messages about it are not delivered yet'
                WHEN NOT e.told OR EXISTS (SELECT FROM killbill_usage AS u WHERE u.endpoint = $1 AND u.external_key = e.external_key AND u.message_id IS NULL)
                    OR EXISTS (SELECT FROM killbill_adjustment AS a WHERE a.endpoint = $1 AND a.account_id = e.account_id AND a.external_key = e.external_key AND a.message_id IS NULL)
                    THEN 'usage was not told: billing.killbill_push_usage()'
                WHEN k.parked THEN 'the server has parked the account and makes no invoices'
                WHEN k.read_at IS NULL THEN 'invoices were never read: billing.killbill_pull_invoices()'
                WHEN e.theirs = 0 THEN 'the server has not billed it'
                ELSE 'the server bills another amount' END
      FROM expected AS e JOIN killbill_account AS k ON k.endpoint = $1 AND k.account_id = e.account_id
     WHERE e.ours IS DISTINCT FROM e.theirs
     UNION ALL
    SELECT s.account_id, concat_ws(' ', b.external_key, b.usage_name), b.starts_on, NULL, 0, b.amount, 'billed there, without usage here'
      FROM billed AS b JOIN killbill_subscription AS s ON s.endpoint = $1 AND s.external_key = b.external_key
     WHERE b.amount <> 0 AND b.starts_on <@ dates
       AND NOT EXISTS (SELECT FROM expected AS e WHERE e.external_key = b.external_key AND e.usage_name = b.usage_name AND b.starts_on >= e.period_from AND b.starts_on < e.period_to)
       AND EXISTS (SELECT FROM periods(s.account_id, daterange(b.starts_on, b.starts_on + 1)) AS c WHERE c.date_from >= lower(dates) AND c.date_to <= upper(dates))
$$;
COMMENT ON FUNCTION billing.killbill_reconcile_usage(text, daterange, bigint) IS 'Usage whose price here and on the server''s invoices, adjustments included, differ. Behind killbill_reconcile(). Stable.';

CREATE FUNCTION billing.killbill_recurring_price(endpoint text, external_key text, plan text, starts_on date, ends_on date, OUT price numeric, OUT begins boolean, OUT ends boolean)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH here AS MATERIALIZED (
        SELECT s.*, a.currency, a.time_zone FROM killbill_subscription AS s CROSS JOIN LATERAL account_setting_on(s.account_id, killbill_recurring_price.starts_on) AS a
         WHERE s.endpoint = killbill_recurring_price.endpoint AND s.external_key = killbill_recurring_price.external_key
    ), phase AS MATERIALIZED (
        SELECT h.starts_on AS first_day, h.ends_on AS last_day, h.price_list, h.currency, h.time_zone, f.phase, f.phase_from, f.phase_to
          FROM here AS h CROSS JOIN LATERAL killbill_phases(killbill_recurring_price.endpoint, killbill_recurring_price.plan, h.price_list, h.currency, h.starts_on, h.time_zone) AS f
         WHERE f.phase_from <= killbill_recurring_price.starts_on AND (f.phase_to IS NULL OR f.phase_to > killbill_recurring_price.starts_on)
    ), version AS MATERIALIZED (
        SELECT f.*, p.amount, p.effective_at, (p.existing_from AT TIME ZONE f.time_zone)::date AS existing_on
          FROM phase AS f
          JOIN killbill_price AS p ON p.endpoint = killbill_recurring_price.endpoint AND p.plan = killbill_recurring_price.plan AND p.kind = 'recurring' AND p.currency = f.currency AND p.phase = f.phase
         WHERE p.price_list = f.price_list
    )
    , pause AS MATERIALIZED (
        SELECT p.paused_from, p.paused_to FROM killbill_pause AS p WHERE p.endpoint = killbill_recurring_price.endpoint AND p.external_key = killbill_recurring_price.external_key
    )
    -- A part of a month begins and ends with the subscription, the phase, a pause, or a version for existing subscriptions.
    SELECT v.amount, killbill_recurring_price.starts_on IN (v.first_day, v.phase_from) OR EXISTS (SELECT FROM version AS o WHERE o.existing_on = killbill_recurring_price.starts_on)
                     OR EXISTS (SELECT FROM pause AS p WHERE p.paused_to = killbill_recurring_price.starts_on),
           killbill_recurring_price.ends_on IN (v.phase_to, v.last_day) IS TRUE OR EXISTS (SELECT FROM version AS o WHERE o.existing_on = killbill_recurring_price.ends_on)
           OR EXISTS (SELECT FROM pause AS p WHERE p.paused_from = killbill_recurring_price.ends_on)
      FROM version AS v
     ORDER BY v.effective_at <= killbill_version_at(killbill_recurring_price.endpoint, killbill_recurring_price.plan, v.first_day, v.time_zone) OR v.existing_on <= killbill_recurring_price.starts_on DESC NULLS LAST, v.effective_at DESC LIMIT 1
$$;
COMMENT ON FUNCTION billing.killbill_recurring_price(text, text, text, date, date) IS
'The monthly price of a mirrored subscription in the phase of a day, and whether a part of a month may begin on that day and end on another: with the subscription, the phase, a pause, or a version of the catalog. Null when the price is not known. Stable.';

CREATE FUNCTION billing.killbill_repair(amount numeric, currency text, starts_on date, ends_on date, from_day date, to_day date) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT - round(amount * round((to_day - from_day)::numeric / (ends_on - starts_on), 9), (SELECT c.minor_unit FROM currencies() AS c WHERE c.code = currency))
$$;
COMMENT ON FUNCTION billing.killbill_repair(numeric, text, date, date, date, date) IS
'What the server takes back, as a negative amount, of an item billed in advance for the days from from_day to before to_day, because of an end, a pause or another price: the item''s amount times the share of these days, that share rounded to 9 decimals. Source: invoices of 0.24.19. Immutable.';

CREATE FUNCTION billing.killbill_reconcile_items(endpoint text, dates daterange, only_account bigint)
    RETURNS TABLE (account_id bigint, subject text, period_from date, period_to date, ours numeric, theirs numeric, reason text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH cut AS MATERIALIZED (
        SELECT c.* FROM killbill_cuts($1, CASE WHEN $3 IS NOT NULL THEN ARRAY[$3] END) AS c
    ), item AS (
        SELECT k.account_id, k.number, k.currency, t.*, s.external_key, s.overrides, p.price, o.item_type AS linked_type,
               CASE t.item_type
                   WHEN 'RECURRING' THEN CASE WHEN (t.starts_on = c.full_from OR p.begins) AND (t.ends_on = c.date_to OR t.ends_on < c.date_to AND p.ends)
                                              THEN killbill_prorated(p.price, k.currency, c.full_from, c.date_to, t.starts_on, t.ends_on) ELSE p.price END
                   WHEN 'REPAIR_ADJ' THEN CASE WHEN (t.starts_on = s.ends_on OR b.from_cut) AND (t.ends_on = o.ends_on OR b.to_cut) OR t.starts_on = o.starts_on AND b.to_cut
                                               THEN killbill_repair(o.amount, k.currency, o.starts_on, o.ends_on, t.starts_on, t.ends_on) ELSE 0 END
                   ELSE 0 END AS ours
          FROM killbill_item AS t
          JOIN killbill_invoice AS k USING (endpoint, invoice_id)
          LEFT JOIN killbill_item AS o ON o.endpoint = t.endpoint AND o.item_id = t.linked_id
          LEFT JOIN killbill_subscription AS s ON s.endpoint = t.endpoint AND s.killbill_id = coalesce(t.subscription_id, o.subscription_id)
         CROSS JOIN LATERAL (SELECT coalesce(bool_or(x.day = t.starts_on), false) AS from_cut, coalesce(bool_or(x.day = t.ends_on), false) AS to_cut
                               FROM cut AS x WHERE t.item_type = 'REPAIR_ADJ' AND x.external_key = s.external_key) AS b
          LEFT JOIN LATERAL periods(k.account_id, daterange(t.starts_on, t.starts_on + 1)) AS c ON t.item_type = 'RECURRING'
          LEFT JOIN LATERAL killbill_recurring_price(t.endpoint, s.external_key, t.plan, t.starts_on, t.ends_on) AS p ON t.item_type = 'RECURRING'
         WHERE t.endpoint = $1 AND k.status = 'COMMITTED' AND k.account_id = coalesce($3, k.account_id) AND t.starts_on <@ dates
    )
    SELECT i.account_id, concat_ws(' ', 'invoice', i.number, i.item_type, coalesce(i.external_key, i.description)), i.starts_on, i.ends_on, i.ours, i.amount,
           CASE WHEN i.item_type = 'REPAIR_ADJ' AND i.ours = 0 THEN 'the server takes back part of a month, for which nothing here is a reason'
                WHEN i.item_type NOT IN ('RECURRING', 'REPAIR_ADJ') THEN 'not from here'
                WHEN i.external_key IS NULL THEN 'a subscription that is not mirrored here'
                WHEN i.item_type = 'RECURRING' AND i.price IS NULL THEN 'the price is not known here'
                WHEN i.amount < i.price AND i.ours = i.price AND i.ends_on <> i.starts_on + interval '1 month' THEN 'part of a month for which nothing here is a reason, prorated by the server'
                ELSE 'the server bills another amount' END
      FROM item AS i
     WHERE CASE WHEN i.item_type = 'RECURRING' THEN i.ours IS DISTINCT FROM i.amount AND i.overrides IS NULL
                WHEN i.item_type = 'REPAIR_ADJ' THEN i.linked_type = 'RECURRING' AND i.ours IS DISTINCT FROM i.amount
                WHEN i.item_type = 'ITEM_ADJ' THEN i.linked_type IS DISTINCT FROM 'USAGE'
                WHEN i.item_type IN ('EXTERNAL_CHARGE', 'CREDIT_ADJ')
                    THEN NOT EXISTS (SELECT FROM killbill_adjustment AS a WHERE a.endpoint = i.endpoint AND a.account_id = i.account_id AND i.details = a.reference || 'adjustment:' || a.adjustment_id)
                     AND NOT EXISTS (SELECT FROM killbill_pushed_invoice AS p WHERE p.endpoint = i.endpoint AND p.killbill_id = i.invoice_id
                                                                                           AND (starts_with(i.details, p.reference || 'line:') OR starts_with(i.details, p.reference || 'tax:')))
                WHEN i.item_type = 'TAX' THEN NOT EXISTS (SELECT FROM killbill_pushed_invoice AS p WHERE p.endpoint = i.endpoint AND p.killbill_id = i.invoice_id)
                ELSE i.item_type = 'FIXED' AND i.amount <> 0 END
$$;
COMMENT ON FUNCTION billing.killbill_reconcile_items(text, daterange, bigint) IS 'Items of the server''s invoices other than usage that nothing here explains. Behind killbill_reconcile(). Stable.';

CREATE FUNCTION billing.killbill_reconcile_missing(endpoint text, dates daterange, only_account bigint)
    RETURNS TABLE (account_id bigint, subject text, period_from date, period_to date, ours numeric, theirs numeric, reason text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH billed_to AS MATERIALIZED (
        -- An account that the server bills no more has fallen behind the others.
        SELECT a.account_id, greatest((SELECT max(k.target_date) FROM killbill_invoice AS k WHERE k.endpoint = a.endpoint AND k.account_id = a.account_id AND k.status = 'COMMITTED'),
                                      least((x.furthest - interval '1 month')::date, a.read_at::date)) AS day
          FROM killbill_account AS a
         CROSS JOIN (SELECT coalesce(max(k.target_date), current_date) AS furthest FROM killbill_invoice AS k JOIN killbill_account AS o USING (endpoint, account_id)
                      WHERE k.endpoint = $1 AND k.status = 'COMMITTED' AND o.auto_invoicing AND o.state <> 'closed') AS x
         WHERE a.endpoint = $1 AND a.account_id = coalesce($3, a.account_id) AND a.read_at IS NOT NULL AND a.auto_invoicing AND a.state <> 'closed'
    ), span AS (
        SELECT c.account_id, c.external_key, s.killbill_id, c.currency, c.cycle_from, c.cycle_to, b.day, c.plan, c.phase,
               greatest(c.date_from, s.starts_on) AS date_from, least(c.date_to, s.ends_on) AS date_to
          FROM killbill_spans($1, dates, CASE WHEN $3 IS NOT NULL THEN ARRAY[$3] END) AS c
          JOIN billed_to AS b USING (account_id)
          JOIN killbill_subscription AS s ON s.endpoint = $1 AND s.external_key = c.external_key
         WHERE (s.state IN ('active', 'cancelled') OR EXISTS (SELECT FROM killbill_pause AS p WHERE p.endpoint = s.endpoint AND p.external_key = s.external_key)) AND s.overrides IS NULL AND s.killbill_id IS NOT NULL
    ), due AS (
        SELECT n.*, killbill_prorated(p.price, n.currency, n.cycle_from, n.cycle_to, n.date_from, n.date_to) AS ours
          FROM span AS n CROSS JOIN LATERAL killbill_recurring_price($1, n.external_key, n.plan, n.date_from, n.date_to) AS p
         WHERE n.date_from < n.date_to AND n.date_from >= lower(dates)
           AND CASE WHEN (SELECT x.in_advance FROM killbill_price AS x WHERE x.endpoint = $1 AND x.plan = n.plan AND x.phase = n.phase AND x.kind = 'recurring' ORDER BY x.effective_at DESC LIMIT 1)
                    THEN n.date_from <= n.day AND n.date_from < upper(dates) ELSE n.date_to <= n.day AND n.date_to <= upper(dates) END
    )
    SELECT d.account_id, concat_ws(' ', 'RECURRING', d.external_key), d.date_from, d.date_to, d.ours, 0::numeric, 'the server has not billed it'
      FROM due AS d
     WHERE d.ours > 0
       AND NOT EXISTS (SELECT FROM killbill_item AS t JOIN killbill_invoice AS k USING (endpoint, invoice_id)
                        WHERE t.endpoint = $1 AND t.subscription_id = d.killbill_id AND t.item_type = 'RECURRING' AND t.starts_on = d.date_from AND k.status = 'COMMITTED')
     UNION ALL
    SELECT k.account_id, concat_ws(' ', 'REPAIR_ADJ', s.external_key), s.ends_on, t.ends_on, killbill_repair(t.amount, k.currency, t.starts_on, t.ends_on, s.ends_on, t.ends_on), 0, 'the server has not taken back what lies after the end'
      FROM killbill_subscription AS s
      JOIN billed_to AS b USING (account_id)
      JOIN killbill_item AS t ON t.endpoint = s.endpoint AND t.subscription_id = s.killbill_id AND t.item_type = 'RECURRING' AND t.starts_on < s.ends_on AND t.ends_on > s.ends_on
      JOIN killbill_invoice AS k ON k.endpoint = t.endpoint AND k.invoice_id = t.invoice_id AND k.status = 'COMMITTED'
     WHERE s.endpoint = $1 AND s.ends_on <@ dates AND s.ends_on <= b.day AND t.amount > 0
       AND NOT EXISTS (SELECT FROM killbill_item AS r JOIN killbill_invoice AS x USING (endpoint, invoice_id)
                        WHERE r.endpoint = t.endpoint AND r.linked_id = t.item_id AND r.item_type = 'REPAIR_ADJ' AND r.starts_on <= s.ends_on AND x.status = 'COMMITTED')
$$;
COMMENT ON FUNCTION billing.killbill_reconcile_missing(text, daterange, bigint) IS
'Months, and parts of months, of mirrored subscriptions that should be on the server''s invoices as last read and are not, and what it should have taken back of a month in which a subscription ended; those that are not due at the last target date of the account''s invoices, or a month before that of any account''s, are not looked at. Behind killbill_reconcile(). Stable.';

CREATE FUNCTION billing.killbill_reconcile_pushed(endpoint text, dates daterange, only_account bigint)
    RETURNS TABLE (account_id bigint, subject text, period_from date, period_to date, ours numeric, theirs numeric, reason text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH pushed AS (
        SELECT p.*, i.number, i.payer_id, i.issue_date, amount(i.tax_total) AS tax, k.status, k.invoice_id IS NOT NULL AS read
          FROM killbill_pushed_invoice AS p JOIN invoice AS i USING (invoice_id)
          LEFT JOIN killbill_invoice AS k ON k.endpoint = p.endpoint AND k.invoice_id = p.killbill_id
         WHERE p.endpoint = $1 AND i.issue_date <@ dates AND i.payer_id = coalesce($3, i.payer_id)
    ), compared AS (
        SELECT p.*, 'line ' || l.line_no AS part, l.period_from, l.period_to, amount(l.amount) AS ours,
               (SELECT sum(t.amount) FROM killbill_item AS t WHERE t.endpoint = p.endpoint AND t.invoice_id = p.killbill_id AND t.details = p.reference || 'line:' || l.line_id) AS theirs
          FROM pushed AS p JOIN line AS l ON l.invoice_id = p.invoice_id
         UNION ALL
        SELECT p.*, 'tax', NULL, NULL, p.tax,
               coalesce((SELECT sum(t.amount) FROM killbill_item AS t
                 WHERE t.endpoint = p.endpoint AND t.invoice_id = p.killbill_id AND (t.item_type = 'TAX' OR starts_with(t.details, p.reference || 'tax:'))), 0)
          FROM pushed AS p
         UNION ALL
        SELECT p.*, 'other items', NULL, NULL, 0,
               (SELECT sum(t.amount) FROM killbill_item AS t
                 WHERE t.endpoint = p.endpoint AND t.invoice_id = p.killbill_id AND t.item_type NOT IN ('TAX', 'CBA_ADJ') AND NOT coalesce(starts_with(t.details, p.reference || 'line:') OR starts_with(t.details, p.reference || 'tax:'), false))
          FROM pushed AS p
    )
    SELECT c.payer_id, concat_ws(' ', c.number, c.part), c.period_from, c.period_to, c.ours, coalesce(c.theirs, 0),
           CASE WHEN c.killbill_id IS NULL THEN 'the invoice was not told yet'
                WHEN NOT c.read THEN 'invoices were not read since: billing.killbill_pull_invoices()'
                WHEN c.status = 'DRAFT' THEN 'the invoice is a draft there'
                WHEN c.status = 'VOID' THEN 'the invoice is void there'
                WHEN c.theirs IS NULL THEN 'the line is missing there'
                ELSE 'another amount there' END
      FROM compared AS c
     WHERE coalesce(c.theirs, 0) <> c.ours OR c.status IS DISTINCT FROM 'COMMITTED' AND c.part <> 'other items' AND c.ours <> 0
$$;
COMMENT ON FUNCTION billing.killbill_reconcile_pushed(text, daterange, bigint) IS 'Lines and taxes of our invoices whose counterpart on the server differs. Behind killbill_reconcile(). Stable.';

CREATE FUNCTION billing.killbill_reconcile(endpoint text, dates daterange, account text DEFAULT NULL)
    RETURNS TABLE (account_key text, subject text, period_from date, period_to date, ours numeric, theirs numeric, difference numeric, reason text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    only_account bigint := CASE WHEN killbill_reconcile.account IS NOT NULL THEN (killbill_find_account(killbill_reconcile.endpoint, killbill_reconcile.account)).account_id END;
BEGIN
    PERFORM check_ledger();
    IF dates IS NULL OR isempty(dates) OR lower_inf(dates) OR upper_inf(dates) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('dates must be a bounded, non-empty range of days, not %s', coalesce(dates::text, 'null'));
    END IF;
    RETURN QUERY
        SELECT a.key, d.subject, d.period_from, d.period_to, d.ours, d.theirs, d.theirs - d.ours, d.reason
          FROM (SELECT * FROM killbill_reconcile_usage(killbill_reconcile.endpoint, dates, only_account)
                 UNION ALL SELECT * FROM killbill_reconcile_items(killbill_reconcile.endpoint, dates, only_account)
                 UNION ALL SELECT * FROM killbill_reconcile_missing(killbill_reconcile.endpoint, dates, only_account)
                 UNION ALL SELECT * FROM killbill_reconcile_pushed(killbill_reconcile.endpoint, dates, only_account)) AS d
          JOIN account AS a USING (account_id)
         ORDER BY a.key, d.period_from, d.subject;
END $$;
COMMENT ON FUNCTION billing.killbill_reconcile(text, daterange, text) IS
'Everything in which the invoices of a server, as last read, differ from what they should be; no row = they agree. dates: charge periods that lie inside, items that start inside, and our invoices issued inside. Mode A: usage as it counts here, rated by the imported catalog, beside USAGE items with adjustments; recurring items beside the catalog, parts of months prorated as the server does, and those that are missing. Mode B: each line and the tax of our invoices beside their items. Foreign items are listed too. difference = theirs - ours. reason: in words. Errors: 22023 unbounded dates, 42704 unknown account. Stable.';

CREATE VIEW billing.killbill_invoices AS
    SELECT k.endpoint, a.key AS account, k.number, k.status, k.invoice_date, k.target_date, k.currency, k.amount, k.balance,
           CASE WHEN k.status <> 'COMMITTED' THEN lower(k.status) WHEN k.balance <= 0 THEN 'paid' WHEN k.balance < k.amount THEN 'partly paid' ELSE 'open' END AS payment_state,
           coalesce((SELECT sum(p.purchased - p.refunded) FROM billing.killbill_payment AS p WHERE p.endpoint = k.endpoint AND p.invoice_id = k.invoice_id AND p.status = 'SUCCESS'), 0) AS paid,
           i.number AS our_number, k.invoice_id, k.read_at
      FROM billing.killbill_invoice AS k
      JOIN billing.account AS a USING (account_id)
      LEFT JOIN billing.killbill_pushed_invoice AS p ON p.endpoint = k.endpoint AND p.killbill_id = k.invoice_id
      LEFT JOIN billing.invoice AS i ON i.invoice_id = p.invoice_id;
COMMENT ON VIEW billing.killbill_invoices IS 'Invoices of Kill Bill servers as last read, with their payment, and the invoice of ours that they tell.';
COMMENT ON COLUMN billing.killbill_invoices.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_invoices.account IS 'Account.';
COMMENT ON COLUMN billing.killbill_invoices.number IS 'Number there.';
COMMENT ON COLUMN billing.killbill_invoices.status IS 'DRAFT, COMMITTED or VOID.';
COMMENT ON COLUMN billing.killbill_invoices.invoice_date IS 'Date there.';
COMMENT ON COLUMN billing.killbill_invoices.target_date IS 'Day up to which it bills.';
COMMENT ON COLUMN billing.killbill_invoices.currency IS 'Currency.';
COMMENT ON COLUMN billing.killbill_invoices.amount IS 'Amount.';
COMMENT ON COLUMN billing.killbill_invoices.balance IS 'What is still to be paid.';
COMMENT ON COLUMN billing.killbill_invoices.payment_state IS 'open, partly paid, paid, draft or void.';
COMMENT ON COLUMN billing.killbill_invoices.paid IS 'Sum of successful payments less refunds; a balance may also be settled by credit.';
COMMENT ON COLUMN billing.killbill_invoices.our_number IS 'Number of the invoice of ours; null = the server made it.';
COMMENT ON COLUMN billing.killbill_invoices.invoice_id IS 'Id there.';
COMMENT ON COLUMN billing.killbill_invoices.read_at IS 'When it was read.';
