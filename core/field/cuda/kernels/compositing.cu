// SPDX-License-Identifier: GPL-3.0-or-later
// The emission-absorption integral along each ray (march.py, Max 1995), the loss (training/losses.py) and its gradient
// for what the networks said. One thread a ray: its samples lie one after another, its neighbours' beside them.

DEVICE float thickness_of(float logarithm, float step) { return density_of(logarithm) * step; }

// Each sample's share; lists of the samples whose colour matters, and of those that light still reaches. Both lists are
// in the rays' order within a warp, so that what reads them reads memory nearly in order.
KERNEL weigh(u32* counters, const float* settings, float step, const u32* ray_first, const u32* ray_count,
             const float* logarithm, float* shares, u32* slot, u32* shaded, u32* alive) {
    u32 count = counters[COUNTER_RAYS];
    float threshold = settings[SETTING_SHADE_ABOVE];
    for (u32 base = blockIdx.x * THREADS; base < count; base += gridDim.x * THREADS) {
        u32 ray = base + threadIdx.x, first = 0, end = 0, bright = 0, reached = 0;
        if (ray < count && ray_count[ray] != DROPPED) {
            first = ray_first[ray];
            end = first + ray_count[ray];
        }
        float transmittance = 1.0f;
#pragma unroll 4
        for (u32 i = first; i < end; ++i) {
            float after = transmittance * exponential(-thickness_of(logarithm[i], step));
            float share = transmittance - after;
            shares[i] = share;
            // what is not a number is shaded, so that it is found
            bright += !(share <= threshold);
            reached += !(transmittance <= threshold);
            transmittance = after;
        }
        u32 next = reserve(counters + COUNTER_SHADED, bright);
        u32 place = reserve(counters + COUNTER_ALIVE, reached);
        // light only grows less: the samples that it reaches are the ray's first
        for (u32 i = first; i < end; ++i) {
            bool matters = !(shares[i] <= threshold);
            slot[i] = matters ? next : NOWHERE;
            if (matters) shaded[next++] = i;
            if (i - first < reached) alive[place + i - first] = i;
        }
    }
}

// sum over the rays of one pixel, for each of them; `together` is a power of two
DEVICE float over_pixel(float value, u32 together) {
    for (u32 distance = 1; distance < together; distance *= 2) value += __shfl_xor_sync(ALL, value, distance);
    return value;
}

