-- Partitions of usage: a month (UTC) each, inside by hash of the account.  Recording never runs DDL: usage of months that have no
-- partition goes to usage_default, and maintain_partitions() takes it from there.

CREATE PROCEDURE billing.create_usage_month(month date)
    LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    name   text := 'usage_' || to_char(month, 'YYYY_MM');
    starts timestamptz := month::timestamp AT TIME ZONE 'UTC';
    ends   timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
    parts  int := (SELECT s.usage_parts FROM ledger_state AS s);
BEGIN
    EXECUTE format('CREATE TABLE billing.%I (LIKE billing.usage INCLUDING DEFAULTS) %s', name,
                   CASE WHEN parts > 1 THEN 'PARTITION BY HASH (account_id)' END);
    EXECUTE format('COMMENT ON TABLE billing.%I IS %L', name, 'Usage that ends in ' || to_char(month, 'YYYY-MM') || ' (UTC).');
    FOR part IN 0 .. parts - 1 LOOP
        CONTINUE WHEN parts = 1;
        EXECUTE format('CREATE TABLE billing.%I PARTITION OF billing.%I FOR VALUES WITH (MODULUS %s, REMAINDER %s)', name || '_' || part, name, parts, part);
        EXECUTE format('COMMENT ON TABLE billing.%I IS %L', name || '_' || part, 'Usage that ends in ' || to_char(month, 'YYYY-MM') || ' (UTC), one part of the accounts.');
    END LOOP;
    EXECUTE format('WITH moved AS (DELETE FROM billing.usage_default AS d WHERE d.ends_at >= %L AND d.ends_at < %L RETURNING d.*)
                    INSERT INTO billing.%I SELECT m.* FROM moved AS m ORDER BY m.recorded_at', starts, ends, name);
    EXECUTE format('ALTER TABLE billing.usage ATTACH PARTITION billing.%I FOR VALUES FROM (%L) TO (%L)', name, starts, ends);
    INSERT INTO usage_month VALUES (create_usage_month.month) ON CONFLICT DO NOTHING;
END $$;
COMMENT ON PROCEDURE billing.create_usage_month(date) IS
'Makes the partition of usage for the month (UTC) that begins on a day and moves into it what usage_default holds of that month; from then on runs miss it if it is gone. The caller holds the lock on usage_default. Used by maintain_partitions().';
REVOKE ALL ON PROCEDURE billing.create_usage_month(date) FROM PUBLIC;

CREATE PROCEDURE billing.maintain_partitions(span daterange DEFAULT NULL, months_ahead int DEFAULT 3)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    today  date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    wanted date;
BEGIN
    PERFORM billing.check_ledger();
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 120 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('months_ahead must be between 0 and 120, not %s', coalesce(months_ahead::text, 'null'));
    END IF;
    IF isempty(span) OR isfinite(lower(span)) IS NOT TRUE OR isfinite(upper(span)) IS NOT TRUE OR upper(span) - lower(span) > 36600 THEN
        IF span IS NOT NULL THEN
            RAISE invalid_parameter_value USING MESSAGE = format('cannot make partitions for the span %s', span),
                HINT = 'Name a first and a last day not more than a hundred years apart, such as [2026-10-01,2027-01-01).';
        END IF;
        span := daterange((date_trunc('month', today) - interval '1 month')::date, (date_trunc('month', today) + make_interval(months => months_ahead + 1))::date);
    END IF;
    LOCK TABLE billing.usage_month IN SHARE ROW EXCLUSIVE MODE;   -- one maintainer at a time
    FOR wanted IN
        SELECT m.month FROM (
            SELECT g.month::date FROM generate_series(date_trunc('month', lower(span)::timestamp), (upper(span) - 1)::timestamp, '1 month') AS g(month)
            UNION
            SELECT billing.utc_month(d.ends_at) FROM usage_default AS d
             WHERE d.ends_at BETWEEN clock_timestamp() - interval '10 years' AND clock_timestamp() + interval '2 years') AS m
         WHERE to_regclass('billing.usage_' || to_char(m.month, 'YYYY_MM')) IS NULL
         ORDER BY m.month
    LOOP
        LOCK TABLE billing.usage_default IN ACCESS EXCLUSIVE MODE;
        CALL billing.create_usage_month(wanted);
    END LOOP;
END $$;
COMMENT ON PROCEDURE billing.maintain_partitions(daterange, int) IS
'Makes the monthly partitions of usage that a span of days needs (UTC months); without a span those of last month, this month and months_ahead months more. Also makes those that rows in usage_default need, up to 10 years back and 2 years ahead, and moves the rows there. Schedule it daily. Does nothing that was done before; commits nothing itself. Where it makes a partition it waits for whoever is writing to or reading usage_default; set lock_timeout to bound that. Errors: 22023 for an unbounded or empty span, or a bad months_ahead.';
