/* SPDX-License-Identifier: MIT */

/* A mutex that a child of fork() finds open. Its holder, a thread of the parent,
 * is not there; what the library guards is read far more than written, and whole
 * between two writes. No pthread_atfork: handlers outlive a library. */
#include "config.h"

#include <sched.h>
#include <unistd.h>

#include "internal.h"

void lock_init(struct lock *lock) {
  pthread_mutex_init(&lock->mutex, NULL);
  atomic_store(&lock->process, (int)getpid());
}

void lock_destroy(struct lock *lock) { pthread_mutex_destroy(&lock->mutex); }

/* The first thread of a child (or, for a static lock, at all) to come makes the
 * mutex anew; the others wait. */
static void adopt(struct lock *lock) {
  int self = (int)getpid(), process = atomic_load(&lock->process);
  while (process != self) {
    if (process == -self) {
      sched_yield();
      process = atomic_load(&lock->process);
    } else if (atomic_compare_exchange_weak(&lock->process, &process, -self)) {
      pthread_mutex_init(&lock->mutex, NULL);
      atomic_store(&lock->process, self);
      return;
    }
  }
}

void lock_take(struct lock *lock) {
  adopt(lock);
  pthread_mutex_lock(&lock->mutex);
}

bool lock_try(struct lock *lock) {
  adopt(lock);
  return pthread_mutex_trylock(&lock->mutex) == 0;
}

void lock_drop(struct lock *lock) { pthread_mutex_unlock(&lock->mutex); }
