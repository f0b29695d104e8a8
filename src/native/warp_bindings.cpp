// The Python side of the warp kernels; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "bindings.hpp"
#include "warp.hpp"

namespace pixelwise {
namespace {

constexpr std::size_t LONGEST_SIDE = std::size_t{1} << 24;
// Values of an input that is not warped straight: their places are worked out in 32 bits.
constexpr std::size_t LARGEST_BENT = std::size_t{1} << 31;

const WarpKernels& kernels_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::warp_kernels;
    if (wanted("avx2")) return avx2::warp_kernels;
#endif
    return baseline::warp_kernels;
}

WarpPlace place_of(const Input<double, 2>& matrix, std::size_t height, std::size_t width,
                   std::size_t out_height, std::size_t out_width, bool general) {
    require(matrix.shape(0) == 3 && matrix.shape(1) == 3, "a matrix of another size");
    require(height > 0 && width > 0 && out_height > 0 && out_width > 0 && height < LONGEST_SIDE &&
                width < LONGEST_SIDE && out_height < LONGEST_SIDE && out_width < LONGEST_SIDE,
            "a side without pixels, or too long");
    WarpPlace place{};
    std::copy(matrix.data(), matrix.data() + 9, place.matrix);
    const double* const m = place.matrix;
    require(std::all_of(m, m + 9, [](double value) { return std::isfinite(value); }),
            "a matrix that is not finite");
    place.height = static_cast<std::int32_t>(height);
    place.width = static_cast<std::int32_t>(width);
    place.out_height = static_cast<std::int32_t>(out_height);
    place.out_width = static_cast<std::int32_t>(out_width);
    place.straight =
        !general && m[1] == 0 && m[3] == 0 && m[6] == 0 && m[7] == 0 && m[8] == 1;
    return place;
}

// Colours: fill [3], colour matrix [12], gamma, scale [3], shift [3].
WarpJob job_of(const Input<std::uint8_t, 3>& image, const Input<double, 2>& matrix,
               const Input<float, 1>& colours, int reduce_y, int reduce_x,
               std::size_t out_height, std::size_t out_width, bool general) {
    require(image.shape(2) == 3 && colours.shape(0) == 22, "arrays of different sizes");
    require(reduce_y >= 1 && reduce_x >= 1 && reduce_y <= 4096 && reduce_x <= 4096,
            "a reduction outside 1 to 4096");
    WarpJob job{};
    job.place = place_of(matrix, image.shape(0), image.shape(1), out_height, out_width, general);
    const double* const m = job.place.matrix;
    if (job.place.straight) {
        require(std::abs(m[0]) < 2.0 * reduce_x && std::abs(m[4]) < 2.0 * reduce_y,
                "a reduction too small for the matrix");
    } else {
        require(image.size() < LARGEST_BENT, "an image too large for this matrix");
    }
    job.image = image.data();
    job.reduce_y = reduce_y;
    job.reduce_x = reduce_x;
    const float* from = colours.data();
    const auto copy = [&](float* to, int count) {
        std::copy(from, from + count, to);
        from += count;
    };
    copy(job.fill, 3);
    copy(job.colour, 12);
    copy(&job.gamma, 1);
    copy(job.scale, 3);
    copy(job.shift, 3);
    return job;
}

void warp_image(const Input<std::uint8_t, 3>& image, const Input<double, 2>& matrix,
                const Input<float, 1>& colours, int reduce_y, int reduce_x,
                const Output<float, 3>& out, bool general, const char* variant) {
    require(out.shape(0) == 3, "an output of another size");
    const WarpJob job = job_of(image, matrix, colours, reduce_y, reduce_x, out.shape(1),
                               out.shape(2), general);
    const WarpKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.image_bytes(job));
    kernels.to_floats(job, workspace.of(0), out.data());
}

void warp_bytes(const Input<std::uint8_t, 3>& image, const Input<double, 2>& matrix,
                const Input<float, 1>& colours, int reduce_y, int reduce_x,
                const Output<std::uint8_t, 3>& out, bool general, const char* variant) {
    require(out.shape(2) == 3, "an output of another size");
    const WarpJob job = job_of(image, matrix, colours, reduce_y, reduce_x, out.shape(0),
                               out.shape(1), general);
    const WarpKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.image_bytes(job));
    kernels.to_bytes(job, workspace.of(0), out.data());
}

template <class Id>
void warp_ids(const Input<Id, 2>& ids, const Input<double, 2>& matrix, Id fill,
              const Output<Id, 2>& out, bool general, const char* variant) {
    const WarpPlace place = place_of(matrix, ids.shape(0), ids.shape(1), out.shape(0),
                                     out.shape(1), general);
    require(place.straight || ids.size() < LARGEST_BENT, "too many ids for this matrix");
    const WarpKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.ids_bytes(place));
    if constexpr (sizeof(Id) == 1) {
        kernels.ids8(place, ids.data(), fill, workspace.of(0), out.data());
    } else if constexpr (sizeof(Id) == 2) {
        kernels.ids16(place, ids.data(), fill, workspace.of(0), out.data());
    } else {
        kernels.ids32(place, ids.data(), fill, workspace.of(0), out.data());
    }
}

