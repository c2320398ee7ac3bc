"""The ledger under test: its public functions, and what its tables say afterwards."""

import json
import os
from collections import defaultdict
from fractions import Fraction

import psycopg2

from oracle import Key, Watermark

SETTINGS = "-c synchronous_commit=off -c client_min_messages=error -c TimeZone=UTC -c jit=off -c search_path=public,billing -c lock_timeout=20s -c billing.seal_wait=0"


def connect(name, autocommit=False):
    connection = psycopg2.connect(dbname=name, options=SETTINGS)
    connection.autocommit = autocommit
    return connection


class Template:
    """A database with an empty ledger, from which each history gets a copy."""

    def __init__(self, attach=False):
        """attach: another process has made it."""
        self.base = os.environ.get("PGDATABASE", "postgres")
        self.name = f"{self.base}_property"
        self.admin = connect(self.base, autocommit=True)
        if not attach:
            self.make()

    def make(self):
        self.drop(self.name)
        self.execute(f'CREATE DATABASE "{self.name}"')
        connection = connect(self.name, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION billing CASCADE")
            cursor.execute(f'ALTER DATABASE "{self.name}" SET search_path = "$user", public, billing')
            cursor.execute("CALL billing.create_ledger()")
        connection.close()

    def execute(self, command):
        with self.admin.cursor() as cursor:
            cursor.execute(command)

    def drop(self, name):
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def copy(self, seed):
        name = f"{self.name}_{seed}"
        self.drop(name)
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.name}"')
        return Database(name)

    def close(self):
        self.drop(self.name)
        self.admin.close()


class Database:
    def __init__(self, name):
        self.name = name
        self.main = connect(name)
        self.runner = connect(name, autocommit=True)
        self.slow = None
        self.seen_decision = self.seen_advance = 0

    def open_slow(self):
        self.slow = connect(self.name)

    def close(self):
        for connection in (self.main, self.runner, self.slow):
            if connection:
                connection.close()

    # ---------------------------------------------------------------- calls

    def rows(self, query, *arguments, connection=None):
        with (connection or self.runner).cursor() as cursor:
            cursor.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []

    def command(self, text):
        with self.runner.cursor() as cursor:
            cursor.execute(text)

    def value(self, query, *arguments, connection=None):
        return self.rows(query, *arguments, connection=connection)[0][0]

    def record(self, query, *arguments, connection=None):
        """Calls a recording function in a transaction of its own; returns its rows and the stamp of its facts."""
        own = connection or self.main
        try:
            rows = self.rows(query, *arguments, connection=own)
            stamp = self.value("SELECT billing.own_stamp()", connection=own)
            if connection is None:
                own.commit()
            return rows, stamp
        except psycopg2.Error:
            own.rollback()
            raise

    def set(self, function, **arguments):
        """set_xyz(name => value, …); returns the stamp of its facts, None if it had none to write."""
        named = ", ".join(f"{name} => %s" for name in arguments)
        return self.record(f"SELECT billing.{function}({named})", *arguments.values())[1]

    def run(self, through):
        number = self.value("CALL billing.run_invoicing(%s, NULL)", through)
        known_at, state, failure = self.rows("SELECT known_at, state, failure FROM billing.run WHERE run_id = %s", number)[0]
        return number, Watermark(known_at), state, failure

    # ---------------------------------------------------------------- state

    def periods(self):
        found = defaultdict(list)
        for account, *row in self.rows("""
                SELECT a.key, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone, p.due_at
                  FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id)"""):
            found[account].append(tuple(row))
        return found

    def pins(self, column="closed_known_at"):
        return {(account, number): known_at for account, number, known_at in self.rows(f"""
                SELECT a.key, p.period_no, p.{column}
                  FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id) WHERE p.{column} IS NOT NULL""")}

    KEYS = """
        SELECT k.account_id, k.key_id, b.key, k.period_no, s.key, g.key, i.key, x.key, c.key, k.charge_group, k.component
          FROM billing.charge_key AS k
          JOIN billing.account AS b USING (account_id)
          JOIN billing.agreement AS g USING (agreement_id)
          JOIN billing.seller AS s USING (seller_id)
          JOIN billing.item AS i USING (item_id)
          JOIN billing.account AS c ON c.account_id = k.consumer_id
          LEFT JOIN billing.subscription AS x USING (subscription_id)"""

    def keys(self):
        """{(account_id, key_id): Key}"""
        return {(row[0], row[1]): Key(row[2], row[3], (row[2], row[4], row[5]), row[6], row[7], row[8],
                                      tuple(sorted(row[9].items())), row[10])
                for row in self.rows(self.KEYS)}

    def amounts(self, query, keys):
        return {keys[account, key]: Fraction(amount) for account, key, amount in self.rows(query)}

    def booked(self, keys):
        return self.amounts("SELECT account_id, key_id, sum(billing.amount(amount)) FROM billing.line GROUP BY 1, 2", keys)

    def drafts(self, keys):
        return self.amounts("SELECT account_id, key_id, billing.amount(amount) FROM billing.draft_line", keys)

    def stale_drafts(self, keys):
        return {keys[row] for row in self.rows("""
            SELECT d.account_id, d.key_id FROM billing.draft_line AS d
             WHERE d.chain_no <> 1 + (SELECT count(*) FROM billing.line AS l WHERE l.account_id = d.account_id AND l.key_id = d.key_id)""")}

    def held(self, keys):
        found = defaultdict(dict)
        for account, key, cause, amount in self.rows("SELECT account_id, key_id, cause, billing.amount(amount) FROM billing.held"):
            found[keys[account, key]][cause] = Fraction(amount)
        return found

    def ignored_since(self, keys):
        """[(key, cause, amount, stamp)] of the decisions that runs have written since the last call."""
        rows = self.rows("""SELECT decision_id, account_id, key_id, cause, billing.amount(amount), recorded_at
                              FROM billing.decision WHERE decision_id > %s AND kind = 'ignored' ORDER BY 1""", self.seen_decision)
        if rows:
            self.seen_decision = rows[-1][0]
        return [(keys[account, key], cause, Fraction(amount), stamp) for _, account, key, cause, amount, stamp in rows]

    def policy_advances_since(self):
        """[(stamp, cause, list, item, account, from, to, advance_to)] of the pins that runs have moved since the last call."""
        rows = self.rows("""SELECT x.advance_id, x.recorded_at, x.cause, l.key, i.key, a.key, lower(x.valid), upper(x.valid), x.advance_to
                              FROM billing.pin_advance AS x JOIN billing.account AS a USING (account_id)
                              LEFT JOIN billing.price_list AS l USING (list_id) LEFT JOIN billing.item AS i USING (item_id)
                             WHERE x.advance_id > %s AND x.reason = 'correction policy: bill' ORDER BY 1""", self.seen_advance)
        if rows:
            self.seen_advance = rows[-1][0]
        return [tuple(row[1:]) for row in rows]


def as_json(value):
    return json.dumps(value)
