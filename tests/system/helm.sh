#!/usr/bin/env bash
# The charts with the real helm, versions 3 and 4: lint, a matrix of values whose manifests hold against the schemas of
# several Kubernetes versions and against our own rules, refusals with their words, and the default rendering as it was
# when somebody last looked at it. UPDATE_GOLDEN=1 writes that anew.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/kubernetes/tools.bash"
need_kubernetes_tools
prepared

readonly KUBERNETES_VERSIONS=(1.25 1.31 1.37)
readonly TOKEN=tse_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
PIN=sha256:$(printf '%064d' 0)
ca=$'-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
rendered=$SCRATCH/rendered
mkdir "$rendered"

# The values of one case, from arguments of --set kind.
template() { "$helm" template "$@" 2>"$SCRATCH/err"; }

# Renders one case: `good NAME arguments of helm`.
good() {
  local name=$1
  shift
  template telovix "$chart" --namespace edge --values "$chart/ci/minimal-values.yaml" "$@" >"$rendered/$label-$name.yaml" ||
    fail "$label $name: $(cat "$SCRATCH/err")"
}

# Expects a refusal: `bad 'words of helm 3' 'words of helm 4' arguments of helm`; the same words where the template speaks.
bad() {
  local words=$1
  [[ $helm == "${HELMS[0]}" ]] && words=$2
  shift 2
  if template telovix "$chart" --values "$chart/ci/minimal-values.yaml" "$@" >/dev/null; then fail "$label took $*"; fi
  grep -qF -e "$words" "$SCRATCH/err" || fail "$label says of $*: $(cat "$SCRATCH/err"), without: $words"
  refusals=$((refusals + 1))
}
# The same for the sentences of our own.
bad_for() { bad "$1" "$1" "${@:2}"; }

agent_matrix() {
  good minimal
  good token --set sensor.existingSecret= --set sensor.enrollmentToken=$TOKEN
  good ca --set sensor.caFingerprint= --set-string "sensor.bootstrapCaCert=$ca"
  good ca-path --set sensor.caFingerprint= --set sensor.bootstrapCaCertPath=/etc/ssl/certs/ca-certificates.crt
  good pinned-ca --set-string "sensor.bootstrapCaCert=$ca"
  good named --set sensor.nodeNameOverride=du-1,sensor.nodeRole=o_du,clusterName=lab,flavor=telecom,sensor.installId=a
  good tags --set 'sensor.tags={a,b c}' --set statePath=/srv/telovix
  good tags-text --set-string 'sensor.tags=a\,b c'
  good no-prepare --set prepareState=false --set user.uid=1000,user.gid=1001 --set hostFacts=false
  good leaves --set decommissionOnStop=true
  good metrics --set metrics.enabled=true --set metrics.port=9999
  good proxy --set proxy.httpsProxy=http://proxy.example:3128 --set-string 'proxy.noProxy=10.0.0.0/8\,.cluster.local'
  good cidrs --set 'networkPolicy.consoleCidrs={192.0.2.0/24,2001:db8::/32}' --set sensor.consoleUrl=https://c.example
  good open --set networkPolicy.enabled=false --set serviceAccount.create=false
  good image --set image.repository=mirror.example/telovix-agent --set "image.digest=$PIN" --set 'imagePullSecrets[0].name=pull'
  good placed --set nodeSelector.a=b --set priorityClassName=system-node-critical --set updateStrategy.maxUnavailable=1 \
    --set podLabels.x=y --set podAnnotations.x=y --set seLinuxOptions.type=spc_t
  good long --set "fullnameOverride=$(printf 'a%.0s' {1..63})" --set sensor.existingSecret= --set sensor.enrollmentToken=$TOKEN \
    --set-string "sensor.bootstrapCaCert=$ca"

  # What each of them is for.
  has token 'enrollmentToken: dHNlX0FB'
  has tags 'value: "a,b c"'
  has tags-text 'value: "a,b c"'
  has leaves 'command: ./telovix-agent, decommission.'
  has proxy 'port: 3128'
  has cidrs 'port: 443'
  has cidrs 'cidr: 2001:db8::/32'
  has image "image: \"mirror.example/telovix-agent@$PIN\""
  has no-prepare 'type: Directory$'
  has minimal 'fieldPath: spec.nodeName'
  lacks minimal preStop
  lacks no-prepare 'CHOWN|name: prepare|machine-id'
  lacks named 'fieldPath'
  lacks open 'kind: (NetworkPolicy|ServiceAccount)'
}

