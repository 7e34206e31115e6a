/* SPDX-License-Identifier: MIT */

/* Capturing what a case enqueues, and running it again from the graph. */

#include "conform_case.h"

int conform_wants_graph(const struct conform *c, const weir_device *device) {
  return c->options->graph && device == c->device;
}

int conform_can_graph(struct conform *c, uint32_t properties) {
  if (properties & WEIR_GRAPH_SAFE) {
    return 1;
  }
  snprintf(c->detail, sizeof c->detail, "the plan does not declare WEIR_GRAPH_SAFE");
  return 0;
}

int conform_capture(struct conform *c, conform_enqueue_fn enqueue, const void *object, weir_graph **out_graph) {
  *out_graph = NULL;
  weir_status status = weir_capture_begin(c->device, c->stream);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "graph", "weir_capture_begin", status);
  }
  status = enqueue(object, c->stream);
  if (status != WEIR_OK) {
    conform_fail_call(c, "graph", "a call under capture", status);
  }
  weir_graph *graph = NULL;
  weir_status ended = weir_capture_end(c->device, c->stream, &graph); /* also after a failure: it ends the capture */
  if (ended == WEIR_OK && conform_keep(c, (struct garbage){.graph = graph})) {
    return -1;
  }
  if (status != WEIR_OK) {
    return -1;
  }
  if (ended != WEIR_OK) {
    return conform_fail_call(c, "graph", "weir_capture_end", ended);
  }
  *out_graph = graph;
  return 0;
}

int conform_replay(struct conform *c, weir_graph *graph) {
  weir_status status = weir_graph_launch(graph, c->stream);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "graph", "weir_graph_launch", status);
  }
  status = weir_synchronize(c->device, c->stream);
  return status == WEIR_OK ? 0 : conform_fail_call(c, "graph", "weir_synchronize after a replay", status);
}
