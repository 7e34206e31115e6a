/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_bytes.h"
#include "support.h"
#include "tokenizer.h"

/* Small vocabularies, good and broken. gemma_tokenizer.py compares whole texts. */

#define KEY "tokenizer.ggml."

static const char *path;
static weir_gguf *gguf;
static gemma_tokenizer *tokenizer;

static void setup(void) {
  weir = weir_get_api(WEIR_ABI_MAJOR);
  path = file_in(make_directory(), "vocabulary.gguf");
}

static void teardown(void) {
  gemma_tokenizer_close(tokenizer);
  weir_gguf_close(gguf);
  tokenizer = NULL;
  gguf = NULL;
  remove_directory();
}

/* ---- Vocabularies ---- */

typedef struct piece {
  const char *text;
  int32_t type;
  float score;
} piece;

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

static const piece common[] = {
    {"<bos>", CONTROL, 0},  {"<eos>", CONTROL, 0},   {"<end_of_turn>", CONTROL, 0},
    {"<unk>", UNKNOWN, 0},  {"\n", USER_DEFINED, 0}, {"<b>", USER_DEFINED, 0},
    {"a", NORMAL, -10},     {"b", NORMAL, -10},      {"\xe2\x96\x81", NORMAL, -10},
    {"aa", NORMAL, -2},     {"ab", NORMAL, -1},      {"aab", NORMAL, -3},
    {"\xe2\x96\x81" "a", NORMAL, -4}, {"bb", UNUSED, 0},
};

enum { COMMON = sizeof common / sizeof common[0], TOKENS = COMMON + 256 };

enum { BOS, EOS, END_OF_TURN, UNK, NEWLINE, BOLD, A, B, SPACE, AA, AB, AAB, SPACE_A, BB };

/* What is wrong with a vocabulary. */
typedef struct fault {
  const char *name; /* of the key that is left out */
  const char *model;
  const char *merge;
  uint32_t scores_short, types_short;
  int32_t byte_missing, type, bos; /* 0: as it should be */
  bool infinite, long_piece, integers;
} fault;

#define FAULT(...) ((fault){__VA_ARGS__})

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static bool wants(const fault *f, const char *key) { return !f->name || strcmp(f->name, key) != 0; }

static void put_pieces(buffer *b, const fault *f) {
  put_array(b, KEY "tokens", STRING, TOKENS);
  for (int i = 0; i < COMMON; i++) put_text(b, common[i].text);
  for (int i = 0; i < 256; i++) {
    char name[8192];
    snprintf(name, sizeof name, i > 0 && i == f->byte_missing ? "<0x%02X " : "<0x%02X>", (unsigned)i);
    if (f->long_piece) memset(name, 'x', 8000), name[8000] = 0;
    put_text(b, name);
  }
}

static void put_types(buffer *b, const fault *f) {
  put_array(b, KEY "token_type", I32, TOKENS - f->types_short);
  for (uint32_t i = 0; i < TOKENS - f->types_short; i++) {
    int32_t type = i < COMMON ? common[i].type : BYTE;
    put_number(b, (uint32_t)(i == A && f->type ? f->type : type), 4);
  }
}

static void put_scores(buffer *b, const fault *f) {
  put_array(b, KEY "scores", F32, TOKENS - f->scores_short);
  for (uint32_t i = 0; i < TOKENS - f->scores_short; i++)
    put_number(b, i == A && f->infinite ? 0x7f800000 : i < COMMON ? bits_of(common[i].score) : 0, 4);
}

static void put_integers(buffer *b) {
  put_array(b, KEY "tokens", I32, TOKENS);
  for (int i = 0; i < TOKENS; i++) put_number(b, 0, 4);
}

static void put_merges(buffer *b, const fault *f) {
  put_array(b, KEY "merges", STRING, 3);
  put_text(b, f->merge ? f->merge : "a a");
  put_text(b, "aa b");
  put_text(b, "a b");
}

