// SPDX-License-Identifier: MIT
//
// Kernels that try what ptx/tensor.cuh and ptx/warpgroup.cuh add to the emulation. They are
// only compiled for the host.
#include "../../ptx/warpgroup.cuh"

// Each thread loads the row that rows[thread] names, plain and transposed; element i of
// the block's shared memory is seed + i.
KERNEL(64, selftest_load_matrix, const uint32_t *rows, uint32_t seed, uint32_t *out) {
  uint16_t *memory = (uint16_t *)block_memory<4096 * 2>();
  uint32_t t = thread_x();
  for (uint32_t i = t; i < 4096; i += threads_x()) memory[i] = (uint16_t)(seed + i);
  block_barrier();
  load_matrix4(out + 8 * t, memory + 8 * rows[t]);
  load_matrix4_transposed(out + 8 * t + 4, memory + 8 * rows[t]);
}

// out = c + a b, one 16 x 8 result a block.
KERNEL(32, selftest_mma, const uint16_t *a, const uint16_t *b, const float *c, float *out, uint32_t type) {
  uint32_t r = thread_x() / 4, i = thread_x() % 4 * 2;
  a += 256 * block_x(), b += 128 * block_x(), c += 128 * block_x(), out += 128 * block_x();
  uint32_t fragment[4], column[2];
  float sum[4];
  for (uint32_t n = 0; n < 4; n++) {
    const uint16_t *two = a + 16 * (r + n % 2 * 8) + i + n / 2 * 8;
    fragment[n] = two[0] | (uint32_t)two[1] << 16;
    sum[n] = c[8 * (r + n / 2 * 8) + i + n % 2];
  }
  for (uint32_t n = 0; n < 2; n++) column[n] = b[8 * (i + 8 * n) + r] | (uint32_t)b[8 * (i + 8 * n + 1) + r] << 16;
  if (type == TYPE_BF16) mma_bf16(sum, fragment, column[0], column[1]);
  else mma_f16(sum, fragment, column[0], column[1]);
  for (uint32_t n = 0; n < 4; n++) out[8 * (r + n / 2 * 8) + i + n % 2] = sum[n];
}

// The same fragments again and again.
KERNEL(64, selftest_many_mma, uint32_t count, float *out) {
  uint32_t a[4] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};
  float c[4] = {};
  for (uint32_t i = 0; i < count; i++) mma_bf16(c, a, 0x3f803f80, 0x3f803f80);
  for (uint32_t i = 0; i < 4; i++) out[4 * thread_x() + i] = c[i];
}

// out [m, 16] = a [m, k] b [k, 16], bf16, k a multiple of 16. A block has two warps, which
// take 16 rows each; while a tile of 16 columns of a is multiplied, the next one is copied.
enum : uint32_t { READ_UNWAITED = 1, READ_WITHOUT_BARRIER = 2, WRITE_WITHOUT_BARRIER = 4 };
KERNEL(64, selftest_gemm, const uint16_t *a, const uint16_t *b, float *out, uint32_t m, uint32_t k, uint32_t mistake) {
  uint16_t *memory = (uint16_t *)dynamic_block_memory();
  uint32_t t = thread_x(), lane = t % 32, first = 32 * block_x(), tiles = k / 16;
  const uint32_t buffer = 48 * 24; // 32 rows of a, 16 of b, 16 columns padded to 24
  auto fetch = [&](uint32_t tile) {
    if (tile < tiles) {
      uint16_t *to = memory + tile % 2 * buffer;
      uint32_t column = t / 32 * 8; // each warp copies for both
      const uint16_t *row = a + (uint64_t)(first + lane) * k + 16 * tile + column;
      bool inside = first + lane < m;
      copy_async16(to + lane * 24 + column, inside ? row : a, inside ? 16 : 0);
      if (lane < 16) copy_async16(to + (32 + lane) * 24 + column, b + (16 * tile + lane) * 16 + column, 16);
    }
    copy_async_commit();
  };
  float sum[8] = {};
  fetch(0);
  for (uint32_t tile = 0; tile < tiles; tile++) {
    fetch(tile + 1);
    if (!(mistake & READ_UNWAITED)) copy_async_wait<1>();
    if (!(mistake & READ_WITHOUT_BARRIER)) block_barrier();
    const uint16_t *from = memory + tile % 2 * buffer;
    uint32_t part[4], columns[4], row = lane % 16, column = lane / 16 * 8;
    load_matrix4(part, from + (t / 32 * 16 + row) * 24 + column);
    load_matrix4_transposed(columns, from + (32 + row) * 24 + column);
    mma_bf16(sum, part, columns[0], columns[1]);
    mma_bf16(sum + 4, part, columns[2], columns[3]);
    if (mistake & READ_UNWAITED) copy_async_wait<1>();
    if (!(mistake & WRITE_WITHOUT_BARRIER)) block_barrier();
  }
  for (uint32_t i = 0; i < 8; i++) {
    uint32_t row = first + t / 32 * 16 + lane / 4 + i % 4 / 2 * 8;
    if (row < m) out[row * 16 + i / 4 * 8 + lane % 4 * 2 + i % 2] = sum[i];
  }
}

