"""The broker as a process: stopped, killed, started again, asked for a token."""

import http.client
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

import grpc
from google.api_core import exceptions
from google.pubsub_v1.services.publisher.transports.grpc import PublisherGrpcTransport
from google.cloud import pubsub_v1

import run
from broker import Broker, Clients, until


class Process(unittest.TestCase):
    def start(self, *options):
        broker = Broker(run.BINARY, *options)
        self.addCleanup(run.use_shared)
        self.addCleanup(broker.remove)
        return broker.start()

    def again(self, broker, clients, how):
        clients.close()
        status = broker.stop(how)
        if how == signal.SIGTERM:
            self.assertEqual(status, 0)
        broker.start()
        return Clients()

    def test_everything_is_there_after_a_restart(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            broker = self.start()
            clients = Clients()
            topic, plain = clients.pair(labels={"a": "b"})
            once = clients.subscription(topic, enable_exactly_once_delivery=True)
            ids = clients.publish(topic, *(str(i) for i in range(100)))
            acked = {r.message.message_id for r in clients.pull(once, 40)}
            clients = self.again(broker, clients, how)
            self.assertEqual({r.message.message_id for r in clients.pull(plain, 100)}, set(ids))
            rest = {r.message.message_id for r in clients.pull(once, 60)}
            self.assertEqual(rest, set(ids) - acked)
            self.assertEqual(clients.pull_now(once), [])
            new = clients.publish(topic, "new")
            self.assertGreater(int(new[0]), int(max(ids, key=int)))
            clients.close()

    def test_a_streaming_client_survives_a_restart(self):
        broker = self.start()
        clients = Clients()
        topic, subscription = clients.pair()
        seen = []

        def callback(message):
            seen.append(message.data)
            message.ack()

        with clients.streaming(subscription, callback):
            clients.publish(topic, "before")
            self.assertTrue(until(lambda: seen == [b"before"]))
            broker.stop()
            broker.start(listen=broker.host)
            clients.publish(topic, "after")
            self.assertTrue(until(lambda: b"after" in seen), seen)
        clients.close()

    def refusal(self, *options):
        command = [*run.BINARY, "broker", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        return done.stderr

    def test_what_does_not_start(self):
        broker = self.start()
        self.assertIn("in use by another program", self.refusal("--listen", broker.host, "--data", broker.folder + "2"))
        self.assertIn("in use by another process", self.refusal("--listen", "127.0.0.1:0", "--data", broker.folder))
        self.assertIn("--token", self.refusal("--listen", "0.0.0.0:0", "--data", broker.folder + "2"))

    def test_a_token(self):
        broker = self.start("--token", "secret")
        name = {"name": "projects/p/topics/abc"}
        with self.assertRaises(exceptions.Unauthenticated):
            pubsub_v1.PublisherClient().create_topic(request=name, retry=None, timeout=10)
        for token, error in [("wrong", exceptions.Unauthenticated), ("secret", None)]:
            metadata = [("authorization", f"Bearer {token}")]
            channel = grpc.insecure_channel(broker.host)
            client = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            if error:
                with self.assertRaises(error):
                    client.create_topic(request=name, metadata=metadata, retry=None, timeout=10)
            else:
                client.create_topic(request=name, metadata=metadata)
            channel.close()
        connection = http.client.HTTPConnection(broker.host, timeout=10)
        connection.request("GET", "/v1/projects/p/topics")
        self.assertEqual(connection.getresponse().status, 401)
        connection.close()

    def test_tls(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
            check=True,
            capture_output=True,
        )
        self.assertIn("cannot be used for TLS", self.refusal("--tls-cert", key, "--tls-key", key, "--data", folder))
        broker = self.start("--tls-cert", cert, "--tls-key", key)
        address = f"localhost:{broker.host.split(':')[1]}"
        with open(cert, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, credentials)
        client = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        client.create_topic(request={"name": "projects/p/topics/abc"}, retry=None, timeout=20)
        channel.close()
        connection = http.client.HTTPSConnection(address, context=ssl.create_default_context(cafile=cert), timeout=20)
        connection.request("GET", "/v1/projects/p/topics")
        self.assertIn(b"projects/p/topics/abc", connection.getresponse().read())
        connection.close()
