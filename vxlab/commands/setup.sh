# shellcheck shell=sh
# What vxlab needs beside Python packages: Debian packages, two multicast routers.
#
# `vxlab setup` reads this file, and so does tools/setup.sh of the project. It defines functions, and
# does nothing by itself. They look first, change only what is missing, and say what was installed;
# they may be killed at any point and run again. Root, or a user with passwordless sudo, gets
# everything; any other user gets all that needs no root, and one list of the packages that do.
#
#   $VXLAB_TOOLS        where the routers smcroute and pimd are unpacked; by default
#                       /var/cache/vxlab/tools for root, ~/.cache/vxlab/tools for others. They are
#                       never installed: their packages conflict with one another, and installing
#                       either starts it in the machine's own network.
#   virtual machines    QEMU. A machine that cannot have it can do all the rest.
set -eu

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

# look_for PROGRAM:PACKAGE...: want the packages of the programs that are not there
look_for() {
    for pair; do
        command -v "${pair%%:*}" >/dev/null || want_package "${pair#*:}"
    done
}

look_for_programs() {
    look_for ip:iproute2 bridge:iproute2 ss:iproute2 tc:iproute2 ping:iputils-ping \
        iptables:iptables ip6tables:iptables ethtool:ethtool sysctl:procps ps:procps \
        setpriv:util-linux unshare:util-linux flock:util-linux mount:mount umount:mount
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
    # shellcheck disable=SC2034 # tools/setup.sh asks for it
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

# --- all of it ----------------------------------------------------------------------------------

provide_daemons() {
    provide_daemon smcroute smcrouted smcroutectl
    provide_daemon pimd pimd
}

# conclude: say what this run did, and end
conclude() {
    if [ "$problems" -gt 0 ]; then
        [ -z "$installed" ] || say "installed: $installed"
        say "not complete, see above" >&2
        exit 1
    elif [ -n "$installed" ]; then
        say "installed: $installed"
    else
        say "nothing to install, all is there"
    fi
    exit 0
}
