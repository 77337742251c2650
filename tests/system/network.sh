#!/usr/bin/env bash
# A bad network between real programs: the Console in one network namespace, daemons in another. Packets are lost at random
# while seven hosts enroll; nothing passes for longer than several heartbeats, and in the middle of a renewal; the name
# server is gone, fails, denies, is silent, is slow, and lies; the Console moves to another address. Each host keeps its
# identity, says what is wrong, asks no more often than the back-off allows, and recovers by itself; who is lied to sends
# nothing to the liar. LONG=yes takes what lasts minutes, too (long/partition.sh).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/support/machine.sh"
here=$(cd "$(dirname "$0")" && pwd)
((EUID == 0)) || skip 'only root can make network namespaces'
need iptables iptables
need curl curl
need python3 python3
need_python dnslib 0.9.26
prepared
readonly NAMES=10.77.0.53 FIXED=10.77.0.9 NEW_HOME=10.77.0.4 LIAR=10.77.0.66 PORT=15483
readonly NAMED=(servfail nxdomain silent slow moved lied)
readonly HOSTS=(plain "${NAMED[@]}")

make_network
# Not for the background: there, only what bash starts itself has the process id that is killed.
in_console() { ip netns exec "$console_net" "$@"; }
in_host() { ip netns exec "$host_net" "$@"; }
in_host iptables -w -A INPUT -i h0 -m statistic --mode random --probability 0.2 -j DROP 2>"$SCRATCH/err" ||
  skip "iptables: $(cat "$SCRATCH/err")"
in_host iptables -w -A OUTPUT -o h0 -m statistic --mode random --probability 0.2 -j DROP
in_console sh -c 'echo 1 >/proc/sys/net/ipv4/conf/c0/promote_secondaries'
for address in "$NAMES" "$FIXED"; do ip -n "$console_net" address add "$address/24" dev c0; done
ip -n "$host_net" address add "$LIAR/24" dev h0

# Its own name server, by its own /etc/resolv.conf; `ip netns exec` mounts it.
mkdir -p "/etc/netns/$host_net"
at_exit "rm -rf /etc/netns/$host_net"
printf 'nameserver %s\n%s\n' "$NAMES" "${RESOLVER_OPTIONS-options timeout:1 attempts:2}" >"/etc/netns/$host_net/resolv.conf"
mkdir "$SCRATCH/names"
# The next answers for the name of a host: `names HOST words …`.
names() { echo "${*:2}" >"$SCRATCH/names/.new" && mv "$SCRATCH/names/.new" "$SCRATCH/names/$1.console.test"; }
start_names() {
  ip netns exec "$console_net" "$tools/bin/python" "$here/support/dns.py" "$NAMES" "$SCRATCH/names" >>"$SCRATCH/asked" 2>&1 &
  names_pid=$!
  at_exit "kill $names_pid 2>/dev/null"
}

# The Console.
data=$SCRATCH/console
stub() { "$BIN/telovix-console-stub" "$@" --data-dir "$data" --log-level warn; }
echo 'correct horse battery staple' >"$SCRATCH/password"
server_names=(--server-name "$FIXED")
for host in "${NAMED[@]}" fresh; do server_names+=(--server-name "$host.console.test"); done
stub setup --admin-email admin@example.com --admin-password-file "$SCRATCH/password" --trial-nodes 50 \
  "${server_names[@]}" --output json >"$SCRATCH/setup.json"
ca_file=$(json ca_file <"$SCRATCH/setup.json")
stub settings set heartbeat_seconds 5 >/dev/null
echo '[]' >"$SCRATCH/chaos.json"
ip netns exec "$console_net" "$BIN/telovix-console-stub" serve --data-dir "$data" --listen "0.0.0.0:$PORT" --chaos "$SCRATCH/chaos.json" \
  >"$SCRATCH/console.out" 2>"$SCRATCH/console.log" &
console_pid=$!
at_exit "kill $console_pid; wait $console_pid"
await 'the Console' grep -q "$PORT" "$SCRATCH/console.out"
chaos() { in_console curl -fsS --cacert "$ca_file" "$@" "https://localhost:$PORT/chaos"; }
sensors() { stub sensor list --output json | grep -o '"sensor_id"' | wc -l; }
audited() { stub audit list --action "$1" --output json | { grep -oE "\"action_type\": *\"$1\"" || true; } | wc -l; }

