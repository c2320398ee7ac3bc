-- Making, upgrading and removing the ledger.  The ledger's objects are no members of the extension: DROP EXTENSION must not take
-- invoices, and pg_dump must carry tables, owners and grants.

CREATE PROCEDURE billing.create_role_if_missing(role_name text, options text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I %s', role_name, options);
    END IF;
END $$;
COMMENT ON PROCEDURE billing.create_role_if_missing(text, text) IS 'Creates a role with the given options unless a role of that name exists. Used by create_ledger().';
REVOKE ALL ON PROCEDURE billing.create_role_if_missing(text, text) FROM PUBLIC;

CREATE PROCEDURE billing.create_ledger(owner text DEFAULT 'billing_owner', usage_parts int DEFAULT 4)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former_role text := current_setting('role');
    is_superuser boolean := (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user);
BEGIN
    IF to_regclass('billing.ledger_state') IS NOT NULL THEN
        RAISE duplicate_table USING MESSAGE = 'this database has a ledger already',
            HINT = 'Use CALL billing.upgrade_ledger() to bring it to the version of the extension.';
    END IF;
    IF usage_parts IS NULL OR usage_parts NOT BETWEEN 1 AND 8 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('usage_parts must be between 1 and 8, not %s', coalesce(usage_parts::text, 'null')),
            HINT = 'More hash partitions cost locks and planning time and gain nothing.';
    END IF;
    CALL billing.create_role_if_missing(owner, 'NOLOGIN');
    CALL billing.create_role_if_missing('billing_reader', 'NOLOGIN');
    CALL billing.create_role_if_missing('billing_operator', 'NOLOGIN IN ROLE billing_reader');
    CALL billing.create_role_if_missing('billing_admin', 'NOLOGIN IN ROLE billing_operator');
    CALL billing.create_role_if_missing('billing_worker', 'LOGIN IN ROLE billing_reader');
    IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = owner) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the owner of the ledger must not be a superuser, but "%s" is', owner),
            HINT = 'Name another role, or leave it out to use billing_owner.';
    END IF;
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA billing TO %I', owner);
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.pack_pieces(bigint, int, timestamptz, timestamptz, int, int), billing.pass_totals(bytea),
                          billing.pass_usage(bytea, bigint, int, billing.usage_interval, timestamptz, timestamptz, timestamptz) TO %I', owner);
    GRANT EXECUTE ON FUNCTION billing.acquire_run_lock(), billing.release_run_lock(), billing.lock_until_commit(int, int) TO billing_operator;
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.recording_stamp(timestamptz), billing.recordable_usage(jsonb, text), billing.lock_until_commit(int, int) TO %I', owner);
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.wake_worker() TO %I', owner);
    EXECUTE format('GRANT EXECUTE ON PROCEDURE billing.fix_session_settings() TO %I', owner);
    IF NOT pg_has_role(current_user, owner, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', owner);
    END IF;

    PERFORM set_config('role', owner, true);
    EXECUTE billing.ledger_definition();
    CALL billing.fix_session_settings();
    EXECUTE 'CALL billing.prepare_new_ledger($1)' USING usage_parts;
    PERFORM set_config('role', former_role, true);

    IF is_superuser THEN
        CALL billing.create_ledger_guard();
    ELSE
        RAISE WARNING 'only a superuser can create the event trigger that keeps DROP EXTENSION billing CASCADE from destroying the ledger'
            USING HINT = 'Have a superuser run CALL billing.create_ledger_guard().';
    END IF;
    -- What the database gives new sessions; the setting of this one is hidden by the function's own.
    IF NOT EXISTS (SELECT FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c(setting)
                    WHERE s.setrole = 0 AND s.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                      AND c.setting ~ '^search_path=.*\ybilling\y') THEN
        RAISE NOTICE 'schema billing is not on the search_path of this database: operators and sum() of monetary will not be found'
            USING HINT = format('ALTER DATABASE %I SET search_path = "$user", public, billing;', current_database());
    END IF;
END $$;
COMMENT ON PROCEDURE billing.create_ledger(text, int) IS
'Makes the ledger of this database in schema billing: every table, view, function and procedure that names a table, owned by the role owner (created NOLOGIN if missing, never a superuser), and the roles billing_reader, billing_operator, billing_admin and billing_worker (the background worker''s, without a password) with their grants. usage_parts: hash partitions of usage inside each month, 1 to 8. Errors: 42P07 if there is a ledger, 22023 for a bad argument.';
REVOKE ALL ON PROCEDURE billing.create_ledger(text, int) FROM PUBLIC;

CREATE PROCEDURE billing.create_ledger_guard()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'billing_endpoint_guard' AND t.evttags @> '{ALTER SERVER,DROP SERVER,DROP OWNED}'::text[]) THEN
        IF EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'billing_endpoint_guard') THEN
            DROP EVENT TRIGGER billing_endpoint_guard;
        END IF;
        CREATE EVENT TRIGGER billing_endpoint_guard ON ddl_command_start WHEN TAG IN ('ALTER SERVER', 'DROP SERVER', 'DROP OWNED') EXECUTE FUNCTION billing.guard_endpoint_name();
        COMMENT ON EVENT TRIGGER billing_endpoint_guard IS 'Refuses to rename, drop or turn to another tenant an endpoint under whose name messages and what they told are stored.';
    END IF;
    IF EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'billing_ledger_guard') THEN
        RETURN;
    END IF;
    -- Not in schema billing: DROP SCHEMA billing CASCADE would take the function and with it the trigger before it can speak.
    -- Made anew: a function that somebody else has put there would run as whoever drops something.
    IF to_regnamespace('billing_guard') IS NOT NULL THEN
        DROP FUNCTION IF EXISTS billing_guard.guard_ledger();
        DROP SCHEMA billing_guard;
    END IF;
    CREATE SCHEMA billing_guard;
    COMMENT ON SCHEMA billing_guard IS 'Keeps the function of the event trigger billing_ledger_guard out of schema billing, which it guards.';
    CREATE FUNCTION billing_guard.guard_ledger() RETURNS event_trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $function$
    BEGIN
        IF current_setting('billing.allow_ledger_drop', true) IS DISTINCT FROM 'on'
           AND EXISTS (SELECT FROM pg_event_trigger_dropped_objects() AS d
                        -- not object_identity, which is in quotes under quote_all_identifiers
                        WHERE (d.object_type IN ('extension', 'schema') AND d.object_name = 'billing')
                           OR (d.object_type = 'table' AND d.schema_name = 'billing' AND d.object_name IN ('line', 'invoice', 'usage', 'ledger_state')))
        THEN
            RAISE dependent_objects_still_exist USING
                MESSAGE = 'this would destroy the ledger of this database',
                HINT = 'Use CALL billing.uninstall_ledger(…), or SET billing.allow_ledger_drop = on if that is what you want.';
        END IF;
    END $function$;
    COMMENT ON FUNCTION billing_guard.guard_ledger() IS 'Event trigger function: refuses commands that would drop the ledger, such as DROP EXTENSION billing CASCADE, unless billing.allow_ledger_drop is on.';
    REVOKE ALL ON FUNCTION billing_guard.guard_ledger() FROM PUBLIC;
    CREATE EVENT TRIGGER billing_ledger_guard ON sql_drop EXECUTE FUNCTION billing_guard.guard_ledger();
    COMMENT ON EVENT TRIGGER billing_ledger_guard IS 'Refuses to drop the billing extension or schema while a ledger exists.';
