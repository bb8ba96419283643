// Python <-> candidates.hpp: searching a codec and its segments. Shapes are checked once, when a Codec or a Segment is made; numbers
// inside the arrays are checked where they are used.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.hpp"
#include "candidates.hpp"

using namespace polyvec;

namespace {

using Codes = std::variant<Row<std::uint16_t>, Row<std::uint32_t>>;

struct CodecArrays {
  Matrix<std::int8_t> centroids, directions, coarse_centroids, levels;
  Row<std::int64_t> coarse_offsets;
};

class Codec {
 public:
  Codec(CodecArrays arrays, double step, std::size_t dim, unsigned nbits) : arrays_(std::move(arrays)), step_(step), dim_(dim), nbits_(nbits) {
    const std::size_t n = arrays_.centroids.shape(0), p = arrays_.centroids.shape(1), coarse = arrays_.coarse_centroids.shape(0);
    expect(nbits == 1 || nbits == 2 || nbits == 4 || nbits == 8, "nbits must be 1, 2, 4 or 8");
    expect(p > 0 && p % kBlockDims == 0, "rows must have a multiple of 32 dimensions");
    expect(p <= kMaxDims, "rows must have 65,536 dimensions at most, or sums of products would not fit int32");
    expect(dim > 0 && dim <= p, "dim must be from 1 to the dimensions of a row, a multiple of 32");
    expect(n > 0 && n < (std::size_t{1} << 31), "there must be from 1 to 2^31 - 1 centroids");
    expect(arrays_.levels.shape(0) == kScales && arrays_.levels.shape(1) == kWindows, "levels must be (256, 16)");
    expect(arrays_.directions.shape(0) == n && arrays_.directions.shape(1) == p && arrays_.coarse_centroids.shape(1) == p,
           "centroids, directions and coarse_centroids differ in shape");
    expect(arrays_.coarse_offsets.shape(0) == coarse + 1, "coarse_offsets must have one entry more than coarse_centroids");
    check_parts(arrays_.coarse_offsets, n);
    expect(step > 0, "step must be above 0");
  }
  CodecView view() const {
    return {.centroids = arrays_.centroids.data(),
            .directions = arrays_.directions.data(),
            .coarse_centroids = arrays_.coarse_centroids.data(),
            .coarse_offsets = arrays_.coarse_offsets.data(),
            .levels = arrays_.levels.data(),
            .n_centroids = arrays_.centroids.shape(0),
            .n_coarse_centroids = arrays_.coarse_centroids.shape(0),
            .p = arrays_.centroids.shape(1),
            .dim = dim_,
            .step = step_,
            .nbits = nbits_};
  }

 private:
  CodecArrays arrays_;
  double step_;
  std::size_t dim_;
  unsigned nbits_;
};

struct PostingArrays {
  Row<std::uint8_t> stream;
  Row<std::int64_t> starts;
};

class Segment {
 public:
  Segment(Codes codes, Row<std::uint8_t> scales, Matrix<std::uint8_t> packed, Row<std::int64_t> offsets, std::optional<PostingArrays> postings)
      : codes_(std::move(codes)), scales_(std::move(scales)), packed_(std::move(packed)), offsets_(std::move(offsets)),
        postings_(std::move(postings)) {
    const std::size_t tokens = packed_.shape(0);
    expect(n_codes() == tokens && scales_.shape(0) == tokens, "codes, scales and packed must have one entry a token");
    expect(offsets_.shape(0) >= 1, "offsets must have an entry");
    expect(offsets_.shape(0) <= (std::size_t{1} << 32), "too many documents for one segment");
    expect(!postings_ || postings_->starts.shape(0) >= 1, "starts must have an entry");
  }
  SegmentView tokens(const CodecView& codec) const {
    expect(packed_.shape(1) == codec.p * codec.nbits / 8, "packed rows must have dim * nbits / 8 bytes");
    return {.codes = code_data(),
            .code_bytes = codes_.index() == 0 ? std::size_t{2} : std::size_t{4},
            .scales = scales_.data(),
            .packed = packed_.data(),
            .offsets = offsets_.data(),
            .n_tokens = packed_.shape(0),
            .n_documents = offsets_.shape(0) - 1};
  }
  SearchedSegment searched(const CodecView& codec, const std::optional<Row<std::uint8_t>>& allowed) const {
    const SegmentView view = tokens(codec);
    expect(postings_.has_value(), "a segment without postings is scored whole, not searched");
    expect(postings_->starts.shape(0) == codec.n_centroids + 1, "starts must have one entry more than centroids");
    expect(!allowed || allowed->shape(0) == view.n_documents, "a mask must have one entry a document");
    return {view, {postings_->stream.data(), postings_->stream.shape(0), postings_->starts.data(), codec.n_centroids},
            allowed ? allowed->data() : nullptr};
  }

