#!/usr/bin/env bash
# Changes one thing at a time in the code that decides (verify, schedule, machine, token and enrollment rules) or spends a token,
# and asks its tests whether they notice: `mutants.sh [FILE…]`, all of them or those that are named. Fails on a change that no
# test notices and mutants.txt does not explain, and on an explanation that explains nothing any more. See docs/mutation.md.
. "$(dirname "$0")/../lib.sh"
cd "$(dirname "$0")/../../.." || exit
readonly VERSION=27.1.0 EXPLAINED=tests/system/long/mutants.txt
readonly TARGET=${CARGO_TARGET_DIR:-$PWD/target}
readonly TOOLS=$TARGET/mutants-tools
need cc gcc

# One line for each group of files: the package whose unit tests judge them, the tests that every change meets, and those that
# only what they let through meets (`-`: none). A target folder of its own keeps changed code out of the usual one, and
# optimising or debug information would only cost time.
readonly AGENT_QUICK='machine:: --skip fleet:: --skip invariants::'
groups() {
  cat <<EOF
agent/src/verify/mod.rs|telovix-agent|verify::|store::
agent/src/machine/**/*.rs|telovix-agent|$AGENT_QUICK|machine::
agent/src/driver/spent_token.rs|telovix-agent|driver::|-
contract/src/token.rs|telovix-contract|token::|-
console-stub/src/domain/token.rs|telovix-console-stub|domain::|-
console-stub/src/domain/enroll/mod.rs|telovix-console-stub|domain::|-
console-stub/src/service/enroll/carry_out/mod.rs|telovix-console-stub|service::enroll::|-
EOF
}
export CARGO_TARGET_DIR=$TARGET/mutants CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1 CARGO_TERM_COLOR=never

if [[ $("$TOOLS/bin/cargo-mutants" mutants --version 2>/dev/null) != "cargo-mutants $VERSION" ]]; then
  CARGO_TARGET_DIR=$TOOLS/build cargo install --quiet --locked --version "$VERSION" --root "$TOOLS" cargo-mutants ||
    fail "cargo-mutants $VERSION cannot be installed"
fi
mutants() { "$TOOLS/bin/cargo-mutants" mutants --colors never --no-shuffle "$@" </dev/null; }

# A change by its file and its text, without the line that it stands in today: where a function has the same change in several
# places, they are counted.
keys() {
  awk '
    { text = $0; match(text, /:[0-9]+:[0-9]+: /)
      key = substr(text, 1, RSTART - 1) ": " substr(text, RSTART + RLENGTH)
      names[NR] = $0; of[NR] = key; all[key]++ }
    END { for (i = 1; i <= NR; i++) {
      key = of[i]; at[key]++
      print names[i] "\t" key (all[key] > 1 ? " (" at[key] " of " all[key] ")" : "") } }'
}
# The keys of the changes on standard input.
keyed() { awk -F '\t' 'NR == FNR { key[$1] = $2; next } { print key[$0] }' "$SCRATCH/keys" - | sort; }

# Runs the changes of one group past the quick tests, and the survivors past the others. Adds to the lists in SCRATCH.
judge() {
  local package=$1 quick=$2 slow=$3 out=$SCRATCH/judged list
  shift 3
  rm -rf "$out"
  mkdir "$out"
  : >"$SCRATCH/endless"
  stage "$package" "$out" "$quick" "$@"
  take caught unviable
  if [[ $slow != - && -s $out/mutants.out/missed.txt ]]; then
    take timeout
    cp "$out/mutants.out/timeout.txt" "$SCRATCH/endless"
    # Goes on from there: what was caught, or could not be compiled, is left out.
    stage "$package" "$out" "$slow" --iterate "$@"
    take caught
  fi
  take timeout missed
}
# Adds these lists of the last stage, without what did not come to an end in the one before: that is judged.
take() {
  local list
  for list in "$@"; do
    grep -vxFf "$SCRATCH/endless" "$out/mutants.out/$list.txt" >>"$SCRATCH/$list" || true
  done
}
stage() {
  local package=$1 out=$2 tests=$3 status=0
  shift 3
  echo "$package, changed in ${files[*]}, judged by: $tests" >&2
  # shellcheck disable=SC2086 # Several words.
  mutants --output "$out" --package "$package" --timeout "${SECONDS_EACH:-300}" --cargo-arg=--lib --cargo-arg=--locked \
    "$@" -- -- $tests >"$SCRATCH/log" 2>&1 || status=$?
  # 2: something was missed; 3: something took too long. Anything else is no verdict.
  case $status in 0 | 2 | 3) ;; *) fail "cargo-mutants ended with $status: $(tail -n 30 "$SCRATCH/log")" ;; esac
}

