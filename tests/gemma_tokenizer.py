#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the tokenizer of weir-gemma with the plainest possible one: merge the best pair of
the whole list, again and again.

gemma_tokenizer.py PROGRAM DIRECTORY [MODEL.gguf]: PROGRAM is tests/gemma_tokens, made
vocabularies go to DIRECTORY, and the model's own vocabulary is tried when it is given.
"""
import random
import struct
import subprocess
import sys

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581".encode()
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


# ---- Metadata of GGUF files ----

def read_metadata(path):
    with open(path, "rb") as file:
        data = file.read(64 << 20)
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def value(kind):
        nonlocal at
        if kind == 8:
            size = take("Q")
            at += size
            return data[at - size:at]
        if kind == 9:
            element, count = take("I"), take("Q")
            return [value(element) for _ in range(count)]
        return take(SCALARS[kind])

    _, _, _, keys = take("4sIQQ")
    metadata = {}
    for _ in range(keys):
        key = value(8).decode()
        metadata[key] = value(take("I"))
    return metadata


def write_metadata(path, entries):
    """entries: (key, value); values are bytes, bools, ints (u32), or lists of bytes, ints (i32) or floats."""
    def text(bytes):
        return struct.pack("<Q", len(bytes)) + bytes

    def array(kind, values, packed):
        return struct.pack("<IIQ", 9, kind, len(values)) + b"".join(map(packed, values))

    out = [b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries))]
    for key, value in entries:
        out.append(text(key.encode()))
        if isinstance(value, bytes):
            out.append(struct.pack("<I", 8) + text(value))
        elif isinstance(value, bool):
            out.append(struct.pack("<IB", 7, value))
        elif isinstance(value, int):
            out.append(struct.pack("<II", 4, value))
        elif isinstance(value[0], bytes):
            out.append(array(8, value, text))
        elif isinstance(value[0], int):
            out.append(array(5, value, lambda v: struct.pack("<i", v)))
        else:
            out.append(array(6, value, lambda v: struct.pack("<f", v)))
    with open(path, "wb") as file:
        file.write(b"".join(out))


# ---- The plain tokenizer ----

class Plain:
    def __init__(self, metadata):
        def of(key, default=None):
            return metadata.get("tokenizer.ggml." + key, default)

        self.by_rank = of("model") == b"gemma4"
        self.pieces, self.types, self.scores = of("tokens"), of("token_type"), of("scores")
        self.ids = {p: i for i, p in enumerate(self.pieces) if self.types[i] in (NORMAL, USER_DEFINED)}
        self.bytes = {int(p[3:5], 16): i for i, p in enumerate(self.pieces) if self.types[i] == BYTE}
        self.ranks = {}
        for rank, pair in enumerate(of("merges", [])):
            cut = pair.index(b" ", 1)
            self.ranks.setdefault((pair[:cut], pair[cut + 1:]), rank)
        self.bos, self.adds_space = of("bos_token_id"), of("add_space_prefix", not self.by_rank)
        self.adds_bos = self.by_rank or of("add_bos_token", True)
        self.whole = self.by_first_byte([USER_DEFINED])
        self.special = self.by_first_byte([USER_DEFINED, CONTROL])

    def by_first_byte(self, types):
        found = {}
        for i, piece in enumerate(self.pieces):
            if self.types[i] in types and piece:
                text = piece.replace(SPACE, b" ")
                found.setdefault(text[0], []).append((text, i))
        for pieces in found.values():
            pieces.sort(key=lambda piece: -len(piece[0]))
        return found

    def text(self, token):
        if self.types[token] in (CONTROL, UNKNOWN):
            return b""
        if self.types[token] == BYTE:
            return bytes([int(self.pieces[token][3:5], 16)])
        return self.pieces[token].replace(SPACE, b" ")

    def value(self, left, right):
        """Of joining the two: the greatest is joined first. None: they do not join."""
        if self.by_rank:
            rank = self.ranks.get((left, right))
            joins = rank is not None and left in self.ids and right in self.ids and left + right in self.ids
            return -rank if joins else None
        token = self.ids.get(left + right)
        return None if token is None else self.scores[token]

    def run(self, text):
        parts = [c.encode(errors="surrogateescape")
                 for c in text.replace(b" ", SPACE).decode(errors="surrogateescape")]
        while True:
            best, where = None, None
            for i in range(len(parts) - 1):
                value = self.value(parts[i], parts[i + 1])
                if value is not None and (best is None or value > best):
                    best, where = value, i
            if where is None:
                break
            parts[where:where + 2] = [parts[where] + parts[where + 1]]
        tokens = []
        for part in parts:
            tokens += [self.ids[part]] if part in self.ids else [self.bytes[b] for b in part]
        return tokens

    def plain(self, text):
        if not self.by_rank:
            return self.run(text)
        tokens, start = [], 0
        while start < len(text):
            end = start + 1
            while end < len(text) and (text[end] == 10) == (text[start] == 10):
                end += 1
            line = text[start:end]
            tokens += [self.ids[line]] if line[0] == 10 and line in self.ids else self.run(line)
            start = end
        return tokens

    def tokenize(self, kind, text):
        tokens = [self.bos] if kind == "b" and self.adds_bos else []
        if self.adds_space and text:
            text = b" " + text
        pieces = self.special if kind == "s" else self.whole
        start = at = 0
        while at < len(text):
            piece = next((p for p in pieces.get(text[at], ()) if text.startswith(p[0], at)), None)
            if piece is None:
                at += 1
                continue
            tokens += self.plain(text[start:at]) + [piece[1]]
            start = at = at + len(piece[0])
        return tokens + self.plain(text[start:])


# ---- Comparing ----

def ask(program, model, questions):
    lines = "".join(f"{kind} {text.hex() if isinstance(text, bytes) else text}\n" for kind, text in questions)
    done = subprocess.run([program, model], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def shown(text):
    return repr(text if len(text) < 80 else text[:60] + b"..." + text[-12:])


class Comparison:
    def __init__(self, program, model):
        self.program, self.model, self.failures = program, model, 0
        self.plain = Plain(read_metadata(model))
        self.texts = [bytes.fromhex(line.split(" ")[0]) for line in
                      ask(program, model, [("x", i) for i in range(len(self.plain.pieces))])]

    def fail(self, what):
        self.failures += 1
        if self.failures <= 20:
            print(f"FAIL {what}")

    def tokens(self, questions):
        return [[int(token) for token in line.split()] for line in ask(self.program, self.model, questions)]

    def same_texts(self):
        for i, text in enumerate(self.texts):
            if text != self.plain.text(i):
                self.fail(f"token {i} is {text}, not {self.plain.text(i)}")

    def same_tokens(self, questions):
        for (kind, text), found in zip(questions, self.tokens(questions), strict=True):
            wanted = self.plain.tokenize(kind, text)
            if found != wanted:
                self.fail(f"{kind} {shown(text)}: {found[:40]}, not {wanted[:40]}")
            self.round_trip(kind, text, found)

    def round_trip(self, kind, text, tokens):
        """U+2581 in the text comes back as a space."""
        if kind == "s":
            return
        back, wanted = b"".join(self.texts[t] for t in tokens), text.replace(SPACE, b" ")
        if back.replace(SPACE, b" ") != (b" " + wanted if self.plain.adds_space and text else wanted):
            self.fail(f"{shown(text)} came back as {shown(back)}")

    def every_piece(self):
        """Each piece's own text, as tokens, says the same; a control piece is found as such."""
        types = self.plain.types
        spelled = [("t", text) for i, text in enumerate(self.texts) if types[i] not in (CONTROL, UNKNOWN, BYTE)]
        for (kind, text), found in zip(spelled, self.tokens(spelled), strict=True):
            self.round_trip(kind, text, found)
        control = [i for i, kind in enumerate(types) if kind == CONTROL]
        found = self.tokens([("s", self.plain.pieces[i]) for i in control])
        for i, tokens in zip(control, found, strict=True):
            if tokens[-1:] != [i] or len(tokens) != 1 + bool(self.plain.adds_space):
                self.fail(f"{self.plain.pieces[i]} is {tokens}, not [{i}]")


