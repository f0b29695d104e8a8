// What the files that make up the Python module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <new>
#include <stdexcept>
#include <string_view>

namespace pixelwise {

namespace nb = nanobind;

template <class T, int Dimensions>
using Input = nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
template <class T, int Dimensions>
using Output = nb::ndarray<T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

inline void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

// Is this variant of the kernels built, and can this CPU run it?
inline bool can_run(std::string_view variant) {
    if (variant == "baseline") return true;
#if defined(PIXELWISE_X86_VARIANTS)
    __builtin_cpu_init();
    if (variant == "avx2") return __builtin_cpu_supports("avx2");
    if (variant == "avx512") {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
#endif
    return false;
}

// Scratch memory per worker, not cleared: only what is used is ever given pages.
class Workspaces {
   public:
    Workspaces(int workers, std::size_t bytes) : stride_((bytes + 63) / 64 * 64) {
        base_ = static_cast<char*>(
            ::operator new(stride_ * static_cast<std::size_t>(workers), std::align_val_t{64}));
    }
    ~Workspaces() { ::operator delete(base_, std::align_val_t{64}); }
    Workspaces(const Workspaces&) = delete;
    Workspaces& operator=(const Workspaces&) = delete;

    char* of(int worker) const { return base_ + stride_ * static_cast<std::size_t>(worker); }

   private:
    std::size_t stride_;
    char* base_;
};

// Adds the function of cell_bindings.cpp.
void add_cells(nb::module_& module);

// Adds the functions of crf_bindings.cpp.
void add_crf(nb::module_& module);

// Adds the functions of fade_bindings.cpp.
void add_fade(nb::module_& module);

// Adds the functions of loss_bindings.cpp.
void add_upsampled_loss(nb::module_& module);

// Adds the function of overlap_bindings.cpp.
void add_overlaps(nb::module_& module);

// Adds the function of ranked_bindings.cpp.
void add_ranked(nb::module_& module);

// Adds the functions of metric_bindings.cpp.
void add_metrics(nb::module_& module);

// Adds the class of polygon_bindings.cpp.
void add_polygons(nb::module_& module);

// Adds the function of region_bindings.cpp.
void add_region_measures(nb::module_& module);

// Adds the functions of calibration_bindings.cpp.
void add_calibration(nb::module_& module);

// Adds the functions of warp_bindings.cpp.
void add_warp(nb::module_& module);

}  // namespace pixelwise
