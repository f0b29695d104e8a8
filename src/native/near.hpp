// Which points have another within a distance.
#pragma once

#include <cstdint>
#include <vector>

namespace pixelwise {

struct NearJob {
    const std::int32_t* points;  // [count, 2], row and column
    std::int64_t count;
    const std::int32_t* others;  // [other_count, 2]; at least one
    std::int64_t other_count;
    const std::vector<std::int64_t>* reach;  // by rows apart: how many columns apart is still near
    bool* out;  // [count]
};

// `bits` is scratch; it is all zero before and after, and grows as needed.
void mark_near(const NearJob& job, std::vector<std::uint64_t>& bits);

}  // namespace pixelwise
