#!/usr/bin/env bash
# The same sources give the same binary and the same packages, whichever directory they are built in.
. "$(dirname "$0")/../lib.sh"
source=$(cd "$(dirname "$0")/../../.." && pwd)
[[ -z $(git -C "$source" status --porcelain) ]] || skip 'the tree has changes that are not committed'
unset CARGO_TARGET_DIR
cargo_home=${CARGO_HOME:-$HOME/.cargo}

for place in here somewhere-else/deeper; do
  copy=$SCRATCH/$place
  mkdir -p "$(dirname "$copy")"
  git clone --quiet "$source" "$copy"
  # Paths stand in panic messages and in assertions of C code; mapped away they cannot differ.
  map="$copy=/build"
  (cd "$copy" && RUSTFLAGS="--remap-path-prefix=$map --remap-path-prefix=$cargo_home=/cargo" \
    CFLAGS="-ffile-prefix-map=$map -ffile-prefix-map=$cargo_home=/cargo" \
    cargo build --quiet --release --locked -p telovix-agent)
  built=$copy/target/release/telovix-agent
  if grep -aqF "$copy" "$built"; then fail "the binary holds the path it was built in: $copy"; fi
  "$copy/packaging/package" --binary "$built" --out "$SCRATCH/out-${place%%/*}" >/dev/null
  sha256sum <"$built"
done >"$SCRATCH/sums"
(($(sort -u "$SCRATCH/sums" | wc -l) == 1)) || fail "two directories gave two binaries: $(cat "$SCRATCH/sums")"
cmp "$SCRATCH/out-here/SHA256SUMS" "$SCRATCH/out-somewhere-else/SHA256SUMS" || fail 'two directories gave two packages'
echo "twice $(sort -u "$SCRATCH/sums")"
