# SPDX-License-Identifier: MIT
"""The attention of libweir through ctypes: the structs of weir/weir.h, and thin classes.

Memory is passed by address, so that it may come from PyTorch, NumPy or ctypes itself. The
selftest computes a tiny attention on the CPU device and compares it with plain Python.
"""
import ctypes
import math
import random
import struct

# ---- weir.h --------------------------------------------------------------------------

u32, i32, u64, i64, f32, ptr, text = (ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64,
                                      ctypes.c_float, ctypes.c_void_p, ctypes.c_char_p)
F32, F16, BF16 = 1, 2, 3
OP_SDPA = 3
CAUSAL, KV_LEN = 1, 2
UNSUPPORTED = -2
CHOSEN, REFUSED = 1, 3  # weir_candidate.state
REASON_MAX = 192


class Struct(ctypes.Structure):
    """A struct of weir.h: struct_size is filled in, the rest is zero unless given."""

    def __init__(self, **members):
        super().__init__(struct_size=ctypes.sizeof(self), **members)


class Options(Struct):
    _fields_ = [("struct_size", u32), ("flags", u32), ("selection", text), ("plugin_path", text), ("log", text),
                ("log_fn", ptr), ("log_user", ptr), ("threads", u32), ("reserved", u32), ("ptx_path", text),
                ("cuda_library", text)]


class PluginInfo(Struct):
    _fields_ = [("struct_size", u32), ("status", i32), ("name", text), ("version", text), ("license", text),
                ("description", text), ("path", text), ("reason", text), ("ops", u32), ("abi_major", u32),
                ("abi_minor", u32), ("reserved", u32)]


class SdpaDesc(Struct):
    _fields_ = [("struct_size", u32), ("op", u32), ("flags", u32), ("batch", u32), ("q_heads", u32),
                ("kv_heads", u32), ("head_dim", u32), ("q_len_max", u32), ("kv_capacity", u32),
                ("kv_len_hint", u32), ("window", u32), ("q_type", u32), ("kv_type", u32), ("o_type", u32),
                ("mask", u32), ("scale", f32), ("softcap", f32)]


class SdpaInfo(Struct):
    _fields_ = [("struct_size", u32), ("properties", u32), ("align", u32), ("reserved", u32),
                ("kernel", ctypes.c_char * 64)]


class SdpaArgs(Struct):
    _fields_ = [("struct_size", u32), ("flags", u32), ("q_len", u32), ("kv_len", u32), ("q", ptr), ("k", ptr),
                ("v", ptr), ("mask", ptr), ("o", ptr), ("q_stride", i64 * 3), ("k_stride", i64 * 3),
                ("v_stride", i64 * 3), ("o_stride", i64 * 3), ("mask_stride", i64 * 3), ("kv_len_device", ptr),
                ("workspace", ptr), ("workspace_size", u64)]


class Candidate(Struct):
    _fields_ = [("struct_size", u32), ("state", u32), ("score", i32), ("reserved", u32), ("plugin", text),
                ("reason", ctypes.c_char * REASON_MAX)]


FUNCTIONS = {
    "last_error": (text, []),
    "version": (text, []),
    "open": (i32, [ctypes.POINTER(Options), ctypes.POINTER(ptr)]),
    "close": (None, [ptr]),
    "plugin_count": (u32, [ptr]),
    "plugin_get": (i32, [ptr, u32, ctypes.POINTER(PluginInfo)]),
    "device_open": (i32, [ptr, text, ctypes.POINTER(ptr)]),
    "device_close": (None, [ptr]),
    "plan_sdpa": (i32, [ptr, ctypes.POINTER(SdpaDesc), ctypes.POINTER(ptr)]),
    "plan_free": (None, [ptr]),
    "plan_plugin": (text, [ptr]),
    "explain_sdpa": (i32, [ptr, ctypes.POINTER(SdpaDesc), ctypes.POINTER(Candidate), u32, ctypes.POINTER(u32)]),
    "sdpa_get": (i32, [ptr, ctypes.POINTER(SdpaInfo)]),
    "workspace_size": (u64, [ptr, u32]),
    "sdpa": (i32, [ptr, ctypes.POINTER(SdpaArgs), ptr]),
}


class WeirError(Exception):
    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status


