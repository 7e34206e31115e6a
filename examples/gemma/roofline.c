/* SPDX-License-Identifier: MIT */
#include "roofline.h"

#include <pthread.h>
#include <stdlib.h>

enum { PASSES = 6, THREADS_MOST = 256, LINE = 64 };
#define MOST_BYTES (4ull << 30)

/* What is read: memory that the model has anyway, larger than any cache where it can be. */
static const char *span(const gemma_session *session, uint64_t *out_bytes) {
  const gemma_weights *weights = &session->weights;
  const gemma_blob *largest = &weights->blob[0];
  for (uint32_t i = 0; i < weights->blobs; i++)
    if (weights->blob[i].bytes > largest->bytes) largest = &weights->blob[i];
  const gemma_blob *last = &weights->blob[weights->blobs - 1];
  const char *first = weights->blob[0].memory, *end = (const char *)last->memory + last->bytes;
  if (session->cache) { /* with gaps */
    *out_bytes = largest->bytes;
    return largest->memory;
  }
  *out_bytes = (uint64_t)(end - first);
  return first;
}

/* ---- CUDA ---------------------------------------------------------------- */

static weir_status read_cuda(const gemma_session *session, const void *from, uint64_t bytes, double *out_bandwidth) {
  enum { THREADS = 512, BLOCKS_OF_SM = 8, WORD = 16 };
  uint32_t blocks = (session->info.sm_count ? session->info.sm_count : 1) * BLOCKS_OF_SM;
  uint64_t words = bytes / WORD, threads = (uint64_t)blocks * THREADS;
  void *sum = session->buffer.logits; /* is written only if all words are one value */
  void *params[] = {&from, &words, &threads, &sum};
  weir_launch launch = {.struct_size = sizeof launch, .grid = {blocks, 1, 1}, .block = {THREADS, 1, 1}};
  const weir_kernel *kernel;
  weir_event *event[2] = {NULL, NULL};
  weir_status status = weir->kernel_get(session->device, "plain_read", "plain_read", 0, &kernel);
  for (int i = 0; i < 2 && !status; i++) status = weir->event_create(session->device, &event[i]);
  for (int pass = 0; pass < PASSES && !status; pass++) {
    float milliseconds;
    status = weir->event_record(event[0], session->stream);
    if (!status) status = weir->kernel_launch(session->device, kernel, &launch, params, session->stream);
    if (!status) status = weir->event_record(event[1], session->stream);
    if (!status) status = weir->event_elapsed(event[0], event[1], &milliseconds);
    if (!status && milliseconds > 0 && (double)bytes / milliseconds > *out_bandwidth)
      *out_bandwidth = (double)bytes / milliseconds;
  }
  *out_bandwidth *= 1e3;
  for (int i = 0; i < 2; i++) weir->event_destroy(event[i]);
  return status;
}

/* ---- CPU ----------------------------------------------------------------- */

typedef uint64_t words4 __attribute__((vector_size(32)));

typedef struct share {
  const char *from;
  uint64_t bytes;
  uint32_t streams;
  uint64_t sum; /* keeps the reads alive */
  pthread_t thread;
  bool started;
} share;

/* Several streams at once: how many are fastest differs from machine to machine. */
static inline __attribute__((always_inline)) uint64_t read_streams(const char *from, uint64_t bytes, uint32_t streams) {
  const uint64_t part = bytes / streams / sizeof(words4) / 4 * 4;
  const words4 *at = (const words4 *)(const void *)from;
  words4 sum[4] = {{0}};
  for (uint64_t i = 0; i < part; i += 4)
    for (uint32_t s = 0; s < streams; s++)
      for (int j = 0; j < 4; j++) sum[j] ^= at[s * part + i + (uint64_t)j];
  sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
  return sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3];
}

static inline __attribute__((always_inline)) void read_ways(share *share) {
  if (share->streams == 1) share->sum = read_streams(share->from, share->bytes, 1);
  else if (share->streams == 2) share->sum = read_streams(share->from, share->bytes, 2);
  else share->sum = read_streams(share->from, share->bytes, 4);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_avx2(share *share) { read_ways(share); }
#endif

static void *read_share(void *arg) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    read_avx2(arg);
    return NULL;
  }
#endif
  read_ways(arg);
  return NULL;
}

static double pass(share *shares, uint32_t threads, const char *from, uint64_t part, uint32_t streams) {
  const double start = gemma_seconds();
  for (uint32_t i = 0; i < threads; i++) {
    shares[i] = (share){.from = from + i * part, .bytes = part, .streams = streams};
    shares[i].started = i && pthread_create(&shares[i].thread, NULL, read_share, &shares[i]) == 0;
  }
  for (uint32_t i = 0; i < threads; i++) {
    if (shares[i].started) pthread_join(shares[i].thread, NULL);
    else read_share(&shares[i]);
  }
  const double seconds = gemma_seconds() - start;
  return seconds > 0 ? (double)(part * threads) / seconds : 0;
}

static weir_status read_cpu(const gemma_session *session, const char *from, uint64_t bytes, double *out_bandwidth) {
  uint32_t threads = session->info.threads ? session->info.threads : 1;
  if (threads > THREADS_MOST) threads = THREADS_MOST;
  const uint64_t part = bytes / threads / LINE * LINE;
  share *shares = calloc(threads, sizeof *shares);
  if (!shares) return gemma_fail(WEIR_E_NOMEM, "no memory to measure a plain read");
  for (int i = 0; i < PASSES; i++)
    for (uint32_t streams = 1; streams <= 4; streams *= 2) {
      double bandwidth = pass(shares, threads, from, part, streams);
      if (bandwidth > *out_bandwidth) *out_bandwidth = bandwidth;
    }
  free(shares);
  return WEIR_OK;
}

weir_status gemma_roofline(const gemma_session *session, double *out_bandwidth) {
  uint64_t bytes;
  const char *from = span(session, &bytes);
  if (bytes > MOST_BYTES) bytes = MOST_BYTES;
  *out_bandwidth = 0;
  if (session->info.kind == WEIR_DEVICE_CUDA) return read_cuda(session, from, bytes, out_bandwidth);
  return read_cpu(session, from, bytes, out_bandwidth);
}
