#!/bin/sh
# Measures the broker with everything durable: what it carries, how long a message takes, what a backlog costs.
#
#   bench/broker.sh                       throughput, latency at 1000/s and 50000/s, a backlog of 10 million messages
#   MILLIONS=100 bench/broker.sh          a larger backlog: 17 GB for 100 million
#   DATA=/mnt/disk/bench bench/broker.sh  on another disk
#
# The broker runs in a process of its own; the client that loads it takes its share of the same processor.
set -eu
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-10}
data=${DATA:-${TMPDIR:-/tmp}/purlin-bench-broker}
cargo build --release --quiet -p purlin-broker --examples
run="${CARGO_TARGET_DIR:-target}/release/examples"
fresh() {
    rm -rf "$data"
    "$@"
    rm -rf "$data"
}
trap 'rm -rf "$data"' EXIT
echo "== publish, pull and acknowledge, 150 bytes a message"
fresh "$run/load" throughput "$seconds" "$data"
for rate in 1000 50000; do
    echo "== publish to delivery at $rate a second"
    fresh "$run/load" latency "$rate" "$seconds" "$data"
done
echo "== the log alone, and what opening it costs"
fresh "$run/store" "$data" "${MILLIONS:-10}"
