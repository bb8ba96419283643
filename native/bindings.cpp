// The extension module: one bind function a kernel family.

#include <nanobind/nanobind.h>

void bind_maxsim(nanobind::module_& m);
void bind_search(nanobind::module_& m);
void bind_build(nanobind::module_& m);
void bind_encoder(nanobind::module_& m);

NB_MODULE(_native, m) {
  m.doc() = "Native kernels of polyvec. They check shapes, dtypes and whatever numbers would lead out of an array.";
  bind_maxsim(m);
  bind_search(m);
  bind_build(m);
  bind_encoder(m);
}