 private:
  std::size_t n_codes() const {
    return std::visit([](const auto& codes) { return codes.shape(0); }, codes_);
  }
  const void* code_data() const {
    return std::visit([](const auto& codes) -> const void* { return codes.data(); }, codes_);
  }

  Codes codes_;
  Row<std::uint8_t> scales_;
  Matrix<std::uint8_t> packed_;
  Row<std::int64_t> offsets_;
  std::optional<PostingArrays> postings_;
};

const CodesKernel& codes_kernel(const std::string& name) {
  const CodesKernel* kernel = find_codes_kernel(name);
  expect(kernel, "no such kernel on this machine; POLYVEC_KERNEL and kernel= take a name from codes_kernels()");
  return *kernel;
}

QueryView query_view(const Matrix<std::int8_t>& rows, const Row<float>& scales, const CodecView& codec) {
  expect(rows.shape(1) == codec.p, "query and codec differ in dim");
  expect(scales.shape(0) == rows.shape(0), "query_scales must have one entry a query row");
  return {rows.data(), scales.data(), rows.shape(0), rows.shape(1)};
}

Narrowing checked(const Narrowing& narrowing) {
  expect(narrowing.k >= 1 && narrowing.k <= narrowing.fully_scored && narrowing.fully_scored <= narrowing.approximately_scored &&
             narrowing.approximately_scored <= narrowing.generated,
         "expected 1 <= k <= fully_scored <= approximately_scored <= generated");
  expect(narrowing.nprobe >= 1 && narrowing.coarse_nprobe >= 1, "nprobe and coarse_nprobe must be at least 1");
  expect(narrowing.generation_imputed <= 1 && narrowing.near > 0 && narrowing.approximate_imputed > 0,
         "generation_imputed must be 1 at most, near and approximate_imputed above 0");
  return narrowing;
}

// The positions of each segment, or the number of the first damaged segment.
using Candidates = std::variant<std::vector<OwnedRow<std::int64_t>>, std::size_t>;

Candidates candidates(const Codec& codec, const std::vector<const Segment*>& segments, const std::vector<std::optional<Row<std::uint8_t>>>& masks,
                      const Matrix<std::int8_t>& query, const Row<float>& query_scales, const Narrowing& narrowing, std::size_t threads,
                      const std::string& kernel) {
  const CodecView view = codec.view();
  const QueryView asked = query_view(query, query_scales, view);
  expect(asked.q > 0 && asked.q < (std::size_t{1} << 16) - 1, "a query must have from 1 to 65,534 rows");
  expect(narrowing.nprobe <= view.n_centroids, "nprobe must be from 1 to the number of centroids");
  expect(masks.size() == segments.size(), "masks must have one entry a segment");
  std::vector<SearchedSegment> searched;
  for (std::size_t i = 0; i < segments.size(); ++i) searched.push_back(segments[i]->searched(view, masks[i]));
  const CandidateSearch search{codes_kernel(kernel), view, asked, narrowing, searched, threads};
  std::vector<std::vector<std::int64_t>> positions;
  std::size_t damaged;
  {
    const Unlocked released;
    damaged = find_candidates(search, positions);
  }
  if (damaged != kNoDamage) return damaged;
  std::vector<OwnedRow<std::int64_t>> found;
  for (std::vector<std::int64_t>& part : positions) found.push_back(owned_row(std::move(part)));
  return found;
}

OwnedRow<float> scores_of(const Codec& codec, const Segment& segment, const Matrix<std::int8_t>& query, const Row<float>& query_scales,
                          const Row<std::int64_t>& documents, std::size_t threads, const std::string& kernel) {
  const CodecView view = codec.view();
  const SegmentView tokens = segment.tokens(view);
  const QueryView asked = query_view(query, query_scales, view);
  const FullScoring scoring{codes_kernel(kernel), view, asked, tokens, documents.data(), documents.shape(0), threads};
  std::vector<float> scores(scoring.count);
  bool sound;
  {
    const Unlocked released;
    sound = full_scores(scoring, scores.data());
  }
  expect(sound, "a document, an offset or a centroid number is out of range");
  return owned_row(std::move(scores));
}

}  // namespace

