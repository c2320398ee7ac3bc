"""What test/bench/run measures, once its server runs: see there.  --settings prints the settings the server is to be started with."""
import glob
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from decimal import Decimal

import cost

SMALL = "--small" in sys.argv
HERE = os.path.dirname(os.path.abspath(__file__))

# What a database administrator would choose for two cores and 24 GB that serve nothing else.
SETTINGS = {
    "shared_buffers": "256MB" if SMALL else "4GB",
    "effective_cache_size": "1GB" if SMALL else "16GB",
    "work_mem": "128MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "lz4",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
}

AMOUNTS = 200_000 if SMALL else 5_000_000
ACCOUNTS = 3_000 if SMALL else 100_000
USAGE = 200_000 if SMALL else 10_000_000
BATCH = 50_000 if SMALL else 250_000
CALL_SECONDS = 5 if SMALL else 20
LATE = 50 if SMALL else 1_000
COST = 20_160 if SMALL else 1_000_080
PROCESSORS = 2

FOUR_TIERS = [("1000", "0.01"), ("5000", "0.008"), ("20000", "0.005"), (None, "0.002")]
TEN_TIERS = [("100", "0"), ("250", "0.0085"), ("500", "0.0078"), ("1000", "0.0071"), ("2000", "0.0064"), ("3500", "0.0057"),
             ("5500", "0.005"), ("8000", "0.0043"), ("12000", "0.0036"), (None, "0.001")]

results = []
failed = False


def result(name, goal, measured, met=None):
    """One line of the table; met: whether the goal is met, None without a goal."""
    results.append((name, goal, measured, "" if met is None else "met" if met else "missed"))
    print(f"{name}: {measured}", flush=True)


def check(name, differences):
    """One line of the test: a result that another program finds too."""
    global failed
    if differences:
        failed = True
        print(f"not ok {name} - {differences}", flush=True)
    else:
        print(f"ok {name}", flush=True)


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def graduated(tiers):
    """The text of a graduated tariff."""
    parts = [f'{{"unit_price": "{price}"}}' if up_to is None else f'{{"up_to": "{up_to}", "unit_price": "{price}"}}' for up_to, price in tiers]
    return '{"model": "graduated", "currency": "EUR", "tiers": [' + ", ".join(parts) + "]}"


def psql(database, file, **variables):
    arguments = [argument for name, value in variables.items() for argument in ("-v", f"{name}={value}")]
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, *arguments, "-f", os.path.join(HERE, file)],
                   check=True, stdout=subprocess.DEVNULL)


class Database:
    """A connection in which each statement is a transaction, and the time it takes."""

    def __init__(self, name):
        import psycopg2
        self.connection = psycopg2.connect(dbname=name)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def rows(self, statement, *arguments):
        self.cursor.execute(statement, arguments or None)
        return self.cursor.fetchall() if self.cursor.description else None

    def value(self, statement, *arguments):
        return self.rows(statement, *arguments)[0][0]

    def seconds(self, statement, *arguments):
        started = time.perf_counter()
        self.rows(statement, *arguments)
        return time.perf_counter() - started


def best_of(times, *actions):
    """The shortest time of each action; they take turns, so that all meet the same disturbances."""
    return [min(column) for column in zip(*[[action() for action in actions] for turn in range(times)])]


# ---------------------------------------------------------------- amounts and tariffs


