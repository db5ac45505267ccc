#!/usr/bin/env python3
"""Kills `purlin up` again and again under load, and counts orders and cents afterwards.

Numbered orders are published at a steady rate to the broker of `purlin up`, which runs pipelines/orders. The process is killed
(`kill -9`) at random moments and started again; once the disk of the outputs is full for a while (where a small disk can be
mounted). In the end every order that was published must stand in the output files exactly once, every window must have one
row of metrics, and counts and revenues must be exact to the cent.

    testkit/ledger/run.py target/debug/purlin --kills 20 --rate 5000 --seconds 60
"""

import argparse
import collections
import csv
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WINDOW_SECONDS = 5


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Up:
    """`purlin up`, which may be killed."""

    def __init__(self, purlin, folder, checkpoints, commit_every, apart):
        self.purlin, self.folder = purlin, folder
        self.flags = ["--log-format", "json"] + (["--checkpoints", checkpoints] if checkpoints else [])
        self.broker, self.http = free_port(), free_port()
        self.process, self.starts = None, 0
        self.log = open(folder / "up.log", "wb")
        at = f"127.0.0.1:{self.broker}"
        listen = f'environment: {{pubsub: "{at}"}}' if apart else f"broker: {{listen: {at}}}"
        self.apart = [purlin, "broker", "--listen", at, "--data", str(folder / "broker")] if apart else None
        self.other = None
        (folder / "purlin.yaml").write_text(
            f"name: ledger\n"
            f"commit_every: {commit_every}\n"
            f"{listen}\n"
            f"http: {{listen: 127.0.0.1:{self.http}}}\n"
            f"pipelines:\n"
            f"  - {{file: orders.yaml, name: orders, variables: {{window: {WINDOW_SECONDS}s, output: out, spike: 1000000}}}}\n"
        )

    def start(self):
        self.starts += 1
        if self.apart and self.other is None:
            self.other = subprocess.Popen(self.apart, cwd=self.folder, stdout=self.log, stderr=self.log)
            self.wait_for_broker()
        self.process = subprocess.Popen(
            [self.purlin, "up", *self.flags], cwd=self.folder, stdout=self.log, stderr=self.log
        )

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.fail(f"purlin up ended by itself with {self.process.returncode}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5)
                return
            except OSError:
                time.sleep(0.05)
        self.fail("purlin up does not become ready")

    def wait_for_broker(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.broker)) == 0:
                    return
            time.sleep(0.05)
        self.fail("the broker does not answer")

    def close(self):
        for process in (self.process, self.other):
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def ledger(self):
        url = f"http://127.0.0.1:{self.http}/api/v1/pipelines/orders/ledger"
        try:
            return json.load(urllib.request.urlopen(url, timeout=5))
        except OSError:
            return None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.fail("purlin up does not stop")
        if code != 0:
            self.fail(f"purlin up stopped with {code}")

    def fail(self, text):
        self.log.flush()
        tail = (self.folder / "up.log").read_bytes()[-4000:].decode(errors="replace")
        sys.exit(f"FAILED: {text}\n{tail}")


class SmallDisk:
    """A disk for the outputs that can be full; an ordinary folder where none can be mounted."""

    def __init__(self, folder, megabytes):
        folder.mkdir()
        self.folder = folder
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        self.mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0

    def fill(self):
        """Takes all the room there is."""
        with open(self.folder / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 65536)
            except OSError:
                pass

    def free(self):
        (self.folder / "ballast").unlink()

    def close(self):
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


