"""Plays the background worker for the tests of connectors: delivers the outbox by the contract of doc/worker.md, in this process.

The real worker does it with many requests at once and keeps leases; what a connector sees is the same.  Answers come from a server
(http_sender) or from anything else that takes a request and gives an answer.
"""

import base64
import http.client
import json
import time
import urllib.parse


def http_sender(url, user, password, api_key, api_secret):
    """A function that sends requests to a server over one connection that is kept open."""
    place = urllib.parse.urlsplit(url)
    state = {"connection": None}
    secrets = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(), "X-Killbill-ApiKey": api_key, "X-Killbill-ApiSecret": api_secret}

    def send(request):
        if state["connection"] is None:
            state["connection"] = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
        headers = {**json.loads(request["headers"] or "{}"), **secrets}
        body = None if request["body"] is None else request["body"].encode()
        try:
            state["connection"].request(request["method"], request["path"], body, headers)
            answer = state["connection"].getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            state["connection"] = None
            sent = not isinstance(error, ConnectionRefusedError)
            return {"status": None, "headers": None, "body": None, "error": "cut" if sent else "connect", "detail": str(error), "sent": sent}
        return {"status": answer.status, "headers": json.dumps({name.lower(): value for name, value in answer.getheaders()}), "body": content.decode(), "error": None, "detail": None, "sent": True}

    return send


# The next message that may go: the first of its ordering key, none of which is dead or delayed before it.
CLAIM = """
UPDATE billing.message AS m SET state = 'sending', attempts = m.attempts + 1, step = 0, lease_until = clock_timestamp() + interval '1 minute', next_try_at = NULL,
       first_sent_at = coalesce(m.first_sent_at, clock_timestamp())
 WHERE m.message_id = (SELECT x.message_id FROM billing.message AS x
                        WHERE x.state IN ('waiting', 'queued', 'delayed') AND (x.next_try_at IS NULL OR x.next_try_at <= clock_timestamp() OR %(impatient)s)
                          AND x.message_id <> ALL (%(skipped)s)
                          AND NOT EXISTS (SELECT FROM billing.message AS b WHERE b.endpoint = x.endpoint AND b.ordering_key = x.ordering_key AND b.message_id < x.message_id
                                             AND b.state NOT IN ('delivered', 'discarded'))
                        ORDER BY x.priority DESC, x.message_id LIMIT 1)
RETURNING m.message_id
"""

CALL = """
SELECT (s.step).action, (s.step).progress::text, (s.step).result::text, (s.step).reason, (s.step).retry_after,
       ((s.step).request).method, ((s.step).request).path, ((s.step).request).headers::text, ((s.step).request).body
  FROM (SELECT billing.killbill_connector(
                   ROW(m.message_id, m.endpoint, m.kind, m.payload, m.idempotency_key, m.ordering_key, m.attempts, m.step, m.progress, m.uncertain,
                       (SELECT jsonb_object_agg(o.option_name, o.option_value) FROM pg_foreign_server AS f CROSS JOIN pg_options_to_table(f.srvoptions) AS o WHERE f.srvname = m.endpoint))::billing.outgoing_message,
                   CASE WHEN %(begins)s THEN NULL ELSE ROW(%(status)s::int, %(headers)s::jsonb, %(body)s::text, NULL::bytea, %(error)s::text, %(detail)s::text, %(sent)s::boolean, NULL::interval, interval '0')::billing.http_answer END) AS step
          FROM billing.message AS m WHERE m.message_id = %(message)s OFFSET 0) AS s
"""

NO_ANSWER = {"status": None, "headers": None, "body": None, "error": None, "detail": None, "sent": None}


class Outbox:
    """The outbox of one database.  crash(request, answer) may raise to play a worker that is killed at that point."""

    def __init__(self, connection, send, crash=None):
        self.connection, self.send, self.crash = connection, send, crash
        self.requests = 0
        connection.autocommit = True

    def query(self, text, **values):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def finish(self, message, state, reason=None, result=None, retry_after=None):
        """retry_after: a duration as PostgreSQL gives it."""
        self.query("""UPDATE billing.message SET state = %(state)s, reason = %(reason)s, result = coalesce(%(result)s::jsonb, result), lease_until = NULL,
                             next_try_at = CASE WHEN %(state)s = 'delayed' THEN clock_timestamp() + coalesce(%(after)s, interval '1 second') END,
                             finished_at = CASE WHEN %(state)s IN ('delivered', 'dead') THEN clock_timestamp() END
                       WHERE message_id = %(message)s""", state=state, reason=reason, result=result, after=retry_after, message=message)

    def attempt(self, message):
        """One attempt of a message; the transaction of each call of the connector is that of what it writes."""
        answer, steps = None, 0
        while True:
            action, progress, result, reason, after, method, path, headers, body = self.query(
                CALL, message=message, begins=answer is None, **(answer or NO_ANSWER))[0]
            self.query("UPDATE billing.message SET progress = coalesce(%(progress)s::jsonb, progress), step = step + 1, uncertain = uncertain OR %(unsafe)s WHERE message_id = %(message)s",
                       progress=progress, message=message, unsafe=action == "send" and method not in ("GET", "HEAD"))
            steps += 1
            if action != "send" or steps > 1000:
                break
            request = {"method": method, "path": path, "headers": headers, "body": body}
            answer = self.send(request)
            self.requests += 1
            if self.crash:
                self.crash(request, answer)
            if answer["error"] is None and method not in ("GET", "HEAD"):
                self.query("UPDATE billing.message SET uncertain = false WHERE message_id = %(message)s", message=message)
        if action == "delivered":
            self.finish(message, "delivered", result=result)
        elif action == "failed":
            self.finish(message, "dead", reason, result)
        else:
            self.finish(message, "delayed", reason, retry_after=after)
        return action, reason

    def deliver(self, impatient=True, rounds=100000):
        """Delivers what can be delivered; impatient: without the pauses between attempts.  Returns what was not delivered."""
        failed, tries = [], {}
        for _ in range(rounds):
            skipped = [message for message, count in tries.items() if count >= 5]
            claimed = self.query(CLAIM, impatient=impatient, skipped=skipped)
            if not claimed:
                break
            message = claimed[0][0]
            action, reason = self.attempt(message)
            if action == "retry":
                tries[message] = tries.get(message, 0) + 1
                time.sleep(0.2)
            if action != "delivered":
                failed.append((message, action, reason))
        return failed

    def revive(self):
        """What the worker does after a crash: messages that were being sent go again."""
        self.query("UPDATE billing.message SET state = 'waiting', lease_until = NULL WHERE state = 'sending'")
