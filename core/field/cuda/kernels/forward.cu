// SPDX-License-Identifier: GPL-3.0-or-later
// The networks for all samples of a batch. Samples are packed, so that every lane of every product has one; what a
// network tells the next kernel goes through memory: some 130 bytes a sample that stay in the second-level cache, where
// its encoding reads 2 KiB from there.

DEVICE u32 least(u32 a, u32 b) { return a < b ? a : b; }

// keeps what is not a number, where fminf would hide it
DEVICE float at_most(float x, float bound) { return x > bound ? bound : x; }

DEVICE float density_of(float value) { return exponential(at_most(value + DENSITY_SHIFT, DENSITY_BOUND)); }

DEVICE float radiance_of(float value) { return exponential(at_most(value, RADIANCE_BOUND)); }

KERNEL forward_density(const u32* counters, u32 capacity, const float4* samples, const uint2* table, const u32* weights,
                       uint2* encoded, u32* geometry, float* logarithm) {
    constexpr u32 TILES = FORWARD_TILES;
    const u32* matrices = staged<DensityNetwork::FORWARD_WORDS, FORWARD_STAGED>(weights + DENSITY_WORDS, shared_memory);
    u32 count = least(counters[COUNTER_SAMPLES], capacity), t = lane_of_thread() % 4;
    u32 warp = blockIdx.x * WARPS + threadIdx.x / 32;
    for (u32 first = warp * 16 * TILES; first < count; first += gridDim.x * WARPS * 16 * TILES) {
        u32 row[2 * TILES];
        bool there[2 * TILES];
        rows_of<TILES>(first, count, row, there);
        float3 positions[2 * TILES];
        places_of_samples<TILES>(row, there, samples, positions);
        Rows<TILES, DensityNetwork::INPUTS> inputs;
        encode<false>(table, positions, inputs);
        save_inputs(row, there, inputs, encoded);
        Sums<TILES, GEOMETRY> outputs;
        forward<DensityNetwork>(matrices, inputs, outputs);
        save_features<TILES>(row, there, outputs, geometry);
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i)
            if (there[i] && t == 0) logarithm[row[i]] = outputs.part[i / 2][0][2 * (i % 2)];
    }
}

KERNEL forward_colour(const u32* counters, const u32* shaded, const u32* sample_ray, const u32* geometry,
                      const u32* harmonics, const u32* weights, float2* colour) {
    constexpr u32 TILES = FORWARD_TILES;
    const u32* matrices = staged<ColourNetwork::FORWARD_WORDS, FORWARD_STAGED>(weights + COLOUR_WORDS, shared_memory);
    u32 count = counters[COUNTER_SHADED], t = lane_of_thread() % 4;
    u32 warp = blockIdx.x * WARPS + threadIdx.x / 32;
    for (u32 first = warp * 16 * TILES; first < count; first += gridDim.x * WARPS * 16 * TILES) {
        u32 row[2 * TILES];
        bool there[2 * TILES];
        rows_of<TILES>(first, count, row, there);
        Rows<TILES, ColourNetwork::INPUTS> inputs;
        colour_inputs<TILES>(row, there, shaded, sample_ray, geometry, harmonics, inputs);
        Sums<TILES, ColourNetwork::OUTPUTS> outputs;
        forward<ColourNetwork>(matrices, inputs, outputs);
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i) {
            const float* sums = outputs.part[i / 2][0] + 2 * (i % 2);
            if (there[i] && t < 2) colour[(u64)row[i] * 2 + t] = make_float2(sums[0], sums[1]);
        }
    }
}

