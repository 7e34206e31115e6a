/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "vocabulary.h"

/* A stretch of the text that is, or may become, one token. */
typedef struct symbol {
  uint32_t start, bytes; /* bytes 0: joined to the one before */
  int32_t before, after; /* -1: none */
  int32_t token;         /* -1: no piece has this text */
} symbol;

/* Two neighbours that would make a piece. Stale when they no longer have `bytes` together. */
typedef struct candidate {
  double order; /* the greatest is joined first */
  int32_t left, right, token;
  uint32_t bytes;
} candidate;

typedef struct work {
  const gemma_tokenizer *tokenizer;
  char *text; /* of one run, with U+2581 for spaces */
  symbol *symbol;
  candidate *heap;
  size_t text_room, symbol_room, heap_room, heap_count;
  int32_t *tokens; /* room for BOS and a token for each byte of all runs */
  uint32_t count;
} work;

static weir_status no_memory(size_t bytes) {
  return gemma_fail(WEIR_E_NOMEM, "no memory to tokenize %zu bytes of text; give a shorter one", bytes);
}

/* memory with room for `count` elements of `size` bytes; null, and memory stays, when there is none. */
static void *grow(void *memory, size_t size, size_t count, size_t *room) {
  void *more;
  if (memory && count <= *room) return memory;
  if (count < 2 * *room) count = 2 * *room;
  more = realloc(memory, count * size);
  if (more) *room = count;
  return more;
}

/* ---- Candidates, the best at the root ---- */

static bool goes_first(const candidate *a, const candidate *b) {
  return a->order > b->order || (a->order == b->order && a->left < b->left);
}

static bool heap_push(work *w, candidate pushed) {
  size_t at = w->heap_count, parent;
  candidate *heap = grow(w->heap, sizeof *heap, w->heap_count + 1, &w->heap_room);
  if (!heap) return false;
  w->heap = heap;
  for (; at > 0; at = parent) {
    parent = (at - 1) / 2;
    if (!goes_first(&pushed, &heap[parent])) break;
    heap[at] = heap[parent];
  }
  heap[at] = pushed;
  w->heap_count++;
  return true;
}

static candidate heap_pop(work *w) {
  candidate best = w->heap[0], last = w->heap[--w->heap_count];
  size_t at = 0, child;
  for (; (child = 2 * at + 1) < w->heap_count; at = child) {
    if (child + 1 < w->heap_count && goes_first(&w->heap[child + 1], &w->heap[child])) child++;
    if (!goes_first(&w->heap[child], &last)) break;
    w->heap[at] = w->heap[child];
  }
  if (w->heap_count > 0) w->heap[at] = last;
  return best;
}

/* ---- Joining the symbols of one run ---- */

/* False when there is no memory; that the two do not join is no failure. */
static bool consider(work *w, int32_t left, int32_t right) {
  const gemma_tokenizer *tokenizer = w->tokenizer;
  if (left < 0 || right < 0) return true;
  const symbol *a = &w->symbol[left], *b = &w->symbol[right];
  candidate found = {.left = left, .right = right, .token = -1, .bytes = a->bytes + b->bytes};
  if (tokenizer->by_rank) {
    const gemma_merge *merge = gemma_merges_find(&tokenizer->merges, a->token, b->token);
    if (!merge) return true;
    found.token = merge->token;
    found.order = -(double)merge->rank;
  } else {
    found.token = gemma_pieces_find(&tokenizer->mergeable, w->text + a->start, found.bytes);
    if (found.token < 0) return true;
    found.order = (double)tokenizer->piece[found.token].score;
  }
  return heap_push(w, found);
}

static bool join(work *w, const candidate *best) {
  symbol *left = &w->symbol[best->left], *right = &w->symbol[best->right];
  if (left->bytes == 0 || right->bytes == 0 || left->bytes + right->bytes != best->bytes) return true;
  left->bytes = best->bytes;
  left->token = best->token;
  left->after = right->after;
  right->bytes = 0;
  if (left->after >= 0) w->symbol[left->after].before = best->left;
  return consider(w, left->before, best->left) && consider(w, best->left, left->after);
}

/* Of the UTF-8 character that text begins with; 1 when there is none: that byte stands alone. */
static uint32_t character_bytes(const char *text, size_t bytes) {
  uint8_t lead = (uint8_t)text[0];
  uint32_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || wanted > bytes) return 1;
  for (uint32_t i = 1; i < wanted; i++)
    if (((uint8_t)text[i] & 0xc0) != 0x80) return 1;
  return wanted;
}

/* Cuts w->text into characters. */
static bool make_symbols(work *w, uint32_t bytes, uint32_t *out_count) {
  uint32_t count = 0;
  symbol *symbols = grow(w->symbol, sizeof *symbols, bytes, &w->symbol_room);
  *out_count = 0;
  if (!symbols) return false;
  w->symbol = symbols;
  for (uint32_t at = 0; at < bytes; at += symbols[count++].bytes) {
    symbol *next = &symbols[count];
    next->start = at;
    next->bytes = character_bytes(w->text + at, bytes - at);
    next->before = (int32_t)count - 1;
    next->after = (int32_t)count + 1;
    next->token = gemma_pieces_find(&w->tokenizer->mergeable, w->text + at, next->bytes);
  }
  if (count > 0) symbols[count - 1].after = -1;
  *out_count = count;
  return true;
}

