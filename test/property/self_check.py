"""The independent ledger on small histories worked out by hand, without a server."""

import datetime
import unittest
from fractions import Fraction

from arithmetic import Unmatched, Unratable, rate, rounded
from oracle import Account, Advance, Fee, Ledger, Meter, Price, Setting, Subscription, Term, Usage, Watermark
from spans import UTC, clip, instant, last_border, next_border

DATE = datetime.date
AGREEMENT = ("acme", "northwind", "default")


def at(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_time(text):
    return datetime.datetime.fromisoformat(text)


def stamp(number):
    return at("2026-11-01") + datetime.timedelta(seconds=number)


def unit_price(price):
    return {"model": "per_unit", "currency": "EUR", "unit_price": price}


class TestArithmetic(unittest.TestCase):
    def test_rounding(self):
        for value, mode, expected in (("0.125", "half_up", "0.13"), ("-0.125", "half_up", "-0.13"), ("0.125", "half_even", "0.12"),
                                      ("0.135", "half_even", "0.14"), ("-0.121", "up", "-0.13"), ("-0.129", "down", "-0.12"),
                                      ("-0.129", "ceiling", "-0.12"), ("0.121", "ceiling", "0.13"), ("-0.121", "floor", "-0.13")):
            self.assertEqual(rounded(Fraction(value), 2, mode), Fraction(expected), (value, mode))

    def test_graduated(self):
        tariff = {"model": "graduated", "tiers": [{"up_to": "10", "unit_price": "1"}, {"unit_price": "0.5", "flat": "3"}]}
        for quantity, amount in (("0", "0"), ("10", "10"), ("10.5", "13.25"), ("20", "18")):
            self.assertEqual(rate(tariff, Fraction(quantity)), Fraction(amount))

    def test_volume_crosses_down(self):
        tariff = {"model": "volume", "tiers": [{"up_to": "100", "unit_price": "2"}, {"unit_price": "1"}]}
        self.assertEqual(rate(tariff, Fraction(100)), 200)
        self.assertEqual(rate(tariff, Fraction(101)), 101)

    def test_package_minimum_and_poison(self):
        tariff = {"model": "package", "size": "10", "amount": "3", "minimum": "5"}
        self.assertEqual(rate(tariff, Fraction(11)), 6)
        self.assertEqual(rate(tariff, Fraction(1), fraction=Fraction(4, 5)), 4)
        self.assertEqual(rate(tariff, Fraction(1), complete=False), 3)
        with self.assertRaises(Unratable):
            rate({"model": "graduated", "tiers": [{"up_to": "10", "unit_price": "1"}], "beyond": "error"}, Fraction(11))

    def test_matrix(self):
        tariff = {"model": "matrix", "dimensions": ["region"], "cells": [{"match": {"region": "eu"}, "unit_price": "2"}]}
        self.assertEqual(rate(tariff, Fraction(-3), {"region": "eu"}), -6)
        with self.assertRaises(Unmatched):
            rate(tariff, Fraction(1), {"region": "us"})


class TestSpans(unittest.TestCase):
    def test_cycle_days(self):
        self.assertEqual(next_border(DATE(2026, 1, 31), 31), DATE(2026, 2, 28))
        self.assertEqual(next_border(DATE(2026, 2, 28), 31), DATE(2026, 3, 31))
        self.assertEqual(last_border(DATE(2026, 3, 31), 31), DATE(2026, 2, 28))
        self.assertEqual(next_border(DATE(2026, 12, 5), 5), DATE(2027, 1, 5))

    def test_local_times(self):
        self.assertEqual(instant(local_time("2026-03-29 02:30"), "Europe/Berlin"), at("2026-03-29 01:30"))
        self.assertEqual(instant(local_time("2026-10-25 02:30"), "Europe/Berlin"), at("2026-10-25 01:30"))
        self.assertEqual(instant(local_time("2026-04-05 01:45"), "Australia/Lord_Howe"), at("2026-04-04 15:15"))

    def test_clips_add_up(self):
        start = at("2026-01-01")
        borders = [start + datetime.timedelta(days=n) for n in range(4)]
        parts = [clip(start, borders[3], Fraction(1), a, b) for a, b in zip(borders, borders[1:])]
        self.assertEqual(sum(parts), 1)
        self.assertEqual(parts[0], Fraction("0.333333333333333"))
        self.assertIsNone(clip(start, start, Fraction(1), borders[1], borders[2]))


class TestLedger(unittest.TestCase):
    """One account in Berlin, one meter, January and February 2026."""

    def setUp(self):
        self.ledger = Ledger()
        account = self.ledger.accounts["acme"] = Account("acme", DATE(2026, 1, 1))
        account.settings.append(Setting(stamp(1), DATE.min, "Europe/Berlin", 1, "EUR"))
        self.ledger.meters["tokens"].append(Meter(stamp(2)))
        self.ledger.fees["base"].append(Fee(stamp(2), in_advance=True))
        self.ledger.agreements[AGREEMENT].append(Term(stamp(3), "acme", False, "default", None, None, None))
        self.clock = 10
        self.set_price("tokens", unit_price("0.005"))

    def tick(self):
        self.clock += 1
        return stamp(self.clock)

    def set_price(self, item, tariff, valid_from="2025-01-01", valid_to=None, advance=False):
        now = self.tick()
        span = (local_time(valid_from), valid_to and local_time(valid_to))
        self.ledger.prices["default", item].append(Price(now, "default", item, None, tariff, None, *span))
        if advance:
            self.ledger.advances["default", item].append(Advance(now, "default", item, None, *span))

    def use(self, id, when, quantity, ends_at=None):
        self.ledger.record(Usage(id, "acme", "tokens", at(when), at(ends_at or when), Fraction(quantity), {}, self.tick()))

    def run_through(self, date):
        asof = Watermark(self.tick())
        account = self.ledger.accounts["acme"]
        number = len(account.periods)
        while not account.periods or account.periods[number].date_to <= date:
            number += 1
            account.periods[number] = self.ledger.expected_period(account, number, asof)
        decisions = list(self.ledger.run(date, asof))
        for did, key, cause, amount in decisions:
            if did == "ignored":
                self.ledger.decide(key, self.tick(), amount, cause)
        return asof

    def finalize(self):
        for key, amount in self.ledger.drafts.items():
            self.ledger.book(key, amount)
        self.ledger.drafts.clear()
        for period in self.ledger.accounts["acme"].periods.values():
            if period.arrears_due and not period.pin:
                period.pin = self.ledger.last_watermark

    def amounts(self, table):
        return {(key.period, key.item): value for key, value in table.items()}

    def test_first_bill_and_late_usage(self):
        self.use("a", "2026-01-10", 101)
        self.use("b", "2026-01-31 23:30", 1000)          # February in Berlin
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): Fraction("0.51")})     # 0.505 rounds up
        self.finalize()
        self.use("late", "2026-01-11", 1)
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {})                                     # 0.51 again
        self.use("later", "2026-01-12", 1)
        self.run_through(DATE(2026, 3, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): Fraction("0.01"), (2, "tokens"): 5})

    def test_backdated_price_is_held_until_advanced(self):
        self.use("a", "2026-01-10", 1000)
        self.run_through(DATE(2026, 2, 1))
        self.finalize()
        self.set_price("tokens", unit_price("0.004"), "2026-01-01")
        self.use("late", "2026-01-11", 1000)
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): 5})
        self.assertEqual(self.amounts(self.ledger.held), {(1, "tokens"): {"price": -2}})
        self.set_price("tokens", unit_price("0.004"), "2026-01-01", advance=True)
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): 3})
        self.assertEqual(self.amounts(self.ledger.held), {})

    def test_ignored_price_change_bills_nothing(self):
        self.ledger.policies[None, "price"].append((stamp(4), "ignore", None))
        self.use("a", "2026-01-10", 1000)
        self.run_through(DATE(2026, 2, 1))
        self.finalize()
        self.set_price("tokens", unit_price("0.004"), "2026-01-01")
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.ledger.drafts, {})
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual((self.ledger.drafts, self.ledger.held), ({}, {}))

    def test_equal_neighbours_are_one_segment(self):
        tiers = {"model": "graduated", "currency": "EUR", "tiers": [{"up_to": "10", "unit_price": "1"}, {"unit_price": "0.5"}]}
        self.set_price("tokens", tiers, "2025-01-01")
        self.set_price("tokens", dict(tiers), "2026-01-15", "2026-01-20")
        self.use("a", "2026-01-10", 10)
        self.use("b", "2026-01-17", 10)
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): 15})
        self.set_price("tokens", {**tiers, "carry": True}, "2026-01-15", "2026-01-20")
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): 15})

    def test_voided_and_moved_away(self):
        self.use("a", "2026-01-10", 1000)
        self.run_through(DATE(2026, 2, 1))
        self.finalize()
        self.ledger.supersede("a", self.tick())
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): -5})

    def test_advance_fee_ended_in_mid_period(self):
        self.set_price("base", unit_price("31"))
        fact = self.ledger.subscriptions[AGREEMENT, "s", "base"]
        fact.append(Subscription(self.tick(), Fraction(2), DATE(2026, 1, 1), None))
        self.run_through(DATE(2026, 1, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "base"): 62})
        self.finalize()
        fact.append(Subscription(self.tick(), None, DATE(2026, 1, 11), None))
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "base"): -42})

    def test_zone_change_keeps_the_day_count(self):
        settings = self.ledger.accounts["acme"].settings
        settings.append(Setting(self.tick(), DATE(2026, 2, 1), "Asia/Tokyo", 1, "EUR"))
        self.set_price("base", unit_price("28"))
        self.ledger.subscriptions[AGREEMENT, "s", "base"].append(Subscription(self.tick(), Fraction(1), DATE(2026, 1, 1), None))
        self.run_through(DATE(2026, 3, 1))
        periods = self.ledger.accounts["acme"].periods
        self.assertEqual((periods[2].starts_at, periods[2].ends_at), (at("2026-01-31 23:00"), at("2026-02-28 15:00")))
        self.assertEqual(self.amounts(self.ledger.drafts)[2, "base"], 28)

    def test_poisoned_key_waits(self):
        self.use("a", "2026-01-10", 1000)
        self.run_through(DATE(2026, 2, 1))
        self.set_price("tokens", {"model": "graduated", "currency": "EUR", "beyond": "error", "tiers": [{"up_to": "5", "unit_price": "1"}]})
        self.run_through(DATE(2026, 2, 1))
        self.assertEqual(self.amounts(self.ledger.drafts), {(1, "tokens"): 5})

    def test_cut_between_instants_of_one_transaction(self):
        """The caller's own facts count before facts of others that the watermark does not reach."""
        self.use("a", "2026-01-10", 100)
        asof = Watermark(stamp(self.clock), own=frozenset([stamp(self.clock)]))
        self.assertTrue(asof.knows(stamp(self.clock)))
        self.assertFalse(asof.knows(stamp(self.clock + 1)))


if __name__ == "__main__":
    unittest.main()
