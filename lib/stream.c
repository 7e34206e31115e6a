/* SPDX-License-Identifier: MIT */

/* Streams, events, graphs and kernels of CUDA devices, for hosts that do not link CUDA. */
#include "config.h"

#include <stdlib.h>

#include "cuda_device.h"

struct weir_event {
  weir_device *device;
  CUevent event;
};
struct weir_graph {
  weir_device *device;
  CUgraphExec executable;
};

/* Checks that the device is a CUDA device of this machine, and enters it. */
static weir_status enter(const weir_device *device, const char *call, struct device_scope *out_scope) {
  if (!device) return weir_fail(WEIR_E_NULL, "%s: device is null", call);
  if (device->info.kind != WEIR_DEVICE_CUDA)
    return weir_fail(WEIR_E_UNSUPPORTED, "%s: %s is not a CUDA device; the CPU has no streams, events, graphs or kernels",
                     call, device->info.name);
  if (!device->cuda)
    return weir_fail(WEIR_E_NODEVICE, "%s: %s is a description, not a device of this machine", call,
                     device->info.name);
  return device_enter(device, out_scope);
}

/* Leaves the device and turns the driver's answer into a status. */
static weir_status leave(const weir_device *device, struct device_scope scope, CUresult result, const char *what) {
  weir_status status = result ? cuda_fail(device->cuda->driver, result, "%s", what) : WEIR_OK;
  device_leave(device, scope);
  return status;
}

weir_status weir_stream_create(weir_device *device, weir_stream *out_stream) {
  enum { NON_BLOCKING = 1 };
  if (!out_stream) return weir_fail(WEIR_E_NULL, "weir_stream_create: out_stream is null");
  *out_stream = NULL;
  struct device_scope scope;
  weir_status status = enter(device, "weir_stream_create", &scope);
  if (status) return status;
  CUstream stream = NULL;
  CUresult result = device->cuda->driver->cuStreamCreate(&stream, NON_BLOCKING);
  *out_stream = stream;
  return leave(device, scope, result, "creating a stream");
}

void weir_stream_destroy(weir_device *device, weir_stream stream) {
  struct device_scope scope;
  if (!stream || !device || !device->cuda || device_enter_to_free(device, &scope)) return;
  device->cuda->driver->cuStreamDestroy_v2(stream);
  device_leave(device, scope);
}

weir_status weir_event_create(weir_device *device, weir_event **out_event) {
  if (!out_event) return weir_fail(WEIR_E_NULL, "weir_event_create: out_event is null");
  *out_event = NULL;
  struct device_scope scope;
  weir_status status = enter(device, "weir_event_create", &scope);
  if (status) return status;
  weir_event *event = calloc(1, sizeof *event);
  if (!event) {
    device_leave(device, scope);
    return weir_fail(WEIR_E_NOMEM, "no memory for an event");
  }
  status = leave(device, scope, device->cuda->driver->cuEventCreate(&event->event, 0), "creating an event");
  if (status) {
    free(event);
    return status;
  }
  event->device = device;
  device_retain(device);
  *out_event = event;
  return WEIR_OK;
}

void weir_event_destroy(weir_event *event) {
  if (!event) return;
  struct device_scope scope;
  if (!device_enter_to_free(event->device, &scope)) {
    event->device->cuda->driver->cuEventDestroy_v2(event->event);
    device_leave(event->device, scope);
  }
  device_release(event->device);
  free(event);
}

weir_status weir_event_record(weir_event *event, weir_stream stream) {
  if (!event) return weir_fail(WEIR_E_NULL, "weir_event_record: event is null");
  struct device_scope scope;
  weir_status status = enter(event->device, "weir_event_record", &scope);
  if (status) return status;
  return leave(event->device, scope, event->device->cuda->driver->cuEventRecord(event->event, stream),
               "recording an event");
}

weir_status weir_event_elapsed(weir_event *begin, weir_event *end, float *out_milliseconds) {
  if (!out_milliseconds) return weir_fail(WEIR_E_NULL, "weir_event_elapsed: out_milliseconds is null");
  *out_milliseconds = 0;
  if (!begin || !end) return weir_fail(WEIR_E_NULL, "weir_event_elapsed: %s is null", begin ? "end" : "begin");
  struct device_scope scope;
  weir_status status = enter(end->device, "weir_event_elapsed", &scope);
  if (status) return status;
  const struct cuda_driver *driver = end->device->cuda->driver;
  CUresult result = driver->cuEventSynchronize(end->event);
  if (!result) result = driver->cuEventElapsedTime(out_milliseconds, begin->event, end->event);
  return leave(end->device, scope, result, "measuring between two events");
}

