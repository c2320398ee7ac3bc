-- Shares are exact to the last digit; only reports and charge-back know cents.
--
-- A share of a third has been cut at some decimal already, and shares of three thirds differ there; what differs by less than a billionth
-- of the unit counts as equal, so that the order of the shares decides and not that decimal.

CREATE FUNCTION billing.round_shares(shares pg_catalog."numeric"[], digits pg_catalog.int4, total pg_catalog."numeric") RETURNS pg_catalog."numeric"[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(array_agg(round(r.sign * (r.whole + CASE WHEN r.place <= (r.sign * round_shares.total - r.wholes) / r.unit THEN r.unit ELSE 0 END), digits) ORDER BY r.no), '{}')
            FROM (SELECT f.*, sum(f.whole) OVER () AS wholes, row_number() OVER (ORDER BY round((f.size - f.whole) / f.unit, 9) DESC, f.no) AS place
                    FROM (SELECT s.no, t.sign, t.unit, t.sign * s.share AS size, floor(t.sign * s.share / t.unit) * t.unit AS whole
                            FROM unnest(shares) WITH ORDINALITY AS s (share, no)
                           CROSS JOIN (SELECT CASE WHEN sum(x) < 0 THEN -1 ELSE 1 END AS sign, ('1e' || -digits)::numeric AS unit FROM unnest(shares) AS x) AS t) AS f) AS r $$;
COMMENT ON FUNCTION billing.round_shares(pg_catalog."numeric"[], pg_catalog.int4, pg_catalog."numeric") IS
'Exact shares rounded to so many decimals such that they add up to a total, which must be their sum rounded up or down: the parts of an amount that was rounded itself among others. Otherwise as round_shares() without total. Immutable.';

CREATE FUNCTION billing.round_shares(shares pg_catalog."numeric"[], digits pg_catalog.int4) RETURNS pg_catalog."numeric"[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT billing.round_shares(shares, digits, (SELECT coalesce(round(sum(x), digits), 0) FROM unnest(shares) AS x)) $$;
COMMENT ON FUNCTION billing.round_shares(pg_catalog."numeric"[], pg_catalog.int4) IS
'Exact shares rounded to so many decimals such that they add up to their rounded sum (halves away from zero), by the method of apportion(), which knows no shares of both signs: each is rounded down (up where the sum is negative), and the units left go to those that lost most, of losses that differ by less than a billionth of the unit to the first in the array. None is off by a whole unit. Immutable.';

CREATE FUNCTION billing.minor_unit(currency pg_catalog.text) RETURNS pg_catalog.int4
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT c.minor_unit FROM billing.currencies() AS c WHERE c.code = minor_unit.currency $$;
COMMENT ON FUNCTION billing.minor_unit(pg_catalog.text) IS
'Decimals of the minor unit of a currency: 2 for EUR, 0 for JPY; null for one that has none (XAU) or is unknown: providers deliver such codes too, and amounts in them stay as they are. Immutable.';
