-- What is known of Kill Bill servers: their catalogs, what of ours is mirrored there, what was pushed, and their invoices as last read.
--
-- The first column of each table is the endpoint.  Nothing here is a fact of billing: prices go through set_price(), and invoices of
-- the server are copies, read again at any time.

CREATE TABLE billing.killbill_ledger (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ledger_id    text    NOT NULL DEFAULT left(replace(pg_catalog.gen_random_uuid()::text, '-', ''), 12) CHECK (ledger_id ~ '^[0-9a-f]{12}$')
);
INSERT INTO billing.killbill_ledger DEFAULT VALUES;
COMMENT ON TABLE billing.killbill_ledger IS 'One row: which ledger this is, so that servers which several ledgers use keep their charges apart.';
COMMENT ON COLUMN billing.killbill_ledger.only_row IS 'Always true; keeps the table at one row.';
COMMENT ON COLUMN billing.killbill_ledger.ledger_id IS 'Drawn by lot when the ledger was made; part of all references and tracking ids. A copy of the database has the same one.';

CREATE FUNCTION billing.killbill_reference() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT 'billing:' || l.ledger_id || ':' FROM killbill_ledger AS l $$;
COMMENT ON FUNCTION billing.killbill_reference() IS 'How the references of this ledger begin: billing:3f2a90c41b7d: with the ledger''s identity. Stable.';

CREATE TABLE billing.killbill_catalog (
    endpoint     text NOT NULL,
    effective_at timestamptz NOT NULL,
    catalog_name text NOT NULL,
    digest       text NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (endpoint, effective_at)
);
COMMENT ON TABLE billing.killbill_catalog IS 'Catalog versions that were imported; a version whose digest is the same is not looked at again.';
COMMENT ON COLUMN billing.killbill_catalog.endpoint IS 'Endpoint, or the name under which a catalog was imported without one.';
COMMENT ON COLUMN billing.killbill_catalog.effective_at IS 'When the version takes effect.';
COMMENT ON COLUMN billing.killbill_catalog.catalog_name IS 'Name of the catalog.';
COMMENT ON COLUMN billing.killbill_catalog.digest IS 'MD5 of everything in the version that has a price.';
COMMENT ON COLUMN billing.killbill_catalog.imported_at IS 'When it was imported.';