agent_refusals() {
  bad 'sensor: Additional property consoleURL is not allowed' "additional properties 'consoleURL' not allowed" \
    --set sensor.consoleURL=https://c.example
  bad 'Additional property hostNetwork is not allowed' "additional properties 'hostNetwork' not allowed" --set hostNetwork=true
  bad 'sensor.consoleUrl: Does not match pattern' "'http://c.example' does not match pattern" \
    --set sensor.consoleUrl=http://c.example
  bad 'sensor.consoleUrl: Does not match pattern' "at '/sensor/consoleUrl'" --set sensor.consoleUrl=https://u:p@c.example
  bad 'sensor.nodeRole: Does not match pattern' "at '/sensor/nodeRole'" --set sensor.nodeRole=O-DU
  bad 'sensor.nodeNameOverride: Does not match pattern' "at '/sensor/nodeNameOverride'" --set sensor.nodeNameOverride=-a
  bad 'sensor.caFingerprint: Does not match pattern' "at '/sensor/caFingerprint'" --set sensor.caFingerprint=sha1:00
  bad 'sensor.bootstrapCaCert: Does not match pattern' "at '/sensor/bootstrapCaCert'" --set sensor.bootstrapCaCert=MIIB
  bad 'sensor.tags.0: Does not match pattern' "at '/sensor/tags/0'" --set 'sensor.tags={a\,b}'
  bad 'sensor.keyType must be one of' "at '/sensor/keyType'" --set sensor.keyType=rsa1024
  bad 'sensor.enrollTimeout: Does not match pattern' "at '/sensor/enrollTimeout'" --set-string sensor.enrollTimeout=300
  bad 'flavor must be one of' "at '/flavor'" --set flavor=deluxe
  bad 'statePath: Does not match pattern' "at '/statePath'" --set statePath=/
  bad 'user.uid: Must be greater than or equal to 1' "at '/user/uid'" --set user.uid=0
  bad 'decommissionOnStop: Invalid type' "at '/decommissionOnStop'" --set-string decommissionOnStop=true
  bad 'proxy.httpsProxy: Does not match pattern' "at '/proxy/httpsProxy'" --set proxy.httpsProxy=http://u:p@proxy:3128
  bad 'image.pullPolicy must be one of' "at '/image/pullPolicy'" --set image.pullPolicy=Sometimes
  bad 'networkPolicy.consoleCidrs.0: Does not match pattern' "at '/networkPolicy/consoleCidrs/0'" \
    --set 'networkPolicy.consoleCidrs={c.example}'
  bad 'updateStrategy.maxUnavailable: Must be greater' "at '/updateStrategy/maxUnavailable'" --set updateStrategy.maxUnavailable=0
  # A token that is none must not be quoted by the one who refuses it; helm 4 quotes what does not match, so the template looks.
  bad_for 'sensor.enrollmentToken is not an enrollment token' --set sensor.existingSecret= \
    --set sensor.enrollmentToken=tse_MISTYPED_SECRET
  if grep -q MISTYPED "$SCRATCH/err"; then fail "$label quotes the token: $(cat "$SCRATCH/err")"; fi
  bad_for 'sensor.consoleUrl is missing' --set sensor.consoleUrl=
  bad_for 'there is no token' --set sensor.existingSecret=
  bad_for 'are both given: remove one of the two' --set sensor.enrollmentToken=$TOKEN
  bad_for 'are both given: remove one of the two' --set-string "sensor.bootstrapCaCert=$ca" --set sensor.bootstrapCaCertPath=/ca
  bad_for 'nothing vouches for the Console' --set sensor.caFingerprint=
  bad_for 'serviceAccount.annotations has no effect' --set serviceAccount.create=false --set serviceAccount.annotations.a=b
}