def measure_amounts():
    say(f"amounts and tariffs: {AMOUNTS} rows")
    subprocess.run(["createdb", "bench_amounts"], check=True)
    psql("bench_amounts", "amounts.sql", rows=AMOUNTS)
    database = Database("bench_amounts")
    database.rows("SET max_parallel_workers_per_gather = 0")
    for columns, name in ((["billed"], "one column"), (["billed", "effective", "list", "contracted"], "four columns")):
        sums = ", ".join(f"sum({column})" for column in columns)
        numeric, monetary, scan = best_of(5, *[lambda query=query: database.seconds(query) for query in (
            f"SELECT {sums} FROM public.cost_numeric", f"SELECT {sums} FROM public.cost_monetary", "SELECT count(*) FROM public.cost_monetary")])
        result(f"sum(monetary), {name}", ">= 1.8 x sum(numeric)", f"{numeric / monetary:.2f} x ({numeric:.2f} s, {monetary:.2f} s)", numeric / monetary >= 1.8)
        # Reading the rows is most of a query with one sum, and nobody's addition makes that shorter.
        result("... without the reading of rows", "", f"{(numeric - scan) / (monetary - scan):.2f} x (count(*) {scan:.2f} s: the whole query at most {numeric / scan:.2f} x)")
    per_unit = '{"model": "per_unit", "currency": "EUR", "unit_price": "0.0125"}'
    for name, tariff, goal in (("per unit", per_unit, 10), ("ten graduated tiers", graduated(TEN_TIERS), 5)):
        numeric, rated = best_of(5, lambda: database.seconds("SELECT sum(quantity * 0.0125) FROM public.consumption"),
                                 lambda: database.seconds("SELECT sum(rate(%s::tariff, quantity)) FROM public.consumption", tariff))
        speed = AMOUNTS / rated / 1e6
        result(f"sum(rate()), {name}", f">= {goal} M rows/s a core", f"{speed:.1f} M rows/s, {numeric / rated:.2f} x sum(quantity * price) of numeric", speed >= goal)


# ---------------------------------------------------------------- recording


def measure_calls():
    """Single calls on 16 connections, durable, beside single inserts into a table without indexes."""
    say(f"single calls on 16 connections, {CALL_SECONDS} s")
    subprocess.run(["createdb", "bench_calls"], check=True)
    psql("bench_calls", "catalog.sql", accounts=1000, four_tiers=graduated(FOUR_TIERS), ten_tiers=graduated(TEN_TIERS))
    Database("bench_calls").rows("CREATE TABLE public.plain_usage (id text, account text, meter text, ends_at timestamptz, quantity numeric)")
    speeds = []
    for script in ("inserts.pgbench", "calls.pgbench"):
        output = subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", str(CALL_SECONDS), "-f", os.path.join(HERE, script), "bench_calls"],
                                check=True, capture_output=True, text=True).stdout
        speeds.append(float(re.search(r"tps = ([0-9.]+)", output)[1]))
    result("record_usage(), 16 connections, durable", ">= 8,000 /s", f"{speeds[1]:,.0f} /s, {speeds[1] / speeds[0]:.2f} x plain single inserts", speeds[1] >= 8000)


def write_file(database, first, last, name):
    """Usage number first to last in a file for COPY.  It comes in the order of time; account, meter and quantity are hashes of its number."""
    path = os.path.join(os.environ["BENCH_FILES"], name)
    database.rows(f"""COPY (
        SELECT 'usage-' || n, 'account-' || to_char(1 + x.a %% {ACCOUNTS}, 'FM000000'), CASE x.b %% 2 WHEN 0 THEN 'requests' ELSE 'seconds' END,
               timestamptz '2026-10-01 00:00:00+00' + interval '1 millisecond' * (n * (30 * 86400000::bigint) / {USAGE} %% (30 * 86400000::bigint)), (1 + x.b / 2 %% 2000)::numeric / 8
          FROM generate_series({first}, {last}) AS n
         CROSS JOIN LATERAL (SELECT abs(hashint8extended(n, 1)) AS a, abs(hashint8extended(n, 2)) AS b) AS x) TO '{path}'""".replace("%%", "%"))
    return path


def load(database, path):
    """One batch, recorded and committed: (seconds, outcomes)"""
    started = time.perf_counter()
    database.rows("BEGIN")
    database.rows("SELECT billing.open_usage_batch()")
    database.rows(f"COPY usage_batch (id, account, meter, ends_at, quantity) FROM '{path}'")
    outcomes = database.rows("SELECT accepted, duplicate, conflict, rejected FROM billing.load_usage_batch()")[0]
    database.rows("COMMIT")
    return time.perf_counter() - started, outcomes


