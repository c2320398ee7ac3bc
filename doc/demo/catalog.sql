\set QUIET on
\o /dev/null
SET client_min_messages = warning;
BEGIN;
-- A seller in Berlin: compute and storage in euros, with a platform fee in advance.
SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR', time_zone => 'Europe/Berlin',
    address => '{"line_1": "Hafenstrasse 1", "city": "Hamburg", "post_code": "20457"}', tax_ids => '{"vat": "DE123456789"}', default_tax_code => 'standard');
SELECT billing.set_tax_rate('standard', 19, seller => 'northwind');
SELECT billing.set_number_series(type => '380', seller => 'northwind', prefix => 'NW-2026-');
SELECT billing.set_number_series(type => '381', seller => 'northwind', prefix => 'NW-CN-2026-');
SELECT billing.set_meter('api_calls', unit => 'call', aggregation => 'sum', seller => 'northwind', name => 'API calls');
SELECT billing.set_meter('storage', unit => 'GB-hour', aggregation => 'sum', seller => 'northwind', name => 'Block storage');
SELECT billing.set_meter('gpu', unit => 'HUR', aggregation => 'sum', seller => 'northwind', name => 'GPU hours');
SELECT billing.set_fee('platform', seller => 'northwind', name => 'Platform, per seat and month', in_advance => true);
SELECT billing.set_price('api_calls', '{"model": "graduated", "currency": "EUR", "tiers": [
    {"up_to": "10000", "unit_price": "0"}, {"up_to": "100000", "unit_price": "0.0004"}, {"unit_price": "0.00025"}]}', valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_price('storage', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.00013"}', valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_price('gpu', '{"model": "matrix", "currency": "EUR", "dimensions": ["model"], "cells": [
    {"match": {"model": "l4"}, "unit_price": "0.79"}, {"match": {"model": "a100"}, "unit_price": "2.95"}, {"match": {"model": "h100"}, "unit_price": "4.40"}], "unmatched": "error"}',
    valid_from => '2026-01-01', seller => 'northwind');
SELECT billing.set_price('platform', '{"model": "per_unit", "currency": "EUR", "unit_price": "12.50"}', valid_from => '2026-01-01', seller => 'northwind');

-- A seller in New York: tokens of language models in dollars, by volume.
SELECT billing.set_seller('contoso', legal_name => 'Contoso Inc.', country => 'US', currency => 'USD', time_zone => 'America/New_York',
    address => '{"line_1": "1 Harbor Way", "city": "New York", "post_code": "10004"}');
SELECT billing.set_number_series(type => '380', seller => 'contoso', prefix => 'C-');
SELECT billing.set_number_series(type => '381', seller => 'contoso', prefix => 'C-CN-');
SELECT billing.set_meter('tokens_in', unit => 'token', aggregation => 'sum', seller => 'contoso', name => 'Prompt tokens');
SELECT billing.set_meter('tokens_out', unit => 'token', aggregation => 'sum', seller => 'contoso', name => 'Generated tokens');
SELECT billing.set_price('tokens_in', '{"model": "volume", "currency": "USD", "tiers": [
    {"up_to": "100000", "unit_price": "0.000003"}, {"unit_price": "0.0000024"}]}', valid_from => '2026-01-01', seller => 'contoso');
SELECT billing.set_price('tokens_out', '{"model": "package", "currency": "USD", "size": "1000", "amount": "0.015"}', valid_from => '2026-01-01', seller => 'contoso');

-- 600 customers of the first, 400 of the second.
SELECT billing.set_account(format('customer-%s', to_char(n, 'FM0000')), currency => 'EUR', time_zone => 'Europe/Berlin', seller => 'northwind',
                           legal_name => format('Customer %s AG', n), country => 'DE', starts_on => '2026-10-01')
  FROM generate_series(1, 600) AS n;
SELECT billing.set_account(format('customer-%s', to_char(n, 'FM0000')), currency => 'USD', time_zone => 'America/New_York', seller => 'contoso',
                           legal_name => format('Customer %s LLC', n), country => 'US', starts_on => '2026-10-01')
  FROM generate_series(601, 1000) AS n;
SELECT billing.set_subscription(format('customer-%s', to_char(n, 'FM0000')), 'seats', fee => 'platform', quantity => 1 + n % 7, starts_on => '2026-10-01')
  FROM generate_series(1, 600) AS n;
COMMIT;
\o
\unset QUIET
SELECT s.seller, s.legal_name, s.currency, (SELECT count(*) FROM billing.agreements AS a WHERE a.seller = s.seller) AS accounts FROM billing.sellers AS s ORDER BY 1;
SELECT item, model(tariff) AS model, currency(tariff) AS currency FROM billing.prices ORDER BY 1;
