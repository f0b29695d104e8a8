// The Python side of the overlap counts; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "bindings.hpp"
#include "overlaps.hpp"
#include "parallel.hpp"

namespace pixelwise {
namespace {

using Image = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<nb::numpy, std::int64_t>;

Counts array_of(const std::vector<std::int64_t>& values, std::size_t rows, std::size_t columns) {
    auto* const copy = new std::int64_t[values.size()];
    nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
    std::copy(values.begin(), values.end(), copy);
    const std::size_t shape[2] = {rows, columns};
    return Counts(copy, columns == 0 ? 1 : 2, shape, owner);
}

LabelImage label_image(const Image& image) {
    const nb::dlpack::dtype type = image.dtype();
    const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
    require(code == nb::dlpack::dtype_code::Bool || code == nb::dlpack::dtype_code::Int ||
                code == nb::dlpack::dtype_code::UInt,
            "labels that are no whole numbers");
    require(type.lanes == 1 && (type.bits == 8 || type.bits == 16 || type.bits == 32 ||
                                type.bits == 64),
            "labels of another width");
    return {image.data(), type.bits / 8, code == nb::dlpack::dtype_code::Int};
}

// Combinations [N, images] and their pixels [N], in no order.
nb::tuple count_overlaps_of(const nb::list& labels, int threads) {
    std::vector<Image> owners;
    std::vector<LabelImage> images;
    for (const nb::handle item : labels) {
        owners.push_back(nb::cast<Image>(item, false));
        images.push_back(label_image(owners.back()));
        require(owners.back().shape(0) == owners.front().shape(0) &&
                    owners.back().shape(1) == owners.front().shape(1),
                "images of different sizes");
    }
    require(!images.empty(), "no images");
    const std::int64_t width = static_cast<std::int64_t>(owners.front().shape(1));
    const int rows = static_cast<int>(owners.front().shape(0));
    const std::int64_t pixels = rows * width;
    const int workers = std::min(
        useful_threads(threads, pixels * static_cast<std::int64_t>(images.size()) / 4),
        std::max(rows, 1));
    std::vector<OverlapTable> tables(static_cast<std::size_t>(workers),
                                     OverlapTable(static_cast<int>(images.size())));
    {
        nb::gil_scoped_release release;
        std::atomic<bool> is_full{false};
        in_bands(rows, workers, [&](int worker, int first, int last) {
            try {
                count_overlaps(images, first * width, last * width,
                               tables[static_cast<std::size_t>(worker)]);
            } catch (const std::bad_alloc&) {
                is_full = true;
            }
        });
        if (is_full) throw std::bad_alloc();
        for (std::size_t n = 1; n < tables.size(); ++n) tables[0].add(tables[n]);
    }
    return nb::make_tuple(array_of(tables[0].combinations(), tables[0].size(), images.size()),
                          array_of(tables[0].pixels(), tables[0].size(), 0));
}

}  // namespace

void add_overlaps(nb::module_& module) {
    using namespace nb::literals;
    module.def("count_overlaps", &count_overlaps_of, "labels"_a, "threads"_a);
}

}  // namespace pixelwise
