#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares weir-gemma's logits and greedy tokens with gemma_reference.py.

The reference chooses the tokens; weir-gemma continues them until it chooses another one, and is
then started again with the reference's. So there is a row of logits for every position,
each after the same tokens in both programs.

The error of a row is the RMS difference of logits in units of the reference's spread there (the standard
deviation over the vocabulary). 8-bit activations make it a few percent, and layers amplify
each flipped code, so no small absolute bound can hold. The bound is measured instead: the
reference rounded where weir-gemma rounds (--round of gemma_reference.py) gives the error that rounding alone
makes at the same positions. weir-gemma is another sample of the same noise, and may be so many times
as far off as Bounds says. In two layers the two samples are nearly one (a mean of 0.98 to 1.03 of the
noise was measured); 18 layers draw their own (0.86 to 1.34, one flip in the first token, which all others attend,
moves them all). That this catches wrong formulas is proved by each run of --mutations:
against every mutated reference weir-gemma has to fail.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from gemma_reference import MUTATIONS, Model, top
from gemma_synthetic import VOCABULARY, write_model



class Bounds(NamedTuple):
    """In units of what rounding alone makes."""
    mean: float    # of all RMS errors, on that of the noise
    prompt: float  # the same of one prompt's
    row: float     # the largest RMS error on the largest of the noise
    logit: float   # the largest error of a logit on that of the noise


RANDOM, REAL = Bounds(1.25, 1.4, 2, 2), Bounds(1.6, 2, 2.5, 2.5)
TOP_OF_REFERENCE = 5
# Their effect is far below what 8-bit activations do to logits: no comparison of logits can see them.
UNSEEN = {"gelu-erf"}
PROMPTS = ("The| capital| of| France| is", "Once| upon| a| time|,| there| was| a| little| girl",
           "The| quick| brown| fox")
# Prompt lengths around the window of 16 and the chunks, and one that attention may split; the second and third show mutations.
CASES = ((7, ["--chunk", "5"]), (17, ["--chunk", "16"]), (300, ["--chunk", "128"]), (1, []), (16, []),
         (40, ["--chunk", "1"]), (40, ["--chunk", "17"]))


class Program:
    def __init__(self, path, options, settings):
        self.path, self.options = path, options
        self.environment = {**os.environ, **settings}
        self.plugins = set()

    def answer(self, model, *options):
        command = [self.path, "-m", model, "--json", *self.options, *options]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"FAILED: status {done.returncode} of: {' '.join(command)}\n{done.stderr}")
        answer = json.loads(done.stdout)
        self.plugins |= {used["plugin"] for used in answer["plugins"]}
        return answer

    def run(self, model, tokens, n, k, options=()):
        """[(token, [[id, logit], ...]), ...], as many as it generated."""
        answer = self.answer(model, "--tokens", ",".join(map(str, tokens)), "-n", str(n), "--logits", str(k), *options)
        return [(one["id"], [[e["id"], e["logit"]] for e in one["top"]]) for one in answer["tokens"]]

    def rows(self, model, prompt, chosen, k, options=()):
        """Logits at every position of the reference's tokens, and [(index, its token)] where it chose another."""
        rows, partings = [], []
        while len(rows) < len(chosen):
            at = len(rows)
            found = self.run(model, prompt + chosen[:at], len(chosen) - at, k, options)
            if not found:
                sys.exit(f"FAILED: {self.path} generated nothing after {len(prompt) + at} tokens")
            for token, row in found[:len(chosen) - at]:
                rows.append((token, row))
                if token != chosen[len(rows) - 1]:
                    partings.append((len(rows) - 1, token))
                    break
        return rows, partings


def errors(rows, logits):
    """Of each row, in units of the spread: (RMS over the ids that weir-gemma gave, largest)."""
    out = []
    for (_, row), reference in zip(rows, logits):
        difference = np.array([value - reference[i] for i, value in row]) / reference.std()
        out.append((np.sqrt((difference ** 2).mean()), np.abs(difference).max()))
    return np.array(out)


def noise(rows, rounded, logits):
    return errors([(0, [[i, line[i]] for i, _ in row]) for (_, row), line in zip(rows, rounded)], logits)


