"""Random rule sets over random cost, many at once: each world has a scheme and two months of its own, all of a batch are imported together.

The first month of a world is divided and closed.  The second is divided by rules that may have changed, and corrects the first: what the same rule split there is split as it was.
Then the provider restates the first month, which books the difference.  Rows come in random order, every fifth batch forces parallel plans, and in every third a rule gives tags.
"""

import datetime
import json
import os
import random
import threading
from decimal import Decimal

import psycopg2
import psycopg2.errors

from ledger import Ledger, differences
from oracle import KINDS, divide

CENTERS = ["a", "b", "c", "D", "e", "f"]
BATCH = 50
COLUMNS = ["BillingAccountId", "BillingCurrency", "ChargeCategory", "ChargeClass", "ProviderName", "ServiceName", "SubAccountId", "CommitmentDiscountStatus", "Tags", "BillingPeriodStart", "BillingPeriodEnd",
           "ChargePeriodStart", "ChargePeriodEnd", "BilledCost", "EffectiveCost", "ListCost", "ContractedCost"]
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")


def month(number):
    return datetime.date(1990 + number // 12, number % 12 + 1, 1).isoformat()


# --- making a world -----------------------------------------------------------------------------------------------------------------

def random_condition(rng, depth=0):
    if depth == 0 and rng.random() < 0.4:
        return rng.choice([{"tag": "team", "equals": rng.choice("abc")}, {"tag": "team", "in": rng.sample("abcz", 2)}, {"column": "SubAccountId", "equals": rng.choice(["u1", "u2"])},
                           {"column": "SubAccountId", "in": rng.sample(["u1", "u2", "a"], 2)}])
    if depth < 2 and rng.random() < 0.3:
        word = rng.choice(["and", "or", "not"])
        return {word: random_condition(rng, depth + 1) if word == "not" else [random_condition(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    operand = rng.choice([{"column": "ServiceName"}, {"column": "SubAccountId"}, {"tag": "team"}, {"tag": "env"}])
    text = rng.choice(["s1", "s2", "s", "u1", "u2", "a", "b", "prod"])
    test = rng.choice([{"equals": text}, {"prefix": text}, {"contains": text}, {"in": [text, "s3"]}, {"exists": rng.random() < 0.5}, {"regex": f"^{text}[12]?$"}])
    return {**operand, **test}


def random_action(rng, earlier, step):
    roll = rng.random()
    if roll < 0.25:
        return {"target": rng.choice(CENTERS)}
    if roll < 0.4 and not step:
        return rng.choice([{"target_from": "tag:team"}, {"target_from": "column:SubAccountId"}, {"stop": True}, {"exclude": True}])
    if roll < 0.55:
        return {"split": "fixed", "weights": {t: rng.choice(["1", "2.5", "33.333", "0.1", "1e-40"]) for t in rng.sample(CENTERS, rng.randint(1, 4))}}
    if roll < 0.7:
        return {"split": "even", "targets": rng.sample(CENTERS, rng.randint(1, 5))}
    if roll < 0.77:
        action = {"split": "usage", "meter": "load", "by": "team"}
    else:
        action = {"split": "proportional", "basis": rng.choice(KINDS)}
        if earlier and rng.random() < 0.5:
            action["rule"] = rng.choice(earlier)
    if rng.random() < 0.3:
        action["targets"] = rng.sample(CENTERS, 3)
    return action


def random_rules(rng, starts):
    rules, givers = [], []
    for place in range(rng.randint(2, 10)):
        rule = dict(place=place, key=f"r{place}", pools=["cost"] if rng.random() < 0.4 else rng.sample(["cost", "tax", "credit", "unused_commitment"], rng.randint(1, 4)), condition=random_condition(rng))
        giver = rng.choice(CENTERS)
        if rng.random() < 0.3 and giver not in givers:
            rule.update(from_target=giver, condition={})
            givers.append(giver)
        rule["action"] = random_action(rng, [r["key"] for r in rules], "from_target" in rule)
        if rng.random() < 0.1:
            rule.update(valid_from=starts, valid_to=starts[:8] + rng.choice(["02", "03"]))
        elif "from_target" not in rule and rng.random() < 0.1:    # from a day on, the rule does something else
            changes = starts[:8] + rng.choice(["02", "03"])
            rules.append(dict(rule, valid_to=changes))
            rule = dict(rule, valid_from=changes, action=random_action(rng, [r["key"] for r in rules if r["key"] != rule["key"]], False))
        rules.append(rule)
    return rules


def acyclic(rules):
    edges = [(r["from_target"], t) for r in rules if "from_target" in r for t in (r["action"].get("targets") or list(r["action"].get("weights", {})) or [r["action"].get("target")]) if t]
    reach = set(edges)
    while True:
        more = reach | {(a, d) for a, b in reach for c, d in edges if b == c}
        if more == reach:
            return all(a != b for a, b in reach)
        reach = more


def some_rules(rng, starts):
    rules = random_rules(rng, starts)
    while not acyclic(rules):
        rules = random_rules(rng, starts)
    return rules


def random_amount(rng, digits):
    if rng.random() < 0.1:
        return Decimal(0)
    whole = rng.randint(-20 if rng.random() < 0.15 else 0, 10 ** rng.randint(1, 6))
    return Decimal(whole * 10 ** digits + rng.randint(0, 10 ** digits - 1)).scaleb(-digits)


def random_row(rng, window, starts, corrects=None):
    """A row of the month that begins with starts; corrects: first day of the month that it may correct."""
    digits = rng.choice([0, 2, 6, 17])
    origin = corrects if corrects and rng.random() < 0.4 else None
    tags = {k: v for k, v in (("team", rng.choice([None, "a", "b", "c", "zz"])), ("env", rng.choice([None, "prod", "dev"]))) if v}
    return dict(BillingAccountId="A", BillingCurrency=rng.choice(["EUR", "EUR", "USD"]), ChargeCategory=rng.choice(["Usage", "Usage", "Usage", "Tax", "Credit", "Purchase"]),
                ChargeClass="Correction" if origin else None, ProviderName="P", ServiceName=rng.choice(["s1", "s2", "s3"]), SubAccountId=rng.choice([None, "u1", "u2", "a"]),
                CommitmentDiscountStatus=rng.choice([None, None, "Unused"]), tags=tags, window=window, origin=origin, day=f"{(origin or starts)[:8]}{rng.randint(1, 3):02}",
                amounts=[random_amount(rng, digits) for _ in KINDS])


class World:
    """tagged: in every third batch a rule gives rows a tag that the provider did not, which the ledger reads in another way."""

    def __init__(self, seed, place):
        rng = self.rng = random.Random(seed)
        self.tagged = (seed - place) // BATCH % 3 == 1
        self.seed, self.scheme, self.months = seed, f"w{place}", [month(3 * place + n) for n in range(3)]
        self.rules = some_rules(rng, self.months[0])
        self.later = [dict(r) for r in self.rules] if rng.random() < 0.5 else some_rules(rng, self.months[1])    # said again in any case, so these are other rules
        self.first = [random_row(rng, "1", self.months[0]) for _ in range(rng.randint(0, 25))]
        self.second = [random_row(rng, "2", self.months[1], self.months[0]) for _ in range(rng.randint(0, 25))]
        self.restated = [r for r in self.first if rng.random() < 0.8] + [random_row(rng, "1", self.months[0]) for _ in range(rng.randint(0, 3))]
        for row in self.first + self.second + self.restated:
            row.setdefault("delivered", row["tags"])
            row["tags"] = {**({"env": "prod"} if self.tagged and row["ServiceName"] == "s3" else {}), **row["delivered"]}

    def period(self, number):
        return f"[{self.months[number]},{self.months[number + 1]})"

    def staged(self, rows, number):
        return [{**{k: v for k, v in row.items() if k not in ("tags", "delivered", "window", "day", "origin", "amounts")}, "Tags": json.dumps(row["delivered"]) if row["delivered"] else None,
                 "BillingPeriodStart": self.months[number], "BillingPeriodEnd": self.months[number + 1], "ChargePeriodStart": row["day"] + "T05:00:00Z", "ChargePeriodEnd": row["day"] + "T06:00:00Z",
                 **dict(zip(COSTS, (format(a, "f") for a in row["amounts"])))} for row in rows]


# --- playing a batch ----------------------------------------------------------------------------------------------------------------

def prepare(ledger):
    """What all worlds share: cost centers, a cost source, schemes, and usage of a meter in every month."""
    ledger.rows("CREATE TABLE public.world (" + ", ".join(f'"{n}" text' for n in COLUMNS) + ")")
    ledger.rows("SELECT billing.set_cost_center('world', c) FROM unnest(%s) AS c", CENTERS)
    ledger.rows("SELECT billing.set_cost_source('world'), billing.set_billing_account('world', 'A', 'world', 'a')")
    ledger.rows("SELECT billing.set_allocation_scheme('w' || n, 'world', 'book') FROM generate_series(0, %s) AS n", BATCH - 1)
    ledger.rows("SELECT billing.set_seller('worlds', legal_name => 'Worlds', country => 'DE', currency => 'EUR')")
    ledger.rows("SELECT billing.set_account('user', seller => 'worlds', time_zone => 'UTC', starts_on => '1990-01-01'), billing.set_meter('load', unit => 'HUR', seller => 'worlds', dimensions => '{team}')")
    rng, usage, events = random.Random(1), {}, []
    for number in range(3 * BATCH):
        starts = month(number)
        for target in ("a", "b", "f", "nobody"):
            if rng.random() < 0.7:
                quantity = Decimal(rng.randint(1, 10 ** 6)).scaleb(-3)
                events.append(dict(id=starts + target, account="user", meter="load", at=starts + "T10:00:00Z", quantity=str(quantity), dimensions=dict(team=target)))
                usage.setdefault(starts, {})[target] = quantity
    outcomes = ledger.rows("SELECT outcome, count(*) FROM billing.record_usage(%s) GROUP BY 1", json.dumps(events))
    if outcomes != [("accepted", len(events))]:
        raise RuntimeError(f"usage was {outcomes}")
    ledger.connection.commit()
    return usage


def take(ledger, batch, chosen):
    """Imports the rows of a batch: chosen(world) are [(rows, number of the month)]."""
    staged = [row for world in batch for rows, number in chosen(world) for row in world.staged(rows, number)]
    random.Random(batch[0].seed).shuffle(staged)
    ledger.rows("TRUNCATE public.world")
    ledger.rows("INSERT INTO public.world SELECT * FROM jsonb_populate_recordset(NULL::public.world, %s)", json.dumps(staged))
    ledger.rows("SELECT * FROM billing.import_focus('public.world', 'world', '[1990-01-01,2030-01-01)')")


def allocate(ledger, batch, number):
    for world in batch:
        ledger.rows("CALL billing.allocate(%s, NULL, %s)", world.period(number), world.scheme)


def compare(world, found, expected, rows, by_rule=True):
    if not by_rule:
        found, expected = without_rule(found), without_rule(expected)
    problems = differences(expected, found)
    sums = [sum(column) for column in zip(*(r["amounts"] for r in rows))] if rows else [0] * 4
    if sums != ([sum(column) for column in zip(*found.values())] if found else [0] * 4):
        problems.append("shares do not add up to the cost")
    return [f"seed {world.seed}: {p}" for p in problems]


def without_rule(shares):
    """Differences do not keep which rule gave what; nothing is left of what became 0."""
    sums = {}
    for key, amounts in shares.items():
        sums[key[1:]] = [a + b for a, b in zip(sums.get(key[1:], [Decimal(0)] * 4), amounts)]
    return {key: amounts for key, amounts in sums.items() if any(amounts)}


def shares_of(ledger, batch, number):
    """{scheme: shares} of one of the months of each world."""
    months = {world.scheme: world.months[number] for world in batch}
    found = {}
    for scheme, starts, *key, billed, effective, listed, contracted in ledger.rows("""
            SELECT scheme, lower(period)::text, rule, outcome, cost_center, currency, sum(billed), sum(effective), sum(list), sum(contracted) FROM billing.cost_shares GROUP BY 1, 2, 3, 4, 5, 6"""):
        if months.get(scheme) == starts:
            found.setdefault(scheme, {})[tuple(key)] = [billed, effective, listed, contracted]
    return found


def play(ledger, batch, usage):
    """The problems of a batch; leaves nothing behind."""
    problems, past = [], {}
    try:
        if batch[0].seed // BATCH % 5 == 1:
            ledger.rows("SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL max_parallel_workers_per_gather = 2")
        if batch[0].tagged:
            ledger.rows("""SELECT billing.set_auto_tag_rule('auto', 'env', '{"column": "ServiceName", "equals": "s3"}', value => 'prod')""")
        take(ledger, batch, lambda w: [(w.first, 0), (w.second, 1)])
        for world in batch:
            ledger.set_rules(world.scheme, world.rules)
        allocate(ledger, batch, 0)
        found = shares_of(ledger, batch, 0)
        for world in batch:
            expected, past[world.scheme] = divide(world.first, world.rules, set(CENTERS), world.months[0], usage.get(world.months[0]))
            problems += compare(world, found.get(world.scheme, {}), expected, world.first)
            ledger.rows("SELECT billing.close_allocation(%s, %s)", world.period(0), world.scheme)
            ledger.rows("SELECT billing.remove_allocation_rule(%s, rule) FROM (SELECT DISTINCT rule FROM billing.allocation_rules WHERE scheme = %s) AS r", world.scheme, world.scheme)
            ledger.set_rules(world.scheme, world.later)
        allocate(ledger, batch, 1)
        found = shares_of(ledger, batch, 1)
        for world in batch:
            expected, _ = divide(world.second, world.later, set(CENTERS), world.months[1], usage.get(world.months[1]), past[world.scheme])
            problems += compare(world, found.get(world.scheme, {}), expected, world.second)
        take(ledger, batch, lambda w: [(w.restated, 0)] if w.restated else [])
        allocate(ledger, batch, 0)
        found = shares_of(ledger, batch, 0)
        restated = {s for s, in ledger.rows("SELECT scheme FROM billing.allocations WHERE chain_no = 2")}
        for world in batch:
            rows = world.restated or world.first
            expected, how = divide(rows, world.later, set(CENTERS), world.months[0], usage.get(world.months[0]))
            problems += compare(world, found.get(world.scheme, {}), expected, rows, by_rule=False)
            if world.scheme in restated:
                past[world.scheme] = how
        allocate(ledger, batch, 1)      # once more: corrections now go by the newest division
        found = shares_of(ledger, batch, 1)
        for world in batch:
            expected, _ = divide(world.second, world.later, set(CENTERS), world.months[1], usage.get(world.months[1]), past[world.scheme])
            problems += compare(world, found.get(world.scheme, {}), expected, world.second)
    finally:
        ledger.connection.rollback()
    return problems


def cycles(ledger):
    """Steps that would bring cost back to where it came from are refused, and the others are not."""
    problems, rng = [], random.Random(1)
    long = [dict(key=f"{a} to {b}", place=n, pools=["cost"], condition={}, from_target=a, action={"target": b}) for n, (a, b) in enumerate(zip("abce", "bcea"))]
    for number in range(60):
        rules = [dict(r, condition={}, action={k: v for k, v in r["action"].items() if k != "rule"}) for r in random_rules(rng, month(0)) if "from_target" in r] if number else long
        refused = False
        try:
            ledger.set_rules("w0", rules)
        except psycopg2.errors.InvalidParameterValue:
            refused = True
        finally:
            ledger.connection.rollback()
        if refused == acyclic(rules):
            problems.append(f"rule set {number} was {'refused' if refused else 'taken'}: {[(r['from_target'], r['action']) for r in rules]}")
    return problems


def worlds(ledger, report):
    count = 10000 if os.environ.get("FULL") == "1" else 500 if os.environ.get("SAMPLE") == "1" else 50
    first, problems, usage = int(os.environ.get("SEED", "1")), [], prepare(ledger)
    for start in range(first, first + count, BATCH):
        problems += play(ledger, [World(seed, place) for place, seed in enumerate(range(start, min(start + BATCH, first + count)))], usage)
        if (start - first) // BATCH % 10 == 9:
            sweep(ledger)
        if len(problems) > 20:
            break
    report(f"allocation: {count} random rule sets over random cost (seeds {first} to {first + count - 1}), closed, corrected and restated, equal to fractions", problems)
    report("allocation: cycles of steps are refused", cycles(ledger))
    report("allocation: two sessions at once divide as one does", at_once(ledger, usage))


def sweep(ledger):
    """What was taken back is dead weight."""
    ledger.connection.autocommit = True
    ledger.rows("VACUUM billing.cost, billing.cost_staged, billing.allocation, billing.allocation_rule, billing.allocation_share, billing.allocation_fraction, billing.allocation_finding, billing.tag_set, billing.cost_finding, billing.run")
    ledger.connection.autocommit = False


def at_once(ledger, usage):
    """Sessions that divide the same months and schemes at the same time, against fractions."""
    batch = [World(seed, place) for place, seed in enumerate(range(900001, 900011))]
    take(ledger, batch, lambda w: [(w.first, 0)])
    for world in batch:
        ledger.set_rules(world.scheme, world.rules)
    ledger.connection.commit()
    problems = []

    def session(order):
        try:
            own = Ledger(create=False)
            for world in order * 3:
                own.rows("CALL billing.allocate(%s, NULL, %s)", world.period(0), world.scheme)
                own.connection.commit()
        except Exception as error:
            problems.append(str(error).splitlines()[0])

    sessions = [threading.Thread(target=session, args=(order,)) for order in (batch, batch[::-1], batch[5:] + batch[:5])]
    for one in sessions:
        one.start()
    for one in sessions:
        one.join()
    found = shares_of(ledger, batch, 0)
    for world in batch:
        expected, _ = divide(world.first, world.rules, set(CENTERS), world.months[0], usage.get(world.months[0]))
        problems += compare(world, found.get(world.scheme, {}), expected, world.first)
    return problems
