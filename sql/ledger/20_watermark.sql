-- The stamp of facts and the watermark of runs (members, since they name no table).

CREATE FUNCTION billing.recording_stamp(not_before timestamptz DEFAULT NULL) RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'recording_stamp' LANGUAGE c VOLATILE PARALLEL RESTRICTED CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.recording_stamp(timestamptz) IS
'Stamp of the facts this transaction records: the server''s clock, the same for the whole transaction. The first call takes a shared lock that is held to the end of the transaction and whose key is the second it was taken, so that a run never counts facts while their neighbours may still be uncommitted. The stamp is later than not_before when that is given. Volatile.';

CREATE FUNCTION billing.own_stamp() RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'own_stamp' LANGUAGE c STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION billing.own_stamp() IS
'The stamp of the facts this transaction has recorded, or null if it has recorded none. Stable.';

CREATE FUNCTION billing.recorders() RETURNS TABLE (backend_pid int, recording_since timestamptz)
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    BEGIN ATOMIC
        SELECT l.pid, pg_catalog.to_timestamp((l.objid::bigint)::double precision)
          FROM pg_catalog.pg_locks AS l
         WHERE l.locktype OPERATOR(pg_catalog.=) 'object' AND l.objsubid OPERATOR(pg_catalog.=) 2 AND l.classid OPERATOR(pg_catalog.=) 1651076199::pg_catalog.oid
           AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database());
    END;
COMMENT ON FUNCTION billing.recorders() IS
'The sessions that are recording facts in this database now and hold the watermark back, with the second since when; backend_pid is null for a prepared transaction.';

CREATE FUNCTION billing.recording_now() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('backend_pid', r.backend_pid, 'user', a.usename, 'application', a.application_name, 'recording_since', r.recording_since)
                     ORDER BY r.recording_since, r.backend_pid)
      FROM billing.recorders() AS r
      LEFT JOIN pg_stat_activity AS a ON a.pid = r.backend_pid
     WHERE r.backend_pid IS DISTINCT FROM pg_backend_pid()
$$;
COMMENT ON FUNCTION billing.recording_now() IS
'The other sessions that are recording facts in this database now, as an array of objects with backend_pid, user, application and recording_since (the second in which they began), the oldest first; null if there is none. All but the time are null for a prepared transaction. Volatile.';

CREATE FUNCTION billing.recording_floor() RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    clock timestamptz := clock_timestamp();   -- read before the locks
BEGIN
    RETURN least(clock, (SELECT min(r.recording_since) FROM billing.recorders() AS r
                          WHERE r.backend_pid IS DISTINCT FROM pg_backend_pid()));
END $$;
COMMENT ON FUNCTION billing.recording_floor() IS
'The watermark by clock and locks alone: the clock, read first, or the second at which the oldest transaction of another session that is still recording took its lock, whichever is earlier. Volatile.';

CREATE FUNCTION billing.known(recorded_at timestamptz, known_at timestamptz, own_at timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT $1 OPERATOR(pg_catalog.<) $2 OR ($3 IS NOT NULL AND $1 OPERATOR(pg_catalog.=) $3) $$;
COMMENT ON FUNCTION billing.known(timestamptz, timestamptz, timestamptz) IS
'Whether a fact recorded at recorded_at counts for a run with watermark known_at, which also counts facts stamped own_at (null = none). Immutable.';

CREATE FUNCTION billing.known(known tstzrange, known_at timestamptz, own_at timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (pg_catalog.lower($1) OPERATOR(pg_catalog.<) $2 OR ($3 IS NOT NULL AND pg_catalog.lower($1) OPERATOR(pg_catalog.=) $3))
             AND (pg_catalog.upper($1) IS NULL
                  OR (pg_catalog.upper($1) OPERATOR(pg_catalog.>=) $2 AND ($3 IS NULL OR pg_catalog.upper($1) OPERATOR(pg_catalog.<>) $3))) $$;
COMMENT ON FUNCTION billing.known(tstzrange, timestamptz, timestamptz) IS
'Whether a fact believed during known counts for a run with watermark known_at, which also counts facts stamped own_at (null = none). Immutable.';

CREATE FUNCTION billing.acquire_run_lock() RETURNS void
    AS 'MODULE_PATHNAME', 'acquire_run_lock' LANGUAGE c VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION billing.acquire_run_lock() IS
'Waits until no other session runs billing in this database and excludes others until release_run_lock(), across commits, or until a transaction of this session aborts. Volatile.';

CREATE FUNCTION billing.release_run_lock() RETURNS void
    AS 'MODULE_PATHNAME', 'release_run_lock' LANGUAGE c VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION billing.release_run_lock() IS 'Lets other sessions run billing again. Volatile.';

CREATE FUNCTION billing.lock_until_commit(class int, number int) RETURNS void
    AS 'MODULE_PATHNAME', 'lock_until_commit' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION billing.lock_until_commit(int, int) IS
'Waits until no other transaction holds the lock of this class and number and holds it to the end of this one. pg_locks shows it with the locktype object; unlike an advisory lock it cannot be taken by whoever may log in. Volatile.';

-- Who holds these locks keeps the watermark, or all runs, waiting.
REVOKE ALL ON FUNCTION billing.recording_stamp(timestamptz), billing.acquire_run_lock(), billing.release_run_lock(), billing.lock_until_commit(int, int) FROM PUBLIC;
