-- Tables of allocation: schemes, their rules, and what came of them.  See doc/allocation.md for the few ideas behind them.

CREATE TABLE billing.allocation_scheme (
    scheme_id   int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text NOT NULL UNIQUE CHECK (key <> ''),
    kind        text NOT NULL CHECK (kind <> ''),
    restatement text NOT NULL DEFAULT 'hold' CHECK (restatement IN ('book', 'hold', 'ignore')),
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE billing.allocation_scheme IS 'One complete division of all cost among the cost centers of a kind. Schemes stand side by side and are never added to each other.';
COMMENT ON COLUMN billing.allocation_scheme.scheme_id IS 'The scheme.';
COMMENT ON COLUMN billing.allocation_scheme.kind IS 'Kind of its targets, see cost_center: department, project, environment …';
COMMENT ON COLUMN billing.allocation_scheme.restatement IS 'What happens to a difference in a closed period: book it, hold it for approval, or ignore it.';

CREATE TABLE billing.allocation_rule (
    rule_id     int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scheme_id   int  NOT NULL REFERENCES billing.allocation_scheme,
    key         text NOT NULL CHECK (key <> ''),
    place       int  NOT NULL,
    condition   jsonb NOT NULL DEFAULT '{}',
    from_id     bigint REFERENCES billing.cost_center,
    action      jsonb NOT NULL,
    pools       text[] NOT NULL DEFAULT '{cost}' CHECK (pools <@ '{cost,tax,credit,unused_commitment}' AND pools <> '{}'),
    valid       daterange NOT NULL DEFAULT '(,)' CHECK (NOT pg_catalog.isempty(valid)),
    known       tstzrange NOT NULL DEFAULT pg_catalog.tstzrange(billing.recorded_at(), NULL),
    recorded_by text NOT NULL DEFAULT session_user,
    EXCLUDE USING gist (scheme_id WITH =, key WITH =, valid WITH &&, known WITH &&)
);
COMMENT ON TABLE billing.allocation_rule IS 'Who bears which cost; facts. The first rule in order of place, then key, whose condition holds takes a cost row.';
COMMENT ON COLUMN billing.allocation_rule.rule_id IS 'The rule as it was said once.';
COMMENT ON COLUMN billing.allocation_rule.scheme_id IS 'The scheme it belongs to.';
COMMENT ON COLUMN billing.allocation_rule.place IS 'Order among the rules of the scheme.';
COMMENT ON COLUMN billing.allocation_rule.condition IS 'Which cost rows it takes, see condition_sql(); of a rule with from_id, nothing.';
COMMENT ON COLUMN billing.allocation_rule.from_id IS 'A further step: it takes no cost rows but all that this cost center has got by the rules before it; null = it takes cost rows.';
COMMENT ON COLUMN billing.allocation_rule.action IS 'What it does with them, see set_allocation_rule().';
COMMENT ON COLUMN billing.allocation_rule.pools IS 'Which rows it may take at all: cost, tax, credit, unused_commitment.';
COMMENT ON COLUMN billing.allocation_rule.valid IS 'Charge days on which it holds, in UTC; the last is not included.';

CREATE TABLE billing.allocation (
    allocation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scheme_id     int    NOT NULL REFERENCES billing.allocation_scheme,
    period        daterange NOT NULL CHECK (NOT pg_catalog.isempty(period)),
    chain_no      int    NOT NULL CHECK (chain_no > 0),
    state         text   NOT NULL CHECK (state IN ('open', 'closed', 'held', 'ignored')),
    known_at      timestamptz NOT NULL,
    rules         int[]  NOT NULL,
    run_id        bigint REFERENCES billing.run,
    reason        text,
    recorded_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recorded_by   text   NOT NULL DEFAULT session_user,
    UNIQUE (scheme_id, period, chain_no)
);
COMMENT ON TABLE billing.allocation IS 'The division of the cost of a period by a scheme. Number 1 is replaced by each run until it is closed; later numbers hold only differences.';
COMMENT ON COLUMN billing.allocation.allocation_id IS 'The allocation.';
COMMENT ON COLUMN billing.allocation.scheme_id IS 'Its scheme.';
COMMENT ON COLUMN billing.allocation.period IS 'Its period, in UTC: cost windows whose billing period begins in it.';
COMMENT ON COLUMN billing.allocation.chain_no IS '1 = the first; 2 and more = differences to what was closed before.';
COMMENT ON COLUMN billing.allocation.state IS 'open (replaced by the next run), closed, held (a difference that waits for approval), ignored. Reports count open and closed.';
COMMENT ON COLUMN billing.allocation.known_at IS 'Cost and rules as known then.';
COMMENT ON COLUMN billing.allocation.rules IS 'Its rules (rule_id) in the order in which they applied.';

CREATE FUNCTION billing.keep_closed_allocation() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('allocation %s of %s is closed and stays as it is', OLD.allocation_id, OLD.period),
        HINT = 'CALL billing.allocate() for its period: what has changed since becomes a difference.';
END $$;
COMMENT ON FUNCTION billing.keep_closed_allocation() IS 'Trigger of allocation: refuses to change or delete what is closed. Errors: 42501. Volatile.';
CREATE TRIGGER keep_closed BEFORE UPDATE OR DELETE ON billing.allocation FOR EACH ROW WHEN (OLD.state = 'closed') EXECUTE FUNCTION billing.keep_closed_allocation();
COMMENT ON TRIGGER keep_closed ON billing.allocation IS 'A closed allocation stays closed, for the owner of the ledger too: its state is what keeps the next run from dividing the period anew. The other states change in place, so rights alone cannot tell.';

CREATE TABLE billing.allocation_fraction (
    allocation_id bigint NOT NULL,
    rule_id       int    NOT NULL,
    currency      text   NOT NULL,
    place         int    NOT NULL,
    target_id     bigint,
    reason        text   CHECK (reason IN ('zero_basis', 'mixed_basis', 'unknown_target')),
    basis         numeric NOT NULL,
    basis_before  numeric NOT NULL,
    basis_total   numeric NOT NULL,
    final         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (allocation_id, rule_id, currency, place, final),
    CHECK ((target_id IS NULL) = (reason IS NOT NULL))
) PARTITION BY LIST (final);
CREATE TABLE billing.allocation_fraction_open PARTITION OF billing.allocation_fraction FOR VALUES IN (false);
CREATE TABLE billing.allocation_fraction_closed PARTITION OF billing.allocation_fraction FOR VALUES IN (true);
COMMENT ON TABLE billing.allocation_fraction_open IS 'Fractions of what is not closed; replaced by each run.';
COMMENT ON TABLE billing.allocation_fraction_closed IS 'Fractions of closed periods. Append-only.';
COMMENT ON TABLE billing.allocation_fraction IS 'How a rule split what it took: target_id got basis / basis_total of it. A part that nobody could be given is here as well.';
COMMENT ON COLUMN billing.allocation_fraction.allocation_id IS 'The allocation.';
COMMENT ON COLUMN billing.allocation_fraction.rule_id IS 'The rule.';
COMMENT ON COLUMN billing.allocation_fraction.currency IS 'Currency of what was split; cost of one currency is no basis for another.';
COMMENT ON COLUMN billing.allocation_fraction.place IS 'Place in the byte order of the targets'' keys, from 1 on; what stays unallocated comes last.';
COMMENT ON COLUMN billing.allocation_fraction.target_id IS 'The cost center that gets it; null = it stays unallocated.';
COMMENT ON COLUMN billing.allocation_fraction.reason IS 'Why it stays unallocated: zero_basis, mixed_basis (then it is all), or unknown_target, usage that names no cost center.';
COMMENT ON COLUMN billing.allocation_fraction.basis IS 'Its weight: percent, direct cost, quantity of usage, or 1.';
COMMENT ON COLUMN billing.allocation_fraction.basis_before IS 'Sum of the weights of the targets before it.';
COMMENT ON COLUMN billing.allocation_fraction.basis_total IS 'Sum of all weights; 0 where nothing could be split.';
COMMENT ON COLUMN billing.allocation_fraction.final IS 'True: the allocation is closed, and nobody can change or delete the row.';

CREATE TABLE billing.allocation_share (
    share_id      bigint GENERATED ALWAYS AS IDENTITY,
    allocation_id bigint NOT NULL,
    parent_id     bigint,
    rule_id       int,
    fraction_of   bigint,
    outcome       text   NOT NULL CHECK (outcome IN ('direct', 'shared', 'unallocated', 'excluded', 'pool', 'moved')),
    reason        text,
    target_id     bigint,
    window_id     int    NOT NULL,
    day           date   NOT NULL,
    origin        date,
    pool          text   NOT NULL,
    category      text,
    provider      text,
    service       text,
    sub_account   text,
    currency      text   NOT NULL,
    billed        numeric NOT NULL,
    effective     numeric NOT NULL,
    list          numeric NOT NULL,
    contracted    numeric NOT NULL,
    final         boolean NOT NULL DEFAULT false,
    stays         boolean GENERATED ALWAYS AS (final) STORED,
    PRIMARY KEY (allocation_id, share_id, final)
) PARTITION BY LIST (final);
-- A share is replaced by each run until its period is closed; then it moves to where nobody can change it, its owner included.
CREATE TABLE billing.allocation_share_open PARTITION OF billing.allocation_share FOR VALUES IN (false);
CREATE TABLE billing.allocation_share_closed PARTITION OF billing.allocation_share (FOREIGN KEY (allocation_id) REFERENCES billing.allocation) FOR VALUES IN (true);
-- What a step takes is found without reading all shares again.
CREATE INDEX allocation_share_pool ON billing.allocation_share_open (allocation_id, rule_id) WHERE outcome = 'pool';
CREATE INDEX allocation_share_held ON billing.allocation_share_open (allocation_id, target_id) WHERE outcome IN ('direct', 'shared');
CREATE INDEX allocation_share_direct ON billing.allocation_share_open (allocation_id, currency) WHERE outcome = 'direct';
CREATE INDEX allocation_share_moved ON billing.allocation_share_open (allocation_id, target_id) WHERE outcome = 'moved';
COMMENT ON TABLE billing.allocation_share_open IS 'Shares of what is not closed; replaced by each run.';
COMMENT ON TABLE billing.allocation_share_closed IS 'Shares of closed periods. Append-only.';
COMMENT ON TABLE billing.allocation_share IS 'What a target bears of a cell of cost: rows of one window, day, service, sub-account, category and currency that one rule took. Final are direct, shared, unallocated and excluded: they add up to the cost of the period.';
COMMENT ON COLUMN billing.allocation_share.share_id IS 'Number of the share.';
COMMENT ON COLUMN billing.allocation_share.allocation_id IS 'The allocation.';
COMMENT ON COLUMN billing.allocation_share.parent_id IS 'The share it was split from; null = it comes from cost rows.';
COMMENT ON COLUMN billing.allocation_share.rule_id IS 'The rule that gave it; null = none took it.';
COMMENT ON COLUMN billing.allocation_share.fraction_of IS 'The allocation whose fractions were used; of what comes from cost rows that of the earlier period whose rules took it, because it corrects that. Null = given whole by the rules of its own.';
COMMENT ON COLUMN billing.allocation_share.outcome IS 'direct (given whole), shared (a part of something split), unallocated, excluded; and on the way: pool (taken by a rule that splits), moved (given on by a later step).';
COMMENT ON COLUMN billing.allocation_share.reason IS 'Of unallocated: no_rule, stopped, unknown_target, zero_basis, mixed_basis.';
COMMENT ON COLUMN billing.allocation_share.target_id IS 'The cost center that bears it.';
COMMENT ON COLUMN billing.allocation_share.window_id IS 'Its window, see cost_window.';
COMMENT ON COLUMN billing.allocation_share.day IS 'First day of the charge period in UTC.';
COMMENT ON COLUMN billing.allocation_share.origin IS 'Of a correction of an earlier period: first day of the billing period that it corrects.';
COMMENT ON COLUMN billing.allocation_share.pool IS 'cost, tax, credit, unused_commitment.';
COMMENT ON COLUMN billing.allocation_share.category IS 'ChargeCategory.';
COMMENT ON COLUMN billing.allocation_share.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.allocation_share.service IS 'ServiceName.';
COMMENT ON COLUMN billing.allocation_share.sub_account IS 'SubAccountId.';
COMMENT ON COLUMN billing.allocation_share.billed IS 'Part of BilledCost (cash).';
COMMENT ON COLUMN billing.allocation_share.effective IS 'Part of EffectiveCost (amortised).';
COMMENT ON COLUMN billing.allocation_share.list IS 'Part of ListCost.';
COMMENT ON COLUMN billing.allocation_share.contracted IS 'Part of ContractedCost.';
COMMENT ON COLUMN billing.allocation_share.final IS 'True: the allocation is closed, and nobody can change or delete the row.';
COMMENT ON COLUMN billing.allocation_share.stays IS 'The same; the owner keeps the right to update this column alone, to nothing, because checking the foreign key to the allocation takes such a right.';

CREATE TABLE billing.allocation_finding (
    allocation_id bigint NOT NULL,
    finding_no    int    GENERATED ALWAYS AS IDENTITY,
    severity      text   NOT NULL CHECK (severity IN ('error', 'warning')),
    rule          text,
    message       text   NOT NULL,
    mend          text   NOT NULL,
    PRIMARY KEY (allocation_id, finding_no)
);
COMMENT ON TABLE billing.allocation_finding IS 'What went other than the rules ask: zero and mixed bases, unknown targets, cost that no rule took.';
COMMENT ON COLUMN billing.allocation_finding.allocation_id IS 'The allocation.';
COMMENT ON COLUMN billing.allocation_finding.finding_no IS 'Number of the finding.';
COMMENT ON COLUMN billing.allocation_finding.severity IS 'error, warning.';
COMMENT ON COLUMN billing.allocation_finding.rule IS 'Key of the rule; null = none.';
COMMENT ON COLUMN billing.allocation_finding.message IS 'What was found, with its value.';
COMMENT ON COLUMN billing.allocation_finding.mend IS 'How to mend it.';
