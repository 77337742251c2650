#!/usr/bin/env bash
# docs/api.md is true: every block of shell in it is run in order against a running Console, and every curl has to get the
# status that stands at the end of its line. A comment `<!-- test: WORDS -->` runs a function of this script.
. "$(dirname "$0")/lib.sh"
page=$(cd "$(dirname "$0")/../.." && pwd)/docs/api.md
need curl curl
need python3 python3

"$BIN/telovix-console-stub" license issue --key "$SCRATCH/licence-key.pem" --nodes 20 --out "$SCRATCH/license.json" >/dev/null
setup_args=(--license "$SCRATCH/license.json" --license-trust "$SCRATCH/licence-key.pem.pub")
start_console
readonly CONSOLE=$console_url CA=$ca_file
cd "$SCRATCH"

a_host_waits() {
  make_token --type once >"$SCRATCH/$1.token"
  expect 4 agent "$SCRATCH/$1" enroll --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name "$1" \
    --token-file "$SCRATCH/$1.token" --no-wait
}
the_host_comes_in() {
  expect 0 agent "$SCRATCH/$1" enroll --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name "$1" \
    --token-file "$SCRATCH/$1.token"
}

# Writes down the status of each call; the page's own lines stay as people would type them.
curl() {
  local status
  status=$(command curl --silent --show-error --write-out '%{http_code}' "$@" --output "$SCRATCH/answer")
  echo "$status" >>"$SCRATCH/statuses"
  # What the page wants in a file, curl has put there itself: the first --output counts.
  [[ -e $SCRATCH/answer ]] || return 0
  cat "$SCRATCH/answer"
  rm -f "$SCRATCH/answer"
}

blocks=0 calls=0
run_block() {
  : >"$SCRATCH/statuses"
  # Sourced, so that what one block defines the next can use.
  . "$SCRATCH/block"
  grep -oE '# [0-9]{3}$' "$SCRATCH/block" | cut -c3- >"$SCRATCH/wanted" || true
  if ! cmp -s "$SCRATCH/wanted" "$SCRATCH/statuses"; then
    cat "$SCRATCH/block" >&2
    fail "the statuses were $(tr '\n' ' ' <"$SCRATCH/statuses")"
  fi
  blocks=$((blocks + 1)) calls=$((calls + $(wc -l <"$SCRATCH/statuses")))
}

inside=false
while IFS= read -r line <&3; do
  case $line in
    '```sh') inside=true && : >"$SCRATCH/block" ;;
    '```')
      if $inside; then
        inside=false
        run_block >"$SCRATCH/out" || { cat "$SCRATCH/out"; exit 1; }
      fi
      ;;
    '<!-- test: '*) read -r -a words <<<"${line#'<!-- test: '}" && "${words[0]}" "${words[1]}" ;;
    *) if $inside; then printf '%s\n' "$line" >>"$SCRATCH/block"; fi ;;
  esac
done 3<"$page"
((calls > 50)) || fail "only $calls calls were found in the page"
echo "$blocks blocks, $calls calls: each got the status that the page says"
