#!/usr/bin/env python3
"""What test/worker/run does once its server is up.  Every check waits for a condition with a limit, never for a time alone."""
import glob
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.request

import psycopg2
import psycopg2.extensions
import psycopg2.extras

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ["WORK"])
SERVER = pathlib.Path(os.environ["SERVER"])
SECRETS = WORK / "servers" / "secrets"
PG_CTL = str(pathlib.Path(subprocess.check_output([os.environ["PG_CONFIG"], "--bindir"], text=True).strip()) / "pg_ctl")
FULL, SAMPLE = os.environ.get("FULL"), os.environ.get("SAMPLE")
processes = []


class Failure(Exception):
    pass


# --- tools -----------------------------------------------------------------------------------------------------------------------

def connect(database="billing", port=None, host=None):
    connection = psycopg2.connect(dbname=database, connect_timeout=10, **({"port": port} if port else {}), **({"host": host} if host else {}))
    connection.autocommit = True
    return connection


def sql(statement, *arguments, database="billing"):
    """Rows of a statement, over a connection of its own: servers come and go here."""
    connection = connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def one(statement, *arguments):
    return sql(statement, *arguments)[0][0]


def wait_for(condition, seconds, what):
    """Until condition() is true; errors of a server that is down count as not yet."""
    until = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except psycopg2.Error:
            pass
        if time.monotonic() > until:
            raise Failure(f"{what} not within {seconds} s")
        time.sleep(0.02)


def expect(condition, what):
    if not condition:
        raise Failure(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stub:
    """stub.py in a process of its own."""

    def __init__(self, *tls):
        self.port = free_port()
        self.process = subprocess.Popen([sys.executable, str(HERE / "stub.py"), str(self.port), *tls], stdout=subprocess.PIPE, text=True)
        processes.append(self.process)
        expect(self.process.stdout.readline().strip() == "ready", "the stub did not start")
        self.plain = not tls

    def admin(self, what):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/{what}", timeout=20) as answer:
            return json.load(answer)

    def effects(self):
        """How often each effect took place; but for the order that pg_cron writes, whenever its minute comes."""
        return {key: times for key, times in self.admin("effects").items() if key != "from cron"}

    def url(self, fault="none", times=0):
        return f"http://127.0.0.1:{self.port}/{fault}/{times}"


def drop_endpoint(name):
    """Drops an endpoint, if it is there, with the messages that keep it."""
    sql(f"DELETE FROM billing.message WHERE endpoint = '{name}' AND state NOT IN ('delivered', 'discarded'); DROP SERVER IF EXISTS {name} CASCADE")


def endpoint(name, url, **options):
    """An endpoint whose connector is the example of doc/worker.md; quick to try again."""
    settings = {"url": url, "connector": "shop.warehouse", "allow_http": "true", "allow_private": "true", "timeout": "1s", "connect_timeout": "1s",
                "retry_delay": "50ms", "retry_limit": "200ms", "breaker_failures": "1000", "max_body": "1000000", "max_parallel": "16"}
    settings.update(options)
    settings = {key: value for key, value in settings.items() if value is not None}
    drop_endpoint(name)
    sql(f"CREATE SERVER {name} FOREIGN DATA WRAPPER billing_custom OPTIONS ("
        + ", ".join(f"\"{key}\" '{value}'" for key, value in settings.items()) + ")")


def move_endpoint(name, url, **options):
    """An endpoint for which messages may wait: another address if it is there."""
    if one("SELECT count(*) FROM pg_foreign_server WHERE srvname = %s", name):
        sql(f"ALTER SERVER {name} OPTIONS (SET url '{url}')")
    else:
        endpoint(name, url, **options)


def enqueue(name, keys, ordering_key=None, **more):
    arguments = "".join(f", {key} => {value}" for key, value in more.items())
    sql(f"SELECT billing.enqueue_message(%s, 'order', '{{\"item\": 1}}', k, %s{arguments}) FROM unnest(%s) WITH ORDINALITY AS u (k, no) ORDER BY no",
        name, ordering_key, list(keys))


def states(name):
    return dict(sql("SELECT state, count(*) FROM billing.message WHERE endpoint = %s GROUP BY 1", name))


def wait_until_finished(name, seconds=20):
    wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint = %s AND finished_at IS NULL", name) == 0, seconds,
             f"messages of {name} are {states(name)}, {sql('SELECT reason, messages FROM billing.delivery_errors WHERE endpoint = %s', name)}: all finished")


def worker_pid():
    return one("SELECT pid FROM billing.worker_status")


def wait_for_worker(seconds=20):
    wait_for(lambda: sql("SELECT state FROM billing.worker_status") == [("running",)], seconds, "the worker running")


