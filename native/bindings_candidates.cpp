// Python <-> candidates.hpp: what a codec and its segments are searched with, checked once and kept as long as they are.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "candidates.hpp"

using namespace polyvec;

namespace {

class Codec {
 public:
  Codec(Matrix<std::int8_t> centroids, Matrix<std::int8_t> levels, Matrix<std::int8_t> directions, Matrix<std::int8_t> coarse_centroids,
        Row<std::int64_t> coarse_offsets, double step, std::size_t dim, unsigned nbits)
      : centroids_(std::move(centroids)), levels_(std::move(levels)), directions_(std::move(directions)), parents_(std::move(coarse_centroids)),
        parent_offsets_(std::move(coarse_offsets)), step_(step), dim_(dim), nbits_(nbits) {
    const std::size_t p = centroids_.shape(1);
    expect(nbits == 1 || nbits == 2 || nbits == 4 || nbits == 8, "nbits must be 1, 2, 4 or 8");
    expect(p > 0 && p % kBlock == 0 && dim > 0 && dim <= p, "rows must have a multiple of 32 dimensions");
    expect(levels_.shape(0) == 256 && levels_.shape(1) == 16, "levels must be (256, 16)");
    expect(directions_.shape(0) == centroids_.shape(0) && directions_.shape(1) == p && parents_.shape(1) == p,
           "centroids, directions and coarse_centroids differ in shape");
    expect(parent_offsets_.shape(0) == parents_.shape(0) + 1, "coarse_offsets must have one entry more than coarse_centroids");
    check_parts(parent_offsets_, centroids_.shape(0));
    expect(centroids_.shape(0) < (std::size_t{1} << 31), "too many centroids");
    expect(step > 0, "step must be above 0");
  }
  CodecView view() const {
    return {centroids_.data(), centroids_.shape(0), centroids_.shape(1), dim_, levels_.data(), directions_.data(), parents_.data(),
            parent_offsets_.data(), parents_.shape(0), step_, nbits_};
  }

 private:
  Matrix<std::int8_t> centroids_, levels_, directions_, parents_;
  Row<std::int64_t> parent_offsets_;
  double step_;
  std::size_t dim_;
  unsigned nbits_;
};

class Segment {
 public:
  using Numbers = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  Segment(Numbers codes, Row<std::uint8_t> scales, Matrix<std::uint8_t> packed, Row<std::int64_t> offsets, Row<std::uint8_t> stream,
          Row<std::int64_t> starts)
      : codes_(std::move(codes)), scales_(std::move(scales)), packed_(std::move(packed)), offsets_(std::move(offsets)),
        stream_(std::move(stream)), starts_(std::move(starts)) {
    expect(codes_.dtype() == nb::dtype<std::uint16_t>() || codes_.dtype() == nb::dtype<std::uint32_t>(), "codes must be uint16 or uint32");
    expect(codes_.shape(0) == packed_.shape(0) && scales_.shape(0) == packed_.shape(0), "codes, scales and packed must have one entry a token");
    expect(offsets_.shape(0) >= 1 && starts_.shape(0) >= 1, "offsets and starts must have an entry");
    expect(offsets_.shape(0) <= (std::size_t{1} << 32), "too many documents for one segment");
  }
  SegmentView view(const CodecView& codec, const std::optional<Row<std::uint8_t>>& allowed) const {
    const std::size_t documents = offsets_.shape(0) - 1;
    expect(packed_.shape(1) == codec.p * codec.nbits / 8, "packed rows must have dim * nbits / 8 bytes");
    expect(starts_.shape(0) == codec.n_centroids + 1, "starts must have one entry more than centroids");
    expect(!allowed || allowed->shape(0) == documents, "a mask must have one entry a document");
    return {codes_.data(), codes_.dtype() == nb::dtype<std::uint16_t>() ? std::size_t{2} : std::size_t{4}, scales_.data(), packed_.data(),
            offsets_.data(), packed_.shape(0), documents, stream_.data(), stream_.shape(0), starts_.data(),
            allowed ? allowed->data() : nullptr};
  }

