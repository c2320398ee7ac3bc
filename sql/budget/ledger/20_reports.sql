-- Reports of cost by department, project and every other scheme, kept as rows, made on request or by schedule; and metric switches.

CREATE TABLE billing.report_schedule (
    key        text PRIMARY KEY CHECK (key <> ''),
    frequency  text NOT NULL CHECK (frequency IN ('daily', 'weekly', 'monthly')),
    format     text NOT NULL CHECK (format IN ('csv', 'json')),
    recipients text[] NOT NULL DEFAULT '{}',
    endpoint   text,
    enabled    boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE billing.report_schedule IS 'Reports that run_reports() makes.';
COMMENT ON COLUMN billing.report_schedule.frequency IS 'daily (yesterday), weekly (Monday to Sunday), monthly.';
COMMENT ON COLUMN billing.report_schedule.format IS 'csv, json.';
COMMENT ON COLUMN billing.report_schedule.recipients IS 'Who gets it, as the endpoint understands it.';
COMMENT ON COLUMN billing.report_schedule.endpoint IS 'Endpoint that sends it; null = it is only kept.';
COMMENT ON COLUMN billing.report_schedule.enabled IS 'False: it rests.';

CREATE TABLE billing.report (
    report_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule   text,
    period     daterange NOT NULL,
    format     text NOT NULL,
    recipients text[] NOT NULL DEFAULT '{}',
    content    text NOT NULL,
    endpoint   text,
    made_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    made_by    text NOT NULL DEFAULT session_user
);
CREATE UNIQUE INDEX report_once ON billing.report (schedule, period) WHERE schedule IS NOT NULL;
COMMENT ON TABLE billing.report IS 'Reports that were made. Append-only.';
COMMENT ON COLUMN billing.report.report_id IS 'Number of the report.';
COMMENT ON COLUMN billing.report.schedule IS 'Key of the schedule; null = made on request.';
COMMENT ON COLUMN billing.report.period IS 'Days it is about; the last is not included.';
COMMENT ON COLUMN billing.report.format IS 'csv, json.';
COMMENT ON COLUMN billing.report.recipients IS 'Who gets it.';
COMMENT ON COLUMN billing.report.content IS 'The report.';
COMMENT ON COLUMN billing.report.endpoint IS 'Endpoint that sends it, with the idempotency key report-NUMBER; null = it is only kept.';
COMMENT ON COLUMN billing.report.made_at IS 'When it was made.';
COMMENT ON COLUMN billing.report.made_by IS 'By whom.';

CREATE FUNCTION billing.report_period(words text, today date DEFAULT current_date) RETURNS daterange
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    month date := date_trunc('month', today::timestamp)::date;
    week  date := date_trunc('week', today::timestamp)::date;
    found daterange;
BEGIN
    CASE words
        WHEN 'last-month' THEN found := daterange((month - interval '1 month')::date, month);
        WHEN 'this-month' THEN found := daterange(month, (month + interval '1 month')::date);
        WHEN 'last-week' THEN found := daterange(week - 7, week);
        WHEN 'yesterday' THEN found := daterange(today - 1, today);
        ELSE found := words::daterange;
    END CASE;
    PERFORM check_period(found);
    RETURN found;
EXCEPTION WHEN data_exception THEN
    RAISE invalid_parameter_value USING MESSAGE = format('%s is no period of a report', coalesce('"' || words || '"', 'null')), HINT = 'Write last-month, this-month, last-week, yesterday, or days such as [2026-10-01,2026-11-01).';
END $$;
COMMENT ON FUNCTION billing.report_period(text, date) IS 'The days that last-month, this-month, last-week, yesterday or a written range mean. Errors: 22023 none of these. Stable.';

CREATE FUNCTION billing.report_lines(period daterange) RETURNS TABLE (scheme text, cost_center text, outcome text, currency text, billed numeric, effective numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT s.key, b.cost_center, b.outcome, b.currency, b.billed, b.effective
            FROM billing.allocation_scheme AS s
           CROSS JOIN LATERAL billing.bearer_cents(s.key, report_lines.period, NOT EXISTS (SELECT FROM billing.allocation AS a WHERE a.scheme_id = s.scheme_id AND a.period = report_lines.period AND a.state IN ('open', 'closed'))) AS b
           ORDER BY s.key, b.currency, b.cost_center COLLATE "C" NULLS LAST, b.outcome $$;
COMMENT ON FUNCTION billing.report_lines(daterange) IS 'What each cost center of each scheme bears in a period, in cents that add up to the total of the scheme (see bearer_cents()): where a scheme divides exactly this period that division, otherwise the shares of these charge days. Stable.';

CREATE FUNCTION billing.report_content(period daterange, format text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT CASE report_content.format
            WHEN 'json' THEN jsonb_pretty(jsonb_build_object('period', report_content.period, 'lines', coalesce(jsonb_agg(jsonb_build_object('scheme', l.scheme, 'cost_center', l.cost_center, 'outcome', l.outcome,
                     'currency', l.currency, 'billed', l.billed::text, 'effective', l.effective::text)), '[]')))
            ELSE concat_ws(E'\n', 'scheme,cost_center,outcome,currency,billed,effective', string_agg(concat_ws(',', '"' || replace(l.scheme, '"', '""') || '"', '"' || replace(coalesce(l.cost_center, ''), '"', '""') || '"', l.outcome, l.currency, l.billed, l.effective), E'\n'), '') END
            FROM billing.report_lines(report_content.period) AS l $$;
COMMENT ON FUNCTION billing.report_content(daterange, text) IS 'A report as text: csv with a header, or json. Stable.';

CREATE PROCEDURE billing.generate_report(period text DEFAULT 'last-month', format text DEFAULT 'csv', INOUT report_id bigint DEFAULT NULL)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    days daterange := report_period(generate_report.period);
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('format', generate_report.format, '{csv,json}');
    INSERT INTO report AS r (period, format, content) VALUES (days, generate_report.format, report_content(days, generate_report.format)) RETURNING r.report_id INTO report_id;
END $$;
COMMENT ON PROCEDURE billing.generate_report(text, text, bigint) IS
'Makes a report of what each cost center bears (last-month, this-month, last-week, yesterday, or days such as [2026-10-01,2026-11-01)) as csv or json and keeps it; report_id is its number in the view reports. Errors: 22023 bad argument.';

CREATE FUNCTION billing.set_report_schedule(key text, frequency text DEFAULT 'monthly', format text DEFAULT 'csv', recipients text[] DEFAULT '{}', endpoint text DEFAULT NULL, enabled boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a report schedule', set_report_schedule.key);
    PERFORM check_word('frequency', set_report_schedule.frequency, '{daily,weekly,monthly}');
    PERFORM check_word('format', set_report_schedule.format, '{csv,json}');
    INSERT INTO report_schedule AS s (key, frequency, format, recipients, endpoint, enabled)
        VALUES (set_report_schedule.key, set_report_schedule.frequency, set_report_schedule.format, set_report_schedule.recipients, set_report_schedule.endpoint, set_report_schedule.enabled)
        ON CONFLICT ON CONSTRAINT report_schedule_pkey DO UPDATE SET frequency = excluded.frequency, format = excluded.format, recipients = excluded.recipients, endpoint = excluded.endpoint, enabled = excluded.enabled;
END $$;
COMMENT ON FUNCTION billing.set_report_schedule(text, text, text, text[], text, boolean) IS
'Makes or replaces a schedule of reports: frequency daily, weekly or monthly; format csv or json; recipients; endpoint that sends them (null = they are only kept); enabled. Errors: 22023 bad argument. Volatile.';

CREATE FUNCTION billing.run_reports(today date DEFAULT current_date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    due  report_schedule;
    days daterange;
    this report;
    made bigint := 0;
BEGIN
    PERFORM check_ledger();
    FOR due IN SELECT s.* FROM report_schedule AS s WHERE s.enabled ORDER BY s.key LOOP
        days := report_period(CASE due.frequency WHEN 'daily' THEN 'yesterday' WHEN 'weekly' THEN 'last-week' ELSE 'last-month' END, run_reports.today);
        INSERT INTO report (schedule, period, format, recipients, content, endpoint)
            VALUES (due.key, days, due.format, due.recipients, report_content(days, due.format), due.endpoint) ON CONFLICT DO NOTHING RETURNING * INTO this;
        IF FOUND THEN
            made := made + 1;
            IF due.endpoint IS NOT NULL THEN
                PERFORM enqueue_message(due.endpoint, 'report', jsonb_build_object('report', this.report_id, 'schedule', due.key, 'period', this.period, 'format', this.format, 'recipients', to_jsonb(this.recipients), 'content', this.content), 'report-' || this.report_id);
            END IF;
        END IF;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION billing.run_reports(date) IS 'Makes the reports that are due by their schedules and were not made yet, hands them to their endpoints, and returns how many. Call it daily. Volatile.';

CREATE VIEW billing.reports AS
SELECT r.report_id AS report, r.schedule, r.period, r.format, CASE WHEN r.endpoint IS NULL THEN 'made' ELSE coalesce(m.state, 'finished') END AS state, m.reason AS problem, r.recipients, r.endpoint, r.content, r.made_at, r.made_by,
       CASE WHEN m.state = 'delivered' THEN m.finished_at END AS delivered_at
  FROM billing.report AS r LEFT JOIN billing.message AS m ON m.endpoint = r.endpoint AND m.idempotency_key = 'report-' || r.report_id;
COMMENT ON VIEW billing.reports IS 'Every report that was made.';
COMMENT ON COLUMN billing.reports.report IS 'Number of the report.';
COMMENT ON COLUMN billing.reports.schedule IS 'Key of its schedule; null = made on request.';
COMMENT ON COLUMN billing.reports.period IS 'Days it is about.';
COMMENT ON COLUMN billing.reports.format IS 'csv, json.';
COMMENT ON COLUMN billing.reports.state IS 'made: it is only kept; otherwise how far its endpoint is with it: waiting, queued, sending, delayed, delivered, dead, discarded, as in messages; finished: delivered or discarded, and cleared away since.';
COMMENT ON COLUMN billing.reports.problem IS 'Why it is not delivered yet, or never.';
COMMENT ON COLUMN billing.reports.endpoint IS 'Endpoint that sends it; null = none.';
COMMENT ON COLUMN billing.reports.recipients IS 'Who gets it.';
COMMENT ON COLUMN billing.reports.content IS 'The report.';
COMMENT ON COLUMN billing.reports.made_at IS 'When it was made.';
COMMENT ON COLUMN billing.reports.made_by IS 'By whom.';
COMMENT ON COLUMN billing.reports.delivered_at IS 'When its endpoint had taken it; null = not yet, or the message was cleared away.';

CREATE TABLE billing.metric_switch (
    metric  text PRIMARY KEY CHECK (metric IN ('compute_hours', 'storage_usage', 'network_traffic', 'gpu_utilization')),
    enabled boolean NOT NULL,
    meters  text[]  NOT NULL
);
COMMENT ON TABLE billing.metric_switch IS 'Kinds of usage that are switched on and off together.';
COMMENT ON COLUMN billing.metric_switch.metric IS 'compute_hours, storage_usage, network_traffic, gpu_utilization.';
COMMENT ON COLUMN billing.metric_switch.enabled IS 'Off: nothing is charged for its meters.';
COMMENT ON COLUMN billing.metric_switch.meters IS 'Keys of its meters.';

CREATE FUNCTION billing.set_metric(metric text, enabled boolean, meters text[] DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    chosen text[];
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('metric', set_metric.metric, '{compute_hours,storage_usage,network_traffic,gpu_utilization}');
    PERFORM find_item(m, 'meter') FROM unnest(set_metric.meters) AS m;
    INSERT INTO metric_switch AS s (metric, enabled, meters) VALUES (set_metric.metric, coalesce(set_metric.enabled, true), coalesce(set_metric.meters, '{}'))
        ON CONFLICT ON CONSTRAINT metric_switch_pkey DO UPDATE SET enabled = coalesce(set_metric.enabled, s.enabled), meters = coalesce(set_metric.meters, s.meters) RETURNING s.meters INTO chosen;
    PERFORM set_meter(m, enabled => (SELECT s.enabled FROM metric_switch AS s WHERE s.metric = set_metric.metric)) FROM unnest(chosen) AS m;
END $$;
COMMENT ON FUNCTION billing.set_metric(text, boolean, text[]) IS
'Switches a metric on or off with all its meters: compute_hours, storage_usage, network_traffic, gpu_utilization. meters: keys of the meters that belong to it; null keeps. Errors: 22023 unknown metric, 42704 unknown meter. Volatile.';

CREATE VIEW billing.metrics AS SELECT s.metric, s.enabled, s.meters FROM billing.metric_switch AS s;
COMMENT ON VIEW billing.metrics IS 'Metrics that were switched, with their meters.';
COMMENT ON COLUMN billing.metrics.metric IS 'compute_hours, storage_usage, network_traffic, gpu_utilization.';
COMMENT ON COLUMN billing.metrics.enabled IS 'On or off.';
COMMENT ON COLUMN billing.metrics.meters IS 'Keys of its meters.';
