/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "synth.h"

enum { SPECIAL = 5, BYTES = 256, CHARACTERS = 95 };
enum { KIND_NORMAL = 1, KIND_CONTROL = 3, KIND_BYTE = 6 };

/* SentencePiece's mark for a space, U+2581. */
#define SPACE "\xe2\x96\x81"

/* "a" for 0, "z" for 25, "aa" for 26, and so on: each number a word of its own. */
static void spell(uint32_t number, char *out_word) {
  char reversed[16];
  int length = 0;
  for (uint64_t n = (uint64_t)number + 1; n > 0; n = (n - 1) / 26) reversed[length++] = (char)('a' + (n - 1) % 26);
  while (length > 0) *out_word++ = reversed[--length];
  *out_word = '\0';
}

static void token_text(uint32_t token, char out_text[32]) {
  static const char *const special[SPECIAL] = {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>"};
  if (token < SPECIAL) {
    strcpy(out_text, special[token]);
  } else if (token < SPECIAL + BYTES) {
    snprintf(out_text, 32, "<0x%02X>", token - SPECIAL);
  } else if (token < SPECIAL + BYTES + CHARACTERS) {
    char character = (char)(' ' + (token - SPECIAL - BYTES));
    if (character == ' ') {
      strcpy(out_text, SPACE);
    } else {
      out_text[0] = character;
      out_text[1] = '\0';
    }
  } else {
    strcpy(out_text, SPACE);
    spell(token - SPECIAL - BYTES - CHARACTERS, out_text + strlen(SPACE));
  }
}

void synth_put_vocabulary(struct synth_file *file, uint32_t count) {
  synth_put_array(file, "tokenizer.ggml.tokens", SYNTH_ARRAY_STRING, count);
  for (uint32_t i = 0; i < count; i++) {
    char text[32];
    token_text(i, text);
    synth_put_text(file, text);
  }
  synth_put_array(file, "tokenizer.ggml.scores", SYNTH_ARRAY_F32, count);
  for (uint32_t i = 0; i < count; i++) {
    float score = i < SPECIAL ? -1000.0f : i < SPECIAL + BYTES ? 0.0f : -(float)(i - SPECIAL - BYTES);
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    synth_put_number(file, bits, 4);
  }
  synth_put_array(file, "tokenizer.ggml.token_type", SYNTH_ARRAY_I32, count);
  for (uint32_t i = 0; i < count; i++)
    synth_put_number(file, i < SPECIAL ? KIND_CONTROL : i < SPECIAL + BYTES ? KIND_BYTE : KIND_NORMAL, 4);
}
