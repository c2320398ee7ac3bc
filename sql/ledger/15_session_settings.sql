-- What a routine makes of dates, times and intervals does not depend on who calls it: texts of SQL, of messages and of documents are
-- written and read under the same settings everywhere, and days begin at midnight UTC unless a time zone is named.  record_usage() goes
-- without: it only calls others, which have them, and single calls are so many and so short that the settings are a tenth of them.

CREATE PROCEDURE billing.fix_session_settings()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_proc AS p
         WHERE p.pronamespace = 'billing'::regnamespace AND p.proconfig::text ~ 'search_path=' AND p.proconfig::text !~ 'standard_conforming_strings='
           AND p.oid IS DISTINCT FROM to_regprocedure('billing.record_usage(jsonb)') AND pg_has_role(p.proowner, 'USAGE')
         ORDER BY p.oid
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET "DateStyle" = ''ISO, YMD'' SET "IntervalStyle" = ''postgres'' SET "TimeZone" = ''UTC'' SET standard_conforming_strings = on', routine);
    END LOOP;
END $$;
COMMENT ON PROCEDURE billing.fix_session_settings() IS
'Has every routine of schema billing that runs under a fixed search_path, record_usage() apart, run under DateStyle ISO, YMD, IntervalStyle postgres, TimeZone UTC and standard_conforming_strings too, whatever those of the session are. Called at the end of the extension script and of create_ledger().';
REVOKE ALL ON PROCEDURE billing.fix_session_settings() FROM PUBLIC;
