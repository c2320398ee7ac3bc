#!/usr/bin/env python3
"""An outside system that misbehaves on demand:   stub.py PORT [--tls CERTIFICATE KEY]

An order is placed by POST /FAULT/N/orders with a JSON body that has "reference"; each order that arrives is an effect, and nothing
keeps a second one of the same reference out.  GET /FAULT/N/orders?reference=… lists the orders of that reference.  The first N
requests of each reference meet FAULT, later ones are fine:

    none           keyed (a second order of the same Idempotency-Key is none)
    brief          carries out, answers after 20 ms
    delay          answers after 0.5 s                        late           carries out, answers after 3 s
    close          closes before reading on, no effect        close-after    carries out, then closes without an answer
    cut            carries out, half an answer, closes        short          carries out, a shorter body than announced, closes
    long           a longer body than announced               400 … 599      that status, no effect
    429            with Retry-After: 1                        huge           carries out, answers with 100 MB
    utf8           carries out, a body that is no UTF-8       nul            carries out, a zero byte in the body
    redirect       302 to a link-local address                loop           302 to itself
    bomb           carries out, 100 MB of zeros in gzip       gzip           carries out, an answer in gzip
    html           carries out, an answer that is no JSON     500-after      carries out, then status 500
    hold           no effect, no answer ever                  hold-after     carries out, no answer ever
    garbage        carries out, an answer that is no HTTP      bulk           carries out, answers with 3 MB of JSON
    picky          status 500 to every reference with "bad"  throttle       carries out 20 orders a second, 429 with Retry-After: 1 to others
    login          401 unless the token is "right"           rights         403 unless it is, and to every reference with "bad"
    fields         carries out, 9000 short header fields      field          carries out, a header field of 200 kB
    wide           carries out, header fields of 90 kB        never          429 with Retry-After: 9223372036854775807
    echo           carries out, quotes the header fields x-… as they came, as JSON and URLs write them

GET /admin/effects gives {reference: number of orders}, GET /admin/counts {"requests": …, "connections": …, "most_at_once": …},
POST /admin/reset forgets everything; GET /admin/headers gives the header fields of the last order, GET /admin/arrivals
when each reference came first, and GET /admin/bodies the last body of each; GET /admin/targets the last target of each.
"""
import asyncio
import email.utils
import gzip
import json
import ssl
import sys
import time
import urllib.parse

effects = {}
keys = set()
met = {}
counts = {"requests": 0, "connections": 0, "at_once": 0, "most_at_once": 0}
last_headers = {}
arrivals = {}
spent = {}
BULK = json.dumps([{"number": n, "words": [str(n)] * 8} for n in range(40000)]).encode()
bodies = {}
targets = {}
BOMB = gzip.compress(b"\0" * 100_000_000)


def answer(status, body=b"", headers="", length=None):
    """The bytes of an answer; length announces another one than that of the body."""
    return (f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if length is None else length}\r\nDate: {email.utils.formatdate(usegmt=True)}\r\n"
            f"Content-Type: application/json\r\n{headers}\r\n").encode() + body


