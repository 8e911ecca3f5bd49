"""A second decoder, written from docs/format.md alone: plain integers in NumPy, one thing at a time.

It is slow and shares nothing with the package; what both decode alike, the document describes.
"""

from pathlib import Path
import struct, zlib, hashlib, math, json
import numpy as np


def load_st(p):
    b = Path(p).read_bytes()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8 : 8 + n])
    o = 8 + n
    T = {}
    D = {"I8": np.int8, "I32": "<i4", "F16": "<f2"}
    for k, v in h.items():
        if k == "__metadata__":
            continue
        a, e = v["data_offsets"]
        T[k] = np.frombuffer(b[o + a : o + e], D[v["dtype"]]).reshape(v["shape"])
    return T


T = load_st(Path(__file__).parents[2] / "codec" / "residual" / "contexts.safetensors")
SETS = {}
for s in sorted({k.split(".")[0] for k in T}):
    nets = {}
    for k in T:
        a, n, l, f = k.split(".")
        if a == s:
            nets.setdefault(n, {}).setdefault(int(l), {})[f] = T[k]
    h = hashlib.sha256()
    for n in sorted(nets):
        h.update(n.encode())
        for l in sorted(nets[n]):
            for f in ("weight", "bias", "shift"):
                h.update(nets[n][l][f].tobytes())
    SETS[int.from_bytes(h.digest()[:4], "big")] = nets


def net(N, rows):
    x = rows.astype(np.int64)
    L = [N[i] for i in sorted(N)]
    assert x.shape[1] == L[0]["weight"].shape[0], (x.shape, L[0]["weight"].shape)
    for i, l in enumerate(L):
        x = (x @ l["weight"].astype(np.int64) + l["bias"]) >> l["shift"]
        x = np.clip(x, 0, 127) if i + 1 < len(L) else np.clip(x, -128, 127)
    return x


LG = [
    min(max(math.floor(32768 / (1 + math.exp(-i / 16)) + 0.5), 8), 32760) for i in range(-128, 128)
]


def stops(cs):
    b = [0]
    k = len(cs)
    for s, c in enumerate(cs):
        b.append(b[-1] + 1 + ((32768 - b[-1] - (k - s) - 1) * c >> 15))
    return b + [32768]


TAIL = [stops([c] * 15) for c in LG]


def event_bounds(l):
    z, p, o = (LG[int(x) + 128] for x in l[:3])
    rest = 32768 - z
    plus = 2 + ((rest - 4) * p >> 15)
    minus = rest - plus
    po = 1 + ((plus - 2) * o >> 15)
    mo = 1 + ((minus - 2) * o >> 15)
    return [0, z, z + po, z + plus, z + plus + mo, 32768]


class Bad(Exception):
    pass


def varint(d, a):
    v = 0
    for i in range(5):
        b = d[a + i]
        v |= (b & 127) << 7 * i
        if b < 128:
            return v, a + i + 1
    raise Bad


