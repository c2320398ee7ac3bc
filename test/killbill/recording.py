"""Recorded requests and answers of a Kill Bill server, and a stub that plays them.

A recording is a folder of files NAME.http: a request, a line "### response", the answer.  The stub is told which recorded requests must
come next.  It compares each request that comes with the recorded one: method, path, query (as a set), the headers in HEADERS, and the
body as JSON value, as canonical XML or as text.  What is recorded is answered; anything else is written down as a failure and gets an
empty 501: no answer is ever invented.

Ids are mapped both ways, one to one.  Ids that the server gave are replaced by fresh ones in every answer, so that a request can name
them only if it took them from an answer (or if the test placed them).  Ids that the client chooses are learnt from its requests.
"""

import base64
import decimal
import http.server
import json
import pathlib
import re
import threading
import urllib.parse
import uuid
import xml.etree.ElementTree

HEADERS = ("authorization", "x-killbill-apikey", "x-killbill-apisecret", "x-killbill-createdby", "content-type", "accept")
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# How much the recorder kept of the body of a request; of longer ones only the beginning can be compared.
KEPT = 3000
# Ids that are the same on every server: definitions of system tags.
FIXED = re.compile("^00000000-0000-000[01]-0000-")


class Names:
    """A bijection between the ids of a recording and ours, by kind."""

    def __init__(self):
        self.to_ours, self.to_recorded = {}, {}

    def place(self, recorded):
        """Our id for one that the server gave."""
        if FIXED.match(recorded):
            return recorded
        if ("server", recorded) not in self.to_ours:
            self.learn("server", recorded, str(uuid.uuid4()))
        return self.to_ours["server", recorded]

    def learn(self, kind, recorded, ours):
        """Whether the two may stand for each other; from then on they do."""
        known = self.to_ours.setdefault((kind, recorded), ours), self.to_recorded.setdefault((kind, ours), recorded)
        return known == (ours, recorded)

    def forget(self, kind):
        for known in (self.to_ours, self.to_recorded):
            for key in [key for key in known if key[0] == kind]:
                del known[key]

    def placed(self, text):
        """A text of the recording with our ids."""
        return UUID.sub(lambda found: self.place(found[0]), text)

    def same(self, recorded, ours):
        """Whether two texts are the same up to ids that the server gave."""
        return UUID.sub(lambda found: self.to_ours.get(("server", found[0]), found[0]), recorded) == ours


class Exchange:
    """One recorded request and its answer."""

    def __init__(self, file):
        self.name = file.stem
        request, answer = file.read_text().split("\n### response", 1)
        head, _, body = request.partition("\n\n")
        first, *lines = head.splitlines()
        self.method, self.target, _ = first.split(" ")
        self.headers = dict(self.header(line) for line in lines)
        self.body = body.strip("\n")
        head, _, body = answer.split("\n", 1)[1].partition("\n\n")
        first, *lines = head.splitlines()
        self.status = int(first.split(" ")[1])
        self.answer_headers = dict(self.header(line) for line in lines)
        self.answer = body[:-1] if body.endswith("\n") else body
        if self.answer_headers.get("content-length") == "0" or self.status == 204:
            self.answer = ""

    @staticmethod
    def header(line):
        name, _, value = line.partition(":")
        value = value.strip()
        if value.startswith("Basic <"):
            value = value.replace("<", "").replace(">", "")
        return name.lower(), value

    @property
    def json(self):
        return json.loads(self.body, parse_float=decimal.Decimal)

    @property
    def answer_json(self):
        return json.loads(self.answer, parse_float=decimal.Decimal)


class Recording(dict):
    """The exchanges of a folder by name, found by the beginning of the name too: "20" is 20-catalog-validate."""

    def __init__(self, folder):
        super().__init__((exchange.name, exchange) for exchange in (Exchange(file) for file in sorted(pathlib.Path(folder).glob("*.http"))))
        catalog = (pathlib.Path(folder).parent / "catalog.xml").read_text().strip("\n")
        for exchange in self.values():
            if len(exchange.body) == KEPT and catalog.startswith(exchange.body):
                exchange.body = catalog   # kept whole elsewhere

    def __missing__(self, beginning):
        found = [exchange for name, exchange in self.items() if name.startswith(beginning + "-")]
        if len(found) != 1:
            raise KeyError(f"{len(found)} exchanges begin with {beginning}-")
        return found[0]


