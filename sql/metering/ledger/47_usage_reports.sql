-- Usage that somebody reports for a month as a whole: set, added to, kept at its greatest, and copied to the months that follow.
--
-- A report is one usage row a month; what is reported later corrects it.  So a month that was billed already is billed by its difference.

CREATE TABLE billing.usage_report (
    account_id  bigint  NOT NULL,
    meter_id    int     NOT NULL,
    subject     text    NOT NULL,
    month       date    NOT NULL CHECK (EXTRACT(day FROM month) = 1),
    id          text    NOT NULL,
    resource    text,
    dimensions  jsonb,
    recurring   boolean NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text    NOT NULL DEFAULT session_user,
    PRIMARY KEY (account_id, meter_id, subject, month)
);
COMMENT ON TABLE billing.usage_report IS 'Which usage row holds what was reported for a month, and whether the report goes on; the quantity is that of the usage.';
COMMENT ON COLUMN billing.usage_report.subject IS 'What is reported on: a hash of resource and dimensions.';
COMMENT ON COLUMN billing.usage_report.month IS 'First day of the month, in the account''s calendar.';
COMMENT ON COLUMN billing.usage_report.id IS 'Id of the usage row, of source report.';
COMMENT ON COLUMN billing.usage_report.resource IS 'Key of the resource that was reported on; null = none.';
COMMENT ON COLUMN billing.usage_report.dimensions IS 'Dimensions that were reported; null = none.';
COMMENT ON COLUMN billing.usage_report.recurring IS 'Whether copy_recurring_usage() copies it to the next month.';

CREATE FUNCTION billing.report_usage(account text, meter text, quantity numeric, mode text DEFAULT 'set', resource text DEFAULT NULL, day date DEFAULT NULL,
                                     recurring boolean DEFAULT NULL, dimensions jsonb DEFAULT NULL, OUT id text, OUT counted numeric, OUT outcome text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    this_account bigint := find_account(account);
    this_meter   int := find_item(meter, 'meter');
    zone         text := (SELECT s.time_zone FROM account_setting AS s WHERE s.account_id = this_account ORDER BY s.setting_no DESC LIMIT 1);
    on_day       date := coalesce(day, (now() AT TIME ZONE zone)::date);
    of_month     date := date_trunc('month', on_day::timestamp)::date;
    of_subject   text := encode(sha256(convert_to(coalesce(resource, '') || E'\n' || coalesce(dimensions, '{}'), 'UTF8')), 'hex');
    report       usage_report;
    is_new       boolean;
    former       record;
    recorded     record;
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('mode', mode, '{set,add,maximum}');
    IF mode IS NULL OR quantity IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s must not be null', CASE WHEN mode IS NULL THEN 'mode' ELSE 'quantity' END);
    END IF;
    INSERT INTO usage_report AS r (account_id, meter_id, subject, month, id, resource, dimensions, recurring)
    VALUES (this_account, this_meter, of_subject, of_month, concat_ws('/', of_month, of_subject, this_meter), resource, dimensions, coalesce(recurring, false))
        ON CONFLICT ON CONSTRAINT usage_report_pkey DO UPDATE SET recurring = coalesce(recurring, r.recurring)
    RETURNING r.* INTO report;
    former := current_usage(this_account, usage_key_of(report.id, 'report'));
    IF former.revision IS NULL AND EXISTS (SELECT FROM usage_key AS k WHERE k.account_id = this_account AND k.key = usage_key_of(report.id, 'report')) THEN
        -- it was voided or moved away; its id stays used
        UPDATE usage_report AS r SET id = r.id || '+' WHERE r.account_id = this_account AND r.meter_id = this_meter AND r.subject = of_subject AND r.month = of_month
        RETURNING r.* INTO report;
    END IF;
    id := report.id;
    counted := CASE WHEN former.revision IS NULL OR mode = 'set' THEN quantity WHEN mode = 'add' THEN former.quantity + quantity ELSE greatest(former.quantity, quantity) END;
    IF former.revision IS NULL THEN
        SELECT r.* INTO recorded FROM record_usage(jsonb_strip_nulls(jsonb_build_object('id', report.id, 'source', 'report', 'account', account, 'meter', meter,
            'at', to_char(on_day::timestamp AT TIME ZONE zone AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'quantity', counted, 'resource', resource, 'dimensions', dimensions))) AS r;
        IF recorded.outcome <> 'accepted' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('the report was %s: %s', recorded.outcome, recorded.detail);
        END IF;
        outcome := 'accepted';
    ELSIF counted = former.quantity THEN
        outcome := 'unchanged';
    ELSE
        PERFORM correct_usage(account, report.id, counted, 'report', reason => 'reported again, ' || mode);
        outcome := 'corrected';
    END IF;
END $$;
COMMENT ON FUNCTION billing.report_usage(text, text, numeric, text, text, date, boolean, jsonb) IS
'Reports what an account used of a meter in the month of a day (null = today, in the account''s calendar), by resource and dimensions. mode: set replaces what was reported for the month, add adds to it, maximum keeps the greater. It counts at midnight of the day of the month''s first report. recurring: copy_recurring_usage() reports the same for the next month; null keeps. Returns the id of the usage row (source report), what counts now, and accepted, corrected or unchanged. Errors: 42704 unknown account or meter, 22023 bad argument, or usage that cannot be recorded; 40001 and 55000 as correct_usage(). Rule: Waldur''s set_usage. Volatile.';

CREATE FUNCTION billing.copy_recurring_usage(through date DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    report record;
    former record;
    copied bigint := 0;
BEGIN
    PERFORM check_ledger();
    IF NOT isfinite(copy_recurring_usage.through) OR copy_recurring_usage.through > current_date + 3653 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('through must be a day, at most ten years ahead, not %s', copy_recurring_usage.through);
    END IF;
    FOR report IN
        SELECT l.*, a.key AS account, i.key AS meter, m.month::date AS next_month, m.month AT TIME ZONE t.time_zone AS counts_at
          FROM (SELECT DISTINCT ON (r.account_id, r.meter_id, r.subject) r.* FROM usage_report AS r ORDER BY r.account_id, r.meter_id, r.subject, r.month DESC) AS l
          JOIN billing.account AS a USING (account_id)
          JOIN item AS i ON i.item_id = l.meter_id
         CROSS JOIN LATERAL (SELECT coalesce(copy_recurring_usage.through, (now() AT TIME ZONE s.time_zone)::date) AS day, s.time_zone
                               FROM account_setting AS s WHERE s.account_id = l.account_id ORDER BY s.setting_no DESC LIMIT 1) AS t
         CROSS JOIN LATERAL generate_series(l.month + interval '1 month', t.day::timestamp, interval '1 month') AS m(month)
         WHERE l.recurring
         ORDER BY l.account_id, l.meter_id, l.subject, m.month
    LOOP
        CONTINUE WHEN account_is_closed(report.account_id, report.counts_at);
        former := current_usage(report.account_id, usage_key_of(report.id, 'report'));
        CONTINUE WHEN former.revision IS NULL;   -- it was taken back, and what is not there is not copied
        PERFORM report_usage(report.account, report.meter, former.quantity, 'set', report.resource, report.next_month, true, report.dimensions);
        copied := copied + 1;
    END LOOP;
    RETURN copied;
END $$;
COMMENT ON FUNCTION billing.copy_recurring_usage(date) IS
'Reports again, for every month after the last report up to that of a day (null = today in each account''s calendar), what was reported as recurring; what was voided is not copied, and nothing while the account is closed. Returns the number of reports made; schedule it monthly. Errors as report_usage(). Volatile.';