def check_rows(rows, logits, k):
    """What must hold whatever the rounding: order, the greedy choice, and the reference's best among the top."""
    for at, ((token, row), reference) in enumerate(zip(rows, logits)):
        values = [value for _, value in row]
        if len(row) != min(k, len(reference)) or len({i for i, _ in row}) != len(row):
            return f"token {at}: {len(row)} logits, {k} asked for, or ids that come twice"
        if values != sorted(values, reverse=True):
            return f"token {at}: logits are not in falling order"
        if token != row[0][0]:
            return f"token {at} is {token}, but {row[0][0]} has the largest logit"
        missing = {i for i, _ in top(reference, TOP_OF_REFERENCE)} - {i for i, _ in row}
        if missing:
            return f"token {at}: {missing} of the reference's {TOP_OF_REFERENCE} best are not among its {len(row)} best"
    return None


class Comparison:
    """One model and program over some prompts."""

    def __init__(self, name, program, path, rounding, k, bounds):
        self.name, self.program, self.path, self.k, self.bounds = name, program, path, k, bounds
        self.exact, self.rounded = Model(path), Model(path, rounded=rounding)
        self.cases, self.failed = [], False
        self.error, self.noise = np.empty((0, 2)), np.empty((0, 2))

    def fail(self, why):
        print(f"FAILED: {self.name}: {why}")
        self.failed = True

    def add(self, title, prompt, n, options=()):
        chosen, logits = self.exact.generate(prompt, n)
        rounded = self.rounded.forced(prompt + chosen[:-1], len(prompt) - 1)
        rows, partings = self.program.rows(self.path, prompt, chosen, self.k, options)
        why = check_rows(rows, logits, self.k)
        if why:
            self.fail(f"{title}: {why}")
        self.cases.append((prompt + chosen[:-1], len(prompt) - 1, rows, logits))
        error, noise_here = errors(rows, logits), noise(rows, rounded, logits)
        self.error, self.noise = np.concatenate([self.error, error]), np.concatenate([self.noise, noise_here])
        print(f"{self.name}: {title}: error {error[:, 0].mean():.4f}, of rounding alone {noise_here[:, 0].mean():.4f}; "
              + (self.parting(rows, logits, partings) or f"all {n} greedy tokens agree"))
        sys.stdout.flush()
        self.bound(f"{title}: the mean error", error[:, 0].mean(), noise_here[:, 0].mean(), self.bounds.prompt)

    def parting(self, rows, logits, partings):
        if not partings:
            return None
        words = []
        for at, token in partings[:3]:
            reference = logits[at]
            gap = reference.max() - reference[token]
            words.append(f"token {at} (gap of logits {gap:.3f}, {gap / reference.std():.4f} of the spread)")
        return f"greedy text parts at {', '.join(words)}" + (f" and {len(partings) - 3} more" if partings[3:] else "")

    def judge(self):
        self.mean_bound = self.bounds.mean * self.noise[:, 0].mean()
        pairs = [("the mean error", self.error[:, 0].mean(), self.noise[:, 0].mean(), self.bounds.mean),
                 ("a row's error", self.error[:, 0].max(), self.noise[:, 0].max(), self.bounds.row),
                 ("a logit's error", self.error[:, 1].max(), self.noise[:, 1].max(), self.bounds.logit)]
        print(f"{self.name} ({', '.join(sorted(self.program.plugins))}): {len(self.error)} positions: " + "; ".join(
            f"{what} {found:.4f} of the spread (bound {bound * alone:.4f})" for what, found, alone, bound in pairs))
        for what, found, alone, bound in pairs:
            self.bound(what, found, alone, bound)

    def bound(self, what, found, alone, bound):
        if not found <= bound * alone:
            self.fail(f"{what} is {found:.4f} of the spread; rounding alone makes {alone:.4f}, and up to "
                      f"{bound} times that is taken for rounding")

    def mutations(self, names):
        """{name: mean error against the mutated reference in units of the bound}; 0 where it changes nothing."""
        ratios = {}
        for name in names:
            self.exact.configure([name])
            error, changed = [], 0.0
            for tokens, first, rows, logits in self.cases[1:3] or self.cases:
                mutated = self.exact.forced(tokens, first)
                changed = max(changed, np.abs(mutated - logits).max() / logits.std())
                error.extend(errors(rows, mutated)[:, 0])
            ratios[name] = np.mean(error) / self.mean_bound if changed > 1e-3 else 0.0
        self.exact.configure()
        return ratios


