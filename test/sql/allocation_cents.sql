-- Parts of an amount, and exact shares that become cents that add up: the largest loss gains, of equal losses the first.
CREATE DATABASE billing_allocation_cents;
\c billing_allocation_cents
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
RESET client_min_messages;
SET search_path = billing, public;
\pset format unaligned
\pset tuples_only on
SELECT minor_unit('EUR'), minor_unit('JPY'), minor_unit('BHD'), minor_unit('XAU'), minor_unit('abc');
-- thirds that were cut at a decimal are equal losses
SELECT round_shares('{33.333333333333333,33.333333333333334,33.333333333333333}', 2);
SELECT round_shares('{-33.333333333333333,-33.333333333333334,-33.333333333333333}', 2);
SELECT round_shares('{0.014285714285714,0.014285714285715,0.014285714285714,0.014285714285714,0.014285714285715,0.014285714285714,0.014285714285714}', 2);
-- nothing stays nothing, both signs, whole units, units above one
SELECT round_shares('{0,5,0}', 2), round_shares('{10.006,-0.003,0.002}', 2), round_shares('{0.5,0.5}', 0), round_shares('{149,151}', -2), round_shares('{}', 2), round_shares('{0.004,-0.004}', 2);
-- by chance: sums are kept, no share is off by a unit, and the order of rows with other losses does not matter
SELECT setseed(0.5);
WITH chance AS (SELECT t, array_agg(round((random() * 2000 - 500)::numeric, 15)) AS shares FROM generate_series(1, 300) AS t, generate_series(1, 1 + t % 17) GROUP BY t),
     cents AS (SELECT c.t, c.shares, round_shares(c.shares, 2) AS cents, (SELECT array_agg(x ORDER BY x) FROM unnest(c.shares) AS x) AS sorted FROM chance AS c)
SELECT count(*) AS worlds, count(*) FILTER (WHERE (SELECT sum(x) FROM unnest(c.cents) AS x) = (SELECT round(sum(x), 2) FROM unnest(c.shares) AS x)) AS conserved,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM unnest(c.shares, c.cents) AS u (share, cent) WHERE abs(u.share - u.cent) >= 0.01)) AS near,
       count(*) FILTER (WHERE (SELECT array_agg(x ORDER BY x) FROM unnest(c.cents) AS x) = (SELECT array_agg(x ORDER BY x) FROM unnest(round_shares(c.sorted, 2)) AS x)) AS stable
  FROM cents AS c;
-- parts: thirds add up, halves go away from zero, 0 stays as it is written, amounts with more digits than an integer of 128 bits holds, nothing of nothing
SELECT part_of(1, 0, 1, 3), part_of(1, 1, 1, 3), part_of(1, 2, 1, 3), part_of(-0.000000000000001, 0, 1, 2), part_of(-0.000000000000001, 1, 1, 2), part_of(0.00, 0, 1, 3), part_of(NULL, 0, 1, 3);
SELECT part_of(1e30, 0, 1, 3), part_of(1e30, 1, 2, 3), part_of(0.12345678901234567, 0, 1, 2), part_of(0.12345678901234567, 1, 1, 2), part_of(10, 0, 1e-20, 3e-20), part_of('NaN', 0, 1, 3);
\set VERBOSITY sqlstate
SELECT part_of(1, 0, 0, 0);
\set VERBOSITY default
-- by chance, both ways of computing: as exact as the formula in numeric, and each amount is given whole
SELECT setseed(0.25);
WITH chance AS (SELECT t, round((random() * 2000 - 500)::numeric * 10::numeric ^ (t % 7), t % 20) AS amount, round((random() * 100)::numeric, t % 18) + 0.5 AS w1, round((random() * 1e6)::numeric, t % 5) + 1 AS w2, t % 4 AS w3 FROM generate_series(1, 3000) AS t),
     part AS (SELECT c.*, part_of(amount, 0, w1, w1 + w2 + w3) AS p1, part_of(amount, w1, w2, w1 + w2 + w3) AS p2, part_of(amount, w1 + w2, w3, w1 + w2 + w3) AS p3, greatest(scale(amount), 15) AS digits FROM chance AS c)
SELECT count(*) AS splits, count(*) FILTER (WHERE p1 + p2 + p3 = amount) AS conserved, count(*) FILTER (WHERE amount = 0 OR p1 = round(round(amount * w1, digits + 25) / (w1 + w2 + w3), digits)) AS equal,
       count(*) FILTER (WHERE amount = 0 OR scale(p1) = digits) AS digits FROM part;
-- the parts of an amount that was rounded itself, up or down, add up to it, and none is off by a unit
WITH chance AS (SELECT t, array_agg(round((random() * 2000 - 500)::numeric, 15)) AS shares FROM generate_series(1, 300) AS t, generate_series(1, 1 + t % 17) GROUP BY t),
     total AS (SELECT c.t, c.shares, (CASE WHEN c.t % 2 = 0 THEN floor(x.sum * 100) ELSE ceil(x.sum * 100) END / 100)::numeric AS total FROM chance AS c CROSS JOIN LATERAL (SELECT sum(x) FROM unnest(c.shares) AS x) AS x),
     cents AS (SELECT t.*, round_shares(t.shares, 2, t.total) AS cents FROM total AS t)
SELECT count(*) AS worlds, count(*) FILTER (WHERE (SELECT sum(x) FROM unnest(c.cents) AS x) = c.total) AS conserved,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM unnest(c.shares, c.cents) AS u (share, cent) WHERE abs(u.share - u.cent) >= 0.01)) AS near
  FROM cents AS c;
SELECT round_shares('{0.004,0.003}', 2, 0.01), round_shares('{0.004,0.003}', 2, 0), round_shares('{5,-5.004}', 2, -0.01), round_shares('{-0.004,-0.003}', 2, -0.01);
\c contrib_regression
DROP DATABASE billing_allocation_cents;
