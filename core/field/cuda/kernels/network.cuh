// SPDX-License-Identifier: GPL-3.0-or-later
// Perceptrons on tensor cores. A warp carries TILES tiles of 16 samples; the sums of one layer are, lane by lane, where
// the next layer's product wants its left side, so that activations never leave the registers. Matrices lie in memory
// in the order in which the lanes want them ("packed"): one load of 8 bytes per lane and product, without conflicts.

constexpr u32 WARPS = THREADS / 32;

DEVICE constexpr u32 up(u32 value, u32 multiple) { return (value + multiple - 1) / multiple * multiple; }

template <u32 IN, u32 DEPTH_, u32 OUT, bool ENCODED>
struct Network {
    static constexpr u32 DEPTH = DEPTH_;           // hidden layers; there is one matrix more
    static constexpr u32 INPUTS = up(IN, 16);      // padded
    static constexpr u32 OUTPUTS = up(OUT, 8);     // as a product's columns
    static constexpr u32 WIDE_OUTPUTS = up(OUT, 16);  // as a product's left side

    // the matrices as the model has them
    static DEVICE constexpr u32 rows(u32 matrix) { return matrix == 0 ? IN : HIDDEN; }
    static DEVICE constexpr u32 columns(u32 matrix) { return matrix == DEPTH ? OUT : HIDDEN; }
    static DEVICE constexpr u32 value_first(u32 matrix) {
        return matrix == 0 ? 0 : value_first(matrix - 1) + rows(matrix - 1) * columns(matrix - 1);
    }
    static constexpr u32 VALUES = value_first(DEPTH) + HIDDEN * OUT;

    // the packed ones: first all as they are, then all transposed
    static DEVICE constexpr u32 forward_first(u32 matrix) {
        return matrix == 0 ? 0 : forward_first(matrix - 1) + up(rows(matrix - 1), 16) * up(columns(matrix - 1), 8) / 2;
    }
    static constexpr u32 FORWARD_WORDS = forward_first(DEPTH) + HIDDEN * OUTPUTS / 2;
    static DEVICE constexpr u32 transposed_first(u32 matrix) {
        return matrix == 0 ? FORWARD_WORDS
                           : transposed_first(matrix - 1) + up(rows(matrix - 1), 16) * up(columns(matrix - 1), 16) / 2;
    }
    static constexpr u32 WORDS = transposed_first(DEPTH) + HIDDEN * WIDE_OUTPUTS / 2;

    // Where row r of a matrix stands in the products. The first matrix of an encoding is permuted so that one lane's
    // four places in a tile are the four features of one level (see encoding.cuh).
    static DEVICE u32 slot_of_row(u32 matrix, u32 r) {
        return ENCODED && matrix == 0 ? r / 16 * 16 + r % 16 / 4 * 2 + (r & 1) + (r & 2) * 4 : r;
    }
    static DEVICE u32 row_of_slot(u32 matrix, u32 s) {
        return ENCODED && matrix == 0 ? s / 16 * 16 + s % 8 / 2 * 4 + (s & 1) + (s & 8) / 4 : s;
    }
};

using DensityNetwork = Network<DENSITY_INPUTS, 1, GEOMETRY, true>;
using ColourNetwork = Network<COLOUR_INPUTS, COLOUR_LAYERS, 3, false>;
using BackgroundNetwork = Network<BACKGROUND_INPUTS, 1, 3, true>;

// where each network begins among all packed weights and among all values
constexpr u32 DENSITY_WORDS = 0, COLOUR_WORDS = DensityNetwork::WORDS;
constexpr u32 BACKGROUND_WORDS = COLOUR_WORDS + ColourNetwork::WORDS;
constexpr u32 DENSITY_VALUES = 0, COLOUR_VALUES = DensityNetwork::VALUES;
constexpr u32 BACKGROUND_VALUES = COLOUR_VALUES + ColourNetwork::VALUES;
static_assert(WEIGHT_WORDS == BACKGROUND_WORDS + (BACKGROUND ? BackgroundNetwork::WORDS : 0), "as in program.py");
static_assert(MATRIX_VALUES == BACKGROUND_VALUES + (BACKGROUND ? BackgroundNetwork::VALUES : 0), "as in program.py");

