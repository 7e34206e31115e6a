/* SPDX-License-Identifier: MIT */
#include "bench_read.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bench.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAVE_AVX2_READ 1
#endif

enum { BLOCK = 4096, PASSES = 2 };
#define SMALLEST_BUFFER (256ull << 20)
#define LARGEST_BUFFER (4ull << 30)

/* Reads whole 4 KiB blocks and returns something that depends on every byte. */
typedef uint64_t (*read_fn)(const unsigned char *from, uint64_t bytes);

struct bench_read {
  weir_device *device;
  unsigned char *buffer;
  uint64_t bytes;
  uint32_t threads, started;
  const read_fn *ways;
  uint32_t way; /* of this pass */
  double best;
  pthread_t *thread;
  pthread_mutex_t lock;
  pthread_cond_t wake, done;
  uint64_t round; /* raised to start a pass */
  uint32_t running;
  bool stop;
  uint64_t sink; /* keeps the reads alive */
};

typedef struct worker {
  bench_read *read;
  uint32_t index;
} worker;

static uint64_t read_words(const unsigned char *from, uint64_t bytes) {
  uint64_t sum[8] = {0};
  const uint64_t *word = (const uint64_t *)(const void *)from;
  for (uint64_t i = 0; i < bytes / 8; i += 8)
    for (int j = 0; j < 8; j++) sum[j] += word[i + j];
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

#ifdef HAVE_AVX2_READ
/* `streams` streams, each in pages of its own: how many the prefetchers follow
 * best differs from machine to machine, so all of them are tried. */
__attribute__((target("avx2"), always_inline)) static inline uint64_t read_streams(const unsigned char *from,
                                                                                    uint64_t bytes, int streams) {
  __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  uint64_t part = bytes / (unsigned)streams / BLOCK * BLOCK, at;
  for (at = 0; at < part; at += 64)
    for (int s = 0; s < streams; s++) {
      const __m256i *line = (const __m256i *)(const void *)(from + (unsigned)s * part + at);
      sum[s] = _mm256_add_epi64(sum[s], _mm256_add_epi64(_mm256_load_si256(line), _mm256_load_si256(line + 1)));
    }
  for (at = (unsigned)streams * part; at < bytes; at += 32)
    sum[0] = _mm256_add_epi64(sum[0], _mm256_load_si256((const __m256i *)(const void *)(from + at)));
  sum[0] = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
  return (uint64_t)_mm256_extract_epi64(sum[0], 0) + (uint64_t)_mm256_extract_epi64(sum[0], 1) +
         (uint64_t)_mm256_extract_epi64(sum[0], 2) + (uint64_t)_mm256_extract_epi64(sum[0], 3);
}

__attribute__((target("avx2"))) static uint64_t read_avx2_1(const unsigned char *from, uint64_t bytes) {
  return read_streams(from, bytes, 1);
}

__attribute__((target("avx2"))) static uint64_t read_avx2_2(const unsigned char *from, uint64_t bytes) {
  return read_streams(from, bytes, 2);
}

__attribute__((target("avx2"))) static uint64_t read_avx2_4(const unsigned char *from, uint64_t bytes) {
  return read_streams(from, bytes, 4);
}
#endif

/* The ways of reading to try, ended by null. */
static const read_fn *choose_ways(const weir_device_info *info) {
  static const read_fn plain[] = {read_words, NULL};
#ifdef HAVE_AVX2_READ
  static const read_fn avx2[] = {read_avx2_1, read_avx2_2, read_avx2_4, NULL};
  if ((info->cpu_features & WEIR_CPU_AVX2) != 0 && __builtin_cpu_supports("avx2")) return avx2;
#endif
  (void)info;
  return plain;
}

static void read_share(bench_read *read, uint32_t index) {
  uint64_t blocks = read->bytes / BLOCK;
  uint64_t first = blocks * index / read->threads, last = blocks * (index + 1) / read->threads;
  uint64_t sum = 0;
  for (int pass = 0; pass < PASSES; pass++)
    sum += read->ways[read->way](read->buffer + first * BLOCK, (last - first) * BLOCK);
  __atomic_fetch_add(&read->sink, sum, __ATOMIC_RELAXED);
}

static void *work(void *arg) {
  worker self = *(worker *)arg;
  uint64_t seen = 0;
  free(arg);
  pthread_mutex_lock(&self.read->lock);
  for (;;) {
    while (self.read->round == seen && !self.read->stop) pthread_cond_wait(&self.read->wake, &self.read->lock);
    if (self.read->stop) break;
    seen = self.read->round;
    pthread_mutex_unlock(&self.read->lock);
    read_share(self.read, self.index);
    pthread_mutex_lock(&self.read->lock);
    if (--self.read->running == 0) pthread_cond_signal(&self.read->done);
  }
  pthread_mutex_unlock(&self.read->lock);
  return NULL;
}

weir_status bench_read_open(weir_device *device, bench_read **out_read) {
  weir_device_info info = {.struct_size = sizeof info};
  weir_status status = weir_device_get(device, &info);
  bench_read *read;

  *out_read = NULL;
  if (status) return status;
  read = calloc(1, sizeof *read);
  if (!read) return BENCH_NOMEM;
  pthread_mutex_init(&read->lock, NULL);
  pthread_cond_init(&read->wake, NULL);
  pthread_cond_init(&read->done, NULL);
  read->device = device;
  read->threads = info.threads ? info.threads : 1;
  read->ways = choose_ways(&info);
  read->bytes = 4 * info.cache_bytes;
  if (read->bytes < SMALLEST_BUFFER) read->bytes = SMALLEST_BUFFER;
  if (read->bytes > LARGEST_BUFFER) read->bytes = LARGEST_BUFFER;
  read->bytes = read->bytes / BLOCK * BLOCK;

  status = weir_memory_alloc(device, read->bytes, (void **)&read->buffer);
  if (status) goto out;
  status = weir_memory_fill(device, read->buffer, 0x5a, read->bytes, NULL);
  if (status) goto out;
  read->thread = calloc(read->threads, sizeof *read->thread);
  status = read->thread ? WEIR_OK : BENCH_NOMEM;
  for (uint32_t i = 1; i < read->threads && !status; i++) {
    worker *self = malloc(sizeof *self);
    if (!self) {
      status = BENCH_NOMEM;
      break;
    }
    *self = (worker){read, i};
    if (pthread_create(&read->thread[i], NULL, work, self)) {
      free(self);
      status = BENCH_NOMEM;
      break;
    }
    read->started = i;
  }
out:
  if (status) {
    bench_read_close(read);
    return status;
  }
  *out_read = read;
  return WEIR_OK;
}

static double read_all(bench_read *read) {
  double start, seconds;

  pthread_mutex_lock(&read->lock);
  read->running = read->threads - 1;
  read->round++;
  start = bench_seconds();
  pthread_cond_broadcast(&read->wake);
  pthread_mutex_unlock(&read->lock);
  read_share(read, 0);
  pthread_mutex_lock(&read->lock);
  while (read->running) pthread_cond_wait(&read->done, &read->lock);
  seconds = bench_seconds() - start;
  pthread_mutex_unlock(&read->lock);
  return seconds > 0 ? (double)read->bytes * PASSES / seconds : 0;
}

void bench_read_sample(bench_read *read) {
  for (read->way = 0; read->ways[read->way]; read->way++) {
    double rate = read_all(read);
    if (rate > read->best) read->best = rate;
  }
}

double bench_read_best(const bench_read *read) {
  return read->best;
}

void bench_read_close(bench_read *read) {
  if (!read) return;
  pthread_mutex_lock(&read->lock);
  read->stop = true;
  pthread_cond_broadcast(&read->wake);
  pthread_mutex_unlock(&read->lock);
  for (uint32_t i = 1; i <= read->started; i++) pthread_join(read->thread[i], NULL);
  pthread_cond_destroy(&read->done);
  pthread_cond_destroy(&read->wake);
  pthread_mutex_destroy(&read->lock);
  weir_memory_free(read->device, read->buffer);
  free(read->thread);
  free(read);
}
