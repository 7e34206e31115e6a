// SPDX-License-Identifier: MIT
#include "selftest.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

driver_functions cu;

void check_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: failed: %s\n", file, line, condition);
  if (cu.message && *cu.message()) fprintf(stderr, "the driver's message: %s\n", cu.message());
  exit(1);
}

void check_code(CUresult got, CUresult want, const char *call, const char *file, int line) {
  if (got == want) return;
  fprintf(stderr, "%s gave %d instead of %d\n", call, got, want);
  check_failed("the code", file, line);
}

std::string library_path(const char *file) {
  const char *directory = getenv("WEIR_TEST_FAKECUDA");
  if (directory) return std::string(directory) + "/" + file;
  fprintf(stderr, "WEIR_TEST_FAKECUDA must name the directory of libcuda.so.1\n");
  exit(99);
}

void restart_with(const std::vector<std::string> &variables) {
  for (const char *name : {"DEVICES", "DRIVER", "LOG", "FAIL", "SHUFFLE", "RESIDENT"})
    unsetenv((std::string("FAKECUDA_") + name).c_str());
  for (const std::string &v : variables) {
    size_t equals = v.find('=');
    setenv(v.substr(0, equals).c_str(), v.substr(equals + 1).c_str(), 1);
  }
  cu.restart();
}

bool message_has(const char *words) { return strstr(cu.message(), words) != nullptr; }

bool nothing_lives() {
  fakecuda_counts c;
  cu.live(&c);
  return !(c.allocs | c.host_allocs | c.modules | c.contexts | c.streams | c.events | c.graphs | c.graph_execs);
}

child_result in_child(const std::function<void()> &body) {
  int ends[2];
  CHECK(!pipe(ends));
  fflush(nullptr);
  pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    body();
    _exit(0);
  }
  close(ends[1]);
  child_result result = {0, ""};
  char text[4096];
  for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;) result.errors.append(text, (size_t)n);
  close(ends[0]);
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string entry_text(const std::string &name, const std::vector<std::string> &parameters, unsigned threads) {
  std::string text = ".visible .entry " + name + "(\n";
  for (size_t i = 0; i < parameters.size(); i++) {
    size_t bracket = parameters[i].find('[');
    text += "\t.param " + parameters[i].substr(0, bracket) + " " + name + "_param_" + std::to_string(i);
    if (bracket != std::string::npos) text += parameters[i].substr(bracket);
    text += i + 1 < parameters.size() ? ",\n" : "\n";
  }
  return text + ")\n.maxntid " + std::to_string(threads) + ", 1, 1\n{\n\t.reg .b32 %r<2>;\n\tret;\n}\n";
}

std::string ptx_text(const std::string &entries, const std::string &version, const std::string &target) {
  return "//\n// a test\n//\n.version " + version + "\n.target " + target + "\n.address_size 64\n\n" + entries;
}

primary_context::primary_context(int its_ordinal) : ordinal(its_ordinal) {
  CUcontext c;
  CHECK_OK(cu.cuInit(0));
  CHECK_OK(cu.cuDevicePrimaryCtxRetain(&c, ordinal));
  CHECK_OK(cu.cuCtxPushCurrent_v2(c));
}
primary_context::~primary_context() {
  cu.cuCtxPopCurrent_v2(nullptr);
  cu.cuDevicePrimaryCtxRelease_v2(ordinal);
}

device_buffer::device_buffer(size_t its_bytes) : at(0), bytes(its_bytes) { CHECK_OK(cu.cuMemAlloc_v2(&at, bytes)); }
device_buffer::~device_buffer() { cu.cuMemFree_v2(at); }

loaded_kernel::loaded_kernel(const std::string &text, const std::string &name) : module(nullptr), function(nullptr) {
  CHECK_OK(cu.cuModuleLoadDataEx(&module, text.c_str(), 0, nullptr, nullptr));
  CHECK_OK(cu.cuModuleGetFunction(&function, module, name.c_str()));
}
loaded_kernel::~loaded_kernel() { cu.cuModuleUnload(module); }

uint32_t random_bits() {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}

static void load_driver() {
  std::string path = library_path("libcuda.so.1");
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    exit(99);
  }
  auto get = [&](const char *name) {
    void *symbol = dlsym(library, name);
    if (!symbol) fprintf(stderr, "%s is missing\n", name);
    CHECK(symbol);
    return symbol;
  };
#define X(name) cu.name = (decltype(cu.name))get(#name);
  EACH_DRIVER_FUNCTION(X)
#undef X
#define X(name) cu.name = (fakecuda_##name##_fn *)get("fakecuda_" #name);
  X(calls) X(reset) X(restart) X(fail_nth) X(fail_call) X(live) X(message) X(last_launch) X(kernel_threads)
#undef X
}

// With names of tests as arguments, only those.
int main(int count, char **names) {
  static const struct {
    const char *name;
    void (*run)();
  } tests[] = {{"driver", test_driver},   {"faults", test_faults},       {"modules", test_modules},
               {"capture", test_capture}, {"emulation", test_emulation}, {"mistakes", test_mistakes},
               {"matvec", test_matvec}, {"tensor", test_tensor},
               {"tensor_mistakes", test_tensor_mistakes}, {"barriers", test_barriers}, {"pairs", test_pairs},
               {"boxes", test_boxes}};
  load_driver();
  for (auto &test : tests) {
    bool wanted = count < 2 || std::any_of(names + 1, names + count, [&](char *n) { return !strcmp(n, test.name); });
    if (!wanted) continue;
    restart_with({});
    test.run();
    restart_with({});
    printf("%s ok\n", test.name);
    fflush(stdout);
  }
  return 0;
}
