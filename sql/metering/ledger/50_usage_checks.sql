-- What came in and does not count, and what looks wrong about what does.

CREATE VIEW billing.rejected_usage AS
    SELECT r.rejected_id, r.reason, r.detail, r.payload, r.recorded_at, r.recorded_by FROM billing.usage_rejected AS r;
COMMENT ON VIEW billing.rejected_usage IS 'Input that could not be recorded, word for word, with the reason. Mend it and record it again: its id is free.';
COMMENT ON COLUMN billing.rejected_usage.rejected_id IS 'Number of the rejection.';
COMMENT ON COLUMN billing.rejected_usage.reason IS 'Which rule was broken, as a word of a closed list; see doc/metering.md.';
COMMENT ON COLUMN billing.rejected_usage.detail IS 'The same as a sentence that names the value.';
COMMENT ON COLUMN billing.rejected_usage.payload IS 'What was given.';
COMMENT ON COLUMN billing.rejected_usage.recorded_at IS 'When it was given.';
COMMENT ON COLUMN billing.rejected_usage.recorded_by IS 'Who gave it.';

CREATE VIEW billing.conflicting_usage AS
    SELECT c.conflict_id, a.key AS account, c.key AS usage_key, c.payload, c.recorded_at, c.recorded_by
      FROM billing.usage_conflict AS c JOIN billing.account AS a USING (account_id);
COMMENT ON VIEW billing.conflicting_usage IS 'Input whose id was recorded before with other content. It counts nowhere: if the new content is right, use correct_usage().';
COMMENT ON COLUMN billing.conflicting_usage.conflict_id IS 'Number of the conflict.';
COMMENT ON COLUMN billing.conflicting_usage.account IS 'The account that consumed.';
COMMENT ON COLUMN billing.conflicting_usage.usage_key IS 'Key of the usage recorded first.';
COMMENT ON COLUMN billing.conflicting_usage.payload IS 'What was given the second time.';
COMMENT ON COLUMN billing.conflicting_usage.recorded_at IS 'When it was given.';
COMMENT ON COLUMN billing.conflicting_usage.recorded_by IS 'Who gave it.';

CREATE FUNCTION billing.validate_usage() RETURNS TABLE (severity text, code text, account text, detail text, usage_rows bigint)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT 'error', 'rejected', NULL, r.reason || ', for example: ' || min(r.detail), count(*) FROM billing.usage_rejected AS r GROUP BY r.reason
    UNION ALL
    SELECT 'error', 'conflict', a.key, 'the same id was recorded with other content', count(*)
      FROM billing.usage_conflict AS c JOIN billing.account AS a USING (account_id) GROUP BY a.key
    UNION ALL
    -- the same key of two accounts, unless it was moved from one to the other
    SELECT 'warning', 'several_accounts', string_agg(a.key, ', ' ORDER BY a.key), 'the same id was recorded for several accounts: ' || k.key, count(*)
      FROM billing.usage_key AS k JOIN billing.account AS a USING (account_id)
     WHERE NOT EXISTS (SELECT FROM billing.usage_change AS c WHERE c.key = k.key AND c.kind = 'move')
     GROUP BY k.key HAVING count(*) > 1
    UNION ALL
    SELECT 'warning', 'no_partition', NULL, 'usage of ' || to_char(billing.utc_month(u.ends_at), 'YYYY-MM') || ' lies in the default partition; CALL billing.maintain_partitions()', count(*)
      FROM billing.usage_default AS u GROUP BY billing.utc_month(u.ends_at)
    UNION ALL
    SELECT 'warning', 'waiting', NULL, 'usage waits in usage_inbox; SELECT billing.load_usage_inbox()', count(*)
      FROM billing.usage_inbox AS i HAVING count(*) > 0
$$;
COMMENT ON FUNCTION billing.validate_usage() IS
'What a person should look at: rejected input by reason, conflicts by account, ids recorded for several accounts, usage outside the monthly partitions, rows that wait in the inbox. No rows = nothing to do. Reads all keys. Stable.';
