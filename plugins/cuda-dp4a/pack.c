/* SPDX-License-Identifier: MIT */

/* From canonical weights to the layout that ptx/matvec.cuh draws.
 *
 * Row r of a tile belongs to lanes 4 * (r % 8) .. + 3 and is their first row (r < 8)
 * or their second. In a step each lane has 64 codes of it: 2 pieces of 16 bytes when
 * they have 4 bits, 4 when they have 8. */

#include <string.h>

#include "dp4a.h"

enum { LANES = 32, PIECE = 16, PART = 64 /* k of a lane in a step */, PARTS = DP4A_STEP / PART };

/* ---- Layout ------------------------------------------------------------- */

static int is_half(weir_type type) {
  return type == WEIR_F16 || type == WEIR_BF16;
}

static int is_byte(weir_type type) {
  return type == WEIR_U8 || type == WEIR_S8;
}

static enum scale_format format_of(weir_type scale_type, weir_type zero_type) {
  if (zero_type == WEIR_NONE) {
    return is_half(scale_type) ? SCALE_HALF : SCALE_FLOAT;
  }
  if (is_half(scale_type) && is_byte(zero_type)) {
    return SCALE_HALF_BYTE;
  }
  return is_half(scale_type) && is_half(zero_type) ? SCALE_HALF_ZERO : SCALE_FLOAT_ZERO;
}

static uint32_t group_shift_of(uint32_t group) {
  switch (group) {
  case 16:
  case 32:
  case 64:
    return 0;
  case 128:
    return 1;
  case 256:
    return 2;
  default: /* group is k */
    return 31;
  }
}

void dp4a_layout_make(const weir_matvec_desc *desc, struct dp4a_layout *out_layout) {
  struct dp4a_layout at = {.desc = *desc};
  at.bits = desc->op == WEIR_OP_INT4_MATVEC ? 4 : 8;
  at.steps = desc->k / DP4A_STEP + (desc->k % DP4A_STEP != 0);
  at.kpad = at.steps * DP4A_STEP;
  at.tiles = desc->n / TILE_ROWS + (desc->n % TILE_ROWS != 0);
  at.per64 = desc->group == 16 ? 4 : desc->group == 32 ? 2 : 1;
  at.group_shift = group_shift_of(desc->group);
  at.groups = at.group_shift == 31 ? 1 : (at.kpad / PART) >> at.group_shift;
  at.format = format_of(desc->scale_type, desc->zero_type);
  at.value_bytes = at.format == SCALE_FLOAT || at.format == SCALE_FLOAT_ZERO ? 4 : 2;
  at.zero_bytes = desc->zero_type == WEIR_NONE ? 0 : at.format == SCALE_HALF_BYTE ? 1 : at.value_bytes;
  at.scales_at = (uint64_t)at.tiles * at.steps * (TILE_ROWS * DP4A_STEP / 8) * (uint32_t)at.bits;
  at.size = at.scales_at + (uint64_t)at.tiles * at.groups * TILE_ROWS * at.per64 * (at.value_bytes + at.zero_bytes);
  *out_layout = at;
}

weir_type dp4a_packed_scale_type(const struct dp4a_layout *layout) {
  return layout->value_bytes == 2 ? layout->desc.scale_type : WEIR_F32;
}

weir_type dp4a_packed_zero_type(const struct dp4a_layout *layout) {
  weir_type type = layout->desc.zero_type;
  return layout->zero_bytes == 4 ? WEIR_F32 : type;
}

/* ---- Numbers ------------------------------------------------------------ */

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint32_t f16_to_f32_bits(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 31;
  uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {
    return sign | bits_of((float)fraction * 0x1p-24f);
  }
  uint32_t wide = exponent == 31 ? 255 : exponent - 15 + 127;
  return sign | wide << 23 | fraction << 13;
}

/* Element `index` of a plane as the bits of an f32; exact for every type. */
static uint32_t load_f32_bits(const void *plane, uint64_t index, weir_type type) {
  const uint8_t *address = plane;
  uint16_t half;
  uint32_t word;
  switch (type) {
  case WEIR_F32:
    memcpy(&word, address + 4 * index, sizeof word);
    return word;
  case WEIR_U8:
    return bits_of(address[index]);
  case WEIR_S8:
    return bits_of((int8_t)address[index]);
  default:
    memcpy(&half, address + 2 * index, sizeof half);
    return type == WEIR_F16 ? f16_to_f32_bits(half) : (uint32_t)half << 16;
  }
}

/* Writes element `index` of a plane of `type` in `bytes` bytes: as f32, as it is, or as
 * an unsigned integer (matvec_args.h). */
static void put_value(const void *plane, uint64_t index, weir_type type, uint32_t bytes, uint8_t *out) {
  if (bytes == 4) {
    uint32_t word = load_f32_bits(plane, index, type);
    memcpy(out, &word, sizeof word);
  } else if (bytes == 2) {
    memcpy(out, (const uint8_t *)plane + 2 * index, 2);
  } else {
    *out = ((const uint8_t *)plane)[index] ^ (type == WEIR_S8 ? 0x80 : 0);
  }
}

/* ---- Codes -------------------------------------------------------------- */

/* Nibbles 0 1 2 3 4 5 6 7 become 0 4 1 5 2 6 3 7, from low to high: the low halves of
 * the bytes then hold the first four codes and the high halves the others. */
