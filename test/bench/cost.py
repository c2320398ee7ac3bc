"""Cost beside DuckDB: a month of cost is imported and divided by 200 rules, and DuckDB does the same joins over the same rows, on one core each."""

import os
import subprocess
import time
import typing

PERIOD = "[2026-10-01,2026-11-01)"


def measure_cost(rows, Database, psql, result, check, say, best_of):
    say(f"cost: {rows} rows, 200 rules")
    subprocess.run(["createdb", "bench_cost"], check=True)
    psql("bench_cost", "cost.sql", rows=rows)
    database = Database("bench_cost")
    database.rows("SET max_parallel_workers_per_gather = 0")
    seconds = database.seconds(f"SELECT * FROM billing.import_focus('public.staged', 'provider', '{PERIOD}')")
    delivered = database.value("SELECT delivered FROM billing.cost_loads")
    result("import_focus()", "<= 0.1 ms a row", f"{1000 * seconds / delivered:.3f} ms a row ({seconds:.1f} s)", seconds / delivered <= 0.0001)
    database.rows("VACUUM ANALYZE billing.cost")
    backend = database.value("SELECT pg_backend_pid()")
    allocate = lambda: spent(backend, lambda: database.rows(f"CALL billing.allocate('{PERIOD}')"))
    try:
        import duckdb
    except ImportError:
        result("allocate(), 200 rules", "< 30 s", f"{best_of(3, allocate)[0].clock:.2f} s")
        return
    yardstick = Yardstick(duckdb.connect(), database)
    ours, theirs = best_of(3, allocate, lambda: spent(os.getpid(), yardstick.divide))
    result("allocate(), 200 rules, one core", "< 30 s", f"{ours.clock:.2f} s for {delivered} rows", ours.clock < 30)
    # Time of the processor, of which others on the machine take less away than of the clock.
    result("... beside DuckDB, the same joins", "<= 5 x", f"{ours.processor / theirs.processor:.1f} x ({ours.processor:.2f} s, {theirs.processor:.2f} s of a processor; by the clock {ours.clock / theirs.clock:.1f} x)",
           ours.processor <= 5 * theirs.processor)
    found = dict(database.rows("SELECT coalesce(cost_center, ''), sum(billed)::float FROM billing.cost_shares GROUP BY 1"))
    other = yardstick.totals()
    far = sorted(target for target in found.keys() | other.keys() if abs(found.get(target, 0) - other.get(target, 0)) > 1e-6)
    check("cost is divided as DuckDB divides it", f"{far[0]!r}: {found.get(far[0])}, DuckDB {other.get(far[0])}" if far else "")


class Spent(typing.NamedTuple):
    """Seconds; the least is the one that needs least of a processor."""

    processor: float
    clock: float


def spent(process, action):
    """What an action takes of the process that does it."""
    def used():
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before, started = used(), time.perf_counter()
    action()
    return Spent(used() - before, time.perf_counter() - started)


def condition(rule):
    """A condition of a rule as SQL of DuckDB."""
    if not rule:
        return "true"
    for word, joint in (("and", " AND "), ("or", " OR ")):
        if word in rule:
            return "(" + joint.join(map(condition, rule[word])) + ")"
    if "not" in rule:
        return f"(NOT {condition(rule['not'])})"
    value = {"team": "team", "env": "env"}[rule["tag"]] if "tag" in rule else {"ServiceName": "service", "SubAccountId": "sub_account"}[rule["column"]]
    word, = set(rule) - {"tag", "column"}
    text = rule[word]
    return {"equals": lambda: f"coalesce({value} = '{text}', false)", "prefix": lambda: f"coalesce(starts_with({value}, '{text}'), false)",
            "regex": lambda: f"coalesce(regexp_matches({value}, '{text}'), false)", "in": lambda: f"coalesce({value} IN ({', '.join(repr(t) for t in text)}), false)"}[word]()


