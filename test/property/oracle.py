"""The independent ledger: what every charge key owes, has booked, drafted and held, from facts alone.

It is told the facts with the stamps that the server gave them, and the watermark of each run.  After each run it rates every period
from scratch and says what each key's draft and held amounts must be; it knows nothing of which keys a run had reason to look at.
Two things it takes from the ledger and then checks instead of predicting them: which charge periods are stored (their borders must be
what the calendar says) and the instant of a pin (it must lie where finalising may put it).

The rules are those of rule 3, 4, 5 and 10 of the design; names follow doc/.
"""

import copy
import datetime
import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from fractions import Fraction

import arithmetic
from arithmetic import Unmatched, Unratable, canonical, precise, rate, rounded, to_minor
from spans import MICROSECOND, clip, days, instant, last_border, local, midnight, next_border

ZERO = Fraction(0)
CAUSES = ("price", "plan", "reference_data")
DEFAULT_ACTION = {"price": "hold", "plan": "hold", "reference_data": "ignore"}


class Disagreement(Exception):
    """The ledger and the independent ledger differ."""


def agree(condition, what, *details):
    if not condition:
        raise Disagreement(what.format(*details))


@dataclass(frozen=True)
class Watermark:
    """Facts stamped before known_at count, and those of the caller's own transactions in which an account was billed."""

    known_at: datetime.datetime
    own: frozenset = frozenset()

    def knows(self, stamp):
        return stamp < self.known_at or stamp in self.own

    def with_own(self, stamps):
        return replace(self, own=self.own | frozenset(stamps))

    def advanced(self, known_at):
        return replace(self, known_at=max(self.known_at, known_at))


@dataclass(frozen=True)
class Setting:
    stamp: datetime.datetime
    from_date: datetime.date
    time_zone: str
    cycle_day: int
    currency: str
    rounding_mode: str = "half_up"
    grace: datetime.timedelta = days(0)
    parent: str = None


@dataclass
class Account:
    key: str
    starts_on: datetime.date
    settings: list = field(default_factory=list)
    periods: dict = field(default_factory=dict)
    begins_on: datetime.date = None      # where no first day was said: start of the cycle that holds the first fact
    def setting(self, date, asof):
        holding = [s for s in self.settings if asof.knows(s.stamp) and s.from_date <= date]
        return holding[-1] if holding else None


@dataclass
class Period:
    number: int
    date_from: datetime.date
    date_to: datetime.date
    full_from: datetime.date
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    time_zone: str
    due_at: datetime.datetime
    arrears_due: bool = False
    advance_due: bool = False
    interim_to: datetime.date = None
    pin: Watermark = None
    advance_pin: Watermark = None      # of fees in advance that were billed before the period was due
    sealed: bool = False
    own_stamps: set = field(default_factory=set)     # of the transactions that billed it together with their own facts

    @property
    def nominal_days(self):
        return (self.date_to - self.full_from).days

    def is_due(self, through):
        return self.date_to <= through and self.due_at <= instant(midnight(through), self.time_zone)

    def local_border(self, at):
        """Local time of an instant of this period; its own borders are midnights by definition, whatever zones they were made in."""
        if at == self.starts_at:
            return midnight(self.date_from)
        if at == self.ends_at:
            return midnight(self.date_to)
        return local(at, self.time_zone)

    def day_starts_at(self, date):
        if date <= self.date_from:
            return self.starts_at
        if date >= self.date_to:
            return self.ends_at
        return instant(midnight(date), self.time_zone)


@dataclass(frozen=True)
class Meter:
    stamp: datetime.datetime
    aggregation: str = "sum"
    dimensions: tuple = ()
    rounding: str = None
    decimals: int = None
    percentile: Fraction = None
    unique_dimension: str = None


@dataclass(frozen=True)
class Fee:
    stamp: datetime.datetime
    in_advance: bool


@dataclass(frozen=True)
class Price:
    """tariff None: the price was removed for this span.  account None: for all accounts."""

    stamp: datetime.datetime
    price_list: str
    item: str
    account: str
    tariff: dict
    tax_code: str
    valid_from: datetime.datetime
    valid_to: datetime.datetime


@dataclass(frozen=True)
class Advance:
    stamp: datetime.datetime
    price_list: str
    item: str
    account: str
    valid_from: datetime.datetime
    valid_to: datetime.datetime
    advance_to: datetime.datetime = None      # None: what the same transaction recorded counts too

    @property
    def known_at(self):
        return self.advance_to or self.stamp + MICROSECOND


