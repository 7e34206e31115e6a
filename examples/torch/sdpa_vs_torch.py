#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Scaled dot-product attention by weir's plugins and by PyTorch, in one table.

This is an example of using libweir from Python without a binding: ctypes on the
library (weir_sdpa.py, beside this file), PyTorch tensors by pointer, PyTorch's current
stream. Nothing is copied, and weir's calls may stand between PyTorch's, in a
torch.cuda.CUDAGraph too.

    sdpa_vs_torch.py                              # all configurations, KV 64..16384
    sdpa_vs_torch.py --config gemma-full --kv 256,4096..131072
    sdpa_vs_torch.py --config d128 --kv 2048 --queries 2048 --causal --mode both
    sdpa_vs_torch.py --selftest                   # no GPU and no PyTorch needed

The library is libweir.so.0, or what --lib or the variable WEIR_LIBRARY names; its
plugins are found as always (WEIR_PLUGIN_PATH and so on). PyTorch must be one with CUDA.

What is compared. PyTorch's Flash, Efficient, cuDNN and Math backends, each forced by
torch.nn.attention.sdpa_kernel: with enable_gqa where the backend takes that, else with
K and V expanded to all query heads beforehand (marked e), and N/A where it refuses,
with its reason below the table. --fold also tries, for one query, the heads of a KV
head as queries (marked f) and keeps the fastest. And every weir plugin that serves on
the device, each forced by the selection in weir_options; * marks the one that weir
would take by itself.

