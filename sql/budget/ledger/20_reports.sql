-- Reports of cost by department, project and every other scheme, kept as rows, made on request or by schedule; and metric switches.

CREATE TABLE billing.report_schedule (
    key        text PRIMARY KEY CHECK (key <> ''),
    frequency  text NOT NULL CHECK (frequency IN ('daily', 'weekly', 'monthly')),
    format     text NOT NULL CHECK (format IN ('csv', 'json')),
    recipients text[] NOT NULL DEFAULT '{}',
    endpoint   text,
    enabled    boolean NOT NULL DEFAULT true,
    waits_for  text,
    waits_since date
);
COMMENT ON TABLE billing.report_schedule IS 'Reports that run_reports() makes.';
COMMENT ON COLUMN billing.report_schedule.frequency IS 'daily (yesterday), weekly (Monday to Sunday), monthly.';
COMMENT ON COLUMN billing.report_schedule.format IS 'csv, json.';
COMMENT ON COLUMN billing.report_schedule.recipients IS 'Who gets it, as the endpoint understands it.';
COMMENT ON COLUMN billing.report_schedule.endpoint IS 'Endpoint that sends it; null = it is only kept.';
COMMENT ON COLUMN billing.report_schedule.enabled IS 'False: it rests.';
COMMENT ON COLUMN billing.report_schedule.waits_for IS 'Why run_reports() could not make a report that is due; null = it could.';
COMMENT ON COLUMN billing.report_schedule.waits_since IS 'First day of the earliest report that once had to wait.';

CREATE TABLE billing.report (
    report_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule   text,
    period     daterange NOT NULL,
    version    int  NOT NULL DEFAULT 1 CHECK (version > 0),
    division   text NOT NULL CHECK (division IN ('open', 'closed', 'held')),
    format     text NOT NULL,
    recipients text[] NOT NULL DEFAULT '{}',
    content    text NOT NULL,
    figures    uuid NOT NULL,
    endpoint   text,
    problem    text,
    made_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    made_by    text NOT NULL DEFAULT session_user
);
CREATE UNIQUE INDEX report_once ON billing.report (schedule, period, version) WHERE schedule IS NOT NULL;
COMMENT ON TABLE billing.report IS 'Reports that were made. Append-only.';
COMMENT ON COLUMN billing.report.report_id IS 'Number of the report.';
COMMENT ON COLUMN billing.report.schedule IS 'Key of the schedule; null = made on request.';
COMMENT ON COLUMN billing.report.period IS 'Days it is about; the last is not included.';
COMMENT ON COLUMN billing.report.version IS 'Number among the reports of its schedule and period: a new one is made when figures have changed or the period was closed.';
COMMENT ON COLUMN billing.report.division IS 'closed: every scheme had closed these days; held: a difference of what is closed waits for approval and is not in it; open: figures may still change.';
COMMENT ON COLUMN billing.report.format IS 'csv, json.';
COMMENT ON COLUMN billing.report.recipients IS 'Who gets it.';
COMMENT ON COLUMN billing.report.content IS 'The report.';
COMMENT ON COLUMN billing.report.figures IS 'MD5 of its figures, to see whether they have changed.';
COMMENT ON COLUMN billing.report.endpoint IS 'Endpoint that sends it, with the idempotency key billing:report-NUMBER; null = it is only kept.';
COMMENT ON COLUMN billing.report.problem IS 'Why the endpoint could not be told.';
COMMENT ON COLUMN billing.report.made_at IS 'When it was made.';
COMMENT ON COLUMN billing.report.made_by IS 'By whom.';

CREATE FUNCTION billing.report_period(words text, today date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date) RETURNS daterange
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

CREATE FUNCTION billing.report_gap(days daterange) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT CASE WHEN count(*) = 0 THEN 'no scheme has divided any cost'
                      ELSE string_agg(format('scheme "%s" has not divided %s', g.key, (SELECT string_agg(days_text(m), ' and ' ORDER BY m) FROM unnest(g.missing) AS m)), '; ' ORDER BY g.key) FILTER (WHERE NOT isempty(g.missing)) END
            FROM (SELECT s.key, datemultirange(report_gap.days) - range_agg(a.period) AS missing
                    FROM billing.allocation_scheme AS s JOIN billing.allocation AS a USING (scheme_id)
                   WHERE a.state IN ('open', 'closed') AND EXISTS (SELECT FROM billing.allocation_rule AS r WHERE r.scheme_id = s.scheme_id AND r.valid && report_gap.days AND upper_inf(r.known)) GROUP BY s.key) AS g $$;
