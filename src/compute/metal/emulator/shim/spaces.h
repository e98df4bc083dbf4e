// Address spaces (MSL 3.1, chapter 4), for the two uses of this shim.
//
// STRICT: as C++ for OpenCL, whose compiler knows the same four spaces and rejects a pointer to the wrong one. This
// variant only checks. Otherwise: as C++, in which the keywords have no effect.
#pragma once

#ifdef STRICT
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_non_portable_kernel_param_types : enable
#define device __global
#define threadgroup __local
#define thread __private
// `kernel` and `constant` are keywords of OpenCL too.
#define IN_EACH_SPACE(declare) declare(device) declare(threadgroup)
#else
#define device
#define threadgroup
#define thread
#define constant const
#define kernel static
typedef _Float16 half;
typedef __bf16 bfloat;
#define ANY
#define IN_EACH_SPACE(declare) declare(ANY)
#endif
