// Which kernels of each family this machine can run, and the one to use.
#pragma once

#include <string>
#include <vector>

#include "kernels/assign.hpp"
#include "kernels/codes.hpp"
#include "kernels/encoder.hpp"
#include "kernels/maxsim.hpp"
#include "kernels/quantize.hpp"

namespace polyvec {

// Best first; the last is scalar, which runs everywhere.
const std::vector<const MaxsimKernel*>& maxsim_kernels();
const std::vector<const CodesKernel*>& codes_kernels();
const std::vector<const AssignKernel*>& assign_kernels();
const std::vector<const QuantizeKernel*>& quantize_kernels();
const std::vector<const EncoderKernel*>& encoder_kernels();

// The kernel of that name; without a name the one that the environment variable POLYVEC_KERNEL names, else the best; null if it
// cannot run here. The variable is read once. A family without a kernel of that name takes its best one, where another family has it.
const MaxsimKernel* find_maxsim_kernel(const std::string& name);
const CodesKernel* find_codes_kernel(const std::string& name);
const AssignKernel* find_assign_kernel(const std::string& name);
const QuantizeKernel* find_quantize_kernel(const std::string& name);
const EncoderKernel* find_encoder_kernel(const std::string& name);

}  // namespace polyvec
