"""The life of accounts on a real Kill Bill server, told by the real background worker in both modes, over an outage, lost answers and
kill -9 of the worker.

Forty accounts of one plan and twelve of plans with phases that end inside their periods: connection tried, catalog read, accounts and subscriptions mirrored, a month of usage told, the clock moved, invoices read
and reconciled to zero difference; then late usage, less usage, a cancellation, credits, our own invoices told as charges, and what option
sync_every does by itself.  The worker reaches the server through gate.py, which makes the trouble.
"""

import base64
import http.client
import json
import os
import random
import signal
import sys
import time
import urllib.parse
import uuid

import psycopg2

from gate import Gate

ACCOUNTS, OURS = 40, 10
# longer than the 255 characters that the server keeps; those of the second kind are two to it
LONG_NAME = "\u20ac" * 200 + "\U0001f600" * 50
# (plan, cycle day, first day, usage section): each trial and discount ends inside a period, or does so where the cycle day is cut
PHASED = [(plan, cycle_day, first, meter) for plan, meter in (("early", "early/early-last/gb"), ("late", "late-discount/late-discount/gb")) for cycle_day, first in
          ((1, "2026-01-01"), (1, "2026-01-05"), (15, "2026-01-01"), (28, "2026-01-03"), (30, "2026-01-01"), (31, "2026-01-02"))]
SEED = int(os.environ.get("SEED", "20261121"))
CHANCE = random.Random(SEED)
LONGEST = 240


def phased_plan(name, mode, days):
    """A plan with a trial, a discount and what lasts; usage has two tiers in each of the last two."""
    def priced(phase, fee, prices):
        blocks = "".join(f'<tier><blocks><tieredBlock><unit>gb</unit><size>1</size><prices><price><currency>EUR</currency><value>{price}</value></price></prices><max>{most}</max></tieredBlock></blocks></tier>' for price, most in prices)
        return (f'<recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice><price><currency>EUR</currency><value>{fee}</value></price></recurringPrice></recurring>'
                f'<usages><usage name="{name}-{phase}" billingMode="IN_ARREAR" usageType="CONSUMABLE" tierBlockPolicy="ALL_TIERS"><billingPeriod>MONTHLY</billingPeriod><tiers>{blocks}</tiers></usage></usages>')
    return (f'<plan name="{name}"><product>{name.title()}</product><recurringBillingMode>{mode}</recurringBillingMode><initialPhases>'
            '<phase type="TRIAL"><duration><unit>DAYS</unit><number>9</number></duration><fixed><fixedPrice/></fixed></phase>'
            f'<phase type="DISCOUNT"><duration><unit>DAYS</unit><number>{days}</number></duration>{priced("discount", "49.99", ((0.30, 20), (0.20, -1)))}</phase></initialPhases>'
            f'<finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>{priced("last", "99.97", ((0.50, 20), (0.40, -1)))}</finalPhase></plan>')


