#!/usr/bin/env bash
# Looks after a machine that runs the jobs: what is down is started, what cannot be is named.
# Meant to run every 5 minutes (see install_auto_recovery.sh); safe to run by hand at any time.
#
#   system_auto_recovery.sh [--dry-run]
#
# Exit code: 0 all is well or was mended, 1 something is not, 2 wrong usage.
#
# Settings (environment or .env), beside those of the jobs themselves:
#   KOS_RECOVERY_DOCKER=auto|yes|no   auto: where a compose file is named or its password is set;
#                                     beside a system of `kos up` only containers that exist
#   KOS_COMPOSE_FILE, KOS_SECOND_COMPOSE_FILE, KOS_DOCKER_NETWORK (knowledge-os)
#   KOS_RECOVERY_QUERY_SECONDS        how long a question to Docker may take (20)
#   KOS_RECOVERY_NETWORK_URL          must answer, where set
#   VICTORIA_URL (port 8010 of this machine), VERONICA_URL (8011)   asked for /status, else /health
#   KOS_VICTORIA_COMMAND, KOS_VERONICA_COMMAND   start an agent that does not answer
#   KOS_RECOVERY_WIFI=auto|yes|no     macOS; auto: turned on where there is no route to anywhere
set -u

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
case ${1:-} in
'') dry_run=no ;;
--dry-run) dry_run=yes ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
# shellcheck source=scripts/lib/recovery.sh
. "$root/scripts/lib/recovery.sh"

system=$(uname -s)
python=$(setting KOS_PYTHON "$root/.venv/bin/python")

check_wifi() {
    local wanted device
    wanted=$(setting KOS_RECOVERY_WIFI auto)
    if [ "$system" != Darwin ] || [ "$wanted" = no ]; then
        result wifi skipped "not used here"
        return
    fi
    if [ "$wanted" = auto ] && bounded "$query_seconds" route -n get default; then
        result wifi skipped "the machine has a route"
        return
    fi
    device=$(reply "$query_seconds" networksetup -listallhardwareports |
        sed -n '/Port: Wi-Fi/{n;s/^Device: //p;}' | head -n 1)
    if [ -z "$device" ]; then
        result wifi skipped "this machine has none"
    elif wifi_is_on "$device"; then
        result wifi ok
    elif act 20 networksetup -setairportpower "$device" on && until_true 20 wifi_is_on "$device"; then
        result wifi fixed
    else
        result wifi failed "$device cannot be turned on"
    fi
}

wifi_is_on() {
    case $(reply "$query_seconds" networksetup -getairportpower "$1") in
    *': On'*) return 0 ;;
    *) return 1 ;;
    esac
}

check_network() {
    local url
    url=$(setting KOS_RECOVERY_NETWORK_URL '')
    if [ -z "$url" ]; then
        result network skipped "set KOS_RECOVERY_NETWORK_URL to check it"
    elif answers "$url"; then
        result network ok
    else
        result network failed "$url does not answer"
    fi
}

docker_is_wanted() {
    case $(setting KOS_RECOVERY_DOCKER auto) in
    yes) return 0 ;;
    no) return 1 ;;
    esac
    command -v docker > /dev/null 2>&1 || return 1
    [ -z "$(setting KOS_EMBEDDED_DATABASE_URL '')" ] || return 1
    [ -n "$(setting KOS_COMPOSE_FILE '')$(setting POSTGRES_PASSWORD '')" ]
}

docker_answers() { bounded "$query_seconds" docker info; }

check_docker() {
    if ! command -v docker > /dev/null 2>&1; then
        result docker failed "docker is not installed"
        return 1
    fi
    if docker_answers; then
        result docker ok
        return 0
    fi
    start_docker
    if until_true 60 docker_answers; then
        result docker fixed
        return 0
    fi
    result docker failed "it does not answer; start it by hand"
    return 1
}

start_docker() {
    if [ "$system" != Darwin ]; then
        act 60 systemctl start docker
    elif command -v colima > /dev/null 2>&1; then
        act 120 colima start
    else
        act 30 open -g -a Docker
    fi
}

check_docker_network() {
    local name
    name=$(setting KOS_DOCKER_NETWORK knowledge-os)
    if bounded "$query_seconds" docker network inspect "$name"; then
        result docker-network ok
    elif act 30 docker network create --label com.docker.compose.network=default \
        --label com.docker.compose.project=knowledge-os-jobs "$name"; then
        result docker-network fixed "$name"
    else
        result docker-network failed "$name cannot be created"
    fi
}

# check_containers NAME FILE
check_containers() {
    local options=(--file "$2") status=0
    if [ ! -r "$2" ]; then
        result "$1" failed "$2 cannot be read"
        return
    fi
    [ "$dry_run" = no ] || options+=(--dry-run)
    # A container of the jobs beside the jobs of `kos up` would be a second deployment.
    if [ "$(setting KOS_RECOVERY_DOCKER auto)" != yes ] && [ -e "$home/env" ]; then
        options+=(--existing)
    fi
    reply 900 "$root/scripts/check_and_start_containers.sh" "${options[@]}" || status=$?
    if [ "$status" = 0 ]; then
        result "$1" ok
    else
        result "$1" failed "some containers of $2 do not run"
    fi
}

