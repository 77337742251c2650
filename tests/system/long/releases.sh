#!/usr/bin/env bash
# Older and newer hosts, as tests/system/releases.sh tries them, with the binary that is given to others: the one that needs no
# newer glibc than 2.17. DIST can name a folder of binaries that are built already.
. "$(dirname "$0")/../lib.sh"
tests=$(cd "$(dirname "$0")/.." && pwd)
[[ $(uname -m) == x86_64 ]] || skip 'the binary is built for x86_64'
if [[ -z ${DIST-} ]]; then
  DIST=$SCRATCH/dist
  "$tests/../../packaging/build" --out "$DIST" telovix-agent-linux-amd64
fi
export DIST
SCRATCH=$(mktemp -d "$SCRATCH/machines-XXXXXX") bash "$tests/releases.sh"