 private:
  Numbers codes_;
  Row<std::uint8_t> scales_;
  Matrix<std::uint8_t> packed_;
  Row<std::int64_t> offsets_;
  Row<std::uint8_t> stream_;
  Row<std::int64_t> starts_;
};

// Fills `positions`, segment after segment, and `counts` with how many each has; returns the first damaged segment, or -1.
std::ptrdiff_t candidates(const Codec& codec, const std::vector<const Segment*>& segments,
                          const std::vector<std::optional<Row<std::uint8_t>>>& masks, const Matrix<std::int8_t>& query,
                          const Row<float>& query_scales, std::size_t k, std::size_t nprobe, std::size_t coarse_probe, double missing,
                          double near, double least, double doubling, std::size_t generated, std::size_t approximately_scored, std::size_t scored,
                          double generated_within, double ordered_within, double approximately_scored_within, const Array<std::int64_t, 1>& positions,
                          const Array<std::int64_t, 1>& counts, std::size_t threads, const std::string& name) {
  const CodesKernel& kernel = codes_kernel(name);
  const CodecView view = codec.view();
  const std::size_t q = query.shape(0);
  expect(query.shape(1) == view.p, "query and codec differ in dim");
  expect(q > 0 && q < (std::size_t{1} << 16) - 1, "a query must have from 1 to 65,534 rows");
  expect(query_scales.shape(0) == q, "query_scales must have one entry a query row");
  expect(nprobe >= 1 && nprobe <= view.n_centroids && coarse_probe >= 1, "nprobe must be from 1 to the number of centroids");
  expect(k >= 1 && k <= scored && scored <= approximately_scored && approximately_scored <= generated, "expected 1 <= k <= scored <= approximately_scored <= generated");
  expect(missing <= 1 && near > 0 && least > 0, "missing must be 1 at most, near and least above 0");
  expect(masks.size() == segments.size() && counts.shape(0) == segments.size(), "masks and counts must have one entry a segment");
  expect(positions.shape(0) >= scored, "positions must have room for all that are scored");
  std::vector<SegmentView> views;
  for (std::size_t i = 0; i < segments.size(); ++i) views.push_back(segments[i]->view(view, masks[i]));
  std::vector<std::vector<std::int64_t>> kept;
  std::size_t damaged;
  {
    const Unlocked released;
    damaged = find_candidates(kernel, view, {query.data(), query_scales.data(), q},
                              {k, nprobe, coarse_probe, missing, near, least, doubling, generated, approximately_scored, scored, generated_within,
                               ordered_within, approximately_scored_within},
                              views, threads, kept);
  }
  if (damaged != kNoDamage) return static_cast<std::ptrdiff_t>(damaged);
  std::int64_t* to = positions.data();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    counts(i) = static_cast<std::int64_t>(kept[i].size());
    to = std::copy(kept[i].begin(), kept[i].end(), to);
  }
  return -1;
}

}  // namespace

void bind_candidates(nb::module_& m) {
  nb::class_<Codec>(m, "Codec")
      .def(nb::init<Matrix<std::int8_t>, Matrix<std::int8_t>, Matrix<std::int8_t>, Matrix<std::int8_t>, Row<std::int64_t>, double,
                    std::size_t, unsigned>(),
           nb::arg("centroids"), nb::arg("levels"), nb::arg("directions"), nb::arg("coarse_centroids"), nb::arg("coarse_offsets"),
           nb::arg("step"), nb::arg("dim"), nb::arg("nbits"));
  nb::class_<Segment>(m, "Segment")
      .def(nb::init<Segment::Numbers, Row<std::uint8_t>, Matrix<std::uint8_t>, Row<std::int64_t>, Row<std::uint8_t>, Row<std::int64_t>>(),
           nb::arg("codes"), nb::arg("scales"), nb::arg("packed"), nb::arg("offsets"), nb::arg("stream"), nb::arg("starts"));
  m.def("candidates", &candidates, nb::arg("codec"), nb::arg("segments"), nb::arg("masks"), nb::arg("query"), nb::arg("query_scales"),
        nb::arg("k"), nb::arg("nprobe"), nb::arg("coarse_probe"), nb::arg("missing"), nb::arg("near"), nb::arg("least"),
        nb::arg("doubling"), nb::arg("generated"), nb::arg("approximately_scored"), nb::arg("scored"), nb::arg("generated_within"),
        nb::arg("ordered_within"), nb::arg("approximately_scored_within"), nb::arg("positions"), nb::arg("counts"), nb::arg("threads"),
        nb::arg("kernel"));
}
