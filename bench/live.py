"""W1 from the broker to a topic: live.py PURLIN LINES. See live.sh."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

from common import cents, check_truth, resident, second

PROJECT = "bench"
IDLE_SECONDS = 6
purlin, lines = sys.argv[1], sys.argv[2]
here = os.path.dirname(os.path.abspath(__file__))
data, truth_path = ".bench/live-broker", ".bench/truth_live.json"


def call(*arguments):
    return subprocess.run([purlin, *arguments], check=True, capture_output=True, text=True, env=env).stdout


def processor_seconds(pid):
    """User and system time of a running process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pulled(subscription):
    while True:
        got = json.loads(call("pull", subscription, "--limit", "1000", "--auto-ack", "--json"))
        if not got:
            return
        for message in got:
            yield base64.b64decode(message["message"]["data"])


shutil.rmtree(data, ignore_errors=True)
load = os.getloadavg()[0]
broker = subprocess.Popen([purlin, "broker", "--listen", "127.0.0.1:0", "--data", data], stdout=subprocess.PIPE, text=True)
try:
    host = broker.stdout.readline().split()[2].rstrip(",")
    env = os.environ | {"PUBSUB_EMULATOR_HOST": host, "GOOGLE_CLOUD_PROJECT": PROJECT}
    call("topics", "create", "orders", "totals", "bad")
    for name in ["orders", "totals", "bad"]:
        call("subscriptions", "create", f"{name}-sub", "--topic", name)
    start = time.perf_counter()
    call("generate", "orders", "--to", "pubsub://orders", "--count", lines, "--bad", "1%", "--truth", truth_path)
    published = time.perf_counter() - start
    before = processor_seconds(broker.pid)
    start = time.perf_counter()
    names = {"input_subscription": "orders-sub", "output_topic": "totals", "bad_topic": "bad"}
    sets = [word for name, value in names.items() for word in ["--set", f"{name}={value}"]]
    run = [purlin, "run", f"{here}/w1-live.yaml", *sets, "--until-idle", f"{IDLE_SECONDS}s", "--json"]
    # FLAGS=--no-checkpoints runs without.
    run += os.environ.get("FLAGS", f"--checkpoints {data}/checkpoints").split()
    child = subprocess.Popen(run, stdout=subprocess.PIPE, env=env)
    summary = json.loads(child.stdout.read())
    _, status, usage = os.wait4(child.pid, 0)
    # What came last was a message; after it the run waited to be sure that nothing more comes.
    seconds = time.perf_counter() - start - IDLE_SECONDS
    if status != 0:
        sys.exit(f"the pipeline failed: {json.dumps(summary, indent=1)}")
    brokers, peak = processor_seconds(broker.pid) - before, resident(broker.pid)
    found = {}
    for row in map(json.loads, pulled("totals-sub")):
        window = found.setdefault(str(second(row["window_start"])), {"count": 0, "cents": 0})
        window["count"] += row["order_count"]
        window["cents"] += cents(row["total_revenue"])
    with open(truth_path, encoding="utf-8") as file:
        check_truth("w1", found, json.load(file))
    pipelines = usage.ru_utime + usage.ru_stime
    millions = int(lines) / 1e6
    print(f"W1 live, {os.cpu_count()} cores, load {load:.1f} at the start; all results equal the truth\n")
    print("| what | figure |\n|---|---|")
    print(f"| published by one client | {int(lines) / published:,.0f} orders/s |")
    print(f"| topic to windows to topic | {int(lines) / seconds:,.0f} orders/s, {int(lines) / pipelines:,.0f} a second of its processor time |")
    print(f"| processor time for a million orders | pipeline {pipelines / millions:.2f} s, broker {brokers / millions:.2f} s |")
    print(f"| most memory | pipeline {usage.ru_maxrss / 1024:.0f} MB, broker {peak:.0f} MB |")
    line = {"job": "w1-live", "engine": "Purlin", "lines": int(lines), "seconds": round(seconds, 3)}
    line |= {"processor_seconds": round(pipelines, 2), "broker_processor_seconds": round(brokers, 2), "load": round(load, 1)}
    with open(".bench/results.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
finally:
    broker.terminate()
    broker.wait()
    shutil.rmtree(data, ignore_errors=True)
