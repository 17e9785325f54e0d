// SPDX-License-Identifier: GPL-3.0-or-later
// A picture in one kernel. Each lane follows one ray; whenever all 32 lanes stand before a sample, the warp takes them
// through the networks together. A lane whose ray has ended takes the next one of the picture, so that the products are
// full until the last rays; nothing but the picture is written. A ray ends when it leaves the cube or when so little
// light is left that nothing behind matters.
//
// What it has to do: 2 KiB of table rows and 20 kFLOP a sample (8 levels, 32 or 64 wide). An opaque thing that fills 40 %
// of 800×800 pixels takes some 10 samples behind each of them before its light is gone: 2.6 million samples, 5.2 GB from
// the second-level cache, which at 5 TB/s is a millisecond. Sixty pictures a second leave sixteen.

// The networks' outputs for each lane's sample. `wanted` is told the density's logarithm and says whether the colour
// is asked for; the warp computes it when any lane wants it.
template <class Wanted>
DEVICE void look(const uint2* table, const u32* density_matrices, const u32* colour_matrices, const u32* harmonics,
                 float3 own, float3& colour, Wanted wanted) {
    constexpr u32 TILES = FORWARD_TILES;
    u32 g = lane_of_thread() / 4, t = lane_of_thread() % 4;
#pragma unroll 1
    for (u32 part = 0; part < 2 / TILES; ++part) {
        float3 positions[2 * TILES];
        spread<TILES>(own, part, positions);
        Rows<TILES, DensityNetwork::INPUTS> encoded;
        encode<false>(table, positions, encoded);
        Sums<TILES, GEOMETRY> features;
        forward<DensityNetwork>(density_matrices, encoded, features);
        float logarithm = 0.0f;
        collect(features, part, 0, logarithm);
        bool mine = lane_of_thread() / (16 * TILES) == part;
        if (!__any_sync(ALL, mine && wanted(logarithm))) continue;
        Rows<TILES, ColourNetwork::INPUTS> inputs;
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i) {
            const float* low = features.part[i / 2][0] + 2 * (i % 2);
            const float* high = features.part[i / 2][1] + 2 * (i % 2);
            const u32* bands = harmonics + (part * 16 * TILES + 8 * i + g) * 8 + t;
            inputs.part[i / 2][0][i % 2] = pack_limited(low[0], low[1]);
            inputs.part[i / 2][0][i % 2 + 2] = pack_limited(high[0], high[1]);
            inputs.part[i / 2][1][i % 2] = bands[0];
            inputs.part[i / 2][1][i % 2 + 2] = bands[4];
        }
        Sums<TILES, ColourNetwork::OUTPUTS> outputs;
        forward<ColourNetwork>(colour_matrices, inputs, outputs);
        collect(outputs, part, 0, colour.x);
        collect(outputs, part, 1, colour.y);
        collect(outputs, part, 2, colour.z);
    }
}

// Warps mostly wait for the table: two blocks on a multiprocessor are worth the few registers that are put aside.
constexpr u32 RENDER_BLOCKS = HIDDEN <= 64 ? 2 : 1;

KERNEL_OF(RENDER_BLOCKS)
render(u32* counters, const float4* rays, const float4* behind, float step, const u32* bits, const u32* coarse,
       u32 resolution, const uint2* table, const u32* weights, float stop, float shade_above, float share, u32 add,
       float* picture) {
    u32 count = counters[COUNTER_RAYS], lane = lane_of_thread();
    Grid grid = {bits, coarse, (int)resolution};
    // the directions' harmonics of the warp's rays, 32 bytes a lane
    uint4* bands = shared_memory + threadIdx.x / 32 * 64;
    uint4* room = shared_memory + THREADS * 2;
    const u32* density_matrices = staged<DensityNetwork::FORWARD_WORDS, RENDER_STAGED>(weights + DENSITY_WORDS, room);
    const u32* colour_matrices = staged<ColourNetwork::FORWARD_WORDS, RENDER_STAGED>(
        weights + COLOUR_WORDS, room + DensityNetwork::FORWARD_WORDS / 4);

    u32 ray = 0;
    bool active = false, waits = false, more = true;
    Walk walk;
    float4 origin, direction;
    float t = 0.0f, transmittance = 1.0f, distance = 0.0f;
    float3 colour = make_float3(0.0f, 0.0f, 0.0f);
    for (;;) {
        // go on until every lane waits before a sample, or no rays are left for those that do not
        for (;;) {
            u32 idle = __ballot_sync(ALL, !active);
            if (idle && more) {
                u32 first = 0;
                if (lane == 0) first = atomicAdd(counters + COUNTER_QUEUE, (u32)__popc(idle));
                first = __shfl_sync(ALL, first, 0);
                more = first + __popc(idle) < count;
                u32 next = first + __popc(idle & ((1u << lane) - 1));
                if (!active && next < count) {
                    ray = next;
                    active = true;
                    origin = rays[2 * ray];
                    direction = rays[2 * ray + 1];
                    walk = walk_of(origin, direction, grid, step);
                    transmittance = 1.0f;
                    distance = 0.0f;
                    colour = make_float3(0.0f, 0.0f, 0.0f);
                    uint4 own[2];
                    harmonics_of(direction.x, direction.y, direction.z, own);
                    bands[2 * lane] = own[0];
                    bands[2 * lane + 1] = own[1];
                }
            }
            if (active && !waits) {
                waits = transmittance >= stop && next_sample(walk, grid, t);
                if (!waits) {
                    active = false;
                    float4 back = behind ? behind[ray] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                    float seen[5] = {colour.x + transmittance * back.x, colour.y + transmittance * back.y,
                                     colour.z + transmittance * back.z, 1.0f - transmittance, distance};
                    for (u32 i = 0; i < 5; ++i) {
                        float* place = picture + 5 * (u64)ray + i;
                        *place = share * seen[i] + (add ? *place : 0.0f);
                    }
                }
            }
            if (!more || __ballot_sync(ALL, waits) == ALL) break;
        }
        if (!__any_sync(ALL, waits)) break;
        __syncwarp();
        float3 position = make_float3(0.5f, 0.5f, 0.5f);
        if (waits)
            position = make_float3(origin.x + t * direction.x, origin.y + t * direction.y, origin.z + t * direction.z);
        float after = transmittance;
        float3 raw = make_float3(0.0f, 0.0f, 0.0f);
        bool shaded = false;
        look(table, density_matrices, colour_matrices, (const u32*)bands, position, raw, [&](float value) {
            if (waits) after = transmittance * exponential(-thickness_of(value, step));
            shaded = transmittance - after > shade_above;
            return shaded;
        });
        float weight = transmittance - after;
        if (shaded) {
            colour.x += weight * radiance_of(raw.x);
            colour.y += weight * radiance_of(raw.y);
            colour.z += weight * radiance_of(raw.z);
        }
        distance += weight * t;
        transmittance = after;
        waits = false;
        __syncwarp();
    }
}
