// SPDX-License-Identifier: MIT
//
// The machine that FAKECUDA_* describe. A text that makes no sense ends the process:
// a test that runs on another machine than it asked for proves nothing.
#include "state.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace fakecuda {
namespace {

const uint64_t K = 1024, M = K * K, G = K * M;

[[noreturn]] void bad_variable(const char *variable, const std::string &what) {
  fprintf(stderr, "fakecuda: %s: %s\n", variable, what.c_str());
  exit(99);
}

std::vector<std::string> split(const std::string &text, char at) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == at) parts.emplace_back();
    else parts.back() += c;
  return parts;
}

uint64_t read_number(const char *variable, const std::string &text) {
  char *end;
  uint64_t n = strtoull(text.c_str(), &end, 10);
  if (text.empty() || text[0] < '0' || text[0] > '9') bad_variable(variable, "'" + text + "' is no number");
  if (*end == 'K') n *= K, end++;
  else if (*end == 'M') n *= M, end++;
  else if (*end == 'G') n *= G, end++;
  if (*end) bad_variable(variable, "'" + text + "' is no number");
  return n;
}

uint64_t number_or(const char *variable, uint64_t otherwise) {
  const char *text = getenv(variable);
  return text && *text ? read_number(variable, text) : otherwise;
}

// A part of that architecture as it is sold, shared memory as the CUDA programming guide lists it.
device typical_device(int sm) {
  static const struct {
    int sm, sms;
    uint64_t l2, shared_block, shared_sm;
    int threads_sm, blocks_sm;
  } parts[] = {
    {75, 40, 4 * M, 64 * K, 64 * K, 1024, 16},      {80, 108, 40 * M, 163 * K, 164 * K, 2048, 32},
    {86, 84, 6 * M, 99 * K, 100 * K, 1536, 16},     {87, 16, 4 * M, 163 * K, 164 * K, 1536, 16},
    {89, 128, 72 * M, 99 * K, 100 * K, 1536, 24},   {90, 132, 50 * M, 227 * K, 228 * K, 2048, 32},
    {100, 148, 126 * M, 227 * K, 228 * K, 2048, 32}, {120, 170, 96 * M, 99 * K, 100 * K, 1536, 24},
  };
  device d = {text("Fake GPU sm_%d", sm), sm, 0, 0, 0, 0, 8 * G, 0, 0};
  for (const auto &p : parts) {
    if (d.sms && p.sm > sm) break;
    d.sms = p.sms;
    d.l2 = p.l2;
    d.shared_block = p.shared_block;
    d.shared_sm = p.shared_sm;
    d.threads_sm = p.threads_sm;
    d.blocks_sm = p.blocks_sm;
  }
  return d;
}

device read_device(const std::string &description) {
  const char *variable = "FAKECUDA_DEVICES";
  std::map<std::string, std::string> given;
  for (const std::string &part : split(description, ',')) {
    size_t equals = part.find('=');
    if (equals == std::string::npos) bad_variable(variable, "'" + part + "' is not name=value");
    given[part.substr(0, equals)] = part.substr(equals + 1);
  }
  device d = typical_device(given.count("sm") ? (int)read_number(variable, given["sm"]) : 90);
  for (const auto &g : given) {
    if (g.first == "name") {
      d.name = g.second;
      continue;
    }
    uint64_t n = read_number(variable, g.second);
    if (g.first == "sms") d.sms = (int)n;
    else if (g.first == "l2") d.l2 = n;
    else if (g.first == "smem") d.shared_block = n, d.shared_sm = n + 1 * K;
    else if (g.first == "mem") d.memory = n;
    else if (g.first != "sm") bad_variable(variable, "unknown '" + g.first + "'");
  }
  return d;
}

} // namespace

void read_environment(state &s) {
  s.devices.clear();
  const char *devices = getenv("FAKECUDA_DEVICES");
  if (!devices) devices = "sm=90";
  if (*devices)
    for (const std::string &description : split(devices, ';')) s.devices.push_back(read_device(description));
  s.driver_version = (int)number_or("FAKECUDA_DRIVER", 13000);
  s.shuffle = number_or("FAKECUDA_SHUFFLE", 0);
  s.resident = (unsigned)number_or("FAKECUDA_RESIDENT", 1);
  if (s.resident < 1 || s.resident > 64) bad_variable("FAKECUDA_RESIDENT", "1 to 64 blocks");

  s.failures.clear();
  const char *failures = getenv("FAKECUDA_FAIL");
  for (const std::string &item : split(failures ? failures : "", ',')) {
    if (item.empty()) continue;
    size_t equals = item.find('='), at = item.find('@');
    if (equals == std::string::npos) bad_variable("FAKECUDA_FAIL", "'" + item + "' is not name=code");
    std::string code = item.substr(equals + 1, at == std::string::npos ? at : at - equals - 1);
    uint64_t nth = at == std::string::npos ? 0 : read_number("FAKECUDA_FAIL", item.substr(at + 1));
    s.failures.push_back({item.substr(0, equals), (CUresult)read_number("FAKECUDA_FAIL", code), nth});
  }

  if (s.log >= 0) close(s.log);
  const char *log = getenv("FAKECUDA_LOG");
  s.log = log && *log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
  if (log && *log && s.log < 0) bad_variable("FAKECUDA_LOG", std::string(log) + ": " + strerror(errno));
}

} // namespace fakecuda
