// The Python side of counting in cells; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bindings.hpp"
#include "parallel.hpp"
#include "pixels.hpp"

namespace pixelwise {
namespace {

void check_edges(const Input<std::int64_t, 1>& edges, std::size_t length) {
    const std::int64_t* const first = edges.data();
    const std::int64_t* const last = first + edges.shape(0);
    require(edges.shape(0) >= 2 && std::is_sorted(first, last) && *first >= 0 &&
                *(last - 1) <= static_cast<std::int64_t>(length),
            "edges outside the map, or that fall");
}

template <class Label>
std::int64_t count_cells_of(const Input<Label, 2>& labels,
                            const Input<std::int64_t, 1>& row_edges,
                            const Input<std::int64_t, 1>& column_edges,
                            const Output<std::int64_t, 3>& counts, int threads) {
    check_edges(row_edges, labels.shape(0));
    check_edges(column_edges, labels.shape(1));
    require(counts.shape(0) + 1 == row_edges.shape(0) &&
                counts.shape(1) + 1 == column_edges.shape(0),
            "counts of another size");
    const CellsJob job{static_cast<std::int64_t>(labels.shape(1)),
                       row_edges.data(),
                       column_edges.data(),
                       static_cast<std::int32_t>(counts.shape(1)),
                       static_cast<std::int64_t>(counts.shape(2)),
                       counts.data()};
    const int rows = static_cast<int>(counts.shape(0));
    const std::int64_t pixels = static_cast<std::int64_t>(labels.shape(0) * labels.shape(1));
    const int workers = std::min(useful_threads(threads, pixels / 2), std::max(rows, 1));
    std::vector<std::int64_t> highest(static_cast<std::size_t>(workers), -1);
    {
        nb::gil_scoped_release release;
        in_bands(rows, workers, [&](int worker, int first, int last) {
            highest[worker] =
                std::max(highest[worker], count_cells(job, labels.data(), first, last));
        });
    }
    return *std::max_element(highest.begin(), highest.end());
}

}  // namespace

void add_cells(nb::module_& module) {
    using namespace nb::literals;
    const auto count = [&module](auto label) {
        module.def("count_cells", &count_cells_of<decltype(label)>, "labels"_a.noconvert(),
                   "row_edges"_a.noconvert(), "column_edges"_a.noconvert(),
                   "counts"_a.noconvert(), "threads"_a);
    };
    count(std::uint8_t{});
    count(std::uint16_t{});
}

}  // namespace pixelwise
