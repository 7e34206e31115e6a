// SPDX-License-Identifier: MIT
//
// What Hopper alone has (sm_90a): products by the four warps of a warpgroup, whose right
// operand, and left one if wished, stays in panels in shared memory, and blocks in pairs (a cluster)
// that write into each other's shared memory. No other architecture runs this.
//
// A warp's part of C (16 rows of 64) and of a left operand in registers is laid out as
// tensor.cuh says, one 16 x 8 (or 16 x 16) after the other.
#pragma once

#include "tensor.cuh"

#ifdef WEIR_EMULATE
#include "emulate_warpgroup.h"
#else

// KERNEL_PAIR(threads, name, parameters...) { body }: blocks 2i and 2i + 1 are a cluster, and
// each has a multiprocessor for itself.
#define KERNEL_PAIR(threads, name, ...) \
  extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(threads, 1) name(__VA_ARGS__)

// From here on the warpgroup's threads have so many registers each.
template <int registers>
DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
DEVICE void leave_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

// What all lanes of a warp know to be the same, as the compiler then knows too.
DEVICE uint32_t one_of_warp(uint32_t v) { return __shfl_sync(0xffffffffu, v, 0); }
// The compiler knows nothing of v any more.
DEVICE void forget(uint32_t &v) { asm volatile("" : "+r"(v)); }

// ---- Products -----------------------------------------------------------------

// Products are begun, and run on beside what the warps do next. Before the first of several:
DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// After the last of several, which are waited for together.
DEVICE void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until all but the last `left` of what was committed are done, c's among them.
template <int left, int count>
DEVICE void products_wait(float (&c)[count]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
  UNROLL for (int i = 0; i < count; i++) asm volatile("" : "+f"(c[i])::"memory"); // nothing moves before the wait
}

// How the hardware is told of a matrix: where it begins, from one panel to the next, from
// eight rows to the next eight.
DEVICE uint64_t panels_at(const uint8_t *shared, uint32_t panel) {
  return (uint64_t)1 << 62 | (uint64_t)(8 * PANEL_ROW / 16) << 32 | (uint64_t)(panel / 16) << 16 |
         ((uint32_t)__cvta_generic_to_shared(shared) & 0x3ffff) / 16;
}

#define FOUR(c, i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define SIXTEEN(c, i) FOUR(c, i), FOUR(c, i + 4), FOUR(c, i + 8), FOUR(c, i + 12)

// c (64 x 64) = a b^T, or is added to; a and b are 64 rows of one panel, of which 16 columns
// are multiplied, from step * 16 on.
#define MULTIPLY_64X64(type)                                                                                   \
  asm volatile("{ .reg .pred is_added;\n"                                                                      \
               "setp.ne.b32 is_added, %34, 0;\n"                                                               \
               "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " "                                 \
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28," \
               "%29,%30,%31}, %32, %33, is_added, 1, 1, 0, 0; }"                                               \
               : SIXTEEN(c, 0), SIXTEEN(c, 16)                                                                 \
               : "l"(from_a), "l"(from_b), "r"((int)is_added))
template <bool is_bf16>
DEVICE void multiply_64x64(float (&c)[32], const uint8_t *a, const uint8_t *b, int step, bool is_added) {
  uint64_t from_a = panels_at(a, 16) + 2 * step, from_b = panels_at(b, 16) + 2 * step;
  if (is_bf16)
    MULTIPLY_64X64("bf16");
  else
    MULTIPLY_64X64("f16");
}

// c (64 x 256) += a b; a are 16 columns in registers, b 16 rows of four panels of `panel` bytes.
#define MULTIPLY_64X256(type)                                                                                  \
  asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type " "                                \
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28," \
               "%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55," \
               "%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82," \
               "%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107," \
               "%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "      \
               "{%128,%129,%130,%131}, %132, 1, 1, 1, 1;"                                                      \
               : SIXTEEN(c, 0), SIXTEEN(c, 16), SIXTEEN(c, 32), SIXTEEN(c, 48), SIXTEEN(c, 64), SIXTEEN(c, 80), \
                 SIXTEEN(c, 96), SIXTEEN(c, 112)                                                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(from_b))
template <bool is_bf16>
DEVICE void multiply_64x256(float (&c)[128], const uint32_t *a, const uint8_t *b, uint32_t panel) {
  uint64_t from_b = panels_at(b, panel);
  if (is_bf16)
    MULTIPLY_64X256("bf16");
  else
    MULTIPLY_64X256("f16");
}
#undef MULTIPLY_64X64
#undef MULTIPLY_64X256
#undef SIXTEEN
#undef FOUR

// ---- The other block of the pair --------------------------------------------------

// Of all threads of both blocks: what they wrote, and barriers they initialized, before
// arriving is seen after waiting.
DEVICE void pair_arrive() {
  asm volatile("fence.mbarrier_init.release.cluster;\n"
               "barrier.cluster.arrive.release.aligned;" ::: "memory");
}
DEVICE void pair_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// The same place in the shared memory of block `rank` of the pair.
struct there {
  uint32_t at;
};
DEVICE there in_block(const void *shared, uint32_t rank) {
  there t;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(t.at) : "r"((uint32_t)__cvta_generic_to_shared(shared)), "r"(rank));
  return t;
}
// Writes 16 bytes there, and counts them at a barrier of the same block.
DEVICE void store_there(there to, uint32_t offset, const float *four, there barrier) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(
                 to.at + offset),
               "f"(four[0]), "f"(four[1]), "f"(four[2]), "f"(four[3]), "r"(barrier.at)
               : "memory");
}
// Says that this thread has read; nothing that it wrote is seen by who waits.
DEVICE void barrier_arrive_there(there barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier.at) : "memory");
}
// barrier_sleep for bytes that the other block stored and counted.
DEVICE void barrier_wait_for_pair(uint64_t *barrier, uint32_t parity) {
  BARRIER_TURNS(barrier, parity, "try_wait.parity.acquire.cluster.shared::cta");
}
#endif
