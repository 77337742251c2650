"""What no rendered manifest may break, whatever the values: `check.py MANIFESTS…`. Prints each breach, and fails on any."""

import base64
import sys

import yaml

breaches = []


def demand(condition, where, sentence):
    if not condition:
        breaches.append(f"{where}: {sentence}")


def check_pod(where, spec):
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        demand(not spec.get(name), where, f"{name} is on")
    demand(spec.get("automountServiceAccountToken") is False, where, "a service-account token is mounted")
    demand(spec.get("enableServiceLinks") is False, where, "service links fill the environment")
    context = spec["securityContext"]
    demand(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, where, "the pod may run as root")
    demand(context.get("seccompProfile") == {"type": "RuntimeDefault"}, where, "seccomp is off")
    for container in spec.get("initContainers", []) + spec["containers"]:
        check_container(f"{where}/{container['name']}", container)
    for volume in spec["volumes"]:
        if "secret" in volume:
            mode = volume["secret"].get("defaultMode", 0o644)
            demand(mode & 0o007 == 0, where, f"the Secret {volume['name']} can be read by everyone")


def check_container(where, container):
    context = container["securityContext"]
    root = container["name"] == "prepare"
    demand(context.get("allowPrivilegeEscalation") is False, where, "privileges can be gained")
    demand(not context.get("privileged"), where, "privileged")
    demand(context.get("readOnlyRootFilesystem") is True, where, "the root can be written")
    capabilities = context.get("capabilities", {})
    demand(capabilities.get("drop") == ["ALL"], where, "capabilities are kept")
    demand(capabilities.get("add", []) == (["CHOWN"] if root else []), where, f"capabilities are added: {capabilities}")
    if root:
        names = [mount["name"] for mount in container["volumeMounts"]]
        demand(names == ["state"] and "env" not in container, where, "root sees more than the state directory")
    else:
        demand(context.get("runAsUser", 1) != 0, where, "runs as root")
    demand("limits" in container.get("resources", {}), where, "no limits")
    variables = [variable["name"] for variable in container.get("env", [])]
    demand("TELOVIX_ENROLLMENT_TOKEN" not in variables, where, "the token stands in the environment")
    demand(len(set(variables)) == len(variables), where, "a variable is given twice")
    for variable in container.get("env", []):
        demand("secretKeyRef" not in variable.get("valueFrom", {}), where, f"{variable['name']} is a secret in the environment")
    demand("tse_" not in str(container), where, "a token stands in the container")


for path in sys.argv[1:]:
    with open(path) as stream:
        documents = [document for document in yaml.safe_load_all(stream) if document]
    demand(documents, path, "nothing was rendered")
    for document in documents:
        kind, metadata = document["kind"], document["metadata"]
        where = f"{path}: {kind}/{metadata['name']}"
        demand(len(metadata["name"]) <= 63, where, "the name is too long")
        if "template" in document.get("spec", {}):
            template = document["spec"]["template"]
            wanted = document["spec"]["selector"]["matchLabels"]
            demand(wanted.items() <= template["metadata"]["labels"].items(), where, "selects other pods than its own")
            check_pod(where, template["spec"])
        elif kind == "Secret":
            for value in document["data"].values():
                base64.b64decode(value, validate=True)
        else:
            demand("tse_" not in str(document), where, "a token stands in it")

print("\n".join(breaches))
sys.exit(bool(breaches))
