// The Python side of average precision; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>

#include "bindings.hpp"
#include "parallel.hpp"
#include "ranked.hpp"

namespace pixelwise {
namespace {

void average_precision_of(const Input<std::uint8_t, 2>& outcomes,
                          const Input<std::int32_t, 1>& pictures,
                          const Input<std::int64_t, 2>& times,
                          const Input<std::int64_t, 1>& objects, const Input<double, 1>& recalls,
                          const Output<double, 2>& out, int threads) {
    const std::size_t draws = times.shape(0);
    require(pictures.shape(0) == outcomes.shape(1), "detections without a picture");
    require(objects.shape(0) == draws && out.shape(0) == draws, "draws of another number");
    require(out.shape(1) == outcomes.shape(0), "thresholds of another number");
    const std::int32_t* const ends = pictures.data() + pictures.shape(0);
    require(std::all_of(pictures.data(), ends,
                        [&](std::int32_t n) {
                            return n >= 0 && static_cast<std::size_t>(n) < times.shape(1);
                        }),
            "a picture outside the draws");
    const RankedJob job{outcomes.data(),
                        pictures.data(),
                        times.data(),
                        objects.data(),
                        recalls.data(),
                        static_cast<std::int64_t>(outcomes.shape(1)),
                        static_cast<std::int64_t>(times.shape(1)),
                        static_cast<int>(outcomes.shape(0)),
                        static_cast<int>(recalls.shape(0))};
    const int rows = static_cast<int>(draws);
    const std::int64_t work = rows * job.detections * job.thresholds;
    const int workers = std::min(useful_threads(threads, work), std::max(rows, 1));
    const Workspaces workspaces(workers, ranked_workspace_bytes(job));
    nb::gil_scoped_release release;
    in_bands(rows, workers, [&](int worker, int first, int last) {
        average_precision(job, first, last, workspaces.of(worker), out.data());
    });
}

}  // namespace

void add_ranked(nb::module_& module) {
    using namespace nb::literals;
    module.def("average_precision", &average_precision_of, "outcomes"_a.noconvert(),
               "pictures"_a.noconvert(), "times"_a.noconvert(), "objects"_a.noconvert(),
               "recalls"_a.noconvert(), "out"_a.noconvert(), "threads"_a);
}

}  // namespace pixelwise
