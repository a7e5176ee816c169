#!/usr/bin/env bash
# Runs system_auto_recovery.sh every 5 minutes: launchd on macOS, a systemd timer, or cron.
#
#   install_auto_recovery.sh [--method launchd|systemd|cron] [--uninstall] [--dry-run]
#
# It looks after what is around the jobs; `kos service install` starts the jobs themselves at boot.
# With both, whichever finds them down starts them; the other one then finds them running.
# As root it is installed for the system, else for the person. Exit code: 0 done, 1 not, 2 usage.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/lib/recovery.sh
. "$root/scripts/lib/recovery.sh"

templates=$root/scripts/templates
method=''
uninstall=no
dry_run=no
label=com.knowledge-os.auto-recovery

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --method) [ $# -ge 2 ] || usage; method=$2; shift ;;
    --uninstall) uninstall=yes ;;
    --dry-run) dry_run=yes ;;
    *) usage ;;
    esac
    shift
done

best_method() {
    if [ "$(uname -s)" = Darwin ]; then
        echo launchd
    elif command -v systemctl > /dev/null 2>&1 && [ -d /run/systemd/system ]; then
        echo systemd
    else
        echo cron
    fi
}

run() {
    if [ "$dry_run" = yes ]; then
        echo "would run: $*"
    else
        output=/dev/stdout errors=/dev/stderr bounded 60 "$@"
    fi
}

escaped_for_sed() { printf '%s' "$1" | sed 's/[\\&|]/\\&/g'; }

escaped_for_xml() { printf '%s' "$1" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

# filled TEMPLATE [xml]: with the paths of this checkout.
filled() {
    local at_root=$root at_home=$home
    if [ "${2:-}" = xml ]; then
        at_root=$(escaped_for_xml "$root")
        at_home=$(escaped_for_xml "$home")
    fi
    sed -e "s|@ROOT@|$(escaped_for_sed "$at_root")|g" \
        -e "s|@KOS_HOME@|$(escaped_for_sed "$at_home")|g" "$templates/$1"
}

# place TEMPLATE FILE [xml]
place() {
    if [ "$dry_run" = yes ]; then
        echo "would write $2:"
        filled "$1" "${3:-}"
        return
    fi
    mkdir -p "$(dirname "$2")" && filled "$1" "${3:-}" > "$2"
}

with_launchd() {
    local file=$HOME/Library/LaunchAgents/$label.plist
    [ "$(id -u)" != 0 ] || file=/Library/LaunchDaemons/$label.plist
    run launchctl unload "$file" 2> /dev/null
    if [ "$uninstall" = yes ]; then
        run rm -f "$file"
        return
    fi
    place "$label.plist" "$file" xml && run launchctl load -w "$file"
}

with_systemd() {
    local directory=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user scope=--user
    if [ "$(id -u)" = 0 ]; then
        directory=/etc/systemd/system
        scope=--system
    fi
    if [ "$uninstall" = yes ]; then
        run systemctl "$scope" disable --now kos-auto-recovery.timer
        run rm -f "$directory/kos-auto-recovery.timer" "$directory/kos-auto-recovery.service"
        run systemctl "$scope" daemon-reload
        return
    fi
    place kos-auto-recovery.service "$directory/kos-auto-recovery.service" &&
        place kos-auto-recovery.timer "$directory/kos-auto-recovery.timer" &&
        run systemctl "$scope" daemon-reload &&
        run systemctl "$scope" enable --now kos-auto-recovery.timer
}

# write_crontab TEXT...: the crontab becomes these lines.
write_crontab() {
    local file status=0 text
    file=$(mktemp) || return 1
    for text in "$@"; do
        [ -z "$text" ] || printf '%s\n' "$text" >> "$file"
    done
    run crontab "$file" || status=$?
    rm -f "$file"
    return "$status"
}

with_cron() {
    local others
    others=$(reply "$query_seconds" crontab -l | grep -v '# kos-auto-recovery$')
    case $root$home in *"'"* | *%*)
        echo "cron cannot hold a path with a quote or a percent sign: $root" >&2
        return 1
        ;;
    esac
    if [ "$dry_run" = yes ] && [ "$uninstall" = yes ]; then
        echo "would remove from crontab:"
        reply "$query_seconds" crontab -l | grep '# kos-auto-recovery$'
        return 0
    elif [ "$dry_run" = yes ]; then
        echo "would add to crontab:"
        filled kos-auto-recovery.cron
    elif [ "$uninstall" = yes ]; then
        write_crontab "$others"
    else
        write_crontab "$others" "$(filled kos-auto-recovery.cron)"
    fi
}

case ${method:=$(best_method)} in
launchd | systemd | cron) ;;
*) usage ;;
esac
if "with_$method"; then
    [ "$dry_run" = yes ] || echo "done with $method; try it: $root/scripts/system_auto_recovery.sh --dry-run"
else
    echo "$method refused; see the lines above, or choose another: --method" >&2
    exit 1
fi
