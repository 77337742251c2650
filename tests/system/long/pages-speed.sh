#!/usr/bin/env bash
# What the pages cost with 100,000 sensors, tokens and audit records in the embedded database, by the Console as it is given
# to others: the first byte of each list, under filters and deep inside, and of the single pages. Every answer has to be the
# page that was asked for; the times are reported and asserted nowhere. Each is the median of ROUNDS, TIMES times over. Beside
# them stands the processor time that the Console took for one request, which a busy machine changes little.
. "$(dirname "$0")/../lib.sh"
root=$(cd "$(dirname "$0")/../../.." && pwd)
need curl curl
need python3 python3
SENSORS=${SENSORS:-100000} ROUNDS=${ROUNDS:-21} TIMES=${TIMES:-3}

# BUILT=DIR measures the Console that lies there, whatever it was built with.
if [[ -z ${BUILT-} ]]; then
  (cd "$root" && cargo build --quiet --locked --profile console --package telovix-console-stub)
fi
BIN=${BUILT:-${CARGO_TARGET_DIR:-$root/target}/console}
setup_args=(--trial-nodes "$((SENSORS * 2))")
start_console
# A Console that runs is filled behind its back: what it counts and lists comes from the database.
python3 "$root/tests/system/support/fleet.py" "$SCRATCH/console/console.db" "$SENSORS" "$SENSORS"

jar=$SCRATCH/jar
browse() { curl --silent --show-error --cacert "$ca_file" --cookie "$jar" --cookie-jar "$jar" "$@"; }
csrf() { sed -n 's/.*name="csrf_token" value="\([^"]*\)".*/\1/p' "$1" | sed -n 1p; }
browse -o "$SCRATCH/page" "$console_url/ui/login"
answer=$(browse -o /dev/null -w '%{http_code} %{redirect_url}' --data-urlencode "csrf_token=$(csrf "$SCRATCH/page")" \
  --data-urlencode email=admin@example.com --data-urlencode 'password=correct horse battery staple' "$console_url/ui/login")
[[ $answer == "303 $console_url/ui/sensors" ]] || fail "signing in was answered with $answer"

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
# Milliseconds from the request's last byte to the answer's first, on a connection that is open already, as a browser has it.
first_bytes() {
  local urls=() at
  for ((at = 0; at <= ROUNDS; at++)); do urls+=(-o /dev/null "$1"); done
  browse -w '%{num_connects} %{time_starttransfer} %{time_pretransfer} %{http_code}\n' "${urls[@]}" |
    awk '$4 != 200 { exit 1 } NR > 1 && $1 == 0 { printf "%.2f\n", ($2 - $3) * 1000 }'
}
# Hundredths of a second of processor time that the Console has taken.
ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$console_pid/stat"; }
# `measure NAME PATH TEXT [NOT]`: the page has the text, and not the other one.
measure() {
  local name=$1 url=$console_url$2 text=$3 not=${4-} run times=() before
  browse -o "$SCRATCH/page" "$url"
  grep -qF -- "$text" "$SCRATCH/page" || fail "$name, $2: the page does not have '$text'"
  if [[ -n $not ]] && grep -qF -- "$not" "$SCRATCH/page"; then fail "$name, $2: the page has '$not'"; fi
  before=$(ticks)
  for ((run = 0; run < TIMES; run++)); do
    first_bytes "$url" >"$SCRATCH/times" || fail "$name, $2: not every answer was 200"
    (($(wc -l <"$SCRATCH/times") == ROUNDS)) || fail "$name, $2: the connection was not kept"
    times+=("$(median <"$SCRATCH/times")")
  done
  printf '%-40s %-24s %s\n' "$name" "${times[*]}" \
    "$(awk -v took="$(($(ticks) - before))" -v asked="$((TIMES * (ROUNDS + 1)))" 'BEGIN { printf "%.2f", took * 10 / asked }')"
}
# Follows `Next page` so often, and prints the path that it leads to.
deep() {
  local path=$1 at
  for ((at = 0; at < $2; at++)); do
    browse -o "$SCRATCH/page" "$console_url$path"
    path=$(sed -n 's/.*class="button" href="\([^"]*cursor=[^"]*\)".*/\1/p' "$SCRATCH/page" | sed 's/&#38;/\&/g')
    [[ -n $path ]] || fail "$1 has no page $((at + 2))"
  done
  echo "$path"
}

echo "$SENSORS sensors, ${BUILT:+$BUILT, }$(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-40s %-24s %s\n' page "medians of $ROUNDS, ms" 'processor time, ms'
measure sensors /ui/sensors 'data-name="Node name"'
measure 'sensors, page 40' "$(deep /ui/sensors 39)" 'data-name="Node name"'
measure 'sensors by beginning of the name' '/ui/sensors?node_name=gnb-0999' 'gnb-0999'
measure 'sensors by a name that none has' '/ui/sensors?node_name=nobody' 'No sensor fits'
measure 'sensors by status stale' '/ui/sensors?status=stale' 'badge stale'
measure 'sensors by status revoked' '/ui/sensors?status=revoked' 'badge revoked'
measure 'sensors by health critical' '/ui/sensors?health_state=critical' 'data-name="Node name"'
measure 'sensors by certificate renewal due' '/ui/sensors?trust_health=renewal_due' 'badge renewal_due'
measure 'sensors by cluster and role' '/ui/sensors?cluster_id=ran-east&role=o_du' 'ran-east'
measure 'sensors by a cluster that none has' '/ui/sensors?cluster_id=nowhere' 'No sensor fits'
measure 'sensors by tag' '/ui/sensors?tag=canary' 'canary'
measure 'sensors by a tag that none has' '/ui/sensors?tag=nothing' 'No sensor fits'
first_link() { grep -oE "$1/[0-9a-f-]{36}" "$SCRATCH/page" | sed -n 1p; }
browse -o "$SCRATCH/page" "$console_url/ui/sensors"
sensor=$(first_link /ui/sensors)
measure 'one sensor' "$sensor" 'Identity'
measure tokens /ui/tokens 'data-name="Label"'
measure 'tokens, page 40' "$(deep /ui/tokens 39)" 'data-name="Label"'
measure 'tokens by status pending' '/ui/tokens?status=pending' 'badge pending' 'badge used'
measure 'tokens by a cluster that none has' '/ui/tokens?cluster_id=nowhere' 'No token fits'
browse -o "$SCRATCH/page" "$console_url/ui/tokens"
token=$(first_link /ui/tokens)
measure 'one token' "$token" 'Sensors that came with it'
measure rules /ui/rules 'data-name="Label"'
measure approvals /ui/approvals 'Approve marked'
measure 'approvals, page 10' "$(deep /ui/approvals 9)" 'Approve marked'
measure 'audit log' /ui/audit 'data-name="Action"'
measure 'audit log, page 40' "$(deep /ui/audit 39)" 'data-name="Action"'
measure 'audit log by action and outcome' '/ui/audit?action_type=sensor_enrolled&outcome=failure' 'badge failure'
measure 'audit log by an operator that is none' '/ui/audit?actor_email=nobody' 'No record fits'
measure settings /ui/settings 'Certificate authority'
echo "load at the end $(cut -d' ' -f1-3 /proc/loadavg)"
