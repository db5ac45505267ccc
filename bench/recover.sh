#!/bin/sh
# How long a pipeline takes to go on after `kill -9` with ten million keys of state.
#
#   bench/recover.sh
#   KEYS=1000000 bench/recover.sh
. "$(dirname "$0")/setup.sh"
exec "$python" bench/recover.py "$PURLIN" "${KEYS:-10000000}"
