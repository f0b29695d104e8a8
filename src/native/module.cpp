// The Python side of the kernels. Arguments have been checked in pixelwise/kernels/*.py; what is
// checked again here is what would let a mistake over there read or write outside an array.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "axis_tables.hpp"
#include "bindings.hpp"
#include "decode.hpp"
#include "parallel.hpp"
#include "pixels.hpp"
#include "png.hpp"
#include "regions.hpp"

namespace nb = nanobind;

namespace pixelwise {
namespace {

// The kernels of one variant, or of the best for this CPU where no name is given.
const DecodeKernels& kernels_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::decode_kernels;
    if (wanted("avx2")) return avx2::decode_kernels;
#endif
    return baseline::decode_kernels;
}

template <class Out>
using DecodeFunction = void (*)(const DecodeJob&, int first, int last, char* workspace, Out* out);

// `work` is about how many nanoseconds one worker would need.
template <class Out>
void decode(const DecodeJob& job, const DecodeKernels& kernels, DecodeFunction<Out> function,
            int threads, std::int64_t work, Out* out) {
    const int workers = std::min(useful_threads(threads, work), int{job.rows.size});
    const Workspaces workspaces(workers, kernels.workspace_bytes(job));
    nb::gil_scoped_release release;
    in_bands(job.rows.size, workers, [&](int worker, int first, int last) {
        function(job, first, last, workspaces.of(worker), out);
    });
}

// Scores and the tables of both sides, as every decode function takes them.
class Source {
   public:
    Source(const Input<float, 3>& scores, const Input<std::int32_t, 1>& row_index,
           const Input<float, 1>& row_weight, const Input<std::int32_t, 1>& column_index,
           const Input<float, 1>& column_weight)
        : rows_(row_index, row_weight, static_cast<int>(scores.shape(1))),
          columns_(column_index, column_weight, static_cast<int>(scores.shape(2))) {
        require(scores.shape(0) > 0 && scores.shape(0) <= 65535, "1 to 65535 classes");
        job.scores = scores.data();
        job.classes = static_cast<std::int32_t>(scores.shape(0));
        job.height = static_cast<std::int32_t>(scores.shape(1));
        job.width = static_cast<std::int32_t>(scores.shape(2));
        job.rows = rows_.view();
        job.columns = columns_.view();
    }
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    std::int64_t pixels() const {
        return static_cast<std::int64_t>(job.rows.size) * job.columns.size;
    }

    DecodeJob job{};