static weir_status open_vocabulary(const fault *f) {
  buffer b = {0};
  const char *model = f->model ? f->model : "llama";
  uint64_t keys = 7 - (f->name != NULL);
  put_header(&b, 3, 0, keys);
  if (wants(f, KEY "model")) put_key(&b, KEY "model", STRING), put_text(&b, model);
  if (wants(f, KEY "tokens")) f->integers ? put_integers(&b) : put_pieces(&b, f);
  if (wants(f, KEY "token_type")) put_types(&b, f);
  if (wants(f, KEY "scores")) put_scores(&b, f);
  if (wants(f, KEY "merges")) put_merges(&b, f);
  if (wants(f, KEY "bos_token_id")) put_key(&b, KEY "bos_token_id", I32), put_number(&b, (uint32_t)f->bos, 4);
  if (wants(f, KEY "eos_token_id")) put_key(&b, KEY "eos_token_id", U32), put_number(&b, EOS, 4);
  write_file(path, b.data, b.size);
  free(b.data);
  ASSERT_OK(weir_gguf_open(path, &gguf));
  return gemma_tokenizer_open(gguf, &tokenizer);
}

static void open_good(const char *model) {
  weir_status status = open_vocabulary(&FAULT(.model = model));
  ck_assert_msg(status == WEIR_OK, "%s", gemma_error(status));
}

#define REFUSED(status, fault_, ...)                                                                          \
  do {                                                                                                        \
    weir_status found = open_vocabulary(&fault_);                                                             \
    ck_assert_int_eq(found, status);                                                                          \
    ck_assert_ptr_null(tokenizer);                                                                            \
    assert_names(gemma_error(found), __FILE__, __LINE__, (const char *const[]){__VA_ARGS__, NULL});           \
  } while (0)

/* ---- Refusals ---- */

START_TEST(other_models_are_refused_by_name) {
  REFUSED(WEIR_E_UNSUPPORTED, FAULT(.model = "bert"), KEY "model", "bert", "llama", "gemma4");
}
END_TEST

START_TEST(missing_keys_are_named) {
  static const char *const keys[] = {KEY "model", KEY "tokens", KEY "token_type", KEY "scores"};
  REFUSED(WEIR_E_NOTFOUND, FAULT(.name = keys[_i]), keys[_i], path);
}
END_TEST

START_TEST(missing_merges_are_named) {
  REFUSED(WEIR_E_NOTFOUND, FAULT(.name = KEY "merges", .model = "gemma4"), KEY "merges", path);
}
END_TEST

START_TEST(missing_bos_is_named) {
  REFUSED(WEIR_E_FORMAT, FAULT(.name = KEY "bos_token_id"), KEY "bos_token_id");
}
END_TEST

START_TEST(short_arrays_are_refused) {
  if (_i == 0)
    REFUSED(WEIR_E_FORMAT, FAULT(.scores_short = 2), KEY "scores", "268", KEY "tokens", "270");
  else
    REFUSED(WEIR_E_FORMAT, FAULT(.types_short = 1), KEY "token_type", "269", KEY "tokens", "270");
}
END_TEST

START_TEST(pieces_must_be_texts) { REFUSED(WEIR_E_TYPE, FAULT(.integers = true), KEY "tokens", path); }
END_TEST

START_TEST(every_byte_has_a_piece) { REFUSED(WEIR_E_FORMAT, FAULT(.byte_missing = 0xe2), "<0xE2>", "byte"); }
END_TEST

START_TEST(unknown_types_are_refused) {
  REFUSED(WEIR_E_FORMAT, FAULT(.type = _i ? 7 : -1), KEY "token_type", _i ? "7" : "-1", "6", "piece 6");
}
END_TEST

START_TEST(infinite_scores_are_refused) { REFUSED(WEIR_E_FORMAT, FAULT(.infinite = true), KEY "scores", "piece 6"); }
END_TEST

START_TEST(endless_pieces_are_refused) {
  REFUSED(WEIR_E_FORMAT, FAULT(.long_piece = true), KEY "tokens", "8000", "4095");
}
END_TEST

