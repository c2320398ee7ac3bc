-- Requests to language models (:folder/AzureLLMInferenceTrace_{conv,code}.csv) as usage of 60 tenants.
--
-- The files name no customer: request n of a file belongs to tenant 1 + n mod 60.  Every request is usage on two meters; each tenth
-- arrives only after November was billed (llm_requests_late.sql).
\ir llm_requests_catalog.sql
\echo Requests read, on time and late:
SELECT product, count(*) FILTER (WHERE NOT late) AS on_time, count(*) FILTER (WHERE late) AS late,
       sum(context_tokens) AS context_tokens, sum(generated_tokens) AS generated_tokens
  FROM llm_request GROUP BY product ORDER BY product;
\set late false
\ir llm_requests_load.sql
\ir llm_requests_late.sql
