#!/usr/bin/env bash
# network.sh with what lasts minutes: partitions of minutes in silence and by a link that is down, an answer to a renewal that
# is lost for good, the resolver's own long patience, and the way back from a name server that lied.
set -euo pipefail
cd "$(dirname "$0")/.."
LONG=yes RESOLVER_OPTIONS='' ./network.sh
