// What the warp kernels work on, and the table of entry points that every instruction-set variant
// of warp.cpp fills. This header is shared between variants: data only, no inline code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

// Where every output pixel lies in the input. `matrix` takes the homogeneous centre
// (X + 1/2, Y + 1/2, 1) of output pixel X, Y to input coordinates, in which pixel x, y covers
// x <= u < x + 1, y <= v < y + 1. What falls outside [0, width) x [0, height) is outside.
struct WarpPlace {
    double matrix[9];
    std::int32_t height;  // of the input
    std::int32_t width;
    std::int32_t out_height;
    std::int32_t out_width;
    bool straight;  // only entries 0, 2, 4, 5 and 8 = 1 are not 0
};

struct WarpJob {
    WarpPlace place;
    const std::uint8_t* image;  // [height, width, 3]
    // The input counts as a picture of means over blocks of reduce_y x reduce_x pixels.
    std::int32_t reduce_y;
    std::int32_t reduce_x;
    float fill[3];
    float colour[12];  // [3, 4]
    float gamma;
    float scale[3];
    float shift[3];
};

struct RasterJob {
    WarpPlace place;
    std::int32_t rows;  // of the raster, reduced already: its values are means of blocks
    std::int32_t columns;
    std::int32_t bands;
    std::int32_t reduce_y;
    std::int32_t reduce_x;
    const float* fill;  // [bands] each
    const float* scale;
    const float* shift;
};

struct BlurJob {
    const float* planes;  // [bands, height, width]
    std::int32_t bands;
    std::int32_t height;
    std::int32_t width;
    const float* weights;  // [radius + 1], of the middle and of both neighbours at 1 .. radius
    std::int32_t radius;
};

// `workspace` is scratch of the bytes asked for, aligned to 64.
struct WarpKernels {
    std::size_t (*image_bytes)(const WarpJob& job);
    void (*to_floats)(const WarpJob&, char* workspace, float* out);         // [3, rows, columns]
    void (*to_bytes)(const WarpJob&, char* workspace, std::uint8_t* out);   // [rows, columns, 3]
    std::size_t (*ids_bytes)(const WarpPlace& place);
    void (*ids8)(const WarpPlace&, const std::uint8_t* ids, std::uint8_t fill, char* workspace,
                 std::uint8_t* out);
    void (*ids16)(const WarpPlace&, const std::uint16_t* ids, std::uint16_t fill, char* workspace,
                  std::uint16_t* out);
    void (*ids32)(const WarpPlace&, const std::int32_t* ids, std::int32_t fill, char* workspace,
                  std::int32_t* out);
    std::size_t (*raster_bytes)(const RasterJob& job);
    // values [rows, columns, bands], out [bands, out rows, out columns]
    void (*raster8)(const RasterJob&, const std::uint8_t* values, char* workspace, float* out);
    void (*raster16)(const RasterJob&, const std::uint16_t* values, char* workspace, float* out);
    void (*raster32)(const RasterJob&, const float* values, char* workspace, float* out);
    std::size_t (*blur_bytes)(const BlurJob& job);
    void (*blur)(const BlurJob&, char* workspace, float* out);  // [bands, height, width]
};

namespace baseline {
extern const WarpKernels warp_kernels;
}
namespace avx2 {
extern const WarpKernels warp_kernels;
}
namespace avx512 {
extern const WarpKernels warp_kernels;
}

}  // namespace pixelwise
