"""W1 on orders that are generated as it runs: growth.py PURLIN SIZE... See growth.sh."""

import json
import os
import shutil
import sys

from common import READ, check_truth, timed

purlin, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
out, truth_path = ".bench/out/growth", ".bench/truth_growth.json"
here = os.path.dirname(os.path.abspath(__file__))
load = os.getloadavg()[0]
print(f"W1 from a pipe, {os.cpu_count()} cores, load {load:.1f} at the start\n")
print("| orders | seconds | seconds for a million | peak MB |")
print("|---|---|---|---|", flush=True)
for size in sizes:
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    generate = [purlin, "generate", "orders", "--count", str(size), "--bad", "1%", "--truth", truth_path]
    run = [purlin, "run", "-q", f"{here}/w1.yaml", "--set", "input=/dev/stdin", "--set", f"output={out}"]
    seconds, peak = timed(run, feed=generate)
    with open(truth_path, encoding="utf-8") as file:
        check_truth("w1", READ["w1"](out), json.load(file))
    print(f"| {size} | {seconds:.2f} | {seconds * 1e6 / size:.3f} | {peak:.0f} |", flush=True)
    line = {"job": "w1-pipe", "engine": "Purlin", "lines": size, "seconds": round(seconds, 3), "peak_mb": round(peak)}
    with open(".bench/results.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"load": round(load, 1)}) + "\n")
print("\nall results equal the truth")
