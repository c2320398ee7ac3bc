-- Tables of the ledger: who sells, who buys, what is counted, what it costs.
--
-- Facts are append-only.  A fact that later facts supersede carries the span during which it was believed ("known"); closing that
-- span is the one permitted update.  Instants are stamped by billing.recorded_at(), see 05_state.sql.

-- ---------------------------------------------------------------- sellers and accounts

CREATE TABLE billing.seller (
    seller_id   int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text NOT NULL UNIQUE CHECK (key <> ''),
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE billing.seller IS 'Legal entity that issues invoices; what it is called and where it sits is in seller_setting.';

CREATE TABLE billing.seller_setting (
    seller_id        int  NOT NULL REFERENCES billing.seller,
    setting_no       int  NOT NULL CHECK (setting_no > 0),
    legal_name       text NOT NULL,
    country          text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    time_zone        text NOT NULL DEFAULT 'UTC',
    address          jsonb,
    tax_ids          jsonb,
    endpoint_id      text,
    default_tax_code text,
    payment_days     int  NOT NULL DEFAULT 14 CHECK (payment_days BETWEEN 0 AND 3653),
    recorded_at      timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by      text NOT NULL DEFAULT session_user,
    PRIMARY KEY (seller_id, setting_no)
);
COMMENT ON TABLE billing.seller_setting IS 'Facts about a seller; the greatest setting_no known at an instant holds.';

CREATE TABLE billing.account (
    account_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text NOT NULL UNIQUE CHECK (key <> ''),
    starts_on   date,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE billing.account IS 'Who consumes and who is charged; everything that may change is in account_setting.';
COMMENT ON COLUMN billing.account.starts_on IS 'First day that can be billed; null = the cycle that holds its first fact.';

CREATE TABLE billing.account_setting (
    account_id      bigint NOT NULL REFERENCES billing.account,
    setting_no      int    NOT NULL CHECK (setting_no > 0),
    from_date       date   NOT NULL DEFAULT '-infinity',
    parent_id       bigint REFERENCES billing.account,
    currency        text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    time_zone       text   NOT NULL,
    cycle_day       smallint NOT NULL CHECK (cycle_day BETWEEN 1 AND 31),
    rounding_mode   text   NOT NULL DEFAULT 'half_up'
                    CHECK (rounding_mode IN ('half_up', 'half_even', 'up', 'down', 'ceiling', 'floor', 'cash')),
    on_rating_error text   NOT NULL DEFAULT 'bill_rest' CHECK (on_rating_error IN ('bill_rest', 'hold_account')),
    grace           interval NOT NULL DEFAULT '0',
    status          text   NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    legal_name      text,
    address         jsonb,
    country         text   CHECK (country ~ '^[A-Z]{2}$'),
    vat_id          text,
    endpoint_id     text,
    tax_code        text,
    recorded_at     timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by     text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (account_id, setting_no)
);
CREATE INDEX account_setting_recorded ON billing.account_setting (recorded_at);
CREATE INDEX account_setting_parent ON billing.account_setting (parent_id) WHERE parent_id IS NOT NULL;
COMMENT ON TABLE billing.account_setting IS 'Facts about an account; for a day the known fact with the latest setting_no whose from_date is not after it holds.';
COMMENT ON COLUMN billing.account_setting.on_rating_error IS 'What happens when one of its charge keys cannot be rated: bill_rest = bill the others, hold_account = bill nothing until it is mended.';
COMMENT ON COLUMN billing.account_setting.grace IS 'How long after a period''s end usage may still arrive before arrears are due.';
COMMENT ON COLUMN billing.account_setting.tax_code IS 'Overrides the tax code of prices, for exempt buyers and reverse charge.';

CREATE TABLE billing.bill_to (
    account_id  bigint NOT NULL REFERENCES billing.account,
    payer_id    bigint NOT NULL REFERENCES billing.account,
    valid       daterange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (account_id WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.bill_to IS 'Who pays for an account, by the issue date; an account without a row pays for itself.';

CREATE TABLE billing.invoice_group (
    invoice_group_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payer_id        bigint NOT NULL REFERENCES billing.account,
    key             text   NOT NULL DEFAULT 'default',
    payment_days    int    CHECK (payment_days BETWEEN 0 AND 3653),
    purchase_order  text,
    buyer_reference text,
    language        text   NOT NULL DEFAULT 'en',
    delivery        jsonb,
    recorded_at     timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by     text   NOT NULL DEFAULT session_user,
    UNIQUE (payer_id, key)
);
COMMENT ON TABLE billing.invoice_group IS 'How a payer wants its charges split into invoices, with the terms and references of each; every payer has the group ''default''.';

CREATE TABLE billing.cost_center (
    cost_center_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind <> ''),
    key         text NOT NULL CHECK (key <> ''),
    name        text,
    parent_id   bigint REFERENCES billing.cost_center,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text NOT NULL DEFAULT session_user,
    UNIQUE (kind, key)
);
COMMENT ON TABLE billing.cost_center IS 'Who bears cost: departments, projects, environments; one tree a kind.';

CREATE TABLE billing.resource (
    account_id  bigint NOT NULL,
    resource_id bigint GENERATED ALWAYS AS IDENTITY,
    key         text   NOT NULL CHECK (key <> ''),
    kind        text,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    PRIMARY KEY (account_id, resource_id),
    UNIQUE (account_id, key)
);
COMMENT ON TABLE billing.resource IS 'A thing that is used (virtual machine, volume, model endpoint), owned by an account.';

CREATE TABLE billing.resource_tag (
    account_id  bigint NOT NULL,
    resource_id bigint NOT NULL,
    tag         text   NOT NULL CHECK (tag <> ''),
    value       text   NOT NULL,
    valid       tstzrange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text   NOT NULL DEFAULT session_user,
    FOREIGN KEY (account_id, resource_id) REFERENCES billing.resource,
    EXCLUDE USING gist (account_id WITH =, resource_id WITH =, tag WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.resource_tag IS 'Tags of a resource, valid over time.';

CREATE TABLE billing.external_key (
    object_type text   NOT NULL CHECK (object_type IN ('seller', 'account', 'agreement', 'meter', 'fee', 'price_list', 'price', 'subscription', 'resource', 'invoice', 'cost_center')),
    object_id   bigint NOT NULL,
    system      text   NOT NULL CHECK (system <> ''),
    key         text   NOT NULL CHECK (key <> ''),
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (object_type, object_id, system),
    UNIQUE (object_type, system, key)
);
COMMENT ON TABLE billing.external_key IS 'What other systems call an object of the ledger.';

CREATE TABLE billing.custom_field (
    object_type text   NOT NULL CHECK (object_type IN ('seller', 'account', 'agreement', 'meter', 'fee', 'price_list', 'price', 'subscription', 'resource', 'invoice', 'cost_center')),
    object_id   bigint NOT NULL,
    name        text   NOT NULL CHECK (name <> ''),
    value       jsonb  NOT NULL,
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text   NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (object_type WITH =, object_id WITH =, name WITH =, known WITH &&)
);
COMMENT ON TABLE billing.custom_field IS 'Fields of the user''s own on any object of the ledger.';

-- ---------------------------------------------------------------- what is counted and what it costs

-- Meters and fees share one number space, so that a price, a charge key or a line names what it is for by one number.
CREATE TABLE billing.item (
    item_id     int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('meter', 'fee')),
    key         text NOT NULL CHECK (key <> ''),
    seller_id   int  NOT NULL REFERENCES billing.seller,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE (kind, key),
    UNIQUE (item_id, kind)
);
COMMENT ON TABLE billing.item IS 'What can have a price: a meter or a fee. One seller owns it, any seller may price it.';

CREATE TABLE billing.meter_definition (
    item_id     int  NOT NULL,
    kind        text NOT NULL DEFAULT 'meter' CHECK (kind = 'meter'),
    name        text,
    unit        text NOT NULL,
    aggregation text NOT NULL CHECK (aggregation IN ('sum', 'count', 'max', 'min', 'avg', 'latest', 'unique_count', 'percentile', 'time_weighted', 'weighted_sum', 'increase')),
    percentile  numeric CHECK (percentile > 0 AND percentile <= 1),
    unique_dimension text,
    operation_dimension text,
    carried_over boolean NOT NULL DEFAULT false,
    prorated    text CHECK (prorated IN ('day_inclusive', 'day_half_open', 'second')),
    proration_decimals smallint CHECK (proration_decimals BETWEEN 0 AND 15),
    level_holds interval CHECK (level_holds > '0'),
    multiply_by numeric NOT NULL DEFAULT 1,
    divide_by   numeric NOT NULL DEFAULT 1 CHECK (divide_by > 0),
    offset_by   numeric NOT NULL DEFAULT 0,
    mutate      text CHECK (mutate IN ('numbool', 'notnumbool', 'floor', 'ceil', 'map')),
    mutate_map  jsonb,
    hours_in_month text CHECK (hours_in_month = 'actual' OR hours_in_month::numeric > 0),
    rounding    text CHECK (rounding IN ('half_up', 'half_even', 'up', 'down', 'ceiling', 'floor')),
    decimals    smallint CHECK (decimals BETWEEN -15 AND 20),
    filter      jsonb NOT NULL DEFAULT '{}',
    dimensions  text[] NOT NULL DEFAULT '{}',
    enabled     boolean NOT NULL DEFAULT true,
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    FOREIGN KEY (item_id, kind) REFERENCES billing.item (item_id, kind),
    CHECK ((aggregation = 'percentile') = (percentile IS NOT NULL)),
    CHECK ((rounding IS NULL) = (decimals IS NULL)),
    CHECK ((mutate = 'map') IS TRUE = (mutate_map IS NOT NULL)),
    EXCLUDE USING gist (item_id WITH =, known WITH &&)
);
COMMENT ON TABLE billing.meter_definition IS 'How usage of a meter becomes a quantity; facts.';
COMMENT ON COLUMN billing.meter_definition.unit IS 'Unit of the quantity: UN/ECE Recommendation 20 code, or any word.';
COMMENT ON COLUMN billing.meter_definition.aggregation IS 'How the usage of a period becomes one quantity; latest breaks ties by time, then by id; time_weighted = level x hours since the last change; weighted_sum = running total x its part of the period; increase = growth of a cumulative reading.';
COMMENT ON COLUMN billing.meter_definition.unique_dimension IS 'For unique_count: the dimension whose distinct values are counted; null = the resource.';
COMMENT ON COLUMN billing.meter_definition.operation_dimension IS 'For unique_count: the dimension that says add or remove; null = all usage adds.';
COMMENT ON COLUMN billing.meter_definition.carried_over IS 'For sum, weighted_sum and unique_count: what was there at the end of a period is there at the start of the next.';
COMMENT ON COLUMN billing.meter_definition.prorated IS 'For sum and unique_count: the rule by which a quantity counts with the part of the period from its time on; null = it counts whole.';
COMMENT ON COLUMN billing.meter_definition.proration_decimals IS 'What was carried over and what came in the period are each rounded up at this decimal after proration; null = not at all.';
COMMENT ON COLUMN billing.meter_definition.level_holds IS 'For time_weighted: how long a level holds at most when no other is reported; null = for ever.';
COMMENT ON COLUMN billing.meter_definition.multiply_by IS 'Numerator of the factor that turns recorded units into charged ones.';
COMMENT ON COLUMN billing.meter_definition.divide_by IS 'Denominator of that factor.';
COMMENT ON COLUMN billing.meter_definition.offset_by IS 'Added to each usage row after the factor.';
COMMENT ON COLUMN billing.meter_definition.mutate IS 'What is done to each usage row after factor and offset: numbool (1 unless 0), notnumbool (1 if 0), floor, ceil, or map.';
COMMENT ON COLUMN billing.meter_definition.mutate_map IS 'For map: value in to value out, {"0": 0, "4": 1}; what is not named becomes 0.';
COMMENT ON COLUMN billing.meter_definition.hours_in_month IS 'Unit-hours become unit-months of so many hours: a number, or actual = the hours of the charge period.';
COMMENT ON COLUMN billing.meter_definition.filter IS 'Usage counts only where each named dimension has one of the listed values: {"region": ["eu", "us"]}.';
COMMENT ON COLUMN billing.meter_definition.dimensions IS 'Dimensions that make charge lines of their own; "resource" stands for the resource.';

CREATE TABLE billing.fee_definition (
    item_id     int  NOT NULL,
    kind        text NOT NULL DEFAULT 'fee' CHECK (kind = 'fee'),
    name        text,
    unit        text NOT NULL DEFAULT 'month',
    in_advance  boolean NOT NULL DEFAULT false,
    proration   text NOT NULL DEFAULT 'day_half_open' CHECK (proration IN ('day_half_open', 'day_inclusive', 'second', 'month', 'half_month', 'day', 'hour')),
    price_days  int CHECK (price_days > 0),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    FOREIGN KEY (item_id, kind) REFERENCES billing.item (item_id, kind),
    EXCLUDE USING gist (item_id WITH =, known WITH &&)
);
COMMENT ON TABLE billing.fee_definition IS 'A recurring fee that accounts subscribe to; facts. in_advance: due at the start of its charge period, otherwise at the end.';
COMMENT ON COLUMN billing.fee_definition.proration IS 'How a part of a period is charged, a rule of prorate(). day_half_open: by days, the day on which a subscription ends is free; day_inclusive: that day is charged; second: by elapsed time; month, half_month, day, hour: the price is for one of these, and the quantity is rounded up as Waldur does.';
COMMENT ON COLUMN billing.fee_definition.price_days IS 'Of how many days the price is, where days are counted: 365 of an annual price that is charged by the days of each charge period; null = of the whole charge period.';

CREATE TABLE billing.price_list (
    list_id     int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller_id   int  NOT NULL REFERENCES billing.seller,
    key         text NOT NULL CHECK (key <> ''),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    rounding    text CHECK (rounding IN ('sum', 'line', 'detail')),
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text NOT NULL DEFAULT session_user,
    UNIQUE (seller_id, key)
);
COMMENT ON TABLE billing.price_list IS 'Named set of prices of one seller in one currency; the list ''default'' is used where none is named.';
COMMENT ON COLUMN billing.price_list.rounding IS 'Where a bill rounds, given to each tariff that is set from now on and does not say it itself; null = as the tariff does.';

CREATE TABLE billing.price (
    price_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list_id     int    NOT NULL REFERENCES billing.price_list,
    item_id     int    NOT NULL REFERENCES billing.item,
    account_id  bigint NOT NULL DEFAULT 0,
    tariff      billing.tariff NOT NULL,
    chain       jsonb,
    tax_code    text,
    valid       tsrange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text   NOT NULL DEFAULT session_user,
    remainder_of bigint,
    EXCLUDE USING gist (list_id WITH =, item_id WITH =, account_id WITH =, valid WITH &&, known WITH &&)
);
CREATE INDEX price_chained ON billing.price (item_id) WHERE chain IS NOT NULL;
CREATE INDEX price_changed ON billing.price (GREATEST(pg_catalog.lower(known), pg_catalog.upper(known)));
COMMENT ON TABLE billing.price IS 'What an item costs in a price list, for all accounts (account_id 0) or for one.';
COMMENT ON COLUMN billing.price.chain IS 'The rating modules that price each usage row by itself, in their order, with the digests of their functions; null = the tariff prices what the rows add up to.';
COMMENT ON COLUMN billing.price.valid IS 'Local time of the buyer''s account: a price of 1 January begins at each buyer''s own midnight.';
COMMENT ON COLUMN billing.price.remainder_of IS 'The price whose span a later fact cut: this row goes on saying what that one said of the rest and is no news.';

CREATE TABLE billing.pin_advance (
    advance_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause       text   NOT NULL DEFAULT 'price' CHECK (cause IN ('price', 'plan', 'reference_data')),
    list_id     int    REFERENCES billing.price_list,
    item_id     int    REFERENCES billing.item,
    account_id  bigint NOT NULL DEFAULT 0,
    valid       tsrange NOT NULL CHECK (NOT pg_catalog.isempty(valid)),
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    advance_to  timestamptz NOT NULL DEFAULT billing.recorded_at() + pg_catalog.make_interval(secs => 0.000001),
    reason      text,
    recorded_by text   NOT NULL DEFAULT session_user,
    CHECK (CASE cause WHEN 'price' THEN list_id IS NOT NULL AND item_id IS NOT NULL ELSE list_id IS NULL AND item_id IS NULL AND account_id <> 0 END)
);
CREATE INDEX pin_advance_recorded ON billing.pin_advance (recorded_at);
CREATE INDEX pin_advance_account ON billing.pin_advance (account_id);
COMMENT ON TABLE billing.pin_advance IS 'Moves the pin of closed periods: a price that was said to apply to closed periods, or a correction that was approved or that the correction policy bills. Append-only.';
COMMENT ON COLUMN billing.pin_advance.cause IS 'What is read anew: the prices of an item (of all accounts of a list, account_id 0, or of one), or the agreements and settings (plan) or the meter and fee definitions (reference_data) of one account.';
COMMENT ON COLUMN billing.pin_advance.valid IS 'Which part of closed periods, in the account''s local time.';
COMMENT ON COLUMN billing.pin_advance.advance_to IS 'The instant as of which it is read; what this transaction records counts.';

CREATE TABLE billing.agreement (
    agreement_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller_id   int    NOT NULL REFERENCES billing.seller,
    buyer_id    bigint NOT NULL REFERENCES billing.account,
    key         text   NOT NULL DEFAULT 'default',
    UNIQUE (buyer_id, seller_id, key)
);
COMMENT ON TABLE billing.agreement IS 'Why an account is charged: a seller and a buyer.';

CREATE TABLE billing.agreement_term (
    agreement_id int    NOT NULL REFERENCES billing.agreement,
    consumer_id  bigint NOT NULL REFERENCES billing.account,
    with_descendants boolean NOT NULL DEFAULT false,
    list_id      int    NOT NULL REFERENCES billing.price_list,
    invoice_group_id bigint REFERENCES billing.invoice_group,
    progressive_threshold billing.monetary,
    progressive_thresholds billing.monetary[],
    progressive_every billing.monetary,
    valid        daterange NOT NULL DEFAULT '(,)' CHECK (NOT pg_catalog.isempty(valid)),
    known        tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by  text   NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (agreement_id WITH =, valid WITH &&, known WITH &&)
);
CREATE INDEX agreement_term_agreement ON billing.agreement_term (agreement_id);
CREATE INDEX agreement_term_consumer ON billing.agreement_term (consumer_id);
CREATE INDEX agreement_term_changed ON billing.agreement_term (GREATEST(pg_catalog.lower(known), pg_catalog.upper(known)));
COMMENT ON TABLE billing.agreement_term IS 'What an agreement says over time: whose usage is charged, by which price list, on which invoice; facts.';
COMMENT ON COLUMN billing.agreement_term.consumer_id IS 'Account whose usage is charged to the buyer; usually the buyer itself, a reseller''s customer for wholesale.';
COMMENT ON COLUMN billing.agreement_term.with_descendants IS 'Usage of all accounts below the consumer is charged too, each on lines of its own.';
COMMENT ON COLUMN billing.agreement_term.progressive_threshold IS 'Bill a charge for usage of a running period as soon as it owes this much more than was billed; null = not for that.';
COMMENT ON COLUMN billing.agreement_term.progressive_thresholds IS 'Bill all usage of a running period when all usage of the agreement since its first day comes to one of these amounts, which rise; null = none.';
COMMENT ON COLUMN billing.agreement_term.progressive_every IS 'The same at each multiple of this amount, above the last of those thresholds; null = none.';

CREATE TABLE billing.subscription (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agreement_id    int  NOT NULL REFERENCES billing.agreement,
    item_id         int  NOT NULL REFERENCES billing.item,
    key             text NOT NULL CHECK (key <> ''),
    recorded_at     timestamptz NOT NULL DEFAULT billing.recorded_at(),
    UNIQUE (agreement_id, key)
);
CREATE INDEX subscription_item ON billing.subscription (item_id);
COMMENT ON TABLE billing.subscription IS 'A buyer''s use of a fee; when and how many is in subscription_term.';

CREATE TABLE billing.subscription_term (
    subscription_id bigint NOT NULL REFERENCES billing.subscription,
    dates       daterange NOT NULL CHECK (NOT pg_catalog.isempty(dates)),
    quantity    numeric NOT NULL CHECK (quantity >= 0 AND quantity < 'NaN'),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (subscription_id WITH =, dates WITH &&, known WITH &&)
);
CREATE INDEX subscription_term_changed ON billing.subscription_term (GREATEST(pg_catalog.lower(known), pg_catalog.upper(known)));
COMMENT ON TABLE billing.subscription_term IS 'From when to when a subscription runs and how many of the fee it takes; facts, in the buyer''s calendar.';

CREATE TABLE billing.tax_rate (
    seller_id   int  NOT NULL REFERENCES billing.seller,
    tax_code    text NOT NULL CHECK (tax_code <> ''),
    category    text NOT NULL DEFAULT 'S' CHECK (category IN ('S', 'Z', 'E', 'AE', 'K', 'G', 'O', 'L', 'M')),
    rate        numeric NOT NULL CHECK (rate >= 0 AND rate <= 1000),
    exemption_code   text,
    exemption_reason text,
    valid       daterange NOT NULL DEFAULT '(,)' CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    CHECK (category = 'S' OR category IN ('L', 'M') OR rate = 0),
    EXCLUDE USING gist (seller_id WITH =, tax_code WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.tax_rate IS 'Tax codes of a seller with their rate in percent by tax point date; category is the UNCL 5305 code of EN 16931 (BT-151).';

CREATE TABLE billing.correction_policy (
    seller_id   int    REFERENCES billing.seller,
    account_id  bigint REFERENCES billing.account,
    cause       text   NOT NULL CHECK (cause IN ('usage', 'subscription', 'price', 'plan', 'discount', 'reference_data', 'fx', 'tax', 'engine')),
    action      text   NOT NULL CHECK (action IN ('bill', 'hold', 'ignore')),
    greatest_age interval,
    greatest_amount billing.monetary,
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text   NOT NULL DEFAULT session_user,
    CHECK ((seller_id IS NULL) <> (account_id IS NULL)),
    CHECK (cause NOT IN ('usage', 'subscription') OR action = 'bill')
);
CREATE UNIQUE INDEX correction_policy_current ON billing.correction_policy (COALESCE(seller_id, 0), COALESCE(account_id, 0), cause) WHERE pg_catalog.upper_inf(known);
COMMENT ON TABLE billing.correction_policy IS 'What happens to a difference in a closed period, by its cause: bill it, hold it for approval, or ignore it; of a seller or of one account.';
COMMENT ON COLUMN billing.correction_policy.greatest_age IS 'Differences in periods that ended longer ago are held; null = no limit.';
COMMENT ON COLUMN billing.correction_policy.greatest_amount IS 'Differences above this amount are held; null = no limit.';
