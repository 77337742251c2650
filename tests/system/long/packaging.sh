#!/usr/bin/env bash
# What is given to others, built from nothing: the binaries of both architectures hold what they promise, the image has the
# static one and nothing else for both, the chart's pod runs with it, and each aarch64 binary goes through a whole
# enrollment under emulation. Each of the six builds takes five to ten minutes of processor time; DIST can name a folder of
# binaries that are built already.
. "$(dirname "$0")/../lib.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
readonly AARCH64_LOADER=/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1
((EUID == 0)) || skip 'only root can install what the build needs'
need buildah buildah
need skopeo skopeo
need qemu-aarch64-static qemu-user-static
need "$AARCH64_LOADER" libc6-arm64-cross
need python3 python3
need pip3 python3-pip

if [[ -z ${DIST-} ]]; then
  DIST=$SCRATCH/dist
  "$ROOT/packaging/build" --out "$DIST"
fi
(cd "$DIST" && sha256sum --check --quiet SHA256SUMS) || fail 'SHA256SUMS is not of these binaries'

# The image: one index, two architectures, and in each one layer with one file.
image=$SCRATCH/telovix-agent.tar
storage=(--root "$SCRATCH/storage" --runroot "$SCRATCH/runroot" --storage-driver overlay)
build_image() {
  BUILDAH="buildah ${storage[*]}" "$ROOT/packaging/image/build" telovix-agent "$1" \
    "amd64=$DIST/telovix-agent-static-amd64" "arm64=$DIST/telovix-agent-static-arm64"
}
build_image "$image"
index=$(skopeo inspect --raw "oci-archive:$image")
for architecture in amd64 arm64; do
  grep -q "\"architecture\":\"$architecture\"" <<<"$index" || fail "no $architecture in $index"
  skopeo copy --quiet --override-arch "$architecture" "oci-archive:$image" "dir:$SCRATCH/$architecture"
  mapfile -t layers < <(grep -oE '"digest":"sha256:[0-9a-f]{64}"' "$SCRATCH/$architecture/manifest.json" | grep -oE '[0-9a-f]{64}' | tail -n +2)
  ((${#layers[@]} == 1)) || fail "${#layers[@]} layers for $architecture"
  files=$(tar -tzf "$SCRATCH/$architecture/${layers[0]}")
  [[ $files == telovix-agent ]] || fail "the image of $architecture holds: $files"
  size=$(stat -c %s "$SCRATCH/$architecture/${layers[0]}")
  bytes=$(stat -c %s "$DIST/telovix-agent-static-$architecture")
  echo "$architecture: $bytes bytes, $size bytes to fetch"
  ((bytes < 6000000)) || fail "the image of $architecture has $bytes bytes"
  grep -q '"User":"65532:65532"' "$SCRATCH/$architecture"/* || fail "the image of $architecture names no numeric user"
done
build_image "$SCRATCH/again.tar"
skopeo inspect --raw "oci-archive:$SCRATCH/again.tar" | cmp - <(printf %s "$index") || fail 'the same binaries made another image'

# The chart's pod with that image, and not with one that the test makes.
IMAGE_ARCHIVE=$image SCRATCH=$(mktemp -d "$SCRATCH/pod-XXXXXX") bash "$ROOT/tests/system/image.sh"

# aarch64, under emulation.
start_console
for kind in static linux; do
  binary=$DIST/telovix-agent-$kind-arm64
  emulated=$SCRATCH/bin-$kind
  mkdir "$emulated"
  printf '#!/bin/sh\nexec qemu-aarch64-static -L /usr/aarch64-linux-gnu %q "$@"\n' "$binary" >"$emulated/telovix-agent"
  chmod +x "$emulated/telovix-agent"
  make_token --type once >"$SCRATCH/token"
  state=$SCRATCH/state-$kind
  expect 0 "$emulated/telovix-agent" --state-dir "$state" enroll --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" \
    --node-name "arm-$kind" --token-file "$SCRATCH/token"
  [[ ! -e $SCRATCH/token ]] || fail 'the used token is still there'
  expect 0 "$emulated/telovix-agent" --state-dir "$state" status --ready
  openssl verify -purpose sslclient -CAfile "$state/console-ca.cert.pem" "$state/client.cert.pem" >/dev/null
  # Once more, over mutual TLS with what was stored.
  expect 0 "$emulated/telovix-agent" --state-dir "$state" enroll --console-url "$console_url" --ca-fingerprint "$ca_fingerprint" \
    --node-name "arm-$kind"
  grep -q 'already enrolled' "$SCRATCH/out" || fail "$(cat "$SCRATCH/out")"
  echo "aarch64, $kind: enrolled and accepted again under emulation"
done
