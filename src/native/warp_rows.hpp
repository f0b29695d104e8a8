// Bilinear samples of a picture of bytes, one output row at a time, as [3, stride] floats.
//
// value = (upper left * (1 - f_y) + lower left * f_y) * (1 - f_x)
//       + (upper right * (1 - f_y) + lower right * f_y) * f_x
// in this order on every path, so that all of them, all variants and the NumPy twin agree in bits.
#pragma once

#include "carver.hpp"
#include "warp_place.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// Rows of the picture that the samplers see: the input itself, or means over its blocks.
class Rows {
   public:
    Rows(const WarpJob& job, std::uint32_t* sums)
        : job_(job), sums_(sums), reduced_(job.reduce_x > 1 || job.reduce_y > 1) {}

    static int height(const WarpJob& job) {
        return (job.place.height + job.reduce_y - 1) / job.reduce_y;
    }
    static int width(const WarpJob& job) {
        return (job.place.width + job.reduce_x - 1) / job.reduce_x;
    }
    // Sums for `count` columns.
    static std::size_t scratch(const WarpJob& job, int count) {
        return 3 * static_cast<std::size_t>(count) * job.reduce_x;
    }

    // [count, 3] bytes from column `first` of a row on, in `buffer` where they have to be made.
    const std::uint8_t* row(int row, int first, int count, std::uint8_t* buffer) const {
        if (!reduced_) return input(row, first);
        const int columns = least(count * job_.reduce_x, job_.place.width - first * job_.reduce_x);
        const int top = row * job_.reduce_y;
        const int rows = least(job_.reduce_y, job_.place.height - top);
        add_rows(top, rows, first * job_.reduce_x, 3 * columns);
        const int whole = columns / job_.reduce_x;
        if (job_.reduce_x == 2) {
            means<2>(2, rows, 0, whole, buffer);
        } else {
            means<0>(job_.reduce_x, rows, 0, whole, buffer);
        }
        // The last block of a row may be cut off by the edge.
        if (whole < count) means<0>(columns - whole * job_.reduce_x, rows, whole, count, buffer);
        return buffer;
    }

   private:
    const std::uint8_t* input(int row, int column) const {
        return job_.image + (static_cast<std::size_t>(row) * job_.place.width + column) * 3;
    }

    void add_rows(int top, int rows, int column, int count) const {
        std::uint32_t* __restrict sums = sums_;
        const std::uint8_t* __restrict from = input(top, column);
        for (int i = 0; i < count; ++i) sums[i] = from[i];
        for (int row = 1; row < rows; ++row) {
            from = input(top + row, column);
            for (int i = 0; i < count; ++i) sums[i] += from[i];
        }
    }

    // Blocks first <= b < last, each `columns` wide (as a constant where Columns is not 0).
    template <int Columns>
    void means(int columns, int rows, int first, int last, std::uint8_t* __restrict out) const {
        if (Columns) columns = Columns;
        const float share = 1.0f / static_cast<float>(columns * rows);
        const std::size_t step = 3 * static_cast<std::size_t>(job_.reduce_x);
        for (int b = first; b < last; ++b) {
            const std::uint32_t* const from = sums_ + step * b;
            for (int c = 0; c < 3; ++c) {
                std::uint32_t sum = 0;
                for (int i = 0; i < columns; ++i) sum += from[3 * i + c];
                const float mean = static_cast<float>(static_cast<std::int32_t>(sum)) * share;
                out[3 * b + c] = static_cast<std::uint8_t>(static_cast<std::int32_t>(mean + 0.5f));
            }
        }
    }

    const WarpJob& job_;
    std::uint32_t* sums_;
    bool reduced_;
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
