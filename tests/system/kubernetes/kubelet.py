"""Does a kubelet's part for `podman kube play`, which runs pods and is no kubelet.

    kubelet.py pod MANIFESTS DIR NODE            the pod of the one workload there, as podman can play it
    kubelet.py secret DIR VOLUME KEY GID <VALUE  lays, or replaces, the content of a Secret volume

What a kubelet would do and podman 4 does not: the Downward API's node name; fsGroup on Secret volumes and emptyDir; a Secret
volume's links, which swap its whole content by one rename. The volumes are directories under DIR. Everything else of the pod
is taken as it is rendered.
"""

import os
import sys
import time

import yaml


def pod(manifests, directory, node):
    with open(manifests) as stream:
        documents = [d for d in yaml.safe_load_all(stream) if d]
    template = next((d["spec"]["template"] for d in documents if d["kind"] in ("DaemonSet", "Deployment")), documents[0])
    spec = template["spec"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        for variable in container.get("env", []):
            if variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") == "spec.nodeName":
                del variable["valueFrom"]
                variable["value"] = node
        # podman makes timers of systemd from these, and there is none. The test runs the commands itself.
        container.pop("livenessProbe", None)
        container.pop("readinessProbe", None)
        # It would map them, which its other networks cannot.
        container.pop("ports", None)
    for volume in spec["volumes"]:
        place = os.path.join(directory, volume["name"])
        if "emptyDir" in volume or "persistentVolumeClaim" in volume:
            os.makedirs(place, exist_ok=True)
            os.chown(place, 0, spec["securityContext"]["fsGroup"])
            os.chmod(place, 0o2777 if "emptyDir" in volume else 0o2775)
            volume.pop("emptyDir", None)
            volume.pop("persistentVolumeClaim", None)
        elif "secret" in volume:
            os.makedirs(place, exist_ok=True)
            del volume["secret"]
        else:
            continue
        volume["hostPath"] = {"path": place, "type": "Directory"}
    # podman applies the policy to init containers too, and starts them for ever.
    spec["restartPolicy"] = "Never"
    metadata = {
        "name": "telovix",
        "labels": template["metadata"].get("labels", {}),
        # `once`, the default, removes an init container with its log.
        "annotations": {"io.podman.annotations.init.container.type": "always"},
    }
    yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, sys.stdout)


def secret(directory, volume, key, gid):
    value = sys.stdin.buffer.read()
    place = os.path.join(directory, volume)
    fresh = f"..{time.time_ns()}"
    os.makedirs(os.path.join(place, fresh))
    os.chown(place, 0, gid)
    content = os.path.join(place, fresh, key)
    with open(content, "wb") as file:
        file.write(value)
    os.chown(content, 0, gid)
    os.chmod(content, 0o440)
    os.symlink(fresh, os.path.join(place, "..data_tmp"))
    os.rename(os.path.join(place, "..data_tmp"), os.path.join(place, "..data"))
    link = os.path.join(place, key)
    if not os.path.islink(link):
        os.symlink(os.path.join("..data", key), link)


if sys.argv[1] == "pod":
    pod(*sys.argv[2:])
else:
    secret(*sys.argv[2:5], int(sys.argv[5]))
