// SPDX-License-Identifier: GPL-3.0-or-later
// The way back through the networks. Hidden activations are computed again from a network's inputs rather than stored:
// the products cost less than reading and writing them would.
//
// A matrix's gradient is the product of its inputs, transposed, and the gradient of its outputs, over all samples. The
// block's warps exchange both through shared memory, transposed and in the order in which products want them; then each
// warp adds the block's samples to its own 16×16 pieces of the gradient, which stay in its registers until the end,
// when every block adds them to memory once.

template <class Net>
struct Pieces {
    // 16×16 pieces of a matrix; a matrix with fewer pieces than warps is shared out by samples too
    static DEVICE constexpr u32 down(u32 matrix) { return up(Net::rows(matrix), 16) / 16; }
    static DEVICE constexpr u32 across(u32 matrix) { return up(Net::columns(matrix), 16) / 16; }
    static DEVICE constexpr u32 count(u32 matrix) { return down(matrix) * across(matrix); }
    static DEVICE constexpr u32 shares(u32 matrix) { return count(matrix) >= WARPS ? 1 : WARPS / count(matrix); }
    static DEVICE constexpr u32 each(u32 matrix) { return (count(matrix) + WARPS - 1) / WARPS; }
    static DEVICE constexpr u32 first(u32 matrix) { return matrix == 0 ? 0 : first(matrix - 1) + each(matrix - 1); }
    static constexpr u32 ALL_EACH = first(Net::DEPTH) + each(Net::DEPTH);
};

template <class Net> struct MatrixGradient { float piece[Pieces<Net>::ALL_EACH][2][4]; };

// One lane's part of an exchanged tile.
DEVICE uint4 transposed_tile(const u32 (&part)[4]) {
    return make_uint4(transposed(part[0]), transposed(part[1]), transposed(part[2]), transposed(part[3]));
}

// Adds inputsᵀ·upstream of all of the block's rows to the warp's pieces of matrix M.
template <class Net, u32 M, u32 TILES, u32 K, u32 N>
DEVICE void add_matrix_gradient(const Rows<TILES, K>& inputs, const Rows<TILES, N>& upstream, uint4* exchange,
                                MatrixGradient<Net>& gradient) {
    constexpr u32 STEPS = WARPS * TILES, COUNT = Pieces<Net>::count(M), SHARES = Pieces<Net>::shares(M);
    u32 warp = threadIdx.x / 32, lane = lane_of_thread();
    uint4* left = exchange + lane;
    uint4* right = exchange + EXCHANGE_BYTES / 32 + lane;
    // the readers of the exchange before this one have to be done
    __syncthreads();
#pragma unroll
    for (u32 tile = 0; tile < TILES; ++tile) {
        u32 step = warp * TILES + tile;
#pragma unroll
        for (u32 k = 0; k < K / 16; ++k) left[(step * (K / 16) + k) * 32] = transposed_tile(inputs.part[tile][k]);
#pragma unroll
        for (u32 n = 0; n < N / 16; ++n) right[(step * (N / 16) + n) * 32] = transposed_tile(upstream.part[tile][n]);
    }
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < Pieces<Net>::each(M); ++i) {
        u32 piece = SHARES > 1 ? warp % COUNT : warp + i * WARPS, share = SHARES > 1 ? warp / COUNT : 0;
        if (piece >= COUNT || share >= SHARES) continue;
        u32 k = piece / (N / 16), n = piece % (N / 16);
        float (&sums)[2][4] = gradient.piece[Pieces<Net>::first(M) + i];
#pragma unroll 4
        for (u32 step = share; step < STEPS; step += SHARES) {
            uint4 a = left[(step * (K / 16) + k) * 32], b = right[(step * (N / 16) + n) * 32];
            // the transposed tile's second and third quarter have changed places
            u32 transposed_inputs[4] = {a.x, a.z, a.y, a.w};
            multiply_add(sums[0], transposed_inputs, b.x, b.y);
            multiply_add(sums[1], transposed_inputs, b.z, b.w);
        }
    }
}

