/* Listening sockets. The contract is in listen.h. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static bool set_host(listen_address *listen, const char *host, unsigned port) {
    struct sockaddr_in *in = (struct sockaddr_in *)&listen->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&listen->address;
    memset(&listen->address, 0, sizeof listen->address);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (strcmp(host, "*") == 0)
        host = "0.0.0.0";
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        listen->length = sizeof *in;
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        listen->length = sizeof *in6;
    } else {
        return false;
    }
    listen->is_loopback = is_loopback(&listen->address);
    return true;
}

bool listen_parse(listen_address *address, const char *text, char *why, size_t room) {
    char host[64] = {0};
    const char *colon = strrchr(text, ':'), *begin = text;
    char *end = NULL;
    unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 65536;
    size_t length = colon ? (size_t)(colon - text) : 0;
    bool bracketed = length > 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        begin++;
        length -= 2;
    }
    bool fits = port <= 65535 && end && *end == 0 && length > 0 && length < sizeof host;
    if (fits)
        memcpy(host, begin, length);
    if (fits && (bracketed || !strchr(host, ':')) && set_host(address, host, (unsigned)port))
        return true;
    snprintf(why, room, "'%.100s' found, expected HOST:PORT, as 127.0.0.1:7400, [::1]:7400, localhost:7400 or *:7400",
             text);
    return false;
}

int listen_bind(const listen_address *address, char *why, size_t room) {
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && address->address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address->address, address->length) == 0)
        return fd;
    snprintf(why, room, "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A socket's file that nobody listens at is left over, and is taken away. */
static bool clear_path(const struct sockaddr_un *address, char *why, size_t room) {
    struct stat found;
    if (lstat(address->sun_path, &found) != 0)
        return true;
    if (!S_ISSOCK(found.st_mode)) {
        snprintf(why, room, "there is a file of that name, which is no socket");
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = probe >= 0 && connect(probe, (const struct sockaddr *)address, sizeof *address) == 0;
    if (probe >= 0)
        close(probe);
    if (taken) {
        snprintf(why, room, "another program listens there");
        return false;
    }
    unlink(address->sun_path);
    return true;
}

int listen_bind_unix(const char *path, char *why, size_t room) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(why, room, "expected a path of less than %zu bytes", sizeof address.sun_path);
        return -1;
    }
    strcpy(address.sun_path, path);
    if (!clear_path(&address, why, room))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0117); /* the owner and the group */
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    int saved = errno;
    umask(mask);
    if (bound)
        return fd;
    snprintf(why, room, "%s", strerror(saved));
    if (fd >= 0)
        close(fd);
    return -1;
}

void listen_describe(int fd, char *text, size_t room) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    getsockname(fd, (struct sockaddr *)&address, &length);
    if (address.ss_family == AF_UNIX) {
        snprintf(text, room, "%s", ((struct sockaddr_un *)&address)->sun_path);
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, room, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, room, "%s:%u", host, ntohs(in->sin_port));
    }
}
