#!/usr/bin/python3
"""Runs case files through the public SQL functions and compares what they give with what the product gave.

The format of a case is that of the folder's README.  Nothing here computes an amount or a quantity: that would test the runner.  Python
compares, and turns the expected number, which may be a fraction, into the 15 decimals of an exact amount.
"""

import glob
import json
import os
import sys
from fractions import Fraction

import allocation

try:
    import psycopg2
except ImportError:
    print("skip conformance - the Debian package python3-psycopg2 is not installed")
    sys.exit(0)

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASE = "conformance"

# Kinds of cases whose feature does not exist yet.
MISSING = {
    "credits": "credits are not built yet",
    "discounts-coupons-tax": "coupons and credit notes over taxes are not built yet",
    "minimums-commitments": "commitments are not built yet",
}


class Skip(Exception):
    """The product misses a feature that the case needs."""


class Mismatch(Exception):
    """The product gave something else."""


def exact(text):
    """An expected number at 15 decimals, halves to even."""
    return Fraction(round(Fraction(text) * 10**15), 10**15)


def expect(what, got, wanted):
    if got is None or Fraction(str(got)) != Fraction(wanted):
        raise Mismatch(f"{what} is {got}, expected {wanted}")


def expect_exact(what, got, wanted):
    if got is None or Fraction(str(got)) != exact(wanted):
        raise Mismatch(f"{what} is {got}, expected {wanted}")


def expect_lines(what, got, wanted):
    """Lines of 0 are written by some products and left out by others."""
    ours = [Fraction(str(line)) for line in got if line]
    theirs = [Fraction(line) for line in wanted if Fraction(line)]
    if ours != theirs:
        raise Mismatch(f"{what} are {[str(line) for line in got]}, expected {wanted}")


