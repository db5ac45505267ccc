"""Publish to result: latency.py PURLIN RATE SECONDS. See latency.sh."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

purlin, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
here = os.path.dirname(os.path.abspath(__file__))
data = ".bench/latency-broker"
project = "projects/latency"


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


shutil.rmtree(data, ignore_errors=True)
load = os.getloadavg()[0]
broker = subprocess.Popen([purlin, "broker", "--listen", "127.0.0.1:0", "--data", data], stdout=subprocess.PIPE, text=True)
pipeline = None
try:
    os.environ["PUBSUB_EMULATOR_HOST"] = broker.stdout.readline().split()[2].rstrip(",")
    from google.cloud import pubsub_v1

    # A message at a time: batching would measure how long the client waits for more.
    publisher = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))
    subscriber = pubsub_v1.SubscriberClient()
    for name in ["in", "out"]:
        topic, subscription = f"{project}/topics/{name}-topic", f"{project}/subscriptions/{name}-sub"
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic)
    sets = ["--set", f"input_subscription={project}/subscriptions/in-sub", "--set", f"output_topic={project}/topics/out-topic"]
    pipeline = subprocess.Popen([purlin, "run", "--quiet", "--no-checkpoints", f"{here}/latency.yaml", *sets])
    took, lock, all_came = [], threading.Lock(), threading.Event()
    wanted = rate * seconds

    def received(message):
        now = time.perf_counter_ns()
        sent = json.loads(message.data)["sent"]
        message.ack()
        with lock:
            took.append((now - sent) / 1e6)
            if len(took) == wanted:
                all_came.set()

    stream = subscriber.subscribe(f"{project}/subscriptions/out-sub", received)
    time.sleep(2)
    start = time.perf_counter()
    for n in range(wanted):
        pause = start + n / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        body = json.dumps({"sent": time.perf_counter_ns(), "amount": n})
        publisher.publish(f"{project}/topics/in-topic", body.encode())
    if not all_came.wait(30):
        sys.exit(f"{len(took)} of {wanted} results came")
    stream.cancel()
    took.sort()
    print(f"publish to result at {rate}/s, {wanted} messages, load {load:.1f} at the start")
    print(", ".join(f"p{share} {percentile(took, share / 100):.1f} ms" for share in [50, 90, 99]) + f", most {took[-1]:.1f} ms")
finally:
    for process in [pipeline, broker]:
        if process:
            process.send_signal(signal.SIGTERM)
            process.wait()
    shutil.rmtree(data, ignore_errors=True)
