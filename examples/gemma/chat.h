/* SPDX-License-Identifier: MIT */

/* chat.h: questions and answers in the form that instruction-tuned models know. */
#ifndef GEMMA_CHAT_H
#define GEMMA_CHAT_H

#include "tokenizer.h"

/* The tokens of a user's turn and of the beginning of the model's. What the text spells like a
 * control piece stays text. is_first: BOS comes first; else the model's turn before, whose last
 * token was `last`, is ended. *out_tokens is malloc'd. */
weir_status gemma_chat_turn(const gemma_tokenizer *tokenizer, const char *text, size_t bytes, bool is_first, int32_t last,
                            int32_t **out_tokens, uint32_t *out_count);

#endif
