/* In memory, of parts that are there already: SKUs and reservations in liburcu's cds_lfht, deadlines in a binary heap
 * under a mutex, memory from malloc, given back by call_rcu. Counters change by 16-byte compare-and-swap as Holdfast's
 * do. No log.
 *
 * A confirmed reservation leaves the table at once: unlike Holdfast it forgets the id, and unlike Holdfast no one
 * expires anything here, the heap is only kept.
 */
#define URCU_INLINE_SMALL_FUNCTIONS
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include "peer.h"

#include "../support/lines.h"
#include "../support/random.h"

#include <pthread.h>
#include <stdlib.h>

struct sku {
    bare_line line; /* lo on_hand, hi reserved */
    struct cds_lfht_node node;
    uint64_t number;
};

struct reservation {
    struct cds_lfht_node node;
    struct rcu_head head;
    uint64_t number;
    struct sku *sku;
    uint64_t deadline;
    int state;    /* 0 live, 1 confirmed */
    size_t place; /* in the heap */
};

static struct cds_lfht *skus_table, *reservations_table;
static struct sku *all_skus;
static uint64_t sku_count;

/* ---- the heap: least deadline first, each reservation knows its place -------------------------------------------- */

static struct {
    pthread_mutex_t mutex;
    struct reservation **items;
    size_t count, room;
} heap = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void place(size_t at, struct reservation *r) {
    heap.items[at] = r;
    r->place = at;
}

static size_t sift_up(size_t at, struct reservation *r) {
    while (at > 0 && heap.items[(at - 1) / 2]->deadline > r->deadline) {
        place(at, heap.items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    return at;
}

static size_t sift_down(size_t at, struct reservation *r) {
    for (size_t child; (child = 2 * at + 1) < heap.count; at = child) {
        child += child + 1 < heap.count && heap.items[child + 1]->deadline < heap.items[child]->deadline;
        if (heap.items[child]->deadline >= r->deadline) {
            break;
        }
        place(at, heap.items[child]);
    }
    return at;
}

static void heap_add(struct reservation *r) {
    pthread_mutex_lock(&heap.mutex);
    if (heap.count == heap.room) {
        heap.room = heap.room ? 2 * heap.room : 1024;
        heap.items = need(realloc(heap.items, heap.room * sizeof *heap.items));
    }
    heap.count++;
    place(sift_up(heap.count - 1, r), r);
    pthread_mutex_unlock(&heap.mutex);
}

static void heap_remove(struct reservation *r) {
    pthread_mutex_lock(&heap.mutex);
    struct reservation *last = heap.items[--heap.count];
    if (last != r) {
        place(sift_up(sift_down(r->place, last), last), last);
    }
    pthread_mutex_unlock(&heap.mutex);
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static int same_sku(struct cds_lfht_node *node, const void *key) {
    return caa_container_of(node, struct sku, node)->number == *(const uint64_t *)key;
}
static int same_reservation(struct cds_lfht_node *node, const void *key) {
    return caa_container_of(node, struct reservation, node)->number == *(const uint64_t *)key;
}

static void begin(uint64_t skus) {
    sku_count = skus;
    urcu_memb_register_thread();
    skus_table = need(cds_lfht_new_flavor(1 << 14, 1 << 10, 0, CDS_LFHT_AUTO_RESIZE, &urcu_memb_flavor, NULL));
    reservations_table = need(cds_lfht_new_flavor(1 << 15, 1 << 10, 0, CDS_LFHT_AUTO_RESIZE, &urcu_memb_flavor, NULL));
    all_skus = bench_memory(skus * sizeof *all_skus);
    for (uint64_t i = 0; i < skus; i++) {
        all_skus[i].number = i;
        all_skus[i].line.word.lo = PEER_STOCK;
        urcu_memb_read_lock();
        cds_lfht_add(skus_table, random_mix(i + 1), &all_skus[i].node);
        urcu_memb_read_unlock();
    }
}

static struct cds_lfht_node *find(struct cds_lfht *table, cds_lfht_match_fct same, uint64_t number) {
    struct cds_lfht_iter iterator;
    cds_lfht_lookup(table, random_mix(number + 1), same, &number, &iterator);
    return need(cds_lfht_iter_get_node(&iterator));
}

static void give_back(struct rcu_head *head) { free(caa_container_of(head, struct reservation, head)); }

static void confirm(uint64_t number) {
    urcu_memb_read_lock();
    struct reservation *r =
        caa_container_of(find(reservations_table, same_reservation, number), struct reservation, node);
    int live = 0;
    if (!hf_cas_acq_rel(&r->state, &live, 1)) {
        die("reservation %llu is not live", (unsigned long long)number);
    }
    line_step(&r->sku->line, (uint64_t)-1, (uint64_t)-1);
    cds_lfht_del(reservations_table, &r->node);
    urcu_memb_read_unlock();
    heap_remove(r);
    urcu_memb_call_rcu(&r->head, give_back);
}

static void reserve(uint64_t number, uint64_t sku_number) {
    struct reservation *r = need(malloc(sizeof *r));
    urcu_memb_read_lock();
    struct sku *sku = caa_container_of(find(skus_table, same_sku, sku_number), struct sku, node);
    hf_word128 seen = hf_load128_acquire(&sku->line.word);
    do {
        if ((int64_t)(seen.lo - seen.hi) < 1) {
            die("SKU %llu is out of stock", (unsigned long long)sku_number);
        }
    } while (!hf_cas128_acq_rel(&sku->line.word, &seen, (hf_word128){seen.lo, seen.hi + 1}));
    *r = (struct reservation){.number = number, .sku = sku, .deadline = now_ns() + 900 * UINT64_C(1000000000)};
    cds_lfht_node_init(&r->node);
    if (cds_lfht_add_unique(reservations_table, random_mix(number + 1), same_reservation, &number, &r->node) !=
        &r->node) {
        die("reservation %llu is there already", (unsigned long long)number);
    }
    urcu_memb_read_unlock();
    heap_add(r);
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    (void)connection;
    for (unsigned i = 0; i < count; i++) {
        if (all[i].old != PEER_NONE) {
            confirm(all[i].old);
        }
        reserve(all[i].number, all[i].sku);
    }
}

static peer_totals totals(void) {
    peer_totals found = {0, 0};
    for (uint64_t i = 0; i < sku_count; i++) {
        found.on_hand += (int64_t)all_skus[i].line.word.lo;
        found.reserved += (int64_t)all_skus[i].line.word.hi;
    }
    return found;
}

static void *connect_one(unsigned thread) {
    (void)thread;
    urcu_memb_register_thread();
    return NULL;
}
static void disconnect(void *connection) {
    (void)connection;
    urcu_memb_unregister_thread();
}
static void end(void) { urcu_memb_unregister_thread(); }

int main(int count, char **arguments) {
    return peer_main(&(peer){"cds_lfht and a heap", begin, end, connect_one, disconnect, pairs, totals}, count,
                     arguments);
}
