#!/bin/sh
# Runs a command in a minimal system that was made a moment ago, as on the machine of a newcomer.
#
# Usage: tools/fresh-system.sh [OPTIONS] SUITE [COMMAND [WORDS...]]
#
#   SUITE             bookworm, trixie … of Debian; jammy, noble … of Ubuntu
#   COMMAND           what is run in a copy of this project, by default: make scenarios test
#   --user            run it as an ordinary user. What set-up then asks root for is installed by root
#   --both            run it as root, then in another such system as an ordinary user
#   --mirror ADDRESS  where packages come from; by default for Debian where this system's come from,
#                     for Ubuntu what debootstrap knows
#   --keyring FILE    the keys that are to have signed them
#   --show PATH       a file or folder of this machine to be seen inside, such as a local package
#                     index of pip's; as often as need be
#
# The system has what debootstrap's variant `minbase` has, and make; its root is a real one
# (pivot_root), as user namespaces are not to be had in a chroot. Mounts and processes are in
# namespaces of their own, and end with this script however it ends; the network is the machine's,
# so that packages can be fetched. pip's and apt's settings are this machine's.
#
# So `tools/fresh-system.sh --both trixie` tries all that docs/platforms.md says of Debian 13. The
# exit code is the command's, or with --both the last one that is not 0.
#
# It needs root. Systems are kept in $VXLAB_CACHE (/var/cache/vxlab) below fresh/, to be copied for
# each run; what a killed run leaves there goes at the next start.
set -eu

cache=${VXLAB_CACHE:-/var/cache/vxlab}/fresh
project=$(cd "$(dirname "$0")/.." && pwd -P)

say() { printf 'fresh-system: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

usage() {
    sed -n 's/^# \{0,1\}//; /^Usage/,/^$/p; /^  SUITE/,/^$/p' "$0" >&2
    exit 2
}

# --- inside: mounts, and the new root -----------------------------------------------------------

# mount_nodes: a /dev with the little that programs expect
mount_nodes() {
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for number in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"
    done
    for node in null zero full random urandom tty kvm net/tun; do
        [ -e "/dev/$node" ] || continue
        mkdir -p "dev/$(dirname "$node")"
        : >"dev/$node"
        mount --bind "/dev/$node" "dev/$node"
    done
}

# show PATH: let it be seen in the new root too, but not changed
show() {
    if [ -d "$1" ]; then
        mkdir -p ".$1"
    else
        mkdir -p ".$(dirname "$1")"
        [ -e ".$1" ] || : >".$1"
    fi
    mount --bind "$1" ".$1"
    mount -o remount,bind,ro ".$1"
}

# enter ROOT PATH...: make ROOT the root of this process, with these paths shown, and run /run.sh
enter() {
    mount --bind "$1" "$1"
    cd "$1"
    shift
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t tmpfs -o mode=755 tmpfs run
    mount_nodes
    for path; do show "$path"; done
    mkdir -p old
    pivot_root . old
    cd /
    exec /bin/sh -euc 'umount -l /old && rmdir /old && exec /bin/sh -eu /run.sh' </dev/null
}

if [ "${1-}" = --enter ]; then # started by this script, below
    shift
    flock 6 # until the last process in there has ended
    enter "$@"
fi

# --- options ------------------------------------------------------------------------------------

users=root mirror='' keyring='' shown=''
while [ "$#" -gt 0 ]; do
    case $1 in
        --user) users=user ;;
        --both) users='root user' ;;
        --mirror | --keyring | --show)
            [ "$#" -gt 1 ] || usage
            case $1 in
                --mirror) mirror=$2 ;;
                --keyring) keyring=$2 ;;
                --show)
                    [ -e "$2" ] || die "wanted to show $2, found no such file or folder"
                    shown="$shown $(realpath "$2")"
                    ;;
            esac
            shift
            ;;
        -*) usage ;;
        *) break ;;
    esac
    shift