CATALOG = """<?xml version="1.0" encoding="UTF-8"?><catalog><effectiveDate>2025-01-01T00:00:00+00:00</effectiveDate><catalogName>Life</catalogName>
<recurringBillingMode>IN_ADVANCE</recurringBillingMode><currencies><currency>EUR</currency></currencies><units><unit name="gb"/><unit name="core-hour"/><unit name="peak"/></units>
<products><product name="Server"><category>BASE</category><available><addonProduct>Backup</addonProduct></available></product><product name="Backup"><category>ADD_ON</category></product><product name="Early"><category>BASE</category></product><product name="Late"><category>BASE</category></product></products>
<rules><changePolicy><changePolicyCase><policy>IMMEDIATE</policy></changePolicyCase></changePolicy>
<changeAlignment><changeAlignmentCase><alignment>START_OF_BUNDLE</alignment></changeAlignmentCase></changeAlignment>
<cancelPolicy><cancelPolicyCase><policy>IMMEDIATE</policy></cancelPolicyCase></cancelPolicy>
<createAlignment><createAlignmentCase><alignment>START_OF_BUNDLE</alignment></createAlignmentCase></createAlignment>
<billingAlignment><billingAlignmentCase><alignment>ACCOUNT</alignment></billingAlignmentCase></billingAlignment>
<priceList><priceListCase><toPriceList>DEFAULT</toPriceList></priceListCase></priceList></rules>
<plans><plan name="server"><product>Server</product><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
<recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice><price><currency>EUR</currency><value>9.00</value></price></recurringPrice></recurring>
<usages><usage name="traffic" billingMode="IN_ARREAR" usageType="CONSUMABLE" tierBlockPolicy="ALL_TIERS"><billingPeriod>MONTHLY</billingPeriod><tiers>
<tier><blocks><tieredBlock><unit>gb</unit><size>10</size><prices><price><currency>EUR</currency><value>0.50</value></price></prices><max>5</max></tieredBlock>
<tieredBlock><unit>core-hour</unit><size>1</size><prices><price><currency>EUR</currency><value>0.067</value></price></prices><max>200</max></tieredBlock></blocks></tier>
<tier><blocks><tieredBlock><unit>core-hour</unit><size>1</size><prices><price><currency>EUR</currency><value>0.053</value></price></prices><max>-1</max></tieredBlock><tieredBlock><unit>gb</unit><size>10</size><prices><price><currency>EUR</currency><value>0.40</value></price></prices><max>-1</max></tieredBlock></blocks></tier></tiers></usage>
<usage name="line" billingMode="IN_ARREAR" usageType="CAPACITY"><billingPeriod>MONTHLY</billingPeriod><tiers>
<tier><limits><limit><unit>peak</unit><max>10</max></limit></limits><recurringPrice><price><currency>EUR</currency><value>5.00</value></price></recurringPrice></tier>
<tier><limits><limit><unit>peak</unit><max>1000</max></limit></limits><recurringPrice><price><currency>EUR</currency><value>20.00</value></price></recurringPrice></tier></tiers></usage></usages></finalPhase></plan>
<plan name="backup"><product>Backup</product><finalPhase type="EVERGREEN"><duration><unit>UNLIMITED</unit></duration>
<recurring><billingPeriod>MONTHLY</billingPeriod><recurringPrice><price><currency>EUR</currency><value>3.00</value></price></recurringPrice></recurring></finalPhase></plan>""" + phased_plan("early", "IN_ADVANCE", 30) + phased_plan("late", "IN_ARREAR", 35) + """</plans>
<priceLists><defaultPriceList name="DEFAULT"><plans><plan>server</plan><plan>backup</plan><plan>early</plan><plan>late</plan></plans></defaultPriceList></priceLists></catalog>"""


class Failure(Exception):
    """Something that should have happened did not."""