// The gradient behind a ReLU whose outputs were `hidden`, as a product's left side.
template <u32 TILES, u32 N>
DEVICE void activate_backward(const Sums<TILES, N>& sums, const Rows<TILES, N>& hidden, Rows<TILES, N>& upstream) {
#pragma unroll
    for (u32 tile = 0; tile < TILES; ++tile)
#pragma unroll
        for (u32 k = 0; k < N / 16; ++k)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
                const float* c = sums.part[tile][2 * k + i / 2] + 2 * (i % 2);
                u32 held = hidden.part[tile][k][i];
                // a half is zero when all of its bits are (outputs of a ReLU have no sign)
                upstream.part[tile][k][i] = pack_limited(held & 0xffffu ? c[0] : 0.0f, held >> 16 ? c[1] : 0.0f);
            }
}

// Matrices M ... 1, from the last hidden layer's gradient down to the first's.
template <class Net, u32 M, u32 TILES>
DEVICE void hidden_backward(const u32* weights, const Rows<TILES, HIDDEN> (&hidden)[Net::DEPTH],
                            Rows<TILES, HIDDEN>& upstream, uint4* exchange, MatrixGradient<Net>& gradient) {
    if constexpr (M > 0) {
        add_matrix_gradient<Net, M>(hidden[M - 1], upstream, exchange, gradient);
        Sums<TILES, HIDDEN> sums;
        product<HIDDEN>(weights + Net::transposed_first(M), upstream, sums);
        activate_backward(sums, hidden[M - 1], upstream);
        hidden_backward<Net, M - 1>(weights, hidden, upstream, exchange, gradient);
    }
}

// From the gradient of a network's outputs to that of its first NEEDED inputs and of its matrices. All of the block's
// warps have to call it together.
template <class Net, u32 NEEDED, u32 TILES>
DEVICE void backward(const u32* weights, const Rows<TILES, Net::INPUTS>& inputs,
                     const Rows<TILES, Net::WIDE_OUTPUTS>& outputs_gradient, uint4* exchange,
                     MatrixGradient<Net>& gradient, Sums<TILES, NEEDED>& inputs_gradient) {
    Rows<TILES, HIDDEN> hidden[Net::DEPTH], upstream;
    Sums<TILES, HIDDEN> sums;
    product<HIDDEN>(weights, inputs, sums);
    activate(sums, hidden[0]);
#pragma unroll
    for (u32 matrix = 1; matrix < Net::DEPTH; ++matrix) {
        product<HIDDEN>(weights + Net::forward_first(matrix), hidden[matrix - 1], sums);
        activate(sums, hidden[matrix]);
    }
    add_matrix_gradient<Net, Net::DEPTH>(hidden[Net::DEPTH - 1], outputs_gradient, exchange, gradient);
    product<HIDDEN>(weights + Net::transposed_first(Net::DEPTH), outputs_gradient, sums);
    activate_backward(sums, hidden[Net::DEPTH - 1], upstream);
    hidden_backward<Net, Net::DEPTH - 1>(weights, hidden, upstream, exchange, gradient);
    add_matrix_gradient<Net, 0>(inputs, upstream, exchange, gradient);
    product<Net::INPUTS>(weights + Net::transposed_first(0), upstream, inputs_gradient);
}

// The warp's pieces to memory. Returns whether all of it was finite; what is not is not added.
template <class Net, u32 M>
DEVICE bool flush(const MatrixGradient<Net>& gradient, float* matrix_gradient) {
    constexpr u32 COUNT = Pieces<Net>::count(M), SHARES = Pieces<Net>::shares(M), ACROSS = Pieces<Net>::across(M);
    u32 warp = threadIdx.x / 32, g = lane_of_thread() / 4, t = lane_of_thread() % 4;
    bool finite = true;
#pragma unroll
    for (u32 i = 0; i < Pieces<Net>::each(M); ++i) {
        u32 piece = SHARES > 1 ? warp % COUNT : warp + i * WARPS;
        if (piece >= COUNT || (SHARES > 1 && warp / COUNT >= SHARES)) continue;
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            const float* sums = gradient.piece[Pieces<Net>::first(M) + i][j / 2] + 2 * (j % 2);
            u32 row = Net::row_of_slot(M, piece / ACROSS * 16 + j % 2 * 8 + g);
            u32 column = piece % ACROSS * 16 + j / 2 * 8 + 2 * t;
            if (row >= Net::rows(M) || column >= Net::columns(M)) continue;
            float* place = matrix_gradient + Net::value_first(M) + row * Net::columns(M) + column;
            bool pair = column + 1 < Net::columns(M);
            if (!(fabsf(sums[0]) < 3e38f) || (pair && !(fabsf(sums[1]) < 3e38f))) finite = false;
            else if (Net::columns(M) % 2 == 0) add2(place, sums[0], sums[1]);
            else {
                add(place, sums[0]);
                if (pair) add(place + 1, sums[1]);
            }
        }
    }
    if constexpr (M > 0) finite = flush<Net, M - 1>(gradient, matrix_gradient) && finite;
    return finite;
}

