// SPDX-License-Identifier: MIT
//
// The kernels that are compiled in, as their KERNEL() reports them before main.
#include "block.h"

#include <cstdio>
#include <cstdlib>

namespace fakecuda {

static const kernel *first_kernel;

void kernel::add() {
  next = const_cast<kernel *>(first_kernel);
  if (find_kernel(name)) {
    fprintf(stderr, "fakecuda: two kernels are named %s\n", name);
    abort();
  }
  first_kernel = this;
}

const kernel *find_kernel(const std::string &name) {
  for (const kernel *k = first_kernel; k; k = k->next)
    if (name == k->name) return k;
  return nullptr;
}

} // namespace fakecuda
