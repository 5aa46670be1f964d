#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "backend/cpu/cover.h"

namespace tessera::cpu {

// The grid of blocks of a backward pass: rows of Nq by columns of Nk.
struct Grid {
  int rows = 0; // of a block
  int columns = 0;
  int row_blocks = 0;
  int column_blocks = 0;
};

Grid grid_of(const Problem& problem, const Plan& plan);

// What the work items of a backward pass share. An item is a block of columns
// of a key head; dQ of a block of rows is the sum over items, added in the
// order of their columns, so that its bits do not depend on the threads. Items
// are taken in order, hence an item waits only for one that is being computed.
// `memory` holds floats() floats.
class Shared {
 public:
  Shared(const Task& task, const Cover& cover, const Grid& grid, float* memory);
  static std::size_t floats(
      const Problem& problem, const Plan& plan, const Grid& grid);

  const Grid& grid() const {
    return grid_;
  }

  // The items in the order that they are to be taken: the first columns of all
  // heads in flight, then the next. Those are the heaviest ones under a causal
  // mask, and heads do not wait for each other.
  struct Item {
    int batch = 0;
    int key_head = 0;
    int column_block = 0;
  };
  Item item(int index) const;

  Span row_block(int index) const;
  Span column_block(int index) const;

  // Whether an item adds to a block of rows of query head `head`.
  bool touches(int batch, int head, int row_block, int column_block) const;
  bool touched(int batch, int head, int row_block) const;

  // The turn of an item at a block of rows.
  struct Turn {
    bool first = false;
    bool last = false;
  };
  Turn wait(int batch, int head, int row_block, int column_block);
  void done(int batch, int head, int row_block, int column_block);

  // E = rowsum(dO * O) - dL of a row.
  float& E(int batch, int head, int row) {
    return E_[index(batch, head, task_.problem.Nq) + row];
  }

  // float32 sums of a row of dQ, where dQ itself is 16-bit: of the key heads in
  // flight. An item of a key head waits until the memory is free.
  float* dQ(int batch, int head, int row);
  void wait_for_memory(int batch, int key_head);
  void finish_item(int batch, int key_head);

  // Parts of dslopes, a column block each, and of dsinks, a row block each.
  float& slope_part(int batch, int head, int column_block) {
    return slopes_[index(batch, head, grid_.column_blocks) + column_block];
  }
  float& sink_part(int batch, int head, int row_block) {
    return sinks_[index(batch, head, grid_.row_blocks) + row_block];
  }

 private:
  std::ptrdiff_t index(int batch, int head, int length) const {
    return (std::ptrdiff_t{batch} * task_.problem.Hq + head) * length;
  }
  int before(int batch, int head, int row_block, int column_block) const;
  int behind(int batch, int head, int row_block, int column_block) const;
  Span reach(int batch, int row_block) const;

  const Task& task_;
  const Cover& cover_;
  Grid grid_;
  int heads_in_flight_;
  float* E_;
  float* slopes_;
  float* sinks_;
  float* dQ_;
  std::vector<std::atomic<int>> turns_;    // of each head's row blocks
  std::vector<std::atomic<int>> finished_; // items of each key head
};

} // namespace tessera::cpu