template <class Net>
DEVICE void clear(MatrixGradient<Net>& gradient) {
#pragma unroll
    for (u32 i = 0; i < Pieces<Net>::ALL_EACH; ++i)
#pragma unroll
        for (u32 j = 0; j < 8; ++j) gradient.piece[i][j / 4][j % 4] = 0.0f;
}

// Blocks of this many rows go back together.
constexpr u32 BLOCK_ROWS = WARPS * 16 * BACKWARD_TILES;
// registers for two blocks on a multiprocessor, where the network is narrow enough
constexpr u32 BACKWARD_BLOCKS = HIDDEN <= 64 ? 2 : 1;

// The gradient of a network's three outputs, as a product's left side.
template <u32 TILES>
DEVICE void colour_gradient_of(const u32 (&row)[2 * TILES], const bool (&there)[2 * TILES], const u32* gradient,
                               Rows<TILES, 16>& upstream) {
    u32 t = lane_of_thread() % 4;
#pragma unroll
    for (u32 i = 0; i < 2 * TILES; ++i) {
        upstream.part[i / 2][0][i % 2] = there[i] && t < 2 ? gradient[(u64)row[i] * 2 + t] : 0;
        upstream.part[i / 2][0][i % 2 + 2] = 0;
    }
}

KERNEL_OF(BACKWARD_BLOCKS)
backward_colour(u32* counters, const u32* shaded, const u32* sample_ray, const u32* geometry, const u32* harmonics,
                const u32* colour_gradient, const u32* weights, u32* geometry_gradient, float* matrix_gradient) {
    constexpr u32 TILES = BACKWARD_TILES;
    u32 count = counters[COUNTER_SHADED], warp = threadIdx.x / 32;
    if (blockIdx.x * BLOCK_ROWS >= count) return;
    uint4* exchange = shared_memory;
    const u32* matrices =
        staged<ColourNetwork::WORDS, BACKWARD_STAGED>(weights + COLOUR_WORDS, shared_memory + EXCHANGE_BYTES / 16);
    MatrixGradient<ColourNetwork> gradient;
    clear(gradient);
    for (u32 first = blockIdx.x * BLOCK_ROWS; first < count; first += gridDim.x * BLOCK_ROWS) {
        u32 row[2 * TILES];
        bool there[2 * TILES];
        rows_of<TILES>(first + warp * 16 * TILES, count, row, there);
        Rows<TILES, ColourNetwork::INPUTS> inputs;
        colour_inputs<TILES>(row, there, shaded, sample_ray, geometry, harmonics, inputs);
        Rows<TILES, ColourNetwork::WIDE_OUTPUTS> upstream;
        colour_gradient_of<TILES>(row, there, colour_gradient, upstream);
        Sums<TILES, GEOMETRY> below;
        backward<ColourNetwork>(matrices, inputs, upstream, exchange, gradient, below);
        save_features<TILES>(row, there, below, geometry_gradient);
    }
    if (!flush<ColourNetwork, ColourNetwork::DEPTH>(gradient, matrix_gradient + COLOUR_VALUES))
        counters[COUNTER_NONFINITE] = 1;
}