START_TEST(special_tokens_are_in_the_vocabulary) {
  REFUSED(WEIR_E_FORMAT, FAULT(.bos = _i ? TOKENS : -2), KEY "bos_token_id", _i ? "270" : "-2", "269");
}
END_TEST

START_TEST(merges_join_two_pieces) {
  static const char *const merges[] = {"", " ", "ab", "a ", " b", "  "};
  REFUSED(WEIR_E_FORMAT, FAULT(.merge = merges[_i], .model = "gemma4"), KEY "merges", "entry 0");
}
END_TEST

/* ---- Texts ---- */

static void assert_tokens(const char *text, bool with_bos, bool with_special, uint32_t count, const int32_t *wanted) {
  int32_t *tokens;
  uint32_t found;
  weir_status status = gemma_tokenize(tokenizer, text, strlen(text), with_bos, with_special, &tokens, &found);
  ck_assert_msg(status == WEIR_OK, "%s", gemma_error(status));
  ck_assert_msg(found == count, "'%s' is %u tokens, not %u", text, found, count);
  for (uint32_t i = 0; i < count; i++)
    ck_assert_msg(tokens[i] == wanted[i], "token %u of '%s' is %d, not %d", i, text, tokens[i], wanted[i]);
  free(tokens);
}

#define LIST(...) sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (const int32_t[]){__VA_ARGS__}
#define BYTE_TOKEN(value) (COMMON + (value))

/* The file does not say otherwise: a space comes first. */
START_TEST(highest_score_is_joined_first) {
  open_good("llama");
  assert_tokens("", true, true, LIST(BOS));
  assert_tokens("a", false, false, LIST(SPACE_A));
  assert_tokens("\naab", false, false, LIST(SPACE, NEWLINE, AAB));
  assert_tokens("\naaab", false, false, LIST(SPACE, NEWLINE, AA, AB));
  assert_tokens("\naaa", false, false, LIST(SPACE, NEWLINE, AA, A));
  assert_tokens("\nbb", false, false, LIST(SPACE, NEWLINE, B, B));
  assert_tokens("\n<b>", false, false, LIST(SPACE, NEWLINE, BOLD));
  assert_tokens("\n<b", false, false, LIST(SPACE, NEWLINE, BYTE_TOKEN('<'), B));
}
END_TEST

START_TEST(lowest_rank_is_joined_first) {
  open_good("gemma4");
  assert_tokens("aab", false, false, LIST(AAB));
  assert_tokens("aaa", false, false, LIST(AA, A));
  assert_tokens("ab", true, false, LIST(BOS, AB));
  assert_tokens(" a", false, false, LIST(SPACE, A));
  assert_tokens("a\nb", false, false, LIST(A, NEWLINE, B));
}
END_TEST

START_TEST(control_pieces_are_text_unless_asked_for) {
  open_good("gemma4");
  assert_tokens("a<eos>b", true, true, LIST(BOS, A, EOS, B));
  assert_tokens("<eos>", false, false, LIST(BYTE_TOKEN('<'), BYTE_TOKEN('e'), BYTE_TOKEN('o'), BYTE_TOKEN('s'),
                                            BYTE_TOKEN('>')));
  assert_tokens("<unk>", false, true, LIST(BYTE_TOKEN('<'), BYTE_TOKEN('u'), BYTE_TOKEN('n'), BYTE_TOKEN('k'),
                                           BYTE_TOKEN('>')));
}
END_TEST

START_TEST(broken_utf8_is_spelled) {
  open_good("gemma4");
  assert_tokens("\xe2\x96" "a", false, false, LIST(BYTE_TOKEN(0xe2), BYTE_TOKEN(0x96), A));
  assert_tokens("\xff", false, false, LIST(BYTE_TOKEN(0xff)));
  assert_tokens("\xc3\xa9", false, false, LIST(BYTE_TOKEN(0xc3), BYTE_TOKEN(0xa9)));
}
END_TEST

