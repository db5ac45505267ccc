#!/usr/bin/env bash
# Fetches the test data of Apache Beam that tests read: trigger_transcripts.yaml, from the wheel of one
# version, checked by its digest. Does nothing if it is there already.
#
#   testkit/fetch-beam-data.sh target/beam-data
set -euo pipefail

version=2.77.0
member=apache_beam/testing/data/trigger_transcripts.yaml
digest=2b5f54124c277e055274d4bccba126b11c8168d0b0a5d02103e9a0754bed8dea

folder=${1:?usage: $0 FOLDER}
file=$folder/$(basename "$member")

intact() {
    python3 - "$1" "$digest" <<'PY'
import hashlib, os, sys
path, digest = sys.argv[1:]
same = os.path.exists(path) and hashlib.sha256(open(path, "rb").read()).hexdigest() == digest
sys.exit(0 if same else 1)
PY
}

if intact "$file"; then
    echo "$file is there"
    exit 0
fi

mkdir -p "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One wheel for all machines: only a data file is taken from it.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --platform manylinux_2_17_x86_64 --implementation cp --python-version 311 \
    --dest "$scratch" "apache-beam==$version"

python3 - "$scratch" "$member" <<'PY'
import glob, os, sys, zipfile
scratch, member = sys.argv[1:]
wheel, = glob.glob(os.path.join(scratch, "apache_beam-*.whl"))
with zipfile.ZipFile(wheel) as z, open(os.path.join(scratch, "data"), "wb") as out:
    out.write(z.read(member))
PY

if ! intact "$scratch/data"; then
    echo "the data file in apache-beam $version is not the one that was expected" >&2
    exit 1
fi
mv "$scratch/data" "$file"
echo "$file fetched"
