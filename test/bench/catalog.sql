-- A ledger with :accounts accounts in three time zones and two meters with tiers: four in one, ten in the other.
\set QUIET on
\o /dev/null
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
SELECT pg_catalog.set_config('search_path', '"$user", public, billing', false);
ALTER DATABASE :"DBNAME" SET search_path = "$user", public, billing;
CALL billing.create_ledger();
CALL billing.maintain_partitions('[2026-10-01,2026-12-01)');
SELECT billing.set_seller('seller', legal_name => 'Seller GmbH', country => 'DE', currency => 'EUR', time_zone => 'Europe/Berlin', default_tax_code => 'standard');
SELECT billing.set_tax_rate('standard', 19, seller => 'seller');
SELECT billing.set_number_series(type => '380', seller => 'seller', prefix => 'S-');
SELECT billing.set_number_series(type => '381', seller => 'seller', prefix => 'C-');
SELECT billing.set_meter('requests', unit => 'request', aggregation => 'sum', seller => 'seller');
SELECT billing.set_meter('seconds', unit => 'second', aggregation => 'sum', seller => 'seller');
SELECT billing.set_price('requests', :'four_tiers', valid_from => '2026-01-01', seller => 'seller');
SELECT billing.set_price('seconds', :'ten_tiers', valid_from => '2026-01-01', seller => 'seller');
SELECT count(billing.set_account(format('account-%s', to_char(n, 'FM000000')), currency => 'EUR',
                                 time_zone => (ARRAY['Europe/Berlin', 'Europe/Lisbon', 'Europe/Helsinki'])[1 + n % 3], seller => 'seller',
                                 legal_name => format('Account %s', n), country => 'DE', starts_on => '2026-10-01'))
  FROM generate_series(1, :accounts) AS n;
\o
VACUUM (ANALYZE);