// `values` are those of a raster of height x width, reduced.
template <class Value>
void warp_raster(const Input<Value, 3>& values, int height, int width,
                 const Input<double, 2>& matrix, const Input<float, 1>& fill,
                 const Input<float, 1>& scale, const Input<float, 1>& shift, int reduce_y,
                 int reduce_x, const Output<float, 3>& out, const char* variant) {
    const std::size_t bands = values.shape(2);
    require(bands > 0 && bands < LONGEST_SIDE && fill.shape(0) == bands &&
                scale.shape(0) == bands && shift.shape(0) == bands && out.shape(0) == bands,
            "arrays of different sizes");
    require(height > 0 && width > 0 && reduce_y >= 1 && reduce_x >= 1,
            "a side without pixels, or no reduction");
    const auto reduced = [](int size, int by) {
        return (static_cast<std::size_t>(size) + by - 1) / by;
    };
    require(values.shape(0) == reduced(height, reduce_y) &&
                values.shape(1) == reduced(width, reduce_x),
            "values of another size");
    RasterJob job{};
    job.place = place_of(matrix, static_cast<std::size_t>(height),
                         static_cast<std::size_t>(width), out.shape(1), out.shape(2), true);
    job.rows = static_cast<std::int32_t>(values.shape(0));
    job.columns = static_cast<std::int32_t>(values.shape(1));
    job.bands = static_cast<std::int32_t>(bands);
    job.reduce_y = reduce_y;
    job.reduce_x = reduce_x;
    job.fill = fill.data();
    job.scale = scale.data();
    job.shift = shift.data();
    const WarpKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.raster_bytes(job));
    if constexpr (std::is_same_v<Value, float>) {
        kernels.raster32(job, values.data(), workspace.of(0), out.data());
    } else if constexpr (sizeof(Value) == 1) {
        kernels.raster8(job, values.data(), workspace.of(0), out.data());
    } else {
        kernels.raster16(job, values.data(), workspace.of(0), out.data());
    }
}

void blur(const Input<float, 3>& planes, const Input<float, 1>& weights,
          const Output<float, 3>& out, const char* variant) {
    require(planes.shape(0) == out.shape(0) && planes.shape(1) == out.shape(1) &&
                planes.shape(2) == out.shape(2),
            "arrays of different sizes");
    require(planes.size() > 0 && planes.shape(0) < LONGEST_SIDE &&
                planes.shape(1) < LONGEST_SIDE && planes.shape(2) < LONGEST_SIDE,
            "a side without pixels, or too long");
    require(weights.shape(0) >= 1 && weights.shape(0) <= 4096, "1 to 4096 weights");
    require(planes.data() + planes.size() <= out.data() ||
                out.data() + out.size() <= planes.data(),
            "an output that overlaps the input");
    BlurJob job{};
    job.planes = planes.data();
    job.bands = static_cast<std::int32_t>(planes.shape(0));
    job.height = static_cast<std::int32_t>(planes.shape(1));
    job.width = static_cast<std::int32_t>(planes.shape(2));
    job.weights = weights.data();
    job.radius = static_cast<std::int32_t>(weights.shape(0)) - 1;
    const WarpKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.blur_bytes(job));
    kernels.blur(job, workspace.of(0), out.data());
}

}  // namespace

void add_warp(nb::module_& module) {
    using namespace nb::literals;
    module.def("warp_image", &warp_image, "image"_a.noconvert(), "matrix"_a.noconvert(),
               "colours"_a.noconvert(), "reduce_y"_a, "reduce_x"_a, "out"_a.noconvert(),
               "general"_a = false, "variant"_a = "");
    module.def("warp_bytes", &warp_bytes, "image"_a.noconvert(), "matrix"_a.noconvert(),
               "colours"_a.noconvert(), "reduce_y"_a, "reduce_x"_a, "out"_a.noconvert(),
               "general"_a = false, "variant"_a = "");
    const auto ids_function = [&](auto id) {
        module.def("warp_ids", &warp_ids<decltype(id)>, "ids"_a.noconvert(),
                   "matrix"_a.noconvert(), "fill"_a, "out"_a.noconvert(), "general"_a = false,
                   "variant"_a = "");
    };
    ids_function(std::uint8_t{});
    ids_function(std::uint16_t{});
    ids_function(std::int32_t{});
    const auto raster_function = [&](auto value) {
        module.def("warp_raster", &warp_raster<decltype(value)>, "values"_a.noconvert(),
                   "height"_a, "width"_a, "matrix"_a.noconvert(), "fill"_a.noconvert(),
                   "scale"_a.noconvert(), "shift"_a.noconvert(), "reduce_y"_a, "reduce_x"_a,
                   "out"_a.noconvert(), "variant"_a = "");
    };
    raster_function(std::uint8_t{});
    raster_function(std::uint16_t{});
    raster_function(float{});
    module.def("blur", &blur, "planes"_a.noconvert(), "weights"_a.noconvert(),
               "out"_a.noconvert(), "variant"_a = "");
}

}  // namespace pixelwise
