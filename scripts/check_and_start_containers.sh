#!/usr/bin/env bash
# Starts the containers of a compose file that do not run, restarts those that are unhealthy.
#
#   check_and_start_containers.sh [--dry-run] [--file docker-compose.yml] [--wait SECONDS] [--existing]
#
# --existing: services that have no container yet stay without one.
# Exit code: 0 all run, 1 some do not, 2 wrong usage, 4 Docker cannot be reached.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib/recovery.sh
. "$root/scripts/lib/recovery.sh"

file=$root/docker-compose.yml
wait_seconds=60
existing=no

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=yes ;;
    --existing) existing=yes ;;
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

# shellcheck disable=SC2317  # called through reply and act
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
    container=$(reply "$query_seconds" compose ps -q -a "$1" | head -n 1)
    [ -n "$container" ] || { echo "$without_container"; return; }
    said=$(reply "$query_seconds" docker inspect -f \
        '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$container")
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
        is_well "$(state_of "$service")" || return 1
    done
}

is_well() { [ "$1" = running ] || [ "$1" = unused ]; }

without_container=missing
[ "$existing" = no ] || without_container=unused
command -v docker > /dev/null 2>&1 || { echo "docker is not installed" >&2; exit 4; }
bounded "$query_seconds" docker info || { echo "Docker does not answer; start it first" >&2; exit 4; }

services=$(reply "$query_seconds" compose config --services) || {
    echo "$file is not a valid compose file; see: docker compose -f $file config" >&2
    exit 2
}

for service in $services; do
    state=$(state_of "$service")
    case $state in
    running | starting | unused) log "$service: $state" ;;
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

# Victoria runs in one container and has levels that may be off while it runs.
victoria=$(setting VICTORIA_URL http://localhost:8010)
if off=$(levels_off "$victoria") && has_container victoria-agent; then
    log "victoria-agent: off: $off"
    act 120 docker restart victoria-agent
    until_true "$wait_seconds" levels_are_on "$victoria" || log "victoria-agent: still off"
fi

if until_true "$wait_seconds" all_run; then
    exit 0
fi
for service in $services; do
    state=$(state_of "$service")
    is_well "$state" || log "$service: still $state; see: docker compose -f $file logs $service"
done
exit 1