How. First every result is compared with the same attention in f32: the table of
errors is the largest absolute one. A weir result is off when it is further than the
contract allows for P held in the type of K and V; that ends in exit status 1. Then
all of a row are timed ten times, in turns, so that none of them alone heats the device
and finds its clock held back; each between two events, after work of its own that keeps
the device busy. A cell is the mean and the standard deviation of the last six, in
microseconds a call
(with --queries also TFLOP/s, 4 * HQ * D for each pair of query and attended slot).
Calls go through copies of K and V that are more than three times the L2, at least 150
MB, together. --mode plain enqueues from Python, so that it measures the host more than
the device, weir's side through ctypes; --mode graph replays a graph of many calls.
"""
import argparse
import math
import os
import sys
import warnings

import weir_sdpa
from weir_sdpa import CHOSEN, REFUSED, UNSUPPORTED, Device, Library, Plan, WeirError, describe

# ---- What is to be measured ------------------------------------------------------------

CONFIGS = {"gemma-sliding": (32, 16, 256), "gemma-full": (32, 4, 512), "qwen": (16, 2, 256), "d128": (32, 16, 128)}


def parse_configs(value):
    found = {}
    for part in value.split(","):
        if part == "all":
            found.update(CONFIGS)
        elif part in CONFIGS:
            found[part] = CONFIGS[part]
        else:
            try:
                q_heads, kv_heads, head_dim = (int(number) for number in part.split(":"))
                if min(q_heads, kv_heads, head_dim) < 1 or q_heads % kv_heads:
                    raise ValueError
            except ValueError:
                raise argparse.ArgumentTypeError(
                    f"{part!r} is not one of {', '.join(CONFIGS)}, all, and not HQ:HKV:D with HQ a multiple of HKV")
            found[part] = (q_heads, kv_heads, head_dim)
    return found


def parse_lengths(value):
    lengths = []
    for part in value.split(","):
        try:
            begin, dots, end = part.partition("..")
            length, last = int(begin), int(end if dots else begin)
            if length < 1 or last < length:
                raise ValueError
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is not a number from 1 or a range such as 64..16384")
        while length <= last:
            lengths.append(length)
            length *= 2
    return lengths


def attended(queries, kv_len, causal):
    """How many pairs of a query and a slot."""
    if not causal:
        return queries * kv_len
    return sum(max(0, kv_len - queries + i + 1) for i in range(queries))


def summary(runs):
    """Mean and standard deviation of the last six of ten."""
    last = runs[-6:]
    mean = sum(last) / len(last)
    return mean, math.sqrt(sum((run - mean) ** 2 for run in last) / len(last))


class Table:
    def __init__(self, headings):
        self.rows = [headings]

    def add(self, cells):
        self.rows.append(cells)

    def show(self):
        widths = [max(len(row[c]) for row in self.rows) for c in range(len(self.rows[0]))]
        for row in self.rows:
            cells = [cell.ljust(width) if c == 0 else cell.rjust(width)
                     for c, (cell, width) in enumerate(zip(row, widths))]
            print("  ".join(cells).rstrip())


class Footnotes:
    def __init__(self):
        self.reasons = []

    def mark(self, reason):
        reason = " ".join(reason.split()) or "no reason given"
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"[{self.reasons.index(reason) + 1}]"

    def show(self):
        for number, reason in enumerate(self.reasons, 1):
            print(f"[{number}] {reason}")


# ---- On the GPU, with PyTorch ----------------------------------------------------------

RUNS, RUN_SECONDS, MOST_CALLS, LEAST_BYTES = 10, 0.01, 96, 150_000_000


class Problem:
    """Q, and K and V in copies [copies,1,HKV,kv,D] for one row of the table."""

    def __init__(self, torch, config, queries, kv_len, causal, cache_bytes):
        self.torch, self.queries, self.kv_len, self.causal = torch, queries, kv_len, causal
        self.q_heads, self.kv_heads, self.head_dim = config
        self.group = self.q_heads // self.kv_heads
        self.scale = 1 / math.sqrt(self.head_dim)
        self.wanted = max(3 * cache_bytes, LEAST_BYTES)
        self.copies = self.copies_of(self.kv_heads)
        self.q = self.random(1, self.q_heads, queries)
        self.k = self.random(self.copies, 1, self.kv_heads, kv_len)
        self.v = self.random(self.copies, 1, self.kv_heads, kv_len)
        self.flops = 4 * self.q_heads * self.head_dim * attended(queries, kv_len, causal)
        self.wide = None

    def copies_of(self, heads):
        return self.wanted // (4 * heads * self.kv_len * self.head_dim) + 1

    def random(self, *shape):
        return self.torch.empty(*shape, self.head_dim, dtype=self.torch.bfloat16, device="cuda").normal_()

    def expanded(self):
        """K and V for all query heads, in as many copies as these need."""
        if self.wide is None:
            copies = min(self.copies, self.copies_of(self.q_heads))
            self.wide = [x[:copies].repeat_interleave(self.group, 2) for x in (self.k, self.v)]
        return self.wide

    def mask(self):
        """Causal, bottom-right: query i attends the slots up to kv_len - queries + i."""
        torch = self.torch
        return torch.ones(self.queries, self.kv_len, dtype=torch.bool, device="cuda").tril(self.kv_len - self.queries)

    def reference(self):
        """The result over the first copy in f32, and the same with |V|, for the bound."""
        torch = self.torch
        want = torch.empty(self.q_heads, self.queries, self.head_dim, device="cuda")
        size = torch.empty_like(want)
        step = max(1, (1 << 26) // self.kv_len)
        for head in range(self.q_heads):
            k, v = (x[0, 0, head // self.group].float() for x in (self.k, self.v))
            for begin in range(0, self.queries, step):
                q = self.q[0, head, begin:begin + step].float()
                scores = q @ k.T * self.scale
                if self.causal:
                    i = torch.arange(begin, begin + q.shape[0], device="cuda")[:, None]
                    j = torch.arange(self.kv_len, device="cuda")[None]
                    scores.masked_fill_(j > i + self.kv_len - self.queries, -math.inf)
                p = torch.softmax(scores, -1).nan_to_num_(0)  # nothing to attend gives 0
                want[head, begin:begin + step] = p @ v
                size[head, begin:begin + step] = p @ v.abs()
        return want, size


class TorchCall:
    """One backend in one form: gqa, folded or expanded."""

    def __init__(self, problem, backend, form):
        from torch.nn.attention import sdpa_kernel
        torch = problem.torch
        self.problem, self.form = problem, form
        self.context = lambda: sdpa_kernel([backend])
        self.attend = torch.nn.functional.scaled_dot_product_attention
        self.q, self.k, self.v = problem.q, problem.k, problem.v
        self.keywords = {"scale": problem.scale}
        if form == "fold":
            self.q = problem.q.view(1, problem.kv_heads, problem.group, problem.head_dim)
        elif form == "expand":
            self.k, self.v = problem.expanded()
        elif problem.group > 1:
            self.keywords["enable_gqa"] = True
        self.copies = self.k.shape[0]
        if problem.causal and problem.queries == problem.kv_len:
            self.keywords["is_causal"] = True
        elif problem.causal and problem.queries > 1:
            self.keywords["attn_mask"] = self.bottom_right(backend)

    def bottom_right(self, backend):
        """PyTorch's is_causal is aligned top-left. Flash and Efficient can do the other by a bias object."""
        from torch.nn.attention import SDPBackend
        from torch.nn.attention.bias import causal_lower_right
        if backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
            return causal_lower_right(self.problem.queries, self.problem.kv_len)
        return self.problem.mask()

    def __call__(self, copy):
        return self.attend(self.q, self.k[copy], self.v[copy], **self.keywords)

    def result(self):
        with self.context():
            return self(0).reshape(self.problem.q_heads, self.problem.queries, self.problem.head_dim)