KERNEL(32, selftest_tensor_arithmetic, const float *in, uint32_t *out, uint32_t n) {
  for (uint32_t i = thread_x(); i < n; i += 32) {
    float a = in[2 * i], b = in[2 * i + 1];
    uint32_t *o = out + 4 * i;
    o[0] = pack_bf16(a, b);
    o[1] = pack_f16(a, b);
    o[2] = float_to_bits(exp2_fast(a));
    o[3] = float_to_bits(max_f32(a, b));
  }
}

// What one thread sees of its copies in shared memory, step by step; in[4 * i] tells the
// copies apart, and one of them changes before it is done.
KERNEL(32, selftest_copies, uint32_t *in, uint32_t *out) {
  if (thread_x()) return;
  uint32_t *memory = dynamic_block_memory();
  auto look = [&]() {
    for (uint32_t i = 0; i < 20; i++) *out++ = memory[i];
  };
  for (uint32_t i = 0; i < 20; i++) memory[i] = i;
  for (uint32_t i = 0; i < 3; i++) {
    copy_async16(memory + 4 * i, in + 4 * i, 16);
    copy_async_commit();
  }
  copy_async16(memory + 12, in + 12, 0);
  copy_async_commit();
  copy_async_commit();
  copy_async16(memory + 16, in + 16, 16);
  look();
  copy_async_wait<4>(); // the first group
  look();
  in[7] = 77; // of the second
  copy_async_wait<1>(); // all but the group without copies; the last copy is in no group yet
  look();
  copy_async_wait<0>();
  look();
  copy_async_commit();
  copy_async_wait<0>();
  look();
}

// Pieces of shared memory: poisoned when the block starts, apart from each other, and as
// large as they should be. Counts what is wrong.
KERNEL(96, selftest_pieces, uint32_t *out, uint32_t dynamic_bytes, uint32_t with_static) {
  uint32_t block = block_x() + blocks_x() * (block_y() + blocks_y() * block_z()), t = thread_x();
  struct {
    uint32_t *memory, words;
  } pieces[] = {{dynamic_block_memory(), dynamic_bytes / 4}, {}, {}, {}, {}};
  if (with_static) {
    pieces[1] = {block_memory<5>(), 2};
    pieces[2] = {block_memory<8>(), 2};
    pieces[3] = {block_memory<64>(), 16};
    pieces[4] = {block_memory<6000>(), 1500};
  }
  uint32_t wrong = 0, number = 0, first = 0x80000000u | block << 20;
  for (auto &piece : pieces)
    for (uint32_t i = t; i < piece.words; i += threads_x()) wrong += piece.memory[i] != 0xa5a5a5a5;
  block_barrier();
  for (auto &piece : pieces) {
    for (uint32_t i = t; i < piece.words; i += threads_x()) piece.memory[i] = first | number << 17 | i;
    number++;
  }
  block_barrier();
  number = 0;
  for (auto &piece : pieces) {
    for (uint32_t i = t; i < piece.words; i += threads_x()) {
      uint32_t other = piece.words - 1 - i;
      wrong += piece.memory[other] != (first | number << 17 | other);
    }
    number++;
  }
  uint32_t last[4], end = pieces[0].words - 4;
  load_matrix4(last, pieces[0].memory + end);
  for (uint32_t n = 0; n < 4; n++) wrong += last[n] != (first | (end + t % 4));
  atomic_add(&out[block], wrong + 1);
}

