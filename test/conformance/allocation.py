"""Cases of allocation: cost rows come in as a provider delivers them, rules divide them, and reports say what each target bears.

What is added up, the product's sum(monetary) adds up.  Each case has a month, a cost source and a scheme of its own, because a run divides all cost of its period.
"""

import json

STAGED = """CREATE TEMP TABLE staged ("BillingAccountId" text, "BillingCurrency" text, "BillingPeriodStart" text, "BillingPeriodEnd" text, "ChargePeriodStart" text, "ChargePeriodEnd" text, "ChargeCategory" text,
                                      "ServiceName" text, "SubAccountId" text, "BilledCost" text, "EffectiveCost" text, "ListCost" text, "ContractedCost" text)"""


class World:
    """The month, the cost and the scheme of one case."""
    months = 0

    def __init__(self, server, case, currencies, targets):
        self.server, self.case, self.key = server, case, case["key"]
        self.digits = case["input"]["digits"]
        # shares know no cents: where no currency has as many, any currency does
        self.currency, self.in_cents = currencies.get(self.digits, "EUR"), self.digits in currencies
        month, World.months = World.months, World.months + 1
        self.starts, self.ends = f"{2001 + month // 12}-{month % 12 + 1:02}-01", f"{2001 + (month + 1) // 12}-{(month + 1) % 12 + 1:02}-01"
        self.period = f"[{self.starts},{self.ends})"
        server.rows("SELECT set_allocation_scheme(%(key)s), set_cost_source(%(key)s)", key=self.key)
        for target in ["payer", *targets]:
            server.rows("SELECT set_cost_center(%(key)s, %(target)s)", key=self.key, target=target)
        server.rows("SELECT set_billing_account(%(key)s, 'payer', %(key)s, 'payer')", key=self.key)

    def take(self, costs):
        """Cost rows: (service, sub-account, amount)."""
        if not self.server.value("SELECT to_regclass('pg_temp.staged') IS NOT NULL"):
            self.server.cursor.execute(STAGED)
        for service, sub_account, amount in costs:
            self.server.cursor.execute("INSERT INTO staged VALUES ('payer', %(currency)s, %(starts)s, %(ends)s, %(starts)s, %(ends)s, 'Usage', %(service)s, %(sub)s, %(amount)s, %(amount)s, %(amount)s, %(amount)s)",
                                       dict(currency=self.currency, starts=self.starts, ends=self.ends, service=service, sub=sub_account, amount=amount))
        outcome = self.server.value("SELECT outcome FROM import_focus('pg_temp.staged', %(key)s, %(period)s)", key=self.key, period=self.period)
        self.server.cursor.execute("TRUNCATE staged")
        return outcome

    def rule(self, place, key, action, condition=None, from_target=None):
        self.server.rows("SELECT set_allocation_rule(%(scheme)s, %(key)s, %(place)s, %(action)s, %(condition)s, %(giver)s)", scheme=self.key, key=key, place=place, action=json.dumps(action),
                         condition=json.dumps(condition or {}), giver=from_target)

    def allocate(self):
        self.server.rows("CALL allocate(%(period)s, NULL, %(scheme)s)", period=self.period, scheme=self.key)

    def reported(self):
        """What each target bears: the report where it is in cents of so many digits, else the same rounding of the exact shares."""
        if not self.in_cents:
            return self.rounded("true")
        return dict(self.server.rows("SELECT cost_center, amount(sum(monetary(billed, currency))) FROM report_lines(%(period)s) WHERE scheme = %(scheme)s GROUP BY 1", period=self.period, scheme=self.key))

    def whole(self):
        """What all of them bear."""
        return self.server.value("SELECT amount(sum(monetary(billed, currency))) FROM report_lines(%(period)s) WHERE scheme = %(scheme)s", period=self.period, scheme=self.key)

    def rounded(self, condition):
        return dict(self.server.rows(f"""SELECT unnest(array_agg(s.cost_center ORDER BY s.cost_center)), unnest(round_shares(array_agg(s.billed ORDER BY s.cost_center), %(digits)s::int))
                                           FROM (SELECT cost_center, CASE count(*) WHEN 1 THEN min(billed) ELSE amount(sum(monetary(billed, currency))) END AS billed FROM cost_shares WHERE scheme = %(scheme)s AND {condition} GROUP BY 1) AS s""",
                                     scheme=self.key, digits=self.digits))


def check_proportional(server, case, currencies, expect):
    """An amount over weights; a target with weight 0 gets no share."""
    weights = case["input"]["weights"]
    # shares have the decimals of their amount: enough to tell what each loses below the digits
    amount = server.value("SELECT round(%(amount)s::numeric, greatest(scale(%(amount)s::numeric), %(digits)s::int + 15))::text", amount=case["input"]["amount"], digits=case["input"]["digits"])
    targets = [f"target {number:03}" for number in range(len(weights))]
    world = World(server, case, currencies, targets)
    expect("rows taken in", 1 if world.take([("shared", "shared", amount)]) == "changed" else 0, 1)
    world.rule(1, "all", {"split": "fixed", "weights": dict(zip(targets, weights, strict=True))})
    world.allocate()
    got = world.reported()
    for target, wanted in zip(targets, case["expected"]["shares"], strict=True):
        expect(target, got.get(target, 0), wanted)


def check_share_pool(server, case, currencies, expect):
    """Direct and idle cost of namespaces; those marked as shared give theirs on by the direct cost of the others."""
    costs = case["input"]["costs"]
    world = World(server, case, currencies, [cost["key"] for cost in costs])
    world.take([(service, cost["key"], cost[service]) for cost in costs for service in ("direct", "idle")])
    for place, service in enumerate(("direct", "idle")):
        world.rule(place, service, {"target_from": "column:SubAccountId"}, {"column": "ServiceName", "equals": service})
    for place, cost in enumerate(costs):
        if str(cost.get("share")).lower() == "true":
            world.rule(10 + place, f"share {cost['key']}", {"split": "proportional", "rule": "direct"}, from_target=cost["key"])
    world.allocate()
    got = world.reported()
    for key, wanted in case["expected"]["totals"].items():
        expect(f"total of {key}", got.get(key), wanted)
    expect("the sum", world.whole(), case["expected"]["sum"])
    idle = world.rounded("service = 'idle'")
    for key, wanted in case["expected"]["idle"].items():
        expect(f"idle cost of {key}", idle.get(key), wanted)


KINDS = {"proportional": check_proportional, "share_pool": check_share_pool}


def check(server, case, currencies, expect):
    KINDS[case["kind"]](server, case, currencies, expect)