# ---- Texts ----

PROSE = ("It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
         "foolishness, it was the epoch of belief, it was the epoch of incredulity. ")
CODE = """static int32_t largest(const float *x, int n) {
\tint best = 0;
    for (int i = 1; i < n; i++)  /* the lowest of equal ones */
        if (x[i] > x[best]) best = i;

\treturn best;
}
#include <stdio.h>
def f(a, b=[1, 2], *c): return {**a, "k": f"{b!r:>10}"}


"""
TEXTS = [
    "", " ", "  ", "\n", "\n\n", "\n" * 31, "\n" * 32, "\n" * 40, "\t", "\t\t x", "\r\n", "a", " a", "a ", "  a", " a  b   c    d ",
    " " * 31 + "x", " " * 32 + "x", " " * 33 + "x", " " * 100, "Hello, world!", "Hello  world", "hello\nworld\n\nagain\n",
    "0123456789", "3.14159265358979", "1,000,000", "2026-11-23T13:52:42Z", "0x7fffffff", "1" * 50,
    "\u00e9\u00e8\u00ea e\u0301 \u00df \u0130\u0131", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u4e2d\u6587\u5b57 \ud55c\uad6d\uc5b4",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600\U0001f680 \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f", "\U00010000\U000e0041\U0010ffff",
    "\u2581", "a\u2581b", "\u2581\u2581 \u2581", "<0x41>", "<0xE2>", "a<bos>b", "<start_of_turn>user\nhi<end_of_turn>\n", "<|turn>user<turn|>",
    "<unused0>", "<unused99", "<unk>", "<pad>", "<", "<<table><td></td></tablet>", "<h1>T</h1>", "</s>", "[multimodal]", "[multimodal",
    "\0", "a\0b\0", "\x7f\x01\x1b[0m", "\ufeffBOM", "\u200b\u00a0\u3000 \u2028", "don't can't I'm", "CamelCase_snake_case-kebab",
    "https://example.org/a?b=c&d=%20#e", "a" * 300, "ab" * 200, " " + "the " * 100, PROSE, CODE, PROSE * 4 + CODE * 3,
    "\n".join([PROSE[i:i + 61] for i in range(0, 150, 7)] * 8)[:10240],
]
INVALID = [b"\xff", b"\x80", b"\xc3", b"\xe2\x96", b"\xe2\x96 a", b"a\xe2\x96\x81\x81b", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80",
           b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9 na\xefve", bytes(range(256)), b"\xe2\x96\x81\xe2\x96",
           bytes(reversed(range(256))), b"\xfe\xff\x00a\x00b"]


