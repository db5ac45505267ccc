#!/usr/bin/env bash
# Answers the Python that runs the tests of the broker: PURLIN_PUBSUB_PYTHON, or that of a virtual environment in FOLDER,
# which is made with what requirements.txt names unless it is there.
#
#   testkit/pubsub/venv.sh target/pubsub-venv
set -euo pipefail

if [ -n "${PURLIN_PUBSUB_PYTHON:-}" ]; then
  echo "$PURLIN_PUBSUB_PYTHON"
  exit 0
fi
folder=${1:?usage: $0 FOLDER}
wanted=$(dirname "$0")/requirements.txt
if ! cmp -s "$wanted" "$folder/requirements.txt"; then
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >&2
  # Last: an installation that was interrupted is made anew.
  cp "$wanted" "$folder/requirements.txt"
fi
echo "$folder/bin/python"
