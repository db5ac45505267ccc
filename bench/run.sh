#!/bin/sh
# Measures W1 and W2 on generated orders, beside DuckDB if Python can install it, and checks every result.
#
#   bench/run.sh [LINES] [REPEATS]        10000000 lines and 3 repeats unless given
#
# Data and results stay in .bench/. PURLIN names a binary to use instead of building one.
set -eu
cd "$(dirname "$0")/.."
lines=${1:-10000000}
repeats=${2:-3}
mkdir -p .bench

if [ -z "${PURLIN:-}" ]; then
    cargo build --release --package purlin
    PURLIN=${CARGO_TARGET_DIR:-target}/release/purlin
fi

data=.bench/orders_$lines.jsonl
truth=.bench/truth_$lines.json
if [ ! -s "$truth" ]; then
    "$PURLIN" generate orders --count "$lines" --bad 1% --out "$data" --truth "$truth"
fi

python=python3
if [ ! -x .bench/venv/bin/python ]; then
    python3 -m venv .bench/venv || echo "no virtual environment: no DuckDB"
fi
if [ -x .bench/venv/bin/python ]; then
    python=.bench/venv/bin/python
    "$python" -c 'import duckdb' 2>/dev/null || "$python" -m pip install --quiet duckdb || echo "cannot install DuckDB"
fi

# Both engines find the input in memory.
cat "$data" > /dev/null
exec "$python" bench/compare.py "$PURLIN" "$data" "$truth" .bench/out "$repeats"
