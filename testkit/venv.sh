#!/usr/bin/env bash
# Answers the Python of a virtual environment in FOLDER, which is made with what a requirements file names unless it is there.
#
#   testkit/venv.sh target/pubsub-venv testkit/pubsub/requirements.txt
set -euo pipefail

folder=${1:?usage: $0 FOLDER REQUIREMENTS}
wanted=${2:?usage: $0 FOLDER REQUIREMENTS}
# One whose Python was replaced finds nothing any more.
if ! cmp -s "$wanted" "$folder/requirements.txt" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" >&2
  # Last: an installation that was interrupted is made anew.
  cp "$wanted" "$folder/requirements.txt"
fi
echo "$folder/bin/python"
