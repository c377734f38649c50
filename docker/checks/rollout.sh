# shellcheck shell=bash
# The image of the rollout endpoint, whole: every step of docker/rollout/Dockerfile, then a rollout in the container.

# rollout ENVIRONMENT: the simulated agent of ruleworld makes a rollout; others are asked for help, which loads them.
rollout() {
    need_container_tools
    local environment=$1 image=localhost/cleartrace-rollout:$1 base=localhost/debian:bookworm-slim
    base_image "$base" ca-certificates
    build docker/rollout/Dockerfile "$image" "$base" --build-arg "ENVIRONMENT=$environment" \
        --ignorefile docker/rollout/Dockerfile.dockerignore
    rm -rf "$CACHE/rollouts"
    install -d -o 1001 -g 1001 "$CACHE/rollouts"
    local run=(run --rm "${CONFINED[@]}" --volume "$CACHE/rollouts:/runs")
    say "which environments are ready in the container"
    podman_here "${run[@]}" --entrypoint cleartrace "$image" environments list
    if [ "$environment" = ruleworld ]; then
        say "a rollout in the container"
        podman_here "${run[@]}" --entrypoint python3 --volume "$PWD/docker/checks/rollout.py:/rollout.py:ro" "$image" \
            /rollout.py
    fi
    podman_here images "$image"
}
