# Sourced by the measuring scripts: the binary, the data, Python with DuckDB. Sets `python`; data is in .bench/.
#
# LINES says how many; PURLIN names a binary to use instead of building one.
set -eu
cd "$(dirname "$0")/.."
lines=${LINES:-10000000}
mkdir -p .bench

if [ -z "${PURLIN:-}" ]; then
    cargo build --release --package purlin
    PURLIN=${CARGO_TARGET_DIR:-target}/release/purlin
fi

python=python3
if [ ! -x .bench/venv/bin/python ]; then
    python3 -m venv .bench/venv || echo "no virtual environment: no DuckDB"
fi
if [ -x .bench/venv/bin/python ]; then
    python=.bench/venv/bin/python
    "$python" -c 'import duckdb' 2>/dev/null || "$python" -m pip install --quiet duckdb || echo "cannot install DuckDB"
fi

# Makes the data if it is not there, and brings it into memory, where all engines find it.
make_data() {
    data=.bench/orders_$lines.jsonl
    truth=.bench/truth_$lines.json
    parquet=.bench/orders_$lines.parquet
    if [ ! -s "$truth" ]; then
        "$PURLIN" generate orders --count "$lines" --bad 1% --out "$data" --truth "$truth"
    fi
    if [ ! -s "$parquet" ]; then
        "$python" bench/duckdb_job.py to-parquet "$data" "$parquet" || echo "no DuckDB: no Parquet file"
    fi
    cat "$data" > /dev/null
}
