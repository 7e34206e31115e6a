// SPDX-License-Identifier: MIT
//
// The real kernels: a small matrix packed by the comment in ptx/matvec.cuh, quantised
// activations, and the result against the same arithmetic in f64. With WEIR_TEST_PTX
// naming a directory of compiled kernels, their PTX is what is loaded; else a text with
// the same entries.
#define WEIR_EMULATE
#include "matvec.cuh"
#include "selftest.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace {

struct problem {
  int bits;
  uint32_t n, k, m, group;
  scale_format format;
  uint32_t form; // 0: scale * (code - zero); 1: scale * code + zero
  bool staged;   // activations through shared memory
};

struct matrix {
  std::vector<int> codes;           // [n,k]
  std::vector<float> scales, zeros; // [n,groups]
};

uint32_t kpad_of(const problem &p) { return (p.k + 255) / 256 * 256; }
bool has_zero(const problem &p) { return p.format >= SCALE_HALF_ZERO; }
bool is_half(const problem &p) { return p.format != SCALE_FLOAT && p.format != SCALE_FLOAT_ZERO; }
bool is_byte(const problem &p) { return p.format == SCALE_HALF_BYTE; }
float random_byte(const problem &p) { return p.bits == 4 ? (float)(uint8_t)random_bits() : (float)(int8_t)random_bits(); }

// A value that bf16 holds exactly, so that every format stores it.
float random_bf16(float most) {
  float f = ((float)(random_bits() % 20001) / 10000.0f - 1.0f) * most;
  uint32_t u;
  memcpy(&u, &f, 4);
  u &= 0xffff0000u;
  memcpy(&f, &u, 4);
  return f;
}

