#!/bin/sh
# Checks every shell script of the project.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cd "$root"
grep -lE '^#!/(usr/)?bin/(env )?(ba)?sh' .ci/* scripts/* scripts/lib/* 2>/dev/null |
    tr '\n' '\0' | xargs -0 shellcheck -x
shellcheck -s sh scripts/lib/environment.sh