check_ollama() {
    local url
    url=$(setting OLLAMA_API_URL "$(setting OLLAMA_BASE_URL http://localhost:11434)")
    case $url in disabled | none | off)
        result ollama skipped "not used"
        return
        ;;
    esac
    url=${url%/}
    if answers "$url/api/version"; then
        result ollama ok
    elif ! is_local "$url"; then
        result ollama failed "$url does not answer and is not on this machine"
    elif ! command -v ollama > /dev/null 2>&1; then
        result ollama skipped "it is not installed here"
    else
        start_ollama
        if until_true 30 answers "$url/api/version"; then
            result ollama fixed
        else
            result ollama failed "$url does not answer after a start"
        fi
    fi
}

start_ollama() {
    if [ "$system" = Darwin ] && [ -d /Applications/Ollama.app ]; then
        act 30 open -g -a Ollama && return
    fi
    if command -v systemctl > /dev/null 2>&1 && bounded "$query_seconds" systemctl cat ollama.service; then
        act 30 systemctl start ollama && return
    fi
    detach ollama serve
}

check_mlx() {
    local url
    url=$(setting MLX_API_URL "http://localhost:$(setting MLX_API_PORT 11435)")
    case $url in disabled | none | off)
        result mlx skipped "not used"
        return
        ;;
    esac
    url=${url%/}
    if answers "$url/health"; then
        result mlx ok
    elif ! is_local "$url"; then
        result mlx failed "$url does not answer and is not on this machine"
    elif [ "$(setting KOS_MLX_SERVER false)" = true ]; then
        result mlx skipped "the supervisor looks after it"
    elif [ "$system" = Darwin ] && [ -x "$root/scripts/start_mlx_api_server.sh" ]; then
        detach "$root/scripts/start_mlx_api_server.sh"
        if until_true 60 answers "$url/health"; then
            result mlx fixed
        else
            result mlx failed "$url does not answer after a start"
        fi
    else
        result mlx skipped "it is not installed here"
    fi
}

# check_agent NAME URL COMMAND PORT: at the port of this machine where no URL is set.
check_agent() {
    local url=${2:-http://localhost:$4}
    if agent_answers "$url"; then
        check_levels "$1" "$url"
    elif [ -n "$3" ]; then
        detach sh -c "$3"
        if until_true 30 agent_answers "$url"; then
            result "$1" fixed
        else
            result "$1" failed "$url does not answer after a start"
        fi
    elif [ -n "$2" ]; then
        result "$1" failed "$url does not answer"
    else
        result "$1" skipped "nothing answers at $url; set its URL if it is used"
    fi
}

# Its owner asks for /status; one that only has the other works, too.
agent_answers() { answers "${1%/}/status" || answers "${1%/}/health"; }

# check_levels NAME URL: a level that is off comes back with a restart of the container.
check_levels() {
    local off
    if ! off=$(levels_off "$2"); then
        result "$1" ok
    elif [ "$(setting KOS_RECOVERY_DOCKER auto)" = no ] || ! has_container "$1-agent"; then
        result "$1" failed "off: $off; there is no container $1-agent to restart"
    elif act 120 docker restart "$1-agent" && until_true 60 levels_are_on "$2"; then
        result "$1" fixed "was off: $off"
    else
        result "$1" failed "off after a restart: $off"
    fi
}

check_supervisord() {
    if [ ! -x "$python" ]; then
        result supervisord failed "$python is missing; run scripts/demo once to set it up"
    elif cd "$root" && bounded "$query_seconds" "$python" -m console.supervision running; then
        result supervisord ok
    elif [ -e "$home/run/stopped-on-purpose" ]; then
        result supervisord skipped "it was stopped with kos down; start it with kos up"
    elif [ ! -e "$home/env" ]; then
        result supervisord skipped "it was never started here; start it with kos up"
    elif act 150 "$python" -m console.supervision up; then
        result supervisord fixed
    else
        result supervisord failed "it does not come up; see: kos up"
    fi
}

open_log recovery
if ! take_lock recovery; then
    log "another recovery is at work; nothing done"
    exit 0
fi
check_wifi
check_network
if docker_is_wanted; then
    if check_docker; then
        check_docker_network
        check_containers containers "$(setting KOS_COMPOSE_FILE "$root/docker-compose.yml")"
        second=$(setting KOS_SECOND_COMPOSE_FILE '')
        [ -z "$second" ] || check_containers second-containers "$second"
    fi
else
    result docker skipped "not used here"
fi
check_ollama
check_mlx
check_agent victoria "$(setting VICTORIA_URL '')" "$(setting KOS_VICTORIA_COMMAND '')" 8010
check_agent veronica "$(setting VERONICA_URL '')" "$(setting KOS_VERONICA_COMMAND '')" 8011
check_supervisord
log "summary:$results"
[ "$failures" -eq 0 ]
