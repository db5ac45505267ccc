#!/bin/sh
# Measures W1 on ever more orders, which are generated as it runs and never stored: time must grow with the orders,
# memory must not. Checks each result against the generator's truth.
#
#   SIZES="1000000 10000000 100000000" bench/growth.sh
. "$(dirname "$0")/setup.sh"
exec "$python" bench/growth.py "$PURLIN" ${SIZES:-1000000 10000000 100000000}
