// SPDX-License-Identifier: GPL-3.0-or-later
// The hash encoding (hash_grid.py) and the directions' harmonics (directions.py).
//
// A tile of 16 inputs is four levels of four features. In the left side of a product, lane 4g + t holds the columns 2t,
// 2t + 1, 2t + 8 and 2t + 9 of the rows g and g + 8. The first matrix is packed so that these columns are the features
// of the tile's level t: each lane asks the table for whole rows of 8 bytes, and what it blends is the fragment itself.
// The same holds on the way back: a lane has the gradient of one level's four features, for one addition of 16 bytes.

template <bool BEHIND> struct Encoding;
template <> struct Encoding<false> {
    static constexpr u32 LEVELS = sizeof(FIELD_LEVELS) / sizeof(Level);
    static DEVICE Level level(u32 i) { return FIELD_LEVELS[i]; }
};
template <> struct Encoding<true> {
    static constexpr u32 LEVELS = sizeof(BACKGROUND_LEVELS) / sizeof(Level);
    static DEVICE Level level(u32 i) { return BACKGROUND_LEVELS[i]; }
};

struct Corners {
    u32 row[8];
    float share[8];
};

DEVICE Corners corners_of(const Level& level, float3 position) {
    float resolution = (float)level.cells;
    // the nearest point of the cube; what is not a number becomes 0, so that no row lies outside of the table
    float fx = fminf(fmaxf(position.x, 0.0f), 1.0f) * resolution;
    float fy = fminf(fmaxf(position.y, 0.0f), 1.0f) * resolution;
    float fz = fminf(fmaxf(position.z, 0.0f), 1.0f) * resolution;
    u32 last = level.cells - 1;
    u32 x = (u32)fx, y = (u32)fy, z = (u32)fz;
    x = x < last ? x : last;
    y = y < last ? y : last;
    z = z < last ? z : last;
    fx -= (float)x;
    fy -= (float)y;
    fz -= (float)z;
    u32 ys[2] = {y * level.factor_y, (y + 1) * level.factor_y};
    u32 zs[2] = {z * level.factor_z, (z + 1) * level.factor_z};
    Corners corners;
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        u32 cx = x + (i & 1), cy = ys[i >> 1 & 1], cz = zs[i >> 2];
        u32 hashed = (cx ^ cy ^ cz) & level.mask, whole = cx + cy + cz;
        corners.row[i] = level.first + (level.mask ? hashed : whole);
        corners.share[i] = (i & 1 ? fx : 1.0f - fx) * (i & 2 ? fy : 1.0f - fy) * (i & 4 ? fz : 1.0f - fz);
    }
    return corners;
}

// the four features of one level: two words of halves
DEVICE uint2 blend(const uint2* __restrict__ table, const Level& level, float3 position) {
    Corners corners = corners_of(level, position);
    uint2 held[8];
#pragma unroll
    for (u32 i = 0; i < 8; ++i) held[i] = table[corners.row[i]];
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        float w = corners.share[i];
        a += w * low_half(held[i].x);
        b += w * high_half(held[i].x);
        c += w * low_half(held[i].y);
        d += w * high_half(held[i].y);
    }
    return make_uint2(pack(a, b), pack(c, d));
}

// Left side of the first product from the positions of the lane's rows (tile 0: g, g + 8; tile 1: g + 16, g + 24).
template <bool BEHIND, u32 TILES, u32 K>
DEVICE void encode(const uint2* __restrict__ table, const float3 (&positions)[2 * TILES], Rows<TILES, K>& rows) {
    u32 t = lane_of_thread() % 4;
#pragma unroll
    for (u32 k = 0; k < K / 16; ++k) {
        bool there = 4 * k + t < Encoding<BEHIND>::LEVELS;
        Level level = Encoding<BEHIND>::level(there ? 4 * k + t : 0);
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i) {
            uint2 features = there ? blend(table, level, positions[i]) : make_uint2(0, 0);
            rows.part[i / 2][k][i % 2] = features.x;
            rows.part[i / 2][k][i % 2 + 2] = features.y;
        }
    }
}

// Adds the gradient of the lane's rows to the table's. Returns whether all of it was finite; what is not is not added.
template <bool BEHIND, u32 TILES, u32 K>
DEVICE bool encode_backward(float* table_gradient, const float3 (&positions)[2 * TILES],
                            const Sums<TILES, K>& gradient) {
    u32 t = lane_of_thread() % 4;
    bool finite = true;
#pragma unroll
    for (u32 k = 0; k < K / 16; ++k) {
        if (4 * k + t >= Encoding<BEHIND>::LEVELS) continue;
        Level level = Encoding<BEHIND>::level(4 * k + t);
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i) {
            const float* first = gradient.part[i / 2][2 * k] + 2 * (i % 2);
            const float* second = gradient.part[i / 2][2 * k + 1] + 2 * (i % 2);
            float most = fabsf(first[0]) + fabsf(first[1]) + fabsf(second[0]) + fabsf(second[1]);
            if (!(most < 3e38f)) finite = false;
            if (!(most > 0.0f) || !(most < 3e38f)) continue;
            Corners corners = corners_of(level, positions[i]);
#pragma unroll
            for (u32 corner = 0; corner < 8; ++corner) {
                float w = corners.share[corner], *place = table_gradient + 4 * (u64)corners.row[corner];
                add4(place, w * first[0], w * first[1], w * second[0], w * second[1]);
            }
        }
    }
    return finite;
}

// Sixteen real spherical harmonics of a unit direction, packed in eight words.
DEVICE void harmonics_of(float x, float y, float z, uint4 (&out)[2]) {
    float xx = x * x, yy = y * y, zz = z * z;
    out[0].x = pack(0.28209479177387814f, -0.4886025119029199f * y);
    out[0].y = pack(0.4886025119029199f * z, -0.4886025119029199f * x);
    out[0].z = pack(1.0925484305920792f * x * y, -1.0925484305920792f * y * z);
    out[0].w = pack(0.31539156525252005f * (3.0f * zz - 1.0f), -1.0925484305920792f * x * z);
    out[1].x = pack(0.5462742152960396f * (xx - yy), -0.5900435899266435f * y * (3.0f * xx - yy));
    out[1].y = pack(2.890611442640554f * x * y * z, -0.4570457994644658f * y * (5.0f * zz - 1.0f));
    out[1].z = pack(0.3731763325901154f * z * (5.0f * zz - 3.0f), -0.4570457994644658f * x * (5.0f * zz - 1.0f));
    out[1].w = pack(1.445305721320277f * z * (xx - yy), -0.5900435899266435f * x * (xx - 3.0f * yy));
}