class Server:
    def __init__(self):
        self.connection = psycopg2.connect(dbname=DATABASE)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET search_path = billing, public; SET timezone = 'UTC'; SET client_min_messages = warning")
        self.cursor.execute("CREATE TEMP TABLE seen (account text, line_id bigint)")

    def value(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return self.cursor.fetchone()[0]

    def values(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return [row[0] for row in self.cursor.fetchall()]

    def rows(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return self.cursor.fetchall()


def make_database():
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    cursor.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    connection.close()
    connection = psycopg2.connect(dbname=DATABASE)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION billing CASCADE; SET search_path = billing, public")
    cursor.execute("CALL create_ledger()")
    cursor.execute("CALL maintain_partitions('[2022-01-01,2025-12-01)')")
    cursor.execute("SELECT set_seller('seller', legal_name => 'Seller', country => 'DE', currency => 'EUR')")
    connection.close()


# --- prices ---------------------------------------------------------------------------------------------------------------------------

def tariff_of(server, case):
    return server.value("SELECT tariff_from(%(dialect)s, %(price)s::jsonb, %(currency)s)::text", dialect=case["dialect"],
                        price=json.dumps(case["price"]), currency=case.get("currency"))


LINES = "SELECT amount(l.amount) FROM rated_lines(%(tariff)s::tariff, %(quantity)s::numeric, complete => %(complete)s) AS l ORDER BY l.line"
BILLED = "SELECT COALESCE(amount(sum(l.amount)), 0) FROM rated_lines(%(tariff)s::tariff, %(quantity)s::numeric, complete => %(complete)s) AS l"


def splits(server, tariff, case):
    """What each split of a period adds to what was billed before."""
    given = case["input"]["splits"]
    final = case["input"].get("final") != "false"
    query = f"""SELECT COALESCE(amount(sum(l.amount)), 0) - COALESCE((SELECT amount(sum(b.amount))
                    FROM rated_lines(%(tariff)s::tariff, %(before)s::numeric, complete => false) AS b), 0)
                  FROM rated_lines(%(tariff)s::tariff, %(quantity)s::numeric, complete => %(complete)s) AS l"""
    steps = [server.value(query, tariff=tariff, quantity=quantity, before=given[i - 1] if i else None, complete=final and i == len(given) - 1)
             if i else server.value(BILLED, tariff=tariff, quantity=quantity, complete=final and i == len(given) - 1)
             for i, quantity in enumerate(given)]
    expected = case["expected"]
    if "steps" in expected:
        got = [Fraction(str(step)) for step in steps]
        if got != [Fraction(step) for step in expected["steps"]]:
            raise Mismatch(f"steps are {[str(step) for step in steps]}, expected {expected['steps']}")
    expect("the last step", steps[-1], expected.get("rounded", expected["amount"]))


def events(server, tariff, case):
    """Prices that depend on the single events: the exact and the rounded amount."""
    given = case["input"]
    if "event_amounts" in given:
        rows = [(amount, "1", "1") for amount in given["event_amounts"]]
    elif "full_quantity" in given:
        rows = [(given["full_quantity"], given["quantity"], given["full_quantity"])]
    else:
        rows = [(event["units"], event["prorated_units"], event["units"]) for event in given["events"]]
    return server.rows("""SELECT amount(r.exact), amount(round(r.exact))
                            FROM (SELECT rate_each(%(tariff)s::tariff, e.units, '2024-01-01'::timestamptz + e.position * interval '1 hour',
                                             prorated_part(e.part, e.whole)) AS exact
                                    FROM unnest(%(units)s::numeric[], %(parts)s::numeric[], %(wholes)s::numeric[])
                                         WITH ORDINALITY AS e(units, part, whole, position)) AS r""",
                       tariff=tariff, units=[row[0] for row in rows], parts=[row[1] for row in rows], wholes=[row[2] for row in rows])[0]


def dynamic(server, tariff, case):
    """Events that carry their own price."""
    given = case["input"]
    quantities = [json.dumps({"units": given.get("quantity", "1"), "precise_total_amount_cents": event["precise_total_amount_cents"]})
                  for event in given.get("events", [given])]
    return server.rows("SELECT amount(r.exact), amount(round(r.exact)) FROM (SELECT sum(rate(%(tariff)s::tariff, q)) AS exact FROM unnest(%(quantities)s::jsonb[]) AS q) AS r",
                       tariff=tariff, quantities=quantities)[0]


def alone(server, tariff, quantities, dimensions):
    """Quantities that are priced each alone and then added."""
    return server.rows("""SELECT amount(r.exact), amount(round(r.exact))
                            FROM (SELECT sum(rate(%(tariff)s::tariff, u.quantity, dimensions => u.dimensions)) AS exact
                                    FROM unnest(%(quantities)s::numeric[], %(dimensions)s::jsonb[]) AS u(quantity, dimensions)) AS r""",
                       tariff=tariff, quantities=quantities, dimensions=dimensions)[0]


def plain(server, tariff, quantity, expected):
    """A quantity: the exact amount, and the lines of the bill."""
    arguments = {"tariff": tariff, "quantity": quantity, "complete": True}
    amount = server.value("SELECT amount(rate(%(tariff)s::tariff, %(quantity)s::numeric))", **arguments)
    if "lines" in expected:
        expect_lines("lines", server.values(LINES, **arguments), expected["lines"])
    for member in ("packages", "billed_quantity"):
        if member in expected:
            expect(member, server.value("SELECT sum(s.quantity) FROM rating_steps(%(tariff)s::tariff, %(quantity)s::numeric) AS s", **arguments),
                   expected[member])
    return amount, server.value(BILLED, **arguments)


def check_tariff(server, case):
    tariff = tariff_of(server, case)
    given = case["input"]
    expected = case["expected"]
    if "splits" in given:
        splits(server, tariff, case)
        return
    if "precise_total_amount_cents" in json.dumps(given):
        amount, rounded = dynamic(server, tariff, case)
    elif "event_amounts" in given or "full_quantity" in given or "events" in given:
        amount, rounded = events(server, tariff, case)
    elif "buckets" in given or "groups" in given:
        quantities = given.get("buckets", given.get("groups"))
        amount, rounded = alone(server, tariff, quantities, [None] * len(quantities))
    elif "usage" in given:
        amount, rounded = alone(server, tariff, [usage["quantity"] for usage in given["usage"]],
                                [json.dumps(usage["dimensions"]) for usage in given["usage"]])
    else:
        amount, rounded = plain(server, tariff, given["quantity"], expected)
    expect_exact("the exact amount", amount, expected.get("exact", expected["amount"]))
    if "rounded" in expected:
        expect("the rounded amount", rounded, expected["rounded"])


def check_killbill(server, case):
    """The records of each unit are usage; what they add up to, or their peak, is the meter's."""
    tariff = tariff_of(server, case)
    if "price_xml" in case and not server.value("SELECT tariff_from('killbill', %(xml)s::xml, %(currency)s) = %(tariff)s::tariff",
                                                xml=case["price_xml"], currency=case.get("currency"), tariff=tariff):
        raise Mismatch("the XML form gives another tariff")
    account = account_of(server, case, "2024-01-01")
    meter(server, account, "max" if case["price"]["usageType"] == "CAPACITY" else "sum", tariff)
    for unit, amounts in case["input"]["records"].items():
        for number, amount in enumerate(amounts):
            record(server, account, f"{account}-{unit}-{number}", "2024-01-10T00:00:00Z", amount, {"unit": unit})
    charges = server.rows("""SELECT amount(c.owed), amount(c.owed - monetary(%(billed)s, %(currency)s)), amount(c.owed_exact), c.problem
                               FROM charges(%(account)s, '[2024-01-01,2024-02-01)') AS c""",
                          account=account, billed=case["input"].get("already_billed", "0"), currency=case["currency"])
    period, item, exactly, problem = charges[0] if charges else (0, 0, 0, None)
    if problem:
        raise Mismatch(problem)
    expected = case["expected"]
    expect("the amount", item, expected["amount"])
    if "period_amount" in expected:
        expect("the period's amount", period, expected["period_amount"])
    if "exact" in expected:
        expect_exact("the exact amount", exactly, expected["exact"])
    if "lines" in expected:
        bill_one(server, account, "2024-02-01")
        got = server.rows("""SELECT substring(e.what from '^tier (\\d+)'), substring(e.what from 'unit "(.*)":'), e.quantity, amount(e.amount)
                               FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e
                              WHERE l.account = %(account)s AND e.stage = 'price' AND e.quantity > 0 ORDER BY e.step""", account=account)
        ours = [(tier, unit, Fraction(str(blocks)), Fraction(str(amount))) for tier, unit, blocks, amount in got]
        theirs = [(line["tier"], line["unit"], Fraction(line["blocks"]), Fraction(line["amount"])) for line in expected["lines"] if Fraction(line["blocks"])]
        if sorted(ours) != sorted(theirs):
            raise Mismatch(f"lines are {[tuple(map(str, line)) for line in got]}, expected {expected['lines']}")


def check_hashmap(server, case):
    point = case["input"]["point"]
    amount = server.value("""SELECT amount(rate(%(tariff)s::tariff, %(quantity)s::numeric,
                                 dimensions => %(metadata)s::jsonb || %(groupby)s::jsonb || jsonb_build_object('service', %(service)s, 'tenant_id', %(tenant)s)))""",
                          tariff=tariff_of(server, case), quantity=point["qty"], metadata=json.dumps(point.get("metadata") or {}),
                          groupby=json.dumps(point.get("groupby") or {}), service=point["service"], tenant=case["input"].get("tenant_id"))
    expect_exact("the amount", amount, case["expected"].get("exact", case["expected"]["amount"]))


def check_waldur(server, case):
    given = case["input"]
    quantity = given.get("quantity")
    if quantity is None:
        quantity = server.value("SELECT prorate(%(unit)s, tstzrange(%(start)s, %(end)s, '[]'), NULL, %(zone)s)", unit=case["price"]["unit"],
                                start=given["start"], end=given["end"], zone=given.get("time_zone", "UTC"))
    expect("the quantity", quantity, case["expected"]["quantity"])
    expect("the amount", server.value(BILLED, tariff=tariff_of(server, case), quantity=quantity, complete=True), case["expected"]["amount"])


# --- proration ------------------------------------------------------------------------------------------------------------------------

def span(first, last, rule):
    """A span as SQL: the bound of the last day belongs to it where both end days count."""
    return f"tstzrange('{first}', '{last}', '{'[]' if rule == 'day_inclusive' else '[)'}')"


def days_from(first, days):
    return f"tstzrange('{first}', '{first}'::timestamptz + {int(days)} * interval '1 day', '[)')"


def check_fixed_fee(server, case):
    given = case["input"]
    rule = case["rule"]
    period = days_from(given["from"], given["period_days"]) if "period_days" in given else span(given["period_from"], given["period_to"], rule)
    factor, amount = server.rows(f"""SELECT p.part, amount(round(monetary(%(amount)s, %(currency)s) * p.part))
                                       FROM prorate(%(rule)s, {span(given['from'], given['to'], rule)}, {period}, %(zone)s) AS p(part)""",
                                 rule=rule, amount=given["amount"], currency=case["currency"], zone=given.get("time_zone", "UTC"))[0]
    if "factor" in case["expected"]:
        expect_exact("the factor", round(factor, 15), case["expected"]["factor"])
    expect("the amount", amount, case["expected"]["amount"])


def check_plan_change(server, case):
    given = case["input"]
    rule = case["rule"]
    service = span(given["change"], given["period_to"], rule)
    lines = []
    for component in given["components"]:
        period = days_from(given["period_from"], component["cadence_days"]) if "cadence_days" in component else span(given["period_from"], given["period_to"], rule)
        part = "1" if component.get("prorate") == "false" else f"prorate('{rule}', {service}, {period}, '{given.get('time_zone', 'UTC')}')"
        for member, sign in (("old", "-"), ("new", "")):
            if member in component:
                lines.append(server.value(f"SELECT amount({sign}round(monetary(%(price)s::numeric * %(quantity)s, %(currency)s) * {part}))",
                                          price=component[member], quantity=component.get(member + "_quantity", "1"), currency=case["currency"]))
    expect_lines("lines", lines, case["expected"]["lines"])
    if "net" in case["expected"]:
        expect("the net amount", server.value("SELECT COALESCE(amount(sum(monetary(l, %(currency)s))), 0) FROM unnest(%(lines)s::numeric[]) AS l",
                                              lines=[str(line) for line in lines], currency=case["currency"]), case["expected"]["net"])


def check_termination_credit(server, case):
    given = case["input"]
    day = "2024-01-01"
    credit, tax, total = server.rows(f"""
        SELECT amount(round(c.credit)), amount(tax_of(c.credit, %(tax)s, 'half_up')), amount(round(c.credit) + tax_of(c.credit, %(tax)s, 'half_up'))
          FROM (SELECT monetary(%(amount)s, %(currency)s) * prorate(%(rule)s, {days_from(day, given['unused_days'])}, {days_from(day, given['period_days'])}, 'UTC') AS credit) AS c""",
        tax=given["tax_percent"], amount=given["amount"], currency=case["currency"], rule=case["rule"])[0]
    for what, got in (("credit", credit), ("tax", tax), ("total", total)):
        expect(what, got, case["expected"][what])


def check_calendar_days(server, case):
    given = case["input"]
    expect("days", server.value("SELECT service_days(%(rule)s, tstzrange(%(from)s, %(to)s), %(time_zone)s)", rule=case["rule"], **given), case["expected"]["days"])


def check_cycles(server, case):
    """A fee due in advance: what a bill through the target day charges for, each part at 9 decimals.  Other cycles than months: prorate."""
    given = case["input"]
    if max(int(whole) for _, whole in given["parts"]) > 31:
        parts = ", ".join(f"round_quantity(prorate('{case['rule']}', {days_from(given['start'], days)}, {days_from(given['start'], whole)}, 'UTC'), 'half_up', 9)"
                          for days, whole in given["parts"])
        expect("cycles", server.value(f"SELECT pg_catalog.sum(p) FROM unnest(ARRAY[{parts}]) AS p"), case["expected"]["cycles"])
        return
    account = account_of(server, case, given["start"], given["billing_day"])
    server.value("SELECT set_fee(%(key)s, in_advance => true, proration => %(rule)s)", key=account, rule=case["rule"])
    server.value("SELECT set_price(%(key)s, '{\"model\":\"per_unit\",\"currency\":\"EUR\",\"unit_price\":\"1\"}', valid_from => %(start)s)", key=account, start=given["start"])
    server.value("SELECT set_subscription(%(key)s, %(key)s, starts_on => %(start)s, ends_on => %(end)s)", key=account, start=given["start"], end=given.get("end"))
    expect("cycles", server.value("SELECT pg_catalog.sum(round_quantity(p.quantity, 'half_up', 9)) FROM preview_invoice(%(account)s, through => %(target)s) AS p",
                                  account=account, target=given["target"]), case["expected"]["cycles"])


# --- rounding -------------------------------------------------------------------------------------------------------------------------

def check_currency(server, case):
    if case["currency"] == "CUSTOM":   # no currency that monetary knows: a number of so many decimals
        expect("the rounded amount", server.value("SELECT round_quantity(%(value)s, 'half_up', %(digits)s)", value=case["input"]["value"], digits=int(case["digits"])), case["expected"]["rounded"])
        return
    expect("the rounded amount", server.value("SELECT amount(round(monetary(round(%(value)s::numeric, 15), %(currency)s)))", value=case["input"]["value"],
                                              currency=case["currency"]), case["expected"]["rounded"])


def check_line_sum(server, case):
    """Every line is rated and rounded, then they are added."""
    lines = [{"quantity": "1", "unit_amount": line["amount"], **line} if "amount" in line else line for line in case["input"]["lines"]]
    total = server.value("""SELECT amount(sum(b.amount))
                              FROM unnest(%(quantities)s::numeric[], %(prices)s::text[], %(repeats)s::int[]) AS l(quantity, price, repeats),
                                   generate_series(1, l.repeats),
                                   rated_lines(jsonb_build_object('model', 'per_unit', 'currency', %(currency)s, 'unit_price', l.price, 'rounding', 'line')::tariff, l.quantity) AS b""",
                         currency=case["currency"], quantities=[line["quantity"] for line in lines], prices=[line["unit_amount"] for line in lines],
                         repeats=[int(line.get("repeat", "1")) for line in lines])
    expect("the subtotal", total, case["expected"]["subtotal"])


def check_fees_tax(server, case):
    """An invoice with a line for each fee, and the tax on their sum."""
    given = case["input"]
    server.value("SELECT set_tax_rate(%(key)s, %(percent)s, valid_from => '2024-01-01')", key=case["id"], percent=given["tax_percent"])
    account = account_of(server, case, "2024-01-01")
    server.value("SELECT set_account(%(key)s, tax_code => %(key)s)", key=account)
    for number, amount in enumerate(given["unit_amounts"]):
        key = f"{account}-{number}"
        server.value("SELECT set_fee(%(key)s)", key=key)
        server.value("SELECT set_price(%(key)s, jsonb_build_object('model', 'per_unit', 'currency', %(currency)s, 'unit_price', %(amount)s)::tariff, valid_from => '2024-01-01', price_list => %(list)s)",
                     key=key, currency=case["currency"], amount=amount, list=price_list(case))
        server.value("SELECT set_subscription(%(account)s, %(key)s, starts_on => '2024-01-01', quantity => %(quantity)s)", account=account, key=key, quantity=given["quantity_each"])
    lines = bill(server, account, "2024-02-01")
    expect_lines("fees", [line[1] for line in lines], case["expected"]["fees"])
    total, tax, gross = server.rows("SELECT amount(i.total_without_tax), amount(i.tax_total), amount(i.total) FROM invoices AS i WHERE i.payer = %(account)s", account=account)[0]
    for what, got in (("fees_total", total), ("tax", tax), ("total", gross)):
        expect(what, got, case["expected"][what])


def check_usage_rounding(server, case):
    """Rounding of a meter's quantity; negative decimals round to tens, hundreds, …"""
    given = case["input"]
    mode = {"round": "half_up", "ceil": "up", "floor": "down"}[given["rounding_function"]]
    expect("the units", server.value("SELECT round_quantity(%(value)s, %(mode)s, %(decimals)s)", value=given["value"], mode=mode,
                                     decimals=int(given.get("rounding_precision") or 0)), case["expected"]["value"])


# --- the ledger: metering and corrections -----------------------------------------------------------------------------------------------

def price_list(case):
    """Each currency has a list of its own."""
    return "default" if case.get("currency", "EUR") == "EUR" else "default-" + case["currency"]


def zone_of(instant):
    """A time zone in which an instant given in UTC is midnight."""
    hour, minute = int(instant[11:13]), int(instant[14:16])
    if minute:
        return {"18:30": "Asia/Kolkata", "18:15": "Asia/Kathmandu", "03:30": "America/St_Johns"}[instant[11:16]]
    return "UTC" if hour == 0 else f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"


def local_day(server, instant, zone):
    return server.value("SELECT (%(instant)s::timestamptz AT TIME ZONE %(zone)s)::date::text", instant=instant, zone=zone)


def account_of(server, case, day, cycle_day=None, zone="UTC"):
    """An account of its own for each case."""
    key = case["id"]
    if price_list(case) != "default":
        server.value("SELECT set_price_list(%(list)s, currency => %(currency)s, seller => 'seller')", list=price_list(case), currency=case["currency"])
    server.value("""SELECT set_account(%(key)s, currency => %(currency)s, time_zone => %(zone)s, starts_on => %(day)s, price_list => %(list)s,
                                       cycle_day => coalesce(%(cycle_day)s, extract(day FROM %(day)s::date))::int)""",
                 key=key, currency=case.get("currency", "EUR"), day=day, cycle_day=cycle_day, zone=zone, list=price_list(case))
    return key


def meter(server, key, aggregation, tariff):
    """A meter of its own for each case, and its price for the account alone: other accounts would owe what is due without usage."""
    server.value("SELECT set_meter(%(key)s, unit => 'unit', aggregation => %(aggregation)s)", key=key, aggregation=aggregation)
    server.value("""SELECT set_price(%(key)s, %(tariff)s::tariff, valid_from => '2022-01-01', account => %(key)s,
                                     price_list => CASE currency(%(tariff)s::tariff) WHEN 'EUR' THEN 'default' ELSE 'default-' || currency(%(tariff)s::tariff) END)""",
                 key=key, tariff=tariff)


def record(server, account, identity, at, quantity, dimensions=None):
    outcome, detail = server.rows("""SELECT r.outcome, r.detail
                                       FROM record_usage(jsonb_strip_nulls(jsonb_build_object('id', %(id)s, 'account', %(account)s, 'meter', %(account)s, 'quantity', %(quantity)s, 'at', %(at)s,
                                                                                              'dimensions', %(dimensions)s::jsonb))) AS r""",
                                  id=identity, account=account, quantity=quantity, at=at, dimensions=json.dumps(dimensions) if dimensions else None)[0]
    if outcome != "accepted":
        raise Mismatch(f"usage was {outcome}: {detail}")


def conversion(unit_config=None, free=None):
    """The rate card of OpenMeter whose amount is the quantity that it bills."""
    return json.dumps({"price": {"type": "unit", "amount": "1"}, "unit_config": unit_config, "discounts": {"usage": free}})


def check_metering(server, case):
    aggregation = case["aggregation"]
    kind = aggregation["kind"]
    expected = case["expected"]
    if kind == "unit_conversion":
        expect("the units", server.value("SELECT amount(rate(tariff_from('openmeter', %(price)s::jsonb, 'EUR'), %(raw)s::numeric))",
                                         price=conversion(aggregation["unit_config"]), raw=case["input"]["raw_quantity"]), expected["value"])
        return
    if kind == "free_units":
        got = server.values("""SELECT amount(r.billed - COALESCE(lag(r.billed) OVER (ORDER BY r.position), monetary(0, 'EUR')))
                                 FROM (SELECT rate(tariff_from('openmeter', %(price)s::jsonb, 'EUR'), c.quantity) AS billed, c.position
                                         FROM unnest(%(cumulative)s::numeric[]) WITH ORDINALITY AS c(quantity, position)) AS r ORDER BY r.position""",
                            price=conversion(free=aggregation["free"]), cumulative=case["input"]["cumulative"])
        for value, wanted in zip(got, expected["value"], strict=True):
            expect("a split's units", value, wanted)
        return
    if kind in ("weighted_sum", "unit_hours", "unique_count") or "recurring" in aggregation or "prorated" in aggregation:
        check_level(server, case)
        return
    account = window_account(server, case)
    price = {"model": "per_unit", "currency": "EUR", "unit_price": case.get("unit_amount", "1")}
    if "dialect" in case:
        price["dialect"] = case["dialect"]
    if "unit_amount" not in case and "round" in case:
        price["convert"] = {"round": case["round"]["mode"], "decimals": int(case["round"]["digits"])}
    meter(server, account, kind, json.dumps(price))
    for number, event in enumerate(case["events"]):
        record(server, account, f"{account}-{number}", event["at"], event["value"])
    quantity, owed = charged(server, case)
    if "unit_amount" in case:
        expect("the quantity", quantity, expected["value"])
        expect("the amount", owed, expected["amount"])
    else:
        expect("the quantity", server.value("SELECT amount(rate(%(price)s::tariff, %(quantity)s))", quantity=quantity, price=json.dumps(price)), expected["value"])


def window_account(server, case):
    """An account whose charge period is the window of the case; where the case says from when to when it is active, its agreement begins and ends there."""
    zone = zone_of(case["window"]["from"])
    first = local_day(server, case["window"]["from"], zone)
    active = case.get("active", {})
    account = account_of(server, case, local_day(server, active.get("from", case["window"]["from"]), zone), int(first[8:]), zone)
    if "to" in active:
        server.value("SELECT end_agreement(%(key)s, %(to)s)", key=account, to=local_day(server, active["to"], zone))
    return account


def charged(server, case):
    """Quantity and amount of the window."""
    zone = zone_of(case["window"]["from"])
    rows = server.rows("SELECT c.quantity, amount(c.owed) FROM charges(%(account)s, daterange(%(first)s, %(last)s)) AS c", account=case["id"],
                       first=local_day(server, case["window"]["from"], zone), last=local_day(server, case["window"]["to"], zone))
    return rows[0] if rows else ("0", "0")


def check_level(server, case):
    """Meters over the changes of a level, carried over and prorated."""
    aggregation = case["aggregation"]
    expected = case["expected"]
    unique = aggregation["kind"] == "unique_count"
    account = window_account(server, case)
    meter(server, account, "sum", json.dumps({"model": "per_unit", "currency": "EUR", "unit_price": case.get("unit_amount", "1")}))
    server.value("""SELECT set_meter(%(key)s, aggregation => %(kind)s, carried_over => %(recurring)s, prorated => %(prorated)s, proration_decimals => %(decimals)s,
                                     hours_in_month => %(hours)s, unique_dimension => %(unique)s, operation_dimension => %(operation)s)""",
                 key=account, kind="weighted_sum" if aggregation["kind"] == "unit_hours" else aggregation["kind"],
                 recurring=aggregation.get("recurring") == "true", prorated=aggregation.get("prorated"),
                 # Lago rounds both parts of a prorated sum up
                 decimals=5 if "prorated" in aggregation and not unique else None,
                 hours=aggregation.get("divisor_hours", "1") if aggregation["kind"] == "unit_hours" else None,
                 unique="value" if unique else None, operation="operation" if any("operation" in event for event in case["events"]) else None)
    if "initial" in aggregation:
        record(server, account, f"{account}-initial", server.value("SELECT (%(from)s::timestamptz - interval '1 day')::text", **case["window"]).replace(" ", "T"), aggregation["initial"])
    for number, event in enumerate(case["events"]):
        if unique:
            record(server, account, f"{account}-{number}", event["at"], "1", {key: event[key] for key in ("value", "operation") if key in event})
        else:
            record(server, account, f"{account}-{number}", event["at"], event["value"])
    quantity, owed = charged(server, case)
    if "exact" in expected:
        expect_exact("the exact quantity", round(quantity, 15), expected["exact"])
    if "amount" in expected:
        expect("the amount", owed, expected["amount"])
    rounding = case.get("round")
    if rounding and int(rounding["digits"]) <= 15:
        server.value("SELECT set_meter(%(key)s, rounding => %(mode)s, decimals => %(digits)s::int)", key=account, **rounding)
        quantity, owed = charged(server, case)
    elif rounding:      # finer than a meter rounds
        quantity = server.value("SELECT round_quantity(%(quantity)s, %(mode)s, %(digits)s::int)", quantity=quantity, **rounding)
    expect("the quantity", quantity, expected["value"])


def bill(server, account, through):
    """One run, and what it books for the account; line by line."""
    server.cursor.execute("CALL run_invoicing(%s, NULL)", (through,))
    server.rows("SELECT * FROM finalize_invoices(through => %(through)s, account => %(account)s)", through=through, account=account)
    return server.rows("""SELECT l.period_from::text, l.amount_numeric FROM invoice_lines AS l
                           WHERE l.account = %(account)s AND l.line_id > COALESCE((SELECT pg_catalog.max(s.line_id) FROM seen AS s WHERE s.account = %(account)s), 0) ORDER BY l.line_id""",
                       account=account)


def bill_one(server, account, through):
    """The same for one account in a transaction of ours, where one bill is enough."""
    server.value("SELECT bill_account(%(account)s, through => %(through)s)", through=through, account=account)
    server.rows("SELECT * FROM finalize_invoices(through => %(through)s, account => %(account)s)", through=through, account=account)


def remember(server, account):
    server.cursor.execute("DELETE FROM seen WHERE account = %s", (account,))
    server.cursor.execute("INSERT INTO seen SELECT %s, pg_catalog.max(l.line_id) FROM invoice_lines AS l WHERE l.account = %s", (account, account))


def changed_details(server, account):
    """What each part of the price adds in the second line of a charge: the explanations of both lines, part by part."""
    return server.values("""WITH part AS (SELECT l.chain_no, e.tier_from, e.tier_to, e.unit_price, e.step, e.amount
                                            FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e
                                           WHERE l.account = %(account)s AND e.stage = 'price')
                            SELECT amount(coalesce(b.amount, b.amount - b.amount, a.amount - a.amount) - coalesce(a.amount, b.amount - b.amount))
                              FROM (SELECT p.*, concat_ws(';', p.tier_from, p.tier_to, 'at ' || p.unit_price) AS place FROM part AS p WHERE p.chain_no = 1) AS a
                              FULL JOIN (SELECT p.*, concat_ws(';', p.tier_from, p.tier_to, 'at ' || p.unit_price) AS place FROM part AS p WHERE p.chain_no = 2) AS b USING (place)
                             ORDER BY b.step, a.step""", account=account)


def check_delta(server, case):
    """Runs after each correction of one usage."""
    account = account_of(server, case, "2024-01-01")
    meter(server, account, "sum", tariff_of(server, case))
    steps = []
    for number, cumulative in enumerate(case["input"]["cumulative"]):
        if number == 0:
            record(server, account, account, "2024-01-10T00:00:00Z", cumulative)
        else:
            server.value("SELECT correct_usage(%(account)s, %(account)s, quantity => %(quantity)s)", account=account, quantity=cumulative)
        lines = bill(server, account, "2024-02-10")
        remember(server, account)
        steps.append(server.value("SELECT COALESCE(amount(sum(monetary(l, %(currency)s))), 0) FROM unnest(%(lines)s::numeric[]) AS l",
                                  lines=[str(line[1]) for line in lines], currency=case["currency"]))
    if [Fraction(str(step)) for step in steps] != [Fraction(step) for step in case["expected"]["steps"]]:
        raise Mismatch(f"steps are {[str(step) for step in steps]}, expected {case['expected']['steps']}")
    if "second_lines" in case["expected"]:
        expect_lines("the parts of the second line", changed_details(server, account), case["expected"]["second_lines"])


def check_progressive(server, case):
    """Usage that reaches a threshold is billed while its period is running; the period's bill is for the rest."""
    given = case["input"]
    expected = case["expected"]
    account = account_of(server, case, "2024-01-01")
    server.value("""SELECT set_account(%(key)s, progressive_thresholds => (SELECT array_agg(monetary(t, %(currency)s)) FROM unnest(%(thresholds)s::numeric[]) AS t),
                                         progressive_every => monetary(%(every)s::numeric, %(currency)s))""",
                 key=account, thresholds=given["thresholds"], every=given.get("recurring_threshold"), currency=case["currency"])
    meter(server, account, "sum", json.dumps({"model": "per_unit", "currency": case["currency"], "unit_price": given["unit_amount"], "dialect": case["dialect"]}))
    if "plan_fee" in given:
        server.value("SELECT set_fee(%(key)s)", key=account + "-plan")
        server.value("SELECT set_price(%(key)s, jsonb_build_object('model', 'flat', 'currency', %(currency)s, 'amount', %(amount)s)::tariff, valid_from => '2022-01-01', price_list => %(list)s)",
                     key=account + "-plan", currency=case["currency"], amount=given["plan_fee"], list=price_list(case))
        server.value("SELECT set_subscription(%(account)s, %(key)s, starts_on => '2024-01-01')", account=account, key=account + "-plan")
    invoices = []
    for number, quantity in enumerate(given["events"]):
        record(server, account, f"{account}-{number}", f"2024-01-{number + 2:02}T00:00:00Z", quantity)
        lines = bill(server, account, f"2024-01-{number + 3:02}")
        remember(server, account)
        invoices.append(str(lines[0][1]) if lines else None)
    if "threshold_invoices" in expected and [one and Fraction(one) for one in invoices] != [one and Fraction(one) for one in expected["threshold_invoices"]]:
        raise Mismatch(f"threshold invoices are {invoices}, expected {expected['threshold_invoices']}")
    if "total" not in expected:
        return
    fees, credit = server.rows("SELECT amount(sum(c.owed)), amount(sum(c.booked)) FROM charges(%(account)s, '[2024-01-01,2024-02-01)') AS c", account=account)[0]
    total = sum(line[1] for line in bill(server, account, "2024-02-01"))
    for what, got in (("fees", fees), ("progressive_credit", credit), ("total", total)):
        if what in expected:
            expect(what, got, expected[what])


def check_late_usage(server, case):
    """Cumulative readings, one a month, billed, then corrected."""
    account = account_of(server, case, "2024-01-01")
    meter(server, account, "increase", tariff_of(server, case))
    periods = case["input"]["periods"]
    months = [f"2024-{number + 1:02}" for number in range(len(periods))]
    through = f"2024-{len(periods) + 1:02}-10"
    record(server, account, "start", "2024-01-01T00:00:00Z", "0")
    for month, period in zip(months, periods, strict=True):
        record(server, account, month, f"{month}-10T00:00:00Z", period["billed_cumulative"])
    bill(server, account, through)
    remember(server, account)
    for month, period in zip(months, periods, strict=True):
        if period["new_cumulative"] != period["billed_cumulative"]:
            server.value("SELECT correct_usage(%(account)s, %(id)s, quantity => %(quantity)s)", account=account, id=month, quantity=period["new_cumulative"])
    lines = bill(server, account, through)
    billed = {line["service_period"]: line for line in case["expected"]["lines"]}
    got = [(period, amount) for period, amount in lines if amount]
    wanted = [(f"{month}-01", Fraction(billed[period["period"]]["amount"])) for month, period in zip(months, periods, strict=True) if period["period"] in billed]
    if sorted((period, Fraction(str(amount))) for period, amount in got) != sorted(wanted):
        raise Mismatch(f"lines are {[(period, str(amount)) for period, amount in got]}, expected {case['expected']['lines']}")
    expect("the net amount", server.value("SELECT amount(sum(monetary(l, %(currency)s))) FROM unnest(%(lines)s::numeric[]) AS l", currency=case["currency"],
                                          lines=[str(amount) for _, amount in lines]), case["expected"]["net"])


def check_correction(server, case):
    if case["kind"] == "late_usage":
        check_late_usage(server, case)
    elif case["kind"] == "progressive_invoice":
        check_progressive(server, case)
    else:
        check_delta(server, case)


# --- which check is for which case ----------------------------------------------------------------------------------------------------

KINDS = {
    "fixed_fee": check_fixed_fee, "plan_change": check_plan_change, "termination_credit": check_termination_credit,
    "calendar_days": check_calendar_days, "cycles": check_cycles,
    "currency": check_currency, "line_then_sum": check_line_sum, "quantity_times_price": check_line_sum, "fees_tax": check_fees_tax,
    "usage": check_usage_rounding,
}


def check(server, name, case):
    for missing, reason in MISSING.items():
        if name.startswith(missing):
            raise Skip(reason)
    if name.startswith("allocation"):
        allocation.check(server, case, expect)
        return
    if "aggregation" in case:
        check_metering(server, case)
        return
    if case.get("kind") in ("delta", "late_usage", "progressive_invoice"):
        check_correction(server, case)
        return
    if case.get("kind") in KINDS:
        KINDS[case["kind"]](server, case)
    elif "price" not in case:
        raise Skip(f"cases of kind {case.get('kind', case.get('model'))} are not built yet")
    elif "records" in case.get("input", {}):
        check_killbill(server, case)
    elif "point" in case.get("input", {}):
        check_hashmap(server, case)
    elif case["dialect"] == "waldur":
        check_waldur(server, case)
    else:
        check_tariff(server, case)


def run_file(server, path):
    """The outcomes of a file: (outcome, id, reason)."""
    name = os.path.splitext(os.path.basename(path))[0]
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)
    for case in cases:
        if case.get("defect"):
            yield "not applicable", case["id"], "the product's result is thought wrong: " + case.get("note", "")
            continue
        try:
            check(server, name, case)
            yield "passed", case["id"], ""
        except Skip as reason:
            yield "skipped", case["id"], str(reason)
        except Mismatch as reason:
            yield "failed", case["id"], str(reason)
        except psycopg2.Error as error:
            yield "failed", case["id"], str(error).strip().replace("\n", " ")


def report(server, folder):
    """A report per file, for a person."""
    totals = dict.fromkeys(("passed", "failed", "skipped", "not applicable"), 0)
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        outcomes = list(run_file(server, path))
        counts = {outcome: sum(1 for row in outcomes if row[0] == outcome) for outcome in totals}
        print(f"{os.path.basename(path)}: " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in totals if counts[outcome]))
        for outcome, identity, reason in outcomes:
            totals[outcome] += 1
            if outcome != "passed":
                print(f"    {outcome}  {identity}: {reason}")
    if totals["not applicable"]:
        print(f"{totals['not applicable']} not applicable")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return totals["failed"]


def suite(server):
    """Our own cases always, the shared ones when they are there."""
    failed = 0
    for folder in (os.path.join(HERE, "cases"), os.path.join(HERE, "..", "..", "..", "shared", "cases")):
        for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
            label = f"{os.path.basename(os.path.dirname(os.path.realpath(folder)))}/{os.path.basename(path)}"
            outcomes = list(run_file(server, path))
            bad = [row for row in outcomes if row[0] == "failed"]
            passed = sum(1 for row in outcomes if row[0] == "passed")
            for reason in sorted({row[2] for row in outcomes if row[0] == "skipped"}):
                print(f"skip conformance {label}: {sum(1 for row in outcomes if row[0] == 'skipped' and row[2] == reason)} cases - {reason}")
            for _, identity, reason in bad:
                print(f"not ok conformance {label} {identity} - {reason}")
            if passed and not bad:
                print(f"ok conformance {label}: {passed} cases")
            failed += len(bad)
    return failed


def main():
    make_database()
    server = Server()
    if len(sys.argv) > 1:
        if not os.path.isdir(sys.argv[1]):
            sys.exit(f"conformance: {sys.argv[1]} is not a folder")
        sys.exit(1 if report(server, sys.argv[1]) else 0)
    sys.exit(1 if suite(server) else 0)


if __name__ == "__main__":
    main()
