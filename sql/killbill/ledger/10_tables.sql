-- What is known of Kill Bill servers: their catalogs, what of ours is mirrored there, what was pushed, and their invoices as last read.
--
-- The first column of each table is the endpoint.  Nothing here is a fact of billing: prices go through set_price(), and invoices of
-- the server are copies, read again at any time.

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
