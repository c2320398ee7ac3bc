-- Billing cycles as a pure matter of dates.

CREATE FUNCTION billing.cycle_date(month date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.cycle_date(date, int) IS
'The day of the month of the given date on which a billing cycle with this cycle day (1 to 31) begins; a day past the end of the month is its last day. Errors: 22023 for another cycle day, 22008 for an infinite date. Immutable.';

CREATE FUNCTION billing.next_cycle_date(after date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'next_cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.next_cycle_date(date, int) IS 'The first cycle date after the given date. Errors as cycle_date(). Immutable.';

CREATE FUNCTION billing.last_cycle_date(on_or_before date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'last_cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.last_cycle_date(date, int) IS 'The latest cycle date on or before the given date. Errors as cycle_date(). Immutable.';