done
[ "$#" -gt 0 ] || usage
suite=$1
shift
case $suite in *[!a-z]*) usage ;; esac
[ "$#" -gt 0 ] || set -- make scenarios test
[ "$(id -u)" = 0 ] || die "wanted root, to make a system and its mounts, found user $(id -u)"
for program in unshare setpriv pivot_root flock tar; do
    command -v "$program" >/dev/null || die "wanted $program, found none: install util-linux and tar"
done

# --- the system ---------------------------------------------------------------------------------

mkdir -p "$cache"
exec 7<"$cache"
flock 7
for left in "$cache"/run.*; do # of runs that were killed: nobody holds a lock on it
    [ ! -d "$left" ] || flock -n "$left" rm -rf --one-file-system "$left" || :
done
work=$(mktemp -d "$cache/run.XXXXXX")
exec 9<"$work"
flock 9
exec 7<&-
child=''
# shellcheck disable=SC2317 # the trap calls it
tidy() {
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || :
    [ ! -e "$work/inside" ] || flock "$work/inside" true
    rm -rf --one-file-system "$work"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# find_debootstrap: that of the system, or one that is unpacked and not installed
find_debootstrap() {
    debootstrap=$(command -v debootstrap) && return
    command -v apt-get >/dev/null || die "wanted debootstrap, found none: install it"
    say "unpacking debootstrap (not installing it)"
    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download debootstrap >/dev/null &&
        dpkg-deb -x debootstrap_*.deb "$work/debootstrap") || die "could not get debootstrap"
    debootstrap=$work/debootstrap/usr/sbin/debootstrap
    DEBOOTSTRAP_DIR=$work/debootstrap/usr/share/debootstrap
    export DEBOOTSTRAP_DIR
}

# choose_source: sets $mirror and $keyring, and $script where debootstrap does not know the suite
choose_source() {
    scripts=${DEBOOTSTRAP_DIR:-/usr/share/debootstrap}/scripts
    script=''
    case $(readlink -f "$scripts/$suite" 2>/dev/null) in
        */gutsy) distribution=ubuntu ;;
        */sid) distribution=debian ;;
        *)
            case $suite in # younger than this debootstrap
                noble | plucky | questing | resolute) distribution=ubuntu script=$scripts/gutsy ;;
                forky | duke) distribution=debian script=$scripts/sid ;;
                *) die "wanted a suite of Debian or Ubuntu, found $suite" ;;
            esac
            ;;
    esac
    : "${keyring:=/usr/share/keyrings/$distribution-archive-keyring.gpg}"
    [ -r "$keyring" ] || die "wanted the keys of $distribution in $keyring, found none:" \
        "install the package $distribution-archive-keyring (or ubuntu-keyring), or give --keyring"
    if [ -z "$mirror" ] && [ "$distribution" = ubuntu ]; then
        mirror=$(sed -n 's/^ *default_mirror  *//p' "$scripts/gutsy" | sed 1q)
    elif [ -z "$mirror" ]; then
        # shellcheck disable=SC2016 # apt's own $()
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
            sed -n '/\/debian\/*$/{p;q;}')
    fi
}

make_base() {
    find_debootstrap
    choose_source
    [ -n "$mirror" ] || die "wanted a mirror of $distribution, found none in apt's sources:" \
        "give its --mirror"
    say "making $suite from $mirror"
    # shellcheck disable=SC2086 # nothing, or a word
    LC_ALL=C "$debootstrap" --variant=minbase --include=make --keyring="$keyring" \
        "$suite" "$work/base" "$mirror" $script >"$work/log" 2>&1 9<&- || {
        tail -n 5 "$work/log" >&2
        die "could not make $suite: is its mirror reachable? --mirror ADDRESS names another"
    }
    if [ "$distribution" = ubuntu ]; then # smcroute and pimd are in universe
        sed 's/ main$/ main universe/' "$work/base/etc/apt/sources.list" >"$work/list"
        cp "$work/list" "$work/base/etc/apt/sources.list"
    fi
    tar -C "$work/base" -cf "$work/base.tar" . && mv "$work/base.tar" "$cache/$suite.tar"
    rm -rf --one-file-system "$work/base"
}

exec 8>"$cache/lock"
flock 8
[ -e "$cache/$suite.tar" ] || make_base
exec 8<&-

