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
  DATA          where the cache outlives the container (nowhere): the absolute path of a directory of the host that
                belongs to 1000:1000, or the name of a volume; ops/README.md says which one to choose
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
    --data-dir | --data-dir=*)
      echo "docker-run.sh: set DATA instead of --data-dir: a directory of the host, or the name of a volume" >&2
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
data=${DATA:-}
# Longer than --drain-timeout.
stop_timeout=15

if [ -n "${BREADBOX_DATA_DIR:-}" ]; then
  echo "docker-run.sh: set DATA instead of BREADBOX_DATA_DIR: a directory of the host, or the name of a volume" >&2
  exit 64
fi

# Defaults for many connections on a host with the profile of ops/tune; the server says what the host lacks.
export BREADBOX_MEMORY="${BREADBOX_MEMORY:-60%}"
export BREADBOX_MAX_CONNECTIONS="${BREADBOX_MAX_CONNECTIONS:-200000}"
export BREADBOX_BACKLOG="${BREADBOX_BACKLOG:-65536}"

if [ -n "$data" ]; then
  export BREADBOX_DATA_DIR=/data
  # Ending includes writing to the disk what changed lately.
  stop_timeout=60
fi

# Server flags are kept behind the image's name while the engine's options gather in front of it.
set -- "${IMAGE:-breadbox}" "$@"
for variable in $(env | sed -n 's/^\(BREADBOX_[A-Z_]*\)=.*/\1/p'); do
  set -- --env "$variable" "$@"
done
case $data in
  '') ;;
  /*) set -- --mount "type=bind,source=$data,target=/data" "$@" ;;
  *) set -- --mount "type=volume,source=$data,target=/data" "$@" ;;
esac

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
  --stop-timeout="$stop_timeout" \
  "$@"

echo "docker-run.sh: what it says: $engine logs ${NAME:-breadbox}" >&2
