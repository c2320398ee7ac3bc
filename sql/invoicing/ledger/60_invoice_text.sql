-- An invoice as a person wants to read it, in plain text.

CREATE FUNCTION billing.fit(value text, width int) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN $2 OPERATOR(pg_catalog.<) 0 THEN pg_catalog.lpad($1, GREATEST(OPERATOR(pg_catalog.-) $2, pg_catalog.length($1)))
                      ELSE pg_catalog.rpad($1, GREATEST($2, pg_catalog.length($1))) END $$;
COMMENT ON FUNCTION billing.fit(text, int) IS 'The text filled with spaces to a width, at its right, or at its left for a negative width; longer texts are left as they are. Immutable.';

-- Names and dimensions come from others, some of them from the customer's own applications.
CREATE FUNCTION billing.one_line(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT pg_catalog.regexp_replace($1, '[[:cntrl:]]+', ' ', 'g') $$;
COMMENT ON FUNCTION billing.one_line(text) IS 'The text without line breaks and other control characters, so that it cannot look like further lines of a document. Immutable.';

CREATE FUNCTION billing.grouped_digits(value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT pg_catalog.regexp_replace(pg_catalog.split_part($1::pg_catalog.text, '.', 1), '([0-9])(?=([0-9]{3})+$)', E'\\1,', 'g')
           OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.scale($1) OPERATOR(pg_catalog.>) 0 THEN '.' OPERATOR(pg_catalog.||) pg_catalog.split_part($1::pg_catalog.text, '.', 2) ELSE '' END
$$;
COMMENT ON FUNCTION billing.grouped_digits(numeric) IS 'A number with commas between thousands, such as 1,234,567.80. Immutable.';

CREATE FUNCTION billing.money_text(value billing.monetary) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT billing.grouped_digits(billing.amount($1)) OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) billing.currency($1) $$;
COMMENT ON FUNCTION billing.money_text(billing.monetary) IS 'An amount of money with commas between thousands, such as 1,234.50 EUR. Immutable.';

CREATE FUNCTION billing.party_text(party jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(billing.one_line(x.line) ORDER BY x.no) FROM (SELECT coalesce(party -> 'address', '{}') AS address) AS a
     CROSS JOIN LATERAL unnest(array_remove(ARRAY[
               coalesce(party ->> 'legal_name', party ->> 'key'),
               a.address ->> 'line_1', a.address ->> 'line_2', a.address ->> 'line_3',
               nullif(concat_ws(' ', a.address ->> 'post_code', a.address ->> 'city'), ''),
               nullif(concat_ws(', ', a.address ->> 'subdivision', party ->> 'country'), '')]
           || ARRAY(SELECT upper(t.name) || ' ' || t.value FROM jsonb_each_text(coalesce(party -> 'tax_ids', '{}')) AS t(name, value) ORDER BY t.name)
           || ('VAT ' || (party ->> 'vat_id')), NULL)) WITH ORDINALITY AS x(line, no)
$$;
COMMENT ON FUNCTION billing.party_text(jsonb) IS 'Name, address and tax ids of a seller or payer as kept on an invoice, one text a line. Immutable.';

CREATE FUNCTION billing.invoice_head_text(document billing.invoice) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    seller text[] := party_text(document.seller_copy);
    buyer  text[] := party_text(document.buyer_copy);
    facts  text[] := array_remove(ARRAY[
        'Issue date      ' || document.issue_date,
        'Tax point       ' || document.tax_point_date,
        CASE WHEN sign(document.total) > 0 THEN 'Payment due     ' || document.due_date END,
        'Purchase order  ' || document.purchase_order,
        'Your reference  ' || document.buyer_reference,
        'Cancels         ' || (SELECT i.number || ' of ' || i.issue_date FROM invoice AS i WHERE i.invoice_id = document.cancels_id)], NULL)
        || ARRAY(SELECT 'Refers to       ' || i.number || ' of ' || i.issue_date FROM invoice AS i
                  WHERE i.invoice_id = ANY (document.corrects_ids) AND i.invoice_id IS DISTINCT FROM document.cancels_id ORDER BY i.invoice_id);
    title  text := CASE document.type WHEN '381' THEN 'CREDIT NOTE ' ELSE 'INVOICE ' END || document.number
        || coalesce((SELECT '  (' || e.event || ')' FROM invoice_event AS e
                      WHERE e.invoice_id = document.invoice_id AND e.event IN ('voided', 'cancelled')), '');
BEGIN
    RETURN title || E'\n\n' || (
        SELECT string_agg(rtrim(fit(CASE WHEN n = 1 THEN 'From' ELSE '' END, 6) || fit(coalesce(seller[n], ''), 36)
                                || fit(CASE WHEN n = 1 THEN 'To' ELSE '' END, 4) || coalesce(buyer[n], '')), E'\n' ORDER BY n)
          FROM generate_series(1, greatest(cardinality(seller), cardinality(buyer))) AS n)
        || E'\n\n' || (SELECT string_agg(one_line(f.fact), E'\n' ORDER BY f.no) FROM unnest(facts) WITH ORDINALITY AS f(fact, no)) || E'\n';
END $$;
COMMENT ON FUNCTION billing.invoice_head_text(billing.invoice) IS 'First part of invoice_text(): title, seller, payer, dates and references. Stable.';

CREATE FUNCTION billing.line_note(line billing.line) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT concat_ws(', ',
        (SELECT nullif(string_agg(g.name || ' ' || g.value, ', ' ORDER BY g.name), '') FROM jsonb_each_text(($1).charge_group) AS g(name, value)),
        CASE WHEN ($1).consumer_key <> ($1).account_key THEN 'used by ' || ($1).consumer_key END,
        CASE ($1).kind WHEN 'interim' THEN 'billed while the period was running'
                       WHEN 'cancellation' THEN 'taken back'
                       WHEN 'void' THEN 'taken back before delivery'
                       WHEN 'correction' THEN format('now %s, billed before %s', money_text(($1).booked_after), money_text(($1).booked_before)) END,
        CASE WHEN ($1).kind = 'charge' AND ($1).chain_no > 1 AND NOT is_zero(($1).booked_before) THEN format('in all %s, billed before %s', money_text(($1).booked_after), money_text(($1).booked_before)) END,
        (SELECT 'because of ' || string_agg(replace(c.cause, '_', ' ') || ' ' || grouped_digits(c.amount::numeric), ', ' ORDER BY c.cause)
           FROM jsonb_each_text(($1).causes) AS c(cause, amount) WHERE ($1).kind = 'correction'))
$$;
COMMENT ON FUNCTION billing.line_note(billing.line) IS 'What invoice_text() says below a line: its group, whose usage it is, what it corrects and why. Stable.';

CREATE FUNCTION billing.invoice_lines_text(document_id bigint) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH line_text AS (
        SELECT l.line_no, l.line_no::text AS no, one_line(l.item_name) AS what,
               l.period_from || ' to ' || (l.period_to - 1) AS period,
               CASE WHEN l.chain_no = 1 OR l.kind IN ('cancellation', 'void') THEN grouped_digits(trim_scale(l.quantity)) || coalesce(' ' || one_line(l.unit), '') ELSE '' END AS quantity,
               CASE WHEN l.chain_no = 1 OR l.kind IN ('cancellation', 'void') THEN trim_scale(l.unit_price)::text ELSE '' END AS price,
               CASE WHEN l.tax_category = 'S' THEN trim_scale(l.tax_rate) || ' %' ELSE l.tax_category END AS tax,
               grouped_digits(amount(l.amount)) AS amount,
               one_line(CASE WHEN several.accounts THEN 'account ' || l.account_key || coalesce(', ' || nullif(line_note(l), ''), '') ELSE line_note(l) END) AS note
          FROM line AS l
         CROSS JOIN (SELECT count(DISTINCT x.account_key) > 1 AS accounts FROM line AS x WHERE x.invoice_id = $1) AS several
         WHERE l.invoice_id = $1
        UNION ALL
        SELECT 0, 'No', 'Description', 'Period', 'Quantity', 'Unit price', 'Tax', 'Amount', ''
    ), sized AS (
        SELECT t.*, max(length(t.no)) OVER () AS no_width, max(length(t.what)) OVER () AS what_width, max(length(t.period)) OVER () AS period_width,
               max(length(t.quantity)) OVER () AS quantity_width, max(length(t.price)) OVER () AS price_width, max(length(t.tax)) OVER () AS tax_width,
               greatest(max(length(t.amount)) OVER (), 12) AS amount_width
          FROM line_text AS t
    )
    SELECT string_agg(fit(s.no, - s.no_width) || '  ' || fit(s.what, s.what_width) || '  ' || fit(s.period, s.period_width) || '  '
                      || fit(coalesce(s.quantity, ''), - s.quantity_width) || '  ' || fit(coalesce(s.price, ''), - s.price_width) || '  '
                      || fit(s.tax, - s.tax_width) || '  ' || fit(s.amount, - s.amount_width)
                      || coalesce(E'\n' || repeat(' ', s.no_width + 2) || nullif(s.note, ''), '')
                      || CASE WHEN s.line_no = 0 THEN E'\n' || repeat('-', s.no_width + s.what_width + s.period_width + s.quantity_width + s.price_width + s.tax_width + s.amount_width + 12) ELSE '' END,
                      E'\n' ORDER BY s.line_no)
      FROM sized AS s
$$;
COMMENT ON FUNCTION billing.invoice_lines_text(bigint) IS 'Second part of invoice_text(): the lines as a table. Stable.';

CREATE FUNCTION billing.invoice_totals_text(document billing.invoice) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH total AS (
        SELECT 0 AS no, 'Total without tax' AS what, grouped_digits(amount(($1).total_without_tax)) AS amount
        UNION ALL
        SELECT t.group_no,
               CASE WHEN t.category = 'S' THEN format('Tax %s %% on %s', trim_scale(t.rate), grouped_digits(amount(t.taxable)))
                    ELSE format('%s on %s', coalesce(one_line(t.exemption_reason), CASE t.category WHEN 'Z' THEN 'Zero rated' WHEN 'E' THEN 'Exempt from tax'
                            WHEN 'AE' THEN 'Reverse charge' WHEN 'K' THEN 'Intra-community supply' WHEN 'G' THEN 'Export' WHEN 'O' THEN 'Not subject to tax'
                            ELSE 'Tax ' || trim_scale(t.rate) || ' %' END), grouped_digits(amount(t.taxable))) END,
               grouped_digits(amount(t.tax))
          FROM invoice_tax AS t WHERE t.invoice_id = ($1).invoice_id
        UNION ALL
        SELECT 10000, 'Total in ' || ($1).currency, grouped_digits(amount(($1).total))
    ), sized AS (
        SELECT t.*, max(length(t.what)) OVER () AS what_width, greatest(max(length(t.amount)) OVER (), 12) AS amount_width FROM total AS t
    )
    SELECT string_agg(fit(s.what, s.what_width) || '  ' || fit(s.amount, - s.amount_width), E'\n' ORDER BY s.no) FROM sized AS s
$$;
COMMENT ON FUNCTION billing.invoice_totals_text(billing.invoice) IS 'Third part of invoice_text(): total without tax, tax by group, total. Stable.';

CREATE FUNCTION billing.invoice_terms_text(document billing.invoice) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT format('Nothing is to be paid: this document was %s%s.', e.event,
                                   (SELECT ' by ' || i.number || ' of ' || i.issue_date FROM invoice AS i WHERE i.cancels_id = ($1).invoice_id))
                       FROM invoice_event AS e WHERE e.invoice_id = ($1).invoice_id AND e.event IN ('voided', 'cancelled')),
                    CASE sign(($1).total)
                        WHEN 1 THEN format('Please pay %s by %s (%s days), naming %s.', money_text(($1).total), ($1).due_date, ($1).due_date - ($1).issue_date, ($1).number)
                        WHEN -1 THEN format('%s are in your favour.', money_text(- ($1).total))
                        ELSE 'Nothing is to be paid.' END)