// `background_encoded` may be 0: pictures do not need it
KERNEL forward_background(const u32* counters, const float4* rays, const uint2* background_table, const u32* weights,
                          uint2* background_encoded, float2* behind) {
    if constexpr (BACKGROUND) {
        constexpr u32 TILES = FORWARD_TILES;
        const u32* matrices =
            staged<BackgroundNetwork::FORWARD_WORDS, FORWARD_STAGED>(weights + BACKGROUND_WORDS, shared_memory);
        u32 count = counters[COUNTER_RAYS], t = lane_of_thread() % 4;
        u32 warp = blockIdx.x * WARPS + threadIdx.x / 32;
        for (u32 first = warp * 16 * TILES; first < count; first += gridDim.x * WARPS * 16 * TILES) {
            u32 row[2 * TILES];
            bool there[2 * TILES];
            rows_of<TILES>(first, count, row, there);
            float3 positions[2 * TILES];
            places_of_ways<TILES>(row, there, rays, positions);
            Rows<TILES, BackgroundNetwork::INPUTS> inputs;
            encode<true>(background_table, positions, inputs);
            if (background_encoded) save_inputs(row, there, inputs, background_encoded);
            Sums<TILES, BackgroundNetwork::OUTPUTS> outputs;
            forward<BackgroundNetwork>(matrices, inputs, outputs);
#pragma unroll
            for (u32 i = 0; i < 2 * TILES; ++i) {
                if (!there[i]) continue;
                const float* sums = outputs.part[i / 2][0] + 2 * (i % 2);
                float first_colour = radiance_of(sums[0]);
                float second_colour = t == 0 ? radiance_of(sums[1]) : 0.0f;
                if (t < 2) behind[(u64)row[i] * 2 + t] = make_float2(first_colour, second_colour);
            }
        }
    }
}

// For the renderer and the occupancy grid every lane asks for a point of its own, and gets its outputs: the warp's 32
// rows are the lanes.

// The position that the lane asks for goes to the lanes that hold its row; `part` counts the 32 rows in portions.
template <u32 TILES>
DEVICE void spread(float3 own, u32 part, float3 (&positions)[2 * TILES]) {
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        u32 source = part * 16 * TILES + 8 * i + lane_of_thread() / 4;
        positions[i].x = __shfl_sync(ALL, own.x, source);
        positions[i].y = __shfl_sync(ALL, own.y, source);
        positions[i].z = __shfl_sync(ALL, own.z, source);
    }
}

// One column of the outputs comes back to the lane whose row it is.
template <u32 TILES, u32 N>
DEVICE void collect(const Sums<TILES, N>& sums, u32 part, u32 column, float& own) {
    u32 lane = lane_of_thread(), source = lane % 8 * 4 + column % 8 / 2;
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        float value = __shfl_sync(ALL, sums.part[i / 2][column / 8][2 * (i % 2) + column % 2], source);
        if (lane / 8 == part * 2 * TILES + i) own = value;
    }
}

DEVICE float density_at(const uint2* table, const u32* matrices, float3 own) {
    constexpr u32 TILES = FORWARD_TILES;
    float logarithm = 0.0f;
#pragma unroll 1
    for (u32 part = 0; part < 2 / TILES; ++part) {
        float3 positions[2 * TILES];
        spread<TILES>(own, part, positions);
        Rows<TILES, DensityNetwork::INPUTS> inputs;
        encode<false>(table, positions, inputs);
        Sums<TILES, GEOMETRY> outputs;
        forward<DensityNetwork>(matrices, inputs, outputs);
        collect(outputs, part, 0, logarithm);
    }
    return density_of(logarithm);
}

KERNEL evaluate_density(u32 count, const float* positions, const uint2* table, const u32* weights, float* density) {
    const u32* matrices = staged<DensityNetwork::FORWARD_WORDS, FORWARD_STAGED>(weights + DENSITY_WORDS, shared_memory);
    for (u32 first = blockIdx.x * THREADS; first < count; first += gridDim.x * THREADS) {
        u32 i = first + threadIdx.x, held = i < count ? i : count - 1;
        const float* position = positions + 3 * (u64)held;
        float value = density_at(table, matrices, make_float3(position[0], position[1], position[2]));
        if (i < count) density[i] = value;
    }
}