# The hosts.
configured() { echo "$SCRATCH/$1/agent.toml"; }
start_host() {
  local host=$1 url=$2 folder=$SCRATCH/$1
  mkdir "$folder"
  cat >"$(configured "$host")" <<TOML
console_url = "$url"
bootstrap_ca = "$ca_file"
token_file = "$folder/token"
state_dir = "$folder/state"
control_socket = "$folder/control.sock"
node_name = "$host"
TOML
  ip netns exec "$host_net" "$BIN/telovix-agent" --config "$(configured "$host")" run >"$folder/log" 2>&1 &
  at_exit "kill $!; wait $!"
}
give() {
  stub token create --type once --output json | json token >"$SCRATCH/$1/token.new"
  chmod 600 "$SCRATCH/$1/token.new"
  mv "$SCRATCH/$1/token.new" "$SCRATCH/$1/token"
}
status() { "$BIN/telovix-agent" --config "$(configured "$1")" status --output json || true; }
value() { status "$1" | json "$2"; }
is_ready() { "$BIN/telovix-agent" --config "$(configured "$1")" status --ready; }
is_well() { is_ready "$1" && [[ -z $(value "$1" code) && $(value "$1" state) == active ]]; }
says() { [[ $(value "$1" code) =~ ^($2)$ ]]; }
attempts() {
  curl -fsS --unix-socket "$SCRATCH/$1/control.sock" http://agent/metrics |
    awk '/^telovix_agent_console_requests_total/ { all += $2 } END { print all + 0 }'
}
# The same identity as before, ready, and the next attempt within the longest step of the back-off.
stands() {
  local host=$1 next
  is_ready "$host" || fail "$host is not ready: $(status "$host")"
  [[ $(value "$host" sensor_id) == "${identity[$host]}" ]] || fail "$host has another identity: $(status "$host")"
  next=$(value "$host" next_attempt)
  [[ -n $next ]] || fail "$host says no next attempt: $(status "$host")"
  (($(date -d "$next" +%s) - $(date +%s) <= 330)) || fail "$host waits until $next"
}
seconds_since_contact() { echo $(($(date +%s) - $(date -d "$(value "$1" last_contact)" +%s))); }
missed() { (($(seconds_since_contact "$1") >= $2)); }
cut_off() {
  in_console iptables -w -I INPUT -i c0 -j DROP
  in_console iptables -w -I OUTPUT -o c0 -j DROP
}
let_through() {
  in_console iptables -w -D INPUT -i c0 -j DROP
  in_console iptables -w -D OUTPUT -o c0 -j DROP
}
link_down() { ip -n "$host_net" link set h0 down; }
link_up() { ip -n "$host_net" link set h0 up; }
# Waits until a command succeeds, for more than twice the longest step of the back-off.
patiently() { within 700 "$@"; }
all_well() {
  local host
  for host in "$@"; do patiently "$host to be well" is_well "$host"; done
  echo "    well again after $((SECONDS - since)) s at most"
}
dropped() { in_host iptables -w -nvxL | awk '/DROP/ { all += $1 } END { print all + 0 }'; }

start_names
await 'the name server' grep -q ready "$SCRATCH/asked"

echo '20 % of the packets are lost in each direction while seven hosts enroll'
for host in "${NAMED[@]}"; do
  names "$host" answer "$CONSOLE_ADDRESS"
  start_host "$host" "https://$host.console.test:$PORT"
done
start_host plain "https://$FIXED:$PORT"
since=$SECONDS
for host in "${HOSTS[@]}"; do give "$host"; done
all_well "${HOSTS[@]}"
lost=$(dropped)
((lost > 10)) || fail "only $lost packets were lost"
in_host iptables -w -F
[[ $(sensors) == "${#HOSTS[@]}" && $(audited sensor_enrolled) == "${#HOSTS[@]}" ]] || fail "$(sensors) sensors"
for host in "${HOSTS[@]}"; do [[ ! -e $SCRATCH/$host/token ]] || fail "$host still has its token"; done
echo "    $lost packets were lost; ${#HOSTS[@]} sensors, and each token used once"
declare -A identity before
for host in "${HOSTS[@]}"; do identity[$host]=$(value "$host" sensor_id); done

partition() {
  local what=$1 seconds=$2 cut=$3 mend=$4 host most=0 made
  echo "$what, for $seconds s after the last heartbeat"
  for host in "${HOSTS[@]}"; do before[$host]=$(attempts "$host"); done
  $cut
  for host in "${HOSTS[@]}"; do
    patiently "$host to miss its heartbeats" missed "$host" "$seconds"
    # The heartbeat that was on its way has a deadline of its own.
    await "$host to name the cause" says "$host" 'deadline_exceeded|console_unreachable|connection_broken'
    stands "$host"
    made=$(($(attempts "$host") - before[$host]))
    ((made > most)) && most=$made
    # One heartbeat may have been on its way; then full jitter over 1, 2, 4, … s, which takes 3 draws to 7 s.
    ((made <= 12 + seconds / 20)) || fail "$host made $made attempts in $seconds s"
  done
  since=$SECONDS
  $mend
  all_well "${HOSTS[@]}"
  for host in "${HOSTS[@]}"; do
    [[ $(value "$host" sensor_id) == "${identity[$host]}" ]] || fail "$host has another identity"
  done
  [[ $(sensors) == "${#HOSTS[@]}" ]] || fail "$(sensors) sensors"
  echo "    at most $most attempts by one host meanwhile"
}
partition 'Nothing passes, in silence' 20 cut_off let_through
if [[ -n ${LONG-} ]]; then
  partition 'Nothing passes, in silence' 600 cut_off let_through
  partition 'The link is down' 120 link_down link_up
fi

