/* SPDX-License-Identifier: MIT */

/* The worker threads of one runtime. Decoding calls pool_run thousands of times
 * a second for some tens of microseconds each, so workers spin for a while before
 * they sleep. One job runs at a time; a second caller meanwhile does its tasks
 * itself. Threads start with the first job, and again in a child of fork(). */
#include "config.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { SPIN_NANOSECONDS = 100000, SPINS_PER_CLOCK_READ = 64 };

struct pool {
  uint32_t threads;
  struct lock submit; /* held by the caller whose job runs */
  int owner; /* the process whose threads these are, 0 before the first job */
  pthread_t *workers;
  uint32_t worker_count;

  /* Job number in the high half, next task in the low half, so that a worker that
   * wakes late can never take a task of the following job. */
  atomic_ullong ticket;
  atomic_uint done;
  _Atomic(weir_task_fn) task;
  _Atomic(void *) arg;
  atomic_uint tasks;

  pthread_mutex_t sleep_lock;
  pthread_cond_t wake;
  uint32_t sleepers;
  atomic_bool stop;
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t job_of(unsigned long long ticket) { return (uint32_t)(ticket >> 32); }

static void take_tasks(struct pool *pool, uint32_t job) {
  unsigned long long ticket = atomic_load(&pool->ticket);
  while (job_of(ticket) == job) {
    weir_task_fn task = atomic_load_explicit(&pool->task, memory_order_relaxed);
    void *arg = atomic_load_explicit(&pool->arg, memory_order_relaxed);
    uint32_t tasks = atomic_load_explicit(&pool->tasks, memory_order_relaxed);
    uint32_t index = (uint32_t)ticket;
    if (index >= tasks) return;
    /* Success proves that the job still runs, so what was read belongs to it. */
    if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) continue;
    task(arg, index);
    atomic_fetch_add(&pool->done, 1);
    ticket = atomic_load(&pool->ticket);
  }
}

/* Returns when the job number is no longer `seen`, or the pool stops. */
static void wait_for_job(struct pool *pool, uint32_t seen) {
  uint64_t until = nanoseconds() + SPIN_NANOSECONDS;
  for (uint32_t spins = 1;; spins++) {
    if (job_of(atomic_load(&pool->ticket)) != seen || atomic_load(&pool->stop)) return;
    relax();
    if (spins % SPINS_PER_CLOCK_READ == 0 && nanoseconds() > until) break;
  }
  pthread_mutex_lock(&pool->sleep_lock);
  pool->sleepers++;
  while (job_of(atomic_load(&pool->ticket)) == seen && !atomic_load(&pool->stop))
    pthread_cond_wait(&pool->wake, &pool->sleep_lock);
  pool->sleepers--;
  pthread_mutex_unlock(&pool->sleep_lock);
}

static void *work(void *arg) {
  struct pool *pool = arg;
  uint32_t seen = 0;
  while (!atomic_load(&pool->stop)) {
    uint32_t job = job_of(atomic_load(&pool->ticket));
    if (job != seen) take_tasks(pool, job);
    seen = job;
    wait_for_job(pool, seen);
  }
  return NULL;
}

static void wake_all(struct pool *pool) {
  pthread_mutex_lock(&pool->sleep_lock);
  if (pool->sleepers) pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->sleep_lock);
}

/* The caller holds submit. Fewer threads than asked for is slower, not wrong. */
static void start_workers(struct pool *pool) {
  pthread_mutex_init(&pool->sleep_lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->sleepers = 0;
  pool->worker_count = 0;
  atomic_store(&pool->ticket, 0);
  while (pool->worker_count + 1 < pool->threads &&
         pthread_create(&pool->workers[pool->worker_count], NULL, work, pool) == 0)
    pool->worker_count++;
  pool->owner = (int)getpid();
}

weir_status pool_create(uint32_t threads, struct pool **out_pool) {
  *out_pool = NULL;
  struct pool *pool = calloc(1, sizeof *pool);
  if (!pool) return weir_fail(WEIR_E_NOMEM, "no memory for the thread pool");
  pool->threads = threads;
  pool->workers = calloc(threads, sizeof *pool->workers);
  if (!pool->workers) {
    free(pool);
    return weir_fail(WEIR_E_NOMEM, "no memory for %u threads", threads);
  }
  lock_init(&pool->submit);
  *out_pool = pool;
  return WEIR_OK;
}

void pool_free(struct pool *pool) {
  if (!pool) return;
  if (pool->owner == (int)getpid()) {
    atomic_store(&pool->stop, true);
    wake_all(pool);
    for (uint32_t i = 0; i < pool->worker_count; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->sleep_lock);
  }
  lock_destroy(&pool->submit);
  free(pool->workers);
  free(pool);
}

uint32_t pool_threads(const struct pool *pool) { return pool->threads; }

static void run_alone(uint32_t tasks, weir_task_fn task, void *arg) {
  for (uint32_t i = 0; i < tasks; i++) task(arg, i);
}

void pool_run(struct pool *pool, uint32_t tasks, weir_task_fn task, void *arg) {
  if (tasks <= 1 || pool->threads <= 1) {
    run_alone(tasks, task, arg);
    return;
  }
  if (!lock_try(&pool->submit)) {
    run_alone(tasks, task, arg);
    return;
  }
  if (pool->owner != (int)getpid()) start_workers(pool);

  atomic_store_explicit(&pool->task, task, memory_order_relaxed);
  atomic_store_explicit(&pool->arg, arg, memory_order_relaxed);
  atomic_store_explicit(&pool->tasks, tasks, memory_order_relaxed);
  atomic_store(&pool->done, 0);
  uint32_t job = job_of(atomic_load(&pool->ticket)) + 1;
  if (job == 0) job = 1;
  atomic_store(&pool->ticket, (unsigned long long)job << 32);
  wake_all(pool);
  take_tasks(pool, job);
  for (uint32_t spins = 1; atomic_load(&pool->done) < tasks; spins++) {
    relax();
    if (spins % 4096 == 0) sched_yield();
  }
  lock_drop(&pool->submit);
}
