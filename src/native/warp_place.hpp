// Where the output pixels lie in the input, and the nearest ids there.
#pragma once

#include "carver.hpp"
#include "warp.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// Lines are padded so that whole vectors may be loaded and stored at any valid position.
PIXELWISE_INLINE int padded(int size) { return (size + 2 * LANES + 15) / 16 * 16; }

// In double, as everything that decides which pixel is meant. The order of operations here and
// in `project` is the definition: the NumPy twin computes these bits.
PIXELWISE_INLINE double along(double step, int pixel, double start) {
    return step * (pixel + 0.5) + start;
}

// The two values whose mixture a position takes are `low` and the next one, clamped to 0 .. last.
struct Tap {
    std::int32_t low;
    float weight;  // of the next one
};

PIXELWISE_INLINE Tap tap_at(double position, double reduce, int last) {
    double place = position / reduce - 0.5;
    place = place > 0.0 ? place : 0.0;
    place = place < last ? place : last;
    const std::int32_t low = static_cast<std::int32_t>(place);
    return {low, static_cast<float>(place - low)};
}

// Input coordinates of output row y; outside the input, u is -1.
static void project(const WarpPlace& place, int y, double* __restrict u, double* __restrict v) {
    const double* const m = place.matrix;
    const double row_u = along(m[1], y, m[2]);
    const double row_v = along(m[4], y, m[5]);
    const double width = place.width;
    const double height = place.height;
    if (m[6] == 0.0 && m[7] == 0.0) {
        for (int x = 0; x < place.out_width; ++x) {
            const double at_u = along(m[0], x, row_u);
            const double at_v = along(m[3], x, row_v);
            // & rather than &&: a choice between two paths would keep the loop scalar.
            const bool inside = (at_u >= 0.0) & (at_u < width) & (at_v >= 0.0) & (at_v < height);
            u[x] = inside ? at_u : -1.0;
            v[x] = inside ? at_v : 0.0;
        }
        return;
    }
    const double row_w = along(m[7], y, m[8]);
    for (int x = 0; x < place.out_width; ++x) {
        const double w = along(m[6], x, row_w);
        const double at_u = along(m[0], x, row_u) / w;
        const double at_v = along(m[3], x, row_v) / w;
        const bool inside = (w > 0.0) & (at_u >= 0.0) & (at_u < width) & (at_v >= 0.0) &
                            (at_v < height);
        u[x] = inside ? at_u : -1.0;
        v[x] = inside ? at_v : 0.0;
    }
}

// The pixels first <= p < last of one side of the output that lie inside the input. Where the
// matrix is straight they are neighbours.
struct Inside {
    int first;
    int last;

    bool has(int p) const { return first <= p && p < last; }
};

static Inside inside_of(double step, double start, int size, int out_size) {
    Inside inside{out_size, 0};
    for (int p = 0; p < out_size; ++p) {
        const double position = along(step, p, start);
        if (position >= 0.0 && position < size) {
            inside.first = least(inside.first, p);
            inside.last = p + 1;
        }
    }
    inside.last = most(inside.last, inside.first);
    return inside;
}

// A part of the input, or of its blocks.
struct Region {
    int left;
    int top;
    int columns;
    int rows;
};

struct Part {
    int first;
    int count;
};

// Pixels of one side that hold low .. high and two neighbours more; at least one.
static Part part_of(double low, double high, int size) {
    low = low - 2.0;
    high = high + 2.0;
    low = low > 0.0 ? low : 0.0;
    low = low < size - 1 ? low : size - 1;
    high = high > low ? high : low;
    high = high < size - 1 ? high : size - 1;
    const int first = static_cast<int>(low);
    return {first, static_cast<int>(high) - first + 1};
}

// What the output needs of the input reduced by blocks.
static Region needed_region(const WarpPlace& place, int reduce_y, int reduce_x) {
    const int width = (place.width + reduce_x - 1) / reduce_x;
    const int height = (place.height + reduce_y - 1) / reduce_y;
    double low_u = 1e300, low_v = 1e300, high_u = -1e300, high_v = -1e300;
    const double* const m = place.matrix;
    // A quadrilateral in front of the horizon lies within the box of its corners.
    for (int corner = 0; corner < 4; ++corner) {
        const double x = corner % 2 ? place.out_width : 0;
        const double y = corner / 2 ? place.out_height : 0;
        const double w = m[6] * x + (m[7] * y + m[8]);
        if (!(w > 1e-9)) return {0, 0, width, height};
        const double u = (m[0] * x + (m[1] * y + m[2])) / w;
        const double v = (m[3] * x + (m[4] * y + m[5])) / w;
        low_u = u < low_u ? u : low_u;
        low_v = v < low_v ? v : low_v;
        high_u = u > high_u ? u : high_u;
        high_v = v > high_v ? v : high_v;
    }
    const Part columns = part_of(low_u / reduce_x, high_u / reduce_x, width);
    const Part rows = part_of(low_v / reduce_y, high_v / reduce_y, height);
    return {columns.first, rows.first, columns.count, rows.count};
}

