// SPDX-License-Identifier: GPL-3.0-or-later
// Adam (Kingma & Ba 2015) on masters in single precision, with the working copies in half precision written in the same
// pass, and the gradients zeroed for the next step.

struct Adam {
    float scale, rate, beta1, beta2, epsilon, correction1, correction2;
    bool update;
};

DEVICE Adam adam_of(const u32* counters, const float* settings, const float* state) {
    u32 pixels = counters[COUNTER_PIXELS];
    return {1.0f / (settings[SETTING_LOSS_SCALE] * (float)pixels),
            settings[SETTING_RATE],
            settings[SETTING_BETA1],
            settings[SETTING_BETA2],
            settings[SETTING_ADAM_EPSILON],
            state[STATE_CORRECTION1],
            state[STATE_CORRECTION2],
            pixels > 0 && counters[COUNTER_NONFINITE] == 0};
}

// one parameter; `gradient` is scaled already
DEVICE void adam_one(const Adam& adam, float gradient, float& parameter, float& first, float& second) {
    first = adam.beta1 * first + (1.0f - adam.beta1) * gradient;
    second = adam.beta2 * second + (1.0f - adam.beta2) * gradient * gradient;
    parameter -= adam.rate * (first * adam.correction1) / (sqrtf(second * adam.correction2) + adam.epsilon);
}

// Most rows have no gradient in a step: their 16 bytes of it are all that is read.
KERNEL adam_table(u32* counters, const float* settings, const float* state, u32 rows, u32 sparse, float4* gradient,
                  float4* master, float4* first, float4* second, uint2* table) {
    Adam adam = adam_of(counters, settings, state);
    float decay = settings[SETTING_TABLE_DECAY];
    for (u32 row = blockIdx.x * THREADS + threadIdx.x; row < rows; row += gridDim.x * THREADS) {
        float4 g = gradient[row];
        float most = fabsf(g.x) + fabsf(g.y) + fabsf(g.z) + fabsf(g.w);
        bool none = most == 0.0f;
        if (none && sparse) continue;
        if (!none) gradient[row] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (!adam.update) continue;
        // the backward kernels have found it before; a parameter must not depend on that
        if (!(most < 3e38f)) {
            counters[COUNTER_NONFINITE] = 1;
            continue;
        }
        float4 p = master[row], m = first[row], v = second[row];
        adam_one(adam, g.x * adam.scale + decay * p.x, p.x, m.x, v.x);
        adam_one(adam, g.y * adam.scale + decay * p.y, p.y, m.y, v.y);
        adam_one(adam, g.z * adam.scale + decay * p.z, p.z, m.z, v.z);
        adam_one(adam, g.w * adam.scale + decay * p.w, p.w, m.w, v.w);
        master[row] = p;
        first[row] = m;
        second[row] = v;
        table[row] = make_uint2(pack_limited(p.x, p.y), pack_limited(p.z, p.w));
    }
}

// One value of matrix M of a network to its places among the packed words.
template <class Net, u32 M>
DEVICE void place_value(u32 index, u16 half, u16* packed) {
    constexpr u32 FIRST = Net::value_first(M), COLUMNS = Net::columns(M);
    if constexpr (M < Net::DEPTH) {
        if (index >= Net::value_first(M + 1)) return place_value<Net, M + 1>(index, half, packed);
    }
    u32 slot = Net::slot_of_row(M, (index - FIRST) / COLUMNS), column = (index - FIRST) % COLUMNS;
    packed[2 * Net::forward_first(M) + packed_place(slot, column, up(COLUMNS, 8))] = half;
    packed[2 * Net::transposed_first(M) + packed_place(column, slot, up(Net::rows(M), 16))] = half;
}

DEVICE void place_anywhere(u32 index, float value, u32* weights) {
    u16 half = (u16)(pack_limited(value, 0.0f) & 0xffffu);
    u16* packed = (u16*)weights;
    if (index < COLOUR_VALUES)
        place_value<DensityNetwork, 0>(index, half, packed + 2 * DENSITY_WORDS);
    else if (index < BACKGROUND_VALUES)
        place_value<ColourNetwork, 0>(index - COLOUR_VALUES, half, packed + 2 * COLOUR_WORDS);
    else
        place_value<BackgroundNetwork, 0>(index - BACKGROUND_VALUES, half, packed + 2 * BACKGROUND_WORDS);
}

KERNEL adam_matrices(u32* counters, const float* settings, const float* state, float* gradient, float* master,
                     float* first, float* second, u32* weights) {
    Adam adam = adam_of(counters, settings, state);
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < MATRIX_VALUES; i += gridDim.x * THREADS) {
        float g = gradient[i];
        gradient[i] = 0.0f;
        if (!adam.update) continue;
        if (!(fabsf(g) < 3e38f)) {
            counters[COUNTER_NONFINITE] = 1;
            continue;
        }
        float p = master[i], m = first[i], v = second[i];
        adam_one(adam, g * adam.scale, p, m, v);
        master[i] = p;
        first[i] = m;
        second[i] = v;
        place_anywhere(i, p, weights);
    }
}

KERNEL end_step(u32* counters, float* state, const u32* choices) {
    if (blockIdx.x || threadIdx.x) return;
    u32 pixels = counters[COUNTER_PIXELS], rays = counters[COUNTER_RAYS], samples = counters[COUNTER_SAMPLES];
    bool updated = pixels > 0 && counters[COUNTER_NONFINITE] == 0;
    counters[updated ? COUNTER_UPDATES : COUNTER_SKIPPED] += 1;
    state[STATE_LOSS] = state[STATE_LOSS_SUM] / (float)(pixels ? pixels : 1);
    *(u64*)(counters + COUNTER_TOTAL_SAMPLES) += samples;
    *(u64*)(counters + COUNTER_TOTAL_RAYS) += rays;
    float wanted = (float)rays * (float)choices[CHOICE_WANTED_SAMPLES] / (float)(samples ? samples : 1);
    float most = (float)choices[CHOICE_MOST_RAYS], fewest = (float)choices[CHOICE_LEAST_RAYS];
    u32 next = (u32)(fmaxf(fminf(wanted, most), fewest) + 0.5f);
    counters[COUNTER_RAYS] = next < choices[CHOICE_MOST_RAYS] ? next : choices[CHOICE_MOST_RAYS];
}

// averages ← decay·averages + (1 − decay)·values
KERNEL average(u32 count, float decay, const float* values, float* averages) {
    for (u32 i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS)
        averages[i] += (1.0f - decay) * (values[i] - averages[i]);
}

KERNEL pack_table(u32 rows, const float4* master, uint2* table) {
    for (u32 row = blockIdx.x * THREADS + threadIdx.x; row < rows; row += gridDim.x * THREADS) {
        float4 p = master[row];
        table[row] = make_uint2(pack_limited(p.x, p.y), pack_limited(p.z, p.w));
    }
}

// By one block alone: the padding has to be zero before the values are put between it.
KERNEL pack_matrices(const float* master, u32* weights) {
    if (blockIdx.x) return;
    for (u32 i = threadIdx.x; i < WEIGHT_WORDS; i += THREADS) weights[i] = 0;
    __syncthreads();
    for (u32 i = threadIdx.x; i < MATRIX_VALUES; i += THREADS) place_anywhere(i, master[i], weights);
}
