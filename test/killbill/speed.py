"""Speed beside the real server: a month of usage of many accounts goes through the worker in at most 1.3 times what the same requests
take from a bare libcurl loop (loop.c) with the same concurrency in the same run, and no account is ever parked.

ACCOUNTS (1,000) and PARALLEL (8) may be given in the environment.  The loop's requests have the same form and size; their days lie
beyond what is ever billed.  It runs before and after the worker, because the server grows faster while it is warming up.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid

import psycopg2

from life import connect, make_tenant

ACCOUNTS = int(os.environ.get("ACCOUNTS", "1000"))
PARALLEL = int(os.environ.get("PARALLEL", "8"))
MOST = 1.3


def wait_until_done(ask, what, seconds=900):
    until = time.monotonic() + seconds
    while ask("SELECT 1 FROM message WHERE state NOT IN ('delivered', 'dead') LIMIT 1"):
        if time.monotonic() > until:
            raise RuntimeError(f"{what} not within {seconds} s")
        time.sleep(0.1)
    dead = ask("SELECT kind, reason FROM dead_letters LIMIT 1")
    if dead:
        raise RuntimeError(f"{what}: {dead[0]}")


REQUESTS = """
SELECT killbill_usage_body(s, m.payload || jsonb_build_object('tracking_id', gen_random_uuid(), 'records', (
           SELECT jsonb_agg(r || jsonb_build_object('day', (r ->> 'day')::date + 3653)) FROM jsonb_array_elements(m.payload -> 'records') AS r)), false, 'UTC')::text
  FROM message AS m JOIN killbill_subscription AS s ON s.endpoint = m.endpoint AND s.external_key = m.payload ->> 'external_key'
 WHERE m.kind = 'usage' ORDER BY m.message_id
