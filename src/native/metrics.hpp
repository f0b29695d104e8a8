// What the kernels of the metrics work on, and the entry points that every instruction-set variant
// of metrics.cpp fills. This header is shared between variants: data only, no inline code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

struct PairJob {
    const void* truth;       // [pixels] of whole numbers
    const void* prediction;  // [pixels] of whole numbers
    std::int64_t pixels;
    std::int64_t classes;
    bool ignores;  // is truth of ignore_index left out?
    std::int64_t ignore_index;
};

// Adds pixels first <= i < last to counts [classes, classes], truth by prediction. Returns whether
// an id was outside the classes; such pixels are not counted.
using CountPairs = bool (*)(const PairJob& job, std::int64_t first, std::int64_t last,
                            std::int64_t* counts);

// Ids are uint8, uint16, int32 or int64, in this order.
constexpr int ID_TYPES = 4;

struct BorderJob {
    const void* labels;  // [height, width]
    std::int32_t height;
    std::int32_t width;
    std::int32_t distance;  // in pixels, at least 1
    std::uint16_t fill;
    void* out;  // [height, width] of the type of the labels
};

struct ContourJob {
    const void* labels;  // [height, width]
    std::int32_t height;
    std::int32_t width;
    std::int32_t classes;   // labels from here on are of no class
    std::int64_t* counts;   // [classes]: a first run adds the contour pixels of each
    std::int64_t* places;   // [classes]: where the next point of each goes; a second run moves it
    std::int32_t* points;   // [sum of counts, 2], row and column; null in the first run
};

struct NearestJob {
    const std::int32_t* points;  // [count, 2], row and column
    std::int64_t count;
    const std::int32_t* others;  // [other_count, 2]
    std::int64_t other_count;
    // The box that holds all of them, half-open.
    std::int32_t top;
    std::int32_t left;
    std::int32_t bottom;
    std::int32_t right;
    double row_spacing;
    double column_spacing;
    double* out;  // [count]
};

// `workspace` is scratch of as many bytes as the kernel asks for, aligned to 64.
struct MetricKernels {
    CountPairs count_pairs[ID_TYPES][ID_TYPES];  // by the types of truth and prediction
    std::size_t (*border_bytes)(const BorderJob& job);
    void (*near_borders8)(const BorderJob& job, char* workspace);
    void (*near_borders16)(const BorderJob& job, char* workspace);
    std::size_t (*contour_bytes)(const ContourJob& job);
    void (*contours8)(const ContourJob& job, char* workspace);
    void (*contours16)(const ContourJob& job, char* workspace);
    std::size_t (*nearest_bytes)(const NearestJob& job);
    void (*nearest)(const NearestJob& job, char* workspace);
};

namespace baseline {
extern const MetricKernels metric_kernels;
}
namespace avx2 {
extern const MetricKernels metric_kernels;
}
namespace avx512 {
extern const MetricKernels metric_kernels;
}

}  // namespace pixelwise
