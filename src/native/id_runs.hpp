// Where ids change along a line. Label maps come in runs, and a comparison of registers finds the
// ends of runs 8 to 64 pixels at a time.
//
// Everything here is `static`, for the reason given in simd.hpp.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pixelwise {
namespace PIXELWISE_VARIANT {

constexpr int STEP = 64;  // ids that are looked at together

template <class Id>
static std::uint64_t changes_of_any(const Id* ids) {
    Id any = 0;
    for (int i = 0; i < STEP; ++i) any |= static_cast<Id>(ids[i] ^ ids[i + 1]);
    if (any == 0) return 0;
    std::uint64_t out = 0;
    for (int i = 0; i < STEP; ++i) out |= std::uint64_t{ids[i] != ids[i + 1]} << i;
    return out;
}

// One bit per id of a register, set where a and b hold the same. LOOK is how many ids that is.
#if defined(__AVX512BW__)
template <class Id>
constexpr int LOOK = 64 / sizeof(Id);

template <class Id>
PIXELWISE_INLINE std::uint64_t same(const Id* a, const Id* b) {
    const __m512i left = _mm512_loadu_si512(a);
    const __m512i right = _mm512_loadu_si512(b);
    if constexpr (sizeof(Id) == 1) return _mm512_cmpeq_epi8_mask(left, right);
    if constexpr (sizeof(Id) == 2) return _mm512_cmpeq_epi16_mask(left, right);
    if constexpr (sizeof(Id) == 4) return _mm512_cmpeq_epi32_mask(left, right);
    if constexpr (sizeof(Id) == 8) return _mm512_cmpeq_epi64_mask(left, right);
}
#elif defined(__AVX2__)
template <class Id>
constexpr int LOOK = (sizeof(Id) == 2 ? 64 : 32) / sizeof(Id);

PIXELWISE_INLINE __m256i block(const void* at) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

template <class Id>
PIXELWISE_INLINE std::uint64_t same(const Id* a, const Id* b) {
    if constexpr (sizeof(Id) == 1) {
        const __m256i equal = _mm256_cmpeq_epi8(block(a), block(b));
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(equal));
    } else if constexpr (sizeof(Id) == 2) {
        const __m256i first = _mm256_cmpeq_epi16(block(a), block(b));
        const __m256i second = _mm256_cmpeq_epi16(block(a + 16), block(b + 16));
        // Packing works within halves of a register; the permutation puts them in order.
        const __m256i packed =
            _mm256_permute4x64_epi64(_mm256_packs_epi16(first, second), 0xD8);
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(packed));
    } else if constexpr (sizeof(Id) == 4) {
        const __m256i equal = _mm256_cmpeq_epi32(block(a), block(b));
        return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(equal)));
    } else {
        const __m256i equal = _mm256_cmpeq_epi64(block(a), block(b));
        return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(equal)));
    }
}
#elif defined(__SSE2__)
template <class Id>
constexpr int LOOK = (sizeof(Id) == 2 ? 32 : 16) / sizeof(Id);

PIXELWISE_INLINE __m128i block(const void* at) {
    return _mm_loadu_si128(static_cast<const __m128i*>(at));
}

template <class Id>
PIXELWISE_INLINE std::uint64_t same(const Id* a, const Id* b) {
    if constexpr (sizeof(Id) == 1) {
        return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block(a), block(b))));
    } else if constexpr (sizeof(Id) == 2) {
        const __m128i first = _mm_cmpeq_epi16(block(a), block(b));
        const __m128i second = _mm_cmpeq_epi16(block(a + 8), block(b + 8));
        return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(first, second)));
    } else {
        const __m128i equal = _mm_cmpeq_epi32(block(a), block(b));
        return static_cast<std::uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
    }
}
#endif

// Bit i: ids[i] and ids[i + 1] differ. Reads ids[0 .. STEP].
template <class Id>
PIXELWISE_INLINE std::uint64_t changes(const Id* ids) {
#if defined(__AVX2__) || defined(__AVX512BW__)
    constexpr bool COMPARED = true;
#elif defined(__SSE2__)
    constexpr bool COMPARED = sizeof(Id) < 8;
#else
    constexpr bool COMPARED = false;
#endif
    if constexpr (COMPARED) {
        std::uint64_t equal = 0;
        for (int i = 0; i < STEP; i += LOOK<Id>) equal |= same(ids + i, ids + i + 1) << i;
        return ~equal;
    } else {
        return changes_of_any(ids);
    }
}

PIXELWISE_INLINE int lowest_bit_of(std::uint64_t mask) {
    const std::uint32_t low = static_cast<std::uint32_t>(mask);
    return low ? lowest_bit(low) : 32 + lowest_bit(static_cast<std::uint32_t>(mask >> 32));
}

// Calls run(first, last) for the runs of first <= i < last within which nothing changes. mask_at(i)
// has the bits of changes() for ids i .. i + STEP, changes_at(i) whether i and i + 1 differ.
template <class MaskAt, class ChangesAt, class Run>
PIXELWISE_INLINE void each_run(std::int64_t first, std::int64_t last, MaskAt mask_at,
                               ChangesAt changes_at, Run run) {
    if (first >= last) return;
    std::int64_t start = first;
    std::int64_t i = first;
    for (; i + STEP < last; i += STEP) {
        for (std::uint64_t mask = mask_at(i); mask; mask &= mask - 1) {
            const std::int64_t end = i + lowest_bit_of(mask) + 1;
            run(start, end);
            start = end;
        }
    }
    for (; i + 1 < last; ++i) {
        if (changes_at(i)) {
            run(start, i + 1);
            start = i + 1;
        }
    }
    run(start, last);
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
