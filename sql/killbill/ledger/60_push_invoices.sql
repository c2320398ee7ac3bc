-- Mode B: our final invoices are told to Kill Bill, which collects the money.
--
-- The server has no key that recognises a repeated charge.  So every delivery looks first: it reads the draft, adds what is missing,
-- reads it again, and commits when it holds exactly our lines and taxes.  Each item carries our reference in itemDetails; taxes, whose
-- itemDetails the server drops, carry it in their text.  Positive amounts are external charges, negative ones credits, on one draft.

CREATE FUNCTION billing.killbill_wanted_items(invoice_id bigint)
    RETURNS TABLE (item_no int, way text, reference text, description text, amount numeric, starts_on date, ends_on date)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH here AS MATERIALIZED (
        SELECT coalesce((SELECT min(p.reference) FROM killbill_pushed_invoice AS p WHERE p.invoice_id = killbill_wanted_items.invoice_id), killbill_reference()) AS reference
    ), item AS (
        SELECT l.line_no, CASE WHEN amount(l.amount) < 0 THEN 'credit' ELSE 'charge' END AS way, h.reference || 'line:' || l.line_id AS reference,
               killbill_cut_text(concat_ws(' ', l.item_name, CASE WHEN l.consumer_key <> l.account_key THEN '(' || l.consumer_key || ')' END,
                              (SELECT string_agg(g.value, ' ' ORDER BY g.key) FROM jsonb_each_text(l.charge_group) AS g),
                              CASE WHEN l.kind <> 'charge' THEN '- ' || l.kind END), 255) AS description,
               amount(l.amount) AS amount, l.period_from, l.period_to
          FROM line AS l CROSS JOIN here AS h WHERE l.invoice_id = killbill_wanted_items.invoice_id AND amount(l.amount) <> 0
         UNION ALL
        SELECT 1000000 + t.group_no, CASE WHEN amount(t.tax) < 0 THEN 'credit' ELSE 'tax' END, format('%stax:%s:%s', h.reference, i.number, t.group_no),
               killbill_cut_text(format('Tax %s %s%% [%stax:%s:%s]', t.category, trim_scale(t.rate), h.reference, i.number, t.group_no), 255), amount(t.tax), i.tax_point_date, NULL
          FROM invoice_tax AS t JOIN invoice AS i USING (invoice_id) CROSS JOIN here AS h WHERE t.invoice_id = killbill_wanted_items.invoice_id AND amount(t.tax) <> 0
    )
    SELECT (row_number() OVER (ORDER BY i.line_no))::int, i.way, i.reference, i.description, p.part, i.period_from, i.period_to
      FROM item AS i CROSS JOIN LATERAL killbill_split_amount(i.amount) AS p(part)
$$;
COMMENT ON FUNCTION billing.killbill_wanted_items(bigint) IS
'The items that an invoice of ours takes on a server: lines as charges, negative ones as credits, taxes by group; amounts of 1,000,000 and more in parts. References name the ledger, the line or the tax group. Stable.';

CREATE FUNCTION billing.killbill_missing_items(invoice_id bigint, present jsonb)
    RETURNS TABLE (item_no int, way text, reference text, description text, amount numeric, starts_on date, ends_on date)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 SET search_path = pg_catalog, billing, pg_temp
AS $$
    -- Equal parts of one line are counted: the n-th one is missing when fewer than n are there.
    SELECT w.item_no, w.way, w.reference, w.description, w.amount, w.starts_on, w.ends_on
      FROM (SELECT x.*, row_number() OVER (PARTITION BY x.reference, x.amount ORDER BY x.item_no) AS copy FROM killbill_wanted_items(killbill_missing_items.invoice_id) AS x) AS w
     WHERE w.copy > (SELECT count(*) FROM jsonb_array_elements(present) AS t
                      WHERE (t ->> 'itemDetails' = w.reference OR w.way = 'tax' AND t ->> 'description' = w.description) AND (t ->> 'amount')::numeric = w.amount)
