-- rating_steps, rated_lines and lint.

-- Steps in the order of computation; the amounts add up to rate exactly.
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"},{"up_to":"20","unit_price":"0.5"},{"unit_price":"0.1","flat":"2"}],
  "convert":{"divide_by":"60","round":"up"},"free":"3","discount_percent":"10","maximum":"20"}', 2000);
SELECT * FROM rating_steps('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"},{"unit_price":"0.5","flat":"1"}],"minimum":"50"}', 12.5);
SELECT * FROM rating_steps('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"},{"unit_price":"0.5","flat":"1"}],"minimum":"50"}', 12.5, complete => false);
SELECT * FROM rating_steps('{"model":"package","currency":"EUR","size":"10","amount":"3","convert":{"divide_by":"3"}}', 100);
SELECT * FROM rating_steps('{"model":"percentage","currency":"EUR","percent":"1.3","per_event":"2"}', 800, 4);
SELECT * FROM rating_steps('{"model":"flat","currency":"EUR","amount":"30"}', 0, fraction => 0.1);
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"free"}', 0);
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1","flat":"5"}],"beyond":"free","on_zero":"charge"}', 0);
SELECT * FROM rating_steps('{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"eu"},"unit_price":"2"}],"default":{"tariff":{"model":"flat","amount":"7"}}}', 3, dimensions => '{"region":"us"}');
-- Thirds of a unit: the last step takes what rounding leaves over.
SELECT step, quantity, unit_price, amount FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"0.1","unit_price":"0.0000000000000005"},{"up_to":"0.2","unit_price":"0.00000000000001"},{"unit_price":"1"}],"convert":{"divide_by":"3"}}', 1);
SELECT sum(amount) = rate(t, 1) AS exact FROM (SELECT '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"0.1","unit_price":"0.0000000000000005"},{"up_to":"0.2","unit_price":"0.00000000000001"},{"unit_price":"1"}],"convert":{"divide_by":"3"}}'::tariff AS t) AS s, rating_steps(t, 1) GROUP BY t;
-- Whatever rate accepts is explained: quantities without bound, also divided ones.
SELECT * FROM rating_steps('{"model":"per_unit","currency":"EUR","unit_price":"0.00000000000000000001"}', 1e30 + 0.5);
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"1","unit_price":"1"},{"unit_price":"0"}],"convert":{"divide_by":"3"}}', 1e40);
-- A step on the way may be more than an amount can be: then the steps say theirs in words, and the last one has the whole.
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"2"}],"maximum":"100"}', 1e25);
SELECT * FROM rating_steps('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"900000000000000"},{"unit_price":"800000000000000"}],"convert":{"divide_by":"3"},"discount_percent":"99"}', 60);
-- OpenMeter cuts such a line at the maximum as well.
SELECT amount FROM rated_lines('{"model":"graduated","dialect":"openmeter","currency":"USD","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"2"}],"maximum":"100"}', 1e25);
SELECT * FROM try_bill('{"model":"graduated","dialect":"openmeter","currency":"USD","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"2"}],"maximum":"100"}', 1e25);
-- The same errors as rate.
SELECT * FROM rating_steps('{"model":"package","currency":"EUR","size":"10","amount":"3"}', -1);
SELECT * FROM rating_steps(NULL, 1);
SELECT count(*) FROM rating_steps('{"model":"package","currency":"EUR","size":"10","amount":"3"}', '{"call":"31"}'::jsonb);

-- Lines: exact without a dialect, rounded where the product rounds with one.
SELECT d, (SELECT array_agg(amount ORDER BY line) FROM rated_lines(('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"1","unit_price":"0.005","flat":"0.004"},{"unit_price":"0.015"}]' || coalesce(',"dialect":"' || d || '"', '') || '}')::tariff, 2.1))
  FROM unnest('{NULL,lago,openmeter,stripe,flexprice,meteroid,killbill,cloudkitty,waldur}'::text[]) AS d;
-- OpenMeter cuts its lines in order at the maximum, rounds the discount of each, and adds the minimum.
SELECT * FROM rated_lines('{"model":"graduated","dialect":"openmeter","currency":"USD","tiers":[{"up_to":"5","unit_price":"0","flat":"100"},{"up_to":"10","unit_price":"0","flat":"50"},{"up_to":"15","unit_price":"10"},{"unit_price":"5"}],"maximum":"120.005"}', 12);
SELECT * FROM rated_lines('{"model":"per_unit","dialect":"openmeter","currency":"USD","unit_price":"0.335","discount_percent":"10","minimum":"1"}', 1);
SELECT * FROM rated_lines('{"model":"per_unit","dialect":"openmeter","currency":"USD","unit_price":"0.335","minimum":"1"}', 1, complete => false);
SELECT * FROM rated_lines('{"model":"per_unit","dialect":"openmeter","currency":"USD","unit_price":"0.335"}', 0);
SELECT * FROM rated_lines('{"model":"per_unit","dialect":"lago","currency":"BHD","unit_price":"0.33351"}', '{"call":"1"}'::jsonb);

-- What looks wrong in a valid tariff.
SELECT l.*, left(t, 60) AS tariff
  FROM (VALUES ('{"model":"per_unit","currency":"EUR","unit_price":"1"}'),
               ('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"},{"up_to":"20","unit_price":"1"},{"unit_price":"1"}]}'),
               ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2","flat":"1"},{"up_to":"11","unit_price":"1"},{"unit_price":"-1"}]}'),
               ('{"model":"graduated","currency":"EUR","on_zero":"charge","tiers":[{"up_to":"10","unit_price":"2","flat":"1"}],"beyond":"free"}'),
               ('{"model":"volume","currency":"EUR","tiers":[{"up_to":"10","unit_price":"2"}],"beyond":"error"}'),
               ('{"model":"flat","currency":"EUR","amount":"1","minimum":"5","maximum":"4","discount_percent":"100","window":"day"}'),
               ('{"model":"package","currency":"EUR","size":"5","amount":"-4","round":"down"}'),
               ('{"model":"percentage","currency":"EUR","percent":"130"}'),
               ('{"model":"percentage","currency":"EUR","percent":"0.005"}'),
               ('{"model":"matrix","currency":"EUR","dimensions":["a","b"],"cells":[{"match":{"a":"1","b":"1"},"unit_price":1},{"match":{"a":"2","b":"2"},"tariff":{"model":"volume","tiers":[{"up_to":"10","unit_price":"2"},{"unit_price":"1"}]}},{"match":{"a":"2","b":"1"},"unit_price":-1}]}'),
               ('{"model":"matrix","currency":"EUR","dimensions":["a","b"],"cells":[{"match":{"a":"1","b":"1"},"unit_price":1},{"match":{"a":"2","b":"2"},"unit_price":1}],"default":{"unit_price":"5"}}')) AS v (t),
       LATERAL lint(t::tariff) AS l;
