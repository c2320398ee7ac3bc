"""Random histories: each step is done by a public function of the ledger and told to the independent ledger.

A history is a list of steps (name, seed).  What a step does follows from its own seed and from the state it meets, so that any part
of a history is a history too: that is what makes a failing one shrink.
"""

import datetime
import random
import uuid
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import psycopg2

from checks import Checks
from database import as_json
from oracle import (Account, Advance, Disagreement, Fee, Ledger, Price, Setting, Subscription, Term, Usage, Watermark, agree,
                    newest_by_span)
from spans import MICROSECOND, UTC, days, instant, midnight
from world import (ACCOUNTS, BEGIN, EVERYTHING, FEES, FOREVER, IN_YEN, LISTS, METERS, REGIONS, RESELLER, SELLER, ZONES, currency_of,
                   list_of)

WEIGHTS = {
    "record": 30, "record_late": 14, "record_spans": 8, "record_again": 3, "record_conflict": 1, "record_rejected": 1,
    "correct": 8, "correct_time": 4, "void": 5, "move": 5,
    "price": 5, "price_backdated": 5, "price_own": 4, "price_removed": 1, "price_unsaid": 1, "poison": 2,
    "subscribe": 4, "change_quantity": 3, "end_subscription": 3,
    "agreement": 1, "parent": 1, "setting": 3, "meter_redefined": 1, "tax_rate": 1, "policy": 1,
    "goodwill": 4, "freeze": 1, "unfreeze": 1, "approve": 4,
    "cancel": 5, "void_invoice": 2,
    "run": 17, "finalize": 12, "seal": 2, "new_rating_version": 1,
    "slow_record": 2, "slow_commit": 3, "bill_in_transaction": 3, "crossing": 1,
    "days_pass": 9,
}


def generate(seed, steps, without=()):
    rng = random.Random(seed)
    names, weights = zip(*((name, weight) for name, weight in WEIGHTS.items() if name not in without))
    return [(name, rng.randrange(2**31)) for name in rng.choices(names, weights, k=steps)]


def decimal(value):
    """An exact Decimal of a fraction with a finite number of decimals."""
    return Decimal(value.numerator) / Decimal(value.denominator)


