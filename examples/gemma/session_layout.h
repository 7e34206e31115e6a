/* SPDX-License-Identifier: MIT */

/* session_layout.h: the parts of gemma_session_open, in the order of their call. */
#ifndef GEMMA_SESSION_LAYOUT_H
#define GEMMA_SESSION_LAYOUT_H

#include "session.h"

/* Geometries and their attentions. */
weir_status gemma_session_plan(gemma_session *session);
/* Sums up what is needed, compares it with what the device has, and allocates all of it at once. */
weir_status gemma_session_allocate(gemma_session *session);
/* Frequencies, and zeroed workspaces. */
weir_status gemma_session_prepare(gemma_session *session);
/* What gemma_session_plan made. */
void gemma_session_release(gemma_session *session);

#endif