class Comparison:
    """What differs between a recorded request and one of ours, as short sentences; learns ids on the way."""

    def __init__(self, exchange, names, method, target, headers, body, secrets=True):
        self.names, self.differences = names, []
        recorded, ours = urllib.parse.urlsplit(exchange.target), urllib.parse.urlsplit(target)
        if exchange.method != method:
            self.add("method", exchange.method, method)
        if not names.same(urllib.parse.unquote(recorded.path), urllib.parse.unquote(ours.path)):
            self.add("path", names.placed(recorded.path), ours.path)
        self.members("query ", *(dict(urllib.parse.parse_qsl(part.query, keep_blank_values=True, strict_parsing=bool(part.query))) for part in (recorded, ours)))
        self.compare_headers(exchange.headers, headers, HEADERS if secrets else HEADERS[3:])
        self.compare_bodies(exchange.body, body or "")

    def add(self, what, recorded, ours):
        self.differences.append(f"{what} is {json.dumps(ours, default=str)}, not {json.dumps(recorded, default=str)}")

    def compare_headers(self, recorded, ours, wanted):
        ours = {name.lower(): value for name, value in ours.items()}
        if ours.get("authorization", "").startswith("Basic "):
            try:
                ours["authorization"] = "Basic " + base64.b64decode(ours["authorization"][6:], validate=True).decode()
            except ValueError:
                pass   # differs as it is
        for name in wanted:
            if name == "x-killbill-createdby" and name in recorded and name in ours:
                if not self.names.learn("creator", recorded[name], ours[name]):
                    self.add(name, recorded[name], ours[name])
            elif recorded.get(name) != ours.get(name):
                self.add("header " + name, recorded.get(name), ours.get(name))

    def compare_bodies(self, recorded, ours):
        if len(recorded) == KEPT:
            if not ours.startswith(recorded):
                self.differences.append("body begins otherwise")
        elif recorded.startswith("<?xml"):
            try:
                if xml.etree.ElementTree.canonicalize(recorded) != xml.etree.ElementTree.canonicalize(ours):
                    self.differences.append("body is another XML document")
            except xml.etree.ElementTree.ParseError as error:
                self.differences.append(f"body is no XML: {error}")
        elif recorded[:1] in ("{", "["):
            try:
                self.values("body", *(json.loads(text, parse_float=decimal.Decimal) for text in (recorded, ours)))
            except json.JSONDecodeError as error:
                self.differences.append(f"body is no JSON: {error}")
        elif recorded != ours:
            self.add("body", recorded, ours)

    def members(self, where, recorded, ours, of=None):
        for name in recorded.keys() | ours.keys():
            if name not in ours:
                self.differences.append(f"{where}{name} is missing")
            elif name not in recorded:
                self.differences.append(f"{where}{name} is added")
            elif name == "trackingId":
                if not self.names.learn("tracking", recorded[name], ours[name]):
                    self.add(where + name, recorded[name], ours[name])
            elif name == "itemDetails":
                # A recorder may use one reference for all items: together with the description it says which.
                if not self.names.learn("reference of " + str(recorded.get("description")), recorded[name], ours[name]):
                    self.add(where + name, recorded[name], ours[name])
            else:
                self.values(where + name, recorded[name], ours[name])

    def values(self, where, recorded, ours):
        if isinstance(recorded, dict) and isinstance(ours, dict):
            self.members(where + ".", recorded, ours)
        elif isinstance(recorded, list) and isinstance(ours, list):
            if len(recorded) != len(ours):
                self.differences.append(f"{where} has {len(ours)} values, not {len(recorded)}")
            for number, pair in enumerate(zip(recorded, ours)):
                self.values(f"{where}[{number}]", *pair)
        elif isinstance(recorded, str) and isinstance(ours, str):
            if not self.names.same(recorded, ours):
                self.add(where, self.names.placed(recorded), ours)
        elif isinstance(recorded, bool) != isinstance(ours, bool) or isinstance(recorded, str) != isinstance(ours, str) or recorded != ours:
            self.add(where, recorded, ours)


class Stub:
    """Listens on a free port of loopback; expect() says what must come."""

    def __init__(self):
        self.names, self.expected, self.played, self.failures, self.taken = Names(), [], [], [], []
        stub = self

        class Handler(Place):
            owner = stub

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def expect(self, exchanges):
        self.expected, self.played, self.failures = list(exchanges), [], []

    def answer_of(self, exchange):
        """Status, headers and body of a recorded answer, with our ids."""
        body = exchange.answer
        if body[:1] in ("{", "[") and '"itemDetails"' in body:
            body = self.refer(body)
        headers = {name: self.names.placed(value) for name, value in exchange.answer_headers.items() if name not in ("content-length", "transfer-encoding", "connection")}
        return exchange.status, headers, self.names.placed(body)

    def refer(self, body):
        """An answer whose items carry our references."""
        for (kind, recorded), ours in self.names.to_ours.items():
            if kind.startswith("reference of "):
                description = kind.removeprefix("reference of ")
                body = re.sub(r'("description":%s(?:(?!"description":).)*?"itemDetails":)%s' % (re.escape(json.dumps(description, ensure_ascii=False)), re.escape(json.dumps(recorded))),
                              lambda found, ours=ours: found[1] + json.dumps(ours), body)
        return body

    def take(self, method, target, headers, body):
        if not self.expected:
            self.failures.append(f"{method} {target} {body} was not recorded here")
            return 501, {}, ""
        exchange = self.expected[0]
        differences = Comparison(exchange, self.names, method, target, headers, body).differences
        if differences:
            self.failures.append(f"{method} {target} differs from {exchange.name}: " + "; ".join(sorted(differences)))
            return 501, {}, ""
        self.played.append(self.expected.pop(0))
        self.taken.append((exchange, (method, target, headers, body)))
        return self.answer_of(exchange)


class Place(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *arguments):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status, headers, content = self.owner.take(self.command, self.path, dict(self.headers.items()), body)
        content = content.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = serve
