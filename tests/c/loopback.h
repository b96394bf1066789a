/* Two sockets for a test of what is sent: what goes out of `out` comes in at `in`. */
#ifndef SF_TEST_LOOPBACK_H
#define SF_TEST_LOOPBACK_H

#include "guard.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static int out, in;

static void open_sockets(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int room = 8 << 20;
    in = socket(AF_INET, SOCK_DGRAM, 0);
    out = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(in >= 0 && out >= 0);
    setsockopt(in, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    CHECK(bind(in, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(in, (struct sockaddr *)&at, &size) == 0);
    CHECK(connect(out, (struct sockaddr *)&at, sizeof at) == 0);
}

#endif