// the half (not the word) that holds row k and column n of a packed matrix of `columns` padded columns
DEVICE u32 packed_place(u32 k, u32 n, u32 columns) {
    u32 lane = n % 8 * 4 + k % 8 / 2, tile = k / 16 * (columns / 8) + n / 8;
    return ((tile * 32 + lane) * 2 + k % 16 / 8) * 2 + k % 2;
}

DEVICE u32 lane_of_thread() { return threadIdx.x % 32; }

// The first `WORDS` packed words in shared memory, for all of the block, or where they are.
template <u32 WORDS, bool STAGED>
DEVICE const u32* staged(const u32* weights, uint4* shared) {
    if constexpr (STAGED) {
        for (u32 i = threadIdx.x; i < WORDS / 4; i += THREADS) shared[i] = ((const uint4*)weights)[i];
        __syncthreads();
        return (const u32*)shared;
    } else {
        return weights;
    }
}

// TILES × 16 rows of K halves, and of N sums
template <u32 TILES, u32 K> struct Rows { u32 part[TILES][K / 16][4]; };
template <u32 TILES, u32 N> struct Sums { float part[TILES][N / 8][4]; };

// The first N of a packed matrix's COLUMNS columns times the rows.
template <u32 COLUMNS, u32 TILES, u32 K, u32 N>
DEVICE void product(const u32* matrix, const Rows<TILES, K>& rows, Sums<TILES, N>& sums) {
    const uint2* fragments = (const uint2*)matrix + lane_of_thread();
#pragma unroll
    for (u32 n = 0; n < N / 8; ++n) {
#pragma unroll
        for (u32 tile = 0; tile < TILES; ++tile)
            for (u32 i = 0; i < 4; ++i) sums.part[tile][n][i] = 0.0f;
#pragma unroll
        for (u32 k = 0; k < K / 16; ++k) {
            uint2 b = fragments[(k * (COLUMNS / 8) + n) * 32];
#pragma unroll
            for (u32 tile = 0; tile < TILES; ++tile) multiply_add(sums.part[tile][n], rows.part[tile][k], b.x, b.y);
        }
    }
}

DEVICE float positive(float x) { return x < 0.0f ? 0.0f : x; }  // keeps what is not a number

// within what half precision holds; keeps what is not a number
DEVICE float limited(float x) { return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x; }

DEVICE u32 pack_limited(float low, float high) { return pack(limited(low), limited(high)); }

// Sums through ReLU to the next product's left side.
template <u32 TILES, u32 N>
DEVICE void activate(const Sums<TILES, N>& sums, Rows<TILES, N>& rows) {
#pragma unroll
    for (u32 tile = 0; tile < TILES; ++tile)
#pragma unroll
        for (u32 k = 0; k < N / 16; ++k)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
                const float* c = sums.part[tile][2 * k + i / 2] + 2 * (i % 2);
                rows.part[tile][k][i] = pack_limited(positive(c[0]), positive(c[1]));
            }
}

// All layers of a network. `weights` begins at the network's first word.
template <class Net, u32 TILES>
DEVICE void forward(const u32* weights, const Rows<TILES, Net::INPUTS>& inputs, Sums<TILES, Net::OUTPUTS>& outputs) {
    Rows<TILES, HIDDEN> hidden;
    {
        Sums<TILES, HIDDEN> sums;
        product<HIDDEN>(weights, inputs, sums);
        activate(sums, hidden);
    }
#pragma unroll
    for (u32 matrix = 1; matrix < Net::DEPTH; ++matrix) {
        Sums<TILES, HIDDEN> sums;
        product<HIDDEN>(weights + Net::forward_first(matrix), hidden, sums);
        activate(sums, hidden);
    }
    product<Net::OUTPUTS>(weights + Net::forward_first(Net::DEPTH), hidden, outputs);
}