@dataclass(frozen=True)
class Term:
    """What an agreement says from valid_from until valid_to; price_list None: it ended."""

    stamp: datetime.datetime
    consumer: str
    with_descendants: bool
    price_list: str
    threshold: Fraction
    valid_from: datetime.date
    valid_to: datetime.date


@dataclass(frozen=True)
class Subscription:
    """quantity None: not subscribed in this span."""

    stamp: datetime.datetime
    quantity: Fraction
    starts_on: datetime.date
    ends_on: datetime.date


@dataclass
class Usage:
    id: str
    account: str
    meter: str
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    quantity: Fraction
    dimensions: dict
    stamp: datetime.datetime
    revision: int = 0
    superseded: datetime.datetime = None

    def parts(self):
        """[(from, to, quantity)]: usage that lasts longer than a month is recorded in parts, one a month of UTC."""
        if self.ends_at - self.starts_at <= days(31):
            return [(self.starts_at, self.ends_at, self.quantity)]
        borders, month = [self.starts_at], next_border(self.starts_at.date(), 1)
        while instant(midnight(month), "UTC") < self.ends_at:
            borders.append(instant(midnight(month), "UTC"))
            month = next_border(month, 1)
        borders.append(self.ends_at)
        return [(a, b, clip(self.starts_at, self.ends_at, self.quantity, a, b)) for a, b in zip(borders, borders[1:])]

    def counts(self, asof):
        return asof.knows(self.stamp) and not (self.superseded and asof.knows(self.superseded))


@dataclass(frozen=True)
class Key:
    buyer: str
    period: int
    agreement: tuple
    item: str
    subscription: str
    consumer: str
    group: tuple
    component: str


@dataclass
class Owed:
    exact: Fraction = ZERO
    failed: bool = False
    rated: bool = False
    used: Fraction = ZERO      # quantity that was rated: where it is not 0, an amount of 0 is billed too


@dataclass(frozen=True)
class View:
    """One way to look at a period: as of when its prices, its plan (agreements, settings), its definitions and its usage are read."""

    price: Watermark
    plan: Watermark
    reference: Watermark
    usage: Watermark