def measure_batches(database):
    """Usage of the month in batches, each also copied into a table without indexes."""
    say(f"{USAGE} rows in batches of {BATCH}")
    database.rows("CREATE TABLE public.plain_usage (id text, account text, meter text, ends_at timestamptz, quantity numeric)")
    plain = batch = 0
    accepted = 0
    beginning = None      # (COPY, batches) of the first million rows: indexes are small yet
    for first in range(1, USAGE, BATCH):
        path = write_file(database, first, first + BATCH - 1, f"usage_{first:09d}")
        plain += database.seconds(f"COPY public.plain_usage FROM '{path}'")
        seconds, outcomes = load(database, path)
        batch += seconds
        accepted += outcomes[0]
        if accepted == 1_000_000:
            beginning = (plain, batch)
    check("every row is accepted", "" if accepted == USAGE else f"{accepted} of {USAGE}")
    again, outcomes = load(database, path)
    check("the same batch again is all duplicates", "" if outcomes == (0, BATCH, 0, 0) else str(outcomes))
    if beginning:
        first_plain, first_batch = beginning
        result("batch ingest with dedupe, first million", ">= 120,000 rows/s, >= 0.12 x", f"{1e6 / first_batch:,.0f} rows/s, {first_plain / first_batch:.3f} x COPY",
               1e6 / first_batch >= 120_000 and first_plain / first_batch >= 0.12)
    result("batch ingest with dedupe, all, beside COPY", ">= 0.12 x (aim 0.2)", f"{plain / batch:.3f} x", plain / batch >= 0.12)
    result("batch ingest with dedupe, all", ">= 120,000 rows/s", f"{USAGE / batch:,.0f} rows/s (COPY {USAGE / plain:,.0f}; the same rows again {BATCH / again:,.0f})", USAGE / batch >= 120_000)
    database.rows("DROP TABLE public.plain_usage")
    database.rows("VACUUM (ANALYZE) billing.usage, billing.usage_key")
    size = database.value("""SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
                              WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^usage(_key)?_[0-9]'""")
    result("bytes a usage row, with indexes and keys", "<= 300", f"{size / USAGE:.0f}", size / USAGE <= 300)


# ---------------------------------------------------------------- the billing run


class MemoryWatch(threading.Thread):
    """Greatest memory of a backend and of its parallel workers while they run: memory of their own, shared buffers left out."""

    def __init__(self, database):
        super().__init__(daemon=True)
        self.backend = database.connection.get_backend_pid()
        self.ended = threading.Event()
        self.peak = self.peak_together = self.workers = 0

    @staticmethod
    def own_memory(process):
        try:
            with open(f"/proc/{process}/status") as status:
                return 1024 * int(re.search(r"RssAnon:\s+(\d+)", status.read())[1])
        except (OSError, TypeError):
            return 0

    def run(self):
        watching = Database("bench_run")
        while not self.ended.wait(0.05):
            workers = [row[0] for row in watching.rows("SELECT pid FROM pg_stat_activity WHERE leader_pid = %s", self.backend)]
            memory = [self.own_memory(process) for process in [self.backend, *workers]]
            self.peak = max(self.peak, *memory)
            self.peak_together = max(self.peak_together, sum(memory))
            self.workers = max(self.workers, len(workers))

    def stop(self):
        self.ended.set()
        self.join()


def invoke_run(database):
    """One billing run: (seconds, {step: seconds})"""
    database.connection.notices.clear()
    database.rows("SET client_min_messages = debug1")
    seconds = database.seconds("CALL billing.run_invoicing('2026-11-01', NULL)")
    database.rows("SET client_min_messages = warning")
    steps = {}
    for notice in database.connection.notices:
        found = re.match(r"DEBUG:  (\w+): (\d+) rows in (\d+):(\d+):([\d.]+)", notice)
        if found:
            steps[found[1]] = steps.get(found[1], 0) + 3600 * int(found[3]) + 60 * int(found[4]) + float(found[5])
    return seconds, steps


