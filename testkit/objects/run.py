#!/usr/bin/env python3
"""Checkpoints in an object store: a server of the S3 API, which other clients judge, and a purlin that is killed.

Starts moto's server on a free port, makes a bucket with Amazon's own client, and checks with the real binary that

- the store keeps what checkpoints need, and one that would replace objects, or is not there, is refused with a reason;
- `purlin up` under kills loses and doubles nothing with its checkpoints there, and a broker that lives on with the leases of
  the dead (the ledger of testkit/ledger);
- of two processes on one place, one commits and the other says why it does not.

    testkit/objects/run.py target/debug/purlin        with the Python of testkit/venv.sh
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "shop"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: {what}: it did not come in {seconds} s")
        time.sleep(0.1)


@contextlib.contextmanager
def process(command, **options):
    child = subprocess.Popen(command, **options)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def expect(what, holds, shown=""):
    print(("ok     " if holds else "WRONG  ") + what)
    if not holds:
        sys.exit(f"FAILED: {what}\n{shown}")


def tries(purlin):
    def tried(place, **env):
        command = [purlin, "checkpoints", "try", place]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=120)

    ran = tried(f"s3://{BUCKET}/tried")
    expect("a bucket keeps what checkpoints need", ran.returncode == 0 and "can be kept" in ran.stdout, ran)
    left = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("KeyCount")
    expect("nothing is left of the trial", left == 0, left)
    ran = tried("s3://nobody/tried")
    expect("a bucket that is not there is told", ran.returncode == 1 and "NoSuchBucket" in ran.stderr, ran)
    ran = tried(f"s3://{BUCKET}/tried", AWS_CONDITIONAL_PUT="disabled")
    refused = ran.returncode == 1 and "cannot write the checkpoint" in ran.stderr
    expect("a store that is told not to refuse is not used", refused, ran)
    left = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("KeyCount")
    expect("nothing is left of a trial that failed", left == 0, left)
    ran = tried(f"s3://{BUCKET}/tried", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    expect("a store that does not answer is told", ran.returncode == 1 and "AWS_" in ran.stderr, ran)


def ledger(purlin):
    command = [sys.executable, ROOT / "testkit/ledger/run.py", purlin, "--kills", "4", "--rate", "1000", "--seconds", "12",
               "--apart", "--checkpoints", f"s3://{BUCKET}/ledger"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    print(ran.stdout, end="")
    expect("kills lose and double nothing", ran.returncode == 0, ran.stdout + ran.stderr)
    kept = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="ledger/orders/")
    names = [o["Key"] for o in kept.get("Contents", [])]
    expect("the bucket has the checkpoints, and no old ones", 0 < len(names) < 120, names)


PIPELINE = """
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      config: {subscription: projects/local/subscriptions/lines, format: RAW}
    - type: WriteToText
      config: {path: /dev/stdout}
"""


def two_at_once(purlin):
    """One of them is told, the other one goes on; every message is shown by one of the two, once."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="purlin-objects-") as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        env = {**os.environ, "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}
        stack.enter_context(process([purlin, "broker", "--listen", f"127.0.0.1:{port}"], cwd=folder,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        until("the broker", lambda: answers(port))
        published = []

        def purlin_does(*args):
            subprocess.run([purlin, *args], cwd=folder, env=env, check=True, capture_output=True)

        def publish():
            published.append(f"m{len(published)}")
            purlin_does("publish", "lines", "--message", published[-1])

        def start(name):
            here = folder / name
            here.mkdir()
            (here / "p.yaml").write_text(PIPELINE)
            command = [purlin, "run", "p.yaml", "--checkpoints", f"s3://{BUCKET}/two"]
            outputs = {"stdout": open(here / "out", "w"), "stderr": open(here / "err", "w")}
            return stack.enter_context(process(command, cwd=here, env=env, **outputs))

        def shown(name):
            # A row of bytes is printed as Python prints it.
            return [line[2:-1] for line in (folder / name / "out").read_text().split()]

        purlin_does("topics", "create", "lines")
        purlin_does("subscriptions", "create", "lines", "--topic", "lines")
        running = {"first": start("first")}
        publish()
        until("what the first one shows", lambda: shown("first") == published)
        running["second"] = start("second")

        def one_ended():
            publish()
            return any(p.poll() is not None for p in running.values())

        until("an end of one of them", one_ended)
        loser = next(name for name, p in running.items() if p.poll() is not None)
        winner = next(name for name in running if name != loser)
        said = (folder / loser / "err").read_text()
        expect(f"the {loser} of two on one place is told why it ends", "runs elsewhere, too" in said, said)
        publish()
        until("all messages", lambda: set(shown("first") + shown("second")) >= set(published))
        # The second one begins with the commit of the epoch that it takes over: what is printed may come again then.
        first, second = shown("first"), shown("second")
        while second and second[0] in first:
            second.pop(0)
        expect(f"each of {len(published)} messages is shown once", sorted(first + second) == sorted(published),
               f"{first} {second}")
        expect(f"the {winner} goes on", running[winner].poll() is None, (folder / winner / "err").read_text())


def main():
    purlin = str(Path(sys.argv[1]).resolve())
    port = free_port()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "purlin", "AWS_SECRET_ACCESS_KEY": "purlin", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    server = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with process(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        until("the store", lambda: answers(port))
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        tries(purlin)
        ledger(purlin)
        two_at_once(purlin)


if __name__ == "__main__":
    main()