$$;
COMMENT ON FUNCTION billing.killbill_missing_items(bigint, jsonb) IS 'Those of the wanted items of an invoice that are not among the items present on the server. Stable.';

CREATE FUNCTION billing.killbill_add_request(account_id uuid, draft uuid, invoice_id bigint, present jsonb, operation text) RETURNS billing.http_request
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_invoice invoice;
    next_way     text;
    body         jsonb;
    query        text;
BEGIN
    SELECT i.* INTO this_invoice FROM invoice AS i WHERE i.invoice_id = killbill_add_request.invoice_id;
    SELECT m.way INTO next_way FROM killbill_missing_items(killbill_add_request.invoice_id, present) AS m ORDER BY array_position('{charge,credit,tax}', m.way) LIMIT 1;
    IF next_way IS NULL THEN
        RETURN NULL;
    END IF;
    -- Credits without an invoice would make one invoice each.
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('accountId', killbill_add_request.account_id, 'invoiceId', draft, 'amount', abs(m.amount), 'currency', this_invoice.currency,
                         'description', m.description, 'itemDetails', m.reference, 'startDate', m.starts_on, 'endDate', m.ends_on)) ORDER BY m.item_no) INTO body
      FROM (SELECT x.* FROM killbill_missing_items(killbill_add_request.invoice_id, present) AS x WHERE x.way = next_way ORDER BY x.item_no
             LIMIT CASE WHEN next_way <> 'charge' AND draft IS NULL THEN 1 ELSE 500 END) AS m;
    query := url_query(jsonb_build_object('requestedDate', this_invoice.issue_date, 'autoCommit', false));
    RETURN killbill_request('POST', CASE next_way WHEN 'charge' THEN format('/invoices/charges/%s?', killbill_add_request.account_id)
                                                  WHEN 'tax' THEN format('/invoices/taxes/%s?', killbill_add_request.account_id) ELSE '/credits?' END || query, body, operation, '60s');
END $$;
COMMENT ON FUNCTION billing.killbill_add_request(uuid, uuid, bigint, jsonb, text) IS
'The request that adds the next kind of missing items to a draft (or makes the draft, null): charges, then credits, then taxes. Null when nothing is missing. Stable.';

