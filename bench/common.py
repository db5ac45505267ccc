"""What the measuring scripts share: timing a command, and reading what a job wrote in whole cents."""

import calendar
import glob
import json
import os
import subprocess
import sys
import time


def timed(command, feed=None):
    """Seconds and peak megabytes of a command; `feed` is a command whose output it reads."""
    start = time.perf_counter()
    source = subprocess.Popen(feed, stdout=subprocess.PIPE) if feed else None
    child = subprocess.Popen(command, stdin=source.stdout if source else None)
    if source:
        source.stdout.close()
    peak, done = 0.0, 0
    while not done:
        peak = max(peak, resident(child.pid))
        time.sleep(0.005)
        done, status, usage = os.wait4(child.pid, os.WNOHANG)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"failed with status {status}: {' '.join(command)}")
    if source and source.wait() != 0:
        sys.exit(f"failed: {' '.join(feed)}")
    return seconds, peak or usage.ru_maxrss / 1024


def resident(pid):
    """The most megabytes a process has had since it began; 0 where Linux does not tell. Its `ru_maxrss` would never be
    less than what this process had when it started the other."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:")), 0.0)
    except OSError:
        return 0.0


def rows(folder, job):
    """The rows that a job wrote, but for the bad lines."""
    for path in sorted(glob.glob(f"{folder}/{job}-[!b]*")):
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def cents(amount):
    """An amount in whole cents: sums of floats differ in their last digits."""
    return round(amount * 100)


def second(text):
    """Seconds since 1970 of `2024-02-09 10:05:00` or `2024-02-09T10:05:00Z`."""
    return calendar.timegm(time.strptime(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S"))


def millis(text):
    """Milliseconds of the day of such a text."""
    clock = (int(text[11:13]) * 60 + int(text[14:16])) * 60 + int(text[17:19])
    return clock * 1000 + int(text[20:].rstrip("Z").ljust(3, "0")[:3])


def w1(folder):
    found = {}
    for row in rows(folder, "w1"):
        found[str(second(row["window_start"]))] = {"count": row["order_count"], "cents": cents(row["total_revenue"])}
        average = row["total_revenue"] / row["order_count"]
        assert abs(row["avg_order_value"] - average) < 1e-6, row
    return found


def w2(folder):
    """A fingerprint of each window: its groups are too many to keep."""
    starts, found = {}, {}
    for row in rows(folder, "w2"):
        text = row["window_start"]
        start = starts.get(text) or starts.setdefault(text, str(second(text)))
        total = cents(row["total"])
        window = found.setdefault(start, [0, 0, 0, 0])
        window[0] += 1
        window[1] += total
        window[2] += (int(row["customer_id"][4:]) + 1) * total
        window[3] += total * total
    return found


def sessions(folder):
    """A fingerprint: sessions, orders, cents, and sums in which each session's start, end and cents count."""
    found = [0] * 6
    for row in rows(folder, "sessions"):
        customer, total = int(row["customer_id"][4:]) + 1, cents(row["revenue"])
        start, end = millis(row["window_start"]), millis(row["window_end"])
        parts = (1, row["orders"], total, customer * start * row["orders"], customer * end, total * total * start)
        found = [a + b for a, b in zip(found, parts)]
    return found


def grouped(job, keys, sums, amounts):
    """Rows by their keys: sums as they are, amounts in cents."""

    def read(folder):
        found = {}
        for row in rows(folder, job):
            key = tuple(second(row[k]) if k == "window_start" else row[k] for k in keys)
            assert key not in found, f"{job}: two rows for {key}"
            found[key] = [row[s] for s in sums] + [cents(row[a]) for a in amounts]
        return found

    return read


READ = {
    "w1": w1,
    "w2": w2,
    "sessions": sessions,
    "sliding": grouped("sliding", ["window_start", "country"], ["orders"], ["revenue"]),
    "join": grouped("join", ["segment"], ["orders"], ["revenue"]),
    "python": grouped("python", ["label", "size", "open"], ["orders", "words", "numbers"], ["net"]),
    "parquet": grouped("parquet", ["country", "status"], ["orders"], ["revenue", "largest"]),
}


def check_truth(job, found, truth):
    """What the generator knows of a result."""
    orders = lambda: sum(group[0] for group in found.values())
    money = lambda: sum(group[1] for group in found.values())
    good, whole = truth["good"], truth["cents"]
    if job == "w1":
        assert found == truth["w1"], "w1: other windows than the truth"
    if job == "w2":
        wanted = {s: [w["groups"], w["cents"], int(w["weighted"]), int(w["squares"])] for s, w in truth["w2"].items()}
        assert found == wanted, "w2: other sums than the truth"
    if job == "sessions":
        assert found[1:3] == [good, whole], "sessions: orders are missing or counted twice"
    if job == "sliding":
        assert (orders(), money()) == (10 * good, 10 * whole), "sliding: each order is in ten windows"
    if job == "parquet":
        assert (orders(), money()) == (good, whole), "parquet: other totals than the truth"
    if job == "python":
        assert orders() == good, "python: orders are missing or counted twice"