def random_texts(seed, count, alphabet):
    chooser = random.Random(seed)
    return [b"".join(chooser.choices(alphabet, k=chooser.randrange(1, 60))) for _ in range(count)]


def questions_of(texts):
    return [(kind, text) for text in texts for kind in "tsb"]


def fixed_texts():
    return [text.encode() for text in TEXTS] + INVALID


# ---- Made vocabularies ----

def made_vocabulary(path, seed, by_rank):
    """Few letters, many merges, equal scores, overlapping user-defined pieces, unused pieces."""
    chooser = random.Random(seed)
    letters = [c.encode() for c in "abcde\u2581\u00e9\u65e5\n<"]
    special = [(b"<pad>", CONTROL), (b"<eos>", CONTROL), (b"<bos>", CONTROL), (b"<unk>", UNKNOWN), (b"<a>", CONTROL),
               (b"<ab>", CONTROL), (b"<a", USER_DEFINED), (b"bcd", USER_DEFINED), (b"bc", USER_DEFINED),
               (b"cdea", USER_DEFINED), (b"  ", USER_DEFINED), (b"\xe2\x96\x81\xe2\x96\x81\xe2\x96\x81", USER_DEFINED)]
    taken, joined, pairs = {piece for piece, _ in special} | set(letters), [], []
    while len(joined) < 120:
        left, right = chooser.choice(letters + joined), chooser.choice(letters + joined)
        if len(left + right) > 40:
            continue
        pairs.append((left, right))
        if left + right not in taken:
            taken.add(left + right)
            joined.append(left + right)
    if by_rank:
        pairs += chooser.choices(pairs, k=20)
        chooser.shuffle(pairs)
    vocabulary = special + [(b"<0x%02X>" % i, BYTE) for i in range(256)]
    normal = letters + joined + [line for line in (b"\n\n", b"\n\n\n\n") if line not in taken]
    chooser.shuffle(normal)
    vocabulary += [(piece, UNUSED if chooser.random() < 0.05 else NORMAL) for piece in normal]
    scores = [-float(chooser.randrange(40)) if kind in (NORMAL, UNUSED) else chooser.choice([0.0, -1000.0])
              for _, kind in vocabulary]
    entries = [("tokenizer.ggml.model", b"gemma4" if by_rank else b"llama"),
               ("tokenizer.ggml.tokens", [piece for piece, _ in vocabulary]), ("tokenizer.ggml.scores", scores),
               ("tokenizer.ggml.token_type", [kind for _, kind in vocabulary]),
               ("tokenizer.ggml.bos_token_id", 2), ("tokenizer.ggml.eos_token_id", 1)]
    if by_rank:
        entries.append(("tokenizer.ggml.merges", [b" ".join(pair) for pair in pairs]))
    if seed % 3 != 0:
        entries.append(("tokenizer.ggml.add_space_prefix", False))
    if seed % 4 < 2:
        entries.append(("tokenizer.ggml.add_bos_token", False))
    write_metadata(path, entries)
    return letters


