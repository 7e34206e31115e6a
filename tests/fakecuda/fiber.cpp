// SPDX-License-Identifier: MIT
#include "fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0
#endif

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define WITH_TSAN 1
#else
#define WITH_TSAN 0
#endif

#if !defined(__x86_64__) && !defined(FAKECUDA_UCONTEXT)
#define FAKECUDA_UCONTEXT
#endif
#ifdef FAKECUDA_UCONTEXT
#include <ucontext.h>
#endif

namespace fakecuda {
namespace {

const size_t STACK_BYTES = (WITH_ASAN || WITH_TSAN ? 256 : 64) * 1024;

fiber outside; // whoever entered the running fiber
fiber *running;
bool from_outside; // the last switch
std::vector<fiber *> *fibers = new std::vector<fiber *>;

#ifdef FAKECUDA_UCONTEXT

void switch_stacks(fiber *from, fiber *to) {
  if (!from->stack_pointer) from->stack_pointer = new ucontext_t;
  swapcontext((ucontext_t *)from->stack_pointer, (ucontext_t *)to->stack_pointer);
}

void prepare(fiber *f, void (*entry)()) {
  ucontext_t *context = new ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = f->stack;
  context->uc_stack.ss_size = f->size;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  f->stack_pointer = context;
}

#else

// Keeps what the ABI wants kept, on the stack that is left. Kernels change neither
// rounding nor exception masks, so those are not switched.
extern "C" void fakecuda_switch(void **keep, void *next) __attribute__((visibility("hidden")));
asm(R"(
  .text
  .p2align 4
  .globl fakecuda_switch
  .hidden fakecuda_switch
  .type fakecuda_switch, @function
fakecuda_switch:
  .cfi_startproc
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
  .cfi_endproc
  .size fakecuda_switch, .-fakecuda_switch
)");

void switch_stacks(fiber *from, fiber *to) { fakecuda_switch(&from->stack_pointer, to->stack_pointer); }

void prepare(fiber *f, void (*entry)()) {
  void **top = (void **)(f->stack + f->size);
  top[-1] = nullptr; // the return address of entry: unwinding ends here
  top[-2] = (void *)entry;
  for (int i = 3; i <= 8; i++) top[-i] = nullptr; // the six registers
  f->stack_pointer = top - 8;
}

#endif

void leave_for(fiber *from, fiber *to) {
#if WITH_ASAN
  __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->size);
#endif
#if WITH_TSAN
  __tsan_switch_to_fiber(to->tsan, 0);
#endif
  switch_stacks(from, to);
}

void arrived(fiber *at) {
#if WITH_ASAN
  const void *bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(at->fake_stack, &bottom, &size);
  if (from_outside) {
    outside.stack = (char *)bottom;
    outside.size = size;
  }
#else
  (void)at;
#endif
}

void enter_first() {
  arrived(running);
  running->body();
  abort();
}

// Stacks start at different places in their pages, so that the hot ends of many do not
// compete for the same few lines of the cache.
size_t unused_top(size_t i) { return i % 32 * 320; }

fiber *make_fiber(size_t i, void (*body)()) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *memory = (char *)mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE)) {
    perror("fakecuda: no memory for the stack of an emulated thread");
    abort();
  }
  fiber *f = new fiber();
  f->stack = memory + page;
  f->size = STACK_BYTES - unused_top(i);
  f->body = body;
  (void)VALGRIND_STACK_REGISTER(f->stack, f->stack + f->size);
#if WITH_TSAN
  f->tsan = __tsan_create_fiber(0);
#endif
  prepare(f, enter_first);
  return f;
}

} // namespace

fiber *fiber_at(size_t i, void (*body)()) {
  while (fibers->size() <= i) fibers->push_back(make_fiber(fibers->size(), body));
  return (*fibers)[i];
}

void fiber_enter(fiber *f) {
  running = f;
  from_outside = true;
#if WITH_TSAN
  outside.tsan = __tsan_get_current_fiber();
#endif
  leave_for(&outside, f);
  arrived(&outside);
}

void fiber_leave() {
  fiber *me = running;
  from_outside = false;
  leave_for(me, &outside);
  arrived(me);
}

void fiber_pass(fiber *to) {
  fiber *me = running;
  running = to;
  from_outside = false;
  leave_for(me, to);
  arrived(me);
}

} // namespace fakecuda
