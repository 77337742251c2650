# What the system tests share. Sourced, with BIN and SCRATCH set by `run`; alone, a script makes do with the defaults.
# shellcheck shell=bash
set -euo pipefail
BIN=${BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/debug}
if [[ -z ${SCRATCH-} ]]; then
  SCRATCH=$(mktemp -d)
  own_scratch=true
fi
unset "${!TELOVIX_@}" HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy

undo=()
# Arguments for the Console that start_console sets up and starts.
setup_args=(--trial-nodes 50)
serve_args=()
# Words before the command that sets it up.
setup_by=()
# Does these words at the end, the last one first, whatever happens.
at_exit() { undo+=("$*"); }
finish() {
  local status=$? at
  set +e
  for ((at = ${#undo[@]} - 1; at >= 0; at--)); do eval "${undo[at]}"; done
  [[ -n ${own_scratch-} ]] && rm -rf "$SCRATCH"
  exit "$status"
}
trap finish EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
skip() {
  echo "cannot be run here: $*"
  exit 77
}

# Runs a command while nobody else holds this lock file: `alone FILE command …`.
alone() {
  mkdir -p "${1%/*}"
  (
    flock 9
    shift
    "$@" 9>&-
  ) 9>"$1"
}

# Ends here where only the set-up was asked for (prepare).
prepared() { [[ -z ${PREPARE-} ]] || exit 0; }

# Installs Debian packages unless the command is there already.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  ((EUID == 0)) || skip "$command is missing, and only root can install $*"
  alone "$APT_LOCK" install_packages "$@"
}
# One installs at a time, and waits for whoever else does. No service is started: that is what RUNLEVEL is for.
readonly APT_LOCK=/run/lock/telovix-apt
install_packages() {
  local install=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends
    -o DPkg::Lock::Timeout=600 "$@")
  "${install[@]}" >/dev/null || { apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
}

# Puts the newest PostgreSQL that is installed on PATH, and installs one where there is none.
need_postgres() {
  newest() { compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || true; }
  PATH=$(newest):$PATH
  need initdb postgresql
  PATH=$(newest):$PATH
}

# A program from PyPI in an environment of its own that is kept: `need_python NAME VERSION`; fills tools.
need_python() {
  tools=${BIN%/*}/ci-tools/$1-$2
  [[ -e $tools/.done ]] && return
  python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv python3-venv
  alone "$tools.lock" make_environment "$@" || skip "$1 cannot be installed"
}
make_environment() {
  [[ -e $tools/.done ]] && return
  python3 -m venv --clear "$tools" &&
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$1==$2" && : >"$tools/.done"
}

# Takes a Debian package apart without installing it, and prints where one of its files is: `borrowed PACKAGE FILE`. For
# packages that would push each other out.
borrowed() {
  local dir=$SCRATCH/borrowed/$1
  mkdir -p "$dir"
  (cd "$dir" && alone "$APT_LOCK" download "$1" && dpkg -x ./*.deb .) >/dev/null 2>&1 || skip "the package $1 cannot be had"
  echo "$dir$2"
}
download() { apt-get download -q "$1" || { apt-get update -q && apt-get download -q "$1"; }; }

# The value of a key in a flat JSON object; our own output is one, so that no other tool is needed.
json() {
  local found
  found=$(sed -nE 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"(([^"\\]|\\.)*)".*/\1/p')
  printf '%s\n' "${found%%$'\n'*}"
}

# Expects an exit status: `expect 8 command …`. Standard output and error go to $SCRATCH/out and $SCRATCH/err.
expect() {
  local wanted=$1 status=0
  shift
  "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
  if ((status != wanted)); then
    cat "$SCRATCH/out" "$SCRATCH/err" >&2
    fail "exit status $status instead of $wanted: $*"
  fi
}

# Sets up and starts a Console: fills console_url, console_address, ca_file and ca_fingerprint.
start_console() {
  local data=$SCRATCH/console line
  echo 'correct horse battery staple' >"$SCRATCH/password"
  "${setup_by[@]}" "$BIN/telovix-console-stub" setup --data-dir "$data" --admin-email admin@example.com \
    --admin-password-file "$SCRATCH/password" --server-name 127.0.0.1 --server-name localhost "${setup_args[@]}" \
    --output json >"$SCRATCH/setup.json"
  ca_file=$(json ca_file <"$SCRATCH/setup.json")
  ca_fingerprint=$(json ca_fingerprint <"$SCRATCH/setup.json")
  mkfifo "$SCRATCH/first-line"
  "$BIN/telovix-console-stub" serve --data-dir "$data" --listen 127.0.0.1:0 "${serve_args[@]}" \
    >"$SCRATCH/first-line" 2>"$SCRATCH/console.log" &
  console_pid=$!
  at_exit "kill $console_pid; wait $console_pid"
  exec {console_out}<"$SCRATCH/first-line"
  read -r -t 30 -u "$console_out" line || fail "the Console did not start: $(cat "$SCRATCH/console.log")"
  console_address=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line") || fail "no address in: $line"
  console_url=https://$console_address
}

# Makes a token with these arguments and prints it.
make_token() {
  "$BIN/telovix-console-stub" token create --data-dir "$SCRATCH/console" "$@" --output json | json token
}

# Runs the agent on a state directory: `agent DIR command …`.
agent() {
  local state=$1
  shift
  : >"$SCRATCH/empty.toml"
  "$BIN/telovix-agent" --config "$SCRATCH/empty.toml" --state-dir "$state" "$@"
}

# Enrolls a host with a new one-time token: `enroll DIR name more arguments …`.
enroll() {
  local state=$1 name=$2
  shift 2
  make_token --type once >"$SCRATCH/token"
  agent "$state" enroll --console-url "$console_url" --bootstrap-ca "$ca_file" --node-name "$name" \
    --token-file "$SCRATCH/token" "$@"
}
