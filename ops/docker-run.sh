#!/bin/sh
# Starts the image the way it is meant to run: the host's network, a read-only root, no capabilities, a memory limit.
set -eu

usage() {
  cat <<'TEXT'
Usage: ops/docker-run.sh [server flags]

Runs Breadbox in the background; the server's flags follow, such as --log-level warn. What the container itself needs
comes from the environment:

  ENGINE        docker or podman (the first that is installed)
  IMAGE         the image (breadbox)
  NAME          the container's name (breadbox)
  MEMORY_LIMIT  memory of the container (4g); the store takes 60% of it unless BREADBOX_MEMORY says otherwise
  NOFILE        open files, and so connections (1048576)
  BREADBOX_...  the server's flags as variables, handed on by name, so that no token shows in a list of processes;
                BREADBOX_PORT is the port, which the health check has to know as well

Example: BREADBOX_TOKEN=$(openssl rand -hex 32) MEMORY_LIMIT=8g ops/docker-run.sh --log-level warn
TEXT
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac

for flag; do
  case $flag in
    --port | --port=*)
      echo "docker-run.sh: set BREADBOX_PORT instead of --port, so that the health check knows the port" >&2
      exit 64
      ;;
  esac
done

engine=${ENGINE:-$(command -v docker || command -v podman || true)}
if [ -z "$engine" ]; then
  echo "docker-run.sh: neither docker nor podman is installed; ENGINE names another" >&2
  exit 69
fi
memory=${MEMORY_LIMIT:-4g}
files=${NOFILE:-1048576}

# Defaults for many connections on a host with the profile of ops/tune; the server says what the host lacks.
export BREADBOX_MEMORY="${BREADBOX_MEMORY:-60%}"
export BREADBOX_MAX_CONNECTIONS="${BREADBOX_MAX_CONNECTIONS:-200000}"
export BREADBOX_BACKLOG="${BREADBOX_BACKLOG:-65536}"

# Server flags are kept behind the image's name while the engine's options gather in front of it.
set -- "${IMAGE:-breadbox}" "$@"
for variable in $(env | sed -n 's/^\(BREADBOX_[A-Z_]*\)=.*/\1/p'); do
  set -- --env "$variable" "$@"
done

"$engine" run --detach \
  --name "${NAME:-breadbox}" \
  --network=host \
  --ulimit "nofile=$files:$files" \
  --read-only \
  --cap-drop=ALL \
  --security-opt=no-new-privileges \
  --memory "$memory" \
  --memory-swap "$memory" \
  --restart=unless-stopped \
  --stop-timeout=15 \
  "$@"

echo "docker-run.sh: what it says: $engine logs ${NAME:-breadbox}" >&2
