"""Allocation computed a second time, in fractions and without the ledger.

A row of cost is a dictionary: FOCUS columns, "tags", "window", "day", "origin" (first day of the month that a correction corrects, or None) and "amounts" in the order of KINDS.
A rule is a dictionary with the arguments of set_allocation_rule(), its keys in order of the rules.
"""

import re
from collections import defaultdict
from decimal import Decimal, getcontext
from fractions import Fraction

getcontext().prec = 200
KINDS = ("billed", "effective", "list", "contracted")


def scale(amount):
    return max(0, -amount.as_tuple().exponent)


def rounded(value, digits):
    """A fraction at some decimals, half away from zero."""
    units = abs(value) * 10 ** digits
    whole = (2 * units.numerator + units.denominator) // (2 * units.denominator)
    return Decimal(whole if value >= 0 else -whole).scaleb(-digits)


def part(amount, before, weight, total):
    digits = max(scale(amount), 15)
    return rounded(Fraction(amount) * (before + weight) / total, digits) - rounded(Fraction(amount) * before / total, digits)


def value_of(row, leaf):
    return row["tags"].get(leaf["tag"]) if "tag" in leaf else row.get(leaf["column"])


def holds(condition, row):
    if not condition:
        return True
    if "and" in condition:
        return all(holds(c, row) for c in condition["and"])
    if "or" in condition:
        return any(holds(c, row) for c in condition["or"])
    if "not" in condition:
        return not holds(condition["not"], row)
    value = value_of(row, condition)
    if "exists" in condition:
        return (value is not None) == condition["exists"]
    if value is None:
        return False
    if "equals" in condition:
        return value == condition["equals"]
    if "in" in condition:
        return value in condition["in"]
    if "prefix" in condition:
        return value.startswith(condition["prefix"])
    if "regex" in condition:
        return re.search(condition["regex"], value) is not None
    return condition["contains"] in value


def pool_of(row):
    return {"Tax": "tax", "Credit": "credit"}.get(row["ChargeCategory"], "unused_commitment" if row.get("CommitmentDiscountStatus") == "Unused" else "cost")


def holds_on(rule, day):
    return rule.get("valid_from", "") <= day < rule.get("valid_to", "9999")


def version(rule):
    """What tells the versions of a rule for different days apart."""
    return rule["key"], rule.get("valid_from", "")


def takes(rule, row):
    return "from_target" not in rule and pool_of(row) in rule["pools"] and holds_on(rule, row["day"]) and holds(rule["condition"], row)


def cells_of(rows, rules, centers):
    """The shares after the first part: one a cell, rule and target."""
    cells = defaultdict(lambda: [Decimal(0)] * 4)
    for row in rows:
        rule = next((r for r in rules if takes(r, row)), None)
        outcome, target = "unallocated", None
        if rule:
            action = rule["action"]
            if "split" in action:
                outcome = "pool"
            elif "exclude" in action:
                outcome = "excluded"
            elif "stop" not in action:
                named = action.get("target")
                if "target_from" in action:
                    word, name = action["target_from"].split(":", 1)
                    named = value_of(row, {word: name})
                if named in centers:
                    outcome, target = "direct", named
        place = tuple(row.get(c) for c in ("window", "day", "origin", "ChargeCategory", "ProviderName", "ServiceName", "SubAccountId")) + (pool_of(row),)
        key = (row["BillingCurrency"], rule and version(rule), outcome, target, row.get("origin"), place)
        cells[key] = [a + b for a, b in zip(cells[key], row["amounts"])]
    return [dict(currency=k[0], version=k[1], rule=k[1] and k[1][0], outcome=k[2], target=k[3], origin=k[4], day=k[5][1], amounts=v) for k, v in cells.items()]


def basis_of(rule, shares, currency, closed, usage, centers):
    action = rule["action"]
    named = action.get("targets")
    if action.get("split") in ("proportional", "usage"):
        sums = defaultdict(Fraction)
        if action["split"] == "usage":
            for name, quantity in usage.items():
                sums[name if name in centers else None] += Fraction(quantity)
        else:
            for share in shares:
                if share["currency"] == currency and share["target"] and (share["rule"] == action["rule"] if "rule" in action else share["outcome"] == "direct"):
                    sums[share["target"]] += Fraction(share["amounts"][KINDS.index(action.get("basis", "effective"))])
        return {t: w for t, w in sums.items() if w and t not in closed and (named is None or t in named)}
    weights = {action["target"]: 1} if "target" in action else action.get("weights") or {t: 1 for t in named}
    return {t: Fraction(str(w)) for t, w in weights.items() if Fraction(str(w))}


def fractions_of(basis):
    """[(target, weights before it, its weight, all)] in byte order of the targets, None last; none where nothing can be split."""
    total, before, result = sum(basis.values()), Fraction(0), []
    if not basis or total == 0 or min(basis.values()) < 0:
        return []
    for target in sorted(basis, key=lambda t: (t is None, (t or "").encode())):
        result.append((target, before, basis[target], total))
        before += basis[target]
    return result


def steps(shares, rules, starts, fractions):
    """Applies the rules that split and give on, in order; fractions(rule, currency, closed) says by what."""
    closed = set()
    for rule in rules:
        giver = rule.get("from_target")
        if giver and holds_on(rule, starts):
            closed.add(giver)
            taken = [s for s in shares if s["outcome"] in ("direct", "shared") and s["target"] == giver]
            for share in taken:
                share["outcome"] = "moved"
        elif not giver and "split" in rule["action"]:
            taken = [s for s in shares if s["outcome"] == "pool" and s["version"] == version(rule)]
        else:
            continue
        for currency in sorted({s["currency"] for s in taken}):
            parts = fractions(rule, currency, closed)
            for share in [s for s in taken if s["currency"] == currency]:
                for target, before, weight, total in parts or [(None, 0, 1, 1)]:
                    shares.append(dict(share, rule=rule["key"], outcome="shared" if target else "unallocated", target=target, amounts=[part(a, before, weight, total) if a else a for a in share["amounts"]]))


def divide(rows, rules, centers, starts="", usage=None, past=None):
    """({(rule, outcome, target, currency): amounts}, how it was done).  past: how the month was divided that corrections correct: they are treated by its rules and fractions; starts: first day of the period."""
    follows = lambda row: past and row.get("origin")
    shares, used = cells_of([r for r in rows if not follows(r)], rules, centers), {}
    by_now = lambda rule, currency, closed: fractions_of(basis_of(rule, shares, currency, closed, usage or {}, centers))

    def keep(rule, currency, closed):
        used[version(rule), currency] = by_now(rule, currency, closed)
        return used[version(rule), currency]

    steps(shares, rules, starts, keep)
    if past:
        def then(rule, currency, closed):
            # a rule that split nothing of this currency then splits as it does now, or would by what is there now
            key = version(rule), currency
            if key in past["fractions"]:
                return past["fractions"][key]
            return used[key] if past["rules"] is rules and key in used else by_now(rule, currency, closed)

        corrections = cells_of([r for r in rows if follows(r)], past["rules"], centers)
        steps(corrections, past["rules"], past["starts"], then)
        shares = shares + corrections
    result = defaultdict(lambda: [Decimal(0)] * 4)
    for share in shares:
        if share["outcome"] in ("direct", "shared", "unallocated", "excluded"):
            key = (share["rule"], share["outcome"], share["target"], share["currency"])
            result[key] = [a + b for a, b in zip(result[key], share["amounts"])]
    return dict(result), dict(rules=rules, starts=starts, fractions=used)
