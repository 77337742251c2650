#!/usr/bin/env bash
# The same sources give the same binary, packages and bill of materials, whichever directory they are built in, by the build
# that makes what is given to others; and the bill is a valid CycloneDX one of every crate that is in the binary.
. "$(dirname "$0")/../lib.sh"
source=$(cd "$(dirname "$0")/../../.." && pwd)
[[ -z $(git -C "$source" status --porcelain) ]] || skip 'the tree has changes that are not committed'
unset CARGO_TARGET_DIR
need python3 python3
need pip3 python3-pip
readonly NAME=telovix-agent-linux-amd64

for place in here somewhere-else/deeper; do
  copy=$SCRATCH/$place out=$SCRATCH/out-${place%%/*}
  mkdir -p "$(dirname "$copy")"
  git clone --quiet "$source" "$copy"
  "$copy/packaging/build" --out "$out" "$NAME"
  if grep -aqF "$copy" "$out/$NAME"; then fail "the binary holds the path it was built in: $copy"; fi
  "$copy/packaging/package" --binary "$out/$NAME" --out "$out/packages" --sbom >/dev/null
done
for list in SHA256SUMS packages/SHA256SUMS; do
  cmp "$SCRATCH/out-here/$list" "$SCRATCH/out-somewhere-else/$list" ||
    fail "two directories gave two results: $(diff "$SCRATCH/out-here/$list" "$SCRATCH/out-somewhere-else/$list")"
done
(cd "$SCRATCH/out-here/packages" && sha256sum --check --quiet SHA256SUMS) || fail 'SHA256SUMS is not of these packages'
if grep -qF "$SCRATCH" "$SCRATCH/out-here/packages/telovix-agent.cdx.json"; then fail 'the bill of materials holds the path'; fi
cat "$SCRATCH"/out-here/{,packages/}SHA256SUMS

python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$SCRATCH/python" \
  'cyclonedx-python-lib[json-validation]==11.12.0'
(cd "$SCRATCH/here" && cargo tree --package telovix-agent --edges normal --target x86_64-unknown-linux-gnu --prefix none --locked \
  --format '{p}') | sed -nE 's/^([^ ]+) v([^ ]+).*/\1 \2/p' | sort -u >"$SCRATCH/crates"
PYTHONPATH=$SCRATCH/python python3 - "$SCRATCH/out-here/packages/telovix-agent.cdx.json" "$SCRATCH/crates" <<'PY'
import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1]) as file:
    text = file.read()
bill = json.loads(text)
problem = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text)
if problem:
    sys.exit(f"no valid bill of materials: {problem}")
told = {f"{part['name']} {part['version']}" for part in bill["components"] + [bill["metadata"]["component"]]}
with open(sys.argv[2]) as file:
    crates = set(file.read().splitlines())
if len(crates) < 50 or not crates <= told:
    sys.exit(f"of {len(crates)} crates these are missing: {sorted(crates - told)}")
print(f"{len(crates)} crates of the binary are in the bill, CycloneDX {bill['specVersion']}")
PY