// out[block * 64 + thread]: the sum of the words that the last warp copies for it, tile after
// tile of 64 words into a ring of buffers, while the two other warps add.
enum : uint32_t { COPIES_UNWAITED = 1, OVERWRITES = 2, ADDS_UNWAITED = 4 };
KERNEL(96, selftest_ring, const uint32_t *in, uint32_t *out, uint32_t tiles, uint32_t buffers, uint32_t mistake) {
  uint64_t *full = (uint64_t *)block_memory<8 * 8>(), *free = full + 4;
  uint32_t *memory = dynamic_block_memory(), *seen = block_memory<256>(), t = thread_x();
  if (t < buffers) {
    barrier_init(&full[t], 32);
    barrier_init(&free[t], 2);
  }
  block_barrier();
  uint32_t sum = 0;
  in += block_x() * tiles * 64;
  for (uint32_t tile = 0; tile < tiles; tile++) {
    uint32_t at = tile % buffers, parity = tile / buffers % 2, *buffer = memory + 64 * at;
    if (t >= 64) {
      if (!(mistake & OVERWRITES)) barrier_wait(&free[at], parity ^ 1);
      if (t < 80) copy_async16(buffer + 4 * (t - 64), in + 64 * tile + 4 * (t - 64), 16);
      if (mistake & COPIES_UNWAITED) barrier_arrive(&full[at]);
      else copy_async_arrive(&full[at]);
    } else {
      if (!(mistake & ADDS_UNWAITED)) barrier_wait(&full[at], parity);
      sum += buffer[(t + 32) % 64]; // the other warp's, as it were
      warp_barrier();
      if (t % 32 == 0) barrier_arrive(&free[at]);
      seen[t] = tile;
      threads_barrier(1, 64);
      if (seen[63 - t] != tile) sum = 0x80000000u;
      threads_barrier(15, 64);
    }
  }
  if (mistake & COPIES_UNWAITED && t >= 64) { // only when all has been added
    barrier_wait(&free[(tiles - 1) % buffers], (tiles - 1) / buffers % 2);
    copy_async_commit();
    copy_async_wait<0>();
  }
  if (t < 64) out[block_x() * 64 + t] = sum;
}

// Which thread goes on when, at a barrier of three arrivals: notes in out what has arrived.
KERNEL(32, selftest_phases, uint32_t *out) {
  uint64_t *barrier = (uint64_t *)block_memory<16>();
  uint32_t t = thread_x(), *arrived = block_memory<4>();
  if (t == 0) {
    barrier_init(barrier, 3);
    *arrived = 0;
  }
  warp_barrier();
  barrier_wait(barrier, 1); // of the phase before the first
  warp_barrier();
  for (uint32_t phase = 0; phase < 4; phase++) {
    if (t / 3 == phase) {
      atomic_add(arrived, 1u);
      barrier_arrive(barrier);
    }
    barrier_wait(barrier, phase % 2);
    out[32 * phase + t] = *arrived;
    warp_barrier();
  }
}

// ---- Mistakes -----------------------------------------------------------------

// One each, numbered as in selftest_tensor.cpp.
KERNEL(64, selftest_tensor_mistakes, uint32_t *global, uint32_t which) {
  uint32_t *piece = block_memory<1024>(), *small = block_memory<24>(), t = thread_x(), a[4] = {};
  float c[4] = {};
  uint8_t *bytes = (uint8_t *)piece;
  switch (which) {
  case 0: copy_async16(bytes + 8 * t, global, 16); break;
  case 1: copy_async16(piece + 4 * t, global + 2 * t, 16); break;
  case 2: copy_async16(piece + 4 * t, global + 2 * t, 0); break;
  case 3: copy_async16(global + 4 * t, global, 16); break;
  case 4: copy_async16(small + 4 * t, global, 16); break;
  case 5: copy_async16(piece, small, 16); break;
  case 6: copy_async16(piece + 4 * t, global, 8); break;
  case 7: load_matrix4(a, bytes + 8 * t); break;
  case 8: load_matrix4(a, t < 20 ? piece : global); break;
  case 9: load_matrix4_transposed(a, small + 4 * (t % 2)); break;
  case 10:
    if (t % 32 < 31) mma_bf16(c, a, 0, 0);
    break;
  case 11:
    if (t < 7) mma_bf16(c, a, 0, 0);
    else
      mma_bf16(c, a, 0, 0);
    break;
  case 12:
    if (t < 7) load_matrix4(a, piece);
    else mma_f16(c, a, 0, 0);
    break;
  case 13:
    if (t == 40) copy_async16(piece, global, 16);
    copy_async_commit();
    copy_async_wait<1>();
    break;
  case 14:
    if (t == 41) copy_async16(piece, global, 0); // in no group
    copy_async_wait<0>();
    break;
  case 15: // two threads to one place
    if (t < 2) copy_async16(piece, global, 16);
    copy_async_commit();
    warp_barrier();
    copy_async_wait<0>();
    break;
  case 16:
    copy_async16(piece + 4 * t, global, 16);
    copy_async_commit();
    piece[4 * t + 3] = 1;
    copy_async_wait<0>();
    break;
  default: // none: groups without copies need no wait
    copy_async16(piece + 4 * t, global, 16);
    copy_async_commit();
    copy_async_commit();
    copy_async_wait<1>();
    copy_async_commit();
  }
  if (which > 6) return;
  copy_async_commit(); // what the threads do that are right
  copy_async_wait<0>();
}

