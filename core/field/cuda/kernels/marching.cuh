// SPDX-License-Identifier: GPL-3.0-or-later
// A ray's way through the occupancy grid: the lattice t = entry + (k + jitter)·step of march.py, in occupied cells.

struct Grid {
    const u32* bits;
    const u32* coarse;  // fits the first-level cache: 4 KiB for 256³ cells
    int n;
};

DEVICE bool is_set(const u32* bits, u32 index) { return bits[index >> 5] >> (index & 31) & 1; }

struct Walk {
    // origin and direction in units of cells, and the direction's inverse
    float ox, oy, oz, dx, dy, dz, ix, iy, iz;
    float entry, leave, jitter, step;
    int k;
};

DEVICE float inverse(float x) { return fabsf(x) > 1e-30f ? 1.0f / x : 1e30f; }

DEVICE void clip(float o, float inverse_d, float size, float& entry, float& leave) {
    float a = -o * inverse_d, b = (size - o) * inverse_d;
    entry = fmaxf(entry, fminf(a, b));
    leave = fminf(leave, fmaxf(a, b));
}

// `ray` as in signatures.py: origin, limit | direction, jitter
DEVICE Walk walk_of(float4 origin, float4 direction, const Grid& grid, float step) {
    float size = (float)grid.n;
    Walk walk;
    walk.ox = origin.x * size;
    walk.oy = origin.y * size;
    walk.oz = origin.z * size;
    walk.dx = direction.x * size;
    walk.dy = direction.y * size;
    walk.dz = direction.z * size;
    walk.ix = inverse(walk.dx);
    walk.iy = inverse(walk.dy);
    walk.iz = inverse(walk.dz);
    walk.entry = 0.0f;
    walk.leave = origin.w;
    clip(walk.ox, walk.ix, size, walk.entry, walk.leave);
    clip(walk.oy, walk.iy, size, walk.entry, walk.leave);
    clip(walk.oz, walk.iz, size, walk.entry, walk.leave);
    // no way through the cube is longer; a direction of nothing would never leave it
    walk.leave = fminf(walk.leave, walk.entry + 2.0f);
    walk.jitter = direction.w;
    walk.step = step;
    walk.k = 0;
    return walk;
}

DEVICE int clamped(float x, int n) {
    int cell = (int)x;
    return cell < 0 ? 0 : cell < n ? cell : n - 1;
}

// The next sample's distance; false when there is none.
DEVICE bool next_sample(Walk& walk, const Grid& grid, float& t) {
    for (;;) {
        t = walk.entry + ((float)walk.k + walk.jitter) * walk.step;
        if (!(t < walk.leave)) return false;
        int x = clamped(walk.ox + t * walk.dx, grid.n);
        int y = clamped(walk.oy + t * walk.dy, grid.n);
        int z = clamped(walk.oz + t * walk.dz, grid.n);
        int blocks = grid.n >> 3, size = 1;
        if (is_set(grid.coarse, ((x >> 3) * blocks + (y >> 3)) * blocks + (z >> 3))) {
            if (is_set(grid.bits, ((u32)x * grid.n + y) * grid.n + z)) {
                ++walk.k;
                return true;
            }
        } else {
            x &= ~7;
            y &= ~7;
            z &= ~7;
            size = 8;
        }
        // skip the empty cell or block, but never past a sample that might be inside the next one
        float tx = ((float)(x + (walk.dx >= 0.0f ? size : 0)) - walk.ox) * walk.ix;
        float ty = ((float)(y + (walk.dy >= 0.0f ? size : 0)) - walk.oy) * walk.iy;
        float tz = ((float)(z + (walk.dz >= 0.0f ? size : 0)) - walk.oz) * walk.iz;
        float beyond = fminf(tx, fminf(ty, tz)) - 1e-5f;
        int farther = (int)((beyond - walk.entry) / walk.step - walk.jitter);
        walk.k = farther > walk.k + 1 ? farther : walk.k + 1;
    }
}