weir_status weir_capture_begin(weir_device *device, weir_stream stream) {
  enum { THREAD_LOCAL = 1 };
  struct device_scope scope;
  weir_status status = enter(device, "weir_capture_begin", &scope);
  if (status) return status;
  return leave(device, scope, device->cuda->driver->cuStreamBeginCapture_v2(stream, THREAD_LOCAL),
               stream ? "beginning a capture" : "beginning a capture (of the default stream; create one of your own)");
}

weir_status weir_capture_end(weir_device *device, weir_stream stream, weir_graph **out_graph) {
  if (!out_graph) return weir_fail(WEIR_E_NULL, "weir_capture_end: out_graph is null");
  *out_graph = NULL;
  struct device_scope scope;
  weir_status status = enter(device, "weir_capture_end", &scope);
  if (status) return status;
  const struct cuda_driver *driver = device->cuda->driver;
  CUgraph captured = NULL;
  CUgraphExec executable = NULL;
  CUresult result = driver->cuStreamEndCapture(stream, &captured);
  if (!result) result = driver->cuGraphInstantiateWithFlags(&executable, captured, 0);
  if (captured) driver->cuGraphDestroy(captured);
  status = leave(device, scope, result, "ending a capture");
  if (status) return status;
  weir_graph *graph = calloc(1, sizeof *graph);
  if (!graph) return weir_fail(WEIR_E_NOMEM, "no memory for a graph");
  graph->device = device;
  graph->executable = executable;
  device_retain(device);
  *out_graph = graph;
  return WEIR_OK;
}

weir_status weir_graph_launch(weir_graph *graph, weir_stream stream) {
  if (!graph) return weir_fail(WEIR_E_NULL, "weir_graph_launch: graph is null");
  struct device_scope scope;
  weir_status status = enter(graph->device, "weir_graph_launch", &scope);
  if (status) return status;
  return leave(graph->device, scope, graph->device->cuda->driver->cuGraphLaunch(graph->executable, stream),
               "launching a graph");
}

void weir_graph_destroy(weir_graph *graph) {
  if (!graph) return;
  struct device_scope scope;
  if (!device_enter_to_free(graph->device, &scope)) {
    graph->device->cuda->driver->cuGraphExecDestroy(graph->executable);
    device_leave(graph->device, scope);
  }
  device_release(graph->device);
  free(graph);
}

weir_status weir_kernel_get(weir_device *device, const char *ptx, const char *entry, uint32_t most_shared_bytes,
                            const weir_kernel **out_kernel) {
  if (!out_kernel) return weir_fail(WEIR_E_NULL, "weir_kernel_get: out_kernel is null");
  *out_kernel = NULL;
  if (!ptx || !entry) return weir_fail(WEIR_E_NULL, "weir_kernel_get: %s is null", ptx ? "entry" : "ptx");
  struct device_scope scope;
  weir_status status = enter(device, "weir_kernel_get", &scope);
  if (status) return status;
  status = cuda_kernel_get(device, NULL, ptx, entry, most_shared_bytes, out_kernel);
  device_leave(device, scope);
  return status;
}

weir_status launch_check(const weir_launch *launch, weir_launch *out_known) {
  weir_status status = weir_struct_in(out_known, sizeof *out_known, launch, sizeof *out_known, "weir_launch");
  if (status) return status;
  uint32_t unknown = out_known->flags & ~(uint32_t)WEIR_LAUNCH_PROGRAMMATIC;
  if (unknown)
    return weir_fail(WEIR_E_FLAGS, "weir_launch.flags has unknown bits 0x%x; clear them or install a newer libweir",
                     unknown);
  for (int i = 0; i < 3; i++)
    if (!out_known->grid[i] || !out_known->block[i])
      return weir_fail(WEIR_E_SHAPE, "weir_launch.%s[%d] is 0; it must be at least 1",
                       out_known->grid[i] ? "block" : "grid", i);
  return WEIR_OK;
}

weir_status weir_kernel_launch(weir_device *device, const weir_kernel *kernel, const weir_launch *launch,
                               void *const *params, weir_stream stream) {
  if (!kernel) return weir_fail(WEIR_E_NULL, "weir_kernel_launch: kernel is null");
  weir_launch known;
  weir_status status = launch_check(launch, &known);
  struct device_scope scope;
  if (!status) status = enter(device, "weir_kernel_launch", &scope);
  if (status) return status;
  status = cuda_kernel_launch(kernel, &known, params, stream);
  device_leave(device, scope);
  return status;
}
