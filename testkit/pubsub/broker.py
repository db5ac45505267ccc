"""A broker of one test run, and what the tests share."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.types import FlowControl
from google.pubsub_v1.services.publisher import client as publisher_client

PROJECT = "purlin-tests"  # Beam wants at least six characters
WAIT_SECONDS = 30


class Broker:
    """`purlin broker` in a process of its own, on a port that is free."""

    def __init__(self, binary, *options):
        self.binary, self.options = binary, options
        self.folder = tempfile.mkdtemp(prefix="purlin-broker-")
        self.process = None

    def start(self, listen="127.0.0.1:0"):
        command = [*self.binary, "broker", "--listen", listen, "--data", self.folder, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = self.process.stdout.readline() + self.process.stdout.readline()
        found = re.search(r"export PUBSUB_EMULATOR_HOST=(\S+)", lines)
        if not found:
            self.process.kill()
            raise RuntimeError(f"the broker does not start: {lines!r}")
        self.host = found.group(1)
        os.environ["PUBSUB_EMULATOR_HOST"] = self.host
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()
        return status

    def remove(self):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Clients:
    """Google's clients, and short names for what the tests do often."""

    def __init__(self, **publisher_options):
        self.publisher = pubsub_v1.PublisherClient(**publisher_options)
        self.subscriber = pubsub_v1.SubscriberClient()

    def topic(self, **fields):
        name = f"projects/{PROJECT}/topics/t{uuid.uuid4().hex}"
        return self.publisher.create_topic(request={"name": name, **fields}).name

    def subscription(self, topic, **fields):
        name = f"projects/{PROJECT}/subscriptions/s{uuid.uuid4().hex}"
        request = {"name": name, "topic": topic, **fields}
        return self.subscriber.create_subscription(request=request).name

    def pair(self, **fields):
        topic = self.topic()
        return topic, self.subscription(topic, **fields)

    def publish(self, topic, *payloads, **options):
        messages = [{"data": p if isinstance(p, bytes) else p.encode(), **options} for p in payloads]
        return self.publish_messages(topic, messages)

    def publish_messages(self, topic, messages):
        # The call below the batching: one request.
        request = {"topic": topic, "messages": messages}
        return list(publisher_client.PublisherClient.publish(self.publisher, request=request).message_ids)

    def pull(self, subscription, count, seconds=WAIT_SECONDS, ack=True):
        """Pulls until so many messages came, in the order in which they did."""
        received, end = [], time.monotonic() + seconds
        while len(received) < count and time.monotonic() < end:
            request = {"subscription": subscription, "max_messages": count - len(received)}
            batch = list(self.subscriber.pull(request=request, timeout=seconds).received_messages)
            if batch and ack:
                self.ack(subscription, batch)
            received += batch
        return received

    def pull_now(self, subscription, count=100):
        request = {"subscription": subscription, "max_messages": count, "return_immediately": True}
        return list(self.subscriber.pull(request=request).received_messages)

    def ack(self, subscription, received):
        ids = [r.ack_id for r in received]
        self.subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ids})

    def nack(self, subscription, received):
        self.deadline(subscription, received, 0)

    def deadline(self, subscription, received, seconds):
        ids = [r.ack_id for r in received]
        request = {"subscription": subscription, "ack_ids": ids, "ack_deadline_seconds": seconds}
        self.subscriber.modify_ack_deadline(request=request)

    @contextlib.contextmanager
    def streaming(self, subscription, callback, **flow):
        control = FlowControl(**flow) if flow else FlowControl()
        future = self.subscriber.subscribe(subscription, callback, flow_control=control)
        try:
            yield future
        finally:
            future.cancel()
            with contextlib.suppress(exceptions.GoogleAPICallError):
                future.result(timeout=WAIT_SECONDS)

    def close(self):
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


def until(condition, seconds=WAIT_SECONDS):
    """Waits for a condition; answers whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