def compare_made(program, directory):
    failures = 0
    for seed in range(24):
        path = f"{directory}/vocabulary.{seed}.gguf"
        letters = made_vocabulary(path, seed, by_rank=seed % 2 == 1)
        comparison = Comparison(program, path)
        comparison.same_texts()
        comparison.every_piece()
        comparison.same_tokens(questions_of(
            random_texts(seed, 60, letters + [b" ", b"\n\n", b"<a>", b"<ab>", b"<bos>", b"\xff", b"\xe6\x97", b"f"])))
        if seed < 2:
            comparison.same_tokens(questions_of(fixed_texts()))
        failures += comparison.failures
    print(f"24 made vocabularies: {failures} failures")
    return failures


# ---- The real vocabulary ----

# Published ids of Gemma 3's tokenizer, without BOS; of its chat pieces with them.
KNOWN = [
    ("t", "Hello, world!", [9259, 236764, 1902, 236888]),
    ("t", "The capital of France is", [818, 5279, 529, 7001, 563]),
    ("t", "What is the capital of France?", [3689, 563, 506, 5279, 529, 7001, 236881]),
    ("t", "Write a short poem about the ocean.", [6974, 496, 2822, 27355, 1003, 506, 12461, 236761]),
    ("t", "1+1=2", [236770, 236862, 236770, 236784, 236778]),
    ("t", "def foo():\n    return 42", [2063, 46293, 6141, 107, 140, 2060, 236743, 236812, 236778]),
    ("t", "I'm don't can't", [236777, 236789, 236757, 1537, 236789, 236745, 740, 236789, 236745]),
    ("t", "Hello \u4f60\u597d", [9259, 43758, 237389]),
    ("t", "  spaces  and\ttabs", [138, 35220, 138, 624, 255968, 39218]),
    ("t", "emoji: \U0001f389\U0001f680", [67906, 236787, 204906, 242015]),
    ("t", "The quick brown fox jumps over the lazy dog.", [818, 3823, 8864, 37423, 38167, 1024, 506, 31770, 4799, 236761]),
    ("t", " leading space", [5830, 2557]),
    ("t", "trailing space ", [136697, 2557, 236743]),
    ("t", "123 + 456 = 579", [236770, 236778, 236800, 900, 236743, 236812, 236810, 236825, 578, 236743, 236810, 236832, 236819]),
    ("t", "CamelCaseIdentifier_snake_case", [114919, 9818, 19535, 236779, 37942, 236779, 4925]),
    ("t", "n\u00e9 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", [8504, 33375, 238582, 236945, 95830]),
    ("t", "\U0001f60a \u6771\u4eac", [240782, 86459]),
    ("t", "\u00e9 e\u0301", [236859, 545, 238288]),
    ("t", "<bos>", [236820, 46757, 236813]),
    ("t", "line1\nline2\n\n\nline3", [1257, 236770, 107, 1257, 236778, 109, 1257, 236800]),
    ("s", "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
     [2, 105, 2364, 107, 9259, 106, 107, 105, 4368, 107]),
]


def compare_real(program, model):
    comparison = Comparison(program, model)
    known = [(kind, text.encode()) for kind, text, _ in KNOWN]
    for (_, text, wanted), found in zip(KNOWN, comparison.tokens(known), strict=True):
        if found != wanted:
            comparison.fail(f"{text!r} is {found}, not {wanted}")
    comparison.same_texts()
    comparison.every_piece()
    pieces = [piece.replace(SPACE, b" ") for piece in comparison.plain.pieces]
    comparison.same_tokens(questions_of(fixed_texts() + random_texts(1, 300, pieces) +
                                        random_texts(2, 200, [bytes([i]) for i in range(256)]) +
                                        random_texts(3, 200, [bytes([i]) for i in range(32, 127)])))
    ends = [i for i, line in enumerate(ask(program, model, [("x", i) for i in range(110)])) if line.endswith("ends")]
    if ends != [1, 106]:
        comparison.fail(f"generation ends at {ends}, not at [1, 106]")
    print(f"{model}: {comparison.failures} failures")
    return comparison.failures


def main():
    program, directory = sys.argv[1:3]
    failures = compare_made(program, directory)
    if len(sys.argv) > 3:
        failures += compare_real(program, sys.argv[3])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