CREATE TABLE billing.killbill_price (
    endpoint      text NOT NULL,
    effective_at  timestamptz NOT NULL,
    price_no      int  NOT NULL,
    price_list    text NOT NULL,
    currency      text NOT NULL,
    plan          text NOT NULL,
    product       text NOT NULL,
    category      text,
    phase         text NOT NULL,
    phase_no      int  NOT NULL,
    final         boolean NOT NULL,
    duration      interval,
    existing_from timestamptz,
    kind          text NOT NULL CHECK (kind IN ('fixed', 'recurring', 'usage')),
    usage_name    text,
    unit          text,
    usage_type    text,
    in_advance    boolean NOT NULL,
    billing_period text,
    tariff        billing.tariff,
    amount        numeric,
    section       jsonb,
    item_id       int REFERENCES billing.item,
    list_id       int REFERENCES billing.price_list,
    problem       text,
    PRIMARY KEY (endpoint, effective_at, price_no)
);
CREATE INDEX killbill_price_item ON billing.killbill_price (item_id);
CREATE INDEX killbill_price_list ON billing.killbill_price (list_id);
COMMENT ON TABLE billing.killbill_price IS 'Everything that has a price in the imported catalog versions, and the meter or fee of ours that stands for it.';
COMMENT ON COLUMN billing.killbill_price.endpoint IS 'Endpoint, or the name under which the catalog was imported.';
COMMENT ON COLUMN billing.killbill_price.effective_at IS 'Version of the catalog.';
COMMENT ON COLUMN billing.killbill_price.price_no IS 'Counts the prices of the version.';
COMMENT ON COLUMN billing.killbill_price.price_list IS 'Price list of the catalog; empty = the plan is in none.';
COMMENT ON COLUMN billing.killbill_price.currency IS 'Currency of the price.';
COMMENT ON COLUMN billing.killbill_price.plan IS 'Plan.';
COMMENT ON COLUMN billing.killbill_price.product IS 'Product of the plan.';
COMMENT ON COLUMN billing.killbill_price.category IS 'BASE, ADD_ON or STANDALONE.';
COMMENT ON COLUMN billing.killbill_price.phase IS 'Phase as the server names it: PLAN-TYPE in lower case.';
COMMENT ON COLUMN billing.killbill_price.phase_no IS 'Place of the phase in its plan, from 1.';
COMMENT ON COLUMN billing.killbill_price.final IS 'Whether it is the plan''s last phase.';
COMMENT ON COLUMN billing.killbill_price.duration IS 'How long the phase lasts; null = without end.';
COMMENT ON COLUMN billing.killbill_price.existing_from IS 'From when on it holds for subscriptions that were there before; null = never.';
COMMENT ON COLUMN billing.killbill_price.kind IS 'fixed (owed once), recurring or usage.';
COMMENT ON COLUMN billing.killbill_price.usage_name IS 'Usage section.';
COMMENT ON COLUMN billing.killbill_price.unit IS 'Unit of the usage section that this row prices.';
COMMENT ON COLUMN billing.killbill_price.usage_type IS 'CONSUMABLE or CAPACITY.';
COMMENT ON COLUMN billing.killbill_price.in_advance IS 'Whether it falls due at the start of its period.';
COMMENT ON COLUMN billing.killbill_price.billing_period IS 'Such as MONTHLY.';
COMMENT ON COLUMN billing.killbill_price.tariff IS 'Price of the unit as a tariff; null for fixed and recurring prices, and where there is a problem.';
COMMENT ON COLUMN billing.killbill_price.amount IS 'Fixed or recurring price.';
COMMENT ON COLUMN billing.killbill_price.section IS 'The whole usage section, all units, as tariff_from() reads it.';
COMMENT ON COLUMN billing.killbill_price.item_id IS 'Meter or fee of ours; null = not imported.';
COMMENT ON COLUMN billing.killbill_price.list_id IS 'Price list of ours.';
COMMENT ON COLUMN billing.killbill_price.problem IS 'Why it was not imported, or how it differs; null = it is the same here and there.';

CREATE TABLE billing.killbill_account (
    endpoint     text   NOT NULL,
    account_id   bigint NOT NULL REFERENCES billing.account,
    external_key text   NOT NULL,
    killbill_id  uuid,
    state        text   NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'present', 'closed')),
    reference_day date  NOT NULL,
    auto_invoicing boolean NOT NULL DEFAULT true,
    balance      numeric,
    credit       numeric,
    upcoming     numeric,
    read_at      timestamptz,
    parked       boolean NOT NULL DEFAULT false,
    credit_threshold numeric,
    on_threshold text   NOT NULL DEFAULT 'refuse' CHECK (on_threshold IN ('refuse', 'suspend')),
    PRIMARY KEY (endpoint, account_id),
    UNIQUE (endpoint, external_key)
);
CREATE UNIQUE INDEX killbill_account_id ON billing.killbill_account (endpoint, killbill_id) WHERE killbill_id IS NOT NULL;
COMMENT ON TABLE billing.killbill_account IS 'Accounts that are mirrored on a Kill Bill server.';
COMMENT ON COLUMN billing.killbill_account.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_account.account_id IS 'Account of ours.';
COMMENT ON COLUMN billing.killbill_account.external_key IS 'External key there, by which it is found again.';
COMMENT ON COLUMN billing.killbill_account.killbill_id IS 'Its id there; null = not yet told.';
COMMENT ON COLUMN billing.killbill_account.state IS 'wanted (told to the server, not yet confirmed), present or closed.';
COMMENT ON COLUMN billing.killbill_account.reference_day IS 'Day whose midnight is the account''s reference time there, so that usage of the first day counts.';
COMMENT ON COLUMN billing.killbill_account.auto_invoicing IS 'Whether the server makes its invoices; false = we do, and tell them.';
COMMENT ON COLUMN billing.killbill_account.balance IS 'Balance there when it was last read; negative = credit.';
COMMENT ON COLUMN billing.killbill_account.credit IS 'Credit there when it was last read.';
COMMENT ON COLUMN billing.killbill_account.upcoming IS 'What the last dry run would have billed.';
COMMENT ON COLUMN billing.killbill_account.read_at IS 'When balance, credit and invoices were last read.';
COMMENT ON COLUMN billing.killbill_account.parked IS 'Whether the server has parked it (tag __PARK__): it makes no more invoices.';
COMMENT ON COLUMN billing.killbill_account.credit_threshold IS 'Remaining credit at or below which killbill_may_order() refuses; null = none.';
COMMENT ON COLUMN billing.killbill_account.on_threshold IS 'What happens there: refuse new orders, or suspend the subscriptions too.';

