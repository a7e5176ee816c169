# Sourced by the recovery scripts: settings, bounded commands, a lock, a log, results.
# Bash 3.2, as macOS ships it; launchd and cron give a bare PATH.
# shellcheck shell=bash

# What the caller's PATH names comes first.
PATH="${PATH:-/usr/bin:/bin}:/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PATH="$PATH:${HOME:-/}/.orbstack/bin:/Applications/Docker.app/Contents/Resources/bin"
export PATH

dotenv=${KOS_DOTENV:-${root:?}/.env}
dry_run=${dry_run:-no}
log_file=''
lock=''
results=''
failures=0

# setting NAME DEFAULT [FILE...]: the environment, then .env, then what `kos up` wrote.
setting() {
    local name=$1 default=$2 value=${!1:-} file
    shift 2
    [ $# -gt 0 ] || set -- "$dotenv" "$home/env"
    for file in "$@"; do
        [ -n "$value" ] && break
        [ -r "$file" ] || continue
        value=$(sed -n "s/^\(export \)\{0,1\}$name=//p" "$file" | tail -n 1)
        value=${value%\"} value=${value#\"} value=${value%\'} value=${value#\'}
    done
    printf '%s' "${value:-$default}"
}

# The file that `kos up` wrote lies in this directory, so it cannot say where it is.
home=$(setting KOS_HOME "$root/.kos" "$dotenv")
case $home in
/*) ;;
'~' | '~/'*) home=${HOME:-}${home#'~'} ;;
*) home=$root/$home ;;
esac
export KOS_HOME="$home"

# How long a question to Docker or another tool may take; what changes something has its own bound.
query_seconds=$(setting KOS_RECOVERY_QUERY_SECONDS 20)

open_log() {
    [ -d "$home/log" ] && [ -w "$home/log" ] || return 0
    log_file=$home/log/$1.log
    if [ -f "$log_file" ] && [ "$(wc -c < "$log_file")" -gt 1048576 ]; then
        mv -f "$log_file" "$log_file.1"
    fi
}

log() {
    local line
    line="$(date '+%Y-%m-%dT%H:%M:%S%z') $*"
    printf '%s\n' "$line"
    [ -z "$log_file" ] || printf '%s\n' "$line" >> "$log_file" || log_file=''
}

# bounded SECONDS COMMAND...: its exit code, or 124 when it took too long and was ended with all
# its children. macOS has no timeout(1).
bounded() {
    local seconds=$1 pid ticks=0 limit
    shift
    limit=$((seconds * 10))
    set -m
    "$@" < /dev/null >> "${output:-/dev/null}" 2>> "${errors:-${output:-/dev/null}}" &
    pid=$!
    set +m
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$ticks" -ge "$limit" ]; then
            kill -TERM -- "-$pid" 2>/dev/null
            sleep 0.5
            kill -KILL -- "-$pid" 2>/dev/null
            wait "$pid" 2>/dev/null
            return 124
        fi
        sleep 0.1
        ticks=$((ticks + 1))
    done
    wait "$pid"
}

# reply SECONDS COMMAND...: what it prints, and its exit code, within that time. COMMAND may be a
# function of the caller that reads the caller's variables, so names here must not hide any.
reply() {
    local reply_text reply_status=0
    reply_text=$(mktemp) || return 1
    output=$reply_text errors=/dev/null bounded "$@" || reply_status=$?
    cat "$reply_text"
    rm -f "$reply_text"
    return "$reply_status"
}

# act SECONDS COMMAND...: the same for what changes something; only told under --dry-run. Its last
# words are logged when it fails.
act() {
    local seconds=$1
    shift
    if [ "$dry_run" = yes ]; then
        log "would run: $*"
        return 0
    fi
    log "running: $*"
    local output=${lock:+$lock/output} status=0
    [ -z "$output" ] || : > "$output"
    bounded "$seconds" "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        log "it failed ($status): $([ -z "$output" ] || tail -n 1 "$output" 2>/dev/null)"
    fi
    return "$status"
}

# detach COMMAND...: a server that outlives this script.
detach() {
    if [ "$dry_run" = yes ]; then
        log "would start: $*"
        return 0
    fi
    log "starting: $*"
    (trap '' HUP; exec nohup "$@" < /dev/null >> "${log_file:-/dev/null}" 2>&1) &
}

# until_true SECONDS COMMAND...: poll it; under --dry-run nothing can have changed.
until_true() {
    local end=$((SECONDS + $1))
    shift
    [ "$dry_run" = yes ] && return 0
    while ! "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 1
    done
}

answers() {
    curl -fsS --noproxy '*' -o /dev/null --max-time 5 "$1" > /dev/null 2>&1
}

# levels_off URL: the levels that Victoria's /status says are off, in words; fails where all are on.
levels_off() {
    local body level off=''
    body=$(reply 8 curl -fsS --noproxy '*' --max-time 5 "${1%/}/status" | tr -d '[:space:]')
    case $body in *'"victoria_levels":'*) ;; *) return 1 ;; esac
    for level in enhanced initiative; do
        case $body in *"\"$level\":false"*) off="$off $level" ;; esac
    done
    printf '%s' "${off# }"
    [ -n "$off" ]
}

levels_are_on() { answers "${1%/}/status" && ! levels_off "$1" > /dev/null; }

# Containers of Docker that exist, by name.
has_container() {
    command -v docker > /dev/null 2>&1 && bounded "${query_seconds:-20}" docker inspect "$1"
}

is_local() {
    case $1 in
    *://localhost[:/]* | *://localhost | *://127.0.0.1* | *://\[::1\]*) return 0 ;;
    *) return 1 ;;
    esac
}

# result NAME ok|fixed|skipped|failed TEXT
result() {
    log "$1: $2${3:+ - $3}"
    results="$results $1=$2"
    [ "$2" != failed ] || failures=$((failures + 1))
}

# One run at a time; the lock of a run that is gone is taken over.
take_lock() {
    local owner directory=${TMPDIR:-/tmp}
    [ -d "$home/run" ] && [ -w "$home/run" ] && directory=$home/run
    lock=$directory/kos-$1.lock
    if ! mkdir "$lock" 2>/dev/null; then
        owner=$(cat "$lock/pid" 2>/dev/null)
        if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null &&
            [ -z "$(find "$lock" -prune -mmin +60 2>/dev/null)" ]; then
            lock=''
            return 1
        fi
        rm -rf "$lock"
        mkdir "$lock" 2>/dev/null || { lock=''; return 1; }
    fi
    echo "$$" > "$lock/pid"
    trap 'rm -rf "$lock"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