selected=("$@")
matched=()
: >"$SCRATCH/all"
for list in caught unviable timeout missed; do : >"$SCRATCH/$list"; done
while IFS='|' read -r pattern package quick slow; do
  mutants --list --file "$pattern" >"$SCRATCH/listed"
  files=()
  while IFS= read -r file; do
    if ((${#selected[@]} == 0)) || [[ " ${selected[*]} " == *" $file "* ]]; then files+=("$file"); fi
  done < <(cut -d: -f1 "$SCRATCH/listed" | sort -u)
  ((${#files[@]})) || continue
  matched+=("${files[@]}")
  arguments=()
  for file in "${files[@]}"; do
    arguments+=(--file "$file")
    grep -F "$file:" "$SCRATCH/listed" >>"$SCRATCH/all"
  done
  keys <"$SCRATCH/all" >"$SCRATCH/keys"
  judge "$package" "$quick" "$slow" "${arguments[@]}"
done < <(groups)
for file in "${selected[@]}"; do
  [[ " ${matched[*]} " == *" $file "* ]] || fail "nothing is changed in $file; the files are: $(groups | cut -d'|' -f1 | xargs)"
done

# What is explained, of the files at hand: a line with the change, and below it, indented, why no test can notice it.
awk '
  /^#/ || /^$/ { next }
  /^[[:space:]]/ { explained = 1; next }
  { if (line != "" && !explained) { print "no reason is given for: " line; exit 1 } line = $0; explained = 0 }
  END { if (line != "" && !explained) { print "no reason is given for: " line; exit 1 } }' "$EXPLAINED" || fail "see $EXPLAINED"
for file in "${matched[@]}"; do grep -F "$file: " "$EXPLAINED" || true; done | sort >"$SCRATCH/explained"
keyed <"$SCRATCH/missed" >"$SCRATCH/survivors"

count() { grep -cF "$2" "$SCRATCH/$1" || true; }
printf '%-44s %7s %6s %9s %8s %8s %6s\n' file changes caught explained survived unviable 'no end'
row() {
  local explained
  explained=$(comm -12 "$SCRATCH/survivors" "$SCRATCH/explained" | grep -cF "$2" || true)
  printf '%-44s %7d %6d %9d %8d %8d %6d\n' "$1" "$(count all "$2")" "$(count caught "$2")" "$explained" \
    $(($(count survivors "$2") - explained)) "$(count unviable "$2")" "$(count timeout "$2")"
}
for file in "${matched[@]}"; do row "$file" "$file:"; done
row 'in all' ''

judged=$(($(count caught '') + $(count missed '') + $(count unviable '') + $(count timeout '')))
((judged == $(count all ''))) || fail "$judged changes were judged of $(count all '')"
broken=0
report() {
  [[ -s $2 ]] || return 0
  broken=1
  echo "$1:"
  sed 's/^/    /' "$2"
}
comm -23 "$SCRATCH/survivors" "$SCRATCH/explained" >"$SCRATCH/unexplained"
comm -13 "$SCRATCH/survivors" "$SCRATCH/explained" >"$SCRATCH/stale"
# With the line that it stands in today, for whoever goes to look.
awk -F '\t' '
  NR == FNR { wanted[$0]; next }
  $2 in wanted { match($1, /:[0-9]+:[0-9]+: /); print $2 "   [" substr($1, RSTART + 1, RLENGTH - 3) "]" }
' "$SCRATCH/unexplained" "$SCRATCH/keys" >"$SCRATCH/unnoticed"
report 'no test noticed' "$SCRATCH/unnoticed"
report "explained in $EXPLAINED, but it is no survivor" "$SCRATCH/stale"
if [[ -s $SCRATCH/timeout ]]; then
  echo 'the tests did not come to an end, which is noticed too:'
  sed 's/^/    /' "$SCRATCH/timeout"
fi
((broken == 0)) || fail 'add a test that notices, or explain'
