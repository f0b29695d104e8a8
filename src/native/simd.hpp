// A vector of floats as wide as the variant's registers, and the few operations on it that C++
// has no operator for. GCC and Clang give arithmetic, comparison and ?: on such vectors; any
// other compiler gets "vectors" of one lane and the same code.
//
// Everything here is `static`: a function with external linkage would be compiled once per
// variant, and the linker would keep one copy for all, perhaps one that this CPU cannot run.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__GNUC__)
#define PIXELWISE_INLINE static inline __attribute__((always_inline))
#else
#define PIXELWISE_INLINE static inline
#endif

namespace pixelwise {
namespace PIXELWISE_VARIANT {

#if defined(__GNUC__)
#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef std::int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef std::uint32_t Words __attribute__((vector_size(LANES * 4)));
#else
constexpr int LANES = 1;
typedef float Floats;
typedef std::int32_t Ints;
typedef std::uint32_t Words;
#endif

PIXELWISE_INLINE Floats load(const float* from) {
    Floats out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

PIXELWISE_INLINE Ints load(const std::int32_t* from) {
    Ints out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

PIXELWISE_INLINE void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

PIXELWISE_INLINE void store(std::int32_t* to, Ints value) { std::memcpy(to, &value, sizeof value); }

PIXELWISE_INLINE Floats spread(float value) { return value - Floats{}; }

PIXELWISE_INLINE Ints spread(std::int32_t value) { return value - Ints{}; }

PIXELWISE_INLINE Words bits(Floats value) {
    Words out;
    std::memcpy(&out, &value, sizeof out);
    return out;
}

PIXELWISE_INLINE Floats from_bits(Words value) {
    Floats out;
    std::memcpy(&out, &value, sizeof out);
    return out;
}

#if defined(__GNUC__)
PIXELWISE_INLINE Floats floats_of(Ints value) { return __builtin_convertvector(value, Floats); }
PIXELWISE_INLINE Ints ints_of(Floats value) { return __builtin_convertvector(value, Ints); }
#else
PIXELWISE_INLINE Floats floats_of(Ints value) { return static_cast<float>(value); }
PIXELWISE_INLINE Ints ints_of(Floats value) { return static_cast<std::int32_t>(value); }
#endif

// As `a > b ? a : b`: a NaN in `a` gives b.
PIXELWISE_INLINE Floats larger(Floats a, Floats b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#else
    return a > b ? a : b;
#endif
}

PIXELWISE_INLINE Floats smaller(Floats a, Floats b) {
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_min_ps(a, b);
#else
    return a < b ? a : b;
#endif
}

// One bit per lane where a >= b.
PIXELWISE_INLINE std::uint32_t at_least(Floats a, Floats b) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
#elif defined(__AVX2__)
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
#else
    float left[LANES], right[LANES];
    std::memcpy(left, &a, sizeof a);
    std::memcpy(right, &b, sizeof b);
    std::uint32_t out = 0;
    for (int lane = 0; lane < LANES; ++lane) {
        out |= static_cast<std::uint32_t>(left[lane] >= right[lane]) << lane;
    }
    return out;
#endif
}

// The position of the lowest bit that is set; there is one.
PIXELWISE_INLINE int lowest_bit(std::uint32_t mask) {
#if defined(__GNUC__)
    return __builtin_ctz(mask);
#else
    int position = 0;
    while (!(mask >> position & 1)) ++position;
    return position;
#endif
}

// from[index] per lane, each index in [0, LANES), with from[0 .. LANES) readable: a permutation
// inside one register, several times cheaper than a gather.
PIXELWISE_INLINE Floats pick_near(const float* from, Ints index) {
#if defined(__AVX512F__)
    return _mm512_permutexvar_ps((__m512i)index, load(from));
#elif defined(__AVX2__)
    return _mm256_permutevar8x32_ps(load(from), (__m256i)index);
#else
    std::int32_t places[LANES];
    float out[LANES];
    std::memcpy(places, &index, sizeof index);
    for (int lane = 0; lane < LANES; ++lane) out[lane] = from[places[lane]];
    return load(out);
#endif
}

// from[index] per lane, for any index.
PIXELWISE_INLINE Floats pick(const float* from, Ints index) {
#if defined(__AVX512F__)
    return _mm512_i32gather_ps((__m512i)index, from, 4);
#elif defined(__AVX2__)
    return _mm256_i32gather_ps(from, (__m256i)index, 4);
#else
    return pick_near(from, index);
#endif
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