CREATE TABLE billing.killbill_subscription (
    endpoint     text   NOT NULL,
    external_key text   NOT NULL,
    account_id   bigint NOT NULL,
    bundle_key   text   NOT NULL,
    plan         text   NOT NULL,
    price_list   text   NOT NULL DEFAULT 'DEFAULT',
    starts_on    date   NOT NULL,
    ends_on      date,
    usage_to     date,
    resource_id  bigint,
    overrides    jsonb,
    fields       jsonb  NOT NULL DEFAULT '{}',
    killbill_id  uuid,
    bundle_id    uuid,
    state        text   NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'active', 'paused', 'cancelled')),
    PRIMARY KEY (endpoint, external_key),
    FOREIGN KEY (endpoint, account_id) REFERENCES billing.killbill_account
);
CREATE INDEX killbill_subscription_account ON billing.killbill_subscription (endpoint, account_id);
CREATE UNIQUE INDEX killbill_subscription_id ON billing.killbill_subscription (endpoint, killbill_id) WHERE killbill_id IS NOT NULL;
COMMENT ON TABLE billing.killbill_subscription IS 'Subscriptions that are mirrored on a Kill Bill server.';
COMMENT ON COLUMN billing.killbill_subscription.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_subscription.external_key IS 'External key there, by which it is found again.';
COMMENT ON COLUMN billing.killbill_subscription.account_id IS 'Account of ours.';
COMMENT ON COLUMN billing.killbill_subscription.bundle_key IS 'External key of its bundle; an add-on shares that of its base subscription.';
COMMENT ON COLUMN billing.killbill_subscription.plan IS 'Plan of the catalog.';
COMMENT ON COLUMN billing.killbill_subscription.price_list IS 'Price list of the catalog.';
COMMENT ON COLUMN billing.killbill_subscription.starts_on IS 'First day, for entitlement and billing.';
COMMENT ON COLUMN billing.killbill_subscription.ends_on IS 'First day on which it no longer runs; null = without end.';
COMMENT ON COLUMN billing.killbill_subscription.usage_to IS 'First day of which the server takes no usage any more, where that is before ends_on: it is billed to the end of a month, but ended earlier; null = ends_on.';
COMMENT ON COLUMN billing.killbill_subscription.resource_id IS 'Resource whose usage it bills; null = that of all resources without a subscription of their own.';
COMMENT ON COLUMN billing.killbill_subscription.overrides IS 'Prices of its own, as the server''s priceOverrides.';
COMMENT ON COLUMN billing.killbill_subscription.fields IS 'Custom fields by name.';
COMMENT ON COLUMN billing.killbill_subscription.killbill_id IS 'Its id there; null = not yet told.';
COMMENT ON COLUMN billing.killbill_subscription.bundle_id IS 'Id of its bundle there.';
COMMENT ON COLUMN billing.killbill_subscription.state IS 'wanted (not yet confirmed), active, paused or cancelled.';

CREATE TABLE billing.killbill_pause (
    endpoint     text NOT NULL,
    external_key text NOT NULL,
    paused_from  date NOT NULL,
    paused_to    date CHECK (paused_to >= paused_from),
    PRIMARY KEY (endpoint, external_key, paused_from),
    FOREIGN KEY (endpoint, external_key) REFERENCES billing.killbill_subscription
);
COMMENT ON TABLE billing.killbill_pause IS 'Days on which mirrored subscriptions are paused on the server, as it said last: it bills neither a month''s price nor usage for them.';
COMMENT ON COLUMN billing.killbill_pause.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_pause.external_key IS 'Subscription.';
COMMENT ON COLUMN billing.killbill_pause.paused_from IS 'First day of the pause, in the account''s calendar.';
COMMENT ON COLUMN billing.killbill_pause.paused_to IS 'First day after it; null = it lasts. The same day as paused_from: resumed on the day on which it was paused, and nothing is lost.';

