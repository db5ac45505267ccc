#!/bin/sh
# How long from publishing a message, through a pipeline of one step, to receiving the result: everything durable,
# Google's Python client at both ends.
#
#   bench/latency.sh                          200 messages a second for 20 seconds
#   RATE=1000 SECONDS_EACH=60 bench/latency.sh
set -eu
cd "$(dirname "$0")/.."
if [ -z "${PURLIN:-}" ]; then
    cargo build --release --package purlin
    PURLIN=${CARGO_TARGET_DIR:-target}/release/purlin
fi
mkdir -p .bench
python=$(./testkit/venv.sh "${CARGO_TARGET_DIR:-target}/pubsub-venv" testkit/pubsub/requirements.txt)
exec "$python" bench/latency.py "$PURLIN" "${RATE:-200}" "${SECONDS_EACH:-20}"
