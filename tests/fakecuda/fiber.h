// SPDX-License-Identifier: MIT
//
// Fibers: what an emulated CUDA thread runs on. One OS thread at a time uses them
// (the driver's lock sees to that); it enters a fiber, and gets control back when
// that one leaves, or another to which it passed control.
#pragma once

#include <cstddef>

namespace fakecuda {

struct fiber {
  void *stack_pointer;    // while it is not running
  char *stack;            // lowest usable byte
  size_t size;
  void *fake_stack;       // AddressSanitizer's
  void *tsan;             // ThreadSanitizer's
  void (*body)();         // never returns
};

// The i-th fiber, made on first use, with `body` as what it runs when first
// entered. Every fiber is made once and lives as long as the process.
fiber *fiber_at(size_t i, void (*body)());

void fiber_enter(fiber *f);
void fiber_leave();
// From the running fiber to another, which leaves to where the first was entered.
void fiber_pass(fiber *to);

} // namespace fakecuda
