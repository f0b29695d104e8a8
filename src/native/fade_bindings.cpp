// Loops over the scores of tiles; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bindings.hpp"

namespace pixelwise {
namespace {

// Part of a larger array: rows lie anywhere, the values of a row side by side.
using Part = nb::ndarray<float, nb::ndim<3>, nb::device::cpu>;
using ConstPart = nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>;

// after = (after - before) * weight + before, in this order: equal values stay as they are.
void fade_row(const float* __restrict before, float* __restrict after, const float* weights,
              std::int64_t count) {
    for (std::int64_t x = 0; x < count; ++x) {
        after[x] = (after[x] - before[x]) * weights[x] + before[x];
    }
}

void fade_row(const float* __restrict before, float* __restrict after, float weight,
              std::int64_t count) {
    for (std::int64_t x = 0; x < count; ++x) {
        after[x] = (after[x] - before[x]) * weight + before[x];
    }
}

void fade_of(const ConstPart& before, const Part& after, const Input<float, 1>& weights,
             bool down) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        require(before.shape(axis) == after.shape(axis), "arrays of different sizes");
    }
    require(before.stride(2) == 1 && after.stride(2) == 1, "rows that are not contiguous");
    require(weights.shape(0) == after.shape(down ? 1 : 2), "weights of another size");
    const std::int64_t planes = static_cast<std::int64_t>(after.shape(0));
    const std::int64_t rows = static_cast<std::int64_t>(after.shape(1));
    const std::int64_t count = static_cast<std::int64_t>(after.shape(2));
    nb::gil_scoped_release release;
    for (std::int64_t plane = 0; plane < planes; ++plane) {
        for (std::int64_t y = 0; y < rows; ++y) {
            const float* from = before.data() + plane * before.stride(0) + y * before.stride(1);
            float* to = after.data() + plane * after.stride(0) + y * after.stride(1);
            if (down) {
                fade_row(from, to, weights.data()[y], count);
            } else {
                fade_row(from, to, weights.data(), count);
            }
        }
    }
}

bool all_finite_of(const Input<float, 1>& values) {
    const std::int64_t count = static_cast<std::int64_t>(values.shape(0));
    const float* const from = values.data();
    nb::gil_scoped_release release;
    // In blocks, so that the first value that is not finite ends it, and the loop has no branch.
    constexpr std::int64_t BLOCK = 1 << 14;
    for (std::int64_t first = 0; first < count; first += BLOCK) {
        const std::int64_t last = std::min(first + BLOCK, count);
        std::int32_t found = 0;
        for (std::int64_t i = first; i < last; ++i) {
            std::int32_t bits;
            std::memcpy(&bits, from + i, sizeof bits);
            // All bits of the exponent are set in NaN and infinity alone.
            found |= (bits & 0x7f800000) == 0x7f800000 ? -1 : 0;
        }
        if (found) return false;
    }
    return true;
}

}  // namespace

void add_fade(nb::module_& module) {
    using namespace nb::literals;
    module.def("fade", &fade_of, "before"_a.noconvert(), "after"_a.noconvert(),
               "weights"_a.noconvert(), "down"_a);
    module.def("all_finite", &all_finite_of, "values"_a.noconvert());
}

}  // namespace pixelwise
