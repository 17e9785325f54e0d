// SPDX-License-Identifier: GPL-3.0-or-later
// Random numbers without a state: Philox4x32-10 of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
// The same seed, draw and item give the same numbers on every GPU.

enum Stream : u32 { STREAM_RAY = 1, STREAM_PIXEL = 2, STREAM_CELL = 3 };

DEVICE uint4 philox(uint4 counter, u32 key0, u32 key1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u32 high0 = __umulhi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
        u32 high1 = __umulhi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
        counter = make_uint4(high1 ^ counter.y ^ key0, low1, high0 ^ counter.w ^ key1, low0);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

// uniform in [0, 1)
DEVICE float unit(u32 bits) { return (float)(bits >> 8) * (1.0f / 16777216.0f); }

// uniform in 0 ... count - 1
DEVICE u32 below(u32 bits, u32 count) { return __umulhi(bits, count); }
