// Which kernels this machine can run, and the one to use. Chosen once; POLYVEC_KERNEL names another.
#pragma once

#include <string>
#include <vector>

#include "kernels/maxsim.hpp"

namespace polyvec {

// Best first; the last is scalar, which runs everywhere.
const std::vector<const MaxsimKernel*>& maxsim_kernels();

// The kernel of that name, the one POLYVEC_KERNEL names if `name` is empty, else the best; null if it cannot run here.
const MaxsimKernel* find_maxsim_kernel(const std::string& name);

}  // namespace polyvec
