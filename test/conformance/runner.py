#!/usr/bin/python3
"""Runs case files through the public SQL functions and compares what they give with what the product gave.

The format of a case is that of the folder's README.  Nothing here computes an amount or a quantity: that would test the runner.  What is
metered goes through record_usage() and charges(), or usage_quantity() where the window is no charge period, what is billed through
run_invoicing() and finalize_invoices(), a correction through two runs; a price alone through rate(), a fee of a period that is no charge
period through prorated_fee().  Python compares, and turns the expected number, which may be a fraction, into the 15 decimals of an exact
amount.  What is to be added, an invoice or the product's sum(monetary) adds.
"""

import glob
import json
import os
import sys
from decimal import Context, Decimal
from fractions import Fraction

import allocation

try:
    import psycopg2
except ImportError:
    print("not ok conformance - the Debian package python3-psycopg2 is not installed: no case was tried")
    if len(sys.argv) > 1:
        print("0 passed, 1 failed, 0 skipped")
    sys.exit(1)

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASE = f"conformance_{os.getpid()}"     # of this run alone

# Kinds of cases whose feature does not exist yet.
MISSING = {
    **dict.fromkeys(("drawdown", "wallet", "credit_cap", "grant_proration"), "credits are not built yet"),
    **dict.fromkeys(("stacked_coupons", "discount_split", "coupons_then_tax", "credit_note"), "coupons and credit notes over taxes are not built yet"),
    **dict.fromkeys(("spending_minimum", "plan_commitment", "true_up", "windowed"), "commitments are not built yet"),
}

# A currency of CUSTOM is no more than its decimals; these have as many.
CURRENCY_OF_DIGITS = {"0": "JPY", "2": "EUR", "3": "BHD", "4": "CLF"}


class Skip(Exception):
    """The product misses a feature that the case needs."""


class Mismatch(Exception):
    """The product gave something else."""


class Malformed(Exception):
    """A case that is none."""


def exact(text):
    """An expected number at 15 decimals, halves to even."""
    return Fraction(round(Fraction(text) * 10**15), 10**15)


