/* SPDX-License-Identifier: MIT */
#include "chat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generate.h"
#include "report.h"

/* How a family of models marks turns. */
typedef struct marks {
  const char *begin, *end;
} marks;

static const marks families[] = {{"<start_of_turn>", "<end_of_turn>"}, {"<|turn>", "<turn|>"}};

static weir_status find_marks(const gemma_tokenizer *tokenizer, const marks **out_marks) {
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
    *out_marks = &families[i];
    if (gemma_token_find(tokenizer, families[i].begin) >= 0 && gemma_token_find(tokenizer, families[i].end) >= 0)
      return WEIR_OK;
  }
  return gemma_fail(WEIR_E_UNSUPPORTED, "the model's vocabulary has no tokens that mark turns, so --chat is not for it");
}

typedef struct turn {
  const gemma_tokenizer *tokenizer;
  int32_t *tokens;
  uint32_t count;
  weir_status status;
} turn;

static void append_tokens(turn *turn, const int32_t *tokens, uint32_t count) {
  int32_t *larger = realloc(turn->tokens, (turn->count + count + 1) * sizeof *larger);
  if (!larger) {
    turn->status = gemma_fail(WEIR_E_NOMEM, "no memory for %u tokens", turn->count + count);
    return;
  }
  turn->tokens = larger;
  memcpy(larger + turn->count, tokens, count * sizeof *tokens);
  turn->count += count;
}

static void append_text(turn *turn, const char *text, size_t bytes, bool with_bos, bool with_special) {
  int32_t *tokens;
  uint32_t count;
  if (turn->status) return;
  turn->status = gemma_tokenize(turn->tokenizer, text, bytes, with_bos, with_special, &tokens, &count);
  if (turn->status) return;
  append_tokens(turn, tokens, count);
  free(tokens);
}

static void append_marks(turn *turn, bool with_bos, const char *first, const char *second, const char *third) {
  char text[96];
  snprintf(text, sizeof text, "%s%s%s", first, second, third);
  append_text(turn, text, strlen(text), with_bos, true);
}

weir_status gemma_chat_turn(const gemma_tokenizer *tokenizer, const char *text, size_t bytes, bool is_first, int32_t last,
                            int32_t **out_tokens, uint32_t *out_count) {
  const marks *marks;
  turn turn = {.tokenizer = tokenizer};
  *out_tokens = NULL;
  *out_count = 0;
  turn.status = find_marks(tokenizer, &marks);
  if (turn.status) return turn.status;
  if (!is_first) {
    append_tokens(&turn, &last, 1);
    append_marks(&turn, false, gemma_token_ends(tokenizer, last) ? "" : marks->end, "\n", "");
  }
  /* As the models' template has it. */
  for (; bytes && isspace((unsigned char)*text); bytes--) text++;
  while (bytes && isspace((unsigned char)text[bytes - 1])) bytes--;
  append_marks(&turn, is_first, marks->begin, "user\n", "");
  append_text(&turn, text, bytes, false, false);
  append_marks(&turn, false, marks->end, "\n", marks->begin);
  append_text(&turn, "model\n", strlen("model\n"), false, false);
  if (turn.status) {
    free(turn.tokens);
    return turn.status;
  }
  *out_tokens = turn.tokens;
  *out_count = turn.count;
  return WEIR_OK;
}

/* ---- A conversation ------------------------------------------------------ */

/* The answer, to stdout; *out_last is the last token chosen, which the caches do not have yet. */
static weir_status answer(gemma_job *job, const int32_t *tokens, uint32_t count, int32_t *out_last) {
  gemma_session *session = job->session;
  weir_status status = gemma_prefill(session, tokens, count, out_last);
  for (uint32_t i = 1; !status && !gemma_token_ends(job->tokenizer, *out_last); i++) {
    const char *text;
    size_t bytes = gemma_token_text(job->tokenizer, *out_last, &text);
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
    if (i >= job->args->new_tokens || session->position == session->options.context) break;
    status = gemma_decode(session, out_last);
  }
  putchar('\n');
  return status;
}

weir_status gemma_chat(gemma_job *job) {
  char *line = NULL;
  size_t size = 0;
  int32_t last = -1;
  const marks *unused;
  weir_status status = find_marks(job->tokenizer, &unused);
  if (!status) status = gemma_job_open(job, gemma_job_context(job, 0), 1);
  if (status) return status;
  gemma_report_plugins(job->session);
  for (bool is_first = true; !status; is_first = false) {
    int32_t *tokens;
    uint32_t count;
    if (isatty(STDIN_FILENO)) fputs("> ", stderr);
    ssize_t length = getline(&line, &size, stdin);
    if (length < 0) break;
    if (length && line[length - 1] == '\n') length--;
    status = gemma_chat_turn(job->tokenizer, line, (size_t)length, is_first, last, &tokens, &count);
    if (!status) status = answer(job, tokens, count, &last);
    free(tokens);
  }
  free(line);
  return status ? status : gemma_finish_output();
}
