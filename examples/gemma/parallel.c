/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#include <pthread.h>
#include <unistd.h>

enum { THREADS_MOST = 32 };

typedef struct job {
  gemma_rows_fn work;
  void *arg;
  uint32_t rows, block;
  uint64_t next;   /* row, taken atomically */
  uint64_t failed; /* a row whose block failed, or `rows` */
} job;

static void *run(void *arg) {
  job *job = arg;
  for (;;) {
    uint64_t n0 = __atomic_fetch_add(&job->next, job->block, __ATOMIC_RELAXED);
    if (n0 >= job->rows || __atomic_load_n(&job->failed, __ATOMIC_RELAXED) < job->rows) return NULL;
    uint64_t n1 = n0 + job->block < job->rows ? n0 + job->block : job->rows;
    if (job->work(job->arg, (uint32_t)n0, (uint32_t)n1)) __atomic_store_n(&job->failed, n0, __ATOMIC_RELAXED);
  }
}

uint32_t gemma_threads(void) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  return processors < 1 ? 1 : processors > THREADS_MOST ? THREADS_MOST : (uint32_t)processors;
}

weir_status gemma_parallel(uint32_t rows, uint32_t block, gemma_rows_fn work, void *arg) {
  job job = {.work = work, .arg = arg, .rows = rows, .block = block, .failed = rows};
  uint32_t blocks = (rows + block - 1) / block, threads = gemma_threads(), started = 0;
  pthread_t thread[THREADS_MOST];

  while (started + 1 < threads && started + 1 < blocks && !pthread_create(&thread[started], NULL, run, &job)) started++;
  run(&job);
  for (uint32_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
  if (job.failed >= rows) return WEIR_OK;
  /* Again in this thread, so that the sentence is this thread's. */
  uint32_t n0 = (uint32_t)job.failed;
  return work(arg, n0, n0 + block < rows ? n0 + block : rows);
}