def is_true(value):
    """Flags are booleans or words."""
    return str(value).lower() == "true"


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
        self.names = {}     # how often each name of a case came
        self.seen = {}      # the last line of each account

    def last_line(self, account):
        return self.seen.get(account, 0)

    def value(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return self.cursor.fetchone()[0]

    def values(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return [row[0] for row in self.cursor.fetchall()]

    def rows(self, query, **arguments):
        self.cursor.execute(query, arguments)
        return self.cursor.fetchall()


def administer(command):
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True
    connection.cursor().execute(command)
    connection.close()


def make_ledger():
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
    return server.value("SELECT tariff_from(%(dialect)s, %(price)s, %(currency)s)::text", dialect=case["dialect"], price=case["price_text"],
                        currency=case.get("currency"))


LINES = "SELECT amount(l.amount) FROM rated_lines(%(tariff)s::tariff, %(quantity)s::numeric, complete => %(complete)s) AS l ORDER BY l.line"
# What a run bills for a quantity: each part, or each price, rounded where its product rounds it.
BILLED = "SELECT amount(round(round_line(%(tariff)s::tariff, b.amount))) FROM try_bill(%(tariff)s::tariff, %(quantity)s::numeric, complete => %(complete)s) AS b"


def splits(server, case, tariff, readings, final):
    """A counter that is read, and billed, while its period is running: the bill of each split.

    Every reading replaces the one before.  The threshold is the least there is: whatever a split owes more than was billed is billed."""
    account = account_of(server, case, "2024-01-01")
    server.value("SELECT set_account(%(key)s, progressive_threshold => monetary(0.000000000000001, currency(%(tariff)s::tariff)))", key=account, tariff=tariff)
    meter(server, account, "sum", tariff)
    billed = []
    for number, reading in enumerate(readings):
        if number == 0:
            record(server, account, account, "2024-01-01T00:00:00Z", reading)
        else:
            server.value("SELECT correct_usage(%(account)s, %(account)s, quantity => %(quantity)s)", account=account, quantity=reading)
        ends = final and number == len(readings) - 1
        billed.append(bill(server, account, "2024-02-01" if ends else f"2024-01-{min(number + 2, 31):02}"))
    return billed


def check_splits(server, case, tariff):
    given = case["input"]
    expected = case["expected"]
    steps = [step.total for step in splits(server, case, tariff, given["splits"], str(given.get("final")).lower() != "false")]
    if "steps" in expected and [Fraction(str(step)) for step in steps] != [Fraction(step) for step in expected["steps"]]:
        raise Mismatch(f"steps are {[str(step) for step in steps]}, expected {expected['steps']}")
    expect("the last step", steps[-1], expected.get("rounded", expected["amount"]))


def events(server, tariff, case):
    """Prices that depend on the single events: the exact and the rounded amount."""
    given = case["input"]
    if "event_amounts" in given:    # transactions, one usage row each
        _, rounded, amount = alone(server, case, tariff, list(zip(range(len(given["event_amounts"])), given["event_amounts"], [None] * len(given["event_amounts"]))))
        return amount, rounded
    if "events" in given and not given["events"]:
        _, rounded, amount = alone(server, case, tariff, [])
        return amount, rounded
    if "full_quantity" in given:
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
    """Events that carry their own price: it is what they are recorded with; a total of them is rated as it is."""
    given = case["input"]
    if "events" in given:
        _, rounded, amount = alone(server, case, tariff, [(0, event["precise_total_amount_cents"], None) for event in given["events"]])
        return amount, rounded
    return server.rows("SELECT amount(r.exact), amount(round(r.exact)) FROM (SELECT rate(%(tariff)s::tariff, %(quantity)s::jsonb) AS exact) AS r",
                       tariff=tariff, quantity=json.dumps({"units": given.get("quantity", "1"), "precise_total_amount_cents": given["precise_total_amount_cents"]}))[0]


def alone(server, case, tariff, usage):
    """Usage that its price takes apart, by windows or dimensions, and adds again: (how many windows after the first, quantity, dimensions)."""
    account = account_of(server, case, "2024-01-01")
    meter(server, account, "sum", tariff)
    for number, (window, quantity, dimensions) in enumerate(usage):
        at = server.value("SELECT to_char(timestamp '2024-01-01' + %(window)s * ('1 ' || coalesce(tariff_window(%(tariff)s::tariff), 'hour'))::interval, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", window=window, tariff=tariff)
        record(server, account, f"{account}-{number}", at, quantity, dimensions)
    return charged(server, account)


def metered_apart(case, members):
    """The price as its product delivers it together with a meter whose buckets or groups are priced alone."""
    return {**case, "price_text": json.dumps({"meter": {"aggregation": {"type": "MAX", **members}}})[:-1] + ", " + case["price_text"].strip()[1:]} if '"meter"' not in case["price_text"] else case


def pipeline(server, case, tariff, expected):
    """The same quantity recorded as usage, and what is charged for it."""
    quantity = case["input"]["quantity"]
    if server.value("""SELECT needs_events(%(tariff)s::tariff) OR scale(trim_scale(%(quantity)s::numeric)) > 15
                              OR currency(%(tariff)s::tariff) NOT IN (SELECT c.code FROM currencies() AS c WHERE c.withdrawn IS NULL)""", tariff=tariff, quantity=quantity):
        return
    _, owed, exactly = alone(server, case, tariff, [(0, quantity, None)])
    expect_exact("the exact amount of the charge", exactly, expected.get("exact", expected["amount"]))
    if "rounded" in expected:
        expect("the amount of the charge", owed, expected["rounded"])


def plain(server, tariff, quantity, expected):
    """A quantity: the exact amount, and the lines of the bill."""
    arguments = {"tariff": tariff, "quantity": quantity, "complete": True}
    amount = server.value("SELECT amount(rate(%(tariff)s::tariff, %(quantity)s::numeric))", **arguments)
    if "lines" in expected:
        expect_lines("lines", server.values(LINES, **arguments), expected["lines"])
    for member in ("packages", "billed_quantity"):
        if member in expected:
            # where units are converted first, that step says what they become
            steps = server.values("""SELECT coalesce(substring(s.what FROM '^converted units: .* become (.*)$')::numeric, s.quantity) FROM rating_steps(%(tariff)s::tariff, %(quantity)s::numeric) AS s
                                      WHERE s.quantity IS NOT NULL OR s.what LIKE 'converted units: %%' ORDER BY s.step""", **arguments)
            expect(member, steps[0] if steps else None, expected[member])
    return amount, server.value(BILLED, **arguments)


def check_tariff(server, case):
    tariff = tariff_of(server, case)
    given = case["input"]
    expected = case["expected"]
    if "splits" in given:
        check_splits(server, case, tariff)
        return
    if "precise_total_amount_cents" in json.dumps(given):
        amount, rounded = dynamic(server, tariff, case)
    elif "event_amounts" in given or "full_quantity" in given or "events" in given:
        amount, rounded = events(server, tariff, case)
    elif "buckets" in given:
        tariff = tariff_of(server, metered_apart(case, {"bucket_size": "HOUR" if len(given["buckets"]) <= 31 * 24 else "MINUTE"}))
        _, rounded, amount = alone(server, case, tariff, [(number, quantity, None) for number, quantity in enumerate(given["buckets"])])
    elif "groups" in given:
        tariff = tariff_of(server, metered_apart(case, {"group_by": "group"}))
        by = server.value("SELECT (tariff_grouping(%(tariff)s::tariff))[1]", tariff=tariff)
        _, rounded, amount = alone(server, case, tariff, [(0, quantity, {by: str(number)}) for number, quantity in enumerate(given["groups"])])
    elif "usage" in given:
        _, rounded, amount = alone(server, case, tariff, [(0, usage["quantity"], usage["dimensions"]) for usage in given["usage"]])
    else:
        amount, rounded = plain(server, tariff, given["quantity"], expected)
        pipeline(server, case, tariff, expected)
    expect_exact("the exact amount", amount, expected.get("exact", expected["amount"]))
    if "rounded" in expected:
        expect("the rounded amount", rounded, expected["rounded"])


def recorded_units(server, case, suffix, tariff):
    """An account with the records of a Kill Bill subscription; what those of a unit add up to, or their peak, is the meter's."""
    account = account_of(server, case, "2024-01-01", suffix=suffix)
    meter(server, account, "max" if case["price"]["usageType"] == "CAPACITY" else "sum", tariff)
    for unit, amounts in case["input"]["records"].items():
        for number, amount in enumerate(amounts):
            record(server, account, f"{account}-{unit}-{number}", "2024-01-10T00:00:00Z", amount, {"unit": unit})
    return account


def check_killbill(server, case):
    """The period as one bill, and where something was billed before, as the correction of that bill."""
    tariff = tariff_of(server, case)
    if "price_xml" in case and not server.value("SELECT tariff_from('killbill', %(xml)s, %(currency)s) = %(tariff)s::tariff",
                                                xml=case["price_xml"], currency=case.get("currency"), tariff=tariff):
        raise Mismatch("the XML form gives another tariff")
    expected = case["expected"]
    account = recorded_units(server, case, "", tariff)
    invoice = bill(server, account, "2024-02-01")
    _, period, exactly = charged(server, account)
    if "period_amount" in expected:
        expect("the period's amount", period, expected["period_amount"])
    if "exact" in expected:
        expect_exact("the exact amount", exactly, expected["exact"])
    if "lines" in expected:
        expect_blocks(server, account, expected["lines"])
    already = case["input"].get("already_billed")
    if already and Fraction(already):
        # the price of then billed just that; now it is corrected
        account = recorded_units(server, case, "-again", server.value("SELECT jsonb_build_object('model', 'flat', 'currency', %(currency)s, 'amount', %(amount)s)::text",
                                                                      currency=case["currency"], amount=already))
        expect("what the first run bills", bill(server, account, "2024-02-01").total, already)
        set_own_price(server, account, tariff, "closed")
        invoice = bill(server, account, "2024-02-01")
    expect("the amount", invoice.total, expected["amount"])


def expect_blocks(server, account, wanted):
    """The blocks of each tier and unit on the account's line."""
    got = server.rows("""SELECT substring(e.what from '^tier (\\d+)'), substring(e.what from 'unit "(.*)":'), e.quantity, amount(e.amount)
                           FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e
                          WHERE l.account = %(account)s AND e.stage = 'price' AND e.quantity > 0 ORDER BY e.step""", account=account)
    ours = [(tier, unit, Fraction(str(blocks)), Fraction(str(amount))) for tier, unit, blocks, amount in got]
    theirs = [(line["tier"], line["unit"], Fraction(line["blocks"]), Fraction(line["amount"])) for line in wanted if Fraction(line["blocks"])]
    if sorted(ours) != sorted(theirs):
        raise Mismatch(f"lines are {[tuple(map(str, line)) for line in got]}, expected {wanted}")


def check_hashmap(server, case):
    """One point of a data frame: its price alone, and as usage that is charged."""
    point = case["input"]["point"]
    wanted = case["expected"].get("exact", case["expected"]["amount"])
    tariff = tariff_of(server, case)
    amount, dimensions = server.rows("""
        SELECT amount(rate(%(tariff)s::tariff, (p.quantity #>> '{}')::numeric, dimensions => d.described)), d.described::text
          FROM frame_points(%(frame)s) AS p
         CROSS JOIN LATERAL (SELECT p.described || jsonb_strip_nulls(jsonb_build_object('service', p.metric, 'tenant_id', %(tenant)s)) AS described) AS d""",
        tariff=tariff, tenant=case["input"].get("tenant_id"),
        frame=json.dumps({"usage": {point["service"]: [{"vol": {"qty": point["qty"]}, "metadata": point.get("metadata"), "groupby": point.get("groupby")}]}}))[0]
    expect_exact("the amount", amount, wanted)
    # a meter is charged by the price of its own service
    if server.value("SELECT scale(trim_scale(%(quantity)s::numeric)) <= 15 AND jsonb_path_exists(%(tariff)s, '$.services[*] ? (@.service == $service)', jsonb_build_object('service', %(service)s::text))",
                    quantity=point["qty"], tariff=tariff, service=point["service"]):
        _, _, exactly = alone(server, case, tariff, [(0, point["qty"], json.loads(dimensions))])
        expect_exact("the amount that is charged", exactly, wanted)


def check_waldur(server, case):
    given = case["input"]
    quantity = given.get("quantity")
    if quantity is None:
        quantity = server.value("SELECT prorate(%(unit)s, tstzrange(%(start)s, %(end)s, '[]'), NULL, %(zone)s)", unit=case["price"]["unit"],
                                start=given["start"], end=given["end"], zone=given.get("time_zone", "UTC"))
    expect("the quantity", quantity, case["expected"]["quantity"])
    expect("the amount", server.value(BILLED, tariff=tariff_of(server, case), quantity=quantity, complete=True), case["expected"]["amount"])


# --- proration ------------------------------------------------------------------------------------------------------------------------

def moment(text, zone):
    """A time as SQL; a day alone is its midnight in the zone."""
    return f"'{text}'::timestamptz" if len(text) > 10 else f"('{text}'::timestamp AT TIME ZONE '{zone}')"


def span(first, last, rule, zone="UTC"):
    """A span as SQL: the bound of the last day belongs to it where both end days count."""
    return f"tstzrange({moment(first, zone)}, {moment(last, zone)}, '{'[]' if rule == 'day_inclusive' else '[)'}')"


def days_from(first, days, zone="UTC"):
    return f"tstzrange({moment(first, zone)}, {moment(first, zone)} + {int(days)} * interval '1 day', '[)')"


def check_fixed_fee(server, case):
    given = case["input"]
    rule = case["rule"]
    zone = given.get("time_zone", "UTC")
    period = days_from(given["from"], given["period_days"], zone) if "period_days" in given else span(given["period_from"], given["period_to"], rule, zone)
    factor, amount = server.rows(f"""SELECT p.part, amount(round(rate(jsonb_build_object('model', 'flat', 'currency', %(currency)s, 'amount', %(amount)s)::tariff, 1, fraction => p.part)))
                                       FROM prorate(%(rule)s, {span(given['from'], given['to'], rule, zone)}, {period}, %(zone)s) AS p(part)""",
                                 rule=rule, amount=given["amount"], currency=case["currency"], zone=zone)[0]
    if "factor" in case["expected"]:
        expect_exact("the factor", round(factor, 15), case["expected"]["factor"])
    expect("the amount", amount, case["expected"]["amount"])


def fee_account(server, case, period, rule, zone):
    """An account whose first charge period is the span, given as SQL, or null where it is longer than a month; its first and its last day, and its days."""
    first, end, days = server.rows(f"""SELECT (lower(p.span) AT TIME ZONE '{zone}')::date::text, (last_day(p.span, '{zone}') + 1)::text, service_days('{rule}', p.span, '{zone}')
                                         FROM (SELECT {period} AS span) AS p""")[0]
    if server.value("SELECT next_cycle_date(%(first)s, extract(day FROM %(end)s::date)::int)::text", first=first, end=end) != end:
        return None, first, end, days
    return account_of(server, case, first, int(end[8:]), zone), first, end, days


def fee_price(case, unit_price):
    """The price of a fee, which rounds as the product does."""
    return json.dumps({"model": "per_unit", "currency": case["currency"], "unit_price": unit_price, **({"dialect": case["dialect"]} if "dialect" in case else {"rounding": "line"})})


def set_fee_price(server, case, key, price_days, unit_price, rule="day_half_open"):
    """A fee due in advance, of so many days."""
    server.value("SELECT set_fee(%(key)s, in_advance => true, proration => %(rule)s, price_days => %(days)s)", key=key, rule=rule, days=price_days)
    server.value("SELECT set_price(%(key)s, %(price)s::tariff, valid_from => '2000-01-01', price_list => %(list)s)", key=key, price=fee_price(case, unit_price), list=price_list(case))


def is_prorated(component):
    return str(component.get("prorate", "true")).lower() != "false"


def changes_at_midnight(server, case, zone):
    """Whether a change by elapsed time is one of whole days, which the ledger knows: it happens at a midnight of the zone, and no fee has days of its own."""
    given = case["input"]
    return not any("cadence_days" in component for component in given["components"]) and server.value(
        f"SELECT bool_and((at AT TIME ZONE '{zone}')::time = '00:00') FROM (VALUES ({moment(given['period_from'], zone)}), ({moment(given['period_to'], zone)}), ({moment(given['change'], zone)})) AS t(at)")


def check_plan_change(server, case):
    """Fees billed in advance; then old ones end and new ones begin, and what the next run makes of it."""
    given = case["input"]
    rule = case["rule"]
    zone = given.get("time_zone", "UTC")
    counted = "day_half_open" if rule == "second" else rule     # days make charge periods
    account = None
    if rule != "second" or changes_at_midnight(server, case, zone):
        account, first, end, days = fee_account(server, case, span(given["period_from"], given["period_to"], counted, zone), counted, zone)
        if rule == "second" and account and server.value("SELECT next_cycle_date(%(first)s::date - 1, extract(day FROM %(end)s::date)::int)::text", first=first, end=end) != first:
            account = None      # a part of a charge period, whose seconds are those of the whole one
    if account is None:
        check_change_alone(server, case)
        return
    change = local_day(server, given["change"], zone)
    for number, component in enumerate(given["components"]):
        for member in ("old", "new"):
            if member in component:
                price_days = None if rule == "second" else component["cadence_days"] if "cadence_days" in component and is_prorated(component) else days
                set_fee_price(server, case, f"{account}-{number:03}-{'1' if member == 'new' else '0'}", price_days, component[member], "second" if rule == "second" else "day_half_open")
        if "old" in component:
            server.value("SELECT set_subscription(%(account)s, %(key)s, quantity => %(quantity)s, starts_on => %(first)s)", account=account, key=f"{account}-{number:03}-0",
                         quantity=component.get("old_quantity", "1"), first=first)
    bill(server, account, first)
    for number, component in enumerate(given["components"]):
        day = change if is_prorated(component) else first
        if "old" in component:
            server.value("SELECT end_subscription(%(account)s, %(key)s, ends_on => %(day)s)", account=account, key=f"{account}-{number:03}-0", day=day)
        if "new" in component:
            server.value("SELECT set_subscription(%(account)s, %(key)s, quantity => %(quantity)s, starts_on => %(day)s)", account=account, key=f"{account}-{number:03}-1",
                         quantity=component.get("new_quantity", "1"), day=day)
    invoice = bill(server, account, first)
    expect_lines("lines", invoice.amounts, case["expected"]["lines"])
    if "net" in case["expected"]:
        expect("the net amount", invoice.total, case["expected"]["net"])


FEE = "prorated_fee(%(price)s::tariff, %(quantity)s::numeric, %(rule)s, {service}, {period}, %(zone)s)"


def check_change_alone(server, case):
    """A change within a day, or in a period that is no charge period of the ledger: each line is what prorated_fee() says, an invoice adds them."""
    given = case["input"]
    rule = case["rule"]
    zone = given.get("time_zone", "UTC")
    lines = []
    for component in given["components"]:
        period = span(given["period_from"], given["period_to"], rule, zone)
        if not is_prorated(component):
            service = period
        else:
            service = span(given["change"], given["period_to"], rule, zone)
            if "cadence_days" in component:
                period = days_from(given["period_from"], component["cadence_days"], zone)
        for member, fee in (("old", "- " + FEE), ("new", FEE)):
            if member in component:
                lines.append(server.value(f"SELECT amount({fee.format(service=service, period=period)})", price=fee_price(case, component[member]),
                                          quantity=component.get(member + "_quantity", "1"), rule=rule, zone=zone))
    expect_lines("lines", lines, case["expected"]["lines"])
    if "net" in case["expected"]:
        expect("the net amount", invoice_of_fees(server, case, [(line, "1", "1") for line in lines], suffix="-alone").total, case["expected"]["net"])


def check_termination_credit(server, case):
    """A fee in advance whose subscription ends: the credit note that the next run makes.

    A document taxes what its lines come to (EN 16931, BR-CO-17).  Where a product taxes the unrounded credit and that is another cent, the case fails and says so."""
    given = case["input"]
    expected = case["expected"]
    period = days_from("2024-01-01", given["period_days"])
    tax_rate(server, case, given["tax_percent"])
    account, first, end, days = fee_account(server, case, period, "day_half_open", "UTC")
    if account:
        set_fee_price(server, case, account, days, given["amount"])
        server.value("SELECT set_account(%(account)s, tax_code => %(code)s)", account=account, code=case["key"])
        server.value("SELECT set_subscription(%(account)s, %(account)s, starts_on => %(first)s)", account=account, first=first)
        bill(server, account, first)
        server.value("SELECT end_subscription(%(account)s, %(account)s, ends_on => %(end)s::date - %(unused)s::int)", account=account, end=end, unused=given["unused_days"])
        note = bill(server, account, first)
    else:   # a period that is no charge period of the ledger
        credit = server.value(f"SELECT amount(- {FEE.format(service=days_from('2024-01-01', given['unused_days']), period=period)})", price=fee_price(case, given["amount"]),
                              quantity="1", rule="day_half_open", zone="UTC")
        note = invoice_of_fees(server, case, [(credit, "1", "1")], tax_code=case["key"])
    for what, got, member in (("credit", note.total, "credit"), ("tax on the rounded credit", note.tax, "tax"), ("total", note.gross, "total")):
        expect("the " + what, got, -Fraction(expected[member]))


def check_calendar_days(server, case):
    given = case["input"]
    expect("days", server.value("SELECT service_days(%(rule)s, tstzrange(%(from)s, %(to)s), %(time_zone)s)", rule=case["rule"], **given), case["expected"]["days"])


# What one unit costs where an invoice adds up numbers: a cent is then their ninth decimal.
UNITS = 10**7


def check_cycles(server, case):
    """A fee due in advance: what a bill through the target day charges for, each part at 9 decimals."""
    given = case["input"]
    wholes = [int(whole) for _, whole in given["parts"]]
    if max(wholes, default=0) > 31 and len(wholes) > 1:    # cycles longer than a charge period: a line for each part
        fee = json.dumps({"model": "per_unit", "currency": "EUR", "unit_price": UNITS})
        parts = [server.value(f"SELECT amount({FEE.format(service=days_from(given['start'], days), period=days_from(given['start'], whole))})", price=fee, quantity="1", rule=case["rule"], zone="UTC")
                 for days, whole in given["parts"]]
        expect("ten-millionths of cycles", invoice_of_fees(server, case, [(part, "1", "1") for part in parts]).total, Fraction(case["expected"]["cycles"]) * UNITS)
        return
    account = account_of(server, case, given["start"], given["billing_day"])
    server.value("SELECT set_fee(%(key)s, in_advance => true, proration => %(rule)s, price_days => %(days)s)", key=account, rule=case["rule"],
                 days=wholes[0] if wholes and wholes[0] > 31 else None)
    server.value("SELECT set_price(%(key)s, jsonb_build_object('model', 'per_unit', 'currency', 'EUR', 'unit_price', %(units)s)::tariff, valid_from => %(start)s)", key=account, units=UNITS, start=given["start"])
    server.value("SELECT set_subscription(%(key)s, %(key)s, starts_on => %(start)s, ends_on => %(end)s)", key=account, start=given["start"], end=given.get("end"))
    expect("ten-millionths of cycles", bill(server, account, given["target"]).total, Fraction(case["expected"]["cycles"]) * UNITS)


# --- rounding -------------------------------------------------------------------------------------------------------------------------

def check_currency(server, case):
    if case["currency"] == "CUSTOM":   # as no currency: a number of so many decimals
        expect("the rounded amount", server.value("SELECT round_quantity(%(value)s, 'half_up', %(digits)s)", value=case["input"]["value"], digits=int(case["digits"])), case["expected"]["rounded"])
        return
    expect("the rounded amount", server.value("SELECT amount(monetary_rounded(%(value)s, %(currency)s))", value=case["input"]["value"], currency=case["currency"]),
           case["expected"]["rounded"])


def tax_rate(server, case, percent):
    """A tax of the case's own."""
    server.value("SELECT set_tax_rate(%(key)s, %(percent)s, category => CASE WHEN %(percent)s::numeric = 0 THEN 'Z' ELSE 'S' END, valid_from => '2024-01-01')", key=case["key"], percent=percent)


def invoice_of_fees(server, case, fees, tax_code=None, suffix=""):
    """An invoice with a line for each fee: (unit price, quantity, how many such lines).  Each is rounded, then they are added."""
    account = account_of(server, case, "2024-01-01", suffix=suffix)
    server.value("SELECT set_account(%(key)s, tax_code => %(code)s)", key=account, code=tax_code)
    for number, (unit_price, quantity, repeat) in enumerate(fees):
        key = f"{account}-{number:03}"
        server.value("SELECT set_fee(%(key)s)", key=key)
        server.value("""SELECT set_price(%(key)s, jsonb_build_object('model', 'per_unit', 'currency', %(currency)s, 'unit_price', %(price)s)::tariff, valid_from => '2024-01-01',
                                         price_list => %(list)s)""", key=key, currency=case.get("currency", "EUR"), price=unit_price, list=price_list(case))
        server.value("""SELECT pg_catalog.count(set_subscription(%(account)s, %(key)s || '-' || n, fee => %(key)s, starts_on => '2024-01-01', quantity => %(quantity)s))
                          FROM generate_series(1, %(repeat)s) AS n""", account=account, key=key, quantity=quantity, repeat=int(repeat))
    return bill(server, account, "2024-02-01")


def check_line_sum(server, case):
    """An invoice of so many lines."""
    lines = [(line.get("unit_amount", line.get("amount")), line.get("quantity", "1"), line.get("repeat", "1")) for line in case["input"]["lines"]]
    expect("the subtotal", invoice_of_fees(server, case, lines).total, case["expected"]["subtotal"])


def check_fees_tax(server, case):
    """The tax on the sum of an invoice's lines."""
    given = case["input"]
    tax_rate(server, case, given["tax_percent"])
    invoice = invoice_of_fees(server, case, [(amount, given["quantity_each"], "1") for amount in given["unit_amounts"]], tax_code=case["key"])
    expect_lines("fees", invoice.amounts, case["expected"]["fees"])
    for what, got in (("fees_total", invoice.total), ("tax", invoice.tax), ("total", invoice.gross)):
        expect(what, got, case["expected"][what])


def check_usage_rounding(server, case):
    """A meter that rounds what it charges; negative decimals round to tens, hundreds, …"""
    given = case["input"]
    account = account_of(server, case, "2024-01-01")
    mode = {None: "", "round": "half_up", "ceil": "ceiling", "floor": "floor"}[given.get("rounding_function")]
    digits = given.get("rounding_precision") or 0
    if server.value("SELECT scale(%(value)s::numeric) > 15", value=given["value"]):   # finer than usage is recorded
        expect("the units", server.value("SELECT round_quantity(%(value)s, NULLIF(%(mode)s, ''), %(digits)s::int)", value=given["value"], mode=mode, digits=digits), case["expected"]["value"])
        return
    meter(server, account, "sum", json.dumps(unit_price(case)))
    round_meter(server, account, mode, digits)
    record(server, account, account, "2024-01-10T00:00:00Z", given["value"])
    expect("the units", charged(server, account)[0], case["expected"]["value"])


# --- the ledger: metering and corrections -----------------------------------------------------------------------------------------------

def price_list(case):
    """Each currency has a list of its own."""
    return "default" if case.get("currency", "EUR") == "EUR" else "default-" + case["currency"]


# Where the ends of a window can be midnight: fixed offsets first, then places with a clock that changes.
ZONES = ["UTC", *(f"Etc/GMT{sign}{hours}" for hours in range(1, 13) for sign in "+-"), "Etc/GMT-13", "Etc/GMT-14", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Yangon",
         "Australia/Darwin", "Europe/London", "Europe/Berlin", "Europe/Athens", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/St_Johns",
         "America/Sao_Paulo", "America/Santiago", "Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland", "Asia/Kabul",
         "Australia/Eucla", "Pacific/Chatham", "Pacific/Marquesas"]


def zone_of(server, instants):
    """A time zone in which all these instants are midnight, or null: then they lie within days."""
    zones = server.values("""SELECT z.name FROM unnest(%(zones)s) WITH ORDINALITY AS z(name, position)
                              WHERE (SELECT bool_and((i AT TIME ZONE z.name)::time = '00:00') FROM unnest(%(instants)s::timestamptz[]) AS i)
                              ORDER BY z.position LIMIT 1""", zones=ZONES, instants=instants)
    return zones[0] if zones else None


def local_day(server, instant, zone):
    return server.value("SELECT (%(instant)s::timestamptz AT TIME ZONE %(zone)s)::date::text", instant=instant, zone=zone)


def account_of(server, case, day, cycle_day=None, zone="UTC", suffix=""):
    """An account of its own for each case."""
    key = case["key"] + suffix
    if price_list(case) != "default":
        server.value("SELECT set_price_list(%(list)s, currency => %(currency)s, seller => 'seller')", list=price_list(case), currency=case["currency"])
    server.value("""SELECT set_account(%(key)s, currency => %(currency)s, time_zone => %(zone)s, starts_on => %(day)s, price_list => %(list)s,
                                       cycle_day => coalesce(%(cycle_day)s, extract(day FROM %(day)s::date))::int)""",
                 key=key, currency=case.get("currency", "EUR"), day=day, cycle_day=cycle_day, zone=zone, list=price_list(case))
    return key


def unit_price(case, **members):
    """A price of 1 a unit, at which amounts are quantities."""
    return {"model": "per_unit", "currency": case.get("currency", "EUR"), "unit_price": "1", **members}


def meter(server, key, aggregation, tariff):
    """A meter of its own for each case, and its price for the account alone: other accounts would owe what is due without usage."""
    server.value("SELECT set_meter(%(key)s, unit => 'unit', aggregation => %(aggregation)s)", key=key, aggregation=aggregation)
    set_own_price(server, key, tariff)


def set_own_price(server, key, tariff, applies_to=None):
    server.value("""SELECT set_price(%(key)s, %(tariff)s::tariff, valid_from => '2000-01-01', account => %(key)s, applies_to => %(applies_to)s,
                                     price_list => CASE currency(%(tariff)s::tariff) WHEN 'EUR' THEN 'default' ELSE 'default-' || currency(%(tariff)s::tariff) END)""",
                 key=key, tariff=tariff, applies_to=applies_to)


def round_meter(server, key, mode, decimals):
    server.value("SELECT set_meter(%(key)s, rounding => %(mode)s, decimals => CASE WHEN %(mode)s <> '' THEN %(decimals)s::int END)", key=key, mode=mode, decimals=decimals)


def record(server, account, identity, at, quantity, dimensions=None):
    outcome, detail = server.rows("""SELECT r.outcome, r.detail
                                       FROM record_usage(jsonb_strip_nulls(jsonb_build_object('id', %(id)s, 'account', %(account)s, 'meter', %(account)s, 'quantity', %(quantity)s, 'at', %(at)s,
                                                                                              'dimensions', %(dimensions)s::jsonb))) AS r""",
                                  id=identity, account=account, quantity=quantity, at=at, dimensions=json.dumps(dimensions) if dimensions else None)[0]
    if outcome != "accepted":
        raise Mismatch(f"usage was {outcome}: {detail}")


def check_conversion(server, case):
    """Units that a price converts before they are charged; at a price of 1 the amount is their number."""
    account = account_of(server, case, "2024-01-01")
    meter(server, account, "sum", unit_price_of_openmeter(server, case, unit_config=case["aggregation"]["unit_config"]))
    record(server, account, account, "2024-01-10T00:00:00Z", case["input"]["raw_quantity"])
    expect("the units", charged(server, account)[2], case["expected"]["value"])


def check_free_units(server, case):
    """Free units are used up in order: the units that each split adds to what is billed."""
    tariff = unit_price_of_openmeter(server, case, amount=str(UNITS), discounts={"usage": case["aggregation"]["free"]})
    billed = [split.total for split in splits(server, case, tariff, case["input"]["cumulative"], True)]
    if [Fraction(str(one)) for one in billed] != [Fraction(one) * UNITS for one in case["expected"]["value"]]:
        raise Mismatch(f"ten-millionths of units are {[str(one) for one in billed]}, expected units {case['expected']['value']}")


def unit_price_of_openmeter(server, case, amount="1", **members):
    return server.value("SELECT tariff_from('openmeter', %(card)s, %(currency)s)::text", currency=case.get("currency", "EUR"), card=json.dumps({"price": {"type": "unit", "amount": amount}, **members}))


def check_metering(server, case):
    aggregation = case["aggregation"]
    kind = aggregation["kind"]
    expected = case["expected"]
    if kind == "unit_conversion":
        check_conversion(server, case)
        return
    if kind == "free_units":
        check_free_units(server, case)
        return
    if kind not in AGGREGATIONS:
        raise Skip(f"meters of kind {kind} are not built yet")
    period = charge_period(server, case)
    account = window_account(server, case, period)
    meter(server, account, "sum", json.dumps(metering_price(case)))
    set_aggregation(server, account, case)
    record_changes(server, account, case)
    quantity, _, units = measured(server, account, case, period)
    if "exact" in expected:
        expect_exact("the exact quantity", round(quantity, 15), expected["exact"])
    if "round" in case:
        round_meter(server, account, ROUNDINGS[case["round"]["mode"]], case["round"]["digits"])
        quantity, _, units = measured(server, account, case, period)
    # a product that charges nothing for less than nothing shows that in the price
    expect("the quantity", units if kind == "latest" else quantity, expected["value"])
    if "unit_amount" in case:
        set_own_price(server, account, json.dumps(metering_price(case, unit_price=case["unit_amount"])))
    if "amount" in expected:
        expect("the amount", measured(server, account, case, period)[1], expected["amount"])


def charge_period(server, case):
    """The window as a charge period: its first day, the day after it, and their time zone; null where it is none: then it begins or ends within a day, or is no month."""
    zone = zone_of(server, [*case["window"].values(), *case.get("active", {}).values()])
    if not zone:
        return None
    first, last = (local_day(server, case["window"][end], zone) for end in ("from", "to"))
    is_period = server.value("SELECT next_cycle_date(%(first)s, extract(day FROM %(first)s::date)::int) = %(last)s", first=first, last=last)
    return (first, last, zone) if is_period else None


def window_account(server, case, period):
    """An account one of whose charge periods is the window, where there are such; where the case says from when to when it is active, its agreement begins and ends there."""
    if not period:
        zone = zone_of(server, list(case["window"].values())) or "UTC"
        return account_of(server, case, local_day(server, case["window"]["from"], zone), zone=zone)
    active = case.get("active", {})
    first, _, zone = period
    account = account_of(server, case, local_day(server, active["from"], zone) if "from" in active else first, int(first[8:]), zone)
    if "to" in active:
        server.value("SELECT end_agreement(%(key)s, %(to)s)", key=account, to=local_day(server, active["to"], zone))
    return account


def charged(server, account):
    """Quantity, amount and exact amount of January 2024."""
    return charged_days(server, account, "2024-01-01", "2024-02-01")


def measured(server, account, case, period):
    """The same of the window: what is charged for it where it is a charge period, otherwise its quantity, priced.  Both are metered alike."""
    metered = server.value("""SELECT q.quantity FROM usage_quantity(%(account)s, %(account)s, tstzrange(%(from)s, %(to)s), tstzrange(%(active_from)s, %(active_to)s)) AS q""",
                           account=account, **case["window"], **{f"active_{end}": case.get("active", {}).get(end, case["window"][end]) for end in ("from", "to")})
    if not period:
        return priced(server, case, metered)
    quantity, *rest = charged_days(server, account, *period[:2])
    expect("the quantity of the window alone", metered, quantity)
    return quantity, *rest


def priced(server, case, quantity):
    """A quantity that is no charge of its own, what it costs, and what is left of it at a price of 1."""
    amount, units = server.rows("SELECT amount(round(rate(%(tariff)s::tariff, %(quantity)s::numeric))), amount(rate(%(one)s::tariff, %(quantity)s::numeric))",
                                tariff=json.dumps(metering_price(case, unit_price=case.get("unit_amount", "1"))), one=json.dumps(metering_price(case)), quantity=quantity)[0]
    return quantity, amount, units


def metering_price(case, **members):
    return unit_price(case, **({"dialect": case["dialect"]} if "dialect" in case else {}), **members)


ROUNDINGS = {"half_up": "half_up", "up": "ceiling"}


def charged_days(server, account, first, last):
    rows = server.rows("SELECT c.quantity, amount(c.owed), amount(c.owed_exact), c.problem FROM charges(%(account)s, daterange(%(first)s, %(last)s)) AS c",
                       account=account, first=first, last=last)
    if len(rows) > 1:
        raise Mismatch(f"there are {len(rows)} charges, expected one")
    if rows and rows[0][3]:
        raise Mismatch(rows[0][3])
    return rows[0][:3] if rows else (0, 0, 0)


AGGREGATIONS = {"sum": "sum", "count": "count", "max": "max", "min": "min", "avg": "avg", "latest": "latest", "weighted_sum": "weighted_sum", "unit_hours": "weighted_sum",
                "unique_count": "unique_count", "percentile": "percentile"}


def set_aggregation(server, account, case):
    """The meter that adds up as the case says: carried over and prorated where it says so."""
    aggregation = case["aggregation"]
    unique = aggregation["kind"] == "unique_count"
    server.value("""SELECT set_meter(%(key)s, aggregation => %(kind)s, carried_over => %(recurring)s, prorated => %(prorated)s, proration_decimals => %(decimals)s,
                                     hours_in_month => %(hours)s, percentile => %(percentile)s, unique_dimension => %(unique)s, operation_dimension => %(operation)s)""",
                 key=account, kind=AGGREGATIONS[aggregation["kind"]],
                 recurring=is_true(aggregation.get("recurring")) or aggregation["kind"] in ("weighted_sum", "unit_hours") and "initial" in aggregation,
                 prorated=aggregation.get("prorated"),
                 # Lago rounds both parts of a prorated sum up
                 decimals=5 if "prorated" in aggregation and not unique else None,
                 # a weighted sum is that of the whole window unless it is said in hours
                 hours=aggregation.get("divisor_hours", "1") if aggregation["kind"] == "unit_hours" else None,
                 percentile=aggregation.get("percentile"),
                 unique="value" if unique else None, operation="operation" if any("operation" in event for event in case["events"]) else None)


def record_changes(server, account, case):
    if "initial" in case["aggregation"]:
        record(server, account, f"{account}-initial", server.value("SELECT (%(from)s::timestamptz - interval '1 day')::text", **case["window"]).replace(" ", "T"), case["aggregation"]["initial"])
    for number, event in enumerate(case["events"]):
        if case["aggregation"]["kind"] == "unique_count":
            record(server, account, f"{account}-{number}", event["at"], "1", {key: event[key] for key in ("value", "operation") if key in event})
        else:
            record(server, account, f"{account}-{number}", event["at"], event.get("value", "1"))


class Bill:
    """What a run books for an account: its lines as (number, item, first day of the period, amount), and the totals of their document: without tax, the tax, with it."""

    def __init__(self, server, account):
        since = {"account": account, "last": server.last_line(account)}
        self.rows = server.rows("""SELECT l.line_id, l.item, l.period_from::text, l.amount_numeric FROM invoice_lines AS l
                                    WHERE l.account = %(account)s AND l.line_id > %(last)s ORDER BY l.line_id""", **since)
        totals = server.rows("""SELECT amount(i.total_without_tax), amount(i.tax_total), amount(i.total) FROM invoices AS i
                                 WHERE i.invoice_id IN (SELECT l.invoice_id FROM invoice_lines AS l WHERE l.account = %(account)s AND l.line_id > %(last)s)""", **since)
        if len(totals) > 1:
            raise Mismatch(f"the run wrote {len(totals)} invoices, expected one")
        self.total, self.tax, self.gross = totals[0] if totals else (0, 0, 0)
        self.amounts = [amount for *_, amount in sorted(self.rows, key=lambda row: (row[1], row[0]))]
        if self.rows:
            server.seen[account] = self.rows[-1][0]


def bill(server, account, through, everybody=False):
    """One run, for the account or for everybody, and what it books for the account."""
    if everybody:
        server.cursor.execute("CALL run_invoicing(%s, NULL)", (through,))
    else:
        server.value("SELECT bill_account(%(account)s, through => %(through)s)", account=account, through=through)
    server.rows("SELECT * FROM finalize_invoices(through => %(through)s, account => %(account)s)", through=through, account=account)
    return Bill(server, account)


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
        last = bill(server, account, "2024-02-10", everybody=True)
        steps.append(last.total)
    if [Fraction(str(step)) for step in steps] != [Fraction(step) for step in case["expected"]["steps"]]:
        raise Mismatch(f"steps are {[str(step) for step in steps]}, expected {case['expected']['steps']}")
    if "second_lines" in case["expected"]:
        parts = server.values("SELECT amount(e.amount) FROM explain_change(%(line)s) AS e WHERE e.stage = 'price' ORDER BY e.step", line=last.rows[0][0])
        expect_lines("the parts of the second line", parts, case["expected"]["second_lines"])


def progressive_account(server, case, suffix=""):
    """An account with usage, and the fee of a plan where the case has one."""
    given = case["input"]
    account = account_of(server, case, "2024-01-01", suffix=suffix)
    meter(server, account, "sum", json.dumps({"model": "per_unit", "currency": case["currency"], "unit_price": given["unit_amount"], "dialect": case["dialect"]}))
    if "plan_fee" in given:
        server.value("SELECT set_fee(%(key)s)", key=account + "-plan")
        server.value("SELECT set_price(%(key)s, jsonb_build_object('model', 'flat', 'currency', %(currency)s, 'amount', %(amount)s)::tariff, valid_from => '2022-01-01', price_list => %(list)s)",
                     key=account + "-plan", currency=case["currency"], amount=given["plan_fee"], list=price_list(case))
        server.value("SELECT set_subscription(%(account)s, %(key)s, starts_on => '2024-01-01')", account=account, key=account + "-plan")
    return account


def check_progressive(server, case):
    """Usage that reaches a threshold is billed while its period is running; the period's bill is for the rest."""
    given = case["input"]
    expected = case["expected"]
    account = progressive_account(server, case)
    server.value("""SELECT set_account(%(key)s, progressive_thresholds => (SELECT array_agg(monetary(t, %(currency)s)) FROM unnest(%(thresholds)s::numeric[]) AS t),
                                         progressive_every => monetary(%(every)s::numeric, %(currency)s))""",
                 key=account, thresholds=given["thresholds"], every=given.get("recurring_threshold"), currency=case["currency"])
    whole = progressive_account(server, case, "-whole")     # the same without thresholds: all fees on one invoice
    invoices = []
    for number, quantity in enumerate(given["events"]):
        for one in (account, whole):
            record(server, one, f"{one}-{number}", f"2024-01-{number + 2:02}T00:00:00Z", quantity)
        interim = bill(server, account, f"2024-01-{number + 3:02}", everybody=True)
        invoices.append(str(interim.total) if interim.rows else None)
    if "threshold_invoices" in expected and [one and Fraction(one) for one in invoices] != [one and Fraction(one) for one in expected["threshold_invoices"]]:
        raise Mismatch(f"threshold invoices are {invoices}, expected {expected['threshold_invoices']}")
    if "total" not in expected:
        return
    credit = server.value("SELECT amount(c.booked) FROM charges(%(account)s, '[2024-01-01,2024-02-01)') AS c WHERE c.component = 'usage'", account=account)
    for what, got in (("fees", bill(server, whole, "2024-02-01", everybody=True).total), ("progressive_credit", credit), ("total", bill(server, account, "2024-02-01", everybody=True).total)):
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
    bill(server, account, through, everybody=True)
    for month, period in zip(months, periods, strict=True):
        if period["new_cumulative"] != period["billed_cumulative"]:
            server.value("SELECT correct_usage(%(account)s, %(id)s, quantity => %(quantity)s)", account=account, id=month, quantity=period["new_cumulative"])
    last = bill(server, account, through, everybody=True)
    billed = {line["service_period"]: line for line in case["expected"]["lines"]}
    got = [(first, amount) for _, _, first, amount in last.rows if amount]
    wanted = [(f"{month}-01", Fraction(billed[period["period"]]["amount"])) for month, period in zip(months, periods, strict=True) if period["period"] in billed]
    if sorted((first, Fraction(str(amount))) for first, amount in got) != sorted(wanted):
        raise Mismatch(f"lines are {[(first, str(amount)) for first, amount in got]}, expected {case['expected']['lines']}")
    expect("the net amount", last.total, case["expected"]["net"])


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

# A currency of CUSTOM is no more than its decimals.  Where none has as many, the point of all money of the case is moved so that a cent is the last of
# them: these members are money, in a price of each product, in what is given and in what is expected.
MONEY_OF_PRICE = {
    "lago": {"amount", "flat_amount", "per_unit_amount", "fixed_amount", "per_transaction_min_amount", "per_transaction_max_amount", "min_amount_cents", "rate"},
    "openmeter": {"amount", "multiplier", "minimumAmount", "maximumAmount", "minimum_amount", "maximum_amount"},
    "stripe": set(),    # counts in minor units
    "flexprice": {"amount", "unit_amount", "flat_amount"},
    "meteroid": {"rate", "flat_fee", "flat_cap", "per_unit_price", "unit_price", "price"},
    "killbill": {"value"},
}
MONEY_GIVEN = {"amount", "unit_amount", "unit_amounts", "old", "new", "plan_fee", "thresholds", "recurring_threshold", "precise_total_amount_cents", "already_billed"}
MONEY_EXPECTED = {"amount", "exact", "rounded", "steps", "lines", "net", "credit", "tax", "total", "fees", "fees_total", "subtotal", "period_amount", "progressive_credit", "threshold_invoices"}


def moved(value, places):
    """Money with its decimal point moved; also the money in a list, and the member amount of what is in it."""
    if isinstance(value, list):
        return [moved_members(one, {"amount"}, places) if isinstance(one, dict) else moved(one, places) for one in value]
    if value is None or isinstance(value, (dict, bool)):
        return value if not isinstance(value, dict) else moved_members(value, {"amount"}, places)
    if "/" in str(value):
        return str(Fraction(value) * Fraction(10) ** places)
    return str(Decimal(value).scaleb(places, Context(prec=100)))


def moved_members(value, money, places):
    if isinstance(value, list):
        return [moved_members(one, money, places) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: moved(inner, places) if name in money and not isinstance(inner, dict) else moved_members(inner, money, places) for name, inner in value.items()}


def in_cents(case):
    """The case in a currency whose cents are the last decimals of the case's own."""
    if case.get("kind") in ("currency", *MISSING) or "point" in case["input"]:
        return {**case, "currency": case["currency"] if case.get("kind") == "currency" else "EUR"}
    if case.get("dialect") == "waldur" or "price_xml" in case:
        raise Skip("prices in cents, or as XML, are in a currency that has them")
    places = int(case["digits"]) - 2
    expected = {name: moved(value, places) if name in MONEY_EXPECTED else value for name, value in case["expected"].items()}
    result = {**moved_members({name: value for name, value in case.items() if name in ("unit_amount", "input")}, MONEY_GIVEN, places), "expected": expected, "currency": "EUR"}
    if "price" in case:
        price = moved_members(json.loads(case["price_text"], parse_float=str), MONEY_OF_PRICE.get(case["dialect"], set()), places)
        result["price_text"] = json.dumps(price)
    return {**case, **result}


def check(server, case):
    if case.get("kind") in MISSING:
        raise Skip(MISSING[case["kind"]])
    if not isinstance(case.get("expected"), dict):
        raise Malformed("the case expects nothing")
    if case.get("kind") in allocation.KINDS:
        allocation.check(server, case, CURRENCY_OF_DIGITS, expect)
        return
    if case.get("currency") == "CUSTOM":
        case = in_cents(case)
    if "aggregation" in case:
        check_metering(server, case)
        return
    if case.get("kind") in ("delta", "late_usage", "progressive_invoice"):
        check_correction(server, case)
        return
    if case.get("kind") in KINDS:
        KINDS[case["kind"]](server, case)
    elif "price" not in case:
        raise Skip(f"cases of kind {case.get('kind', case.get('model'))} are not known")
    elif "records" in case.get("input", {}):
        check_killbill(server, case)
    elif "point" in case.get("input", {}):
        check_hashmap(server, case)
    elif case["dialect"] == "waldur":
        check_waldur(server, case)
    else:
        check_tariff(server, case)


def cases_of(server, path):
    """The cases of a file.  Numbers become text as they are written; a price goes to the server as it stands in the file."""
    with open(path, encoding="utf-8-sig") as file:
        text = file.read()
    cases = json.loads(text, parse_float=str, parse_int=str)
    if not isinstance(cases, list):
        raise Malformed("it holds no array of cases")
    prices = server.values("SELECT (c.value -> 'price')::text FROM json_array_elements(%(text)s::json) WITH ORDINALITY AS c(value, position) ORDER BY c.position", text=text)
    for number, (case, price) in enumerate(zip(cases, prices, strict=True), 1):
        if not isinstance(case, dict):
            yield {"id": f"case {number}", "malformed": "it is no object"}
            continue
        case.setdefault("id", f"case {number}")
        case["id"] = str(case["id"])
        case["price_text"] = price
        if isinstance(case.get("currency"), str):
            case["currency"] = case["currency"].upper()
            if case["currency"] == "CUSTOM":
                case["currency"] = CURRENCY_OF_DIGITS.get(case.get("digits"), "CUSTOM")
        # a second case of one name has accounts of its own
        server.names[case["id"]] = server.names.get(case["id"], 0) + 1
        case["key"] = case["id"] if server.names[case["id"]] == 1 else f"{case['id']} ({server.names[case['id']]})"
        yield case


def message_of(error):
    """An error of the server without where it was raised."""
    return error.diag.message_primary if isinstance(error, psycopg2.Error) and error.diag.message_primary else " ".join(str(error).split())


def defect(server, case):
    """A result of the product that is thought wrong: whether ours differs from it, as it should."""
    note = "; the product's result is thought wrong: " + str(case.get("note", ""))
    try:
        check(server, case)
    except Skip as reason:
        return "skipped", str(reason) + note
    except Malformed as reason:
        return "failed", str(reason)
    except (Mismatch, psycopg2.Error) as difference:
        return "not applicable", f"differs as expected: {message_of(difference)}{note}"
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        return "failed", f"the case cannot be read: {error!r}"
    return "not applicable", "agrees" + note


def outcome_of(server, case):
    """The outcome of a case, and why."""
    if "malformed" in case:
        return "failed", case["malformed"]
    if str(case.get("defect", "false")).lower() != "false":
        return defect(server, case)
    try:
        check(server, case)
    except Skip as reason:
        return "skipped", str(reason)
    except (Mismatch, Malformed) as reason:
        return "failed", str(reason)
    except psycopg2.Error as error:
        return "failed", message_of(error)
    except KeyError as member:
        return "failed", f"the case lacks {member}"
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        return "failed", f"the case cannot be read: {error}"
    return "passed", ""


def run_file(server, path):
    """The outcomes of a file: (outcome, id, reason)."""
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        for case in cases_of(server, path):
            outcome, reason = outcome_of(server, case)
            yield outcome, case["id"], reason
    except (OSError, UnicodeError, ValueError, RecursionError, Malformed) as error:
        yield "failed", name, f"the file cannot be read: {error}"
    except psycopg2.Error as error:
        yield "failed", name, "the file cannot be read: " + str(error).strip().replace("\n", " ")


def report(server, folder):
    """A report per file, for a person."""
    totals = dict.fromkeys(("passed", "failed", "skipped", "not applicable"), 0)
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.json")))
    if not paths:
        print(f"{folder} has no files *.json")
    for path in paths:
        outcomes = list(run_file(server, path))
        counts = {outcome: sum(1 for row in outcomes if row[0] == outcome) for outcome in totals}
        print(f"{os.path.basename(path)}: " + (", ".join(f"{counts[outcome]} {outcome}" for outcome in totals if counts[outcome]) or "no cases"))
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
    if len(sys.argv) > 1 and not os.path.isdir(sys.argv[1]):
        print(f"{sys.argv[1]} is not a folder")
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    administer(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        make_ledger()
        server = Server()
        failed = report(server, sys.argv[1]) if len(sys.argv) > 1 else suite(server)
    finally:
        administer(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
