// SPDX-License-Identifier: MIT
//
// What a driver needs to know of a PTX text: versions, entries and their parameters.
#pragma once

#include "block.h"

#include <string>
#include <vector>

namespace fakecuda {

struct ptx_entry {
  std::string name;
  std::vector<parameter_layout> parameters;
  uint32_t threads_most[3]; // .maxntid or .reqntid; 0: not given
  bool threads_exact;       // .reqntid
  size_t shared_bytes;      // static
  uint32_t cluster;         // .reqnctapercluster, in x; else 1
};

struct ptx_text {
  int version;      // 78 for 7.8
  int target;       // 90 for sm_90
  char target_kind; // 'a': this architecture only; 'f': its family; else 0
  std::vector<ptx_entry> entries;
};

// False, with "line N; ..." in *out_error, when the text cannot be PTX.
bool parse_ptx(const std::string &text, ptx_text *out, std::string *out_error);

// The newest .version that a driver takes, and the oldest that knows a target.
int ptx_version_of_driver(int driver);
int ptx_version_of_target(int target, char kind);

} // namespace fakecuda
