/* SPDX-License-Identifier: MIT */

/* roofline.h: how fast a device reads memory when it does nothing else. */
#ifndef GEMMA_ROOFLINE_H
#define GEMMA_ROOFLINE_H

#include "session.h"

/* Bytes a second of a plain read of the session's largest matrices, the best of several. On CUDA
 * by the kernel plain_read of libweir, on the CPU by as many threads as weir uses. */
weir_status gemma_roofline(const gemma_session *session, double *out_bandwidth);

#endif