$$;
COMMENT ON FUNCTION billing.invoice_terms_text(billing.invoice) IS 'Last line of invoice_text(): what is to be paid until when. Stable.';

CREATE FUNCTION billing.invoice_text(invoice_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    document invoice;
    lines    text;
    width    int;
BEGIN
    SELECT i.* INTO document FROM invoice AS i WHERE i.invoice_id = invoice_text.invoice_id;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('invoice %s does not exist', coalesce(invoice_text.invoice_id::text, 'null')),
            HINT = 'Identifiers of final invoices are in billing.invoices; billing.invoice_id(number) finds one by its number.';
    END IF;
    lines := invoice_lines_text(document.invoice_id);
    width := length(split_part(lines, E'\n', 1));
    RETURN invoice_head_text(document) || E'\n' || lines || E'\n' || repeat('-', width) || E'\n'
           || (SELECT string_agg(fit(t.line, - width), E'\n') FROM string_to_table(invoice_totals_text(document), E'\n') AS t(line)) || E'\n'
           || E'\n' || invoice_terms_text(document) || E'\n';
END $$;
COMMENT ON FUNCTION billing.invoice_text(bigint) IS
'A final invoice or credit note in plain text, for a screen with a fixed-width font: seller and payer, number and dates, lines with period, quantity, price and amount, tax by group, totals, terms, and the documents it refers to. Amounts as in the ledger: negative = in the payer''s favour. Not to be called in the statement that finalises, which does not see its own work. Errors: 42704 unknown invoice. Stable.';