KERNEL composite_loss(u32* counters, float* state, const float* settings, const u32* choices, float step,
                      const float4* targets, const float4* behind, const u32* ray_first, const u32* ray_count,
                      const float* logarithm, const float* shares, const u32* slot, const float4* colour,
                      const u32* picked, float* error, float error_rate, float4* seen, uint2* colour_gradient,
                      float* logarithm_gradient, uint2* background_gradient) {
    u32 count = counters[COUNTER_RAYS], together = choices[CHOICE_TOGETHER];
    float epsilon = settings[SETTING_LOSS_EPSILON], alpha_weight = settings[SETTING_ALPHA_WEIGHT];
    float part = 1.0f / (float)together, factor = 2.0f * settings[SETTING_LOSS_SCALE] * part;
    constexpr float THIRD = 1.0f / 3.0f;
    for (u32 base = blockIdx.x * THREADS; base < count; base += gridDim.x * THREADS) {
        u32 ray = base + threadIdx.x, first = 0, end = 0;
        bool there = ray < count, dropped = there && ray_count[ray] == DROPPED;
        if (there && !dropped) {
            first = ray_first[ray];
            end = first + ray_count[ray];
        }
        float red = 0.0f, green = 0.0f, blue = 0.0f, alpha = 0.0f;
        for (u32 i = first; i < end; ++i) {
            float share = shares[i];
            alpha += share;
            if (slot[i] == NOWHERE) continue;
            float4 raw = colour[slot[i]];
            red += share * radiance_of(raw.x);
            green += share * radiance_of(raw.y);
            blue += share * radiance_of(raw.z);
        }
        float through = 1.0f - alpha;
        float4 back = there ? behind[ray] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        red += through * back.x;
        green += through * back.y;
        blue += through * back.z;
        if (there) seen[ray] = make_float4(red, green, blue, alpha);

        // the pixel's loss and its gradient for each of its rays
        float4 target = there ? targets[ray - ray % together] : make_float4(0.0f, 0.0f, 0.0f, -1.0f);
        float mean_red = part * over_pixel(red, together), mean_green = part * over_pixel(green, together);
        float mean_blue = part * over_pixel(blue, together), mean_alpha = part * over_pixel(alpha, together);
        // every lane has to take part in the sum
        float missing = over_pixel(dropped ? 1.0f : 0.0f, together);
        bool counted = there && missing == 0.0f;
        float inverse_red = 1.0f / (mean_red + epsilon), inverse_green = 1.0f / (mean_green + epsilon);
        float inverse_blue = 1.0f / (mean_blue + epsilon);
        float wrong_red = (mean_red - target.x) * inverse_red, wrong_green = (mean_green - target.y) * inverse_green;
        float wrong_blue = (mean_blue - target.z) * inverse_blue;
        float wrong_alpha = target.w >= 0.0f ? mean_alpha - target.w : 0.0f;
        float loss = THIRD * (wrong_red * wrong_red + wrong_green * wrong_green + wrong_blue * wrong_blue) +
                     alpha_weight * wrong_alpha * wrong_alpha;
        bool finite = fabsf(loss) < 3e38f;
        if (counted && !finite) counters[COUNTER_NONFINITE] = 1;
        bool useful = counted && finite, leads = useful && ray % together == 0;
        float gradient_red = useful ? factor * THIRD * wrong_red * inverse_red : 0.0f;
        float gradient_green = useful ? factor * THIRD * wrong_green * inverse_green : 0.0f;
        float gradient_blue = useful ? factor * THIRD * wrong_blue * inverse_blue : 0.0f;
        float gradient_alpha = useful ? factor * alpha_weight * wrong_alpha : 0.0f;
        float sum = over_pixel(leads ? loss : 0.0f, 32);
        u32 pixels = __popc(__ballot_sync(ALL, leads));
        if (lane_of_thread() == 0 && pixels) {
            atomicAdd(state + STATE_LOSS_SUM, sum);
            atomicAdd(counters + COUNTER_PIXELS, pixels);
        }
        if (leads && error) {
            float* held = error + picked[ray];
            *held += error_rate * (loss - *held);
        }

        // from back to front: `rest` is what the ray still gathers behind the sample, weighed by the gradient
        float transmittance = through > 0.0f ? through : 0.0f;
        float behind_red = gradient_red * back.x, behind_green = gradient_green * back.y;
        float behind_blue = gradient_blue * back.z;
        float rest = transmittance * (behind_red + behind_green + behind_blue - gradient_alpha);
        if (BACKGROUND && there) {
            float most = 0.999f * exponential(RADIANCE_BOUND);
            background_gradient[ray] =
                make_uint2(pack_limited(back.x < most ? transmittance * behind_red : 0.0f,
                                        back.y < most ? transmittance * behind_green : 0.0f),
                           pack_limited(back.z < most ? transmittance * behind_blue : 0.0f, 0.0f));
        }
        for (u32 i = end; i-- > first;) {
            float share = useful ? shares[i] : 0.0f, value = 0.0f, log_density = logarithm[i];
            u32 place = slot[i];
            if (place != NOWHERE) {
                float4 raw = colour[place];
                float up_red = gradient_red * radiance_of(raw.x), up_green = gradient_green * radiance_of(raw.y);
                float up_blue = gradient_blue * radiance_of(raw.z);
                value = up_red + up_green + up_blue;
                u32 low = pack_limited(raw.x < RADIANCE_BOUND ? share * up_red : 0.0f,
                                       raw.y < RADIANCE_BOUND ? share * up_green : 0.0f);
                u32 high = pack_limited(raw.z < RADIANCE_BOUND ? share * up_blue : 0.0f, 0.0f);
                colour_gradient[place] = make_uint2(low, high);
            }
            // of everything up to here, `transmittance` is what the sample lets through
            float gradient = transmittance * value - rest;
            bool bounded = log_density + DENSITY_SHIFT >= DENSITY_BOUND;
            logarithm_gradient[i] = bounded || !useful ? 0.0f : gradient * thickness_of(log_density, step);
            rest += share * value;
            transmittance += share;
        }
    }
}