CREATE TABLE billing.killbill_push (
    endpoint     text   NOT NULL,
    account_id   bigint NOT NULL,
    pushes       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (endpoint, account_id),
    FOREIGN KEY (endpoint, account_id) REFERENCES billing.killbill_account
);
COMMENT ON TABLE billing.killbill_push IS 'One row an account that is mirrored. Whoever pushes its usage locks it, and only they: what the connector writes down of accounts and subscriptions does not wait for them.';
COMMENT ON COLUMN billing.killbill_push.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_push.account_id IS 'Account of ours.';
COMMENT ON COLUMN billing.killbill_push.pushes IS 'How many pushes of usage there were; numbers the tracking ids.';

CREATE TABLE billing.killbill_unit (
    endpoint    text NOT NULL,
    item_id     int  NOT NULL REFERENCES billing.item,
    plan        text NOT NULL,
    unit        text NOT NULL,
    scale       numeric NOT NULL DEFAULT 1 CHECK (scale > 0),
    PRIMARY KEY (endpoint, item_id, plan)
);
COMMENT ON TABLE billing.killbill_unit IS 'Meters of our own that are told to a server as a unit of a plan; imported catalogs connect their meters by themselves.';
COMMENT ON COLUMN billing.killbill_unit.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_unit.item_id IS 'Meter of ours.';
COMMENT ON COLUMN billing.killbill_unit.plan IS 'Plan of the catalog.';
COMMENT ON COLUMN billing.killbill_unit.unit IS 'Unit of the catalog.';
COMMENT ON COLUMN billing.killbill_unit.scale IS 'How many units of the catalog one unit of the meter is: 3600 for hours told as seconds.';

CREATE TABLE billing.killbill_usage (
    endpoint     text    NOT NULL,
    external_key text    NOT NULL,
    unit         text    NOT NULL,
    record_date  date    NOT NULL,
    push_no      bigint  NOT NULL,
    amount       numeric NOT NULL,
    tracking_id  uuid    NOT NULL,
    message_id   bigint,
    PRIMARY KEY (endpoint, external_key, unit, record_date, push_no),
    FOREIGN KEY (endpoint, external_key) REFERENCES billing.killbill_subscription
);
CREATE INDEX killbill_usage_again ON billing.killbill_usage (endpoint, external_key) WHERE message_id IS NULL;
COMMENT ON TABLE billing.killbill_usage IS 'Usage that was told to a server; what is told next is what differs from the sum of these. Usage whose message was discarded, and which the server surely does not have, is not among it.';
COMMENT ON COLUMN billing.killbill_usage.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_usage.external_key IS 'Subscription.';
COMMENT ON COLUMN billing.killbill_usage.unit IS 'Unit of the catalog.';
COMMENT ON COLUMN billing.killbill_usage.record_date IS 'Day under which it was told.';
COMMENT ON COLUMN billing.killbill_usage.push_no IS 'Number of the push of this account.';
COMMENT ON COLUMN billing.killbill_usage.amount IS 'Amount, in units of the catalog; of capacity the level reached.';
COMMENT ON COLUMN billing.killbill_usage.tracking_id IS 'Tracking id of the push, always the same for its number.';
COMMENT ON COLUMN billing.killbill_usage.message_id IS 'Message that tells it; null = it was discarded while nobody knew whether the server has it, and the next push tells the same under the same tracking id.';