   private:
    AxisTables rows_;
    AxisTables columns_;
};

template <class Label>
void decode_labels(const Input<float, 3>& scores, const Input<std::int32_t, 1>& row_index,
                   const Input<float, 1>& row_weight, const Input<std::int32_t, 1>& column_index,
                   const Input<float, 1>& column_weight, const Output<Label, 2>& out, int threads,
                   bool full, const char* variant) {
    const Source source(scores, row_index, row_weight, column_index, column_weight);
    const DecodeJob& job = source.job;
    require(out.shape(0) == row_index.shape(0) && out.shape(1) == column_index.shape(0),
            "an output of another size");
    require(job.classes <= 256 || sizeof(Label) > 1, "labels that do not fit the output");
    const DecodeKernels& kernels = kernels_named(variant);
    DecodeFunction<Label> function;
    if constexpr (sizeof(Label) == 1) {
        function = full ? kernels.full_labels8 : kernels.labels8;
    } else {
        function = full ? kernels.full_labels16 : kernels.labels16;
    }
    const std::int64_t read = static_cast<std::int64_t>(job.classes) * job.height * job.width;
    decode(job, kernels, function, threads, read / 4 + source.pixels() / 2, out.data());
}

void decode_values(const char* what, const Input<float, 3>& scores,
                   const Input<std::int32_t, 1>& row_index, const Input<float, 1>& row_weight,
                   const Input<std::int32_t, 1>& column_index,
                   const Input<float, 1>& column_weight,
                   const nb::ndarray<float, nb::c_contig, nb::device::cpu>& out, int class_index,
                   int threads, const char* variant) {
    Source source(scores, row_index, row_weight, column_index, column_weight);
    DecodeJob& job = source.job;
    require(class_index >= 0 && class_index < job.classes, "a class without scores");
    job.class_index = class_index;
    const DecodeKernels& kernels = kernels_named(variant);
    const std::string_view name(what);
    const bool planes = name == "scores" || name == "probabilities";
    const std::int64_t values = source.pixels() * (planes ? job.classes : 1);
    require(static_cast<std::int64_t>(out.size()) == values, "an output of another size");
    const DecodeFunction<float> function = name == "scores"          ? kernels.scores
                                           : name == "probabilities" ? kernels.probabilities
                                           : name == "probability"   ? kernels.probability
                                           : name == "confidence"    ? kernels.confidence
                                                                     : nullptr;
    require(function != nullptr, "an unknown kind of value");
    decode(job, kernels, function, threads, source.pixels() * job.classes / 4, out.data());
}

template <class Label>
nb::tuple label_regions_of(const Input<Label, 2>& labels, bool corners,
                           const Output<std::int32_t, 2>& components) {
    const std::int32_t height = static_cast<std::int32_t>(labels.shape(0));
    const std::int32_t width = static_cast<std::int32_t>(labels.shape(1));
    require(components.shape(0) == labels.shape(0) && components.shape(1) == labels.shape(1),
            "an output of another size");
    std::vector<Region> regions;
    {
        nb::gil_scoped_release release;
        regions = label_regions(labels.data(), height, width, corners ? 1 : 0, components.data());
    }
    const std::size_t count = regions.size();
    const auto array_of = [&](auto value, std::size_t columns, auto get) {
        using Value = decltype(value);
        auto* values = new Value[count * columns];
        nb::capsule owner(values, [](void* p) noexcept { delete[] static_cast<Value*>(p); });
        for (std::size_t n = 0; n < count; ++n) {
            for (std::size_t i = 0; i < columns; ++i) values[n * columns + i] = get(regions[n], i);
        }
        const std::size_t shape[2] = {count, columns};
        return nb::ndarray<nb::numpy, Value>(values, columns == 1 ? 1 : 2, shape, owner);
    };
    return nb::make_tuple(
        array_of(std::uint16_t{}, 1,
                 [](const Region& region, std::size_t) { return region.label; }),
        array_of(std::int64_t{}, 1,
                 [](const Region& region, std::size_t) { return region.area; }),
        array_of(std::int32_t{}, 4,
                 [](const Region& region, std::size_t i) {
                     const std::int32_t box[4] = {region.x0, region.y0, region.x1, region.y1};
                     return box[i];
                 }),
        array_of(double{}, 2, [](const Region& region, std::size_t i) {
            return static_cast<double>(i == 0 ? region.sum_x : region.sum_y) /
                   static_cast<double>(region.area);
        }));
}

template <class Label>
std::int64_t count_labels_of(const Input<Label, 2>& labels, const Output<std::int64_t, 1>& counts,
                             int threads) {
    const int rows = static_cast<int>(labels.shape(0));
    const std::int64_t width = static_cast<std::int64_t>(labels.shape(1));
    const std::int64_t classes = static_cast<std::int64_t>(counts.shape(0));
    const int workers = std::min(useful_threads(threads, rows * width / 2), std::max(rows, 1));
    std::vector<std::vector<std::int64_t>> parts(
        static_cast<std::size_t>(workers), std::vector<std::int64_t>(counts.shape(0)));
    std::vector<std::int64_t> highest(static_cast<std::size_t>(workers), -1);
    {
        nb::gil_scoped_release release;
        in_bands(rows, workers, [&](int worker, int first, int last) {
            const std::int64_t found =
                count_labels(labels.data() + first * width, (last - first) * width, classes,
                             parts[worker].data());
            highest[worker] = std::max(highest[worker], found);
        });
    }
    std::fill(counts.data(), counts.data() + classes, 0);
    for (const auto& part : parts) {
        for (std::int64_t c = 0; c < classes; ++c) counts.data()[c] += part[c];
    }
    return *std::max_element(highest.begin(), highest.end());
}

template <class Label, class Entry>
std::int64_t relabel_of(const Input<Label, 2>& labels, const Input<Entry, 1>& table,
                        const Output<Entry, 2>& out) {
    require(labels.shape(0) == out.shape(0) && labels.shape(1) == out.shape(1),
            "arrays of different sizes");
    nb::gil_scoped_release release;
    return relabel(labels.data(), static_cast<std::int64_t>(labels.size()), table.data(),
                   static_cast<std::int64_t>(table.shape(0)), out.data());
}

template <class Label>
std::int64_t blend_of(const Input<std::uint8_t, 3>& image, const Input<Label, 2>& labels,
                      const Input<std::uint8_t, 2>& palette, int weight, bool borders,
                      const Output<std::uint8_t, 3>& out, int threads) {
    require(image.shape(0) == labels.shape(0) && image.shape(1) == labels.shape(1) &&
                image.shape(2) == 3 && palette.shape(1) == 3 && out.shape(0) == image.shape(0) &&
                out.shape(1) == image.shape(1) && out.shape(2) == 3,
            "arrays of different sizes");
    require(weight >= 0 && weight <= 256, "a weight outside 0 to 256");
    BlendJob job{};
    job.image = image.data();
    job.palette = palette.data();
    job.height = static_cast<std::int32_t>(labels.shape(0));
    job.width = static_cast<std::int32_t>(labels.shape(1));
    job.colours = static_cast<std::int32_t>(palette.shape(0));
    job.weight = weight;
    job.borders = borders;
    job.out = out.data();
    const std::int64_t pixels = static_cast<std::int64_t>(job.height) * job.width;
    const int workers = std::min(useful_threads(threads, pixels), std::max(int{job.height}, 1));
    const std::size_t scratch = 3 * labels.shape(1) + 1;
    std::vector<std::uint16_t> workspace(scratch * static_cast<std::size_t>(workers));
    std::vector<std::int64_t> highest(static_cast<std::size_t>(workers), -1);
    {
        nb::gil_scoped_release release;
        in_bands(job.height, workers, [&](int worker, int first, int last) {
            const std::int64_t found =
                blend(job, labels.data(), first, last, workspace.data() + scratch * worker);
            highest[worker] = std::max(highest[worker], found);
        });
    }
    return *std::max_element(highest.begin(), highest.end());
}

template <class Value>
void normalise_of(const Input<Value, 3>& image, const Input<float, 1>& scale,
                  const Input<float, 1>& shift, const Output<float, 3>& out, int threads) {
    require(scale.shape(0) == image.shape(2) && shift.shape(0) == image.shape(2) &&
                out.shape(0) == image.shape(2) && out.shape(1) >= image.shape(0) &&
                out.shape(2) >= image.shape(1),
            "arrays of different sizes");
    NormaliseJob job{};
    job.height = static_cast<std::int32_t>(image.shape(0));
    job.width = static_cast<std::int32_t>(image.shape(1));
    job.bands = static_cast<std::int32_t>(image.shape(2));
    job.scale = scale.data();
    job.shift = shift.data();
    job.out_height = static_cast<std::int32_t>(out.shape(1));
    job.out_width = static_cast<std::int32_t>(out.shape(2));
    job.out = out.data();
    const int workers = std::min(useful_threads(threads, static_cast<std::int64_t>(out.size())),
                                 std::max(int{job.out_height}, 1));
    nb::gil_scoped_release release;
    in_bands(job.out_height, workers,
             [&](int, int first, int last) { normalise(job, image.data(), first, last); });
}

std::int64_t undo_png_filters_of(const Input<std::uint8_t, 2>& filtered, int pixel_bytes,
                                 const Output<std::uint8_t, 2>& out) {
    require(pixel_bytes >= 1 && pixel_bytes <= 8 && pixel_bytes != 5 && pixel_bytes != 7,
            "a pixel of another size");
    require(out.shape(0) == filtered.shape(0) && out.shape(1) > 0 &&
                filtered.shape(1) == out.shape(1) + 1 &&
                out.shape(1) % static_cast<std::size_t>(pixel_bytes) == 0,
            "arrays of different sizes");
    nb::gil_scoped_release release;
    return undo_png_filters(filtered.data(), static_cast<std::int64_t>(out.shape(0)),
                            static_cast<std::int64_t>(out.shape(1)), pixel_bytes, out.data());
}

}  // namespace