static void put_token(work *w, int32_t token) { w->tokens[w->count++] = token; }

static void put_symbol(work *w, const symbol *put) {
  if (put->token >= 0) {
    put_token(w, put->token);
    return;
  }
  for (uint32_t i = 0; i < put->bytes; i++)
    put_token(w, w->tokenizer->byte_token[(uint8_t)w->text[put->start + i]]);
}

/* The tokens of w->text. */
static bool tokenize_run(work *w, uint32_t bytes) {
  uint32_t count;
  w->heap_count = 0;
  if (!make_symbols(w, bytes, &count)) return false;
  for (uint32_t i = 1; i < count; i++)
    if (!consider(w, (int32_t)i - 1, (int32_t)i)) return false;
  while (w->heap_count > 0) {
    candidate best = heap_pop(w);
    if (!join(w, &best)) return false;
  }
  for (int32_t i = count > 0 ? 0 : -1; i >= 0; i = w->symbol[i].after) put_symbol(w, &w->symbol[i]);
  return true;
}

/* ---- Cutting the text into runs ---- */

static uint32_t write_run(char *out, const char *text, size_t bytes) {
  uint32_t written = 0;
  for (size_t i = 0; i < bytes; i++) {
    if (text[i] == ' ') {
      memcpy(out + written, GEMMA_SPACE, GEMMA_SPACE_BYTES);
      written += GEMMA_SPACE_BYTES;
    } else {
      out[written++] = text[i];
    }
  }
  return written;
}

static bool put_run(work *w, const char *text, size_t bytes) {
  char *run = grow(w->text, 1, GEMMA_SPACE_BYTES * bytes, &w->text_room);
  if (!run) return false;
  w->text = run;
  return tokenize_run(w, write_run(run, text, bytes));
}

/* "gemma4": newlines do not join with what is not one, and a run that is a piece is not cut at all. */
static bool put_lines(work *w, const char *text, size_t bytes) {
  for (size_t start = 0, end; start < bytes; start = end) {
    bool newlines = text[start] == '\n';
    int32_t token;
    for (end = start + 1; end < bytes && (text[end] == '\n') == newlines; end++) continue;
    token = newlines ? gemma_pieces_find(&w->tokenizer->mergeable, text + start, end - start) : -1;
    if (token >= 0)
      put_token(w, token);
    else if (!put_run(w, text + start, end - start))
      return false;
  }
  return true;
}

static bool put_plain(work *w, const char *text, size_t bytes) {
  if (bytes == 0) return true;
  return w->tokenizer->by_rank ? put_lines(w, text, bytes) : put_run(w, text, bytes);
}

/* The longest piece that is taken whole where text begins; -1: none. */
static int32_t find_whole(const work *w, const char *text, size_t bytes, bool with_special, uint32_t *out_bytes) {
  uint32_t control_bytes = 0;
  int32_t token = gemma_pieces_begin(&w->tokenizer->whole, text, bytes, out_bytes);
  int32_t control = with_special ? gemma_pieces_begin(&w->tokenizer->control, text, bytes, &control_bytes) : -1;
  if (control_bytes <= *out_bytes) return token;
  *out_bytes = control_bytes;
  return control;
}

static bool put_text(work *w, const char *text, size_t bytes, bool with_special) {
  size_t start = 0;
  uint32_t whole_bytes;
  for (size_t i = 0; i < bytes;) {
    int32_t token = find_whole(w, text + i, bytes - i, with_special, &whole_bytes);
    if (token < 0) {
      i++;
      continue;
    }
    if (!put_plain(w, text + start, i - start)) return false;
    put_token(w, token);
    start = i += whole_bytes;
  }
  return put_plain(w, text + start, bytes - start);
}

/* As if the text began with a space. */
static bool put_with_space(work *w, const char *text, size_t bytes, bool with_special) {
  char *longer = malloc(bytes + 1);
  bool done = longer != NULL;
  if (done) {
    longer[0] = ' ';
    memcpy(longer + 1, text, bytes);
    done = put_text(w, longer, bytes + 1, with_special);
  }
  free(longer);
  return done;
}

weir_status gemma_tokenize(const gemma_tokenizer *tokenizer, const char *text, size_t bytes, bool with_bos,
                           bool with_special, int32_t **out_tokens, uint32_t *out_count) {
  enum { BYTES_MOST = INT32_MAX / GEMMA_SPACE_BYTES - 2 };
  work w = {.tokenizer = tokenizer};
  bool done;

  *out_tokens = NULL;
  *out_count = 0;
  if (bytes > BYTES_MOST)
    return gemma_fail(WEIR_E_INVALID, "the text has %zu bytes; up to %d are tokenized at once: give a shorter one", bytes,
                      BYTES_MOST);
  w.tokens = malloc((GEMMA_SPACE_BYTES * (bytes + 1) + 1) * sizeof *w.tokens);
  if (!w.tokens) return no_memory(bytes);
  if (with_bos && tokenizer->adds_bos) put_token(&w, tokenizer->bos);
  if (tokenizer->adds_space && bytes > 0)
    done = put_with_space(&w, text, bytes, with_special);
  else
    done = put_text(&w, text, bytes, with_special);
  free(w.text);
  free(w.symbol);
  free(w.heap);
  if (!done) {
    free(w.tokens);
    return no_memory(bytes);
  }
  *out_tokens = w.tokens;
  *out_count = w.count;
  return WEIR_OK;
}
