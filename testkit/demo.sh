#!/usr/bin/env bash
# Builds purlin, runs the purchases job on the real CSV, then purchases and orders live for about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_LIVE="${DEMO_SECONDS:-60}"

echo "Building purlin without SQL (about 10 minutes the first time on two cores) ..."
cargo build --quiet --profile quick --package purlin --no-default-features --features pubsub
bin="$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/quick/purlin"

work="$(mktemp -d)"
up_pid=""
finish() {
  if [ -n "$up_pid" ] && kill -0 "$up_pid" 2>/dev/null; then
    kill -TERM "$up_pid"
    wait "$up_pid" || true
  fi
  rm -rf "$work"
}
trap finish EXIT

echo
echo "\$ purlin run pipelines/purchases/batch.yaml"
"$bin" run pipelines/purchases/batch.yaml --set output="$work/batch"
echo
echo "The line of the file that is no purchase, kept with the reason:"
cat "$work"/batch/broken*

# The two systems on one data folder, with short windows, on ports that are free.
cat >"$work/purlin.yaml" <<EOF
name: demo
broker: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
pipelines:
  - {file: $PWD/pipelines/purchases/pipeline.yaml, name: purchases, variables: {output: $work/out}}
  - {file: $PWD/pipelines/orders/pipeline.yaml, name: orders, variables: {output: $work/out, window: 10s, spike: 100}}
  - {file: $PWD/pipelines/orders/alerts.yaml, name: order-alerts, variables: {output: $work/out}}
EOF
echo
echo "\$ purlin up        (broker, purchases, orders and the handler of their alerts; live for $SECONDS_LIVE s)"
cd "$work"
"$bin" up >up.out 2>up.log &
up_pid=$!
for _ in $(seq 100); do
  if "$bin" status >/dev/null 2>&1; then break; fi
  kill -0 "$up_pid" 2>/dev/null || { cat up.log; exit 1; }
  sleep 0.1
done
broker="$(python3 -c 'import json; print(json.load(open(".purlin/run/up.json"))["broker"])' 2>/dev/null ||
  sed -n 's/.*PUBSUB_EMULATOR_HOST=//p' up.out | head -1)"

half=$((SECONDS_LIVE / 2))
"$bin" generate purchases --to pubsub://purchases --rate 20/s --for "${SECONDS_LIVE}s" --host "$broker" 2>/dev/null &
# Few orders, then many, then none: a drop, a spike, and silence, which is a drop too.
{
  "$bin" generate orders --to pubsub://order-events --rate 20/min --for "$((half / 2))s" --host "$broker"
  "$bin" generate orders --to pubsub://order-events --rate 30/s --bad 2% --for "$((half / 2))s" --host "$broker"
} 2>/dev/null &

# Results as they come: a few of many lines.
shown="$(wc -l <up.out)"
for _ in $(seq "$((SECONDS_LIVE / 5))"); do
  sleep 5
  total="$(wc -l <up.out)"
  new=$((total - shown))
  if [ "$new" -gt 0 ]; then
    tail -n "$new" up.out | grep -E '^(SPIKE|DROP)' || true
    tail -n "$new" up.out | grep -vE '^(SPIKE|DROP)' | head -n 4 || true
    [ "$new" -le 8 ] || echo "... and $((new - 4)) more lines"
  fi
  shown=$total
done

echo
echo "\$ purlin status"
"$bin" status || true
echo
echo "\$ purlin deadletters list orders"
"$bin" deadletters list orders | tail -n 6
echo
echo "Metrics of the last windows of orders:"
cat out/metrics* | tail -n 3
kill -TERM "$up_pid"
wait "$up_pid"
up_pid=""

cat <<EOF

What to look at next:
  purlin up pipelines/orders/purlin.yaml     orders on this machine; \`purlin status\` and http://127.0.0.1:8090/metrics tell
                                             how it stands; kill -9 it and start it again: nothing is lost or doubled
  purlin test pipelines/orders               the pipelines' own tests, time included
  purlin explain pipelines/orders/pipeline.yaml
  docs/guide/README.md                       the guide
(\`purlin\` is $bin here; \`make install\` installs it, with SQL.)
EOF
