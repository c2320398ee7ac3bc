"""The ledger as the tests of allocation use it."""

import json
import os

import psycopg2


class Ledger:
    def __init__(self, database=None, create=True):
        self.connection = psycopg2.connect(dbname=database or os.environ["PGDATABASE"])
        self.rows("SET client_min_messages = warning; SET timezone = 'UTC'")
        if create:
            self.rows("CREATE EXTENSION billing CASCADE; CALL billing.create_ledger()")
        self.rows("SET search_path = billing, public")
        self.connection.commit()

    def rows(self, query, *arguments):
        with self.connection.cursor() as cursor:
            cursor.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def set_rules(self, scheme, rules):
        """All rules of a scheme, in one statement."""
        self.rows("""SELECT billing.set_allocation_rule(%s, r ->> 'key', (r ->> 'place')::int, r -> 'action', r -> 'condition', r ->> 'from_target', ARRAY(SELECT jsonb_array_elements_text(r -> 'pools')),
                                                        (r ->> 'valid_from')::date, (r ->> 'valid_to')::date) FROM jsonb_array_elements(%s) AS r""", scheme, json.dumps(rules))

    def shares(self, period=None):
        """{scheme: {(rule, outcome, cost center, currency): amounts}}."""
        found = {}
        for scheme, *key, billed, effective, listed, contracted in self.rows("""
                SELECT scheme, rule, outcome, cost_center, currency, sum(billed), sum(effective), sum(list), sum(contracted) FROM billing.cost_shares
                 WHERE period = coalesce(%s::daterange, period) GROUP BY 1, 2, 3, 4, 5""", period):
            found.setdefault(scheme, {})[tuple(key)] = [billed, effective, listed, contracted]
        return found


def differences(expected, found, shown=lambda amounts: [str(a) for a in amounts]):
    return [f"{key}: {shown(expected.get(key, ''))}, the ledger says {shown(found.get(key, ''))}" for key in sorted(set(expected) | set(found), key=str) if expected.get(key) != found.get(key)]


def report(name, problems):
    for problem in problems[:5]:
        print(f"    {problem}")
    print(f"not ok {name} - {len(problems)} differences, the first: {problems[0]}" if problems else f"ok {name}", flush=True)
