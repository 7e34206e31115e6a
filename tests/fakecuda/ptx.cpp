// SPDX-License-Identifier: MIT
#include "ptx.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <map>

namespace fakecuda {
namespace {

struct syntax_error {
  std::string text;
};

bool is_word(char c) { return isalnum((unsigned char)c) || strchr("_$.%", c); }

// Words (directives, names, numbers: also "9.0" and ".u64"), strings, and single
// other characters.
class token_reader {
public:
  explicit token_reader(const std::string &its_text) : text(its_text), at(0), line(1) { read(); }

  const std::string &peek() const { return token; } // "" at the end
  std::string take() {
    std::string taken = token;
    if (taken.empty()) fail("the text ends too early");
    read();
    return taken;
  }
  bool accept(const char *what) {
    if (token != what) return false;
    read();
    return true;
  }
  void expect(const char *what) {
    if (!accept(what)) fail(std::string("'") + what + "' expected, got '" + token + "'");
  }
  size_t take_number() {
    char *end;
    std::string word = take();
    unsigned long long n = strtoull(word.c_str(), &end, 0);
    if (*end || !isdigit((unsigned char)word[0])) fail("a number expected, got '" + word + "'");
    return (size_t)n;
  }
  std::string take_name() {
    std::string word = take();
    if (!is_word(word[0]) || word[0] == '.' || isdigit((unsigned char)word[0]))
      fail("a name expected, got '" + word + "'");
    return word;
  }
  [[noreturn]] void fail(const std::string &what) const {
    throw syntax_error{"line " + std::to_string(line) + "; error   : " + what};
  }

private:
  void skip_blanks() {
    for (; at < text.size(); at++) {
      if (text[at] == '\n') line++;
      if (isspace((unsigned char)text[at])) continue;
      if (text.compare(at, 2, "//") == 0) {
        at = std::min(text.find('\n', at), text.size()) - 1;
      } else if (text.compare(at, 2, "/*") == 0) {
        size_t end = text.find("*/", at + 2);
        if (end == std::string::npos) fail("a comment does not end");
        line += (unsigned)std::count(text.begin() + (long)at, text.begin() + (long)end, '\n');
        at = end + 1;
      } else {
        return;
      }
    }
  }
  void read() {
    skip_blanks();
    size_t start = at;
    if (at >= text.size()) {
      token.clear();
      return;
    }
    if (text[at] == '"') {
      at = text.find('"', at + 1);
      if (at == std::string::npos) fail("a string does not end");
      at++;
    } else if (is_word(text[at])) {
      while (at < text.size() && is_word(text[at])) at++;
    } else if (isprint((unsigned char)text[at])) {
      at++;
    } else {
      fail("unexpected character " + std::to_string((unsigned char)text[at]));
    }
    token = text.substr(start, at - start);
  }