# The Console has made the certificate when the network goes, and says so when it comes back, or is asked again.
renewal() {
  local how=$1 was at_console
  was=$(value plain serial) at_console=$(audited auto_certificate_renewal_initiated)
  chaos -X POST -d '[{"path":"/api/v1/sensors/self/certificate/renew","act":{"kind":"delay","ms":2000}}]' >/dev/null
  curl -sS --unix-socket "$SCRATCH/plain/control.sock" -X POST 'http://agent/renew?force=true' >"$SCRATCH/renewed" &
  await 'the request' arrived
  cut_off
  await 'the new certificate' eval "((\$(audited auto_certificate_renewal_initiated) > $at_console))"
  is_ready plain || fail "not ready in the middle of a renewal: $(status plain)"
  $how
  since=$SECONDS
  let_through
  await 'another certificate' eval "[[ \$(value plain serial) != $was ]]"
  all_well plain
  [[ $(value plain sensor_id) == "${identity[plain]}" && $(sensors) == "${#HOSTS[@]}" ]] || fail "$(status plain)"
}
answer_lost() {
  patiently 'the renewal to be given up' grep -q renew_failed "$SCRATCH/renewed"
  grep -q deadline_exceeded "$SCRATCH/renewed" || fail "$(cat "$SCRATCH/renewed")"
}
arrived() { chaos | grep -q '"times":0'; }
echo 'Nothing passes in the middle of a renewal, for a moment'
renewal true
if [[ -n ${LONG-} ]]; then
  echo 'Nothing passes in the middle of a renewal, until the answer is lost'
  renewal answer_lost
fi

echo 'Nobody answers for names'
kill "$names_pid"
for host in "${NAMED[@]}"; do
  await "$host to miss the name server" says "$host" console_unreachable
  stands "$host"
  [[ $(value "$host" message) =~ lookup|resolution ]] || fail "$host does not name the cause: $(status "$host")"
done
is_well plain || fail "a host that asks for no name minds: $(status plain)"

echo 'The name server fails, denies, is silent, is slow, lies'
coproc ROGUE { exec ip netns exec "$host_net" "$BIN/rogue" "$LIAR:$PORT" lied.console.test fresh.console.test 2>&1; }
at_exit "kill $ROGUE_PID"
read -r -t 10 -u "${ROGUE[0]}" line && [[ $line == "$LIAR:$PORT" ]] || fail "the liar's server: $line"
rogue() {
  echo >&"${ROGUE[1]}"
  read -r -t 10 -u "${ROGUE[0]}" line && echo "$line"
}
names servfail servfail
names nxdomain nxdomain
names silent silent
names slow slow 0.7 "$CONSOLE_ADDRESS"
names moved answer "$CONSOLE_ADDRESS"
names lied answer "$LIAR"
names fresh answer "$LIAR"
: >"$SCRATCH/asked"
start_names
start_host fresh "https://fresh.console.test:$PORT"
give fresh
since=$SECONDS
all_well slow moved
for host in servfail nxdomain silent; do
  # The question was really answered so.
  await "$host to be asked for" grep -q "^$host.console.test A $host" "$SCRATCH/asked"
  says "$host" console_unreachable\|deadline_exceeded || fail "$host: $(status "$host")"
  stands "$host"
  [[ $(value "$host" message) =~ look[-\ ]up|resolution|connecting ]] || fail "$host does not name the cause: $(status "$host")"
done
for host in lied fresh; do await "$host to notice the lie" says "$host" console_not_trusted; done
stands lied
sent_nothing() {
  record=$(rogue)
  # The look at the clock may go to anybody, for it says nothing.
  local harmless='"requests":\[("GET /healthz",?)*\],"tokens":0\}'
  [[ $record =~ $harmless && $record =~ \"client_certificates\":0, ]] || fail "the liar got something: $record"
  [[ $record =~ \"connections\":[1-9] ]] || fail "nobody asked the liar: $record"
  [[ -s $SCRATCH/fresh/token && $(value fresh state) == enrolling ]] || fail "$(status fresh)"
}
sent_nothing
[[ $(sensors) == "${#HOSTS[@]}" ]] || fail "$(sensors) sensors"
echo "    the liar's server: $record"

echo 'The Console moves to another address'
ip -n "$console_net" address add "$NEW_HOME/24" dev c0
ip -n "$console_net" address del "$CONSOLE_ADDRESS/24" dev c0
await 'moved to lose its Console' says moved 'console_unreachable|deadline_exceeded'
stands moved
since=$SECONDS
for host in "${NAMED[@]}" fresh; do names "$host" answer "$NEW_HOME"; done
all_well servfail nxdomain silent slow moved

if [[ -n ${LONG-} ]]; then
  echo 'Who was lied to asks again within five minutes and a tenth'
  since=$SECONDS
  for host in lied fresh; do patiently "$host to be well" is_well "$host"; done
  ((SECONDS - since < 360)) || fail "it took $((SECONDS - since)) s"
  echo "    well again after $((SECONDS - since)) s at most"
fi
for host in "${HOSTS[@]}"; do
  [[ $(value "$host" sensor_id) == "${identity[$host]}" ]] || fail "$host has another identity"
done
echo "${#HOSTS[@]} hosts, $(sensors) sensors, $(audited sensor_enrolled) enrollments"