class History(Checks):
    def __init__(self, database, seed):
        self.database = database
        self.ledger = Ledger()
        self.seed = seed
        self.rng = random.Random(seed * 2 + 1)
        self.today = BEGIN + days(self.rng.randrange(20, 50))
        self.serial = 0
        self.sent = {}              # id -> payload as first sent
        self.slow_facts = []        # told to the independent ledger when the slow recorder commits
        self.slow_stamp = None
        self.poisoned = []
        self.gaps = []              # (item, from, to) where the list's price was taken away
        self.counts = {}
        self.unsettled = {}         # key -> stamp of a change that no run knows yet, draft before it
        self.last_known_at = None
        if seed % 2:        # runs have two ways to read usage, which must come to the same
            self.database.rows("SET billing.one_pass_above = 0")
        self.prepare()

    # ---------------------------------------------------------------- the start of every history

    def prepare(self):
        call = self.database.set
        call("set_seller", key=SELLER, legal_name="Northwind GmbH", country="DE", currency="EUR", time_zone="Europe/Berlin")
        self.set_tax_rate("standard", 19)
        self.set_tax_rate("reduced", 7)
        call("set_seller", key=SELLER, default_tax_code="standard")
        for key, currency in LISTS.items():
            call("set_price_list", key=key, currency=currency)
        for key, meter in METERS.items():
            self.define_meter(key, meter)
        for key, in_advance in FEES.items():
            stamp = call("set_fee", key=key, in_advance=in_advance)
            self.ledger.fees[key].append(Fee(stamp, in_advance))
        for key in ACCOUNTS + (RESELLER,):
            self.open_account(key)
        self.set_agreement((RESELLER, SELLER, "wholesale"), consumer="ash", price_list="wholesale")
        for item in METERS:
            for price_list in LISTS:
                if item == "tokens" or self.rng.random() < 0.9:      # the others may get their first price late
                    self.set_price(price_list, item, None, self.tariff(item, price_list), datetime.datetime(2025, 1, 1), None, None)
        for item in FEES:
            for price_list in ("default", "yen"):
                self.set_price(price_list, item, None, self.tariff(item, price_list), datetime.datetime(2025, 1, 1), None, None)
        for cause in ("price", "plan"):
            if self.rng.random() < 0.3:
                self.set_policy(cause)

    def define_meter(self, key, meter):
        stamp = self.database.set("set_meter", key=key, unit="C62", aggregation=meter.aggregation, dimensions=list(meter.dimensions),
                                  rounding=meter.rounding, decimals=meter.decimals, percentile=meter.percentile and decimal(meter.percentile),
                                  unique_dimension=meter.unique_dimension)
        if stamp:
            self.ledger.meters[key].append(replace(meter, stamp=stamp))

    def open_account(self, key):
        starts_on = self.rng.choice((BEGIN, BEGIN, BEGIN + days(5), BEGIN + days(17), None))
        zone, cycle_day = self.rng.choice(ZONES), self.rng.choice((1, 1, 1, 15, 28, 31))
        mode = self.rng.choice(("half_up", "half_up", "half_even", "up", "down", "ceiling", "floor"))
        grace = self.rng.choice((0, 0, 0, 3, 30))
        threshold = self.rng.choice((None, None, 5, 40)) if key != RESELLER else None
        currency = currency_of(key)
        stamp = self.database.set("set_account", key=key, currency=currency, price_list=list_of(key), time_zone=zone, cycle_day=cycle_day, starts_on=starts_on,
                                  rounding_mode=mode, grace=datetime.timedelta(hours=grace),
                                  progressive_threshold=threshold and f"{threshold} {currency}")
        account = self.ledger.accounts[key] = Account(key, starts_on)
        account.settings.append(Setting(stamp, datetime.date.min, zone, cycle_day, currency, mode, datetime.timedelta(hours=grace)))
        self.ledger.agreements[key, SELLER, "default"].append(
            Term(stamp, key, False, list_of(key), threshold and Fraction(threshold), None, None))

    def set_agreement(self, agreement, consumer, price_list, valid_from=None, valid_to=None, with_descendants=False):
        stamp = self.database.set("set_agreement", buyer=agreement[0], key=agreement[2], consumer=consumer, price_list=price_list,
                                  valid_from=valid_from, valid_to=valid_to, with_descendants=with_descendants)
        if stamp:
            self.ledger.agreements[agreement].append(Term(stamp, consumer, with_descendants, price_list, None, valid_from, valid_to))

    def set_policy(self, cause):
        action = self.rng.choice(("bill", "ignore", "hold"))
        limit = self.rng.choice((None, None, 3)) if action == "bill" else None
        stamp = self.database.set("set_correction_policy", cause=cause, action=action, seller=SELLER, greatest_amount=limit and f"{limit} EUR")
        if stamp:
            self.ledger.policies[None, cause].append((stamp, action, limit))

    def set_price(self, price_list, item, account, tariff, valid_from, valid_to, applies_to, tax_code=""):
        stamp = self.database.set("set_price", item=item, tariff=as_json(tariff), valid_from=valid_from, valid_to=valid_to,
                                  price_list=price_list, account=account, applies_to=applies_to, tax_code=tax_code)
        if stamp:
            code = tax_code or None
            self.ledger.prices[price_list, item].append(Price(stamp, price_list, item, account, tariff, code, valid_from, valid_to))
            if applies_to == "closed":
                self.ledger.advances[price_list, item].append(Advance(stamp, price_list, item, account, valid_from, valid_to))

    # ---------------------------------------------------------------- doing steps

    def play(self, steps, upto=None):
        """Does the steps; raises Disagreement at the first difference, and says at which step."""
        for position, (name, seed) in enumerate(steps):
            self.position = position
            self.rng = random.Random(seed)
            if getattr(self, "do_" + name)() is not False:
                self.counts[name] = self.counts.get(name, 0) + 1

    def finish(self):
        """What every history ends with: nothing open, everything billed as far as it goes."""
        self.position = "end"
        self.rng = random.Random(self.seed)
        self.do_slow_commit()
        self.run(self.today)
        for _ in range(3):      # a policy that bills moves pins, which the next run knows
            self.run(self.today)
        self.check_invariants()
        self.check_tables()
        self.check_explanations()
        for account in self.rng.sample(sorted(self.ledger.accounts), 2):
            self.check_charges(self.ledger.accounts[account])
            self.check_preview(self.ledger.accounts[account])
        self.check_unbilled()

    def expect_error(self, states, function, *arguments, because=""):
        try:
            function(*arguments)
        except psycopg2.Error as error:
            self.database.main.rollback()
            if error.pgcode not in states:
                raise
            return True
        raise Disagreement(f"{function.__name__}{arguments} was accepted {because}")

    # ---------------------------------------------------------------- random values

    def tariff(self, item, price_list="default"):
        rng = self.rng
        price = lambda: rng.choice(("0.005", "0.01", "0.0125", "0.1", "0.333333", "1", "2.5", "0"))
        tiers = [{"up_to": rng.choice(("5", "10", "12.5")), "unit_price": price()}, {"up_to": "40", "unit_price": price()},
                 {"unit_price": price()}]
        models = {
            "per_unit": lambda: {"model": "per_unit", "unit_price": price()},
            "graduated": lambda: {"model": "graduated", "tiers": tiers},
            "graduated_flat": lambda: {"model": "graduated", "tiers": [{**tiers[0], "flat": "3"}, *tiers[1:]],
                                       "on_zero": rng.choice(("charge", "nothing"))},
            "volume": lambda: {"model": "volume", "tiers": [{"up_to": "10", "unit_price": "2"}, {"up_to": "30", "unit_price": "1.1"},
                                                            {"unit_price": "0.4"}]},
            "package": lambda: {"model": "package", "size": rng.choice(("3", "10")), "amount": rng.choice(("1", "0.99"))},
            "minimum": lambda: {"model": "per_unit", "unit_price": price(), "minimum": "4"},
            "free": lambda: {"model": "per_unit", "unit_price": price(), "free": "5"},
            "flat": lambda: {"model": "flat", "amount": rng.choice(("9.99", "10"))},
            "carried": lambda: {"model": "graduated", "tiers": tiers, "carry": True},
            "matrix": lambda: {"model": "matrix", "dimensions": ["region"],
                               "cells": [{"match": {"region": region}, "unit_price": price()} for region in REGIONS[:rng.randrange(1, 4)]]},
        }
        choices = {
            "tokens": ("per_unit", "graduated", "graduated_flat", "volume", "volume", "package", "minimum", "free", "carried"),
            "calls": ("per_unit", "matrix", "graduated", "flat"),
            "storage": ("per_unit", "graduated", "volume"),
            "events": ("per_unit", "package", "graduated", "flat"),
            "peak": ("per_unit", "volume", "graduated"),
            "level": ("per_unit", "graduated"),
            "average": ("per_unit", "volume"),
            "median": ("per_unit", "graduated"),
            "users": ("per_unit", "volume", "graduated_flat"),
            "gauge": ("hours", "graduated"),
            "base": ("fee", "seats"),
            "support": ("fee", "seats"),
        }
        models["hours"] = lambda: {"model": "per_unit", "unit_price": rng.choice(("0.001", "0.0125"))}
        models["fee"] = lambda: {"model": "per_unit", "unit_price": rng.choice(("10", "29.99", "31"))}
        models["seats"] = lambda: {"model": "graduated", "tiers": [{"up_to": "2", "unit_price": "10"}, {"unit_price": "7.5"}]}
        return {"currency": LISTS[price_list], **models[rng.choice(choices[item])]()}

    def quantity(self):
        return Fraction(self.rng.choice(("1", "2", "3", "5", "7", "10", "12.5", "0.5", "20", "33", "0.001", "0", "12.345")))

    def moment(self, earliest, latest):
        """A random instant between two dates (the latter excluded), often at a border of something."""
        date = earliest + days(self.rng.randrange(max((latest - earliest).days, 1)))
        if self.rng.random() < 0.25:
            return instant(midnight(date), self.rng.choice(ZONES))
        return datetime.datetime.combine(date, datetime.time(self.rng.randrange(24), self.rng.randrange(60), self.rng.randrange(60)), UTC)

    def recent(self):
        return self.moment(self.today - days(6), self.today + days(2))

    def late(self):
        return self.moment(max(BEGIN - days(5), self.today - days(100)), self.today)

    def buyer(self):
        return self.rng.choice(ACCOUNTS)

    # ---------------------------------------------------------------- usage

    def usage_payload(self, usage):
        payload = {"id": usage.id, "account": usage.account, "meter": usage.meter, "quantity": str(decimal(usage.quantity)),
                   "dimensions": usage.dimensions}
        if usage.starts_at == usage.ends_at:
            payload["at"] = usage.starts_at.isoformat()
        else:
            payload["start"], payload["end"] = usage.starts_at.isoformat(), usage.ends_at.isoformat()
        return payload

    def new_usage(self, when, lasting=datetime.timedelta(0), account=None):
        # levels hold from a time on and are refused with an end
        meter = self.rng.choice([key for key, meter in METERS.items() if not lasting or meter.aggregation != "time_weighted"])
        dimensions = {"calls": lambda: {"region": self.rng.choice(REGIONS)}, "users": lambda: {"user": self.rng.choice("abcdefgh")}}.get(meter, dict)()
        id = str(uuid.UUID(int=self.rng.getrandbits(128)))
        return Usage(id, account or self.rng.choice(ACCOUNTS + ("ash",)), meter, when, when + lasting, self.quantity(), dimensions, None)

    def record_usage(self, usages, connection=None):
        payloads = [self.usage_payload(u) for u in usages]
        rows, stamp = self.database.record("SELECT id, outcome, detail FROM billing.record_usage(%s)", as_json(payloads), connection=connection)
        for row, usage, payload in zip(rows, usages, payloads):
            agree(row[:2] == (usage.id, "accepted"), "recording {} gave {}", payload, row)
            usage.stamp = stamp
        return stamp

    def told_of(self, usages):
        """These are committed."""
        for usage in usages:
            self.ledger.record(usage)
            self.sent[usage.id] = self.usage_payload(usage)

    def record_now(self, usages):
        self.record_usage(usages)
        self.told_of(usages)

    def do_record(self):
        self.record_now([self.new_usage(self.recent()) for _ in range(self.rng.randrange(1, 9))])

    def do_record_late(self):
        self.record_now([self.new_usage(self.late()) for _ in range(self.rng.randrange(1, 4))])

    def do_record_tokens(self):
        """More tokens late, for what do_poison() makes of them; no step of ordinary histories either."""
        self.record_now([replace(self.new_usage(self.late()), meter="tokens", dimensions={}) for _ in range(4)])

    def do_record_spans(self):
        lasting = lambda: datetime.timedelta(hours=self.rng.choice((1, 24, 24, 72, 240, 960)))
        self.record_now([self.new_usage(self.rng.choice((self.late, self.recent))(), lasting()) for _ in range(self.rng.randrange(1, 4))])

    def outcome(self, payload):
        return self.database.record("SELECT outcome, detail FROM billing.record_usage(%s)", as_json(payload))[0][0]

    def do_record_again(self):
        payload = self.some_sent()
        if payload is None:
            return False
        agree(self.outcome(payload)[0] == "duplicate", "{} came again and was no duplicate", payload)

    def do_record_conflict(self):
        payload = self.some_sent()
        if payload is None:
            return False
        payload["quantity"] = str(Decimal(payload["quantity"]) + 1)
        agree(self.outcome(payload)[0] == "conflict", "{} came with another quantity and was no conflict", payload)

    def do_record_rejected(self):
        usage = self.new_usage(self.recent())
        payload = {**self.usage_payload(usage), **self.rng.choice(({"meter": "nothing"}, {"account": "nobody"}, {"quantity": "many"}))}
        agree(self.outcome(payload)[0] == "rejected", "{} was not rejected", payload)

    def sealed_to(self):
        """Usage before that may be sealed: its key may be gone, and it can no longer be changed."""
        return max((p.ends_at + days(62) for a in self.ledger.accounts.values() for p in a.periods.values() if p.sealed),
                   default=datetime.datetime.min.replace(tzinfo=UTC))

    def some_usage(self):
        sealed_to = self.sealed_to()
        current = [id for id, usage in sorted(self.ledger.latest_usage.items()) if usage.starts_at > sealed_to]
        return self.ledger.latest_usage[self.rng.choice(current)] if current else None

    def some_sent(self):
        sealed_to = self.sealed_to()
        sent = [payload for _, payload in sorted(self.sent.items())
                if datetime.datetime.fromisoformat(payload.get("at") or payload["start"]) > sealed_to]
        return dict(self.rng.choice(sent)) if sent else None

    def change_usage(self, usage, function, successor=None, **arguments):
        named = ", ".join(f"{name} => %s" for name in arguments)
        _, stamp = self.database.record(f"SELECT billing.{function}(account => %s, id => %s, {named})", usage.account, usage.id, *arguments.values())
        if successor:
            successor.stamp, successor.revision = stamp, usage.revision + 1
        self.ledger.supersede(usage.id, stamp, successor)

    def do_correct(self):
        usage = self.some_usage()
        if usage is None:
            return False
        quantity = self.rng.choice((self.quantity(), usage.quantity * 2, usage.quantity / 2))
        if quantity == usage.quantity:
            return False
        self.change_usage(usage, "correct_usage", replace(usage, quantity=quantity), quantity=decimal(quantity))

    def do_correct_time(self):
        """To another time, which may be another charge period; and to another region."""
        usage, shift = self.some_usage(), days(self.rng.choice((-31, -1, 1, 31)))
        if usage is None:
            return False
        arguments, changes = {"starts_at": usage.starts_at + shift, "ends_at": usage.ends_at + shift}, {}
        if usage.dimensions.get("region"):
            changes["dimensions"] = {"region": self.rng.choice(REGIONS)}
            arguments["dimensions"] = as_json(changes["dimensions"])
        self.change_usage(usage, "correct_usage", replace(usage, starts_at=usage.starts_at + shift, ends_at=usage.ends_at + shift, **changes), **arguments)

    def do_void(self):
        usage = self.some_usage()
        if usage is None:
            return False
        self.change_usage(usage, "void_usage", reason="measured twice")

    def do_move(self):
        usage, account = self.some_usage(), self.buyer()
        if usage is None or usage.account == account:
            return False
        self.change_usage(usage, "move_usage", replace(usage, account=account), to_account=account, reason="wrong account")

    # ---------------------------------------------------------------- catalog

    def price_span(self, earliest, latest):
        start = midnight(earliest + days(self.rng.randrange(max((latest - earliest).days, 1))))
        if self.rng.random() < 0.2:
            start += datetime.timedelta(hours=self.rng.randrange(24))
        length = self.rng.choice((None, None, 7, 20, 45))
        return start, length and start + days(length)

    def random_price(self, earliest, latest, account=None):
        price_list = "yen" if account == IN_YEN else self.rng.choice(("default", "default", "wholesale") + (() if account else ("yen",)))
        item = self.rng.choice(tuple(METERS) + (tuple(FEES) if price_list != "wholesale" else ()))
        tariff = self.tariff(item, price_list)
        if self.rng.random() < 0.2 and self.ledger.prices[price_list, item]:
            tariff = self.rng.choice([p.tariff for p in self.ledger.prices[price_list, item] if p.tariff])
        if account and price_list == "wholesale":
            account = RESELLER
        tax_code = self.rng.choice(("", "", "", "reduced"))
        self.set_price(price_list, item, account, tariff, *self.price_span(earliest, latest), self.rng.choice(("open", "closed")), tax_code)

    def do_price(self):
        self.random_price(self.today, self.today + days(40))

    def do_price_backdated(self):
        self.random_price(BEGIN, self.today)

    def do_price_own(self):
        self.random_price(BEGIN, self.today + days(20), self.buyer())

    def do_price_removed(self):
        own = sorted((key, f.account) for key, facts in self.ledger.prices.items() for f in facts if f.account and f.tariff)
        if not own:
            return False
        (price_list, item), account = self.rng.choice(own)
        applies_to = self.rng.choice(("open", "closed"))
        valid_from, valid_to = self.price_span(BEGIN, self.today)
        facts = [f for f in self.ledger.prices[price_list, item] if f.account == account]
        priced = newest_by_span(facts, valid_from, valid_to or datetime.datetime(2100, 1, 1), lambda f: f.tariff is not None)
        rows, stamp = self.database.record("""SELECT billing.remove_price(item => %s, valid_from => %s, valid_to => %s, price_list => %s,
                                                                          account => %s, applies_to => %s)""",
                                           item, valid_from, valid_to, price_list, account, applies_to)
        agree(rows[0][0] == bool(priced), "remove_price said {} where prices were {}", rows, priced)
        if priced:
            span = (valid_from, valid_to)
            self.ledger.prices[price_list, item].append(Price(stamp, price_list, item, account, None, None, *span))
            if applies_to == "closed":
                self.ledger.advances[price_list, item].append(Advance(stamp, price_list, item, account, *span))

    def do_price_gap(self):
        """Takes the list's price away for some days in which something is used, and gives it again later, not always the same.

        No step of ordinary histories; those of mutants.py that are about gaps have it.
        """
        if self.gaps and self.rng.random() < 0.7:
            item, valid_from, valid_to = self.rng.choice(self.gaps)
            self.set_price("default", item, None, self.tariff(item), valid_from, valid_to, "open")
            return
        item = self.rng.choice(("tokens", "storage", "events", "peak"))
        valid_from = midnight(self.today - days(self.rng.randrange(10)))
        valid_to = valid_from + days(7)
        _, stamp = self.database.record("SELECT billing.remove_price(item => %s, valid_from => %s, valid_to => %s, price_list => 'default', applies_to => 'open')",
                                        item, valid_from, valid_to)
        if stamp:
            self.ledger.prices["default", item].append(Price(stamp, "default", item, None, None, None, valid_from, valid_to))
        self.record_now([replace(self.new_usage(self.moment(valid_from.date(), valid_to.date())), meter=item, dimensions={}) for _ in range(3)])
        self.gaps.append((item, valid_from, valid_to))

    def do_price_carried(self):
        """Tiers that go on from the price before; no step of ordinary histories, where a carrying price seldom follows another."""
        tariff = {"model": "graduated", "currency": "EUR", "carry": True, "tiers": [{"up_to": "5", "unit_price": self.rng.choice(("1", "2"))}, {"unit_price": "0.1"}]}
        self.set_price("default", "tokens", None, tariff, midnight(self.today - days(self.rng.randrange(10))), None, "open")

    def do_price_unsaid(self):
        """A price dated into billed periods that does not say how it is meant is refused."""
        pinned = [(p, a) for a in self.ledger.accounts.values() for p in a.periods.values() if p.pin and list_of(a.key) == "default" and a.key in ACCOUNTS]
        if not pinned:
            return False
        period, account = self.rng.choice(pinned)
        tariff = {"model": "per_unit", "currency": "EUR", "unit_price": "123.456"}
        self.expect_error({"55000"}, self.set_price, "default", "tokens", None, tariff, midnight(period.date_from), None, None)

    def do_poison(self):
        """A price of one account that cannot rate what was used; the next such step heals it."""
        if self.poisoned and self.rng.random() < 0.7:
            item, account, start = self.poisoned.pop()
            tariff = self.tariff(item, list_of(account))
        else:
            item, account, start = "tokens", self.buyer(), midnight(self.today - days(self.rng.randrange(60)))
            tariff = {"model": "graduated", "currency": currency_of(account), "beyond": "error", "tiers": [{"up_to": "20", "unit_price": "1"}]}
            self.poisoned.append((item, account, start))
        self.set_price(list_of(account), item, account, tariff, start, None, self.rng.choice(("open", "closed")))

    def subscriptions_of(self, present=True):
        now = [(key, newest_by_span(facts, BEGIN, FOREVER, lambda f: f.quantity is not None))
               for key, facts in sorted(self.ledger.subscriptions.items())]
        return [(key, spans) for key, spans in now if bool(spans) == present]

    def set_subscription(self, subscription, quantity, starts_on, ends_on):
        agreement, key, fee = subscription
        spans = dict(self.subscriptions_of()).get(subscription)
        if ends_on is None and spans and starts_on < spans[-1][1] < FOREVER:
            ends_on = spans[-1][1]
        stamp = self.database.set("set_subscription", account=agreement[0], key=key, fee=fee, quantity=quantity, starts_on=starts_on,
                                  ends_on=ends_on, agreement=agreement[2])
        if stamp:
            facts = self.ledger.subscriptions[subscription]
            facts.append(Subscription(stamp, Fraction(quantity), starts_on, ends_on))
            if ends_on:
                facts.append(Subscription(stamp, None, ends_on, None))

    def do_subscribe(self):
        self.serial += 1
        agreement = (self.buyer(), SELLER, "default")
        starts_on = self.today + days(self.rng.randrange(-40, 20))
        ends_on = starts_on + days(self.rng.randrange(5, 70)) if self.rng.random() < 0.2 else None
        self.set_subscription((agreement, f"s-{self.serial}", self.rng.choice(tuple(FEES))), self.rng.randrange(1, 6), starts_on, ends_on)

    def do_change_quantity(self):
        running = self.subscriptions_of()
        if not running:
            return False
        subscription, spans = self.rng.choice(running)
        starts_on = self.today + days(self.rng.randrange(-40, 20))
        self.set_subscription(subscription, self.rng.randrange(0, 6), max(starts_on, spans[0][0]), None)

    def do_end_subscription(self):
        running = self.subscriptions_of()
        if not running:
            return False
        subscription, spans = self.rng.choice(running)
        ends_on = max(self.today + days(self.rng.randrange(-40, 20)), spans[0][0] + days(1))
        stamp = self.database.set("end_subscription", account=subscription[0][0], key=subscription[1], ends_on=ends_on,
                                  agreement=subscription[0][2])
        if stamp:
            facts, (_, last_day, last) = self.ledger.subscriptions[subscription], spans[-1]
            if ends_on > last_day:
                facts.append(Subscription(stamp, last.quantity, last_day, ends_on))
            facts.append(Subscription(stamp, None, ends_on, None))

    def do_agreement(self):
        """The reseller is charged for another consumer, by another list, or only for the consumer's tree too, from some day on."""
        starts = self.today.replace(day=1) + days(self.rng.choice((-31, 0, 10, 31)))
        agreement = (RESELLER, SELLER, self.rng.choice(("wholesale", "second")))
        consumer, price_list, tree = self.rng.choice(ACCOUNTS), self.rng.choice(("default", "wholesale")), self.rng.random() < 0.3
        if self.ledger.agreements[agreement] and self.rng.random() < 0.4:
            former = self.ledger.agreements[agreement][-1]
            consumer, price_list, tree = former.consumer, former.price_list, not former.with_descendants
        self.set_agreement(agreement, consumer, price_list, starts, None, tree)

    def do_parent(self):
        child, parent = self.rng.sample(ACCOUNTS, 2)
        account = self.ledger.accounts[child]
        if any(s.parent for s in self.ledger.accounts[parent].settings) or any(
                s.parent == child for a in self.ledger.accounts.values() for s in a.settings):
            return False
        self.change_account(account, from_date=None, parent=parent)

    def change_account(self, account, from_date, **changes):
        """Later settings that already have a from_date keep what they change, so every one of them is said again."""
        stamp = self.database.set("set_account", key=account.key, from_date=from_date, **changes)
        if not stamp:
            return
        newest = {}
        for setting in account.settings:
            newest = {d: s for d, s in newest.items() if d < setting.from_date}
            newest[setting.from_date] = setting
        begin = from_date or datetime.date.min
        former = [s for d, s in sorted(newest.items()) if d <= begin][-1:] + [s for d, s in sorted(newest.items()) if d > begin]
        for setting in former:
            fields = {**vars(setting), **changes, "stamp": stamp, "from_date": max(setting.from_date, begin)}
            account.settings.append(Setting(**fields))

    def do_setting(self):
        """Another zone, cycle day or rounding; from the first period that is not yet stored, or from a day to come."""
        account = self.ledger.accounts[self.buyer()]
        change = self.rng.choice(({"time_zone": self.rng.choice(ZONES)}, {"cycle_day": self.rng.choice((1, 5, 15, 29, 31))}))
        from_date = self.today + days(self.rng.randrange(0, 45))
        self.change_account(account, from_date, **change)

    def do_meter_redefined(self):
        decimals = self.rng.choice((0, 2, 3))
        self.define_meter("storage", replace(METERS["storage"], decimals=decimals))

    def do_tax_rate(self):
        self.set_tax_rate("standard", self.rng.choice((16, 19, 20)), self.today - days(self.rng.choice((0, 40))))

    def set_tax_rate(self, code, rate, valid_from=None):
        stamp = self.database.set("set_tax_rate", tax_code=code, rate=rate, valid_from=valid_from)
        if stamp:
            self.ledger.tax_rates.append((stamp, code, rate, valid_from))

    def do_policy(self):
        self.set_policy(self.rng.choice(("price", "price", "plan")))

    # ---------------------------------------------------------------- decisions

    def charges(self):
        return sorted(((charge, key) for charge, key in self.database.keys().items()), key=lambda pair: pair[0])

    def some_charge(self, suitable=lambda key: True):
        charges = [(charge, key) for charge, key in self.charges() if suitable(key)]
        return self.rng.choice(charges) if charges else (None, None)

    def do_goodwill(self):
        charge, key = self.some_charge()
        if charge is None:
            return False
        currency = currency_of(key.buyer)
        amount = Fraction(self.rng.choice(("-1", "-0.5" if currency == "EUR" else "-100", "2", "-20")))
        kind = "goodwill" if amount < 0 else "dispute"
        _, stamp = self.database.record("SELECT billing.decide(charge => %s, amount => %s, kind => %s, reason => 'slow support')",
                                        charge[1], f"{decimal(amount)} {currency}", kind)
        self.ledger.decide(key, stamp, amount)

    def do_freeze(self):
        charge, key = self.some_charge(lambda key: key not in self.ledger.frozen)
        if charge is None:
            return False
        _, stamp = self.database.record("SELECT billing.freeze_charge(charge => %s, reason => 'in court')", charge[1])
        self.ledger.frozen[key] = stamp

    def do_unfreeze(self):
        charge, key = self.some_charge(lambda key: key in self.ledger.frozen)
        if charge is None:
            return False
        _, stamp = self.database.record("SELECT billing.unfreeze_charge(charge => %s, reason => 'settled')", charge[1])
        del self.ledger.frozen[key]
        self.unsettled[key] = stamp, self.ledger.drafts.get(key)

    # ---------------------------------------------------------------- runs

    def through(self):
        return self.today + days(self.rng.choice((0, 0, 0, 1, -3, -12, -40)))

    def do_run(self):
        self.run(self.through())

    def run(self, through):
        number, asof, state, failure = self.database.run(through)
        agree(state in ("done", "done_with_errors"), "run {} ended {}: {}", number, state, failure)
        self.check_watermark(asof)
        self.told_of_run(through, asof, self.ledger.accounts.values())
        agree((state == "done_with_errors") == bool(self.ledger.failed), "run {} ended {}, failing keys: {}", number, state, self.ledger.failed)

    def told_of_run(self, through, asof, accounts, own=None):
        """Lets the independent ledger bill, and compares everything."""
        for account in accounts:
            self.ledger.begin_calendar(account, asof.with_own([own]))
        self.ledger.take_periods(self.database.periods(), asof)
        done = list(self.ledger.run(through, asof, accounts, own))
        keys = self.database.keys()
        self.told_of_ignored([one[1:] for one in done if one[0] == "ignored"], self.database.ignored_since(keys), asof)
        self.told_of_moved_pins([one[1:] for one in done if one[0] == "billed"], asof)
        self.compare(keys)

    # What an earlier run has decided by policy is a fact that the watermark may not reach yet: then a run says it again if it has some
    # other reason to look at the charge, and need not.

    def told_of_ignored(self, expected, written, asof):
        waiting = {(key, cause) for key, decisions in self.ledger.decisions.items() for stamp, _, cause in decisions if not asof.knows(stamp)}
        found = {(key, cause, amount) for key, cause, amount, _ in written}
        agree(found <= set(expected) and all(one in found or one[:2] in waiting for one in expected),
              "the run ignored {}, expected {}", written, expected)
        for key, cause, amount, stamp in written:
            self.ledger.decide(key, stamp, amount, cause)

    def told_of_moved_pins(self, billed, asof):
        """A run that bills a difference by policy moves the pin for it, so that no later policy takes it back."""
        expected = set()
        for key, cause, change in billed:
            account = self.ledger.accounts[key.buyer]
            period, lists = account.periods[key.period], {None}
            if cause == "price":
                billed_by = self.ledger.views(account, period, asof.with_own(period.own_stamps), key)[0].plan
                lists = {t.price_list for _, _, t in self.ledger.terms_of(key.agreement, period, billed_by)}
            for price_list in lists:
                expected.add((cause, price_list, key.item if price_list else None, key.buyer, midnight(period.date_from), midnight(period.date_to),
                              asof.known_at))
        waiting = {("price", f.price_list, f.item, f.account, f.valid_from, f.valid_to) for facts in self.ledger.advances.values() for f in facts
                   if f.advance_to and not asof.knows(f.stamp)}
        waiting |= {(cause, None, None, account, midnight(start), midnight(end)) for stamp, cause, account, start, end, _
                    in self.ledger.period_advances if not asof.knows(stamp)}
        moved = self.database.policy_advances_since()
        found = {row[1:] for row in moved}
        agree(found <= expected and all(one in found or one[:-1] in waiting for one in expected),
              "the run moved the pins {}, expected {}", moved, expected)
        for stamp, cause, price_list, item, account, start, end, known_at in moved:
            if cause == "price":
                self.ledger.advances[price_list, item].append(Advance(stamp, price_list, item, account, start, end, known_at))
            else:
                self.ledger.period_advances.append((stamp, cause, account, start.date(), end.date(), known_at))

    def do_finalize(self):
        """Makes drafts final; a draft whose charge was cancelled meanwhile must be refused, and then nothing is final."""
        if self.ledger.last_watermark is None:
            return False
        return self.finalize(self.through(), self.buyer() if self.rng.random() < 0.2 else None)

    def finalize(self, through, only=None):
        chosen = self.ledger.final(through, only)
        stale = self.database.stale_drafts(self.database.keys()) & set(chosen)
        call = "SELECT invoice_id FROM billing.finalize_invoices(through => %s, account => %s)"
        if stale:
            self.expect_error({"40001"}, self.database.record, call, through, only)
            self.compare()
            return None
        rows, _ = self.database.record(call, through, only)
        self.ledger.finalize(through, only)
        self.ledger.take_pins(self.database.pins(), through, only)
        self.ledger.take_advance_pins(self.database.pins("advance_pinned_at"))
        self.compare()
        for invoice, in rows:
            self.check_invoice(invoice)

    def standing_invoices(self):
        return [number for number, in self.database.rows("""
            SELECT i.invoice_id FROM billing.invoice AS i WHERE i.cancels_id IS NULL
               AND NOT EXISTS (SELECT FROM billing.invoice_event AS e WHERE e.invoice_id = i.invoice_id AND e.event IN ('voided', 'cancelled'))
             ORDER BY 1""")]

    def taken_back(self, number, stamp, waived):
        """Every line of the invoice is negated; its charges are billed again unless that was waived, which credits never are."""
        keys = self.database.keys()
        for account, charge, amount in self.database.rows("""
                SELECT account_id, key_id, billing.amount(amount) FROM billing.line WHERE invoice_id = %s AND kind <> 'void'""", number):
            key = keys[account, charge]
            self.ledger.book(key, -Fraction(amount))
            self.ledger.drafts.pop(key, None)
            if waived and amount > 0:
                self.ledger.decide(key, stamp, -Fraction(amount))
            self.unsettled[key] = stamp, None
        self.compare(keys)

    def do_cancel(self):
        invoices = self.standing_invoices()
        if not invoices:
            return False
        number, waive = self.rng.choice(invoices), self.rng.random() < 0.3
        call = "SELECT billing.cancel_invoice(%s::bigint, 'wrong address', waive => %s)"
        if waive and self.database.rows("SELECT billing.amount(total_without_tax) <= 0 FROM billing.invoice WHERE invoice_id = %s", number)[0][0]:
            self.expect_error({"22023"}, self.database.record, call, number, waive)
            return
        rows, stamp = self.database.record(call, number, waive)
        self.taken_back(number, stamp, waive)
        self.check_reversal(number, rows[0][0])

    def do_void_invoice(self):
        """Only an invoice that nothing continues can be voided."""
        invoices = self.standing_invoices()
        if not invoices:
            return False
        number = self.rng.choice(invoices[-4:])
        continued = self.database.rows("""SELECT 1 FROM billing.line AS l JOIN billing.line AS n
            ON n.account_id = l.account_id AND n.key_id = l.key_id AND n.chain_no = l.chain_no + 1 WHERE l.invoice_id = %s LIMIT 1""", number)
        call = "SELECT billing.void_invoice(%s::bigint, 'not sent yet')"
        if continued:
            self.expect_error({"55000"}, self.database.record, call, number)
            return
        _, stamp = self.database.record(call, number)
        self.taken_back(number, stamp, False)

    def do_approve(self):
        """Releases what is held of a charge: the prices of its item, and the plan of its account, are read as known now for its period."""
        charge, key = self.some_charge(lambda key: key in self.ledger.held)
        if charge is None:
            return False
        _, stamp = self.database.record("SELECT billing.approve_corrections(charges => %s, reason => 'agreed')", [charge[1]])
        period, causes = self.ledger.accounts[key.buyer].periods[key.period], self.ledger.held[key]
        for cause in set(causes) - {"price"}:
            self.ledger.period_advances.append((stamp, cause, key.buyer, period.date_from, period.date_to, stamp + MICROSECOND))
        if "price" not in causes:
            return
        for price_list in {t.price_list for asof in (EVERYTHING, period.pin, period.advance_pin) if asof for d, e, t in self.ledger.terms_of(key.agreement, period, asof)}:
            self.ledger.advances[price_list, key.item].append(
                Advance(stamp, price_list, key.item, key.buyer, midnight(period.date_from), midnight(period.date_to)))

    def do_seal(self):
        through = self.today - days(self.rng.choice((60, 90, 120)))
        if self.rng.random() < 0.6 and self.slow_stamp is None:
            for _ in range(2):
                self.run(self.today)
                self.finalize(self.today)
        sealing = [(account, period) for account in self.ledger.accounts.values() for period in account.periods.values()
                   if period.date_to <= through and not period.sealed]
        obstacle = self.obstacle(sealing)
        call = "CALL billing.seal_period(%s, NULL)"
        if obstacle:
            self.expect_error({"55000", "55006"}, self.database.value, call, through, because=obstacle)
            return None
        try:
            self.database.value(call, through)
        except psycopg2.Error as error:     # facts that would change no amount are an obstacle to the ledger too
            if error.pgcode != "55000" or "facts were recorded since the last run" not in str(error):
                raise
            return None
        for account, period in sealing:
            period.sealed = True
            for key in set(self.ledger.booked) | set(self.ledger.decisions):
                if (key.buyer, key.period) == (account.key, period.number):
                    self.ledger.sealed_owed[key] = self.ledger.booked.get(key, 0) - sum(amount for _, amount, _ in self.ledger.decisions[key])

    def obstacle(self, sealing):
        """Why these periods must not be sealed: something of them is not final, or a fact of them was not seen by a run."""
        if self.slow_stamp is not None:
            return "a recorder is open"
        if any(not period.pin for account, period in sealing):
            return "never billed"
        numbers = {(account.key, period.number) for account, period in sealing}
        for table in (self.ledger.drafts, self.ledger.held, self.ledger.failed):
            if any((key.buyer, key.period) in numbers for key in table):
                return "not final"
        if self.ledger.unseen(sealing, EVERYTHING):
            return "unseen facts"
        return None

    def do_new_rating_version(self):
        """A release that rates alike bills nothing."""
        version = self.database.value("SELECT billing.rating_version()") + 1
        self.database.rows(f"CREATE OR REPLACE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT {version} $$")
        self.run(self.today)

    # ---------------------------------------------------------------- other sessions, and the caller's own transaction

    def do_slow_record(self):
        """A second session records and does not commit."""
        if self.database.slow is None:
            self.database.open_slow()
        usages = [self.new_usage(self.late()) for _ in range(self.rng.randrange(1, 4))]
        self.slow_stamp = self.record_usage(usages, connection=self.database.slow)
        self.slow_facts.extend(usages)

    def do_slow_commit(self):
        if self.slow_stamp is None:
            return False
        self.database.slow.commit()
        self.told_of(self.slow_facts)
        self.slow_facts, self.slow_stamp = [], None

    def do_bill_in_transaction(self, account=None):
        """Usage recorded and billed in one transaction of the caller, whatever others have open."""
        account, through = account or self.buyer(), self.through()
        usages = [self.new_usage(self.late(), account=account) for _ in range(3)]
        connection = self.database.main
        try:
            stamp = self.record_usage(usages, connection=connection)
            number = self.database.value("SELECT billing.bill_account(account => %s, through => %s)", account, through, connection=connection)
            connection.commit()
        except psycopg2.Error as error:
            connection.rollback()
            if self.slow_stamp is not None and error.pgcode == "40001":
                return False
            raise
        self.told_of(usages)
        known_at, own_at = self.database.rows("SELECT known_at, own_at FROM billing.run WHERE run_id = %s", number)[0]
        agree(own_at == stamp, "bill_account counted the stamp {}, the facts have {}", own_at, stamp)
        self.check_watermark(Watermark(known_at))
        self.told_of_run(through, Watermark(known_at), [self.ledger.accounts[account]], own_at)

    def do_crossing(self):
        """A recorder that begins in the second in which an account was billed: its lock is older than that watermark."""
        if self.slow_stamp is not None:
            return False
        account = self.buyer()
        self.record_now([self.new_usage(self.late(), account=account) for _ in range(3)])
        self.do_bill_in_transaction(account)
        self.do_slow_record()
        self.record_now([self.new_usage(self.late(), account=account)])
        self.run(self.today)
        self.do_slow_commit()

    def do_days_pass(self):
        self.today += days(self.rng.randrange(1, 16))
