-- What happens to a final invoice: delivered, voided, cancelled.  Its rows never change; each is an event, and taking money back is
-- new lines that continue the chains.  An event touches its periods, so the next run looks at them again.

CREATE FUNCTION billing.invoice_id(number text, seller text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found_ids bigint[] := ARRAY(SELECT n.invoice_id FROM invoice_number AS n JOIN seller AS s USING (seller_id)
                                 WHERE n.number = invoice_id.number AND (invoice_id.seller IS NULL OR s.key = invoice_id.seller));
BEGIN
    IF cardinality(found_ids) = 0 THEN
        RAISE undefined_object USING MESSAGE = format('invoice %s does not exist', coalesce('"' || invoice_id.number || '"', 'null')),
            HINT = 'Final invoices are in billing.invoices.';
    ELSIF cardinality(found_ids) > 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s sellers have an invoice "%s"', cardinality(found_ids), invoice_id.number),
            HINT = 'Name the seller: billing.invoice_id(number, seller => ''key'').';
    END IF;
    RETURN found_ids[1];
END $$;
COMMENT ON FUNCTION billing.invoice_id(text, text) IS
'Identifier of the invoice or credit note with that number; seller is needed only where several sellers use the same number. Errors: 42704 if there is none, 22023 if there are several. Stable.';

CREATE FUNCTION billing.lock_invoice(invoice_id bigint) RETURNS billing.invoice
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    locked invoice;
BEGIN
    PERFORM billing.lock_until_commit(1651076211, hashint8(lock_invoice.invoice_id));
    SELECT i.* INTO locked FROM invoice AS i WHERE i.invoice_id = lock_invoice.invoice_id;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('invoice %s does not exist', coalesce(lock_invoice.invoice_id::text, 'null')),
            HINT = 'Identifiers of final invoices are in billing.invoices; billing.invoice_id(number) finds one by its number.';
    END IF;
    RETURN locked;
END $$;
COMMENT ON FUNCTION billing.lock_invoice(bigint) IS
'The invoice, after waiting for other transactions that add an event to it. Errors: 42704 if there is none. Volatile.';

CREATE FUNCTION billing.refuse_after(document billing.invoice, events text[], wanted text, hint text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    happened text := (SELECT e.event FROM invoice_event AS e
                       WHERE e.invoice_id = document.invoice_id AND e.event = ANY (events) ORDER BY e.event_no DESC LIMIT 1);
BEGIN
    IF happened IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('invoice %s cannot be %s: it is already %s', document.number, wanted, happened), HINT = refuse_after.hint;
    END IF;
END $$;
COMMENT ON FUNCTION billing.refuse_after(billing.invoice, text[], text, text) IS
'Raises 55000 if one of these events has happened to the invoice; wanted says what was to happen, hint what can be done. Stable.';

CREATE FUNCTION billing.add_invoice_event(invoice_id bigint, event text, detail jsonb) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO invoice_event (invoice_id, event_no, event, detail)
    SELECT $1, coalesce(max(e.event_no), 0) + 1, $2, $3 FROM invoice_event AS e WHERE e.invoice_id = $1
$$;
COMMENT ON FUNCTION billing.add_invoice_event(bigint, text, jsonb) IS 'Writes what happened to an invoice. Volatile.';

CREATE FUNCTION billing.check_reason(reason text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF check_reason.reason IS NULL OR btrim(check_reason.reason) = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a reason is required',
            HINT = 'Say it in a few words; it is kept with the name of the user.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_reason(text) IS 'Raises 22023 unless a reason is given. Immutable.';

-- Lines that take back those of a document, each after the last link of its chain.  Drafts that continue the former last links would be
-- stale: they go, and the next run makes new ones.
CREATE FUNCTION billing.negate_lines(document_id bigint, target_id bigint, kind text, run_id bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    negated bigint;
BEGIN
    DELETE FROM draft_line AS d USING line AS l
     WHERE l.invoice_id = negate_lines.document_id AND d.account_id = l.account_id AND d.key_id = l.key_id;
    INSERT INTO line (account_id, key_id, chain_no, booked_before, amount, booked_after, invoice_id, line_no, kind, stage,
                      corrects_invoice_id, seller_id, period_from, period_to, item_key, item_name, account_key, consumer_key, charge_group,
                      quantity, unit, unit_price, price_ids, rounding, proration, tax_code, tax_category, tax_rate, tax_exemption_code,
                      tax_exemption_reason, tax_point_date, known_at, own_at, rating_version, run_id)
    SELECT l.account_id, l.key_id, head.chain_no + 1, head.booked_after, - l.amount, head.booked_after - l.amount, negate_lines.target_id,
           l.line_no + CASE WHEN negate_lines.target_id = negate_lines.document_id THEN count(*) OVER () ELSE 0 END, negate_lines.kind, l.stage,
           l.invoice_id, l.seller_id, l.period_from, l.period_to, l.item_key, l.item_name, l.account_key, l.consumer_key, l.charge_group,
           - l.quantity, l.unit, l.unit_price, l.price_ids, l.rounding, l.proration, l.tax_code, l.tax_category, l.tax_rate, l.tax_exemption_code,
           l.tax_exemption_reason, l.tax_point_date, l.known_at, l.own_at, l.rating_version, negate_lines.run_id
      FROM line AS l
     CROSS JOIN LATERAL (SELECT h.chain_no, h.booked_after FROM line AS h
                          WHERE h.account_id = l.account_id AND h.key_id = l.key_id ORDER BY h.chain_no DESC LIMIT 1) AS head
     WHERE l.invoice_id = negate_lines.document_id;
    GET DIAGNOSTICS negated = ROW_COUNT;
    RETURN negated;
END $$;
COMMENT ON FUNCTION billing.negate_lines(bigint, bigint, text, bigint) IS
'Appends to the chains of an invoice''s lines links of the given kind with the negated amounts, on the target document. Returns how many. Volatile.';

CREATE FUNCTION billing.void_invoice(invoice_id bigint, reason text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    document invoice;
    later    record;
    this_run bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(void_invoice.reason);
    PERFORM wait_for_run();
    document := lock_invoice(void_invoice.invoice_id);
    PERFORM refuse_after(document, '{voided,cancelled}', 'voided', 'The next run bills its charges again.');
    PERFORM refuse_after(document, '{delivered}', 'voided', 'Use billing.cancel_invoice() to issue a credit note.');
    IF document.cancels_id IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('credit note %s cannot be voided: it cancels an invoice', document.number),
            HINT = 'The next run bills the charges of the cancelled invoice again.';
    END IF;
    SELECT l.account_id, l.key_id, n.invoice_id INTO later
      FROM line AS l JOIN line AS n ON n.account_id = l.account_id AND n.key_id = l.key_id AND n.chain_no = l.chain_no + 1
     WHERE l.invoice_id = document.invoice_id ORDER BY l.line_no LIMIT 1;
    IF FOUND THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('invoice %s cannot be voided: invoice %s continues %s', document.number,
                             (SELECT i.number FROM invoice AS i WHERE i.invoice_id = later.invoice_id), charge_words(later.account_id, later.key_id)),
            HINT = 'Void the later invoice first, or use billing.cancel_invoice() to issue a credit note.';
    END IF;
    INSERT INTO run (procedure, state, finished_at) VALUES ('void_invoice', 'done', clock_timestamp()) RETURNING run_id INTO this_run;
    PERFORM negate_lines(document.invoice_id, document.invoice_id, 'void', this_run);
    PERFORM add_invoice_event(document.invoice_id, 'voided', jsonb_build_object('reason', void_invoice.reason));
END $$;
COMMENT ON FUNCTION billing.void_invoice(bigint, text) IS
'Takes back an invoice that was not delivered: lines of kind void on the invoice itself negate its lines, its number stays used, its periods stay closed, and the next run bills its charges again. Errors: 42704 unknown invoice, 55000 if it was delivered, voided or cancelled, cancels another, or later lines continue its charges, 22023 without a reason. Volatile.';

CREATE FUNCTION billing.void_invoice(number text, reason text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    AS $$ SELECT billing.void_invoice(billing.invoice_id($1), $2) $$;
COMMENT ON FUNCTION billing.void_invoice(text, text) IS 'void_invoice() by number, where one seller only has it. Errors: those of invoice_id() and of void_invoice(bigint, text). Volatile.';

CREATE FUNCTION billing.write_reversal(document billing.invoice, issue_date date, run_id bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    new_id   bigint;
    new_type text := CASE WHEN sign(document.total_without_tax) < 0 THEN '380' ELSE '381' END;
    drawn    number_series;
BEGIN
    PERFORM lock_number_series(ARRAY[document.seller_id], document.series);
    UPDATE number_series AS n
       SET last_number = n.last_number + 1, last_issue_date = next_issue_date(n, write_reversal.issue_date)
     WHERE n.seller_id = document.seller_id AND n.type = new_type AND n.series = document.series
    RETURNING n.* INTO drawn;
    INSERT INTO invoice (seller_id, payer_id, invoice_group_id, type, series, number, issue_date, tax_point_date, posting_period, due_date, currency,
                         total_without_tax, tax_total, total, cancels_id, corrects_ids, seller_copy, buyer_copy, purchase_order, buyer_reference,
                         language, known_at, run_id)
    VALUES (document.seller_id, document.payer_id, document.invoice_group_id, new_type, document.series,
            format_number(drawn.prefix, drawn.digits, drawn.last_number), write_reversal.issue_date, document.tax_point_date,
            date_trunc('month', write_reversal.issue_date::timestamp), write_reversal.issue_date, document.currency,
            - document.total_without_tax, - document.tax_total, - document.total, document.invoice_id, ARRAY[document.invoice_id],
            document.seller_copy, document.buyer_copy, document.purchase_order, document.buyer_reference, document.language,
            document.known_at, write_reversal.run_id)
    RETURNING invoice.invoice_id INTO new_id;
    INSERT INTO invoice_number (seller_id, type, series, counter, number, invoice_id)
    VALUES (document.seller_id, new_type, document.series, drawn.last_number, format_number(drawn.prefix, drawn.digits, drawn.last_number), new_id);
    INSERT INTO invoice_tax (invoice_id, group_no, category, rate, tax_code, exemption_code, exemption_reason, taxable, tax)
    SELECT new_id, t.group_no, t.category, t.rate, t.tax_code, t.exemption_code, t.exemption_reason, - t.taxable, - t.tax
      FROM invoice_tax AS t WHERE t.invoice_id = document.invoice_id;
    PERFORM add_invoice_event(new_id, 'finalized', '{}');
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.write_reversal(billing.invoice, date, bigint) IS
'Writes the head and the taxes of the document that cancels an invoice, every amount negated, and returns its identifier. Errors: 22023 for an issue date before the last one of the series. Volatile.';

CREATE FUNCTION billing.cancel_invoice(invoice_id bigint, reason text, waive boolean DEFAULT false, issue_date date DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    document invoice;
    new_id   bigint;
    new_date date;
    this_run bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(cancel_invoice.reason);
    PERFORM check_day('issue_date', cancel_invoice.issue_date);
    PERFORM wait_for_run();
    document := lock_invoice(cancel_invoice.invoice_id);
    PERFORM refuse_after(document, '{voided,cancelled}', 'cancelled', 'The next run bills its charges again unless they were waived.');
    IF document.cancels_id IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('credit note %s cannot be cancelled: it cancels an invoice', document.number),
            HINT = 'The next run bills the charges of the cancelled invoice again unless they were waived; take a waiver back with billing.decide().';
    END IF;
    IF cancel_invoice.waive AND sign(document.total_without_tax) <= 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('document %s charges nothing that could be waived', document.number),
            HINT = 'Cancel it without waive: the next run credits the charges again. Take a credit back with billing.decide() and kind dispute.';
    END IF;
    new_date := coalesce(cancel_invoice.issue_date, greatest(document.issue_date,
        (SELECT (clock_timestamp() AT TIME ZONE s.time_zone)::date FROM seller_setting AS s WHERE s.seller_id = document.seller_id ORDER BY s.setting_no DESC LIMIT 1)));
    IF new_date < document.issue_date OR NOT isfinite(new_date) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a credit note of %s cannot cancel invoice %s of %s', new_date, document.number, document.issue_date);
    END IF;
    INSERT INTO run (procedure, state, finished_at) VALUES ('cancel_invoice', 'done', clock_timestamp()) RETURNING run_id INTO this_run;
    new_id := write_reversal(document, new_date, this_run);
    PERFORM negate_lines(document.invoice_id, new_id, 'cancellation', this_run);
    IF cancel_invoice.waive THEN
        INSERT INTO decision (account_id, key_id, kind, amount, reason)
        SELECT l.account_id, l.key_id, 'waived', - l.amount, cancel_invoice.reason
          FROM line AS l WHERE l.invoice_id = document.invoice_id AND sign(l.amount) > 0;   -- what is credited stays due to the payer
    END IF;
    PERFORM add_invoice_event(document.invoice_id, 'cancelled',
                              jsonb_build_object('reason', cancel_invoice.reason, 'credit_note', new_id, 'waived', coalesce(cancel_invoice.waive, false)));
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.cancel_invoice(bigint, text, boolean, date) IS
'Cancels an invoice as a whole: writes a document that refers to it and negates every line, tax and total (a credit note, type 381; an invoice, 380, when what is cancelled was a credit note), and returns its identifier. Its periods stay closed; the next run bills its charges again, unless waive adds a decision of kind waived for each. Works after later corrections too: the lines are appended to the chains. issue_date: default today in the seller''s time zone. Errors: 42704 unknown invoice, 55000 if it was voided or cancelled already or itself cancels another, 22023 without a reason or for an issue date before the invoice''s or the last one of the series. Volatile.';

CREATE FUNCTION billing.mark_delivered(invoice_id bigint, detail jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    document invoice;
BEGIN
    PERFORM check_ledger();
    document := lock_invoice(mark_delivered.invoice_id);
    IF EXISTS (SELECT FROM invoice_event AS e WHERE e.invoice_id = document.invoice_id AND e.event = 'delivered') THEN
        RETURN false;
    END IF;
    PERFORM refuse_after(document, '{voided}', 'delivered', 'Finalise its charges again and deliver the new invoice.');
    PERFORM add_invoice_event(document.invoice_id, 'delivered', coalesce(mark_delivered.detail, '{}'));
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.mark_delivered(bigint, jsonb) IS
'Notes that an invoice has reached its payer: from now on it cannot be voided, only cancelled. detail: anything about the delivery, such as the channel. Returns false, and changes nothing, if it was noted before. Errors: 42704 unknown invoice, 55000 if it was voided. Volatile.';
