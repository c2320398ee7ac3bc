-- Tables of what is owed, drafted, billed, held and decided.
--
-- A charge key is (account, period, agreement, item or subscription, group, component): the identity of everything that can be owed.
-- account_id leads every key, so that the tables can be distributed by account.

CREATE TABLE billing.account_calendar (
    account_id bigint PRIMARY KEY,
    period_no  int    NOT NULL,
    date_to    date   NOT NULL,
    ends_at    timestamptz NOT NULL,
    next_date_to date NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX account_calendar_date_to ON billing.account_calendar (date_to);
CREATE INDEX account_calendar_next_date_to ON billing.account_calendar (next_date_to);
COMMENT ON TABLE billing.account_calendar IS 'The last stored charge period of each account, so that missing periods are found without reading them all.';
COMMENT ON COLUMN billing.account_calendar.next_date_to IS 'Not after the end of the period that follows; looked at again when the account''s settings change.';

CREATE TABLE billing.charge_period (
    account_id    bigint NOT NULL,
    period_no     int    NOT NULL,
    date_from     date   NOT NULL,
    date_to       date   NOT NULL,
    full_from     date   NOT NULL,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    time_zone     text   NOT NULL,
    due_at        timestamptz NOT NULL,
    interim_to    date,
    advance_known_at timestamptz,
    advance_pinned_at timestamptz,
    advance_pinned_own timestamptz,
    looked_known_at timestamptz,
    looked_own_at   timestamptz,
    closed_known_at timestamptz,
    closed_own_at   timestamptz,
    rating_version int,
    sealed_at     timestamptz,
    PRIMARY KEY (account_id, period_no),
    UNIQUE (account_id, date_from),
    CHECK (date_from < date_to AND full_from <= date_from AND starts_at < ends_at)
) WITH (fillfactor = 80);
CREATE INDEX charge_period_unlooked ON billing.charge_period (date_from) WHERE looked_known_at IS NULL;
COMMENT ON TABLE billing.charge_period IS 'Half-open span that charges cover; stored when first needed, borders frozen then. Periods of an account tile without holes.';
COMMENT ON COLUMN billing.charge_period.full_from IS 'Start of the nominal period that ends at date_to; a shorter (stub) period is prorated against it.';
COMMENT ON COLUMN billing.charge_period.time_zone IS 'Zone in force when the period was stored; date_to is midnight there.';
COMMENT ON COLUMN billing.charge_period.due_at IS 'When arrears fall due: the end plus the account''s grace.';
COMMENT ON COLUMN billing.charge_period.interim_to IS 'Greatest day up to which the running period was billed progressively.';
COMMENT ON COLUMN billing.charge_period.advance_known_at IS 'Watermark of the last run that looked at the fees due at the period''s start; null = not yet due.';
COMMENT ON COLUMN billing.charge_period.advance_pinned_at IS 'The pin of fees in advance that were billed before the period fell due: their prices and agreements are read as known at this instant; set when the first of them is finalised.';
COMMENT ON COLUMN billing.charge_period.advance_pinned_own IS 'Stamp of the caller''s own facts that the pin of fees in advance counts too.';
COMMENT ON COLUMN billing.charge_period.looked_known_at IS 'Watermark of the last run that rated the whole period; null = not yet due. Later runs look only at periods that new facts touch.';
COMMENT ON COLUMN billing.charge_period.looked_own_at IS 'Stamp of facts after the watermark that count too, because bill_account() has billed them inside their own transaction; null once the watermark has passed them.';
COMMENT ON COLUMN billing.charge_period.closed_known_at IS 'The pin: catalog, agreements, calendar and reference data of this period are read as known at this instant; set when its first invoice is finalised.';
COMMENT ON COLUMN billing.charge_period.closed_own_at IS 'Stamp of the caller''s own facts that the pin counts too.';
COMMENT ON COLUMN billing.charge_period.rating_version IS 'Version of the rating rules that billed the period; a difference caused by another version is never billed.';
COMMENT ON COLUMN billing.charge_period.sealed_at IS 'When seal_period() closed the period for good; null = it can still be corrected.';

CREATE TABLE billing.charge_key (
    account_id      bigint NOT NULL,
    key_id          bigint GENERATED ALWAYS AS IDENTITY,
    period_no       int    NOT NULL,
    agreement_id    int    NOT NULL,
    item_id         int    NOT NULL,
    subscription_id bigint NOT NULL DEFAULT 0,
    consumer_id     bigint NOT NULL,
    charge_group    jsonb  NOT NULL DEFAULT '{}',
    component       text   NOT NULL CHECK (component IN ('fee', 'usage', 'discount', 'minimum', 'account_discount', 'commitment')),
    looked_owed     billing.monetary,
    frozen_at       timestamptz,
    PRIMARY KEY (account_id, key_id),
    UNIQUE (account_id, period_no, agreement_id, item_id, subscription_id, consumer_id, charge_group, component),
    FOREIGN KEY (account_id, period_no) REFERENCES billing.charge_period
);
CREATE INDEX charge_key_number ON billing.charge_key (key_id);
COMMENT ON TABLE billing.charge_key IS 'The identity of everything that can be owed.';
COMMENT ON COLUMN billing.charge_key.account_id IS 'The buyer.';
COMMENT ON COLUMN billing.charge_key.consumer_id IS 'Whose usage it is; the buyer itself unless the agreement charges for another account.';
COMMENT ON COLUMN billing.charge_key.charge_group IS 'The dimensions (and resource) of the meter that make a line of their own.';
COMMENT ON COLUMN billing.charge_key.component IS 'What of the item is charged: its fee, its usage, a discount on it, …';
COMMENT ON COLUMN billing.charge_key.looked_owed IS 'What the last run found owed, rounded; tells the effect of a new rating version from that of new facts.';
COMMENT ON COLUMN billing.charge_key.frozen_at IS 'Since when nothing is billed or corrected for this key, whatever the cause.';

CREATE TABLE billing.decision (
    account_id  bigint NOT NULL,
    decision_id bigint GENERATED ALWAYS AS IDENTITY,
    key_id      bigint NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('goodwill', 'dispute', 'waived', 'ignored', 'frozen', 'unfrozen')),
    cause       text   CHECK (cause IN ('usage', 'subscription', 'price', 'plan', 'discount', 'reference_data', 'fx', 'tax', 'engine')),
    amount      billing.monetary NOT NULL,
    reason      text   NOT NULL CHECK (reason <> ''),
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (account_id, decision_id),
    FOREIGN KEY (account_id, key_id) REFERENCES billing.charge_key,
    CHECK ((kind = 'ignored') = (cause IS NOT NULL)),
    CHECK (kind NOT IN ('frozen', 'unfrozen') OR billing.amount(amount) = 0)
);
CREATE INDEX decision_key ON billing.decision (account_id, key_id);
CREATE INDEX decision_recorded ON billing.decision (recorded_at);
COMMENT ON TABLE billing.decision IS 'Approved statements about a charge key that are not a matter of rating; added to what is owed. Append-only.';
COMMENT ON COLUMN billing.decision.kind IS 'goodwill: a gift. waived: given up. dispute: its result. ignored: written by a run for a correction policy. frozen, unfrozen: of amount 0, when and why the charge was put on hold and released.';
COMMENT ON COLUMN billing.decision.cause IS 'Of kind ignored: the cause whose difference is ignored.';

