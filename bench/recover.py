"""Time to go on after a kill with much state: recover.py PURLIN KEYS. See recover.sh."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from common import resident

PIPELINE = """
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      config:
        subscription: orders-sub
        format: JSON
        schema: {type: object, properties: {order_id: {type: string}, amount: {type: number}}}
        timestamp_attribute: event_time
    - type: Combine
      windowing: {type: fixed, size: 3650d}
      config: {group_by: order_id, combine: {n: {value: amount, fn: count}, revenue: {value: amount, fn: sum}}}
    - {type: WriteToJson, config: {path: .bench/recover/out}}
options: {streaming: true}
"""

purlin, keys = sys.argv[1], int(sys.argv[2])
data = ".bench/recover"
shutil.rmtree(data, ignore_errors=True)
os.makedirs(data)
with open(f"{data}/p.yaml", "w", encoding="utf-8") as file:
    file.write(PIPELINE)


def call(*arguments):
    return subprocess.run([purlin, *arguments], check=True, capture_output=True, text=True, env=env).stdout


def start():
    log = open(f"{data}/log", "ab")
    return subprocess.Popen(
        [purlin, "run", f"{data}/p.yaml", "--checkpoints", f"{data}/checkpoints", "--quiet"], env=env, stderr=log
    )


def checkpoints():
    return sorted(glob.glob(f"{data}/checkpoints/*.checkpoint"))


def wait(what, ready, process):
    deadline = time.monotonic() + 900
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{what}: it did not come")
        time.sleep(0.01)


def read_rows():
    """Rows that the last checkpoint has."""
    last = checkpoints()
    if not last:
        return 0
    with open(last[-1], "rb") as file:
        file.seek(-20, os.SEEK_END)
        length = int.from_bytes(file.read(8), "little")
        file.seek(-20 - length, os.SEEK_END)
        manifest = file.read(length).decode()
    return int(re.search(r'"rows_in":(\d+)', manifest).group(1))


broker = subprocess.Popen(
    [purlin, "broker", "--listen", "127.0.0.1:0", "--data", f"{data}/broker"], stdout=subprocess.PIPE, text=True
)
job = None
try:
    host = broker.stdout.readline().split()[2].rstrip(",")
    env = os.environ | {"PUBSUB_EMULATOR_HOST": host}
    call("topics", "create", "orders")
    call("subscriptions", "create", "orders-sub", "--topic", "orders")
    job = start()
    began = time.perf_counter()
    call("generate", "orders", "--to", "pubsub://orders", "--count", str(keys))
    wait("the state", lambda: read_rows() >= keys, job)
    filled = time.perf_counter() - began
    peak = resident(job.pid)
    size = sum(os.path.getsize(p) for p in checkpoints())
    job.send_signal(signal.SIGKILL)
    job.wait()
    last = checkpoints()[-1]
    began = time.perf_counter()
    job = start()
    call("generate", "orders", "--to", "pubsub://orders", "--count", "1", "--seed", "7")
    wait("the next checkpoint", lambda: checkpoints()[-1] > last, job)
    recovered = time.perf_counter() - began
    print(f"| {keys:,} keys, {os.cpu_count()} cores | figure |\n|---|---|")
    print(f"| read and in checkpoints | {keys / filled:,.0f} orders/s |")
    print(f"| checkpoints on disk | {size / 1e6:,.0f} MB |")
    print(f"| from the start after `kill -9` to the next checkpoint | {recovered:.1f} s |")
    print(f"| memory before the kill, and after going on | {peak:.0f} MB, {resident(job.pid):.0f} MB |")
finally:
    for process in (job, broker):
        if process and process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(data, ignore_errors=True)
