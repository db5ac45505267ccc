"""Push to an HTTP endpoint, and the calls as REST."""

import base64
import http.server
import json
import os
import threading
import time
import unittest
import urllib.error
import urllib.request

from broker import PROJECT, Clients, until


class Endpoint:
    """Answers pushes with the statuses it is given, then with 204; `None` is no answer for a while."""

    def __init__(self, statuses=()):
        self.requests, self.statuses, self.times = [], list(statuses), []
        self.release = threading.Event()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.requests.append((dict(self.headers), body))
                endpoint.times.append(time.monotonic())
                status = endpoint.statuses.pop(0) if endpoint.statuses else 204
                if status is None:
                    endpoint.release.wait(30)
                    status = 500
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/push"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class Push(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    def endpoint(self, statuses=()):
        endpoint = Endpoint(statuses)
        self.addCleanup(endpoint.close)
        return endpoint

    def test_the_envelope(self):
        endpoint = self.endpoint()
        config = {"push_endpoint": endpoint.url, "oidc_token": {"service_account_email": "a@b"}}
        topic, subscription = self.clients.pair(push_config=config)
        message_id = self.clients.publish(topic, "x", attributes={"a": "b"}, ordering_key="k")[0]
        self.assertTrue(until(lambda: endpoint.requests))
        headers, body = endpoint.requests[0]
        self.assertEqual(headers["authorization"], "Bearer pushed")
        envelope = json.loads(body)
        message = envelope["message"]
        published = message.pop("publishTime")
        self.assertEqual(message.pop("publish_time"), published)
        self.assertEqual(
            envelope,
            {
                "subscription": subscription,
                "message": {
                    "data": base64.b64encode(b"x").decode(),
                    "attributes": {"a": "b"},
                    "messageId": message_id,
                    "message_id": message_id,
                    "orderingKey": "k",
                },
            },
        )
        time.sleep(0.2)
        self.assertEqual(len(endpoint.requests), 1)

    def test_what_is_not_taken_comes_again(self):
        endpoint = self.endpoint([500, 404])
        topic, _ = self.clients.pair(push_config={"push_endpoint": endpoint.url})
        self.clients.publish(topic, "x")
        self.assertTrue(until(lambda: len(endpoint.requests) == 3))
        time.sleep(0.3)
        self.assertEqual(len(endpoint.requests), 3)
        gaps = [b - a for a, b in zip(endpoint.times, endpoint.times[1:])]
        self.assertGreater(gaps[0], 0.08)
        self.assertGreater(gaps[1], 0.18)

    def test_an_endpoint_that_hangs_holds_nothing_else_up(self):
        hangs, works = self.endpoint([None]), self.endpoint()
        topic = self.clients.topic()
        for e in (hangs, works):
            self.clients.subscription(topic, push_config={"push_endpoint": e.url})
        self.clients.publish(topic, *(str(i) for i in range(20)))
        self.assertTrue(until(lambda: len(works.requests) == 20 and len(hangs.requests) == 20))

    def test_without_the_envelope(self):
        endpoint = self.endpoint()
        config = {"push_endpoint": endpoint.url, "no_wrapper": {"write_metadata": True}}
        topic, subscription = self.clients.pair(push_config=config)
        self.clients.publish(topic, "raw", attributes={"colour": "red"})
        self.assertTrue(until(lambda: endpoint.requests))
        headers, body = endpoint.requests[0]
        self.assertEqual(body, b"raw")
        self.assertEqual(headers["x-goog-pubsub-subscription-name"], subscription)
        self.assertEqual(headers["colour"], "red")

    def test_a_subscription_can_be_switched(self):
        endpoint = self.endpoint()
        topic, subscription = self.clients.pair()
        modify = self.clients.subscriber.modify_push_config
        modify(request={"subscription": subscription, "push_config": {"push_endpoint": endpoint.url}})
        self.clients.publish(topic, "pushed")
        self.assertTrue(until(lambda: endpoint.requests))
        modify(request={"subscription": subscription, "push_config": {}})
        self.clients.publish(topic, "pulled")
        self.assertEqual([r.message.data for r in self.clients.pull(subscription, 1)], [b"pulled"])


