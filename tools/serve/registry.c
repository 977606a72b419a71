/* Every connection there is. The contract is in registry.h. */
#include "registry.h"

#include "connection.h"

#include <string.h>

void registry_init(hf_registry *registry) {
    pthread_mutex_init(&registry->mutex, NULL);
    registry->first = registry->last = NULL;
}

void registry_add(hf_registry *registry, client_card *card) {
    pthread_mutex_lock(&registry->mutex);
    card->previous = registry->last;
    card->next = NULL;
    *(registry->last ? &registry->last->next : &registry->first) = card;
    registry->last = card;
    pthread_mutex_unlock(&registry->mutex);
}

void registry_remove(hf_registry *registry, client_card *card) {
    pthread_mutex_lock(&registry->mutex);
    *(card->previous ? &card->previous->next : &registry->first) = card->next;
    *(card->next ? &card->next->previous : &registry->last) = card->previous;
    pthread_mutex_unlock(&registry->mutex);
}

void registry_set_text(hf_registry *registry, char *field, size_t room, const void *text, size_t length) {
    length = length < room ? length : room - 1;
    pthread_mutex_lock(&registry->mutex);
    if (length)
        memcpy(field, text, length);
    field[length] = 0;
    pthread_mutex_unlock(&registry->mutex);
}

int registry_worker_of(hf_registry *registry, uint64_t id) {
    pthread_mutex_lock(&registry->mutex);
    const client_card *card = registry->first;
    while (card && card->id != id)
        card = card->next;
    int worker = card ? (int)card->worker : -1;
    pthread_mutex_unlock(&registry->mutex);
    return worker;
}

void registry_each(hf_registry *registry, void (*visit)(void *context, const client_card *card), void *context) {
    pthread_mutex_lock(&registry->mutex);
    for (const client_card *card = registry->first; card; card = card->next)
        visit(context, card);
    pthread_mutex_unlock(&registry->mutex);
}
