"""What the histories are about: who buys, what is counted, what is charged."""

import datetime
from fractions import Fraction

from oracle import Meter, Watermark
from spans import UTC

SELLER = "northwind"
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
REGIONS = ("eu", "us", "asia")
BEGIN = datetime.date(2026, 1, 1)
FOREVER = datetime.date(2030, 1, 1)
EVERYTHING = Watermark(datetime.datetime(2100, 1, 1, tzinfo=UTC))
ACCOUNTS = ("ash", "birch", "cedar", "date", "elm", "fig")
RESELLER = "reseller"
LISTS = {"default": "EUR", "wholesale": "EUR", "yen": "JPY"}
IN_YEN = "fig"


def currency_of(account):
    return "JPY" if account == IN_YEN else "EUR"


def list_of(account):
    return "yen" if account == IN_YEN else "default"

METERS = {
    "tokens": Meter(None),
    "calls": Meter(None, dimensions=("region",)),
    "storage": Meter(None, rounding="half_up", decimals=3),
    "events": Meter(None, aggregation="count"),
    "peak": Meter(None, aggregation="max"),
    "level": Meter(None, aggregation="latest"),
    "average": Meter(None, aggregation="avg", rounding="half_up", decimals=3),
    "median": Meter(None, aggregation="percentile", percentile=Fraction(1, 2)),
    "users": Meter(None, aggregation="unique_count", unique_dimension="user"),
    "gauge": Meter(None, aggregation="time_weighted", rounding="half_up", decimals=3),
}
FEES = {"base": True, "support": False}      # in advance?
