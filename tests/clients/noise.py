"""The noise of runtime/src/noise.rs in Python: ChaCha12 seeded by rand's `seed_from_u64`, a stream per picture, and the
ziggurat of rand_distr's `StandardNormal`. Slow and only for small latents; it needs numpy.

    noise.latents(seed, count, shape)            what `dmdx-run generate --seed SEED --count COUNT` begins with
    noise.between_steps(seed, picture, step, n)  what a student that noises anew is given after step `step`
"""
import math

import numpy as np

MASK64 = (1 << 64) - 1
# Doornik's ZIGNOR tables for 256 boxes: the start of the tail and the area of a box.
R, AREA = 3.654152885361008796, 0.00492867323399


def _tables():
    f = lambda x: math.exp(-x * x / 2)
    x = [0.0] * 257
    x[0], x[1] = AREA / f(R), R
    for i in range(2, 256):
        x[i] = math.sqrt(-2 * math.log(AREA / x[i - 1] + f(x[i - 1])))
    x[256] = 0.0
    return x, [f(value) for value in x]


X, F = _tables()


class ChaCha12:
    """rand_chacha's generator: a 64-bit block counter, then a 64-bit stream; words in the order of the blocks."""

    def __init__(self, seed, stream):
        state, key = seed, []
        for _ in range(8):
            state = (state * 6364136223846793005 + 11634580027462260723) & MASK64
            shifted, turn = (((state >> 18) ^ state) >> 27) & 0xFFFFFFFF, state >> 59
            key.append(((shifted >> turn) | (shifted << (-turn & 31))) & 0xFFFFFFFF)
        self.key, self.stream, self.block, self.words = key, stream, 0, []

    def _refill(self):
        low = lambda value: value & 0xFFFFFFFF
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *self.key]
        start += [low(self.block), self.block >> 32, low(self.stream), self.stream >> 32]
        s = list(start)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = low(s[x] + s[y])
                s[z] ^= s[x]
                s[z] = low(s[z] << turn) | (s[z] >> (32 - turn))

        for _ in range(6):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        self.words = [low(a + b) for a, b in zip(s, start)]
        self.block += 1

    def word(self):
        if not self.words:
            self._refill()
        return self.words.pop(0)

    def u64(self):
        low = self.word()
        return low | self.word() << 32

    def normal(self):
        while True:
            bits = self.u64()
            box, u = bits & 0xFF, (bits >> 12) * 2.0**-51 - 1.0
            x = u * X[box]
            if abs(x) < X[box + 1]:
                return x
            if box == 0:
                open01 = lambda: ((self.u64() >> 12) + 0.5) * 2.0**-52
                tail, y = 1.0, 0.0
                while -2 * y < tail * tail:
                    tail = math.log(open01()) / R
                    y = math.log(open01())
                return tail - R if u < 0 else R - tail
            if F[box + 1] + (F[box] - F[box + 1]) * ((self.u64() >> 11) * 2.0**-53) < math.exp(-x * x / 2):
                return x


def standard_normal(seed, stream, count):
    generator = ChaCha12(seed, stream)
    return np.array([generator.normal() for _ in range(count)]).astype(np.float32)


def latents(seed, count, shape):
    size = int(np.prod(shape))
    return np.stack([standard_normal(seed, i, size).reshape(shape) for i in range(count)])


def between_steps(seed, picture, step, count):
    return standard_normal(seed, picture ^ (step + 1) << 48, count)