class NoContext:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def describe_problem(problem):
    return describe(problem.q_heads, problem.kv_heads, problem.head_dim, problem.queries, problem.kv_len,
                    problem.causal)


class WeirCall:
    def __init__(self, problem, device):
        torch = problem.torch
        self.plan = Plan(device, describe_problem(problem))
        self.problem, self.form, self.context, self.copies = problem, "", NoContext, problem.copies
        self.torch_stream = torch.cuda.current_stream
        self.o = torch.full_like(problem.q, math.nan)
        self.workspace = torch.zeros(self.plan.workspace_size, dtype=torch.uint8, device="cuda")
        workspace = self.workspace.data_ptr() if self.plan.workspace_size else None
        self.arguments = [
            self.plan.arguments(problem.q.data_ptr(), problem.k[i].data_ptr(), problem.v[i].data_ptr(),
                                self.o.data_ptr(), workspace, problem.kv_len) for i in range(problem.copies)]

    def __call__(self, copy):
        self.plan.call(self.arguments[copy], self.torch_stream().cuda_stream)

    def result(self):
        self.o.fill_(math.nan)
        self(0)
        return self.o[0]

    def close(self):
        self.plan.close()


def elapsed(torch, enqueue, laps):
    """Seconds of `laps` laps; the one in front keeps the device busy until the rest is enqueued."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    enqueue()
    begin.record()
    for _ in range(laps):
        enqueue()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


class Measured:
    """A call, to be timed once in each turn."""

    def __init__(self, torch, call, graph):
        self.torch, self.call = torch, call
        copies = call.copies
        with call.context():
            self.calls = copies
            self.lap()
            torch.cuda.synchronize()
            once = elapsed(torch, self.lap, 1) / self.calls
            wanted = min(MOST_CALLS, max(1, int(RUN_SECONDS / max(once, 1e-9))))
            self.calls = -(-wanted // copies) * copies  # all copies equally often
            self.enqueue = self.captured() if graph else self.lap
            self.estimate = elapsed(torch, self.enqueue, 1) / self.calls
            self.laps = max(1, int(RUN_SECONDS / max(self.estimate * self.calls, 1e-9)))
        self.seconds = []

    def lap(self):  # ends on the first copy, whose result is known
        for i in range(self.calls):
            self.call((i + 1) % self.call.copies)

    def captured(self):
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.call(0)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.lap()
        return graph.replay

    def run(self):
        with self.call.context():
            self.seconds.append(elapsed(self.torch, self.enqueue, self.laps) / (self.laps * self.calls))


class Cell:
    """What one column shows of one row."""

    def __init__(self, error=None, refusal="", call=None):
        self.error, self.refusal, self.call, self.form, self.star = error, refusal, call, call.form if call else "", ""
        self.measured, self.mean, self.deviation = {}, {}, {}

    def prepare(self, torch, modes):
        for mode in modes:
            self.measured[mode] = Measured(torch, self.call, mode == "graph")

    def conclude(self):
        for mode, measured in self.measured.items():
            self.mean[mode], self.deviation[mode] = summary(measured.seconds)
        self.measured, self.call = {}, None

    def time(self, mode, flops, queries):
        if mode not in self.mean:
            return "N/A" + self.refusal
        mark = {"gqa": "", "": "", "fold": "f", "expand": "e"}[self.form]
        shown = f"{1e6 * self.mean[mode]:.2f} ±{1e6 * self.deviation[mode]:.2f}"
        rate = f" ({flops / self.mean[mode] / 1e12:.3g})" if queries > 1 else ""
        return f"{self.star}{mark}{' ' if self.star or mark else ''}{shown}{rate}"


def torch_cell(problem, backend, forms, want, modes, notes):
    """The first form that the backend takes; with fold the fastest of those."""
    torch, best, refusals = problem.torch, None, []
    for form in forms:
        if best and (form == "expand" or best.form == "expand"):
            break
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                call = TorchCall(problem, backend, form)
                cell = Cell(error=(call.result().float() - want).abs().max().item(), call=call)
                cell.prepare(torch, modes)
            except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
                reasons = [str(w.message).split(" (Triggered")[0] for w in said] or [str(error).split("\n")[0]]
                refusals.append(form + ": " + "; ".join(dict.fromkeys(reasons)))
                torch.cuda.synchronize()
                torch.cuda.empty_cache()
                continue
        if best is None or cell.measured[modes[0]].estimate < best.measured[modes[0]].estimate:
            best = cell
    return best or Cell(refusal=notes.mark(". ".join(refusals)))


def weir_cell(problem, device, want, size, modes, notes):
    """The cell, and what is wrong with the result or ''."""
    try:
        call = WeirCall(problem, device)
    except WeirError as error:
        if error.status != UNSUPPORTED:
            raise
        reason = next((r for _, state, score, r in device.explain(describe_problem(problem)) if score == 0 and
                       state == REFUSED), str(error))
        return Cell(refusal=notes.mark(reason)), ""
    off, wrong = check(call.result(), want, size)
    cell = Cell(error=off, call=call)
    call.o.fill_(math.nan)
    cell.prepare(problem.torch, modes)
    return cell, wrong


def time_row(problem, cells, want, size):
    """Times all cells in turns; what is wrong with weir's results as the last calls left them, by column."""
    measured = [each for cell in cells.values() for each in cell.measured.values()]
    for _ in range(RUNS):
        for each in measured:
            each.run()
    problem.torch.cuda.synchronize()
    wrong = {}
    for name, cell in cells.items():
        if isinstance(cell.call, WeirCall):
            off = check(cell.call.o[0], want, size)[1]
            if off:
                wrong[name] = "in the measured calls " + off
            cell.call.close()
        cell.conclude()
    return wrong


