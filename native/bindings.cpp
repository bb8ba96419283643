// The extension module: one bind function a kernel family.

#include <nanobind/nanobind.h>

void bind_maxsim(nanobind::module_& m);
void bind_engine(nanobind::module_& m);
void bind_candidates(nanobind::module_& m);
void bind_encoder(nanobind::module_& m);

NB_MODULE(_native, m) {
  m.doc() = "Native kernels of polyvec. Shapes are checked here; values are the callers' business.";
  bind_maxsim(m);
  bind_engine(m);
  bind_candidates(m);
  bind_encoder(m);
}
