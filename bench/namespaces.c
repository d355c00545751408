/*
 * The yardstick for bench_namespaces.py: what the kernel alone needs for many namespaces.
 *
 *   namespaces COUNT
 *
 * builds one namespace with a bridge and COUNT others, each joined to the bridge by a veth pair,
 * with lo and eth0 up and an address on eth0, by as few netlink requests and system calls as
 * possible; lets go of all of them again; and prints three numbers in nanoseconds:
 *
 *   up    from the first unshare() until the last address is acknowledged
 *   down  until the last file descriptor is closed (the kernel cleans up afterwards, by itself)
 *   at    the moment of CLOCK_MONOTONIC at which "down" began
 *
 * It must run where it may make namespaces; bench_namespaces.py starts it in a sandbox.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 1000
#define LO 1
#define BRIDGE 2 /* in the central namespace */
#define ETH0 2   /* in all the others */

struct space {
	int net, sock;
};

static char batch[MOST * 256];
static size_t used;
static uint32_t sequence;
static struct nlmsghdr *current;

static void die(const char *what)
{
	fprintf(stderr, "namespaces: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- messages, collected in `batch` ---- */

static void *put(const void *data, size_t size)
{
	void *at = batch + used;

	if (used + NLMSG_ALIGN(size) > sizeof(batch)) {
		errno = ENOBUFS;
		die("batch");
	}
	memset(at, 0, NLMSG_ALIGN(size));
	if (data)
		memcpy(at, data, size);
	used += NLMSG_ALIGN(size);
	return at;
}

static void begin(uint16_t type, uint16_t flags, const void *head, size_t size)
{
	struct nlmsghdr header = {
		.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = ++sequence
	};

	current = put(&header, sizeof(header));
	put(head, size);
}

static void end(void)
{
	current->nlmsg_len = (uint32_t)(batch + used - (char *)current);
}

static struct rtattr *attribute(uint16_t type, const void *data, size_t size)
{
	struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type };
	struct rtattr *at = put(&head, sizeof(head));

	if (size)
		put(data, size);
	return at;
}

static void close_nest(struct rtattr *nest)
{
	nest->rta_len = (uint16_t)(batch + used - (char *)nest);
}

static void set_up(int index)
{
	struct ifinfomsg link = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

	begin(RTM_NEWLINK, 0, &link, sizeof(link));
	end();
}

static void add_bridge(void)
{
	struct ifinfomsg link = { .ifi_index = BRIDGE, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct rtattr *info;

	begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	attribute(IFLA_IFNAME, "switch", sizeof("switch"));
	info = attribute(IFLA_LINKINFO, NULL, 0);
	attribute(IFLA_INFO_KIND, "bridge", strlen("bridge"));
	close_nest(info);
	end();
}

/* One request: both ends, their names and indexes, this one in the bridge and up. */
static void add_veth(int number, int peer_net)
{
	struct ifinfomsg link = {
		.ifi_index = BRIDGE + 1 + number, .ifi_flags = IFF_UP, .ifi_change = IFF_UP
	};
	struct ifinfomsg there = { .ifi_index = ETH0 };
	struct rtattr *info, *data, *peer;
	uint32_t master = BRIDGE, net = (uint32_t)peer_net;
	char name[16];

	begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	snprintf(name, sizeof(name), "n%d", number);
	attribute(IFLA_IFNAME, name, strlen(name) + 1);
	attribute(IFLA_MASTER, &master, sizeof(master));
	info = attribute(IFLA_LINKINFO, NULL, 0);
	attribute(IFLA_INFO_KIND, "veth", strlen("veth"));
	data = attribute(IFLA_INFO_DATA, NULL, 0);
	peer = attribute(VETH_INFO_PEER, NULL, 0);
	put(&there, sizeof(there));
	attribute(IFLA_IFNAME, "eth0", sizeof("eth0"));
	attribute(IFLA_NET_NS_FD, &net, sizeof(net));
	close_nest(peer);
	close_nest(data);
	close_nest(info);
	end();
}

static void add_address(int number)
{
	struct ifaddrmsg address = {
		.ifa_family = AF_INET, .ifa_prefixlen = 16, .ifa_index = ETH0
	};
	uint8_t ip[4] = { 10, 0, (uint8_t)(number / 250), (uint8_t)(1 + number % 250) };
	uint8_t broadcast[4] = { 10, 0, 255, 255 };

	begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof(address));
	attribute(IFA_LOCAL, ip, sizeof(ip));
	attribute(IFA_ADDRESS, ip, sizeof(ip));
	attribute(IFA_BROADCAST, broadcast, sizeof(broadcast));
	end();
}

/* Send the batch, only its last message acknowledged, and wait for that; any error ends it all. */
static void flush(int sock)
{
	char answer[1 << 16];

	current->nlmsg_flags |= NLM_F_ACK;
	if (send(sock, batch, used, 0) < 0)
		die("send");
	used = 0;
	for (;;) {
		ssize_t size = recv(sock, answer, sizeof(answer), 0);
		struct nlmsghdr *at = (struct nlmsghdr *)answer;

		if (size < 0)
			die("recv");
		for (; NLMSG_OK(at, (size_t)size); at = NLMSG_NEXT(at, size)) {
			struct nlmsgerr *error = NLMSG_DATA(at);

			if (at->nlmsg_type != NLMSG_ERROR)
				continue;
			if (error->error) {
				errno = -error->error;
				die("the kernel refused a request");
			}
			if (at->nlmsg_seq == sequence)
				return;
		}
	}
}

/* ---- namespaces ---- */

static struct space make_space(void)
{
	struct space space;

	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	space.net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	space.sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (space.net < 0 || space.sock < 0)
		die("namespace");
	return space;
}

static void build(struct space *centre, struct space *spaces, int count)
{
	*centre = make_space();
	for (int i = 0; i < count; i++)
		spaces[i] = make_space();
	set_up(LO);
	add_bridge();
	for (int i = 0; i < count; i++)
		add_veth(i, spaces[i].net);
	flush(centre->sock);
	for (int i = 0; i < count; i++) {
		set_up(LO);
		set_up(ETH0);
		add_address(i);
		flush(spaces[i].sock);
	}
}

static void let_go(struct space *space)
{
	close(space->sock);
	close(space->net);
}

int main(int argc, char **argv)
{
	static struct space centre, spaces[MOST];
	int count = argc == 2 ? atoi(argv[1]) : 0;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	uint64_t start, built, closed;

	if (count < 1 || count > MOST || home < 0) {
		fprintf(stderr, "usage: namespaces COUNT (1 to %d)\n", MOST);
		return 2;
	}
	start = now();
	build(&centre, spaces, count);
	if (setns(home, CLONE_NEWNET) < 0)
		die("setns");
	built = now();
	for (int i = 0; i < count; i++)
		let_go(&spaces[i]);
	let_go(&centre);
	closed = now();
	printf("%llu %llu %llu\n", (unsigned long long)(built - start),
	       (unsigned long long)(closed - built), (unsigned long long)built);
	return 0;
}