# --- this run -----------------------------------------------------------------------------------

root=$work/root

# copy_system: the system, this project, and settings of pip and apt; sets $home and $authorities
copy_system() {
    mkdir "$root"
    tar -C "$root" -xf "$cache/$suite.tar"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    if [ "$user" = user ]; then home=/home/newcomer; else home=/root; fi
    mkdir -p "$root$home/vxlab" "$root/etc/xdg"
    (cd "$project" && if git ls-files -z --cached --others --exclude-standard >"$work/files" 2>&1; then
        tar --null --ignore-failed-read -T "$work/files" -cf - 2>/dev/null
    else
        tar --exclude=./.venv --exclude=./.git -cf - .
    fi) | tar -C "$root$home/vxlab" -xf -

    [ ! -r /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
    [ ! -d /etc/xdg/pip ] || cp -R /etc/xdg/pip "$root/etc/xdg/pip"
    for each in .config/pip/pip.conf .pip/pip.conf; do
        [ -r "${HOME:-/root}/$each" ] || continue
        mkdir -p "$root$home/${each%/*}"
        cp "${HOME:-/root}/$each" "$root$home/$each"
    done
    authorities=''
    for each in "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}" "${SSL_CERT_FILE:-}"; do # those that pip is to trust
        [ -z "$authorities" ] || continue
        [ -r "$each" ] || continue
        authorities=/etc/fresh-system.crt
        cp -L "$each" "$root$authorities"
    done
    apt-config dump 2>/dev/null | grep -i '^Acquire::.*Proxy ' >"$root/etc/apt/apt.conf.d/90proxy" || :
}

# quoted WORD...: as the shell reads them
quoted() {
    for word; do printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done
}

# write_run COMMAND [WORDS...]: what is run inside
write_run() {
    echo "export HOME=$home LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    env | grep -E '^(PIP_[A-Z_]+|https?_proxy|no_proxy)=' | while read -r line; do
        echo "export $(quoted "$line")"
    done
    for name in PIP_CERT REQUESTS_CA_BUNDLE SSL_CERT_FILE; do
        [ -z "$authorities" ] || echo "export $name=$authorities"
    done
    echo "user=$user command=$(quoted "$(quoted "$@")")"
    cat <<'EOF'
say() { printf 'fresh-system: %s\n' "$*"; }
cd "$HOME/vxlab"
. /etc/os-release
say "$PRETTY_NAME, $(uname -r), as $user: $command"
if [ "$user" = root ]; then
    exec sh -c "$command"
fi
useradd --uid 1000 --no-create-home newcomer
chown -R newcomer: "$HOME"
as_user() { setpriv --reuid=1000 --regid=1000 --init-groups sh -c "$1"; }
for _ in 1 2 3; do
    as_user 'make setup' >/tmp/said 2>&1 && break
    line=$(sed -n 's/^ *as root:  \(apt-get install .*\)/\1 -y/p' /tmp/said)
    cat /tmp/said
    [ -n "$line" ] || exit 1
    say "as root: $line"
    { apt-get -q update && $line; } >/tmp/installed 2>&1 || { tail /tmp/installed && exit 1; }
done
cat /tmp/said
as_user "$command"
EOF
}

# run_inside COMMAND [WORDS...]: run it in a copy of the system, as $user; sets $ended, its exit code
run_inside() {
    copy_system
    write_run "$@" >"$root/run.sh"
    started=$(date +%s) ended=0
    # shellcheck disable=SC2086 # a list of paths without blanks
    env --default-signal setpriv --pdeathsig KILL \
        unshare --mount --pid --fork --kill-child --uts --ipc \
        sh "$project/tools/fresh-system.sh" --enter "$root" $shown 6>"$work/inside" 9<&- &
    child=$!
    wait "$child" || ended=$?
    child=''
    say "$suite, as $user: ended with $ended after $(($(date +%s) - started)) s"
    flock "$work/inside" rm -rf --one-file-system "$root"
}

status=0
for user in $users; do
    run_inside "$@"
    [ "$ended" = 0 ] || status=$ended
done
exit "$status"
