/* SPDX-License-Identifier: MIT */

/* Canonical weights to the tiles that matvec.h draws. */
#include "matvec.h"

#include "number.h"

void cpu_layout_make(const weir_matvec_desc *desc, struct cpu_layout *out_layout) {
  struct cpu_layout layout = {
    .n = desc->n,
    .k = desc->k,
    .group = desc->group,
    .bits = desc->op == WEIR_OP_INT4_MATVEC ? 4 : 8,
    .halves = desc->group == CPU_BLOCK / 2 ? 2 : 1,
    .min = desc->form == WEIR_FORM_MIN,
    .scale_type = desc->scale_type,
    .zero_type = desc->zero_type,
  };
  uint64_t unit_k = layout.halves == 2 ? CPU_BLOCK : desc->group;
  layout.unit_blocks = (uint32_t)((unit_k + CPU_BLOCK - 1) / CPU_BLOCK);
  layout.units = (uint32_t)((desc->k + unit_k - 1) / unit_k);
  layout.tiles = (uint32_t)(((uint64_t)desc->n + CPU_TILE - 1) / CPU_TILE);
  layout.scale_bytes = (size_t)CPU_TILE * number_size(desc->scale_type);
  layout.zero_bytes = (size_t)CPU_TILE * number_size(desc->zero_type);
  layout.header_bytes = (size_t)layout.halves * (layout.scale_bytes + layout.zero_bytes);
  layout.block_bytes = (size_t)CPU_TILE * CPU_BLOCK * (size_t)layout.bits / 8;
  layout.unit_bytes = layout.header_bytes + layout.unit_blocks * layout.block_bytes;
  layout.tile_bytes = layout.units * layout.unit_bytes;
  *out_layout = layout;
}

/* 8 codes of 4 bytes to the 4 bytes of a word. */
static void place_word4(const uint8_t *codes, uint8_t *out) {
  out[0] = (uint8_t)((codes[0] & 15) | codes[2] << 4);
  out[1] = (uint8_t)(codes[0] >> 4 | (codes[2] & 0xf0));
  out[2] = (uint8_t)((codes[1] & 15) | codes[3] << 4);
  out[3] = (uint8_t)(codes[1] >> 4 | (codes[3] & 0xf0));
}

/* The codes of one row and one unit; `out` is the row's lane in the unit's first
 * block. Codes past the end of the unit become 0. */
static void place_codes(const struct cpu_layout *layout, const uint8_t *codes, size_t bytes, uint8_t *out) {
  int words = layout->bits == 4 ? 4 : 8;
  size_t word_count = (size_t)layout->unit_blocks * (size_t)words;
  for (size_t w = 0; w < word_count; w++, out += CPU_WORD) {
    uint8_t four[4] = {0};
    size_t at = w * 4;
    if (at < bytes) {
      memcpy(four, codes + at, bytes - at < 4 ? bytes - at : 4);
    }
    if (layout->bits == 4) {
      place_word4(four, out);
    } else {
      memcpy(out, four, 4);
    }
  }
}

/* The scales or the zeros of one row and one unit. */
static void place_numbers(const struct cpu_layout *layout, const uint8_t *numbers, weir_type type, uint64_t first,
                          uint64_t group_stride, int present, uint8_t *out) {
  size_t size = number_size(type);
  for (int half = 0; half < layout->halves; half++, out += CPU_TILE * size) {
    if (half < present) {
      memcpy(out, numbers + (first + (uint64_t)half * group_stride) * size, size);
    } else {
      memset(out, 0, size);
    }
  }
}

static void pack_row(const struct cpu_layout *layout, const weir_matvec_source *source, uint64_t row, uint8_t *tile,
                     size_t lane) {
  uint64_t groups = layout->k / layout->group;
  uint64_t row_stride = source->row_stride, group_stride = source->group_stride;
  if (!row_stride && !group_stride) {
    row_stride = groups;
    group_stride = 1;
  }
  size_t row_bytes = (size_t)layout->k * (size_t)layout->bits / 8;
  size_t unit_bytes = (size_t)layout->group * (size_t)layout->halves * (size_t)layout->bits / 8;
  const uint8_t *codes = (const uint8_t *)source->codes + row * row_bytes;
  for (uint32_t u = 0; u < layout->units; u++, tile += layout->unit_bytes) {
    uint64_t group = (uint64_t)u * (uint64_t)layout->halves;
    uint64_t first = row * row_stride + group * group_stride;
    int present = groups - group < 2 ? 1 : layout->halves;
    place_numbers(layout, source->scales, layout->scale_type, first, group_stride, present,
                  tile + lane * number_size(layout->scale_type));
    if (layout->zero_bytes) {
      place_numbers(layout, source->zeros, layout->zero_type, first, group_stride, present,
                    tile + (size_t)layout->halves * layout->scale_bytes + lane * number_size(layout->zero_type));
    }
    size_t done = u * unit_bytes;
    size_t bytes = row_bytes - done < unit_bytes ? row_bytes - done : unit_bytes;
    place_codes(layout, codes + done, bytes, tile + layout->header_bytes + lane * 4);
  }
}

static void clear_row(const struct cpu_layout *layout, uint8_t *tile, size_t lane) {
  for (uint32_t u = 0; u < layout->units; u++, tile += layout->unit_bytes) {
    place_numbers(layout, NULL, layout->scale_type, 0, 0, 0, tile + lane * number_size(layout->scale_type));
    if (layout->zero_bytes) {
      place_numbers(layout, NULL, layout->zero_type, 0, 0, 0,
                    tile + (size_t)layout->halves * layout->scale_bytes + lane * number_size(layout->zero_type));
    }
    place_codes(layout, NULL, 0, tile + layout->header_bytes + lane * 4);
  }
}

void cpu_layout_pack(const struct cpu_layout *layout, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                     uint8_t *out_packed) {
  for (uint32_t n = n0; n < n1; n++) {
    pack_row(layout, source, n - n0, out_packed + n / CPU_TILE * layout->tile_bytes, n % CPU_TILE);
  }
  if (n1 == layout->n && n0 < n1) {
    uint8_t *last = out_packed + (size_t)(layout->tiles - 1) * layout->tile_bytes;
    for (size_t lane = (layout->n - 1) % CPU_TILE + 1; lane < CPU_TILE; lane++) {
      clear_row(layout, last, lane);
    }
  }
}
