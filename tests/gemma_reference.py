#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Gemma 3 and Gemma 4 (dense, text) from a GGUF file in numpy: the truth that weir-gemma is
compared with. It shares nothing with libweir.

Sources of the formulas: the architectures' public model code (Gemma3ForCausalLM,
Gemma4ForCausalLM) and the GGUF keys and tensors that converters write for them. K and V of the
whole sequence are kept as they are; sliding is a mask.

With --round, values are rounded where weir-gemma rounds by contract: activations to 8 bits before
every matrix, q, K and V to bf16, and F32, F16 and BF16 matrices to int8. Codes flip with the last
bit of an f32 sum and layers amplify that, so two programs that round alike do not give equal logits, but
equally large errors. With --mutate, one formula is wrong on purpose.
"""
import argparse
import json
import sys

import numpy as np

from gemma_gguf import Gguf

MUTATIONS = {
    "rope-base-sliding": "sliding layers rotate with the base of full ones",
    "rope-base-full": "full layers rotate with the base of sliding ones",
    "rope-neighbours": "pairs are (2i, 2i+1)",
    "rope-all": "every pair of a proportional layer rotates",
    "rope-front": "a proportional layer rotates its first dimensions as one small head",
    "no-q-norm": "q is not normed",
    "no-k-norm": "k is not normed",
    "no-v-norm": "v is not normed (Gemma 4)",
    "v-after-norm": "where V is K: K after its weighted norm",
    "v-rotated": "where V is K: K after norm and rotation",
    "one-plus-weight": "norm weights get another 1",
    "no-embedding-scale": "the embedding is not multiplied by sqrt(width)",
    "attention-scale": "scores are multiplied by 1/sqrt(head_dim) where it is 1, and not where it is not",
    "window-less": "sliding layers attend one token less",
    "window-more": "sliding layers attend one token more",
    "no-window": "sliding layers attend everything",
    "pattern-shift": "full layers come one layer earlier",
    "kv-heads": "query heads take KV heads in turn, not in runs",
    "no-post-attention-norm": "attention's output is added without its norm",
    "no-post-ffn-norm": "the feed-forward's output is added without its norm",
    "gelu-erf": "GELU with erf in place of tanh",
    "silu": "SiLU in place of GELU",
    "gate-up-swapped": "GELU of up times gate",
    "no-layer-scale": "layers are not scaled (Gemma 4)",
    "layer-scale-branch": "the scale goes to the feed-forward's branch only (Gemma 4)",
    "no-softcap": "logits are not capped",
    "epsilon": "norms take 1e-6 as epsilon, and where it is that, 1e-3",
}


def to_bf16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(x.dtype)


def to_8_bits(x):
    """Blocks of 32: d = amax/127 and 1/d in f32, codes by rounding half to even."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(*x.shape[:-1], -1, 32)
    d = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d > 0)
    codes = np.clip(np.rint(blocks * inverse), -128, 127)
    return (codes * d).reshape(x.shape).astype(x.dtype)


def to_int8_weights(kind, values):
    """What an importer makes of a matrix of floats: int8, one f32 scale for 32 weights of a row."""
    if kind not in ("F32", "F16", "BF16"):
        return values
    k = values.shape[-1]
    group = 32 if k % 32 == 0 else 16 if k % 16 == 0 else k
    groups = values.reshape(len(values), -1, group)
    scales = (np.abs(groups).max(axis=-1, keepdims=True) / 127).astype(np.float32).astype(np.float64)
    codes = np.divide(groups, scales, out=np.zeros_like(groups), where=scales > 0)
    return (np.clip(np.rint(codes), -127, 127) * scales).reshape(values.shape)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def gelu_erf(x):
    import math
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