CREATE TABLE billing.killbill_adjustment (
    adjustment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint     text    NOT NULL,
    account_id   bigint  NOT NULL,
    external_key text,
    usage_name   text,
    period_from  date,
    period_to    date,
    quantities   jsonb,
    amount       numeric NOT NULL CHECK (amount <> 0),
    currency     text    NOT NULL,
    reason       text    NOT NULL,
    message_id   bigint,
    invoice_id   uuid,
    reference    text    NOT NULL DEFAULT billing.killbill_reference(),
    FOREIGN KEY (endpoint, account_id) REFERENCES billing.killbill_account
);
CREATE INDEX killbill_adjustment_place ON billing.killbill_adjustment (endpoint, account_id, external_key, period_from);
CREATE INDEX killbill_adjustment_again ON billing.killbill_adjustment (endpoint, account_id) WHERE message_id IS NULL;
COMMENT ON TABLE billing.killbill_adjustment IS 'Credits (negative) and charges (positive) told to a server: corrections of usage that it no longer takes as usage, and credits that people gave.';
COMMENT ON COLUMN billing.killbill_adjustment.adjustment_id IS 'Number of the adjustment.';
COMMENT ON COLUMN billing.killbill_adjustment.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_adjustment.account_id IS 'Account of ours.';
COMMENT ON COLUMN billing.killbill_adjustment.external_key IS 'Subscription whose usage it corrects; null = a credit that somebody gave.';
COMMENT ON COLUMN billing.killbill_adjustment.usage_name IS 'Usage section that it corrects.';
COMMENT ON COLUMN billing.killbill_adjustment.period_from IS 'First day of the period that it corrects.';
COMMENT ON COLUMN billing.killbill_adjustment.period_to IS 'First day after that period.';
COMMENT ON COLUMN billing.killbill_adjustment.quantities IS 'By how much it changes what was told, by unit.';
COMMENT ON COLUMN billing.killbill_adjustment.amount IS 'Amount to be added to what the account owes there.';
COMMENT ON COLUMN billing.killbill_adjustment.currency IS 'Currency.';
COMMENT ON COLUMN billing.killbill_adjustment.reason IS 'Why, as it stands on the invoice.';
COMMENT ON COLUMN billing.killbill_adjustment.message_id IS 'Message that tells it; null = it was discarded. The next push tells corrections of usage again; their delivery looks first what is there.';
COMMENT ON COLUMN billing.killbill_adjustment.invoice_id IS 'Invoice there that it is on, the last of several; null = not yet confirmed.';
COMMENT ON COLUMN billing.killbill_adjustment.reference IS 'How its reference there begins; billing: alone for what was told before references named the ledger.';

CREATE TABLE billing.killbill_invoice (
    endpoint     text    NOT NULL,
    invoice_id   uuid    NOT NULL,
    account_id   bigint  NOT NULL,
    number       text,
    status       text    NOT NULL,
    invoice_date date    NOT NULL,
    target_date  date,
    currency     text    NOT NULL,
    amount       numeric NOT NULL,
    balance      numeric NOT NULL,
    read_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (endpoint, invoice_id)
);
CREATE INDEX killbill_invoice_account ON billing.killbill_invoice (endpoint, account_id);
COMMENT ON TABLE billing.killbill_invoice IS 'Invoices of a server as last read.';
COMMENT ON COLUMN billing.killbill_invoice.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_invoice.invoice_id IS 'Id there.';
COMMENT ON COLUMN billing.killbill_invoice.account_id IS 'Account of ours.';
COMMENT ON COLUMN billing.killbill_invoice.number IS 'Number there; numbers have gaps.';
COMMENT ON COLUMN billing.killbill_invoice.status IS 'DRAFT, COMMITTED or VOID.';
COMMENT ON COLUMN billing.killbill_invoice.invoice_date IS 'Date of the invoice.';
COMMENT ON COLUMN billing.killbill_invoice.target_date IS 'Day up to which it bills.';
COMMENT ON COLUMN billing.killbill_invoice.currency IS 'Currency.';
COMMENT ON COLUMN billing.killbill_invoice.amount IS 'Amount.';
COMMENT ON COLUMN billing.killbill_invoice.balance IS 'What is still to be paid.';
COMMENT ON COLUMN billing.killbill_invoice.read_at IS 'When it was read.';

