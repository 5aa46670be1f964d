#pragma once

#include "plan/mask.h"

namespace tessera::cpu {

// A run of rows of an operand, of one batch entry and head.
struct Rows {
  int batch = 0;
  int head = 0;
  Span span;
};

// An output tile of dbias. What dbias is summed over spans the whole axis.
struct BiasTile {
  Span batches;
  Span heads;
  Span row_blocks;
  Span column_blocks;
};

} // namespace tessera::cpu
