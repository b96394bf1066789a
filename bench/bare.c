/*
 * The bare loop: receives datagrams and throws them away. What a recorder costs is held against it.
 *
 * usage: bare PORT BUFFER_OCTETS. Receives on 127.0.0.1 until SIGTERM, then prints one line of
 * JSON. Batch and nap are those of src/sipflow/_fast/receiver.c, so that the loops differ in what
 * they do with a datagram and in nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, DATAGRAM = 65536, NAP_US = 200 };

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static uint8_t data[BATCH][DATAGRAM];
    static char control[BATCH][CMSG_SPACE(sizeof(uint32_t))];
    static struct mmsghdr headers[BATCH];
    static struct iovec parts[BATCH];
    uint64_t datagrams = 0, octets = 0;
    uint32_t drops = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: bare PORT BUFFER_OCTETS\n");
        return 2;
    }
    struct sockaddr_in here = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = atoi(argv[2]), on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0) {
        perror("bare: bind");
        return 1;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){data[i], DATAGRAM};
        headers[i].msg_hdr =
            (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i]};
        headers[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    // What has arrived when it is told to stop is still taken: it looks once more after that.
    for (int count = 0, last = 0; !last || count > 0;) {
        last = stopped;
        count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            octets += headers[i].msg_len;
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&headers[i].msg_hdr); c;
                 c = CMSG_NXTHDR(&headers[i].msg_hdr, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
                    memcpy(&drops, CMSG_DATA(c), sizeof drops);
            headers[i].msg_hdr.msg_controllen = sizeof control[i];
        }
        datagrams += count > 0 ? (uint64_t)count : 0;
        if (count < BATCH)
            usleep(NAP_US);
    }
    printf("{\"datagrams\": %llu, \"octets\": %llu, \"drops\": %u, \"cpu_s\": %.6f}\n",
           (unsigned long long)datagrams, (unsigned long long)octets, drops, cpu_seconds());
    close(fd);
    return 0;
}
