/* Turns: how a program is measured side by side with others, and how it says what it found.
 *
 * A program sets itself up, prints one JSON object (what it is), and then takes one turn for each line on its standard
 * input, answering each with one JSON object. Whoever conducts gives turns to programs in the order A B A B ... and
 * stops the others' processes meanwhile, so that what slows the machine slows them all, and none runs beside another.
 *
 *     conductor   "run 0.5\n" ------------------> A     (B is stopped)
 *                 <-- {"seconds": 0.50, ...}\n    A
 *                 "run 0.5\n" ------------------> B     (A is stopped)
 */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct turn {
    char verb[16];
    double seconds;
} turn;

/* Waits for the next turn; false at the end of the input. */
bool turn_next(turn *next);
bool turn_is(const turn *t, const char *verb);

/* One flat object: begin, any number of fields, end (which flushes). */
void report_begin(void);
void report_number(const char *name, double value);
void report_count(const char *name, uint64_t value);
void report_text(const char *name, const char *text);
/* Ready-made JSON. */
void report_raw(const char *name, const char *json);
void report_end(void);

#endif
