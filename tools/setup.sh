#!/bin/sh
# Prepares this machine for vxlab: Debian packages, two multicast routers, a virtual environment.
#
# Looks first, changes only what is missing, says what it installed. It may be killed at any point
# and run again. Root, or a user with passwordless sudo, gets everything; any other user gets all
# that needs no root, and one list of the packages that do (then it ends with 1).
#
#   .venv               always the project's own, whatever environment is active; it is filled from
#                       pyproject.toml, again only when that file changes. pip reads the user's own
#                       configuration.
#   $VXLAB_TOOLS        where the routers smcroute and pimd are unpacked; by default
#                       /var/cache/vxlab/tools for root, ~/.cache/vxlab/tools for others. They are
#                       never installed: their packages conflict with one another, and installing
#                       either starts it in the machine's own network.
#   virtual machines    QEMU, and in the cache of `vxlab vm` the kernel that vxlab's own tests boot.
#                       A machine that cannot have them can do all the rest.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd -P)
venv=$project/.venv
python=$venv/bin/python
user_tools=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/vxlab/tools
root_tools=/var/cache/vxlab/tools
uid=$(id -u)
if [ "$uid" -eq 0 ]; then
    tools=${VXLAB_TOOLS:-$root_tools}
else
    tools=${VXLAB_TOOLS:-$user_tools}
fi
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # daemons and ip often live outside a user's PATH
export PATH

work=        # a private folder for downloads and logs, made when first needed
packages=    # Debian packages still to be installed
installed='' # what this run installed, for its last line
problems=0
machines=no   # whether virtual machines can be had
kernel=6.1    # the one that vxlab's own tests boot
new_venv=no   # whether this run has filled .venv

say() { printf 'setup: %s\n' "$*"; }

problem() {
    printf 'setup: %s\n' "$*" >&2
    problems=$((problems + 1))
}