class Rest(unittest.TestCase):
    def call(self, method, path, body=None, status=200):
        data = None if body is None else json.dumps(body).encode()
        url = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}{path}"
        request = urllib.request.Request(url, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                code, text = response.status, response.read()
        except urllib.error.HTTPError as e:
            code, text = e.code, e.read()
        self.assertEqual(code, status, text)
        return json.loads(text) if text.startswith(b"{") else text

    def test_a_life(self):
        self.assertEqual(self.call("GET", "/healthz"), b"ok\n")
        base = f"/v1/projects/{PROJECT}"
        topic, subscription = f"{base}/topics/rest", f"{base}/subscriptions/rest"
        self.assertEqual(self.call("PUT", topic, {"labels": {"a": "b"}})["labels"], {"a": "b"})
        made = self.call("PUT", subscription, {"topic": topic[4:], "ackDeadlineSeconds": 20})
        self.assertEqual((made["ackDeadlineSeconds"], made["state"]), (20, "ACTIVE"))
        payload = base64.b64encode(b"\xff\x00").decode()
        ids = self.call("POST", f"{topic}:publish", {"messages": [{"data": payload, "attributes": {"k": "v"}}]})
        received = self.call("POST", f"{subscription}:pull", {"maxMessages": 10})["receivedMessages"]
        message = received[0]["message"]
        self.assertEqual((message["data"], message["attributes"]), (payload, {"k": "v"}))
        self.assertEqual([message["messageId"]], ids["messageIds"])
        ack_ids = [received[0]["ackId"]]
        self.call("POST", f"{subscription}:modifyAckDeadline", {"ackIds": ack_ids, "ackDeadlineSeconds": 30})
        self.assertEqual(self.call("POST", f"{subscription}:acknowledge", {"ackIds": ack_ids}), {})
        update = {"subscription": {"retainAckedMessages": True}, "updateMask": "retainAckedMessages"}
        self.assertTrue(self.call("PATCH", subscription, update)["retainAckedMessages"])
        self.call("POST", f"{subscription}:seek", {"time": message["publishTime"]})
        again = self.call("POST", f"{subscription}:pull", {"maxMessages": 10})["receivedMessages"]
        self.assertEqual(again[0]["message"]["messageId"], message["messageId"])
        self.assertIn(topic[4:], [t["name"] for t in self.call("GET", f"{base}/topics")["topics"]])
        self.assertEqual(self.call("GET", f"{topic}/subscriptions"), {"subscriptions": [subscription[4:]]})
        self.call("PUT", f"{base}/snapshots/rest", {"subscription": subscription[4:]})
        self.assertEqual(self.call("GET", f"{base}/snapshots/rest")["topic"], topic[4:])
        self.call("DELETE", f"{base}/snapshots/rest")
        schema = {"type": "AVRO", "definition": '"string"'}
        self.call("POST", f"{base}/schemas?schemaId=rest", schema)
        self.assertEqual(self.call("GET", f"{base}/schemas/rest")["definition"], '"string"')
        self.call("DELETE", f"{base}/schemas/rest")
        self.call("DELETE", subscription)
        self.call("DELETE", topic)
        error = self.call("GET", topic, status=404)["error"]
        self.assertEqual((error["code"], error["status"]), (404, "NOT_FOUND"))

    def test_errors(self):
        for method, path, body, status in [
            ("GET", "/", None, 404),
            ("GET", "/v1/nonsense", None, 404),
            ("PUT", "/v1/projects/p/topics/a", {}, 400),
            ("PUT", "/v1/projects/p/topics/abc", {"labels": 5}, 400),
            ("POST", "/v1/projects/p/topics/none:publish", {"messages": [{"data": "!"}]}, 400),
            ("POST", "/v1/projects/p/topics/none:publish", {"messages": [{"data": "eA=="}]}, 404),
            ("POST", "/v1/projects/p/topics/none:nonsense", {}, 404),
        ]:
            self.assertEqual(self.call(method, path, body, status)["error"]["code"], status)
