# Whole machines for the system tests: a booted systemd in a root of its own, on an address of its own, beside a Console on
# another. Sourced after lib.sh. The roots are kept under target/system, so that only the first run pays for them.
# shellcheck shell=bash
readonly CACHE=${BIN%/*}/system
readonly CONSOLE_ADDRESS=10.77.0.1 HOST_ADDRESS=10.77.0.2

# Makes the roots of these Debian releases once. mmdebstrap takes half of the processor time of debootstrap.
debian_roots() {
  local suite
  need mmdebstrap mmdebstrap
  need systemd-nspawn systemd-container
  for suite; do [[ -e $CACHE/rootfs/$suite/.done ]] || alone "$CACHE/rootfs/$suite.lock" make_root "$suite"; done
}
make_root() {
  local suite=$1 made=$CACHE/rootfs/$1
  [[ -e $made/.done ]] && return
  rm -rf "$made.new"
  mmdebstrap --variant=minbase --dpkgopt=force-unsafe-io \
    --include=systemd,systemd-sysv,dbus,libpam-systemd,ca-certificates,procps,iproute2,curl \
    "$suite" "$made.new" http://deb.debian.org/debian >"$SCRATCH/$suite.log" 2>&1 ||
    skip "mmdebstrap $suite: $(tail -n 3 "$SCRATCH/$suite.log")"
  touch "$made.new/.done"
  mv "$made.new" "$made"
}

# A root to write to above the kept one: fills root.
fresh_root() {
  debian_roots "$1"
  local root_base=$CACHE/rootfs/$1
  root=$SCRATCH/root
  mkdir -p "$SCRATCH/over" "$root"
  mount -t tmpfs tmpfs "$SCRATCH/over" || skip 'only root can mount'
  mkdir "$SCRATCH/over/upper" "$SCRATCH/over/work"
  mount -t overlay overlay -o "lowerdir=$root_base,upperdir=$SCRATCH/over/upper,workdir=$SCRATCH/over/work" "$root"
  [[ -n ${will_drop-} ]] || at_exit drop_root
  will_drop=yes
  rm -f "$root/etc/machine-id" "$root/.done"
  : >"$root/etc/machine-id"
}

# Forgets it.
drop_root() {
  mountpoint -q "$root" || return 0
  umount "$root"
  umount "$SCRATCH/over"
}

# Two network namespaces with a cable between them: fills console_net and host_net.
make_network() {
  need ip iproute2
  console_net=telovix-c-$$ host_net=telovix-h-$$
  ip netns add "$console_net" 2>"$SCRATCH/err" || skip "ip netns: $(cat "$SCRATCH/err")"
  at_exit "ip netns del $console_net"
  ip netns add "$host_net"
  at_exit "ip netns del $host_net"
  ip -n "$console_net" link add c0 type veth peer name h0 netns "$host_net"
  ip -n "$console_net" address add "$CONSOLE_ADDRESS/24" dev c0
  ip -n "$host_net" address add "$HOST_ADDRESS/24" dev h0
  local net
  for net in "$console_net" "$host_net"; do ip -n "$net" link set lo up; done
  ip -n "$console_net" link set c0 up
  ip -n "$host_net" link set h0 up
}

# A Console in its own network namespace, with this binary staged: fills console_url, ca_file, ca_fingerprint, console_pid.
start_remote_console() {
  local data=$SCRATCH/console
  echo 'correct horse battery staple' >"$SCRATCH/password"
  "$BIN/telovix-console-stub" setup --data-dir "$data" --admin-email admin@example.com \
    --admin-password-file "$SCRATCH/password" --server-name "$CONSOLE_ADDRESS" --trial-nodes 50 \
    --output json >"$SCRATCH/setup.json"
  ca_file=$(json ca_file <"$SCRATCH/setup.json")
  ca_fingerprint=$(json ca_fingerprint <"$SCRATCH/setup.json")
  console_url=https://$CONSOLE_ADDRESS:15483
  stage "$1"
  : >"$SCRATCH/console.out"
  ip netns exec "$console_net" "$BIN/telovix-console-stub" serve --data-dir "$data" --listen "$CONSOLE_ADDRESS:15483" \
    --public-url "$console_url" >"$SCRATCH/console.out" 2>"$SCRATCH/console.log" &
  console_pid=$!
  at_exit "kill $console_pid; wait $console_pid"
  await 'the Console' grep -q "$CONSOLE_ADDRESS" "$SCRATCH/console.out"
}

# Has the Console hand out this binary.
stage() {
  "$BIN/telovix-console-stub" binary stage --data-dir "$SCRATCH/console" "$1" >"$SCRATCH/out"
}

# Waits until a command succeeds, for a minute, or for so many seconds.
await() { within 60 "$@"; }
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < end)) || fail "$what did not come: $*"
    sleep 0.2
  done
}

# Boots the root on the host's address: fills leader. Its cgroups are its own, in a mount namespace of its own.
boot() {
  group=telovix-$$
  # shellcheck disable=SC2016
  unshare -m --propagation private bash -c '
    umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && mkdir -p "/sys/fs/cgroup/$1" &&
      echo $$ >"/sys/fs/cgroup/$1/cgroup.procs" || exit
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
    exec systemd-nspawn -q --register=no --keep-unit --machine="$1" -D "$2" --console=pipe \
      --network-namespace-path="/run/netns/$3" -b' boot "$group" "$root" "$host_net" </dev/null >>"$SCRATCH/boot.log" 2>&1 &
  nspawn_pid=$!
  [[ -n ${will_halt-} ]] || at_exit halt
  will_halt=yes
  await 'systemd' find_leader
  await 'the boot' booted
}
find_leader() {
  local child
  kill -0 "$nspawn_pid" 2>/dev/null || skip "systemd-nspawn: $(tail -n 5 "$SCRATCH/boot.log")"
  for child in $(cat "/proc/$nspawn_pid/task/$nspawn_pid/children" 2>/dev/null); do
    grep -qE '^NSpid:.*[[:space:]]1$' "/proc/$child/status" 2>/dev/null || continue
    nsenter -t "$child" -m test -S /run/systemd/private 2>/dev/null || continue
    leader=$child
    return
  done
  return 1
}
booted() {
  local state
  state=$(inside systemctl is-system-running 2>/dev/null)
  [[ $state == running || $state == degraded ]]
}

# Runs a command in the booted machine.
inside() { nsenter -t "$leader" -m -u -i -n -p -C --root --wd=/ "$@"; }

# Powers it off and removes its cgroups, deepest first.
halt() {
  [[ -n ${nspawn_pid-} ]] || return 0
  inside systemctl poweroff >/dev/null 2>&1
  local end=$((SECONDS + 30))
  while kill -0 "$nspawn_pid" 2>/dev/null; do
    if ((SECONDS > end)); then kill -KILL "$leader" "$nspawn_pid" 2>/dev/null; fi
    sleep 0.1
  done
  wait "$nspawn_pid" 2>/dev/null
  nspawn_pid=
  # shellcheck disable=SC2016
  unshare -m --propagation private bash -c 'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup &&
    find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +' halt "$group" 2>/dev/null
  return 0
}
