"""Runs jobs in Purlin and in another engine, in turns, and checks every result. See run.sh and lanes.sh.

compare.py PURLIN LINES    with JOBS, REPEATS and LANES from the environment
"""

import json
import os
import shutil
import statistics
import sys

from common import READ, check_truth, timed

HERE = os.path.dirname(os.path.abspath(__file__))
SEGMENTS = ["retail", "business", "public", "partner"]


def customers(path):
    """Fifty thousand customers; one in a hundred of those who order is missing."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(50_000):
            if number % 100 != 99:
                row = {"customer_id": f"CUST{number:05}", "segment": SEGMENTS[number % 4]}
                file.write(json.dumps(row) + "\n")


def other_engine(job):
    """The name of the engine to compare with, and its command; none if it is not installed."""
    if job == "python":
        version = ".".join(map(str, sys.version_info[:3]))
        return f"CPython {version}", [sys.executable, f"{HERE}/python_job.py"]
    try:
        import duckdb
    except ImportError:
        return None
    return f"DuckDB {duckdb.__version__}", [sys.executable, f"{HERE}/duckdb_job.py", job]


def main():
    purlin, lines = sys.argv[1], int(sys.argv[2])
    jobs = os.environ.get("JOBS", "").split() or list(READ)
    repeats = int(os.environ.get("REPEATS", "3"))
    lanes = os.environ.get("LANES", "").split()
    data, parquet = f".bench/orders_{lines}.jsonl", f".bench/orders_{lines}.parquet"
    with open(f".bench/truth_{lines}.json", encoding="utf-8") as file:
        truth = json.load(file)
    customers(".bench/customers.jsonl")
    load = os.getloadavg()[0]
    print(f"{lines} lines, {repeats} runs each, {os.cpu_count()} cores, load {load:.1f} at the start\n")
    print("| job | engine | events/s | peak MB | seconds | ratio |")
    print("|---|---|---|---|---|---|", flush=True)
    for job in jobs:
        source, events = (parquet, truth["good"]) if job == "parquet" else (data, truth["lines"])
        if not os.path.exists(source):
            print(f"| {job} | skipped: there is no {source} | | | | |")
            continue
        run = [purlin, "run", "-q", f"{HERE}/{job}.yaml", "--set", f"input={source}"]
        engines = {f"Purlin --lanes {n}": run + ["--lanes", n] for n in lanes} or {"Purlin": run}
        other = None if lanes else other_engine(job)
        if other:
            engines[other[0]] = other[1] + [source]
        measured = measure(job, engines, repeats, truth)
        report(job, measured, events, load)
    print("\nall results are equal, and equal to the truth as far as the generator knows it")


def measure(job, engines, repeats, truth):
    """Seconds and megabytes of each run by engine. Taking turns: what else the machine does meets both."""
    measured, results = {name: [] for name in engines}, {}
    for repeat in range(repeats):
        for name, command in engines.items():
            out = f".bench/out/{name.split()[0].lower()}"
            shutil.rmtree(out, ignore_errors=True)
            os.makedirs(out)
            target = ["--set", f"output={out}"] if name.startswith("Purlin") else [f"{out}/{job}-all"]
            measured[name].append(timed(command + target))
            if repeat == 0:
                results[name] = READ[job](out)
                check_truth(job, results[name], truth)
    first = next(iter(results.values()))
    for name, found in results.items():
        if found != first:
            sys.exit(f"{job}: the results of {' and '.join(results)} differ")
    return measured


def report(job, measured, events, load):
    """A line of the table for each engine, and a line of JSON in .bench/results.jsonl. The ratio is that of the speed
    to the baseline's: the other engine's, or that of one lane."""
    medians = {name: statistics.median(s for s, _ in runs) for name, runs in measured.items()}
    names = list(medians)
    baseline = names[0] if names[0] != "Purlin" else names[-1]
    for name, runs in measured.items():
        seconds, peak = medians[name], max(mb for _, mb in runs)
        ratio = medians[baseline] / seconds
        print(f"| {job} | {name} | {events / seconds / 1e6:.2f} M | {peak:.0f} | {seconds:.2f} | {ratio:.2f} |", flush=True)
        line = {
            "job": job,
            "engine": name,
            "lines": events,
            "seconds": round(seconds, 3),
            "runs": [round(s, 3) for s, _ in runs],
            "events_per_second": round(events / seconds),
            "peak_mb": round(peak),
            "ratio": round(ratio, 3),
            "ratio_to": baseline,
            "load": round(load, 1),
        }
        with open(".bench/results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


main()