START_TEST(endless_texts_are_refused) {
  int32_t *tokens = (int32_t *)path;
  uint32_t count = 7;
  open_good("llama");
  ck_assert_int_eq(gemma_tokenize(tokenizer, "a", (size_t)INT32_MAX, false, false, &tokens, &count), WEIR_E_INVALID);
  ck_assert_ptr_null(tokens);
  ck_assert_uint_eq(count, 0);
  assert_names(gemma_error(WEIR_E_INVALID), __FILE__, __LINE__, (const char *const[]){"2147483647", "shorter", NULL});
}
END_TEST

static void assert_text(int32_t token, const char *wanted, size_t bytes) {
  const char *text = NULL;
  ck_assert_uint_eq(gemma_token_text(tokenizer, token, &text), bytes);
  ck_assert_ptr_nonnull(text);
  ck_assert_mem_eq(text, wanted, bytes);
}

START_TEST(tokens_have_texts) {
  open_good("llama");
  ck_assert_uint_eq(gemma_vocabulary(tokenizer), TOKENS);
  assert_text(AAB, "aab", 3);
  assert_text(SPACE_A, " a", 2);
  assert_text(NEWLINE, "\n", 1);
  assert_text(BYTE_TOKEN(0), "", 1);
  assert_text(BYTE_TOKEN(0xff), "\xff", 1);
  assert_text(BOS, "", 0);
  assert_text(UNK, "", 0);
  assert_text(-1, "", 0);
  assert_text(TOKENS, "", 0);
  assert_text(INT32_MIN, "", 0);
}
END_TEST

START_TEST(tokens_are_found_by_name) {
  open_good("llama");
  ck_assert_int_eq(gemma_token_find(tokenizer, "<end_of_turn>"), END_OF_TURN);
  ck_assert_int_eq(gemma_token_find(tokenizer, "\xe2\x96\x81" "a"), SPACE_A);
  ck_assert_int_eq(gemma_token_find(tokenizer, "<0x00>"), BYTE_TOKEN(0));
  ck_assert_int_eq(gemma_token_find(tokenizer, "<turn|>"), -1);
  ck_assert_int_eq(gemma_token_find(tokenizer, ""), -1);
}
END_TEST

START_TEST(generation_ends) {
  open_good("llama");
  for (int32_t i = -2; i <= TOKENS; i++)
    ck_assert_msg(gemma_token_ends(tokenizer, i) == (i == EOS || i == END_OF_TURN), "token %d", i);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("tokenizer");
  TCase *refusals = tcase_create("refusals"), *texts = tcase_create("texts");
  tcase_add_checked_fixture(refusals, setup, teardown);
  tcase_add_checked_fixture(texts, setup, teardown);
  tcase_add_test(refusals, other_models_are_refused_by_name);
  tcase_add_loop_test(refusals, missing_keys_are_named, 0, 4);
  tcase_add_test(refusals, missing_merges_are_named);
  tcase_add_test(refusals, missing_bos_is_named);
  tcase_add_loop_test(refusals, short_arrays_are_refused, 0, 2);
  tcase_add_test(refusals, pieces_must_be_texts);
  tcase_add_test(refusals, every_byte_has_a_piece);
  tcase_add_loop_test(refusals, unknown_types_are_refused, 0, 2);
  tcase_add_test(refusals, infinite_scores_are_refused);
  tcase_add_test(refusals, endless_pieces_are_refused);
  tcase_add_loop_test(refusals, special_tokens_are_in_the_vocabulary, 0, 2);
  tcase_add_loop_test(refusals, merges_join_two_pieces, 0, 6);
  tcase_add_test(texts, highest_score_is_joined_first);
  tcase_add_test(texts, lowest_rank_is_joined_first);
  tcase_add_test(texts, control_pieces_are_text_unless_asked_for);
  tcase_add_test(texts, broken_utf8_is_spelled);
  tcase_add_test(texts, endless_texts_are_refused);
  tcase_add_test(texts, tokens_have_texts);
  tcase_add_test(texts, tokens_are_found_by_name);
  tcase_add_test(texts, generation_ends);
  suite_add_tcase(suite, refusals);
  suite_add_tcase(suite, texts);
  return run_suite(suite);
}