console_matrix() {
  good postgres --set database.existingSecret=db
  good claim --set persistence.existingClaim=mine --set networkPolicy.enabled=false
  good public --set publicUrl=https://console.example:15483 --set 'serverNames={console.example,192.0.2.1}' \
    --set service.type=LoadBalancer --set 'networkPolicy.fromCidrs={192.0.2.0/24}' --set persistence.storageClass=fast
  has postgres 'TELOVIX_DATABASE_URL_FILE'
  has postgres 'secretName: db'
  has public 'server-name=192.0.2.1'
  has minimal 'claimName: telovix-telovix-console-stub|claimName: telovix-console-stub'
  lacks minimal 'TELOVIX_DATABASE'
  lacks claim 'kind: (PersistentVolumeClaim|NetworkPolicy)'
}

console_refusals() {
  bad 'Additional property replicas is not allowed' "additional properties 'replicas' not allowed" --set replicas=2
  bad 'Additional property url is not allowed' "additional properties 'url' not allowed" --set database.url=postgres://u:p@h/d
  bad 'admin.email: Does not match pattern' "at '/admin/email'" --set admin.email=me
  bad 'trialNodes: Must be greater' "at '/trialNodes'" --set trialNodes=0
  bad 'persistence.size: Does not match pattern' "at '/persistence/size'" --set persistence.size=big
  bad_for 'admin.email is missing' --set admin.email=
  bad_for 'admin.existingSecret is missing' --set admin.existingSecret=
}

has() { grep -qE -e "$2" "$rendered/$label-$1.yaml" || fail "$label: $1 has no $2"; }
lacks() { if grep -E -e "$2" "$rendered/$label-$1.yaml"; then fail "$label: $1 has $2"; fi; }

# The rendering of the least values, comments and all.
golden() {
  local golden=$KUBERNETES/$name.golden.yaml
  if [[ -n ${UPDATE_GOLDEN-} ]]; then cp "$rendered/$label-minimal.yaml" "$golden"; fi
  diff -u "$golden" "$rendered/$label-minimal.yaml" ||
    fail "$label: the rendering changed; if that is meant, run UPDATE_GOLDEN=1 tests/system/helm.sh and look at the difference"
}

refusals=0
for helm in "${HELMS[@]}"; do
  version=$("$helm" version --template '{{.Version}}')
  for chart in "$CHARTS"/*/; do
    chart=${chart%/}
    name=$(basename "$chart") label=$version-$(basename "$chart")
    "$helm" lint --strict "$chart" --values "$chart/ci/minimal-values.yaml" >"$SCRATCH/out" 2>&1 || fail "$(cat "$SCRATCH/out")"
    good minimal
    golden
    case $name in
      telovix-agent) agent_matrix; agent_refusals ;;
      telovix-console-stub) console_matrix; console_refusals ;;
      *) fail "nothing is tried with the chart $name" ;;
    esac
  done
  echo "$version: lint, rendering and refusals"
done
echo "$refusals refusals"

python "$KUBERNETES/check.py" "$rendered"/*.yaml || fail 'the manifests break our rules'
# Each file begins with a separator, so together they are one stream.
cat "$rendered"/*.yaml >"$SCRATCH/all.yaml"
for version in "${KUBERNETES_VERSIONS[@]}"; do
  python "$KUBE_TOOLS/python/bin/kubernetes-validate" --strict --quiet -k "$version" "$SCRATCH/all.yaml" >"$SCRATCH/out" 2>&1 ||
    fail "Kubernetes $version: $(cat "$SCRATCH/out")"
done
# The validator is no dummy: the same manifests with one slip do not pass.
sed 's/terminationGracePeriodSeconds/terminationGracePeriod/' "$SCRATCH/all.yaml" >"$SCRATCH/slip.yaml"
if python "$KUBE_TOOLS/python/bin/kubernetes-validate" --strict --quiet -k "${KUBERNETES_VERSIONS[0]}" "$SCRATCH/slip.yaml" \
  >/dev/null 2>&1; then fail 'the validator takes a misspelt key'; fi
echo "$(find "$rendered" -name '*.yaml' | wc -l) renderings hold against Kubernetes ${KUBERNETES_VERSIONS[*]} and our rules"