class Stub(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""
        counts["connections"] += 1

    def data_received(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:])}
            length = int(headers.get("content-length", 0))
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4:end + 4 + length]
            self.buffer = self.buffer[end + 4 + length:]
            method, target, _ = head[0].split(" ", 2)
            self.handle(method, target, headers, body)

    def send(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    def later(self, seconds, data):
        counts["at_once"] += 1
        counts["most_at_once"] = max(counts["most_at_once"], counts["at_once"])

        def finish():
            counts["at_once"] -= 1
            self.send(data)
        asyncio.get_running_loop().call_later(seconds, finish)

    def handle(self, method, target, headers, body):
        path, _, query = target.partition("?")
        parts = path.strip("/").split("/")
        if parts[0] == "admin":
            self.send(self.admin(parts[1]))
            return
        counts["requests"] += 1
        fault, times = parts[0], int(parts[1])
        if method == "GET":
            self.look_up(fault, times, urllib.parse.parse_qs(query).get("reference", [""])[0])
        else:
            last_headers.clear()
            last_headers.update(headers)
            order = json.loads(body)
            bodies[order["reference"]] = order
            targets[order["reference"]] = target
            self.place(fault, times, order["reference"], headers)

    def admin(self, what):
        if what == "reset":
            effects.clear(), keys.clear(), met.clear(), bodies.clear(), targets.clear()
            counts.update(requests=0, connections=0, at_once=0, most_at_once=0)
        return answer(200, json.dumps({"effects": effects, "counts": counts, "headers": last_headers, "arrivals": arrivals, "bodies": bodies, "targets": targets}.get(what, {})).encode())

    def look_up(self, fault, times, reference):
        self.send(answer(200, json.dumps([{"reference": reference}] * effects.get(reference, 0)).encode()))

    def place(self, fault, times, reference, headers):
        arrivals.setdefault(reference, time.time())
        seen = met[reference] = met.get(reference, 0) + 1
        if (fault == "throttle" and not self.is_within_rate()) or (fault == "picky" and "bad" in reference) or (fault in ("login", "rights") and headers.get("authorization") != "Bearer right") or (fault == "rights" and "bad" in reference):
            self.send({"throttle": answer(429, b"{}", "Retry-After: 1\r\n"), "picky": answer(500, b"{}"), "login": answer(401, b"{}"), "rights": answer(403, b"{}")}[fault])
        elif seen > times or fault == "none":
            self.carry_out(reference, headers if fault == "keyed" else None)
            self.send(answer(201, b'{"id": 1}'))
        elif fault == "keyed":
            self.carry_out(reference, headers)
            self.send(answer(201, b'{"id": 1}'))
        else:
            self.misbehave(fault, reference)

    def is_within_rate(self):
        second = int(time.time())
        spent[second] = spent.get(second, 0) + 1
        return spent[second] <= 20

    def carry_out(self, reference, headers=None):
        if headers is not None:
            if headers["idempotency-key"] in keys:
                return
            keys.add(headers["idempotency-key"])
        effects[reference] = effects.get(reference, 0) + 1

    def misbehave(self, fault, reference):
        good = answer(201, b'{"id": 1}')
        if fault in ("late", "close-after", "cut", "short", "huge", "utf8", "nul", "bomb", "gzip", "html", "500-after", "hold-after", "delay", "brief", "long", "garbage", "bulk", "echo", "fields", "field", "wide"):
            self.carry_out(reference)
        if fault in ("hold", "hold-after"):
            pass
        elif fault == "delay":
            self.later(0.5, good)
        elif fault == "brief":
            self.later(0.02, good)
        elif fault == "late":
            self.later(3, good)
        elif fault in ("close", "close-after"):
            self.transport.abort()
        elif fault == "cut":
            self.send(good[:len(good) // 2])
            self.transport.close()
        elif fault == "short":
            self.send(answer(201, b'{"id": 1', length=100))
            self.transport.close()
        elif fault == "long":
            self.send(answer(201, b'{"id": 1}trailing garbage', length=9))
        elif fault == "429":
            self.send(answer(429, b"{}", "Retry-After: 1\r\n"))
        elif fault == "500-after":
            self.send(answer(500, b"{}"))
        elif fault.isdigit():
            self.send(answer(int(fault), b'{"message": "the secret is s3cr3t-value"}'))
        elif fault == "huge":
            self.send(answer(201, b"x" * 100_000_000))
        elif fault == "utf8":
            self.send(answer(201, b'{"id": "\xff\xfe"}'))
        elif fault == "nul":
            self.send(answer(201, b'{"id": "\0"}'))
        elif fault == "html":
            self.send(answer(201, b"<html>&nbsp;</html>"))
        elif fault == "redirect":
            self.send(answer(302, b"", "Location: http://169.254.169.254/latest/meta-data/\r\n"))
        elif fault == "loop":
            self.send(answer(302, b"", "Location: /loop/1/orders\r\n"))
        elif fault == "bomb":
            self.send(answer(201, BOMB, "Content-Encoding: gzip\r\n"))
        elif fault == "garbage":
            self.send(b"what is this? " * 700)
            self.transport.close()
        elif fault == "bulk":
            self.send(answer(201, BULK))
        elif fault == "fields":
            self.send(answer(201, b"{}", "".join(f"{number}:\r\n" for number in range(9000))))
        elif fault == "field":
            self.send(answer(201, b"{}", "Long: " + "x" * 200_000 + "\r\n"))
        elif fault == "wide":
            self.send(answer(201, b"{}", ("Wide: " + "x" * 30_000 + "\r\n") * 3))
        elif fault == "never":
            self.send(answer(429, b"{}", "Retry-After: 9223372036854775807\r\n"))
        elif fault == "echo":
            quoted = [value for name, value in last_headers.items() if name.startswith("x-")]
            letters = ('"' + "".join(f"\\u{ord(letter):04X}" for letter in value) + '"' for value in quoted)
            rows = [json.dumps(quoted), json.dumps(quoted).replace("/", "\\/"), "[" + ", ".join(letters) + "]",
                    json.dumps([urllib.parse.quote(value, safe="") for value in quoted]), json.dumps([urllib.parse.quote_plus(value).lower() for value in quoted])]
            self.send(answer(201, ("[" + ", ".join(rows) + "]").encode()))
        elif fault == "gzip":
            self.send(answer(201, gzip.compress(b'{"id": 2}'), "Content-Encoding: gzip\r\n"))
        else:
            self.send(answer(404, b"{}"))


async def serve(port, certificate, key):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, ssl=context, backlog=512)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    tls = sys.argv[3:5] if len(sys.argv) > 3 and sys.argv[2] == "--tls" else (None, None)
    asyncio.run(serve(int(sys.argv[1]), *tls))