CREATE FUNCTION billing.killbill_pushed_draft(invoice_id bigint, invoices jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT i FROM jsonb_array_elements(invoices) AS i
     WHERE i ->> 'status' <> 'VOID'
       AND EXISTS (SELECT FROM jsonb_array_elements(i -> 'items') AS t JOIN killbill_wanted_items(killbill_pushed_draft.invoice_id) AS w
                      ON t ->> 'itemDetails' = w.reference OR w.way = 'tax' AND t ->> 'description' = w.description)
     ORDER BY i ->> 'status', i ->> 'invoiceId' LIMIT 1
$$;
COMMENT ON FUNCTION billing.killbill_pushed_draft(bigint, jsonb) IS 'The invoice of a server, among those of the account, that holds items of an invoice of ours; a committed one before a draft. Stable.';

CREATE FUNCTION billing.killbill_act_on_draft(message billing.outgoing_message, account_id uuid, invoice_id bigint, draft jsonb) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    present jsonb := coalesce(draft -> 'items', '[]');
    request http_request := killbill_add_request(account_id, (draft ->> 'invoiceId')::uuid, invoice_id, coalesce(draft -> 'items', '[]'), message.idempotency_key);
    foreign_items text;
BEGIN
    UPDATE killbill_pushed_invoice AS p SET killbill_id = (draft ->> 'invoiceId')::uuid
     WHERE p.endpoint = message.endpoint AND p.invoice_id = killbill_act_on_draft.invoice_id AND draft IS NOT NULL;
    IF draft ->> 'status' = 'VOID' THEN
        -- Between two requests: 0.22 even takes charges onto it.  The next attempt finds no invoice and makes a draft anew.
        RETURN step_retry('the invoice was made void there meanwhile');
    ELSIF NOT request IS NULL AND draft ->> 'status' = 'COMMITTED' THEN
        RETURN step_failed('the invoice is committed there, but items are missing', jsonb_build_object('invoice_id', draft ->> 'invoiceId'));
    ELSIF message.step > 60 THEN
        RETURN step_retry('items that were added do not show up');
    ELSIF NOT request IS NULL THEN
        RETURN step_send(request, jsonb_build_object('at', 'add', 'draft', draft -> 'invoiceId'));
    END IF;
    SELECT string_agg(concat_ws(' ', t ->> 'itemType', t ->> 'amount', t ->> 'description'), ', ') INTO foreign_items
      FROM jsonb_array_elements(present) AS t
     WHERE t ->> 'itemType' <> 'CBA_ADJ'
       AND NOT EXISTS (SELECT FROM killbill_wanted_items(killbill_act_on_draft.invoice_id) AS w WHERE t ->> 'itemDetails' = w.reference OR w.way = 'tax' AND t ->> 'description' = w.description);
    IF foreign_items IS NOT NULL THEN
        RETURN step_failed('the draft has items that are not ours: ' || foreign_items, jsonb_build_object('invoice_id', draft ->> 'invoiceId'));
    ELSIF (SELECT sum((t ->> 'amount')::numeric) FROM jsonb_array_elements(present) AS t WHERE t ->> 'itemType' <> 'CBA_ADJ')
          <> (SELECT sum(w.amount) FROM killbill_wanted_items(killbill_act_on_draft.invoice_id) AS w) THEN
        RETURN step_failed('the draft holds items twice', jsonb_build_object('invoice_id', draft ->> 'invoiceId'));
    ELSIF draft ->> 'status' = 'DRAFT' THEN
        RETURN step_send(killbill_request('PUT', format('/invoices/%s/commitInvoice', draft ->> 'invoiceId'), NULL, message.idempotency_key, '60s'),
                         jsonb_build_object('at', 'commit', 'draft', draft -> 'invoiceId'));
    END IF;
    UPDATE killbill_pushed_invoice AS p SET committed_at = clock_timestamp() WHERE p.endpoint = message.endpoint AND p.invoice_id = killbill_act_on_draft.invoice_id;
    RETURN step_delivered(jsonb_build_object('invoice_id', draft ->> 'invoiceId', 'number', draft ->> 'invoiceNumber'));
END $$;
COMMENT ON FUNCTION billing.killbill_act_on_draft(billing.outgoing_message, uuid, bigint, jsonb) IS
'The next step of telling an invoice, given its counterpart as it is now (null = none): add what is missing, commit, begin anew when it is void, or done. Volatile.';

CREATE FUNCTION billing.killbill_deliver_invoice(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror       killbill_account;
    this_invoice invoice;
    at           text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    body         jsonb := json_or_null(answer.body);
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    SELECT i.* INTO this_invoice FROM invoice AS i WHERE i.invoice_id = (message.payload ->> 'invoice_id')::bigint;
    IF mirror.killbill_id IS NULL THEN
        RETURN step_retry('the account is not there yet');
    ELSIF at = 'begin' THEN
        -- Whatever may have happened to an earlier attempt shows here.
        RETURN step_send(killbill_request('GET', format('/accounts/%s/invoices?', mirror.killbill_id)
                             || url_query(jsonb_build_object('includeInvoiceComponents', true, 'startDate', CASE WHEN message.options ->> 'test_clock' IS DISTINCT FROM 'true' THEN
                                    least(this_invoice.issue_date, (SELECT m.enqueued_at::date FROM message AS m WHERE m.message_id = message.message_id)) - 31 END)), NULL, NULL, '60s'), '{"at": "search"}');
    ELSIF at = 'commit' AND (killbill_succeeded(answer) OR answer.status = 400 AND killbill_code(answer) = 4023) OR at = 'add' AND killbill_succeeded(answer) THEN
        RETURN step_send(killbill_request('GET', '/invoices/' || coalesce(message.progress ->> 'draft', body #>> '{0,invoiceId}')), message.progress || '{"at": "look"}');
    ELSIF answer.status = 200 AND (at = 'search' AND killbill_is_list(body, 'invoiceId', 'status', 'items') OR at = 'look' AND killbill_is_list(jsonb_build_array(body), 'invoiceId', 'status', 'items')) THEN
        RETURN killbill_act_on_draft(message, mirror.killbill_id, this_invoice.invoice_id,
                                     CASE WHEN at = 'look' THEN body ELSE killbill_pushed_draft(this_invoice.invoice_id, body) END);
    END IF;
    RETURN killbill_judge(answer);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_invoice(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind invoice: looks for the draft, adds what is missing, reads it back, commits it once. Volatile.';

CREATE FUNCTION billing.killbill_push_invoices(endpoint text, number text DEFAULT NULL, since date DEFAULT NULL)
    RETURNS TABLE (invoice text, payer text, outcome text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted record;
    found_any boolean := false;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_push_invoices.endpoint);
    FOR wanted IN
        SELECT i.invoice_id, i.number, i.payer_id, a.key AS account, k.account_id IS NOT NULL AS mirrored, coalesce(k.auto_invoicing, false) AS theirs, (SELECT count(*) FROM killbill_wanted_items(i.invoice_id)) AS items,
               p.message_id IS NOT NULL AS pushed, i.currency = (account_setting_on(i.payer_id, i.issue_date)).currency AS right_currency
          FROM invoice AS i
          JOIN account AS a ON a.account_id = i.payer_id
          LEFT JOIN killbill_account AS k ON k.endpoint = killbill_push_invoices.endpoint AND k.account_id = i.payer_id
          LEFT JOIN killbill_pushed_invoice AS p ON p.endpoint = killbill_push_invoices.endpoint AND p.invoice_id = i.invoice_id
         WHERE CASE WHEN killbill_push_invoices.number IS NULL THEN NOT k.auto_invoicing AND p.message_id IS NULL AND i.issue_date >= coalesce(killbill_push_invoices.since, '-infinity')
                    ELSE i.number = killbill_push_invoices.number END
         ORDER BY i.invoice_id
    LOOP
        found_any := true;
        IF wanted.pushed OR NOT wanted.mirrored OR wanted.theirs OR wanted.items = 0 OR NOT wanted.right_currency THEN
            RETURN QUERY SELECT wanted.number, wanted.account, CASE WHEN wanted.pushed THEN 'told before' WHEN NOT wanted.mirrored THEN 'the payer is not mirrored'
                                                                    WHEN wanted.theirs THEN 'the server invoices this account'
                                                                    WHEN wanted.items = 0 THEN 'nothing to tell' ELSE 'another currency than the account' END;
            CONTINUE;
        END IF;
        -- The references of an invoice are the same on all endpoints.
        INSERT INTO killbill_pushed_invoice (endpoint, invoice_id, reference)
            VALUES (killbill_push_invoices.endpoint, wanted.invoice_id,
                    coalesce((SELECT min(p.reference) FROM killbill_pushed_invoice AS p WHERE p.invoice_id = wanted.invoice_id), killbill_reference()))
            ON CONFLICT DO NOTHING;
        UPDATE killbill_pushed_invoice AS p
           SET message_id = killbill_tell(p.endpoint, 'invoice', wanted.payer_id, jsonb_build_object('invoice_id', wanted.invoice_id))
         WHERE p.endpoint = killbill_push_invoices.endpoint AND p.invoice_id = wanted.invoice_id;
        RETURN QUERY SELECT wanted.number, wanted.account, 'told'::text;
    END LOOP;
    IF NOT found_any AND killbill_push_invoices.number IS NOT NULL THEN
        RAISE undefined_object USING MESSAGE = format('there is no invoice "%s"', killbill_push_invoices.number);
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_push_invoices(text, text, date) IS
'Has final invoices and credit notes of ours told to a Kill Bill server as external charges, credits and taxes on one committed invoice each. number: only this one; null = all of accounts mirrored with auto_invoicing false that were not told, issued on since or later. outcome: told (a message was written), told before, the payer is not mirrored, the server invoices this account, nothing to tell, another currency than the account. Errors: 42704 unknown endpoint or invoice. Volatile.';

CREATE FUNCTION billing.killbill_add_adjustment(account_id uuid, adjustment billing.killbill_adjustment, missing numeric, operation text) RETURNS billing.http_request
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    -- All is committed at once, so that there is no draft to be left behind: charges of one request share an invoice, each credit makes one.
    SELECT killbill_request('POST', CASE WHEN missing > 0 THEN format('/invoices/charges/%s?autoCommit=true', account_id) ELSE '/credits?autoCommit=true' END,
               jsonb_agg(jsonb_strip_nulls(jsonb_build_object('accountId', account_id, 'amount', abs(p.part), 'currency', adjustment.currency, 'description', adjustment.reason,
                   'itemDetails', adjustment.reference || 'adjustment:' || adjustment.adjustment_id, 'startDate', CASE WHEN missing > 0 THEN adjustment.period_from END,
                   'endDate', CASE WHEN missing > 0 THEN adjustment.period_to END)) ORDER BY p.no), operation, '60s')
      FROM killbill_split_amount(missing) WITH ORDINALITY AS p(part, no) WHERE p.no <= CASE WHEN missing > 0 THEN 500 ELSE 1 END
$$;
COMMENT ON FUNCTION billing.killbill_add_adjustment(uuid, billing.killbill_adjustment, numeric, text) IS
'The request that adds what is missing of an adjustment, in parts below 1,000,000: charges up to 500 at once, credits one by one. Stable.';

CREATE FUNCTION billing.killbill_deliver_adjustment(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror     killbill_account;
    adjustment killbill_adjustment;
    at         text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    body       jsonb := json_or_null(answer.body);
    present    jsonb;
    there      numeric;
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    SELECT a.* INTO adjustment FROM killbill_adjustment AS a WHERE a.adjustment_id = (message.payload ->> 'adjustment_id')::bigint;
    IF mirror.killbill_id IS NULL THEN
        RETURN step_retry('the account is not there yet');
    ELSIF at = 'begin' OR at = 'add' AND killbill_succeeded(answer) THEN
        RETURN step_send(killbill_request('GET', format('/accounts/%s/invoices?includeInvoiceComponents=true', mirror.killbill_id), NULL, NULL, '60s'),
                         jsonb_build_object('at', 'search', 'there', CASE WHEN at = 'add' THEN message.progress -> 'there' END));
    ELSIF at = 'search' AND answer.status = 200 AND killbill_is_list(body, 'invoiceId', 'status', 'items') THEN
        SELECT coalesce(jsonb_agg(DISTINCT i), '[]'), coalesce(sum((t ->> 'amount')::numeric), 0) INTO present, there
          FROM jsonb_array_elements(body) AS i CROSS JOIN LATERAL jsonb_array_elements(i -> 'items') AS t
         WHERE t ->> 'itemDetails' = adjustment.reference || 'adjustment:' || adjustment.adjustment_id AND i ->> 'status' <> 'VOID';
        IF there = adjustment.amount THEN
            PERFORM killbill_store_invoices(mirror.endpoint, mirror.account_id, present);
            RETURN step_delivered(jsonb_build_object('invoice_id', present #> '{-1,invoiceId}'));
        ELSIF abs(there) > abs(adjustment.amount) OR there * adjustment.amount < 0 THEN
            RETURN step_failed(format('%s of it are there, which is more than %s', there, adjustment.amount), jsonb_build_object('invoice_id', present #> '{-1,invoiceId}'));
        ELSIF there = (message.progress ->> 'there')::numeric THEN
            RETURN step_retry('what was added does not show up', interval '30 seconds');
        END IF;
        RETURN step_send(killbill_add_adjustment(mirror.killbill_id, adjustment, adjustment.amount - there, message.idempotency_key), jsonb_build_object('at', 'add', 'there', there));
    END IF;
    RETURN killbill_judge(answer);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_adjustment(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind adjustment: looks how much of the credit or charge is there, adds what is missing in parts below 1,000,000, and reads it back. Volatile.';
