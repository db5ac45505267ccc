"""Runs W1 and W2 in Purlin and, if it is there, in DuckDB; checks all results against the truth.

compare.py PURLIN INPUT TRUTH OUTPUT_FOLDER [REPEATS]
"""

import calendar
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import time


def timed(command):
    """Seconds and peak megabytes of a command."""
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"failed with status {status}: {' '.join(command)}")
    return seconds, usage.ru_maxrss / 1024


def rows(pattern):
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def second(text):
    """Seconds since 1970 of `2024-02-09 10:05:00` or `2024-02-09T10:05:00Z`."""
    return calendar.timegm(time.strptime(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S"))


def check_w1(pattern, truth):
    found = {}
    for row in rows(pattern):
        found[str(second(row["window_start"]))] = {
            "count": row["order_count"],
            "cents": round(row["total_revenue"] * 100),
        }
        average = row["total_revenue"] / row["order_count"]
        assert abs(row["avg_order_value"] - average) < 1e-6, row
    assert found == truth["w1"], f"{pattern}: other windows than the truth"


def check_w2(pattern, truth):
    starts, found = {}, {}
    for row in rows(pattern):
        text = row["window_start"]
        start = starts.get(text) or starts.setdefault(text, str(second(text)))
        cents = round(row["total"] * 100)
        window = found.setdefault(start, [0, 0, 0, 0])
        window[0] += 1
        window[1] += cents
        window[2] += (int(row["customer_id"][4:]) + 1) * cents
        window[3] += cents * cents
    wanted = {
        start: [w["groups"], w["cents"], int(w["weighted"]), int(w["squares"])]
        for start, w in truth["w2"].items()
    }
    assert found == wanted, f"{pattern}: other sums than the truth"


def main():
    purlin, source, truth_path, folder = sys.argv[1:5]
    repeats = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    with open(truth_path, encoding="utf-8") as file:
        truth = json.load(file)
    here = os.path.dirname(os.path.abspath(__file__))
    engines = {
        "Purlin": lambda job, out: [
            purlin, "run", "-q", f"{here}/{job}.yaml", "--set", f"input={source}", "--set", f"output={out}"
        ]
    }
    try:
        import duckdb

        name = f"DuckDB {duckdb.__version__}"
        engines[name] = lambda job, out: [sys.executable, f"{here}/duckdb_job.py", job, source, f"{out}/{job}-all"]
    except ImportError:
        print("DuckDB is not installed: no comparison")
    checks = {"w1": check_w1, "w2": check_w2}
    print("| job | engine | events/s | peak MB | seconds |")
    print("|---|---|---|---|---|")
    for job, check in checks.items():
        runs = {name: [] for name in engines}
        # Taking turns: what else the machine does meets both.
        for repeat in range(repeats):
            for name, command in engines.items():
                out = f"{folder}/{name.split()[0].lower()}"
                shutil.rmtree(out, ignore_errors=True)
                os.makedirs(out)
                runs[name].append(timed(command(job, out)))
                if repeat == 0:
                    check(f"{out}/{job}-[!b]*", truth)
        speeds = {}
        for name, measured in runs.items():
            seconds = statistics.median(s for s, _ in measured)
            speeds[name] = truth["lines"] / seconds
            peak = max(mb for _, mb in measured)
            print(f"| {job} | {name} | {speeds[name] / 1e6:.2f} M | {peak:.0f} | {seconds:.2f} |", flush=True)
        if len(speeds) == 2:
            ours, theirs = speeds.values()
            print(f"| {job} | Purlin : DuckDB | {ours / theirs:.2f} | | |", flush=True)
    print("all results equal the truth")


main()
