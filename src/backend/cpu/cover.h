#pragma once

#include <vector>

#include "backend/cpu/segments.h"

namespace tessera::cpu {

// What of the score matrix a call computes: the positions' mask, the segments
// and the block list together. Made once a call, from arrays that are ready.
class Cover {
 public:
  explicit Cover(const Task& task);

  const Mask& mask(int batch) const {
    return masks_[static_cast<std::size_t>(batch)];
  }

  // The least span known outside of which no query of `rows` sees a key, and
  // the reverse.
  Span keys(int batch, Span rows) const;
  Span rows(int batch, Span keys) const;

  Seen positions(int batch, Span rows, Span keys) const;
  Seen segments(int batch, Span rows, Span keys) const;
  Seen blocks(int batch, int head, Span rows, Span keys) const;

  // Whether some pair of a tile may see each other.
  bool live(int batch, int head, Span rows, Span keys) const;

  // Whether a block of the list is on.
  bool on(int batch, int head, int block_row, int block_column) const;

 private:
  const Task& task_;
  std::vector<Mask> masks_;            // of each batch entry
  std::vector<SegmentTable> segments_; // of each batch entry, or none
};

} // namespace tessera::cpu