def published(file):
    """The orders that were published: id, window, cents."""
    orders = {}
    with open(file, newline="") as f:
        for row in csv.DictReader(f):
            at = datetime.fromisoformat(row["event_time"].replace("Z", "+00:00")).timestamp()
            orders[row["order_id"]] = (int(at // WINDOW_SECONDS) * WINDOW_SECONDS, Decimal(row["amount"]))
    return orders


def rows(folder, name):
    for file in sorted(glob.glob(str(folder / f"{name}-*"))):
        with open(file) as f:
            for line in f:
                yield json.loads(line)


def complete(folder, wanted):
    """How many orders are in the metrics."""
    return sum(row["order_count"] for row in rows(folder, "metrics")) >= wanted


def differences(orders, out):
    """What is wrong with the outputs."""
    wrong = []
    seen = collections.Counter(row["order_id"] for row in rows(out, "orders"))
    missing = [i for i in orders if i not in seen]
    twice = [i for i, n in seen.items() if n > 1]
    strange = [i for i in seen if i not in orders]
    for what, ids in (("missing", missing), ("there more than once", twice), ("never published", strange)):
        if ids:
            wrong.append(f"{len(ids)} orders are {what}, such as {ids[:5]}")
    truth = collections.defaultdict(lambda: [0, Decimal(0)])
    for window, cents in orders.values():
        truth[window][0] += 1
        truth[window][1] += cents
    windows = collections.Counter()
    for row in rows(out, "metrics"):
        start = int(datetime.fromisoformat(row["window_start"].replace("Z", "+00:00")).timestamp())
        windows[start] += 1
        count, revenue = truth.get(start, [0, Decimal(0)])
        got = (row["order_count"], Decimal(str(row["total_revenue"])))
        if got != (count, revenue):
            wrong.append(f"window {start}: {got[0]} orders of {got[1]} instead of {count} of {revenue}")
    wrong += [f"window {w} has {n} rows of metrics" for w, n in windows.items() if n > 1]
    wrong += [f"window {w} has no metrics" for w in truth if w not in windows]
    return wrong


def run(args, folder):
    shutil.copy(args.pipeline, folder / "orders.yaml")
    disk = SmallDisk(folder / "out", 256)
    up = Up(Path(args.purlin).resolve(), folder, args.checkpoints, args.commit_every, args.apart)
    try:
        return trial(args, folder, disk, up)
    finally:
        up.close()
        disk.close()


def trial(args, folder, disk, up):
    chance = random.Random(args.seed)
    up.start()
    up.wait_ready()
    generator = subprocess.Popen(
        [up.purlin, "generate", "orders", "--to", "pubsub://order-events", "--rate", f"{args.rate}/s", "--for",
         f"{args.seconds}s", "--csv", str(folder / "published.csv"), "--host", f"127.0.0.1:{up.broker}"],
        stderr=open(folder / "generate.log", "wb"),
    )
    pause = args.seconds / (args.kills + 2)
    full_at = args.kills // 2
    for kill in range(args.kills):
        time.sleep(pause * chance.uniform(0.3, 1.4))
        if kill == full_at and disk.mounted:
            disk.fill()
            time.sleep(2)
            disk.free()
        up.kill()
        up.start()
        if chance.random() < 0.5:
            up.wait_ready()
    if generator.wait() != 0:
        sys.exit("FAILED: the generator failed:\n" + (folder / "generate.log").read_text())
    up.wait_ready()
    ended = time.monotonic()
    orders = published(folder / "published.csv")
    deadline = time.monotonic() + 120
    while not complete(folder / "out", len(orders)) and time.monotonic() < deadline:
        time.sleep(0.5)
    settled = time.monotonic() - ended
    ledger = up.ledger()
    up.stop()
    wrong = differences(orders, folder / "out")
    print(
        f"{len(orders):,} orders, {up.starts - 1} kills, disk full: {'once' if disk.mounted else 'not tried'}; "
        f"complete {settled:.1f} s after the last order; ledger {json.dumps(ledger)}"
    )
    for line in wrong[:20]:
        print("WRONG:", line)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("purlin", help="the binary")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=int, default=5000, help="orders a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of kills")
    parser.add_argument("--pipeline", default=ROOT / "pipelines/orders/pipeline.yaml")
    parser.add_argument("--checkpoints", help="where they are kept, if not in the data folder")
    parser.add_argument("--commit-every", default="1s", help="how often the pipeline commits")
    parser.add_argument("--apart", action="store_true", help="the broker is a process of its own, which is not killed")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="purlin-ledger-"))
    try:
        code = run(args, folder)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print("kept", folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
