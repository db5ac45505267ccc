#!/bin/sh
# Measures the jobs on generated orders, beside DuckDB (or CPython) if Python can install it, and checks every result.
#
#   bench/run.sh                                          all jobs, 10000000 lines, the median of 3 runs
#   JOBS="w1 join" LINES=1000000 REPEATS=5 bench/run.sh
#
# Jobs: w1 w2 sliding sessions join python parquet. Prints a table; the same as lines of JSON goes to .bench/results.jsonl.
. "$(dirname "$0")/setup.sh"
make_data
exec "$python" bench/compare.py "$PURLIN" "$lines"