CREATE TABLE billing.run (
    run_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    procedure   text   NOT NULL,
    through     date,
    known_at    timestamptz,
    own_at      timestamptz,
    state       text   NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'done_with_errors', 'failed', 'abandoned')),
    step        text,
    counts      jsonb  NOT NULL DEFAULT '{}',
    errors      bigint NOT NULL DEFAULT 0,
    failure     text,
    backend_pid int    DEFAULT pg_catalog.pg_backend_pid(),
    started_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at timestamptz,
    started_by  text   NOT NULL DEFAULT session_user,
    watermark_held_by jsonb
);
COMMENT ON TABLE billing.run IS 'One row an execution of a procedure: its watermark, progress, counts and errors.';
COMMENT ON COLUMN billing.run.known_at IS 'The watermark: facts recorded before it count.';
COMMENT ON COLUMN billing.run.own_at IS 'Stamp of the caller''s own facts, counted too when billing ran inside the caller''s transaction.';
COMMENT ON COLUMN billing.run.watermark_held_by IS 'Sessions that were recording when the watermark was read, whose facts the run could not count; null = none. See recording_now().';

CREATE TABLE billing.run_error (
    run_id     bigint NOT NULL REFERENCES billing.run,
    error_no   bigint GENERATED ALWAYS AS IDENTITY,
    account_id bigint,
    period_no  int,
    agreement_id int,
    item_id    int,
    charge_group jsonb,
    reason     text NOT NULL,
    sqlstate   text,
    detail     text NOT NULL,
    PRIMARY KEY (run_id, error_no)
);
COMMENT ON TABLE billing.run_error IS 'What a run could not bill, and why.';

