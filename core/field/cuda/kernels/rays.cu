// SPDX-License-Identifier: GPL-3.0-or-later
// A batch of rays through chosen pixels, and their samples.

KERNEL begin_step(u32* counters, float* state, const float* settings, const u32* choices) {
    if (blockIdx.x || threadIdx.x) return;
    u32 together = choices[CHOICE_TOGETHER];
    u32 rays = counters[COUNTER_RAYS];
    rays = rays < choices[CHOICE_MOST_RAYS] ? rays : choices[CHOICE_MOST_RAYS];
    counters[COUNTER_RAYS] = rays - rays % together;
    counters[COUNTER_SAMPLES] = 0;
    counters[COUNTER_SHADED] = 0;
    counters[COUNTER_ALIVE] = 0;
    counters[COUNTER_PIXELS] = 0;
    counters[COUNTER_DROPPED_RAYS] = 0;
    counters[COUNTER_NONFINITE] = 0;
    counters[COUNTER_DRAWS] += 1;
    state[STATE_LOSS_SUM] = 0.0f;
    float updates = (float)(counters[COUNTER_UPDATES] + 1);
    // 1 - beta^n loses all digits of a beta near 1 when computed as it stands
    state[STATE_CORRECTION1] = -1.0f / expm1f(updates * logf(settings[SETTING_BETA1]));
    state[STATE_CORRECTION2] = -1.0f / expm1f(updates * logf(settings[SETTING_BETA2]));
}

// the view that a pixel belongs to: the last one that begins at or before it
DEVICE u32 view_of(u32 pixel, const u32* first_pixel, u32 views) {
    u32 low = 0, high = views;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (first_pixel[middle] <= pixel) low = middle;
        else high = middle;
    }
    return low;
}

// Origin and direction through a place in the picture (pixels); `camera` as in signatures.py.
DEVICE void camera_ray(const float* camera, float column, float row, float4& origin, float4& direction) {
    float x = (column - camera[14]) / camera[12];
    float y = -(row - camera[15]) / camera[13];
    float length = 1.0f / sqrtf(x * x + y * y + 1.0f);
    direction.x = (camera[0] * x + camera[1] * y - camera[2]) * length;
    direction.y = (camera[3] * x + camera[4] * y - camera[5]) * length;
    direction.z = (camera[6] * x + camera[7] * y - camera[8]) * length;
    origin.x = camera[9];
    origin.y = camera[10];
    origin.z = camera[11];
}

// The unit direction `right` and `down` pixels beside a pixel's centre, from those of the pixels next to it, for lenses
// that are no pinholes. Where the picture or what the lens draws ends, the pixel on the other side tells as well.
DEVICE void shifted_way(const float* ways, u32 pixel, u32 row, u32 column, u32 rows, u32 width, float right, float down,
                        float4& direction) {
    const float* own = ways + (u64)pixel * 3;
    float3 way = make_float3(own[0], own[1], own[2]);
    for (u32 axis = 0; axis < 2; ++axis) {
        float shift = axis ? down : right;
        int place = axis ? row : column, count = axis ? rows : width, stride = axis ? width : 1;
        int side = shift >= 0.0f ? 1 : -1;
        for (u32 turn = 0; turn < 2; ++turn, side = -side) {
            if (place + side < 0 || place + side >= count) continue;
            const float* other = own + (long long)side * stride * 3;
            if (other[0] == 0.0f && other[1] == 0.0f && other[2] == 0.0f) continue;
            float share = side * shift;
            way.x += share * (other[0] - own[0]);
            way.y += share * (other[1] - own[1]);
            way.z += share * (other[2] - own[2]);
            break;
        }
    }
    float length = 1.0f / sqrtf(fmaxf(way.x * way.x + way.y * way.y + way.z * way.z, 1e-30f));
    direction.x = way.x * length;
    direction.y = way.y * length;
    direction.z = way.z * length;
}

