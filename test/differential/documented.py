"""Prices of products whose engines cannot be run here, made at random and rated by their documented rules.

A second, exact evaluation of those rules (fractions, no code in common with the extension).  It finds slips in the importers and models;
that the rules are those of the products rests on the recorded cases of test/conformance.
"""

import calendar
import json
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

CURRENCY = "USD"


def cents(amount):
    """To the minor unit, halves away from zero."""
    scaled = abs(amount) * 100
    whole = floor(scaled + Fraction(1, 2))
    return Fraction(whole if amount >= 0 else -whole, 100)


def number(chance, top=30):
    """A price: whole, with some decimals, or with many."""
    return str(chance.choice([chance.randint(0, top), Decimal(chance.randint(0, top * 100)) / 100, Decimal(chance.getrandbits(40)).scaleb(-11)]))


def quantity(chance, bounds):
    """At a bound, right above it, between bounds, none, or anything."""
    bound = Decimal(str(chance.choice(bounds)))
    return str(chance.choice([bound, bound + Decimal("0.5"), bound + Decimal("0.001"), bound + 1, max(bound - Decimal("0.25"), 0), 0, chance.randint(0, 300), Decimal(chance.randint(0, 30000)) / 100]))


def bounds_of(chance, most=4):
    return sorted(chance.sample(range(1, 120), chance.randint(0, most)))


# --- Lago -----------------------------------------------------------------------------------------------------------------------------

def lago_ranges(chance, price_names):
    ends = bounds_of(chance)
    adjacent = chance.random() < 0.3
    starts = [0] + [end if adjacent else end + 1 for end in ends]
    return [{"from_value": start, "to_value": end, "flat_amount": number(chance), **{name: number(chance, 20) for name in price_names}}
            for start, end in zip(starts, [*ends, None])], [0, *ends]


def lago_graduated(chance, name, model, scale):
    ranges, ends = lago_ranges(chance, [name])
    units = quantity(chance, ends)
    u = Fraction(units)
    total, lower = Fraction(0), Fraction(0)
    for position, one in enumerate(ranges):
        upper = None if one["to_value"] is None else Fraction(one["to_value"])
        if u > lower or position == 0:
            total += Fraction(one["flat_amount"]) + Fraction(one[name]) * scale * (min(u, upper) if upper is not None else u) - Fraction(one[name]) * scale * min(lower, u)
        lower = upper
        if upper is None or u <= upper:
            break
    return {"charge_model": model, "properties": {f"{model}_ranges": ranges}}, units, total


def lago_volume(chance):
    ends = bounds_of(chance)
    ranges = [{"from_value": start, "to_value": end, "flat_amount": number(chance), "per_unit_amount": number(chance)}
              for start, end in zip([0] + [end + 1 for end in ends], [*ends, None])]
    units = quantity(chance, [0, *ends])
    u = Fraction(units)
    one = next(one for one in ranges if one["from_value"] <= ceil(u) and (one["to_value"] is None or u <= one["to_value"]))
    return {"charge_model": "volume", "properties": {"volume_ranges": ranges}}, units, Fraction(one["flat_amount"]) + u * Fraction(one["per_unit_amount"])


def lago_package(chance):
    size, free, amount = chance.randint(1, 40), chance.choice([None, 0, 5, 100]), number(chance)
    units = quantity(chance, [0, size, (free or 0) + size])
    return ({"charge_model": "package", "properties": {"amount": amount, "free_units": free, "package_size": size}}, units,
            ceil(max(Fraction(0), Fraction(units) - (free or 0)) / size) * Fraction(amount))


def lago_standard(chance):
    amount, units = number(chance), quantity(chance, [0, 7])
    return {"charge_model": "standard", "properties": {"amount": amount}}, units, Fraction(units) * Fraction(amount)


def lago(chance):
    return chance.choice([lago_standard, lago_package, lago_volume, lambda c: lago_graduated(c, "per_unit_amount", "graduated", 1),
                          lambda c: lago_graduated(c, "rate", "graduated_percentage", Fraction(1, 100))])(chance)


# --- Stripe, Flexprice, Meteroid --------------------------------------------------------------------------------------------------------

def tiers_total(tiers, u, volume):
    """Tiers (upper, price, flat), bounds (lower, upper]; nothing without usage."""
    total, lower = Fraction(0), Fraction(0)
    for upper, price, flat in tiers:
        if u <= lower:
            break
        reached = upper is None or u <= upper
        if volume and reached:
            return flat + price * u
        if not volume:
            total += flat + price * ((u if reached else upper) - lower)
        lower = upper
        if reached:
            break
    return total


