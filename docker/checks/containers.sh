# shellcheck shell=bash
# Images built by buildah on a base system from Debian's archive, and run by podman as Docker would run them.
STORE=(--root "$CACHE/store" --runroot "$CACHE/run" --storage-driver overlay)
# As in the compose files: an unprivileged user, no capability, nothing written beside the mounts. And no network.
CONFINED=(--network none --cap-drop all --security-opt no-new-privileges --read-only --no-healthcheck --shm-size 2g)
CONFINED+=(--tmpfs "/tmp:rw,exec,nosuid,nodev,size=4g,mode=1777" --pids-limit -1)
# podman would raise these beyond what this shell may have.
CONFINED+=(--ulimit nofile=4096:4096 --ulimit nproc=8192:8192)

podman_here() { podman "${STORE[@]}" --runtime runc --cgroup-manager cgroupfs "$@"; }

need_container_tools() {
    local tool
    [ "$(id -u)" = 0 ] || { say "needs root: debootstrap and buildah do"; return 1; }
    for tool in debootstrap buildah podman runc; do
        command -v "$tool" >/dev/null || { say "needs $tool: apt-get install $tool"; return 1; }
    done
}

# base_image NAME PACKAGES [PREFIX]: Debian bookworm, with the Python installed at PREFIX put into /usr/local.
base_image() {
    podman_here image exists "$1" && return
    local root=$CACHE/bookworm
    rm -rf "$root"
    debootstrap --variant=minbase --include="$2" bookworm "$root" http://deb.debian.org/debian >"$CACHE/debootstrap.log"
    if [ -n "${3:-}" ]; then
        cp -a "$3/." "$root/usr/local/"
        chroot "$root" ldconfig
    fi
    tar -C "$root" -c . | podman_here import --quiet - "$1" >/dev/null
    rm -rf "$root"
}

# What pip and uv in a build need to know of this machine: its extra files, its certificates.
pip_of_this_machine() {
    echo "[global]"
    [ -z "${PIP_FIND_LINKS:-}" ] || echo "find-links = $PIP_FIND_LINKS"
    [ -z "${PIP_CERT:-}" ] || echo "cert = /etc/ssl/certs/ca-certificates.crt"
}

# build DOCKERFILE IMAGE BASE [buildah argument ...]
build() {
    local file=$1 image=$2 base=$3
    local mounts=(--volume "$CACHE/pip.conf:/etc/pip.conf:ro" --volume "$CACHE/uv.toml:/etc/uv/uv.toml:ro")
    shift 3
    pip_of_this_machine >"$CACHE/pip.conf"
    echo "native-tls = true" >"$CACHE/uv.toml"
    [ -z "${PIP_FIND_LINKS:-}" ] || mounts+=(--volume "$PIP_FIND_LINKS:$PIP_FIND_LINKS:ro")
    [ -z "${PIP_CERT:-}" ] || mounts+=(--volume "$PIP_CERT:/etc/ssl/certs/ca-certificates.crt:ro")
    # Its isolation shares this machine's network, for apt and pip; a network of its own wants more rights.
    buildah "${STORE[@]}" bud --isolation chroot --layers --format docker --build-arg "BASE_IMAGE=$base" \
        "${mounts[@]}" "$@" -f "$file" -t "$image" .
}

# Docker's own filter of system calls; podman's differs, and the level that the judge reaches hangs on it.
docker_filter() {
    .venv/bin/python - "$CACHE/seccomp.json" <<'PYTHON'
import json, sys
sys.path.insert(0, "tests/code_judge")
from docker_seccomp import default_profile
open(sys.argv[1], "w").write(json.dumps(default_profile(())))
PYTHON
}
