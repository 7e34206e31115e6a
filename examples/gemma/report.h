/* SPDX-License-Identifier: MIT */

/* report.h: what a session uses and how long it took, for people and as JSON. */
#ifndef GEMMA_REPORT_H
#define GEMMA_REPORT_H

#include "json.h"
#include "session.h"

/* Model, device, and which plugin has which operation, to stderr. */
void gemma_report_plugins(const gemma_session *session);
/* A member of the open object. */
void gemma_json_number(struct json *json, const char *key, double value);
/* Members of the open object: model, device, context, chunk, plugins. */
void gemma_json_session(struct json *json, const gemma_session *session);
/* Time of each operation of the session's profile, to stderr, or as member "profile". */
void gemma_report_profile(const gemma_session *session);
void gemma_json_profile(struct json *json, const gemma_session *session);

#endif
