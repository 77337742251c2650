# Pods on this machine, by podman. Sourced after lib.sh and tools.bash; installs what it needs.
# shellcheck shell=bash
((EUID == 0)) || skip 'only root can run containers here'
need podman podman
need buildah buildah
need runc runc
need catatonit catatonit
need_kubernetes_tools

# One test of pods at a time: whatever its storage, podman keeps its locks for the whole machine, and frees them all when
# it finds a new storage.
take_podman() {
  exec {podman_lock}>/run/lock/telovix-podman
  flock --timeout 900 "$podman_lock" || fail "another test of pods does not end"
}

storage=(--root "$SCRATCH/storage" --runroot "$SCRATCH/runroot" --storage-driver overlay)
export CONTAINERS_CONF=$SCRATCH/containers.conf
cat >"$CONTAINERS_CONF" <<'TOML'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
TOML
# Messages about timers of systemd, which is not there, are no failures.
pods() { podman "${storage[@]}" --tmpdir "$SCRATCH/tmpdir" "$@"; }

# Waits for a condition: `wait_for 'what' command …`.
wait_for() {
  local what=$1 deadline=$((SECONDS + 120))
  shift
  until "$@" >"$SCRATCH/waited" 2>&1; do
    ((SECONDS < deadline)) || fail "waited in vain: $what: $(cat "$SCRATCH/waited"; pods ps --all --quiet | while read -r id; do pods logs --tail 20 "$id" 2>&1; done)"
    sleep 0.2
  done
}


# An image of one of our programs as it is at hand, with the libraries that it wants: `make_image telovix-agent`.
make_image() {
  local program=$1 library context=$SCRATCH/context-$1
  mkdir "$context"
  cp "$BIN/$program" "$context/"
  ldd "$BIN/$program" | grep -oE '/[^ ]+' | while read -r library; do install -D -m 0755 "$library" "$context$library"; done
  sed 's|^COPY .*|COPY . /|' "$ROOT/packaging/image/$program.Containerfile" >"$context.Containerfile"
  buildah "${storage[@]}" bud --quiet --isolation=chroot --file "$context.Containerfile" --tag "localhost/$program:0.1.0" \
    "$context" >/dev/null
}

# Plays the pod in $SCRATCH/$1.yaml on the network $2: host or none.
play() { pods kube play --quiet --network "$2" "$SCRATCH/$1.yaml" >"$SCRATCH/played" 2>&1; }
at_exit 'pods pod rm --force --all >/dev/null 2>&1'
