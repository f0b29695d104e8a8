// The Python side of the kernels of calibration; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "axis_tables.hpp"
#include "bindings.hpp"
#include "calibration.hpp"
#include "parallel.hpp"

namespace pixelwise {
namespace {

constexpr std::int64_t PART = 1 << 16;  // pixels that are summed up by themselves
// Entries of all tables together: above it, adding up the tables would cost more than counting.
constexpr std::int64_t MOST_ENTRIES = 1 << 22;
constexpr std::int64_t MOST_BINS = 1000;

const CalibrationKernels& kernels_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::calibration_kernels;
    if (wanted("avx2")) return avx2::calibration_kernels;
#endif
    return baseline::calibration_kernels;
}

template <class Id>
constexpr int type_of = sizeof(Id) == 1 ? 0 : sizeof(Id) == 2 ? 1 : sizeof(Id) == 4 ? 2 : 3;

// Calls task(worker, first, last, sums) for parts of `size` units, whatever the threads, each with
// sums of its own, and adds these up in their order: so the answer does not depend on the threads.
template <class Task>
int summed(std::int64_t units, std::int64_t size, int workers, const Output<double, 1>& sums,
           Task task) {
    const std::int64_t entries = static_cast<std::int64_t>(sums.shape(0));
    const std::int64_t most = std::max<std::int64_t>(1, MOST_ENTRIES / entries);
    size = std::max(size, (units + most - 1) / most);
    const std::int64_t parts = (units + size - 1) / size;
    require(parts < (std::int64_t{1} << 31), "too many pixels");
    std::vector<double> tables(static_cast<std::size_t>(parts * entries));
    std::atomic<int> found{0};
    in_bands(static_cast<int>(parts), workers, [&](int worker, int first, int last) {
        for (std::int64_t part = first; part < last; ++part) {
            found |= task(worker, part * size, std::min((part + 1) * size, units),
                          tables.data() + part * entries);
        }
    });
    std::fill(sums.data(), sums.data() + entries, 0.0);
    for (std::int64_t part = 0; part < parts; ++part) {
        for (std::int64_t i = 0; i < entries; ++i) sums.data()[i] += tables[part * entries + i];
    }
    return found;
}

void check_sums(const Output<double, 1>& sums, std::int64_t rows, int bins) {
    require(rows >= 1 && rows <= 65536 && bins >= 1 && bins <= MOST_BINS,
            "1 to 65536 rows, and 1 to 1000 bins");
    require(static_cast<std::int64_t>(sums.shape(0)) == (1 + rows) * 3 * bins + 3,
            "sums of another size");
}

template <class Id>
int calibration_sums(const Input<float, 2>& values, const Input<Id, 1>& truth, bool ignores,
                     std::int64_t ignore_index, int bins, const Output<double, 1>& sums,
                     int threads, const char* variant) {
    require(values.shape(1) == truth.shape(0), "arrays of different sizes");
    check_sums(sums, static_cast<std::int64_t>(values.shape(0)), bins);
    ProbabilityJob job{};
    job.values = values.data();
    job.pixels = static_cast<std::int64_t>(values.shape(1));
    job.rows = static_cast<std::int32_t>(values.shape(0));
    job.bins = bins;
    job.truth = {truth.data(), ignores, ignore_index};
    const int workers = useful_threads(threads, job.pixels * job.rows);
    const CalibrationKernels& kernels = kernels_named(variant);
    const auto count = kernels.probabilities[type_of<Id>];
    nb::gil_scoped_release release;
    const Workspaces workspaces(workers, kernels.probability_bytes(job));
    return summed(job.pixels, PART, workers, sums,
                  [&](int worker, std::int64_t first, std::int64_t last, double* table) {
                      return count(job, first, last, workspaces.of(worker), table);
                  });
}

template <class Id>
int calibration_sums_of_scores(const Input<float, 3>& scores,
                               const Input<std::int32_t, 1>& row_index,
                               const Input<float, 1>& row_weight,
                               const Input<std::int32_t, 1>& column_index,
                               const Input<float, 1>& column_weight,
                               const Input<std::int32_t, 1>& row_of, int rows,
                               const Input<Id, 2>& truth, bool ignores, std::int64_t ignore_index,
                               int bins, const Output<double, 1>& sums, int threads,
                               const char* variant) {
    const AxisTables down(row_index, row_weight, static_cast<int>(scores.shape(1)));
    const AxisTables across(column_index, column_weight, static_cast<int>(scores.shape(2)));
    ScoreJob job{};
    job.decode.scores = scores.data();
    job.decode.classes = static_cast<std::int32_t>(scores.shape(0));
    job.decode.height = static_cast<std::int32_t>(scores.shape(1));
    job.decode.width = static_cast<std::int32_t>(scores.shape(2));
    job.decode.rows = down.view();
    job.decode.columns = across.view();
    require(scores.shape(0) > 0 && scores.shape(0) <= 65535, "1 to 65535 classes");
    require(truth.shape(0) == row_index.shape(0) && truth.shape(1) == column_index.shape(0),
            "a truth of another size");
    check_sums(sums, rows, bins);
    require(row_of.shape(0) == scores.shape(0) &&
                std::all_of(row_of.data(), row_of.data() + row_of.shape(0),
                            [&](std::int32_t row) { return row >= 0 && row < rows; }),
            "a row for every class");
    job.row_of = row_of.data();
    job.rows = rows;
    job.bins = bins;
    job.truth = {truth.data(), ignores, ignore_index};
    const std::int64_t width = static_cast<std::int64_t>(truth.shape(1));
    const std::int64_t height = static_cast<std::int64_t>(truth.shape(0));
    const int workers = useful_threads(threads, height * width * job.decode.classes);
    const CalibrationKernels& kernels = kernels_named(variant);
    const auto count = kernels.scores[type_of<Id>];
    nb::gil_scoped_release release;
    const Workspaces workspaces(workers, kernels.score_bytes(job));
    return summed(height, std::max<std::int64_t>(1, PART / width), workers, sums,
                  [&](int worker, std::int64_t first, std::int64_t last, double* table) {
                      return count(job, static_cast<int>(first), static_cast<int>(last),
                                   workspaces.of(worker), table);
                  });
}

template <class Id>
int threshold_counts(const Input<float, 1>& values, const Input<Id, 1>& truth, bool ignores,
                     std::int64_t ignore_index, const Output<std::int64_t, 2>& counts,
                     const char* variant) {
    require(values.shape(0) == truth.shape(0), "arrays of different sizes");
    require(counts.shape(0) == 2 && counts.shape(1) == THRESHOLD_BINS, "counts of another size");
    ThresholdJob job{};
    job.values = values.data();
    job.pixels = static_cast<std::int64_t>(values.shape(0));
    job.truth = {truth.data(), ignores, ignore_index};
    const auto count = kernels_named(variant).thresholds[type_of<Id>];
    nb::gil_scoped_release release;
    std::fill(counts.data(), counts.data() + 2 * THRESHOLD_BINS, 0);
    return count(job, 0, job.pixels, counts.data());
}

}  // namespace

