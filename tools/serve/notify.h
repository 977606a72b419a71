/* Telling systemd how far the service is: a datagram to $NOTIFY_SOCKET, if there is one. */
#ifndef SERVE_NOTIFY_H
#define SERVE_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=..." */
void notify(const char *state);

#endif
