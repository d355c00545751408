#!/bin/sh
# Prepares this machine for vxlab: Debian packages, two multicast routers, a virtual environment.
#
# Looks first, changes only what is missing, says what it installed. It may be killed at any point
# and run again. Root, or a user with passwordless sudo, gets everything; any other user gets all
# that needs no root, and one list of the packages that do (then it ends with 1). Where Python is
# too old nothing is installed.
#
#   .venv               always the project's own, whatever environment is active; it is filled from
#                       pyproject.toml, again only when that file changes. pip reads the user's own
#                       configuration.
#   virtual machines    QEMU, and in the cache of `vxlab vm` the kernel that vxlab's own tests boot.
#                       A machine that cannot have them can do all the rest.
#
# All else is what `vxlab setup` provides too: see vxlab/commands/setup.sh.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd -P)
venv=$project/.venv
python=$venv/bin/python
kernel=6.1  # the one that vxlab's own tests boot
new_venv=no # whether this run has filled .venv

# shellcheck source-path=SCRIPTDIR source=../vxlab/commands/setup.sh
. "$project/vxlab/commands/setup.sh"

# --- the virtual environment --------------------------------------------------------------------

# What .venv must have been made from. A moved project or another Python needs a new .venv; a
# changed pyproject.toml another round of pip.
venv_base() {
    printf '%s\n%s\n' "$project" "$("$python" -V 2>/dev/null || echo none)"
}

project_hash() { sha256sum <"$project/pyproject.toml"; }

venv_is_current() {
    [ -x "$python" ] && [ ! -e "$venv/unfinished" ] && [ -r "$venv/made-from" ] &&
        [ "$(cat "$venv/made-from")" = "$(
            venv_base
            project_hash
        )" ]
}

venv_is_sound() {
    [ -x "$python" ] && [ ! -e "$venv/unfinished" ] || return 1
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || return 1
    "$python" -c 'import pip' 2>/dev/null || return 1
    [ ! -r "$venv/made-from" ] || [ "$(head -n 2 "$venv/made-from")" = "$(venv_base)" ]
}

# sets $base_python to a Python of 3.11 or later; within an active environment, to that one's base
find_python() {
    for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        base_python=$("$candidate" -c 'import sys
if sys.version_info >= (3, 11): print(sys._base_executable)' 2>/dev/null) || continue
        [ -z "$base_python" ] || return 0
    done
    return 1
}

# Python is looked for before all else: where it is too old, nothing is to be installed.
look_for_python() {
    venv_is_sound && return 0
    if find_python; then
        "$base_python" -c 'import venv, ensurepip' 2>/dev/null || want_package "$(
            "$base_python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
        )"
    elif command -v python3 >/dev/null; then
        no_python "$(python3 -V 2>&1)"
        conclude
    else
        need_work
        offered=$(offered_python)
        case $offered in
            [0-2].* | 3.[0-9] | 3.[0-9][!0-9]* | 3.10 | 3.10[!0-9]*)
                no_python "none, and that apt offers $offered"
                conclude
                ;;
        esac
        want_package python3
        want_package python3-venv
    fi
}

# offered_python: prints the version of python3 that apt would install, or nothing
offered_python() {
    command -v apt-cache >/dev/null || return 0
    apt-cache show python3 >/dev/null 2>&1 || ! can_be_root || quietly apt_as_root update ||
        return 0
    apt-cache show --no-all-versions python3 2>/dev/null | sed -n 's/^Version: *//p' | sed 1q
}

no_python() {
    problem "wanted Python 3.11 or later, found $1:" \
        "use Debian 12 or later, or put a newer python3 first in PATH"
}

make_venv() {
    if ! command -v python3 >/dev/null; then
        problem "cannot make .venv without Python, see above"
        return 1
    elif ! find_python; then
        no_python "$(python3 -V 2>&1)"
        return 1
    fi
    if ! "$base_python" -c 'import venv, ensurepip' 2>/dev/null; then
        problem "cannot make .venv: $base_python lacks its module venv or ensurepip"
        return 1
    fi
    say "making .venv with $("$base_python" -V)"
    rm -rf "$venv"
    mkdir "$venv"
    : >"$venv/unfinished" # still there at the next run: this one was interrupted
    quietly "$base_python" -m venv "$venv" || {
        problem "could not make .venv"
        return 1
    }
}

list_venv() {
    "$python" -m pip --disable-pip-version-check list --format=freeze 2>/dev/null | sort
}

fill_venv() {
    say "installing the Python packages that pyproject.toml names into .venv"
    need_work
    list_venv >"$work/before"
    : >"$venv/unfinished"
    rm -f "$venv/made-from"
    if ! (cd "$project" && quietly "$python" -m pip install \
        --disable-pip-version-check --no-input -e '.[dev]'); then
        rm -f "$venv/unfinished" # pip undoes what it could not complete, unless it is killed
        problem "could not fill .venv"
        return 0
    fi
    {
        venv_base
        project_hash
    } >"$venv/made-from"
    rm -f "$venv/unfinished"
    new_venv=yes
    new=$(list_venv | comm -13 "$work/before" - | sed 's/==/ /' | paste -s -d , | sed 's/,/, /g')
    installed="${installed:+$installed, }Python packages: ${new:-none new}"
}

provide_venv() {
    venv_is_current && return 0
    if [ -e "$venv" ] && [ ! -w "$venv" ]; then
        problem "wanted to write to $venv, found that it belongs to another user:" \
            "remove it, or run this as that user"
    elif venv_is_sound || make_venv; then
        fill_venv
    fi
}

# --- virtual machines ---------------------------------------------------------------------------

# what a kernel boots from depends on the versions in .venv
machine_is_there() {
    if [ "$uid" -eq 0 ]; then cache=/var/cache/vxlab; else cache=${user_tools%/tools}; fi
    cache=${VXLAB_CACHE:-$cache}
    [ "$new_venv" = no ] && [ -e "$cache/kernels/found/$kernel" ] &&
        ls "$cache"/roots/*/root.ext4 >/dev/null 2>&1
}

provide_machine() {
    [ "$machines" = yes ] && venv_is_current && ! machine_is_there || return 0
    command -v qemu-system-x86_64 >/dev/null || return 0 # told above
    need_work
    {
        "$venv/bin/vxlab" vm fetch --kernel "$kernel" 2>&1 </dev/null || : >"$work/no-machine"
    } | tee "$work/machine" | sed 's/^/setup: /'
    if [ -e "$work/no-machine" ]; then
        no_machines "see above: tests that boot one are skipped"
    elif [ -s "$work/machine" ]; then
        installed="${installed:+$installed, }Linux $kernel for virtual machines"
    fi
}

exec 9<"$project"
lock_folder 9
venv_is_current || look_for_python
look_for_programs
look_for shellcheck:shellcheck
look_for_machines
provide_daemons
install_packages
provide_venv
provide_machine
conclude