class R:
    def __init__(s, d):
        s.L, a = varint(d, 0)
        w = np.frombuffer(d[a:], "<u2").tolist()
        G = -(-s.L // 32)
        heads = [w[2 * i] << 16 | w[2 * i + 1] for i in range(s.L + G - 1)]
        s.st = heads[: s.L]
        s.w = w
        s.at = [2 * len(heads)]
        for n in heads[s.L :]:
            s.at.append(s.at[-1] + n)
        s.end = s.at[1:] + [len(w)]
        if max(s.at) > len(w):
            raise Bad("groups")

    def put(s, bounds):
        out = []
        n = len(bounds)
        L = s.L
        for first in range(0, n, L):
            group = range(min(L, n - first))
            for l in group:
                b = bounds[first + l]
                x = s.st[l]
                slot = x & 32767
                k = 0
                while b[k + 1] <= slot:
                    k += 1
                x = (b[k + 1] - b[k]) * (x >> 15) + slot - b[k]
                if x < 65536:
                    g = l // 32
                    if s.at[g] >= s.end[g]:
                        raise Bad("end")
                    x = x << 16 | s.w[s.at[g]]
                    s.at[g] += 1
                s.st[l] = x
                out.append(k)
        return out

    def close(s):
        assert s.at == s.end and all(x == 65536 for x in s.st)


def values(r, logits):
    ev = r.put([event_bounds(l) for l in logits]) if len(logits) else []
    size = [(0, 1, 2, 1, 2)[e] for e in ev]
    sign = [(0, 1, 1, -1, -1)[e] for e in ev]
    rows = [i for i, e in enumerate(ev) if e in (2, 4)]
    for _ in range(3):
        p = r.put([TAIL[int(logits[i][3]) + 128] for i in rows])
        for i, q in zip(rows, p):
            size[i] += q
        rows = [i for i, q in zip(rows, p) if q == 15]
    even = list(range(0, 32769, 2048))
    low = r.put([even] * len(rows))
    high = r.put([even] * len(rows))
    length = {i: a + 16 * b for i, a, b in zip(rows, low, high)}
    for shift in range(0, 28, 4):
        longer = [i for i in rows if length[i] > shift]
        for i, q in zip(longer, r.put([even] * len(longer))):
            size[i] += q << shift
    for i in rows:
        size[i] -= 1
    return np.array([a * b for a, b in zip(sign, size)], dtype=np.int64)


LOG = np.array([min(math.floor(16 * math.log2(1 + i) + 0.5), 127) for i in range(257)])
lg = lambda x: LOG[np.minimum(np.abs(x), 256)]
slg = lambda x: lg(x) * np.sign(x)
rel = lambda d, s: np.clip((64 * d + s // 2) // s, -127, 127)
NEAR = {0: [(-1, -1), (-1, 1), (1, -1), (1, 1)], 1: [(-1, 0), (1, 0), (0, -1), (0, 1)]}
FAR = {
    0: [(-1, -3), (-1, 3), (1, -3), (1, 3), (-3, -1), (-3, 1), (3, -1), (3, 1)],
    1: [(-1, -2), (-1, 2), (1, -2), (1, 2), (-2, -1), (-2, 1), (2, -1), (2, 1)],
}


def plane(r, N, shape, known, single, largest):
    Rr, C = shape
    P = np.zeros(shape, np.int64)
    E = np.zeros(shape, np.int64)
    lat = P[::32, ::32]
    n = lat.size
    v = np.zeros(n, np.int64)
    for i in range(-(-(2 * largest).bit_length() // 4)):
        v += np.array(r.put([list(range(0, 32769, 2048))] * n)) << 4 * i
    P[::32, ::32] = (v - largest).reshape(lat.shape)
    for level, s in enumerate((16, 8, 4, 2, 1)):
        for ph in (0, 1):
            t = []
            for oi, oj in ([(1, 1)], [(1, 0), (0, 1)])[ph]:
                t += [(i, j) for i in range(oi * s, Rr, 2 * s) for j in range(oj * s, C, 2 * s)]
            if not t:
                continue
            rows = []
            base = []
            spread = []
            for i, j in t:

                def take(X, offs):
                    return np.array(
                        [
                            X[i + a * s, j + b * s]
                            if 0 <= i + a * s < Rr and 0 <= j + b * s < C
                            else 0
                            for a, b in offs
                        ]
                    )

                every = NEAR[ph] + FAR[ph]
                ok = take(np.ones(shape, np.int64), every)
                cnt = ok[:4].sum()
                own = take(P, every)
                mean = lambda x: (2 * int((x[:4] * ok[:4]).sum()) + cnt) // (2 * cnt)
                b = mean(own)
                away = (own - b) * ok
                sp = int(np.abs(away).max()) + 1
                wr = take(E, NEAR[ph])
                row = [*rel(away, sp), lg(sp), *lg(wr), *rel(wr, sp)]
                for k in range(2):
                    if k < len(known):
                        o = take(known[k], every + [(0, 0)])
                        m = mean(o)
                        sh = (o - m) * np.append(ok, 1)
                        w = int(np.abs(sh).max()) + 1
                        row += [*rel(sh, w), lg(w)]
                    else:
                        row += [0] * 14
                fl = [0] * 15
                fl[0] = 64 * ph
                fl[1 + level] = 64
                fl[6 + len(known)] = 64
                fl[9], fl[10] = single
                rows.append(row + fl)
                base.append(b)
                spread.append(sp)
            out = net(N, np.array(rows))
            base = np.array(base)
            spread = np.array(spread)
            g = base + ((out[:, 0] * spread + 32) >> 6)
            v = np.clip(values(r, out[:, 1:]) + g, -2 * largest, 2 * largest)
            for (i, j), x, b in zip(t, v, base):
                P[i, j] = x
                E[i, j] = x - b
    return P


def around(X, i, j):
    S, Tt = X.shape
    return [
        X[a, b] if 0 <= a < S and 0 <= b < Tt else 0
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
    ]


def activity(m, f):
    S, Tt = m.shape[0] // f, m.shape[1] // f
    ri = np.abs(np.diff(m, axis=1, append=m[:, -1:]))
    dn = np.abs(np.diff(m, axis=0, append=m[-1:]))
    bl = lambda x: x.reshape(S, f, Tt, f)
    return [
        lg(bl(m).max((1, 3)) - bl(m).min((1, 3))),
        lg(bl(ri).sum((1, 3))),
        lg(bl(dn).sum((1, 3))),
    ]


def classes(r, logits):
    return r.put([stops([LG[int(x) + 128] for x in l]) for l in logits]) if len(logits) else []


def flags(r, N, m, step, num, may):
    f = m.shape[0] // may.shape[0]
    act = activity(m, f)
    S, Tt = may.shape
    F = np.zeros(may.shape, np.int64)
    st = np.where(may, 0, -64)
    for ph in (0, 1):
        t = [(i, j) for i in range(S) for j in range(Tt) if may[i, j] and (i + j) % 2 == ph]
        rows = []
        for i, j in t:
            row = around(st, i, j)
            for a in act:
                row += [a[i, j], *around(a, i, j)]
            rows.append(row + [step // 2, 64 * num] + [0] * 11)
        v = classes(r, net(N, np.array(rows).reshape(-1, 32)))
        for (i, j), x in zip(t, v):
            F[i, j] = x
            st[i, j] = 128 * x - 64
    return F


def adaptive(r, N, m, step):
    act = activity(m, 4)
    S, Tt = act[0].shape
    V = np.zeros((S, Tt), np.int64)
    K = np.zeros((S, Tt), np.int64)
    for ph in (0, 1):
        t = [(i, j) for i in range(S) for j in range(Tt) if (i + j) % 2 == ph]
        rows = []
        for i, j in t:
            row = [8 * x for x in around(V, i, j)] + [64 * x for x in around(K, i, j)]
            for a in act:
                row += [a[i, j], *around(a, i, j)]
            rows.append(row + [step // 2] + [0] * 8)
        v = classes(r, net(N, np.array(rows).reshape(-1, 32)))
        for (i, j), x in zip(t, v):
            V[i, j] = x - 8
            K[i, j] = 1
    return V


def grads(m):
    x = np.pad(m, 1, mode="edge")
    l, rr, u, d = x[1:-1, :-2], x[1:-1, 2:], x[:-2, 1:-1], x[2:, 1:-1]
    c = x[2:, 2:] - x[2:, :-2] - x[:-2, 2:] + x[:-2, :-2]
    g = [rr - l, d - u, l + rr - 2 * m, u + d - 2 * m, c]
    return np.stack([slg(y) for y in g] + [lg(y) for y in g], -1)


def fixed(step, num, sz, cls, means, hint):
    I, J = sz.shape
    r = 1 << sz
    i = np.arange(I)[:, None] % r
    j = np.arange(J)[None] % r
    c = [np.clip(step // 2, -128, 127), np.full((I, J), 64 * num), np.full((I, J), 64)]
    c += [64 * (sz == k) for k in range(3)] + [
        64 * (i & 1),
        64 * (i >> 1),
        64 * (j & 1),
        64 * (j >> 1),
    ]
    c += [16 * x for x in cls]
    hint = np.broadcast_to(hint, (I, J, 8))
    parts = [np.stack(c, -1).astype(np.int64), hint, *(grads(m) for m in means)]
    return np.concatenate(parts, -1)


def rows3(B, t, w, F, ph):
    out = []
    for i, j in t:
        q = B[i : i + 3, j : j + 3, :w].copy()
        q[..., F] = 64 * ph
        out.append(q.reshape(-1))
    return np.array(out).reshape(-1, 9 * w)


def cells(r, nets, kind, planes, groups, step, num, sz, means, hint, before=None):
    I, J = sz.shape
    seen = means + ([before[2]] if before else [])
    above = [before[0]] if before else []
    fx = fixed(step, num, sz, above, seen, hint)
    F = fx.shape[-1]
    B = np.zeros((I + 2, J + 2, F + 3), np.int64)
    B[1:-1, 1:-1, :F] = fx
    cl = np.zeros((I, J), np.int64)
    for ph in (0, 1):
        t = [(i, j) for i in range(I) for j in range(J) if (i + j) % 2 == ph]
        v = classes(r, net(nets[kind + "_class"], rows3(B, t, F + 3, F, ph)))
        for (i, j), x in zip(t, v):
            cl[i, j] = x
            B[i + 1, j + 1, F + 1 : F + 3] = lg(2 * x + 1)
    fx = fixed(step, num, sz, [cl] + above, seen, hint)
    if before:
        lv = before[1]
        fx = np.concatenate(
            [
                fx,
                lg(lv[..., 1:28]),
                slg(lv[..., 1:28]),
                lg(np.abs(lv[..., 28:]).sum(-1, keepdims=True)),
            ],
            -1,
        )
    F = fx.shape[-1]
    last = groups[-1]
    B = np.zeros((I + 2, J + 2, F + 1 + 2 * planes * (last - 1)), np.int64)
    B[1:-1, 1:-1, :F] = fx
    V = np.zeros((I, J, planes, last), np.int64)
    for g in range(1, len(groups)):
        a, b = groups[g - 1 : g + 1]
        w = F + 1 + 2 * planes * (b - 1)
        for ph in (0, 1):
            t = [(i, j) for i in range(I) for j in range(J) if (i + j) % 2 == ph and cl[i, j] >= g]
            lo = net(nets[kind + str(g)], rows3(B, t, w, F, ph)).reshape(-1, 4)
            v = values(r, lo).reshape(-1, planes, b - a)
            for (i, j), x in zip(t, v):
                V[i, j, :, a:b] = x
                for k in range(a, b):
                    for p in range(planes):
                        at = F + 1 + 2 * planes * (k - 1) + 2 * p
                        B[i + 1, j + 1, at] = lg(x[p, k - a])
                        B[i + 1, j + 1, at + 1] = slg(x[p, k - a])
    return cl, V


rnd = lambda x: math.floor(x + 0.5)
STEPS = [rnd(16 * 2 ** (i / 24)) for i in range(256)]
AQ = [rnd(64 * 2 ** (k / 4)) for k in range(-8, 9)]
ZZ = sorted(
    ((u, v) for u in range(8) for v in range(8)),
    key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]),
)


def dct(n):
    return np.array(
        [
            [
                rnd(
                    8192
                    * math.sqrt((2 if u else 1) / n)
                    * math.cos(math.pi * (2 * x + 1) * u / (2 * n))
                )
                for x in range(n)
            ]
            for u in range(n)
        ],
        dtype=np.int64,
    )


def stepmap(idx, mode, chroma, sz, aq):
    I, J = sz.shape
    base = STEPS[idx]
    out = np.zeros((I, J, 64), np.int64)
    if mode == 0:
        out[:] = base
        return out
    m = 2.0 if chroma else 1.0
    for i in range(I):
        for j in range(J):
            r = 1 << sz[i, j]
            for k, (u, v) in enumerate(ZZ):
                h = math.hypot(u + i % r / r, v + j % r / r) / math.hypot(7, 7)
                w = rnd(64 * m * (1 + 2 * h if k else 0.7))
                s = AQ[aq[i // 4, j // 4] + 8] if k else 64
                out[i, j, k] = max(1, (base * w * s + 2048) >> 12)
    return out


def slopes(x, y, s0, sz):
    I, J = sz.shape

    def tot(a):
        p = np.pad(a, 2, mode="edge")
        return sum(p[i : i + I, j : j + J] for i in range(5) for j in range(5))

    cov = 25 * tot(x * y) - tot(x) * tot(y)
    var = 25 * tot(x * x) - tot(x) ** 2
    D = 4 * var + 625 * s0 * s0
    sl = np.clip((512 * cov + D) // (2 * D), -96, 96)
    out = sl.copy()
    for i in range(I):
        for j in range(J):
            k = sz[i, j]
            if k:
                r = 1 << k
                a, b = i // r * r, j // r * r
                out[i, j] = (sl[a : a + r, b : b + r].sum() + r * r // 2) >> 2 * k
    return out


def inverse(c, sz):
    I, J = sz.shape
    out = np.zeros((8 * I, 8 * J), np.int64)
    for i in range(I):
        for j in range(J):
            r = 1 << sz[i, j]
            if i % r or j % r:
                continue
            n = 8 * r
            X = np.zeros((n, n), np.int64)
            for a in range(r):
                for b in range(r):
                    for k, (u, v) in enumerate(ZZ):
                        X[u * r + a, v * r + b] = c[i + a, j + b, k]
            if r > 1:
                M = dct(r)
                X[:r, :r] = (M @ X[:r, :r] @ M.T + (1 << 25)) >> 26
            M = dct(n)
            out[8 * i : 8 * i + n, 8 * j : 8 * j + n] = (M.T @ X @ M + (1 << 27)) >> 28
    return out


def smooth(p, reach):
    p = np.clip(p, -32768, 32768)
    q = np.pad(p, 1, mode="edge")
    H, W = p.shape
    t = np.zeros_like(p)
    for a in range(3):
        for b in range(3):
            d = q[a : a + H, b : b + W] - p
            t += np.maximum(reach - np.abs(d), 0) * d
    return p + (t + 3 * reach) // (6 * reach)


def topix(pl):
    if len(pl) == 1:
        return [np.clip((pl[0] + 8 >> 4) + 128, 0, 255)]
    y, cb, cr = (np.clip(x, -32768, 32768) for x in pl)
    y = y + 2048
    return [
        np.clip((8192 * y + a * cb + b * cr + 65536) >> 17, 0, 255)
        for a, b in ((0, 11485), (-2819, -5850), (14516, 0))
    ]


def signed(d, a):
    v, a = varint(d, a)
    return (v >> 1 if v % 2 == 0 else -(v + 1 >> 1)), a


def numbers(d):
    out, a = [], 0
    while a < len(d):
        n, a = signed(d, a)
        out.append(n)
    return out


class Decisions:
    def __init__(s, d):
        s.d, s.at, s.low, s.high, s.place, s.c = d, 0, 0, 2**32 - 1, 0, {}
        for _ in range(4):
            s.place = s.place << 8 | s.byte()

    def byte(s):
        s.at += 1
        return s.d[s.at - 1] if s.at <= len(s.d) else 0

    def __call__(s, k):
        p, n = s.c.get(k, (32768, 1))
        m = s.low + ((s.high - s.low) * min(max(p, 64), 65472) >> 16)
        yes = s.place <= m
        if yes:
            s.high = m
        else:
            s.low = m + 1
        s.c[k] = (p + ((65536 if yes else 0) - p) // (n + 1), min(n + 1, 60))
        while s.low >> 24 == s.high >> 24:
            s.low = (s.low << 8) % 2**32
            s.high = (s.high << 8) % 2**32 | 255
            s.place = (s.place << 8) % 2**32 | s.byte()
        return yes


def field(d):
    P, a = varint(d, 0)
    Rr, a = varint(d, a)
    C, a = varint(d, a)
    ask = Decisions(d[a:])
    out = np.zeros((P, Rr, C), np.int64)
    for p in range(P):
        for i in range(Rr):
            for j in range(C):
                l = out[p, i, j - 1] if j else 0
                u = out[p, i - 1, j] if i else 0
                b = out[p, i - 1, j + 1] if i and j + 1 < C else 0
                g = sorted((l, u, b))[1]
                c = (p, min(int(abs(l - u) + abs(u - b)).bit_length(), 5))
                v = 0
                if not ask((c, "z")):
                    neg = ask((c, "s"))
                    n = 1
                    while n < 15 and ask((c, "l", n)):
                        n += 1
                    v = 1
                    for k in range(n - 2, -1, -1):
                        v = 2 * v + ask((c, "b", n) if k == n - 2 else ("e", n, k))
                    v = -v if neg else v
                out[p, i, j] = g + v
    return out


def cubic(d, a):
    d = abs(d)
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def weights(ds, kernel):
    w = [round(256 * kernel(d)) for d in ds]
    w[w.index(max(w))] += 256 - sum(w)
    return w


def quarter(f, a=-0.75):
    return weights([f + 1, f, f - 1, f - 2], lambda d: cubic(d, a))


def enlarge(P, n, size):
    p, q, k, left, top = n
    ker = (
        lambda d: float(-0.5 <= d < 0.5),
        lambda d: max(0.0, 1 - abs(d)),
        lambda d: cubic(d, -0.5),
    )[k]

    def along(X, p, first0, length):
        out = np.zeros((len(X), length, X.shape[2]), np.int64)
        for x in range(length):
            v = x + first0
            z = (2 * (v % p) + 1 - p) / (2 * p)
            f = -2 if z < 0 else -1
            w = weights([z - f - t for t in range(4)], ker)
            for t in range(4):
                out[:, x] += w[t] * X[:, min(max(v // p + f + t, 0), X.shape[1] - 1)]
        return (out + 128) >> 8

    return along(along(P.transpose(0, 2, 1), p, left, size[1]).transpose(0, 2, 1), q, top, size[0])


def warp(P, n, size):
    H, W = size
    X, Y = max(W - 1, 1), max(H - 1, 1)
    c = [
        (16 * x + n[2 * i], 16 * y + n[2 * i + 1])
        for i, (x, y) in enumerate(((0, 0), (X, 0), (X, Y), (0, Y)))
    ]
    A = [c[1][i] - c[2][i] for i in (0, 1)]
    B = [c[3][i] - c[2][i] for i in (0, 1)]
    Q = [c[0][i] - c[1][i] + c[2][i] - c[3][i] for i in (0, 1)]
    det = B[0] * A[1] - A[0] * B[1]
    g = B[0] * Q[1] - Q[0] * B[1]
    h = Q[0] * A[1] - A[0] * Q[1]
    D = X * Y * max(det, det + g, det + h, det + g + h)
    rows = [
        [
            4 * (det * (c[1][i] - c[0][i]) + g * c[1][i]),
            4 * (det * (c[3][i] - c[0][i]) + h * c[3][i]),
            4 * det * c[0][i],
        ]
        for i in (0, 1)
    ] + [[g, h, det]]
    rows = [[(2 * a * s * 2**26 + D) // (2 * D) for a, s in zip(r, (Y, X, X * Y))] for r in rows]
    out = np.zeros((len(P), H, W), np.int64)
    L = (P.shape[2], P.shape[1])
    for y in range(H):
        for x in range(W):
            nu, nv, d = (a * x + b * y + e for a, b, e in rows)
            u, v = (min(max((m + (d >> 1)) // d, -64), 64 * l) for m, l in zip((nu, nv), L))
            wx, wy = quarter((u & 63) / 64), quarter((v & 63) / 64)
            cols = [min(max((u >> 6) + t, 0), L[0] - 1) for t in (-1, 0, 1, 2)]
            ros = [min(max((v >> 6) + t, 0), L[1] - 1) for t in (-1, 0, 1, 2)]
            for p in range(len(P)):
                out[p, y, x] = (
                    sum(
                        a * sum(b * int(P[p, r, k]) for b, k in zip(wx, cols))
                        for a, r in zip(wy, ros)
                    )
                    + 32768
                ) >> 16
    return out


def tone(P, d):
    k, s = d[0], d[1]
    n = numbers(d[2:])
    even = [-2048 + 4096 * i // (k - 1) for i in range(k)]
    nodes = [a + b for a, b in zip(np.cumsum(n[:k]).tolist(), even)]
    off, rest = n[k : k + 2], n[k + 2 :]
    v = np.clip(P[0], -2048, 2047) + 2048

    def curve(t):
        b = 12 if len(t) == 2 else 8
        t = np.array(t)
        i = v >> b
        return t[i] + ((t[i + 1] - t[i]) * (v & (1 << b) - 1) + (1 << b - 1) >> b)

    out = [curve(nodes)]
    for c in range(len(P) - 1):
        sl = [x + 256 for x in np.cumsum(rest[c * s : c * s + s]).tolist()]
        m = curve(sl) if s > 1 else sl[0]
        out.append((P[c + 1] * m + 128 >> 8) + off[c])
    return np.stack(out)


def grade(P, n):
    y, cb, cr = P
    y = y + 2048
    rgb = [
        np.clip((8192 * y + a * cb + b * cr + 4096) >> 13, 0, 4080)
        for a, b in ((0, 11485), (-2819, -5850), (14516, 0))
    ]
    p = [[2**24] * 4081]
    for _ in range(4):
        p.append([(x * v + 2040) // 4080 for v, x in enumerate(p[-1])])
    out = []
    for c in range(3):
        k = n[9 * c : 9 * c + 9]
        own = np.array(
            [(sum(k[i] * p[i][v] for i in range(5)) * 65280 + 2**37) >> 38 for v in range(4081)]
        )
        oth = np.array(
            [
                (sum(k[4 + i] * p[i][v] for i in range(1, 5)) * 65280 + 2**38) >> 39
                for v in range(4081)
            ]
        )
        t = own[rgb[c]] + sum(oth[rgb[o]] for o in range(3) if o != c)
        out.append(np.clip((t + 8) >> 4, 0, 4080))
    r, g, b = out
    f = lambda a, e, i: (a * r + e * g + i * b + 32768) >> 16
    return np.stack(
        [f(19595, 38470, 7471) - 2048, f(-11058, -21710, 32768), f(32768, -27439, -5329)]
    )


def motion(P, V, size):
    H, W = size
    out = np.zeros((len(P), H, W), np.int64)
    for y in range(H):
        for x in range(W):
            i, j = (y - 8) // 16, (x - 8) // 16
            tot = np.zeros(len(P), np.int64)
            for a in (i, i + 1):
                for b in (j, j + 1):
                    wt = (32 - abs(2 * y + 1 - (32 * a + 16))) * (
                        32 - abs(2 * x + 1 - (32 * b + 16))
                    )
                    dx, dy = V[:, min(max(a, 0), V.shape[1] - 1), min(max(b, 0), V.shape[2] - 1)]
                    wx, wy = quarter((dx & 3) / 4), quarter((dy & 3) / 4)
                    cols = [min(max(x + (dx >> 2) + t, 0), W - 1) for t in (-1, 0, 1, 2)]
                    ros = [min(max(y + (dy >> 2) + t, 0), H - 1) for t in (-1, 0, 1, 2)]
                    for p in range(len(P)):
                        tot[p] += wt * sum(
                            u * sum(v * int(P[p, r, k]) for v, k in zip(wx, cols))
                            for u, r in zip(wy, ros)
                        )
            out[:, y, x] = (tot + 2**25) >> 26
    return out


def forward16(X):
    M, m = dct(16), dct(2)
    C = (M @ X @ M.T + 2**23) >> 24
    C[:2, :2] = (m.T @ C[:2, :2] @ m + 2**25) >> 26
    return C


def padded(P):
    return np.pad(P, ((0, 0), (0, -P.shape[1] % 32), (0, -P.shape[2] % 32)), mode="edge")


def alpha(P, F, size):
    X = padded(P)
    M, m = dct(16), dct(2)
    for p in range(len(P)):
        for i in range(0, X.shape[1], 16):
            for j in range(0, X.shape[2], 16):
                k = (4, 3, 2, 0)[F[0, i // 32, j // 32]]
                if k == 4:
                    continue
                C = forward16(X[p, i : i + 16, j : j + 16])
                keep = C[:2, :2].copy()
                C = (C * k + 2) // 4
                C[:2, :2] = keep
                C[:2, :2] = (m @ C[:2, :2] @ m.T + 2**25) >> 26
                X[p, i : i + 16, j : j + 16] = (M.T @ C @ M + 2**27) >> 28
    return X[:, : size[0], : size[1]]


def predicted(d, size, planes, refs):
    P = np.clip(refs[d[:16]], -8192, 8192)
    a = 17
    while a < len(d):
        tag = d[a]
        n, a = varint(d, a + 1)
        x = d[a : a + n]
        a += n
        if tag == 1:
            P = enlarge(P, numbers(x), size)
        elif tag == 2:
            P = warp(P, numbers(x), size)
        elif tag == 3:
            P = tone(P, x)
        elif tag == 4:
            P = grade(P, numbers(x))
        elif tag == 5:
            P = motion(P, field(x), size)
        else:
            P = alpha(P, field(x), size)
        P = np.clip(P, -8192, 8192)
    P = P[:planes]
    return np.concatenate([P, np.zeros((planes - len(P), *P.shape[1:]), np.int64)])


def hints(Y, step):
    I, J = Y.shape[0] // 8, Y.shape[1] // 8
    M = dct(8)
    out = np.zeros((I, J, 8), np.int64)
    out[..., 0] = 64
    ends = (1, 3, 6, 10, 15, 21, 36, 64)
    for i in range(I):
        for j in range(J):
            C = (M @ Y[8 * i : 8 * i + 8, 8 * j : 8 * j + 8] @ M.T + 2**23) >> 24
            q = [(32 * abs(int(C[u, v])) + 16 * STEPS[step]) // (32 * STEPS[step]) for u, v in ZZ]
            for g in range(7):
                out[i, j, 1 + g] = lg(sum(q[ends[g] : ends[g + 1]]))
    return out


def name_of(P):
    text = "x".join(map(str, P.shape)).encode()
    return hashlib.sha256(text + P.astype("<i2").tobytes()).digest()[:16]


def to_planes(px):
    if len(px) == 1:
        return np.stack([(px[0] - 128) << 4])
    r, g, b = px
    f = lambda a, e, i: (a * r + e * g + i * b + 2048) >> 12
    return np.stack(
        [f(19595, 38470, 7471) - 2048, f(-11058, -21710, 32768), f(32768, -27439, -5329)]
    )


def ycocg(px):
    r, g, b = px
    co = r - b
    m = b + (co >> 1)
    cg = g - m
    return [m + (cg >> 1), co, cg]


def decode(d, refs=None, exact=False):
    assert d[:5] == b"\x89DFC\x02"
    a = 5
    S = {}
    while a < len(d):
        s = a
        k = d[a]
        n, a = varint(d, a + 1)
        S[k] = d[a : a + n]
        a += n
        assert zlib.crc32(d[s:a]) == struct.unpack_from("<I", d, a)[0]
        a += 4
    h = S[1]
    kind, pn, mode, step, filt, ctx = struct.unpack_from("<BBBBBI", h)
    W, a = varint(h, 9)
    H, a = varint(h, a)
    nets = SETS[ctx]
    pred = S.get(8)
    keeps = pred is not None and pred[16] & 2
    guess = None if pred is None else predicted(pred, (H, W), 3 if keeps else pn, refs)
    if mode == 2:
        r = R(S[4])
        P = []
        for p in range(pn):
            P.append(plane(r, nets["lossless"], (H, W), P[::-1][:2], (0, 0), 1024))
        r.close()
        if guess is not None:
            shown = topix(guess)
            P = [x + y for x, y in zip(P, shown if pn == 1 else ycocg(shown))]
        if pn == 1:
            out = [np.clip(P[0], 0, 255)]
        else:
            y, co, cg = P
            m = y - (cg >> 1)
            b = m - (co >> 1)
            out = [np.clip(x, 0, 255) for x in (co + b, cg + m, b)]
        return to_planes(out) if exact else out
    Hp, Wp = -(-H // 32) * 32, -(-W // 32) * 32
    I, J = Hp // 8, Wp // 8
    largest = (1 << (20 if guess is None else 21)) // max(STEPS[step] // 2, 1) + 1
    if guess is not None:
        guess = padded(guess)
    hint = hints(guess[0], step) if guess is not None and pred[16] & 1 else 0
    r = R(S[2])
    M = []
    for p in range(pn):
        M.append(plane(r, nets["means"], (I, J), M[::-1], (step // 2, 64 * mode), largest))
    r.close()
    r = R(S[3])
    aq = (
        adaptive(r, nets["adaptive"], M[0], step)
        if mode == 1
        else np.zeros((I // 4, J // 4), np.int64)
    )
    sp = flags(r, nets["region_split"], M[0], step, mode, np.ones((I // 4, J // 4), bool))
    may = np.kron(sp, np.ones((2, 2), int)) == 1
    sm = flags(r, nets["quarter_split"], M[0], step, mode, may)
    sz = np.kron(np.where(may, 1 - sm, 2), np.ones((2, 2), np.int64))
    aqc = np.kron(aq, np.ones((4, 4), np.int64))
    cs = step + 6 * aqc
    lc, lv = cells(r, nets, "luma", 1, (1, 3, 6, 10, 15, 21, 36, 64), cs, mode, sz, M[:1], hint)
    if pn == 3:
        cc, cv = cells(
            r,
            nets,
            "chroma",
            2,
            (1, 3, 6, 15, 64),
            cs,
            mode,
            sz,
            M[1:],
            hint,
            (lc, lv[:, :, 0], M[0]),
        )
    r.close()
    ls = stepmap(step, mode, False, sz, aq)
    L = lv[:, :, 0] * ls
    L[..., 0] = M[0] * ls[..., 0]
    pl = [inverse(L, sz)]
    if pn == 3:
        csm = stepmap(step, mode, True, sz, aq)
        for p in (0, 1):
            y = M[1 + p] * csm[..., 0]
            s = slopes(L[..., 0], y, csm[..., 0], sz)
            x = cv[:, :, p] * csm + ((s[..., None] * L + 32) >> 6)
            x[..., 0] = y
            pl.append(inverse(x, sz))
    on = np.ones((I, J), bool)
    if guess is not None:
        pl = [x + y for x, y in zip(pl, guess)]
        on = np.any([m != 0 for m in M], 0) | np.any(lv[..., 1:] != 0, (2, 3))
        if pn == 3:
            on |= np.any(cv[..., 1:] != 0, (2, 3))
        for i in range(I):
            for j in range(J):
                r = 1 << sz[i, j]
                if i % r == 0 and j % r == 0:
                    on[i : i + r, j : j + r] = on[i : i + r, j : j + r].any()
    on = np.kron(on, np.ones((8, 8), int)) == 1
    if filt:
        o = []
        for p, x in enumerate(pl):
            c = STEPS[step] * (1 if mode == 0 or p == 0 else 2)
            cell = (
                np.full((I, J), c)
                if mode == 0
                else np.array([[max(1, (c * AQ[k + 8] + 32) >> 6) for k in q] for q in aqc])
            )
            soft = smooth(x, np.kron(np.clip(cell // 5, 1, 1448), np.ones((8, 8), np.int64)))
            o.append(np.where(on, soft, x))
        if filt == 2 and not exact:
            return pl, o
        pl = o
    if keeps:
        pl = [*pl, *guess[1:]]
    if exact:
        return np.clip(np.stack([x[:H, :W] for x in pl]), -8192, 8192)
    return [x[:H, :W] for x in topix(pl)]