// Every function fills arrays that Python has allocated. noconvert(): an array of another type
// would be converted into a copy, and the answer written into the copy.
NB_MODULE(_native, module) {
    using namespace nb::literals;
    const auto labels_functions = [&](auto label) {
        using Label = decltype(label);
        module.def("decode_labels", &decode_labels<Label>, "scores"_a.noconvert(),
                   "row_index"_a.noconvert(), "row_weight"_a.noconvert(),
                   "column_index"_a.noconvert(), "column_weight"_a.noconvert(),
                   "out"_a.noconvert(), "threads"_a, "full"_a = false, "variant"_a = "");
        module.def("label_regions", &label_regions_of<Label>, "labels"_a.noconvert(), "corners"_a,
                   "components"_a.noconvert());
        module.def("count_labels", &count_labels_of<Label>, "labels"_a.noconvert(),
                   "counts"_a.noconvert(), "threads"_a);
        module.def("blend", &blend_of<Label>, "image"_a.noconvert(), "labels"_a.noconvert(),
                   "palette"_a.noconvert(), "weight"_a, "borders"_a, "out"_a.noconvert(),
                   "threads"_a);
        const auto relabel_function = [&](auto entry) {
            module.def("relabel", &relabel_of<Label, decltype(entry)>, "labels"_a.noconvert(),
                       "table"_a.noconvert(), "out"_a.noconvert());
        };
        relabel_function(std::uint8_t{});
        relabel_function(std::uint16_t{});
    };
    labels_functions(std::uint8_t{});
    labels_functions(std::uint16_t{});
    module.def("decode_values", &decode_values, "what"_a, "scores"_a.noconvert(),
               "row_index"_a.noconvert(), "row_weight"_a.noconvert(), "column_index"_a.noconvert(),
               "column_weight"_a.noconvert(), "out"_a.noconvert(), "class_index"_a, "threads"_a,
               "variant"_a = "");
    const auto normalise_function = [&module](auto value) {
        using Value = decltype(value);
        module.def("normalise", &normalise_of<Value>, "image"_a.noconvert(),
                   "scale"_a.noconvert(), "shift"_a.noconvert(), "out"_a.noconvert(),
                   "threads"_a);
    };
    normalise_function(std::uint8_t{});
    normalise_function(std::uint16_t{});
    normalise_function(std::int16_t{});
    normalise_function(float{});
    module.def("undo_png_filters", &undo_png_filters_of, "filtered"_a.noconvert(),
               "pixel_bytes"_a, "out"_a.noconvert());
    add_cells(module);
    add_crf(module);
    add_fade(module);
    add_upsampled_loss(module);
    add_overlaps(module);
    add_ranked(module);
    add_metrics(module);
    add_polygons(module);
    add_region_measures(module);
    add_calibration(module);
    add_warp(module);
    module.def("variants", [] {
        nb::list names;
        names.append("baseline");
        for (const char* name : {"avx2", "avx512"}) {
            if (can_run(name)) names.append(name);
        }
        return names;
    });
}

}  // namespace pixelwise