class Ledger:
    def __init__(self):
        self.accounts = {}
        self.meters = defaultdict(list)
        self.fees = defaultdict(list)
        self.prices = defaultdict(list)           # (price list, item) -> facts
        self.advances = defaultdict(list)         # (price list, item) -> facts
        self.agreements = defaultdict(list)       # (buyer, seller, key) -> terms
        self.subscriptions = defaultdict(list)    # (agreement, key, fee) -> facts
        self.usage = defaultdict(list)            # (account, meter) -> every revision ever recorded
        self.latest_usage = {}                    # id -> the revision that counts
        self.decisions = defaultdict(list)        # key -> [(stamp, amount, cause)]
        self.booked = {}                          # every key that has a line, be it over 0
        self.drafts = {}                          # likewise
        self.sealed_owed = {}
        self.frozen = {}
        self.policies = defaultdict(list)         # (account or None, cause) -> [(stamp, action, greatest amount)]
        self.period_advances = []                 # (stamp, cause, account, date_from, date_to, advance_to) of plan and definitions
        self.tax_rates = []                       # (stamp, code, percent, from)
        self.held = {}
        self.failed = set()
        self.unmatched = set()
        self.progressive = {}                     # what the last run has billed progressively
        self.billed_ahead = set()                 # (account, period): of which finalising has just billed fees before they were due
        self.last_watermark = None
        self.memory = {}

    # ---------------------------------------------------------------- facts

    def record(self, usage):
        self.usage[usage.account, usage.meter].append(usage)
        self.latest_usage[usage.id] = usage

    def supersede(self, id, stamp, successor=None):
        former = self.latest_usage.pop(id)
        former.superseded = stamp
        if successor:
            self.record(successor)

    def decide(self, key, stamp, amount, cause=None):
        self.decisions[key].append((stamp, amount, cause))

    def decided(self, key, asof):
        return sum((amount for stamp, amount, cause in self.decisions.get(key, ()) if asof.knows(stamp)), ZERO)

    def ignored(self, key, cause, asof):
        return sum((amount for stamp, amount, for_cause in self.decisions.get(key, ()) if for_cause == cause and asof.knows(stamp)), ZERO)

    def book(self, key, amount):
        self.booked[key] = self.booked.get(key, ZERO) + amount

    def tax_rate(self, code, date, asof):
        """Percent of a tax code on a tax point; a charge without a code is outside of tax."""
        holding = [percent for stamp, for_code, percent, valid_from in self.tax_rates
                   if for_code == code and asof.knows(stamp) and (valid_from is None or valid_from <= date)]
        return holding[-1] if holding else 0

    # ---------------------------------------------------------------- periods

    def expected_period(self, account, number, asof):
        """Borders of the next period when it is stored by a run that knows what asof knows."""
        former = account.periods.get(number - 1)
        date_from = former.date_to if former else account.starts_on or account.begins_on
        setting = account.setting(date_from, asof)
        date_to = next_border(date_from, setting.cycle_day)
        ends_at = instant(midnight(date_to), setting.time_zone)
        return Period(
            number=number,
            date_from=date_from,
            date_to=date_to,
            full_from=last_border(date_to, setting.cycle_day),
            starts_at=former.ends_at if former else instant(midnight(date_from), setting.time_zone),
            ends_at=ends_at,
            time_zone=setting.time_zone,
            due_at=ends_at + setting.grace,
        )

    def begin_calendar(self, account, asof):
        """An account without a first day begins, once and for all, with the cycle that holds the first fact its first run knows."""
        if account.starts_on or account.begins_on:
            return
        consumers = {consumer for agreement, terms in self.agreements.items() if agreement[0] == account.key
                     for term in terms for consumer in self.consumers(term, None, asof)}
        instants = [u.parts()[0][0] for (consumer, _), usages in self.usage.items() if consumer in consumers for u in usages if asof.knows(u.stamp)]
        dates = [f.starts_on for key, facts in self.subscriptions.items() if key[0][0] == account.key
                 for f in facts if f.quantity is not None and asof.knows(f.stamp)]
        known = [s for s in account.settings if asof.knows(s.stamp)]
        for setting in reversed(known):
            first = min(dates + [local(min(instants), setting.time_zone).date()] if instants else dates, default=None)
            if first is not None and setting.from_date <= first:
                account.begins_on = last_border(first + days(1), setting.cycle_day)
                return

    def take_periods(self, rows, asof):
        """rows: what is stored now, {account: [(number, date_from, date_to, full_from, starts_at, ends_at, zone, due_at)]}."""
        for key, stored in rows.items():
            account = self.accounts[key]
            for row in sorted(stored):
                known = account.periods.get(row[0])
                expected = known or self.expected_period(account, row[0], asof)
                found = (expected.number, expected.date_from, expected.date_to, expected.full_from,
                         expected.starts_at, expected.ends_at, expected.time_zone, expected.due_at)
                agree(tuple(row) == found, "period {} of {} is stored as {}, expected {}", row[0], key, row, found)
                account.periods[row[0]] = expected
            agree(len(stored) == len(account.periods), "periods of {} have vanished", key)

    def check_stored(self, account, through, asof):
        """Every period that ends by the day of a run is stored; the running one too where something is charged at its start or in it."""
        if not (account.starts_on or account.begins_on) or not any(asof.knows(s.stamp) for s in account.settings):
            return
        missing = self.expected_period(account, len(account.periods) + 1, asof)
        ahead = any(key[0][0] == account.key and self.in_advance(Key(account.key, 0, key[0], key[2], key[1], account.key, (), "fee"), asof)
                    for key, facts in self.subscriptions.items() if any(asof.knows(f.stamp) for f in facts))
        ahead = ahead or any(t.threshold is not None and asof.knows(t.stamp) for key, terms in self.agreements.items() if key[0] == account.key for t in terms)
        agree(missing.date_to > through and not (ahead and missing.date_from <= through), "period {} of {}, from {} to {}, is not stored by a run through {}",
              missing.number, account.key, missing.date_from, missing.date_to, through)

    # ---------------------------------------------------------------- rating

    def terms_of(self, agreement, period, asof):
        """[(date_from, date_to, term)] of an agreement inside a period."""
        facts = [t for t in self.agreements[agreement] if asof.knows(t.stamp)]
        return newest_by_span(facts, period.date_from, period.date_to, lambda t: t.price_list is not None)

    def consumers(self, term, date, asof):
        yield term.consumer
        if term.with_descendants:
            below = [term.consumer]
            while below:
                parent = below.pop()
                for account in self.accounts.values():
                    setting = [s for s in account.settings if asof.knows(s.stamp)]
                    if setting and setting[-1].parent == parent:
                        below.append(account.key)
                        yield account.key

    def segments(self, item, buyer, period, terms, view, now):
        """[(from, to, tariff, tax code, list)]: spans in which one tariff holds, neighbours with equal ones as one."""
        found = []
        for date_from, date_to, term in terms:
            start, end = period.day_starts_at(date_from), period.day_starts_at(date_to)
            for a, b, price in self.priced_spans(term.price_list, item, buyer, start, end, period.time_zone, view.price, now):
                same = (canonical(price.tariff), price.tax_code, term.price_list)
                if found and found[-1][1] == a and (canonical(found[-1][2]), *found[-1][3:]) == same:
                    found[-1] = (found[-1][0], b, *found[-1][2:])
                else:
                    found.append((a, b, price.tariff, price.tax_code, term.price_list))
        return found

    def priced_spans(self, price_list, item, buyer, start, end, zone, pin, now):
        """[(from, to, price)] between the borders of all prices and advances; remembered for as long as no new fact is known."""
        prices = [f for f in self.prices[price_list, item] if f.account in (buyer, None) and now.knows(f.stamp)]
        advances = [f for f in self.advances[price_list, item] if f.account in (buyer, None) and now.knows(f.stamp)]
        pinned = [f for f in prices if pin.knows(f.stamp)]
        name = (start, end, zone, tuple(map(id, prices)), tuple(map(id, pinned)), tuple(map(id, advances)),
                pin if advances and len(pinned) < len(prices) else None)
        if name not in self.memory:
            self.memory[name] = list(spans_of_prices(prices, advances, start, end, zone, pin, now))
        return self.memory[name]

    def rate_period(self, account, period, view, now, rated_to=None):
        """{key: Owed} of everything in a period, due or not; rated_to: usage up to there, while the period is running."""
        result = defaultdict(Owed)
        for agreement in [a for a in self.agreements if a[0] == account.key]:
            terms = self.terms_of(agreement, period, view.plan)
            if not terms:
                continue
            for item in self.meters:
                self.rate_meter(result, account, period, agreement, terms, item, view, now, rated_to)
            for item in self.fees:
                self.rate_fee(result, account, period, agreement, terms, item, view, now)
        return {key: owed for key, owed in result.items() if owed.rated or owed.failed}

    def rate_meter(self, result, account, period, agreement, terms, item, view, now, rated_to):
        definition = definition_at(self.meters[item], view.reference, now)
        if definition is None:
            return
        limit = rated_to or period.ends_at
        by_consumers = defaultdict(list)
        for date_from, date_to, term in terms:
            for consumer in self.consumers(term, date_from, view.plan):
                by_consumers[consumer].append((date_from, date_to, term))
        for consumer, its_terms in by_consumers.items():
            segments = self.segments(item, account.key, period, its_terms, view, now)
            levels = definition.aggregation == "time_weighted"        # what was seen before the period still holds in it
            usage = [u for u in self.usage[consumer, item]
                     if u.starts_at < limit and (levels or u.ends_at >= period.starts_at) and u.counts(view.usage)]
            before = defaultdict(Fraction)
            for start, end, tariff, *_ in segments:
                limited = min(end, limit)
                if start >= limited:
                    continue
                # limits of a running period are those of the whole one; only a flat amount is earned by time
                end, earned_to = limited, limited if tariff["model"] == "flat" else end
                fraction = Fraction((period.local_border(earned_to) - period.local_border(start)) // MICROSECOND,
                                    period.nominal_days * 86400 * 10**6)
                for (group, rate_group), parts in self.groups(definition, tariff, usage, start, end).items():
                    key = Key(account.key, period.number, agreement, item, None, consumer, group, "usage")
                    quantity = aggregate(definition, parts, start, end)
                    self.add_rated(result[key], key, tariff, quantity, dict(rate_group), fraction, rated_to is None,
                                   before, (group, rate_group))

    def groups(self, definition, tariff, usage, start, end):
        """Usage parts of a segment by the key's group and the tariff's own grouping; a tariff that owes at zero needs no usage."""
        found = defaultdict(list)
        for u, recorded in ((u, part) for u in usage for part in u.parts()):
            if definition.aggregation == "time_weighted":
                part = recorded[2] if recorded[1] < end else None
            else:
                part = clip(*recorded, start, end)
            if part is not None:
                group = tuple((d, u.dimensions.get(d)) for d in sorted(definition.dimensions))
                rate_group = tuple((d, u.dimensions.get(d)) for d in arithmetic.grouping(tariff))
                found[group, rate_group].append((u, recorded[1], part))
        if not found and not definition.dimensions:
            try:
                if rate(tariff, ZERO):
                    found[(), ()] = []
            except (Unmatched, Unratable):
                pass
        return found

    def add_rated(self, owed, key, tariff, quantity, dimensions, fraction, complete, before, group):
        earlier = before[group] if tariff.get("carry") else ZERO
        try:
            amount = rate(tariff, earlier + quantity, dimensions, fraction, complete)
            if earlier:
                amount -= rate(tariff, earlier, dimensions, fraction, complete)
            owed.exact += amount
            owed.used += quantity
            owed.rated = True
        except Unmatched:
            self.unmatched.add(key)
        except Unratable:
            owed.failed = True
        before[group] += quantity

    def rate_fee(self, result, account, period, agreement, terms, item, view, now):
        if definition_at(self.fees[item], view.reference, now) is None:
            return
        segments = self.segments(item, account.key, period, terms, view, now)
        for subscription in [s for s in self.subscriptions if s[0] == agreement and s[2] == item]:
            facts = [f for f in self.subscriptions[subscription] if view.usage.knows(f.stamp)]
            spans = newest_by_span(facts, period.date_from, period.date_to, lambda f: f.quantity is not None)
            owed, key = Owed(), Key(account.key, period.number, agreement, item, subscription[1], terms[0][2].consumer, (), "fee")
            for date_from, date_to, fact in spans:
                for start, end, tariff, *_ in segments:
                    span_from = max(period.local_border(start), midnight(date_from))
                    span_to = min(period.local_border(end), midnight(date_to))
                    if span_from < span_to:
                        part = Fraction((span_to - span_from) // MICROSECOND, 86400 * 10**6 * period.nominal_days)
                        try:
                            owed.exact += rate(tariff, fact.quantity) * part
                            owed.used += fact.quantity * part
                            owed.rated = True
                        except Unratable:
                            owed.failed = True
            owed.exact = precise(owed.exact)
            if owed.rated or owed.failed:
                result[key] = owed

    # ---------------------------------------------------------------- the difference

    def in_advance(self, key, asof):
        definition = definition_at(self.fees[key.item], asof, asof) if key.item in self.fees else None
        return bool(definition and definition.in_advance)

    def action(self, account, cause, change, asof):
        for owner in (account, None):
            known = [policy for policy in self.policies[owner, cause] if asof.knows(policy[0])]
            if known:
                _, action, greatest_amount = known[-1]
                if action == "bill" and greatest_amount is not None and abs(change) > greatest_amount:
                    return "hold"
                return action
        return DEFAULT_ACTION[cause]

    def run(self, through, asof, accounts=None, own=None):
        """Drafts and held amounts after a run, and what it has billed progressively.

        own: stamp of the transaction whose facts count beyond the watermark too.  Yields what the correction policy did: ("ignored", key, cause, amount of the decision), ("billed", key, cause, change).
        """
        self.last_watermark = asof
        self.progressive = {}
        for account in accounts or self.accounts.values():
            self.check_stored(account, through, asof.with_own([own] if own else []))
            for period in account.periods.values():
                if period.is_due(through):
                    period.arrears_due = True
                if period.date_from <= through:
                    period.advance_due = True
                if own and period.advance_due:
                    period.own_stamps.add(own)
                known = asof.with_own(period.own_stamps)
                yield from self.look_at(account, period, known)
                if not period.arrears_due and (period.interim_to or period.date_from < through):
                    self.bill_progressively(account, period, through, known)

    def unseen(self, periods, asof):
        """Whether facts of these periods are known to asof that would still change a draft or a held amount."""
        trial = copy.copy(self)
        trial.drafts, trial.held, trial.failed = dict(self.drafts), dict(self.held), set(self.failed)
        for account, period in periods:
            for did in trial.look_at(account, period, asof):
                return True
        return (trial.drafts, trial.held, trial.failed) != (self.drafts, self.held, self.failed)

    def pin_of(self, key, period, asof):
        """The pin of prices and agreements of a key; None while it has none."""
        if period.advance_pin and key.component == "fee" and self.in_advance(key, period.pin or asof):
            return period.advance_pin
        return period.pin

    def views(self, account, period, asof, key=None):
        """As billed; then with prices, agreements and definitions read as known now, one after the other.  key: None for usage."""
        return self.views_by(self.pin_of(key, period, asof) if key else period.pin, account, period, asof)

    def views_by(self, pin, account, period, asof):
        pin = pin or asof
        plan = self.advanced_pin(pin, "plan", account, period, asof)
        reference = self.advanced_pin(period.pin or asof, "reference_data", account, period, asof)
        return [View(pin, plan, reference, asof), View(asof, plan, reference, asof), View(asof, asof, reference, asof),
                View(asof, asof, asof, asof)]

    def advanced_pin(self, pin, cause, account, period, asof):
        for stamp, for_cause, key, date_from, date_to, advance_to in self.period_advances:
            if (for_cause, key) == (cause, account.key) and asof.knows(stamp) and date_from <= period.date_from and period.date_to <= date_to:
                pin = pin.advanced(advance_to)
        return pin

    def rate_views(self, account, period, asof):
        """[{key: Owed}], one for each of the views; what has a pin of its own is taken from views by that."""
        found = []
        for pin in (period.pin, period.advance_pin):
            views = self.views_by(pin, account, period, asof)
            rated = {view: self.rate_period(account, period, view, asof) for view in set(views)}
            found.append([{key: one for key, one in rated[view].items() if self.pin_of(key, period, asof) is pin} for view in views])
            if not period.advance_pin:
                return found[0]
        return [{**one, **other} for one, other in zip(*found)]

    def due(self, key, period, asof):
        if key.component == "fee" and self.in_advance(key, period.pin or asof):
            return period.advance_due
        return period.arrears_due

    def look_at(self, account, period, asof):
        self.failed = {key for key in self.failed if (key.buyer, key.period) != (account.key, period.number)}
        if not (period.arrears_due or period.advance_due):
            return
        owed = [{}] * 4 if period.sealed else self.rate_views(account, period, asof)
        keys = {key for one in owed for key in one}
        seen = (self.booked, self.decisions, self.drafts, self.held)
        keys |= {key for table in seen for key in table if key.buyer == account.key and key.period == period.number}
        for key in keys:
            if not self.due(key, period, asof):
                continue
            if not period.arrears_due and not any(key in one for one in owed) and key not in self.booked and key not in self.drafts:
                continue    # a decision about a fee that is neither owed nor billed waits for the end of its period
            failed = [one.get(key, Owed()).failed for one in owed]
            if any(failed[1:]):
                self.failed.add(key)
                continue
            if failed[0]:
                self.failed.add(key)
            yield from self.settle(account, period, key, [one.get(key, Owed()).exact for one in owed], owed[0].get(key, Owed()).used, asof)

    def bill_progressively(self, account, period, through, asof):
        """A running period: keys of agreements with a threshold are billed up to the latest day asked for, never below 0."""
        thresholds = {}
        for agreement in self.agreements:
            known = [t for t in self.agreements[agreement] if asof.knows(t.stamp)]
            if agreement[0] == account.key and any(t.threshold is not None for t in known):
                thresholds[agreement] = min(t.threshold for d, e, t in self.terms_of(agreement, period, asof) if t.threshold is not None)
        if not thresholds:
            return
        period.interim_to = max(period.interim_to or through, min(through, period.date_to))
        view = View(asof, asof, asof, asof)
        owed = self.rate_period(account, period, view, asof, period.day_starts_at(period.interim_to))
        for key, one in owed.items():
            if key.component != "usage" or key.agreement not in thresholds:
                continue
            if one.failed:
                self.failed.add(key)
                continue
            amount = self.in_money(account, period, view, one.exact) + self.decided(key, asof) - self.booked.get(key, ZERO)
            if key not in self.frozen and amount > 0 and amount >= thresholds[key.agreement]:
                self.book(key, amount)
                self.progressive[key] = amount

    def settle(self, account, period, key, exact, used, asof):
        """The draft and the held amounts of one key, given what it owes in each view.

        One that cannot be rated as billed stays as it is; what it would owe otherwise is a difference to that.
        """
        amounts = [self.in_money(account, period, view, value) for view, value in zip(self.views(account, period, asof, key), exact)]
        if period.sealed:
            amounts = [self.sealed_owed.get(key, ZERO)] * 4
        stays = key in self.failed
        if stays:
            amounts[0] = (self.booked.get(key, ZERO) + self.drafts.get(key, ZERO) - self.decided(key, asof)
                          + sum((self.ignored(key, cause, asof) for cause in CAUSES), ZERO))
        target, held = amounts[0], {}
        for cause, former, new in zip(CAUSES, amounts, amounts[1:]):
            change, ignored = new - former, self.ignored(key, cause, asof)
            if not self.pin_of(key, period, asof) or period.sealed or not (change or ignored):
                continue
            action = self.action(account.key, cause, change, asof)
            # what was ignored stays so, as far as there still is a change for it to answer
            answered = max(ignored, min(-change, ZERO)) if ignored < 0 else min(ignored, max(-change, ZERO))
            decision = (-change if action == "ignore" else answered) - ignored
            target += decision
            if decision and key not in self.frozen and not stays:
                yield "ignored", key, cause, decision
            if action == "hold":
                target -= answered
                if change + answered:
                    held[cause] = change + answered
                continue
            target += change
            if action == "bill" and key not in self.frozen and change + answered:
                yield "billed", key, cause, change + answered
        self.put(self.held, key, held or None)
        if key not in self.frozen and not stays:
            amount = target + self.decided(key, asof) - self.booked.get(key, ZERO)
            self.put(self.drafts, key, amount if amount or (used and key not in self.booked) else None)

    def in_money(self, account, period, view, exact):
        setting = account.setting(period.date_from, view.plan) or account.setting(period.date_from, view.usage)
        return to_minor(exact, setting.currency, setting.rounding_mode)

    # ---------------------------------------------------------------- what becomes of drafts

    def due_on(self, key, asof):
        """First day that bills the draft when it is given as through."""
        period = self.accounts[key.buyer].periods[key.period]
        if key.component == "fee" and self.in_advance(key, asof):
            return period.date_from
        day = max(local(period.due_at, period.time_zone).date(), period.date_to)
        return day if period.due_at <= max(instant(midnight(day), period.time_zone), period.ends_at) else day + days(1)

    def final(self, through, only=None):
        """The drafts that finalising bills."""
        return {key: amount for key, amount in self.drafts.items()
                if only in (None, key.buyer) and key not in self.frozen and self.due_on(key, self.last_watermark) <= through}

    def finalize(self, through, only=None):
        self.billed_ahead = set()
        for key, amount in self.final(through, only).items():
            period = self.accounts[key.buyer].periods[key.period]
            if key.component == "fee" and not period.arrears_due and not period.advance_pin:
                self.billed_ahead.add((key.buyer, key.period))
            self.book(key, amount)
            del self.drafts[key]

    def take_pins(self, rows, through=None, only=None):
        """rows: the pins stored now, {(account, number): instant}.  Only what was rated as a whole and fell due by through may
        get one, it must get one unless a charge of it cannot be rated, and never another."""
        for account in self.accounts.values():
            for period in account.periods.values():
                found = rows.get((account.key, period.number))
                if period.pin:
                    agree(found == period.pin.known_at, "the pin of period {} of {} moved", period.number, account.key)
                    continue
                wanted = through is not None and only in (None, account.key) and period.arrears_due and period.is_due(through)
                wanted = wanted and not any((key.buyer, key.period) == (account.key, period.number) for key in self.failed)
                agree((found is not None) == wanted, "period {} of {} is pinned at {}, expected {}", period.number, account.key,
                      found, wanted)
                agree(found is None or found <= self.last_watermark.known_at, "the pin {} lies after the last run", found)
                period.pin = found and Watermark(found, frozenset(period.own_stamps))

    def take_advance_pins(self, rows):
        """Likewise of the fees in advance: what finalising has billed of them in a period that is not due gets one."""
        for account in self.accounts.values():
            for period in account.periods.values():
                found = rows.get((account.key, period.number))
                if period.advance_pin:
                    agree(found == period.advance_pin.known_at, "the pin of fees of period {} of {} moved", period.number, account.key)
                    continue
                wanted = (account.key, period.number) in self.billed_ahead
                wanted = wanted and not any((key.buyer, key.period) == (account.key, period.number) for key in self.failed)
                agree((found is not None) == wanted, "fees of period {} of {} are pinned at {}, expected {}", period.number, account.key, found, wanted)
                agree(found is None or found <= self.last_watermark.known_at, "the pin of fees {} lies after the last run", found)
                period.advance_pin = found and Watermark(found, frozenset(period.own_stamps))
        self.billed_ahead = set()

    @staticmethod
    def put(table, key, value):
        if value is not None:
            table[key] = value
        else:
            table.pop(key, None)


def covers(fact, at, zone):
    return (fact.valid_from is None or instant(fact.valid_from, zone) <= at) and (fact.valid_to is None or at < instant(fact.valid_to, zone))


def newest_price(prices, at, zone):
    """Newest fact that covers an instant; an account's own price goes before the list's."""
    for own in (True, False):
        for price in reversed(prices):
            if (price.account is not None) == own and covers(price, at, zone):
                if price.tariff is not None:
                    return price
                break
    return None


def spans_of_prices(prices, advances, start, end, zone, pin, now):
    borders = {start, end}
    for fact in prices + advances:
        for border in (fact.valid_from, fact.valid_to):
            if border is not None and start < instant(border, zone) < end:
                borders.add(instant(border, zone))
    borders = sorted(borders)
    for a, b in zip(borders, borders[1:]):
        asof = pin
        for advance in advances:
            if covers(advance, a, zone):
                asof = asof.advanced(advance.known_at)
        price = price_at_pin(prices, asof, a, zone)
        if price is not None:
            yield a, b, price


def price_at_pin(prices, asof, at, zone):
    """The price known at the pin; where there was none, the first that became known after it."""
    pinned = [p for p in prices if asof.knows(p.stamp)]
    found = newest_price(pinned, at, zone)
    for later in prices:
        if found is None and not asof.knows(later.stamp):
            found = newest_price(pinned + [p for p in prices if not asof.knows(p.stamp) and p.stamp <= later.stamp], at, zone)
    return found


def span_of(fact):
    return (fact.valid_from, fact.valid_to) if hasattr(fact, "valid_from") else (fact.starts_on, fact.ends_on)


def newest_by_span(facts, date_from, date_to, present):
    """[(from, to, fact)] of the facts that hold in [date_from, date_to): of two that cover a day, the newer."""
    borders = {date_from, date_to}
    for fact in facts:
        borders.update(b for b in span_of(fact) if b is not None and date_from < b < date_to)
    borders = sorted(borders)
    found = []
    for a, b in zip(borders, borders[1:]):
        covering = [f for f in facts if (span_of(f)[0] is None or span_of(f)[0] <= a) and (span_of(f)[1] is None or a < span_of(f)[1])]
        if covering and present(covering[-1]):
            if found and found[-1][2] is covering[-1] and found[-1][1] == a:
                found[-1] = (found[-1][0], b, covering[-1])
            else:
                found.append((a, b, covering[-1]))
    return found


def definition_at(facts, asof, now):
    """The definition known at the pin; where there was none, the first that became known after it."""
    known = [f for f in facts if asof.knows(f.stamp)] or [f for f in facts if now.knows(f.stamp)][:1]
    return known[-1] if known else None


def integral(levels, start, end):
    """Level times hours of [(instant, level)] between two instants; of two levels at one instant the higher holds."""
    levels = sorted(levels)
    total = ZERO
    for (at, level), (until, _) in zip(levels, levels[1:] + [(end, None)]):
        total += level * max((min(until, end) - max(at, start)) // MICROSECOND, 0)
    return total / (3600 * 10**6)


def aggregate(definition, parts, start, end):
    """One quantity of the parts [(usage, end of the part, quantity in the segment)] of a group."""
    if not parts:
        return ZERO
    quantities = [quantity for _, _, quantity in parts]
    if definition.aggregation == "sum":
        value = sum(quantities, ZERO)
    elif definition.aggregation == "count":
        value = Fraction(len(quantities))
    elif definition.aggregation == "max":
        value = max(quantities)
    elif definition.aggregation == "min":
        value = min(quantities)
    elif definition.aggregation == "latest":
        value = max(parts, key=lambda part: (part[1], part[0].id))[2]
    elif definition.aggregation == "avg":
        value = sum(quantities, ZERO) / len(quantities)
    elif definition.aggregation == "percentile":
        value = sorted(quantities)[max(math.ceil(definition.percentile * len(quantities)), 1) - 1]
    elif definition.aggregation == "unique_count":
        value = Fraction(len({u.dimensions.get(definition.unique_dimension) for u, _, _ in parts} - {None}))
    elif definition.aggregation == "time_weighted":
        value = integral([(at, level) for _, at, level in parts], start, end)
    else:
        raise NotImplementedError(definition.aggregation)
    return rounded(value, definition.decimals, definition.rounding) if definition.rounding else value
