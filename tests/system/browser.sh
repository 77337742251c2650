#!/usr/bin/env bash
# The pages in a real Chromium: set-up, sign-in, a host deployed by the token that the page shows, a token revoked, a rule,
# a waiting host let in, what a viewer may not, the audit trail verified, lists that follow what happens; axe-core on every
# page, light, dark and at a phone's width. Helm takes the commands that the page shows. Screenshots go to $SCREENSHOTS where
# that is set.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kubernetes/tools.bash"
((EUID == 0)) || command -v chromium >/dev/null || skip 'chromium is missing, and only root can install it'
need npm npm
need chromium chromium fonts-dejavu-core
need_kubernetes_tools

here=$(cd "$(dirname "$0")" && pwd)
modules=${BIN%/*}/ci-tools/browser-1.65.1-4.14.1
get_modules() {
  [[ -e $modules/.done ]] && return
  mkdir -p "$modules"
  (cd "$modules" && npm install --silent --no-save --no-audit --no-fund playwright-core@1.65.1 axe-core@4.14.1 >/dev/null) &&
    : >"$modules/.done"
}
alone "$modules.lock" get_modules || skip 'playwright-core and axe-core cannot be had from npm'
prepared
cp "$here"/browser/*.js "$SCRATCH"
ln -s "$modules/node_modules" "$SCRATCH"

# A Console that nobody has set up: the wizard's own way, with the code from its output.
mkfifo "$SCRATCH/lines"
"$BIN/telovix-console-stub" serve --data-dir "$SCRATCH/console" --listen 127.0.0.1:0 >"$SCRATCH/lines" 2>"$SCRATCH/console.log" &
console_pid=$!
at_exit "kill $console_pid; wait $console_pid"
exec {lines}<"$SCRATCH/lines"
read -r -t 30 -u "$lines" address || fail "the Console did not start: $(cat "$SCRATCH/console.log")"
read -r -t 30 -u "$lines" said || fail 'the Console printed no setup code'
code=${said##* }
[[ $code =~ ^[0-9a-f]{32}$ ]] || fail "no setup code in: $said"

screenshots=${SCREENSHOTS:-$SCRATCH/screenshots}
mkdir -p "$screenshots"
: >"$SCRATCH/empty.toml"
status=0
export SCRATCH
CONSOLE="https://$address" SETUP_CODE=$code AGENT="$BIN/telovix-agent" SCREENSHOTS=$screenshots FLEET=$here/support/fleet.py \
  timeout --foreground 600 node "$SCRATCH/walk.js" || status=$?
((status == 0)) || { tail -n 20 "$SCRATCH/console.log" >&2; fail 'the walk through the pages failed'; }
(($(find "$screenshots" -name '*.png' | wc -l) >= 80)) || fail 'screenshots are missing'

# The commands as they are shown, with `helm template` in the place of `helm install`, from where the page says.
grep -q '^helm install ' "$SCRATCH/helm.sh" || fail 'the page shows no helm install'
for helm in "${HELMS[@]}"; do
  { echo "cd '$ROOT'"; sed -n '/^helm install /,$p' "$SCRATCH/helm.sh" | sed "1s|^helm install|'$helm' template|"; } >"$SCRATCH/try.sh"
  bash -eu "$SCRATCH/try.sh" >"$SCRATCH/rendered.yaml" 2>"$SCRATCH/err" || fail "$helm refuses what the page shows: $(cat "$SCRATCH/err")"
  for word in "https://$address" 'secretName: telovix-enrollment' 'value: "2026"' 'sha256:'; do
    grep -qF "$word" "$SCRATCH/rendered.yaml" || { grep -n 2026 "$SCRATCH/rendered.yaml" >&2; fail "the rendered chart has no $word"; }
  done
done
grep -q 'name: telovix-enrollment$' "$SCRATCH/secret.yaml" || fail 'the Secret has another name than the chart asks for'
python "$KUBE_TOOLS/python/bin/kubernetes-validate" --strict --quiet -k 1.31 "$SCRATCH/secret.yaml" || fail 'the Secret is none'

grep -q tse_ "$SCRATCH/console.log" && fail 'a token stands in the log'
exit 0
