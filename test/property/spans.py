"""Calendar of the independent ledger: cycle days, local time, and what an interval holds of a span."""

import datetime
import functools
from fractions import Fraction
from zoneinfo import ZoneInfo

from arithmetic import rounded

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


def days(count):
    return datetime.timedelta(days=count)


def clamped(year, month, day):
    following = datetime.date(year + month // 12, month % 12 + 1, 1)
    return datetime.date(year, month, min(day, (following - days(1)).day))


def next_border(after, cycle_day):
    """First day after the given one on which a cycle begins."""
    border = clamped(after.year, after.month, cycle_day)
    if border > after:
        return border
    return clamped(after.year + after.month // 12, after.month % 12 + 1, cycle_day)


def last_border(before, cycle_day):
    """Latest day before the given one on which a cycle begins."""
    border = clamped(before.year, before.month, cycle_day)
    if border < before:
        return border
    earlier = before.replace(day=1) - days(1)
    return clamped(earlier.year, earlier.month, cycle_day)


def midnight(date):
    return datetime.datetime.combine(date, datetime.time())


@functools.lru_cache(maxsize=None)
def instant(local, zone):
    """The instant of a local time: one that the clocks skip counts with the offset before, one that comes twice is the later."""
    zone = ZoneInfo(zone)
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    skipped = first.utcoffset() < second.utcoffset()
    return (first if skipped else second).astimezone(UTC)


def local(at, zone):
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def microseconds(span):
    return span // MICROSECOND


def clip(starts_at, ends_at, quantity, span_from, span_to):
    """Part of a quantity over [starts_at, ends_at) that lies in a span, or None; parts of adjacent spans add up exactly."""
    if starts_at == ends_at:
        return quantity if span_from <= starts_at < span_to else None
    low, high = max(starts_at, span_from), min(ends_at, span_to)
    if low >= high:
        return None
    whole = microseconds(ends_at - starts_at)

    def so_far(at):
        return rounded(quantity * Fraction(microseconds(at - starts_at), whole), 15, CUMULATIVE_ROUNDING)

    return so_far(high) - so_far(low)


CUMULATIVE_ROUNDING = "half_even"