KERNEL generate_rays(const u32* counters, const float* settings, const u32* choices, const u32* chosen,
                     u32 chosen_count, const float* alias_threshold, const u32* alias_other, const u32* first_pixel,
                     const u32* widths, const float* cameras, u32 views, const float* ways, const uint2* pixels,
                     const float* farthest, float cut, const float* pattern, float4* rays, float4* targets, float4* behind,
                     uint4* harmonics, u32* picked) {
    u32 count = counters[COUNTER_RAYS], together = choices[CHOICE_TOGETHER], seed = choices[CHOICE_SEED];
    u32 draw = counters[COUNTER_DRAWS];
    const float* background = settings + SETTING_BACKGROUND;
    for (u32 ray = blockIdx.x * THREADS + threadIdx.x; ray < count; ray += gridDim.x * THREADS) {
        u32 group = ray / together;
        // the rays of one pixel draw the same pixel, each its own jitter
        uint4 common = philox(make_uint4(group, draw, STREAM_PIXEL, 0), seed, 0);
        uint4 own = philox(make_uint4(ray, draw, STREAM_RAY, 0), seed, 0);
        u32 index = below(common.x, chosen_count);
        if (alias_threshold && unit(common.y) >= alias_threshold[index]) index = alias_other[index];
        u32 pixel = chosen[index], view = view_of(pixel, first_pixel, views);
        u32 inside = pixel - first_pixel[view], row = inside / widths[view], column = inside - row * widths[view];
        float right = 0.0f, down = 0.0f;
        if (pattern && together > 1) {
            right = pattern[ray % together * 2];
            down = pattern[ray % together * 2 + 1];
        }
        float4 origin, direction;
        camera_ray(cameras + view * 16, (float)column + (0.5f + right), (float)row + (0.5f + down), origin, direction);
        if (ways) {
            u32 rows = (first_pixel[view + 1] - first_pixel[view]) / widths[view];
            shifted_way(ways, pixel, row, column, rows, widths[view], right, down, direction);
        }
        uint2 packed = pixels[pixel];
        float4 target = make_float4(low_half(packed.x), high_half(packed.x), low_half(packed.y), high_half(packed.y));
        float distance = farthest ? farthest[pixel] : 1e30f;
        origin.w = distance < 1e30f && target.w > 0.99f ? distance + cut : 1e30f;
        direction.w = unit(own.x);
        float4 back = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (target.w >= 0.0f) {
            back = make_float4(background[0], background[1], background[2], 0.0f);
            float through = 1.0f - target.w;
            target.x += through * back.x;
            target.y += through * back.y;
            target.z += through * back.z;
        }
        rays[2 * ray] = origin;
        rays[2 * ray + 1] = direction;
        targets[ray] = target;
        behind[ray] = back;
        picked[ray] = index;
        uint4 bands[2];
        harmonics_of(direction.x, direction.y, direction.z, bands);
        harmonics[2 * ray] = bands[0];
        harmonics[2 * ray + 1] = bands[1];
    }
}

// Places for each lane's `wanted` items behind a counter, by one addition for the whole warp.
DEVICE u32 reserve(u32* counter, u32 wanted) {
    u32 lane = lane_of_thread(), sum = wanted;
#pragma unroll
    for (u32 distance = 1; distance < 32; distance *= 2) {
        u32 other = __shfl_up_sync(ALL, sum, distance);
        if (lane >= distance) sum += other;
    }
    u32 first = 0;
    if (lane == 31 && sum) first = atomicAdd(counter, sum);
    return __shfl_sync(ALL, first, 31) + sum - wanted;
}

// A ray's samples lie one after another, so the ray is walked twice: to count, and to write. Walking reads two small
// bit fields that the caches hold; what follows reads samples in order.
KERNEL march_rays(u32* counters, const float4* rays, float step, const u32* bits, const u32* coarse, u32 resolution,
                  u32 capacity, float4* samples, u32* sample_ray, u32* ray_first, u32* ray_count) {
    u32 count = counters[COUNTER_RAYS];
    Grid grid = {bits, coarse, (int)resolution};
    for (u32 first = blockIdx.x * THREADS; first < count; first += gridDim.x * THREADS) {
        u32 ray = first + threadIdx.x, taken = 0;
        float4 origin, direction;
        Walk start;
        float t;
        if (ray < count) {
            origin = rays[2 * ray];
            direction = rays[2 * ray + 1];
            start = walk_of(origin, direction, grid, step);
            Walk walk = start;
            while (next_sample(walk, grid, t)) ++taken;
        }
        u32 place = reserve(counters + COUNTER_SAMPLES, taken);
        if (ray >= count) continue;
        // a sum beyond 2^32 cannot come up: rays are limited to the capacity by end_step long before
        bool fits = place <= capacity && taken <= capacity - place;
        ray_first[ray] = place;
        ray_count[ray] = fits ? taken : DROPPED;
        if (!fits) atomicAdd(counters + COUNTER_DROPPED_RAYS, 1u);
        // what fits of a dropped ray is written too: the kernels that follow look at every sample below the capacity
        for (; place < capacity && next_sample(start, grid, t); ++place) {
            samples[place] = make_float4(origin.x + t * direction.x, origin.y + t * direction.y,
                                         origin.z + t * direction.z, t);
            sample_ray[place] = ray;
        }
    }
}

// The rays of a picture, for `render`; their number goes to `counters` of their own.
KERNEL camera_rays(u32* counters, const float* camera, u32 width, u32 height, float right, float down, float jitter,
                   float4* rays) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        counters[COUNTER_RAYS] = width * height;
        counters[COUNTER_QUEUE] = 0;
    }
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < width * height; i += gridDim.x * THREADS) {
        u32 row = i / width, column = i - row * width;
        float4 origin, direction;
        camera_ray(camera, (float)column + 0.5f + right, (float)row + 0.5f + down, origin, direction);
        origin.w = 1e30f;
        direction.w = jitter;
        rays[2 * i] = origin;
        rays[2 * i + 1] = direction;
    }
}
