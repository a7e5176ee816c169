#!/usr/bin/env bash
# Starts the containers of a compose file that do not run, restarts those that are unhealthy.
#
#   check_and_start_containers.sh [--dry-run] [--file docker-compose.yml] [--wait SECONDS]
#
# Exit code: 0 all run, 1 some do not, 2 wrong usage, 4 Docker cannot be reached.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib/recovery.sh
. "$root/scripts/lib/recovery.sh"

file=$root/docker-compose.yml
wait_seconds=60

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=yes ;;
    --file) [ $# -ge 2 ] || usage; file=$2; shift ;;
    --wait) [ $# -ge 2 ] || usage; wait_seconds=$2; shift ;;
    *) usage ;;
    esac
    shift
done
case $wait_seconds in '' | *[!0-9]*) usage ;; esac
if [ ! -r "$file" ]; then
    echo "$file cannot be read; name a compose file with --file" >&2
    exit 2
fi

compose() {
    if docker compose version > /dev/null 2>&1; then
        docker compose -f "$file" "$@"
    else
        docker-compose -f "$file" "$@"
    fi
}

# running, unhealthy, starting, or what Docker says of a container that does not run.
state_of() {
    local container said
    container=$(compose ps -q -a "$1" 2>/dev/null | head -n 1)
    [ -n "$container" ] || { echo missing; return; }
    said=$(docker inspect -f \
        '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$container" 2>/dev/null)
    case $said in
    'running healthy' | 'running ') echo running ;;
    running*) echo "${said#running }" ;;
    *) echo "${said:-missing}" ;;
    esac
}

# shellcheck disable=SC2317  # called through until_true
all_run() {
    local service
    for service in $services; do
        [ "$(state_of "$service")" = running ] || return 1
    done
}

command -v docker > /dev/null 2>&1 || { echo "docker is not installed" >&2; exit 4; }
bounded 20 docker info || { echo "Docker does not answer; start it first" >&2; exit 4; }

services=$(compose config --services 2>/dev/null) || {
    echo "$file is not a valid compose file; see: docker compose -f $file config" >&2
    exit 2
}

for service in $services; do
    state=$(state_of "$service")
    case $state in
    running) log "$service: running" ;;
    starting) log "$service: starting" ;;
    unhealthy)
        log "$service: unhealthy"
        act 120 compose restart "$service"
        ;;
    *)
        log "$service: $state"
        act 300 compose up -d "$service"
        ;;
    esac
done

if until_true "$wait_seconds" all_run; then
    exit 0
fi
for service in $services; do
    state=$(state_of "$service")
    [ "$state" = running ] || log "$service: still $state; see: docker compose -f $file logs $service"
done
exit 1
