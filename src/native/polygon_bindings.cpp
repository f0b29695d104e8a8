// The Python side of the polygons; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "bindings.hpp"
#include "outlines.hpp"
#include "polygons.hpp"

namespace pixelwise {
namespace {

template <class Value>
class Filled {
   public:
    Filled(std::size_t rows, std::size_t columns)
        : rows_(rows), columns_(columns), values_(new Value[rows * columns]),
          owner_(values_, [](void* p) noexcept { delete[] static_cast<Value*>(p); }) {}

    Value* data() const { return values_; }
    nb::ndarray<nb::numpy, Value> array() const {
        const std::size_t shape[2] = {rows_, columns_};
        return nb::ndarray<nb::numpy, Value>(values_, columns_ == 1 ? 1 : 2, shape, owner_);
    }

   private:
    std::size_t rows_;
    std::size_t columns_;
    Value* values_;
    nb::capsule owner_;
};

// points [N, 2], ring offsets [R + 1], polygon offsets [P + 1], and for each polygon its label,
// area, weighted area, sum of values and first pixel [P, 2].
nb::tuple arrays_of(const Polygons& all) {
    const std::size_t count = all.polygons.size();
    const Filled<std::int32_t> points(all.points.size(), 2);
    const Filled<std::int64_t> rings(all.rings.size() + 1, 1);
    const Filled<std::int64_t> polygons(count + 1, 1);
    const Filled<std::int32_t> label(count, 1);
    const Filled<std::int64_t> area(count, 1);
    const Filled<double> weight(count, 1);
    const Filled<double> value(count, 1);
    const Filled<std::int32_t> first(count, 2);
    std::size_t point = 0;
    std::size_t ring = 0;
    rings.data()[0] = 0;
    polygons.data()[0] = 0;
    for (std::size_t n = 0; n < count; ++n) {
        const Polygon& polygon = all.polygons[n];
        for (std::size_t r = polygon.first_ring; r < polygon.end_ring; ++r) {
            const std::size_t length = all.rings[r].end - all.rings[r].begin;
            std::memcpy(points.data() + 2 * point, all.points.data() + all.rings[r].begin,
                        length * sizeof(Point));
            point += length;
            rings.data()[++ring] = static_cast<std::int64_t>(point);
        }
        polygons.data()[n + 1] = static_cast<std::int64_t>(ring);
        label.data()[n] = static_cast<std::int32_t>(polygon.label);
        area.data()[n] = polygon.area;
        weight.data()[n] = polygon.weight;
        value.data()[n] = polygon.value;
        first.data()[2 * n] = polygon.x;
        first.data()[2 * n + 1] = polygon.y;
    }
    return nb::make_tuple(points.array(), rings.array(), polygons.array(), label.array(),
                          area.array(), weight.array(), value.array(), first.array());
}

template <class Label>
nb::tuple outlines(const Input<Label, 2>& labels, bool ignores, std::int64_t ignored) {
    require(labels.shape(0) > 0 && labels.shape(1) > 0, "an empty map");
    Polygons found;
    {
        nb::gil_scoped_release release;
        found = trace_outlines(labels.data(), static_cast<std::int64_t>(labels.shape(0)),
                               static_cast<std::int64_t>(labels.shape(1)), ignores, ignored);
    }
    return arrays_of(found);
}

template <class Label>
void add(PolygonTracer& tracer, const Input<Label, 2>& labels,
         const std::optional<Input<double, 1>>& weights,
         const std::optional<Input<float, 2>>& values) {
    require(static_cast<std::int64_t>(labels.shape(1)) == tracer.width(), "another width");
    require(!weights || weights->shape(0) == labels.shape(0), "weights of other rows");
    require(!values || (values->shape(0) == labels.shape(0) &&
                        values->shape(1) == labels.shape(1)),
            "values of another size");
    nb::gil_scoped_release release;
    tracer.add(labels.data(), static_cast<std::int32_t>(labels.shape(0)),
               weights ? weights->data() : nullptr, values ? values->data() : nullptr);
}

}  // namespace

void add_polygons(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<PolygonTracer> tracer(module, "PolygonTracer");
    tracer.def(nb::init<std::int32_t, bool, std::int64_t, double>(), "width"_a, "ignores"_a,
               "ignored"_a, "tolerance"_a);
    const auto add_for = [&](auto label) {
        module.def("trace_outlines", &outlines<decltype(label)>, "labels"_a.noconvert(),
                   "ignores"_a, "ignored"_a);
        tracer.def("add", &add<decltype(label)>, "labels"_a.noconvert(),
                   "weights"_a.noconvert().none(), "values"_a.noconvert().none());
    };
    add_for(std::uint8_t{});
    add_for(std::uint16_t{});
    add_for(std::int32_t{});
    tracer.def("finish", &PolygonTracer::finish, nb::call_guard<nb::gil_scoped_release>());
    tracer.def(
        "take", [](PolygonTracer& self, bool by_place) { return arrays_of(self.take(by_place)); },
        "by_place"_a);
    tracer.def_prop_ro("held", &PolygonTracer::held);
}

}  // namespace pixelwise