CREATE TABLE billing.killbill_item (
    endpoint     text    NOT NULL,
    item_id      uuid    NOT NULL,
    invoice_id   uuid    NOT NULL,
    item_type    text    NOT NULL,
    subscription_id uuid,
    plan         text,
    usage_name   text,
    starts_on    date,
    ends_on      date,
    amount       numeric NOT NULL,
    description  text,
    details      text,
    linked_id    uuid,
    PRIMARY KEY (endpoint, item_id),
    FOREIGN KEY (endpoint, invoice_id) REFERENCES billing.killbill_invoice ON DELETE CASCADE
);
CREATE INDEX killbill_item_invoice ON billing.killbill_item (endpoint, invoice_id);
COMMENT ON TABLE billing.killbill_item IS 'Items of the invoices of a server as last read.';
COMMENT ON COLUMN billing.killbill_item.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_item.item_id IS 'Id there.';
COMMENT ON COLUMN billing.killbill_item.invoice_id IS 'Invoice there.';
COMMENT ON COLUMN billing.killbill_item.item_type IS 'USAGE, RECURRING, FIXED, EXTERNAL_CHARGE, TAX, CREDIT_ADJ, CBA_ADJ, ITEM_ADJ or REPAIR_ADJ.';
COMMENT ON COLUMN billing.killbill_item.subscription_id IS 'Subscription there.';
COMMENT ON COLUMN billing.killbill_item.plan IS 'Plan.';
COMMENT ON COLUMN billing.killbill_item.usage_name IS 'Usage section.';
COMMENT ON COLUMN billing.killbill_item.starts_on IS 'First day.';
COMMENT ON COLUMN billing.killbill_item.ends_on IS 'First day after it.';
COMMENT ON COLUMN billing.killbill_item.amount IS 'Amount.';
COMMENT ON COLUMN billing.killbill_item.description IS 'Text of the item.';
COMMENT ON COLUMN billing.killbill_item.details IS 'Member itemDetails; for what we push, our reference.';
COMMENT ON COLUMN billing.killbill_item.linked_id IS 'Item that this one adjusts.';

CREATE TABLE billing.killbill_payment (
    endpoint     text    NOT NULL,
    payment_id   uuid    NOT NULL,
    invoice_id   uuid    NOT NULL,
    purchased    numeric NOT NULL,
    refunded     numeric NOT NULL,
    currency     text    NOT NULL,
    status       text,
    paid_at      timestamptz,
    PRIMARY KEY (endpoint, payment_id, invoice_id)
);
COMMENT ON TABLE billing.killbill_payment IS 'Payments of invoices of a server as last read.';
COMMENT ON COLUMN billing.killbill_payment.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_payment.payment_id IS 'Id there.';
COMMENT ON COLUMN billing.killbill_payment.invoice_id IS 'Invoice there.';
COMMENT ON COLUMN billing.killbill_payment.purchased IS 'Amount paid.';
COMMENT ON COLUMN billing.killbill_payment.refunded IS 'Amount given back.';
COMMENT ON COLUMN billing.killbill_payment.currency IS 'Currency.';
COMMENT ON COLUMN billing.killbill_payment.status IS 'SUCCESS when something of it was paid, also where a later refund failed or succeeded; otherwise the state of its last transaction.';
COMMENT ON COLUMN billing.killbill_payment.paid_at IS 'When its last transaction was.';

CREATE TABLE billing.killbill_pushed_invoice (
    endpoint     text   NOT NULL,
    invoice_id   bigint NOT NULL REFERENCES billing.invoice,
    killbill_id  uuid,
    message_id   bigint,
    reference    text   NOT NULL DEFAULT billing.killbill_reference(),
    committed_at timestamptz,
    PRIMARY KEY (endpoint, invoice_id)
);
CREATE INDEX killbill_pushed_invoice_invoice ON billing.killbill_pushed_invoice (invoice_id);
COMMENT ON TABLE billing.killbill_pushed_invoice IS 'Final invoices of ours that are told to a server as external charges.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.invoice_id IS 'Invoice of ours.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.killbill_id IS 'Invoice there.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.message_id IS 'Message that tells it; null = it was discarded, and killbill_push_invoices() tells the invoice again.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.reference IS 'How the references of its items there begin; billing: alone for what was told before references named the ledger.';
COMMENT ON COLUMN billing.killbill_pushed_invoice.committed_at IS 'When the server confirmed it; null = not yet.';

CREATE TABLE billing.killbill_server (
    endpoint     text PRIMARY KEY,
    version      text NOT NULL,
    read_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE billing.killbill_server IS 'Versions of the servers, as they said last.';
COMMENT ON COLUMN billing.killbill_server.endpoint IS 'Endpoint.';
COMMENT ON COLUMN billing.killbill_server.version IS 'Version, such as 0.22.26.';
COMMENT ON COLUMN billing.killbill_server.read_at IS 'When it was read.';
