#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes small GGUF files of random weights: gemma_synthetic.py gemma3|gemma4 FILE [SEED].

Two layers each, the first sliding and the second full, a window of 16 tokens, a vocabulary of 512
pieces, and between them every block type that has an importer, and matrices of one x whose
types are all different, all equal, and equal for the first or the last two. Sizes of norms are such that
attention is neither flat nor one-hot, that the softcap bends, and that the residual of a
token does not drown the layers' outputs; epsilon is large enough to be seen.
"""
import sys

import numpy as np

from gemma_gguf import BOOL, F32_META, I32, STRING, TYPES, U32, dequantise, write_gguf

WIDTH, FEED_FORWARD, HEADS, WINDOW, VOCABULARY = 256, 512, 4, 16, 512
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
KINDS = {
    "gemma3": [("Q4_0", "Q4_1", "Q5_0", "Q4_K", "Q5_1", "Q5_K", "Q6_K"),
               ("Q8_0", "Q8_0", "Q8_0", "F16", "Q4_K", "BF16", "F32")],
    "gemma4": [("Q4_K", "Q6_K", "Q6_K", "Q5_0", "Q4_K", "Q4_K", "Q6_K"),
               ("Q6_K", "Q6_K", None, "Q8_0", "Q4_1", "Q5_K", "Q4_K")],
}
EMBEDDING = {"gemma3": "Q8_0", "gemma4": "Q6_K"}


def float_bytes(kind, values):
    if kind == "F32":
        return values.astype("<f4").tobytes()
    if kind == "F16":
        return values.astype("<f2").tobytes()
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def random_matrix(random, kind, n, k, deviation):
    """Blocks of random codes and scales; their values deviate from 0 by about `deviation`."""
    number, block, size = TYPES[kind]
    if block == 1:
        return float_bytes(kind, random.normal(0, deviation, (n, k)))
    blocks = random.integers(0, 256, (n * k // block, size), np.uint8)
    d_at = size - 2 if kind == "Q6_K" else 0
    min_of_d = {"Q4_1": -7.5, "Q5_1": -15.5, "Q4_K": 7.5, "Q5_K": 15.5}.get(kind)

    def put(scale):
        d = (scale * spread).astype("<f2")
        blocks[:, d_at:d_at + 2] = d.view(np.uint8).reshape(-1, 2)
        if min_of_d:
            blocks[:, 2:4] = (d * np.float16(min_of_d)).astype("<f2").view(np.uint8).reshape(-1, 2)

    spread = random.uniform(0.5, 1.5, len(blocks))
    put(1 / 64)
    put(deviation / 64 / dequantise(kind, blocks.ravel()).std())
    return blocks.tobytes()


def vocabulary(architecture):
    pieces = [(b"<pad>", 3), (b"<eos>", 3), (b"<bos>", 3), (b"<unk>", 2)]
    pieces += [(b"<0x%02X>" % i, 6) for i in range(256)]
    letters = [b"\xe2\x96\x81"] + [bytes([c]) for c in range(ord("a"), ord("z") + 1)]
    pairs = [a + b for a in letters for b in letters if not b.startswith(b"\xe2")]
    pieces += [(piece, 1) for piece in letters + pairs][:VOCABULARY - len(pieces)]
    merges = [b"%s %s" % (piece[:-1], piece[-1:]) for piece, kind in pieces if kind == 1 and piece not in letters]
    meta = [
        ("tokenizer.ggml.model", STRING, "gemma4" if architecture == "gemma4" else "llama"),
        ("tokenizer.ggml.tokens", STRING, [piece for piece, _ in pieces]),
        ("tokenizer.ggml.scores", F32_META, [-float(i) for i in range(len(pieces))]),
        ("tokenizer.ggml.token_type", I32, [kind for _, kind in pieces]),
        ("tokenizer.ggml.bos_token_id", U32, 2), ("tokenizer.ggml.eos_token_id", U32, 1),
        ("tokenizer.ggml.unknown_token_id", U32, 3), ("tokenizer.ggml.padding_token_id", U32, 0),
        ("tokenizer.ggml.add_bos_token", BOOL, True), ("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]
    if architecture == "gemma4":
        meta.append(("tokenizer.ggml.merges", STRING, merges))
    return meta


def write_model(path, architecture, seed=1):
    random = np.random.default_rng(seed)
    is_4 = architecture == "gemma4"
    head_dim, kv_heads = ([64, 128], [2, 1]) if is_4 else ([64, 64], [2, 2])
    own = [
        ("context_length", U32, 512), ("embedding_length", U32, WIDTH), ("block_count", U32, 2),
        ("feed_forward_length", U32, FEED_FORWARD), ("attention.head_count", U32, HEADS),
        ("attention.layer_norm_rms_epsilon", F32_META, 0.03), ("attention.sliding_window", U32, WINDOW),
        ("attention.key_length", U32, head_dim[1]), ("attention.value_length", U32, head_dim[1]),
        ("rope.freq_base", F32_META, 1e6),
    ]
    if is_4:
        own += [
            ("attention.head_count_kv", I32, kv_heads), ("attention.sliding_window_pattern", BOOL, [True, False]),
            ("attention.key_length_swa", U32, head_dim[0]), ("attention.value_length_swa", U32, head_dim[0]),
            ("rope.dimension_count", U32, head_dim[1]), ("rope.dimension_count_swa", U32, head_dim[0]),
            ("rope.freq_base_swa", F32_META, 1e4), ("final_logit_softcapping", F32_META, 30.0),
            ("attention.shared_kv_layers", U32, 0), ("embedding_length_per_layer_input", U32, 0),
        ]
    else:
        own += [("attention.head_count_kv", U32, kv_heads[0]), ("attention.sliding_window_pattern", U32, 2)]
    meta = [("general.architecture", STRING, architecture), ("general.name", STRING, f"random {architecture}")]
    meta += [(f"{architecture}.{name}", kind, value) for name, kind, value in own] + vocabulary(architecture)

    tensors = []

    def vector(name, values):
        tensors.append((name, "F32", (len(values),), float_bytes("F32", np.asarray(values))))

    def norm(name, size, about):
        vector(name, about * random.uniform(0.5, 1.5, size))

    def matrix(name, kind, n, k):
        tensors.append((name, kind, (k, n), random_matrix(random, kind, n, k, k ** -0.5)))

    matrix("token_embd.weight", EMBEDDING[architecture], VOCABULARY, WIDTH)
    norm("output_norm.weight", WIDTH, 15 if is_4 else 4)
    if is_4:
        vector("rope_freqs.weight", [1.0] * 16 + [1e30] * (head_dim[1] // 2 - 16))
    for i in range(2):
        name, q, kv = f"blk.{i}.", HEADS * head_dim[i], kv_heads[i] * head_dim[i]
        shapes = [(q, WIDTH), (kv, WIDTH), (kv, WIDTH), (WIDTH, q), (FEED_FORWARD, WIDTH), (FEED_FORWARD, WIDTH),
                  (WIDTH, FEED_FORWARD)]
        for matrix_name, kind, shape in zip(MATRICES, KINDS[architecture][i], shapes):
            if kind:
                matrix(f"{name}{matrix_name}.weight", kind, *shape)
        # Scores deviate by |q_norm * k_norm| * sqrt(head_dim) * scale: 2 here.
        about = (2 * (head_dim[i] ** -0.5 if is_4 else 1)) ** 0.5
        norm(name + "attn_q_norm.weight", head_dim[i], about)
        norm(name + "attn_k_norm.weight", head_dim[i], about)
        norm(name + "attn_norm.weight", WIDTH, 1)
        norm(name + "ffn_norm.weight", WIDTH, 1)
        norm(name + "post_attention_norm.weight", WIDTH, 3)
        norm(name + "post_ffw_norm.weight", WIDTH, 3)
        if is_4:
            vector(name + "layer_output_scale.weight", [(0.625, 1.75)[i]])
    write_gguf(path, meta, tensors)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in KINDS:
        sys.exit(f"usage: gemma_synthetic.py {'|'.join(KINDS)} FILE [SEED]")
    write_model(sys.argv[2], sys.argv[1], int(sys.argv[3]) if len(sys.argv) == 4 else 1)