KERNEL_OF(BACKWARD_BLOCKS)
backward_density(u32* counters, const u32* alive, const u32* slot, const float4* samples, const uint2* encoded,
                 const u32* geometry_gradient, const float* logarithm_gradient, const u32* weights,
                 float* table_gradient, float* matrix_gradient) {
    constexpr u32 TILES = BACKWARD_TILES;
    u32 count = counters[COUNTER_ALIVE], t = lane_of_thread() % 4, warp = threadIdx.x / 32;
    if (blockIdx.x * BLOCK_ROWS >= count) return;
    uint4* exchange = shared_memory;
    const u32* matrices =
        staged<DensityNetwork::WORDS, BACKWARD_STAGED>(weights + DENSITY_WORDS, shared_memory + EXCHANGE_BYTES / 16);
    MatrixGradient<DensityNetwork> gradient;
    clear(gradient);
    bool finite = true;
    for (u32 first = blockIdx.x * BLOCK_ROWS; first < count; first += gridDim.x * BLOCK_ROWS) {
        u32 row[2 * TILES];
        bool there[2 * TILES];
        rows_of<TILES>(first + warp * 16 * TILES, count, row, there);
        Rows<TILES, DensityNetwork::WIDE_OUTPUTS> upstream;
#pragma unroll
        for (u32 i = 0; i < 2 * TILES; ++i) {
            if (there[i]) row[i] = alive[row[i]];
            u32 place = there[i] ? slot[row[i]] : NOWHERE;
            const u32* sent = geometry_gradient + (u64)place * 8 + t;
            u32 low = place != NOWHERE ? sent[0] : 0, high = place != NOWHERE ? sent[4] : 0;
            // the first feature is the density's logarithm, which the compositing has a gradient for too
            if (t == 0 && there[i]) low = pack_limited(low_half(low) + logarithm_gradient[row[i]], high_half(low));
            upstream.part[i / 2][0][i % 2] = low;
            upstream.part[i / 2][0][i % 2 + 2] = high;
        }
        Rows<TILES, DensityNetwork::INPUTS> inputs;
        saved_inputs(row, there, encoded, inputs);
        Sums<TILES, DensityNetwork::INPUTS> below;
        backward<DensityNetwork>(matrices, inputs, upstream, exchange, gradient, below);
        float3 positions[2 * TILES];
        places_of_samples<TILES>(row, there, samples, positions);
        finite = encode_backward<false>(table_gradient, positions, below) && finite;
    }
    finite = flush<DensityNetwork, DensityNetwork::DEPTH>(gradient, matrix_gradient + DENSITY_VALUES) && finite;
    if (!finite) counters[COUNTER_NONFINITE] = 1;
}

KERNEL_OF(BACKWARD_BLOCKS)
backward_background(u32* counters, const float4* rays, const uint2* background_encoded, const u32* background_gradient,
                    const u32* weights, float* background_table_gradient, float* matrix_gradient) {
    if constexpr (BACKGROUND) {
        constexpr u32 TILES = BACKWARD_TILES;
        u32 count = counters[COUNTER_RAYS], warp = threadIdx.x / 32;
        if (blockIdx.x * BLOCK_ROWS >= count) return;
        uint4* exchange = shared_memory;
        const u32* matrices = staged<BackgroundNetwork::WORDS, BACKWARD_STAGED>(weights + BACKGROUND_WORDS,
                                                                                shared_memory + EXCHANGE_BYTES / 16);
        MatrixGradient<BackgroundNetwork> gradient;
        clear(gradient);
        bool finite = true;
        for (u32 first = blockIdx.x * BLOCK_ROWS; first < count; first += gridDim.x * BLOCK_ROWS) {
            u32 row[2 * TILES];
            bool there[2 * TILES];
            rows_of<TILES>(first + warp * 16 * TILES, count, row, there);
            Rows<TILES, BackgroundNetwork::WIDE_OUTPUTS> upstream;
            colour_gradient_of<TILES>(row, there, background_gradient, upstream);
            float3 positions[2 * TILES];
            places_of_ways<TILES>(row, there, rays, positions);
            Rows<TILES, BackgroundNetwork::INPUTS> inputs;
            saved_inputs(row, there, background_encoded, inputs);
            Sums<TILES, BackgroundNetwork::INPUTS> below;
            backward<BackgroundNetwork>(matrices, inputs, upstream, exchange, gradient, below);
            finite = encode_backward<true>(background_table_gradient, positions, below) && finite;
        }
        matrix_gradient += BACKGROUND_VALUES;
        finite = flush<BackgroundNetwork, BackgroundNetwork::DEPTH>(gradient, matrix_gradient) && finite;
        if (!finite) counters[COUNTER_NONFINITE] = 1;
    }
}
