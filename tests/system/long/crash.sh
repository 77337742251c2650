#!/usr/bin/env bash
# The whole of crash.sh and bad-disk.sh: a kill at each system call of an enrollment and a renewal, whatever it is, and
# at each on disk and network of the starts after them; 100 starts that are killed twice; an error at each call on the state
# directory.
set -euo pipefail
cd "$(dirname "$0")/.."
EVERY=1 DOUBLES=100 AT_LEAST=3300 ALL_CALLS=yes ./crash.sh
EVERY=1 ./bad-disk.sh
