/* Shaking up schedules: what a build with -DHF_PERTURB=ON does at every atomic.
 *
 * Guarantees
 *   A  Without HF_PERTURB there is nothing of it in the code.
 *   B  With it, hf_perturb() goes on at once, spins, yields or sleeps for a moment: at random, from a seed for each
 *      thread (HF_PERTURB_SEED, and the thread's place in the order of their first calls).
 *   C  Where a test has set hf_perturb_ask, that is called in chance's place: a test may so decide which thread goes
 *      on.
 */
#ifndef HF_PERTURB_H
#define HF_PERTURB_H

#if defined(HF_PERTURB)
void hf_perturb(void);
#else
#define hf_perturb() ((void)0)
#endif

/* Set before threads begin, by tests of an HF_PERTURB build; elsewhere it does not exist. */
extern void (*hf_perturb_ask)(void);

#endif
