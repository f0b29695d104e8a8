// The Python side of the measures of regions; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>

#include "bindings.hpp"
#include "region_measures.hpp"

namespace pixelwise {
namespace {

bool measure_regions_of(const Input<std::int32_t, 2>& components, const Input<float, 2>& values,
                        const Input<std::int32_t, 2>& box, const Output<double, 2>& moments,
                        const Output<std::int64_t, 2>& steps, const Output<double, 1>& total) {
    const std::size_t count = box.shape(0);
    require(values.shape(0) == components.shape(0) && values.shape(1) == components.shape(1),
            "values of another size");
    require(box.shape(1) == 4 && moments.shape(0) == count && moments.shape(1) == 3 &&
                steps.shape(0) == count && steps.shape(1) == 3 && total.shape(0) == count,
            "outputs of another size");
    const RegionSums sums{static_cast<std::int64_t>(count), box.data(), moments.data(),
                          steps.data(), total.data()};
    nb::gil_scoped_release release;
    return measure_regions(components.data(), static_cast<std::int32_t>(components.shape(0)),
                           static_cast<std::int32_t>(components.shape(1)), values.data(), sums);
}

}  // namespace

void add_region_measures(nb::module_& module) {
    using namespace nb::literals;
    module.def("measure_regions", &measure_regions_of, "components"_a.noconvert(),
               "values"_a.noconvert(), "box"_a.noconvert(), "moments"_a.noconvert(),
               "steps"_a.noconvert(), "total"_a.noconvert());
}

}  // namespace pixelwise
