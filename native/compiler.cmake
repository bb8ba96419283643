# The kernels are written for GCC and Clang: vector types, __builtin functions, inline assembly. Refuses other compilers in one line.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  message(FATAL_ERROR "polyvec cannot be compiled with ${CMAKE_CXX_COMPILER_ID}: its kernels need GCC or Clang. On Windows use clang-cl (cmake -T ClangCL).")
endif()
