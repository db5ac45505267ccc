#!/bin/sh
# Measures the jobs in Purlin with one lane and with two: what a second core gives. Takes what run.sh takes.
#
#   JOBS="w1 w2" LINES=1000000 bench/lanes.sh
. "$(dirname "$0")/setup.sh"
make_data
export LANES="${LANES:-1 2}"
exec "$python" bench/compare.py "$PURLIN" "$lines"