def make_tenant(url, key):
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    basic = {"Authorization": "Basic " + base64.b64encode(b"admin:password").decode(), "X-Killbill-CreatedBy": "test"}
    for path, body, kind in (("tenants", '{"apiKey": "%s", "apiSecret": "s"}' % key, "application/json"), ("catalog/xml", CATALOG, "text/xml"),
                             ("test/clock?requestedDate=2026-01-01T00:00:00.000Z&timeoutSec=60", None, "application/json")):
        connection.request("POST", "/1.0/kb/" + path, body, {**basic, "X-Killbill-ApiKey": key, "X-Killbill-ApiSecret": "s", "Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status}")


def connect():
    connection = psycopg2.connect(options="-c client_min_messages=notice -c TimeZone=UTC -c search_path=billing,public")
    connection.autocommit = True
    return connection


def ask(url, key, path):
    """What the server itself says; JSON."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    connection.request("GET", "/1.0/kb" + path, headers={"Authorization": "Basic " + base64.b64encode(b"admin:password").decode(), "X-Killbill-ApiKey": key, "X-Killbill-ApiSecret": "s"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise Failure(f"GET {path}: {answer.status}")
    return json.loads(body)


def send(url, key, method, path, body=None, kind="application/json"):
    """What somebody else does on the server."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    connection.request(method, "/1.0/kb" + path, body, {"Authorization": "Basic " + base64.b64encode(b"admin:password").decode(), "X-Killbill-ApiKey": key, "X-Killbill-ApiSecret": "s",
                                                        "X-Killbill-CreatedBy": "test", "Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise Failure(f"{method} {path}: {answer.status}")


class Life:
    """What is done between begin() and expect() is one transaction; the worker delivers it afterwards."""

    def __init__(self, url):
        self.url, self.key = url, "life-" + uuid.uuid4().hex[:8]
        make_tenant(url, self.key)
        self.connection = connect()
        self.gate = Gate(url, self.kill_worker, SEED)
        self.killed, self.entered = None, 0
        self.number = 0
        self.query("CREATE EXTENSION billing CASCADE")
        self.query("CALL billing.create_ledger()")
        self.query(f"CREATE SERVER kb FOREIGN DATA WRAPPER billing_killbill OPTIONS (url '{self.gate.url}', allow_http 'true', allow_private 'true', \"user\" 'admin', password_file 'password', "
                   f"api_key '{self.key}', api_secret_file 'secret', test_clock 'true', breaker_pause '1s', retry_delay '100ms', max_parallel '8', max_attempts '100')")
        self.wait(lambda: self.query("SELECT state FROM worker_status") == [("running",)], "the worker running", 30)

    def query(self, text, **values):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def wait(self, condition, what, seconds=LONGEST):
        """Until condition() is true; a server that comes back from a crash is not there yet."""
        until = time.monotonic() + seconds
        while True:
            try:
                if self.connection.closed:
                    self.connection = connect()
                if condition():
                    return
            except psycopg2.Error as problem:
                if problem.pgcode is not None and not isinstance(problem, psycopg2.OperationalError):
                    raise
                self.connection.close()
            if time.monotonic() > until:
                raise Failure(f"{what} not within {seconds} s")
            time.sleep(0.02)

    def kill_worker(self):
        """kill -9, which takes all sessions of the server along."""
        try:
            with connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'billing worker'")
                for (pid,) in cursor.fetchall():
                    self.entered, self.killed = sys.maxsize - 1, pid
                    os.kill(pid, signal.SIGKILL)
                    self.entered = self.gate.entered
        except (psycopg2.Error, ProcessLookupError):
            pass

    def begin(self):
        self.query("BEGIN")

    def hurry(self):
        """Pauses that wait for the server to be done with a request are not needed: the gate knows that it is."""
        passing = set(self.gate.passing)
        if self.killed and min(passing, default=self.entered + 1) > self.entered and not self.query("SELECT 1 FROM pg_stat_activity WHERE pid = %(killed)s", killed=self.killed):
            self.killed = None
            self.query("UPDATE message SET lease_until = clock_timestamp() WHERE state = 'sending'")
        if not passing:
            self.query("SELECT retry_message(message_id) FROM message WHERE state = 'delayed'")

    def finished(self):
        if self.gate.server is not None:
            self.hurry()
        if self.gate.passing or self.killed:
            return False
        return not self.query("SELECT 1 FROM message WHERE state NOT IN ('delivered', 'discarded', 'dead') AND kind <> 'sync' LIMIT 1") \
            or self.query("SELECT 1 FROM message WHERE state = 'dead' AND kind <> 'sync' LIMIT 1")

    def expect(self, name, kills=0, outage=0.0):
        """Everything is delivered."""
        gate = self.gate
        before, gate.kills_left, gate.trouble = (gate.kills, gate.losses), kills, kills > 0
        if outage:
            gate.shut()
        if self.connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self.query("COMMIT")
        if outage:
            time.sleep(outage)
            gate.open()
        self.wait(self.finished, name)
        gate.trouble = False
        dead = self.query("SELECT kind, reason FROM dead_letters")
        if dead:
            raise Failure(f"{name}: {len(dead)} messages died: {dead[0]}")
        if name:
            told = [f"outage of {outage} s"] if outage else []
            told += [f"worker killed {gate.kills - before[0]} times, {gate.losses - before[1]} answers lost"] if kills else []
            print(f"ok {name}" + (f" ({', '.join(told)})" if told else ""), flush=True)

    def reconciled(self, name, dates):
        # The queues say that they are drained a moment before they begin: looks for half a minute.
        for _ in range(30):
            self.query("SELECT killbill_pull_invoices('kb')")
            self.expect("")
            rows = self.query("SELECT account_key, subject, period_from, ours, theirs, reason FROM killbill_reconcile('kb', %(dates)s)", dates=dates)
            if not any(row[5] == "the server has not billed it" for row in rows):
                break
            time.sleep(1)
        items = self.query("SELECT count(*), sum(amount) FROM killbill_item")[0]
        if rows:
            raise Failure(f"{name}: {len(rows)} differences: " + "; ".join(" ".join(str(v) for v in row) for row in rows[:3]))
        print(f"ok {name} (0 differences, {items[0]} items, {items[1]} EUR)", flush=True)

    def use(self, account, meter, day, quantity):
        self.number += 1
        outcome = self.query("SELECT outcome FROM record_usage(jsonb_build_array(jsonb_build_object('id', %(id)s, 'account', %(account)s, 'meter', %(meter)s, 'at', %(at)s, 'quantity', %(quantity)s)))",
                             id=f"u{self.number}", account=account, meter=meter, at=f"{day}T{CHANCE.randint(0, 23):02}:00:00Z", quantity=str(quantity))[0][0]
        assert outcome == "accepted", outcome
        return f"u{self.number}"

    def clock(self, at):
        self.query("SELECT killbill_set_clock('kb', %(at)s)", at=at)


def play(life):
    del life.connection.notices[:]
    life.query("CALL test_connection('kb')")
    notices = "".join(life.connection.notices)
    if any(f"{check}: ok" not in notices for check in ("reachable", "clock", "version", "credentials", "tenant", "catalog")) or 'endpoint "kb" works' not in notices:
        raise Failure("test_connection: " + " ".join(notices.split()))
    print("ok connection tested", flush=True)
    life.query("SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR')")
    life.query("SELECT killbill_pull_catalog('kb')")
    life.expect("catalog read and imported")
    life.query("CALL maintain_partitions('[2025-12-01,2026-06-01)')")

    accounts = [f"a{n}" for n in range(ACCOUNTS)]
    life.begin()
    for account in accounts:
        life.query("SELECT set_account(%(a)s, currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Life/DEFAULT/EUR', starts_on => '2026-01-01')", a=account)
        life.query("SELECT killbill_mirror_account('kb', %(a)s, fields => '{\"project\": \"p\"}')", a=account)
        life.query("SELECT killbill_subscribe('kb', %(a)s, 'server', '2026-01-01', %(k)s, fields => jsonb_build_object('resource_name', %(a)s::text))", a=account, k=account + "-server")
        if CHANCE.random() < 0.3:
            life.query("SELECT killbill_subscribe('kb', %(a)s, 'backup', '2026-01-01', %(k)s, bundle_key => %(b)s)", a=account, k=account + "-backup", b=account + "-server")
    for number, (plan, cycle_day, first, _) in enumerate(PHASED):
        life.query("SELECT set_account(%(a)s, currency => 'EUR', time_zone => 'UTC', cycle_day => %(c)s, price_list => 'Life/DEFAULT/EUR', starts_on => '2026-01-01')", a=f"p{number}", c=cycle_day)
        life.query("SELECT killbill_mirror_account('kb', %(a)s, reference_day => '2026-01-01'), killbill_subscribe('kb', %(a)s, %(p)s, %(f)s, %(a)s)", a=f"p{number}", p=plan, f=first)
    life.expect(f"{ACCOUNTS + len(PHASED)} accounts and their subscriptions mirrored", kills=3)

    used = []
    life.begin()
    for day in range(1, 32):
        for account in accounts:
            if CHANCE.random() < 0.3:
                used.append((account, life.use(account, CHANCE.choice(("server/traffic/gb", "server/traffic/core-hour")), f"2026-01-{day:02}", round(CHANCE.uniform(0, 40), CHANCE.choice((0, 1, 3))))))
            if CHANCE.random() < 0.05:
                life.use(account, "server/line/peak", f"2026-01-{day:02}", CHANCE.randint(1, 30))
        for number, (_, _, first, meter) in enumerate(PHASED):
            if f"2026-01-{day:02}" >= first:
                life.use(f"p{number}", meter, f"2026-01-{day:02}", CHANCE.randint(0, 9))
        if day % 10 == 0:
            life.query("SELECT count(*) FROM killbill_push_usage('kb', through => %(d)s::date)", d=f"2026-01-{day + 1:02}")
            life.expect("", kills=1, outage=2.0 if day == 20 else 0.0)
            life.begin()
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-02-01')")
    life.expect("a month of usage told over an outage", kills=2)
    life.clock("2026-02-01 12:00Z")
    life.expect("clock moved to February")
    life.reconciled("mode A: January", "[2026-01-01,2026-02-01)")

    # Late usage, less usage, and both in one account; a subscription ends.
    life.begin()
    for account in accounts[:12]:
        life.use(account, "server/traffic/gb", "2026-01-30", CHANCE.randint(1, 60))
    for account, usage in CHANCE.sample(used, 10):
        life.query("SELECT correct_usage(%(a)s, %(u)s, 0.5)", a=account, u=usage)
    for account in accounts[5:30]:
        life.use(account, "server/traffic/gb", "2026-02-03", CHANCE.randint(1, 60))
    for number, (_, cycle_day, _, meter) in enumerate(PHASED):
        # until the last cycle day before March: what comes after is billed later
        for day in range(1, min(cycle_day, 28) if cycle_day > 1 else 29):
            life.use(f"p{number}", meter, f"2026-02-{day:02}", CHANCE.randint(0, 9))
        life.use(f"p{number}", meter, "2026-01-20", 5)
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-02-06')")
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-03-01')")
    life.query("SELECT killbill_cancel('kb', 'a39-server', '2026-03-01')")
    life.query("SELECT killbill_credit('kb', 'a1', 25, %(r)s), killbill_credit('kb', 'a2', 2500000.25, 'refund')", r="\u20ac" * 201 + "\U0001f600" * 27)
    life.expect("late usage, less usage, an end and a credit told", kills=3)
    life.clock("2026-03-01 12:00Z")
    life.expect("clock moved to March")
    life.reconciled("mode A: January and February after corrections", "[2026-01-01,2026-03-01)")

    # Mode B: we invoice.
    life.query("SELECT set_tax_rate('vat', rate => 19), set_seller('s', default_tax_code => 'vat'), set_price_list('own', 'EUR'), set_meter('calls', unit => 'call'), set_fee('base', name => %(n)s, in_advance => true)", n=LONG_NAME)
    life.query("SELECT set_price('calls', '{\"model\":\"per_unit\",\"currency\":\"EUR\",\"unit_price\":\"0.037\"}', valid_from => '2026-01-01', price_list => 'own'), "
               "set_price('base', '{\"model\":\"per_unit\",\"currency\":\"EUR\",\"unit_price\":\"600000\"}', valid_from => '2026-01-01', price_list => 'own')")
    calls = {}
    for number in range(OURS):
        account = f"b{number}"
        life.query("SELECT set_account(%(a)s, currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'own', starts_on => '2026-01-01')", a=account)
        life.query("SELECT set_subscription(%(a)s, 'base', starts_on => '2026-01-01', ends_on => '2026-02-01', quantity => %(q)s)", a=account, q=CHANCE.randint(0, 2))
        life.query("SELECT killbill_mirror_account('kb', %(a)s, auto_invoicing => false)", a=account)
        calls[account] = life.use(account, "calls", "2026-01-10", CHANCE.randint(100, 9000))
    life.query("CALL run_invoicing('2026-02-01', NULL)")
    for account in calls:
        life.query("SELECT count(*) FROM finalize_invoices('2026-02-01', account => %(a)s)", a=account)
    life.begin()
    life.query("SELECT count(*) FROM killbill_push_invoices('kb')")
    life.expect("", kills=2)
    for account, usage in calls.items():
        life.query("SELECT correct_usage(%(a)s, %(u)s, 50)", a=account, u=usage)
    life.query("CALL run_invoicing('2026-03-01', NULL)")
    for account in calls:
        life.query("SELECT count(*) FROM finalize_invoices('2026-03-01', account => %(a)s)", a=account)
    life.begin()
    life.query("SELECT count(*) FROM killbill_push_invoices('kb')")
    life.expect("mode B: invoices and credit notes told as charges and credits", kills=3)
    life.reconciled("mode B: every line and tax", "[2026-01-01,2027-12-31)")

    check_texts(life)
    check_changes(life)
    check_versions(life)
    check_sync(life, accounts[0])
    check_rest(life)


def check_texts(life):
    """Descriptions at the server's limit and above it, in characters of three and four bytes, are there as they were told."""
    cut = "\u20ac" * 200 + "\U0001f600" * 27 + "\u2026"
    found = life.query("SELECT DISTINCT description FROM killbill_item WHERE starts_with(details, 'billing:') AND description LIKE %(b)s", b="\u20ac" * 100 + "%")
    if {row[0] for row in found} != {cut, cut[:200] + "\u20ac" + "\U0001f600" * 27}:
        raise Failure(f"long descriptions: {found}")
    for value, refused in (("\u20ac" * 255, False), ("\u20ac" * 256, True), ("\U0001f600" * 127, False), ("\U0001f600" * 128, True)):
        try:
            life.query("SELECT killbill_credit('kb', 'a3', 0.01, %(r)s)", r=value)
            if refused:
                raise Failure(f"a reason of {len(value)} characters was taken")
        except psycopg2.errors.StringDataRightTruncation:
            if not refused:
                raise
    life.expect("descriptions cut at 255 characters as the server counts them")


def check_changes(life):
    """Accounts and subscriptions that are there already are renamed, paused, resumed, ended inside a month and closed; answers get lost, the worker is killed."""
    changing = [f"q{n}" for n in range(8)]
    life.begin()
    for account in changing:
        life.query("SELECT set_account(%(a)s, currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Life/DEFAULT/EUR', starts_on => '2026-03-01', legal_name => 'Before', "
                   "address => '{\"line_1\": \"Old Lane 1\", \"city\": \"Bonn\"}')", a=account)
        life.query("SELECT killbill_mirror_account('kb', %(a)s), killbill_subscribe('kb', %(a)s, 'server', '2026-03-01', %(a)s || '-server'), killbill_subscribe('kb', %(a)s, 'backup', '2026-03-01', %(a)s || '-backup', bundle_key => %(a)s || '-server')", a=account)
    life.expect("accounts that will change mirrored", kills=2)
    there = lambda account: ask(life.url, life.key, "/accounts?externalKey=" + account)
    subscription = lambda key: ask(life.url, life.key, "/subscriptions?externalKey=" + key)

    # renamed: a name as long as the server takes, in characters of several bytes
    life.begin()
    for number, account in enumerate(changing):
        life.query("SELECT set_account(%(a)s, legal_name => %(n)s, address => '{\"line_1\": \"New Street 2\", \"city\": \"Köln\"}')", a=account, n="€" * 100 if number else "After")
        life.query("SELECT killbill_mirror_account('kb', %(a)s)", a=account)
    life.expect("", kills=3)
    for number, account in enumerate(changing):
        found = there(account)
        if (found["name"], found["address1"], found["city"], found["externalKey"]) != ("€" * 100 if number else "After", "New Street 2", "Köln", account):
            raise Failure(f"renamed: {found}")
    print("ok accounts renamed, with an address", flush=True)

    # below its threshold an account is paused on the server; with credit it runs again
    life.begin()
    for account in changing[:3]:
        life.query("SELECT killbill_set_threshold('kb', %(a)s, 5, 'suspend'), killbill_pull_invoices('kb', %(a)s)", a=account)
    life.expect("")
    life.begin()
    for account in changing[:3]:
        life.query("SELECT killbill_dry_run('kb', %(a)s)", a=account)
    life.expect("", kills=3)
    states = {subscription(account + part)["state"] for account in changing[:3] for part in ("-server", "-backup")}
    if states != {"BLOCKED"} or life.query("SELECT count(*) FROM killbill_subscription WHERE state = 'paused'") != [(6,)]:
        raise Failure(f"paused: {states} {life.query('SELECT external_key, state FROM killbill_subscription ORDER BY 1')}")
    try:
        life.query("SELECT killbill_subscribe('kb', 'q0', 'server', '2026-03-01', 'q0-more')")
        raise Failure("an order below the threshold was taken")
    except psycopg2.errors.ConfigurationLimitExceeded:
        pass
    life.clock("2026-03-10 12:00Z")
    life.expect("")
    life.begin()
    for account in changing[:3]:
        life.query("SELECT killbill_credit('kb', %(a)s, 1000, 'top-up'), killbill_pull_invoices('kb', %(a)s), killbill_dry_run('kb', %(a)s)", a=account)
    life.expect("", kills=3)
    states = {subscription(account + part)["state"] for account in changing[:3] for part in ("-server", "-backup")}
    if states != {"ACTIVE"}:
        raise Failure(f"resumed: {states}")
    print("ok subscriptions paused below a threshold and resumed with credit", flush=True)

    # usage before, in and after the pause, of which what lies in it is told to nobody; and of an account that is closed in the middle of its month
    life.begin()
    for account in ("q0", "q1", "q5"):
        for day in (1, 5, 9, 10, 15):
            life.use(account, "server/traffic/gb", f"2026-03-{day:02}", 17)
    told = life.query("SELECT outcome, sum(amount) FROM killbill_push_usage('kb', through => '2026-03-16') WHERE external_key LIKE 'q%%' AND outcome = 'nowhere' GROUP BY 1", at=1)
    if told != [("nowhere", 2 * 3 * 17)]:
        raise Failure(f"usage in a pause: {told}")
    life.expect("", kills=2)

    # ended inside a month: an add-on alone, a base subscription with its add-on; an account closed, which is billed to the end of the month it was billed for
    life.begin()
    life.query("SELECT killbill_cancel('kb', 'q3-backup', '2026-03-14'), killbill_cancel('kb', 'q4-server', '2026-03-20'), killbill_close_account('kb', 'q5'), killbill_close_account('kb', 'q6')")
    life.expect("", kills=3)
    life.clock("2026-04-01 12:00Z")
    life.expect("")
    wanted = {"q3-server": None, "q3-backup": "2026-03-14", "q4-server": "2026-03-20", "q4-backup": "2026-03-20", "q5-server": "2026-04-01", "q6-backup": "2026-04-01", "q7-server": None}
    found = {key: (subscription(key)["billingEndDate"] or "")[:10] or None for key in wanted}
    if found != wanted:
        raise Failure(f"ended: {found}")
    print("ok subscriptions ended inside a month, accounts closed", flush=True)
    # the closed one was billed for a day after its end, because that was told before: it is given back, though no invoice is made there any more
    told = life.query("SELECT outcome, amount FROM killbill_push_usage('kb', through => '2026-04-01') WHERE external_key = 'q5-server'", at=1)
    if [row[0] for row in told] != ["credit"]:
        raise Failure(f"usage after closing: {told}")
    life.expect("")
    life.query("SELECT killbill_pull_invoices('kb')")
    life.expect("")
    rows = life.query("SELECT account_key, subject, period_from, ours, theirs, reason FROM killbill_reconcile('kb', '[2026-03-01,2026-04-01)') WHERE account_key LIKE 'q%%'", at=1)
    if rows:
        raise Failure(f"after changes: {rows[:4]}")
    print("ok March reconciled, pauses and a closed account with usage included (0 differences)", flush=True)


def check_versions(life):
    """Another price inside a month, for accounts east and west of Greenwich; ends that were set later, here and there; usage that falls and rises again."""
    zones = {"r0": "UTC", "r1": "America/Los_Angeles", "r2": "UTC", "r3": "UTC", "r4": "Pacific/Auckland"}
    life.begin()
    for account, zone in zones.items():
        life.query("SELECT set_account(%(a)s, currency => 'EUR', time_zone => %(z)s, cycle_day => 1, price_list => 'Life/DEFAULT/EUR', starts_on => '2026-04-01')", a=account, z=zone)
        life.query("SELECT killbill_mirror_account('kb', %(a)s), killbill_subscribe('kb', %(a)s, 'server', '2026-04-01', %(a)s || '-server')", a=account)
    life.expect("")
    dearer = CATALOG.replace("2025-01-01T00:00:00+00:00", "2026-04-11T00:00:00+00:00").replace("<value>9.00</value>", "<value>12.00</value>").replace("<value>0.50</value>", "<value>0.90</value>")
    dearer = dearer.replace("<product>Server</product><final", "<effectiveDateForExistingSubscriptions>2026-04-11T00:00:00+00:00</effectiveDateForExistingSubscriptions><product>Server</product><final")
    send(life.url, life.key, "POST", "/catalog/xml", dearer, "text/xml")
    life.query("SELECT killbill_pull_catalog('kb', applies_to => 'open')")
    life.expect("")
    life.begin()
    used = {}
    for account in zones:
        for day in (2, 5, 9, 10, 11, 12, 20, 28):
            used[account, day] = life.use(account, "server/traffic/gb", f"2026-04-{day:02}", CHANCE.randint(1, 40))
        used[account, "peak"] = life.use(account, "server/line/peak", "2026-04-12", 600)
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-05-01')")
    life.expect("", kills=2)
    life.clock("2026-04-20 12:00Z")
    life.expect("")
    send(life.url, life.key, "DELETE", f"/subscriptions/{life.query('SELECT killbill_id FROM killbill_subscription WHERE external_key = %(k)s', k='r3-server')[0][0]}?requestedDate=2026-04-13&useRequestedDateForBilling=true&callCompletion=true&callTimeoutSec=20")
    life.query("SELECT killbill_cancel('kb', 'r2-server', '2026-04-15')")
    life.expect("")
    life.use("r3", "server/traffic/gb", "2026-04-06", 33)
    life.use("r3", "server/traffic/gb", "2026-04-22", 44)
    for _ in range(2):
        life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-05-01')")
        life.expect("", kills=1)
    if life.query("SELECT state, ends_on::text FROM killbill_subscription WHERE external_key = 'r3-server'") != [("cancelled", "2026-04-13")]:
        raise Failure(f"an end that was not from here: {life.query('SELECT external_key, state, ends_on FROM killbill_subscription WHERE external_key = %(k)s', k='r3-server')}")
    life.clock("2026-05-01 12:00Z")
    life.expect("")
    life.reconciled("a new price inside April, west and east of Greenwich, and backdated ends", "[2026-04-01,2026-05-01)")
    life.begin()
    life.query("SELECT correct_usage('r0', %(p)s, 5), correct_usage('r0', %(u)s, 0)", p=used["r0", "peak"], u=used["r0", 20])
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-05-03')")
    life.expect("")
    life.use("r0", "server/line/peak", "2026-04-13", 50)
    life.use("r0", "server/traffic/gb", "2026-04-13", 7)
    life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-05-03')")
    if life.query("SELECT count(*) FROM killbill_push_usage('kb', through => '2026-05-03') WHERE outcome IN ('usage', 'credit', 'charge')") != [(0,)]:
        raise Failure("told again and again")
    life.expect("")
    life.reconciled("usage that fell and rose again in a closed month", "[2026-04-01,2026-05-01)")


def check_sync(life, account):
    """Option sync_every alone has usage told and invoices read.  It counts by the real date, whatever the clock of the server says."""
    life.query("CALL maintain_partitions(daterange((current_date - 40), (current_date + 40)))")
    read_at = life.query("SELECT max(read_at) FROM killbill_account")[0][0]
    life.use(account, "server/traffic/gb", life.query("SELECT current_date::text")[0][0], 7)
    life.query("ALTER SERVER kb OPTIONS (ADD sync_every '1s')")
    life.wait(lambda: life.query("SELECT count(*) FROM message AS m JOIN killbill_usage AS u USING (message_id) WHERE u.record_date = current_date AND m.state = 'delivered'")[0][0] == 1,
              "usage told by sync_every", 30)
    life.wait(lambda: life.query("SELECT min(read_at) > %(at)s FROM killbill_account", at=read_at)[0][0], "invoices read by sync_every", 30)
    life.query("ALTER SERVER kb OPTIONS (DROP sync_every)")
    life.expect("usage told and invoices read by sync_every alone")


def check_rest(life):
    """Accounts are never parked, and no external charge stands there twice."""
    parked = life.query("SELECT count(*) FROM killbill_account WHERE parked")[0][0]
    twice = life.query("""SELECT count(*) FROM (SELECT t.details, t.amount FROM killbill_item AS t JOIN killbill_invoice AS k USING (endpoint, invoice_id)
                          WHERE starts_with(t.details, 'billing:') AND abs(t.amount) <> 999999 AND k.status <> 'VOID' GROUP BY t.details, t.amount HAVING count(*) > 1) AS d""")[0][0]
    # whole parts of 999999 are alike: these add up
    wrong = life.query("""SELECT count(*) FROM killbill_adjustment AS a WHERE a.amount <> (SELECT sum(t.amount) FROM killbill_item AS t JOIN killbill_invoice AS k USING (endpoint, invoice_id)
                           WHERE t.details = a.reference || 'adjustment:' || a.adjustment_id AND k.status = 'COMMITTED')""")[0][0]
    if parked or twice or wrong:
        raise Failure(f"{parked} accounts parked, {twice} items there twice, {wrong} credits and charges of another amount")
    print(f"ok no account parked, nothing there twice ({life.gate.entered} requests, {life.gate.kills} kills, {life.gate.losses} answers lost)", flush=True)


def main():
    try:
        play(Life(os.environ["KILLBILL_URL"]))
    except (Failure, AssertionError, psycopg2.Error) as problem:
        print(f"not ok life of accounts - {' '.join(str(problem).split())[:800]}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