// Copies from memory that ends too soon.
KERNEL(32, selftest_copy_out_of_bounds, const uint8_t *in, uint32_t at, uint32_t bytes) {
  copy_async16(block_memory<512>() + 4 * thread_x(), in + (thread_x() ? 0 : at), thread_x() ? 16 : bytes);
  copy_async_commit();
  copy_async_wait<0>();
}

KERNEL(64, selftest_barrier_mistakes, uint32_t *global, uint32_t which) {
  uint32_t *piece = block_memory<1024>(), t = thread_x();
  uint64_t *barrier = (uint64_t *)block_memory<32>();
  if (t == 0 && which != 0) barrier_init(barrier, 33);
  if (which) block_barrier();
  switch (which) {
  case 0: barrier_arrive(barrier); break;
  case 1: barrier_init(barrier, 1); break;
  case 2: barrier_init(barrier + 1, 0); break;
  case 3: barrier_init((uint64_t *)((uint8_t *)barrier + 12), 1); break;
  case 4: barrier_init((uint64_t *)global, 1); break;
  case 5: barrier_init(barrier + 4, 1); break;
  case 6:
    if (t == 1) *(uint16_t *)barrier = 0;
    warp_barrier();
    barrier_wait(barrier, 0);
    break;
  case 7: barrier_wait(barrier, 2); break;
  case 8:
    if (t < 31) barrier_arrive(barrier);
    barrier_wait(barrier, 0);
    break;
  case 9:
    if (t == 3) barrier_wait(barrier, 0);
    warp_barrier();
    break;
  case 10: threads_barrier(0, 64); break;
  case 11: threads_barrier(16, 64); break;
  case 12: threads_barrier(1, 40); break;
  case 13: threads_barrier(1, 96); break;
  case 14: threads_barrier(1, 32); break;
  case 15:
    if (t < 50) threads_barrier(2, 64);
    break;
  case 16:
    if (t < 32) threads_barrier(2, 64);
    else
      threads_barrier(2, 64);
    break;
  case 17:
    if (t < 32) threads_barrier(2, 64);
    else threads_barrier(3, 64);
    break;
  case 18: // nobody waits at the barrier
    if (t == 5) copy_async16(piece, global, 16);
    copy_async_arrive(barrier);
    break;
  case 19: // started after what is waited for
    copy_async_arrive(barrier);
    copy_async16(piece + 4 * t, global, 16);
    break;
  case 20:
    copy_async16(piece + 4 * t, global, 16);
    copy_async_arrive(barrier);
    warp_barrier();
    piece[4 * t] = 1;
    barrier_wait(barrier, 0);
    break;
  default: // none: threads that end leave their copies to those who wait
    if (t < 33) {
      copy_async16(piece + 4 * t, global + 4 * t, 16);
      copy_async_arrive(barrier);
      return;
    }
    barrier_wait(barrier, 0);
    global[512 + t] = piece[4 * (t - 32)];
  }
}

// Each thread of a pair of blocks tells the other block's 16 bytes, `exchanges` times, and
// adds up what it is told.
enum : uint32_t { ENDS_EARLY = 1, WAITS_TWICE = 2, ARRIVES_TWICE = 3, TELLS_NOBODY = 4 };
KERNEL_PAIR(64, selftest_pair, uint32_t *out, uint32_t exchanges, uint32_t mistake) {
  uint8_t *shared = dynamic_panels();
  uint64_t *told = (uint64_t *)(shared + 1024), *taken = told + 1;
  uint32_t t = thread_x(), other = block_x() % 2 ^ 1;
  if (t == 0) {
    barrier_init(told, 1);
    barrier_init(taken, 64);
    barrier_expect(told, 1024);
  }
  pair_arrive();
  if (mistake == ARRIVES_TWICE && block_x() == 1) pair_arrive();
  pair_wait();
  if (mistake == WAITS_TWICE && block_x() == 1) pair_wait();
  uint32_t sum = 0;
  for (uint32_t i = 0; i < exchanges; i++) {
    if (mistake == ENDS_EARLY && i == 1 && block_x() == 1) return;
    barrier_sleep(taken, i % 2 ^ 1);
    float four[4] = {0, 0, 0, (float)(100 * block_x() + t + i)};
    if (mistake != TELLS_NOBODY || block_x() != 0 || t != 7)
      store_there(in_block(shared, other), 16 * t, four, in_block(told, other));
    barrier_wait_for_pair(told, i % 2);
    sum += (uint32_t)((const float *)shared)[4 * t + 3];
    if (t == 0) barrier_expect(told, 1024);
    barrier_arrive_there(in_block(taken, other));
  }
  pair_arrive();
  pair_wait();
  out[64 * block_x() + t] = sum;
}

