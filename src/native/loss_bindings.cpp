// The Python side of the loss kernel; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include "axis_tables.hpp"
#include "bindings.hpp"
#include "parallel.hpp"
#include "upsampled_loss.hpp"

namespace pixelwise {
namespace {

constexpr std::size_t LONGEST_SIDE = std::size_t{1} << 24;
// Scores at the full width in one unit of work: below a millisecond.
constexpr std::int64_t UNIT_SCORES = 2'000'000;

const LossKernels& kernels_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::loss_kernels;
    if (wanted("avx2")) return avx2::loss_kernels;
#endif
    return baseline::loss_kernels;
}

// Classes and unions, as every row of the table of ids has them.
struct Table {
    Input<float, 1> row_weights;          // [rows]; empty: 1 for every class
    Input<float, 1> class_weights;        // [classes]; empty without label smoothing
    Input<std::int32_t, 2> union_orders;  // [unions, classes]
    Input<std::int32_t, 1> union_sizes;   // [unions]
};

void set_table(LossJob& job, const Table& table) {
    const std::size_t classes = static_cast<std::size_t>(job.classes);
    const std::size_t unions = table.union_sizes.shape(0);
    job.table_rows = static_cast<std::int32_t>(classes + unions);
    require(unions < LONGEST_SIDE && table.union_orders.shape(0) == unions &&
                table.union_orders.shape(1) == classes,
            "unions of another size");
    require(table.row_weights.shape(0) == classes + unions ||
                (table.row_weights.shape(0) == 0 && unions == 0),
            "a weight for every row");
    require(table.class_weights.shape(0) == classes || job.label_smoothing == 0,
            "a weight for every class");
    const std::int32_t* const orders = table.union_orders.data();
    const std::int32_t* const sizes = table.union_sizes.data();
    require(std::all_of(orders, orders + unions * classes,
                        [&](std::int32_t c) { return c >= 0 && c < job.classes; }) &&
                std::all_of(sizes, sizes + unions,
                            [&](std::int32_t n) { return n >= 1 && n <= job.classes; }),
            "a union of classes that are none");
    job.row_weights = table.row_weights.shape(0) ? table.row_weights.data() : nullptr;
    job.class_weights = table.class_weights.data();
    job.union_orders = orders;
    job.union_sizes = sizes;
}

void set_bands(LossJob& job) {
    const std::int64_t pixels = static_cast<std::int64_t>(job.rows.size) * job.columns.size;
    const std::int64_t per_row = std::max<std::int64_t>(job.classes * pixels / job.height, 1);
    job.band_rows = static_cast<std::int32_t>(
        std::clamp<std::int64_t>(UNIT_SCORES / per_row, 1, job.height));
    job.bands = (job.height + job.band_rows - 1) / job.band_rows;
}

double run_loss(LossJob& job, const LossKernels& kernels, int threads) {
    set_bands(job);
    const std::int64_t units = static_cast<std::int64_t>(job.images) * job.bands;
    require(units < (std::int64_t{1} << 31), "too many images");
    const std::int64_t pixels =
        static_cast<std::int64_t>(job.images) * job.rows.size * job.columns.size;
    const int workers = static_cast<int>(std::min<std::int64_t>(
        useful_threads(threads, pixels * (job.classes + 8) / 8), units));
    std::vector<double> totals(static_cast<std::size_t>(units));
    const std::size_t border = sizeof(float) * static_cast<std::size_t>(job.classes) * job.width;
    const Workspaces borders(1, job.gradient ? border * static_cast<std::size_t>(units) : 0);
    const Workspaces workspaces(workers, kernels.workspace_bytes(job));
    job.totals = totals.data();
    job.borders = reinterpret_cast<float*>(borders.of(0));
    in_bands(static_cast<int>(units), workers, [&](int worker, int first, int last) {
        kernels.run(job, first, last, workspaces.of(worker));
    });
    if (job.gradient) {
        in_bands(static_cast<int>(units), workers,
                 [&](int, int first, int last) { kernels.merge(job, first, last); });
    }
    double total = 0;
    for (const double part : totals) total += part;
    return total;
}

template <class Id>
double upsampled_loss(const Input<float, 4>& logits, bool channels_last,
                      const Input<std::int32_t, 1>& row_index, const Input<float, 1>& row_weight,
                      const Input<std::int32_t, 1>& column_index,
                      const Input<float, 1>& column_weight, const Input<Id, 3>& target,
                      std::int64_t ignore_index, const Input<float, 1>& row_weights,
                      const Input<float, 1>& class_weights,
                      const Input<std::int32_t, 2>& union_orders,
                      const Input<std::int32_t, 1>& union_sizes, float label_smoothing,
                      float focal_gamma, const Output<float, 4>& gradient, int threads,
                      const char* variant) {
    const std::size_t classes = logits.shape(channels_last ? 3 : 1);
    const std::size_t height = logits.shape(channels_last ? 1 : 2);
    const std::size_t width = logits.shape(channels_last ? 2 : 3);
    require(logits.size() > 0 && classes <= 65535 && height < LONGEST_SIDE &&
                width < LONGEST_SIDE && logits.shape(0) < LONGEST_SIDE,
            "a side without scores, or too long");
    const AxisTables rows(row_index, row_weight, static_cast<int>(height));
    const AxisTables columns(column_index, column_weight, static_cast<int>(width));
    require(target.shape(0) == logits.shape(0) && target.shape(1) == row_index.shape(0) &&
                target.shape(2) == column_index.shape(0) && target.shape(1) < LONGEST_SIDE &&
                target.shape(2) < LONGEST_SIDE,
            "a target of another size");
    require(label_smoothing >= 0 && label_smoothing <= 1 && focal_gamma >= 0 &&
                (label_smoothing == 0 || focal_gamma == 0),
            "options outside their range");
    LossJob job{};
    job.logits = logits.data();
    job.channels_last = channels_last;
    job.images = static_cast<std::int32_t>(logits.shape(0));
    job.classes = static_cast<std::int32_t>(classes);
    job.height = static_cast<std::int32_t>(height);
    job.width = static_cast<std::int32_t>(width);
    job.rows = rows.view();
    job.columns = columns.view();
    job.target = target.data();
    job.id_bytes = sizeof(Id);
    job.ignore_index = ignore_index;
    job.label_smoothing = label_smoothing;
    job.focal_gamma = focal_gamma;
    set_table(job, {row_weights, class_weights, union_orders, union_sizes});
    if (gradient.size() > 0) {
        for (int i = 0; i < 4; ++i) {
            require(gradient.shape(i) == logits.shape(i), "a gradient of another size");
        }
        job.gradient = gradient.data();
    }
    const LossKernels& kernels = kernels_named(variant);
    nb::gil_scoped_release release;
    return run_loss(job, kernels, threads);
}

// In the type of the ids, as many at once as there is room for.
template <class Id>
bool has_ids_outside(const Input<Id, 3>& target, std::int64_t rows, std::int64_t ignore_index) {
    using Unsigned = std::make_unsigned_t<Id>;
    require(rows > 0, "a table without rows");
    if (static_cast<std::uint64_t>(rows) > std::numeric_limits<Unsigned>::max()) return false;
    const Unsigned limit = static_cast<Unsigned>(rows);  // negative ids are above it
    const bool possible = static_cast<std::int64_t>(static_cast<Id>(ignore_index)) == ignore_index;
    const Id ignored = possible ? static_cast<Id>(ignore_index) : Id{0};
    const Id* const ids = target.data();
    const std::size_t count = target.size();
    nb::gil_scoped_release release;
    Unsigned outside = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const Unsigned is_outside = static_cast<Unsigned>(ids[i]) >= limit;
        const Unsigned counts = ids[i] != ignored;
        outside |= is_outside & counts;
    }
    return outside != 0;
}

}  // namespace

void add_upsampled_loss(nb::module_& module) {
    using namespace nb::literals;
    const auto id_functions = [&](auto id) {
        using Id = decltype(id);
        module.def("upsampled_loss", &upsampled_loss<Id>, "logits"_a.noconvert(),
                   "channels_last"_a, "row_index"_a.noconvert(), "row_weight"_a.noconvert(),
                   "column_index"_a.noconvert(), "column_weight"_a.noconvert(),
                   "target"_a.noconvert(), "ignore_index"_a, "row_weights"_a.noconvert(),
                   "class_weights"_a.noconvert(), "union_orders"_a.noconvert(),
                   "union_sizes"_a.noconvert(), "label_smoothing"_a, "focal_gamma"_a,
                   "gradient"_a.noconvert(), "threads"_a, "variant"_a = "");
        module.def("has_ids_outside", &has_ids_outside<Id>, "target"_a.noconvert(), "rows"_a,
                   "ignore_index"_a);
    };
    id_functions(std::uint8_t{});
    id_functions(std::uint16_t{});
    id_functions(std::int32_t{});
    id_functions(std::int64_t{});
}

}  // namespace pixelwise