END $procedure$;
COMMENT ON PROCEDURE billing.create_ledger_guard() IS
'Creates the event trigger that refuses DROP EXTENSION billing CASCADE and the like while a ledger exists, and schema billing_guard with its function; and the one that refuses to rename, drop or turn to another tenant endpoints in use. What is there already stays. create_ledger() and upgrade_ledger() call it when run by a superuser.';
REVOKE ALL ON PROCEDURE billing.create_ledger_guard() FROM PUBLIC;

CREATE PROCEDURE billing.upgrade_ledger()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present text;
BEGIN
    IF to_regclass('billing.ledger_state') IS NULL THEN
        RAISE undefined_table USING MESSAGE = 'this database has no ledger', HINT = 'Use CALL billing.create_ledger().';
    END IF;
    EXECUTE 'SELECT s.ledger_version FROM billing.ledger_state AS s' INTO present;
    IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        CALL billing.create_ledger_guard();
    ELSIF (SELECT count(*) FROM pg_event_trigger AS t WHERE t.evtname IN ('billing_ledger_guard', 'billing_endpoint_guard')) < 2 THEN
        RAISE WARNING 'the event triggers that guard the ledger are not all there'
            USING HINT = 'Have a superuser run CALL billing.create_ledger_guard().';
    END IF;
    IF present = billing.extension_version() THEN
        RAISE NOTICE 'the ledger is of version % already', present;
        RETURN;
    END IF;
    RAISE feature_not_supported USING MESSAGE = format('no way is known from ledger version %s to %s', present, billing.extension_version()),
        HINT = CASE WHEN string_to_array(present, '.')::int[] > string_to_array(billing.extension_version(), '.')::int[]
                    THEN 'The ledger is newer than the extension: install that version and use ALTER EXTENSION billing UPDATE first.'
                    ELSE 'The ledger is too old: bring it up with the releases in between first.' END;
