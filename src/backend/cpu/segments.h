#pragma once

#include <cstdint>
#include <vector>

#include "backend/cpu/task.h"

namespace tessera::cpu {

// How much of a tile of the score matrix is seen.
enum class Seen { nothing, something, everything };

// Which queries and keys of one batch entry share a segment id, by granules of
// 16 positions: the least and largest id of each, and the granules of the other
// sequence that may share one. Exact, to the granule, for ids that never fall
// (packed documents); for others it only skips less. Memory O(Nq + Nk).
class SegmentTable {
 public:
  SegmentTable(const Task& task, int batch);

  Seen seen(Span rows, Span keys) const;
  // The least span, in whole granules, outside of which nothing is seen.
  Span keys_of(Span rows) const;
  Span rows_of(Span keys) const;

 private:
  struct Ids {
    std::int32_t least = 0;
    std::int32_t largest = 0;

    bool meets(Ids other) const {
      return least <= other.largest && other.least <= largest;
    }
  };
  using Sequence = std::vector<Ids>;

  static Sequence granules(const View& ids, int batch, int length);
  static std::vector<Span> reach(const Sequence& from, const Sequence& to);
  static Ids join(const Sequence& sequence, Span span);
  static Span join(const std::vector<Span>& reach, Span span, int length);

  int Nq_;
  int Nk_;
  Sequence queries_;
  Sequence keys_;
  std::vector<Span> key_reach_; // of a granule of queries, in granules of keys
  std::vector<Span> row_reach_; // the reverse
};

} // namespace tessera::cpu
