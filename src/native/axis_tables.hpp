// The tables of a side of the output, checked and padded as the kernels want them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bindings.hpp"
#include "decode.hpp"

namespace pixelwise {

// One side of the output, as index and weight per pixel, turned into the tables of the kernels.
class AxisTables {
   public:
    AxisTables(const Input<std::int32_t, 1>& index, const Input<float, 1>& weight, int source) {
        const std::size_t size = index.shape(0);
        require(size > 0 && weight.shape(0) == size, "an index and a weight for every pixel");
        for (std::size_t p = 0; p < size + TABLE_PADDING; ++p) {
            const std::size_t from = std::min(p, size - 1);
            const std::int32_t place = index.data()[from];
            require(place >= 0 && place < source, "an index outside the scores");
            require(p == 0 || place >= low_[p - 1], "indices that fall");
            low_.push_back(place);
            high_.push_back(std::min(place + 1, source - 1));
            low_weight_.push_back(1.0f - weight.data()[from]);
            high_weight_.push_back(weight.data()[from]);
        }
        size_ = static_cast<std::int32_t>(size);
    }

    AxisTable view() const {
        return {low_.data(), high_.data(), low_weight_.data(), high_weight_.data(), size_};
    }

   private:
    std::vector<std::int32_t> low_, high_;
    std::vector<float> low_weight_, high_weight_;
    std::int32_t size_ = 0;
};

}  // namespace pixelwise