def random_prompt(length, seed):
    return [2] + [int(t) for t in np.random.default_rng(seed).integers(4, VOCABULARY, length - 1)]


def synthetic(program, args):
    failed, seen = False, {}
    for architecture in ("gemma3", "gemma4"):
        path = os.path.join(args.work, f"random_{architecture}.gguf")
        write_model(path, architecture)
        comparison = Comparison(f"random {architecture}, {args.title}", program, path, args.round, VOCABULARY,
                                RANDOM)
        for length, options in CASES[:args.cases]:
            comparison.add(" ".join([f"{length} tokens"] + options), random_prompt(length, length), args.n or 16, options)
        comparison.judge()
        failed |= comparison.failed
        if args.mutations:
            for name, ratio in comparison.mutations(MUTATIONS).items():
                seen[name] = max(seen.get(name, 0), ratio)
    for name, ratio in seen.items():
        known = " (too small to be seen)" if name in UNSEEN else ""
        print(f"were it so that {MUTATIONS[name]}: {ratio:.2f} of the bound{known}")
        if ratio <= 1 and name not in UNSEEN:
            print(f"FAILED: the comparison does not notice the mutation {name}")
            failed = True
    return failed


def real(program, args):
    comparison = Comparison(f"{os.path.basename(args.model)}, {args.title}", program, args.model, args.round, 256, REAL)
    model = comparison.exact
    n = args.n or 64
    for pieces in PROMPTS[:args.cases]:
        text, tokens = pieces.replace("|", ""), model.pieces(pieces)
        found = program.answer(args.model, "-p", text, "-n", "0")["prompt_tokens"]
        if found != tokens:
            comparison.fail(f"'{text}' is made tokens {found}, and its pieces are {tokens}")
        comparison.add(f"'{text}'", tokens, n)
    if args.long:
        tokens = model.pieces("| ".join(PROMPTS))
        tokens = (tokens * (args.long // len(tokens) + 1))[:args.long]
        comparison.add(f"{args.long} tokens", tokens, 8)
    comparison.judge()
    if args.mutations:
        for name, ratio in comparison.mutations(MUTATIONS).items():
            if ratio:
                print(f"were it so that {MUTATIONS[name]}: {ratio:.2f} of the bound")
    return comparison.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", required=True, metavar="WEIR-GEMMA")
    parser.add_argument("--model", metavar="GGUF", help="a real model; default: two random ones")
    parser.add_argument("--work", default=".", metavar="DIR", help="for the random models")
    parser.add_argument("--title", default="cpu", help="names the run in the output")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plugins", metavar="SELECTION", help="WEIR_PLUGINS")
    parser.add_argument("--round", choices=["f32", "bf16", "kv"], help="default: f32 on the CPU, else bf16")
    parser.add_argument("--option", action="append", default=[], metavar="WORD", help="another option of weir-gemma")
    parser.add_argument("--cases", type=int, default=None, metavar="N", help="only the first N prompts")
    parser.add_argument("-n", type=int, help="tokens of each prompt (real: 64, random: 16)")
    parser.add_argument("--long", type=int, default=0, metavar="N", help="real: also a prompt of N tokens")
    parser.add_argument("--mutations", action="store_true", help="prove that wrong formulas are noticed")
    args = parser.parse_args()
    args.round = args.round or ("f32" if args.device.startswith("cpu") else "bf16")
    settings = {"WEIR_PLUGINS": args.plugins} if args.plugins else {}
    program = Program(args.program, ["--device", args.device, *args.option], settings)
    failed = real(program, args) if args.model else synthetic(program, args)
    unused = {name for name in re.findall(r"[\w-]+(?![\w-]*=)", args.plugins or "") if name != "auto"} - program.plugins
    if unused:
        print(f"FAILED: {args.title}: {', '.join(unused)} did not serve; {', '.join(program.plugins)} did")
        failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
