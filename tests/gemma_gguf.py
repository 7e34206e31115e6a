# SPDX-License-Identifier: MIT
"""GGUF files in numpy: reader, dequantisers, writer. Shares nothing with libweir.

Formulas of the block types: the layout of ggml's block_q4_0 ... block_q6_K. All values are
exact in f64; the caller rounds.
"""
import struct

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
U32, F32_META, BOOL, I32 = 4, 6, 7, 5

# name: (number, elements in a block, bytes in a block)
TYPES = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "BF16": (30, 1, 2),
    "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
    "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
}
NAMES = {number: name for name, (number, _, _) in TYPES.items()}


# ---- Blocks: [blocks, bytes] u8 -> [blocks, elements] f64 ----

def half(blocks, at):
    return blocks[:, at:at + 2].copy().view("<f2").astype(np.float64)


def nibbles(codes):
    """32 codes: low nibbles of 16 bytes, then their high nibbles."""
    return np.concatenate([codes & 15, codes >> 4], axis=1).astype(np.int64)


def fifth_bits(blocks, at):
    bits = blocks[:, at:at + 4].copy().view("<u4")
    return ((bits >> np.arange(32, dtype=np.uint32)) & 1).astype(np.int64)


def k_scales(packed):
    """The eight 6-bit scales and mins in the 12 bytes of Q4_K and Q5_K."""
    a, b, c = (packed[:, i:i + 4].astype(np.int64) for i in (0, 4, 8))
    scales = np.concatenate([a & 63, (c & 15) | (a >> 6) << 4], axis=1)
    mins = np.concatenate([b & 63, (c >> 4) | (b >> 6) << 4], axis=1)
    return scales, mins


def q4_0(b):
    return half(b, 0) * (nibbles(b[:, 2:18]) - 8)


def q4_1(b):
    return half(b, 0) * nibbles(b[:, 4:20]) + half(b, 2)


def q5_0(b):
    return half(b, 0) * (nibbles(b[:, 6:22]) + 16 * fifth_bits(b, 2) - 16)


def q5_1(b):
    return half(b, 0) * (nibbles(b[:, 8:24]) + 16 * fifth_bits(b, 4)) + half(b, 2)


def q8_0(b):
    return half(b, 0) * b[:, 2:34].view(np.int8)


def k_min_form(b, codes):
    scales, mins = k_scales(b[:, 4:16])
    codes = codes.reshape(len(b), 8, 32)
    values = (half(b, 0) * scales)[:, :, None] * codes - (half(b, 2) * mins)[:, :, None]
    return values.reshape(len(b), 256)


def pairs_of_32(codes):
    """Four runs of 32 bytes: each 32 low nibbles, then 32 high ones."""
    runs = codes.reshape(len(codes), 4, 1, 32)
    return np.concatenate([runs & 15, runs >> 4], axis=2).astype(np.int64).reshape(len(codes), 8, 32)


def q4_k(b):
    return k_min_form(b, pairs_of_32(b[:, 16:144]))


def q5_k(b):
    high = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None]) & 1
    return k_min_form(b, pairs_of_32(b[:, 48:176]) + 16 * high.astype(np.int64))


def q6_k(b):
    n = len(b)
    low = b[:, :128].reshape(n, 2, 1, 64)
    low = np.concatenate([low & 15, low >> 4], axis=2).reshape(n, 2, 4, 32)
    high = (b[:, 128:192].reshape(n, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[None, None, :, None]) & 3
    codes = low.astype(np.int64) + 16 * high.astype(np.int64) - 32
    scales = half(b, 208) * b[:, 192:208].view(np.int8)
    return (codes.reshape(n, 16, 16) * scales[:, :, None]).reshape(n, 256)


BLOCKS = {"Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0, "Q4_K": q4_k, "Q5_K": q5_k,
          "Q6_K": q6_k}


def dequantise(name, data):
    """Bytes of whole blocks -> f64 values."""
    if name == "F32":
        return data.view("<f4").astype(np.float64)
    if name == "F16":
        return data.view("<f2").astype(np.float64)
    if name == "BF16":
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if name not in BLOCKS:
        raise ValueError(f"tensors of type {name} cannot be read; known: {', '.join(TYPES)}")
    return BLOCKS[name](data.reshape(-1, TYPES[name][2])).ravel()


# ---- Files ----

class Gguf:
    """meta: key -> value (strings are bytes); tensors: name -> (type name, dims, bytes)."""

    def __init__(self, path):
        self.bytes = np.memmap(path, np.uint8, "r")
        self.at = 0
        magic, version, tensors, keys = self.take("<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"{path} is no GGUF file of version 2 or 3")
        self.meta, found = {}, []
        for _ in range(keys):
            key = self.string().decode()
            self.meta[key] = self.value(self.take("<I")[0])
        for _ in range(tensors):
            name = self.string().decode()
            dims = self.take(f"<{self.take('<I')[0]}Q")
            found.append((name, dims, *self.take("<IQ")))
        align = self.meta.get("general.alignment", 32)
        start = -(-self.at // align) * align
        self.tensors = {}
        for name, dims, number, offset in found:
            kind = NAMES.get(number, f"unknown ({number})")
            _, block, size = TYPES.get(kind, (0, 1, 0))
            count = int(np.prod(dims)) // block * size
            self.tensors[name] = (kind, dims, self.bytes[start + offset:start + offset + count])

    def take(self, form):
        size = struct.calcsize(form)
        values = struct.unpack(form, self.bytes[self.at:self.at + size].tobytes())
        self.at += size
        return values

    def string(self):
        size = self.take("<Q")[0]
        self.at += size
        return self.bytes[self.at - size:self.at].tobytes()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.take("<" + SCALARS[kind])[0]
        inner, count = self.take("<IQ")
        if inner in (STRING, ARRAY):
            return [self.value(inner) for _ in range(count)]
        return list(self.take(f"<{count}{SCALARS[inner]}"))

    def tensor(self, name, dtype=np.float64, form=None):
        """The values as a matrix [n, k] or a vector, through form(values) where one is given."""
        if name not in self.tensors:
            raise KeyError(f"there is no tensor '{name}'")
        kind, dims, data = self.tensors[name]
        rows = int(np.prod(dims[1:], dtype=np.int64))
        out = np.empty((rows, dims[0]), dtype)
        row_bytes, some = len(data) // rows, max(1, (1 << 22) // dims[0])
        for n in range(0, rows, some):
            part = np.array(data[n * row_bytes:(n + some) * row_bytes])
            values = dequantise(kind, part).reshape(-1, dims[0])
            out[n:n + some] = form(kind, values) if form else values
        return out[0] if len(dims) == 1 else out


def meta_string(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


def meta_value(kind, value):
    if kind == STRING:
        return meta_string(value)
    return struct.pack("<" + SCALARS[kind], value)


def write_gguf(path, meta, tensors):
    """meta: [(key, kind, value)], a list's kind is that of its elements;
    tensors: [(name, type name, dims with dims[0] contiguous, bytes)]."""
    head = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(meta))]
    for key, kind, value in meta:
        head.append(meta_string(key))
        if isinstance(value, list):
            head.append(struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(meta_value(kind, v) for v in value))
        else:
            head.append(struct.pack("<I", kind) + meta_value(kind, value))
    offset = 0
    for name, kind, dims, data in tensors:
        head.append(meta_string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
                    + struct.pack("<IQ", TYPES[kind][0], offset))
        offset += -(-len(data) // 32) * 32
    head = b"".join(head)
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32))
        for _, _, _, data in tensors:
            file.write(bytes(data) + b"\0" * (-len(data) % 32))
