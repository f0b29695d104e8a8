// The Python side of the kernels of the metrics; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bindings.hpp"
#include "metrics.hpp"
#include "near.hpp"
#include "parallel.hpp"

namespace pixelwise {
namespace {

constexpr std::size_t LONGEST_SIDE = std::size_t{1} << 24;
constexpr std::int64_t CHUNK = 1 << 16;  // pixels that a worker takes at a time
// Entries of all tables together: above it, adding up the tables would cost more than counting.
constexpr std::int64_t MOST_ENTRIES = 1 << 20;

const MetricKernels& kernels_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::metric_kernels;
    if (wanted("avx2")) return avx2::metric_kernels;
#endif
    return baseline::metric_kernels;
}

template <class Id>
constexpr int type_of = sizeof(Id) == 1 ? 0 : sizeof(Id) == 2 ? 1 : sizeof(Id) == 4 ? 2 : 3;

template <class Truth, class Found>
bool confusion_counts(const Input<Truth, 1>& truth, const Input<Found, 1>& prediction,
                      bool ignores, std::int64_t ignore_index,
                      const Output<std::int64_t, 2>& counts, int threads, const char* variant) {
    require(truth.shape(0) == prediction.shape(0), "arrays of different sizes");
    require(counts.shape(0) == counts.shape(1) && counts.shape(0) > 0 && counts.shape(0) <= 65535,
            "1 to 65535 classes, and a count for each pair");
    PairJob job{};
    job.truth = truth.data();
    job.prediction = prediction.data();
    job.pixels = static_cast<std::int64_t>(truth.shape(0));
    job.classes = static_cast<std::int64_t>(counts.shape(0));
    job.ignores = ignores;
    job.ignore_index = ignore_index;
    const std::int64_t chunks = (job.pixels + CHUNK - 1) / CHUNK;
    require(chunks < (std::int64_t{1} << 31), "too many pixels");
    const std::int64_t entries = job.classes * job.classes;
    const int most = static_cast<int>(std::clamp<std::int64_t>(MOST_ENTRIES / entries, 1, 1024));
    const int workers = std::min(useful_threads(threads, job.pixels / 4), most);
    const CountPairs count_pairs =
        kernels_named(variant).count_pairs[type_of<Truth>][type_of<Found>];
    nb::gil_scoped_release release;
    std::fill(counts.data(), counts.data() + entries, 0);
    std::vector<std::vector<std::int64_t>> parts(
        static_cast<std::size_t>(workers - 1),
        std::vector<std::int64_t>(static_cast<std::size_t>(entries)));
    std::vector<char> outside(static_cast<std::size_t>(workers), 0);
    in_bands(static_cast<int>(chunks), workers, [&](int worker, int first, int last) {
        const bool found =
            count_pairs(job, first * CHUNK, std::min(last * CHUNK, job.pixels),
                        worker ? parts[worker - 1].data() : counts.data());
        if (found) outside[worker] = 1;
    });
    for (const auto& part : parts) {
        for (std::int64_t i = 0; i < entries; ++i) counts.data()[i] += part[i];
    }
    return std::any_of(outside.begin(), outside.end(), [](char found) { return found != 0; });
}

template <class Label>
void near_borders(const Input<Label, 2>& labels, int distance, int fill,
                  const Output<Label, 2>& out, const char* variant) {
    require(labels.shape(0) == out.shape(0) && labels.shape(1) == out.shape(1),
            "arrays of different sizes");
    require(labels.size() > 0 && labels.shape(0) < LONGEST_SIDE && labels.shape(1) < LONGEST_SIDE,
            "a side without pixels, or too long");
    require(distance >= 1 && 2 * static_cast<std::size_t>(distance) <
                                 std::min(labels.shape(0), labels.shape(1)),
            "a distance that leaves no pixel");
    require(fill >= 0 && fill <= (sizeof(Label) == 1 ? 255 : 65535), "a fill that does not fit");
    require(labels.data() + labels.size() <= out.data() ||
                out.data() + out.size() <= labels.data(),
            "an output that overlaps the input");
    BorderJob job{};
    job.labels = labels.data();
    job.height = static_cast<std::int32_t>(labels.shape(0));
    job.width = static_cast<std::int32_t>(labels.shape(1));
    job.distance = distance;
    job.fill = static_cast<std::uint16_t>(fill);
    job.out = out.data();
    const MetricKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    const Workspaces workspace(1, kernels.border_bytes(job));
    (sizeof(Label) == 1 ? kernels.near_borders8 : kernels.near_borders16)(job, workspace.of(0));
}

template <class Label>
nb::tuple contour_points(const Input<Label, 2>& labels, int classes, const char* variant) {
    require(labels.size() > 0 && labels.shape(0) < LONGEST_SIDE && labels.shape(1) < LONGEST_SIDE,
            "a side without pixels, or too long");
    require(classes >= 1 && classes <= 65536, "1 to 65536 classes");
    const std::size_t size = static_cast<std::size_t>(classes);
    auto counts = std::make_unique<std::int64_t[]>(size);
    std::unique_ptr<std::int32_t[]> points;
    std::size_t total = 0;
    {
        nb::gil_scoped_release release;
        std::vector<std::int64_t> places(size);
        ContourJob job{};
        job.labels = labels.data();
        job.height = static_cast<std::int32_t>(labels.shape(0));
        job.width = static_cast<std::int32_t>(labels.shape(1));
        job.classes = classes;
        job.counts = counts.get();
        job.places = places.data();
        const MetricKernels& kernels = kernels_named(variant);
        const auto run = sizeof(Label) == 1 ? kernels.contours8 : kernels.contours16;
        const Workspaces workspace(1, kernels.contour_bytes(job));
        run(job, workspace.of(0));
        for (std::size_t c = 0; c < size; ++c) {
            places[c] = static_cast<std::int64_t>(total);
            total += static_cast<std::size_t>(counts[c]);
        }
        points.reset(new std::int32_t[2 * total + 1]);
        job.points = points.get();
        run(job, workspace.of(0));
    }
    const std::size_t shape[2] = {total, 2};
    nb::capsule points_owner(points.get(),
                             [](void* p) noexcept { delete[] static_cast<std::int32_t*>(p); });
    nb::ndarray<nb::numpy, std::int32_t> found(points.release(), 2, shape, points_owner);
    nb::capsule counts_owner(counts.get(),
                             [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
    nb::ndarray<nb::numpy, std::int64_t> many(counts.release(), 1, &size, counts_owner);
    return nb::make_tuple(found, many);
}

// Makes the box, its last row and column included, hold all the points.
void widen(NearestJob& job, const std::int32_t* points, std::int64_t count) {
    for (std::int64_t n = 0; n < count; ++n) {
        job.top = std::min(job.top, points[2 * n]);
        job.bottom = std::max(job.bottom, points[2 * n]);
        job.left = std::min(job.left, points[2 * n + 1]);
        job.right = std::max(job.right, points[2 * n + 1]);
    }
}

void check_points(const Input<std::int32_t, 2>& points, const Input<std::int64_t, 1>& counts) {
    std::uint64_t total = 0;
    for (std::size_t c = 0; c < counts.shape(0); ++c) {
        require(counts.data()[c] >= 0 &&
                    static_cast<std::uint64_t>(counts.data()[c]) <= points.shape(0) - total,
                "counts that are not those of the points");
        total += static_cast<std::uint64_t>(counts.data()[c]);
    }
    require(points.shape(1) == 2 && total == points.shape(0),
            "counts that are not those of the points");
    const std::int32_t* const all = points.data();
    require(std::all_of(all, all + 2 * total,
                        [](std::int32_t place) { return place >= 0 && place < (1 << 24); }),
            "a point outside every picture");
}

// The squared distance from each point to the nearest of the others of its class; where these are
// none, the answer stays as it is.
void nearest_squares(const Input<std::int32_t, 2>& points, const Input<std::int64_t, 1>& counts,
                     const Input<std::int32_t, 2>& others,
                     const Input<std::int64_t, 1>& other_counts, double row_spacing,
                     double column_spacing, const Output<double, 1>& out, const char* variant) {
    require(counts.shape(0) == other_counts.shape(0), "counts of other classes");
    require(out.shape(0) == points.shape(0), "an output of another size");
    require(row_spacing > 0 && column_spacing > 0, "a spacing above 0");
    check_points(points, counts);
    check_points(others, other_counts);
    const MetricKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    std::vector<NearestJob> jobs;
    std::size_t bytes = 0;
    NearestJob job{};
    job.points = points.data();
    job.others = others.data();
    job.row_spacing = row_spacing;
    job.column_spacing = column_spacing;
    job.out = out.data();
    for (std::size_t c = 0; c < counts.shape(0); ++c) {
        job.count = counts.data()[c];
        job.other_count = other_counts.data()[c];
        if (job.count > 0 && job.other_count > 0) {
            job.top = job.bottom = job.points[0];
            job.left = job.right = job.points[1];
            widen(job, job.points, job.count);
            widen(job, job.others, job.other_count);
            ++job.bottom;
            ++job.right;
            bytes = std::max(bytes, kernels.nearest_bytes(job));
            jobs.push_back(job);
        }
        job.points += 2 * job.count;
        job.others += 2 * job.other_count;
        job.out += job.count;
    }
    const Workspaces workspace(1, bytes);
    for (const NearestJob& of_class : jobs) kernels.nearest(of_class, workspace.of(0));
}

// Whether each point has another of its class within reach: `reach` says for each number of rows
// apart how many columns apart is still near.
void points_near(const Input<std::int32_t, 2>& points, const Input<std::int64_t, 1>& counts,
                 const Input<std::int32_t, 2>& others, const Input<std::int64_t, 1>& other_counts,
                 const Input<std::int64_t, 1>& reach, const Output<bool, 1>& out) {
    require(counts.shape(0) == other_counts.shape(0), "counts of other classes");
    require(out.shape(0) == points.shape(0), "an output of another size");
    check_points(points, counts);
    check_points(others, other_counts);
    const std::vector<std::int64_t> reached(reach.data(), reach.data() + reach.size());
    require(std::all_of(reached.begin(), reached.end(),
                        [](std::int64_t across) { return across >= 0 && across <= (1 << 25); }),
            "a reach beyond every picture");
    nb::gil_scoped_release release;
    std::vector<std::uint64_t> bits;
    NearJob job{points.data(), 0, others.data(), 0, &reached, out.data()};
    for (std::size_t c = 0; c < counts.shape(0); ++c) {
        job.count = counts.data()[c];
        job.other_count = other_counts.data()[c];
        if (job.other_count > 0) {
            mark_near(job, bits);
        } else {
            std::fill(job.out, job.out + job.count, false);
        }
        job.points += 2 * job.count;
        job.others += 2 * job.other_count;
        job.out += job.count;
    }
}

}  // namespace

void add_metrics(nb::module_& module) {
    using namespace nb::literals;
    const auto pair_function = [&](auto truth, auto prediction) {
        module.def("confusion_counts", &confusion_counts<decltype(truth), decltype(prediction)>,
                   "truth"_a.noconvert(), "prediction"_a.noconvert(), "ignores"_a,
                   "ignore_index"_a, "counts"_a.noconvert(), "threads"_a, "variant"_a = "");
    };
    const auto truth_functions = [&](auto truth) {
        pair_function(truth, std::uint8_t{});
        pair_function(truth, std::uint16_t{});
        pair_function(truth, std::int32_t{});
        pair_function(truth, std::int64_t{});
    };
    truth_functions(std::uint8_t{});
    truth_functions(std::uint16_t{});
    truth_functions(std::int32_t{});
    truth_functions(std::int64_t{});
    const auto label_function = [&](auto label) {
        module.def("near_borders", &near_borders<decltype(label)>, "labels"_a.noconvert(),
                   "distance"_a, "fill"_a, "out"_a.noconvert(), "variant"_a = "");
        module.def("contour_points", &contour_points<decltype(label)>, "labels"_a.noconvert(),
                   "classes"_a, "variant"_a = "");
    };
    label_function(std::uint8_t{});
    label_function(std::uint16_t{});
    module.def("nearest_squares", &nearest_squares, "points"_a.noconvert(),
               "counts"_a.noconvert(), "others"_a.noconvert(), "other_counts"_a.noconvert(),
               "row_spacing"_a, "column_spacing"_a, "out"_a.noconvert(), "variant"_a = "");
    module.def("points_near", &points_near, "points"_a.noconvert(), "counts"_a.noconvert(),
               "others"_a.noconvert(), "other_counts"_a.noconvert(), "reach"_a.noconvert(),
               "out"_a.noconvert());
}

}  // namespace pixelwise