"""


class Loop:
    def __init__(self, folder, url, key):
        self.program, self.url, self.key = os.path.join(folder, "loop"), url, key
        subprocess.run(["cc", "-O2", "-o", self.program, os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop.c"), "-lcurl"], check=True)

    def seconds(self, bodies):
        told = b"".join(f"POST /1.0/kb/usages {len(body.encode())}\n".encode() + body.encode() for body in bodies)
        said = subprocess.run([self.program, self.url, str(PARALLEL), "Authorization: Basic YWRtaW46cGFzc3dvcmQ=", f"X-Killbill-ApiKey: {self.key}", "X-Killbill-ApiSecret: s",
                               "X-Killbill-CreatedBy: test", "Content-Type: application/json", "Accept: application/json", "Expect:"], input=told, stdout=subprocess.PIPE, check=True).stdout.split()
        if int(said[1]) != len(bodies):
            raise RuntimeError(f"{said[2]} requests of the loop failed")
        return float(said[0])


def prepare(ask, url, key):
    ask("CREATE EXTENSION IF NOT EXISTS billing CASCADE")
    ask("CALL create_ledger()")
    ask(f"CREATE SERVER speed FOREIGN DATA WRAPPER billing_killbill OPTIONS (url '{url}', allow_http 'true', allow_private 'true', \"user\" 'admin', password_file 'password', "
        f"api_key '{key}', api_secret_file 'secret', test_clock 'true', max_parallel '{PARALLEL}')")
    ask("SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR')")
    ask("CALL maintain_partitions('[2025-12-01,2026-06-01)')")
    ask("SELECT killbill_pull_catalog('speed')")
    wait_until_done(ask, "the catalog")
    ask("SELECT set_account('a' || n, currency => 'EUR', time_zone => 'UTC', cycle_day => 1, price_list => 'Life/DEFAULT/EUR', starts_on => '2026-01-01') FROM generate_series(1, %s) AS n", ACCOUNTS)
    begun = time.monotonic()
    ask("SELECT killbill_mirror_account('speed', 'a' || n), killbill_subscribe('speed', 'a' || n, 'server', '2026-01-01', 's' || n) FROM generate_series(1, %s) AS n", ACCOUNTS)
    wait_until_done(ask, "the accounts")
    print(f"# {ACCOUNTS} accounts with a subscription mirrored: {time.monotonic() - begun:.1f} s; the server took, in the middle, " + ", ".join(
        f"{took} ms for a message of kind {kind}" for kind, took in ask("SELECT kind, round(1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - first_sent_at)))"
                                                                       " FROM message WHERE kind IN ('account', 'subscription') GROUP BY 1 ORDER BY 1")))
    ask("""SELECT count(*) FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', concat_ws('-', m, n, d), 'account', 'a' || n, 'meter', m,
                      'at', '2026-01-01T10:00:00Z'::timestamptz + make_interval(days => d), 'quantity', (1 + (n * 7 + d * 3) %% 11)::text))
             FROM generate_series(1, %s) AS n, generate_series(0, 30) AS d, unnest('{server/traffic/gb,server/traffic/core-hour}'::text[]) AS m))""", ACCOUNTS)


def compare(ask, folder, url, key):
    """The worker's time and the loop's; the messages are written before anything is measured, and the worker is let go."""
    ask("BEGIN")
    begun = time.monotonic()
    pushed = ask("SELECT count(*) FROM killbill_push_usage('speed', through => '2026-01-31')")[0][0]
    print(f"# {pushed} messages written in {time.monotonic() - begun:.1f} s")
    bodies = [row[0] for row in ask(REQUESTS)]
    loop = Loop(folder, url, key)
    loop.seconds(bodies[:300])
    again = [json.dumps({**json.loads(body), "trackingId": str(uuid.uuid4())}) for body in bodies]
    before = loop.seconds(again)
    begun = time.time()
    ask("COMMIT")
    wait_until_done(ask, "the usage")
    took = float(ask("SELECT extract(epoch FROM max(finished_at)) FROM message WHERE kind = 'usage'")[0][0]) - begun
    after = loop.seconds([json.dumps({**json.loads(body), "trackingId": str(uuid.uuid4())}) for body in bodies])
    processor = ask("SELECT pid FROM worker_status")[0][0]
    ticks = sum(int(n) for n in open(f"/proc/{processor}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[11:13])
    print(f"# {len(bodies)} requests of {len(bodies[0])} bytes, {PARALLEL} at once: loop {before:.2f} s, worker {took:.2f} s, loop {after:.2f} s; the worker's process has used {ticks / 100:.1f} s in all")
    return 2 * took / (before + after)


def check_bills(ask):
    ask("SELECT count(*) FROM killbill_push_usage('speed', through => '2026-02-01')")
    wait_until_done(ask, "the last day")
    ask("SELECT killbill_set_clock('speed', '2026-02-01 12:00Z')")
    wait_until_done(ask, "the clock")
    for _ in range(30):
        begun = time.monotonic()
        ask("SELECT killbill_pull_invoices('speed')")
        wait_until_done(ask, "the invoices")
        print(f"# {ACCOUNTS} accounts read: {time.monotonic() - begun:.1f} s")
        differences = ask("SELECT account_key, subject, ours, theirs, reason FROM killbill_reconcile('speed', '[2026-01-01,2026-02-01)')")
        if not any(row[4] == "the server has not billed it" for row in differences):
            break
        time.sleep(2)
    parked = ask("SELECT count(*) FROM killbill_account WHERE parked")[0][0]
    if differences or parked:
        raise RuntimeError(f"{len(differences)} differences, {parked} accounts parked: {differences[:2]}")


def main():
    connection = connect()

    def ask(text, *arguments):
        with connection.cursor() as cursor:
            cursor.execute(text, arguments or None)
            return cursor.fetchall() if cursor.description else []

    url, key = os.environ["KILLBILL_URL"], "speed-" + uuid.uuid4().hex[:8]
    make_tenant(url, key)
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepare(ask, url, key)
            ratio = compare(ask, folder, url, key)
        check_bills(ask)
    except (RuntimeError, subprocess.SubprocessError, psycopg2.Error) as problem:
        print(f"not ok a month of {ACCOUNTS} accounts - {' '.join(str(problem).split())[:600]}")
        sys.exit(1)
    name = f"a month of {ACCOUNTS} accounts through the worker in {MOST} times the time of a bare loop, none parked, 0 differences"
    print(f"ok {name} ({ratio:.2f})" if ratio <= MOST else f"not ok {name} - {ratio:.2f} times", flush=True)


if __name__ == "__main__":
    main()