static uint32_t interleave(uint32_t codes) {
  uint32_t first = codes & 0xffff, second = codes >> 16;
  first = (first | first << 8) & 0x00ff00ff;
  first = (first | first << 4) & 0x0f0f0f0f;
  second = (second | second << 8) & 0x00ff00ff;
  second = (second | second << 4) & 0x0f0f0f0f;
  return first | second << 4;
}

/* The 64 codes of one lane, given as `bytes`, to pieces that lie `LANES` apart. */
static void pack_part(int bits, const uint8_t *part, uint32_t bytes, uint8_t *out) {
  for (uint32_t piece = 0; piece < bytes / PIECE; piece++, out += LANES * PIECE) {
    if (bits == 8) {
      memcpy(out, part + piece * PIECE, PIECE);
      continue;
    }
    uint32_t words[PIECE / 4];
    memcpy(words, part + piece * PIECE, sizeof words);
    for (uint32_t i = 0; i < PIECE / 4; i++) {
      words[i] = interleave(words[i]);
    }
    memcpy(out, words, sizeof words);
  }
}

/* `codes` holds have_bytes of the row; what follows them is padding, 0. */
static void pack_codes(const struct dp4a_layout *at, uint32_t n, const uint8_t *codes, uint64_t have_bytes,
                       uint8_t *packed) {
  uint32_t row = n % TILE_ROWS;
  uint32_t part_bytes = PART * (uint32_t)at->bits / 8;
  uint64_t row_bytes = (uint64_t)part_bytes * LANES; /* of the eight rows that are first, or second, in a step */
  uint64_t step_bytes = 2 * row_bytes;
  uint8_t *out = packed + (uint64_t)(n / TILE_ROWS) * at->steps * step_bytes + row / 8 * row_bytes +
                 row % 8 * (PARTS * PIECE);
  for (uint64_t step = 0; step < at->steps; step++, out += step_bytes) {
    for (uint64_t part = 0; part < PARTS; part++) {
      uint64_t from = (step * PARTS + part) * part_bytes;
      uint8_t last[PART] = {0};
      const uint8_t *given = last;
      if (from + part_bytes <= have_bytes) {
        given = codes + from;
      } else if (from < have_bytes) {
        memcpy(last, codes + from, have_bytes - from);
      }
      pack_part(at->bits, given, part_bytes, out + part * PIECE);
    }
  }
}

/* ---- Scales ------------------------------------------------------------- */

/* Entries g of a row come from element `first + g * stride` of the planes, for g below
 * `have`; the others are padding, 0. Zeros stand behind their scales, but those of one byte
 * behind the scales of all rows of the record. */
static void pack_scales(const struct dp4a_layout *at, uint32_t n, const weir_matvec_source *source, uint64_t first,
                        uint64_t stride, uint32_t have, uint8_t *packed) {
  const int apart = at->format == SCALE_HALF_BYTE;
  const uint32_t scale_step = at->value_bytes + (apart ? 0 : at->zero_bytes);
  const uint32_t zero_step = apart ? at->zero_bytes : scale_step;
  const uint32_t slot = (n % 8 * 2 + n % TILE_ROWS / 8) * at->per64; /* of the row in a record */
  const uint64_t record_bytes = (uint64_t)TILE_ROWS * at->per64 * (at->value_bytes + at->zero_bytes);
  uint8_t *record = packed + at->scales_at + (uint64_t)(n / TILE_ROWS) * at->groups * record_bytes;
  uint64_t entry = 0;
  for (uint32_t group = 0; group < at->groups; group++, record += record_bytes) {
    uint8_t *zeros = record + (apart ? TILE_ROWS * at->per64 * at->value_bytes : at->value_bytes);
    for (uint32_t i = slot; i < slot + at->per64; i++, entry++) {
      uint8_t *scale = record + i * scale_step, *zero = zeros + i * zero_step;
      if (entry >= have) {
        memset(scale, 0, at->value_bytes);
        memset(zero, 0, at->zero_bytes);
        continue;
      }
      uint64_t index = first + entry * stride;
      put_value(source->scales, index, at->desc.scale_type, at->value_bytes, scale);
      if (at->zero_bytes) {
        put_value(source->zeros, index, at->desc.zero_type, at->zero_bytes, zero);
      }
    }
  }
}

/* ---- Rows --------------------------------------------------------------- */

void dp4a_pack(const struct dp4a_layout *at, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
               uint8_t *out_packed) {
  uint32_t groups = at->desc.k / at->desc.group;
  uint64_t code_bytes = (uint64_t)at->desc.k * (uint32_t)at->bits / 8;
  uint64_t row_stride = source->row_stride, group_stride = source->group_stride;
  if (row_stride == 0 && group_stride == 0) {
    row_stride = groups;
    group_stride = 1;
  }
  for (uint32_t n = n0; n < n1; n++) {
    uint64_t i = n - n0;
    pack_codes(at, n, (const uint8_t *)source->codes + i * code_bytes, code_bytes, out_packed);
    pack_scales(at, n, source, i * row_stride, group_stride, groups, out_packed);
  }
  if (n1 == at->desc.n && n0 < n1) {
    uint32_t unused = (TILE_ROWS - n1 % TILE_ROWS) % TILE_ROWS;
    for (uint32_t i = 0; i < unused; i++) {
      pack_codes(at, n1 + i, NULL, 0, out_packed);
      pack_scales(at, n1 + i, NULL, 0, 0, 0, out_packed);
    }
  }
}
