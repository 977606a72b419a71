/* The kill switch over a restart: a file in the data directory, there while it is on. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define KILL_FILE "gateway-kill-switch"

static int path_of(const hf_server *server, char path[4096]) {
    int length = snprintf(path, 4096, "%s/" KILL_FILE, server->settings->dir);
    return length < 4096 ? 0 : ENAMETOOLONG;
}

bool server_kill_is_kept(const hf_server *server) {
    char path[4096];
    return path_of(server, path) == 0 && access(path, F_OK) == 0;
}

static int sync_directory(const hf_server *server) {
    int fd = open(server->settings->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

int server_kill_keep(const hf_server *server, bool on) {
    char path[4096];
    int error = path_of(server, path);
    if (error)
        return error;
    if (on) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return errno;
        close(fd);
    } else if (unlink(path) != 0 && errno != ENOENT) {
        return errno;
    }
    return sync_directory(server);
}
