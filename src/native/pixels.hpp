// Loops over the pixels of a picture: counting, overlay, input normalisation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

// Adds the number of pixels of each class to counts[0 .. classes). Returns the highest label.
template <class Label>
std::int64_t count_labels(const Label* labels, std::int64_t pixels, std::int64_t classes,
                          std::int64_t* counts);

struct CellsJob {
    std::int64_t width;  // of the map
    const std::int64_t* row_edges;  // [rows + 1], never falling: cell row r has rows edge[r] up to
                                    // before edge[r + 1]
    const std::int64_t* column_edges;  // [columns + 1]
    std::int32_t columns;
    std::int64_t classes;
    std::int64_t* counts;  // [rows, columns, classes]
};

// The number of pixels of each class in the cells of the cell rows first <= r < last. Returns the
// highest label in them if it is no class, else a number below `classes`.
template <class Label>
std::int64_t count_cells(const CellsJob& job, const Label* labels, int first, int last);

// out[i] = table[labels[i]], 0 where the table is too short. Returns the highest label if it is too
// short for one, else a number below `entries`.
template <class Label, class Entry>
std::int64_t relabel(const Label* labels, std::int64_t pixels, const Entry* table,
                     std::int64_t entries, Entry* out);

struct BlendJob {
    const std::uint8_t* image;  // [height, width, 3]
    const std::uint8_t* palette;  // [colours, 3]
    std::int32_t height;
    std::int32_t width;
    std::int32_t colours;
    std::int32_t weight;  // of the palette colour, in 1/256
    bool borders;
    std::uint8_t* out;  // [height, width, 3]
};

// Rows first <= y < last. `workspace` holds 3 * width + 1 values. Returns the highest label; rows
// with a label that has no colour are left alone.
template <class Label>
std::int64_t blend(const BlendJob& job, const Label* labels, int first, int last,
                   std::uint16_t* workspace);

struct NormaliseJob {
    std::int32_t height;
    std::int32_t width;
    std::int32_t bands;
    const float* scale;
    const float* shift;
    std::int32_t out_height;
    std::int32_t out_width;
    float* out;  // [bands, out_height, out_width]
};

// Rows first <= y < last of the output of an image [height, width, bands]. What comes out as no
// finite number is 0, the mean.
template <class Value>
void normalise(const NormaliseJob& job, const Value* image, int first, int last);

}  // namespace pixelwise