class Layer:
    """What metadata says of one layer."""

    def __init__(self, model, i):
        key, has = model.key, model.mutations.__contains__
        pattern = key("attention.sliding_window_pattern", 6)
        at = i + 1 if "pattern-shift" in model.mutations else i
        if isinstance(pattern, list):
            self.sliding = bool(pattern[at % len(pattern)])
        else:
            self.sliding = pattern == 0 or at % pattern < pattern - 1
        as_written = bool(pattern[i]) if isinstance(pattern, list) else pattern == 0 or i % pattern < pattern - 1
        kv_heads = key("attention.head_count_kv")
        self.kv_heads = kv_heads[i] if isinstance(kv_heads, list) else kv_heads
        self.head_dim = key("attention.key_length", model.width // model.heads)
        if as_written:
            self.head_dim = key("attention.key_length_swa", self.head_dim)
        base_full, base_sliding = key("rope.freq_base"), key("rope.freq_base_swa", 10000.0)
        base = base_sliding if self.sliding else base_full
        if has("rope-base-sliding") and self.sliding:
            base = base_full
        if has("rope-base-full") and not self.sliding:
            base = base_sliding
        half = self.head_dim // 2
        self.frequencies = float(base) ** (-np.arange(half) / half)
        self.rotated = half
        if not self.sliding:
            self.frequencies /= key("rope.scaling.factor", 1.0) if key("rope.scaling.type", b"") == b"linear" else 1.0
            if "rope_freqs.weight" in model.file.tensors and len(model.file.tensor("rope_freqs.weight")) == half:
                factors = model.file.tensor("rope_freqs.weight")
                self.rotated = int((factors < 1e20).sum())
                if not has("rope-all"):
                    self.frequencies /= factors
        if has("rope-front") and self.rotated < half:
            self.frequencies = float(base) ** (-np.arange(self.rotated) / self.rotated)


class Model:
    def __init__(self, path, dtype=np.float32, rounded="", mutations=()):
        """rounded: "" (not at all), "f32" or "bf16" (the type of what is quantised to 8 bits), or
        "kv" (no activation to 8 bits)."""
        unknown = [m for m in mutations if m not in MUTATIONS]
        if unknown:
            raise ValueError(f"there is no mutation '{unknown[0]}'; known: {', '.join(MUTATIONS)}")
        self.file, self.dtype, self.rounded = Gguf(path), dtype, rounded
        self.architecture = self.file.meta["general.architecture"].decode()
        if self.architecture not in ("gemma3", "gemma4"):
            raise ValueError(f"the architecture is '{self.architecture}'; known: gemma3, gemma4")
        self.is_4 = self.architecture == "gemma4"
        for absent in ("expert_count", "embedding_length_per_layer_input", "attention.shared_kv_layers"):
            if self.key(absent, 0):
                raise ValueError(f"{absent} is {self.key(absent)}; only dense models without it are known")
        self.weights = {}
        self.configure(mutations)

    def key(self, name, *default):
        name = f"{self.architecture}.{name}"
        if name not in self.file.meta and not default:
            raise KeyError(f"the file has no key '{name}'")
        return self.file.meta.get(name, *default)

    def configure(self, mutations=()):
        """Other mutations on the same weights."""
        self.mutations = frozenset(mutations)
        self.width, self.heads = self.key("embedding_length"), self.key("attention.head_count")
        self.window = self.key("attention.sliding_window", 0)
        self.epsilon = self.key("attention.layer_norm_rms_epsilon")
        if "epsilon" in mutations:
            self.epsilon = 1e-6 if self.epsilon > 1e-5 else 1e-3
        self.softcap = self.key("final_logit_softcapping", 0.0)
        self.layers = [Layer(self, i) for i in range(self.key("block_count"))]
        self.restart()

    def restart(self):
        self.position = 0
        self.keys = [None] * len(self.layers)
        self.values = [None] * len(self.layers)

    def weight(self, name):
        if name not in self.weights:
            is_matrix = len(self.file.tensors[name][1]) > 1 if name in self.file.tensors else False
            form = to_int8_weights if self.rounded and is_matrix else None
            self.weights[name] = self.file.tensor(name, self.dtype, form)
        return self.weights[name]

    def norm(self, x, name=None):
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.dtype(self.epsilon))
        if name is None:
            return x
        weight = self.weight(name)
        return x * (weight + 1 if "one-plus-weight" in self.mutations else weight)

    def project(self, x, name):
        if self.rounded in ("f32", "bf16"):
            x = to_8_bits(to_bf16(x) if self.rounded == "bf16" else x)
        return x @ self.weight(name).T

    def rotate(self, x, layer, positions):
        """x: [rows, heads, head_dim]; pairs are (i, i + head_dim/2)."""
        angles = positions[:, None] * layer.frequencies
        cos, sin = (f(angles)[:, None, :].astype(self.dtype) for f in (np.cos, np.sin))
        if "rope-neighbours" in self.mutations:
            a, b = x[..., 0::2], x[..., 1::2]
            return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)
        n = cos.shape[-1]
        a, b = x[..., :n], x[..., n:2 * n]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * n:]], axis=-1)

    def attend(self, i, x):
        layer, has, rows = self.layers[i], self.mutations.__contains__, len(x)
        name = f"blk.{i}.attn_"
        positions = np.arange(self.position, self.position + rows)
        q = self.project(x, name + "q.weight").reshape(rows, self.heads, layer.head_dim)
        k = self.project(x, name + "k.weight").reshape(rows, layer.kv_heads, layer.head_dim)
        v_is_k = name + "v.weight" not in self.file.tensors
        if v_is_k and not self.is_4:
            raise KeyError(f"there is no tensor '{name}v.weight'")
        v = k if v_is_k else self.project(x, name + "v.weight").reshape(k.shape)
        q = q if has("no-q-norm") else self.norm(q, name + "q_norm.weight")
        k = k if has("no-k-norm") else self.norm(k, name + "k_norm.weight")
        if v_is_k and has("v-after-norm"):
            v = k
        q, k = self.rotate(q, layer, positions), self.rotate(k, layer, positions)
        if v_is_k and has("v-rotated"):
            v = k
        if self.is_4 and not has("no-v-norm"):
            v = self.norm(v)
        if self.rounded:
            q, k, v = to_bf16(q), to_bf16(k), to_bf16(v)
        if self.position:
            k, v = np.concatenate([self.keys[i], k]), np.concatenate([self.values[i], v])
        self.keys[i], self.values[i] = k, v

        at = np.arange(len(k))
        seen = at[None, :] <= positions[:, None]
        if layer.sliding and self.window and not has("no-window"):
            window = self.window + has("window-more") - has("window-less")
            seen &= positions[:, None] - at[None, :] < window
        scale = 1.0 if self.is_4 else self.key("attention.scale", 0) or self.default_scale(layer)
        if has("attention-scale"):
            scale = 1.0 if scale != 1 else layer.head_dim ** -0.5
        if has("kv-heads"):
            of_head = np.arange(self.heads) % layer.kv_heads
        else:
            of_head = np.arange(self.heads) // (self.heads // layer.kv_heads)
        out = np.empty((rows, self.heads, layer.head_dim), self.dtype)
        for head in range(self.heads):
            scores = q[:, head] @ k[:, of_head[head]].T * self.dtype(scale)
            scores = np.where(seen, scores, -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = weights @ v[:, of_head[head]] / weights.sum(axis=1, keepdims=True)
        return self.project(out.reshape(rows, -1), name + "output.weight")

    def default_scale(self, layer):
        """Gemma 3 27B scales with width/heads, the others with their head_dim."""
        return (self.width / self.heads if len(self.layers) == 62 else layer.head_dim) ** -0.5

    def feed_forward(self, i, x):
        gate, up = (self.project(x, f"blk.{i}.ffn_{name}.weight") for name in ("gate", "up"))
        if "gate-up-swapped" in self.mutations:
            gate, up = up, gate
        gelu = gelu_erf if "gelu-erf" in self.mutations else silu if "silu" in self.mutations else gelu_tanh
        return self.project(gelu(gate).astype(self.dtype) * up, f"blk.{i}.ffn_down.weight")

    def feed(self, tokens, keep=1):
        """Appends tokens; logits [keep, vocabulary] of the last `keep` of them."""
        has = self.mutations.__contains__
        h = self.weight("token_embd.weight")[np.asarray(tokens)]
        if not has("no-embedding-scale"):
            h = h * self.dtype(np.sqrt(self.width))
        for i in range(len(self.layers)):
            name = f"blk.{i}."
            y = self.attend(i, self.norm(h, name + "attn_norm.weight"))
            h = h + (y if has("no-post-attention-norm") else self.norm(y, name + "post_attention_norm.weight"))
            y = self.feed_forward(i, self.norm(h, name + "ffn_norm.weight"))
            y = y if has("no-post-ffn-norm") else self.norm(y, name + "post_ffw_norm.weight")
            scale = self.weight(name + "layer_output_scale.weight") if self.layer_scaled(name) else self.dtype(1)
            h = h + y * scale if has("layer-scale-branch") else (h + y) * scale
        self.position += len(tokens)
        x = self.norm(h[len(tokens) - keep:], "output_norm.weight")
        head = "output.weight" if "output.weight" in self.file.tensors else "token_embd.weight"
        logits = self.project(x, head)
        if self.softcap and not has("no-softcap"):
            logits = np.tanh(logits / self.softcap) * self.softcap
        return logits

    def layer_scaled(self, name):
        return name + "layer_output_scale.weight" in self.file.tensors and "no-layer-scale" not in self.mutations

    def generate(self, tokens, n):
        """Greedy: n tokens, and the logits [n, vocabulary] that chose them."""
        self.restart()
        chosen, rows, feed = [], [], list(tokens)
        for _ in range(n):
            rows.append(self.feed(feed)[0])
            chosen.append(int(rows[-1].argmax()))
            feed = chosen[-1:]
        return chosen, np.array(rows)

    def forced(self, tokens, first):
        """Logits after each of tokens[first:], the sequence in one piece."""
        self.restart()
        return self.feed(tokens, len(tokens) - first)

    def pieces(self, text):
        """Ids of pieces written with | between them; a space is U+2581."""
        known = {piece: i for i, piece in enumerate(self.file.meta["tokenizer.ggml.tokens"])}
        return [self.file.meta["tokenizer.ggml.bos_token_id"]] + [
            known[piece.replace(" ", "\u2581").encode()] for piece in text.split("|")]

    def text(self, tokens):
        out = b""
        for token in tokens:
            piece = self.file.meta["tokenizer.ggml.tokens"][token]
            is_byte = self.file.meta["tokenizer.ggml.token_type"][token] == 6
            out += bytes([int(piece[3:5], 16)]) if is_byte else piece.replace("\u2581".encode(), b" ")
        return out.decode(errors="replace")


def top(logits, k):
    order = np.lexsort((np.arange(len(logits)), -logits))[:k]
    return [[int(i), float(logits[i])] for i in order]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-m", dest="model", required=True, metavar="GGUF")
    parser.add_argument("--tokens", metavar="ID,ID,...", help="the prompt")
    parser.add_argument("--pieces", metavar="PIECE|PIECE|...", help="the prompt in the file's pieces, after BOS")
    parser.add_argument("-n", type=int, default=16, help="tokens to generate (16)")
    parser.add_argument("--logits", type=int, default=5, metavar="K", help="top-K logits of each token (5)")
    parser.add_argument("--f64", action="store_true", help="compute in f64, not f32")
    parser.add_argument("--round", choices=["f32", "bf16", "kv"], default="",
                        help="round as weir-gemma does on the CPU, on CUDA, or with exact activations")
    parser.add_argument("--mutate", action="append", default=[], metavar="NAME", help=", ".join(MUTATIONS))
    parser.add_argument("--text", action="store_true", help="print the text, not JSON")
    args = parser.parse_args()
    model = Model(args.model, np.float64 if args.f64 else np.float32, args.round, args.mutate)
    prompt = [int(t) for t in args.tokens.split(",")] if args.tokens else model.pieces(args.pieces)
    tokens, logits = model.generate(prompt, args.n)
    if args.text:
        print(model.text(prompt[1:] if args.pieces else prompt) + "|" + model.text(tokens))
        return
    json.dump({"prompt": prompt, "tokens": tokens, "top": [top(row, args.logits) for row in logits]}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
