#!/usr/bin/env bash
# Builds purlin and runs the purchases job on the real CSV.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "Building purlin (about 13 minutes the first time on two cores) ..."
cargo build --quiet --profile quick --package purlin
bin="${CARGO_TARGET_DIR:-target}/quick/purlin"

out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

echo
echo "\$ purlin run pipelines/purchases/batch.yaml"
"$bin" run pipelines/purchases/batch.yaml --set output="$out"

echo
echo "The line of the file that is no purchase, kept as a dead letter:"
cat "$out"/broken*

echo
echo "What to look at next:"
echo "  $bin explain pipelines/purchases/batch.yaml    what it does, step by step"
echo "  $bin test pipelines/purchases/                 the pipeline's own tests"
echo "  docs/guide/README.md                           the guide"
