#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gemma_perplexity.py PROGRAM LIBRARY MODEL TEXT [--by-hand] [ARGUMENT...]: the perplexity that PROGRAM tells with the
plugins cpu and ref, compared with each other, and --by-hand with that of one run for each token.
"""
import json
import math
import os
import subprocess
import sys

BETWEEN_PLUGINS, BY_HAND = 0.005, 1e-4


def run(command, plugin):
    done = subprocess.run(command, env={**os.environ, "WEIR_PLUGINS": plugin}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def log_probability(program, tokens, vocabulary, wanted):
    """Of the token `wanted` after these, from all logits of a run of its own."""
    top = run([*program, "--tokens", ",".join(map(str, tokens)), "-n", "1", "--logits", str(vocabulary)], "cpu")["tokens"][0]["top"]
    logits = {entry["id"]: entry["logit"] for entry in top}
    return logits[wanted] - math.log(sum(math.exp(logit) for logit in logits.values()))


def by_hand(program, text, context, vocabulary=288):
    with open(text) as file:
        tokens = run([*program, "-p", file.read(), "-n", "1"], "cpu")["prompt_tokens"]
    bos, tokens = tokens[0], tokens[1:]
    nats = 0
    for first in range(0, len(tokens), context):
        window = [bos] + tokens[first:first + context]
        nats -= sum(log_probability(program, window[:i], vocabulary, window[i]) for i in range(1, len(window)))
    return math.exp(nats / len(tokens)), len(tokens)


def main():
    path, library, model, text, *rest = sys.argv[1:]
    program = [path, "--library", library, "-m", model, "--device", "cpu", "--json"]
    arguments = [argument for argument in rest if argument != "--by-hand"]
    found = {plugin: run([*program, *arguments, "--perplexity", text], plugin) for plugin in ("cpu", "ref")}
    cpu, ref = (found[plugin]["perplexity"] for plugin in ("cpu", "ref"))
    print(f"{' '.join(arguments)}: perplexity of {found['cpu']['tokens']} tokens: cpu {cpu:.4f}, ref {ref:.4f}")
    failed = abs(cpu / ref - 1) > BETWEEN_PLUGINS
    if "--by-hand" in rest:
        context = int(arguments[arguments.index("--context") + 1]) if "--context" in arguments else 1 << 30
        wanted, tokens = by_hand(program, text, context)
        print(f"  by hand: {wanted:.4f} of {tokens}")
        failed |= abs(cpu / wanted - 1) > BY_HAND or tokens != found["cpu"]["tokens"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
