/* Every connection there is, for CLIENT LIST and the like.
 *
 * A card is added and removed by the thread of its connection. Its text is written by that thread under the mutex; its
 * numbers are counters (shared.h). Others read it under the mutex only.
 */
#ifndef SERVE_REGISTRY_H
#define SERVE_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_card;

typedef struct hf_registry {
    pthread_mutex_t mutex;
    struct client_card *first, *last;
} hf_registry;

void registry_init(hf_registry *registry);
void registry_add(hf_registry *registry, struct client_card *card);
void registry_remove(hf_registry *registry, struct client_card *card);
void registry_set_text(hf_registry *registry, char *field, size_t room, const void *text, size_t length);
/* The worker of a connection; -1: there is none with that id. */
int registry_worker_of(hf_registry *registry, uint64_t id);
/* Calls `visit` for each card, oldest first, under the mutex. */
void registry_each(hf_registry *registry, void (*visit)(void *context, const struct client_card *card), void *context);

#endif
