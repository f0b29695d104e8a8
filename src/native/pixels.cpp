#include "pixels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

namespace pixelwise {

namespace {

// Eight bytes of labels in one comparison; neighbouring pixels mostly have the same.
template <class Label>
constexpr int PACK = 8 / sizeof(Label);

template <class Label>
std::uint64_t pack_of(const Label* labels) {
    std::uint64_t pack;
    std::memcpy(&pack, labels, sizeof pack);
    return pack;
}

template <class Label>
std::uint64_t pack_filled_with(Label label) {
    return label * (~std::uint64_t{0} / static_cast<Label>(~Label{0}));
}

template <class Label>
Label highest_of(const Label* labels, std::int64_t count) {
    Label highest = 0;
    for (std::int64_t i = 0; i < count; ++i) highest = std::max(highest, labels[i]);
    return highest;
}

// Two tables: a counter that was just written is slow to read again. All labels without a class
// share the last entry, `classes`.
template <class Label>
void count_run(const Label* labels, std::int64_t count, std::int64_t classes, std::int64_t* even,
               std::int64_t* odd) {
    const auto entry = [&](Label label) { return std::min<std::int64_t>(label, classes); };
    std::int64_t i = 0;
    for (; i + PACK<Label> <= count; i += PACK<Label>) {
        if (pack_of(labels + i) == pack_filled_with(labels[i])) {
            even[entry(labels[i])] += PACK<Label>;
        } else {
            for (int n = 0; n < PACK<Label>; n += 2) {
                ++even[entry(labels[i + n])];
                ++odd[entry(labels[i + n + 1])];
            }
        }
    }
    for (; i < count; ++i) ++even[entry(labels[i])];
}

}  // namespace

template <class Label>
std::int64_t count_labels(const Label* labels, std::int64_t pixels, std::int64_t classes,
                          std::int64_t* counts) {
    const std::size_t entries = static_cast<std::size_t>(classes) + 1;
    std::vector<std::int64_t> even(entries), odd(entries);
    count_run(labels, pixels, classes, even.data(), odd.data());
    for (std::int64_t c = 0; c < classes; ++c) counts[c] += even[c] + odd[c];
    if (even.back() + odd.back() == 0) return classes - 1;
    return highest_of(labels, pixels);
}

template std::int64_t count_labels(const std::uint8_t*, std::int64_t, std::int64_t, std::int64_t*);
template std::int64_t count_labels(const std::uint16_t*, std::int64_t, std::int64_t, std::int64_t*);

template <class Label>
std::int64_t count_cells(const CellsJob& job, const Label* labels, int first, int last) {
    const std::size_t entries = static_cast<std::size_t>(job.classes) + 1;
    const std::size_t line = entries * static_cast<std::size_t>(job.columns);
    std::vector<std::int64_t> even(line), odd(line);
    std::int64_t highest = job.classes - 1;
    for (int r = first; r < last; ++r) {
        std::fill(even.begin(), even.end(), 0);
        std::fill(odd.begin(), odd.end(), 0);
        for (std::int64_t y = job.row_edges[r]; y < job.row_edges[r + 1]; ++y) {
            for (std::int32_t c = 0; c < job.columns; ++c) {
                count_run(labels + y * job.width + job.column_edges[c],
                          job.column_edges[c + 1] - job.column_edges[c], job.classes,
                          even.data() + entries * c, odd.data() + entries * c);
            }
        }
        std::int64_t* out = job.counts + job.classes * job.columns * r;
        bool all_known = true;
        for (std::int32_t c = 0; c < job.columns; ++c, out += job.classes) {
            const std::int64_t* const one = even.data() + entries * c;
            const std::int64_t* const other = odd.data() + entries * c;
            for (std::int64_t k = 0; k < job.classes; ++k) out[k] = one[k] + other[k];
            all_known &= one[job.classes] + other[job.classes] == 0;
        }
        if (all_known) continue;
        for (std::int64_t y = job.row_edges[r]; y < job.row_edges[r + 1]; ++y) {
            const Label found = highest_of(labels + y * job.width + job.column_edges[0],
                                           job.column_edges[job.columns] - job.column_edges[0]);
            highest = std::max<std::int64_t>(highest, found);
        }
    }
    return highest;
}

template std::int64_t count_cells(const CellsJob&, const std::uint8_t*, int, int);
template std::int64_t count_cells(const CellsJob&, const std::uint16_t*, int, int);

template <class Label, class Entry>
std::int64_t relabel(const Label* labels, std::int64_t pixels, const Entry* table,
                     std::int64_t entries, Entry* out) {
    // Labels without an entry become 0; the highest of them is looked for afterwards.
    std::vector<Entry> full(std::size_t{1} << (8 * sizeof(Label)), Entry{0});
    const std::int64_t known = std::min(entries, static_cast<std::int64_t>(full.size()));
    std::copy(table, table + known, full.begin());
    constexpr int pack = PACK<Label>;
    bool all_known = true;
    const auto check = [&](Label label) { all_known &= label < known; };
    std::int64_t i = 0;
    for (; i + pack <= pixels; i += pack) {
        if (pack_of(labels + i) == pack_filled_with(labels[i])) {
            check(labels[i]);
            std::fill_n(out + i, pack, full[labels[i]]);
        } else {
            for (int n = 0; n < pack; ++n) {
                check(labels[i + n]);
                out[i + n] = full[labels[i + n]];
            }
        }
    }
    for (; i < pixels; ++i) {
        check(labels[i]);
        out[i] = full[labels[i]];
    }
    return all_known ? entries - 1 : highest_of(labels, pixels);
}

template std::int64_t relabel(const std::uint8_t*, std::int64_t, const std::uint8_t*, std::int64_t,
                              std::uint8_t*);
template std::int64_t relabel(const std::uint8_t*, std::int64_t, const std::uint16_t*,
                              std::int64_t, std::uint16_t*);
template std::int64_t relabel(const std::uint16_t*, std::int64_t, const std::uint8_t*,
                              std::int64_t, std::uint8_t*);
template std::int64_t relabel(const std::uint16_t*, std::int64_t, const std::uint16_t*,
                              std::int64_t, std::uint16_t*);

namespace {

// The palette colour of each pixel, times its weight in 1/256, and one half for rounding.
template <class Label>
void weigh_colours(const Label* labels, const std::vector<std::array<std::uint16_t, 4>>& weighed,
                   int width, std::uint16_t* out) {
    // Four values are copied at a time; the fourth is overwritten by the next pixel, or spare.
    for (int x = 0; x < width; ++x) std::memcpy(out + 3 * x, weighed[labels[x]].data(), 8);
}

void mix(const std::uint8_t* image, const std::uint16_t* weighed, int keep, int count,
         std::uint8_t* out) {
    for (int i = 0; i < count; ++i) {
        out[i] = static_cast<std::uint8_t>(
            static_cast<std::uint16_t>(image[i] * keep + weighed[i]) >> 8);
    }
}

template <class Label>
void draw_borders(const Label* labels, const Label* below, const std::uint8_t* palette, int width,
                  std::uint8_t* out) {
    const auto draw = [&](int x) {
        const bool border = (x + 1 < width && labels[x] != labels[x + 1]) || labels[x] != below[x];
        if (border) std::memcpy(out + 3 * x, palette + 3 * labels[x], 3);
    };
    int x = 0;
    for (; x + PACK<Label> < width; x += PACK<Label>) {
        const std::uint64_t here = pack_of(labels + x);
        if (here == pack_of(labels + x + 1) && here == pack_of(below + x)) continue;
        for (int n = 0; n < PACK<Label>; ++n) draw(x + n);
    }
    for (; x < width; ++x) draw(x);
}

}  // namespace

template <class Label>
std::int64_t blend(const BlendJob& job, const Label* labels, int first, int last,
                   std::uint16_t* workspace) {
    std::vector<std::array<std::uint16_t, 4>> weighed(static_cast<std::size_t>(job.colours));
    for (int k = 0; k < job.colours; ++k) {
        for (int i = 0; i < 3; ++i) {
            weighed[k][i] =
                static_cast<std::uint16_t>(job.palette[3 * k + i] * job.weight + 128);
        }
    }
    std::int64_t highest = 0;
    for (int y = first; y < last; ++y) {
        const std::int64_t offset = static_cast<std::int64_t>(y) * job.width;
        const Label* const row = labels + offset;
        const std::int64_t highest_here = highest_of(row, job.width);
        highest = std::max(highest, highest_here);
        if (highest_here >= job.colours) continue;
        weigh_colours(row, weighed, job.width, workspace);
        std::uint8_t* const out = job.out + 3 * offset;
        mix(job.image + 3 * offset, workspace, 256 - job.weight, 3 * job.width, out);
        if (job.borders) {
            const Label* const below = y + 1 < job.height ? row + job.width : row;
            draw_borders(row, below, job.palette, job.width, out);
        }
    }
    return highest;
}

template std::int64_t blend(const BlendJob&, const std::uint8_t*, int, int, std::uint16_t*);
template std::int64_t blend(const BlendJob&, const std::uint16_t*, int, int, std::uint16_t*);

namespace {

// A pixel has 256 values: a table per band is the multiplication and the conversion at once.
class ByteRow {
public:
    explicit ByteRow(const NormaliseJob& job) : table_(static_cast<std::size_t>(job.bands)) {
        for (int b = 0; b < job.bands; ++b) {
            for (int value = 0; value < 256; ++value) {
                const float scaled = static_cast<float>(value) * job.scale[b];
                table_[b][value] = scaled + job.shift[b];
            }
        }
    }
    void operator()(const std::uint8_t* from, int band, int bands, int width, float* to) const {
        const float* const values = table_[band].data();
        for (int x = 0; x < width; ++x) to[x] = values[from[x * bands + band]];
    }

private:
    std::vector<std::array<float, 256>> table_;
};

template <class Value>
class NumberRow {
public:
    explicit NumberRow(const NormaliseJob& job) : scale_(job.scale), shift_(job.shift) {}
    void operator()(const Value* from, int band, int bands, int width, float* to) const {
        const float scale = scale_[band], shift = shift_[band];
        for (int x = 0; x < width; ++x) {
            const float scaled = static_cast<float>(from[x * bands + band]) * scale;
            const float value = scaled + shift;
            to[x] = std::isfinite(value) ? value : 0.0f;
        }
    }

private:
    const float* scale_;
    const float* shift_;
};

template <class Value>
using Row = std::conditional_t<std::is_same_v<Value, std::uint8_t>, ByteRow, NumberRow<Value>>;

}  // namespace

template <class Value>
void normalise(const NormaliseJob& job, const Value* image, int first, int last) {
    const Row<Value> row(job);
    const std::int64_t plane = static_cast<std::int64_t>(job.out_height) * job.out_width;
    for (int y = first; y < last; ++y) {
        const int width = y < job.height ? job.width : 0;
        const Value* const from =
            image + static_cast<std::int64_t>(y < job.height ? y : 0) * job.width * job.bands;
        for (int b = 0; b < job.bands; ++b) {
            float* const to = job.out + b * plane + static_cast<std::int64_t>(y) * job.out_width;
            row(from, b, job.bands, width, to);
            std::fill(to + width, to + job.out_width, 0.0f);
        }
    }
}

template void normalise(const NormaliseJob&, const std::uint8_t*, int, int);
template void normalise(const NormaliseJob&, const std::uint16_t*, int, int);
template void normalise(const NormaliseJob&, const std::int16_t*, int, int);
template void normalise(const NormaliseJob&, const float*, int, int);

}  // namespace pixelwise