COMMENT ON FUNCTION billing.report_gap(daterange) IS 'What a report of these days would lack: schemes that have rules for these days and have divided cost, but not all of these days. Null = nothing. Stable.';

CREATE FUNCTION billing.report_lines(period daterange) RETURNS TABLE (scheme text, cost_center text, outcome text, currency text, billed numeric, effective numeric, division text, known_at timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT s.key, b.cost_center, b.outcome, b.currency, b.billed, b.effective, d.division, d.known_at
            FROM billing.allocation_scheme AS s
           CROSS JOIN LATERAL (SELECT bool_or(a.period = report_lines.period) AS exactly, CASE WHEN bool_or(a.state = 'open') THEN 'open' WHEN bool_or(a.state = 'held') THEN 'held' ELSE 'closed' END AS division, max(a.known_at) FILTER (WHERE a.state <> 'held') AS known_at
                                 FROM billing.allocation AS a WHERE a.scheme_id = s.scheme_id AND a.period && report_lines.period AND a.state IN ('open', 'closed', 'held') HAVING count(*) > 0) AS d
           CROSS JOIN LATERAL billing.bearer_cents(s.key, report_lines.period, NOT d.exactly) AS b
           ORDER BY s.key, b.currency, b.cost_center COLLATE "C" NULLS LAST, b.outcome $$;
COMMENT ON FUNCTION billing.report_lines(daterange) IS
'What each cost center of each scheme bears in a period, in cents that add up to the total of the scheme (see bearer_cents()): where a scheme divides exactly this period that division, otherwise the shares of these charge days. division: closed; held: closed, and a difference that is not in it waits for approve_allocation(); open: it may still change; known_at: the facts recorded before this instant are in it. Stable.';

CREATE FUNCTION billing.make_report(period daterange, format text) RETURNS billing.report
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH line AS MATERIALIZED (SELECT row_number() OVER () AS place, l.* FROM billing.report_lines(make_report.period) AS l),
          fresh AS (   -- of the deliveries that are in the figures
              SELECT to_char(min(f.at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at
                FROM (SELECT max(d.recorded_at) AS at FROM billing.cost_window AS w JOIN billing.cost_window_load AS x USING (window_id) JOIN billing.cost_load AS d USING (load_id)
                       WHERE w.period && make_report.period AND d.recorded_at <= coalesce((SELECT max(l.known_at) FROM line AS l), 'infinity') GROUP BY w.window_id) AS f),
          head AS (SELECT to_char(lower(make_report.period), 'YYYY-MM-DD') AS starts, to_char(upper(make_report.period), 'YYYY-MM-DD') AS ends, f.at AS fresh_at FROM fresh AS f),
          cell AS (SELECT l.*, to_char(l.known_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS known,
                          concat_ws(',', csv_text(l.scheme), csv_text(l.cost_center), l.outcome, l.currency, l.billed, l.effective, l.division) AS figures FROM line AS l)
          SELECT NULL::bigint, NULL::text, make_report.period, 1, CASE WHEN bool_and(c.division = 'closed') THEN 'closed' WHEN bool_or(c.division = 'open') IS NOT FALSE THEN 'open' ELSE 'held' END, make_report.format, '{}'::text[],
                 CASE make_report.format
                 WHEN 'json' THEN jsonb_pretty(jsonb_build_object('period', days_text(make_report.period), 'fresh_at', h.fresh_at, 'lines', coalesce(jsonb_agg(jsonb_build_object('scheme', c.scheme, 'cost_center', c.cost_center,
                          'outcome', c.outcome, 'currency', c.currency, 'billed', c.billed::text, 'effective', c.effective::text, 'division', c.division, 'known_at', c.known) ORDER BY c.place) FILTER (WHERE c.place IS NOT NULL), '[]')))
                 ELSE concat_ws(E'\n', 'scheme,cost_center,outcome,currency,billed,effective,division,known_at,period_from,period_to,fresh_at',
                          string_agg(concat_ws(',', c.figures, c.known, h.starts, h.ends, coalesce(h.fresh_at, '')), E'\n' ORDER BY c.place), '') END,
                 md5(coalesce(string_agg(c.figures, E'\n' ORDER BY c.place), ''))::uuid, NULL::text, NULL::text, clock_timestamp(), session_user::text
            FROM head AS h LEFT JOIN cell AS c ON true GROUP BY h.starts, h.ends, h.fresh_at $$;
COMMENT ON FUNCTION billing.make_report(daterange, text) IS
'A report as a row that is not kept yet: its text, csv with a header or json, says the period, whether it is closed, as of when it was divided and when the stalest billing account was delivered (UTC), the same in every session. Used by generate_report() and run_reports(). Stable.';

CREATE PROCEDURE billing.generate_report(period text DEFAULT 'last-month', format text DEFAULT 'csv', INOUT report_id bigint DEFAULT NULL)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    days daterange := report_period(generate_report.period);
    gap  text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('format', generate_report.format, '{csv,json}');
    gap := report_gap(days);
    IF gap IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('there is no report of %s: %s', days_text(days), gap), HINT = 'CALL billing.allocate() for the period first.';
    END IF;
    INSERT INTO report AS r (period, division, format, content, figures) SELECT m.period, m.division, m.format, m.content, m.figures FROM make_report(days, generate_report.format) AS m RETURNING r.report_id INTO report_id;
END $$;
COMMENT ON PROCEDURE billing.generate_report(text, text, bigint) IS
'Makes a report of what each cost center bears (last-month, this-month, last-week, yesterday, or days such as [2026-10-01,2026-11-01)) as csv or json and keeps it; report_id is its number in the view reports. Errors: 22023 bad argument, 55000 a scheme has not divided the period.';

CREATE FUNCTION billing.set_report_schedule(key text, frequency text DEFAULT 'monthly', format text DEFAULT 'csv', recipients text[] DEFAULT '{}', endpoint text DEFAULT NULL, enabled boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a report schedule', set_report_schedule.key);
    PERFORM check_word('frequency', set_report_schedule.frequency, '{daily,weekly,monthly}');
    PERFORM check_word('format', set_report_schedule.format, '{csv,json}');
    IF set_report_schedule.endpoint IS NOT NULL THEN
        PERFORM find_endpoint(set_report_schedule.endpoint);
    END IF;
    INSERT INTO report_schedule AS s (key, frequency, format, recipients, endpoint, enabled)
        VALUES (set_report_schedule.key, set_report_schedule.frequency, set_report_schedule.format, coalesce(set_report_schedule.recipients, '{}'), set_report_schedule.endpoint, coalesce(set_report_schedule.enabled, true))
        ON CONFLICT ON CONSTRAINT report_schedule_pkey DO UPDATE SET frequency = excluded.frequency, format = excluded.format, recipients = excluded.recipients, endpoint = excluded.endpoint, enabled = excluded.enabled, waits_for = NULL, waits_since = NULL;
END $$;
COMMENT ON FUNCTION billing.set_report_schedule(text, text, text, text[], text, boolean) IS
'Makes or replaces a schedule of reports: frequency daily, weekly or monthly; format csv or json; recipients; endpoint that sends them (null = they are only kept); enabled. Errors: 22023 bad argument, 42704 unknown endpoint. Volatile.';

CREATE FUNCTION billing.keep_report(due billing.report_schedule, period daterange) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this   report := make_report(keep_report.period, due.format);
    former report;
BEGIN
    SELECT r.* INTO former FROM report AS r WHERE r.schedule = due.key AND r.period = keep_report.period ORDER BY r.version DESC LIMIT 1;
    IF former.figures = this.figures THEN
        RETURN false;
    END IF;
    this.report_id := nextval(pg_get_serial_sequence('billing.report', 'report_id'));
    this.version := coalesce(former.version, 0) + 1;
    IF due.endpoint IS NOT NULL THEN
        this.problem := try_to_tell(due.endpoint, 'report', jsonb_build_object('report', this.report_id, 'schedule', due.key, 'period', days_text(this.period), 'version', this.version, 'division', this.division, 'format', this.format,
                                                                               'recipients', to_jsonb(due.recipients), 'content', this.content), 'billing:report-' || this.report_id);
    END IF;
    INSERT INTO report (report_id, schedule, period, version, division, format, recipients, content, figures, endpoint, problem) OVERRIDING SYSTEM VALUE
        VALUES (this.report_id, due.key, this.period, this.version, this.division, this.format, due.recipients, this.content, this.figures, due.endpoint, this.problem);
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.keep_report(billing.report_schedule, daterange) IS 'Makes the report of a schedule for a period, keeps it and hands it to its endpoint, unless the one before has the same figures; says whether it did. Used by run_reports(). Volatile.';

CREATE FUNCTION billing.missing_reports(due billing.report_schedule, today date) RETURNS SETOF daterange
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT p.period
            FROM (SELECT report_period(CASE due.frequency WHEN 'daily' THEN 'yesterday' WHEN 'weekly' THEN 'last-week' ELSE 'last-month' END, missing_reports.today) AS days,
                         CASE due.frequency WHEN 'daily' THEN interval '1 day' WHEN 'weekly' THEN interval '7 days' ELSE interval '1 month' END AS step) AS d
           CROSS JOIN LATERAL (SELECT least(min(lower(r.period)), due.waits_since, lower(d.days)) AS first FROM billing.report AS r
                                WHERE r.schedule = due.key AND CASE due.frequency WHEN 'daily' THEN upper(r.period) - lower(r.period) = 1 WHEN 'weekly' THEN upper(r.period) - lower(r.period) = 7 ELSE upper(r.period) - lower(r.period) >= 28 END) AS f
           CROSS JOIN generate_series(greatest(f.first::timestamp, lower(d.days)::timestamp - 100 * d.step), lower(d.days)::timestamp, d.step) AS g (starts)
           CROSS JOIN LATERAL (SELECT daterange(g.starts::date, (g.starts + d.step)::date) AS period) AS p
           WHERE p.period = d.days OR NOT EXISTS (SELECT FROM billing.report AS r WHERE r.schedule = due.key AND r.period = p.period)
           ORDER BY 1 $$;
COMMENT ON FUNCTION billing.missing_reports(billing.report_schedule, date) IS
'The periods for which a schedule should have a report by a day: the one that is due, and those since its first report that were never made, because they waited or nobody called run_reports(); at most 100 back. Stable.';

CREATE FUNCTION billing.run_reports(today date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    due  report_schedule;
    days daterange;
    gap  text;
    made bigint := 0;
BEGIN
    PERFORM check_ledger();
    PERFORM billing.lock_until_commit(1651076214, 1);    -- one round at a time
    FOR due IN SELECT s.* FROM report_schedule AS s WHERE s.enabled ORDER BY s.key LOOP
        UPDATE report_schedule AS s SET waits_for = NULL WHERE s.key = due.key AND s.waits_for IS NOT NULL;
        FOR days IN SELECT m FROM missing_reports(due, run_reports.today) AS m LOOP
            gap := report_gap(days);
            IF gap IS NULL THEN
                made := made + keep_report(due, days)::int;
            ELSE
                UPDATE report_schedule AS s SET waits_for = gap, waits_since = least(s.waits_since, lower(days)) WHERE s.key = due.key;
                RAISE NOTICE 'report "%" of % waits: %', due.key, days_text(days), gap;
            END IF;
        END LOOP;
        -- earlier days that were closed or restated since, not each day that is divided anew; a day is left for divisions that were under way
        FOR days IN
            SELECT r.period FROM (SELECT x.period, max(x.made_at) AS made_at, (array_agg(x.division ORDER BY x.version DESC))[1] AS division FROM report AS x WHERE x.schedule = due.key GROUP BY 1) AS r
             WHERE EXISTS (SELECT FROM allocation AS a WHERE a.period && r.period AND a.state IN ('closed', 'held') AND (a.recorded_at > r.made_at - interval '1 day' OR r.division = 'open')) AND report_gap(r.period) IS NULL
             ORDER BY 1
        LOOP
            made := made + keep_report(due, days)::int;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION billing.run_reports(date) IS
'Makes the reports that are due by their schedules, those that waited or were missed before too, hands them to their endpoints, and returns how many. A report waits while a scheme has not divided its period (column waits_for of report_schedules, and a notice); the one that is due is made again, as the next version, when its figures have changed, an earlier one when its period was closed or what is closed has changed. Call it daily. Volatile.';

CREATE VIEW billing.report_schedules AS
SELECT s.key AS schedule, s.frequency, s.format, s.recipients, s.endpoint, s.enabled, s.waits_for, l.period AS last_period, l.made_at AS last_made_at
  FROM billing.report_schedule AS s
  LEFT JOIN LATERAL (SELECT r.period, r.made_at FROM billing.report AS r WHERE r.schedule = s.key ORDER BY r.made_at DESC, r.report_id DESC LIMIT 1) AS l ON true;
COMMENT ON VIEW billing.report_schedules IS 'Schedules of reports, what they wait for and what they last made.';
COMMENT ON COLUMN billing.report_schedules.schedule IS 'Key of the schedule.';
COMMENT ON COLUMN billing.report_schedules.frequency IS 'daily (yesterday), weekly (Monday to Sunday), monthly.';
COMMENT ON COLUMN billing.report_schedules.format IS 'csv, json.';
COMMENT ON COLUMN billing.report_schedules.recipients IS 'Who gets it.';
COMMENT ON COLUMN billing.report_schedules.endpoint IS 'Endpoint that sends it; null = it is only kept.';
COMMENT ON COLUMN billing.report_schedules.enabled IS 'False: it rests.';
COMMENT ON COLUMN billing.report_schedules.waits_for IS 'Why the report that was due could not be made yet; null = nothing waits.';
COMMENT ON COLUMN billing.report_schedules.last_period IS 'Days of the report that was made last.';
COMMENT ON COLUMN billing.report_schedules.last_made_at IS 'When that was.';

CREATE VIEW billing.reports AS
SELECT r.report_id AS report, r.schedule, r.period, r.version, r.division, r.format, CASE WHEN r.problem IS NOT NULL THEN 'refused' WHEN r.endpoint IS NULL THEN 'made' ELSE coalesce(m.state, 'finished') END AS state, coalesce(r.problem, m.reason) AS problem, r.recipients, r.endpoint, r.content, r.made_at, r.made_by,
       CASE WHEN m.state = 'delivered' THEN m.finished_at END AS delivered_at
  FROM billing.report AS r LEFT JOIN billing.message AS m ON m.endpoint = r.endpoint AND m.idempotency_key = 'billing:report-' || r.report_id;
COMMENT ON VIEW billing.reports IS 'Every report that was made.';
COMMENT ON COLUMN billing.reports.report IS 'Number of the report.';
COMMENT ON COLUMN billing.reports.schedule IS 'Key of its schedule; null = made on request.';
COMMENT ON COLUMN billing.reports.period IS 'Days it is about.';
COMMENT ON COLUMN billing.reports.version IS 'Number among the reports of its schedule and period.';
COMMENT ON COLUMN billing.reports.division IS 'closed: no scheme''s figures change any more but by differences; held: such a difference waits for approval and is not in them; open: they may.';
COMMENT ON COLUMN billing.reports.format IS 'csv, json.';
COMMENT ON COLUMN billing.reports.state IS 'made: it is only kept; otherwise how far its endpoint is with it: waiting, queued, sending, delayed, delivered, dead, discarded, as in messages; finished: delivered or discarded, and cleared away since; refused: it could not be handed over.';
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
COMMENT ON COLUMN billing.metric_switch.enabled IS 'Off: nothing is charged for its meters, and what is recorded meanwhile never will be.';
COMMENT ON COLUMN billing.metric_switch.meters IS 'Keys of its meters.';

CREATE FUNCTION billing.void_usage_while_off(meter text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    item   CONSTANT int := find_item(void_usage_while_off.meter, 'meter');
    off_at CONSTANT timestamptz := (SELECT min(lower(m.known)) FROM meter_definition AS m WHERE m.item_id = item AND NOT m.enabled
                                       AND NOT EXISTS (SELECT FROM meter_definition AS o WHERE o.item_id = item AND o.enabled AND lower(o.known) > lower(m.known)));
    voided bigint;
BEGIN
    IF off_at IS NULL OR EXISTS (SELECT FROM meter_definition AS m WHERE m.item_id = item AND m.enabled AND upper_inf(m.known)) THEN
        RETURN 0;    -- it is on
    END IF;
    INSERT INTO usage_change (account_id, key, revision, meter_id, starts_at, ends_at, kind, reason, recorded_at)
    SELECT u.account_id, u.key, u.revision, u.meter_id, min(starts_at(u.consumed)), max(u.ends_at), 'void', 'recorded while its metric was off', recorded_at()
      FROM usage AS u
     WHERE u.meter_id = item AND u.recorded_at >= off_at
       AND NOT EXISTS (SELECT FROM usage_change AS c WHERE c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision)
       -- nothing of a sealed period is charged any more
       AND NOT EXISTS (SELECT FROM agreement_term AS t JOIN agreement AS a USING (agreement_id) JOIN charge_period AS p ON p.account_id = a.buyer_id AND p.sealed_at IS NOT NULL
                        WHERE t.consumer_id = u.account_id AND u.ends_at >= p.starts_at AND starts_at(u.consumed) <= p.ends_at)
     GROUP BY u.account_id, u.key, u.revision, u.meter_id;
    GET DIAGNOSTICS voided = ROW_COUNT;
    RETURN voided;
END $$;
COMMENT ON FUNCTION billing.void_usage_while_off(text) IS
'Takes back all usage of a meter that was recorded since it was switched off, as void_usage() does, and returns how much; 0 if it is on. Used by set_metric(). Errors: 42704 unknown meter. Volatile.';

CREATE FUNCTION billing.set_metric(metric text, enabled boolean, meters text[] DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former CONSTANT text[] := (SELECT s.meters FROM metric_switch AS s WHERE s.metric = set_metric.metric);
    this   metric_switch;
    meter  record;
BEGIN
    PERFORM check_ledger();
    PERFORM check_word('metric', set_metric.metric, '{compute_hours,storage_usage,network_traffic,gpu_utilization}');
    PERFORM find_item(m, 'meter') FROM unnest(set_metric.meters) AS m;
    INSERT INTO metric_switch AS s (metric, enabled, meters) VALUES (set_metric.metric, coalesce(set_metric.enabled, true), coalesce(set_metric.meters, '{}'))
        ON CONFLICT ON CONSTRAINT metric_switch_pkey DO UPDATE SET enabled = coalesce(set_metric.enabled, s.enabled), meters = coalesce(set_metric.meters, s.meters) RETURNING s.* INTO this;
    -- a meter of several metrics is on while all of them are
    FOR meter IN SELECT m.key, NOT EXISTS (SELECT FROM metric_switch AS s WHERE m.key = ANY (s.meters) AND NOT s.enabled) AS enabled FROM (SELECT unnest(former) UNION SELECT unnest(this.meters)) AS m (key) ORDER BY m.key LOOP
        IF meter.enabled THEN
            PERFORM void_usage_while_off(meter.key);
        END IF;
        PERFORM set_meter(meter.key, enabled => meter.enabled);
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.set_metric(text, boolean, text[]) IS
'Switches a metric on or off with all its meters: compute_hours, storage_usage, network_traffic, gpu_utilization. While it is off nothing is charged for them; usage recorded while it is off is taken back when it is switched on again and is never charged. meters: keys of the meters that belong to it; null keeps; a meter of several metrics is on while all of them are. Errors: 22023 unknown metric, 42704 unknown meter. Volatile.';

CREATE VIEW billing.metrics AS SELECT s.metric, s.enabled, s.meters FROM billing.metric_switch AS s;
COMMENT ON VIEW billing.metrics IS 'Metrics that were switched, with their meters.';
COMMENT ON COLUMN billing.metrics.metric IS 'compute_hours, storage_usage, network_traffic, gpu_utilization.';
COMMENT ON COLUMN billing.metrics.enabled IS 'On or off.';
COMMENT ON COLUMN billing.metrics.meters IS 'Keys of its meters.';
