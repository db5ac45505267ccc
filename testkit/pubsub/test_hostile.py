"""Clients that send nonsense, or take without giving back."""

import contextlib
import os
import socket
import threading
import time
import unittest

import grpc
from google.cloud import pubsub_v1

from broker import Clients, until
import run

SERVICE = "/google.pubsub.v1."


def memory_bytes():
    with open(f"/proc/{run.SHARED.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


class Hostile(unittest.TestCase):
    def setUp(self):
        self.clients = Clients()
        self.addCleanup(self.clients.close)
        self.channel = grpc.insecure_channel(
            os.environ["PUBSUB_EMULATOR_HOST"], [("grpc.max_send_message_length", -1)]
        )
        self.addCleanup(self.channel.close)

    def refused(self, method, payload, code):
        with self.assertRaises(grpc.RpcError) as caught:
            self.channel.unary_unary(SERVICE + method)(payload, timeout=30)
        self.assertEqual(caught.exception.code(), code, caught.exception)

    def test_bytes_that_are_no_call(self):
        host, port = os.environ["PUBSUB_EMULATOR_HOST"].split(":")
        for nonsense in [b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100]:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                # The broker may hang up at any point of this.
                with contextlib.suppress(OSError):
                    connection.sendall(nonsense)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1000):
                        pass
        self.assertTrue(self.clients.topic())

    def test_calls_that_cannot_be_read(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        for method in ["Publisher/CreateTopic", "Publisher/Publish", "Subscriber/Pull", "Subscriber/Acknowledge"]:
            for payload in [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x01\xff", b"\x0b\x0c", b""]:
                self.refused(method, payload, invalid)
        self.refused("Publisher/Nonsense", b"", grpc.StatusCode.UNIMPLEMENTED)
        topic = self.clients.topic().encode()
        for message in [b"\x08\x01", b"\x0a\x7f", b"\x12\x03\x0a\x01\xff", b"\x2a\x01\xff"]:
            payload = b"\x0a" + bytes([len(topic)]) + topic + b"\x12" + bytes([len(message)]) + message
            self.refused("Publisher/Publish", payload, invalid)
        streaming = self.channel.stream_stream(SERVICE + "Subscriber/StreamingPull")
        with self.assertRaises(grpc.RpcError) as caught:
            list(streaming(iter([b"\xff"]), timeout=30))
        self.assertEqual(caught.exception.code(), invalid)
        self.refused("Publisher/Publish", b"\x0a" + b"\xff" * (21 << 20), grpc.StatusCode.OUT_OF_RANGE)

    def test_clients_that_take_and_do_not_give_back(self):
        topic, subscription = self.clients.pair()
        for _ in range(30):
            self.clients.publish(topic, *[b"x" * 10_000] * 100)
        before = memory_bytes()
        requests = pubsub_v1.types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=10)
        held = threading.Event()
        self.addCleanup(held.set)

        def ask():
            yield pubsub_v1.types.StreamingPullRequest.serialize(requests)
            held.wait(30)

        streaming = self.channel.stream_stream(SERVICE + "Subscriber/StreamingPull")
        # Each is read once and then left alone: what they are sent waits in the broker, or is not made.
        streams = [streaming(ask()) for _ in range(20)]
        readers = [threading.Thread(target=next, args=(s,), daemon=True) for s in streams]
        for reader in readers:
            reader.start()
        time.sleep(1)
        self.assertLess(memory_bytes() - before, 150 << 20)
        for stream in streams:
            stream.cancel()
        # 30 MB went to clients that are gone; the rest of the broker goes on, and the messages come again.
        other, other_subscription = self.clients.pair()
        self.clients.publish(other, "x")
        self.assertEqual(len(self.clients.pull(other_subscription, 1)), 1)
        again = set()

        def came_again():
            received = self.clients.pull_now(subscription, 1000)
            again.update(r.message.message_id for r in received)
            if received:
                self.clients.ack(subscription, received)
            return len(again) == 3000

        self.assertTrue(until(came_again, 40), len(again))


if __name__ == "__main__":
    unittest.main()
