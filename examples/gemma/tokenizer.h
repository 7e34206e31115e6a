/* SPDX-License-Identifier: MIT */

/* tokenizer.h: SentencePiece-style BPE from the vocabulary in a GGUF file. */
#ifndef GEMMA_TOKENIZER_H
#define GEMMA_TOKENIZER_H

#include "library.h"

typedef struct gemma_tokenizer gemma_tokenizer;

/* The file must stay open as long as the tokenizer. Checks that scores, types and pieces are of
 * one length, that the 256 byte pieces are there, and that every special id is in the vocabulary. */
weir_status gemma_tokenizer_open(const weir_gguf *gguf, gemma_tokenizer **out_tokenizer);
void gemma_tokenizer_close(gemma_tokenizer *tokenizer);

/* Tokens of text (any bytes). with_bos: begins with BOS where the file asks for one. with_special: control
 * pieces such as <start_of_turn> that stand in the text become their token, else they are text.
 * *out_tokens is malloc'd. */
weir_status gemma_tokenize(const gemma_tokenizer *tokenizer, const char *text, size_t bytes, bool with_bos, bool with_special,
                           int32_t **out_tokens, uint32_t *out_count);
/* The bytes that a token stands for; 0 for control tokens. Valid as long as the tokenizer. */
size_t gemma_token_text(const gemma_tokenizer *tokenizer, int32_t token, const char **out_text);
/* Whether generation ends there: EOS, and <end_of_turn> where there is one. */
bool gemma_token_ends(const gemma_tokenizer *tokenizer, int32_t token);
uint32_t gemma_vocabulary(const gemma_tokenizer *tokenizer);
/* The id of a piece by its exact text, -1 when there is none. */
int32_t gemma_token_find(const gemma_tokenizer *tokenizer, const char *piece);

#endif
