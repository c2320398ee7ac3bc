-- Tables of cost: what providers charge, as they say it, and what is known about it.  See doc/cost.md for the few ideas behind them.

CREATE TABLE billing.cost_source (
    source_id   int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text NOT NULL UNIQUE CHECK (key <> ''),
    provider    text,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE billing.cost_source IS 'Where cost comes from: one export of a provider, such as the cost report of a payer account.';
COMMENT ON COLUMN billing.cost_source.source_id IS 'The cost source.';
COMMENT ON COLUMN billing.cost_source.provider IS 'aws, azure, gcp, or any other word.';

CREATE TABLE billing.billing_account (
    source_id       int    NOT NULL REFERENCES billing.cost_source,
    billing_account text   NOT NULL CHECK (billing_account <> ''),
    name            text,
    recorded_at     timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by     text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (source_id, billing_account)
);
COMMENT ON TABLE billing.billing_account IS 'A provider''s billing account; who answers for it is in billing_account_center.';
COMMENT ON COLUMN billing.billing_account.source_id IS 'The source that delivers it.';
COMMENT ON COLUMN billing.billing_account.billing_account IS 'BillingAccountId as the provider writes it.';

CREATE TABLE billing.billing_account_center (
    source_id       int    NOT NULL,
    billing_account text   NOT NULL,
    cost_center_id  bigint NOT NULL REFERENCES billing.cost_center,
    valid           daterange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    known           tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by     text   NOT NULL DEFAULT session_user,
    FOREIGN KEY (source_id, billing_account) REFERENCES billing.billing_account,
    EXCLUDE USING gist (source_id WITH =, billing_account WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.billing_account_center IS 'The project or other cost center that answers for a billing account in billing periods that begin on these days; facts. Cost of a period for which nobody answers is not taken in.';
COMMENT ON COLUMN billing.billing_account_center.source_id IS 'The source that delivers it.';
COMMENT ON COLUMN billing.billing_account_center.billing_account IS 'BillingAccountId as the provider writes it.';
COMMENT ON COLUMN billing.billing_account_center.cost_center_id IS 'Who answers for it.';
COMMENT ON COLUMN billing.billing_account_center.valid IS 'First days of the billing periods for which it answers; the last is not included.';

CREATE TABLE billing.cost_window (
    window_id       int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id       int  NOT NULL,
    billing_account text NOT NULL,
    period          daterange NOT NULL CHECK (NOT pg_catalog.isempty(period)),
    FOREIGN KEY (source_id, billing_account) REFERENCES billing.billing_account,
    UNIQUE (source_id, billing_account, period)
);
COMMENT ON TABLE billing.cost_window IS 'A billing period of a billing account: what changes as a whole or not at all.';
COMMENT ON COLUMN billing.cost_window.window_id IS 'The window.';
COMMENT ON COLUMN billing.cost_window.source_id IS 'The source that delivers it.';
COMMENT ON COLUMN billing.cost_window.billing_account IS 'BillingAccountId as the provider writes it.';
COMMENT ON COLUMN billing.cost_window.period IS 'Days of the billing period in UTC; the last is not included.';

CREATE TABLE billing.cost_load (
    load_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id   int    NOT NULL REFERENCES billing.cost_source,
    period      daterange NOT NULL,
    complete    boolean NOT NULL,
    outcome     text   NOT NULL CHECK (outcome IN ('collected', 'refused', 'unchanged', 'changed')),
    delivered   bigint NOT NULL,
    added       bigint NOT NULL DEFAULT 0,
    removed     bigint NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text   NOT NULL DEFAULT session_user
);
COMMENT ON TABLE billing.cost_load IS 'One call of import_focus() and what came of it. Append-only.';
COMMENT ON COLUMN billing.cost_load.load_id IS 'The load.';
COMMENT ON COLUMN billing.cost_load.source_id IS 'The source that delivered.';
COMMENT ON COLUMN billing.cost_load.period IS 'The billing periods that the load was about.';
COMMENT ON COLUMN billing.cost_load.complete IS 'True: with this call the delivery is whole. False: a part, set aside until the rest has come.';
COMMENT ON COLUMN billing.cost_load.outcome IS 'collected (a part was set aside), refused (a fatal finding; nothing changed), unchanged, changed.';
COMMENT ON COLUMN billing.cost_load.delivered IS 'Rows of the delivery, earlier parts included.';
COMMENT ON COLUMN billing.cost_load.added IS 'Rows that are new or came back.';
COMMENT ON COLUMN billing.cost_load.removed IS 'Rows that the provider no longer reports; they stay readable as known before.';

CREATE TABLE billing.cost_window_load (
    window_id int    NOT NULL REFERENCES billing.cost_window,
    load_id   bigint NOT NULL REFERENCES billing.cost_load,
    delivered bigint NOT NULL,
    added     bigint NOT NULL,
    removed   bigint NOT NULL,
    PRIMARY KEY (window_id, load_id)
);
COMMENT ON TABLE billing.cost_window_load IS 'What a complete load did to each window; the newest says how fresh the window is. Append-only.';
COMMENT ON COLUMN billing.cost_window_load.window_id IS 'The window.';
COMMENT ON COLUMN billing.cost_window_load.load_id IS 'The load, see cost_load.';
COMMENT ON COLUMN billing.cost_window_load.delivered IS 'Rows of the window in the delivery.';
COMMENT ON COLUMN billing.cost_window_load.added IS 'Rows that are new.';
COMMENT ON COLUMN billing.cost_window_load.removed IS 'Rows that the provider no longer reports.';

CREATE TABLE billing.tag_set (
    tag_set_id int   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivered  jsonb NOT NULL,
    tags       jsonb NOT NULL
);
CREATE UNIQUE INDEX tag_set_delivered ON billing.tag_set (pg_catalog.md5(delivered::text));
COMMENT ON TABLE billing.tag_set IS 'Each distinct set of tags on cost rows, once: as delivered, and with keys made alike by the rules in tag_key_rule.';
COMMENT ON COLUMN billing.tag_set.tag_set_id IS 'The tag set.';
COMMENT ON COLUMN billing.tag_set.delivered IS 'Tags as the provider wrote them.';
COMMENT ON COLUMN billing.tag_set.tags IS 'Tags under their normalised keys; of two that become one the first in byte order of its delivered key holds.';

CREATE TABLE billing.tag_set_former (
    tag_set_id int   NOT NULL REFERENCES billing.tag_set,
    tags       jsonb NOT NULL,
    known      tstzrange NOT NULL,
    recorded_by text NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (tag_set_id WITH =, known WITH &&)
);
COMMENT ON TABLE billing.tag_set_former IS 'Tags of a tag set under the normalised keys of former rules: what was divided then can still be read as it was. Append-only.';
COMMENT ON COLUMN billing.tag_set_former.tag_set_id IS 'The tag set.';
COMMENT ON COLUMN billing.tag_set_former.tags IS 'Its tags as they were.';
COMMENT ON COLUMN billing.tag_set_former.known IS 'When they were so.';
COMMENT ON COLUMN billing.tag_set_former.recorded_by IS 'Who changed the rules.';

CREATE TABLE billing.tag_key_rule (
    place       int  PRIMARY KEY,
    pattern     text NOT NULL CHECK (pg_catalog.length(pattern) BETWEEN 1 AND 200),
    replacement text NOT NULL DEFAULT ''
);
COMMENT ON TABLE billing.tag_key_rule IS 'How keys of tags are made alike: each regular expression is replaced in order; before that keys are trimmed and put in lower case.';
COMMENT ON COLUMN billing.tag_key_rule.place IS 'Order of application.';
COMMENT ON COLUMN billing.tag_key_rule.pattern IS 'Regular expression on the key in lower case.';
COMMENT ON COLUMN billing.tag_key_rule.replacement IS 'What comes in its place; empty = nothing.';
INSERT INTO billing.tag_key_rule (place, pattern, replacement) VALUES (1, '^(user|aws|azure|gcp|oci)[:/]', ''), (2, '^(app[.])?kubernetes[.]io/', ''), (3, '[ -]+', '_');

CREATE TABLE billing.cost (
    cost_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    window_id    int    NOT NULL,
    row_key      uuid   NOT NULL,
    ordinal      int    NOT NULL,
    load_id      bigint NOT NULL,
    known        tstzrange NOT NULL,
    charge_start timestamptz NOT NULL,
    charge_end   timestamptz NOT NULL,
    category     text,
    service      text,
    provider     text,
    sub_account  text,
    resource     text,
    currency     text   NOT NULL,
    billed       numeric NOT NULL,
    effective    numeric,
    list         numeric,
    contracted   numeric,
    tag_set_id   int,
    attributes   jsonb  NOT NULL
);
CREATE UNIQUE INDEX cost_row ON billing.cost (window_id, row_key, ordinal) WHERE pg_catalog.upper_inf(known);
CREATE INDEX cost_resource ON billing.cost (resource) WHERE resource IS NOT NULL;
COMMENT ON TABLE billing.cost IS 'One row a charge of a provider, in FOCUS terms; facts. A restatement closes known of the rows that are gone and adds the new ones; rows that are delivered again stay as they are.';
COMMENT ON COLUMN billing.cost.cost_id IS 'The cost row.';
COMMENT ON COLUMN billing.cost.window_id IS 'Its window, see cost_window.';
COMMENT ON COLUMN billing.cost.row_key IS 'First 128 bits of the SHA-256 of all its columns as delivered, amounts without zeros at their end: with ordinal its identity within the window.';
COMMENT ON COLUMN billing.cost.ordinal IS 'Its number among equal rows of one delivery, from 1.';
COMMENT ON COLUMN billing.cost.load_id IS 'The load that brought it, see cost_load.';
COMMENT ON COLUMN billing.cost.charge_start IS 'ChargePeriodStart.';
COMMENT ON COLUMN billing.cost.charge_end IS 'ChargePeriodEnd.';
COMMENT ON COLUMN billing.cost.category IS 'ChargeCategory.';
COMMENT ON COLUMN billing.cost.service IS 'ServiceName.';
COMMENT ON COLUMN billing.cost.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.cost.sub_account IS 'SubAccountId.';
COMMENT ON COLUMN billing.cost.resource IS 'ResourceId.';
COMMENT ON COLUMN billing.cost.currency IS 'BillingCurrency.';
COMMENT ON COLUMN billing.cost.billed IS 'BilledCost: what is invoiced (cash).';
COMMENT ON COLUMN billing.cost.effective IS 'EffectiveCost: with prepaid commitments spread over their use (amortised); null = not given.';
COMMENT ON COLUMN billing.cost.list IS 'ListCost: at list prices; null = not given.';
COMMENT ON COLUMN billing.cost.contracted IS 'ContractedCost: at negotiated prices; null = not given.';
COMMENT ON COLUMN billing.cost.tag_set_id IS 'Its tags, see tag_set; null = none.';
COMMENT ON COLUMN billing.cost.attributes IS 'All other columns as delivered, FOCUS and the provider''s own.';

-- One column for each of FOCUS, as text; a provider may deliver any other beside them.
DO $$
BEGIN
    EXECUTE (SELECT pg_catalog.format('CREATE TABLE billing.cost_staged (source_id int NOT NULL, period daterange NOT NULL, part int NOT NULL, row_no bigint NOT NULL, %s, more jsonb)',
                                      pg_catalog.string_agg(pg_catalog.format('%I text', f.name), ', ' ORDER BY f.position)) FROM billing.focus_columns() AS f);
    EXECUTE (SELECT pg_catalog.string_agg(pg_catalog.format('COMMENT ON COLUMN billing.cost_staged.%I IS %L', f.name, pg_catalog.concat(f.name, ' as delivered.')), '; ') FROM billing.focus_columns() AS f);
END $$;
COMMENT ON TABLE billing.cost_staged IS 'Rows of a delivery on their way in, and parts that wait for the rest of it.';
COMMENT ON COLUMN billing.cost_staged.source_id IS 'The source that delivers.';
COMMENT ON COLUMN billing.cost_staged.period IS 'The billing periods that the delivery is about.';
COMMENT ON COLUMN billing.cost_staged.part IS 'The part of the delivery that brought it, see cost_part.';
COMMENT ON COLUMN billing.cost_staged.row_no IS 'Number of the row in its part.';
COMMENT ON COLUMN billing.cost_staged.more IS 'The other columns of the row, without those that are null.';

CREATE TABLE billing.cost_part (
    source_id int NOT NULL REFERENCES billing.cost_source,
    period    daterange NOT NULL,
    part      int NOT NULL CHECK (part > 0),
    rows      bigint,
    digest    numeric,
    PRIMARY KEY (source_id, period, part)
);
COMMENT ON TABLE billing.cost_part IS 'Parts of a delivery that are set aside until the rest has come.';
COMMENT ON COLUMN billing.cost_part.source_id IS 'The source that delivers.';
COMMENT ON COLUMN billing.cost_part.period IS 'The billing periods that the delivery is about.';
COMMENT ON COLUMN billing.cost_part.part IS 'Number of the part.';
COMMENT ON COLUMN billing.cost_part.rows IS 'Its rows.';
COMMENT ON COLUMN billing.cost_part.digest IS 'Sum of a hash of each row, whatever their order: a part that is sent twice is seen.';

CREATE TABLE billing.cost_finding (
    load_id      bigint NOT NULL REFERENCES billing.cost_load,
    finding_no   int    NOT NULL,
    severity     text   NOT NULL CHECK (severity IN ('fatal', 'error', 'warning')),
    rule         text   NOT NULL,
    focus_column text,
    row_no       bigint,
    value        text,
    message      text   NOT NULL,
    affected     bigint NOT NULL,
    PRIMARY KEY (load_id, finding_no)
);
COMMENT ON TABLE billing.cost_finding IS 'Where a delivery breaks the rules of FOCUS: the first hundred rows of each rule, with how many there are in all. Append-only.';
COMMENT ON COLUMN billing.cost_finding.load_id IS 'The load, see cost_load.';
COMMENT ON COLUMN billing.cost_finding.finding_no IS 'Number of the finding in its load.';
COMMENT ON COLUMN billing.cost_finding.severity IS 'fatal (the load was refused), error, warning.';
COMMENT ON COLUMN billing.cost_finding.rule IS 'The rule, see focus_rules().';
COMMENT ON COLUMN billing.cost_finding.focus_column IS 'The column that is wrong.';
COMMENT ON COLUMN billing.cost_finding.row_no IS 'Number of the row in the delivery.';
COMMENT ON COLUMN billing.cost_finding.value IS 'What stands there; null = nothing.';
COMMENT ON COLUMN billing.cost_finding.message IS 'What the rule asks.';
COMMENT ON COLUMN billing.cost_finding.affected IS 'How many rows of the delivery break this rule.';

CREATE TABLE billing.required_tag (
    tag text PRIMARY KEY CHECK (tag <> '')
);
COMMENT ON TABLE billing.required_tag IS 'Tags that every cost row with a resource should carry.';
COMMENT ON COLUMN billing.required_tag.tag IS 'Normalised key of the tag.';
INSERT INTO billing.required_tag (tag) VALUES ('project'), ('department'), ('owner'), ('environment');

CREATE TABLE billing.auto_tag_rule (
    key         text  NOT NULL CHECK (key <> ''),
    place       int   NOT NULL,
    tag         text  NOT NULL CHECK (tag <> ''),
    value       text,
    value_from  text  CHECK (value_from ~ '^(column|tag):.'),
    condition   jsonb NOT NULL,
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text  NOT NULL DEFAULT session_user,
    CHECK ((value IS NULL) <> (value_from IS NULL)),
    EXCLUDE USING gist (key WITH =, known WITH &&)
);
COMMENT ON TABLE billing.auto_tag_rule IS 'Rules that give cost rows a tag which neither the provider nor a person gave them; facts.';
COMMENT ON COLUMN billing.auto_tag_rule.place IS 'Order: of two rules for the same tag the first that applies holds.';
COMMENT ON COLUMN billing.auto_tag_rule.tag IS 'Normalised key of the tag it gives.';
COMMENT ON COLUMN billing.auto_tag_rule.value IS 'The value it gives; null = value_from.';
COMMENT ON COLUMN billing.auto_tag_rule.value_from IS 'The column (column:NAME) or tag (tag:NAME) whose value it gives; column:CostCenter is the cost center of the billing account.';
COMMENT ON COLUMN billing.auto_tag_rule.condition IS 'Which rows, see condition_sql().';

CREATE TABLE billing.exchange_rate (
    from_currency text NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
    to_currency   text NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
    valid         daterange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    rate          numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
    source        text,
    known         tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by   text NOT NULL DEFAULT session_user,
    CHECK (from_currency <> to_currency),
    EXCLUDE USING gist (from_currency WITH =, to_currency WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.exchange_rate IS 'Exchange rates by day, for reports in one currency; facts.';
COMMENT ON COLUMN billing.exchange_rate.from_currency IS 'Currency that is converted, ISO 4217.';
COMMENT ON COLUMN billing.exchange_rate.to_currency IS 'Currency that it becomes, ISO 4217.';
COMMENT ON COLUMN billing.exchange_rate.valid IS 'Days on which the rate holds; the last is not included.';
COMMENT ON COLUMN billing.exchange_rate.rate IS 'How much of to_currency one unit of from_currency is.';
COMMENT ON COLUMN billing.exchange_rate.source IS 'Where the rate comes from.';