tidy() {
    [ -z "$work" ] || rm -rf "$work"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

need_work() {
    [ -n "$work" ] || work=$(mktemp -d)
}

# quietly COMMAND...: its output is shown only where it fails
quietly() {
    need_work
    if "$@" >"$work/log" 2>&1 </dev/null; then
        return 0
    else
        status=$?
    fi
    {
        printf 'setup: "%s" ended with %s:\n' "$*" "$status"
        tail -n 20 "$work/log" | sed 's/^/    /'
    } >&2
    return "$status"
}

# one run at a time in a folder; flock is missing only where util-linux is
lock_folder() {
    if command -v flock >/dev/null; then
        flock "$1" 2>/dev/null || : # some shared folders cannot lock
    fi
}

# --- what only root can install -----------------------------------------------------------------

can_be_root() {
    [ "$uid" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

as_root() {
    if [ "$uid" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_as_root() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

want_package() {
    case " $packages " in
        *" $1 "*) ;;
        *) packages="${packages:+$packages }$1" ;;
    esac
}

look_for_programs() {
    for pair in ip:iproute2 bridge:iproute2 ss:iproute2 tc:iproute2 ping:iputils-ping \
        iptables:iptables ip6tables:iptables ethtool:ethtool sysctl:procps ps:procps \
        setpriv:util-linux unshare:util-linux flock:util-linux shellcheck:shellcheck; do
        command -v "${pair%%:*}" >/dev/null || want_package "${pair#*:}"
    done
}

# The programs of virtual machines, where Debian has them; sets $machines to yes.
look_for_machines() {
    missing=
    for pair in qemu-system-x86_64:qemu-system-x86 depmod:kmod mkfs.ext4:e2fsprogs; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    if ! command -v apt-get >/dev/null ||
        [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
        no_machines "they need Debian on amd64"
        return 0
    fi
    for package in $missing; do
        if is_unknown "$package"; then
            no_machines "apt knows no package $package"
            return 0
        fi
    done
    for package in $missing; do
        want_package "$package"
    done
    machines=yes
}

no_machines() {
    say "virtual machines with other kernels are not available here ($*); all the rest is"
}

# is_unknown PACKAGE: apt has lists, and it is in none
is_unknown() {
    ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 && ! apt-cache show "$1" >/dev/null 2>&1
}

# A first try that fails has one of these causes: no package lists, or old ones, or an earlier
# installation that was interrupted.
apt_install() {
    need_work
    apt_as_root install -y --no-install-recommends "$@" >"$work/log" 2>&1 </dev/null && return 0
    say "bringing the package lists up to date first"
    quietly as_root dpkg --configure -a && quietly apt_as_root update &&
        quietly apt_as_root install -y --no-install-recommends "$@"
}

install_packages() {
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null; then
        problem "wanted Debian's packages $packages, found no apt-get: install what is in them" \
            "by this system's own means"
    elif ! can_be_root; then
        problem "missing, and only root can install them: $packages"
        printf '    as root:  apt-get install --no-install-recommends %s\n' "$packages" >&2
    else
        say "installing Debian packages: $packages"
        # shellcheck disable=SC2086 # a list of words
        if apt_install $packages; then
            installed="${installed:+$installed, }$packages"
        else
            problem "could not install: $packages"
        fi
    fi
    packages=
}

# --- multicast routers: unpacked, never installed -----------------------------------------------

# find_daemon PROGRAM PACKAGE: prints its path; in the order vxlab itself looks
find_daemon() {
    for folder in ${VXLAB_TOOLS:+"$VXLAB_TOOLS"} PATH "$user_tools" "$root_tools"; do
        if [ "$folder" = PATH ]; then
            command -v "$1" && return 0
        elif [ -x "$folder/$2/usr/sbin/$1" ]; then
            printf '%s\n' "$folder/$2/usr/sbin/$1"
            return 0
        elif [ "$folder" = "${VXLAB_TOOLS:-}" ] && [ -x "$folder/$1" ]; then
            printf '%s\n' "$folder/$1" # a build of the user's own
            return 0
        fi
    done
    return 1
}

apt_here() (
    # no change of user: the folder is private, and all that comes is checked against signed lists
    cd "$work/deb" && apt-get -q -o APT::Sandbox::User=root "$@"
)

apt_private_lists() {
    apt_here -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Cache="$work/cache" "$@"
}

# download PACKAGE into $work/deb; package lists that are missing or too old are fetched again, by
# root in their usual place, by others in a private one
download() {
    need_work
    rm -rf "$work/deb" && mkdir "$work/deb" || return 1
    apt_here download "$1" >/dev/null 2>&1 </dev/null && return 0
    if [ "$uid" -eq 0 ]; then
        quietly apt_as_root update && quietly apt_here download "$1"
    else
        mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" &&
            quietly apt_private_lists update && quietly apt_private_lists download "$1"
    fi
}

# unpack PACKAGE into $tools, complete or not at all; readable for all, whatever the user's umask
unpack() (
    umask 022
    mkdir -p "$tools" && exec 8<"$tools" || return 1
    lock_folder 8
    rm -rf "$tools/.unpacking" &&
        dpkg-deb -x "$work/deb/$1"_*.deb "$tools/.unpacking" &&
        dpkg-deb -f "$work/deb/$1"_*.deb Depends >"$tools/.unpacking/depends" &&
        chmod 755 "$tools/.unpacking" &&
        rm -rf "${tools:?}/$1" &&
        mv "$tools/.unpacking" "$tools/$1"
)

# the libraries that PROGRAM of PACKAGE lacks become packages to install
look_for_libraries() {
    path=$(find_daemon "$1" "$2") || return 0
    case $(LC_ALL=C ldd "$path" 2>/dev/null) in
        *'not found'*) ;;
        *) return 0 ;;
    esac
    depends=${path%/usr/sbin/*}/depends
    [ -r "$depends" ] || return 0
    libraries=$(tr , '\n' <"$depends" | sed -n 's/^ *\(lib[^ |(]*\).*/\1/p')
    for library in $libraries; do
        # shellcheck disable=SC2016 # dpkg-query's own ${}
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$library" 2>/dev/null)" = installed ] ||
            want_package "$library"
    done
}

# provide PACKAGE PROGRAM...
provide_daemon() {
    package=$1
    shift
    for program; do
        find_daemon "$program" "$package" >/dev/null || {
            fetch_daemon "$package"
            break
        }
    done
    for program; do
        look_for_libraries "$program" "$package"
    done
}

fetch_daemon() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        problem "wanted $1, found neither it nor apt-get to download it with: put it in PATH"
        return 0
    fi
    say "unpacking $1 (not installing it) into $tools"
    if download "$1" && unpack "$1"; then
        installed="${installed:+$installed, }$1 (unpacked)"
    else
        problem "could not download and unpack $1 into $tools"
    fi
}

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

look_for_python() {
    venv_is_sound && return 0
    if find_python; then
        "$base_python" -c 'import venv, ensurepip' 2>/dev/null || want_package "$(
            "$base_python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
        )"
    elif ! command -v python3 >/dev/null; then
        want_package python3
        want_package python3-venv
    fi
}

make_venv() {
    if ! find_python; then
        problem "wanted Python 3.11 or later, found $(python3 -V 2>&1 || echo none):" \
            "use Debian 12 or later, or put a newer python3 first in PATH"
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
look_for_programs
look_for_machines
provide_daemon smcroute smcrouted smcroutectl
provide_daemon pimd pimd
venv_is_current || look_for_python
install_packages
provide_venv
provide_machine

if [ "$problems" -gt 0 ]; then
    [ -z "$installed" ] || say "installed: $installed"
    say "not complete, see above" >&2
    exit 1
elif [ -n "$installed" ]; then
    say "installed: $installed"
else
    say "nothing to install, all is there"
fi
