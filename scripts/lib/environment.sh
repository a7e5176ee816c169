# Sourced by scripts/demo and scripts/test: a Python, a virtual environment, the dependencies.
# POSIX sh, for macOS as it ships and for a bare Debian. Needs $root to be set.
# shellcheck shell=sh

venv=${root:?}/.venv
# shellcheck disable=SC2034  # for the scripts that source this
venv_python=$venv/bin/python
setup_lock=$root/.venv.lock

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# prepare_environment EXTRAS...: install the project with these sets of extras, at once, unless that
# was already done. A set is what one script needs: another then finds its own installed.
prepare_environment() {
    if environment_is_current "$@"; then
        return
    fi
    take_setup_lock
    if ! environment_is_current "$@"; then
        python=$(find_python) || exit 1
        make_venv "$python"
        install_project "$(IFS=, && printf '%s' "$*")"
        for extras in "$@"; do
            environment_stamp "$extras" >> "$venv/kos-stamps"
        done
    fi
    drop_setup_lock
}

# What the environment was made from and where: a moved or changed checkout is set up again.
environment_stamp() {
    printf '%s|%s|%s\n' "$1" "$root" "$(made_from | cksum)"
}

made_from() {
    cat "$root/setup.cfg" "$root/pyproject.toml" "$root/constraints.txt"
}

environment_is_current() {
    [ -x "$venv_python" ] || return 1
    for extras in "$@"; do
        grep -qxF -- "$(environment_stamp "$extras")" "$venv/kos-stamps" 2>/dev/null || return 1
    done
}

# Versions with ready-made wheels of every dependency come first.
find_python() {
    for candidate in "${KOS_SETUP_PYTHON:-}" python3.12 python3.11 python3.13 python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed. Debian: apt-get install python3 python3-venv;" \
        "macOS: brew install python@3.12; or name one: KOS_SETUP_PYTHON=/path/to/python3"
}

# A directory of ours that is half made, or was moved here, is made anew.
make_venv() {
    if "$venv_python" -m pip --version >/dev/null 2>&1 &&
        [ "$("$venv_python" -c 'import sys; print(sys.prefix)')" = "$venv" ] &&
        ! { [ -e "$venv/kos-stamps" ] && ! grep -qF -- "|$root|" "$venv/kos-stamps"; }; then
        return
    fi
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
        fail "$venv is in the way and is no virtual environment; move it away"
    fi
    rm -rf "$venv"
    say "Making a virtual environment with $1"
    if "$1" -m venv "$venv" >/dev/null 2>&1; then return; fi
    rm -rf "$venv"
    if "$1" -m virtualenv --quiet "$venv" >/dev/null 2>&1; then return; fi
    rm -rf "$venv"
    if command -v virtualenv >/dev/null 2>&1 && virtualenv --quiet -p "$1" "$venv"; then return; fi
    rm -rf "$venv"
    if install_with_apt python3-venv && "$1" -m venv "$venv"; then return; fi
    rm -rf "$venv"
    fail "$1 cannot make virtual environments. Debian: apt-get install python3-venv;" \
        "elsewhere: $1 -m pip install --user virtualenv"
}

# What the installers warn of is shown only where the installation fails.
install_project() {
    say "Installing the dependencies (the first time takes a minute or two)"
    said=$(install_with_uv "$1" 2>&1) && return
    more=$(python_pip -c "$root/constraints.txt" -e "${root}[$1]" 2>&1) && return
    say "$said" "$more"
    fail "The dependencies could not be installed; see the lines above, then run this again"
}

# uv takes a third of pip's time. It does not know pip's own settings (an index, a certificate):
# where it is not to be had or fails, pip does the same.
install_with_uv() {
    have_uv && uv pip install --quiet --python "$venv_python" --compile-bytecode \
        -c "$root/constraints.txt" -e "${root}[$1]"
}

# The uv of this machine, else one in our environment, is on PATH.
have_uv() {
    PATH=$PATH:$venv/bin
    command -v uv >/dev/null 2>&1 || python_pip uv
}

python_pip() { "$venv_python" -m pip install --quiet --disable-pip-version-check "$@"; }

# install_with_apt PACKAGE...: only where we are root on a Debian.
install_with_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "Installing $* with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1
}

# Two scripts at once must not build the same environment.
take_setup_lock() {
    until mkdir "$setup_lock" 2>/dev/null; do
        owner=$(cat "$setup_lock/pid" 2>/dev/null || echo)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf "$setup_lock"
            continue
        fi
        if [ -n "$(find "$setup_lock" -prune -mmin +60 2>/dev/null)" ]; then
            rm -rf "$setup_lock"
            continue
        fi
        [ -w "$root" ] || fail "$root cannot be written; run as its owner"
        sleep 1
    done
    echo "$$" > "$setup_lock/pid"
    trap drop_setup_lock EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

drop_setup_lock() {
    rm -rf "$setup_lock"
    trap - EXIT INT TERM
}