def measure_yardstick(database):
    """The pass over usage and the tier arithmetic of the run just made, once more and beside DuckDB and count(*)."""
    known_at = "(SELECT s.last_known_at FROM billing.ledger_state AS s)"
    texts = database.rows(f"""SELECT billing.fill_usage(billing.rating_step('rated_quantity_pass'), {known_at}, NULL, min(c.from_at), max(c.to_at), 'due'),
                                     billing.fill_in(billing.rating_step('rated_amount'), {known_at}, NULL) FROM billing.rated_contract AS c""")[0]
    actions = [lambda: database.seconds("SELECT count(*) FROM billing.usage"), *[lambda text=text: time_of_table(database, text) for text in texts]]
    names = ["count(*)", "pass", "tiers"]
    duckdb = yardstick()
    if duckdb is not None:
        actions.append(duckdb.seconds)
        names.append("DuckDB")
    found = dict(zip(names, best_of(5, *actions)))
    ours = found["pass"] + found["tiers"]
    result("pass over usage and tier arithmetic", "", f"{found['pass']:.2f} s + {found['tiers']:.2f} s")
    result("... beside a bare parallel count(*)", "", f"{ours / found['count(*)']:.2f} x ({found['count(*)']:.2f} s)")
    if duckdb is None:
        return
    result("... beside DuckDB", "<= 8 x (aim 5)", f"{ours / found['DuckDB']:.1f} x ({found['DuckDB']:.3f} s)", ours / found["DuckDB"] <= 8)
    lines = database.rows("SELECT count(*), sum(billing.amount(d.amount)), sum(d.quantity) FROM billing.draft_line AS d")[0]
    theirs = duckdb.totals()
    check("drafts are what DuckDB computes", "" if lines == theirs else f"{lines}, DuckDB {theirs}")


def time_of_table(database, query):
    """As the run makes it: the result of a step, written into an unlogged table."""
    database.rows("SET search_path = pg_catalog, billing")
    seconds = database.seconds(f"CREATE UNLOGGED TABLE public.step AS {query}")
    database.rows("DROP TABLE public.step")
    return seconds


def yardstick():
    try:
        import duckdb
    except ImportError:
        return None
    return Yardstick(duckdb.connect())


