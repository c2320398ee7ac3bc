-- The seller, its two meters with graduated prices, the 60 tenants, and the files as a table.
\set QUIET on
\o /dev/null
SET client_min_messages = warning;
CALL billing.maintain_partitions('[2023-11-01,2023-12-01)');
BEGIN;
SELECT billing.set_seller('inference', legal_name => 'Inference B.V.', country => 'NL', currency => 'EUR', time_zone => 'Europe/Amsterdam',
                          address => '{"line_1": "Kade 7", "city": "Amsterdam", "post_code": "1011 AA"}');
SELECT billing.set_meter('context_tokens', unit => 'token', aggregation => 'sum', dimensions => '{product}', seller => 'inference', name => 'Context tokens');
SELECT billing.set_meter('generated_tokens', unit => 'token', aggregation => 'sum', dimensions => '{product}', seller => 'inference', name => 'Generated tokens');
SELECT billing.set_price('context_tokens', '{"model": "graduated", "currency": "EUR", "tiers": [
    {"up_to": "250000", "unit_price": "0.0000025"}, {"up_to": "350000", "unit_price": "0.000002"}, {"unit_price": "0.00000137"}]}', valid_from => '2023-01-01', seller => 'inference');
SELECT billing.set_price('generated_tokens', '{"model": "graduated", "currency": "EUR", "tiers": [
    {"up_to": "4000", "unit_price": "0.0000101"}, {"up_to": "60000", "unit_price": "0.0000095"}, {"unit_price": "0.00000833", "flat": "0.05"}]}', valid_from => '2023-01-01', seller => 'inference');
SELECT billing.set_account('tenant-' || to_char(n, 'FM00'), currency => 'EUR', time_zone => 'Europe/Amsterdam', seller => 'inference', starts_on => '2023-11-01',
                           legal_name => 'Tenant ' || n || ' B.V.', country => 'NL')
  FROM generate_series(1, 60) AS n;
COMMIT;

CREATE TEMPORARY TABLE llm_request (product text, number bigint GENERATED ALWAYS AS IDENTITY, at timestamp, context_tokens bigint, generated_tokens bigint, late boolean);
\set here `pwd`
\cd :folder
\copy llm_request (at, context_tokens, generated_tokens) FROM 'AzureLLMInferenceTrace_conv.csv' (FORMAT csv, HEADER)
UPDATE llm_request SET product = 'conversation', late = number / 60 % 10 = 7;
ALTER TABLE llm_request ALTER COLUMN number RESTART;
\copy llm_request (at, context_tokens, generated_tokens) FROM 'AzureLLMInferenceTrace_code.csv' (FORMAT csv, HEADER)
UPDATE llm_request SET product = 'code', late = number / 60 % 10 = 7 WHERE product IS NULL;
\cd :here
\o
\unset QUIET