def pg_ctl(*arguments, folder=SERVER, check=True):
    command = [PG_CTL, "-D", str(folder / "data"), "-l", str(folder / "log"), "-s", "-w", "-t", "60", *arguments]
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    return subprocess.run(command, check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def secret(name, text, mode=0o600):
    path = SECRETS / name
    path.write_text(text)
    path.chmod(mode)
    if os.getuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def example():
    """The SQL of the example in doc/worker.md: the block after the line that announces it."""
    text = (HERE.parents[1] / "doc" / "worker.md").read_text(encoding="utf-8")
    return re.search(r"<!-- test/worker -->\s*```sql\n(.*?)```", text, re.S).group(1)


# --- checks ------------------------------------------------------------------------------------------------------------------------

def check_answers(stub):
    """Every fault, at the first request of each message: effect exactly once, or a dead letter that says why."""
    again = ("none", "delay", "late", "close", "close-after", "cut", "short", "long", "429", "500", "503", "500-after", "utf8", "nul", "html", "gzip", "keyed", "garbage")
    never = {"400": "status 400", "404": "status 404", "422": "status 422", "501": "status 501", "redirect": "status 302", "loop": "status 302",
             "huge": "too_large: ", "bomb": "too_large: "}
    stub.admin("reset")
    for fault in (*again, *never):
        name = "w_" + fault.replace("-", "_")
        # a packed or endless answer takes the stub its time
        endpoint(name, stub.url(fault, 1), timeout="20s" if fault in ("huge", "bomb") else "1s")
        enqueue(name, [f"{fault}-{n}" for n in range(3)])
    for fault in (*again, *never):
        wait_until_finished("w_" + fault.replace("-", "_"), 40)
    effects = stub.effects()
    for fault in again:
        expect(states("w_" + fault.replace("-", "_")) == {"delivered": 3}, f"{fault}: {states('w_' + fault.replace('-', '_'))}")
        expect([effects.get(f"{fault}-{n}") for n in range(3)] == [1, 1, 1], f"{fault}: effects {[effects.get(f'{fault}-{n}') for n in range(3)]}")
    for fault, reason in never.items():
        letters = sql("SELECT reason FROM billing.dead_letters WHERE endpoint = %s", "w_" + fault)
        expect(len(letters) == 3 and all(letter[0].startswith(reason) for letter in letters), f"{fault}: {letters}")
        times = 1 if fault in ("huge", "bomb") else None
        expect([effects.get(f"{fault}-{n}") for n in range(3)] == [times] * 3, f"{fault}: effects")
    # over a connection that is kept, libcurl would by itself send again what was cut off
    endpoint("w_reused", stub.url("close-after", 1))
    endpoint("w_warm", stub.url())
    for n in range(6):
        enqueue("w_warm", [f"warm-{n}"])
        wait_until_finished("w_warm")
        enqueue("w_reused", [f"reused-{n}"])
        wait_until_finished("w_reused")
    expect([stub.effects().get(f"reused-{n}") for n in range(6)] == [1] * 6, f"cut off on a connection in use: {[stub.effects().get(f'reused-{n}') for n in range(6)]}")
    attempts = one("SELECT min(finished_at - first_sent_at) FROM billing.message WHERE endpoint = 'w_429'")
    expect(attempts.total_seconds() >= 1, f"Retry-After: 1 was answered after {attempts}")
    expect(one("SELECT result FROM billing.message WHERE endpoint = 'w_gzip' LIMIT 1") == {"id": 2}, "the packed answer was not unpacked")


def check_addresses(stub):
    """Where an endpoint may not be."""
    cases = {"loopback": (f"http://127.0.0.1:{stub.port}/none/0", None), "loopback6": (f"http://[::1]:{stub.port}/none/0", None),
             "mapped": (f"http://[::ffff:127.0.0.1]:{stub.port}/none/0", None), "name": (f"http://localhost:{stub.port}/none/0", None),
             "decimal": (f"http://2130706433:{stub.port}/none/0", None), "private": ("http://10.1.2.3/none/0", None), "carrier": ("http://100.64.1.1/none/0", None),
             "metadata": ("http://169.254.169.254/none/0", "true"), "this": (f"http://0.0.0.0:{stub.port}/none/0", "true"), "link": ("http://[fe80::1]/none/0", "true")}
    stub.admin("reset")
    for name, (url, allow) in cases.items():
        endpoint("a_" + name, url, allow_private=allow)
        enqueue("a_" + name, [name])
    for name in cases:
        wait_until_finished("a_" + name)
        reason = one("SELECT reason FROM billing.message WHERE endpoint = %s", "a_" + name)
        expect((reason or "").startswith("refused_address"), f"{name}: {reason} {states('a_' + name)}")
    expect(stub.admin("counts")["requests"] == 0, "something was sent")


def secure_stub():
    """A stub behind TLS whose certificate is of localhost, by an authority in secret file ca.pem."""
    folder = WORK / "tls"
    if folder.exists():
        return Stub("--tls", str(folder / "server.pem"), str(folder / "server.key"))
    folder.mkdir()
    run = lambda *command: subprocess.run(["openssl", *command], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")
    secret("ca.pem", (folder / "ca.pem").read_text())
    return Stub("--tls", str(folder / "server.pem"), str(folder / "server.key"))


def check_tls(stub):
    """Certificates are checked: the authority, the name, and a plain server behind https."""
    secure = secure_stub()
    good = f"https://localhost:{secure.port}/none/0"
    endpoint("t_good", good, ca_file="ca.pem")
    endpoint("t_authority", good)
    endpoint("t_name", f"https://127.0.0.1:{secure.port}/none/0", ca_file="ca.pem")
    endpoint("t_plain", f"https://127.0.0.1:{stub.port}/none/0", ca_file="ca.pem")
    bad = ("t_authority", "t_name", "t_plain")
    for name in ("t_good", *bad):
        enqueue(name, [name])
    wait_until_finished("t_good")
    for name in bad:
        wait_for(lambda: (one("SELECT reason FROM billing.message WHERE endpoint = %s", name) or "").startswith(("tls: ", "timeout: ")), 10, f"{name} refused")
        expect(one("SELECT state IN ('delayed', 'sending', 'waiting') FROM billing.message WHERE endpoint = %s", name), f"{name} was given up")
        drop_endpoint(name)


class Proxy(socketserver.StreamRequestHandler):
    """An HTTP proxy that passes on, makes tunnels, or answers what the server's attribute answer says; heads keeps what it was shown."""

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        self.server.heads.append(head.decode("latin-1"))
        method, target, _ = head.split(b" ", 2)
        if self.server.answer:
            self.wfile.write(self.server.answer)
            return
        place = target if method == b"CONNECT" else target.split(b"/")[2]
        host, port = place.decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as onward:
            if method == b"CONNECT":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                length = re.search(rb"(?i)content-length: (\d+)", head)
                onward.sendall(head.replace(target, b"/" + target.split(b"/", 3)[3], 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
                               + self.rfile.read(int(length.group(1)) if length else 0))
            threading.Thread(target=self.copy, args=(self.connection, onward), daemon=True).start()
            self.copy(onward, self.connection)

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def start_proxy(answer=None):
    socketserver.ThreadingTCPServer.daemon_threads = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
    server.heads, server.answer = [], answer
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def check_proxy(stub):
    """Behind a proxy addresses and redirects are refused as without one, and it is shown no secrets of what goes through a tunnel."""
    secure = secure_stub()
    stub.admin("reset")
    proxy, url = start_proxy()
    secret("token", "s3cr3t-value")
    tunnel = {"ca_file": "ca.pem", "token_file": "token", "secret_headers": '{"Authorization": "Bearer {token}"}'}
    endpoint("v_plain", stub.url(), proxy=url)
    endpoint("v_tunnel", f"https://localhost:{secure.port}/none/0", proxy=url, **tunnel)
    for name in ("v_plain", "v_tunnel"):
        enqueue(name, [name])
        wait_until_finished(name)
        expect(states(name) == {"delivered": 1}, f"{name}: {states(name)} {sql('SELECT reason FROM billing.message WHERE endpoint = %s', name)}")
    expect(stub.effects() == {"v_plain": 1} and secure_effects(secure) == {"v_tunnel": 1}, f"effects {stub.effects()}")
    expect([head.split(" ")[0] for head in proxy.heads] == ["POST", "CONNECT"] and "authorization" not in proxy.heads[1].lower(), f"the proxy was shown {proxy.heads}")
    proxy.heads.clear()
    refused = {"private": (stub.url(), None), "metadata": ("http://169.254.169.254/none/0", "true"), "decimal": ("http://2852039166/none/0", "true"),
               "mapped": ("https://[::ffff:169.254.169.254]/none/0", "true")}
    for name, (target, allow) in refused.items():
        endpoint("v_" + name, target, proxy=url, allow_private=allow)
        enqueue("v_" + name, [name])
        wait_until_finished("v_" + name)
        reason = one("SELECT reason FROM billing.message WHERE endpoint = %s", "v_" + name)
        expect((reason or "").startswith("refused_address"), f"{name}: {reason}")
    expect(not proxy.heads, f"the proxy was asked: {proxy.heads}")
    for answer, target, reason in ((b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", stub.url(), "status 302"),
                                   (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", f"https://localhost:{secure.port}/none/0", "connect: ")):
        other, other_url = start_proxy(answer)
        endpoint("v_other", target, proxy=other_url, ca_file="ca.pem")
        enqueue("v_other", [reason])
        wait_for(lambda: (one("SELECT reason FROM billing.message WHERE endpoint = 'v_other' AND idempotency_key = %s", reason) or "").startswith(reason), 10, f"{reason} of the proxy")
        expect(other.heads and stub.effects() == {"v_plain": 1}, "a redirect of the proxy was followed")
        drop_endpoint("v_other")


def secure_effects(secure):
    context = ssl.create_default_context(cafile=str(WORK / "tls" / "ca.pem"))
    with urllib.request.urlopen(f"https://localhost:{secure.port}/admin/effects", timeout=20, context=context) as answer:
        return json.load(answer)


def check_secrets(stub):
    """Secrets go to the other side and nowhere else; files that are not as they should be are not read."""
    value = "s3cr3t-value"
    secret("token", value + "\n")
    secret("open", value, 0o644)
    secret("empty", "\n")
    secret("zero", value[:5] + "\0" + value[5:])
    (SECRETS / "link").symlink_to(SECRETS / "token")
    template = '{"Authorization": "Bearer {token}", "X-Login": "{base64 user:token}"}'
    stub.admin("reset")
    endpoint("s_file", stub.url("400", 1), token_file="token", secret_headers=template, user="alice")
    enqueue("s_file", ["file"])
    wait_until_finished("s_file")
    endpoint("s_ok", stub.url(), token_file="token", secret_headers=template, user="alice")
    enqueue("s_ok", ["ok"])
    wait_until_finished("s_ok")
    headers = stub.admin("headers")
    expect(headers.get("authorization") == "Bearer " + value and headers.get("x-login") == "YWxpY2U6czNjcjN0LXZhbHVl", f"headers {headers}")
    endpoint("s_mapping", stub.url(), secret_headers='{"Authorization": "Basic {password}"}')
    sql("CREATE USER MAPPING FOR billing_worker SERVER s_mapping OPTIONS (password 'from-mapping')")
    enqueue("s_mapping", ["mapping"])
    wait_until_finished("s_mapping")
    expect(stub.admin("headers").get("authorization") == "Basic from-mapping", "the user mapping was not used")
    for name in ("missing", "open", "link", "empty", "zero"):
        endpoint("s_" + name, stub.url(), token_file=name, secret_headers=template, user="alice")
        enqueue("s_" + name, [name])
        wait_for(lambda: (one("SELECT reason FROM billing.message WHERE endpoint = %s", "s_" + name) or "").startswith("secret: "), 10, f"{name} refused")
        drop_endpoint(f"s_{name}")
    expect(not set(stub.effects()) & {"missing", "open", "link", "empty", "zero"}, "a message went out without its secret")
    expect("***" in one("SELECT last_answer FROM billing.message WHERE endpoint = 's_file'"), "the answer that quotes the secret was not cleaned")
    stored = one("SELECT string_agg(m::text, ' ') FROM billing.message AS m WHERE endpoint LIKE 's\\_%'") + one("SELECT coalesce(string_agg(query, ' '), '') FROM pg_stat_activity")
    expect(value not in stored.replace("'s3cr3t", ""), "a secret is in the outbox")
    expect(value not in (SERVER / "log").read_text(errors="replace"), "a secret is in the log")


def check_quoted_secrets(stub):
    """What a connector keeps of an answer that quotes secrets has none of them, however they are written there, nor the rest of one that begins like another."""
    for name, value in {"short": "pass", "long": "password123", "odd": 'sl/ash "quote" \\ +%41'}.items():
        secret(name, value)
    sql("""CREATE OR REPLACE FUNCTION shop.keeping(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE sql RETURN
        CASE WHEN answer IS NULL THEN billing.step_send(billing.json_request('POST', '/orders', jsonb_build_object('reference', message.idempotency_key)))
             WHEN message.idempotency_key = 'result' THEN billing.step_delivered(jsonb_build_object('kept', billing.json_or_null(answer.body), 'pass', 12.50))
             ELSE billing.step_retry(answer.body, '1h', jsonb_build_object('kept', billing.json_or_null(answer.body))) END""")
    endpoint("q_echo", stub.url("echo", 9), connector="shop.keeping", token_file="short", password_file="long", secret_file="odd",
             secret_headers='{"X-A": "{token}", "X-B": "{password}", "X-C": "{secret}"}')
    enqueue("q_echo", ["result", "progress"])
    wait_for(lambda: states("q_echo") == {"delivered": 1, "delayed": 1}, 10, "one delivered, one delayed")
    result = one("SELECT result FROM billing.message WHERE endpoint = 'q_echo' AND idempotency_key = 'result'")
    progress, reason, last_answer = sql("SELECT progress, reason, last_answer FROM billing.message WHERE endpoint = 'q_echo' AND idempotency_key = 'progress'")[0]
    hidden = [["***"] * 3] * 5
    expect(result == {"kept": hidden, "pass": 12.5} and progress == {"kept": hidden}, f"kept are {result} and {progress}")
    for text in (reason, last_answer):
        expect(json.loads(text) == hidden, f"kept is {text}")
    drop_endpoint("q_echo")


def check_paths(stub):
    """No path leaves the endpoint's url, in whatever way servers write a step up; what only looks like one goes out as it is."""
    refused = ["/orders/..", "/orders/.", "/../admin/reset", "/a/%2E%2e/b", "/a/.%2e?b=1", "/a/..;x=1/b", "/a\\..\\b", "/orders#part", "orders", "/or ders"]
    sent = ["/orders/...?a=/../b", "/.orders/..b//c", "/orders/%2e%2e%2e", "/orders;..?.."]
    sql("""CREATE OR REPLACE FUNCTION shop.going(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE sql RETURN
        CASE WHEN answer IS NULL THEN billing.step_send(billing.json_request('POST', message.idempotency_key, jsonb_build_object('reference', message.idempotency_key)))
             ELSE billing.judge_answer(answer) END""")
    stub.admin("reset")
    endpoint("path", stub.url(), connector="shop.going", max_attempts="1")
    enqueue("path", refused + sent)
    wait_until_finished("path")
    outcome = dict(sql("SELECT idempotency_key, coalesce(reason, state) FROM billing.message WHERE endpoint = 'path'"))
    expect({path: outcome[path] for path in refused} == {path: f'22023: the connector\'s request has a bad path: "{path}"' for path in refused}, f"{outcome}")
    targets = {key: target for key, target in stub.admin("targets").items() if key != "from cron"}     # see effects()
    expect(targets == {path: "/none/0" + path for path in sent}, f"targets are {targets}")


def worker_cpu():
    """Processor time of the worker, in seconds."""
    fields = pathlib.Path(f"/proc/{worker_pid()}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_header_fields(stub):
    """Too many header fields, too long ones and a Retry-After beyond all time cost nothing, and are told as what they are."""
    sql("""CREATE OR REPLACE FUNCTION shop.telling(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE sql RETURN
        CASE WHEN answer IS NULL THEN billing.step_send(billing.json_request('POST', '/orders', jsonb_build_object('reference', message.idempotency_key)))
             ELSE billing.step_failed(concat_ws(', ', answer.error, answer.detail, answer.retry_after)) END""")
    expected = {"fields": "too_large, the answer has more than 500 header fields", "field": "too_large, the answer has a header field of more than 100 kB",
                "wide": "too_large, the header fields of the answer are larger than 64 kB", "never": "168:00:00", "huge": "too_large, the answer is larger than max_body allows"}
    for fault in expected:
        endpoint("h_" + fault, stub.url(fault, 9), connector="shop.telling")
        enqueue("h_" + fault, ["h " + fault])
        wait_until_finished("h_" + fault)
    told = dict(sql("SELECT substr(endpoint, 3), reason FROM billing.message WHERE endpoint LIKE 'h\\_%'"))
    expect(told == expected, f"told are {told}")
    endpoint("h_many", stub.url("fields", 9), connector="shop.telling")
    before = worker_cpu()
    enqueue("h_many", [f"hm{number}" for number in range(20)])
    wait_until_finished("h_many")
    expect(worker_cpu() - before < 0.5, f"20 answers of 9000 header fields took {worker_cpu() - before:.2f} s of the processor")


def check_order(stub):
    """Within an ordering key one after the other, whatever fails; a dead one holds the others back until somebody decides."""
    stub.admin("reset")
    endpoint("o_order", stub.url("500", 1))
    enqueue("o_order", [f"o{n:02}" for n in range(20)], "key")
    wait_until_finished("o_order", 30)
    expect(list(stub.effects()) == [f"o{n:02}" for n in range(20)], f"order {list(stub.effects())}")
    endpoint("o_dead", stub.url("400", 1))
    enqueue("o_dead", ["first", "second"], "key")
    wait_for(lambda: states("o_dead") == {"dead": 1, "queued": 1}, 10, "the second one held back")
    number = one("SELECT message_id FROM billing.dead_letters WHERE endpoint = 'o_dead'")
    sql("SELECT billing.retry_message(%s)", number)
    wait_for(lambda: states("o_dead") == {"delivered": 1, "dead": 1}, 10, "the first one delivered, then the second one tried")
    sql("SELECT billing.discard_message(message_id, 'test') FROM billing.dead_letters WHERE endpoint = 'o_dead'")
    expect(states("o_dead") == {"delivered": 1, "discarded": 1}, f"{states('o_dead')}")


def check_locked(stub):
    """Who keeps a transaction open that changes messages holds up these messages and no others."""
    endpoint("y_locked", stub.url("500", 1), retry_delay="1s", retry_limit="1s")
    enqueue("y_locked", ["ydelayed"])
    enqueue("y_locked", ["yfirst", "ysecond"], "key")
    wait_for(lambda: states("y_locked") == {"delayed": 2, "queued": 1} or states("y_locked") == {"delayed": 2, "waiting": 1}, 10, "first attempts")
    holder = connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("SELECT billing.discard_message(message_id, 'test') FROM billing.message WHERE endpoint = 'y_locked' AND idempotency_key IN ('ydelayed', 'ysecond')")
    endpoint("y_free", stub.url("500", 1))
    enqueue("y_free", [f"free{n}" for n in range(50)])
    wait_until_finished("y_free", 10)
    wait_for(lambda: one("SELECT state FROM billing.message WHERE idempotency_key = 'yfirst' AND endpoint = 'y_locked'") == "delivered", 10, "the first of the key")
    holder.rollback()
    holder.close()
    wait_until_finished("y_locked", 20)
    expect(states("y_locked") == {"delivered": 3}, f"{states('y_locked')}")


def check_connectors(stub):
    """What a connector does wrong is a failure of its message, told with the reason."""
    bodies = {"raises": "RAISE division_by_zero USING MESSAGE = 'deliberately';",
              "long": "RETURN billing.step_failed('x' || repeat('\u20ac', 2000));",
              "silent": "RETURN NULL;",
              "endless": "RETURN billing.step_send(billing.http_request('GET', '/orders'));",
              "method": "RETURN billing.step_send(billing.http_request('TRACE', '/'));",
              "path": "RETURN billing.step_send(billing.http_request('GET', 'http://example.com/'));",
              "split": "RETURN billing.step_send(billing.http_request('GET', E'/a HTTP/1.1\\r\\nX: y'));",
              "header": "RETURN billing.step_send(billing.http_request('GET', '/', headers => '{\"Host\": \"example.com\"}'));",
              "inject": "RETURN billing.step_send(billing.http_request('GET', '/', headers => '{\"X\": \"a\\r\\nY: b\"}'));",
              "word": "RETURN ROW('sned', NULL, NULL, NULL, NULL, NULL)::billing.delivery_step;"}
    reasons = {"raises": "22012: deliberately", "long": "x" + "\u20ac" * 333, "silent": "22004: ", "endless": "54000: ", "word": "22023: "}
    # what the connector writes is there exactly when the outcome is
    sql("CREATE TABLE shop.seen (message_id bigint, done boolean); GRANT INSERT ON shop.seen TO billing_worker")
    for name, body in bodies.items():
        sql(f"CREATE OR REPLACE FUNCTION shop.bad_{name}(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
        endpoint("c_" + name, stub.url(), connector=f"shop.bad_{name}", max_attempts="2")
        enqueue("c_" + name, [name])
    endpoint("c_none", stub.url(), connector="shop.there_is_none", max_attempts="2")
    enqueue("c_none", ["none"])
    for name in (*bodies, "none"):
        wait_until_finished("c_" + name, 30)
        reason = one("SELECT reason FROM billing.dead_letters WHERE endpoint = %s", "c_" + name)
        wanted = reasons.get(name, "42883: " if name == "none" else "22023: the connector's request has a bad ")
        expect(reason.startswith(wanted), f"{name}: {reason}")
    sql("CREATE OR REPLACE FUNCTION shop.writing(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ "
        "BEGIN INSERT INTO shop.seen VALUES (message.message_id, NOT (answer IS NULL)); IF message.attempt = 1 AND NOT (answer IS NULL) THEN RAISE 'first'; END IF; "
        "RETURN CASE WHEN answer IS NULL THEN billing.step_send(billing.http_request('GET', '/orders')) ELSE billing.step_delivered() END; END $$")
    # what it sets is undone
    sql("CREATE OR REPLACE FUNCTION shop.setting(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ "
        "BEGIN SET ROLE billing_reader; SET search_path = nowhere; RETURN billing.step_delivered(); END $$")
    endpoint("c_setting", stub.url(), connector="shop.setting")
    enqueue("c_setting", ["setting"])
    wait_until_finished("c_setting")
    endpoint("c_writing", stub.url(), connector="shop.writing")
    enqueue("c_writing", ["writing"])
    wait_until_finished("c_writing")
    expect(sql("SELECT done, count(*) FROM shop.seen GROUP BY 1 ORDER BY 1") == [(False, 2), (True, 1)], f"{sql('SELECT * FROM shop.seen')}")
    # one that puts an answer of its own making before a connector that has the ledger's rights, in the same process
    sql("CREATE SERVER c_tenant FOREIGN DATA WRAPPER billing_killbill OPTIONS (url 'https://killbill.example.com', \"user\" 'admin', api_key 'acme')")
    sql("CREATE FUNCTION shop.forging(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ BEGIN "
        "message.endpoint := 'c_tenant'; message.kind := 'pull_catalog'; "
        "RETURN billing.killbill_connector(message, ROW(200, '{}', '<catalog/>', NULL, NULL, NULL, true, NULL, '0')::billing.http_answer); END $$")
    endpoint("c_forging", stub.url(), connector="shop.forging", max_attempts="1")
    enqueue("c_forging", ["forging"])
    wait_until_finished("c_forging")
    reason = one("SELECT reason FROM billing.message WHERE endpoint = 'c_forging'")
    expect(reason == '42501: messages to "c_tenant" are put before its connector by the worker alone', f"forging: {reason}")
    drop_endpoint("c_tenant")


def check_uncertain(stub):
    """A connector that fails, or gives up, after what it sent was carried out is told so at its next attempt: effect once."""
    stub.admin("reset")
    connector = "CREATE OR REPLACE FUNCTION shop.{name}(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ " \
        "DECLARE step billing.delivery_step := shop.warehouse(message, answer); BEGIN {body} RETURN step; END $$"
    bodies = {"u_error": "IF step.action = 'delivered' AND message.attempt < 4 THEN RAISE 'the books are closed'; END IF;",
              "u_retry": "IF step.action = 'delivered' AND message.attempt < 4 THEN step := billing.step_retry('look again'); END IF;",
              # reads back what it has placed, and fails then
              "u_later": "IF message.step = 1 AND step.action = 'delivered' AND message.attempt = 1 THEN step := billing.step_send(billing.json_request('GET', '/orders')); "
                         "ELSIF message.step = 2 AND message.attempt = 1 THEN RAISE 'it is not there'; END IF;",
              # a request that is refused has had no effect
              "u_refused": "IF answer.status = 422 THEN RAISE 'refused'; END IF;"}
    for name, body in bodies.items():
        sql(connector.format(name=name, body=body))
        endpoint(name, stub.url("422", 1) if name == "u_refused" else stub.url(), connector=f"shop.{name}")
        enqueue(name, [name])
    for name in bodies:
        wait_until_finished(name)
        expect(states(name) == {"delivered": 1} and stub.effects().get(name) == 1, f"{name}: {states(name)}, {stub.effects().get(name)} effects")
    expect(one("SELECT attempts FROM billing.message WHERE endpoint = 'u_error'") == 4, "attempts")
    # and it is kept between the attempts
    sql(connector.format(name="u_keeps", body="IF step.action = 'delivered' THEN RAISE 'never'; END IF;"))
    endpoint("u_keeps", stub.url(), connector="shop.u_keeps", max_attempts="1")
    endpoint("u_refused", stub.url("422", 1), connector="shop.u_refused", max_attempts="1")
    for name in ("u_keeps", "u_refused"):
        enqueue(name, [name + " once"])
        wait_until_finished(name)
    expect(sql("SELECT endpoint, uncertain FROM billing.message WHERE endpoint IN ('u_keeps', 'u_refused') AND state = 'dead' ORDER BY 1") == [("u_keeps", True), ("u_refused", False)], "uncertain")


def check_settings(stub):
    """What the server, the database or the role is set to changes nothing of what the worker does, nor how sure it is."""
    stub.admin("reset")
    hostile = {"default_transaction_read_only": "on", "synchronous_commit": "off", "DateStyle": "'SQL, DMY'", "IntervalStyle": "sql_standard", "TimeZone": "'Asia/Tokyo'",
               "default_transaction_isolation": "serializable", "lock_timeout": "'1ms'", "statement_timeout": "'1s'"}
    os.environ["PGOPTIONS"] = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c default_transaction_isolation=read\\ committed"
    for name, value in hostile.items():
        sql(f"ALTER DATABASE billing SET {name} = {value}")
    sql("CREATE OR REPLACE FUNCTION shop.telling(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE sql AS "
        "$$ SELECT billing.step_delivered(jsonb_object_agg(s, current_setting(s))) FROM unnest('{default_transaction_read_only,synchronous_commit,DateStyle,IntervalStyle,TimeZone}'::text[]) AS s $$")
    try:
        os.kill(worker_pid(), signal.SIGTERM)
        wait_for(lambda: sql("SELECT state, pid IS NOT NULL FROM billing.worker_status") == [("running", True)], 20, "the worker running again")
        endpoint("g_telling", stub.url(), connector="shop.telling")
        enqueue("g_telling", ["telling"])
        wait_until_finished("g_telling")
        told = one("SELECT result FROM billing.message WHERE endpoint = 'g_telling'")
        expect(told == {"default_transaction_read_only": "off", "synchronous_commit": "local", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "TimeZone": "UTC"}, f"{told}")
    finally:
        for name in hostile:
            sql(f"ALTER DATABASE billing RESET {name}")
        del os.environ["PGOPTIONS"]
    # nor does a setting of the whole server, also one that comes later: the claim is on the disk before its request goes out
    endpoint("g_hold", stub.url("hold-after", 1), timeout="2s")
    sql("ALTER SYSTEM SET synchronous_commit = off")
    sql("ALTER SYSTEM SET wal_writer_delay = '10s'")
    sql("SELECT pg_reload_conf()")
    try:
        wait_for(lambda: one("SHOW synchronous_commit") == "off", 10, "the reload")
        enqueue("g_hold", ["held"], not_before="now() + interval '1 s'")
        sql("SELECT pg_switch_wal()")       # the message itself is to be there afterwards
        wait_for(lambda: stub.effects().get("held") == 1, 10, "the request")
        pg_ctl("stop", "-m", "immediate")
        pg_ctl("start")
        wait_for_worker()
        wait_until_finished("g_hold")
        expect(stub.effects()["held"] == 1, f"{stub.effects()['held']} effects")
    finally:
        sql("ALTER SYSTEM RESET synchronous_commit")
        sql("ALTER SYSTEM RESET wal_writer_delay")
        sql("SELECT pg_reload_conf()")


def check_latency(stub):
    """An idle worker sends at once, and uses no processor when there is nothing to do."""
    endpoint("l_latency", stub.url())
    enqueue("l_latency", ["warm"])
    wait_until_finished("l_latency")
    times = []
    connection = connect()
    with connection.cursor() as cursor:
        for n in range(20):
            time.sleep(0.05)
            cursor.execute("SELECT billing.enqueue_message('l_latency', 'order', '{}', %s)", (f"l{n}",))
            times.append(time.time())
    wait_until_finished("l_latency")
    arrived = stub.admin("arrivals")
    delays = sorted(arrived[f"l{n}"] - times[n] for n in range(20))
    print(f"# commit to arrival when idle: median {delays[10] * 1000:.1f} ms, worst {delays[-1] * 1000:.1f} ms")
    expect(delays[10] < 0.05, f"median latency {delays[10]}")
    used = lambda: sum(int(n) for n in open(f"/proc/{worker_pid()}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[11:13])
    before = used()
    time.sleep(5)
    print(f"# processor time in 5 s without messages: {(used() - before) * 10} ms")
    expect(used() - before <= 5, f"{(used() - before) * 10} ms of processor time in 5 s")


def check_waiting(stub):
    """While an answer is awaited there is no transaction; the server is stopped, and other databases are dropped, as if nothing were out."""
    endpoint("h_hang", stub.url("late", 1), timeout="20s")
    enqueue("h_hang", [f"h{n}" for n in range(10)])
    wait_for(lambda: states("h_hang").get("sending") == 10, 10, "all out")
    expect(sql("SELECT xact_start, backend_xmin FROM pg_stat_activity WHERE pid = %s", worker_pid()) == [(None, None)], "a transaction is open")
    sql("CREATE DATABASE other")
    begun = time.monotonic()
    sql("DROP DATABASE other")
    expect(time.monotonic() - begun < 2, "DROP DATABASE took long")
    begun = time.monotonic()
    pg_ctl("stop", "-m", "fast")
    expect(time.monotonic() - begun < 5, "fast shutdown took long")
    pg_ctl("start")
    wait_for_worker()
    drop_endpoint("h_hang")


def check_breaker(stub):
    """A dead endpoint is left alone for a while and does not slow down a healthy one."""
    dead = free_port()
    endpoint("b_dead", f"http://127.0.0.1:{dead}/none/0", breaker_failures="3", breaker_pause="1s")
    endpoint("b_hang", stub.url("late", 1000), timeout="500ms", connect_timeout="500ms", breaker_failures="3", breaker_pause="1s")
    endpoint("b_good", stub.url())
    enqueue("b_good", [f"alone{n}" for n in range(500)])
    begun = time.monotonic()
    wait_until_finished("b_good", 30)
    alone = time.monotonic() - begun
    enqueue("b_dead", [f"dead{n}" for n in range(500)])
    enqueue("b_hang", [f"hang{n}" for n in range(500)])
    enqueue("b_good", [f"beside{n}" for n in range(500)])
    begun = time.monotonic()
    wait_until_finished("b_good", 30)
    beside = time.monotonic() - begun
    print(f"# 500 messages alone {alone:.2f} s, beside two dead endpoints {beside:.2f} s")
    expect(beside < 2 * alone + 1, f"{alone:.2f} s became {beside:.2f} s")
    wait_for(lambda: one("SELECT state FROM billing.outbox WHERE endpoint = 'b_dead'") == "paused", 10, "pause")
    tried = one("SELECT sum(attempts) FROM billing.message WHERE endpoint = 'b_dead'")
    expect(tried < 100, f"{tried} attempts at a dead endpoint")
    sql(f"ALTER SERVER b_dead OPTIONS (SET url '{stub.url()}')")
    wait_until_finished("b_dead", 30)
    expect(states("b_dead") == {"delivered": 500}, f"{states('b_dead')}")
    drop_endpoint("b_hang")


class Watch(threading.Thread):
    """Looks at the worker all the time: how long a transaction of it was open at most, and how much memory it had."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.longest, self.over = worker_pid(), 0.0, False
        self.start()

    def memory(self):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process}/status").read_text()).group(1))

    def run(self):
        connection = connect()
        with connection.cursor() as cursor:
            while not self.over:
                cursor.execute("SELECT coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0) FROM pg_stat_activity WHERE pid = %s", (self.process,))
                self.longest = max([self.longest, *(float(row[0]) for row in cursor.fetchall())])
                time.sleep(0.01)
        connection.close()

    def end(self):
        self.over = True
        self.join()
        return self.longest


def check_locks(stub):
    """A connector that needs a row which somebody has locked holds up nobody; its answer is kept, its attempt does not count."""
    stub.admin("reset")
    sql("CREATE TABLE shop.book (id int PRIMARY KEY, n int NOT NULL); INSERT INTO shop.book VALUES (1, 0), (2, 0); GRANT SELECT, UPDATE ON shop.book TO billing_worker")
    connector = "CREATE OR REPLACE FUNCTION shop.{name}(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ " \
        "BEGIN IF answer IS NULL = {first} THEN UPDATE shop.book SET n = n + 1 WHERE id = CASE WHEN message.idempotency_key LIKE '%%free%%' THEN 2 ELSE 1 END; END IF; RETURN shop.warehouse(message, answer); END $$"
    names = ("j_first", "j_later")
    for name in names:
        sql(connector.format(name=name, first=name == "j_first"))
        endpoint(name, stub.url(), connector=f"shop.{name}")
    endpoint("j_healthy", stub.url())
    holder = connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("UPDATE shop.book SET n = n WHERE id = 1")
    watch = Watch()
    for name in names:
        enqueue(name, [f"{name}{n}" for n in range(4)])
    wait_for(lambda: states("j_first").get("delayed", 0) > 0 and stub.effects().get("j_later3") == 1, 10, "locks met")
    for name in ("j_healthy", *names):
        enqueue(name, [f"{name} free{n}" for n in range(20)])
    begun = time.monotonic()
    wait_until_finished("j_healthy")
    expect(time.monotonic() - begun < 3, f"the healthy endpoint waited {time.monotonic() - begun:.1f} s")
    # and other messages of the same endpoint go on
    for name in names:
        wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint = %s AND state = 'delivered'", name) == 20, 30, f"{name}: others of the endpoint")
    longest = watch.end()
    expect(longest < 1, f"a transaction of the worker was open for {longest:.1f} s")
    expect(one("SELECT count(*) FROM billing.message WHERE endpoint = ANY (%s) AND state = 'delivered' AND idempotency_key NOT LIKE '%%free%%'", list(names)) == 0, "a lock was not waited for")
    holder.rollback()
    holder.close()
    for name in names:
        wait_until_finished(name)
        expect(sql("SELECT DISTINCT attempts, uncertain, state FROM billing.message WHERE endpoint = %s", name) == [(1, False, "delivered")],
               f"{name}: {sql('SELECT state, attempts, uncertain, reason FROM billing.message WHERE endpoint = %s', name)}")
    expect(all(times == 1 for times in stub.effects().values()) and len(stub.effects()) == 68, f"effects {stub.effects()}")
    expect(sql("SELECT n FROM shop.book ORDER BY id") == [(8,), (40,)], "what the connectors have written")


def check_large(stub):
    """Large answers are judged one by one: no long transaction, no heap of memory, and the others go on between them."""
    stub.admin("reset")
    total = 24
    sql("CREATE OR REPLACE FUNCTION shop.reading(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ BEGIN IF answer IS NULL THEN "
        "RETURN shop.warehouse(message, answer); END IF; RETURN billing.step_delivered(to_jsonb(jsonb_array_length(billing.json_or_null(answer.body)))); END $$")
    endpoint("q_large", stub.url("bulk", 1), connector="shop.reading", max_body=None, timeout="20s", max_parallel="24")
    endpoint("q_healthy", stub.url())
    enqueue("q_healthy", ["warm"])
    wait_until_finished("q_healthy")
    watch = Watch()
    before = watch.memory()
    enqueue("q_large", [f"large{n}" for n in range(total)])
    wait_for(lambda: states("q_large").get("delivered", 0) > 0, 60, "the first large answer")
    slowest = 0.0
    while states("q_large").get("delivered", 0) < total:
        begun = time.monotonic()
        enqueue("q_healthy", [f"healthy {begun}"])
        wait_until_finished("q_healthy", 60)
        slowest = max(slowest, time.monotonic() - begun)
    wait_until_finished("q_large", 60)
    longest, grown = watch.end(), (watch.memory() - before) // 1024
    print(f"# {total} answers of 3 MB: longest transaction {longest:.2f} s, a healthy message waited {slowest:.2f} s at most, memory grew by {grown} MB")
    expect(sql("SELECT DISTINCT result::text, attempts FROM billing.message WHERE endpoint = 'q_large'") == [("40000", 1)], "what was read")
    expect(longest < 1.5 and slowest < 2.5 and grown < 200, f"transaction {longest:.1f} s, healthy message {slowest:.1f} s, memory {grown} MB")


def check_slots(stub):
    """Endpoints that hang take no slot of a healthy one."""
    hanging = [f"d_hang{n}" for n in range(6)]
    for name in hanging:
        endpoint(name, stub.url("hold", 1), max_parallel="64", timeout="15s")
    endpoint("d_healthy", stub.url())
    for name in hanging:
        enqueue(name, [f"{name} {n}" for n in range(64)])
    wait_for(lambda: sum(states(name).get("sending", 0) for name in hanging) >= 64, 10, "slots taken")
    time.sleep(0.5)
    begun = time.monotonic()
    enqueue("d_healthy", [f"healthy{n}" for n in range(200)])
    wait_until_finished("d_healthy")
    print(f"# 200 messages beside {sum(states(name).get('sending', 0) for name in hanging)} requests that hang: {time.monotonic() - begun:.2f} s")
    expect(time.monotonic() - begun < 5, f"the healthy endpoint took {time.monotonic() - begun:.1f} s")
    for name in hanging:
        drop_endpoint(name)


def check_poison(stub):
    """Messages that always fail do not keep the breaker closed for good ones."""
    endpoint("p_poison", stub.url("picky"), breaker_failures="5", breaker_pause="500ms", retry_delay="100ms", retry_limit="1s", max_attempts="1000")
    enqueue("p_poison", [f"bad{n}" for n in range(30)])
    enqueue("p_poison", [f"good{n}" for n in range(60)])
    wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint = 'p_poison' AND state = 'delivered'") == 60, 20, f"good messages behind bad ones {states('p_poison')}: delivered")
    drop_endpoint("p_poison")


def check_wish(stub):
    """A server that asks to be left alone is left alone, and no message dies of it."""
    stub.admin("reset")
    endpoint("e_wish", stub.url("throttle"), max_attempts="2", retry_delay="50ms", retry_limit="50ms")
    enqueue("e_wish", [f"wish{n}" for n in range(100)])
    wait_for(lambda: one("SELECT state FROM billing.outbox WHERE endpoint = 'e_wish'") == "paused", 10, "the endpoint paused")
    wait_until_finished("e_wish", 40)
    expect(states("e_wish") == {"delivered": 100} and all(times == 1 for times in stub.effects().values()), f"{states('e_wish')}")
    requests = stub.admin("counts")["requests"]
    expect(requests < 250, f"{requests} requests for 100 messages")
    expect(one("SELECT max(attempts - excused) FROM billing.message WHERE endpoint = 'e_wish'") == 1, "attempts were counted")


def check_credentials(stub):
    """Where the password is wrong no message dies; a new one in its file is taken up at once."""
    stub.admin("reset")
    secret("login", "wrong")
    endpoint("f_login", stub.url("login"), token_file="login", secret_headers='{"Authorization": "Bearer {token}"}', max_attempts="2", breaker_failures="5", breaker_pause="1h")
    enqueue("f_login", [f"login{n}" for n in range(100)])
    wait_for(lambda: one("SELECT state FROM billing.outbox WHERE endpoint = 'f_login'") == "paused", 10, "the endpoint paused")
    time.sleep(0.5)
    attempts = one("SELECT sum(attempts) FROM billing.message WHERE endpoint = 'f_login'")
    expect(states("f_login").get("dead") is None and attempts <= 20, f"{states('f_login')}, {attempts} attempts")
    expect(one("SELECT last_failure FROM billing.outbox WHERE endpoint = 'f_login'") == "status 401", "what the outbox says")
    secret("login", "right")
    wait_until_finished("f_login")
    expect(states("f_login") == {"delivered": 100}, f"{states('f_login')}")
    check_rights(stub)


def check_rights(stub):
    """Where all are forbidden (403) none dies, and worker_status names the endpoint; among others that are taken, one that is forbidden dies."""
    secret("rights", "wrong")
    endpoint("f_rights", stub.url("rights"), token_file="rights", secret_headers='{"Authorization": "Bearer {token}"}', max_attempts="3", breaker_failures="5", breaker_pause="50ms", max_parallel="2",
             retry_delay="20ms", retry_limit="50ms")
    keys = [f"right{n}" for n in range(20)] + ["bad"]
    enqueue("f_rights", keys)
    wait_for(lambda: one("SELECT max(attempts) FROM billing.message WHERE endpoint = 'f_rights'") > 4, 20, "five attempts of a message")
    expect(states("f_rights").get("dead") is None, f"{states('f_rights')}")
    wait_for(lambda: sql("SELECT state, detail, advice LIKE '%%refuse our credentials%%' FROM billing.worker_status") == [("running", "f_rights: status 403", True)], 5,
             f"worker_status {sql('SELECT state, detail, advice FROM billing.worker_status')}: names the endpoint")
    secret("rights", "right")
    wait_for(lambda: states("f_rights").get("delivered") == 20, 20, f"{states('f_rights')}: 20 delivered")
    expect(sql("SELECT detail, advice FROM billing.worker_status") == [(None, None)], "worker_status afterwards")
    # the forbidden one is alone now: as long as others get through its attempts count
    for number in range(40):
        enqueue("f_rights", [f"more{number}"])
        wait_for(lambda: one("SELECT state FROM billing.message WHERE endpoint = 'f_rights' AND idempotency_key = %s", f"more{number}") == "delivered", 10, "more")
        if states("f_rights").get("dead"):
            break
    expect(sql("SELECT idempotency_key FROM billing.message WHERE endpoint = 'f_rights' AND state = 'dead'") == [("bad",)], f"{states('f_rights')}")
    drop_endpoint("f_rights")


def check_slow(stub):
    """A connector that computes for long is cut off, and what it takes is a small part of the worker's time."""
    stub.admin("reset")
    sql("CREATE FUNCTION shop.slow(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ DECLARE ends timestamptz := clock_timestamp() + "
        "CASE WHEN message.idempotency_key LIKE '%%endless%%' THEN interval '1h' ELSE interval '100ms' END; BEGIN WHILE clock_timestamp() < ends LOOP END LOOP; RETURN shop.warehouse(message, answer); END $$")
    endpoint("n_slow", stub.url(), connector="shop.slow", connector_timeout="300ms", max_attempts="2")
    endpoint("n_healthy", stub.url())
    enqueue("n_slow", ["endless"])
    wait_for(lambda: states("n_slow").get("dead") == 1, 20, "the endless one dead")
    reason = one("SELECT reason FROM billing.dead_letters WHERE endpoint = 'n_slow'")
    expect(reason == "57014: the connector computed for longer than option connector_timeout allows, 300 ms", reason)
    enqueue("n_slow", [f"slow{n}" for n in range(200)])
    wait_for(lambda: states("n_slow").get("delivered", 0) > 0, 20, "the first slow one")
    delays = []
    before = states("n_slow").get("delivered", 0)
    begun = time.monotonic()
    for number in range(20):
        asked = time.monotonic()
        enqueue("n_healthy", [f"beside slow {number} {n}" for n in range(50)])
        wait_until_finished("n_healthy")
        delays.append(time.monotonic() - asked)
    took = time.monotonic() - begun
    slow = states("n_slow").get("delivered", 0) - before
    print(f"# beside connectors of 100 ms: 50 messages in {sorted(delays)[10]:.2f} s, {max(delays):.2f} s at most; {slow} slow ones in {took:.1f} s")
    expect(max(delays) < 2, f"the healthy endpoint waited {max(delays):.1f} s")
    # two calls each: a fifth of the time is one message a second
    expect(slow <= 4 + took * 3, f"{slow} slow messages in {took:.1f} s")
    sql("DELETE FROM billing.message WHERE endpoint = 'n_slow' AND state NOT IN ('sending', 'delayed')")
    wait_until_finished("n_slow", 60)
    sql("DELETE FROM billing.message WHERE endpoint = 'n_slow'; DROP SERVER n_slow")


def check_limits(stub):
    """Not more at once, and not more a second, than the options say."""
    stub.admin("reset")
    endpoint("r_parallel", stub.url("delay", 1000), max_parallel="3")
    enqueue("r_parallel", [f"p{n}" for n in range(9)])
    wait_until_finished("r_parallel")
    expect(stub.admin("counts")["most_at_once"] == 3, f"{stub.admin('counts')['most_at_once']} at once instead of 3")
    expect(stub.admin("counts")["connections"] <= 6, f"{stub.admin('counts')['connections']} connections for 9 requests, three at once")
    endpoint("r_rate", stub.url(), rate_limit="20", max_parallel="64")
    enqueue("r_rate", [f"r{n}" for n in range(60)])
    begun = time.monotonic()
    wait_until_finished("r_rate")
    took = time.monotonic() - begun
    expect(1.7 < took < 6, f"60 messages at 20 a second took {took:.1f} s")
    endpoint("r_sync", stub.url(), sync_every="1s", connector="shop.ignoring")
    sql("CREATE OR REPLACE FUNCTION shop.ignoring(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE sql RETURN billing.step_delivered()")
    wait_for(lambda: states("r_sync").get("delivered", 0) >= 3, 10, "three syncs")
    drop_endpoint("r_sync")


def check_connection_test(stub):
    """test_connection() prints what it finds, for endpoints that work and that do not."""
    def notices(name):
        connection = connect()
        with connection.cursor() as cursor:
            cursor.execute(f"CALL billing.test_connection('{name}')")
        return "".join(connection.notices)
    endpoint("k_good", stub.url())
    endpoint("k_dead", f"http://127.0.0.1:{free_port()}", breaker_failures="1", breaker_pause="1h")
    endpoint("k_name", "https://no-such-host.invalid")
    endpoint("k_secret", stub.url(), token_file="nowhere", secret_headers='{"Authorization": "{token}"}')
    good = notices("k_good")
    expect("reachable: ok" in good and "clock: ok" in good and 'endpoint "k_good" works' in good, good)
    for name, words in {"k_dead": "reachable: failed, connect", "k_name": "reachable: failed, resolve", "k_secret": "secrets: failed"}.items():
        for _ in range(2):      # the second time the endpoint is paused
            told = notices(name)
            expect(words in told and "does not work" in told, told)
    expect(one("SELECT count(*) FROM billing.connection_checks WHERE endpoint = 'k_good'") == 3, "the checks were not kept")


def spend(day, amount):
    """Cost of a tag, as a provider delivers it."""
    sql("DROP TABLE IF EXISTS public.delivery; CREATE TABLE public.delivery AS SELECT * FROM jsonb_to_record(%s) AS x (\"BillingAccountId\" text, \"BillingCurrency\" text, \"BillingPeriodStart\" text, \"BillingPeriodEnd\" text,"
        " \"ChargePeriodStart\" text, \"ChargePeriodEnd\" text, \"ChargeCategory\" text, \"BilledCost\" text, \"Tags\" text)",
        json.dumps({"BillingAccountId": "payer", "BillingCurrency": "EUR", "BillingPeriodStart": "2026-10-01", "BillingPeriodEnd": "2026-11-01", "ChargePeriodStart": day, "ChargePeriodEnd": day,
                    "ChargeCategory": "Usage", "BilledCost": amount, "Tags": '{"team": "search"}'}))
    sql("SELECT * FROM billing.import_focus('public.delivery', 'provider', '[2026-10-01,2026-11-01)')")


def check_alerts(stub):
    """Alerts of a budget and reports by schedule, through the worker to the other side: told once, with NOTIFY, and their rows say how far that is."""
    stub.admin("reset")
    endpoint("finance", stub.url("503", 1))
    endpoint("closed_office", stub.url("404", 1000000))
    sql("SELECT billing.set_cost_center('project', 'atlas'), billing.set_cost_source('provider'), billing.set_billing_account('provider', 'payer', 'project', 'atlas')")
    for key, whom in (("search", "finance"), ("search too", "closed_office"), ("kept", None)):
        sql("SELECT billing.set_budget(%s, 100, 'EUR', tag => 'team', value => 'search', endpoint => %s)", key, whom)
    listener = connect()
    listener.cursor().execute("LISTEN billing_alert")
    spend("2026-10-05", "85")
    expect(one("SELECT billing.check_budgets('2026-10-05')") == 3, "three budgets warn")
    expect(one("SELECT billing.check_budgets('2026-10-06')") == 0, "nothing is told twice")
    spend("2026-10-05", "99.5")
    expect(one("SELECT billing.check_budgets('2026-10-07')") == 3, "three budgets are critical")
    wait_until_finished("finance")
    wait_until_finished("closed_office")
    told = sql("SELECT alert, level FROM billing.budget_alerts WHERE budget = 'search' ORDER BY alert")
    expect([level for _, level in told] == ["warning", "critical"], f"alerts {told}")
    effects, bodies = stub.effects(), stub.admin("bodies")
    expect({key: n for key, n in effects.items() if key.startswith("billing:budget-alert-")} == {f"billing:budget-alert-{alert}": 1 for alert, _ in told}, f"effects {effects}")
    body = bodies[f"billing:budget-alert-{told[1][0]}"]
    expect({"budget": "search", "level": "critical", "kind": "fired", "actual": "99.5", "limit": "100", "currency": "EUR", "method": "linear", "period": "[2026-10-01,2026-11-01)"}.items() <= body.items(), f"told {body}")
    ways = sql("SELECT DISTINCT budget, endpoint, delivery, delivery_problem FROM billing.budget_alerts ORDER BY 1")
    expect(ways == [("kept", None, None, None), ("search", "finance", "delivered", None), ("search too", "closed_office", "dead", "status 404")], f"ways {ways}")
    listener.poll()
    expect(sorted((json.loads(n.payload)["budget"], json.loads(n.payload)["level"]) for n in listener.notifies) == [(b, level) for b in ("kept", "search", "search too") for level in ("critical", "warning")], f"notified of {listener.notifies}")
    listener.close()
    # reports
    sql("SELECT billing.set_allocation_scheme('team'), billing.set_cost_center('team', 'search'), billing.set_allocation_rule('team', 'all', 1, '{\"target\": \"search\"}')")
    sql("CALL billing.allocate('[2026-10-01,2026-11-01)')")
    for key, form, whom in (("to finance", "csv", "finance"), ("to nobody there", "json", "closed_office"), ("only kept", "csv", None)):
        sql("SELECT billing.set_report_schedule(%s, 'monthly', %s, '{finance@example.com,cfo@example.com}', %s)", key, form, whom)
    expect(one("SELECT billing.run_reports('2026-11-02')") == 3, "three reports are made")
    expect(one("SELECT billing.run_reports('2026-11-03')") == 0, "a report is made once")
    wait_until_finished("finance")
    wait_until_finished("closed_office")
    rows = sql("SELECT schedule, state, problem, endpoint, delivered_at IS NOT NULL, recipients FROM billing.reports ORDER BY 1")
    people = ["finance@example.com", "cfo@example.com"]
    expect(rows == [("only kept", "made", None, None, False, people), ("to finance", "delivered", None, "finance", True, people), ("to nobody there", "dead", "status 404", "closed_office", False, people)], f"reports {rows}")
    report, content = sql("SELECT report, content FROM billing.reports WHERE schedule = 'to finance'")[0]
    body = stub.admin("bodies")[f"billing:report-{report}"]
    expect(body["recipients"] == people and body["content"] == content and '"team","search",direct,EUR,99.50,' in content and stub.effects()[f"billing:report-{report}"] == 1, f"sent {body}")


def check_kills(stub):
    """kill -9 of the worker and of the postmaster, at any moment: nothing lost, nothing twice."""
    rounds = 1000 if FULL else 60 if SAMPLE else 12
    generator = random.Random(20261121)
    stub.admin("reset")
    endpoint("x_kill", stub.url("brief", 1000000), timeout="300ms", connect_timeout="300ms", max_parallel="16", max_attempts="1000")
    expected = []
    for number in range(rounds):
        keys = [f"{number}-{n}" for n in range(20)]
        # writing the same again does nothing, should the server go down in between
        wait_for(lambda: enqueue("x_kill", keys) is None, 60, "messages written")
        expected += keys
        time.sleep(generator.uniform(0, 0.08))
        if number % 4 == 3:
            os.kill(int((SERVER / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            wait_for(lambda: pg_ctl("start", check=False).returncode == 0, 60, "the server")
        else:
            victims = []
            wait_for(lambda: victims.append(worker_pid()) is None and victims[-1], 60, "a worker to kill")
            try:
                os.kill(victims[-1], signal.SIGKILL)
            except ProcessLookupError:
                pass
    wait_for_worker(60)
    wait_until_finished("x_kill", 120)
    effects = stub.effects()
    lost = [key for key in expected if effects.get(key, 0) == 0]
    twice = [key for key in expected if effects.get(key, 0) > 1]
    print(f"# {rounds} kills, {len(expected)} messages, {len(lost)} lost, {len(twice)} twice, "
          f"{one('SELECT count(*) FROM billing.message WHERE endpoint = %s AND attempts > 1', 'x_kill')} needed a second attempt")
    expect(states("x_kill") == {"delivered": len(expected)} and not lost and not twice, f"lost {lost[:5]}, twice {twice[:5]}, {states('x_kill')}")


# Where the worker can be killed, in the order of a delivery; "hold" and "hold-after" are known to the stub, the others to kill.c.
POINTS = ("claimed", "begun", "unwritten", "written", "unsent", "hold", "hold-after", "answered", "judging", "recorded")
VICTIMS = ("worker", "server", "cluster")


def compile_kill():
    """kill.c as a library."""
    library = WORK / "kill.so"
    include = subprocess.check_output([os.environ["PG_CONFIG"], "--includedir-server"], text=True).strip()
    flags = subprocess.check_output(["curl-config", "--cflags"], text=True).split()
    subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-I", include, *flags, "-o", str(library), str(HERE / "kill.c"), "-ldl"], check=True, stderr=subprocess.PIPE)
    return library


def process_state(process):
    """State letter and parent of a process; of one that is gone None."""
    try:
        state, parent = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[:2]
    except OSError:
        return None, None
    return state, int(parent)


def living_children(parent):
    processes = [int(name.split("/")[2]) for name in glob.glob("/proc/[0-9]*/stat")]
    states = [(process, *process_state(process)) for process in processes]
    return [process for process, state, its_parent in states if its_parent == parent and state != "Z"]


def kill_victim(victim):
    postmaster = int((SERVER / "data" / "postmaster.pid").read_text().split()[0])
    if victim == "worker":
        os.kill(worker_pid(), signal.SIGKILL)
    elif victim == "server":
        os.kill(postmaster, signal.SIGKILL)
    else:
        # one that was just being made and was left over would wait for ever for locks of the others: see kill_cluster() in kill.c
        os.kill(postmaster, signal.SIGSTOP)
        while process_state(postmaster)[0] not in ("T", None):
            time.sleep(0.0001)
        while found := living_children(postmaster):
            for process in found:
                os.kill(process, signal.SIGKILL)
        os.kill(postmaster, signal.SIGKILL)


def ensure_server():
    """Starts the server unless it answers; raises while it does neither."""
    try:
        one("SELECT true")
    except psycopg2.OperationalError:
        pg_ctl("start", check=False)
        one("SELECT true")


def kill_at(stub, point, victim, number, generator):
    """One round: a few messages, two of them ordered, and the victim killed when the worker comes to the point."""
    keys = [f"p{number}-{n}" for n in range(4)]
    order, trigger = WORK / "servers" / "kill", point not in ("hold", "hold-after")
    if trigger:
        order.write_text(f"{point} {victim} {generator.randint(1, 3)}")
        shutil.chown(order, "postgres", "postgres") if os.getuid() == 0 else None

    def write():
        ensure_server()     # messages of the round before may have come to the point already
        move_endpoint("x_point", stub.url("none" if trigger else point, 1), connector="shop.pointed", timeout="1s", max_attempts="1000")
        sql("SELECT billing.enqueue_message('x_point', 'order', '{}', k, CASE WHEN n < 3 THEN 'key' END) FROM unnest(%s) WITH ORDINALITY AS u (k, n)", keys)
    # the server may still be on its way down; writing the same again does nothing
    wait_for(lambda: write() is None, 60, "messages written")
    if trigger:
        wait_for(lambda: not order.exists(), 20, f"{point} reached")
    else:
        wait_for(lambda: any(key in stub.admin("arrivals") for key in keys), 20, f"{point} reached")
        wait_for(lambda: kill_victim(victim) is None, 20, "a victim")
    wait_for(lambda: ensure_server() is None, 60, "the server")
    return keys


def check_points(stub):
    """kill -9 of the worker, of the postmaster and of all processes at every step of a delivery: nothing lost, nothing twice."""
    rounds = 34 if FULL else 2 if SAMPLE else 1
    generator = random.Random(20261121)
    library = compile_kill()
    pg_ctl("stop", "-m", "fast")
    os.environ.update(LD_PRELOAD=str(library), BILLING_KILL=str(WORK / "servers" / "kill"))
    expected = []
    try:
        pg_ctl("start")
        wait_for_worker()
        sql("GRANT USAGE ON SCHEMA shop TO PUBLIC")
        sql(f"CREATE FUNCTION shop.hit(cstring) RETURNS void LANGUAGE c AS '{library}', 'hit_point'")
        sql("CREATE FUNCTION shop.pointed(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql AS $$ BEGIN "
            "PERFORM shop.hit(textout(CASE WHEN answer IS NULL THEN 'claimed' ELSE 'judging' END)); RETURN shop.warehouse(message, answer); END $$")
        sql("CREATE FUNCTION shop.hit_by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.hit(textout(CASE NEW.state WHEN 'sending' THEN 'begun' ELSE 'recorded' END)); RETURN NULL; END $$")
        sql("CREATE TRIGGER hit AFTER UPDATE ON billing.message FOR EACH ROW WHEN (NEW.state IN ('sending', 'delivered')) EXECUTE FUNCTION shop.hit_by_trigger()")
        stub.admin("reset")
        for number, (point, victim) in enumerate([(point, victim) for _ in range(rounds) for point in POINTS for victim in VICTIMS]):
            expected += kill_at(stub, point, victim, number, generator)
        wait_for_worker(60)
        wait_for(lambda: ensure_server() is None, 60, "the server")
        wait_for(lambda: move_endpoint("x_point", stub.url("none")) is None, 60, "the server")
        wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint = 'x_point' AND finished_at IS NULL") == 0, 120, "all finished")
        sql("DROP TRIGGER hit ON billing.message")
    finally:
        del os.environ["LD_PRELOAD"], os.environ["BILLING_KILL"]
        pg_ctl("restart", "-m", "fast", check=False)
    effects = stub.effects()
    lost = [key for key in expected if effects.get(key, 0) == 0]
    twice = [key for key in expected if effects.get(key, 0) > 1]
    wait_for_worker()
    print(f"# {rounds * len(POINTS) * len(VICTIMS)} kills at {len(POINTS)} points, {len(expected)} messages, {len(lost)} lost, {len(twice)} twice")
    expect(states("x_point") == {"delivered": len(expected)} and not lost and not twice, f"lost {lost[:5]}, twice {twice[:5]}, {states('x_point')}")


def check_fatal_calls(stub):
    """A connector that takes the process along ends as a dead letter, and so does one whose constraints fail at the commit."""
    calls = {"terminate": "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5);", "kill": "COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID';",
             "deferred": "INSERT INTO shop.child VALUES (1);"}
    sql("CREATE TABLE shop.parent (id int PRIMARY KEY); CREATE TABLE shop.child (id int REFERENCES shop.parent DEFERRABLE INITIALLY DEFERRED)")
    for name, call in calls.items():
        for when, condition in {"first": "answer IS NULL", "later": "NOT (answer IS NULL)"}.items():
            sql(f"CREATE FUNCTION shop.fatal_{name}_{when}(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step LANGUAGE plpgsql SECURITY DEFINER AS "
                f"$$ BEGIN IF {condition} THEN {call} END IF; RETURN billing.step_send(billing.http_request('GET', '/orders')); END $$")
            endpoint(f"f_{name}_{when}", stub.url(), connector=f"shop.fatal_{name}_{when}", max_attempts="2")
    endpoint("f_healthy", stub.url())
    sql("SELECT billing.enqueue_message(e, 'order', '{}', e || n) FROM unnest(%s) AS e CROSS JOIN generate_series(1, CASE e WHEN 'f_healthy' THEN 20 ELSE 1 END) AS n",
        ["f_healthy"] + [f"f_{name}_{when}" for name in calls for when in ("first", "later")])
    wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint LIKE 'f\\_%' AND finished_at IS NULL") == 0, 120, "all finished")
    for name in calls:
        for when in ("first", "later"):
            letters = sql("SELECT attempts, reason FROM billing.message WHERE endpoint = %s AND state = 'dead'", f"f_{name}_{when}")
            wanted = "23503: " if name == "deferred" else "the call of the connector ended the worker's process"
            expect(len(letters) == 1 and letters[0][0] >= 2 and letters[0][1].startswith(wanted), f"{name} {when}: {letters}")
    expect(states("f_healthy") == {"delivered": 20}, f"{states('f_healthy')}")


def check_status(stub):
    """worker_status says what is wrong: role, database, slots, ledger; the worker comes back by itself."""
    state = lambda: one("SELECT state FROM billing.worker_status")
    def setting(name, value):
        sql(f"ALTER SYSTEM SET {name} = '{value}'")
    # a worker that fails again and again says why
    sql("REVOKE EXECUTE ON FUNCTION billing.worker_look_after(bigint[]) FROM billing_worker")
    wait_for(lambda: sql("SELECT state, detail, pid, advice IS NOT NULL FROM billing.worker_status") == [("failing", "permission denied for function worker_look_after", None, True)], 15, "failing, with the reason")
    expect(len([None for _ in range(100) if time.sleep(0.03) or state() == "failing"]) > 80, "failing, but called running most of the time")
    sql("GRANT EXECUTE ON FUNCTION billing.worker_look_after(bigint[]) TO billing_worker")
    wait_for_worker()
    # what cannot be read is refused and changes nothing
    before = worker_pid()
    try:
        setting("billing_worker.databases", "billing,,other")
        raise Failure("a list of databases that cannot be read was taken")
    except psycopg2.errors.InvalidParameterValue:
        pass
    conf = SERVER / "data" / "postgresql.conf"
    text = conf.read_text()
    conf.write_text(text + "\nbilling_worker.databases = 'billing,,other'\n")
    sql("SELECT pg_reload_conf()")
    wait_for(lambda: 'invalid value for parameter "billing_worker.databases"' in (SERVER / "log").read_text(errors="replace"), 10, "a line in the log")
    time.sleep(0.3)
    expect((state(), worker_pid()) == ("running", before), f"after a setting that cannot be read: {state()}")
    conf.write_text(text)
    sql("SELECT pg_reload_conf()")
    # nobody who may log in can keep the worker away
    sql("DROP ROLE IF EXISTS passer_by; CREATE ROLE passer_by LOGIN")
    passer_by = psycopg2.connect(dbname="billing", user="passer_by")
    with passer_by.cursor() as cursor:
        cursor.execute("SELECT count(pg_try_advisory_lock(1651076210, n)) FROM generate_series(0, 100) AS n")
        os.kill(before, signal.SIGTERM)
        wait_for(lambda: state() == "running" and worker_pid() not in (None, before), 15, "the worker beside a session that holds advisory locks")
        cursor.execute("SELECT count(pg_try_advisory_lock(1651076210, n)) FROM generate_series(0, 100) AS n")
        os.kill(worker_pid(), signal.SIGTERM)
        time.sleep(0.2)
        wait_for(lambda: state() == "running", 15, "the worker beside a session that holds all of its advisory locks")
    passer_by.close()
    sql("ALTER ROLE billing_worker RENAME TO renamed_worker")
    os.kill(worker_pid(), signal.SIGTERM)
    wait_for(lambda: state() == "no role", 15, "no role")
    sql("ALTER ROLE renamed_worker RENAME TO billing_worker")
    wait_for_worker()
    setting("billing_worker.databases", "elsewhere")
    sql("SELECT pg_reload_conf()")
    wait_for(lambda: state() == "not wanted", 15, "not wanted")
    expect(sql("SELECT state FROM billing.worker_slots()") == [("no database",)], "no database")
    setting("billing_worker.databases", "billing")
    setting("max_worker_processes", "2")
    pg_ctl("restart", "-m", "fast")
    wait_for(lambda: state() == "no worker slot", 15, "no worker slot")
    sql("ALTER SYSTEM RESET max_worker_processes")
    sql("ALTER SYSTEM RESET billing_worker.databases")
    pg_ctl("restart", "-m", "fast")
    wait_for_worker()
    # a ledger that this library does not know, as after an upgrade without a restart
    sql("CREATE OR REPLACE FUNCTION billing.worker_protocol() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 99")
    wait_for(lambda: state() == "other version", 15, "other version")
    endpoint("v_version", stub.url())
    enqueue("v_version", ["version"])
    time.sleep(0.3)
    expect(states("v_version") == {"waiting": 1}, "a worker that does not know the ledger took a message")
    sql("CREATE OR REPLACE FUNCTION billing.worker_protocol() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1")
    wait_for_worker()
    wait_until_finished("v_version")
    advice = one("SELECT advice FROM billing.worker_status")
    expect(advice is None, f"advice {advice}")


def check_ledger_goes(stub):
    """Ledger and extension dropped in mid-request: the worker goes on without them, and takes up new ones."""
    endpoint("g_gone", stub.url("late", 1), timeout="20s")
    enqueue("g_gone", ["gone"])
    wait_for(lambda: states("g_gone").get("sending") == 1, 10, "out")
    sql("DROP SCHEMA shop CASCADE; CALL billing.uninstall_ledger('destroy all invoices')")
    wait_for(lambda: sql("SELECT state FROM billing.worker_slots()") == [("no ledger",)], 15, "no ledger")
    sql("DROP EXTENSION billing CASCADE")
    wait_for(lambda: one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'billing worker'") == 1, 15, "the worker without the extension")
    sql("CREATE EXTENSION billing CASCADE")
    sql("CALL billing.create_ledger()")
    sql(example())
    wait_for_worker()
    endpoint("g_gone", stub.url())
    enqueue("g_gone", ["back"])
    wait_until_finished("g_gone")


def check_standby(stub):
    """A standby leaves the messages alone; promoted, it delivers them."""
    folder = WORK / "servers" / "standby"
    command = ["pg_basebackup", "-h", str(SERVER), "-p", os.environ["PGPORT"], "-U", "postgres", "-D", str(folder / "data"), "-R", "-c", "fast"]
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with open(folder / "data" / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"\nport = 54399\nunix_socket_directories = '{folder}'\n")
    pg_ctl("start", folder=folder)
    standby = connect(port=54399, host=str(folder))
    try:
        with standby.cursor() as cursor:
            ask = lambda statement: (cursor.execute(statement), cursor.fetchall())[1]
            expect(ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'billing worker%'") == [(0,)], "a worker runs on a standby")
            expect(ask("SELECT state, advice LIKE 'Nothing: %' FROM billing.worker_status") == [("standby", True)], f"{ask('SELECT * FROM billing.worker_status')}")
            # what the first server sends when the standby has lost it nobody knows here: it is looked up; what it has not sent is delivered
            stub.admin("reset")
            for name in ("n_lost", "n_standby"):
                endpoint(name, stub.url())
            enqueue("n_lost", ["lost"], not_before="now() + interval '3 s'")
            enqueue("n_standby", ["standby"], not_before="now() + interval '10 s'")
            wait_for(lambda: ask("SELECT count(*) FROM billing.message WHERE endpoint IN ('n_lost', 'n_standby') AND state = 'delayed'") == [(2,)], 15, "replication")
            cursor.execute("ALTER SYSTEM SET primary_conninfo = ''")
            ask("SELECT pg_reload_conf()")
            wait_for(lambda: ask("SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)], 15, "the standby cut off")
            wait_until_finished("n_lost")
            sql("ALTER SYSTEM SET billing_worker.databases = ''")
            sql("SELECT pg_reload_conf()")
            wait_for(lambda: one("SELECT state FROM billing.worker_status") == "not wanted", 15, "the first server's worker gone")
            expect(stub.effects() == {"lost": 1} and ask("SELECT state, uncertain FROM billing.message WHERE endpoint = 'n_lost'") == [("delayed", False)], f"{stub.effects()}")
            pg_ctl("promote", folder=folder)
            for name in ("n_lost", "n_standby"):
                wait_for(lambda: ask(f"SELECT state, uncertain FROM billing.message WHERE endpoint = '{name}'")[0][0] == "delivered", 20, f"delivery of {name} by the promoted standby")
            expect(stub.effects() == {"lost": 1, "standby": 1}, f"effects by two servers {stub.effects()}")
    finally:
        standby.close()
        pg_ctl("stop", "-m", "immediate", folder=folder, check=False)
        sql("ALTER SYSTEM RESET billing_worker.databases")
        sql("SELECT pg_reload_conf()")
        wait_for_worker()


def check_second_worker(stub):
    """Two workers of one database, as when the launcher ends while one begins: the second one is kept out, whoever that is."""
    log = SERVER / "log"
    told = lambda: log.read_text(errors="replace").count("delivers the messages of database \"billing\" already")
    before = told()
    holder = connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        ask = lambda statement: (cursor.execute(statement), cursor.fetchall())[1]
        waiting = lambda: [row[0] for row in ask("SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND relation = 'pg_db_role_setting'::regclass")]
        beginning = lambda number: sum(b"billing worker billing" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in waiting()) >= number
        worker, launcher = (ask(f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'")[0][0] for kind in ("billing worker", "billing worker launcher"))
        # whoever connects to a database waits for this; the launcher connects to none
        ask("LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE; SELECT")
        os.kill(worker, signal.SIGTERM)
        wait_for(lambda: beginning(1), 15, "a worker begins")
        os.kill(launcher, signal.SIGTERM)
        wait_for(lambda: beginning(2), 15, "another worker begins")
        holder.rollback()
    holder.close()
    wait_for(lambda: told() > before, 15, "the second worker kept out")
    wait_for_worker()
    expect(one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'billing worker'") == 1, "workers")
    endpoint("w_second", stub.url())
    enqueue("w_second", ["second worker"])
    wait_until_finished("w_second")


def check_memory(stub):
    """The worker's memory does not grow with the number of messages."""
    total = 100000 if FULL else 20000 if SAMPLE else 4000
    endpoint("m_memory", stub.url(), max_parallel="64")
    resident = lambda: int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{worker_pid()}/status").read_text()).group(1))
    marks = []
    for part in range(4):
        sql("SELECT count(billing.enqueue_message('m_memory', 'order', '{}', %s || n)) FROM generate_series(1, %s) AS n", f"m{part}-", total // 4)
        wait_until_finished("m_memory", 600)
        marks.append(resident())
    print(f"# resident after each quarter of {total} messages: {marks} kB")
    expect(marks[-1] - marks[0] < 2048, f"memory grew: {marks}")


def schedule_order(stub):
    """Early, because pg_cron looks once a minute."""
    if "pg_cron" in one("SHOW shared_preload_libraries"):
        sql("CREATE EXTENSION IF NOT EXISTS pg_cron")
        endpoint("p_cron", stub.url())
        sql("SELECT cron.schedule('order', '* * * * *', $$SELECT billing.enqueue_message('p_cron', 'order', '{}', 'from cron')$$)")
        sql("SELECT cron.schedule('partitions', '* * * * *', $$CALL billing.maintain_partitions()$$)")


def check_cron(stub):
    """Functions and procedures run by the real pg_cron, as doc/worker.md shows."""
    if "pg_cron" not in one("SHOW shared_preload_libraries"):
        print("skip worker: pg_cron - postgresql-cron of this release is not installed")
        return True
    wait_for(lambda: one("SELECT count(*) FROM cron.job_run_details AS d JOIN cron.job USING (jobid) WHERE jobname = 'partitions' AND d.status = 'succeeded'") > 0, 90, "a procedure called by pg_cron")
    wait_for(lambda: one("SELECT count(*) FROM billing.message WHERE endpoint = 'p_cron' AND state = 'delivered'") == 1, 90, "a message written by pg_cron")
    sql("SELECT cron.unschedule(jobid) FROM cron.job")


def bench(stub):
    """Numbers: requests a second with 64 in flight, messages a second through claim and record alone."""
    endpoint("z_bench", stub.url(), max_parallel="64", timeout="10s")
    sql("SELECT count(billing.enqueue_message('z_bench', 'order', '{}')) FROM generate_series(1, 1000)")
    wait_until_finished("z_bench", 60)
    sql("ALTER SYSTEM SET billing_worker.databases = ''")
    sql("SELECT pg_reload_conf()")
    wait_for(lambda: one("SELECT state FROM billing.worker_status") == "not wanted", 15, "the worker gone")
    sql("SELECT count(billing.enqueue_message('z_bench', 'order', '{}')) FROM generate_series(1, 20000)")
    sql("SELECT count(billing.enqueue_message('z_bench', 'order', '{}', ordering_key => (n % 500)::text)) FROM generate_series(1, 10000) AS n")
    sql("VACUUM ANALYZE billing.message")
    begun = time.monotonic()
    connection = connect()
    done = 0
    ticks = lambda process: sum(int(n) for n in open(f"/proc/{process}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[11:13])
    with connection.cursor() as cursor:
        while done < 10000:
            cursor.execute("BEGIN")
            cursor.execute("SELECT array_agg(message_id) FROM billing.worker_claim('{z_bench}', '{64}', '{all}')")
            ids = cursor.fetchone()[0]
            nulls = [None] * len(ids)
            record = "SELECT billing.worker_record(%s, %s, %s, %s, %s::jsonb[], %s, %s, %s::timestamptz[], %s::timestamptz[], %s::int[], %s::text[], %s::text[], %s::jsonb[])"
            cursor.execute(record, (ids, ["sending"] * len(ids), [True] * len(ids), [0] * len(ids), nulls, [True] * len(ids), [False] * len(ids), nulls, ["infinity"] * len(ids), nulls, nulls, nulls, nulls))
            cursor.execute("COMMIT")
            cursor.execute(record, (ids, ["delivered"] * len(ids), [False] * len(ids), [0] * len(ids), nulls, [False] * len(ids), [False] * len(ids), nulls, nulls, [201] * len(ids), nulls, nulls, nulls))
            done += len(ids)
    print(f"# claim and record alone: {done / (time.monotonic() - begun):.0f} messages/s, {ticks(connection.get_backend_pid()) * 10000 / done:.0f} us of processor time a message")
    sql("ALTER SYSTEM RESET billing_worker.databases")
    left = one("SELECT count(*) FROM billing.message WHERE endpoint = 'z_bench' AND finished_at IS NULL")
    sql("SELECT pg_reload_conf()")
    wait_for_worker()
    wait_until_finished("z_bench", 300)
    rate, pid = one("SELECT count(*) / extract(epoch FROM max(finished_at) - min(first_sent_at)) FROM billing.message WHERE endpoint = 'z_bench' AND message_id > "
                    "(SELECT max(message_id) - %s FROM billing.message)", left), worker_pid()
    print(f"# {left} requests to a local stub with 64 in flight, a third of them ordered: {rate:.0f}/s, {ticks(pid) * 10000 / left:.0f} us of the worker's processor time a request")
    return False


GROUPS = {
    "every fault of the other side": check_answers,
    "addresses that are refused": check_addresses,
    "certificates": check_tls,
    "proxy": check_proxy,
    "secrets": check_secrets,
    "quoted secrets": check_quoted_secrets,
    "paths": check_paths,
    "header fields": check_header_fields,
    "order, dead letters": check_order,
    "locked messages": check_locked,
    "bad connectors": check_connectors,
    "uncertain": check_uncertain,
    "settings": check_settings,
    "latency, idle": check_latency,
    "waiting holds nothing": check_waiting,
    "circuit breaker": check_breaker,
    "locks of connectors": check_locks,
    "large answers": check_large,
    "slots": check_slots,
    "poison": check_poison,
    "wishes": check_wish,
    "credentials": check_credentials,
    "slow connectors": check_slow,
    "limits, sync": check_limits,
    "test_connection": check_connection_test,
    "alerts, reports": check_alerts,
    "kill -9": check_kills,
    "kill at every step": check_points,
    "calls that end the worker": check_fatal_calls,
    "worker_status": check_status,
    "second worker": check_second_worker,
    "flat memory": check_memory,
    "standby": check_standby,
    "pg_cron": check_cron,
    "ledger dropped": check_ledger_goes,
}


def main():
    sql("CREATE EXTENSION billing CASCADE")
    sql("ALTER DATABASE billing SET search_path = \"$user\", public, billing")
    sql("CALL billing.create_ledger()")
    sql(example())
    wait_for_worker()
    stub = Stub()
    schedule_order(stub)
    groups = dict(GROUPS)
    if os.environ.get("BENCH"):
        groups["benchmark"] = bench
    for name, check in groups.items():
        if len(sys.argv) > 1 and not any(wanted in name for wanted in sys.argv[1:]):
            continue
        begun = time.monotonic()
        signal.alarm(14400 if FULL else 900 if SAMPLE else 300)
        try:
            if not check(stub):
                print(f"ok worker: {name}", flush=True)
        except (Failure, psycopg2.Error, OSError, subprocess.SubprocessError, KeyError, TypeError, AttributeError) as problem:
            print(f"not ok worker: {name} - {type(problem).__name__} {' '.join(str(problem).split())[:600]}", flush=True)
        print(f"# {name}: {time.monotonic() - begun:.1f} s", flush=True)


def on_alarm(*_):
    raise Failure("did not end in time, it was at " + " < ".join(f"{step.name} {step.lineno}" for step in reversed(traceback.extract_stack()[-6:-1])))


if __name__ == "__main__":
    # a server that is killed may leave a session without an answer: waiting for one can be interrupted
    psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)
    signal.signal(signal.SIGALRM, on_alarm)
    try:
        main()
    finally:
        for process in processes:
            process.terminate()
