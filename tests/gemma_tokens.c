/* SPDX-License-Identifier: MIT */

/* gemma_tokens MODEL.gguf: answers each line of stdin with one line. Bytes are in hexadecimal.
 *   t BYTES   tokens of the text       s BYTES   with control pieces as tokens
 *   b BYTES   with BOS                 x TOKEN   bytes of a token, and " ends" where generation ends */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer.h"

static int failed(weir_status status) {
  fprintf(stderr, "gemma_tokens: %s: %s\n", weir->status_name(status), gemma_error(status));
  return 1;
}

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* In place. */
static size_t from_hex(char *text) {
  size_t bytes = 0;
  for (; text[2 * bytes] && text[2 * bytes] != '\n'; bytes++)
    text[bytes] = (char)(16 * digit(text[2 * bytes]) + digit(text[2 * bytes + 1]));
  return bytes;
}

static weir_status answer_tokens(const gemma_tokenizer *tokenizer, char kind, char *text) {
  int32_t *tokens;
  uint32_t count;
  size_t bytes = from_hex(text);
  weir_status status = gemma_tokenize(tokenizer, text, bytes, kind == 'b', kind == 's', &tokens, &count);
  for (uint32_t i = 0; i < count; i++) printf("%d ", tokens[i]);
  putchar('\n');
  free(tokens);
  return status;
}

static void answer_text(const gemma_tokenizer *tokenizer, int32_t token) {
  const char *text;
  size_t bytes = gemma_token_text(tokenizer, token, &text);
  for (size_t i = 0; i < bytes; i++) printf("%02x", (unsigned char)text[i]);
  puts(gemma_token_ends(tokenizer, token) ? " ends" : "");
}

int main(int argc, char **argv) {
  weir_gguf *gguf = NULL;
  gemma_tokenizer *tokenizer = NULL;
  char *line = NULL;
  size_t room = 0;
  if (argc != 2) return 2;
  weir = weir_get_api(WEIR_ABI_MAJOR);
  weir_status status = weir_gguf_open(argv[1], &gguf);
  if (!status) status = gemma_tokenizer_open(gguf, &tokenizer);
  while (!status && getline(&line, &room, stdin) > 2) {
    if (line[0] == 'x')
      answer_text(tokenizer, atoi(line + 2));
    else
      status = answer_tokens(tokenizer, line[0], line + 2);
  }
  free(line);
  gemma_tokenizer_close(tokenizer);
  weir_gguf_close(gguf);
  return status ? failed(status) : 0;
}