uint32_t bits_of(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

matrix random_matrix(const problem &p) {
  matrix w;
  for (uint32_t i = 0; i < p.n * p.k; i++)
    w.codes.push_back(p.bits == 4 ? (int)(random_bits() % 16) : (int8_t)random_bits());
  for (uint32_t i = 0; i < p.n * (p.k / p.group); i++) {
    w.scales.push_back(random_bf16(0.1f));
    w.zeros.push_back(is_byte(p) ? random_byte(p) : has_zero(p) ? random_bf16(10.0f) : p.bits == 4 ? 8.0f : 0.0f);
  }
  return w;
}

struct packing {
  std::vector<uint8_t> bytes;
  uint64_t scales_at;
  uint32_t groups, group_shift;
};

void put(std::vector<uint8_t> &to, size_t at, uint32_t v, size_t size) { memcpy(&to[at], &v, size); }

packing pack(const problem &p, const matrix &w) {
  uint32_t kpad = kpad_of(p), tiles = (p.n + 15) / 16, steps = kpad / 256, pieces = p.bits == 4 ? 2 : 4;
  uint32_t per64 = p.group < 64 ? 64 / p.group : 1, wide = is_half(p) ? 2 : 4,
           zero_wide = is_byte(p) ? 1 : has_zero(p) ? wide : 0, record = 2 * per64 * (wide + zero_wide);
  packing out;
  out.group_shift = p.group <= 64 ? 0 : p.group == p.k ? 31 : (uint32_t)__builtin_ctz(p.group / 64);
  out.groups = p.group == p.k ? 1 : (kpad / 64) >> out.group_shift;
  out.scales_at = (uint64_t)tiles * steps * 2 * pieces * 32 * 16;
  out.bytes.assign(out.scales_at + (uint64_t)tiles * out.groups * 8 * record, 0);
  for (uint32_t n = 0; n < p.n; n++) {
    uint32_t tile = n / 16, half = n % 16 / 8, row = n % 8;
    for (uint32_t k = 0; k < p.k; k++) {
      uint32_t step = k / 256, lane = row * 4 + k / 64 % 4, code = (uint32_t)w.codes[n * p.k + k];
      uint32_t piece = k % 64 / (p.bits == 4 ? 32 : 16);
      uint64_t at = ((((uint64_t)tile * steps + step) * 2 * pieces + half * pieces + piece) * 32 + lane) * 16;
      if (p.bits == 4) out.bytes[at + k % 32 / 8 * 4 + k % 4] |= (uint8_t)(code << (k % 8 < 4 ? 0 : 4));
      else out.bytes[at + k % 16] = (uint8_t)code;
    }
    for (uint32_t g = 0; g < p.k / p.group; g++) {
      uint32_t group = p.group < 64 ? g / per64 : g, sub = half * per64 + (p.group < 64 ? g % per64 : 0);
      uint64_t at = out.scales_at + ((uint64_t)tile * out.groups + group) * 8 * record + row * record;
      uint32_t scale = bits_of(w.scales[n * (p.k / p.group) + g]), zero = bits_of(w.zeros[n * (p.k / p.group) + g]);
      if (is_byte(p)) { // in a plane behind the scales of the eight rows
        uint64_t first = at - row * record, slot = row * 2 * per64 + sub;
        put(out.bytes, first + 2 * slot, scale >> 16, 2);
        out.bytes[first + 8 * 2 * per64 * 2 + slot] = (uint8_t)((int)w.zeros[n * (p.k / p.group) + g] + (p.bits == 8 ? 128 : 0));
        continue;
      }
      if (is_half(p)) scale >>= 16, zero >>= 16;
      uint32_t each = has_zero(p) ? 2 * wide : wide;
      put(out.bytes, at + sub * each, scale, wide);
      if (has_zero(p)) put(out.bytes, at + sub * each + wide, zero, wide);
    }
  }
  return out;
}

// What the recipe makes of x, in f64; *out_sum is the sum of the magnitudes added.
double expected(const problem &p, const matrix &w, const std::vector<float> &x, uint32_t m, uint32_t n,
                double *out_sum) {
  double sum = 0, magnitudes = 0;
  for (uint32_t block = 0; block < p.k; block += 32) {
    uint32_t end = block + 32 < p.k ? block + 32 : p.k;
    float most = 0;
    for (uint32_t k = block; k < end; k++) most = fmaxf(most, fabsf(x[m * p.k + k]));
    float d = most / 127.0f, r = d > 0 ? 1.0f / d : 0.0f;
    for (uint32_t k = block; k < end; k++) {
      double q = nearbyint((double)(x[m * p.k + k] * r));
      uint32_t g = n * (p.k / p.group) + k / p.group;
      double code = w.codes[n * p.k + k], scale = w.scales[g], zero = w.zeros[g];
      double weight = p.form == 0 ? scale * (code - zero) : scale * code + zero;
      sum += weight * d * q;
      magnitudes += (fabs(scale * code) + fabs(p.form == 0 ? scale * zero : zero)) * fabs(d * q);
    }
  }
  *out_sum = magnitudes;
  return sum;
}

std::string kernel_text(const std::string &file, const std::string &entry, const std::vector<std::string> &parameters) {
  const char *directory = getenv("WEIR_TEST_PTX");
  if (!directory) return ptx_text(entry_text(entry, parameters, cu.kernel_threads(entry.c_str())));
  std::stringstream text;
  text << std::ifstream(std::string(directory) + "/" + file + ".sm_80.ptx").rdbuf();
  CHECK(!text.str().empty());
  return text.str();
}

std::vector<float> run(const problem &p, const packing &packed, const std::vector<float> &x, bool vector) {
  const std::string kind = vector ? "vector" : "scalar";
  const std::string op = (p.bits == 4 ? "int4_matvec_" : "int8_matvec_") + kind;
  uint32_t passes = p.m == 1 ? 1 : p.m == 2 ? 2 : p.m <= 4 ? 4 : 8, kpad = kpad_of(p);
  std::string entry = op + "_g" + std::to_string(p.group < 64 ? p.group : 64) + "_m" + std::to_string(passes);
  const std::string args = ".align 8 .b8[" + std::to_string(sizeof(matvec_args)) + "]", quantizer = "quantize_" + kind;
  loaded_kernel quantize(kernel_text(quantizer, quantizer, {".u64", ".u64", ".u32", ".u32", ".u32"}), quantizer);
  loaded_kernel matvec(kernel_text(op, entry, {args}), entry);
  uint32_t row_bytes = vector ? act_row_bytes_vector(kpad) : act_row_bytes_scalar(kpad);
  device_buffer weights(packed.bytes), from(x), act((size_t)p.m * row_bytes), y((size_t)p.m * p.n * 4);

  uint32_t type = TYPE_F32;
  void *parameters[] = {&from.at, &act.at, (void *)&p.k, &kpad, &type};
  CHECK_OK(
      cu.cuLaunchKernel(quantize.function, (kpad / 4 + 127) / 128, p.m, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
  uint32_t steps = kpad / 256, most = cu.kernel_threads(entry.c_str()) / 32, warps = steps < most ? steps : most;
  matvec_args a = {};
  a.packed = (const uint8_t *)weights.at;
  a.scales_at = packed.scales_at;
  a.act = (const uint8_t *)act.at;
  a.y = (void *)y.at;
  a.n = p.n;
  a.kpad = kpad;
  a.m = p.m;
  a.groups = packed.groups;
  a.group_shift = packed.group_shift;
  a.format = p.format;
  a.scale_type = TYPE_BF16;
  a.zero_type = !is_byte(p) ? TYPE_BF16 : p.bits == 4 ? TYPE_U8 : TYPE_S8;
  a.form = p.form;
  a.y_type = TYPE_F32;
  a.bias_type = TYPE_NONE;
  a.staged = vector && p.staged ? p.m * row_bytes : 0;
  CHECK_OK(matvec.launch((p.n + 15) / 16, 32 * warps, a.staged, nullptr, a));
  return y.read<float>();
}

void check(const problem &p) {
  primary_context context;
  matrix w = random_matrix(p);
  std::vector<float> x;
  for (uint32_t i = 0; i < p.m * p.k; i++) x.push_back((float)(int)random_bits() * 0x1p-31f);
  packing packed = pack(p, w);
  std::vector<float> vector = run(p, packed, x, true), scalar = run(p, packed, x, false);
  CHECK(!memcmp(vector.data(), scalar.data(), vector.size() * 4));
  // A term passes through at most this many f32 roundings: those of its block, one for
  // each block that its lane adds after it, and the sums of lanes and warps.
  double roundings = 4.0 + kpad_of(p) / 16.0 + 2 + 8;
  for (uint32_t m = 0; m < p.m; m++)
    for (uint32_t n = 0; n < p.n; n++) {
      double sum, want = expected(p, w, x, m, n, &sum), got = vector[m * p.n + n];
      if (!(fabs(got - want) <= roundings * 0x1p-24 * sum))
        fprintf(stderr, "int%d group %u format %d form %u: y[%u,%u] is %.9g, not %.9g\n", p.bits, p.group, p.format,
                p.form, m, n, got, want);
      CHECK(fabs(got - want) <= roundings * 0x1p-24 * sum);
    }
}

} // namespace

void test_matvec() {
  const scale_format formats[] = {SCALE_HALF, SCALE_FLOAT, SCALE_HALF_ZERO, SCALE_FLOAT_ZERO, SCALE_HALF_BYTE};
  for (int bits : {4, 8})
    for (uint32_t group : {16u, 32u, 64u, 128u, 320u})
      for (scale_format format : formats) {
        uint32_t form = (format == SCALE_HALF_ZERO || format == SCALE_FLOAT_ZERO) && group != 32;
        uint32_t k = group == 128 ? 384 : 320, m = 1 + group / 16 % 5;
        check({bits, 37, k, m, group, format, form, format == SCALE_FLOAT});
      }
  restart_with({"FAKECUDA_SHUFFLE=9", "FAKECUDA_RESIDENT=3"});
  check({4, 50, 2080, 8, 32, SCALE_HALF, 0, true});
  check({8, 16, 4096, 2, 4096, SCALE_HALF, 0, false});
}