class Library:
    def __init__(self, path):
        library = ctypes.CDLL(path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, "weir_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def check(self, status):
        if status:
            raise WeirError(status, self.last_error().decode())


class Device:
    """A runtime with a selection of its own, and one device of it."""

    def __init__(self, library, name, selection=None):
        self.library, self.runtime, self.device = library, ptr(), ptr()
        options = Options(selection=selection.encode() if selection is not None else None)
        library.check(library.open(ctypes.byref(options), ctypes.byref(self.runtime)))
        try:
            library.check(library.device_open(self.runtime, name.encode(), ctypes.byref(self.device)))
        except WeirError:
            self.close()
            raise

    def close(self):
        self.library.device_close(self.device)
        self.library.close(self.runtime)

    def sdpa_plugins(self):
        """Names of all admitted plugins with attention, whatever they serve."""
        names = []
        for index in range(self.library.plugin_count(self.runtime)):
            info = PluginInfo()
            self.library.check(self.library.plugin_get(self.runtime, index, ctypes.byref(info)))
            if info.status == 0 and info.ops >> OP_SDPA & 1:
                names.append(info.name.decode())
        return names

    def explain(self, desc):
        """Each plugin's (name, state, score, reason), in the order in which a plan would try them."""
        room, count = (Candidate * 64)(*[Candidate() for _ in range(64)]), u32()
        status = self.library.explain_sdpa(self.device, ctypes.byref(desc), room, 64, ctypes.byref(count))
        if status != UNSUPPORTED:
            self.library.check(status)
        return [(c.plugin.decode(), c.state, c.score, c.reason.decode()) for c in room[:min(count.value, 64)]]


class Plan:
    def __init__(self, device, desc):
        self.library, self.desc, self.plan = device.library, desc, ptr()
        self.library.check(self.library.plan_sdpa(device.device, ctypes.byref(desc), ctypes.byref(self.plan)))
        self.plugin = self.library.plan_plugin(self.plan).decode()
        info = SdpaInfo()
        self.library.check(self.library.sdpa_get(self.plan, ctypes.byref(info)))
        self.kernel = info.kernel.decode()
        self.workspace_size = self.library.workspace_size(self.plan, desc.q_len_max)

    def close(self):
        self.library.plan_free(self.plan)

    def arguments(self, q, k, v, o, workspace, kv_len, kv_len_device=None):
        """Pointers of contiguous [batch,heads,length,D]; K and V have kv_capacity slots."""
        d = self.desc
        queries, slots = d.q_len_max * d.head_dim, d.kv_capacity * d.head_dim
        of_q, of_kv = (d.q_heads * queries, queries, d.head_dim), (d.kv_heads * slots, slots, d.head_dim)
        return SdpaArgs(q_len=d.q_len_max, kv_len=kv_len, q=q, k=k, v=v, o=o, q_stride=(i64 * 3)(*of_q),
                        k_stride=(i64 * 3)(*of_kv), v_stride=(i64 * 3)(*of_kv), o_stride=(i64 * 3)(*of_q),
                        kv_len_device=kv_len_device, workspace=workspace, workspace_size=self.workspace_size)

    def call(self, arguments, stream):
        status = self.library.sdpa(self.plan, ctypes.byref(arguments), stream)
        if status:
            self.library.check(status)


def describe(q_heads, kv_heads, head_dim, queries, kv_len, causal, kind=BF16, flags=0):
    return SdpaDesc(op=OP_SDPA, flags=flags | (CAUSAL if causal else 0), batch=1, q_heads=q_heads,
                    kv_heads=kv_heads, head_dim=head_dim, q_len_max=queries, kv_capacity=kv_len, q_type=kind,
                    kv_type=kind, o_type=kind, scale=1 / math.sqrt(head_dim))


# ---- Without GPU and PyTorch -----------------------------------------------------------

def to_bf16(value):
    """The bits, rounded to nearest even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16


def from_bf16(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def plain_attention(q, k, v, shape, queries, slots, kv_len, causal):
    """The contract of weir_sdpa_desc, in Python floats; flat lists in, flat list and the sums of p*|v| out."""
    q_heads, kv_heads, d = shape
    out, sizes = [], []
    for head in range(q_heads):
        base = head // (q_heads // kv_heads) * slots * d
        for i in range(queries):
            last = kv_len - queries + i if causal else kv_len - 1
            row = q[(head * queries + i) * d:][:d]
            scores = [sum(a * b for a, b in zip(row, k[base + j * d:][:d])) / math.sqrt(d) for j in range(last + 1)]
            most = max(scores, default=0)
            weights = [math.exp(s - most) for s in scores]
            total = sum(weights) or 1
            for x in range(d):
                column = [v[base + j * d + x] for j in range(len(weights))]
                out.append(sum(w * c for w, c in zip(weights, column)) / total)
                sizes.append(sum(w * abs(c) for w, c in zip(weights, column)) / total)
    return out, sizes


def aligned(count):
    """uint16 memory on a boundary of 64 bytes; the list keeps it alive."""
    memory = (ctypes.c_uint16 * (count + 32))()
    skip = -ctypes.addressof(memory) % 64 // 2
    return memory, skip, ctypes.addressof(memory) + 2 * skip


def random_bf16(count):
    memory, skip, address = aligned(count)
    for i in range(count):
        memory[skip + i] = to_bf16(random.gauss(0, 1))
    return memory, address, [from_bf16(bits) for bits in memory[skip:skip + count]]


def selftest_case(device, shape, queries, slots, kv_len, causal, in_memory):
    q_heads, kv_heads, d = shape
    kept_q, q_at, q = random_bf16(q_heads * queries * d)
    kept_k, k_at, k = random_bf16(kv_heads * slots * d)
    kept_v, v_at, v = random_bf16(kv_heads * slots * d)
    count = q_heads * queries * d
    o, skip, o_at = aligned(count)
    for i in range(len(o)):
        o[i] = 0x7fc0  # NaN
    desc = describe(q_heads, kv_heads, d, queries, slots, causal, flags=KV_LEN if in_memory else 0)
    plan = Plan(device, desc)
    workspace, _, workspace_at = aligned(plan.workspace_size // 2 + 1)
    length = i32(kv_len)
    arguments = plan.arguments(q_at, k_at, v_at, o_at, workspace_at if plan.workspace_size else None,
                               12345 if in_memory else kv_len, ctypes.addressof(length) if in_memory else None)
    plan.call(arguments, None)
    want, sizes = plain_attention(q, k, v, shape, queries, slots, kv_len, causal)
    worst = 0.0
    for i in range(count):
        off = abs(from_bf16(o[skip + i]) - want[i])
        allowed = sizes[i] * 2 ** -8 + abs(want[i]) * 2 ** -7 + 1e-30
        worst = max(worst, off / allowed) if off == off else math.inf
    plugin = plan.plugin
    plan.close()
    if any(bits != 0x7fc0 for i, bits in enumerate(o) if not skip <= i < skip + count):
        worst = math.inf
    return plugin, worst


def selftest(library):
    """How many cases went wrong on the CPU device; says on stdout which."""
    random.seed(1)
    failed = 0
    default = Device(library, "cpu")
    cases = [((4, 2, 8), 1, 5, 5, False, False), ((4, 1, 16), 3, 9, 7, True, True), ((2, 2, 40), 2, 33, 0, False, True),
             ((6, 3, 64), 4, 40, 2, True, False)]
    for name in default.sdpa_plugins():
        device = Device(library, "cpu", "sdpa=" + name)
        for case in cases:
            try:
                plugin, worst = selftest_case(device, *case)
            except WeirError as error:
                if error.status != UNSUPPORTED:
                    raise
                print(f"{name}: does not serve this: {error}")
                break
            ok = plugin == name and worst <= 1
            failed += not ok
            shape, queries, slots, kv_len, causal, _ = case
            print(f"{'ok   ' if ok else 'WRONG'} {plugin} {':'.join(map(str, shape))} queries {queries} kv {kv_len} of "
                  f"{slots}{' causal' if causal else ''}: {worst:.3f} of the allowed error")
        device.close()
    asked = default.explain(describe(4, 2, 8, 1, 5, False))
    served = [name for name, state, _, reason in asked if state == CHOSEN and reason]
    default.close()
    try:
        missing = Device(library, "cpu", "sdpa=no-such-plugin")
        Plan(missing, describe(4, 2, 8, 1, 5, False))
        sentence = ""
    except WeirError as error:
        sentence = str(error)
        missing.close()
    if len(served) != 1 or "no-such-plugin" not in sentence:
        print(f"WRONG: chosen {served}; the error for a missing plugin: {sentence!r}")
        failed += 1
    return failed
