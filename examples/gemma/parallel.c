/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getaffinity */
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { THREADS_MOST = 32 };

typedef struct job {
  gemma_rows_fn work;
  void *arg;
  uint32_t rows, block;
  uint64_t next;   /* row, taken atomically */
  bool failed;
} job;

static void *run(void *arg) {
  job *job = arg;
  for (;;) {
    uint64_t n0 = __atomic_fetch_add(&job->next, job->block, __ATOMIC_RELAXED);
    if (n0 >= job->rows || __atomic_load_n(&job->failed, __ATOMIC_RELAXED)) return NULL;
    uint64_t n1 = n0 + job->block < job->rows ? n0 + job->block : job->rows;
    if (job->work(job->arg, (uint32_t)n0, (uint32_t)n1)) __atomic_store_n(&job->failed, true, __ATOMIC_RELAXED);
  }
}

uint32_t gemma_threads(void) {
  const char *wanted = getenv("WEIR_THREADS");
  long threads = wanted ? strtol(wanted, NULL, 10) : 0;
  cpu_set_t allowed;
  if (threads < 1) threads = sched_getaffinity(0, sizeof allowed, &allowed) ? 1 : CPU_COUNT(&allowed);
  return threads > THREADS_MOST ? THREADS_MOST : (uint32_t)threads;
}

weir_status gemma_parallel(uint32_t rows, uint32_t block, gemma_rows_fn work, void *arg) {
  job job = {.work = work, .arg = arg, .rows = rows, .block = block};
  uint32_t blocks = (rows + block - 1) / block, threads = gemma_threads(), started = 0;
  pthread_t thread[THREADS_MOST];

  while (started + 1 < threads && started + 1 < blocks && !pthread_create(&thread[started], NULL, run, &job)) started++;
  run(&job);
  for (uint32_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
  if (!job.failed) return WEIR_OK;
  /* All of it again in this thread: the sentence is then this thread's, and what failed only once leaves nothing undone. */
  weir_status status = WEIR_OK;
  for (uint64_t n0 = 0; n0 < rows && !status; n0 += block)
    status = work(arg, (uint32_t)n0, n0 + block < rows ? (uint32_t)n0 + block : rows);
  return status;
}
