#!/bin/sh
# W1 live: from a topic of the broker, through windows of five minutes, to a topic; everything durable.
#
#   bench/live.sh                     a backlog of 2000000 orders
#   LINES=10000000 bench/live.sh
#
# Prints events a second and processor time of pipeline and broker; the result is checked against the truth.
. "$(dirname "$0")/setup.sh"
exec "$python" bench/live.py "$PURLIN" "${LINES:-2000000}"