def stripe(chance):
    units = str(int(Decimal(quantity(chance, [0, 10, 50]))))
    u = Fraction(units)
    if chance.random() < 0.5:
        price = {"currency": "usd", "billing_scheme": "per_unit", "unit_amount": chance.choice([None, 7]), "unit_amount_decimal": number(chance, 500)}
        amount = Fraction(price["unit_amount_decimal"]) / 100
        if chance.random() < 0.5:
            price["transform_quantity"] = {"divide_by": chance.randint(2, 20), "round": chance.choice(["up", "down"])}
            u = Fraction({"up": ceil, "down": floor}[price["transform_quantity"]["round"]](u / price["transform_quantity"]["divide_by"]))
        return price, units, u * amount
    tiers = [{"up_to": end, "unit_amount_decimal": number(chance, 500), "flat_amount": chance.choice([None, 250])} for end in [*bounds_of(chance), None]]
    mode = chance.choice(["graduated", "volume"])
    if u == 0:
        units, u = "1", Fraction(1)
    plain = [(one["up_to"], Fraction(one["unit_amount_decimal"]) / 100, Fraction(one["flat_amount"] or 0) / 100) for one in tiers]
    return {"currency": "usd", "billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers}, units, tiers_total(plain, u, mode == "volume")


def flexprice(chance):
    model = chance.choice(["FLAT_FEE", "PACKAGE", "TIERED"])
    price = {"type": "USAGE", "billing_model": model, "currency": "usd"}
    ends = bounds_of(chance)
    units = quantity(chance, [0, *ends])
    u = Fraction(units)
    if model == "TIERED":
        price["tier_mode"] = chance.choice(["VOLUME", "SLAB"])
        price["tiers"] = [{"up_to": end, "unit_amount": number(chance), **({"flat_amount": number(chance)} if chance.random() < 0.5 else {})} for end in [*ends, None]]
        return price, units, tiers_total([(one["up_to"], Fraction(one["unit_amount"]), Fraction(one.get("flat_amount", 0))) for one in price["tiers"]], u, price["tier_mode"] == "VOLUME")
    price["amount"] = number(chance)
    if model == "PACKAGE":
        price["transform_quantity"] = {"divide_by": chance.randint(2, 50), "round": chance.choice(["up", "down"])}
        u = Fraction({"up": ceil, "down": floor}[price["transform_quantity"]["round"]](u / price["transform_quantity"]["divide_by"]))
    return price, units, u * Fraction(price["amount"])


def meteroid(chance):
    kind = chance.choice(["PER_UNIT", "PACKAGE", "TIERED", "VOLUME"])
    ends = bounds_of(chance)
    units = quantity(chance, [0, *ends])
    if kind == "VOLUME":
        units = str(int(Decimal(units)))
    u = Fraction(units)
    if kind == "PER_UNIT":
        rate = number(chance)
        return {"pricing": {"type": kind, "rate": rate}}, units, u * Fraction(rate)
    if kind == "PACKAGE":
        rate, size = number(chance), chance.randint(1, 40)
        return {"pricing": {"type": kind, "rate": rate, "block_size": size}}, units, ceil(u / size) * Fraction(rate)
    starts = [0, *ends]
    tiers = [{"first_unit": start, "rate": number(chance), "flat_fee": chance.choice([None, number(chance)]), "flat_cap": chance.choice([None, None, number(chance, 200)])} for start in starts]
    total = Fraction(0)
    for one, following in zip(tiers, [*starts[1:], None]):
        if kind == "TIERED":
            part = min(max(u - one["first_unit"], 0), following - one["first_unit"]) if following is not None else max(u - one["first_unit"], 0)
            entered = u > one["first_unit"]
        else:
            entered = u > 0 and u >= one["first_unit"] and (following is None or u < following)
            part = u
        if entered:
            amount = Fraction(one["flat_fee"] or 0) + part * Fraction(one["rate"])
            total += min(amount, Fraction(one["flat_cap"])) if one["flat_cap"] is not None else amount
    return {"pricing": {"type": kind, "tiers": tiers, "block_size": None}}, units, total


# --- Kill Bill --------------------------------------------------------------------------------------------------------------------------

def killbill_unit(blocks, units, policy):
    """Blocks (size, max, price) of one unit."""
    rest, total = Fraction(units), Fraction(0)
    for size, most, price in blocks:
        wanted = ceil(rest / size)
        if policy == "TOP_TIER" and (most < 0 or wanted <= most):
            return ceil(Fraction(units) / size) * price
        if policy == "ALL_TIERS":
            total += (wanted if most < 0 else min(wanted, most)) * price
        if most < 0 or wanted <= most:
            return total
        rest -= most * size
    return ceil(Fraction(units) / blocks[-1][0]) * blocks[-1][2] if policy == "TOP_TIER" else total


def killbill(chance):
    names = chance.sample(["gb", "hour", "call"], chance.randint(1, 3))
    count = chance.randint(1, 4)
    used = {name: quantity(chance, [0, 10, 40]) for name in names if chance.random() < 0.9}
    if chance.random() < 0.25:
        tiers, total = [], None
        for position in range(count):
            limits = {name: -1 if position == count - 1 else (position + 1) * chance.randint(20, 60) for name in names}
            tiers.append({"limits": [{"unit": name, "max": str(most)} for name, most in limits.items()], "recurringPrice": [{"currency": CURRENCY, "value": number(chance)}]})
            if total is None and all(limits[name] < 0 or Fraction(peak) <= limits[name] for name, peak in used.items()):
                total = Fraction(tiers[-1]["recurringPrice"][0]["value"])
        return {"usageType": "CAPACITY", "billingMode": "IN_ARREAR", "tiers": tiers}, used, total if any(Fraction(peak) for peak in used.values()) else Fraction(0)
    policy = chance.choice(["ALL_TIERS", "TOP_TIER"])
    blocks = {name: [(Fraction(chance.choice(["1", "10", "0.5", "7"])), chance.randint(1, 9) if position < count - 1 or chance.random() < 0.3 else -1, Fraction(number(chance))) for position in range(count)] for name in names}
    tiers = [{"blocks": [{"unit": name, "size": str(Decimal(str(float(blocks[name][position][0])))), "max": str(blocks[name][position][1]),
                          "prices": [{"currency": CURRENCY, "value": decimal_of(blocks[name][position][2])}]} for name in names]} for position in range(count)]
    return ({"usageType": "CONSUMABLE", "billingMode": "IN_ARREAR", "tierBlockPolicy": policy, "tiers": tiers}, used,
            sum((killbill_unit(blocks[name], used.get(name, "0"), policy) for name in names), Fraction(0)))


def decimal_of(value):
    return str(Decimal(value.numerator) / Decimal(value.denominator))


# --- OpenMeter --------------------------------------------------------------------------------------------------------------------------

def openmeter_price(chance, ends):
    """A price of the v3 API, and the lines of a quantity."""
    kind = chance.choice(["unit", "package", "dynamic", "graduated", "volume"])
    if kind == "dynamic":
        multiplier = number(chance, 3)
        return {"type": kind, "multiplier": multiplier}, lambda u: [u * Fraction(multiplier)]
    if kind in ("unit", "package"):
        amount, size = number(chance), chance.choice([1, 7, "2.5"])
        if kind == "unit":
            return {"type": kind, "amount": amount}, lambda u: [u * Fraction(amount)]
        return {"type": kind, "amount": amount, "quantity_per_package": str(size)}, lambda u: [ceil(u / Fraction(size)) * Fraction(amount)]
    tiers = []
    for end in [*ends, None]:   # a tier has one price at least
        unit, flat = chance.choice([(True, False), (False, True), (True, True)])
        tiers.append({**({} if end is None else {"up_to_amount": str(end)}), "unit_price": {"type": "unit", "amount": number(chance)} if unit else None,
                      "flat_price": {"type": "flat", "amount": number(chance)} if flat else None})

    def lines(u):
        parts, lower = [], Fraction(0)
        for position, one in enumerate(tiers):
            upper = Fraction(one["up_to_amount"]) if "up_to_amount" in one else None
            within = upper is None or u <= upper
            if (u > lower or position == 0) and (kind == "graduated" or within):
                units = u if kind == "volume" else (u if within else upper) - lower
                parts += [units * Fraction(one["unit_price"]["amount"] if one["unit_price"] else 0), Fraction(one["flat_price"]["amount"] if one["flat_price"] else 0)]
            if within:
                break
            lower = upper
        return parts

    return {"type": kind, "tiers": tiers}, lines


def openmeter_units(chance, card, u):
    """Units converted, rounded, and less the free ones; the rate card gets what it says of them."""
    if chance.random() < 0.4:
        factor, precision = chance.choice(["60", "1000", "3"]), chance.randint(0, 3)
        rounding = chance.choice(["none", "ceiling", "floor", "half_up"])
        operation = chance.choice(["divide", "multiply"])
        card["unit_config"] = {"operation": operation, "conversion_factor": factor, "rounding": rounding, "precision": precision}
        u = u / Fraction(factor) if operation == "divide" else u * Fraction(factor)
        scaled = u * 10**precision
        u = {"none": scaled, "ceiling": ceil(scaled), "floor": floor(scaled), "half_up": floor(scaled + Fraction(1, 2))}[rounding] / Fraction(10**precision)
    if chance.random() < 0.3:
        free = chance.choice(["0.5", "3", "40"])
        card["discounts"] = {"usage": free}
        u = max(u - Fraction(free), Fraction(0))
    return u


def openmeter(chance):
    ends = bounds_of(chance)
    units = quantity(chance, [0, *ends])
    price, lines = openmeter_price(chance, ends)
    card = {"price": price}
    u = openmeter_units(chance, card, Fraction(units))
    percent = chance.choice([None, None, "10", "33.3"])
    least, most = sorted(chance.sample(range(1, 400), 2))
    least, most = chance.choice([None, None, least]), chance.choice([None, None, most])
    if percent:
        card["discounts"] = {**card.get("discounts", {}), "percentage": percent}
    card["commitments"] = {name: str(limit) for name, limit in (("minimum_amount", least), ("maximum_amount", most)) if limit is not None}
    rest = 1 - Fraction(percent or 0) / 100
    parts = lines(u)
    exact = sum(parts, Fraction(0)) * rest
    billed = sum((cents(part) - cents(cents(part) * (1 - rest)) for part in parts), Fraction(0))
    for limit, cut in ((most, min), (least, max)):
        if limit is not None:
            exact, billed = cut(exact, Fraction(limit)), cut(billed, Fraction(limit))
    return card, units, exact, billed


# --- Waldur -----------------------------------------------------------------------------------------------------------------------------

def waldur_quantity(unit, start, end):
    """What an item from start to end, which belongs to it, counts."""
    seconds = (end - start) // timedelta(seconds=1)
    if unit in ("day", "hour"):
        return Fraction(ceil(Fraction(seconds, 86400 if unit == "day" else 3600)))
    length, days = calendar.monthrange(start.year, start.month)[1], end.day - start.day + 1
    if unit == "month":
        part = Fraction(days, length)
    elif days == length:
        part = Fraction(2)
    elif (start.day, end.day) in ((1, 15), (16, length)):
        part = Fraction(1)
    elif start.day == 1 and end.day > 15:
        part = 1 + Fraction(end.day - 15) / Fraction(length, 2)
    elif start.day < 16 and end.day == length:
        part = 1 + Fraction(16 - start.day) / Fraction(length, 2)
    else:
        part = Fraction(days) / Fraction(length, 2)
    return Fraction(ceil(part * 100), 100)


def waldur(chance):
    unit, amount = chance.choice(["month", "half_month", "day", "hour"]), number(chance)
    first = datetime(chance.choice([2023, 2024]), chance.randint(1, 12), 1)
    length = calendar.monthrange(first.year, first.month)[1]
    begins, ends = sorted(chance.choices([1, 15, 16, length, *range(1, length + 1)], k=2))
    start, end = first + timedelta(days=begins - 1), first + timedelta(days=ends, seconds=-1)
    if unit in ("day", "hour"):
        start, end = start + timedelta(seconds=chance.choice([0, 1, 3600])), end - timedelta(seconds=chance.choice([-1, 0, 3599]))
    counted = waldur_quantity(unit, start, end)
    exact = counted * Fraction(amount)
    return {"unit": unit, "unit_price": amount}, decimal_of(counted), exact, Fraction(ceil(exact * 100), 100), (unit, f"{start}Z", f"{end}Z")


PRODUCTS = {"lago": lago, "openmeter": openmeter, "stripe": stripe, "flexprice": flexprice, "meteroid": meteroid, "killbill": killbill, "waldur": waldur}


def compare(cursor, dialect, chance):
    """A difference in words, or None: the exact amount, the bill, and the steps."""
    price, used, exact, *more = PRODUCTS[dialect](chance)
    if len(more) > 1:
        unit, start, end = more[1]
        cursor.execute("SELECT prorate(%s, tstzrange(%s, %s, '[]'), NULL, 'UTC')", (unit, start, end))
        counted = cursor.fetchone()[0]
        if counted != Decimal(used):
            return f"{dialect} {unit} from {start} to {end}: {counted}, by the rules {used}"
    cursor.execute(f"""SELECT amount(rate(t.tariff, q.used)), (SELECT amount(sum(l.amount)) FROM rated_lines(t.tariff, q.used) AS l),
                              (SELECT coalesce(amount(sum(s.amount)), 0) FROM rating_steps(t.tariff, q.used) AS s)
                         FROM (SELECT tariff_from(%s, %s::jsonb, 'USD') AS tariff) AS t, (SELECT %s::{'jsonb' if dialect == 'killbill' else 'numeric'} AS used) AS q""",
                   (dialect, json.dumps(price), json.dumps(used) if dialect == "killbill" else used))
    amount, billed, steps = (Fraction(str(value or 0)) for value in cursor.fetchone())
    wanted = Fraction(round(exact * 10**15), 10**15)
    bill = more[0] if more else cents(wanted)
    if amount != wanted or billed != bill or steps != wanted:
        return f"{dialect} {json.dumps(price)} of {used}: amount {float(amount)}, bill {float(billed)}, steps {float(steps)}; by the rules {float(wanted)}, {float(bill)}"
    return None
