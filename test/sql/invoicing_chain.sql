-- The chain of final lines cannot fork or start from a wrong sum, whoever writes; what is final cannot be changed.
\set ECHO none
\set test_database billing_invoicing_chain
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
SELECT draft('acme', 'tokens', '10 EUR') AS charge \gset
SELECT number FROM finalize_invoices('2026-11-01', '2026-11-02');
SELECT draft('acme', 'tokens', '2 EUR') = :charge;
SELECT number FROM finalize_invoices('2026-11-01', '2026-11-02');

-- by hand, as a superuser: a link of the chain made from the last one, with one thing wrong
CREATE FUNCTION link(no int, before billing.monetary, amount billing.monetary, after billing.monetary) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    l billing.line;
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                      WHERE attrelid = 'billing.line'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('line_id', 'prev_no'));
BEGIN
    SELECT * INTO l FROM billing.line ORDER BY line_id DESC LIMIT 1;
    l.chain_no := no; l.booked_before := before; l.amount := link.amount; l.booked_after := after;
    EXECUTE format('INSERT INTO billing.line (%1$s) SELECT %1$s FROM jsonb_populate_record($1, ''{}'')', columns) USING l;
    RAISE EXCEPTION 'went in';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT link(3, '12 EUR', '1 EUR', '13 EUR');
SELECT link(2, '10 EUR', '3 EUR', '13 EUR');
SELECT link(2, '10 EUR', '2 EUR', '12 EUR');
SELECT link(3, '10 EUR', '2 EUR', '12 EUR');
SELECT link(4, '12 EUR', '1 EUR', '13 EUR');
SELECT link(3, '12 EUR', '1 EUR', '14 EUR');
SELECT link(3, '12 USD', '1 USD', '13 USD');
SELECT link(1, '0 EUR', '5 EUR', '5 EUR');
SELECT link(1, '3 EUR', '5 EUR', '8 EUR');
SELECT link(0, '0 EUR', '5 EUR', '5 EUR');

-- a draft that does not continue the chain: 40001, which charge, and nothing is made
SELECT draft('acme', 'tokens', '-1 EUR') = :charge, draft('beta', 'tokens', '1 EUR') > 0, draft('acme', 'storage', '1 EUR') > 0;
UPDATE billing.draft_line SET chain_no = 2, booked_before = '10 EUR' WHERE key_id = :charge;
SELECT replace(fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-02') $$), 'charge ' || :charge, 'charge N');
SELECT count(*) FROM invoices;
SELECT count(*) FROM draft_lines;
-- only of the account that is billed
SELECT number FROM finalize_invoices('2026-11-01', '2026-11-02', account => 'beta');
SELECT replace(fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-02', account => 'acme') $$), 'charge ' || :charge, 'charge N');
-- a first link twice, a wrong sum, a gap
UPDATE billing.draft_line SET chain_no = 1, booked_before = '0 EUR' WHERE key_id = :charge;
SELECT fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-02') $$) LIKE '40001: the draft of charge % is stale%';
UPDATE billing.draft_line SET chain_no = 3, booked_before = '11 EUR' WHERE key_id = :charge;
SELECT fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-02') $$) LIKE '40001: the draft of charge % is stale%';
UPDATE billing.draft_line SET chain_no = 5, booked_before = '12 EUR' WHERE key_id = :charge;
SELECT fails($$ SELECT finalize_invoices('2026-11-01', '2026-11-02') $$) LIKE '40001: the draft of charge % is stale%';
UPDATE billing.draft_line SET chain_no = 3, booked_before = '12 EUR' WHERE key_id = :charge;
SELECT number, total FROM finalize_invoices('2026-11-01', '2026-11-02');

-- the owner of the ledger cannot change what is final
SET ROLE billing_owner;
SELECT fails($$ UPDATE billing.invoice SET total = '0 EUR' $$);
SELECT fails($$ DELETE FROM billing.invoice $$);
SELECT fails($$ UPDATE billing.line SET amount = '0 EUR' $$);
SELECT fails($$ DELETE FROM billing.line $$);
SELECT fails($$ TRUNCATE billing.line CASCADE $$);
SELECT fails($$ UPDATE billing.invoice_tax SET tax = '0 EUR' $$);
SELECT fails($$ UPDATE billing.invoice_number SET number = 'X' $$);
SELECT fails($$ DELETE FROM billing.invoice_event $$);
RESET ROLE;

-- who may do what
CREATE FUNCTION as_role(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role_name);
    RETURN fails(statement);
END $$;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SELECT r, as_role(r, $$ SELECT count(*) FROM billing.invoices $$), as_role(r, $$ SELECT billing.invoice_text(1) $$), as_role(r, $$ SELECT billing.mark_delivered(1) $$),
       as_role(r, $$ SELECT billing.finalize_invoices('2026-11-01') $$), as_role(r, $$ SELECT billing.finalize_drafts(1, NULL, NULL, NULL, '', false) $$)
  FROM unnest('{billing_reader,billing_operator,billing_admin}'::text[]) AS r;