def check(got, want, size):
    """The largest error, and what is wrong or ''. P and the result are held to 8 bits, as bf16 has them."""
    off = (got.float() - want).abs()
    allowed = size * 2 ** -8 + want.abs() * 2 ** -7 + 2 ** -16
    largest = off.max().item()
    if bool((off <= allowed).all()):  # NaN is not <=
        return largest, ""
    return largest, f"off by up to {largest:.3g}, {(off / allowed).max().item():.3g} times what is allowed"


def chosen_plugin(device, problem):
    return next((name for name, state, _, _ in device.explain(describe_problem(problem)) if state == CHOSEN), None)


def progress(line):
    if sys.stderr.isatty():
        print("\r\033[K" + line, end="", file=sys.stderr, flush=True)


def compare(arguments, library):
    import torch
    from torch.nn.attention import SDPBackend
    if not torch.cuda.is_available():
        sys.exit("sdpa_vs_torch: PyTorch finds no CUDA device here; --selftest needs none")
    torch.cuda.init()
    torch.zeros(1, device="cuda")  # makes the context current, which weir then uses
    torch.manual_seed(1)
    backends = {"Flash": SDPBackend.FLASH_ATTENTION, "Efficient": SDPBackend.EFFICIENT_ATTENTION,
                "cuDNN": SDPBackend.CUDNN_ATTENTION, "Math": SDPBackend.MATH}
    gpu = f"cuda:{torch.cuda.current_device()}"
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    default = Device(library, gpu)
    names = arguments.plugins.split(",") if arguments.plugins else \
        [name for name in default.sdpa_plugins() if name not in ("ref", "cpu")]
    devices = {name: Device(library, gpu, "sdpa=" + name) for name in names}
    modes = ["graph", "plain"] if arguments.mode == "both" else [arguments.mode]
    forms = ["gqa", "fold", "expand"] if arguments.fold and arguments.queries == 1 else ["gqa", "expand"]
    columns, notes, wrong, rows = [*backends, *names], Footnotes(), [], []

    print(f"{properties.name}, {properties.multi_processor_count} SMs, PyTorch {torch.__version__}, CUDA "
          f"{torch.version.cuda}, weir {library.version().decode()}; {arguments.queries} "
          f"quer{'y' if arguments.queries == 1 else 'ies'}{', causal' if arguments.causal else ''}, bf16")
    for config, shape in arguments.config.items():
        for kv_len in arguments.kv:
            progress(f"{config} {kv_len}")
            problem = Problem(torch, shape, arguments.queries, kv_len, arguments.causal, properties.L2_cache_size)
            want, size = problem.reference()
            cells, off = {}, {}
            for name, device in devices.items():
                cells[name], off[name] = weir_cell(problem, device, want, size, modes, notes)
            star = chosen_plugin(default, problem)
            if star in cells:
                cells[star].star = "*"
            for name, backend in backends.items():
                cells[name] = torch_cell(problem, backend, forms, want, modes, notes)
            for name, later in time_row(problem, cells, want, size).items():
                off[name] = off[name] or later
            wrong += [f"{name} {config} {kv_len} {sentence}" for name, sentence in off.items() if sentence]
            rows.append((config, kv_len, problem.flops, cells))
            del problem, want, size
            torch.cuda.empty_cache()
    progress("")

    for mode in modes:
        unit = "us (TFLOP/s)" if arguments.queries > 1 else "us"
        print(f"\n{mode}, {unit}; mean and deviation of the last 6 of {RUNS} runs\n")
        table = Table(["attention", "kv", *columns, "torch/weir"])
        for config, kv_len, flops, cells in rows:
            best = [min((c.mean[mode] for name, c in cells.items() if (name in backends) == side and mode in c.mean),
                        default=None) for side in (True, False)]
            ratio = f"{best[0] / best[1]:.2f}" if all(best) else "-"
            table.add([config, str(kv_len), *(cells[c].time(mode, flops, arguments.queries) for c in columns), ratio])
        table.show()
    print("\nlargest absolute error against f32\n")
    table = Table(["attention", "kv", *columns])
    for config, kv_len, _, cells in rows:
        table.add([config, str(kv_len), *("-" if cells[c].error is None else f"{cells[c].error:.2e}" for c in columns)])
    table.show()
    print("\n*: what weir takes by itself.  e: K and V expanded.  f: heads folded into queries.  torch/weir: fastest "
          "of each.")
    notes.show()
    for sentence in wrong:
        print("WRONG:", sentence)
    for device in (default, *devices.values()):
        device.close()
    return 1 if wrong else 0


