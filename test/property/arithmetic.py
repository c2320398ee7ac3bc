"""Exact money for the independent ledger: rounding and tariffs in fractions.

Nothing here is shared with the extension.  The rules are those of doc/tariff.md, written down a second time: a price is the JSON of
a tariff, a quantity and an amount are fractions, and only rate() rounds, to the 15 decimals that an amount can have.
"""

from fractions import Fraction

MINOR_UNITS = {"EUR": 2, "USD": 2, "JPY": 0}


class Unmatched(Exception):
    """No cell of a matrix fits the dimensions: this usage waits, the rest of its key is billed."""


class Unratable(Exception):
    """The tariff has no price for this quantity: the whole key waits."""


def rounded(value, decimals, mode):
    """value to a number of decimals; every mode is symmetric about zero but ceiling and floor."""
    scaled = value * 10**decimals
    whole = abs(scaled).__floor__()
    rest = abs(scaled) - whole
    half = Fraction(1, 2)
    away = {
        "half_up": rest >= half,
        "half_even": rest > half or (rest == half and whole % 2 == 1),
        "up": rest > 0,
        "down": False,
        "ceiling": rest > 0 and scaled > 0,
        "floor": rest > 0 and scaled < 0,
    }[mode]
    whole += 1 if away else 0
    return Fraction(whole if scaled >= 0 else -whole, 10**decimals)


def to_minor(value, currency, mode):
    return rounded(value, MINOR_UNITS[currency], mode)


def precise(value):
    """An amount as the ledger can hold it."""
    return rounded(value, 15, "half_even")


def number(text):
    return Fraction(str(text))


def rate(tariff, quantity, dimensions=None, fraction=Fraction(1), complete=True):
    """What a quantity costs; complete is False while the period is still running."""
    return precise(price(tariff, quantity, dimensions or {}, fraction, complete))


def price(tariff, quantity, dimensions, fraction, complete):
    charged = quantity
    if "free" in tariff:
        charged = max(quantity - number(tariff["free"]), Fraction(0)) if quantity >= 0 else quantity
    amount = MODELS[tariff["model"]](tariff, charged, dimensions, fraction, complete)
    if "discount_percent" in tariff:
        amount -= amount * number(tariff["discount_percent"]) / 100
    if "maximum" in tariff:
        amount = min(amount, number(tariff["maximum"]) * fraction)
    if "minimum" in tariff and complete:
        amount = max(amount, number(tariff["minimum"]) * fraction)
    return amount


def flat(tariff, quantity, dimensions, fraction, complete):
    return number(tariff["amount"]) * fraction


def per_unit(tariff, quantity, dimensions, fraction, complete):
    return quantity * number(tariff["unit_price"])


def tiers_of(tariff):
    lower = Fraction(0)
    for tier in tariff["tiers"]:
        upper = number(tier["up_to"]) if "up_to" in tier else None
        yield lower, upper, number(tier.get("unit_price", 0)), number(tier.get("flat", 0))
        lower = upper


def within_tiers(tariff, quantity):
    if quantity < 0:
        raise Unratable("negative quantity")
    last = tariff["tiers"][-1]
    if "up_to" in last and quantity > number(last["up_to"]) and tariff["beyond"] == "error":
        raise Unratable("beyond the last tier")


def graduated(tariff, quantity, dimensions, fraction, complete):
    within_tiers(tariff, quantity)
    total = Fraction(0)
    for position, (lower, upper, unit_price, once) in enumerate(tiers_of(tariff)):
        if quantity > lower or (position == 0 and tariff.get("on_zero") == "charge"):
            part = quantity if upper is None else min(quantity, upper)
            total += once + (part - lower) * unit_price
    return total


def volume(tariff, quantity, dimensions, fraction, complete):
    within_tiers(tariff, quantity)
    for lower, upper, unit_price, once in tiers_of(tariff):
        if upper is None or quantity <= upper:
            if quantity == 0 and tariff.get("on_zero") != "charge":
                return Fraction(0)
            return once + quantity * unit_price
    return Fraction(0)


def package(tariff, quantity, dimensions, fraction, complete):
    if quantity < 0:
        raise Unratable("negative quantity")
    packages = rounded(quantity / number(tariff["size"]), 0, tariff.get("round", "up"))
    return packages * number(tariff["amount"])


def matrix(tariff, quantity, dimensions, fraction, complete):
    wanted = {name: dimensions.get(name) for name in tariff["dimensions"]}
    for cell in tariff["cells"]:
        if all(wanted.get(name) == value for name, value in cell["match"].items()):
            return quantity * number(cell["unit_price"])
    if "default" in tariff:
        return quantity * number(tariff["default"]["unit_price"])
    raise Unmatched(str(wanted))


MODELS = {
    "flat": flat,
    "per_unit": per_unit,
    "graduated": graduated,
    "volume": volume,
    "package": package,
    "matrix": matrix,
}


def grouping(tariff):
    """The dimensions by which usage must be added up before it is rated."""
    return tuple(tariff["dimensions"]) if tariff["model"] == "matrix" else ()


def canonical(tariff):
    """Equal for tariffs that are the same price function, however their numbers are written."""
    if isinstance(tariff, dict):
        return tuple(sorted((name, canonical(value)) for name, value in tariff.items()))
    if isinstance(tariff, list):
        return tuple(canonical(value) for value in tariff)
    try:
        return number(tariff)
    except ValueError:
        return tariff