CREATE TABLE billing.pending (
    account_id bigint NOT NULL,
    period_no  int    NOT NULL,
    reason     text   NOT NULL,
    detail     text,
    run_id     bigint NOT NULL,
    PRIMARY KEY (account_id, period_no)
);
COMMENT ON TABLE billing.pending IS 'Periods with a charge key that could not be rated; every run looks at them again.';

CREATE TABLE billing.draft_line (
    account_id     bigint NOT NULL,
    key_id         bigint NOT NULL,
    agreement_id   int    NOT NULL,
    interim        boolean NOT NULL,
    correction     boolean NOT NULL,
    amount         billing.monetary NOT NULL,
    booked_before  billing.monetary NOT NULL,
    chain_no       int    NOT NULL,
    owed           billing.monetary,
    decided        billing.monetary,
    causes         jsonb  NOT NULL DEFAULT '{}',
    quantity       numeric,
    unit_price     numeric,
    price_ids      bigint[],
    tax_code       text,
    rounding       text,
    proration      text,
    known_at       timestamptz NOT NULL,
    own_at         timestamptz,
    interim_to     date,
    rating_version int    NOT NULL,
    run_id         bigint NOT NULL,
    PRIMARY KEY (account_id, key_id)
);
COMMENT ON TABLE billing.draft_line IS 'What the last run wants to bill: one row a charge key, replaced by each run that looks at the key, gone when nothing is left to bill.';
COMMENT ON COLUMN billing.draft_line.rounding IS 'How what is owed was rounded: the rule (sum, line or detail), and the mode.';
COMMENT ON COLUMN billing.draft_line.proration IS 'Rule of prorate() by which the fee is charged for its days; null for usage.';
COMMENT ON COLUMN billing.draft_line.amount IS 'Owed plus decisions less booked.';
COMMENT ON COLUMN billing.draft_line.causes IS 'Parts of a correction by cause: {"usage": "1.20"}.';

CREATE TABLE billing.held (
    account_id bigint NOT NULL,
    key_id     bigint NOT NULL,
    cause      text   NOT NULL,
    amount     billing.monetary NOT NULL,
    run_id     bigint NOT NULL,
    PRIMARY KEY (account_id, key_id, cause),
    FOREIGN KEY (account_id, key_id) REFERENCES billing.charge_key
);
COMMENT ON TABLE billing.held IS 'Differences of closed periods that wait for approval, computed anew whenever their key is looked at.';

CREATE TABLE billing.sealed_owed (
    account_id bigint NOT NULL,
    key_id     bigint NOT NULL,
    owed       billing.monetary NOT NULL,
    PRIMARY KEY (account_id, key_id),
    FOREIGN KEY (account_id, key_id) REFERENCES billing.charge_key
);
COMMENT ON TABLE billing.sealed_owed IS 'What each key of a sealed period owes for good: booked less decisions when it was sealed.';

-- ---------------------------------------------------------------- final documents: insert-only