class Yardstick:
    """The same rows and rules in DuckDB: rows grouped by what rules look at as the ledger does, then cells by the first rule that holds, then each rule that splits or gives on, amounts of cells in exact decimals, parts in floating point."""

    AMOUNTS = ("billed", "effective", "list", "contracted")

    def __init__(self, connection, database):
        self.connection = connection
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        file = os.path.join(os.environ["BENCH_FILES"], "cost.csv")
        with open(file, "w", encoding="utf-8") as out:
            database.cursor.copy_expert("""COPY (SELECT c.window_id, c.charge_start, c.category, c.provider, c.service, c.sub_account, c.currency, c.tag_set_id, c.billed, c.effective, c.list, c.contracted,
                                                        c.attributes ->> 'CommitmentDiscountStatus' AS status FROM billing.cost AS c) TO STDOUT (FORMAT csv, HEADER)""", out)
        amounts = ", ".join(f"'{a}': 'decimal(38,12)'" for a in self.AMOUNTS)
        connection.execute(f"CREATE TABLE cost AS SELECT * FROM read_csv('{file}', header = true, types = {{'status': 'varchar', {amounts}}})")
        connection.execute("CREATE TABLE tag_set (tag_set_id integer, team varchar, env varchar)")
        connection.executemany("INSERT INTO tag_set VALUES (?, ?, ?)", database.rows("SELECT tag_set_id, tags ->> 'team', tags ->> 'env' FROM billing.tag_set"))
        self.rules = database.rows("SELECT rule, condition, from_target, action, pools FROM billing.allocation_rules ORDER BY place, rule")

    def divide(self):
        run = self.connection.execute
        taking = [(number, rule) for number, rule in enumerate(self.rules) if rule[2] is None]
        first = " ".join(f"WHEN pool IN ({', '.join(repr(p) for p in rule[4])}) AND {condition(rule[1])} THEN {number}" for number, rule in taking)
        target = " ".join(f"WHEN {number} THEN '{rule[3]['target']}'" for number, rule in taking if "target" in rule[3])
        splits = [number for number, rule in taking if "split" in rule[3]]
        run(f"""CREATE OR REPLACE TEMP TABLE share AS
            SELECT CASE WHEN rule IN ({', '.join(map(str, splits))}) THEN 'pool' WHEN target IS NULL THEN 'unallocated' ELSE 'direct' END AS outcome, * FROM (
                SELECT rule, CASE rule {target} END AS target, window_id, day, pool, category, provider, service, sub_account, currency, {', '.join(f'sum({a})::double AS {a}' for a in self.AMOUNTS)}
                  FROM (SELECT CASE {first} END AS rule, * FROM (
                            SELECT c.charge_start::date AS day, CASE WHEN category = 'Tax' THEN 'tax' WHEN category = 'Credit' THEN 'credit' WHEN status = 'Unused' THEN 'unused_commitment' ELSE 'cost' END AS pool, t.team, t.env,
                                   window_id, category, provider, service, sub_account, currency, {', '.join(f'sum({a}) AS {a}' for a in self.AMOUNTS)}
                              FROM cost AS c LEFT JOIN tag_set AS t USING (tag_set_id) GROUP BY ALL))
                 GROUP BY ALL)""")
        for number, (_, _, giver, action, _) in enumerate(self.rules):
            if giver is None and "split" not in action:
                continue
            if giver is not None:
                run("UPDATE share SET outcome = 'moved' WHERE outcome IN ('direct', 'shared') AND target = ?", [giver])
            taken = f"outcome = 'pool' AND rule = {number}" if giver is None else f"outcome = 'moved' AND target = '{giver}'"
            run(f"""INSERT INTO share SELECT CASE WHEN f.target IS NULL THEN 'unallocated' ELSE 'shared' END, {number}, f.target, s.window_id, s.day, s.pool, s.category, s.provider, s.service, s.sub_account, s.currency,
                           {', '.join(f's.{a} * coalesce(f.part, 1)' for a in self.AMOUNTS)}
                      FROM share AS s LEFT JOIN ({self.fractions(action)}) AS f ON true WHERE {taken.replace('outcome', 's.outcome').replace('target', 's.target').replace('rule', 's.rule')}""")

    @staticmethod
    def fractions(action):
        if action["split"] == "proportional":
            basis = action.get("basis", "effective")
            return f"SELECT target, sum({basis}) / sum(sum({basis})) OVER () AS part FROM share WHERE outcome = 'direct' GROUP BY target"
        weights = action.get("weights") or dict.fromkeys(action["targets"], 1)
        total = sum(map(float, weights.values()))
        return "SELECT * FROM (VALUES " + ", ".join(f"('{t}', {float(w) / total!r}::double)" for t, w in weights.items()) + ") AS v (target, part)"

    def totals(self):
        return dict(self.connection.execute("SELECT coalesce(target, ''), sum(billed) FROM share WHERE outcome IN ('direct', 'shared', 'unallocated') GROUP BY 1").fetchall())
