"""The parts of a script that are the same for all topologies."""

from __future__ import annotations

#: What stands before the topology: ``{patience}`` and ``{nodes}`` are filled in.
OPENING = """\
# shellcheck disable=SC2016 # what is in single quotes is meant so
set -eu
PATH=${{PATH:-/usr/bin:/bin}}:/usr/sbin:/sbin # where ip often is, outside a user's PATH

patience={patience} # seconds to wait for an answer
nodes='{nodes}'
"""

#: How the lines of the topology are carried out.
FUNCTIONS = r"""
# --- how it is done ------------------------------------------------------------------------------

ip() { command ip "$@" || failed "ip $*"; }
bridge() { command bridge "$@" || failed "bridge $*"; }

# where br_netfilter is loaded, a new namespace has bridged packets pass the rules of iptables
plain_bridges() {
    [ ! -e /proc/sys/net/bridge ] || for node in $nodes; do
        command ip netns exec "$node" sh -c \
            'for each in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >"$each"; done'
    done
}

# set_sysctl NODE KEY=VALUE...
set_sysctl() {
    node=$1
    shift
    bad=$(command ip netns exec "$node" sh -c '
        for each; do
            printf "%s\n" "${each#*=}" >"/proc/sys/${each%%=*}" || { echo "$each" && exit 1; }
        done' sh "$@") || failed "$bad" "set_sysctl $node $bad"
}

# failed LINE [TEXT]: say where in this file that line stands, and end
failed() {
    at=$(sed "s/^ *//; s/ \\\\\$//; s/'//g" "$0" | grep -nxF -e "$1" | cut -d : -f 1 | tr '\n' ' ')
    die "failed${at:+, line ${at% }}: ${2:-$1}"
}

die() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit 1
}

pause() { sleep 0.05 2>/dev/null || sleep 1; }

# late SECONDS_SINCE_1970
late() { [ "$(date +%s)" -gt "$1" ]; }

# wait until links can send and addresses can be used, which takes the kernel a moment
settle() {
    deadline=$(($(date +%s) + 3))
    for node in $nodes; do
        until settled "$node" || late "$deadline"; do pause; done
    done
}

settled() {
    command ip -o -n "$1" link show up |
        grep -qE 'NO-CARRIER|LOWER_UP.* state (DOWN|LOWERLAYERDOWN)' && return 1
    [ -z "$(command ip -o -6 -n "$1" address show tentative)" ]
}

# reach NODE ADDRESS [WORDS FOR PING...]: ping until there is an answer, or the time is over
reach() {
    node=$1 address=$2 deadline=$(($(date +%s) + patience))
    shift 2
    until said=$(command ip netns exec "$node" ping -n -c 1 -W 1 "$@" "$address" 2>&1); do
        if late "$deadline"; then
            printf '%s -> %s: NO ANSWER in %s s\n%s\n' "$node" "$address" "$patience" "$said"
            code=1
            return 0
        fi
        pause
    done
    printf '%s -> %s: answered\n' "$node" "$address"
}

# what ip and bridge say of each node, a line of JSON for each question (null: they do not know it)
state() {
    for node in $nodes; do
        for asked in 'ip -d link' 'ip -d address' 'ip -d route show table all' 'ip -d neigh' \
            'bridge fdb' 'bridge vni'; do
            # shellcheck disable=SC2086 # words
            said=$(command "${asked%% *}" -n "$node" -j ${asked#* }) || said=null
            # the ip of Ubuntu puts plain text behind an id
            printf '{"node":"%s","asked":"%s","said":%s}' "$node" "$asked" "${said:-[]}" |
                sed 's/\("id":[0-9]*\)fan-map [0-9./: ]*/\1/g' | tr -d '\n'
            echo
        done
    done
}

# an interactive shell, or the commands on stdin
shell() {
    if [ -t 0 ]; then
        echo "nodes: $nodes; try: ip netns exec ${nodes%% *} ip -d link; Ctrl-D ends it all"
    fi
    ! one_user || ! command -v tcpdump >/dev/null ||
        echo "tcpdump cannot change its user here, as there is only one: use tshark or dumpcap," \
            "run this as root, or install uidmap and give your user a line in /etc/subuid" >&2
    sh || code=$?
}
"""