def selftest(library):
    failed = weir_sdpa.selftest(library)
    if any(abs(a - b) > 1e-12 for a, b in zip(summary([9.0] * 4 + [1, 2, 3, 4, 5, 6]), (3.5, math.sqrt(35 / 12)))):
        print("WRONG: the mean and deviation of the last six")
        failed += 1
    if parse_lengths("64..300,7") != [64, 128, 256, 7] or attended(3, 2, True) != 3 or attended(3, 2, False) != 6:
        print("WRONG: lengths or pairs")
        failed += 1
    print("selftest:", "FAILED" if failed else "all is well")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=parse_configs, default="all",
                        help="names (%s), HQ:HKV:D or all, with commas (default all)" % ", ".join(CONFIGS))
    parser.add_argument("--kv", type=parse_lengths, default="64..16384", help="lengths and ranges (default 64..16384)")
    parser.add_argument("--queries", type=int, default=1, help="queries in one call (default 1)")
    parser.add_argument("--causal", action="store_true", help="causal, aligned to the end of the KV length")
    parser.add_argument("--mode", choices=["graph", "plain", "both"], default="graph", help="default graph")
    parser.add_argument("--plugins", help="weir plugins, with commas (default: all with attention but ref and cpu)")
    parser.add_argument("--fold", action="store_true", help="PyTorch: for one query also try heads as queries")
    parser.add_argument("--lib", default=os.environ.get("WEIR_LIBRARY", "libweir.so.0"), help="the library to open")
    parser.add_argument("--selftest", action="store_true", help="a tiny attention on the CPU against plain Python")
    arguments = parser.parse_args()
    if arguments.queries < 1:
        parser.error(f"--queries {arguments.queries}: a number from 1 is wanted")
    try:
        library = Library(arguments.lib)
    except (OSError, AttributeError) as error:
        sys.exit(f"sdpa_vs_torch: {error}; name the library with --lib or WEIR_LIBRARY")
    try:
        return selftest(library) if arguments.selftest else compare(arguments, library)
    except WeirError as error:
        sys.exit(f"sdpa_vs_torch: {error}")


if __name__ == "__main__":
    sys.exit(main())
