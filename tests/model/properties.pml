/* What must hold, each named by what there is when it does not. -DONLY=p judges p alone, so that each can be seen to fail. */
#define OVERSOLD 1      /* no counter below zero: on_hand, reserved, available */
#define GAP 2           /* a SKU's recovered versions are 1..n */
#define NO_PREFIX 3     /* the recovered words are those of some moment */
#define LOST 4          /* what was acknowledged is there */
#define UNTOLD 5        /* what a durable answer told is there, also where the answer changed nothing */
#define MISCOUNTED 6    /* reserved = the sum of live lines */
#define NOT_CONSERVED 7 /* units on hand + units sold = units received */
#define NOT_SAME 8      /* checkpoint + log = log alone */
#define MIXED 9         /* an epoch's parts are of one life */

#ifndef ONLY
#define ONLY 0
#endif
#define judge(number, name, holds) \
    name = ((ONLY != 0 && ONLY != number) || (holds)); \
    assert(name)
