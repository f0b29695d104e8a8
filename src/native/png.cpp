#include "png.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

namespace pixelwise {

namespace {

// Pixels that are looked at together for a stretch in which the filtered bytes are all zero: label
// maps consist of such stretches.
constexpr int STRETCH = 8;

template <int PIXEL>
bool all_zero(const std::uint8_t* bytes) {
    std::uint64_t words[PIXEL];
    std::memcpy(words, bytes, sizeof words);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;
    return any == 0;
}

void undo_up(const std::uint8_t* from, const std::uint8_t* above, std::int64_t count,
             std::uint8_t* out) {
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<std::uint8_t>(from[i] + above[i]);
    }
}

template <int PIXEL>
void undo_sub(const std::uint8_t* from, std::int64_t count, std::uint8_t* out) {
    std::uint8_t left[PIXEL] = {};
    std::int64_t i = 0;
    while (i < count) {
        if (i + STRETCH * PIXEL <= count && all_zero<PIXEL>(from + i)) {
            for (int n = 0; n < STRETCH; ++n) std::memcpy(out + i + n * PIXEL, left, PIXEL);
            i += STRETCH * PIXEL;
            continue;
        }
        for (int n = 0; n < STRETCH && i < count; ++n, i += PIXEL) {
            for (int k = 0; k < PIXEL; ++k) {
                left[k] = static_cast<std::uint8_t>(left[k] + from[i + k]);
                out[i + k] = left[k];
            }
        }
    }
}

template <int PIXEL>
void undo_average(const std::uint8_t* from, const std::uint8_t* above, std::int64_t count,
                  std::uint8_t* out) {
    std::uint8_t left[PIXEL] = {};
    for (std::int64_t i = 0; i < count; i += PIXEL) {
        for (int k = 0; k < PIXEL; ++k) {
            left[k] = static_cast<std::uint8_t>(from[i + k] + ((left[k] + above[i + k]) >> 1));
            out[i + k] = left[k];
        }
    }
}

// The neighbour that is nearest to left + above - corner; of equals left, then above.
//
// With low <= high for left and above, the distances are high - corner to low, corner - low to high
// and |2 corner - low - high| to corner, as long as corner lies between. So low is nearest where
// high <= 3 corner - low - high, high where low >= 3 corner - low - high, and else corner; where
// corner lies outside, the same two tests give the right one. Two comparisons without a jump: in a
// photo no jump could be foreseen.
inline int paeth(int left, int above, int corner) {
    const int low = left < above ? left : above;
    const int high = left < above ? above : left;
    const int turn = 3 * corner - above - left;
    const int other = turn >= high ? low : corner;
    return turn <= low ? high : other;
}

template <int PIXEL>
void undo_paeth(const std::uint8_t* from, const std::uint8_t* above, std::int64_t count,
                std::uint8_t* out) {
    std::uint8_t left[PIXEL] = {}, corner[PIXEL] = {};
    std::int64_t i = 0;
    while (i < count) {
        // Where left and corner are equal the prediction is `above`. With nothing to add, the same
        // holds for the next pixel: the whole stretch is a copy of the row above.
        if (i + STRETCH * PIXEL <= count && std::memcmp(left, corner, PIXEL) == 0 &&
            all_zero<PIXEL>(from + i)) {
            std::memcpy(out + i, above + i, STRETCH * PIXEL);
            i += STRETCH * PIXEL;
            std::memcpy(left, above + i - PIXEL, PIXEL);
            std::memcpy(corner, left, PIXEL);
            continue;
        }
        for (int n = 0; n < STRETCH && i < count; ++n, i += PIXEL) {
            for (int k = 0; k < PIXEL; ++k) {
                const int predicted = paeth(left[k], above[i + k], corner[k]);
                left[k] = static_cast<std::uint8_t>(from[i + k] + predicted);
                corner[k] = above[i + k];
                out[i + k] = left[k];
            }
        }
    }
}

template <int PIXEL>
std::int64_t undo_filters(const std::uint8_t* filtered, std::int64_t height,
                          std::int64_t row_bytes, std::uint8_t* out) {
    const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(row_bytes));
    const std::uint8_t* above = zeros.data();
    for (std::int64_t y = 0; y < height; ++y) {
        const std::uint8_t* const from = filtered + y * (row_bytes + 1) + 1;
        std::uint8_t* const row = out + y * row_bytes;
        switch (from[-1]) {
            case 0: std::memcpy(row, from, static_cast<std::size_t>(row_bytes)); break;
            case 1: undo_sub<PIXEL>(from, row_bytes, row); break;
            case 2: undo_up(from, above, row_bytes, row); break;
            case 3: undo_average<PIXEL>(from, above, row_bytes, row); break;
            case 4: undo_paeth<PIXEL>(from, above, row_bytes, row); break;
            default: return y;
        }
        above = row;
    }
    return -1;
}

}  // namespace

std::int64_t undo_png_filters(const std::uint8_t* filtered, std::int64_t height,
                              std::int64_t row_bytes, int pixel_bytes, std::uint8_t* out) {
    switch (pixel_bytes) {
        case 1: return undo_filters<1>(filtered, height, row_bytes, out);
        case 2: return undo_filters<2>(filtered, height, row_bytes, out);
        case 3: return undo_filters<3>(filtered, height, row_bytes, out);
        case 4: return undo_filters<4>(filtered, height, row_bytes, out);
        case 6: return undo_filters<6>(filtered, height, row_bytes, out);
        default: return undo_filters<8>(filtered, height, row_bytes, out);
    }
}

}  // namespace pixelwise
