"""Random catalogs and usage, rated by Kill Bill's invoice and by our tariff in dialect killbill: there must be no difference.

Each catalog is a tenant of its own with one account.  What the server shows of its catalog is read, not what was uploaded.
"""

import base64
import http.client
import json
import os
import random
import sys
import time
import urllib.parse
import uuid

import psycopg2

CATALOGS = 1000 if os.environ.get("FULL") else 200
SEED = int(os.environ.get("SEED", "20261121"))
CURRENCIES = ("USD", "USD", "EUR", "JPY", "BHD")


class Tenant:
    def __init__(self, connection):
        self.connection = connection
        self.key = "c" + uuid.uuid4().hex[:12]
        self.call("POST", "/tenants", json.dumps({"apiKey": self.key, "apiSecret": "s"}))

    def call(self, method, path, body=None, kind="application/json"):
        self.connection.request(method, "/1.0/kb" + path, body, {
            "Authorization": "Basic " + base64.b64encode(b"admin:password").decode(), "X-Killbill-ApiKey": self.key, "X-Killbill-ApiSecret": "s",
            "X-Killbill-CreatedBy": "test", "Content-Type": kind, "Accept": "*/*"})
        answer = self.connection.getresponse()
        content = answer.read().decode()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]}")
        location = answer.getheader("Location")
        return location.rsplit("/", 1)[1] if location else content


def price(chance, currency):
    value = round(chance.choice((0, 1, 1, 1)) * chance.uniform(0, chance.choice((0.01, 1, 20))), chance.choice((0, 2, 3, 6)))
    return f"<price><currency>{currency}</currency><value>{value:.6f}</value></price>"


def section(chance, name, units, currency):
    """One usage section of random form."""
    if chance.random() < 0.25:
        limits, tiers = {unit: 0 for unit in units}, ""
        count = chance.randint(1, 4)
        for number in range(count):
            for unit in units:
                limits[unit] += chance.randint(1, 60)
            last = number == count - 1
            tiers += "<tier><limits>" + "".join(f"<limit><unit>{unit}</unit><max>{10000 if last else limits[unit]}</max></limit>" for unit in units) + \
                     f"</limits><recurringPrice>{price(chance, currency)}</recurringPrice></tier>"
        return f'<usage name="{name}" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers>{tiers}</tiers></usage>'
    policy, sizes, count, tiers = chance.choice(("ALL_TIERS", "TOP_TIER")), {unit: chance.choice(("1", "1", "2", "5", "10", "100")) for unit in units}, chance.randint(1, 4), ""
    finite = chance.random() < 0.15
    for number in range(count):
        last = number == count - 1 and not finite
        tiers += "<tier><blocks>" + "".join(
            f"<tieredBlock><unit>{unit}</unit><size>{sizes[unit]}</size><prices>{price(chance, currency)}</prices><max>{-1 if last else chance.randint(1, 50)}</max></tieredBlock>"
            for unit in units) + "</blocks></tier>"
    return f'<usage name="{name}" billingMode="IN_ARREAR" usageType="CONSUMABLE" tierBlockPolicy="{policy}"><billingPeriod>MONTHLY</billingPeriod><tiers>{tiers}</tiers></usage>'


RULES = """<rules><changePolicy><changePolicyCase><policy>IMMEDIATE</policy></changePolicyCase></changePolicy>
<changeAlignment><changeAlignmentCase><alignment>START_OF_BUNDLE</alignment></changeAlignmentCase></changeAlignment>
<cancelPolicy><cancelPolicyCase><policy>IMMEDIATE</policy></cancelPolicyCase></cancelPolicy>
<createAlignment><createAlignmentCase><alignment>START_OF_BUNDLE</alignment></createAlignmentCase></createAlignment>
<billingAlignment><billingAlignmentCase><alignment>ACCOUNT</alignment></billingAlignmentCase></billingAlignment>
<priceList><priceListCase><toPriceList>DEFAULT</toPriceList></priceListCase></priceList></rules>"""


def catalog(chance, currency):
    """A random catalog of one plan, and the units of its usage sections."""
    sections, units = [], {}
    for number in range(chance.randint(1, 3)):
        units[f"s{number}"] = [f"u{number}x{unit}" for unit in range(chance.randint(1, 2))]
        sections.append(section(chance, f"s{number}", units[f"s{number}"], currency))
    declared = "".join(f'<unit name="{unit}"/>' for names in units.values() for unit in names)
    return f"""<?xml version="1.0" encoding="UTF-8"?><catalog><effectiveDate>2025-01-01T00:00:00+00:00</effectiveDate><catalogName>Random</catalogName>
<recurringBillingMode>IN_ARREAR</recurringBillingMode><currencies><currency>{currency}</currency></currencies><units>{declared}</units>
<products><product name="P"><category>BASE</category></product></products>{RULES}<plans><plan name="plan"><product>P</product>
<finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration><usages>{''.join(sections)}</usages></finalPhase></plan></plans>
<priceLists><defaultPriceList name="DEFAULT"><plans><plan>plan</plan></plans></defaultPriceList></priceLists></catalog>""", units