void bind_search(nb::module_& m) {
  nb::class_<Codec>(m, "Codec", "A codec's arrays, checked once and kept.")
      .def("__init__",
           [](Codec* self, Matrix<std::int8_t> centroids, Matrix<std::int8_t> directions, Matrix<std::int8_t> coarse_centroids,
              Row<std::int64_t> coarse_offsets, Matrix<std::int8_t> levels, double step, std::size_t dim, unsigned nbits) {
             new (self) Codec({.centroids = std::move(centroids),
                               .directions = std::move(directions),
                               .coarse_centroids = std::move(coarse_centroids),
                               .levels = std::move(levels),
                               .coarse_offsets = std::move(coarse_offsets)},
                              step, dim, nbits);
           },
           nb::kw_only(), nb::arg("centroids").noconvert(), nb::arg("directions").noconvert(), nb::arg("coarse_centroids").noconvert(),
           nb::arg("coarse_offsets").noconvert(), nb::arg("levels").noconvert(), nb::arg("step"), nb::arg("dim"), nb::arg("nbits"));
  nb::class_<Segment>(m, "Segment", "A segment's arrays, checked once and kept; without postings it can be scored but not searched.")
      .def("__init__",
           [](Segment* self, Codes codes, Row<std::uint8_t> scales, Matrix<std::uint8_t> packed, Row<std::int64_t> offsets,
              std::optional<Row<std::uint8_t>> stream, std::optional<Row<std::int64_t>> starts) {
             expect(stream.has_value() == starts.has_value(), "stream and starts must be given together");
             std::optional<PostingArrays> postings;
             if (stream) postings = PostingArrays{std::move(*stream), std::move(*starts)};
             new (self) Segment(std::move(codes), std::move(scales), std::move(packed), std::move(offsets), std::move(postings));
           },
           nb::kw_only(), nb::arg("codes").noconvert(), nb::arg("scales").noconvert(), nb::arg("packed").noconvert(),
           nb::arg("offsets").noconvert(), nb::arg("stream").noconvert() = nb::none(), nb::arg("starts").noconvert() = nb::none());
  nb::class_<Narrowing>(m, "Narrowing", "How many documents each step of finding candidates keeps; docs/engine.md explains the fields.")
      .def("__init__",
           [](Narrowing* self, std::size_t k, std::size_t nprobe, std::size_t coarse_nprobe, double generation_imputed, double near,
              double approximate_imputed, double length_penalty, std::size_t generated, std::size_t approximately_scored,
              std::size_t fully_scored, double generation_margin, double interaction_margin, double approximate_margin) {
             new (self) Narrowing(checked({.k = k,
                                           .nprobe = nprobe,
                                           .coarse_nprobe = coarse_nprobe,
                                           .generation_imputed = generation_imputed,
                                           .near = near,
                                           .approximate_imputed = approximate_imputed,
                                           .length_penalty = length_penalty,
                                           .generated = generated,
                                           .approximately_scored = approximately_scored,
                                           .fully_scored = fully_scored,
                                           .generation_margin = generation_margin,
                                           .interaction_margin = interaction_margin,
                                           .approximate_margin = approximate_margin}));
           },
           nb::kw_only(), nb::arg("k"), nb::arg("nprobe"), nb::arg("coarse_nprobe"), nb::arg("generation_imputed"), nb::arg("near"),
           nb::arg("approximate_imputed"), nb::arg("length_penalty"), nb::arg("generated"), nb::arg("approximately_scored"),
           nb::arg("fully_scored"), nb::arg("generation_margin"), nb::arg("interaction_margin"), nb::arg("approximate_margin"))
      .def_ro("k", &Narrowing::k)
      .def_ro("nprobe", &Narrowing::nprobe)
      .def_ro("coarse_nprobe", &Narrowing::coarse_nprobe)
      .def_ro("generation_imputed", &Narrowing::generation_imputed)
      .def_ro("near", &Narrowing::near)
      .def_ro("approximate_imputed", &Narrowing::approximate_imputed)
      .def_ro("length_penalty", &Narrowing::length_penalty)
      .def_ro("generated", &Narrowing::generated)
      .def_ro("approximately_scored", &Narrowing::approximately_scored)
      .def_ro("fully_scored", &Narrowing::fully_scored)
      .def_ro("generation_margin", &Narrowing::generation_margin)
      .def_ro("interaction_margin", &Narrowing::interaction_margin)
      .def_ro("approximate_margin", &Narrowing::approximate_margin);
  m.def("find_candidates", &candidates, nb::arg("codec"), nb::arg("segments"), nb::arg("masks").noconvert(), nb::arg("query").noconvert(),
        nb::arg("query_scales").noconvert(), nb::arg("narrowing"), nb::kw_only(), nb::arg("threads"), nb::arg("kernel"),
        "The positions of each segment that get a full score, or the number of the first damaged segment.");
  m.def("full_scores", &scores_of, nb::arg("codec"), nb::arg("segment"), nb::arg("query").noconvert(), nb::arg("query_scales").noconvert(),
        nb::arg("documents").noconvert(), nb::kw_only(), nb::arg("threads"), nb::arg("kernel"), "MaxSim of the query with these documents.");
  m.def("codes_kernels", [] { return names_of(codes_kernels()); }, "Kernels for find_candidates and full_scores, best first.");
}