class Yardstick:
    """DuckDB with the same usage in memory, accounts and meters as integers; amounts in exact decimals."""

    def __init__(self, connection):
        self.connection = connection
        connection.execute(f"SET threads = {PROCESSORS}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"""
            CREATE TABLE usage AS
            SELECT CAST(substr(account, 9) AS bigint) AS account_id, CASE meter WHEN 'requests' THEN 1 ELSE 2 END::integer AS meter_id, ends_at, quantity
              FROM read_csv('{os.environ["BENCH_FILES"]}/usage_*', delim = '\\t', header = false,
                            columns = {{'id': 'varchar', 'account': 'varchar', 'meter': 'varchar', 'ends_at': 'timestamptz', 'quantity': 'decimal(18,3)'}})""")
        self.query = f"""
            CREATE OR REPLACE TEMP TABLE amount AS
            SELECT account_id, meter_id, quantity, CASE meter_id WHEN 1 THEN {self.formula(FOUR_TIERS)} ELSE {self.formula(TEN_TIERS)} END AS amount
              FROM (SELECT account_id, meter_id, sum(quantity)::decimal(18,3) AS quantity FROM usage
                     WHERE ends_at >= '2026-09-30 22:00:00+00' AND ends_at < '2026-11-01 00:00:00+00' GROUP BY ALL)"""

    @staticmethod
    def formula(tiers):
        borders = ["0"] + [up_to for up_to, price in tiers if up_to is not None] + ["99999999999"]
        return " + ".join(f"greatest(0, least(quantity, {until}::decimal(18,3)) - {begin}::decimal(18,3))::decimal(18,3) * {price}::decimal(12,6)"
                          for begin, until, (up_to, price) in zip(borders, borders[1:], tiers))

    def seconds(self):
        started = time.perf_counter()
        self.connection.execute(self.query).fetchall()
        return time.perf_counter() - started

    def totals(self):
        return self.connection.execute("SELECT count(*), sum(round(amount, 2)), sum(quantity) FROM amount").fetchone()


def measure_preview(database, when):
    """Median of twenty accounts, after three that warm the session up."""
    accounts = [f"account-{1 + 7919 * number % ACCOUNTS:06d}" for number in range(23)]
    times = [database.seconds("SELECT * FROM billing.preview_invoice(%s, '2026-11-01')", account) for account in accounts]
    median = 1000 * statistics.median(times[3:])
    result(f"preview_invoice(), {when}", "< 20 ms", f"{median:.1f} ms (first of the session {1000 * times[0]:.0f} ms)", median < 20)


def measure_run():
    say(f"ledger with {ACCOUNTS} accounts")
    subprocess.run(["createdb", "bench_run"], check=True)
    psql("bench_run", "catalog.sql", accounts=ACCOUNTS, four_tiers=graduated(FOUR_TIERS), ten_tiers=graduated(TEN_TIERS))
    database = Database("bench_run")
    measure_batches(database)
    measure_preview(database, "nothing billed yet")
    say("first run")
    watch = MemoryWatch(database)
    watch.start()
    first, steps = invoke_run(database)
    watch.stop()
    counting = sum(seconds for step, seconds in steps.items() if step.startswith("rated_quantity") or step == "rated_amount")
    result("first run, whole", "", f"{first:.1f} s for {USAGE:,} rows of {ACCOUNTS:,} accounts")
    result("... steps of it that read usage and rate it", "", f"{counting:.2f} s")
    for step, seconds in steps.items():
        print(f"    {step:24s} {seconds:6.2f} s", flush=True)
    result("... memory of the greatest process, of all together", "stated", f"{watch.peak / 2**20:.0f} MB, {watch.peak_together / 2**20:.0f} MB with {watch.workers} workers")
    measure_yardstick(database)
    measure_preview(database, "drafted")
    measure_later_runs(database, first)


def measure_later_runs(database, first):
    say("making final, and later runs")
    seconds = database.seconds("SELECT count(*) FROM billing.finalize_invoices('2026-11-01', '2026-11-30')")
    lines = database.value("SELECT count(*) FROM billing.line")
    result("finalize_invoices()", "", f"{seconds:.1f} s for {lines:,} lines of {ACCOUNTS:,} invoices")
    for table in ("line", "invoice", "charge_key", "charge_period", "draft_line"):
        database.rows(f"VACUUM (ANALYZE) billing.{table}")
    again = min(invoke_run(database)[0] for turn in range(3))
    result("second run, nothing new", "< 2 % of the first", f"{100 * again / first:.2f} % ({again:.3f} s)", again < 0.02 * first)
    load(database, write_file(database, USAGE + 1, USAGE + LATE, "late"))
    late, steps = invoke_run(database)
    drafts = database.value("SELECT count(*) FROM billing.draft_line")
    result(f"run after {LATE:,} late rows", "", f"{late:.2f} s, {drafts:,} corrections")
    check("late rows are corrections of their charges", "" if 0 < drafts <= LATE else f"{drafts} drafts")
    seconds = database.seconds("SELECT count(*) FROM billing.finalize_invoices('2026-11-01', '2026-11-30')")
    result("... made final", "", f"{seconds:.2f} s")
    measure_preview(database, "billed, with corrections")


def print_table():
    rows = [("what", "goal", "measured", ""), *results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    print()
    for number, row in enumerate(rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def main():
    if "--settings" in sys.argv:
        print("\n".join(f"{name}={value}" for name, value in SETTINGS.items()))
        return 0
    print("settings: " + ", ".join(f"{name} = {value}" for name, value in SETTINGS.items()))
    print(f"{Database('postgres').value('SELECT version()')}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    started = time.perf_counter()
    measure_amounts()
    measure_calls()
    measure_run()
    cost.measure_cost(COST, Database, psql, result, check, say, best_of)
    print_table()
    print(f"\nload {os.getloadavg()[0]:.1f} at the end, {time.perf_counter() - started:.0f} s" + (", sizes too small to say anything about speed" if SMALL else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