#: The part for topologies with daemons.
DAEMONS = r"""
# daemon_program NAME: prints its path. One's own build in $VXLAB_TOOLS comes first, then PATH, then
# where `vxlab setup` unpacks what is not to be installed
daemon_program() {
    own=${VXLAB_TOOLS:-/nonexistent} cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
    for path in "$own/$1" "$own"/*/usr/sbin/"$1" "$(command -v "$1")" \
        "$cache"/vxlab/tools/*/usr/sbin/"$1" /var/cache/vxlab/tools/*/usr/sbin/"$1"; do
        if [ -f "$path" ] && [ -x "$path" ]; then
            printf '%s\n' "$path"
            return
        fi
    done
    return 1
}

# need_daemon PROGRAM PACKAGE
need_daemon() {
    daemon_program "$1" >/dev/null ||
        die "needs $1: put it in PATH (Debian has it in the package $2, \
which 'vxlab setup' unpacks)"
}

# daemon PID_FILE NODE PROGRAM...: start it, and wait for its pid file
daemon() {
    line="daemon $*" file=$1 node=$2 deadline=$(($(date +%s) + 10))
    program=$(daemon_program "$3") || failed "$line" "found no $3"
    shift 3
    leash='' # it ends with this script, even where that is killed
    ! setpriv --pdeathsig KILL sh -c : 2>/dev/null || leash='setpriv --pdeathsig KILL'
    # shellcheck disable=SC2086 # words
    (exec ip netns exec "$node" $leash "$program" "$@") >"$file.log" 2>&1 &
    daemons="$daemons $!"
    until [ -s "$file" ]; do
        if late "$deadline" || ! kill -0 "$!" 2>/dev/null; then
            cat "$file.log" >&2
            failed "$line"
        fi
        pause
    done
}

# ask each to end, again and again: some overlook it
end_daemons() {
    for pid in $daemons; do
        deadline=$(($(date +%s) + 2))
        while kill "$pid" 2>/dev/null; do
            ! late "$deadline" || kill -KILL "$pid" 2>/dev/null || :
            pause
        done
    done
}
"""

#: The end of the script: ``{needs}`` are lines, one for each program.
CLOSING = r"""
# --- where it is done: in namespaces of its own, never in those of the machine -------------------

# alone: true in network and mount namespaces that are neither those that this script was started
# in, nor those of process 1, with no link up. Where neither can be looked at (process 1 may be this
# script, or another user's) only a user namespace will do, whose root has no power over the
# machine. Then /run, with the names of the nodes, is a private one.
alone() {{
    [ "$(id -u)" = 0 ] || return 1
    ! command ip -o link show up | grep -qv ': lo: ' || return 1
    for kind in net mnt; do
        own=$(readlink "/proc/self/ns/$kind") || return 1
        case ",$outer," in *",$own,"*) return 1 ;; esac
        if [ "$$" != 1 ] && first=$(readlink "/proc/1/ns/$kind" 2>/dev/null); then
            [ "$own" != "$first" ] || return 1
        elif [ -z "$outer" ]; then
            [ "$$" != 1 ] || return 1
            ! grep -q 4294967295 /proc/self/uid_map || return 1
        fi
    done
    mount --make-rprivate / 2>/dev/null && mount -t tmpfs -o mode=755 tmpfs /run 2>/dev/null
}}

# one_user: no program can change its user here
one_user() {{
    read -r _ _ users </proc/self/uid_map
    [ "$users" = 1 ]
}}

# map_users: give this process, once it is in a user namespace of its own, all users and groups that
# there are out here; at least root
map_users() {{
    until [ "$(readlink "/proc/$$/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do pause; done
    for file in gid_map uid_map; do
        all=$(while read -r first _ count; do echo "$first $first $count"; done <"/proc/self/$file")
        printf '%s\n' "$all" >"/proc/$$/$file" || {{
            echo deny >"/proc/$$/setgroups"
            echo '0 0 1' >"/proc/$$/$file"
        }} || kill "$$"
    done 2>/dev/null
}}

usage() {{
    sed -n 's/^# \{{0,1\}}//; /^Usage/,/^$/p' "$0"
}}

# need PROGRAM PACKAGE
need() {{
    command -v "$1" >/dev/null || die "needs $1: put it in PATH (Debian has it in the package $2)"
}}

finish() {{
    status=$?
    trap - EXIT HUP INT TERM
    set +e
    teardown
    umount -l /run
    exit "$status"
}}

outer= # the namespaces in which this script, below, started itself again
case "${{1-}}" in
    --inside=*)
        outer=${{1#*=}}
        shift
        ;;
esac
case "$#:${{1-}}" in
    0: | 1:shell | 1:state) ;;
    1:-h | 1:--help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
[ -f "$0" ] || die "needs to be a file: sh NAME.sh"
{needs}

if ! alone; then
    [ -z "$outer" ] || die "wanted namespaces of its own, found others"
    set -- "$0" "--inside=$(readlink /proc/self/ns/net),$(readlink /proc/self/ns/mnt)" "$@"
    if [ "$(id -u)" = 0 ] && ! one_user && unshare -Unm sh -c : 2>/dev/null; then
        map_users &
        mapped='until grep -q . /proc/self/uid_map; do sleep 0.05 || sleep 1; done'
        exec unshare -Unm sh -c "$mapped"'; exec sh "$@"' sh "$@"
    fi
    if unshare -Urnm sh -c : 2>/dev/null; then # first: in vain, --map-auto may leave a process
        ! unshare -Urnm --map-auto sh -c : 2>/dev/null || exec unshare -Urnm --map-auto sh "$@"
        exec unshare -Urnm sh "$@"
    fi
    ! unshare -nm sh -c : 2>/dev/null || exec unshare -nm sh "$@" # root, without user namespaces
    die "needs user namespaces or root: see sysctl user.max_user_namespaces, \
kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; \
in a container, start that with --privileged"
fi

code=0
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p /run/netns
command ip link set dev lo up
setup
settle
case "${{1-}}" in
    shell) shell ;;
    state) state ;;
    *) pings ;;
esac
[ "$code" -eq 0 ] || exit "$code"
"""
