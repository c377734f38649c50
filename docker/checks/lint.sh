# shellcheck shell=bash
# Linters and schemas over every file of the deployment.
DCLINT=dclint@3.1.0

lint() {
    say "hadolint"
    "$TOOLS/bin/hadolint" --config docker/checks/hadolint.yaml docker/*/Dockerfile
    say "shellcheck"
    "$TOOLS/bin/shellcheck" -x docker/check.sh docker/checks/*.sh docker/trainer/lock.sh recipe/cluster/*.sh
    say "the Compose specification's schema"
    npm install --silent --no-audit --no-fund --prefix "$CACHE/npm" "$DCLINT"
    "$CACHE/npm/node_modules/.bin/dclint" -c docker/checks/dclint.yaml docker/compose*.yaml docker/*/compose.yaml
    say "the schemas of Kubernetes; of a RayJob, the pods"
    "$TOOLS/bin/kubernetes-validate" --strict recipe/cluster/judge.yaml
    "$TOOLS/bin/python" docker/checks/core_resources.py recipe/cluster/kuberay.yaml >"$CACHE/kuberay-core.yaml"
    "$TOOLS/bin/kubernetes-validate" --strict "$CACHE/kuberay-core.yaml"
}
