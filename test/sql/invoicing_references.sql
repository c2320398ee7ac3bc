-- Which earlier documents an invoice refers to: of each charge the document before, and all those whose lines it takes back.
\set ECHO none
\set test_database billing_invoicing_references
\getenv source PG_ABS_SRCDIR
\set include :source /lib/invoicing.psql
\i :include
\set ECHO all
-- draft and finalise: the number of the document and what it refers to
CREATE FUNCTION bill(amount billing.monetary, item text DEFAULT 'tokens', account text DEFAULT 'acme') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    IF amount IS NOT NULL THEN
        PERFORM draft(bill.account, bill.item, bill.amount);
    END IF;
    SELECT f.invoice_id INTO id FROM finalize_invoices('2026-11-01', '2026-11-02') AS f;
    RETURN (SELECT format('%s of %s, %s after it: %s', i.number, sum(l.amount), max(l.booked_after), i.corrects) FROM invoices AS i JOIN invoice_lines AS l USING (invoice_id) WHERE i.invoice_id = id GROUP BY i.number, i.corrects);
END $$;
-- more is billed: the document before; less: back along the chain until the amount is covered
SELECT bill(a) FROM unnest('{125.00 EUR,100.00 EUR,10.00 EUR}'::billing.monetary[]) AS a;
SELECT bill('-5 EUR');
SELECT bill('-5 EUR');
SELECT bill('-100.01 EUR');
-- INV-000002 was taken back as a whole and is not named again
SELECT bill('-24.99 EUR');
SELECT bill('40 EUR');
-- below zero: all that is left, and what was credited beyond is taken back by the next charge
SELECT bill('-200 EUR');
SELECT bill('-10 EUR');
SELECT bill('65 EUR');
SELECT regexp_replace(line, '\s+', ' ') FROM invoices AS i, regexp_split_to_table(invoice_text(i.invoice_id), E'\n') AS line WHERE i.number = 'CN-000005' AND line LIKE 'Refers to%';
-- documents cancelled and voided were taken back by that; the one that cancels is the document before
SELECT bill('100 EUR', 'storage'), bill('50 EUR', 'storage');
SELECT cancel_invoice(invoice_id('INV-000006'), 'wrong', issue_date => '2026-11-02') AS canceller \gset
SELECT number, corrects FROM invoices WHERE invoice_id = :canceller;
SELECT bill('-20 EUR', 'storage');
SELECT bill('70 EUR', 'storage');
SELECT void_invoice('INV-000008', 'wrong');
SELECT bill('-30 EUR', 'storage');
-- several charges on one document: each document once
SELECT draft('acme', 'tokens', '1 EUR') > 0, draft('acme', 'storage', '1 EUR') > 0;
SELECT bill(NULL);
SELECT draft('acme', 'tokens', '-8 EUR') > 0, draft('acme', 'storage', '-1 EUR') > 0;
SELECT bill(NULL);
-- the functions behind it, by themselves
SELECT invoices_taken_back(l.account_id, l.key_id, a) FROM (SELECT DISTINCT account_id, key_id FROM billing.line WHERE item_key = 'storage') AS l, unnest('{0 EUR,1 EUR,-0.01 EUR,-1000 EUR}'::billing.monetary[]) AS a;
SELECT invoices_taken_back(0, 0, '-1 EUR');
