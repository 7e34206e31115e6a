/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <weir/weir.h>

#include "commands.h"
#include "suggest.h"

static const struct command {
  const char *name;
  int (*run)(int argc, char **argv); /* argv[0] is the command's name */
  const char *summary;
} commands[] = {
  {"list", cmd_list, "show every plugin found, and why a file was refused"},
  {"devices", cmd_devices, "show where kernels can run"},
  {"explain", cmd_explain, "show which plugin serves an operation, and why"},
  {"verify", cmd_verify, "prove plugins against the conformance suite"},
  {"bench", cmd_bench, "measure kernels, or one decode token of a model"},
  {"synth", cmd_synth, "write a synthetic GGUF model"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file) {
  fputs("usage: weir COMMAND [OPTION]...\n\ncommands:\n", file);
  for (size_t i = 0; i < COMMANDS; i++) fprintf(file, "  %-9s %s\n", commands[i].name, commands[i].summary);
  fputs(
    "\noptions:\n"
    "  --help    show this; `weir COMMAND --help` shows the options of a command\n"
    "  --version show the version of libweir and of its plugin ABI\n"
    "\nWEIR_PLUGINS chooses plugins: WEIR_PLUGINS=int4_matvec=ref forces one, -NAME denies one.\n"
    "Exit status: 0 all is well, 1 something failed or came out wrong, 2 wrong usage.\n",
    file);
}

static int unknown(const char *text) {
  const char *names[COMMANDS + 2] = {"--help", "--version"}, *near;
  for (size_t i = 0; i < COMMANDS; i++) names[i + 2] = commands[i].name;
  near = suggest_nearest(text, names, COMMANDS + 2);
  fprintf(stderr, "weir: unknown %s \"%s\"", text[0] == '-' ? "option" : "command", text);
  if (near) fprintf(stderr, "; did you mean \"%s\"?\n", near);
  else fputs("; `weir --help` lists what there is\n", stderr);
  return 2;
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : NULL;
  char help[] = "--help";

  if (!name) {
    print_help(stderr);
    return 2;
  }
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
    printf("weir %s (plugin ABI %d.%d)\n", weir_version(), WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
    return 0;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
    if (argc == 2 || strcmp(name, "help") != 0) {
      print_help(stdout);
      return 0;
    }
    name = argv[2];
    argv[1] = argv[2];
    argv[2] = help;
    argc = 3;
  }
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, name) == 0) {
      int status = commands[i].run(argc - 1, argv + 1);
      if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "weir %s: standard output could not be written\n", name);
        return 1;
      }
      return status;
    }
  return unknown(name);
}