// dots = a b^T of 64 columns, sums = a b of the first 16 columns of a and rows of b [64, 256].
KERNEL_PAIR(128, selftest_products, const uint16_t *a, const uint16_t *b, float *dots, float *sums, uint32_t is_bf16) {
  uint8_t *shared = dynamic_panels();
  uint32_t t = thread_x(), lane = t % 32, row = t / 32 * 16 + lane / 4;
  for (uint32_t i = t; i < 64 * 64; i += 128) *(uint16_t *)(shared + panel_place(64, i / 64, i % 64 / 8 * 8) + i % 8 * 2) = a[i];
  for (uint32_t i = t; i < 64 * 256; i += 128)
    *(uint16_t *)(shared + 8192 + panel_place(64, i / 256, i % 256 / 8 * 8) + i % 8 * 2) = b[i];
  show_to_hardware();
  block_barrier();
  float dot[32], sum[128] = {};
  uint32_t w[4];
  for (uint32_t i = 0; i < 4; i++) {
    const uint16_t *two = a + 64 * (row + i % 2 * 8) + 2 * (lane % 4) + i / 2 * 8;
    w[i] = two[0] | (uint32_t)two[1] << 16;
  }
  products_begin();
  for (int step = 0; step < 4; step++)
    if (is_bf16) multiply_64x64<true>(dot, shared, shared + 8192, step, step > 0);
    else multiply_64x64<false>(dot, shared, shared + 8192, step, step > 0);
  if (is_bf16) multiply_64x256<true>(sum, w, shared + 8192, 8192);
  else multiply_64x256<false>(sum, w, shared + 8192, 8192);
  products_commit();
  products_wait<0>(dot);
  products_wait<0>(sum);
  for (uint32_t i = 0; i < 32; i++) dots[64 * (row + i / 2 % 2 * 8) + i / 4 * 8 + lane % 4 * 2 + i % 2] = dot[i];
  for (uint32_t i = 0; i < 128; i++) sums[256 * (row + i / 2 % 2 * 8) + i / 4 * 8 + lane % 4 * 2 + i % 2] = sum[i];
}

// Copies the box at (0, slot, 0, head, 0), 8 slots of 2 panels, to shared memory, and from there to `out`.
enum : uint32_t { BOX_UNWAITED = 1, BOX_MISPLACED = 2, BOX_OVERWRITTEN = 3, BOX_OF_NO_MAP = 4, BOX_OF_FEWER_BYTES = 5 };
KERNEL(32, selftest_box, const GRID_CONSTANT tensor_map map, uint32_t slot, uint32_t head, uint16_t *out, uint32_t mistake) {
  uint8_t *shared = dynamic_panels();
  uint64_t *full = (uint64_t *)(shared + 4096);
  uint32_t t = thread_x();
  tensor_map none = {};
  if (t == 0) {
    barrier_init(full, 1);
    show_to_hardware();
    prefetch_map(&map);
    copy_box(shared + (mistake == BOX_MISPLACED ? 512 : 0), mistake == BOX_OF_NO_MAP ? &none : &map, 0, slot, 0, head, 0, full);
    barrier_expect(full, mistake == BOX_OF_FEWER_BYTES ? 2032 : 2048);
    if (mistake == BOX_OVERWRITTEN) shared[100] = 1;
  }
  block_barrier();
  if (mistake == BOX_UNWAITED) return;
  barrier_sleep(full, 0);
  for (uint32_t i = t; i < 1024; i += 32) {
    uint32_t row = i / 128, d = i % 128;
    out[i] = *(const uint16_t *)(shared + panel_place(8, row, d / 8 * 8) + d % 8 * 2);
  }
}
