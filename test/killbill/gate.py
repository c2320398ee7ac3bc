"""Stands between the worker and a Kill Bill server and makes trouble on demand: it passes requests on one by one, and may

    stay shut        nobody can connect: an outage
    lose an answer   the server carries the request out, the worker sees the connection close
    call kill()      before the request is passed on, once it is carried out, or once its answer was passed on

Trouble comes by chance, with a seed, while it is wanted (trouble = True).
"""

import http.client
import http.server
import random
import threading
import urllib.parse


class Gate:
    """listens on a free port of loopback; kill: called in a thread of the gate."""

    def __init__(self, url, kill, seed):
        self.place = urllib.parse.urlsplit(url)
        self.kill, self.chance, self.lock = kill, random.Random(seed), threading.Lock()
        self.trouble, self.losses, self.kills, self.kills_left, self.entered = False, 0, 0, 0, 0
        self.chance_of_kill, self.chance_of_loss = 0.03, 0.05
        self.passing = set()        # numbers of the requests that are on their way or are being carried out
        self.server = self.port = None
        self.open()
        self.url = f"http://127.0.0.1:{self.port}"

    def open(self):
        gate = self

        class Handler(Passage):
            owner = gate

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port or 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None      # a worker that was killed leaves its connections
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def shut(self):
        """Takes no more connections; those that are open end with their next request."""
        server, self.server = self.server, None
        server.shutdown()
        server.server_close()

    def fate(self):
        """What shall happen to the next request."""
        with self.lock:
            if not self.trouble:
                return "pass"
            drawn = self.chance.random()
            if drawn < self.chance_of_kill and self.kills_left > 0:
                self.kills_left -= 1
                self.kills += 1
                return self.chance.choice(("kill before", "kill between", "kill after"))
            if drawn > 1 - self.chance_of_loss:
                self.losses += 1
                return "lose"
            return "pass"


class Passage(http.server.BaseHTTPRequestHandler):
    """One connection of the worker, with one of its own to the server."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner = None
    onward = None

    def log_message(self, *_):
        pass

    def ask(self, body):
        """The server's answer; a connection that it has closed meanwhile is opened again before anything is sent."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "accept-encoding")}
        if self.onward is None:
            self.onward = http.client.HTTPConnection(self.owner.place.hostname, self.owner.place.port, timeout=180)
        self.onward.request(self.command, self.path, body, headers)
        answer = self.onward.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def meet(self):
        owner = self.owner
        with owner.lock:
            number = owner.entered = owner.entered + 1
            owner.passing.add(number)
        try:
            self.pass_on()
        finally:
            with owner.lock:
                owner.passing.discard(number)

    def pass_on(self):
        owner = self.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fate = owner.fate()
        self.close_connection = owner.server is None
        if self.close_connection:
            return
        if fate == "kill before":
            owner.kill()
            self.close_connection = True
            return
        status, headers, content = self.ask(body or None)
        if fate == "kill between":
            owner.kill()
        if fate in ("kill between", "lose"):
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "keep-alive"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if fate == "kill after":
            owner.kill()

    do_GET = do_POST = do_PUT = do_DELETE = meet
