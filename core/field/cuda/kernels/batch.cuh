// SPDX-License-Identifier: GPL-3.0-or-later
// What the lanes of a warp hold of a batch, between memory and the products: rows, places, encodings, features.

// positions of the lane's rows (encoding.cuh) among samples; 0 beyond the last
template <u32 TILES>
DEVICE void rows_of(u32 first, u32 count, u32 (&row)[2 * TILES], bool (&there)[2 * TILES]) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        row[i] = first + 8 * i + lane_of_thread() / 4;
        there[i] = row[i] < count;
    }
}

// where the rows' samples are
template <u32 TILES>
DEVICE void places_of_samples(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const float4* samples,
                              float3 (&positions)[2 * TILES]) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        float4 sample = there[i] ? samples[row[i]] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        positions[i] = make_float3(sample.x, sample.y, sample.z);
    }
}

// where the rows' directions are among those that the background is encoded by
template <u32 TILES>
DEVICE void places_of_ways(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const float4* rays,
                           float3 (&positions)[2 * TILES]) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        float4 way = there[i] ? rays[2 * row[i] + 1] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        positions[i] = make_float3(0.5f * way.x + 0.5f, 0.5f * way.y + 0.5f, 0.5f * way.z + 0.5f);
    }
}

// Keeps the left side of an encoded network's first product for the way back.
template <u32 TILES, u32 K>
DEVICE void save_inputs(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const Rows<TILES, K>& inputs,
                        uint2* encoded) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i)
#pragma unroll
        for (u32 k = 0; k < K / 16; ++k)
            if (there[i])
                encoded[(u64)row[i] * (K / 4) + 4 * k + lane_of_thread() % 4] =
                    make_uint2(inputs.part[i / 2][k][i % 2], inputs.part[i / 2][k][i % 2 + 2]);
}

// The left side of an encoded network's first product as it was saved.
template <u32 TILES, u32 K>
DEVICE void saved_inputs(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const uint2* encoded,
                         Rows<TILES, K>& inputs) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i)
#pragma unroll
        for (u32 k = 0; k < K / 16; ++k) {
            uint2 features =
                there[i] ? encoded[(u64)row[i] * (K / 4) + 4 * k + lane_of_thread() % 4] : make_uint2(0, 0);
            inputs.part[i / 2][k][i % 2] = features.x;
            inputs.part[i / 2][k][i % 2 + 2] = features.y;
        }
}

// Left side of the colour network's first product: geometry features and harmonics.
template <u32 TILES>
DEVICE void colour_inputs(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const u32* shaded,
                          const u32* sample_ray, const u32* geometry, const u32* harmonics,
                          Rows<TILES, ColourNetwork::INPUTS>& inputs) {
    u32 t = lane_of_thread() % 4;
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        u32 sample = there[i] ? shaded[row[i]] : 0, ray = there[i] ? sample_ray[sample] : 0;
        const u32* first = geometry + (u64)sample * 8 + t;
        const u32* second = harmonics + (u64)ray * 8 + t;
        inputs.part[i / 2][0][i % 2] = there[i] ? first[0] : 0;
        inputs.part[i / 2][0][i % 2 + 2] = there[i] ? first[4] : 0;
        inputs.part[i / 2][1][i % 2] = there[i] ? second[0] : 0;
        inputs.part[i / 2][1][i % 2 + 2] = there[i] ? second[4] : 0;
    }
}

// The rows' sixteen features, or their gradient, in half precision.
template <u32 TILES>
DEVICE void save_features(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES],
                          const Sums<TILES, GEOMETRY>& sums, u32* features) {
    u32 t = lane_of_thread() % 4;
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        if (!there[i]) continue;
        const float* low = sums.part[i / 2][0] + 2 * (i % 2);
        const float* high = sums.part[i / 2][1] + 2 * (i % 2);
        features[(u64)row[i] * 8 + t] = pack_limited(low[0], low[1]);
        features[(u64)row[i] * 8 + 4 + t] = pack_limited(high[0], high[1]);
    }
}
