// What mean field works on, and the entry points that every instruction-set variant of crf.cpp
// fills. This header is shared between variants: data only, no inline code.
//
// The classes of a pixel are cut into lines of `width` floats; all lines of one block of classes
// stand together, pixel after pixel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

struct LatticeFilter {
    std::int32_t count;  // of vertices; line `count` of every buffer of lines holds zeros
    std::int32_t corners;
    const std::int32_t* vertices;  // [pixels, corners]
    const float* weights;          // [pixels, corners]
    const std::int64_t* starts;    // [count + 1]
    const std::int32_t* members;
    const float* member_weights;
};

constexpr int SMOOTH_MARGIN = 4;

struct SmoothJob {
    std::int32_t height;
    std::int32_t image_width;
    const float* taps;  // at the centre; SMOOTH_MARGIN zeros lie beyond `radius` on both sides
    std::int32_t radius;
    const float* factors;  // [pixels], before and after
    const float* values;   // [pixels, width]
    float* between;        // [pixels, width]: what the first pass gives to the second
    float* out;            // [pixels, width], added to
    float weight;
};

struct SoftmaxJob {
    std::int64_t pixels;
    std::int32_t blocks;
    const float* unary;        // [blocks, pixels, width]
    const float* message;      // [blocks, pixels, width]; null: none
    const std::uint8_t* keep;  // [pixels]; null: all. What is not kept becomes zeros.
    float* out;                // [blocks, pixels, width]
};

struct CrfKernels {
    // Vertices first <= v < last: the sum of their members' lines.
    void (*gather)(const LatticeFilter& filter, const float* values, int first, int last,
                   float* lines);
    // Along one axis: half of both neighbours on top of each line.
    void (*blur)(const std::int32_t* neighbours, const float* lines, int first, int last,
                 float* out);
    // Pixels first <= n < last: the weighted sum of their corners, times `weight`.
    void (*slice)(const LatticeFilter& filter, const float* lines, float weight,
                  std::int64_t first, std::int64_t last, float* out);
    // Rows first <= y < last, along the rows and then down the columns.
    void (*smooth_across)(const SmoothJob& job, int first, int last);
    void (*smooth_down)(const SmoothJob& job, int first, int last);
    // Pixels first <= n < last.
    void (*softmax)(const SoftmaxJob& job, std::int64_t first, std::int64_t last);
};

// By the width of a line: 4, 8 and 16 floats.
struct CrfVariants {
    CrfKernels by_width[3];
};

namespace baseline {
extern const CrfVariants crf_kernels;
}
namespace avx2 {
extern const CrfVariants crf_kernels;
}
namespace avx512 {
extern const CrfVariants crf_kernels;
}

}  // namespace pixelwise