def prepare(connection, seed):
    """A tenant with a random catalog, an account, and usage in January."""
    chance = random.Random(seed)
    tenant = Tenant(connection)
    currency = chance.choice(CURRENCIES)
    text, units = catalog(chance, currency)
    tenant.call("POST", "/catalog/xml", text, "text/xml")
    tenant.account = tenant.call("POST", "/accounts", json.dumps({"name": "a", "externalKey": "a", "currency": currency, "timeZone": "UTC", "billCycleDayLocal": 1,
                                                                  "referenceTime": "2026-01-01T00:00:00.000Z"}))
    subscription = tenant.call("POST", "/subscriptions?entitlementDate=2026-01-01&billingDate=2026-01-01&callCompletion=true&callTimeoutSec=30",
                               json.dumps({"accountId": tenant.account, "externalKey": "s", "bundleExternalKey": "b", "planName": "plan"}))
    records = {unit: [(f"2026-01-{chance.randint(1, 31):02}", chance.choice((chance.randint(0, 3), chance.randint(0, 80), chance.randint(0, 3000))))
                      for _ in range(chance.randint(0, 4))] for names in units.values() for unit in names}
    if any(records.values()):
        tenant.call("POST", "/usages", json.dumps({"subscriptionId": subscription, "trackingId": "t", "unitUsageRecords": [
            {"unitType": unit, "usageRecords": [{"recordDate": day, "amount": amount} for day, amount in rows]} for unit, rows in records.items() if rows]}))
    tenant.records, tenant.seed, tenant.currency = records, seed, currency
    return tenant


def drain(tenant):
    """Waits until the server has done what was due."""
    for _ in range(10):
        try:
            tenant.call("GET", "/test/queues?timeoutSec=60")
            return
        except RuntimeError:
            continue


def billed(tenant):
    """Amounts of January by usage section.  The queues say that they are drained a moment before they begin: looks for half a minute."""
    amounts = {}
    for _ in range(60):
        for invoice in json.loads(tenant.call("GET", f"/accounts/{tenant.account}/invoices?includeInvoiceComponents=true"), parse_float=str, parse_int=str):
            for item in invoice["items"]:
                if item["itemType"] == "USAGE" and item["startDate"] == "2026-01-01":
                    amounts.setdefault(item["usageName"], []).append(item["amount"])
        if amounts:
            break
        time.sleep(0.5)
    return amounts


OURS = """
SELECT p.usage_name, billing.killbill_rate(p.section, p.currency, %(quantities)s::jsonb)
  FROM billing.killbill_catalog_prices(%(catalog)s::xml) AS p WHERE p.kind = 'usage' GROUP BY p.usage_name, p.section, p.currency
"""


def main():
    place = urllib.parse.urlsplit(os.environ["KILLBILL_URL"])
    server = http.client.HTTPConnection(place.hostname, place.port, timeout=180)
    name = os.environ.get("PGDATABASE", "postgres") + "_compare"
    admin = psycopg2.connect(dbname=os.environ.get("PGDATABASE", "postgres"))
    admin.autocommit = True
    admin.cursor().execute(f'DROP DATABASE IF EXISTS "{name}"')
    admin.cursor().execute(f'CREATE DATABASE "{name}"')
    database = psycopg2.connect(dbname=name, options="-c client_min_messages=error")
    database.autocommit = True
    cursor = database.cursor()
    cursor.execute("CREATE EXTENSION billing CASCADE")
    cursor.execute("CALL billing.create_ledger()")

    clock = Tenant(server)
    clock.call("POST", "/test/clock?requestedDate=2026-01-01T00:00:00.000Z&timeoutSec=60")
    drain(clock)
    tenants = [prepare(server, SEED + number) for number in range(CATALOGS)]
    clock.call("POST", "/test/clock?requestedDate=2026-02-01T12:00:00.000Z&timeoutSec=60")
    drain(clock)
    differences, compared = [], 0
    for tenant in tenants:
        theirs = billed(tenant)
        shown = tenant.call("GET", "/catalog/xml", kind="text/xml")
        capacity = set()
        for usage in shown.split("<usage ")[1:]:
            if 'usageType="CAPACITY"' in usage.split(">")[0]:
                capacity.add(usage.split('name="')[1].split('"')[0])
        quantities = {unit: str(max((a for _, a in rows), default=0) if f"s{unit[1]}" in capacity else sum(a for _, a in rows)) for unit, rows in tenant.records.items()}
        cursor.execute(OURS, {"quantities": json.dumps(quantities), "catalog": shown})
        for section_name, ours in cursor.fetchall():
            compared += 1
            cursor.execute("SELECT coalesce(sum(x::numeric), -1), sum(x::numeric) = %s FROM unnest(%s::text[]) AS x", (ours, theirs.get(section_name, [])))
            amount, same = cursor.fetchone()
            if not same:
                differences.append(f"seed {tenant.seed} {section_name}: ours {ours}, theirs {'nothing' if amount == -1 else amount} {tenant.currency}")
    database.close()
    admin.cursor().execute(f'DROP DATABASE "{name}"')
    if differences:
        print(f"not ok {CATALOGS} random catalogs rated alike - {len(differences)} of {compared} sections differ: {'; '.join(differences[:5])}")
        sys.exit(1)
    print(f"ok {CATALOGS} random catalogs rated alike ({compared} usage sections, 0 differences)")


main()