void add_calibration(nb::module_& module) {
    using namespace nb::literals;
    const auto functions = [&](auto id) {
        using Id = decltype(id);
        module.def("calibration_sums", &calibration_sums<Id>, "values"_a.noconvert(),
                   "truth"_a.noconvert(), "ignores"_a, "ignore_index"_a, "bins"_a,
                   "sums"_a.noconvert(), "threads"_a, "variant"_a = "");
        module.def("calibration_sums_of_scores", &calibration_sums_of_scores<Id>,
                   "scores"_a.noconvert(), "row_index"_a.noconvert(), "row_weight"_a.noconvert(),
                   "column_index"_a.noconvert(), "column_weight"_a.noconvert(),
                   "row_of"_a.noconvert(), "rows"_a, "truth"_a.noconvert(), "ignores"_a,
                   "ignore_index"_a, "bins"_a, "sums"_a.noconvert(), "threads"_a,
                   "variant"_a = "");
        module.def("threshold_counts", &threshold_counts<Id>, "values"_a.noconvert(),
                   "truth"_a.noconvert(), "ignores"_a, "ignore_index"_a, "counts"_a.noconvert(),
                   "variant"_a = "");
    };
    functions(std::uint8_t{});
    functions(std::uint16_t{});
    functions(std::int32_t{});
    functions(std::int64_t{});
}

}  // namespace pixelwise
