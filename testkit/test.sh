#!/usr/bin/env bash
# The whole gate. Prints one line a part; the output of a part is shown when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

# Beam's own trigger transcripts, read from the pinned wheel and never copied into this repository.
PURLIN_BEAM_DATA="${PURLIN_BEAM_DATA:-${CARGO_TARGET_DIR:-$PWD/target}/beam-data}"
export PURLIN_BEAM_DATA

part() {
  local name="$1"
  shift
  local start=$SECONDS log
  log="$(mktemp)"
  if "$@" >"$log" 2>&1; then
    grep -E '^(test result|[0-9]+ of [0-9]+ )' "$log" | grep -v ' 0 passed; 0 failed; 0 ignored' || true
    printf 'ok    %-44s %4d s\n' "$name" $((SECONDS - start))
    rm -f "$log"
  else
    local status=$?
    cat "$log"
    printf 'FAILED %-43s %4d s\n' "$name" $((SECONDS - start))
    rm -f "$log"
    exit "$status"
  fi
}

part "Beam's trigger transcripts fetched" ./testkit/fetch-beam-data.sh "$PURLIN_BEAM_DATA"
part "format" cargo fmt --all --check
part "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
part "tests" cargo test --workspace --no-fail-fast
part "doc tests and documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
# The binary that the tests were run with: another build of it would build its libraries anew.
part "the pipelines' own tests" "${CARGO_TARGET_DIR:-target}/debug/purlin" test pipelines
# Google's own client judges the broker, and Beam's own pipeline uses it.
pubsub_python="$(./testkit/venv.sh "${CARGO_TARGET_DIR:-target}/pubsub-venv" testkit/pubsub/requirements.txt)"
part "the broker, with Google's client" "$pubsub_python" testkit/pubsub/run.py "${CARGO_TARGET_DIR:-target}/debug/purlin"
# Killed under load, with a full disk where one can be mounted: every order once, every cent.
part "kills and a ledger" testkit/ledger/run.py "${CARGO_TARGET_DIR:-target}/debug/purlin" --kills 6 --rate 2000 --seconds 20
# The same with checkpoints in an object store, by Amazon's API; and two processes that use one place.
objects_python="$(./testkit/venv.sh "${CARGO_TARGET_DIR:-target}/objects-venv" testkit/objects/requirements.txt)"
part "checkpoints in an object store" "$objects_python" testkit/objects/run.py "${CARGO_TARGET_DIR:-target}/debug/purlin"
