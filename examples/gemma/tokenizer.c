/* SPDX-License-Identifier: MIT */
#include "vocabulary.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY "tokenizer.ggml."

enum { PIECE_BYTES_MOST = 4095, VOCABULARY_MOST = 1 << 24, MERGES_MOST = 1 << 26 };

static const char byte_values[256] = {
#define FOUR(n) (char)(n), (char)((n) + 1), (char)((n) + 2), (char)((n) + 3)
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define SIXTY_FOUR(n) SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
    SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192),
};

static weir_status no_memory(void) {
  return gemma_fail(WEIR_E_NOMEM, "no memory for the tokenizer; end other programs, or use a machine with more");
}

/* ---- Reading the file ---- */

/* A key that may be missing keeps the value that is in *value. */
static weir_status read_int(const weir_gguf *gguf, const char *key, int64_t *value) {
  int64_t found;
  weir_status status = weir->gguf_int(gguf, key, &found);
  if (status == WEIR_E_NOTFOUND) return WEIR_OK;
  if (!status) *value = found;
  return status;
}

static weir_status read_model(const weir_gguf *gguf, gemma_tokenizer *tokenizer) {
  const char *model;
  uint64_t bytes;
  weir_status status = weir->gguf_string(gguf, KEY "model", &model, &bytes);
  if (status) return status;
  tokenizer->by_rank = bytes == 6 && memcmp(model, "gemma4", 6) == 0;
  if (tokenizer->by_rank || (bytes == 5 && memcmp(model, "llama", 5) == 0)) return WEIR_OK;
  return gemma_fail(WEIR_E_UNSUPPORTED,
                    KEY "model is \"%.*s\"; this program knows \"llama\" (Gemma 3) and \"gemma4\": use a Gemma 3 or 4 file",
                    bytes > 64 ? 64 : (int)bytes, model);
}

static weir_status check_count(const weir_gguf *gguf, const char *key, uint32_t count) {
  uint64_t found;
  weir_status status = weir->gguf_array_count(gguf, key, &found);
  if (status || found == count) return status;
  return gemma_fail(WEIR_E_FORMAT, "%s has %" PRIu64 " entries where " KEY "tokens has %" PRIu32
                    "; the file is damaged or badly converted: fetch it again", key, found, count);
}

static weir_status read_piece(const weir_gguf *gguf, uint32_t index, bool has_scores, gemma_piece *out_piece) {
  uint64_t bytes;
  int64_t type;
  double score = 0;
  weir_status status = weir->gguf_array_string(gguf, KEY "tokens", index, &out_piece->name, &bytes);
  if (!status) status = weir->gguf_array_int(gguf, KEY "token_type", index, &type);
  if (!status && has_scores) status = weir->gguf_array_float(gguf, KEY "scores", index, &score);
  if (status) return status;
  if (bytes > PIECE_BYTES_MOST)
    return gemma_fail(WEIR_E_FORMAT, "piece %" PRIu32 " of " KEY "tokens has %" PRIu64 " bytes; up to %d are taken: "
                      "fetch the file again", index, bytes, PIECE_BYTES_MOST);
  if (type < GEMMA_NORMAL || type > GEMMA_BYTE)
    return gemma_fail(WEIR_E_FORMAT, "piece %" PRIu32 " has " KEY "token_type %" PRId64 "; types are 1 to 6: "
                      "fetch the file again", index, type);
  if (!isfinite(score))
    return gemma_fail(WEIR_E_FORMAT, "piece %" PRIu32 " has a score in " KEY "scores that is no finite number: "
                      "fetch the file again", index);
  out_piece->name_bytes = (uint32_t)bytes;
  out_piece->type = (int32_t)type;
  out_piece->score = (float)score;
  return WEIR_OK;
}

