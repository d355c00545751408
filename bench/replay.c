/*
 * The yardstick for bench_growth.py: what the kernel alone needs for the messages of a plan.
 *
 *   replay NODES < RECORDS
 *
 * does what the records say, without a message or a system call of its own that is not needed for
 * that, and prints how many microseconds of processor time, in the program and in the kernel, that
 * took.  A record is three numbers of 32 bits, kind, node and length, and so many bytes:
 *
 *   0  a new network namespace, its lo up; its descriptor is FIRST + node, as messages name it
 *   1  a batch of netlink messages, of which the last is to be acknowledged
 *   2  a setting: a path below /proc/sys, a NUL, and the value
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 100

struct record {
	uint32_t kind, node, length;
};

static uint32_t nodes;
static int *sockets;

static void die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t used(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void enter(uint32_t node)
{
	if (setns((int)(FIRST + node), CLONE_NEWNET) < 0)
		die("setns");
}

/* Namespaces get the descriptors that the messages name, sockets those behind them. */
static void make(uint32_t node)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int net, sock;

	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (net < 0 || sock < 0 || ioctl(sock, SIOCSIFFLAGS, &lo) < 0)
		die("namespace");
	sockets[node] = fcntl(sock, F_DUPFD_CLOEXEC, (int)(FIRST + nodes));
	if (sockets[node] < 0 || dup3(net, (int)(FIRST + node), O_CLOEXEC) < 0)
		die("descriptor");
	close(net);
	close(sock);
}

static void send_batch(int sock, const char *data, size_t size)
{
	static char answer[1 << 16];
	const struct nlmsghdr *last = NULL;
	size_t at;

	for (at = 0; at < size; at += NLMSG_ALIGN(last->nlmsg_len))
		last = (const struct nlmsghdr *)(data + at);
	if (send(sock, data, size, 0) < 0)
		die("send");
	for (;;) {
		ssize_t got = recv(sock, answer, sizeof(answer), 0);
		struct nlmsghdr *m = (struct nlmsghdr *)answer;

		if (got < 0)
			die("recv");
		for (; NLMSG_OK(m, (size_t)got); m = NLMSG_NEXT(m, got)) {
			struct nlmsgerr *error = NLMSG_DATA(m);

			if (m->nlmsg_type != NLMSG_ERROR)
				continue;
			if (error->error) {
				errno = -error->error;
				die("the kernel refused a request");
			}
			if (last && m->nlmsg_seq == last->nlmsg_seq)
				return;
		}
	}
}

static void set(const char *path)
{
	const char *value = path + strlen(path) + 1;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

static void replay(const char *data, size_t size)
{
	size_t at = 0;

	while (at + sizeof(struct record) <= size) {
		struct record r;

		memcpy(&r, data + at, sizeof(r));
		at += sizeof(r);
		if (r.kind == 0) {
			make(r.node);
		} else if (r.kind == 1) {
			send_batch(sockets[r.node], data + at, r.length);
		} else {
			enter(r.node);
			set(data + at);
		}
		at += NLMSG_ALIGN(r.length);
	}
}

int main(int argc, char **argv)
{
	size_t size = 0, room = 1 << 20;
	char *data = malloc(room);
	uint64_t start;
	ssize_t got;

	nodes = argc == 2 ? (uint32_t)atoi(argv[1]) : 0;
	sockets = calloc(nodes, sizeof(*sockets));
	if (!nodes || !data || !sockets) {
		fprintf(stderr, "usage: replay NODES < RECORDS\n");
		return 2;
	}
	while ((got = read(0, data + size, room - size)) > 0) {
		size += (size_t)got;
		if (size == room && !(data = realloc(data, room *= 2)))
			die("memory");
	}
	start = used();
	replay(data, size);
	printf("%llu\n", (unsigned long long)(used() - start));
	return 0;
}