CREATE TABLE billing.number_series (
    seller_id   int  NOT NULL REFERENCES billing.seller,
    type        text NOT NULL CHECK (type IN ('380', '381')),
    series      text NOT NULL DEFAULT '',
    prefix      text NOT NULL DEFAULT '',
    digits      smallint NOT NULL DEFAULT 6 CHECK (digits BETWEEN 1 AND 18),
    last_number bigint NOT NULL DEFAULT 0 CHECK (last_number BETWEEN 0 AND 4e15),
    last_issue_date date NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (seller_id, type, series)
);
COMMENT ON TABLE billing.number_series IS 'Counters of invoice numbers: without gaps and never decreasing with the issue date, per seller, type and series.';

CREATE TABLE billing.invoice (
    invoice_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller_id     int    NOT NULL REFERENCES billing.seller,
    payer_id      bigint NOT NULL REFERENCES billing.account,
    invoice_group_id bigint NOT NULL REFERENCES billing.invoice_group,
    type          text   NOT NULL CHECK (type IN ('380', '381')),
    series        text   NOT NULL,
    number        text   NOT NULL,
    issue_date    date   NOT NULL,
    tax_point_date date  NOT NULL,
    posting_period date  NOT NULL CHECK (posting_period = pg_catalog.date_trunc('month', posting_period)),
    due_date      date   NOT NULL,
    currency      text   NOT NULL,
    total_without_tax billing.monetary NOT NULL,
    tax_total     billing.monetary NOT NULL,
    total         billing.monetary NOT NULL,
    cancels_id    bigint UNIQUE REFERENCES billing.invoice,
    corrects_ids  bigint[] NOT NULL DEFAULT '{}',
    seller_copy   jsonb  NOT NULL,
    buyer_copy    jsonb  NOT NULL,
    purchase_order text,
    buyer_reference text,
    language      text   NOT NULL,
    known_at      timestamptz NOT NULL,
    run_id        bigint NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recorded_by   text   NOT NULL DEFAULT session_user,
    is_credit_note boolean GENERATED ALWAYS AS (type = '381') STORED,
    CHECK (total OPERATOR(billing.=) (total_without_tax OPERATOR(billing.+) tax_total))
);
CREATE INDEX invoice_payer ON billing.invoice (payer_id);
COMMENT ON TABLE billing.invoice IS 'Final invoices (UNCL 1001 type 380) and credit notes (381); rows never change.';
COMMENT ON COLUMN billing.invoice.corrects_ids IS 'Earlier invoices that this one refers to (BG-3): of each charge that it continues the document before, and all those whose lines it takes back.';
COMMENT ON COLUMN billing.invoice.is_credit_note IS 'Whether the type is 381. Generated, so that it can be set to nothing else: the one column that the owner may update, which the key checks of its lines need.';
COMMENT ON COLUMN billing.invoice.seller_copy IS 'Names and addresses of the seller as they were.';
COMMENT ON COLUMN billing.invoice.buyer_copy IS 'Names and addresses of the payer as they were.';

CREATE TABLE billing.invoice_number (
    seller_id   int    NOT NULL,
    type        text   NOT NULL,
    series      text   NOT NULL,
    counter     bigint NOT NULL,
    number      text   NOT NULL,
    invoice_id  bigint NOT NULL UNIQUE REFERENCES billing.invoice,
    PRIMARY KEY (seller_id, type, series, counter),
    UNIQUE (seller_id, number)
);
COMMENT ON TABLE billing.invoice_number IS 'Every number drawn; what makes numbers unique.';