static weir_status read_pieces(const weir_gguf *gguf, gemma_tokenizer *tokenizer) {
  uint64_t count, scores;
  weir_status status = weir->gguf_array_count(gguf, KEY "tokens", &count);
  if (status) return status;
  if (count < 1 || count > VOCABULARY_MOST)
    return gemma_fail(WEIR_E_FORMAT, KEY "tokens has %" PRIu64 " pieces; 1 to %d are taken: use another file", count,
                      VOCABULARY_MOST);
  tokenizer->count = (uint32_t)count;
  status = check_count(gguf, KEY "token_type", tokenizer->count);
  if (status) return status;
  bool has_scores = !tokenizer->by_rank || weir->gguf_array_count(gguf, KEY "scores", &scores) == WEIR_OK;
  if (has_scores) status = check_count(gguf, KEY "scores", tokenizer->count);
  if (status) return status;
  tokenizer->piece = calloc(count, sizeof *tokenizer->piece);
  if (!tokenizer->piece) return no_memory();
  for (uint32_t i = 0; i < tokenizer->count && !status; i++)
    status = read_piece(gguf, i, has_scores, &tokenizer->piece[i]);
  return status;
}

/* ---- What pieces stand for ---- */

static int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

/* 0 to 255 from "<0xNN>", else -1. */
static int byte_of(const gemma_piece *piece) {
  const char *name = piece->name;
  if (piece->name_bytes != 6 || memcmp(name, "<0x", 3) != 0 || name[5] != '>') return -1;
  int high = hex_digit(name[3]), low = hex_digit(name[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static bool is_space(const gemma_piece *piece, uint32_t at) {
  return piece->name_bytes - at >= GEMMA_SPACE_BYTES && memcmp(piece->name + at, GEMMA_SPACE, GEMMA_SPACE_BYTES) == 0;
}

static bool has_space(const gemma_piece *piece) {
  for (uint32_t at = 0; at < piece->name_bytes; at++)
    if (is_space(piece, at)) return true;
  return false;
}

static uint32_t write_text(const gemma_piece *piece, char *out_text) {
  uint32_t bytes = 0;
  for (uint32_t at = 0; at < piece->name_bytes; bytes++) {
    bool space = is_space(piece, at);
    out_text[bytes] = space ? ' ' : piece->name[at];
    at += space ? GEMMA_SPACE_BYTES : 1;
  }
  return bytes;
}

static weir_status make_texts(gemma_tokenizer *tokenizer) {
  size_t most = 1;
  char *next;
  for (uint32_t i = 0; i < tokenizer->count; i++)
    if (has_space(&tokenizer->piece[i])) most += tokenizer->piece[i].name_bytes;
  next = tokenizer->texts = malloc(most);
  if (!next) return no_memory();
  for (uint32_t i = 0; i < tokenizer->count; i++) {
    gemma_piece *piece = &tokenizer->piece[i];
    int byte = piece->type == GEMMA_BYTE ? byte_of(piece) : -1;
    piece->text = piece->name;
    piece->text_bytes = piece->name_bytes;
    if (byte >= 0) {
      piece->text = &byte_values[byte];
      piece->text_bytes = 1;
    } else if (has_space(piece)) {
      piece->text = next;
      piece->text_bytes = write_text(piece, next);
      next += piece->text_bytes;
    }
  }
  return WEIR_OK;
}

static weir_status index_bytes(gemma_tokenizer *tokenizer) {
  for (int i = 0; i < 256; i++) tokenizer->byte_token[i] = -1;
  for (uint32_t i = 0; i < tokenizer->count; i++) {
    int byte = tokenizer->piece[i].type == GEMMA_BYTE ? byte_of(&tokenizer->piece[i]) : -1;
    if (byte >= 0) tokenizer->byte_token[byte] = (int32_t)i;
  }
  for (int i = 0; i < 256; i++)
    if (tokenizer->byte_token[i] < 0)
      return gemma_fail(WEIR_E_FORMAT, KEY "tokens has no piece <0x%02X> of type byte; text could not be spelled "
                        "without it: use another file", (unsigned)i);
  return WEIR_OK;
}

static weir_status index_pieces(gemma_tokenizer *tokenizer) {
  uint32_t of_type[GEMMA_BYTE + 1] = {0};
  for (uint32_t i = 0; i < tokenizer->count; i++) of_type[tokenizer->piece[i].type]++;
  if (!gemma_pieces_open(&tokenizer->mergeable, of_type[GEMMA_NORMAL] + of_type[GEMMA_USER_DEFINED]) ||
      !gemma_pieces_open(&tokenizer->whole, of_type[GEMMA_USER_DEFINED]) ||
      !gemma_pieces_open(&tokenizer->control, of_type[GEMMA_CONTROL]))
    return no_memory();
  for (uint32_t i = 0; i < tokenizer->count; i++) {
    const gemma_piece *piece = &tokenizer->piece[i];
    if (piece->type == GEMMA_NORMAL || piece->type == GEMMA_USER_DEFINED)
      gemma_pieces_put(&tokenizer->mergeable, piece->name, piece->name_bytes, (int32_t)i);
    if (piece->type == GEMMA_USER_DEFINED)
      gemma_pieces_put(&tokenizer->whole, piece->text, piece->text_bytes, (int32_t)i);
    if (piece->type == GEMMA_CONTROL)
      gemma_pieces_put(&tokenizer->control, piece->text, piece->text_bytes, (int32_t)i);
  }
  return WEIR_OK;
}

/* ---- Merges of "gemma4" ---- */

/* "LEFT RIGHT"; LEFT may itself begin with a space. A pair that is not made of pieces can never meet. */
static weir_status put_merge(gemma_tokenizer *tokenizer, int32_t rank, const char *pair, uint64_t bytes) {
  const char *space = bytes > 2 ? memchr(pair + 1, ' ', bytes - 2) : NULL;
  char joined[2 * PIECE_BYTES_MOST];
  size_t left = space ? (size_t)(space - pair) : 0, right = space ? bytes - left - 1 : 0;
  if (!space || left > PIECE_BYTES_MOST || right > PIECE_BYTES_MOST)
    return gemma_fail(WEIR_E_FORMAT, "entry %" PRId32 " of " KEY "merges is not two pieces with a space between: "
                      "fetch the file again", rank);
  memcpy(joined, pair, left);
  memcpy(joined + left, space + 1, right);
  gemma_merge merge = {.left = gemma_pieces_find(&tokenizer->mergeable, pair, left),
                       .right = gemma_pieces_find(&tokenizer->mergeable, space + 1, right),
                       .token = gemma_pieces_find(&tokenizer->mergeable, joined, left + right),
                       .rank = rank};
  if (merge.left >= 0 && merge.right >= 0 && merge.token >= 0) gemma_merges_put(&tokenizer->merges, merge);
  return WEIR_OK;
}

static weir_status read_merges(const weir_gguf *gguf, gemma_tokenizer *tokenizer) {
  uint64_t count, bytes;
  const char *pair;
  weir_status status = weir->gguf_array_count(gguf, KEY "merges", &count);
  if (status) return status;
  if (count > MERGES_MOST)
    return gemma_fail(WEIR_E_FORMAT, KEY "merges has %" PRIu64 " entries; up to %d are taken: use another file", count,
                      MERGES_MOST);
  if (!gemma_merges_open(&tokenizer->merges, (uint32_t)count)) return no_memory();
  for (uint64_t i = 0; i < count && !status; i++) {
    status = weir->gguf_array_string(gguf, KEY "merges", i, &pair, &bytes);
    if (!status) status = put_merge(tokenizer, (int32_t)i, pair, bytes);
  }
  return status;
}

/* ---- Special tokens ---- */

static weir_status read_special(const weir_gguf *gguf, const gemma_tokenizer *tokenizer, const char *key,
                                int32_t *out_token) {
  int64_t token = -1;
  weir_status status = read_int(gguf, key, &token);
  *out_token = -1;
  if (status) return status;
  if (token < -1 || token >= (int64_t)tokenizer->count)
    return gemma_fail(WEIR_E_FORMAT, "%s is %" PRId64 "; the vocabulary has tokens 0 to %" PRIu32 ": fetch the file again",
                      key, token, tokenizer->count - 1);
  *out_token = (int32_t)token;
  return WEIR_OK;
}

static weir_status read_specials(const weir_gguf *gguf, gemma_tokenizer *tokenizer) {
  int64_t adds_bos = 1, adds_space = !tokenizer->by_rank;
  int32_t ignored;
  weir_status status = read_special(gguf, tokenizer, KEY "bos_token_id", &tokenizer->bos);
  if (!status) status = read_special(gguf, tokenizer, KEY "eos_token_id", &tokenizer->eos);
  if (!status) status = read_special(gguf, tokenizer, KEY "eot_token_id", &tokenizer->eot);
  if (!status) status = read_special(gguf, tokenizer, KEY "unknown_token_id", &ignored);
  if (!status) status = read_special(gguf, tokenizer, KEY "padding_token_id", &ignored);
  if (!status) status = read_int(gguf, KEY "add_bos_token", &adds_bos);
  if (!status) status = read_int(gguf, KEY "add_space_prefix", &adds_space);
  if (status) return status;
  /* Gemma 4 was trained with BOS, though early files say otherwise. */
  tokenizer->adds_bos = tokenizer->by_rank || adds_bos;
  tokenizer->adds_space = adds_space;
  if (tokenizer->adds_bos && tokenizer->bos < 0)
    return gemma_fail(WEIR_E_FORMAT, KEY "bos_token_id is missing where prompts begin with BOS: use another file");
  tokenizer->turn_end = gemma_pieces_find(&tokenizer->control, "<end_of_turn>", strlen("<end_of_turn>"));
  if (tokenizer->turn_end < 0)
    tokenizer->turn_end = gemma_pieces_find(&tokenizer->control, "<turn|>", strlen("<turn|>"));
  return WEIR_OK;
}

/* ---- The tokenizer ---- */

weir_status gemma_tokenizer_open(const weir_gguf *gguf, gemma_tokenizer **out_tokenizer) {
  weir_status status;
  *out_tokenizer = NULL;
  gemma_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
  if (!tokenizer) return no_memory();
  status = read_model(gguf, tokenizer);
  if (!status) status = read_pieces(gguf, tokenizer);
  if (!status) status = make_texts(tokenizer);
  if (!status) status = index_bytes(tokenizer);
  if (!status) status = index_pieces(tokenizer);
  if (!status && tokenizer->by_rank) status = read_merges(gguf, tokenizer);
  if (!status) status = read_specials(gguf, tokenizer);
  if (status) {
    gemma_tokenizer_close(tokenizer);
    return status;
  }
  *out_tokenizer = tokenizer;
  return WEIR_OK;
}

void gemma_tokenizer_close(gemma_tokenizer *tokenizer) {
  if (!tokenizer) return;
  gemma_pieces_close(&tokenizer->mergeable);
  gemma_pieces_close(&tokenizer->whole);
  gemma_pieces_close(&tokenizer->control);
  gemma_merges_close(&tokenizer->merges);
  free(tokenizer->texts);
  free(tokenizer->piece);
  free(tokenizer);
}

size_t gemma_token_text(const gemma_tokenizer *tokenizer, int32_t token, const char **out_text) {
  *out_text = "";
  if (token < 0 || (uint32_t)token >= tokenizer->count) return 0;
  const gemma_piece *piece = &tokenizer->piece[token];
  if (piece->type == GEMMA_CONTROL || piece->type == GEMMA_UNKNOWN) return 0;
  *out_text = piece->text;
  return piece->text_bytes;
}

bool gemma_token_ends(const gemma_tokenizer *tokenizer, int32_t token) {
  return token >= 0 && (token == tokenizer->eos || token == tokenizer->eot || token == tokenizer->turn_end);
}

uint32_t gemma_vocabulary(const gemma_tokenizer *tokenizer) { return tokenizer->count; }

int32_t gemma_token_find(const gemma_tokenizer *tokenizer, const char *piece) {
  size_t bytes = strlen(piece);
  for (uint32_t i = 0; i < tokenizer->count; i++)
    if (tokenizer->piece[i].name_bytes == bytes && memcmp(tokenizer->piece[i].name, piece, bytes) == 0)
      return (int32_t)i;
  return -1;
}
