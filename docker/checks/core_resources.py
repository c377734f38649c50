"""`core_resources.py FILE`: what of a KubeRay file a schema of Kubernetes alone can judge, as YAML on stdout.

Resources of Kubernetes as they are, and the pod template of each group of a RayJob as a Pod.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def core_resources(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not document["apiVersion"].startswith("ray.io/"):
            yield document
            continue
        cluster = document["spec"]["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            template = group["template"]
            metadata = {**template["metadata"], "name": group.get("groupName", "head")}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


if __name__ == "__main__":
    found = core_resources(list(yaml.safe_load_all(Path(sys.argv[1]).read_text())))
    yaml.safe_dump_all(found, sys.stdout)
