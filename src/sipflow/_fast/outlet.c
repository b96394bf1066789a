#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "outlet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

/* A kernel without UDP_SEGMENT would not refuse the control message, but send all as one. */
static bool can_cut(int fd)
{
    int none = 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

struct sf_outlet sf_outlet(int fd, bool wanted)
{
    return (struct sf_outlet){.fd = fd, .cuts = wanted && can_cut(fd)};
}

void sf_outlet_cut(union sf_cut *cut, size_t octets)
{
    uint16_t length = (uint16_t)octets;
    cut->head.cmsg_level = IPPROTO_UDP;
    cut->head.cmsg_type = UDP_SEGMENT;
    cut->head.cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(&cut->head), &length, sizeof length);
}

static void count_error(struct sf_outlet *outlet)
{
    outlet->sent.errors++;
    outlet->sent.last_errno = errno;
}

void sf_outlet_cut_failed(struct sf_outlet *outlet)
{
    if (errno == EIO || errno == EINVAL || errno == EMSGSIZE || errno == EOPNOTSUPP) {
        outlet->cuts = false;
    } else if (errno != EINTR) {
        count_error(outlet);
    }
}

void sf_outlet_send(struct sf_outlet *outlet, struct mmsghdr *heads, unsigned count)
{
    unsigned at = 0;
    bool tried = false;
    while (at < count) {
        int n = sendmmsg(outlet->fd, heads + at, count - at, 0);
        if (n > 0) {
            outlet->sent.datagrams += (unsigned)n;
            for (unsigned end = at + (unsigned)n; at < end; at++) {
                outlet->sent.octets += heads[at].msg_hdr.msg_iov->iov_len;
            }
            tried = false;
        } else if (errno != EINTR) {
            count_error(outlet);
            if (tried) {
                outlet->sent.unsent++;
                at++;
            }
            tried = !tried;
        }
    }
}

void sf_outlet_send_one(struct sf_outlet *outlet, const uint8_t *octets, size_t n)
{
    struct iovec vector = {.iov_base = (void *)octets, .iov_len = n};
    struct mmsghdr head = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    sf_outlet_send(outlet, &head, 1);
}
