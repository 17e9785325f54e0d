// SPDX-License-Identifier: GPL-3.0-or-later
// The occupancy grid from the field itself: the decayed maximum of its density at random points of candidate cells, and
// a bit for every cell that is not thin.

// Asks `asked` candidate cells, one out of each of as many equal parts of them (all, when there are no more), and
// clears the bits that `pack_occupancy` sets afterwards.
KERNEL update_occupancy(const u32* counters, float* state, const u32* choices, const u32* cells, u32 cell_count,
                        u32 asked, u32 salt, float keep, u32 resolution, const uint2* table, const u32* weights,
                        float* cell_density, u32* bits, u32* coarse) {
    const u32* matrices = staged<DensityNetwork::FORWARD_WORDS, FORWARD_STAGED>(weights + DENSITY_WORDS, shared_memory);
    u32 all = resolution * resolution * resolution, thread = blockIdx.x * THREADS + threadIdx.x;
    for (u32 i = thread; i < all / 32; i += gridDim.x * THREADS) bits[i] = 0;
    for (u32 i = thread; i < (all / 512 + 31) / 32; i += gridDim.x * THREADS) coarse[i] = 0;
    if (thread == 0) {
        state[STATE_THICKNESS_SUM] = 0.0f;
        state[STATE_ASKED] = 0.0f;
    }
    u32 count = least(asked, cell_count);
    for (u32 first = blockIdx.x * THREADS; first < count; first += gridDim.x * THREADS) {
        u32 i = first + threadIdx.x, item = i < count ? i : count - 1;
        uint4 random = philox(make_uint4(item, counters[COUNTER_DRAWS], STREAM_CELL, salt), choices[CHOICE_SEED], 0);
        // part i is from i·N/M up to (i + 1)·N/M, rounded down: no cell is in two parts
        u32 begin = (u32)((u64)item * cell_count / count), end = (u32)((u64)(item + 1) * cell_count / count);
        u32 which = begin + below(random.w, end - begin), cell = cells[which];
        float size = 1.0f / (float)resolution;
        float x = ((float)(cell / resolution / resolution) + unit(random.x)) * size;
        float y = ((float)(cell / resolution % resolution) + unit(random.y)) * size;
        float z = ((float)(cell % resolution) + unit(random.z)) * size;
        float density = density_at(table, matrices, make_float3(x, y, z));
        if (i >= count) continue;
        float known = cell_density[which];
        cell_density[which] = fmaxf(known < 3e38f ? keep * known : 0.0f, density);
    }
}

// Sum and number over the cells that have ever been asked.
KERNEL measure_occupancy(float* state, u32 cell_count, const float* cell_density, float step) {
    float sum = 0.0f, asked = 0.0f;
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < cell_count; i += gridDim.x * THREADS)
        if (cell_density[i] < 3e38f) {
            sum += cell_density[i] * step;
            asked += 1.0f;
        }
    sum = over_pixel(sum, 32);
    asked = over_pixel(asked, 32);
    if (lane_of_thread() == 0 && asked > 0.0f) {
        atomicAdd(state + STATE_THICKNESS_SUM, sum);
        atomicAdd(state + STATE_ASKED, asked);
    }
}

KERNEL pack_occupancy(const float* state, const u32* cells, u32 cell_count, const float* cell_density, float step,
                      float thin, u32 resolution, u32* bits, u32* coarse) {
    float asked = state[STATE_ASKED];
    float threshold = asked > 0.0f ? fminf(thin, 0.5f * state[STATE_THICKNESS_SUM] / asked) : thin;
    u32 blocks = resolution / 8;
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < cell_count; i += gridDim.x * THREADS) {
        if (!(cell_density[i] * step > threshold)) continue;
        u32 cell = cells[i];
        u32 x = cell / resolution / resolution, y = cell / resolution % resolution, z = cell % resolution;
        u32 block = (x / 8 * blocks + y / 8) * blocks + z / 8;
        atomicOr(bits + cell / 32, 1u << cell % 32);
        if (!is_set(coarse, block)) atomicOr(coarse + block / 32, 1u << block % 32);
    }
}