// A turned picture is read across its rows, and no processor foresees which lines of the cache
// come next. Reading along the rows before, one value of each line, is foreseen, and takes a
// fraction of the time. The sum has no meaning, but has to go somewhere.
template <class Value>
static std::int32_t read_along_rows(const WarpPlace& place, const Value* values, int bands) {
    constexpr std::size_t LARGEST = std::size_t{1} << 24;  // bytes; more would not stay there
    const Region region = needed_region(place, 1, 1);
    const std::size_t count = static_cast<std::size_t>(region.columns) * bands;
    if (count * region.rows * sizeof(Value) > LARGEST) return 0;
    std::uint32_t sum = 0;
    for (int row = region.top; row < region.top + region.rows; ++row) {
        const Value* const from =
            values + (static_cast<std::size_t>(row) * place.width + region.left) * bands;
        for (std::size_t i = 0; i < count; i += 64 / sizeof(Value)) {
            sum += static_cast<std::uint32_t>(from[i]);
        }
    }
    return static_cast<std::int32_t>(sum);
}

// The id of the input pixel that holds the centre of an output pixel. A centre on the border of
// two belongs to the right and the lower one.
class Nearest {
   public:
    Nearest(const WarpPlace& place, Carver& carver)
        : place_(place), buffers_(take(place, carver)),
          columns_(inside_of(place.matrix[0], place.matrix[2], place.width, place.out_width)) {
        if (!place.straight) return;
        for (int x = columns_.first; x < columns_.last; ++x) {
            buffers_.index[x] =
                static_cast<std::int32_t>(along(place.matrix[0], x, place.matrix[2]));
        }
    }

    struct Buffers {
        std::int32_t* index;
        double* u;
        double* v;
    };

    static Buffers take(const WarpPlace& place, Carver& carver) {
        const std::size_t count = static_cast<std::size_t>(padded(place.out_width));
        return {carver.take<std::int32_t>(count), carver.take<double>(count),
                carver.take<double>(count)};
    }

    // Fills `out`, the row of output row y; rows come in rising order, each after the one before.
    template <class Id>
    void row(int y, const Id* ids, Id fill, Id* out) {
        if (place_.straight) {
            straight_row(y, ids, fill, out);
        } else {
            if (y == 0) buffers_.index[0] = read_along_rows(place_, ids, 1);
            general_row(y, ids, fill, out);
        }
    }

   private:
    template <class Id>
    void straight_row(int y, const Id* ids, Id fill, Id* out) {
        const double position = along(place_.matrix[4], y, place_.matrix[5]);
        const bool inside = position >= 0.0 && position < place_.height;
        const std::int32_t source = inside ? static_cast<std::int32_t>(position) : -1;
        const std::size_t columns = static_cast<std::size_t>(place_.out_width);
        if (y > 0 && source == before_) {
            std::memcpy(out, out - columns, columns * sizeof(Id));
            return;
        }
        before_ = source;
        const int first = inside ? columns_.first : place_.out_width;
        const int last = inside ? columns_.last : place_.out_width;
        for (int x = 0; x < first; ++x) out[x] = fill;
        const Id* const from = ids + static_cast<std::size_t>(inside ? source : 0) * place_.width;
        for (int x = first; x < last; ++x) out[x] = from[buffers_.index[x]];
        for (int x = last; x < place_.out_width; ++x) out[x] = fill;
    }

    template <class Id>
    void general_row(int y, const Id* ids, Id fill, Id* out) {
        const double* __restrict u = buffers_.u;
        const double* __restrict v = buffers_.v;
        std::int32_t* __restrict index = buffers_.index;
        project(place_, y, buffers_.u, buffers_.v);
        const int columns = place_.out_width;
        const std::int32_t width = place_.width;
        for (int x = 0; x < columns; ++x) {
            const bool inside = u[x] >= 0.0;
            const std::int32_t column = static_cast<std::int32_t>(u[x]);
            const std::int32_t row = static_cast<std::int32_t>(v[x]);
            index[x] = inside ? row * width + column : -1;
        }
        for (int x = 0; x < columns; ++x) out[x] = index[x] < 0 ? fill : ids[index[x]];
    }

    const WarpPlace& place_;
    Buffers buffers_;
    Inside columns_;
    std::int32_t before_ = -2;
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