  const std::string &text;
  size_t at;
  unsigned line;
  std::string token;
};

size_t size_of_type(token_reader &in, const std::string &type) {
  static const std::map<std::string, size_t> sizes = {
    {".b8", 1},  {".u8", 1},  {".s8", 1},    {".b16", 2}, {".u16", 2},  {".s16", 2},  {".f16", 2}, {".bf16", 2},
    {".b32", 4}, {".u32", 4}, {".s32", 4},   {".f32", 4}, {".f16x2", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8},
    {".f64", 8}, {".b128", 16}};
  auto found = sizes.find(type);
  if (found == sizes.end()) in.fail("'" + type + "' is no type");
  return found->second;
}

// After .param or .shared: attributes, type, name, [count].
struct variable {
  std::string name;
  parameter_layout layout;
};
variable read_variable(token_reader &in) {
  size_t align = 0, element = 0;
  while (!element) {
    if (in.accept(".align")) align = in.take_number();
    else element = size_of_type(in, in.take());
  }
  if (in.accept(".ptr")) { // what the parameter points to
    for (const char *space : {".global", ".shared", ".const", ".local"})
      if (in.accept(space)) break;
    if (in.accept(".align")) in.take_number();
  }
  variable v;
  v.name = in.take_name();
  size_t count = 1;
  if (in.accept("[")) {
    count = in.peek() == "]" ? 0 : in.take_number();
    in.expect("]");
  }
  v.layout = {element * count, align ? align : element};
  return v;
}

typedef std::map<std::string, size_t> shared_variables;

// A body in braces; adds up the shared variables that it names or has.
size_t read_body(token_reader &in, const shared_variables &module_shared) {
  size_t bytes = 0, depth = 0;
  std::map<std::string, bool> counted;
  do {
    std::string word = in.take();
    if (word == "{") depth++;
    else if (word == "}") depth--;
    else if (word == ".entry" || word == ".version" || word == ".target")
      in.fail("unexpected '" + word + "' in a body");
    else if (word == ".shared") {
      bytes += read_variable(in).layout.size;
    } else {
      auto found = module_shared.find(word);
      if (found != module_shared.end() && !counted[word]) {
        counted[word] = true;
        bytes += found->second;
      }
    }
  } while (depth);
  return bytes;
}

ptx_entry read_entry(token_reader &in, const shared_variables &module_shared) {
  ptx_entry entry = {};
  entry.name = in.take_name();
  entry.cluster = 1;
  if (in.accept("(") && !in.accept(")")) {
    do {
      in.expect(".param");
      entry.parameters.push_back(read_variable(in).layout);
    } while (in.accept(","));
    in.expect(")");
  }
  while (in.peek() != "{") {
    std::string word = in.take();
    if (word[0] != '.') in.fail("a directive or a body expected, got '" + word + "'");
    if (word == ".reqnctapercluster") entry.cluster = (uint32_t)in.take_number();
    if (word != ".maxntid" && word != ".reqntid") { // .minnctapersm 2, .maxnreg 64, ...
      while (in.peek() != "{" && in.peek()[0] != '.') in.take();
      continue;
    }
    uint32_t n[3] = {1, 1, 1};
    int i = 0;
    do n[i++] = (uint32_t)in.take_number();
    while (i < 3 && in.accept(","));
    std::copy(n, n + 3, entry.threads_most);
    entry.threads_exact = word == ".reqntid";
  }
  entry.shared_bytes = read_body(in, module_shared);
  return entry;
}

void read_target(token_reader &in, ptx_text *out) {
  std::string word = in.take();
  char *end;
  if (word.compare(0, 3, "sm_")) in.fail("'" + word + "' is no target");
  out->target = (int)strtol(word.c_str() + 3, &end, 10);
  out->target_kind = *end;
  if (out->target < 20 || (*end && *end != 'a' && *end != 'f') || (*end && end[1]))
    in.fail("'" + word + "' is no target");
  while (in.accept(",")) in.take();
}

void read_text(token_reader &in, ptx_text *out) {
  if (!in.accept(".version")) in.fail("Missing .version directive at start of file");
  std::string version = in.take();
  if (version.size() < 3 || !isdigit((unsigned char)version[0]) || version[1] != '.' ||
      !isdigit((unsigned char)version[2]))
    in.fail("'" + version + "' is no version");
  out->version = (version[0] - '0') * 10 + (version[2] - '0');
  in.expect(".target");
  read_target(in, out);
  in.expect(".address_size");
  if (in.take() != "64") in.fail("only 64-bit addresses");
  shared_variables module_shared;
  while (!in.peek().empty()) {
    std::string word = in.take();
    if (word == ".visible" || word == ".extern" || word == ".weak" || word == ".common") continue;
    if (word == ".entry") {
      out->entries.push_back(read_entry(in, module_shared));
      for (size_t i = 0; i + 1 < out->entries.size(); i++)
        if (out->entries[i].name == out->entries.back().name) in.fail("duplicate entry '" + out->entries[i].name + "'");
    } else if (word == ".shared") {
      variable v = read_variable(in);
      module_shared[v.name] = v.layout.size;
      in.expect(";");
    } else if (word == ".func") {
      while (in.peek() != "{" && in.peek() != ";") in.take();
      if (!in.accept(";")) read_body(in, module_shared);
    } else if (word == ".global" || word == ".const" || word == ".pragma") {
      while (!in.accept(";")) in.take();
    } else if (word == ".file") {
      do in.take();
      while (in.peek()[0] == '"' || in.accept(","));
    } else if (word == ".section") {
      while (!in.accept("}")) in.take();
    } else {
      in.fail("'" + word + "' is not known here");
    }
  }
}

} // namespace

bool parse_ptx(const std::string &text, ptx_text *out, std::string *out_error) {
  *out = ptx_text();
  try {
    token_reader in(text);
    read_text(in, out);
    return true;
  } catch (const syntax_error &error) {
    *out_error = error.text;
    return false;
  }
}

int ptx_version_of_driver(int driver) {
  static const struct {
    int driver, version;
  } newest[] = {{13010, 91}, {13000, 90}, {12090, 88}, {12080, 87}, {12070, 86}, {12050, 85}, {12040, 84}, {12030, 83},
                {12020, 82}, {12010, 81}, {12000, 80}, {11080, 78}, {11070, 77}, {11060, 76}, {11050, 75}, {11040, 74},
                {11030, 73}, {11020, 72}, {11010, 71}, {11000, 70}, {10020, 65}, {10010, 64}, {10000, 63}};
  for (const auto &row : newest)
    if (driver >= row.driver) return row.version;
  return 62;
}

int ptx_version_of_target(int target, char kind) {
  static const struct {
    int target, version;
  } oldest[] = {{121, 88}, {120, 87}, {110, 90}, {103, 88}, {100, 86}, {90, 78}, {89, 78},
                {88, 90},  {87, 74},  {86, 71},  {80, 70},  {75, 63},  {72, 61}, {70, 60}};
  if (kind == 'f') return 88;
  if (kind == 'a' && target == 90) return 80;
  for (const auto &row : oldest)
    if (target >= row.target) return row.version;
  return 10;
}

} // namespace fakecuda
