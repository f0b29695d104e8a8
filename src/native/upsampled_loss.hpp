// What the loss kernel works on, and the entry points that every instruction-set variant of
// upsampled_loss.cpp fills. This header is shared between variants: data only, no inline code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode.hpp"

namespace pixelwise {

constexpr float LOG2_E = 1.44269504f;
constexpr float LN_2 = 0.693147181f;

// The rows of scores of every image are cut into bands, and one band of one image is a unit of
// work: its answer is the same whichever thread works on it, and answers are added in the order
// of the units. Unit u is band u % bands of image u / bands.
struct LossJob {
    const float* logits;  // [images, classes, height, width]; the classes last if channels_last
    float* gradient;      // like logits, or null if only the loss is wanted
    bool channels_last;
    std::int32_t images;
    std::int32_t classes;
    std::int32_t height;
    std::int32_t width;
    AxisTable rows;
    AxisTable columns;
    const void* target;     // [images, rows.size, columns.size] of whole numbers
    std::int32_t id_bytes;  // of each; 1 and 2: unsigned, 4 and 8: signed
    std::int64_t ignore_index;
    std::int32_t table_rows;     // ids below it: the classes, then the unions
    const float* row_weights;    // [table_rows], below 0: counts for nothing; null: 1 for all
    const float* class_weights;  // [classes], for label smoothing
    // [table_rows - classes, classes]: the candidates of each union, then the other classes
    const std::int32_t* union_orders;
    const std::int32_t* union_sizes;  // [table_rows - classes], candidates of each
    float label_smoothing;
    float focal_gamma;
    std::int32_t band_rows;  // rows of scores in a band; the last band of an image has the rest
    std::int32_t bands;
    float* borders;  // [images * bands, classes, width]: what a band gives to the row after it
    double* totals;  // [images * bands]
};

// `workspace` is scratch of workspace_bytes(job), aligned to 64, private to the calling thread.
struct LossKernels {
    std::size_t (*workspace_bytes)(const LossJob& job);
    // Fills totals, borders and the rows of the gradient of units first <= u < last.
    void (*run)(const LossJob& job, int first, int last, char* workspace);
    // Adds the border of the unit before to units first <= u < last; after all have run.
    void (*merge)(const LossJob& job, int first, int last);
};

namespace baseline {
extern const LossKernels loss_kernels;
}
namespace avx2 {
extern const LossKernels loss_kernels;
}
namespace avx512 {
extern const LossKernels loss_kernels;
}

}  // namespace pixelwise