END $$;
COMMENT ON PROCEDURE billing.upgrade_ledger() IS
'Brings the ledger to the version of the installed extension. Run it after ALTER EXTENSION billing UPDATE. Event triggers that guard the ledger and are missing are made, if a superuser runs it; otherwise a warning says so. Errors: 42P01 if there is no ledger, 0A000 if the ledger is newer than the extension or too old for it.';
REVOKE ALL ON PROCEDURE billing.upgrade_ledger() FROM PUBLIC;

CREATE PROCEDURE billing.uninstall_ledger(confirmation text DEFAULT NULL)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    invoices bigint;
    statement text;
    statements text[];
BEGIN
    IF to_regclass('billing.ledger_state') IS NULL THEN
        RAISE undefined_table USING MESSAGE = 'this database has no ledger';
    END IF;
    EXECUTE 'SELECT count(*) FROM billing.invoice' INTO invoices;
    IF invoices > 0 AND confirmation IS DISTINCT FROM 'destroy all invoices' THEN
        RAISE object_in_use USING MESSAGE = format('the ledger holds %s final invoices', invoices),
            HINT = 'Dump the database first; then CALL billing.uninstall_ledger(''destroy all invoices'').';
    END IF;
    PERFORM set_config('billing.allow_ledger_drop', 'on', true);
    IF EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'billing_ledger_guard') THEN
        DROP EVENT TRIGGER IF EXISTS billing_endpoint_guard;
        DROP EVENT TRIGGER billing_ledger_guard;
        DROP FUNCTION billing_guard.guard_ledger();
        DROP SCHEMA billing_guard;
    END IF;
    -- All names are read before the first object goes, because some take others with them.
    statements := ARRAY(SELECT format('DROP %s IF EXISTS %s CASCADE', o.kind, o.name) FROM (
        SELECT 'VIEW' AS kind, c.oid::regclass::text AS name FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'v'
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
        UNION ALL
        SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
        UNION ALL
        SELECT 'TABLE', c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
        UNION ALL
        SELECT 'TYPE', t.oid::regtype::text FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind = 'c' WHERE t.typnamespace = 'billing'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = t.oid AND d.classid = 'pg_type'::regclass AND d.deptype = 'e')
    ) AS o);
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;
    PERFORM set_config('billing.allow_ledger_drop', 'off', true);
END $$;
COMMENT ON PROCEDURE billing.uninstall_ledger(text) IS
'Drops every object of the ledger and all its data. With final invoices in it the confirmation ''destroy all invoices'' is required. Roles stay, since other databases may use them. Errors: 42P01 if there is no ledger, 55006 without the confirmation.';
REVOKE ALL ON PROCEDURE billing.uninstall_ledger(text) FROM PUBLIC;