CREATE TABLE billing.line (
    line_id       bigint GENERATED ALWAYS AS IDENTITY,
    account_id    bigint NOT NULL,
    key_id        bigint NOT NULL,
    chain_no      int    NOT NULL CHECK (chain_no > 0),
    booked_before billing.monetary NOT NULL,
    amount        billing.monetary NOT NULL,
    booked_after  billing.monetary NOT NULL,
    prev_no       int    GENERATED ALWAYS AS (NULLIF(chain_no - 1, 0)) STORED,
    invoice_id    bigint NOT NULL REFERENCES billing.invoice,
    line_no       int    NOT NULL,
    kind          text   NOT NULL CHECK (kind IN ('charge', 'interim', 'correction', 'cancellation', 'void')),
    stage         smallint NOT NULL,
    causes        jsonb  NOT NULL DEFAULT '{}',
    corrects_invoice_id bigint REFERENCES billing.invoice,
    seller_id     int    NOT NULL,
    period_from   date   NOT NULL,
    period_to     date   NOT NULL,
    item_key      text   NOT NULL,
    item_name     text   NOT NULL,
    account_key   text   NOT NULL,
    consumer_key  text   NOT NULL,
    charge_group  jsonb  NOT NULL DEFAULT '{}',
    quantity      numeric,
    unit          text,
    unit_price    numeric,
    price_ids     bigint[],
    rounding      text,
    proration     text,
    owed          billing.monetary,
    decided       billing.monetary,
    tax_code      text,
    tax_category  text   NOT NULL DEFAULT 'O',
    tax_rate      numeric NOT NULL DEFAULT 0,
    tax_exemption_code   text,
    tax_exemption_reason text,
    tax_point_date date  NOT NULL,
    known_at      timestamptz NOT NULL,
    own_at        timestamptz,
    interim_to    date,
    rating_version int   NOT NULL,
    run_id        bigint NOT NULL,
    PRIMARY KEY (account_id, key_id, chain_no),
    UNIQUE (account_id, key_id, chain_no, booked_after),
    FOREIGN KEY (account_id, key_id, prev_no, booked_before)
        REFERENCES billing.line (account_id, key_id, chain_no, booked_after),
    FOREIGN KEY (account_id, key_id) REFERENCES billing.charge_key,
    CHECK (booked_after OPERATOR(billing.=) (booked_before OPERATOR(billing.+) amount)),
    CHECK (chain_no > 1 OR billing.amount(booked_before) = 0)
);
CREATE UNIQUE INDEX line_line_id ON billing.line (line_id);
CREATE INDEX line_invoice ON billing.line (invoice_id);
COMMENT ON TABLE billing.line IS 'Final invoice lines; rows never change. The lines of a charge key form a chain from 0 that cannot fork: each link starts from the sum at which the one before it ended.';
COMMENT ON COLUMN billing.line.stage IS 'Stage of the price build-up: 1 fee or usage, 4 item discount, 5 item minimum, 6 account discount, 7 commitment, 8 tax, 9 settlement.';
COMMENT ON COLUMN billing.line.rounding IS 'How what is owed was rounded: the rule, and the mode. sum: once, as the account rounds; line: each price by itself; detail: each part of each price.';
COMMENT ON COLUMN billing.line.proration IS 'Rule of prorate() by which the fee was charged for its days; null for usage.';
COMMENT ON COLUMN billing.line.corrects_invoice_id IS 'Invoice of the link before, for corrections.';

CREATE TABLE billing.invoice_tax (
    invoice_id  bigint NOT NULL REFERENCES billing.invoice,
    group_no    int    NOT NULL,
    category    text   NOT NULL,
    rate        numeric NOT NULL,
    tax_code    text,
    exemption_code   text,
    exemption_reason text,
    taxable     billing.monetary NOT NULL,
    tax         billing.monetary NOT NULL,
    PRIMARY KEY (invoice_id, group_no)
);
COMMENT ON TABLE billing.invoice_tax IS 'Tax of an invoice by code, category, rate and exemption (EN 16931 BG-23): the sum of a group''s lines times its rate, rounded once.';

CREATE TABLE billing.invoice_event (
    invoice_id  bigint NOT NULL REFERENCES billing.invoice,
    event_no    int    NOT NULL,
    event       text   NOT NULL CHECK (event IN ('finalized', 'delivered', 'voided', 'cancelled')),
    detail      jsonb  NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (invoice_id, event_no)
);
CREATE UNIQUE INDEX invoice_event_once ON billing.invoice_event (invoice_id, event);
CREATE INDEX invoice_event_recorded ON billing.invoice_event (recorded_at);
COMMENT ON TABLE billing.invoice_event IS 'What happened to an invoice after it was made final; its state is its last event.';
